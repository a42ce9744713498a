//! What a restore is told, and what it tells.

use crate::id::SessionId;
use std::path::PathBuf;
use std::time::Duration;

/// What to do about what is in the target already. Directories are always merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overwrite {
    /// Replace it.
    #[default]
    Always,
    /// Leave a regular file alone whose length, time of last change, mode and, unless owners are ignored, owner are the
    /// recorded ones; replace everything else.
    IfChanged,
    /// Replace only what was last changed before the time in the snapshot.
    IfNewer,
    /// Leave it, directories' metadata included.
    Never,
}

/// What to restore, where to, and how.
#[derive(Debug, Clone, Default)]
pub struct RestoreOptions {
    /// Where to. Made if it is not there. Its own metadata is left alone, as in restic: it belongs to whoever restores.
    pub target: PathBuf,
    /// What: an absolute path in the snapshot. Empty or `/` is everything, which goes below the target under its absolute
    /// path; of another directory the entries go into the target; a single entry goes into the target under its name.
    pub path: Vec<u8>,
    /// Patterns as in `.gitignore`, matched against absolute paths in the snapshot: if there are any, only what they match
    /// is restored, with all below it and the directories that lead there.
    pub include: Vec<String>,
    /// As `include`, ignoring the case of ASCII letters.
    pub include_case_insensitive: Vec<String>,
    /// Patterns of what is left out, even if it is included.
    pub exclude: Vec<String>,
    /// As `exclude`, ignoring the case of ASCII letters.
    pub exclude_case_insensitive: Vec<String>,
    /// Files with patterns to include, one a line.
    pub include_files: Vec<PathBuf>,
    /// Files with patterns to leave out, one a line.
    pub exclude_files: Vec<PathBuf>,
    /// What to do about what is there already.
    pub overwrite: Overwrite,
    /// Change regular files where they are, writing only what differs, instead of replacing them.
    pub in_place: bool,
    /// Remove what is in the target and not in the snapshot, in directories that the snapshot has and below them. What is
    /// excluded or not included stays, and so does what is in directories on the way to a backed-up path.
    pub delete: bool,
    /// cairn's own repository, cache and state, which are never removed.
    pub own_paths: Vec<PathBuf>,
    /// Everything belongs to whoever restores.
    pub no_owner: bool,
    /// Owners are those of this host with the recorded names, where there are such; the recorded numbers otherwise.
    pub owners_by_name: bool,
    /// Make holes of zeros in every file, not only in those that had holes.
    pub sparse: bool,
    /// Read every restored file again and compare it with the snapshot.
    pub verify: bool,
    /// Say what would be done; nothing is written.
    pub dry_run: bool,
    /// Why, for the record.
    pub purpose: String,
}

/// Failures that are kept in a report; their number is complete.
pub const FAILURES_MAX: usize = 1000;

/// An entry that could not be restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryFailure {
    /// Its absolute path in the snapshot.
    pub path: Vec<u8>,
    /// What was tried and why it failed.
    pub message: String,
    /// Whether the repository is damaged, as opposed to the target being unwilling.
    pub is_damage: bool,
}

/// What a restore came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreReport {
    /// Which snapshot.
    pub snapshot: SessionId,
    /// Regular files written or linked.
    pub files_restored: u64,
    /// Regular files and other entries left as they were, by the overwrite rule.
    pub files_unchanged: u64,
    /// Of the files, further names of a file that was written once.
    pub hard_links: u64,
    /// Directories.
    pub directories: u64,
    /// Symbolic links, pipes and devices.
    pub others: u64,
    /// Sockets, which are never restored.
    pub sockets_skipped: u64,
    /// Entries that were removed because the snapshot has none of that name.
    pub removed: u64,
    /// Bytes of content of the files, holes included, further names not.
    pub bytes_restored: u64,
    /// Of these, bytes that were there already.
    pub bytes_unchanged: u64,
    /// Files that were read again and found to be right.
    pub files_verified: u64,
    /// Entries that could not be restored, or that verification found to be wrong.
    pub failed: u64,
    /// Of these, because of damage in the repository.
    pub damaged: u64,
    /// The first [`FAILURES_MAX`] of them.
    pub failures: Vec<EntryFailure>,
    /// Metadata that could not be set, owners aside.
    pub warnings: u64,
    /// Entries whose owner may not be set by whoever restores.
    pub owners_not_set: u64,
    /// How long it took.
    pub duration: Duration,
}
