//! Restores of small repositories: windows of every size, hard links, holes, damage, rules.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::window::Limits;
use super::{Overwrite, RestoreOptions, RestoreReport, run, run_with};
use crate::crypto::random::{Randomness, SeededRandom};
use crate::engine::EngineError;
use crate::engine::testing::{Builder, back_up, create, file, last_snapshot, node, reopen};
use crate::format::node::{Body, Content};
use crate::format::tree;
use crate::repository::pack_reader::PackReader;
use crate::repository::view::Damage;
use crate::storage::MemoryStorage;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;

/// As few as can be at a time, so that every boundary is met.
const TINY: [Limits; 3] = [
    Limits { entries: 1, extents: 1, bytes: 1, open_files: 1 },
    Limits { entries: 3, extents: 4, bytes: 1 << 20, open_files: 2 },
    Limits { entries: 1000, extents: 7, bytes: 1 << 20, open_files: 2 },
];

fn bytes(seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    SeededRandom::new(seed).fill(&mut bytes).unwrap();
    bytes
}

/// Everything of an entry that a restore brings back.
fn describe(root: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut inodes: BTreeMap<u64, usize> = BTreeMap::new();
    let mut pending = vec![root.to_path_buf()];
    while let Some(dir) = pending.pop() {
        let mut names: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
        names.sort();
        for path in names {
            let meta = fs::symlink_metadata(&path).unwrap();
            let content = if meta.is_dir() {
                pending.push(path.clone());
                String::new()
            } else if meta.is_symlink() {
                fs::read_link(&path).unwrap().display().to_string()
            } else if meta.is_file() {
                blake3::hash(&fs::read(&path).unwrap()).to_string()
            } else {
                "special".into()
            };
            let links = if meta.is_dir() { 0 } else { meta.nlink() };
            let number = inodes.len();
            let group = if links > 1 { *inodes.entry(meta.ino()).or_insert(number) } else { 0 };
            let times = (meta.mtime(), meta.mtime_nsec());
            let line = format!("{:o} {} {} {times:?} {links} {group} {content}", meta.mode(), meta.uid(), meta.gid());
            found.insert(path.strip_prefix(root).unwrap().to_path_buf(), line);
        }
    }
    found
}

/// Fails with the first few entries that differ.
fn assert_same(found: &BTreeMap<PathBuf, String>, expected: &BTreeMap<PathBuf, String>, what: &str) {
    let all: std::collections::BTreeSet<_> = found.keys().chain(expected.keys()).collect();
    let differing = all.into_iter().filter(|path| found.get(*path) != expected.get(*path));
    let lines: Vec<_> = differing.map(|path| (path, found.get(path), expected.get(path))).take(5).collect();
    assert!(lines.is_empty(), "{what}: {lines:#?}");
}

fn make_source() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::create_dir_all(at("a/b/c")).unwrap();
    fs::create_dir_all(at("z")).unwrap();
    fs::write(at("empty"), b"").unwrap();
    fs::write(at("a/short"), b"short").unwrap();
    for n in 0..40 {
        fs::write(at(&format!("a/b/f{n}")), bytes(n, 700 + 50 * n as usize)).unwrap();
    }
    fs::write(at("a/large"), bytes(100, 300_000)).unwrap();
    fs::write(at("z/same"), bytes(100, 300_000)).unwrap();
    fs::write(at("z/mixed"), [bytes(100, 150_000), bytes(101, 90_000)].concat()).unwrap();
    fs::hard_link(at("a/large"), at("a/b/large-too")).unwrap();
    fs::hard_link(at("a/short"), at("z/short-too")).unwrap();
    fs::hard_link(at("a/short"), at("zz-short")).unwrap();
    fs::write(at("a/b/c/inside"), bytes(102, 1000)).unwrap();
    symlink("../nowhere", at("a/link")).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, at("z/pipe"), rustix::fs::FileType::Fifo, 0o640.into(), 0).unwrap();
    fs::set_permissions(at("a/b/c"), fs::Permissions::from_mode(0o500)).unwrap();
    fs::set_permissions(at("a/short"), fs::Permissions::from_mode(0o4755)).unwrap();
    dir
}

fn options(target: &Path) -> RestoreOptions {
    RestoreOptions { target: target.to_path_buf(), ..RestoreOptions::default() }
}

fn of_dir(target: &Path, path: &Path) -> RestoreOptions {
    RestoreOptions { path: path.to_str().unwrap().into(), ..options(target) }
}

fn assert_whole(report: &RestoreReport) {
    assert_eq!((report.failed, report.warnings, report.failures.len()), (0, 0, 0), "{:?}", report.failures);
}

#[test]
fn windows_of_any_size_and_any_number_of_workers_restore_the_same() {
    let source = make_source();
    let storage = MemoryStorage::new();
    back_up(&create(&storage, 2), source.path());
    let expected = describe(source.path());
    assert!(expected.values().any(|line| line.contains(" 3 ")), "a file with three names is in it");
    for limits in TINY.into_iter().chain([Limits::DEFAULT]) {
        for workers in [0, 1, 3] {
            let cx = reopen(&storage, workers);
            let target = tempfile::tempdir().unwrap();
            let options = RestoreOptions { verify: true, ..of_dir(target.path(), source.path()) };
            let report = run_with(&cx, &last_snapshot(&cx), &options, limits).unwrap();
            assert_whole(&report);
            assert_same(&describe(target.path()), &expected, &format!("{limits:?}, {workers} workers"));
            assert_eq!((report.files_restored, report.files_verified), (49, 49));
            assert_eq!((report.hard_links, report.directories, report.others), (3, 4, 2));
        }
    }
}

#[test]
fn a_whole_snapshot_goes_below_its_path_a_directory_into_the_target_and_a_file_under_its_name() {
    let source = make_source();
    let storage = MemoryStorage::new();
    let cx = create(&storage, 0);
    back_up(&cx, source.path());
    let snapshot = last_snapshot(&cx);
    let whole = tempfile::tempdir().unwrap();
    assert_whole(&run(&cx, &snapshot, &options(whole.path())).unwrap());
    let below = whole.path().join(source.path().strip_prefix("/").unwrap());
    assert_same(&describe(&below), &describe(source.path()), "whole");
    let mode = |path: &Path| fs::metadata(path).unwrap().mode();
    assert_eq!(mode(&below), mode(source.path()), "the directories on the way are restored too");

    for (what, expected) in [("a/large", "large"), ("a/link", "link"), ("z/pipe", "pipe"), ("//a/short/", "short")] {
        let target = tempfile::tempdir().unwrap();
        let path = format!("{}/{what}", source.path().display());
        let options = RestoreOptions { path: path.into(), verify: true, ..options(target.path()) };
        assert_whole(&run(&cx, &snapshot, &options).unwrap());
        let found: Vec<_> = describe(target.path()).into_keys().collect();
        assert_eq!(found, [PathBuf::from(expected)], "{what}");
    }
    let target = tempfile::tempdir().unwrap();
    let missing = RestoreOptions { path: b"/no/where".to_vec(), ..options(target.path()) };
    assert!(matches!(run(&cx, &snapshot, &missing), Err(EngineError::NoPath(_))));

    let dry = RestoreOptions { dry_run: true, ..of_dir(&target.path().join("new"), source.path()) };
    let counted = run(&cx, &snapshot, &dry).unwrap();
    assert_eq!((counted.files_restored, counted.directories, counted.others), (49, 4, 2));
    assert!(!target.path().join("new").exists());
}

#[test]
fn patterns_choose() {
    let source = make_source();
    let storage = MemoryStorage::new();
    let cx = create(&storage, 0);
    back_up(&cx, source.path());
    let restored = |include: &[&str], exclude: &[&str]| {
        let target = tempfile::tempdir().unwrap();
        let list = |patterns: &[&str]| patterns.iter().map(|p| (*p).to_owned()).collect();
        let options = RestoreOptions {
            include: list(include),
            exclude: list(exclude),
            verify: true,
            ..of_dir(target.path(), source.path())
        };
        let report = run_with(&cx, &last_snapshot(&cx), &options, TINY[1]).unwrap();
        assert_whole(&report);
        assert_eq!(report.files_verified, report.files_restored);
        let mut found: Vec<_> = describe(target.path()).into_keys().map(|p| p.display().to_string()).collect();
        found.retain(|path| !path.starts_with("a/b/f"));
        found
    };
    assert_eq!(restored(&["short*"], &[]), ["a", "a/short", "z", "z/short-too"]);
    assert_eq!(restored(&["z", "empty"], &["p*e"]), ["empty", "z", "z/mixed", "z/same", "z/short-too"]);
    assert_eq!(restored(&["c"], &[]), ["a", "a/b", "a/b/c", "a/b/c/inside"]);
    assert_eq!(restored(&[], &["a", "z*"]), ["empty"]);
    assert_eq!(restored(&["nothing"], &[]), [""; 0]);
}

#[test]
fn what_is_there_is_kept_or_replaced_by_the_rule() {
    let source = make_source();
    let storage = MemoryStorage::new();
    let cx = create(&storage, 0);
    back_up(&cx, source.path());
    let snapshot = last_snapshot(&cx);
    let target = tempfile::tempdir().unwrap();
    let restore = |overwrite| {
        let options = RestoreOptions { overwrite, verify: true, ..of_dir(target.path(), source.path()) };
        run(&cx, &snapshot, &options).unwrap()
    };
    assert_whole(&restore(Overwrite::Never));
    let whole = describe(target.path());
    let large = target.path().join("z/mixed");
    let time = fs::metadata(&large).unwrap().modified().unwrap();

    // Touched later, and of another length.
    fs::write(&large, b"later").unwrap();
    let kept = describe(target.path());
    for rule in [Overwrite::Never, Overwrite::IfNewer] {
        let report = restore(rule);
        assert_eq!((report.files_restored, report.files_unchanged, report.failed), (0, 51, 0), "{rule:?}");
        assert_same(&describe(target.path()), &kept, &format!("{rule:?}"));
    }
    let report = restore(Overwrite::IfChanged);
    assert_eq!((report.files_restored, report.files_unchanged, report.others), (1, 48, 2));
    assert_same(&describe(target.path()), &whole, "whole again");

    // Touched earlier.
    fs::write(&large, b"earlier").unwrap();
    fs::File::options()
        .write(true)
        .open(&large)
        .unwrap()
        .set_modified(time - std::time::Duration::from_secs(9))
        .unwrap();
    let report = restore(Overwrite::IfNewer);
    assert_eq!((report.files_restored, report.failed), (1, 0));
    assert_same(&describe(target.path()), &whole, "whole again");

    // A file where a directory has to be.
    let (dir, set) = (target.path().join("a/b/c"), |mode| fs::Permissions::from_mode(mode));
    fs::set_permissions(&dir, set(0o700)).unwrap();
    fs::remove_dir_all(&dir).unwrap();
    fs::write(&dir, b"in the way").unwrap();
    assert_eq!(restore(Overwrite::Never).failed, 1);
    assert_eq!(fs::read(&dir).unwrap(), b"in the way");
    assert_whole(&restore(Overwrite::Always));
    assert_same(&describe(target.path()), &whole, "whole again");
}

#[test]
fn zeros_become_holes_where_there_were_holes_or_everywhere_if_wanted() {
    let storage = MemoryStorage::new();
    let cx = create(&storage, 2);
    let mut builder = Builder::new(&cx);
    let (zeros, data) = (vec![0; 40_000], bytes(5, 40_001));
    let ids = builder.blob(&[&zeros, &data]);
    let order = [0, 1, 0, 0, 1, 0];
    let content: Vec<u8> = order.iter().flat_map(|n| if *n == 0 { &zeros } else { &data }.clone()).collect();
    let body = Body::Chunks(order.iter().map(|n| ids[*n]).collect());
    let all_zero = Body::Chunks(vec![ids[0]; 3]);
    let mut sparse = file("sparse", content.len() as u64, body.clone());
    let Content::File { sparse: flag, .. } = &mut sparse.content else { unreachable!() };
    *flag = true;
    let nodes = [file("full", content.len() as u64, body), sparse, file("zeros", 120_000, all_zero)];
    let root = builder.leaf(&nodes);
    let snapshot = builder.commit(root);
    for sparse in [false, true] {
        let target = tempfile::tempdir().unwrap();
        let options = RestoreOptions { sparse, verify: true, ..options(target.path()) };
        let report = run_with(&cx, &snapshot, &options, TINY[1]).unwrap();
        assert_whole(&report);
        assert_eq!(report.files_verified, 3);
        for name in ["full", "sparse"] {
            assert!(fs::read(target.path().join(name)).unwrap() == content, "{name}");
        }
        let blocks = |name: &str| fs::metadata(target.path().join(name)).unwrap().blocks();
        assert!(blocks("sparse") * 512 < 120_000, "{}", blocks("sparse"));
        assert_eq!(blocks("full") == blocks("sparse"), sparse);
        assert_eq!(blocks("zeros") == 0, sparse);
    }
}

#[test]
fn damage_in_one_blob_costs_the_files_that_need_it_and_nothing_else() {
    let storage = MemoryStorage::new();
    let cx = create(&storage, 0);
    let mut builder = Builder::new(&cx);
    let parts: Vec<Vec<u8>> = (0..6).map(|n| bytes(n, 30_000)).collect();
    let a = builder.blob(&[&parts[0], &parts[1]]);
    let b = builder.blob(&[&parts[2]]);
    let c = builder.blob(&[&parts[3], &parts[4], &parts[5]]);
    let mut linked = file("linked", 30_000, Body::Chunks(b.clone()));
    (linked.metadata.links, linked.metadata.inode) = (2, 77);
    let linked_too = crate::format::node::Node { name: b"linked-too".to_vec(), ..linked.clone() };
    let nodes = [
        file("across", 90_000, Body::Chunks(vec![a[0], b[0], c[2]])),
        file("first", 60_000, Body::Chunks(a.clone())),
        file("inline", 3, Body::Inline(b"abc".to_vec())),
        file("last", 90_000, Body::Chunks(c)),
        linked,
        linked_too,
        file("only", 30_000, Body::Chunks(b.clone())),
    ];
    let root = builder.leaf(&nodes);
    let snapshot = builder.commit(root);
    let whole = storage.snapshot();
    let view = cx.repository.load_view(Damage::Stop).unwrap();
    let reader = PackReader::new(Arc::clone(&cx.repository), Arc::new(view.index));
    let location = reader.locate_chunk(&b[0]).unwrap();
    let name = reader.pack_name(reader.pack_of(location.blob));
    let offset = reader.index().blob(location.blob).offset as usize;
    let mut damaged = whole.clone();
    damaged.get_mut(&name).unwrap()[offset + 100] ^= 1;
    storage.replace(damaged);
    for limits in TINY.into_iter().chain([Limits::DEFAULT]) {
        for workers in [0, 2] {
            let cx = reopen(&storage, workers);
            let target = tempfile::tempdir().unwrap();
            let report = run_with(&cx, &snapshot, &options(target.path()), limits).unwrap();
            let found: Vec<_> = fs::read_dir(target.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
            let mut found: Vec<_> = found.iter().map(|name| name.to_str().unwrap()).collect();
            found.sort_unstable();
            assert_eq!(found, ["first", "inline", "last"], "nothing partial is left, under any name");
            assert!(fs::read(target.path().join("first")).unwrap() == parts[..2].concat());
            let mut failed: Vec<_> = report.failures.iter().map(|f| String::from_utf8_lossy(&f.path)).collect();
            failed.sort_unstable();
            assert_eq!(failed, ["/across", "/linked", "/linked-too", "/only"]);
            assert_eq!((report.failed, report.damaged), (4, 4));
            assert!(report.failures[0].message.contains(name.as_str()), "{}", report.failures[0].message);
        }
    }
}

#[test]
fn a_lying_snapshot_is_damage_and_costs_only_the_entries_that_lie() {
    let storage = MemoryStorage::new();
    let cx = create(&storage, 0);
    let mut builder = Builder::new(&cx);
    let content = bytes(1, 5000);
    let ids = builder.blob(&[&content]);
    let missing_chunk = crate::id::ChunkId::from_bytes([1; 32]);
    let missing_tree = crate::id::TreeId::from_bytes([2; 32]);
    let list = builder.encoded(&tree::encode_list(&ids).unwrap());
    let inner = builder.leaf(&[file("inside", 1, Body::Inline(b"x".to_vec()))]);
    let nodes = [
        node("directory-is-list", Content::Directory { tree: list }),
        node("directory-is-missing", Content::Directory { tree: missing_tree }),
        file("empty-with-chunks", 0, Body::Chunks(ids.clone())),
        node("good-directory", Content::Directory { tree: inner }),
        file("good-list", 5000, Body::Lists(vec![list])),
        file("list-is-leaf", 5000, Body::Lists(vec![inner])),
        file("missing", 5000, Body::Chunks(vec![missing_chunk])),
        file("no-chunks", 5000, Body::Chunks(Vec::new())),
        file("too-long", 10_001, Body::Chunks(vec![ids[0], ids[0]])),
        file("twice", 10_000, Body::Chunks(vec![ids[0], ids[0]])),
    ];
    let root = builder.leaf(&nodes);
    let snapshot = builder.commit(root);
    for limits in TINY {
        let target = tempfile::tempdir().unwrap();
        let options = RestoreOptions { verify: true, ..options(target.path()) };
        let report = run_with(&cx, &snapshot, &options, limits).unwrap();
        let found: Vec<_> = describe(target.path()).into_keys().map(|p| p.display().to_string()).collect();
        let dirs = ["directory-is-list", "directory-is-missing", "good-directory", "good-directory/inside"];
        assert_eq!(found, [&dirs[..], &["good-list", "twice"]].concat());
        assert_eq!((report.failed, report.damaged, report.files_verified), (7, 7, 3), "{:?}", report.failures);
        assert!(fs::read(target.path().join("twice")).unwrap() == content.repeat(2));
    }
}

#[test]
fn made_up_links_are_files_of_their_own_and_a_failed_first_name_is_made_up_for() {
    let storage = MemoryStorage::new();
    let cx = create(&storage, 0);
    let mut builder = Builder::new(&cx);
    let linked = |name: &str, body: &[u8], links| {
        let mut node = file(name, body.len() as u64, Body::Inline(body.to_vec()));
        (node.metadata.links, node.metadata.inode, node.metadata.device) = (links, 7, 8);
        node
    };
    let root = builder.leaf(&[
        linked("a", b"one", 4),
        linked("b", b"two", 4),
        linked("c", b"one", 4),
        linked("d", b"one", 4),
        linked("e", b"one", 4),
    ]);
    let snapshot = builder.commit(root);
    for limits in [TINY[0], Limits::DEFAULT] {
        for in_the_way in [false, true] {
            let target = tempfile::tempdir().unwrap();
            if in_the_way {
                fs::create_dir_all(target.path().join("a/full")).unwrap();
            }
            let report = run_with(&cx, &snapshot, &options(target.path()), limits).unwrap();
            let inode = |name: &str| fs::metadata(target.path().join(name)).unwrap().ino();
            assert_eq!(fs::read(target.path().join("b")).unwrap(), b"two");
            for name in ["d", "e"] {
                assert_eq!(fs::read(target.path().join(name)).unwrap(), b"one");
                assert_eq!(inode("c"), inode(name), "{limits:?} {in_the_way}");
            }
            assert_eq!(report.failed, u64::from(in_the_way));
            assert_eq!(inode("a") == inode("c"), !in_the_way);
        }
    }
}

#[test]
fn told_to_stop_it_leaves_no_temporary_file() {
    let source = make_source();
    let storage = MemoryStorage::new();
    let cx = create(&storage, 2);
    back_up(&cx, source.path());
    let snapshot = last_snapshot(&cx);

    /// Tells to stop after so many events.
    #[derive(Debug)]
    struct Stopper(Arc<std::sync::atomic::AtomicBool>, std::sync::atomic::AtomicU64);
    impl crate::progress::EventSink for Stopper {
        fn event(&self, _: &crate::progress::Event<'_>) {
            use std::sync::atomic::Ordering::SeqCst;
            if self.1.fetch_sub(1, SeqCst) == 1 {
                self.0.store(true, SeqCst);
            }
        }
    }

    for workers in [0, 2] {
        let mut stopped = 0;
        for events in [3, 20, 60, 90, 110, 130, 160] {
            let mut cx = reopen(&storage, workers);
            cx.sink = Arc::new(Stopper(Arc::clone(&cx.stop), events.into()));
            let target = tempfile::tempdir().unwrap();
            match run_with(&cx, &snapshot, &of_dir(target.path(), source.path()), TINY[2]) {
                Err(EngineError::Interrupted) => stopped += 1,
                other => drop(other.unwrap()),
            }
            for (path, _) in describe(target.path()) {
                assert!(!path.to_str().unwrap().contains(".cairn"), "{}", path.display());
                let (made, from) = (target.path().join(&path), source.path().join(&path));
                if fs::symlink_metadata(&made).unwrap().is_file() {
                    assert!(fs::read(&made).unwrap() == fs::read(from).unwrap(), "{}", path.display());
                }
            }
        }
        assert!(stopped > 3, "only {stopped} were stopped");
    }
}
