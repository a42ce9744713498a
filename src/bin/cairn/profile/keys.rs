//! Which keys a profile may have: options of the command line that make sense where nobody watches.

use crate::args::Cli;
use crate::settings::parse_location;
use cairn::fs::{ExcludeOptions, Excludes, IfPresent};
use clap::Parser as _;
use clap::error::{ContextKind, ContextValue};
use std::ffi::OsStr;
use std::path::Path;

/// Most values of one list.
pub(crate) const VALUES_MAX: usize = 4096;

/// A table of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Section {
    /// What stands before any table: options of every command.
    Top,
    /// `[backup]`.
    Backup,
    /// `[check]`.
    Check,
    /// `[replicate]`.
    Replicate,
}

impl Section {
    /// Those with a heading.
    pub(crate) const TABLES: [Self; 3] = [Self::Backup, Self::Check, Self::Replicate];

    /// Its heading, which is its command's name; empty for the top.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Top => "",
            Self::Backup => "backup",
            Self::Check => "check",
            Self::Replicate => "replicate",
        }
    }

    /// Whether its runs can have hooks.
    pub(crate) fn has_hooks(self) -> bool {
        matches!(self, Self::Backup | Self::Check)
    }

    /// In words.
    pub(crate) fn shown(self) -> String {
        match self {
            Self::Top => "at the top".to_owned(),
            section => format!("in [{}]", section.name()),
        }
    }
}

/// What a value has to look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// `true` or `false`.
    Flag,
    /// A string.
    Text,
    /// A string with an absolute path.
    Path,
    /// A string that says where a repository is; a path is absolute.
    Location,
    /// A string, or a number of bytes.
    Size,
    /// A string or a list of them.
    Texts,
    /// The same, of absolute paths.
    Paths,
}

impl Shape {
    /// What is allowed, in words.
    pub(crate) fn allowed(self) -> &'static str {
        match self {
            Self::Flag => "true or false",
            Self::Text => "a string",
            Self::Path => "a string with an absolute path",
            Self::Location => "a string: an absolute path, or s3://SITE/BUCKET[/PREFIX]",
            Self::Size => "a number of bytes, or a string such as \"64M\"",
            Self::Texts => "a string or a list of strings",
            Self::Paths => "an absolute path or a list of them",
        }
    }
}

/// One key.
#[derive(Debug)]
pub(crate) struct Key {
    /// Where it stands.
    pub(crate) section: Section,
    /// Its name: that of the option, without dashes.
    pub(crate) name: &'static str,
    /// What its value has to look like.
    pub(crate) shape: Shape,
    /// Keys of one group exclude each other; empty for none.
    pub(crate) group: &'static str,
    /// Variables that go before it.
    pub(crate) variables: &'static [&'static str],
}

/// A value that was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    /// Of a switch.
    Flag(bool),
    /// One or more texts.
    Texts(Vec<String>),
}

const SECRETS: &[&str] = &["CAIRN_KEY_FILE", "CAIRN_PASSWORD_FILE", "CAIRN_PASSWORD_COMMAND", "CAIRN_PASSWORD"];

const fn key(section: Section, name: &'static str, shape: Shape) -> Key {
    Key { section, name, shape, group: "", variables: &[] }
}

const fn of(group: &'static str, variables: &'static [&'static str], key: Key) -> Key {
    Key { group, variables, ..key }
}

/// All keys but `inherit` and the hooks.
pub(crate) static KEYS: &[Key] = &[
    of("", &["CAIRN_REPOSITORY"], key(Section::Top, "repository", Shape::Location)),
    of("secret", SECRETS, key(Section::Top, "key-file", Shape::Path)),
    of("secret", SECRETS, key(Section::Top, "password-file", Shape::Path)),
    of("secret", SECRETS, key(Section::Top, "password-command", Shape::Text)),
    of("cache", &["CAIRN_CACHE_DIR"], key(Section::Top, "cache-dir", Shape::Path)),
    of("cache", &["CAIRN_CACHE_DIR"], key(Section::Top, "no-cache", Shape::Flag)),
    of("", &["CAIRN_STATE_DIR"], key(Section::Top, "state-dir", Shape::Path)),
    of("", &["CAIRN_MEMORY"], key(Section::Top, "memory", Shape::Size)),
    key(Section::Top, "cacert", Shape::Path),
    key(Section::Top, "limit-upload", Shape::Size),
    key(Section::Top, "limit-download", Shape::Size),
    key(Section::Top, "metrics-file", Shape::Path),
    of("verbosity", &[], key(Section::Top, "quiet", Shape::Flag)),
    key(Section::Top, "no-progress", Shape::Flag),
    key(Section::Backup, "paths", Shape::Paths),
    key(Section::Backup, "files-from", Shape::Paths),
    key(Section::Backup, "files-from0", Shape::Paths),
    key(Section::Backup, "compression", Shape::Text),
    key(Section::Backup, "ignore-ctime", Shape::Flag),
    key(Section::Backup, "ignore-inode", Shape::Flag),
    key(Section::Backup, "tag", Shape::Texts),
    key(Section::Backup, "host", Shape::Text),
    key(Section::Backup, "exclude", Shape::Texts),
    key(Section::Backup, "iexclude", Shape::Texts),
    key(Section::Backup, "exclude-file", Shape::Paths),
    key(Section::Backup, "exclude-caches", Shape::Flag),
    key(Section::Backup, "exclude-if-present", Shape::Texts),
    key(Section::Backup, "exclude-larger-than", Shape::Size),
    key(Section::Backup, "one-file-system", Shape::Flag),
    key(Section::Backup, "skip-if-unchanged", Shape::Flag),
    key(Section::Backup, "purpose", Shape::Text),
    key(Section::Check, "read-data", Shape::Flag),
    key(Section::Check, "site", Shape::Text),
    key(Section::Check, "purpose", Shape::Text),
    key(Section::Replicate, "to", Shape::Location),
    key(Section::Replicate, "to-aws-profile", Shape::Text),
    key(Section::Replicate, "pin", Shape::Text),
    key(Section::Replicate, "widen-pin", Shape::Flag),
    key(Section::Replicate, "deny-us-parent", Shape::Flag),
];

impl Key {
    /// The key of this name.
    pub(crate) fn find(section: Section, name: &str) -> Option<&'static Self> {
        KEYS.iter().find(|key| key.section == section && key.name == name)
    }

    /// As arguments.
    pub(crate) fn arguments(&self, value: &Value) -> Vec<String> {
        match value {
            Value::Flag(false) => Vec::new(),
            Value::Flag(true) => vec![format!("--{}", self.name)],
            // Absolute, so that none looks like an option.
            Value::Texts(paths) if self.name == "paths" => paths.clone(),
            Value::Texts(texts) => texts.iter().map(|text| format!("--{}={text}", self.name)).collect(),
        }
    }

    /// The name of the argument among clap's.
    pub(crate) fn id(&self) -> String {
        self.name.replace('-', "_")
    }

    /// What is wrong with one text as its value.
    pub(crate) fn wrong(&self, text: &str) -> Option<String> {
        let is_path = matches!(self.shape, Shape::Path | Shape::Paths)
            || (self.shape == Shape::Location && !text.contains(':'))
            || text.starts_with("file:");
        let path = text.strip_prefix("file:").unwrap_or(text);
        if is_path && !Path::new(path).is_absolute() {
            return Some(format!("{text:?} is not an absolute path"));
        }
        let arguments = self.arguments(&Value::Texts(vec![text.to_owned()]));
        let command = if self.section == Section::Top { "version" } else { self.section.name() };
        // What the command cannot do without.
        let needed: &[&str] = match (self.section, self.name) {
            (Section::Backup, "paths") => &[],
            (Section::Backup, _) => &["/"],
            (Section::Replicate, "to") => &[],
            (Section::Replicate, "widen-pin") => &["--to=/", "--pin=CA"],
            (Section::Replicate, _) => &["--to=/"],
            _ => &[],
        };
        let all = ["cairn", command].into_iter().chain(arguments.iter().map(String::as_str));
        if let Err(error) = Cli::try_parse_from(all.chain(needed.iter().copied())) {
            return Some(reason(&error));
        }
        let failed = |error: cairn::fs::FsError| Some(crate::exit::chain(&error));
        match self.name {
            "repository" | "to" => parse_location(OsStr::new(text)).err().map(|failure| failure.message),
            "exclude-if-present" => IfPresent::parse(OsStr::new(text)).err().and_then(failed),
            "exclude" | "iexclude" => {
                let options = ExcludeOptions { patterns: vec![text.to_owned()], ..ExcludeOptions::default() };
                Excludes::new(&options).err().and_then(failed)
            }
            _ => None,
        }
    }
}

/// What a parser of the command line says of a value, without the command line around it.
fn reason(error: &clap::Error) -> String {
    if let Some(source) = std::error::Error::source(error) {
        return source.to_string();
    }
    let value = error.get(ContextKind::InvalidValue).map(ToString::to_string).unwrap_or_default();
    if let Some(ContextValue::Strings(allowed)) = error.get(ContextKind::ValidValue) {
        return format!("{value:?} is none of {}", allowed.join(", "));
    }
    let rendered = error.render().to_string();
    let first = rendered.lines().next().unwrap_or_default();
    let reason = first.strip_prefix("error: ").unwrap_or(first);
    reason.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn every_key_is_an_option_of_its_command() {
        let mut cli = Cli::command();
        cli.build();
        for key in KEYS {
            let command = match key.section {
                Section::Top => &cli,
                section => cli.find_subcommand(section.name()).expect("the section is a command"),
            };
            let argument = command.get_arguments().find(|argument| argument.get_id().as_str() == key.id());
            let argument = argument.unwrap_or_else(|| panic!("{} is no argument", key.name));
            let takes_values = argument.get_action().takes_values();
            assert_eq!(takes_values, key.shape != Shape::Flag, "{}", key.name);
            let is_many = matches!(argument.get_action(), clap::ArgAction::Append);
            assert_eq!(is_many, matches!(key.shape, Shape::Texts | Shape::Paths), "{}", key.name);
        }
    }

    #[test]
    fn values_are_held_against_the_options() {
        for (section, name, good, bad) in [
            (Section::Top, "repository", "/srv/x", "srv/x"),
            (Section::Top, "repository", "s3://aws:ca-central-1/b", "sftp:host:/x"),
            (Section::Top, "memory", "64M", "lots"),
            (Section::Top, "limit-upload", "1M", "0"),
            (Section::Top, "key-file", "/k", "k"),
            (Section::Backup, "compression", "19", "20"),
            (Section::Backup, "paths", "/etc", "etc"),
            (Section::Backup, "exclude", "*.o", "a[b"),
            (Section::Backup, "exclude-larger-than", "1G", "-1"),
            (Section::Replicate, "to", "/replica", "replica"),
            (Section::Replicate, "pin", "QC", "US"),
        ] {
            let key = Key::find(section, name).expect("a key");
            assert_eq!(key.wrong(good), None, "{name}");
            let why = key.wrong(bad).unwrap_or_else(|| panic!("{name} = {bad} is taken"));
            assert!(why.contains(bad) && !why.contains("error:"), "{name}: {why}");
        }
    }
}
