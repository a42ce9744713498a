//! `cairn check`.

use crate::args::{CheckArgs, Part};
use crate::exit::{Exit, Failure, Result};
use crate::failover;
use crate::output::shown;
use crate::progress::Progress;
use crate::record::{Beginning, Record};
use crate::run::{Need, Opened, Run};
use crate::values;
use cairn::audit::recorder as audit;
use cairn::crypto::random::Randomness;
use cairn::engine::check::{self, CheckOptions, CheckReport, Subset};
use serde_json::{Value, json};
use std::time::Duration;

/// Checks, and says what is wrong.
pub(crate) fn run(run: &Run, args: &CheckArgs) -> Result<Exit> {
    let subset = subset(run, args)?;
    let options = CheckOptions { read_data: args.read_data || subset.is_some(), subset, purpose: args.purpose.clone() };
    // Damage at one site is no news of the other: this never falls over.
    let opened = failover::at_site(run, args.site.site.as_deref())?.open(Need::Check)?;
    let fields = json!({"read_data": options.read_data, "subset": subset.map(name)});
    let beginning = Beginning { need: audit::Need::Read, operation: "check", purpose: &args.purpose, fields };
    let record = run.begin(&opened, beginning)?;
    let mut fields = json!({});
    let ended = look(run, &options, &opened, &record, &mut fields);
    record.end(ended, fields)
}

/// What is to be read, if it is not all.
fn subset(run: &Run, args: &CheckArgs) -> Result<Option<Subset>> {
    let Some(part) = args.subset.read_data_subset else { return Ok(None) };
    let seed = || match args.subset.subset_seed {
        Some(seed) => Ok(seed),
        None => <dyn Randomness>::bytes(&*run.random)
            // As many digits as people copy, and no more than every reader of JSON keeps.
            .map(|bytes| u64::from(u32::from_le_bytes(bytes)))
            .map_err(|error| Failure::new(Exit::Failed, "random", error.to_string(), "")),
    };
    Ok(Some(match part {
        Part::Of(..) if args.subset.subset_seed.is_some() => {
            return Err(Failure::usage("--subset-seed: n/N draws nothing", "leave it out, or give P% or SIZE"));
        }
        Part::Of(number, of) => Subset::Part { number, of },
        Part::Share(millionths) => Subset::Share { millionths, seed: seed()? },
        Part::Bytes(bytes) => Subset::Bytes { bytes, seed: seed()? },
    }))
}

/// A subset as it is asked for.
fn name(subset: Subset) -> String {
    match subset {
        Subset::Part { number, of } => format!("{number}/{of}"),
        Subset::Share { millionths, .. } => format!("{}%", f64::from(millionths) / 10_000.0),
        Subset::Bytes { bytes, .. } => bytes.to_string(),
    }
}

fn seed(subset: Subset) -> Option<u64> {
    match subset {
        Subset::Part { .. } => None,
        Subset::Share { seed, .. } | Subset::Bytes { seed, .. } => Some(seed),
    }
}

fn look(run: &Run, options: &CheckOptions, opened: &Opened, record: &Record, fields: &mut Value) -> Result<Exit> {
    let begun = run.clock.elapsed();
    let progress = Progress::start(&run.output, &run.state, run.settings.fps);
    let result = check::run(&run.context(opened, progress.sink(), record.journal()), options);
    drop(progress);
    let report = result.map_err(|error| Failure::from(error).while_trying(format!("check {}", run.named(opened))))?;
    *fields = json!({"problems": report.problem_count, "packs": report.counts.packs, "bytes": report.counts.plain_bytes_read});
    run.set_summary(json!({
        "files": report.counts.files,
        "bytes": report.counts.plain_bytes_read,
        "errors": report.problem_count,
    }));
    let said = say(run, opened, options, &report, run.clock.elapsed().saturating_sub(begun));
    match said {
        Err(failure) if !failure.is_broken_pipe() => Err(failure),
        _ if !report.is_damaged() => Ok(Exit::Done),
        _ => Ok(Exit::Damage),
    }
}

fn say(run: &Run, opened: &Opened, options: &CheckOptions, report: &CheckReport, took: Duration) -> Result<()> {
    for warning in &report.warnings {
        run.output.warn(&shown(format!("{}: {}", warning.object, warning.what).as_bytes()));
    }
    for problem in &report.problems {
        let at = problem.offset.map(|offset| format!(" at byte {offset}")).unwrap_or_default();
        run.output.damage(&format!("{}{at}: {}", problem.object, problem.what));
    }
    let snapshots: Vec<_> = report.affected_snapshots().iter().map(ToString::to_string).collect();
    let paths: Vec<_> = report.affected_paths().into_iter().map(shown).collect();
    for path in &paths {
        run.output.damage(&format!("cannot be restored whole: {path}"));
    }
    let counts = &report.counts;
    run.output.object(&json!({
        "message_type": "summary",
        "num_errors": report.problem_count,
        "num_warnings": report.warning_count,
        "affected_snapshots": snapshots,
        "affected": paths,
        "snapshots_checked": counts.snapshots + counts.checkpoints,
        "key_slots_checked": counts.slots,
        "packs_checked": counts.packs,
        "pack_bytes": counts.pack_bytes,
        "packs_unreferenced": counts.unreferenced_packs,
        "trees_checked": counts.trees,
        "files_checked": counts.files,
        "chunks_checked": counts.references,
        "blobs_read": counts.blobs_read,
        "packs_read": counts.packs_read,
        "chunks_read": counts.chunks_read,
        "data_read_bytes": counts.plain_bytes_read,
        "read_data": options.read_data,
        "read_data_subset": options.subset.map(name),
        "subset_seed": options.subset.and_then(seed),
        "total_duration_s": took.as_secs_f64(),
        "repository_id": opened.id().to_string(),
        "repository": opened.location.to_string(),
    }))?;
    let outcome = match report.problem_count {
        0 => "no damage found".to_owned(),
        number => format!(
            "DAMAGE: {}, {} affected",
            values::count(number, "problem", "problems"),
            values::count(snapshots.len() as u64, "snapshot", "snapshots"),
        ),
    };
    let data = match options.subset {
        _ if !options.read_data => "data not read, see --read-data".to_owned(),
        None => format!("{} of data read", values::size(counts.plain_bytes_read)),
        Some(subset) => {
            let drawn = seed(subset).map_or_else(String::new, |seed| format!(", drawn with --subset-seed {seed}"));
            format!(
                "{} of data read in {} ({}{drawn})",
                values::size(counts.plain_bytes_read),
                values::count(counts.packs_read, "pack", "packs"),
                name(subset),
            )
        }
    };
    let separator = if run.output.is_terminal() { "\n  " } else { "; " };
    run.output.closing(&format!(
        "{outcome}: {}, {}, {} of {}, {data}, in {}{separator}{}",
        values::count(counts.snapshots + counts.checkpoints, "snapshot or checkpoint", "snapshots and checkpoints"),
        values::count(counts.trees, "tree", "trees"),
        values::count(counts.packs, "pack", "packs"),
        values::size(counts.pack_bytes),
        values::duration(took),
        run.named(opened),
    ))
}
