//! `cairn restore`.

use crate::args::{Overwrite as OverwriteArg, RestoreArgs};
use crate::commands::snapshots;
use crate::exit::{Exit, Failure, Result};
use crate::failover::{self, Found};
use crate::progress::{Progress, finish, say_list};
use crate::record::{Beginning, Record};
use crate::replicas::Known;
use crate::run::{Opened, Run};
use crate::settings::absolute;
use crate::values;
use cairn::audit::recorder::Need;
use cairn::engine::restore::{self, Overwrite, RestoreOptions, RestoreReport};
use cairn::storage::Location;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Restores.
pub(crate) fn run(run: &Run, args: &RestoreArgs) -> Result<Exit> {
    let (name, path) = snapshots::split(&args.snapshot)?;
    let filter = snapshots::filter(&args.filter)?;
    let mut options = RestoreOptions {
        target: absolute(&args.target)?,
        path,
        include: args.include.clone(),
        include_case_insensitive: args.iinclude.clone(),
        include_files: args.include_file.clone(),
        exclude: args.exclude.clone(),
        exclude_case_insensitive: args.iexclude.clone(),
        exclude_files: args.exclude_file.clone(),
        in_place: args.in_place,
        delete: args.delete,
        own_paths: Vec::new(),
        overwrite: match args.overwrite {
            OverwriteArg::Always => Overwrite::Always,
            OverwriteArg::IfChanged => Overwrite::IfChanged,
            OverwriteArg::IfNewer => Overwrite::IfNewer,
            OverwriteArg::Never => Overwrite::Never,
        },
        no_owner: args.no_owner,
        owners_by_name: args.ownership_by_name,
        sparse: args.sparse,
        verify: args.verify,
        dry_run: args.dry_run,
        purpose: args.purpose.clone(),
    };
    let Found { opened, snapshot, first_site_failed, may_be_older } =
        failover::open_snapshot(run, &name, &filter, args.site.site.as_deref())?;
    if args.delete {
        options.own_paths = never_removed(run, &opened)?;
    }
    let beginning = Beginning {
        need: Need::Read,
        operation: "restore",
        purpose: &args.purpose,
        fields: json!({
            "snapshot": snapshot.id.to_string(),
            "dry_run": Some(true).filter(|_| args.dry_run),
            "replica": Some(true).filter(|_| first_site_failed.is_some()),
        }),
    };
    let record = run.begin(&opened, beginning)?.beside(&options.target);
    let scope = record.token(&String::from_utf8_lossy(&options.path)).filter(|_| !options.path.is_empty());
    let mut fields = json!({"scope_token": scope});
    let found = Found { opened, snapshot, first_site_failed, may_be_older };
    let ended = bring_back(run, args, &options, &found, &record, &mut fields);
    record.end(ended, fields)
}

/// What `--delete` spares wherever it comes by: cairn's own, each place of the repository on this host, and the file with the
/// secret of this run.
fn never_removed(run: &Run, opened: &Opened) -> Result<Vec<PathBuf>> {
    let replicas = Known::new(&run.state, opened.id()).replicas()?;
    let places = replicas.into_iter().map(|replica| replica.location).chain([opened.location.clone()]);
    let local = places.filter_map(|place| match place {
        Location::Local(path) => Some(path),
        Location::S3 { .. } => None,
    });
    let secret = run.settings.secret_file().map(Path::to_owned);
    Ok(run.own_paths().into_iter().chain(local).chain(secret).collect())
}

fn bring_back(
    run: &Run,
    args: &RestoreArgs,
    options: &RestoreOptions,
    found: &Found,
    record: &Record,
    fields: &mut Value,
) -> Result<Exit> {
    let Found { opened, snapshot, first_site_failed, may_be_older } = found;
    let tried = || format!("restore {} of {} to {}", args.snapshot.display(), run.named(opened), args.target.display());

    let progress = Progress::start(&run.output, &run.state, run.settings.fps);
    let result = restore::run(&run.context(opened, progress.sink(), record.journal()), snapshot, options);
    let report = match result {
        Ok(report) => report,
        Err(error) => {
            drop(progress);
            let failure = Failure::from(error).while_trying(tried());
            return Err(match failure.kind {
                "interrupted" | "transient" if args.in_place => {
                    failure.with_hint("files that were being changed are half-way; run the same command again")
                }
                "interrupted" | "transient" => {
                    failure.with_hint("what is under its name is whole; run the same command again")
                }
                _ => failure,
            });
        }
    };
    for (name, count) in [
        ("files", report.files_restored),
        ("files_failed", report.failed),
        ("bytes", report.bytes_restored),
        ("removed", report.removed),
    ] {
        fields[name] = count.into();
    }
    let list = finish(run, progress, &format!("restore-{}-{}", snapshot.id, std::process::id()));
    let said = say(run, opened, options, &report, list.as_deref(), first_site_failed.as_deref());
    if report.failed > 0 {
        say_list(&run.output, report.failed, list.as_deref());
    }
    let attributes = report.warnings + report.owners_not_set;
    if attributes > 0 {
        let what = values::count(attributes, "attribute", "attributes");
        let listed = list.map_or_else(String::new, |list| format!("; all are listed in {}", list.display()));
        run.output.warn(&format!("{what} of restored entries could not be set{listed}"));
    }
    match said {
        Err(failure) if !failure.is_broken_pipe() => Err(failure),
        _ if report.damaged > 0 || *may_be_older => Ok(Exit::Damage),
        _ if report.failed + attributes > 0 => Ok(Exit::Incomplete),
        _ => Ok(Exit::Done),
    }
}

fn say(
    run: &Run,
    opened: &Opened,
    options: &RestoreOptions,
    report: &RestoreReport,
    list: Option<&Path>,
    first_site_failed: Option<&str>,
) -> Result<()> {
    if report.sockets_skipped > 0 {
        let sockets = values::count(report.sockets_skipped, "socket was", "sockets were");
        run.output.note(&format!("{sockets} not restored: programs make their own"));
    }
    run.output.object(&json!({
        "message_type": "summary",
        "snapshot_id": report.snapshot.to_string(),
        "files_restored": report.files_restored,
        "files_unchanged": report.files_unchanged,
        "files_failed": report.failed,
        "files_deleted": report.removed,
        "bytes_restored": report.bytes_restored,
        "bytes_unchanged": report.bytes_unchanged,
        "total_duration_s": report.duration.as_secs_f64(),
        "dirs_restored": report.directories,
        "others_restored": report.others,
        "hard_links": report.hard_links,
        "sockets_skipped": report.sockets_skipped,
        "files_verified": report.files_verified,
        "files_damaged": report.damaged,
        "warnings": report.warnings,
        "owners_not_set": report.owners_not_set,
        "dry_run": options.dry_run,
        "repository_id": opened.id().to_string(),
        "repository": opened.location.to_string(),
        "target": options.target.to_string_lossy(),
        "first_site_failed": first_site_failed,
        "failed_list": list.map(Path::to_string_lossy),
    }))?;
    let verb = if options.dry_run { "would be restored" } else { "restored" };
    let verified = if options.verify { format!(", {} verified", report.files_verified) } else { String::new() };
    let removed = match report.removed {
        0 => String::new(),
        removed => format!(", {} removed", values::count(removed, "entry", "entries")),
    };
    let separator = if run.output.is_terminal() { "\n  " } else { "; " };
    run.output.text(&format!(
        "snapshot {} {verb} to {}: {} ({} unchanged, {} failed{verified}), {}{removed}{separator}{} in {}{separator}{}",
        report.snapshot.short(),
        options.target.display(),
        values::count(report.files_restored, "file", "files"),
        report.files_unchanged,
        report.failed,
        values::count(report.directories, "directory", "directories"),
        values::size(report.bytes_restored),
        values::duration(report.duration),
        run.named(opened),
    ))
}
