//! What a diff is told, and what it tells.

use crate::engine::diff::contents::Volume;
use crate::engine::diff::pair::Change;
use crate::repository::RepositoryError;

/// What to look for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DiffOptions {
    /// Changes of metadata alone too.
    pub metadata: bool,
}

/// How much is only on one side.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Side {
    /// Regular files.
    pub files: u64,
    /// Directories.
    pub directories: u64,
    /// Anything else.
    pub others: u64,
    /// Bytes of content of these files.
    pub file_bytes: u64,
    /// Chunks and trees of what is different that the other side has not in what is different; `None` if they were too many
    /// to count in the memory there is.
    pub volume: Option<Volume>,
}

/// What a diff came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DiffReport {
    /// Files whose content changed.
    pub changed_files: u64,
    /// Entries of which only metadata changed, if that was looked for.
    pub changed_metadata: u64,
    /// Entries that became something of another type.
    pub changed_types: u64,
    /// What is on the first side only.
    pub removed: Side,
    /// What is on the second side only.
    pub added: Side,
    /// Directories that could not be compared.
    pub damaged: u64,
}

/// Something that a diff found.
#[derive(Debug)]
pub enum Step<'a> {
    /// A difference.
    Change(Change<'a>),
    /// The directory at this path cannot be read on one side or both.
    Damaged(&'a [u8], RepositoryError),
}
