//! Every fault that the proxy knows, at every request of a backup and of a restore over S3, once and from there on: the
//! command succeeds or says why not; what it acknowledged is there and whole, and what it left behind is no obstacle to the
//! next run. Nothing goes to a second server, whatever an answer says.
//!
//! A command is run as the program runs it, with its order of requests, its cache, its verdict. By default a sample of all
//! pairs of request and fault is tried; a full run tries each. `CAIRN_TEST_FAULT` names the one kind to try.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests say what they covered")]
#![allow(clippy::disallowed_methods, reason = "one kind of fault can be asked for")]

mod kinds;
#[allow(unused_imports, reason = "each test uses its part")]
#[path = "../support/proxy/mod.rs"]
mod proxy;
#[path = "../support/servers/mod.rs"]
mod servers;
#[path = "../support/site.rs"]
mod site;
#[path = "../support/mod.rs"]
mod support;
mod world;

use kinds::{Kind, Sort, kinds};
use proxy::{Proxy, When};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use support::compare::{describe, differences_of};
use support::tree::Numbers;
use world::{Failed, Machine, Meeting, World, expect_whole};

/// Which requests of `count` meet a fault: all, or a random one.
fn sample(count: usize, numbers: &mut Numbers) -> Vec<usize> {
    if support::is_full() { (0..count).collect() } else { vec![numbers.below(count as u64) as usize] }
}

/// What came of all that was tried.
#[derive(Default)]
struct Tally {
    plans: usize,
    succeeded: usize,
    /// Commands that were over before the request that was to meet the fault.
    missed: usize,
    /// Packs of backups that failed that the next one took over.
    adopted: u64,
    failed: BTreeMap<String, usize>,
}

impl Tally {
    fn failed(&mut self, failed: &Failed) {
        *self.failed.entry(failed.kind.clone()).or_default() += 1;
    }

    fn and(mut self, other: Self) -> Self {
        self.plans += other.plans;
        self.succeeded += other.succeeded;
        self.missed += other.missed;
        self.adopted += other.adopted;
        for (kind, count) in other.failed {
            *self.failed.entry(kind).or_default() += count;
        }
        self
    }

    fn print(&self, command: &str, requests: [usize; 2], kinds: usize) {
        let Self { plans, succeeded, missed, adopted, failed } = self;
        println!("counts: faults, {command}: {requests:?} requests without and with threads, {kinds} kinds of fault");
        println!(
            "counts: faults, {command}: {plans} plans, {succeeded} succeeded, {adopted} packs adopted, errors: {failed:?}"
        );
        // With threads the number of requests is not the same each time.
        assert!(*missed <= 2 + plans / 50, "{missed} of {plans} faults met nothing");
    }
}

/// Says what was tried, on what, and why it failed.
fn expect_clear(failed: &Failed, what: &str) {
    let text = &failed.text;
    let parts = [
        "cannot ",
        " is damaged",
        " is in no index segment",
        "commit cell exists",
        "s3://",
        // A slot with a wrong bit cannot be told from one that another key opens.
        "key slots opens",
    ];
    let names_what_was_tried = parts.iter().any(|part| text.contains(part));
    assert!(names_what_was_tried, "{what}: {failed:?}");
    assert!(!text.contains("panicked") && !failed.kind.contains("Worker"), "{what}: {failed:?}");
}

/// What every command has to keep to, whatever it does. Returns whether it met the fault.
fn expect_allowed(meeting: &Meeting<'_>, met: bool, failed: Option<&Failed>, what: &str) {
    if let Some(failed) = failed {
        expect_clear(failed, what);
    }
    match meeting.kind.sort {
        _ if !met => assert!(failed.is_none(), "{what}: failed without a fault: {failed:?}"),
        Sort::Harmless => assert!(failed.is_none(), "{what}: {failed:?}"),
        Sort::Passing | Sort::Silent | Sort::Stalling if !meeting.stays => {
            assert!(failed.is_none(), "{what}: {failed:?}")
        }
        _ => {}
    }
    if let Some(failed) = failed.filter(|_| !matches!(meeting.kind.sort, Sort::Altered)) {
        assert!(!failed.kind.contains("damage"), "{what}: no bit was wrong: {failed:?}");
    }
}

/// How long a request may take where the fault stays. Where all of them fail that is how long a plan takes; but on a busy
/// machine a request without a fault may take longer than the first: then the plan is tried again with the next.
const PATIENCE: [Duration; 3] = [Duration::from_millis(300), Duration::from_secs(4), Duration::from_secs(60)];

/// What came of a command that met a fault, or did not.
struct Came<'a, T> {
    proxy: Proxy,
    meeting: Meeting<'a>,
    met: bool,
    came: Result<T, Failed>,
}

/// Runs a command behind a proxy with the fault. It gets the number of the try: what the one before left is not to be used.
fn meet<'a, T>(
    world: &World,
    meeting: Meeting<'a>,
    mut run: impl FnMut(&Proxy, Meeting<'a>, usize) -> Result<T, Failed>,
) -> Came<'a, T> {
    for (number, patience) in PATIENCE.into_iter().enumerate() {
        let (meeting, proxy) = (Meeting { patience, ..meeting }, world.proxy());
        let when = if meeting.stays { When::any().after(meeting.at) } else { When::any().nth(meeting.at) };
        let rule = proxy.add(when, meeting.kind.action.clone());
        let came = run(&proxy, meeting, number);
        let met = proxy.counts(rule).requests > 0;
        let was_hasty =
            !met && meeting.is_short() && came.as_ref().is_err_and(|failed| failed.kind.contains("Transient"));
        if !was_hasty || number + 1 == PATIENCE.len() {
            return Came { proxy, meeting, met, came };
        }
    }
    unreachable!("the last try is returned")
}

/// Most plans that are tried side by side: each waits for the network, or for nobody who answers, for most of its time.
const SIDE_BY_SIDE: usize = 8;

/// Goes through all that is to be tried, several at a time. `run` gets each with its number and the workers to use.
fn each(
    name: &str,
    kinds: &[Kind],
    requests: [usize; 2],
    run: impl Fn(&mut Tally, usize, Meeting<'_>, usize, &str) + Sync,
) -> Tally {
    let mut numbers = Numbers(support::seed(name));
    let mut plans = Vec::new();
    let only = std::env::var("CAIRN_TEST_FAULT").ok();
    let kinds: Vec<_> = kinds.iter().filter(|kind| only.as_deref().is_none_or(|only| only == kind.name)).collect();
    assert!(!kinds.is_empty(), "there is no fault of that name");
    let pairs = kinds.iter().flat_map(|kind| [(kind, false), (kind, true)]);
    for (index, (kind, stays)) in pairs.enumerate() {
        for (workers, count) in [0, 2].into_iter().zip(requests) {
            // Of a sample half is run with threads: what meets the fault once of one kind, and with it staying of the next.
            if !support::is_full() && [0, 3].contains(&(index % 4)) != (workers == 0) {
                continue;
            }
            for at in sample(count, &mut numbers) {
                let meeting = Meeting { kind, at, stays, patience: PATIENCE[0] };
                let often = if stays { "from there on" } else { "once" };
                let what = format!("{} at request {at} of {count}, {often}, {workers} workers", kind.name);
                plans.push((meeting, workers, what));
            }
        }
    }
    let side_by_side = if support::is_full() { SIDE_BY_SIDE } else { 2 };
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let try_some = || {
            let mut tally = Tally::default();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let Some((meeting, workers, what)) = plans.get(number) else { return tally };
                run(&mut tally, number, *meeting, *workers, what);
            }
        };
        let running: Vec<_> = (0..side_by_side).map(|_| scope.spawn(try_some)).collect();
        running.into_iter().fold(Tally::default(), |all, some| match some.join() {
            Ok(tally) => all.and(tally),
            Err(panic) => std::panic::resume_unwind(panic),
        })
    })
}

#[test]
fn a_backup_meets_every_fault_at_every_request() {
    let world = World::new();
    let caches = tempfile::tempdir().unwrap();
    let requests = [0, 2].map(|workers| {
        let prefix = format!("whole-{workers}");
        world.place(&prefix);
        let (proxy, cache) = (world.proxy(), caches.path().join(&prefix));
        world.backup(&proxy, Machine { prefix: &prefix, cache: &cache, workers }, None).unwrap();
        assert_eq!(expect_whole(&world.contents(&prefix), &world.snapshots, &world.now), 2);
        proxy.requests().len()
    });
    let elsewhere = world.sink.address().to_string();
    let kinds = kinds(support::seed("faults: which bit") % 4000, &elsewhere);
    let tally = each("faults: backup", &kinds, requests, |tally, number, meeting, workers, what| {
        let (mut prefix, mut cache) = (String::new(), PathBuf::new());
        let Came { proxy, meeting, met, came } = meet(&world, meeting, |proxy, meeting, again| {
            (prefix, cache) = (format!("plan-{number}-{again}"), caches.path().join(format!("{number}-{again}")));
            world.place(&prefix);
            world.backup(proxy, Machine { prefix: &prefix, cache: &cache, workers }, Some(meeting))
        });
        let machine = Machine { prefix: &prefix, cache: &cache, workers };
        tally.plans += 1;
        tally.missed += usize::from(!met);
        expect_allowed(&meeting, met, came.as_ref().err(), what);
        assert!(came.is_err() || !meeting.is_fatal() || !met, "{what}: it cannot have succeeded");
        expect_nothing_sent_elsewhere(&proxy, &meeting, workers, &came, what);
        proxy.clear();

        let mut known = world.snapshots.clone();
        match &came {
            Ok(report) => {
                tally.succeeded += 1;
                known.push((report.snapshot.unwrap().to_string(), world.now.clone()));
            }
            Err(failed) => tally.failed(failed),
        }
        let left = world.contents(&prefix);
        expect_whole(&left, &known, &world.now);
        if came.is_err() {
            // The same again succeeds, with the same cache.
            let report = world.backup(&proxy, machine, None).unwrap_or_else(|failed| panic!("{what}: {failed:?}"));
            tally.adopted += report.adopted_packs;
            known.push((report.snapshot.unwrap().to_string(), world.now.clone()));
            expect_whole(&world.contents(&prefix), &known, &world.now);
        }
    });
    tally.print("backup", requests, kinds.len());
    assert_eq!((world.sink.connections(), world.sink.bytes()), (0, 0), "the second server got something");
}

/// After an answer that leads elsewhere no object is sent any more.
fn expect_nothing_sent_elsewhere<T>(
    proxy: &Proxy,
    meeting: &Meeting<'_>,
    workers: usize,
    came: &Result<T, Failed>,
    what: &str,
) {
    if meeting.kind.sort != Sort::Elsewhere {
        return;
    }
    let seen = proxy.requests();
    let after = seen.iter().skip(meeting.at + 1).filter(|seen| seen.head.method() == "PUT").count();
    // With threads some may have been under way already.
    assert!(after == 0 || workers > 0, "{what}: {after} more were sent");
    match came {
        Ok(_) => assert!(meeting.kind.name.contains("header") && after == 0, "{what}: it succeeded"),
        Err(failed) => {
            let expected = ["refused by the verdict", "storage, Refused", "storage, Other"];
            assert!(expected.contains(&failed.kind.as_str()), "{what}: {failed:?}");
        }
    }
}

/// What is under its name after a restore that failed is as it should be, and nothing else is there.
fn expect_only_whole_entries(world: &World, target: &Path, what: &str) {
    if !target.exists() {
        return;
    }
    // Directories get their metadata last, and of several names of a file some may be missing.
    let shortened = |description: world::Description| -> world::Description {
        let entries = description.into_iter().filter(|(_, line)| !line.starts_with("directory"));
        entries.map(|(path, line)| (path, line.split(" links ").next().unwrap().to_owned())).collect()
    };
    let mut differences = differences_of(&shortened(world.now.clone()), &shortened(describe(target)));
    differences.retain(|line| !line.starts_with("missing: "));
    assert_eq!(differences, Vec::<String>::new(), "{what}");
}

#[test]
fn a_restore_meets_every_fault_at_every_request() {
    let world = World::with_second_snapshot();
    world.place("base");
    let places = tempfile::tempdir().unwrap();
    let requests = [0, 2].map(|workers| {
        let (proxy, cache) = (world.proxy(), places.path().join(format!("cache-whole-{workers}")));
        let target = places.path().join(format!("whole-{workers}"));
        let machine = Machine { prefix: "base", cache: &cache, workers };
        let report = world.restore(&proxy, machine, None, &target).unwrap();
        assert_eq!((report.failed, differences_of(&world.now, &describe(&target))), (0, Vec::new()));
        proxy.requests().len()
    });
    let elsewhere = world.sink.address().to_string();
    let kinds = kinds(support::seed("faults: which bit") % 4000, &elsewhere);
    let tally = each("faults: restore", &kinds, requests, |tally, number, meeting, workers, what| {
        let (mut target, mut cache) = (PathBuf::new(), PathBuf::new());
        let Came { proxy, meeting, met, came } = meet(&world, meeting, |proxy, meeting, again| {
            target = places.path().join(format!("{number}-{again}"));
            cache = places.path().join(format!("cache-{number}-{again}"));
            let machine = Machine { prefix: "base", cache: &cache, workers };
            let report = world.restore(proxy, machine, Some(meeting), &target)?;
            let Some(first) = report.failures.first() else { return Ok(report) };
            let kind = if report.damaged > 0 { "incomplete, damage" } else { "incomplete" };
            Err(Failed { kind: kind.into(), text: format!("{}: {}", first.path.escape_ascii(), first.message) })
        });
        let machine = Machine { prefix: "base", cache: &cache, workers };
        tally.plans += 1;
        tally.missed += usize::from(!met);
        expect_allowed(&meeting, met, came.as_ref().err(), what);
        match &came {
            Ok(_) => {
                tally.succeeded += 1;
                assert_eq!(differences_of(&world.now, &describe(&target)), Vec::<String>::new(), "{what}");
            }
            Err(failed) => {
                tally.failed(failed);
                // A store that is out of reach is said to be, and not one file after the other to be unreadable.
                let is_passing = matches!(meeting.kind.sort, Sort::Passing | Sort::Silent | Sort::Stalling);
                assert!(!is_passing || failed.kind == "storage, Transient", "{what}: {failed:?}");
                assert!(!meeting.kind.name.contains("header"), "{what}: a hint stops no restore: {failed:?}");
                expect_only_whole_entries(&world, &target, what);
                proxy.clear();
                let report = world.restore(&proxy, machine, None, &target);
                let report = report.unwrap_or_else(|failed| panic!("{what}: {failed:?}"));
                assert_eq!((report.failed, differences_of(&world.now, &describe(&target))), (0, Vec::new()), "{what}");
            }
        }
        std::fs::remove_dir_all(&target).ok();
    });
    tally.print("restore", requests, kinds.len());
    assert_eq!((world.sink.connections(), world.sink.bytes()), (0, 0), "the second server got something");
}
