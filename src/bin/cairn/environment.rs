//! The environment of the process, copied once: the only file that reads it. What it means is decided in `settings`.

use crate::exit::{Failure, Result};
use crate::values::distance;
use cairn::storage::s3::ignored_settings;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

/// The variables of this version.
const KNOWN: [&str; 10] = [
    "CAIRN_CACHE_DIR",
    "CAIRN_KEY_FILE",
    "CAIRN_MEMORY",
    "CAIRN_PASSWORD",
    "CAIRN_PASSWORD_COMMAND",
    "CAIRN_PASSWORD_FILE",
    "CAIRN_PROFILE",
    "CAIRN_PROGRESS_FPS",
    "CAIRN_REPOSITORY",
    "CAIRN_STATE_DIR",
];
/// What a hook is told (`hooks.rs`); cairn itself takes nothing from them but that it was started by a hook.
pub(crate) const OF_HOOKS: [&str; 6] =
    ["CAIRN_HOOK", "CAIRN_COMMAND", "CAIRN_PROFILE_NAME", "CAIRN_EXIT_CODE", "CAIRN_SNAPSHOT_ID", "CAIRN_ERROR"];
/// Variables that a hook gets from cairn's own environment. The others may be secrets: what is not known to be none stays here.
const FOR_HOOKS: [&str; 12] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "TZ",
    "TMPDIR",
    "XDG_RUNTIME_DIR",
    "XDG_CONFIG_HOME",
    "DBUS_SESSION_BUS_ADDRESS",
    "INVOCATION_ID",
];
/// What of other programs' variables is a secret that cairn may be using.
const SECRETS: [&str; 4] =
    ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN"];

/// What a command that cairn runs is not given: everything of cairn's own, and credentials of the store.
pub(crate) fn withheld() -> impl Iterator<Item = &'static str> {
    KNOWN.into_iter().chain(OF_HOOKS).chain(SECRETS)
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
        // What the test servers' scripts set is for the shell that runs cairn, and means nothing to it.
        let is_own = |name: &&str| name.starts_with("CAIRN_") && !name.starts_with("CAIRN_TEST_");
        for name in self.0.keys().filter_map(|name| name.to_str()).filter(is_own) {
            if !KNOWN.contains(&name) && !OF_HOOKS.contains(&name) {
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

    /// What a hook gets of it.
    pub(crate) fn for_hooks(&self) -> Vec<(OsString, OsString)> {
        let is_known = |name: &str| FOR_HOOKS.contains(&name) || name.starts_with("LC_");
        let known = self.0.iter().filter(|(name, _)| name.to_str().is_some_and(is_known));
        known.map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    /// What to say about restic's variables, if any are set.
    pub(crate) fn restic_note(&self) -> Option<String> {
        let set: Vec<&str> =
            self.0.keys().filter_map(|name| name.to_str()).filter(|name| name.starts_with("RESTIC_")).collect();
        (!set.is_empty())
            .then(|| format!("{} set: cairn does not read restic's variables, only CAIRN_*", set.join(", ")))
    }

    /// Settings of other programs, of variables and of the AWS tools' profiles, that choose there where data goes and do
    /// nothing here: their names. A file that cannot be read says nothing to us either.
    pub(crate) fn ignored(&self) -> Vec<String> {
        let is_set =
            |(name, value): (&OsString, &OsString)| Some(name.to_str()?.to_owned()).filter(|_| !value.is_empty());
        let file = |variable: &str, below_home: &str| {
            let named = self.get(variable).filter(|value| !value.is_empty()).map(PathBuf::from);
            let path = named.or_else(|| Some(PathBuf::from(self.get("HOME")?).join(below_home)))?;
            std::fs::read_to_string(path).ok()
        };
        let profiles =
            [file("AWS_CONFIG_FILE", ".aws/config"), file("AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials")];
        let profiles = profiles.into_iter().flatten().collect::<Vec<_>>().join("\n");
        ignored_settings(self.0.iter().filter_map(is_set), &profiles)
    }

    /// Whether a file is the journal's stream that systemd connected to this service.
    pub(crate) fn is_journal(&self, stat: &rustix::fs::Stat) -> bool {
        let named = self.get("JOURNAL_STREAM").and_then(OsStr::to_str).and_then(|text| text.split_once(':'));
        named.is_some_and(|(device, inode)| device.parse() == Ok(stat.st_dev) && inode.parse() == Ok(stat.st_ino))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_move_data_is_named_and_credentials_are_not() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("config");
        std::fs::write(&path, "[default]\nregion = us-east-1\naws_access_key_id = x\n").expect("a file");
        let set = |name: &str| (OsString::from(name), OsString::from("x"));
        let mut variables: BTreeMap<_, _> =
            ["AWS_ENDPOINT_URL_S3", "HTTPS_PROXY", "AWS_ACCESS_KEY_ID", "LANG"].into_iter().map(set).collect();
        variables.insert("AWS_ENDPOINT_URL".into(), OsString::new());
        variables.insert("AWS_CONFIG_FILE".into(), path.into());
        let ignored = Environment::new(variables).ignored();
        assert_eq!(ignored, ["AWS_ENDPOINT_URL_S3", "HTTPS_PROXY", "default: region"]);
    }
}
