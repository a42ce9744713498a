//! Check: is everything there that the snapshots need, and is it what it should be?
//!
//! Structure first: keys, cells, segments, packs by name and size, every tree reachable from a cell. With `read_data` every
//! pack is read from end to end, every blob opened and every id computed again. What is wrong is named with its object; for what
//! cannot be read back, the snapshots and paths that need it are named too.

mod affected;
mod data;
mod report;
mod structure;

pub use report::{CheckCounts, CheckOptions, CheckReport, Problem};

use crate::engine::context::{Context, Result};
use crate::progress::Event;
use crate::repository::pack_reader::PackReader;
use crate::repository::view::Damage;
use std::sync::Arc;

/// Checks a repository.
///
/// # Errors
/// [`crate::engine::EngineError`] when the store cannot be reached, or the check was interrupted. Damage is in the report.
pub fn run(cx: &Context, options: &CheckOptions) -> Result<CheckReport> {
    let repository = cx.repository.config().repository.to_string();
    cx.event(&Event::RunStarted { operation: "check", repository, purpose: &options.purpose });
    let result = check(cx, options);
    let complete = result.as_ref().is_ok_and(|report| report.problems.is_empty());
    cx.event(&Event::RunEnded { operation: "check", complete });
    result
}

fn check(cx: &Context, options: &CheckOptions) -> Result<CheckReport> {
    let mut report = CheckReport::default();
    let mut view = cx.repository.load_view(Damage::Collect)?;
    for error in std::mem::take(&mut view.damaged) {
        report.damage(&error);
    }
    let index = Arc::new(std::mem::take(&mut view.index));
    let reader = PackReader::new(Arc::clone(&cx.repository), index);
    structure::keys(cx, &mut report)?;
    structure::sessions(cx, &view, &mut report)?;
    structure::chains(&view, &mut report);
    let mut lost = structure::packs(cx, &reader, &mut report)?;
    structure::trees(cx, &reader, &view, &mut report, &mut lost)?;
    if options.read_data {
        data::read(cx, &reader, &mut report, &mut lost)?;
    }
    if !lost.is_empty() {
        affected::find(cx, &reader, &view, &lost, &mut report)?;
    }
    Ok(report)
}
