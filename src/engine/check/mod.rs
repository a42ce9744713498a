//! Check: whether everything that was committed can be restored.
//!
//! *Structure*: keys, declarations and policies, sessions, cells and their chain, segments, that every pack is there in its length, every tree reachable
//! from a snapshot or checkpoint, every chunk they refer to. With `read_data` every byte of every pack, or of a subset of them,
//! too: its name, its signature, its trailer against the index, every blob and every chunk's id.
//!
//! A problem never ends the check. What can still be used is found by a second walk, made only if there is damage.

mod affected;
mod data;
mod findings;
mod objects;
mod packs;
mod report;
mod subset;
#[cfg(test)]
mod tests;
mod trees;

pub use report::{CheckCounts, CheckOptions, CheckReport, PATHS_MAX, PROBLEMS_MAX, Problem, SNAPSHOTS_MAX};
pub use subset::Subset;

use crate::engine::check::findings::Findings;
use crate::engine::check::subset::Chosen;
use crate::engine::context::{Context, EngineError, Result};
use crate::progress::Event;
use crate::repository::pack_reader::PackReader;
use std::sync::Arc;

/// Checks the repository.
///
/// # Errors
/// [`EngineError::Interrupted`], and what makes a check impossible. Damage is no error: it is in the report.
pub fn run(cx: &Context, options: &CheckOptions) -> Result<CheckReport> {
    let repository = cx.repository.config().repository.to_string();
    cx.event(&Event::RunStarted { operation: "check", repository, purpose: &options.purpose });
    let report = check(cx, options);
    let complete = report.as_ref().is_ok_and(|report| !report.is_damaged());
    cx.event(&Event::RunEnded { operation: "check", complete });
    report
}

fn check(cx: &Context, options: &CheckOptions) -> Result<CheckReport> {
    let begun = cx.clock.elapsed();
    let findings = Findings::new(cx);
    let mut counts = CheckCounts::default();
    objects::check_keys(cx, &findings, &mut counts);
    let [sessions, cells] = objects::list_sessions(cx, &findings);
    objects::check_sessions(cx, &sessions, &findings, &mut counts);
    let cells = objects::load_cells(cx, &cells, &findings, &mut counts);
    objects::check_chains(&cells, &findings);
    let index = Arc::new(objects::load_index(cx, &cells, &findings, &mut counts));
    let packs = index.packs().iter().map(|pack| (pack.id, pack.size));
    let chosen = Chosen::new(options.subset, packs);
    let unreferenced = packs::check_presence(cx, &index, &findings, &mut counts);
    let reader = Arc::new(PackReader::new(Arc::clone(&cx.repository), index));
    trees::check(cx, &reader, &cells, &findings, &mut counts)?;
    if options.read_data {
        data::check(cx, &cells, (&chosen, &reader), &unreferenced, &findings, &mut counts)?;
    }
    if cx.is_stopped() {
        return Err(EngineError::Interrupted);
    }
    let (problems, problem_count, warnings, warning_count) = findings.into_parts();
    let problems = affected::name(cx, &reader, &cells, problems)?;
    let duration = cx.clock.elapsed().saturating_sub(begun);
    Ok(CheckReport { problems, problem_count, warnings, warning_count, counts, duration })
}
