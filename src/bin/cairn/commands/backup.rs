//! `cairn backup`.

use crate::args::BackupArgs;
use crate::commands::{init, residency};
use crate::exit::{Exit, Failure, Result, chain};
use crate::progress::{Progress, finish, say_list};
use crate::record::{Beginning, Record};
use crate::replicas::Known;
use crate::run::{self, Opened, Run, host_name, user_name};
use crate::settings::SecretSource;
use crate::{sources, stream, values};
use cairn::audit::recorder::Need;
use cairn::chunker::ChunkerParams;
use cairn::engine::backup::{self, BackupOptions, BackupReport, Sources};
use cairn::engine::browse::SnapshotFilter;
use cairn::fs::{ExcludeOptions, IfPresent};
use cairn::journal::Unrecorded;
use cairn::residency::{Pin, Policy};
use serde_json::{Value, json};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// A checkpoint keeps what an interruption would lose; more often would cost more than it saves.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(15 * 60);

/// Temporary files this old that no process holds are removed.
const LEFTOVERS_AFTER: Duration = Duration::from_secs(10 * 60);

/// Backs up.
pub(crate) fn run(run: &Run, args: &BackupArgs) -> Result<Exit> {
    let sources = sources(run, args)?;
    let excludes = excludes(run, args)?;
    let (opened, is_new) = open(run, args)?;
    let fields = json!({"dry_run": Some(true).filter(|_| args.dry_run), "sources": sources.stored().len()});
    let need = if args.dry_run { Need::Read } else { Need::Add };
    let record = run.begin(&opened, Beginning { need, operation: "backup", purpose: &args.purpose, fields })?;
    let mut fields = json!({});
    let ended = back_up(run, args, (sources, excludes), (&opened, is_new), &record, &mut fields);
    record.end(ended, fields)
}

fn back_up(
    run: &Run,
    args: &BackupArgs,
    (sources, excludes): (Sources, ExcludeOptions),
    (opened, is_new): (&Opened, bool),
    record: &Record,
    fields: &mut Value,
) -> Result<Exit> {
    if Known::new(&run.state, opened.id()).replica_at(run.location()).ok().flatten().is_some() {
        run.output.warn("this is a replica: a snapshot that is made here is not in the repository that it replicates");
    }
    if !args.dry_run {
        // What killed runs were writing; what a live one writes is left alone, however old it is.
        residency::publish_declaration(run, opened)?;
        if let Err(error) = opened.store.clean_tmp(LEFTOVERS_AFTER) {
            run.output.warn(&format!("leftovers of killed runs stay in the repository: {}", chain(&error)));
        }
    }
    let options = BackupOptions {
        sources,
        excludes,
        one_file_system: args.one_file_system,
        compression: args.compression.0,
        host_name: args.host.clone().unwrap_or_else(host_name),
        user_name: user_name(),
        tags: args.tag.iter().filter(|tag| !tag.is_empty()).cloned().collect(),
        time: args.time,
        purpose: args.purpose.clone(),
        program_version: format!("cairn {}", env!("CARGO_PKG_VERSION")),
        identity: Arc::new(run.state.identity(&*run.random)?),
        parent: args
            .parent
            .as_deref()
            .map(|text| super::snapshots::resolve(run, opened, text, &SnapshotFilter::default()))
            .transpose()?,
        force: args.force,
        ignore_ctime: args.ignore_ctime,
        ignore_inode: args.ignore_inode,
        dry_run: args.dry_run,
        skip_if_unchanged: args.skip_if_unchanged,
        allow_empty_source: args.allow_empty_source,
        checkpoint_every: CHECKPOINT_EVERY,
        pack_sizes: None,
    };
    let progress = Progress::start(&run.output, &run.state, run.settings.fps);
    // Nothing is sent by a dry run.
    let journal = if args.dry_run { Arc::new(Unrecorded) } else { record.journal() };
    let result = backup::run(&run.context(opened, progress.sink(), journal), &options);
    let report = match result {
        Ok(report) => report,
        Err(error) => {
            drop(progress);
            let tried = format!("back up {} to {}", named(&options.sources, args), run.named(opened));
            return Err(Failure::from(error).while_trying(tried));
        }
    };
    if let (Some(id), Some(entries)) = (report.snapshot, &report.entries)
        && let Err(failure) = Known::new(&run.state, opened.id()).note([(id, entries)])
    {
        run.output.info(&failure.message);
    }
    let name = report.snapshot.map_or_else(|| format!("no-snapshot-{}", std::process::id()), |id| id.to_string());
    let list = finish(run, progress, &name);
    let failed = report.statistics.failed;
    *fields = summary(&report);
    run.set_summary(json!({
        "snapshot": report.snapshot.map(|id| id.to_string()),
        "files": report.statistics.total_files,
        "bytes": report.statistics.total_bytes,
        "stored_bytes": report.statistics.data_added_packed_bytes,
        "errors": failed,
    }));
    if let Some(path) = recovery_file(run, opened).filter(|_| !is_new) {
        run.output.warn(&format!(
            "the recovery key is still on this machine: copy {} to somewhere else, then delete it",
            path.display()
        ));
    }
    let said = say(run, opened, &options, &report, list.as_deref());
    if failed > 0 {
        say_list(&run.output, failed, list.as_deref());
    }
    match said {
        Err(failure) if !failure.is_broken_pipe() => Err(failure),
        _ if failed > 0 => Ok(Exit::Incomplete),
        _ => Ok(Exit::Done),
    }
}

/// What to back up.
fn sources(run: &Run, args: &BackupArgs) -> Result<Sources> {
    if let Some((stored, stream)) = stream::of(&args.stream, &args.paths, &run.settings, &run.stop)? {
        return Ok(Sources::Stream { stored, stream });
    }
    let mut paths = sources::collect(&args.paths, &args.files_from, &args.files_from0)?;
    let Some(stored) = &args.as_path else { return Ok(paths.into()) };
    match (paths.pop(), paths.is_empty()) {
        (Some(path), true) if stored.is_absolute() && !stored.components().any(|part| part == Component::ParentDir) => {
            Ok(Sources::PathAs { path, stored: stored.components().collect() })
        }
        (Some(_), true) => Err(Failure::usage(
            format!("--as-path {}: this is not an absolute path without `..`", stored.display()),
            "give the path from the root on; there is no directory in a snapshot that another could begin in",
        )),
        _ => Err(Failure::usage(
            "--as-path stores one PATH under another name, and several are given",
            "run cairn once for each",
        )),
    }
}

/// What is backed up, for messages.
fn named(sources: &Sources, args: &BackupArgs) -> String {
    match sources {
        Sources::Stream { .. } if args.stream.stdin_from_command => stream::named(&args.paths),
        Sources::Stream { .. } => "standard input".to_owned(),
        sources => sources.read().iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(" "),
    }
}

/// What the log says of a backup when it is over.
fn summary(report: &BackupReport) -> Value {
    let s = &report.statistics;
    json!({
        "snapshot": report.snapshot.map(|id| id.to_string()),
        "files": s.total_files,
        "files_failed": s.failed,
        "files_vanished": s.vanished,
        "bytes_read": s.data_read_bytes,
        "bytes_stored": s.data_added_packed_bytes,
    })
}

/// Opens the repository, or makes it if that was asked for and none was ever there. Says whether it was made.
fn open(run: &Run, args: &BackupArgs) -> Result<(Opened, bool)> {
    if !args.init || args.dry_run {
        return run.open(run::Need::Write).map(|opened| (opened, false));
    }
    if let Some((reached, found)) = run.find(run::Need::Write)? {
        return run.open_found(reached, &found, run::Need::Write).map(|opened| (opened, false));
    }
    match init::make(run, &Policy::new(Pin::Canada), ChunkerParams::default())? {
        Ok(made) => {
            for line in made.lines(run) {
                run.output.announce(&line);
            }
            Ok((made.opened, true))
        }
        // Another run made it a moment ago.
        Err(_) => run.open(run::Need::Write).map(|opened| (opened, false)),
    }
}

fn excludes(run: &Run, args: &BackupArgs) -> Result<ExcludeOptions> {
    let if_present = args.exclude_if_present.iter().map(|text| {
        IfPresent::parse(text).map_err(|error| {
            Failure::usage(format!("--exclude-if-present: {}", chain(&error)), "give NAME or NAME:HEADER")
        })
    });
    Ok(ExcludeOptions {
        patterns: args.exclude.clone(),
        case_insensitive_patterns: args.iexclude.clone(),
        pattern_files: args.exclude_file.clone(),
        caches: args.exclude_caches,
        if_present: if_present.collect::<Result<_>>()?,
        larger_than: args.exclude_larger_than,
        own_paths: run.own_paths(),
    })
}

/// Says what the backup came to.
fn say(run: &Run, opened: &Opened, options: &BackupOptions, report: &BackupReport, list: Option<&Path>) -> Result<()> {
    let s = &report.statistics;
    let same_disk = run.on_same_disk(options.sources.read());
    if s.vanished > 0 {
        run.output.note(&format!(
            "{} while they were being backed up",
            values::count(s.vanished, "entry vanished", "entries vanished")
        ));
    }
    if s.inconsistent > 0 {
        let files = values::count(s.inconsistent, "file", "files");
        run.output.warn(&format!("{files} kept changing while being read; what was stored mixes several moments"));
    }
    run.output.object(&json!({
        "message_type": "summary",
        "snapshot_id": report.snapshot.map(|id| id.to_string()),
        "parent_id": report.parent.map(|id| id.to_string()),
        "files_new": s.files_new,
        "files_changed": s.files_changed,
        "files_unmodified": s.files_unmodified,
        "dirs_new": s.dirs_new,
        "dirs_changed": s.dirs_changed,
        "dirs_unmodified": s.dirs_unmodified,
        "files_failed": s.failed,
        "files_vanished": s.vanished,
        "files_inconsistent": s.inconsistent,
        "data_read_bytes": s.data_read_bytes,
        "data_added_bytes": s.data_added_bytes,
        "data_added_packed_bytes": s.data_added_packed_bytes,
        "chunks_new": s.chunks_new,
        "chunks_known": s.chunks_known,
        "total_files_processed": s.total_files,
        "total_bytes_processed": s.total_bytes,
        "total_duration_s": report.duration.as_secs_f64(),
        "data_added": s.data_added_bytes,
        "data_added_packed": s.data_added_packed_bytes,
        "total_duration": report.duration.as_secs_f64(),
        "dry_run": options.dry_run,
        "repository_id": opened.id().to_string(),
        "repository": opened.location.to_string(),
        "same_disk": same_disk.iter().map(|path| path.to_string_lossy()).collect::<Vec<_>>(),
        "failed_list": list.map(Path::to_string_lossy),
    }))?;
    let outcome = match (&report.snapshot, options.dry_run) {
        (Some(id), _) => format!("snapshot {} saved", id.short()),
        (None, true) => "dry run, no snapshot made".to_owned(),
        (None, false) => "nothing changed, no snapshot made".to_owned(),
    };
    let disk = match same_disk[..] {
        [] => String::new(),
        [first] => format!(", on the same disk as {}", first.display()),
        [first, ..] => format!(", on the same disk as {} and {} more", first.display(), same_disk.len() - 1),
    };
    let stored = if options.dry_run {
        format!("{} to store", values::size(s.data_added_bytes))
    } else {
        format!("{} stored", values::size(s.data_added_packed_bytes))
    };
    let separator = if run.output.is_terminal() { "\n  " } else { "; " };
    run.output.closing(&format!(
        "{outcome}: {} ({} new, {} changed, {} unmodified, {} failed){separator}\
         {} in all, {} read, {stored}, in {}{separator}{}{disk}",
        values::count(s.total_files, "file", "files"),
        s.files_new,
        s.files_changed,
        s.files_unmodified,
        s.failed,
        values::size(s.total_bytes),
        values::size(s.data_read_bytes),
        values::duration(report.duration),
        run.named(opened),
    ))
}

/// The recovery key's file, if nobody has taken it away yet.
fn recovery_file(run: &Run, opened: &Opened) -> Option<PathBuf> {
    let named = match &run.settings.secret {
        Some(SecretSource::KeyFile(path)) => path.parent().map(Path::to_owned),
        _ => None,
    };
    let directory = named.unwrap_or_else(|| run.state.path().join("keys"));
    Some(directory.join(format!("{}.recovery", opened.id()))).filter(|path| path.exists())
}
