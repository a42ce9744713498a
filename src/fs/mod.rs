//! The host's files: reading what is backed up, and writing what is restored. Knows the values of `format::node`,
//! nothing of repositories or chunks.
//!
//! **Source side.** [`SourceDir`] lists and stats relative to an open directory, so no path is built or resolved per
//! entry, and an entry can be replaced while it is looked at but never redirect the walk: nothing below a root
//! follows a symbolic link. [`SourceFile`] never opens anything but a regular file for reading (no hanging on a pipe)
//! and can say whether the file changed meanwhile. [`Excludes`] says what to leave out.
//!
//! **Restore side.** What a snapshot says is hostile input, and so are other users of the host. [`Target`] is the one
//! door: each name is checked again, directories are entered one by one from an open parent without following links,
//! a file is written under a temporary name and renamed, and all metadata is set through the open inode, never by
//! name. What could not be set is returned as a [`Warning`], never dropped. Not defended: somebody who may rename
//! directories *inside* the target can move an opened one elsewhere on the same file system, as with any program; see
//! [`Target::is_exposed`].
//!
//! Needs Linux 4.11 (`statx`); `openat2` (5.6) is used where there is one. Extended attributes, and modes of what
//! cannot be opened, need `/proc` for symbolic links and special files; without it they are warnings.

mod apply;
mod error;
mod exclude;
mod files_from;
mod flags;
mod holes;
mod in_place;
mod inode;
mod metadata;
mod new_file;
mod read;
mod remove;
mod source;
mod special;
mod stat;
mod stream;
mod target;
mod xattr;

pub use apply::{LocalIds, Ownership, RestoreOptions};
pub use error::{FsError, Operation, Result, Warning};
pub use exclude::{ExcludeOptions, Excludes, IfPresent};
pub use files_from::{parse_lines, parse_nul};
pub use flags::INODE_LOCKS;
pub use holes::Holes;
pub use in_place::PresentFile;
pub use metadata::{Owners, metadata};
pub use new_file::NewFile;
pub use read::SourceFile;
pub use remove::Removal;
pub use source::{DirEntry, SourceDir};
pub use special::Made;
pub use stat::{FileId, FileKind, Stat};
pub use stream::{SourceStream, StreamError, StreamSource};
pub use target::{Target, TargetDir};
pub use xattr::Xattrs;
