//! Copies into an unrelated repository: the same trees, and not one stored byte, id or key in common.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests say what they covered")]

mod support;

use cairn::engine::browse::{Snapshot, Snapshots};
use cairn::engine::copy::{self, CopyOptions};
use cairn::engine::{Context, EngineError};
use cairn::object::ObjectName;
use cairn::storage::MemoryStorage;
use std::collections::BTreeSet;
use support::fault::{FaultStore, Plan};
use support::tree::{self, Numbers};

fn make(seed: u64) -> (MemoryStorage, Context) {
    let storage = MemoryStorage::new();
    let access = FaultStore::new(storage.clone(), Plan::None).access();
    let cx = support::context(support::create(access, seed).unwrap(), 0);
    (storage, cx)
}

fn all(cx: &Context) -> Vec<Snapshot> {
    Snapshots::load(&cx.repository).unwrap().all().to_vec()
}

fn options() -> CopyOptions {
    CopyOptions {
        identity: support::identity(),
        host_name: "copier".into(),
        program_version: "test".into(),
        compression: cairn::codec::Level::default(),
    }
}

#[test]
fn a_copy_is_the_same_tree_under_other_keys() {
    let source = tempfile::tempdir().unwrap();
    let mut numbers = Numbers(11);
    tree::make(source.path(), 40, &mut numbers);
    // Enough entries for pages, and enough chunks for lists.
    std::fs::create_dir(source.path().join("many")).unwrap();
    for index in 0..700 {
        std::fs::write(source.path().join(format!("many/{index}")), numbers.bytes(80)).unwrap();
    }
    std::fs::write(source.path().join("large"), numbers.bytes(6 << 20)).unwrap();
    let (from_storage, from) = make(1);
    support::backup(&from, &[source.path()]).unwrap();
    std::fs::write(source.path().join("later"), numbers.bytes(50_000)).unwrap();
    support::backup(&from, &[source.path()]).unwrap();

    let (to_storage, to) = make(2);
    let report = copy::run(&from, &to, &all(&from), &options()).unwrap();
    assert_eq!((report.copied.len(), report.skipped.len()), (2, 0));
    support::expect_clean(&to);
    let names = |storage: &MemoryStorage| storage.snapshot().into_keys().collect::<BTreeSet<ObjectName>>();
    assert!(names(&from_storage).is_disjoint(&names(&to_storage)));
    let (originals, copies) = (all(&from), all(&to));
    for (original, copied) in originals.iter().zip(&copies) {
        assert_eq!(original.entries.time, copied.entries.time);
        assert_eq!(original.entries.paths, copied.entries.paths);
        assert_ne!(original.references.tree, copied.references.tree, "ids are keyed");
        let restored = [(&from, original), (&to, copied)].map(|(cx, snapshot)| {
            let target = tempfile::tempdir().unwrap();
            support::restore(cx, &snapshot.id.to_string(), target.path()).unwrap();
            support::describe_as_restored(target.path())
        });
        assert_eq!(restored[0], restored[1]);
        assert!(restored[0].len() > 700);
    }
    assert_eq!(support::describe_as_restored(source.path()), {
        let target = tempfile::tempdir().unwrap();
        support::restore(&to, &copies[1].id.to_string(), target.path()).unwrap();
        support::describe_as_restored(target.path())
    });
    let again = copy::run(&from, &to, &all(&from), &options()).unwrap();
    assert_eq!((again.copied.len(), again.skipped.len(), again.bytes_added_packed), (0, 2, 0));
    assert!(matches!(copy::run(&from, &from, &[], &options()), Err(EngineError::Setting(_))));
}

#[test]
fn a_copy_of_damaged_content_makes_no_snapshot() {
    let source = tempfile::tempdir().unwrap();
    tree::make(source.path(), 30, &mut Numbers(12));
    let (storage, from) = make(3);
    support::backup(&from, &[source.path()]).unwrap();
    let mut tried = 0;
    for (name, bytes) in storage.snapshot() {
        if !name.as_str().contains("/packs/") && !name.as_str().contains("/meta/") {
            continue;
        }
        let mut contents = storage.snapshot();
        contents.get_mut(&name).unwrap()[bytes.len() / 3] ^= 4;
        let access = FaultStore::new(MemoryStorage::from_map(contents), Plan::None).access();
        let damaged = support::context(support::reopen(access, 4).unwrap(), 0);
        let (_, to) = make(5);
        match copy::run(&damaged, &to, &all(&damaged), &options()) {
            Err(error) => {
                assert!(support::chain(&error).contains(name.as_str()), "{name}: {error}");
                assert_eq!(all(&to), []);
            }
            // The flipped byte may lie in the padding or the trailer, which a reader of known blobs does not need.
            Ok(_) => support::expect_clean(&to),
        }
        tried += 1;
    }
    println!("counts: copies of damaged packs: {tried}");
    assert!(tried >= 2);
}
