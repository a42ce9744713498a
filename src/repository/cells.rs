//! Commit cells as they are stored, and those that this run has read already.

use crate::format::cell::{Cell, Outcome};
use crate::id::SessionId;
use crate::object::ObjectName;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A cell as stored.
#[derive(Debug, Clone)]
pub struct StoredCell {
    /// The cell.
    pub cell: Cell,
    /// BLAKE3 of its stored bytes.
    pub hash: [u8; 32],
}

impl StoredCell {
    /// Whether it is a snapshot (and not a checkpoint or an abort record).
    pub fn is_snapshot(&self) -> bool {
        self.cell.references.outcome == Outcome::Snapshot
    }
}

/// Cells that were listed: which there are, and which of them are forgotten.
#[derive(Debug, Clone, Default)]
pub(in crate::repository) struct ListedCells {
    /// Their names.
    pub(in crate::repository) names: Vec<ObjectName>,
    /// Sessions whose snapshots were forgotten.
    pub(in crate::repository) forgotten: BTreeSet<SessionId>,
}

/// Cells that were read in this run, and those that were listed last.
#[derive(Debug, Default)]
pub(in crate::repository) struct CellMemory(Mutex<Memory>);

#[derive(Debug, Default)]
struct Memory {
    cells: BTreeMap<ObjectName, StoredCell>,
    listed: Option<ListedCells>,
}

impl CellMemory {
    fn lock(&self) -> MutexGuard<'_, Memory> {
        // Only whole cells and whole lists are put in.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The cell of this name, if it was read.
    pub(in crate::repository) fn get(&self, name: &ObjectName) -> Option<StoredCell> {
        self.lock().cells.get(name).cloned()
    }

    /// Keeps a cell.
    pub(in crate::repository) fn put(&self, name: &ObjectName, stored: &StoredCell) {
        self.lock().cells.insert(name.clone(), stored.clone());
    }

    /// What was listed last, if anything was.
    pub(in crate::repository) fn listed(&self) -> Option<ListedCells> {
        self.lock().listed.clone()
    }

    /// Keeps a list.
    pub(in crate::repository) fn put_listed(&self, listed: ListedCells) {
        self.lock().listed = Some(listed);
    }
}
