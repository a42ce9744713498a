//! Diff: what is different between two directories of one repository, of the same snapshot or of two.
//!
//! A tree's id is the hash of all below it, so equal subtrees are known by their ids and not read. What cannot be read on one
//! side is reported as damage, and not as if its entries had been added or removed on the other.

mod contents;
mod pair;
mod report;
#[cfg(test)]
mod tests;
mod walk;

pub use contents::Volume;
pub use pair::{Change, Difference, Marks};
pub use report::{DiffOptions, DiffReport, Side, Step};

use crate::engine::browse::Found;
use crate::engine::context::{Context, Result};
use crate::engine::diff::contents::Contents;
use crate::engine::diff::walk::Walk;
use crate::repository::pack_reader::PackReader;

/// Compares what was found at a place in one snapshot with what was found at one in another, in order of paths, which are
/// relative to both and begin with a slash. `visit` returns whether to go on.
///
/// # Errors
/// [`EngineError::Interrupted`](crate::engine::EngineError::Interrupted); when there is no memory for buffers.
pub fn run(
    cx: &Context,
    reader: &PackReader,
    (before, after): (&Found, &Found),
    options: DiffOptions,
    mut visit: impl FnMut(Step<'_>) -> bool,
) -> Result<DiffReport> {
    let contents = Contents::new(reader, cx.memory_bytes);
    Walk::new(cx, reader, options, contents, &mut visit)?.run(before, after)
}
