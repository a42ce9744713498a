//! What a profile comes to with all that it inherits, and where each value is from.
//!
//! What a file says replaces what it inherits, key by key; of several parents the later one counts. A list is replaced, not
//! added to, so that a value can be read in one place.

use crate::exit::{Exit, Failure};
use crate::profile::find::{self, Directories, check_name};
use crate::profile::keys::{Key, Section, Value};
use crate::profile::parse::{Call, Document, Hook, HookKind, Problem, parse};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// How deep inheritance may go.
const DEPTH_MAX: usize = 8;
/// Most files that are read for one profile.
const FILES_MAX: usize = 32;

/// Where a value is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin {
    /// The file.
    pub(crate) file: PathBuf,
    /// The line in it.
    pub(crate) line: usize,
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.line {
            0 => write!(f, "{}", self.file.display()),
            line => write!(f, "{}:{line}", self.file.display()),
        }
    }
}

/// A profile that is valid.
#[derive(Debug, Clone, Default)]
pub(crate) struct Profile {
    /// Its name.
    pub(crate) name: String,
    /// Its own file first, then those that it inherits from.
    pub(crate) files: Vec<PathBuf>,
    settings: BTreeMap<(Section, &'static str), (Value, Origin)>,
    hooks: BTreeMap<(Section, HookKind), (Hook, Origin)>,
}

impl Profile {
    /// What it says of a key.
    pub(crate) fn get(&self, key: &Key) -> Option<&(Value, Origin)> {
        self.settings.get(&(key.section, key.name))
    }

    /// The first text of a key.
    pub(crate) fn text(&self, section: Section, name: &'static str) -> Option<&str> {
        match self.settings.get(&(section, name)) {
            Some((Value::Texts(texts), _)) => texts.first().map(String::as_str),
            _ => None,
        }
    }

    /// The hook of a command, if there is one.
    pub(crate) fn hook(&self, section: Section, kind: HookKind) -> Option<&(Hook, Origin)> {
        self.hooks.get(&(section, kind)).filter(|(hook, _)| hook.call != Call::Nothing)
    }

    fn add(&mut self, document: Document, file: &Path) {
        let origin = |line| Origin { file: file.to_owned(), line };
        for (key, ..) in &document.settings {
            // Of a group that excludes each other the nearest counts.
            self.settings.retain(|(section, name), _| {
                let other = Key::find(*section, name).map_or("", |other| other.group);
                key.group.is_empty() || other != key.group
            });
        }
        for (key, value, line) in document.settings {
            self.settings.insert((key.section, key.name), (value, origin(line)));
        }
        for (section, kind, hook, line) in document.hooks {
            self.hooks.insert((section, kind), (hook, origin(line)));
        }
    }
}

/// Why a profile cannot be used.
#[derive(Debug)]
pub(crate) struct Invalid {
    /// Its name.
    pub(crate) name: String,
    /// The files that were read.
    pub(crate) files: Vec<PathBuf>,
    /// Every problem, and where it is.
    pub(crate) problems: Vec<(Origin, Problem)>,
}

impl From<Invalid> for Failure {
    fn from(invalid: Invalid) -> Self {
        let line = |(origin, problem): &(Origin, Problem)| format!("{origin}: {}", problem.what);
        match &invalid.problems[..] {
            [one] => Self::new(Exit::Usage, "profile", line(one), one.1.remedy.clone()),
            many => {
                let lines: Vec<String> =
                    many.iter().map(|one| format!("\n  {} ({})", line(one), one.1.remedy)).collect();
                let message = format!("cannot use profile {}:{}", invalid.name, lines.concat());
                Self::new(Exit::Usage, "profile", message, "correct each line, then `cairn profile check`")
            }
        }
    }
}

/// Reads a profile and all that it inherits.
///
/// # Errors
/// Every problem of every file.
pub(crate) fn load(directories: &Directories, name: &str) -> Result<Profile, Invalid> {
    let mut loader =
        Loader { directories, profile: Profile::default(), problems: Vec::new(), reading: Vec::new(), reads: 0 };
    loader.profile.name = name.to_owned();
    match (check_name(name), directories.find(name)) {
        (Err(failure), _) => loader.problem(&Origin { file: name.into(), line: 0 }, failure.message, failure.hint),
        (Ok(()), Some(file)) => loader.file(name, file),
        (Ok(()), None) => {
            let file = PathBuf::from(format!("{name}.toml"));
            let what = format!("there is no profile {name}: no file of this name in {}", directories.shown());
            loader.problem(&Origin { file, line: 0 }, what, "`cairn profile check` lists the profiles".to_owned());
        }
    }
    if loader.problems.is_empty() {
        return Ok(loader.profile);
    }
    Err(Invalid { name: name.to_owned(), files: loader.profile.files, problems: loader.problems })
}

struct Loader<'a> {
    directories: &'a Directories,
    profile: Profile,
    problems: Vec<(Origin, Problem)>,
    /// Names on the way to the file that is being read.
    reading: Vec<String>,
    /// Files read, each as often as it was.
    reads: usize,
}

impl Loader<'_> {
    fn problem(&mut self, origin: &Origin, what: String, remedy: String) {
        let problem = Problem { line: origin.line, what, remedy };
        if !self.problems.iter().any(|known| known.0 == *origin && known.1 == problem) {
            self.problems.push((origin.clone(), problem));
        }
    }

    fn file(&mut self, name: &str, file: PathBuf) {
        let document = match find::read(&file) {
            Ok(text) => parse(&text),
            Err(problem) => Document { problems: vec![problem], ..Document::default() },
        };
        if !self.profile.files.contains(&file) {
            self.profile.files.push(file.clone());
        }
        for Problem { line, what, remedy } in &document.problems {
            self.problem(&Origin { file: file.clone(), line: *line }, what.clone(), remedy.clone());
        }
        self.reads += 1;
        self.reading.push(name.to_owned());
        for (parent, line) in &document.inherit {
            let origin = Origin { file: file.clone(), line: *line };
            if let Some(at) = self.reading.iter().position(|other| other == parent) {
                let way = [&self.reading[at..], std::slice::from_ref(parent)].concat().join(" -> ");
                self.problem(
                    &origin,
                    format!("profiles inherit in a circle: {way}"),
                    "take one of them out".to_owned(),
                );
            } else if self.reading.len() >= DEPTH_MAX || self.reads >= FILES_MAX {
                let limit = format!("at most {DEPTH_MAX} deep, and {FILES_MAX} files");
                self.problem(&origin, format!("inheriting {parent:?} goes too far"), limit);
            } else if let Err(failure) = check_name(parent) {
                self.problem(&origin, format!("inherit: {}", failure.message), failure.hint);
            } else if let Some(file) = self.directories.find(parent) {
                self.file(parent, file);
            } else {
                let what = format!("there is no profile {parent} to inherit from");
                self.problem(&origin, what, format!("{parent}.toml has to be in {}", self.directories.shown()));
            }
        }
        self.reading.pop();
        self.profile.add(document, &file);
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn profiles(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(dir.path().join(format!("{name}.toml")), text).unwrap();
        }
        dir
    }

    fn problems(files: &[(&str, &str)], name: &str) -> Vec<String> {
        let dir = profiles(files);
        let invalid = load(&Directories::only(dir.path()), name).unwrap_err();
        let shown = |(origin, problem): &(Origin, Problem)| {
            format!("{}:{} {}", origin.file.file_name().unwrap().display(), origin.line, problem.what)
        };
        invalid.problems.iter().map(shown).collect()
    }

    #[test]
    fn the_nearest_counts() {
        let dir = profiles(&[
            (
                "base",
                "memory = \"64M\"\nkey-file = \"/base\"\n[backup]\nexclude = [\"a\", \"b\"]\ntag = \"base\"\n\
                      [backup.hooks]\nbefore = \"base\"\nafter = \"base\"\n",
            ),
            ("other", "inherit = \"base\"\nmemory = \"32M\"\n"),
            (
                "web",
                "inherit = [\"base\", \"other\"]\npassword-file = \"/web\"\n[backup]\nexclude = \"c\"\n\
                     [backup.hooks]\nbefore = false\n",
            ),
        ]);
        let profile = load(&Directories::only(dir.path()), "web").unwrap();
        assert_eq!(profile.text(Section::Top, "memory"), Some("32M"));
        assert_eq!(profile.text(Section::Top, "password-file"), Some("/web"));
        assert_eq!(profile.text(Section::Top, "key-file"), None);
        assert_eq!(profile.text(Section::Backup, "tag"), Some("base"));
        let (exclude, origin) = profile.get(Key::find(Section::Backup, "exclude").unwrap()).unwrap();
        assert_eq!(*exclude, Value::Texts(vec!["c".to_owned()]));
        assert_eq!((origin.file.clone(), origin.line), (dir.path().join("web.toml"), 4));
        assert!(profile.hook(Section::Backup, HookKind::Before).is_none());
        assert!(profile.hook(Section::Backup, HookKind::After).is_some());
        assert_eq!(profile.files.len(), 3);
    }

    #[test]
    fn inheritance_has_bounds() {
        assert_eq!(
            problems(&[("a", "inherit = \"b\""), ("b", "\ninherit = \"a\"")], "a"),
            ["b.toml:2 profiles inherit in a circle: a -> b -> a"]
        );
        assert_eq!(problems(&[("a", "inherit = \"a\"")], "a"), ["a.toml:1 profiles inherit in a circle: a -> a"]);
        assert_eq!(problems(&[("a", "inherit = \"x\"")], "a"), ["a.toml:1 there is no profile x to inherit from"]);
        assert_eq!(problems(&[("a", "inherit = \"../x\"")], "a").len(), 1);
        assert!(problems(&[], "a")[0].contains("there is no profile a"));
        assert!(problems(&[], "../a")[0].contains("is not the name"));
        let chain: Vec<(String, String)> =
            (0..12).map(|at| (format!("p{at}"), format!("inherit = \"p{}\"", at + 1))).collect();
        let chain: Vec<(&str, &str)> = chain.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        assert_eq!(problems(&chain, "p0"), ["p7.toml:1 inheriting \"p8\" goes too far"]);
        // Of one name sixteen times at each of eight levels nothing may come that takes for ever.
        let wide = |to: &str| format!("inherit = [{}]", vec![format!("\"{to}\""); 16].join(", "));
        let files: Vec<(String, String)> = (0..8).map(|at| (format!("w{at}"), wide(&format!("w{}", at + 1)))).collect();
        let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        assert!(!problems(&files, "w0").is_empty());
    }

    #[test]
    fn all_problems_are_told_at_once() {
        let dir = profiles(&[("a", "inherit = \"b\"\nx = 1\n"), ("b", "y = 1\n")]);
        let failure = Failure::from(load(&Directories::only(dir.path()), "a").unwrap_err());
        assert_eq!((failure.exit, failure.kind), (Exit::Usage, "profile"));
        assert!(failure.message.contains("a.toml:2: unknown key \"x\""), "{}", failure.message);
        assert!(failure.message.contains("b.toml:1: unknown key \"y\""), "{}", failure.message);
    }
}
