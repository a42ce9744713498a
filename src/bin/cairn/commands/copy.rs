//! `cairn copy`: snapshots into an unrelated repository.

use crate::args::CopyArgs;
use crate::commands::{residency, snapshots};
use crate::exit::{Exit, Failure, Result};
use crate::progress::Progress;
use crate::record::{Beginning, Record};
use crate::run::{Need, Opened, Run, host_name};
use crate::settings::{SecretSource, parse_location};
use crate::values;
use cairn::audit::leaf::Event;
use cairn::audit::recorder as audit;
use cairn::engine::browse::Snapshot;
use cairn::engine::copy::{self, CopyOptions, CopyReport};
use cairn::journal::Unrecorded;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// Copies, and says what became of which snapshot.
pub(crate) fn run(run: &Run, args: &CopyArgs) -> Result<Exit> {
    let filter = snapshots::filter(&args.filter)?;
    let mut to = run.at(parse_location(&args.to)?);
    to.settings.secret = secret(args);
    // What systemd hands over is this repository's.
    to.settings.credential = None;
    to.settings.aws_profile.clone_from(&args.to_aws_profile);
    let from = run.open(Need::Read)?;
    let all = run.snapshots(&from)?;
    let chosen = if args.snapshots.is_empty() {
        all.matching(&filter).cloned().collect()
    } else {
        let resolve = |name: &String| run.resolve(&all, name, &filter).cloned();
        let tried = || format!("find the snapshots in {}", run.named(&from));
        let chosen: std::result::Result<Vec<Snapshot>, _> = args.snapshots.iter().map(resolve).collect();
        chosen.map_err(|error| Failure::from(error).while_trying(tried()))?
    };
    let target = open_target(run, &from, &to, args.widen_pin)?;
    let fields = json!({"to_repository": target.id().to_string(), "snapshots": chosen.len()});
    let beginning = Beginning { need: audit::Need::Read, operation: "copy", purpose: "", fields };
    let taken = run.begin(&from, beginning)?;
    let fields = json!({"from_repository": from.id().to_string(), "snapshots": chosen.len()});
    let beginning = Beginning { need: audit::Need::Add, operation: "copy", purpose: "", fields };
    let given = to.begin(&target, beginning)?;
    let mut fields = json!({});
    let ended = bring_over(run, &to, args, (&from, &target), &chosen, (&taken, &given), &mut fields);
    let ended = given.end(ended, fields.clone());
    taken.end(ended, fields)
}

fn bring_over(
    run: &Run,
    to: &Run,
    args: &CopyArgs,
    (from, target): (&Opened, &Opened),
    chosen: &[Snapshot],
    (taken, given): (&Record, &Record),
    fields: &mut Value,
) -> Result<Exit> {
    residency::publish_declaration(to, target)?;
    let options = CopyOptions {
        identity: Arc::new(run.state.identity(&*run.random)?),
        host_name: host_name(),
        program_version: format!("cairn {}", env!("CARGO_PKG_VERSION")),
        compression: args.compression.0,
    };
    let begun = run.clock.elapsed();
    let progress = Progress::start(&run.output, &run.state, run.settings.fps);
    let (source_cx, target_cx) = (
        run.context(from, progress.sink(), Arc::new(Unrecorded)),
        to.context(target, progress.sink(), given.journal()),
    );
    let result = copy::run(&source_cx, &target_cx, chosen, &options);
    drop(progress);
    let report = result.map_err(|error| {
        let tried = format!("copy snapshots of {} to {}", run.named(from), run.named(target));
        Failure::from(error)
            .while_trying(tried)
            .with_hint("snapshots that were copied stay; run the same command again")
    })?;
    // Content was opened with the keys of the one, and sealed with those of the other.
    taken.say(report.copied.iter().map(|(before, after)| {
        let to = target.id().to_string();
        let fields = json!({"snapshot": before.to_string(), "to_repository": to, "copy": after.to_string()});
        Event::ok("content.recovered", fields)
    }));
    *fields = json!({"copied": report.copied.iter().map(|(id, _)| id.to_string()).take(64).collect::<Vec<_>>()});
    say(run, from, target, &report, run.clock.elapsed().saturating_sub(begun))?;
    Ok(Exit::Done)
}

fn secret(args: &CopyArgs) -> Option<SecretSource> {
    let key = args.to_key_file.clone().map(SecretSource::KeyFile);
    let password = || args.to_password_file.clone().map(SecretSource::PasswordFile);
    let command = || args.to_password_command.clone().map(SecretSource::PasswordCommand);
    key.or_else(password).or_else(command)
}

/// The other repository, where it may hold what is in this one.
///
/// # Errors
/// Exit 2 for the same repository, exit 20 where data may be in more places there and nobody answers for that.
fn open_target(run: &Run, from: &Opened, to: &Run, may_widen: bool) -> Result<Opened> {
    let (reached, found) = to.find_existing(Need::Write)?;
    if found.repository() == from.id() {
        let hint = "`cairn replicate` brings a replica up to date";
        return Err(Failure::usage(format!("{} and {} are the same repository", run.location(), to.location()), hint));
    }
    let target = to.open_found(reached, &found, Need::Read)?;
    let (here, there) = (run.policy(from)?, to.policy(&target)?);
    if there.pin.is_wider_than(&here.pin) || (here.deny_us_parent && !there.deny_us_parent) {
        let parents = |denied| if denied { ", without operators that have a parent in the United States" } else { "" };
        let what = format!(
            "data of {} may be in {}{}, and of {} in {}{}",
            run.named(from),
            here.pin,
            parents(here.deny_us_parent),
            run.named(&target),
            there.pin,
            parents(there.deny_us_parent)
        );
        if !may_widen {
            let hint = "narrow the other repository with `cairn residency pin`, or say --widen-pin if whoever owns the data agrees";
            return Err(Failure::new(Exit::Residency, "residency-refused", what, hint));
        }
        run.output.warn(&what);
    }
    to.allow_writing(target, None)
}

fn say(run: &Run, from: &Opened, to: &Opened, report: &CopyReport, took: Duration) -> Result<()> {
    for (before, after) in &report.copied {
        run.output.info(&format!("snapshot {before} copied, there it is {after}"));
    }
    let copied: Vec<_> = report
        .copied
        .iter()
        .map(|(before, after)| json!({"id": before.to_string(), "copy_id": after.to_string()}))
        .collect();
    run.output.object(&json!({
        "message_type": "summary",
        "copied": copied,
        "skipped": report.skipped.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "chunks_new": report.chunks_new,
        "data_added_packed_bytes": report.bytes_added_packed,
        "total_duration_s": took.as_secs_f64(),
        "repository_id": from.id().to_string(),
        "repository": from.location.to_string(),
        "target_repository_id": to.id().to_string(),
        "target": to.location.to_string(),
    }))?;
    let separator = if run.output.is_terminal() { "\n  " } else { "; " };
    run.output.text(&format!(
        "{} copied, {} there already, {} stored, in {}{separator}{} to {}",
        values::count(report.copied.len() as u64, "snapshot", "snapshots"),
        report.skipped.len(),
        values::size(report.bytes_added_packed),
        values::duration(took),
        run.named(from),
        run.named(to),
    ))
}
