//! `cairn init --replica-of` and `cairn replicate`: the sealed objects of a repository at a second site. The gate stands
//! before the replica as it does before the repository, and under the same policy unless its owner says otherwise.

use crate::args::{InitArgs, ReplicateArgs};
use crate::commands::init::{self, Place};
use crate::commands::residency;
use crate::exit::{Exit, Failure, Result};
use crate::progress::Progress;
use crate::record::{self, Beginning, Record};
use crate::remote::{checks_line, place_line};
use crate::replicas::{Known, Replica};
use crate::run::{Need, Opened, Reached, Run};
use crate::settings::parse_location;
use crate::{secrets, signals, values};
use cairn::audit::recorder as audit;
use cairn::engine::replicate::{self, ReplicateReport, Transfer};
use cairn::format::layout;
use cairn::progress::{EventSink, Silent};
use cairn::repository::open::Unverified;
use cairn::repository::{Access, RepositoryError};
use cairn::residency::{Pin, Policy};
use serde_json::{Value, json};
use std::ffi::OsStr;
use std::sync::Arc;
use std::time::Duration;

/// Fewest objects under way at once.
const PARALLEL_MIN: usize = 2;

/// What is replicated.
struct Source {
    reached: Reached,
    found: Unverified,
    /// It, open, where a key is at hand.
    opened: Option<Opened>,
}

/// Where a replica may be, as far as its owner said so.
struct Wish<'a> {
    pin: Option<&'a Pin>,
    /// What was said before, which needs no second word.
    remembered: Option<&'a Pin>,
    may_widen: bool,
    deny_us_parent: bool,
}

/// Makes a replica: keys and configuration. What is in it comes with `cairn replicate`.
pub(crate) fn init(run: &Run, args: &InitArgs, of: &OsStr) -> Result<Exit> {
    let mut from = run.at(parse_location(of)?);
    from.settings.aws_profile.clone_from(&args.from_aws_profile);
    if from.location() == run.location() {
        return Err(same_place(run));
    }
    let tried = || format!("make a replica of {} at {}", from.location(), run.location());
    let source = find_source(&from)?;
    let wish = Wish {
        pin: args.pin.as_ref(),
        remembered: None,
        may_widen: args.widen_pin,
        deny_us_parent: args.deny_us_parent,
    };
    let policy = policy(&from, &source, &wish)?;
    let lock = run.state.lock_init()?;
    run.reach(Some(&policy))?;
    if let Some((_, found)) = run.find(Need::Read)? {
        let exists = Failure::from(RepositoryError::Exists(found.repository().to_string()));
        return Err(exists.while_trying(tried()).with_hint(if found.repository() == source.found.repository() {
            "it is a replica already: `cairn replicate` brings it up to date"
        } else {
            "choose another place"
        }));
    }
    let place = init::place(run, &policy).map_err(|failure| failure.while_trying(tried()))?;
    place.probe(run)?;
    let transfer = transfer(run, &source, &place, Arc::new(Silent))?;
    let id = replicate::init(&transfer).map_err(|error| Failure::from(error).while_trying(tried()))?;
    run.state.remember(run.location(), &id, run.clock.now())?;
    from.state.remember(from.location(), &id, run.clock.now())?;
    Known::new(&run.state, id).set_replica(Replica {
        location: run.location().clone(),
        aws_profile: None,
        pin: args.pin.clone(),
        replicated: None,
    })?;
    declare(run, &source, &place)?;
    drop(lock);
    run.output.text(&format!("replica of repository {id} made at {}; it holds no snapshot yet", run.location()))?;
    if let Some(judged) = &place.judged {
        run.output.text(&place_line(judged))?;
        run.output.text(&checks_line(&judged.verdict))?;
    }
    run.output.text(&format!("next: cairn replicate --repo {} --to {}", from.location(), run.location()))?;
    run.output.object(&json!({
        "message_type": "summary",
        "repository_id": id.to_string(),
        "repository": from.location().to_string(),
        "replica": run.location().to_string(),
        "residency": place.judged.as_ref().map(|judged| crate::remote::object(&judged.verdict)),
    }))?;
    Ok(Exit::Done)
}

/// Copies to a replica what it does not have.
pub(crate) fn run(run: &Run, args: &ReplicateArgs) -> Result<Exit> {
    let mut to = run.at(parse_location(&args.to)?);
    if to.location() == run.location() {
        return Err(same_place(run));
    }
    let source = find_source(run)?;
    let id = source.found.repository();
    let known = Known::new(&run.state, id);
    let before = known.replica_at(to.location())?;
    let profile = args.to_aws_profile.clone().or_else(|| before.as_ref().and_then(|known| known.aws_profile.clone()));
    to.settings.aws_profile.clone_from(&profile);
    let remembered = before.and_then(|known| known.pin);
    let wish = Wish {
        pin: args.pin.as_ref(),
        remembered: remembered.as_ref(),
        may_widen: args.widen_pin,
        deny_us_parent: args.deny_us_parent,
    };
    let policy = policy(run, &source, &wish)?;
    let tried = || format!("replicate {} to {}", run.location(), to.location());
    let hint = || format!("`cairn init --replica-of {} --repo {}` makes a replica", run.location(), to.location());
    let place = init::place_at(&to, &policy, cairn::storage::connect).map_err(|failure| match failure.exit {
        Exit::NoRepository => failure.while_trying(tried()).with_hint(hint()),
        _ => failure.while_trying(tried()),
    })?;

    let in_log = record::Place {
        id,
        opened: source.opened.as_ref(),
        store: None,
        judged: place.judged.as_ref(),
        remote: place.remote.clone(),
    };
    let record = begin(run, &to, in_log, &place)?;
    let mut fields = json!({});
    let ended = send(run, &to, args, (&source, &place), (profile, remembered), &mut fields);
    record.end(ended, fields)
}

/// Begins the record: on this host, and where it cannot be kept here, in the replica, which is the same repository.
fn begin(run: &Run, to: &Run, mut in_log: record::Place<'_>, place: &Place) -> Result<Record> {
    let beginning = || Beginning { need: audit::Need::Add, operation: "replicate", purpose: "", fields: json!({}) };
    let failure = match run.begin_at(&in_log, beginning()) {
        Err(failure) if failure.exit == Exit::NoLog => failure,
        begun => return begun,
    };
    let is_same = to.find(Need::Read)?.is_some_and(|(_, found)| found.repository() == in_log.id);
    in_log.store = place.publish.clone().filter(|_| is_same).map(|publish| (place.store.fetch().clone(), publish));
    if in_log.store.is_none() {
        return Err(failure);
    }
    run.begin_at(&in_log, beginning())
}

fn send(
    run: &Run,
    to: &Run,
    args: &ReplicateArgs,
    (source, place): (&Source, &Place),
    (profile, remembered): (Option<String>, Option<Pin>),
    fields: &mut Value,
) -> Result<Exit> {
    let id = source.found.repository();
    let known = Known::new(&run.state, id);
    let tried = || format!("replicate {} to {}", run.location(), to.location());
    let hint = || format!("`cairn init --replica-of {} --repo {}` makes a replica", run.location(), to.location());
    let begun = run.clock.elapsed();
    let progress = Progress::start(&run.output, &run.state, run.settings.fps);
    signals::watch(&run.stop);
    let copied = transfer(run, source, place, progress.sink()).and_then(|transfer| {
        replicate::run(&transfer).map_err(|error| {
            let failure = Failure::from(error).while_trying(tried());
            match failure.exit {
                Exit::NoRepository => failure.with_hint(hint()),
                Exit::Interrupted => failure.with_hint("what was copied stays; run the same command again"),
                _ => failure,
            }
        })
    });
    drop(progress);
    let report = copied?;
    *fields = json!({
        "objects": report.objects_copied,
        "bytes": report.bytes_copied,
        "snapshots": report.cells_copied,
        "problems": report.problems_count,
    });
    declare(to, source, place)?;
    let is_complete = report.problems_count == 0;
    let now = run.clock.now();
    let before = known.replica_at(to.location())?.and_then(|known| known.replicated);
    known.set_replica(Replica {
        location: to.location().clone(),
        aws_profile: profile,
        pin: args.pin.clone().or(remembered),
        replicated: if is_complete { Some(now) } else { before },
    })?;
    run.state.remember(to.location(), &id, now)?;
    say(run, to, source, place, &report, run.clock.elapsed().saturating_sub(begun))?;
    Ok(if is_complete { Exit::Done } else { Exit::Damage })
}

fn same_place(run: &Run) -> Failure {
    Failure::usage(format!("the replica and the repository are the same place: {}", run.location()), "name two")
}

fn find_source(from: &Run) -> Result<Source> {
    let (reached, found) = from.find_existing(Need::Read)?;
    from.expect_same(&found, Need::Write)?;
    let opened = if secrets::is_at_hand(&from.settings, &found.repository()) {
        Some(from.open_found(reached.clone(), &found, Need::Read)?)
    } else {
        None
    };
    Ok(Source { reached, found, opened })
}

/// Under which policy the replica is judged.
///
/// # Errors
/// Exit 12 where only a key could tell, exit 20 for a wider pin that nobody answers for.
fn policy(from: &Run, source: &Source, wish: &Wish<'_>) -> Result<Policy> {
    let wanted = wish.pin.or(wish.remembered);
    let own = match &source.opened {
        Some(opened) => from.policy(opened)?,
        None => {
            let tried = || format!("read the policy of the repository at {}", from.location());
            let changed = source.reached.store.fetch().list(&layout::policies());
            let changed = changed.map_err(|error| Failure::from(error).while_trying(tried()))?;
            if !changed.is_empty() && wanted.is_none() {
                return Err(Failure::new(
                    Exit::WrongKey,
                    "no-key",
                    "where data may be was changed since the repository was made, and only a key can read how",
                    "name a key, or say where the replica may be: --pin, and --deny-us-parent if that holds",
                ));
            }
            Policy::new(source.found.config().pin.clone())
        }
    };
    let pin = wanted.unwrap_or(&own.pin);
    if pin.is_wider_than(&own.pin) {
        if !wish.may_widen && wish.remembered != Some(pin) {
            return Err(Failure::new(
                Exit::Residency,
                "residency-refused",
                format!("the replica may be in {pin}, but data of the repository may only be in {}", own.pin),
                "say so with --widen-pin, if whoever owns the data agrees",
            ));
        }
        from.output.warn(&format!("the replica may be in {pin}, and the repository only in {}", own.pin));
    }
    Ok(Policy { pin: pin.clone(), deny_us_parent: own.deny_us_parent || wish.deny_us_parent, ..own })
}

fn transfer(run: &Run, source: &Source, place: &Place, sink: Arc<dyn EventSink>) -> Result<Transfer> {
    let publish = place.publish.clone().ok_or_else(|| {
        Failure::new(Exit::Failed, "read-only", "the replica can only be read here", "open it for writing")
    })?;
    let (from, target) = (source.reached.store.fetch().clone(), place.store.fetch().clone());
    let threads = PARALLEL_MIN.max(from.request_cost().parallel).max(target.request_cost().parallel);
    Ok(Transfer { source: from, target, publish, sink, stop: run.stop.clone(), threads })
}

/// Keeps the declaration of the replica's site in the replica, where a machine that has nothing else finds it. Sealing it
/// needs a key; without one it stays on this host.
fn declare(to: &Run, source: &Source, place: &Place) -> Result<()> {
    if source.opened.is_none() || place.remote.as_ref().is_none_or(|remote| remote.declared.is_none()) {
        return Ok(());
    }
    let access = Access { fetch: place.store.fetch().clone(), publish: place.publish.clone() };
    let unlock = secrets::unlock(&to.settings, &source.found.repository(), &to.output)?;
    let opened = cairn::repository::open::open_identified(access, &source.found, &unlock, to.random.clone());
    let repository = opened.map_err(|error| Failure::from(error).while_trying(format!("open {}", to.location())))?;
    let opened = Opened {
        repository: Arc::new(repository),
        location: to.location().clone(),
        store: place.store.clone(),
        remote: place.remote.clone(),
        judged: None,
        records: None,
    };
    residency::publish_declaration(to, &opened)
}

fn say(run: &Run, to: &Run, source: &Source, place: &Place, report: &ReplicateReport, took: Duration) -> Result<()> {
    if let Some(judged) = &place.judged {
        run.output.info(&place_line(judged));
        run.output.info(&checks_line(&judged.verdict));
    }
    run.output.object(&json!({
        "message_type": "summary",
        "repository_id": source.found.repository().to_string(),
        "repository": run.location().to_string(),
        "replica": to.location().to_string(),
        "objects_copied": report.objects_copied,
        "bytes_copied": report.bytes_copied,
        "objects_known": report.objects_known,
        "objects_only_there": report.objects_only_there,
        "cells_copied": report.cells_copied,
        "num_errors": report.problems_count,
        "total_duration_s": took.as_secs_f64(),
        "residency": place.judged.as_ref().map(|judged| crate::remote::object(&judged.verdict)),
    }))?;
    let outcome = match report.problems_count {
        0 => "the replica is complete".to_owned(),
        count => format!("{} not copied", values::count(count, "OBJECT IS", "OBJECTS ARE")),
    };
    let separator = if run.output.is_terminal() { "\n  " } else { "; " };
    run.output.closing(&format!(
        "{outcome}: {} copied ({}), {} there already, {} new, in {}{separator}repository {} at {}, replica at {}",
        values::count(report.objects_copied, "object", "objects"),
        values::size(report.bytes_copied),
        report.objects_known,
        values::count(report.cells_copied, "snapshot or checkpoint", "snapshots and checkpoints"),
        values::duration(took),
        source.found.repository().short(),
        run.location(),
        to.location(),
    ))
}
