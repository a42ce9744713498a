//! Damage: every byte of a small repository flipped, objects cut, lengthened, exchanged. All of it is detected, and the object
//! named; whatever still reads, reads right.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests say what they covered")]

mod support;

use cairn::object::ObjectName;
use cairn::storage::MemoryStorage;
use std::collections::BTreeMap;
use support::fault::{FaultStore, Plan};
use support::tree::{self, Numbers};

type Contents = BTreeMap<ObjectName, Vec<u8>>;
type Files = BTreeMap<Vec<u8>, String>;

/// A repository with two snapshots of a small tree, made from fixed seeds.
fn golden() -> (Contents, Files) {
    let source = tempfile::tempdir().unwrap();
    tree::make(source.path(), 12, &mut Numbers(5));
    let storage = MemoryStorage::new();
    let store = FaultStore::new(storage.clone(), Plan::None);
    let cx = support::context(support::create(store.access(), 1).unwrap(), 0);
    support::backup(&cx, &[source.path()]).unwrap();
    std::fs::write(source.path().join("later"), vec![b'x'; 5000]).unwrap();
    support::backup(&cx, &[source.path()]).unwrap();
    let files = support::read_all(&cx.repository).unwrap();
    assert!(files.len() > 8);
    (storage.snapshot(), files)
}

#[derive(Default)]
struct Counts {
    tried: u64,
    not_opened: u64,
    named: u64,
    read_right: u64,
}

/// Looks at a damaged repository: one of `objects` must be named, and no file may read wrong.
fn examine(contents: Contents, objects: &[&ObjectName], files: &Files, what: &str, counts: &mut Counts) {
    counts.tried += 1;
    let store = FaultStore::new(MemoryStorage::from_map(contents), Plan::None);
    let repository = match support::reopen(store.access(), 8) {
        Ok(repository) => repository,
        Err(error) => {
            // Not even open: the error has to say what is wrong, and with what.
            let text = support::chain(&error);
            let named = |object: &&ObjectName| text.contains(object.as_str()) || error_names_kind(object, &text);
            assert!(objects.iter().any(named), "{what}: {text}");
            counts.not_opened += 1;
            return;
        }
    };
    let cx = support::context(repository, 0);
    let problems = support::problems(&cx);
    let named = |object: &&ObjectName| problems.iter().any(|p| p.contains(object.as_str()));
    assert!(objects.iter().any(named), "{what}: not named in {problems:?}");
    counts.named += 1;
    match support::read_all(&cx.repository) {
        Ok(read) => {
            for (path, content) in &read {
                assert!(files.get(path) == Some(content), "{what}: {path:?} reads wrong");
            }
            counts.read_right += 1;
        }
        Err(error) => assert!(support::is_damage(&error), "{what}: {error}"),
    }
}

/// A configuration or slot so damaged that its name cannot be told apart from "no repository" or "wrong key".
fn error_names_kind(object: &ObjectName, text: &str) -> bool {
    object.as_str().starts_with("keys/slots") && text.contains("key slots opens")
}

#[test]
fn every_flipped_byte_is_noticed_and_located() {
    let seed = support::seed("flips");
    let mut numbers = Numbers(seed);
    let (golden, files) = golden();
    let total: usize = golden.values().map(Vec::len).sum();
    let step = if support::is_full() { 1 } else { (total / 700).max(1) as u64 };
    let mut flips = Vec::new();
    for (name, bytes) in &golden {
        let mut at = numbers.below(step) as usize;
        while at < bytes.len() {
            flips.push((name, at, numbers.below(8)));
            at += 1 + if step > 1 { numbers.below(2 * step) as usize } else { 0 };
        }
    }
    // In an ordinary run other tests have the other cores.
    let threads = if support::is_full() { std::thread::available_parallelism().map_or(1, usize::from) } else { 1 };
    let examine_some = &|thread: usize| {
        let mut counts = Counts::default();
        for (name, at, bit) in flips.iter().skip(thread).step_by(threads) {
            let mut damaged = golden.clone();
            damaged.get_mut(*name).unwrap()[*at] ^= 1 << bit;
            examine(damaged, &[name], &files, &format!("{name} byte {at} bit {bit}"), &mut counts);
        }
        counts
    };
    let mut counts = Counts::default();
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|thread| scope.spawn(move || examine_some(thread))).collect();
        for thread in running {
            let some = thread.join().unwrap();
            counts.tried += some.tried;
            counts.not_opened += some.not_opened;
            counts.named += some.named;
            counts.read_right += some.read_right;
        }
    });
    println!(
        "counts: flips: {} of {total} bytes in {} objects; not opened {}, named by check {}, everything else read right {}",
        counts.tried,
        golden.len(),
        counts.not_opened,
        counts.named,
        counts.read_right
    );
    assert!(counts.tried > 500 && counts.named > counts.not_opened);
}

#[test]
fn cut_lengthened_and_exchanged_objects_are_noticed_and_located() {
    let (golden, files) = golden();
    let mut counts = Counts::default();
    for (name, bytes) in &golden {
        let lengths = [0, 1, 31, 32, 88, bytes.len() / 2, bytes.len() - 1];
        for len in lengths.into_iter().filter(|len| *len < bytes.len()) {
            let mut damaged = golden.clone();
            damaged.insert(name.clone(), bytes[..len].to_vec());
            examine(damaged, &[name], &files, &format!("{name} cut to {len}"), &mut counts);
        }
        let mut damaged = golden.clone();
        damaged.get_mut(name).unwrap().push(0);
        examine(damaged, &[name], &files, &format!("{name} with a byte more"), &mut counts);
    }
    let names: Vec<_> = golden.keys().cloned().collect();
    for (index, a) in names.iter().enumerate() {
        for b in &names[index + 1..] {
            let mut damaged = golden.clone();
            damaged.insert(a.clone(), golden[b].clone());
            damaged.insert(b.clone(), golden[a].clone());
            examine(damaged, &[a, b], &files, &format!("{a} exchanged with {b}"), &mut counts);
        }
    }
    println!("counts: cuts and exchanges: {} tried, {} not opened", counts.tried, counts.not_opened);
    assert!(counts.tried > 100);
}

/// Two writers that did not see each other stored the same chunks and trees: any of the copies will do.
#[test]
fn what_is_stored_twice_comes_back_while_one_copy_is_whole() {
    let source = tempfile::tempdir().unwrap();
    tree::make(source.path(), 12, &mut Numbers(6));
    let empty = MemoryStorage::new();
    support::create(FaultStore::new(empty.clone(), Plan::None).access(), 1).unwrap();
    let mut both = empty.snapshot();
    let mut packs_of = Vec::new();
    for seed in [20, 30] {
        let storage = MemoryStorage::from_map(empty.snapshot());
        let access = FaultStore::new(storage.clone(), Plan::None).access();
        let cx = support::context(support::reopen(access, seed).unwrap(), 0);
        support::backup(&cx, &[source.path()]).unwrap();
        let written = storage.snapshot();
        let is_pack = |name: &&ObjectName| name.as_str().contains("/packs/") || name.as_str().contains("/meta/");
        packs_of.push(written.keys().filter(is_pack).cloned().collect::<Vec<_>>());
        both.extend(written);
    }
    let (first, second) = (&packs_of[0], &packs_of[1]);
    assert!(first.iter().all(|pack| !second.contains(pack)), "they did not share packs");
    let open = |contents: Contents| {
        let store = FaultStore::new(MemoryStorage::from_map(contents.clone()), Plan::None);
        (support::context(support::reopen(store.access(), 9).unwrap(), 0), MemoryStorage::from_map(contents))
    };
    let expected = support::read_all(&open(both.clone()).0.repository).unwrap();
    let original = support::describe_as_restored(source.path());
    let mut tried = 0;
    for gone in [first, second] {
        for how in ["removed", "flipped"] {
            let mut contents = both.clone();
            for name in gone {
                if how == "removed" {
                    contents.remove(name);
                } else {
                    let bytes = contents.get_mut(name).unwrap();
                    let middle = bytes.len() / 2;
                    // In the blobs; the header, which all of them need, is left to the family above.
                    bytes[middle.min(3000)] ^= 1;
                }
            }
            let (cx, storage) = open(contents);
            assert_eq!(support::read_all(&cx.repository).unwrap(), expected, "{how}");
            assert!(!support::is_clean(&cx), "{how}: the damage is still told");
            for snapshot in support::snapshots(&storage) {
                let target = tempfile::tempdir().unwrap();
                support::restore(&cx, &snapshot, target.path()).unwrap();
                assert_eq!(support::describe_as_restored(target.path()), original, "{how}");
                tried += 1;
            }
        }
    }
    println!("counts: restores from second copies: {tried}");
    assert_eq!(tried, 8);
    // With neither copy it has to fail, or the above shows nothing.
    let mut neither = both;
    first.iter().chain(second).for_each(|name| drop(neither.remove(name)));
    assert!(support::read_all(&open(neither).0.repository).is_err());
}

/// The family must be able to turn red.
#[test]
fn a_reader_that_checks_nothing_would_be_noticed() {
    let (golden, files) = golden();
    let name = golden.keys().next().unwrap().clone();
    let result = std::panic::catch_unwind(|| {
        // Nothing is damaged, so nothing is named: `examine` has to complain.
        examine(golden.clone(), &[&name], &files, "undamaged", &mut Counts::default());
    });
    assert!(result.is_err());
}
