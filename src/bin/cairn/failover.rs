//! Two sites: a repository and its replicas. A snapshot that is named by its id is the same wherever it is read, so where
//! the first site cannot be read, that is done at a replica without asking. `latest` is so only if the replica's newest is
//! the last one that this machine has heard of; otherwise somebody has to say which site is meant. Nothing else falls over.

use crate::exit::{Exit, Failure, Result};
use crate::replicas::{Known, Newest, Replica, is_current};
use crate::run::{Need, Opened, Run, host_name};
use crate::values;
use cairn::engine::browse::{Snapshot, SnapshotFilter, Snapshots};
use cairn::storage::Location;
use std::time::Duration;

/// How long a first site that does not answer is tried where there is a replica.
const FIRST_CONTACT: Duration = Duration::from_secs(5);

/// A snapshot, and the repository it is read from.
#[derive(Debug)]
pub(crate) struct Found {
    /// The repository, at the site that is read.
    pub(crate) opened: Opened,
    /// The snapshot.
    pub(crate) snapshot: Snapshot,
    /// Why it is not the first site, if nobody asked for another.
    pub(crate) first_site_failed: Option<String>,
    /// Whether it was asked for as the newest, and one that cannot be read may be newer.
    pub(crate) may_be_older: bool,
}

/// The snapshot that `name` names, at the site that was asked for, else at the first one, else at a replica by the rule.
///
/// # Errors
/// Why the first site cannot be read, if no replica can be either; that a replica's `latest` may not be the latest.
pub(crate) fn open_snapshot(run: &Run, name: &str, filter: &SnapshotFilter, site: Option<&str>) -> Result<Found> {
    let pick = |opened: Opened, all: &Snapshots, first_site_failed| {
        let snapshot = run.resolve(all, name, filter).cloned().map_err(|error| {
            Failure::from(error).while_trying(format!("find snapshot {name} in {}", run.named(&opened)))
        })?;
        let may_be_older = name.starts_with("latest") && !all.damaged.is_empty();
        if may_be_older {
            run.output.warn(&format!(
                "snapshot {} of {} is taken for {name}; one that cannot be read may be newer",
                snapshot.id.short(),
                values::time_seconds(snapshot.entries.time),
            ));
        }
        Ok(Found { opened, snapshot, first_site_failed, may_be_older })
    };
    if site.is_some() {
        let (opened, all) = listed(&at_site(run, site)?)?;
        return pick(opened, &all, None);
    }
    let mut first = run.at(run.location().clone());
    first.settings.aws_profile.clone_from(&run.settings.aws_profile);
    first.settings.first_contact = other_sites(run).map(|_| FIRST_CONTACT);
    let failure = match listed(&first) {
        Ok((opened, all)) => {
            note(run, &opened, &all);
            return pick(opened, &all, None);
        }
        Err(failure) => failure,
    };
    let Some((known, replicas)) = replicas_instead(run, &failure) else { return Err(failure) };
    run.output.warn(&failure.message);
    let mut last = None;
    for replica in &replicas {
        let found =
            listed(&at(run, replica)).and_then(|(opened, all)| pick(opened, &all, Some(failure.message.clone())));
        let found = match found {
            Ok(found) => found,
            Err(other) => {
                run.output.warn(&other.message);
                last = Some(other);
                continue;
            }
        };
        if name.starts_with("latest") {
            let newest = known.newest(host_name().as_bytes(), filter)?;
            if name != "latest" || !is_current(newest.as_ref(), &found.snapshot) {
                return Err(unsure(run, name, newest.as_ref(), &found.snapshot, replica));
            }
        }
        run.output.warn(&format!("reading snapshot {} from the replica at {}", found.snapshot.id, replica.location));
        return Ok(found);
    }
    // A replica that can be read and does not have the snapshot is not what is to be repaired.
    let tail = last.map_or_else(String::new, |last| format!("; nor could a replica help: {}", last.message));
    Err(Failure { message: format!("{}{tail}", failure.message), ..failure })
}

/// The run at the site that was asked for, else the same one.
///
/// # Errors
/// Exit 2 for a site that this machine knows no replica at.
pub(crate) fn at_site(run: &Run, site: Option<&str>) -> Result<Run> {
    let Some(site) = site else { return Ok(run.at(run.location().clone())) };
    let hint = "name the replica's place with --repo";
    let id = run.state.known(run.location())?.ok_or_else(|| {
        Failure::usage(format!("--site: this machine does not know the repository at {}", run.location()), hint)
    })?;
    Ok(at(run, &Known::new(&run.state, id).replica_called(site)?))
}

/// Says of a failure to read the first site that there is a replica.
pub(crate) fn with_replica_hint(run: &Run, failure: Failure) -> Failure {
    let Some((_, replicas)) = replicas_instead(run, &failure) else { return failure };
    let Some(replica) = replicas.first() else { return failure };
    let hint = format!("to read the replica at {} instead: --site {}", replica.location, name(replica, &replicas));
    let before = if failure.hint.is_empty() { String::new() } else { format!("{}; ", failure.hint) };
    Failure { hint: format!("{before}{hint}"), ..failure }
}

/// Remembers which snapshots were seen at the first site. That it cannot be written is no reason to stop.
pub(crate) fn note(run: &Run, opened: &Opened, all: &Snapshots) {
    let known = Known::new(&run.state, opened.id());
    // What a replica has tells nothing of what is newest.
    if known.replica_at(&opened.location).ok().flatten().is_some() {
        return;
    }
    if let Err(failure) = known.note(all.all().iter().map(|snapshot| (snapshot.id, &snapshot.entries))) {
        run.output.info(&failure.message);
    }
}

fn listed(run: &Run) -> Result<(Opened, Snapshots)> {
    let opened = run.open(Need::Read)?;
    let all = run.snapshots(&opened)?;
    Ok((opened, all))
}

fn at(run: &Run, replica: &Replica) -> Run {
    let mut at = run.at(replica.location.clone());
    at.settings.aws_profile.clone_from(&replica.aws_profile);
    at
}

/// The replicas to try after this failure; `None` where there are none, or where another site would not help.
fn replicas_instead<'a>(run: &'a Run, failure: &Failure) -> Option<(Known<'a>, Vec<Replica>)> {
    let helps = !matches!(failure.exit, Exit::Done | Exit::Usage | Exit::WrongKey | Exit::Interrupted);
    helps.then(|| other_sites(run)).flatten()
}

/// The replicas of the repository that was at the run's location, if any are known.
fn other_sites(run: &Run) -> Option<(Known<'_>, Vec<Replica>)> {
    // Each site has a past of its own.
    let id = if run.settings.at.is_some() { None } else { run.state.known(run.location()).ok().flatten() }?;
    let known = Known::new(&run.state, id);
    let mut replicas = known.replicas().ok()?;
    replicas.retain(|replica| replica.location != *run.location());
    (!replicas.is_empty()).then_some((known, replicas))
}

/// What to call a replica by.
fn name(replica: &Replica, all: &[Replica]) -> String {
    match &replica.location {
        Location::S3 { site, .. } => {
            let same = |other: &&Replica| matches!(&other.location, Location::S3 { site: its, .. } if its == site);
            if all.iter().filter(same).count() == 1 { site.clone() } else { replica.location.to_string() }
        }
        Location::Local(_) => replica.location.to_string(),
    }
}

/// The failure that leaves the choice to whoever restores.
fn unsure(run: &Run, asked: &str, known: Option<&Newest>, there: &Snapshot, replica: &Replica) -> Failure {
    let age = |time: cairn::clock::Timestamp| {
        let now = run.clock.now().to_system_time().zip(time.to_system_time());
        let age = now.and_then(|(now, then)| now.duration_since(then).ok());
        let age = age.map_or_else(String::new, |age| format!(", {} ago", values::duration(age)));
        format!("of {}{age}", values::time_seconds(time))
    };
    let known = match known {
        Some(known) => {
            format!("the last one that this machine has heard of is {} {}", known.id.short(), age(known.time))
        }
        None => "this machine has not heard of any".to_owned(),
    };
    let (location, id) = (&replica.location, there.id.short());
    Failure::new(
        Exit::Failed,
        "replica-behind",
        format!(
            "cannot take the {asked} snapshot from the replica at {location} without being told to: {known}; \
             the replica's is {id} {}",
            age(there.entries.time)
        ),
        format!(
            "to read it all the same, run the command again with `{asked} --site {}`, or name the snapshot: {id}",
            name(replica, std::slice::from_ref(replica))
        ),
    )
}
