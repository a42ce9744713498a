//! What a check is told, and what it tells.

use crate::engine::check::subset::Subset;
use crate::engine::context::chain;
use crate::id::SessionId;
use crate::repository::RepositoryError;
use std::collections::BTreeSet;
use std::time::Duration;

/// What to check.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CheckOptions {
    /// Read every pack wholly: recompute every hash, open every blob.
    pub read_data: bool,
    /// Of the packs only these, if `read_data`; `None` for all.
    pub subset: Option<Subset>,
    /// Why, for the record.
    pub purpose: String,
}

/// Problems of each kind that are kept in a report; their number is complete.
pub const PROBLEMS_MAX: usize = 1000;
/// Affected paths named of each problem.
pub const PATHS_MAX: usize = 20;
/// Affected snapshots named of each problem.
pub const SNAPSHOTS_MAX: usize = 100;

/// Something that is not as it should be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Problem {
    /// Name of the object, or of what it holds.
    pub object: String,
    /// Where in the object, in bytes.
    pub offset: Option<u64>,
    /// What is wrong.
    pub what: String,
    /// Snapshots that need what is damaged, up to [`SNAPSHOTS_MAX`], as far as can be told.
    pub snapshots: Vec<SessionId>,
    /// Paths in them that need it, up to [`PATHS_MAX`]; a directory if its entries cannot be read.
    pub paths: Vec<Vec<u8>>,
}

impl Problem {
    /// A problem of an object.
    pub(super) fn new(object: impl Into<String>, what: impl Into<String>) -> Self {
        Self { object: object.into(), what: what.into(), ..Self::default() }
    }

    /// What an error says; `object` is named if the error names none.
    pub(super) fn of(object: impl Into<String>, error: &RepositoryError) -> Self {
        match error {
            RepositoryError::Damaged { object, source } => Self::new(object.clone(), chain(source)),
            RepositoryError::Storage(error) => Self::new(error.subject.clone(), error.to_string()),
            other => Self::new(object, chain(other)),
        }
    }
}

/// How much was checked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CheckCounts {
    /// Key slots.
    pub slots: u64,
    /// Snapshots.
    pub snapshots: u64,
    /// Checkpoints.
    pub checkpoints: u64,
    /// Declarations of sites and policies.
    pub sites: u64,
    /// Sessions.
    pub sessions: u64,
    /// Index segments in use.
    pub segments: u64,
    /// Packs in the index.
    pub packs: u64,
    /// Packs that are in no segment: of interrupted runs, to be taken over by the next one of the same host.
    pub unreferenced_packs: u64,
    /// Blobs in the index.
    pub blobs: u64,
    /// Distinct chunks, trees and lists in the index.
    pub chunks: u64,
    /// Stored bytes of the packs in the index.
    pub pack_bytes: u64,
    /// Directories and pages whose content was read.
    pub trees: u64,
    /// Regular files in them; one that is in several directories' trees counts in each.
    pub files: u64,
    /// Chunks of these files that were looked up.
    pub references: u64,
    /// Packs that were to be read wholly.
    pub packs_read: u64,
    /// Stored bytes that were read wholly.
    pub bytes_read: u64,
    /// Blobs that were opened, and every chunk of them hashed.
    pub blobs_read: u64,
    /// Chunks, trees and lists in these.
    pub chunks_read: u64,
    /// Plaintext bytes of these.
    pub plain_bytes_read: u64,
}

/// What a check came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// Damage, the first [`PROBLEMS_MAX`].
    pub problems: Vec<Problem>,
    /// All damage.
    pub problem_count: u64,
    /// What should be looked at, while nothing is known to be lost; the first [`PROBLEMS_MAX`].
    pub warnings: Vec<Problem>,
    /// All of these.
    pub warning_count: u64,
    /// How much was checked.
    pub counts: CheckCounts,
    /// How long it took.
    pub duration: Duration,
}

impl CheckReport {
    /// Whether anything is damaged.
    #[must_use]
    pub fn is_damaged(&self) -> bool {
        self.problem_count > 0
    }
    /// Snapshots that need something damaged, as far as can be told.
    #[must_use]
    pub fn affected_snapshots(&self) -> BTreeSet<SessionId> {
        self.problems.iter().flat_map(|problem| &problem.snapshots).copied().collect()
    }

    /// Paths in them that need it, as far as can be told.
    #[must_use]
    pub fn affected_paths(&self) -> BTreeSet<&[u8]> {
        self.problems.iter().flat_map(|problem| &problem.paths).map(Vec::as_slice).collect()
    }
}
