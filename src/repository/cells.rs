//! Commit cells as they are stored, and those that this run has read already.

use crate::format::cell::{Cell, Outcome};
use crate::object::ObjectName;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

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

/// Cells that were read in this run.
#[derive(Debug, Default)]
pub(in crate::repository) struct CellMemory(Mutex<BTreeMap<ObjectName, StoredCell>>);

impl CellMemory {
    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<ObjectName, StoredCell>> {
        // Only whole cells are put in.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The cell of this name, if it was read.
    pub(in crate::repository) fn get(&self, name: &ObjectName) -> Option<StoredCell> {
        self.lock().get(name).cloned()
    }

    /// Keeps a cell.
    pub(in crate::repository) fn put(&self, name: &ObjectName, stored: &StoredCell) {
        self.lock().insert(name.clone(), stored.clone());
    }
}
