//! Replicas: byte for byte what the source has, at no point a snapshot without its objects, whatever fails on the way.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests say what they covered")]

mod support;

use cairn::engine::EngineError;
use cairn::engine::replicate::{self, ReplicateReport, Transfer};
use cairn::progress::Silent;
use cairn::repository::RepositoryError;
use cairn::storage::{ErrorKind, MemoryStorage};
use std::sync::Arc;
use support::fault::{FaultStore, Plan};
use support::tree::{self, Numbers};

fn transfer(source: &MemoryStorage, target: &Arc<FaultStore>, threads: usize) -> Transfer {
    let access = target.access();
    let source = FaultStore::new(source.clone(), Plan::None).access().fetch;
    let publish = access.publish.unwrap();
    Transfer { source, target: access.fetch, publish, sink: Arc::new(Silent), stop: Arc::default(), threads }
}

/// A repository with two snapshots.
fn repository() -> (MemoryStorage, tempfile::TempDir) {
    let source = tempfile::tempdir().unwrap();
    tree::make(source.path(), 20, &mut Numbers(3));
    let storage = MemoryStorage::new();
    let access = FaultStore::new(storage.clone(), Plan::None).access();
    let cx = support::context(support::create(access, 1).unwrap(), 0);
    support::backup(&cx, &[source.path()]).unwrap();
    std::fs::write(source.path().join("later"), vec![b'x'; 5000]).unwrap();
    support::backup(&cx, &[source.path()]).unwrap();
    (storage, source)
}

fn whole(target: &MemoryStorage) -> Arc<FaultStore> {
    FaultStore::new(target.clone(), Plan::None)
}

#[test]
fn a_replica_is_the_same_objects_and_restores_by_itself() {
    let (storage, source) = repository();
    for threads in [0, 3] {
        let target = MemoryStorage::new();
        let transfer = transfer(&storage, &whole(&target), threads);
        assert!(matches!(replicate::run(&transfer), Err(EngineError::Repository(RepositoryError::NotThere))));
        replicate::init(&transfer).unwrap();
        let report = replicate::run(&transfer).unwrap();
        assert_eq!(target.snapshot(), storage.snapshot());
        assert_eq!((report.cells_copied, report.problems_count), (2, 0));
        let again = replicate::run(&transfer).unwrap();
        assert_eq!((again.objects_copied, again.bytes_copied), (0, 0));
        assert!(matches!(replicate::init(&transfer), Err(EngineError::Repository(RepositoryError::Exists(_)))));
        let cx = support::context(support::reopen(whole(&target).access(), 5).unwrap(), 0);
        support::expect_clean(&cx);
        let restored = tempfile::tempdir().unwrap();
        support::restore(&cx, support::snapshots(&target).last().unwrap(), restored.path()).unwrap();
        assert_eq!(support::describe_as_restored(restored.path()), support::describe_as_restored(source.path()));
    }
}

#[test]
fn whatever_fails_the_replica_has_no_snapshot_in_part_and_the_next_run_completes_it() {
    let (storage, _source) = repository();
    let mut plans = 0;
    for number in 0.. {
        let target = MemoryStorage::new();
        replicate::init(&transfer(&storage, &whole(&target), 0)).unwrap();
        let start = target.snapshot();
        let mut any_failed = false;
        for plan in [
            Plan::CrashBefore(number),
            Plan::CrashAfter(number),
            Plan::Once(number, ErrorKind::NoSpace),
            Plan::Once(number, ErrorKind::Denied),
        ] {
            target.replace(start.clone());
            let faulty = FaultStore::new(target.clone(), plan);
            let failed = replicate::run(&transfer(&storage, &faulty, 0)).is_err();
            any_failed |= failed;
            plans += 1;
            let cx = support::context(support::reopen(whole(&target).access(), 5).unwrap(), 0);
            support::read_all(&cx.repository).unwrap_or_else(|e| panic!("{plan:?}: {}", support::chain(&e)));
            replicate::run(&transfer(&storage, &whole(&target), 0)).unwrap();
            assert_eq!(target.snapshot(), storage.snapshot(), "{plan:?}");
        }
        if !any_failed {
            break;
        }
    }
    println!("counts: replicate: {plans} plans of crash and failure");
    assert!(plans > 40);
}

#[test]
fn damage_is_named_and_not_copied() {
    let (storage, _source) = repository();
    let mut tried = 0;
    for (name, bytes) in storage.snapshot() {
        let is_checked_whole = ["/packs/", "/meta/", "/index/"].iter().any(|part| name.as_str().contains(part));
        let mut contents = storage.snapshot();
        let at = if is_checked_whole { bytes.len() / 2 } else { 9 };
        contents.get_mut(&name).unwrap()[at] ^= 1;
        let (damaged, target) = (MemoryStorage::from_map(contents), MemoryStorage::new());
        let transfer = transfer(&damaged, &whole(&target), 0);
        match replicate::init(&transfer) {
            Err(error) => assert!(support::chain(&error).contains(name.as_str()), "{name}: {error}"),
            Ok(_) => {
                let ReplicateReport { problems, problems_count, .. } = replicate::run(&transfer).unwrap();
                assert!(problems_count == 1 && problems[0].contains(name.as_str()), "{name}: {problems:?}");
            }
        }
        assert!(!target.snapshot().contains_key(&name), "{name}");
        tried += 1;
    }
    println!("counts: replicate: {tried} damaged objects");
    assert!(tried >= 8);
}

#[test]
fn another_repository_is_never_written_to() {
    let (storage, _source) = repository();
    let (other, _other_source) = {
        let storage = MemoryStorage::new();
        let access = FaultStore::new(storage.clone(), Plan::None).access();
        support::create(access, 99).unwrap();
        (storage, ())
    };
    let before = other.snapshot();
    let transfer = transfer(&storage, &whole(&other), 0);
    assert!(matches!(replicate::run(&transfer), Err(EngineError::Repository(RepositoryError::Another { .. }))));
    assert!(replicate::init(&transfer).is_err());
    assert_eq!(other.snapshot(), before);
}
