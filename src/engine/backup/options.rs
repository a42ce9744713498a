//! What a backup is told, and what it tells.

use crate::clock::Timestamp;
use crate::codec::Level;
use crate::crypto::sign::Identity;
use crate::engine::backup::source::Sources;
use crate::format::cell::{CellEntries, Failure, Statistics};
use crate::fs::ExcludeOptions;
use crate::id::{SessionId, TreeId};
use crate::repository::pack_writer::PackSize;
use std::sync::Arc;
use std::time::Duration;

/// What and how to back up.
#[derive(Debug)]
pub struct BackupOptions {
    /// What is backed up.
    pub sources: Sources,
    /// What to leave out. Patterns are kept in the snapshot.
    pub excludes: ExcludeOptions,
    /// Stay on the file system of each source.
    pub one_file_system: bool,
    /// How hard to compress.
    pub compression: Level,
    /// Host name of the snapshot.
    pub host_name: String,
    /// User name of the snapshot.
    pub user_name: String,
    /// Tags.
    pub tags: Vec<String>,
    /// Time of the snapshot, if not now.
    pub time: Option<Timestamp>,
    /// Why the run is made.
    pub purpose: String,
    /// Version of the program, for the record.
    pub program_version: String,
    /// This host's identity, which signs.
    pub identity: Arc<Identity>,
    /// The snapshot to compare with; by default this host's last one of the same paths.
    pub parent: Option<SessionId>,
    /// Read every file, whatever the parent says.
    pub force: bool,
    /// Do not compare change times.
    pub ignore_ctime: bool,
    /// Do not compare inode numbers.
    pub ignore_inode: bool,
    /// Report what would be stored, and store nothing.
    pub dry_run: bool,
    /// Make no snapshot if it would equal the parent.
    pub skip_if_unchanged: bool,
    /// Go on when a source is missing, or empty where the parent had entries.
    pub allow_empty_source: bool,
    /// A checkpoint is committed this often.
    pub checkpoint_every: Duration,
    /// Pack sizes for contents and trees; default if `None`.
    pub pack_sizes: Option<[PackSize; 2]>,
}

/// What a backup came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupReport {
    /// The snapshot; `None` for a dry run, or when nothing changed and none was wanted.
    pub snapshot: Option<SessionId>,
    /// What the snapshot says of itself.
    pub entries: Option<CellEntries>,
    /// What it was compared with.
    pub parent: Option<SessionId>,
    /// Root tree.
    pub tree: TreeId,
    /// Counts.
    pub statistics: Statistics,
    /// The first failures; their number is in the statistics.
    pub failures: Vec<Failure>,
    /// Packs taken over from interrupted runs.
    pub adopted_packs: u64,
    /// Checkpoints committed on the way.
    pub checkpoints: u64,
    /// How long it took.
    pub duration: Duration,
}
