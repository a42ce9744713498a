//! Checks of small repositories: whole ones, and each kind of damage.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests say their seed and counts")]

use super::{CheckOptions, CheckReport, Problem, run};
use crate::crypto::random::{OsRandom, Randomness, SeededRandom};
use crate::engine::Context;
use crate::engine::testing::{Builder, back_up, create, file, last_snapshot, node, open_with, reopen, try_reopen};
use crate::format::node::{Body, Content};
use crate::format::pack::PackKind;
use crate::format::tree;
use crate::id::{ChunkId, TreeId};
use crate::object::ObjectName;
use crate::repository::Access;
use crate::repository::index::BlobInfo;
use crate::repository::view::Damage;
use crate::storage::{ErrorKind, Fetch, Listed, MemoryStorage, StorageError};
use std::fs;
use std::sync::Arc;
use tempfile::TempDir;

fn check(cx: &Context, read_data: bool) -> CheckReport {
    run(cx, &CheckOptions { read_data, ..CheckOptions::default() }).unwrap()
}

fn bytes(seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    SeededRandom::new(seed).fill(&mut bytes).unwrap();
    bytes
}

/// A repository with two snapshots of a few files.
fn make() -> (TempDir, MemoryStorage) {
    let source = tempfile::tempdir().unwrap();
    fs::create_dir(source.path().join("dir")).unwrap();
    fs::write(source.path().join("dir/large"), bytes(1, 200_000)).unwrap();
    fs::write(source.path().join("small"), bytes(2, 3000)).unwrap();
    let storage = MemoryStorage::new();
    back_up(&create(&storage, 0), source.path());
    fs::write(source.path().join("dir/new"), bytes(3, 50_000)).unwrap();
    back_up(&reopen(&storage, 0), source.path());
    (source, storage)
}

fn names(storage: &MemoryStorage, part: &str) -> Vec<ObjectName> {
    storage.snapshot().into_keys().filter(|name| name.as_str().contains(part)).collect()
}

fn paths(problems: &[Problem]) -> Vec<String> {
    let mut all: Vec<_> =
        problems.iter().flat_map(|p| &p.paths).map(|p| String::from_utf8_lossy(p).into_owned()).collect();
    all.sort();
    all.dedup();
    all
}

#[test]
fn a_whole_repository_has_no_problems() {
    let (_source, storage) = make();
    for workers in [0, 2] {
        for read_data in [false, true] {
            let report = check(&reopen(&storage, workers), read_data);
            assert_eq!((&report.problems, &report.warnings), (&vec![], &vec![]));
            assert!(!report.is_damaged());
            let counts = report.counts;
            assert_eq!((counts.snapshots, counts.checkpoints, counts.sessions), (2, 0, 2));
            assert_eq!(
                (counts.packs, counts.unreferenced_packs),
                (names(&storage, "/packs/").len() as u64 + names(&storage, "/meta/").len() as u64, 0)
            );
            assert!(counts.trees > 4 && counts.chunks > 50 && counts.segments == 2);
            let read = if read_data { (counts.pack_bytes, counts.blobs) } else { (0, 0) };
            assert_eq!((counts.bytes_read, counts.blobs_read), read);
        }
    }
}

#[test]
fn any_flipped_bit_anywhere_is_noticed() {
    let seed = u64::from_le_bytes(<dyn Randomness>::bytes(&OsRandom).unwrap());
    println!("seed {seed}");
    let random: &dyn Randomness = &SeededRandom::new(seed);
    let (_source, storage) = make();
    let whole = storage.snapshot();
    let (mut tried, mut opened) = (0, 0);
    for (name, content) in &whole {
        // Every region of an object is met: its start, its end, and some places between.
        let len = content.len() as u64;
        let some = (0..12).map(|_| u64::from_le_bytes(random.bytes().unwrap()) % len);
        for at in [0, 9, 20, 60, 90, 130, 200, len - 1, len - 65, len - 70, len - 100].into_iter().chain(some) {
            let mut damaged = whole.clone();
            let bit = random.bytes::<1>().unwrap()[0] % 8;
            let Some(byte) = damaged.get_mut(name).unwrap().get_mut(at as usize) else { continue };
            *byte ^= 1 << bit;
            tried += 1;
            let Ok(cx) = try_reopen(&MemoryStorage::from_map(damaged), 0) else { continue };
            opened += 1;
            let report = check(&cx, true);
            assert!(report.is_damaged(), "{name}: bit {bit} of byte {at} of {len}");
            assert!(report.problems.iter().any(|p| p.object == name.as_str()), "{name}: {:?}", report.problems);
        }
    }
    println!("{tried} bits flipped, {opened} repositories checked");
    assert!(opened > 100);
}

#[test]
fn damage_is_located_and_what_it_affects_is_named() {
    let (source, storage) = make();
    let cx = reopen(&storage, 0);
    let first = last_snapshot(&cx);
    let view = cx.repository.load_view(Damage::Stop).unwrap();
    let index = view.index;
    let is_data = |blob: &&BlobInfo| index.packs()[blob.pack as usize].kind == PackKind::Data;
    let blob = *index.blobs().iter().filter(is_data).max_by_key(|blob| blob.plain[0]).unwrap();
    let pack = index.packs()[blob.pack as usize];
    let name = cx.repository.layout().pack(pack.kind, &pack.id);
    let mut damaged = storage.snapshot();
    damaged.get_mut(&name).unwrap()[blob.offset as usize + 50] ^= 4;
    let storage = MemoryStorage::from_map(damaged);
    assert!(!check(&reopen(&storage, 0), false).is_damaged(), "no content is read");
    for workers in [0, 2] {
        let report = check(&reopen(&storage, workers), true);
        let problem = report.problems.iter().find(|p| p.offset == Some(blob.offset.into())).unwrap();
        assert_eq!(problem.object, name.as_str());
        assert!(problem.snapshots.contains(&first.id), "{problem:?}");
        let prefix = source.path().display().to_string();
        assert!(problem.paths.iter().all(|p| String::from_utf8_lossy(p).starts_with(&prefix)), "{problem:?}");
        assert!(!problem.paths.is_empty());
        // Its name and its signature do not fit any more either.
        assert_eq!(report.problem_count, 3, "{:?}", report.problems);
    }
}

#[test]
fn missing_short_and_unknown_packs() {
    let (source, storage) = make();
    let whole = storage.snapshot();
    for part in ["/packs/", "/meta/"] {
        for name in names(&storage, part) {
            let mut lost = whole.clone();
            lost.remove(&name);
            let mut short = whole.clone();
            short.get_mut(&name).unwrap().pop();
            for (contents, what) in [(lost, "is missing"), (short, "bytes, and")] {
                for read_data in [false, true] {
                    let cx = reopen(&MemoryStorage::from_map(contents.clone()), 0);
                    let report = check(&cx, read_data);
                    let problem = report.problems.iter().find(|p| p.what.contains(what)).unwrap();
                    assert_eq!(problem.object, name.as_str());
                    assert!(!problem.snapshots.is_empty() && !problem.paths.is_empty(), "{problem:?}");
                    let prefix = source.path().display().to_string();
                    assert!(paths(&report.problems).iter().all(|p| prefix.starts_with(p) || p.starts_with(&prefix)));
                }
            }
        }
    }
    // Without the second snapshot's cell, its packs are nobody's.
    let cx = reopen(&storage, 0);
    let layout = cx.repository.layout();
    let mut contents = whole;
    contents.remove(&layout.cell(&last_snapshot(&cx).id));
    let orphan = MemoryStorage::from_map(contents.clone());
    let report = check(&reopen(&orphan, 0), true);
    assert_eq!((report.problem_count, report.warning_count), (0, 0), "{:?}", report.problems);
    assert!(report.counts.unreferenced_packs >= 2);
    for name in names(&orphan, "/packs/") {
        contents.get_mut(&name).unwrap()[1000] ^= 1;
    }
    let report = check(&reopen(&MemoryStorage::from_map(contents), 0), true);
    assert!(report.problem_count > 0 && report.warning_count > 0);
}

#[test]
fn a_lost_segment_and_a_lost_cell() {
    let (_source, storage) = make();
    let whole = storage.snapshot();
    for name in names(&storage, "/index/") {
        let mut contents = whole.clone();
        contents.remove(&name);
        let report = check(&reopen(&MemoryStorage::from_map(contents), 0), false);
        assert!(report.problems.iter().any(|p| p.object == name.as_str()), "{:?}", report.problems);
        assert!(report.problems.iter().any(|p| p.what.contains("no index segment")), "{:?}", report.problems);
    }
    // Three cells, of which the middle one goes.
    let cx = reopen(&storage, 0);
    let middle = last_snapshot(&cx).id;
    let root = last_snapshot(&cx).references.tree;
    let last = Builder::new(&cx).commit(root).id;
    let mut contents = storage.snapshot();
    contents.remove(&cx.repository.layout().cell(&middle));
    let report = check(&reopen(&MemoryStorage::from_map(contents), 0), false);
    let warning = report.warnings.iter().find(|p| p.object.contains(&last.to_string())).unwrap();
    assert!(warning.what.contains("number 3") && warning.what.contains("before is 1"), "{warning:?}");
    assert!(report.is_damaged(), "what only its segment lists is gone");
}

#[test]
fn a_lying_tree_is_told_entry_by_entry() {
    let storage = MemoryStorage::new();
    let cx = create(&storage, 0);
    let mut builder = Builder::new(&cx);
    let ids = builder.blob(&[&bytes(1, 5000)]);
    let list = builder.encoded(&tree::encode_list(&ids).unwrap());
    let inner = builder.leaf(&[file("inside", 5001, Body::Chunks(ids.clone()))]);
    let good = builder.leaf(&[file("inside", 5000, Body::Lists(vec![list]))]);
    let page = builder.leaf(&[file("p", 1, Body::Inline(vec![1])), file("q", 1, Body::Inline(vec![1]))]);
    let pages =
        [tree::Page { first_name: b"a".to_vec(), tree: page }, tree::Page { first_name: b"p".to_vec(), tree: page }];
    let lying_pages = builder.encoded(&tree::encode_pages(&pages).unwrap());
    let nodes = [
        node("a-list", Content::Directory { tree: list }),
        node("b-missing", Content::Directory { tree: TreeId::from_bytes([1; 32]) }),
        node("c-inner", Content::Directory { tree: inner }),
        node("d-good", Content::Directory { tree: good }),
        node("e-pages", Content::Directory { tree: lying_pages }),
        file("f-missing", 5000, Body::Chunks(vec![ChunkId::from_bytes([2; 32]), ids[0]])),
        file("g-list", 5000, Body::Lists(vec![good])),
        file("h-size", 4999, Body::Lists(vec![list])),
    ];
    let root = builder.leaf(&nodes);
    let snapshot = builder.commit(root);
    let report = check(&cx, true);
    assert_eq!((report.problem_count, report.warning_count), (7, 0), "{:#?}", report.problems);
    let expected = ["/a-list", "/b-missing", "/c-inner/inside", "/e-pages", "/f-missing", "/g-list", "/h-size"];
    assert_eq!(paths(&report.problems), expected);
    assert!(report.problems.iter().all(|p| p.snapshots == [snapshot.id]));
}

/// A store one object of which cannot be read from some byte on.
#[derive(Debug)]
struct Broken(MemoryStorage, ObjectName, std::ops::Range<u64>);

impl Fetch for Broken {
    fn read(&self, name: &ObjectName, len_max: u64) -> Result<Vec<u8>, StorageError> {
        if *name == self.1 {
            return Err(StorageError::new("read", name, ErrorKind::Other, "the disk is tired"));
        }
        self.0.read(name, len_max)
    }

    fn read_range(&self, name: &ObjectName, offset: u64, buf: &mut [u8]) -> Result<(), StorageError> {
        let end = offset + buf.len() as u64;
        if *name == self.1 && offset < self.2.end && end > self.2.start {
            return Err(StorageError::new("read", name, ErrorKind::Other, "the disk is tired"));
        }
        self.0.read_range(name, offset, buf)
    }

    fn size(&self, name: &ObjectName) -> Result<u64, StorageError> {
        self.0.size(name)
    }

    fn list(&self, prefix: &ObjectName) -> Result<Vec<Listed>, StorageError> {
        self.0.list(prefix)
    }
}

#[test]
fn what_cannot_be_read_is_a_problem_and_the_rest_is_checked() {
    let (_source, storage) = make();
    for part in ["/packs/", "/meta/", "/index/", "/snapshots/", "/sessions/"] {
        for name in names(&storage, part) {
            let broken = Broken(storage.clone(), name.clone(), 5000..5001);
            let cx = open_with(Access { fetch: Arc::new(broken), publish: None }, 0).unwrap();
            let report = check(&cx, true);
            let about: Vec<_> = report.problems.iter().filter(|p| p.object == name.as_str()).collect();
            assert!(about.iter().any(|p| p.what.contains("tired") || p.what.contains("front to back")), "{name}");
            let size = storage.size(&name).unwrap();
            // One blob of the pack at most is affected, and all others were read.
            if part == "/packs/" && size > 10_000 {
                let blobs: Vec<_> = about.iter().filter(|p| p.offset.is_some()).collect();
                assert!(blobs.len() <= 1, "{about:#?}");
                assert_eq!(report.counts.blobs_read, report.counts.blobs);
            }
        }
    }
}
