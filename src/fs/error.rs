//! What went wrong with a host file: what was tried, on which path, and why. Paths are bytes and are shown with control
//! characters escaped, since their owner may not be the one who reads the message.

use rustix::io::Errno;
use std::fmt;
use std::io;
use std::path::PathBuf;

/// Result of an operation on host files.
pub type Result<T> = std::result::Result<T, FsError>;

/// What was tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each is named after what it does and has its text below")]
pub enum Operation {
    OpenDirectory,
    List,
    Stat,
    ReadLink,
    Open,
    Read,
    ListXattrs,
    ReadXattr,
    CreateDirectory,
    CreateFile,
    CreateSymlink,
    CreateSpecial,
    Write,
    SetLength,
    Rename,
    HardLink,
    Remove,
    SetOwner,
    SetMode,
    SetXattr,
    RemoveXattr,
    SetTimes,
    ReadFlags,
    SetFlags,
}

impl Operation {
    fn text(self) -> &'static str {
        match self {
            Self::OpenDirectory => "open directory",
            Self::List => "list",
            Self::Stat => "read the metadata of",
            Self::ReadLink => "read the link",
            Self::Open => "open",
            Self::Read => "read",
            Self::ListXattrs => "list the extended attributes of",
            Self::ReadXattr => "read an extended attribute of",
            Self::CreateDirectory => "create directory",
            Self::CreateFile => "create",
            Self::CreateSymlink => "create symbolic link",
            Self::CreateSpecial => "create special file",
            Self::Write => "write",
            Self::SetLength => "set the length of",
            Self::Rename => "rename into place",
            Self::HardLink => "create hard link",
            Self::Remove => "remove",
            Self::SetOwner => "set the owner of",
            Self::SetMode => "set the mode of",
            Self::SetXattr => "set an extended attribute of",
            Self::RemoveXattr => "remove an extended attribute of",
            Self::SetTimes => "set the times of",
            Self::ReadFlags => "read the inode flags of",
            Self::SetFlags => "set inode flags of",
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

/// A failed operation on a host file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FsError {
    /// The system refused.
    #[error("cannot {operation} {}", shown(.path))]
    Io {
        /// What was tried.
        operation: Operation,
        /// On what.
        path: Vec<u8>,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It was replaced by something of another type since it was listed.
    #[error("{} changed its type meanwhile", shown(.path))]
    Changed {
        /// Of what.
        path: Vec<u8>,
    },
    /// A name with a slash or a NUL, `.`, `..`, or one that is empty or too long.
    #[error("{} cannot be the name of a directory entry", shown(.name))]
    BadName {
        /// The name.
        name: Vec<u8>,
    },
    /// A symbolic link's target that no symbolic link can have.
    #[error("the target of the symbolic link {} is empty, too long or has a NUL", shown(.path))]
    BadLinkTarget {
        /// The link.
        path: Vec<u8>,
    },
    /// A directory with entries stands where a file has to go.
    #[error("a directory that is not empty is in the way of {}", shown(.path))]
    DirectoryInTheWay {
        /// The file.
        path: Vec<u8>,
    },
    /// Something under that name is not what this restore just made there: somebody interferes.
    #[error("{} was replaced by somebody else while it was being restored", shown(.path))]
    Replaced {
        /// Of what.
        path: Vec<u8>,
    },
    /// A type of file that cannot be made, or that the host shows and nobody knows.
    #[error("{} is {what}", shown(.path))]
    UnknownType {
        /// Of what.
        path: Vec<u8>,
        /// Which type.
        what: &'static str,
    },
    /// A directory that is not removed, whatever was asked for.
    #[error("{} is {what}: it was not removed", shown(.path))]
    Spared {
        /// The directory.
        path: Vec<u8>,
        /// Why not.
        what: &'static str,
    },
    /// A path that has to be absolute is not.
    #[error("{} is not an absolute path", shown(.path))]
    NotAbsolute {
        /// The path.
        path: Vec<u8>,
    },
    /// An exclude pattern that cannot be used.
    #[error("bad exclude pattern `{pattern}`{}: {reason}", origin_text(.origin))]
    Pattern {
        /// The pattern as written.
        pattern: String,
        /// File and line, if it came from a file.
        origin: Option<(PathBuf, usize)>,
        /// What is wrong.
        reason: String,
    },
    /// A list of sources that cannot be used.
    #[error("bad list of files {list}{}: {reason}", entry_text(.entry))]
    FileList {
        /// The list, as the user named it.
        list: String,
        /// Which entry, from 1; 0 for the whole list.
        entry: usize,
        /// What is wrong.
        reason: &'static str,
    },
}

impl FsError {
    pub(super) fn io(operation: Operation, path: impl Into<Vec<u8>>, source: impl Into<io::Error>) -> Self {
        Self::Io { operation, path: path.into(), source: source.into() }
    }

    /// Whether the entry went away between listing and looking at it: no error of a backup, only a note.
    pub fn is_vanished(&self) -> bool {
        let Self::Io { source, .. } = self else { return false };
        let gone = [Errno::NOENT, Errno::NOTDIR, Errno::STALE];
        source.raw_os_error().is_some_and(|code| gone.iter().any(|errno| errno.raw_os_error() == code))
    }

    /// Whether the entry was replaced by one of another type meanwhile. Looking again may help.
    pub fn is_changed(&self) -> bool {
        matches!(self, Self::Changed { .. })
    }

    /// What kind of system error it was, if it was one.
    pub fn io_kind(&self) -> Option<io::ErrorKind> {
        match self {
            Self::Io { source, .. } => Some(source.kind()),
            _ => None,
        }
    }
}

/// Something about a file that could not be read or set, while the file itself was. To be counted and shown, not to
/// stop for.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} {}{}", shown(.path), attribute_text(.attribute))]
pub struct Warning {
    /// What was tried.
    pub operation: Operation,
    /// On what.
    pub path: Vec<u8>,
    /// Name of the extended attribute; empty if it is not about one.
    pub attribute: Vec<u8>,
    /// Why not.
    #[source]
    pub source: io::Error,
}

fn attribute_text(attribute: &[u8]) -> String {
    if attribute.is_empty() { String::new() } else { format!(" ({})", shown(attribute)) }
}

fn origin_text(origin: &Option<(PathBuf, usize)>) -> String {
    origin.as_ref().map_or_else(String::new, |(file, line)| format!(" in {} line {line}", file.display()))
}

fn entry_text(entry: &usize) -> String {
    if *entry == 0 { String::new() } else { format!(", entry {entry}") }
}

/// Bytes as text for a message: lossy, in backquotes, control characters escaped.
fn shown(bytes: &[u8]) -> String {
    let mut text = String::from("`");
    for c in String::from_utf8_lossy(bytes).chars() {
        if c.is_control() { text.extend(c.escape_default()) } else { text.push(c) }
    }
    text.push('`');
    text
}

/// `parent/name` for a message.
pub(super) fn joined(parent: &[u8], name: &[u8]) -> Vec<u8> {
    let mut path = Vec::with_capacity(parent.len() + 1 + name.len());
    path.extend_from_slice(parent);
    if !parent.ends_with(b"/") {
        path.push(b'/');
    }
    path.extend_from_slice(name);
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_on_which_path_and_hides_terminal_escapes() {
        let error = FsError::io(Operation::List, b"/a\x1b[2J\xff".as_slice(), Errno::ACCESS);
        assert_eq!(error.to_string(), "cannot list `/a\\u{1b}[2J\u{fffd}`");
        assert_eq!(error.io_kind(), Some(io::ErrorKind::PermissionDenied));
        assert!(!error.is_vanished());
        assert!(FsError::io(Operation::Stat, b"x".as_slice(), Errno::NOENT).is_vanished());
    }
}
