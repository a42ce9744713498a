//! Where profiles are: `NAME.toml` in `/etc/cairn`, then in the user's configuration directory.
//!
//! A profile decides what is read, where it goes and which commands run, often as root. So a file that somebody else could
//! have written is not read at all.

use crate::environment::Environment;
use crate::exit::{Failure, Result};
use crate::profile::parse::Problem;
use rustix::fs::{Mode, OFlags};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// Where the system's profiles are.
const SYSTEM: &str = "/etc/cairn";
/// Longest file, in bytes.
const FILE_LEN_MAX: u64 = 1 << 20;
/// Longest name, in bytes: what fits into the name of a systemd unit, with room to spare.
const NAME_LEN_MAX: usize = 100;
/// Most profiles of one directory.
const PROFILES_MAX: usize = 10_000;

/// Refuses what is no name of a profile: it becomes part of file names and of names of units.
pub(crate) fn check_name(name: &str) -> Result<()> {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    let starts_well = name.as_bytes().first().is_some_and(|first| first.is_ascii_alphanumeric() || *first == b'_');
    if starts_well && name.len() <= NAME_LEN_MAX && name.bytes().all(is_word) {
        return Ok(());
    }
    Err(Failure::usage(
        format!("{name:?} is not the name of a profile"),
        "a name has letters, digits, - _ and ., and begins with a letter or digit; it names the file NAME.toml",
    ))
}

/// The directories that are searched, in this order.
#[derive(Debug, Clone)]
pub(crate) struct Directories(Vec<PathBuf>);

impl Directories {
    /// Those of this user.
    pub(crate) fn new(environment: &Environment) -> Result<Self> {
        let configuration = match environment.directory("XDG_CONFIG_HOME")? {
            Some(directory) => Some(directory),
            None => environment.directory("HOME")?.map(|home| home.join(".config")),
        };
        let own = configuration.map(|directory| directory.join("cairn"));
        Ok(Self([PathBuf::from(SYSTEM)].into_iter().chain(own).collect()))
    }

    /// Those of a test.
    #[cfg(test)]
    pub(crate) fn only(directory: &Path) -> Self {
        Self(vec![directory.to_owned()])
    }

    /// They, for people.
    pub(crate) fn shown(&self) -> String {
        self.0.iter().map(|directory| directory.display().to_string()).collect::<Vec<_>>().join(" or ")
    }

    /// The file of a profile.
    pub(crate) fn find(&self, name: &str) -> Option<PathBuf> {
        let files = self.0.iter().map(|directory| directory.join(format!("{name}.toml")));
        // One that cannot be looked at is found: reading it says why.
        files.into_iter().find(|file| !matches!(file.symlink_metadata(), Err(e) if is_absent(&e)))
    }

    /// Names of all profiles.
    ///
    /// # Errors
    /// Exit 1 if a directory is there and cannot be read.
    pub(crate) fn names(&self) -> Result<Vec<String>> {
        let mut names = BTreeSet::new();
        for directory in &self.0 {
            let failed =
                |error: &std::io::Error| Failure::io(format!("list profiles in {}", directory.display()), error);
            let entries = match std::fs::read_dir(directory) {
                Err(error) if is_absent(&error) => continue,
                entries => entries.map_err(|error| failed(&error))?,
            };
            for entry in entries.take(PROFILES_MAX) {
                let name = entry.map_err(|error| failed(&error))?.file_name();
                let stem = name.to_str().and_then(|name| name.strip_suffix(".toml"));
                names.extend(stem.filter(|stem| check_name(stem).is_ok()).map(str::to_owned));
            }
        }
        Ok(names.into_iter().collect())
    }
}

fn is_absent(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

/// A profile's text, if nobody but root and this user could have written it.
pub(crate) fn read(path: &Path) -> std::result::Result<String, Problem> {
    let problem = |what: String, remedy: &str| Problem { line: 0, what, remedy: remedy.to_owned() };
    let failed = |error: &std::io::Error| problem(format!("cannot be read: {error}"), "check who owns it and its mode");
    // Not waiting for a writer where the name is that of a pipe.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, Mode::empty()).map_err(|errno| failed(&errno.into()))?;
    let file = File::from(file);
    let metadata = file.metadata().map_err(|error| failed(&error))?;
    if !metadata.is_file() {
        return Err(problem("is no file".to_owned(), "a profile is a file"));
    }
    // The directory that has the name, and the one that has the file, which differ where there is a symbolic link.
    let real = path.canonicalize().map_err(|error| failed(&error))?;
    let mut looked_at = vec![(path.to_owned(), metadata)];
    for directory in [path.parent(), real.parent()].into_iter().flatten() {
        looked_at.push((directory.to_owned(), directory.metadata().map_err(|error| failed(&error))?));
    }
    let user = rustix::process::geteuid().as_raw();
    for (path, metadata) in &looked_at {
        let (path, mode) = (path.display(), metadata.permissions().mode() & 0o7777);
        if ![0, user].contains(&metadata.uid()) {
            let what = format!("others may write it: user {} owns {path}", metadata.uid());
            return Err(problem(what, "a profile decides what runs: it belongs to root or to the user who runs cairn"));
        }
        if mode & 0o022 != 0 {
            let what = format!("others may write it: {path} has mode {mode:04o}");
            return Err(problem(what, &format!("a profile decides what runs: chmod go-w {path}")));
        }
    }
    let mut bytes = Vec::new();
    file.take(FILE_LEN_MAX + 1).read_to_end(&mut bytes).map_err(|error| failed(&error))?;
    if bytes.len() as u64 > FILE_LEN_MAX {
        return Err(problem(format!("is longer than {FILE_LEN_MAX} bytes"), "is this another file?"));
    }
    String::from_utf8(bytes).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        Problem { line, what: "is not valid UTF-8".to_owned(), remedy: "a profile is a file in TOML".to_owned() }
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["web", "web-1", "a.b_c", "_x", "9"] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in ["", "-x", ".x", "a/b", "a b", "é", "a@b", &"x".repeat(101)] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_others_may_write_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.toml");
        std::fs::write(&path, "quiet = true\n").unwrap();
        let mode = |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        mode(&path, 0o644);
        assert_eq!(read(&path).unwrap(), "quiet = true\n");
        std::os::unix::fs::symlink("a.toml", dir.path().join("b.toml")).unwrap();
        assert!(read(&dir.path().join("b.toml")).is_ok());
        for (changed, bad, good) in [(&*path, 0o664, 0o644), (&*path, 0o646, 0o644), (dir.path(), 0o777, 0o700)] {
            mode(changed, bad);
            for name in ["a.toml", "b.toml"] {
                let problem = read(&dir.path().join(name)).unwrap_err();
                assert!(problem.what.contains("others may write") && problem.remedy.contains("chmod"), "{problem:?}");
            }
            mode(changed, good);
        }
        assert!(read(dir.path()).unwrap_err().what.contains("no file"));
        std::fs::write(&path, b"a\nb \xff\n").unwrap();
        assert_eq!(read(&path).unwrap_err().line, 2);
        std::fs::write(&path, vec![b'#'; FILE_LEN_MAX as usize + 1]).unwrap();
        assert!(read(&path).unwrap_err().what.contains("longer"));
    }

    #[test]
    fn the_first_directory_goes_first() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        let both = Directories(vec![dir.path().join("missing"), a.clone(), b.clone()]);
        for (directory, name) in [(&a, "x.toml"), (&b, "x.toml"), (&b, "y.toml"), (&b, "no"), (&b, ".z.toml")] {
            std::fs::create_dir_all(directory).unwrap();
            std::fs::write(directory.join(name), "").unwrap();
        }
        assert_eq!(both.find("x"), Some(a.join("x.toml")));
        assert_eq!(both.find("y"), Some(b.join("y.toml")));
        assert_eq!(both.find("z"), None);
        assert_eq!(both.names().unwrap(), ["x", "y"]);
    }
}
