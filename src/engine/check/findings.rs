//! Problems as they are found, by any thread, and what of the repository each one reaches.

use crate::engine::check::report::{PROBLEMS_MAX, Problem};
use crate::engine::context::Context;
use crate::id::{IndexKey, PackId, TreeId};
use crate::progress::Event;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What cannot be used because of a problem.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Reach {
    /// Nothing that any snapshot needs, or nothing that can be told.
    Nothing,
    /// A directory, known by its tree.
    Directory(TreeId),
    /// An entry of such a directory.
    Entry(TreeId, Vec<u8>),
    /// A chunk.
    Chunk(IndexKey),
    /// The blob at this offset of a pack.
    Blob(PackId, u32),
    /// Everything in a pack.
    Pack(PackId),
}

#[derive(Debug, Default)]
struct Found {
    errors: Vec<(Problem, Reach)>,
    error_count: u64,
    warnings: Vec<Problem>,
    warning_count: u64,
}

/// Collects problems.
#[derive(Debug)]
pub(super) struct Findings<'a> {
    cx: &'a Context,
    found: Mutex<Found>,
}

impl<'a> Findings<'a> {
    pub(super) fn new(cx: &'a Context) -> Self {
        Self { cx, found: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Found> {
        // A count may be one off if a thread died between two steps; the operation fails then anyhow.
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Damage.
    pub(super) fn error(&self, problem: Problem, reach: Reach) {
        self.cx.event(&Event::EntryFailed { path: problem.object.as_bytes(), message: &problem.what });
        let mut found = self.lock();
        found.error_count += 1;
        if found.errors.len() < PROBLEMS_MAX {
            found.errors.push((problem, reach));
        }
    }

    /// Something to be looked at.
    pub(super) fn warning(&self, problem: Problem) {
        self.cx.event(&Event::Warning { path: problem.object.as_bytes(), message: &problem.what });
        let mut found = self.lock();
        found.warning_count += 1;
        if found.warnings.len() < PROBLEMS_MAX {
            found.warnings.push(problem);
        }
    }

    /// Everything: damage with what it reaches and its number, the rest with its number.
    pub(super) fn into_parts(self) -> (Vec<(Problem, Reach)>, u64, Vec<Problem>, u64) {
        let found = self.found.into_inner().unwrap_or_else(PoisonError::into_inner);
        (found.errors, found.error_count, found.warnings, found.warning_count)
    }
}
