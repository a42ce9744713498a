//! `cairn stats`.

use crate::args::{ModeArg, StatsArgs};
use crate::commands::snapshots;
use crate::exit::{Exit, Failure, Result, chain};
use crate::failover;
use crate::output::{Results, shown};
use crate::record::Beginning;
use crate::run::{Need, Opened, Run};
use crate::values;
use cairn::audit::recorder as audit;
use cairn::engine::browse::Snapshot;
use cairn::engine::stats::{Counter, Mode, Stats};
use cairn::journal::Unrecorded;
use cairn::progress::Silent;
use cairn::repository::pack_reader::PackReader;
use cairn::repository::view::Damage;
use clap::ValueEnum as _;
use serde_json::{Value, json};
use std::sync::Arc;

/// Counts.
pub(crate) fn run(run: &Run, args: &StatsArgs) -> Result<Exit> {
    let filter = snapshots::filter(&args.filter)?;
    let at = failover::at_site(run, args.site.site.as_deref())?;
    let with_hint =
        |failure| if args.site.site.is_none() { failover::with_replica_hint(run, failure) } else { failure };
    let opened = at.open(Need::Read).map_err(with_hint)?;
    let all = at.snapshots(&opened).map_err(with_hint)?;
    failover::note(run, &opened, &all);
    let chosen = snapshots::choose(run, &opened, &all, &args.snapshots, &filter)?;
    let fields = json!({"snapshots": chosen.len(), "kind": name(args.mode)});
    let record = run.begin(&opened, Beginning { need: audit::Need::Read, operation: "stats", purpose: "", fields })?;
    let ended = count(run, args.mode, &opened, &chosen);
    let ended = ended.map(|exit| if all.damaged.is_empty() { exit } else { Exit::Damage });
    record.end(ended, json!({}))
}

fn name(mode: ModeArg) -> String {
    mode.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}

fn count(run: &Run, mode: ModeArg, opened: &Opened, chosen: &[Snapshot]) -> Result<Exit> {
    let tried = || format!("count what is in the snapshots of {}", run.named(opened));
    let view = opened
        .repository
        .load_view_for_reading(Damage::Collect)
        .map_err(|error| Failure::from(error).while_trying(tried()))?;
    let reader = Arc::new(PackReader::new(opened.repository.clone(), Arc::new(view.index)));
    let context = run.context(opened, Arc::new(Silent), Arc::new(Unrecorded));
    let mut damaged = Vec::new();
    let counted = Counter::new(&context, reader, mode.0).and_then(|mut counter| {
        let one = |snapshot: &Snapshot| {
            counter.snapshot(snapshot.references.tree, |path, error| {
                damaged.push(format!("{}:{}: cannot be counted: {}", snapshot.id.short(), shown(path), chain(error)));
            })
        };
        chosen.iter().map(one).collect::<cairn::engine::context::Result<Vec<_>>>()
    });
    let counted = counted.map_err(|error| Failure::from(error).while_trying(tried()))?;
    for text in &damaged {
        run.output.damage(text);
    }
    let mut total = Stats::default();
    counted.iter().for_each(|stats| total += *stats);
    let rows: Vec<_> = chosen.iter().zip(&counted).collect();
    let mut results = run.output.results();
    let said = if run.output.is_json() {
        results.line(&object(mode, &rows, &total).to_string())
    } else {
        table(&mut results, mode.0, &rows, &total).and_then(|()| {
            let snapshots = values::count(rows.len() as u64, "snapshot", "snapshots");
            results.line(&format!("{} of {snapshots} in {}", name(mode), run.named(opened)))
        })
    };
    said.and(results.finish())?;
    Ok(if damaged.is_empty() { Exit::Done } else { Exit::Damage })
}

/// Uncompressed bytes for each stored one.
fn ratio(stats: &Stats) -> f64 {
    if stats.stored_bytes == 0 { 1.0 } else { stats.bytes as f64 / stats.stored_bytes as f64 }
}

/// What compression saves, in percent.
fn saving(stats: &Stats) -> f64 {
    if stats.bytes == 0 { 0.0 } else { (1.0 - stats.stored_bytes as f64 / stats.bytes as f64) * 100.0 }
}

fn table(results: &mut Results<'_>, mode: Mode, rows: &[(&Snapshot, &Stats)], total: &Stats) -> Result<()> {
    let heading = match mode {
        Mode::RestoreSize => format!("{:>10}  {:>8}  {:>10}", "FILES", "DIRS", "SIZE"),
        Mode::FilesByContents => format!("{:>10}  {:>10}", "NEW FILES", "NEW SIZE"),
        Mode::RawData => format!("{:>10}  {:>10}  {:>12}  {:>6}", "NEW BLOBS", "NEW STORED", "UNCOMPRESSED", "RATIO"),
        Mode::BlobsPerFile => format!("{:>10}  {:>10}  {:>10}", "NEW FILES", "NEW CHUNKS", "NEW SIZE"),
    };
    let columns = |stats: &Stats| {
        let size = values::size(stats.bytes);
        match mode {
            Mode::RestoreSize => format!("{:>10}  {:>8}  {size:>10}", stats.files, stats.directories),
            Mode::FilesByContents => format!("{:>10}  {size:>10}", stats.files),
            Mode::RawData => format!(
                "{:>10}  {:>10}  {size:>12}  {:>6}",
                stats.blobs,
                values::size(stats.stored_bytes),
                format!("{:.2}x", ratio(stats))
            ),
            Mode::BlobsPerFile => format!("{:>10}  {:>10}  {size:>10}", stats.files, stats.blobs),
        }
    };
    let host_width =
        rows.iter().map(|(row, _)| shown(&row.entries.host_name).chars().count()).max().unwrap_or(0).max(4);
    if !rows.is_empty() {
        results.line(&format!("{:<8}  {:<20}  {:<host_width$}  {heading}", "ID", "TIME", "HOST"))?;
    }
    for (snapshot, stats) in rows {
        let (id, time) = (snapshot.id.short(), values::time_seconds(snapshot.entries.time));
        let host = shown(&snapshot.entries.host_name);
        results.line(&format!("{id:<8}  {time:<20}  {host:<host_width$}  {}", columns(stats)))?;
    }
    results.line(&format!("{:<8}  {:<20}  {:<host_width$}  {}", "total", "", "", columns(total)))
}

/// With restic's names.
fn object(mode: ModeArg, rows: &[(&Snapshot, &Stats)], total: &Stats) -> Value {
    let fields = |stats: &Stats| {
        let mut object = match mode.0 {
            Mode::RawData => json!({
                "total_size": stats.stored_bytes,
                "total_uncompressed_size": stats.bytes,
                "compression_ratio": ratio(stats),
                "compression_progress": 100,
                "compression_space_saving": saving(stats),
                "total_blob_count": stats.blobs,
            }),
            Mode::BlobsPerFile => json!({"total_size": stats.bytes, "total_blob_count": stats.blobs}),
            _ => json!({"total_size": stats.bytes}),
        };
        if mode.0 != Mode::RawData {
            object["total_file_count"] = stats.files.into();
        }
        if mode.0 == Mode::RestoreSize {
            object["total_dir_count"] = stats.directories.into();
            object["total_other_count"] = stats.others.into();
        }
        object
    };
    let row = |(snapshot, stats): &(&Snapshot, &Stats)| {
        let mut object = fields(stats);
        object["snapshot"] = snapshot.id.to_string().into();
        object["time"] = values::time(snapshot.entries.time).into();
        object
    };
    let mut object = fields(total);
    object["message_type"] = "summary".into();
    object["mode"] = name(mode).into();
    object["snapshots_count"] = rows.len().into();
    object["snapshots"] = rows.iter().map(row).collect();
    object
}
