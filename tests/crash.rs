//! Crashes and failures at every operation of the store: what was committed stays whole, and the same command run again
//! succeeds.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests say what they covered")]

mod support;

use cairn::engine::EngineError;
use cairn::repository::RepositoryError;
use cairn::storage::{ErrorKind, MemoryStorage};
use std::path::Path;
use support::fault::{FaultStore, Plan};
use support::tree::{self, Numbers};

/// What a command under test came to.
enum Came {
    Done,
    Failed,
}

fn run(
    storage: &MemoryStorage,
    plan: Plan,
    command: &dyn Fn(&FaultStoreArc) -> Result<(), EngineError>,
) -> (Came, u64) {
    let store = FaultStore::new(storage.clone(), plan);
    let came = match command(&store) {
        Ok(()) => Came::Done,
        Err(_) => Came::Failed,
    };
    (came, store.operations())
}

type FaultStoreArc = std::sync::Arc<FaultStore>;

fn init(store: &FaultStoreArc) -> Result<(), EngineError> {
    support::create(store.access(), 1).map(drop).map_err(EngineError::from)
}

fn backup(store: &FaultStoreArc, source: &Path, seed: u64) -> Result<(), EngineError> {
    let repository = support::reopen(store.access(), seed)?;
    support::backup(&support::context(repository, 0), &[source]).map(drop)
}

/// Every plan that is to be tried for a command of `operations` operations.
fn plans(operations: u64) -> Vec<Plan> {
    let step = if support::is_full() { 1 } else { (operations / 12).max(1) };
    let mut plans = Vec::new();
    for at in (0..operations).step_by(step as usize).chain([operations - 1]) {
        plans.extend([Plan::CrashBefore(at), Plan::CrashAfter(at)]);
        for kind in [ErrorKind::NoSpace, ErrorKind::Other, ErrorKind::Denied] {
            plans.extend([Plan::Once(at, kind), Plan::From(at, kind)]);
        }
    }
    plans
}

/// Everything committed restores, and the whole repository checks.
fn expect_whole(
    storage: &MemoryStorage,
    expected: &[(String, std::collections::BTreeMap<std::path::PathBuf, String>)],
) {
    let store = FaultStore::new(storage.clone(), Plan::None);
    let repository = support::reopen(store.access(), 99).unwrap();
    let cx = support::context(repository, 0);
    support::expect_clean(&cx);
    for (id, description) in expected {
        let target = tempfile::tempdir().unwrap();
        support::restore(&cx, id, target.path()).unwrap();
        let found = support::compare::differences_of(description, &support::compare::describe(target.path()));
        assert_eq!(found, Vec::<String>::new(), "snapshot {id}");
    }
}

#[test]
fn init_can_be_cut_anywhere_and_repeated() {
    let (_, operations) = run(&MemoryStorage::new(), Plan::None, &init);
    let mut tried = 0;
    for plan in plans(operations) {
        let storage = MemoryStorage::new();
        let (came, _) = run(&storage, plan, &init);
        // Either it is there and opens, or it can be made.
        match support::reopen(FaultStore::new(storage.clone(), Plan::None).access(), 2) {
            Ok(_) => {}
            Err(RepositoryError::NotThere) => {
                assert!(matches!(came, Came::Failed), "{plan:?}: said to be done, and nothing is there");
                init(&FaultStore::new(storage.clone(), Plan::None)).unwrap();
                support::reopen(FaultStore::new(storage, Plan::None).access(), 2).unwrap();
            }
            Err(error) => panic!("{plan:?}: {error}"),
        }
        tried += 1;
    }
    println!("counts: crash and failure, init: {operations} operations, {tried} plans");
}

#[test]
fn backup_can_be_cut_anywhere_and_repeated() {
    let seed = support::seed("crash");
    let source = tempfile::tempdir().unwrap();
    let mut numbers = Numbers(seed);
    tree::make(source.path(), if support::is_full() { 120 } else { 40 }, &mut numbers);
    let base = MemoryStorage::new();
    init(&FaultStore::new(base.clone(), Plan::None)).unwrap();
    let empty = base.snapshot();
    backup(&FaultStore::new(base.clone(), Plan::None), source.path(), 3).unwrap();
    let first_id = support::only_snapshot(&base);
    let first = support::describe_as_restored(source.path());
    let one = base.snapshot();
    tree::change(source.path(), &mut numbers);
    let second = support::describe_as_restored(source.path());

    let mut tried = 0;
    let mut adopted = 0;
    for (state, expected) in [(&empty, vec![]), (&one, vec![(first_id, first)])] {
        let command = |store: &FaultStoreArc| backup(store, source.path(), 4);
        let (_, operations) = run(&MemoryStorage::from_map(state.clone()), Plan::None, &command);
        for plan in plans(operations) {
            let storage = MemoryStorage::from_map(state.clone());
            let (came, _) = run(&storage, plan, &command);
            let before = support::snapshots(&storage);
            if matches!(came, Came::Done) {
                assert_eq!(before.len(), expected.len() + 1, "{plan:?}: done without a snapshot");
            }
            expect_whole(&storage, &expected);
            // The same again: succeeds, takes over what the first try stored, and is whole.
            let store = FaultStore::new(storage.clone(), Plan::None);
            let repository = support::reopen(store.access(), 5).unwrap();
            let report = support::backup(&support::context(repository, 0), &[source.path()]).unwrap();
            adopted += report.adopted_packs;
            let mut all = expected.clone();
            all.push((report.snapshot.unwrap().to_string(), second.clone()));
            expect_whole(&storage, &all);
            tried += 1;
        }
        println!("counts: crash and failure, backup: {operations} operations");
    }
    println!("counts: crash and failure, backup: {tried} plans, {adopted} packs adopted");
    assert!(adopted > 0, "no plan left anything to adopt: the test would not notice if adoption did not work");
}

/// The check must be able to turn red: a store that says it stored what it dropped is noticed.
#[test]
fn a_lost_object_is_noticed() {
    let source = tempfile::tempdir().unwrap();
    tree::make(source.path(), 30, &mut Numbers(1));
    let storage = MemoryStorage::new();
    init(&FaultStore::new(storage.clone(), Plan::None)).unwrap();
    backup(&FaultStore::new(storage.clone(), Plan::None), source.path(), 3).unwrap();
    let whole = storage.snapshot();
    let mut noticed = 0;
    for name in whole.keys() {
        if name.as_str().contains("/sessions/") {
            continue;
        }
        let mut contents = whole.clone();
        contents.remove(name);
        let lost = MemoryStorage::from_map(contents);
        let store = FaultStore::new(lost, Plan::None);
        let is_whole = match support::reopen(store.access(), 6) {
            Ok(repository) => support::is_clean(&support::context(repository, 0)),
            Err(_) => false,
        };
        // The dataset root has a copy in every slot; a slot and a cell have none to miss them by here.
        assert!(!is_whole || !name.as_str().starts_with("d/") || name.as_str().contains("/snapshots/"), "{name}");
        noticed += u32::from(!is_whole);
    }
    println!("counts: {noticed} of {} lost objects noticed", whole.len());
}
