//! The host's files: reading what is backed up, and writing what is restored. Knows the values of `format::node`,
//! nothing of repositories or chunks.
//!
//! **Source side.** [`SourceDir`] lists and stats relative to an open directory, so no path is built or resolved per
//! entry, and an entry can be replaced while it is looked at but never redirect the walk: nothing below a root
//! follows a symbolic link. [`SourceFile`] never opens anything but a regular file for reading (no hanging on a pipe)
//! and can say whether the file changed meanwhile. [`Excludes`] says what to leave out.
//!
//! Needs Linux 4.11 (`statx`); `openat2` (5.6) is used where there is one. Extended attributes, and modes of what
//! cannot be opened, need `/proc` for symbolic links and special files; without it they are warnings.

mod error;
mod exclude;
mod files_from;
mod inode;
mod metadata;
mod read;
mod source;
mod stat;
mod xattr;

pub use error::{FsError, Operation, Result, Warning};
pub use exclude::{ExcludeOptions, Excludes, IfPresent};
pub use files_from::{parse_lines, parse_nul};
pub use metadata::{Owners, metadata};
pub use read::SourceFile;
pub use source::{DirEntry, SourceDir};
pub use stat::{FileId, FileKind, Stat};
pub use xattr::Xattrs;
