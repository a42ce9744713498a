//! `cairn check`.

use crate::args::CheckArgs;
use crate::exit::{Exit, Failure, Result};
use crate::failover;
use crate::output::shown;
use crate::progress::Progress;
use crate::record::{Beginning, Record};
use crate::run::{Need, Opened, Run};
use crate::values;
use cairn::audit::recorder as audit;
use cairn::engine::check::{self, CheckOptions, CheckReport};
use serde_json::{Value, json};
use std::time::Duration;

/// Checks, and says what is wrong.
pub(crate) fn run(run: &Run, args: &CheckArgs) -> Result<Exit> {
    // Damage at one site is no news of the other: this never falls over.
    let opened = failover::at_site(run, args.site.site.as_deref())?.open(Need::Check)?;
    let fields = json!({"read_data": args.read_data});
    let beginning = Beginning { need: audit::Need::Read, operation: "check", purpose: &args.purpose, fields };
    let record = run.begin(&opened, beginning)?;
    let mut fields = json!({});
    let ended = look(run, args, &opened, &record, &mut fields);
    record.end(ended, fields)
}

fn look(run: &Run, args: &CheckArgs, opened: &Opened, record: &Record, fields: &mut Value) -> Result<Exit> {
    let begun = run.clock.elapsed();
    let progress = Progress::start(&run.output, &run.state, run.settings.fps);
    let options = CheckOptions { read_data: args.read_data, purpose: args.purpose.clone() };
    let result = check::run(&run.context(opened, progress.sink(), record.journal()), &options);
    drop(progress);
    let report = result.map_err(|error| Failure::from(error).while_trying(format!("check {}", run.named(opened))))?;
    *fields = json!({"problems": report.problem_count, "packs": report.counts.packs, "bytes": report.counts.plain_bytes_read});
    run.set_summary(json!({
        "files": report.counts.files,
        "bytes": report.counts.plain_bytes_read,
        "errors": report.problem_count,
    }));
    let said = say(run, opened, args, &report, run.clock.elapsed().saturating_sub(begun));
    match said {
        Err(failure) if !failure.is_broken_pipe() => Err(failure),
        _ if !report.is_damaged() => Ok(Exit::Done),
        _ => Ok(Exit::Damage),
    }
}

fn say(run: &Run, opened: &Opened, args: &CheckArgs, report: &CheckReport, took: Duration) -> Result<()> {
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
        "chunks_read": if args.read_data { counts.chunks } else { 0 },
        "data_read_bytes": counts.plain_bytes_read,
        "read_data": args.read_data,
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
    let data = if args.read_data {
        format!("{} of data read", values::size(counts.plain_bytes_read))
    } else {
        "data not read, see --read-data".to_owned()
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
