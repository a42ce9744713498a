//! The environment of the process, copied once: the only file that reads it. What it means is decided in `settings`.

use crate::exit::{Failure, Result};
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

/// The variables of this version.
const KNOWN: [&str; 9] = [
    "CAIRN_CACHE_DIR",
    "CAIRN_KEY_FILE",
    "CAIRN_MEMORY",
    "CAIRN_PASSWORD",
    "CAIRN_PASSWORD_COMMAND",
    "CAIRN_PASSWORD_FILE",
    "CAIRN_PROGRESS_FPS",
    "CAIRN_REPOSITORY",
    "CAIRN_STATE_DIR",
];
/// Variables that will mean something, and mean nothing yet.
const NOT_YET: [&str; 1] = ["CAIRN_PROFILE"];
/// Settings of the AWS tools and of HTTP programs that choose where data goes, or what is between. Endpoints of single
/// services and lower-case spellings are recognised by their form.
const MOVING: [&str; 10] = [
    "AWS_CA_BUNDLE",
    "AWS_DEFAULT_REGION",
    "AWS_DISABLE_S3_EXPRESS_SESSION_AUTH",
    "AWS_REGION",
    "AWS_S3_DISABLE_MULTIREGION_ACCESS_POINTS",
    "AWS_S3_US_EAST_1_REGIONAL_ENDPOINT",
    "AWS_S3_USE_ARN_REGION",
    "AWS_STS_REGIONAL_ENDPOINTS",
    "AWS_USE_DUALSTACK_ENDPOINT",
    "AWS_USE_FIPS_ENDPOINT",
];

/// Whether a variable chooses in other programs where data goes.
fn moves_data(name: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    let is_proxy = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"].contains(&upper.as_str());
    is_proxy || MOVING.contains(&name) || name.starts_with("AWS_ENDPOINT_URL")
}

/// A copy of the environment.
#[derive(Debug, Default)]
pub(crate) struct Environment(BTreeMap<OsString, OsString>);

impl Environment {
    /// One with these variables.
    #[cfg(test)]
    pub(crate) fn new(variables: BTreeMap<OsString, OsString>) -> Self {
        Self(variables)
    }

    /// That of this process.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
    pub(crate) fn of_process() -> Self {
        Self(std::env::vars_os().collect())
    }

    pub(crate) fn get(&self, name: &str) -> Option<&OsStr> {
        self.0.get(OsStr::new(name)).map(OsString::as_os_str)
    }

    /// A variable of ours, which may not be empty.
    pub(crate) fn own(&self, name: &str) -> Result<Option<&OsStr>> {
        match self.get(name) {
            Some(value) if value.is_empty() => {
                Err(Failure::usage(format!("{name} is set and empty"), "unset it, or give it a value"))
            }
            value => Ok(value),
        }
    }

    pub(crate) fn own_text(&self, name: &str) -> Result<Option<&str>> {
        let not_text = || Failure::usage(format!("{name} is not valid UTF-8"), "");
        self.own(name)?.map(|value| value.to_str().ok_or_else(not_text)).transpose()
    }

    /// A directory that some other program's rules name. It has to be absolute.
    pub(crate) fn directory(&self, name: &str) -> Result<Option<PathBuf>> {
        match self.get(name).filter(|value| !value.is_empty()).map(PathBuf::from) {
            Some(path) if !path.is_absolute() => Err(Failure::usage(
                format!("{name} is not an absolute path: {}", path.display()),
                "correct or unset it",
            )),
            path => Ok(path),
        }
    }

    /// Refuses variables that look like ours and are not.
    pub(crate) fn check_names(&self) -> Result<()> {
        for name in self.0.keys().filter_map(|name| name.to_str()).filter(|name| name.starts_with("CAIRN_")) {
            if NOT_YET.contains(&name) {
                let hint = "unset it; profiles come with a later version";
                return Err(Failure::usage(
                    format!("{name} is set, and this version of cairn does not know profiles"),
                    hint,
                ));
            }
            if !KNOWN.contains(&name) {
                let near: Vec<&str> = KNOWN.into_iter().filter(|known| distance(name, known) <= 3).collect();
                let hint = if near.is_empty() {
                    format!("unset it; the variables are {}", KNOWN.join(", "))
                } else {
                    format!("did you mean {}?", near.join(" or "))
                };
                return Err(Failure::usage(format!("{name} is not a variable of cairn"), hint));
            }
        }
        Ok(())
    }

    /// What to say about restic's variables, if any are set.
    pub(crate) fn restic_note(&self) -> Option<String> {
        let set: Vec<&str> =
            self.0.keys().filter_map(|name| name.to_str()).filter(|name| name.starts_with("RESTIC_")).collect();
        (!set.is_empty())
            .then(|| format!("{} set: cairn does not read restic's variables, only CAIRN_*", set.join(", ")))
    }

    /// Variables of other programs that are set, would move data elsewhere in such a program, and do nothing here: their
    /// names, sorted. Which file of profiles is used is not among them, since it may hold credentials.
    pub(crate) fn ignored(&self) -> Vec<String> {
        let is_set = |name: &str, value: &OsStr| !value.is_empty() && moves_data(name);
        let named = self.0.iter().filter_map(|(name, value)| Some((name.to_str()?, value)));
        named.filter(|(name, value)| is_set(name, value)).map(|(name, _)| name.to_owned()).collect()
    }

    /// Whether a file is the journal's stream that systemd connected to this service.
    pub(crate) fn is_journal(&self, stat: &rustix::fs::Stat) -> bool {
        let named = self.get("JOURNAL_STREAM").and_then(OsStr::to_str).and_then(|text| text.split_once(':'));
        named.is_some_and(|(device, inode)| device.parse() == Ok(stat.st_dev) && inode.parse() == Ok(stat.st_ino))
    }
}

/// How many letters have to be inserted, removed or replaced.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_move_data_is_named_and_credentials_are_not() {
        let set = |name: &str| (OsString::from(name), OsString::from("x"));
        let names =
            ["AWS_ENDPOINT_URL_S3", "AWS_REGION", "HTTPS_PROXY", "all_proxy", "AWS_ACCESS_KEY_ID", "NO_PROXY", "HOME"];
        let mut variables: BTreeMap<_, _> = names.into_iter().map(set).collect();
        variables.insert("AWS_ENDPOINT_URL".into(), OsString::new());
        let ignored = Environment::new(variables).ignored();
        assert_eq!(ignored, ["AWS_ENDPOINT_URL_S3", "AWS_REGION", "HTTPS_PROXY", "all_proxy"]);
    }

    #[test]
    fn distances() {
        for (a, b, expected) in
            [("", "abc", 3), ("abc", "abc", 0), ("abc", "axc", 1), ("abcd", "acd", 1), ("kitten", "sitting", 3)]
        {
            assert_eq!(distance(a, b), expected);
        }
    }
}
