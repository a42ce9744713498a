//! Hostile repositories: made by somebody who has the keys and wants a restore to write where it should not. Names with slashes,
//! `..`, absolute ones, duplicates, trees of the wrong kind, links that lead out: refused or kept inside the target.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests say what they covered")]

mod support;

use cairn::clock::{SystemClock, Timestamp};
use cairn::engine::{Context, browse, restore};
use cairn::format::cell::{CellEntries, Outcome, Statistics};
use cairn::format::node::{Body, Content, Metadata, Node, Owner};
use cairn::format::pack::{ChunkEntry, PackKind};
use cairn::format::tree::{EncodedTree, encode_leaf};
use cairn::id::TreeId;
use cairn::progress::Silent;
use cairn::repository::pack_writer::{PackSize, PackWriter};
use cairn::repository::publisher::Publisher;
use cairn::repository::session::{Commit, OpenSession};
use cairn::storage::{MemoryStorage, RequestCost};
use std::path::Path;
use std::sync::Arc;
use support::fault::{FaultStore, Plan};

fn metadata(links: u32) -> Metadata {
    let owner = Owner { uid: 0, gid: 0, user: Vec::new(), group: Vec::new() };
    Metadata {
        mode: 0o644,
        owner: Arc::new(owner),
        mtime: Timestamp::EPOCH,
        ctime: Timestamp::EPOCH,
        inode: 7,
        device: if links > 1 { 3 } else { 0 },
        links,
        btime: None,
        inode_flags: 0,
        xattrs: Vec::new(),
    }
}

fn file(name: &[u8], content: &[u8]) -> Node {
    let body = Body::Inline(content.to_vec());
    let content = Content::File { size: content.len() as u64, sparse: false, inconsistent: false, body };
    Node { name: name.to_vec(), metadata: metadata(1), content }
}

fn link(name: &[u8], target: &str) -> Node {
    Node { name: name.to_vec(), metadata: metadata(1), content: Content::Symlink { target: target.into() } }
}

fn directory(name: &[u8], tree: TreeId) -> Node {
    Node { name: name.to_vec(), metadata: metadata(1), content: Content::Directory { tree } }
}

/// Encodes entries, then puts other bytes in place of some: what no encoder of ours writes.
fn forged(nodes: &[Node], from: &[u8], to: &[u8]) -> EncodedTree {
    let mut encoded = encode_leaf(nodes).unwrap();
    assert_eq!(from.len(), to.len());
    let at = encoded.entries.windows(from.len()).position(|w| w == from).expect("the bytes are there");
    encoded.entries[at..at + to.len()].copy_from_slice(to);
    encoded
}

/// A repository whose only snapshot has the last of these trees as root; the others are there to be referred to.
fn repository(trees: &[EncodedTree]) -> Context {
    let storage = MemoryStorage::new();
    let store = FaultStore::new(storage, Plan::None);
    let cx = support::context(support::create(store.access(), 1).unwrap(), 0);
    let session =
        OpenSession::begin(&cx.repository, &support::identity(), b"host", &SystemClock::new(), false).unwrap();
    let publisher = Arc::new(Publisher::new(Arc::clone(&cx.repository), Arc::new(Silent), false, &[]).unwrap());
    let size = PackSize::default_for(PackKind::Meta, RequestCost::NONE);
    let writer = PackWriter::new(
        Arc::clone(&cx.repository),
        support::identity(),
        Arc::clone(&publisher),
        PackKind::Meta,
        session.id,
        size,
    );
    let mut root = None;
    for tree in trees {
        let id = cx.repository.keys().hasher.tree(&tree.references, &tree.entries);
        // Codec byte 0: stored as it is.
        let mut parts = [[&[0], &tree.references[..]].concat(), [&[0], &tree.entries[..]].concat()];
        let [references, entries] = &mut parts;
        let lens = [tree.references.len() as u32, tree.entries.len() as u32];
        writer.write(&mut [references, entries], vec![ChunkEntry { key: id.key(), lens }], true).unwrap();
        root = Some(id);
    }
    writer.flush().unwrap();
    let segments = publisher.finish().unwrap().segments;
    let entries = CellEntries {
        time: Timestamp::EPOCH,
        started: Timestamp::EPOCH,
        ended: Timestamp::EPOCH,
        host_name: b"host".to_vec(),
        user_name: Vec::new(),
        program_version: Vec::new(),
        purpose: Vec::new(),
        paths: vec![b"/".to_vec()],
        tags: Vec::new(),
        excludes: Vec::new(),
        statistics: Statistics::default(),
        failures: Vec::new(),
    };
    let commit = Commit { outcome: Outcome::Snapshot, tree: root.unwrap(), parent: None, segments, entries, log: None };
    session.commit(&commit).unwrap();
    cx
}

fn id_of(cx: &Context, tree: &EncodedTree) -> TreeId {
    cx.repository.keys().hasher.tree(&tree.references, &tree.entries)
}

/// Restores everything into `place/target`; returns what failed.
fn restore(cx: &Context, place: &Path) -> Vec<String> {
    let snapshots = browse::Snapshots::load(&cx.repository).unwrap();
    let snapshot = snapshots.resolve("latest", b"host", &browse::SnapshotFilter::default()).unwrap();
    let options = restore::RestoreOptions { target: place.join("target"), ..restore::RestoreOptions::default() };
    let report = restore::run(cx, snapshot, &options).unwrap();
    report.failures.into_iter().map(|f| f.message).collect()
}

/// What is in `place` beside the target: has to be only what the test put there.
fn beside(place: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        std::fs::read_dir(place).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn names_that_lead_out_are_refused_and_nothing_of_their_directory_is_restored() {
    let long = [file(b"abcdefgh", b"payload"), file(b"zz", b"good")];
    let cases: [(&[u8], &[u8]); 6] = [
        (b"abcdefgh", b"../../ab"),
        (b"abcdefgh", b"/etc/abc"),
        (b"abcdefgh", b"a/../../"),
        (b"abcdefgh", b"abc\0efgh"),
        (b"\x08abcdefgh", b"\x08.\x2f......"),
        (b"\x02zz", b"\x02.."),
    ];
    for (from, to) in cases {
        let cx = repository(&[forged(&long, from, to)]);
        let place = tempfile::tempdir().unwrap();
        let failures = restore(&cx, place.path());
        assert_eq!(failures.len(), 1, "{to:?}: {failures:?}");
        assert_eq!(beside(place.path()), ["target"], "{to:?}");
        assert_eq!(std::fs::read_dir(place.path().join("target")).unwrap().count(), 0, "{to:?}");
        assert!(!support::is_clean(&cx), "check does not notice {to:?}");
    }
    println!("counts: hostile names: {}", cases.len());
}

#[test]
fn two_entries_of_one_name_are_refused() {
    // `ab` is written as "one byte shared, b"; made into "one byte shared, a" it is `aa` again.
    let nodes = [file(b"aa", b"first"), file(b"ab", b"second")];
    let cx = repository(&[forged(&nodes, b"\x01\x01b", b"\x01\x01a")]);
    let place = tempfile::tempdir().unwrap();
    assert_eq!(restore(&cx, place.path()).len(), 1);
    assert!(!support::is_clean(&cx));
}

#[test]
fn a_link_and_a_directory_of_the_same_name_do_not_lead_out() {
    // The classic: a link `way` that points out, and a directory `way` whose entries would go through it. Two snapshots'
    // worth of it: the link is restored first, then the directory over it.
    let place = tempfile::tempdir().unwrap();
    let outside = place.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    let cx = repository(&[encode_leaf(&[link(b"way", outside.to_str().unwrap())]).unwrap()]);
    assert_eq!(restore(&cx, place.path()), Vec::<String>::new());
    let inner = encode_leaf(&[file(b"planted", b"x")]).unwrap();
    let cx = repository(std::slice::from_ref(&inner));
    let inner_id = id_of(&cx, &inner);
    let cx = repository(&[inner, encode_leaf(&[directory(b"way", inner_id)]).unwrap()]);
    assert_eq!(restore(&cx, place.path()), Vec::<String>::new());
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0, "something was written through the link");
    assert_eq!(std::fs::read(place.path().join("target/way/planted")).unwrap(), b"x");
    assert_eq!(beside(place.path()), ["outside", "target"]);
}

#[test]
fn a_file_does_not_go_through_a_link_that_is_there() {
    let place = tempfile::tempdir().unwrap();
    let precious = place.path().join("precious");
    std::fs::write(&precious, "precious").unwrap();
    std::fs::create_dir(place.path().join("target")).unwrap();
    std::os::unix::fs::symlink(&precious, place.path().join("target/name")).unwrap();
    let cx = repository(&[encode_leaf(&[file(b"name", b"restored")]).unwrap()]);
    assert_eq!(restore(&cx, place.path()), Vec::<String>::new());
    assert_eq!(std::fs::read_to_string(&precious).unwrap(), "precious");
    assert_eq!(std::fs::read_to_string(place.path().join("target/name")).unwrap(), "restored");
}

#[test]
fn hard_links_are_made_of_restored_files_only() {
    // Two names of one inode number: the first is restored, the second linked to it, whatever has that number outside.
    let mut nodes = [file(b"one", b"same"), file(b"two", b"same")];
    nodes.iter_mut().for_each(|node| node.metadata = metadata(2));
    let cx = repository(&[encode_leaf(&nodes).unwrap()]);
    let place = tempfile::tempdir().unwrap();
    assert_eq!(restore(&cx, place.path()), Vec::<String>::new());
    use std::os::unix::fs::MetadataExt;
    let inode = |name: &str| std::fs::metadata(place.path().join("target").join(name)).unwrap().ino();
    assert_eq!(inode("one"), inode("two"));
    // Same inode number, other content: not one file.
    let mut nodes = [file(b"one", b"same"), file(b"two", b"other")];
    nodes.iter_mut().for_each(|node| node.metadata = metadata(2));
    let cx = repository(&[encode_leaf(&nodes).unwrap()]);
    let place = tempfile::tempdir().unwrap();
    restore(&cx, place.path());
    assert_eq!(std::fs::read(place.path().join("target/two")).unwrap(), b"other");
}

#[test]
fn a_directory_that_is_its_own_parent_cannot_be_made_but_deep_ones_end() {
    // A tree's id is a hash of its content, so a cycle would need a collision; depth is what can be forged.
    let mut trees = vec![encode_leaf(&[file(b"bottom", b"x")]).unwrap()];
    let cx = repository(&trees);
    for _ in 0..300 {
        let below = id_of(&cx, trees.last().unwrap());
        trees.push(encode_leaf(&[directory(b"deeper", below)]).unwrap());
    }
    // Ids depend on the keys, which come from the seed, so they are the same in every repository of this test.
    let cx = repository(&trees);
    let place = tempfile::tempdir().unwrap();
    assert_eq!(restore(&cx, place.path()), Vec::<String>::new());
    let mut path = place.path().join("target");
    (0..300).for_each(|_| path.push("deeper"));
    assert_eq!(std::fs::read(path.join("bottom")).unwrap(), b"x");
}
