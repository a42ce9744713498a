//! `cairn forget`.

use crate::args::ForgetArgs;
use crate::commands::snapshots;
use crate::exit::{Exit, Failure, Result};
use crate::output::{Results, shown};
use crate::record::Beginning;
use crate::run::{Need, Opened, Run, host_name};
use crate::values;
use cairn::audit::leaf::Event;
use cairn::audit::recorder as audit;
use cairn::clock::Timestamp;
use cairn::engine::browse::{Snapshot, SnapshotFilter, Snapshots};
use cairn::engine::forget::{Forgetting, Group, Kept, Policy, apply_to_snapshots, run as write_records};
use cairn::id::SessionId;
use cairn::journal::Unrecorded;
use cairn::progress::Silent;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// A group whose newest snapshot is this much older than the newest of all gets no new ones any more, it seems.
const DEAD_AFTER: Duration = Duration::from_secs(90 * 86_400);
/// Groups that are named in a warning.
const NAMED_MAX: usize = 10;

/// What is to be forgotten, and why.
#[derive(Debug)]
struct Plan {
    /// In groups; those that were named are one.
    groups: Vec<Group>,
    /// What the records say.
    reason: String,
    /// What the log says.
    by: &'static str,
}

impl Plan {
    fn ids(&self) -> Vec<SessionId> {
        self.groups.iter().flat_map(|group| &group.remove).map(|snapshot| snapshot.id).collect()
    }
}

/// Forgets.
pub(crate) fn run(run: &Run, args: &ForgetArgs) -> Result<Exit> {
    let (filter, policy) = (snapshots::filter(&args.filter)?, args.keep.policy());
    expect_request(args, &filter, &policy)?;
    let opened = run.open(if args.dry_run { Need::Read } else { Need::Write })?;
    let all = run.snapshots(&opened)?;
    let plan = plan(run, args, &opened, &all, (&filter, &policy))?;
    if args.snapshots.is_empty() {
        warn_of_groups(run, &plan.groups);
    }
    let ids = plan.ids();
    if !args.dry_run && !ids.is_empty() {
        forget(run, args, &opened, &plan, &ids)?;
    }
    say(run, args, &opened, &plan)?;
    Ok(if all.damaged.is_empty() { Exit::Done } else { Exit::Damage })
}

/// Refuses what says nothing, and what could forget everything by mistake.
fn expect_request(args: &ForgetArgs, filter: &SnapshotFilter, policy: &Policy) -> Result<()> {
    if !args.snapshots.is_empty() {
        return Ok(());
    }
    if args.unsafe_allow_remove_all && *filter == SnapshotFilter::default() {
        return Err(Failure::usage(
            "--unsafe-allow-remove-all could forget every snapshot there is",
            "say of which with --host, --tag or --path, or name the snapshots",
        ));
    }
    if policy.is_empty() && !args.unsafe_allow_remove_all {
        return Err(Failure::usage(
            "nothing says which snapshots to keep, so none are forgotten",
            "give a rule such as --keep-daily 7 --keep-weekly 5 --keep-monthly 12, or name the snapshots to forget; \
             --dry-run shows what a rule does",
        ));
    }
    Ok(())
}

fn plan(
    run: &Run,
    args: &ForgetArgs,
    opened: &Opened,
    all: &Snapshots,
    (filter, policy): (&SnapshotFilter, &Policy),
) -> Result<Plan> {
    if !args.snapshots.is_empty() {
        let mut remove = snapshots::choose(run, opened, all, &args.snapshots, filter)?;
        remove.retain(|snapshot| !all.is_forgotten(&snapshot.id));
        let group = Group { host: None, paths: None, tags: None, keep: Vec::new(), remove };
        return Ok(Plan { groups: vec![group], reason: "by id".into(), by: "id" });
    }
    let groups = apply_to_snapshots(policy, args.group_by, all.matching(filter).cloned(), run.clock.now());
    let emptied = groups.iter().find(|group| group.keep.is_empty()).filter(|_| !args.unsafe_allow_remove_all);
    if let Some(group) = emptied {
        return Err(Failure::new(
            Exit::Failed,
            "remove-all",
            format!("the rules keep no snapshot of {}; nothing was forgotten", name(group)),
            "change them, or allow it with --unsafe-allow-remove-all and --host, --tag or --path",
        ));
    }
    let reason = if policy.is_empty() { "all that were selected".to_owned() } else { policy.to_string() };
    Ok(Plan { groups, reason, by: "policy" })
}

/// Writes the records. The log says so before.
fn forget(run: &Run, args: &ForgetArgs, opened: &Opened, plan: &Plan, ids: &[SessionId]) -> Result<()> {
    let identity = run.state.identity(&*run.random)?;
    let fields = json!({"snapshots": ids.len(), "kind": plan.by});
    let beginning = Beginning { need: audit::Need::Manage, operation: "forget", purpose: &args.purpose, fields };
    let record = run.begin(opened, beginning)?;
    let event = |id: &SessionId| Event::ok("snapshot.forgetting", json!({"snapshot": id.to_string(), "kind": plan.by}));
    let ended = record.announce(ids.iter().map(event)).and_then(|()| {
        let context = run.context(opened, Arc::new(Silent), Arc::new(Unrecorded));
        let forgetting =
            Forgetting { snapshots: ids, reason: &plan.reason, host_name: &host_name(), identity: &identity };
        write_records(&context, &forgetting)
            .map_err(|error| Failure::from(error).while_trying(format!("forget snapshots of {}", run.named(opened))))
    });
    let fields = json!({"snapshots": ended.as_ref().ok()});
    record.end(ended.map(|_| Exit::Done), fields).map(|_| ())
}

/// What a group has in common, for people.
fn name(group: &Group) -> String {
    let list = |list: &[Vec<u8>]| list.iter().map(|item| shown(item)).collect::<Vec<_>>().join(", ");
    let mut parts = Vec::new();
    parts.extend(group.host.as_ref().map(|host| format!("host {}", shown(host))));
    parts.extend(group.paths.as_ref().map(|paths| format!("paths {}", list(paths))));
    parts.extend(group.tags.as_ref().map(|tags| format!("tags {}", list(tags))));
    if parts.is_empty() { "all snapshots".to_owned() } else { parts.join(", ") }
}

/// Names some of these groups.
fn names(groups: &[&Group]) -> String {
    let more = groups.len().saturating_sub(NAMED_MAX);
    let names: Vec<String> = groups.iter().take(NAMED_MAX).map(|group| name(group)).collect();
    let more = if more == 0 { String::new() } else { format!("; and {more} more") };
    format!("{}{more}", names.join("; "))
}

/// Warns of groups that a policy does not thin out: those of one snapshot, and those that get no new ones.
fn warn_of_groups(run: &Run, groups: &[Group]) {
    if groups.len() < 2 {
        return;
    }
    let single: Vec<&Group> = groups.iter().filter(|group| group.len() == 1).collect();
    if !single.is_empty() {
        run.output.warn(&format!(
            "{} of {} groups have one snapshot only, which the rules keep for good: {}. Do the paths or the host's name \
             change from run to run? --group-by host puts them together",
            single.len(),
            groups.len(),
            names(&single)
        ));
    }
    let newest: Option<Timestamp> = groups.iter().filter_map(Group::newest).max();
    let is_dead = |group: &&Group| {
        let before = newest.map(|newest| newest.saturating_sub(DEAD_AFTER));
        group.len() > 1 && group.newest().zip(before).is_some_and(|(own, before)| own < before)
    };
    let dead: Vec<&Group> = groups.iter().filter(is_dead).collect();
    if !dead.is_empty() {
        run.output.warn(&format!(
            "{} of {} groups have had no snapshot for 90 days before the newest of all, so the rules keep what they have: {}",
            dead.len(),
            groups.len(),
            names(&dead)
        ));
    }
}

fn say(run: &Run, args: &ForgetArgs, opened: &Opened, plan: &Plan) -> Result<()> {
    let mut results = run.output.results();
    if run.output.is_json() {
        results.line(&Value::from(plan.groups.iter().map(object).collect::<Vec<_>>()).to_string())?;
        return results.finish();
    }
    for group in &plan.groups {
        if !run.output.is_quiet() {
            table(&mut results, group, args.snapshots.is_empty())?;
        }
    }
    let kept: usize = plan.groups.iter().map(|group| group.keep.len()).sum();
    let count = values::count(plan.ids().len() as u64, "snapshot", "snapshots");
    let verb = if args.dry_run { "would be forgotten" } else { "forgotten" };
    let kept = if args.snapshots.is_empty() { format!(", {kept} kept") } else { String::new() };
    results.line(&format!("{count} {verb}{kept} in {}", run.named(opened)))?;
    results.finish()
}

fn table(results: &mut Results<'_>, group: &Group, has_name: bool) -> Result<()> {
    if group.is_empty() {
        return Ok(());
    }
    if has_name {
        let count = values::count(group.len() as u64, "snapshot", "snapshots");
        results.line(&format!("{}: {count}", name(group)))?;
    }
    results.line(&format!("{:<6}  {:<8}  {:<20}  {:<12}  REASONS", "", "ID", "TIME", "HOST"))?;
    let row = |word: &str, snapshot: &Snapshot, reasons: &str| {
        let (id, time) = (snapshot.id.short(), values::time_seconds(snapshot.entries.time));
        let host = shown(&snapshot.entries.host_name);
        format!("{word:<6}  {id:<8}  {time:<20}  {host:<12}  {}", shown(reasons.as_bytes())).trim_end().to_owned()
    };
    let kept = group.keep.iter().map(|kept| (&kept.snapshot, Some(kept.reasons.join(", "))));
    let mut rows: Vec<_> = kept.chain(group.remove.iter().map(|snapshot| (snapshot, None))).collect();
    rows.sort_by_key(|(snapshot, _)| (snapshot.entries.time, snapshot.id));
    for (snapshot, reasons) in &rows {
        let word = if reasons.is_some() { "keep" } else { "remove" };
        results.line(&row(word, snapshot, reasons.as_deref().unwrap_or_default()))?;
    }
    Ok(())
}

/// A group, with restic's names.
fn object(group: &Group) -> Value {
    let text = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).into_owned();
    let list = |list: &Vec<Vec<u8>>| list.iter().map(text).collect::<Vec<_>>();
    let reason =
        |kept: &Kept<Snapshot>| json!({"snapshot": snapshots::object(&kept.snapshot), "matches": kept.reasons});
    json!({
        "host": group.host.as_ref().map(text),
        "paths": group.paths.as_ref().map(list),
        "tags": group.tags.as_ref().map(list),
        "keep": group.keep.iter().map(|kept| snapshots::object(&kept.snapshot)).collect::<Vec<_>>(),
        "remove": group.remove.iter().map(snapshots::object).collect::<Vec<_>>(),
        "reasons": group.keep.iter().map(reason).collect::<Vec<_>>(),
    })
}
