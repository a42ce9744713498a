//! What a check is told, and what it tells.

use crate::engine::context::chain;
use crate::id::TreeId;
use crate::repository::RepositoryError;
use std::collections::HashSet;

/// What to check.
#[derive(Debug, Clone, Default)]
pub struct CheckOptions {
    /// Read and open every pack too.
    pub read_data: bool,
    /// Why the run is made.
    pub purpose: String,
}

/// Something wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The object, by name; or what else is meant.
    pub object: String,
    /// What is wrong with it.
    pub what: String,
}

/// How much was looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CheckCounts {
    /// Snapshots and checkpoints.
    pub cells: u64,
    /// Key slots.
    pub slots: u64,
    /// Packs in the index.
    pub packs: u64,
    /// Stored bytes of these packs.
    pub pack_bytes: u64,
    /// Packs that no cell's index names: left by interrupted runs.
    pub unreferenced_packs: u64,
    /// Trees and lists read.
    pub trees: u64,
    /// Files seen in them.
    pub files: u64,
    /// Chunk references looked up.
    pub references: u64,
    /// Blobs opened.
    pub blobs: u64,
    /// Ids computed again.
    pub chunks: u64,
    /// Plaintext bytes of these.
    pub plain_bytes: u64,
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// What is wrong.
    pub problems: Vec<Problem>,
    /// What is odd, without anything missing.
    pub warnings: Vec<String>,
    /// Files and directories that cannot be restored whole, as `snapshot:path`; no more than a few for each snapshot.
    pub affected: Vec<String>,
    /// Snapshots that need something damaged.
    pub affected_snapshots: Vec<String>,
    /// How much was looked at.
    pub counts: CheckCounts,
}

/// Most problems kept; a repository on a lost disk has one for each object.
const PROBLEMS_MAX: usize = 10_000;

impl CheckReport {
    pub(super) fn problem(&mut self, object: impl Into<String>, what: impl Into<String>) {
        let problem = Problem { object: object.into(), what: what.into() };
        if self.problems.len() < PROBLEMS_MAX && !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    pub(super) fn damage(&mut self, error: &RepositoryError) {
        let object = match error {
            RepositoryError::Damaged { object, .. } => object.clone(),
            RepositoryError::Storage(error) => error.subject.clone(),
            RepositoryError::MissingChunk(id) => format!("chunk {id}"),
            RepositoryError::MissingTree(id) => format!("tree {id}"),
            _ => "repository".into(),
        };
        self.problem(object, chain(error));
    }
}

/// What cannot be read back.
#[derive(Debug, Default)]
pub(super) struct Lost {
    /// Blobs, by number in the index.
    pub(super) blobs: HashSet<u32>,
    /// Trees and lists that are missing or do not decode.
    pub(super) trees: HashSet<TreeId>,
    /// Some chunk is in no index.
    pub(super) chunks: bool,
}

impl Lost {
    pub(super) fn is_empty(&self) -> bool {
        self.blobs.is_empty() && self.trees.is_empty() && !self.chunks
    }
}
