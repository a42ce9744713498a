//! Where entries are put, and how that is counted: what everybody who makes something in the target needs.

use crate::engine::context::Context;
use crate::engine::restore::delete::Deletion;
use crate::engine::restore::dirs::{Dir, Handles};
use crate::engine::restore::links::Links;
use crate::engine::restore::tally::Tally;
use crate::fs::{RestoreOptions as FsOptions, TargetDir};
use crate::repository::pack_reader::PackReader;
use std::sync::{Mutex, PoisonError};

/// The target and the books.
#[derive(Debug)]
pub(super) struct Place<'a> {
    pub(super) cx: &'a Context,
    pub(super) reader: &'a PackReader,
    pub(super) handles: Handles,
    pub(super) fs_options: FsOptions,
    /// What removes what is not in the snapshot, if that is to go.
    pub(super) deletion: Option<Deletion<'a>>,
    /// Files are changed where they are.
    pub(super) changes_in_place: bool,
    pub(super) links: Links,
    pub(super) tally: &'a Tally<'a>,
    /// Which files are in place, by their number in the walk; for verification.
    pub(super) in_place: Option<Mutex<Vec<u64>>>,
}

impl Place<'_> {
    /// Whether to end: because of a signal, or because the store is out of reach.
    pub(super) fn is_stopped(&self) -> bool {
        self.cx.is_stopped() || self.tally.is_lost()
    }

    /// Removes the directory `name`, if it may go and something else is about to be put there.
    pub(super) fn make_way(&self, dir: &Dir, handle: &TargetDir, name: &[u8]) {
        if let Some(deletion) = self.deletion {
            deletion.make_way(handle, &dir.path_of(name), name);
        }
    }

    /// A file is in place.
    pub(super) fn restored(&self, number: u64) {
        if let Some(bits) = &self.in_place {
            let mut bits = bits.lock().unwrap_or_else(PoisonError::into_inner);
            let word = (number / 64) as usize;
            if bits.len() <= word {
                bits.resize(word + 1, 0);
            }
            bits[word] |= 1 << (number % 64);
        }
    }

    /// Whether a file is in place.
    pub(super) fn is_restored(&self, number: u64) -> bool {
        let Some(bits) = &self.in_place else { return false };
        bits.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get((number / 64) as usize)
            .is_some_and(|word| word & (1 << (number % 64)) != 0)
    }
}
