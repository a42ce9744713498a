//! Diffs of trees put together by hand.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::{DiffOptions, DiffReport, Step, run};
use crate::engine::browse::Found;
use crate::engine::context::{Context, EngineError};
use crate::engine::testing::{Builder, create, file, node};
use crate::format::node::{Body, Content, Node, Xattr};
use crate::format::tree;
use crate::id::TreeId;
use crate::repository::pack_reader::PackReader;
use crate::repository::view::Damage;
use crate::storage::MemoryStorage;
use std::sync::Arc;

fn inline(name: &str, content: &str) -> Node {
    file(name, content.len() as u64, Body::Inline(content.into()))
}

fn directory(name: &str, tree: TreeId) -> Node {
    node(name, Content::Directory { tree })
}

/// The lines of a diff, and what it came to.
fn lines(cx: &Context, sides: [&Found; 2], metadata: bool) -> (Vec<String>, DiffReport) {
    let view = cx.repository.load_view(Damage::Stop).unwrap();
    let reader = PackReader::new(Arc::clone(&cx.repository), Arc::new(view.index));
    let mut lines = Vec::new();
    let report = run(cx, &reader, (sides[0], sides[1]), DiffOptions { metadata }, |step| {
        lines.push(match step {
            Step::Change(change) => format!("{} {}", change.marks, String::from_utf8_lossy(change.path)),
            Step::Damaged(path, _) => format!("damaged {}", String::from_utf8_lossy(path)),
        });
        true
    });
    (lines, report.unwrap())
}

fn leaf(builder: &mut Builder, mut nodes: Vec<Node>) -> TreeId {
    nodes.sort_by(|a, b| a.name.cmp(&b.name));
    builder.leaf(&nodes)
}

/// Pages of files with these names, two in each.
fn pages(builder: &mut Builder, names: &[String]) -> Vec<tree::Page> {
    let page = |names: &[String]| -> Vec<Node> { names.iter().map(|name| inline(name, name)).collect() };
    let pages = names.chunks(2).map(page);
    pages.map(|nodes| tree::Page { first_name: nodes[0].name.clone(), tree: builder.leaf(&nodes) }).collect()
}

/// A directory of these pages and one before them, which has one entry, a directory: what is below that is walked while the
/// page waits.
fn paged(builder: &mut Builder, pages: &[tree::Page], deep: TreeId) -> TreeId {
    let first = tree::Page { first_name: b"d".to_vec(), tree: builder.leaf(&[directory("d", deep)]) };
    builder.encoded(&tree::encode_pages(&[&[first][..], pages].concat()).unwrap())
}

#[test]
fn every_kind_of_difference_is_marked_once_and_counted() {
    let storage = MemoryStorage::new();
    let cx = create(&storage, 0);
    let mut builder = Builder::new(&cx);
    let ids = builder.blob(&[b"one chunk", b"another chunk", b"a third"]);
    // Equal subtrees are not read: this one is not even there.
    let absent = TreeId::from_bytes([9; 32]);
    let inner = builder.leaf(&[inline("deep", "x")]);
    let moved = builder.leaf(&[inline("deep", "x"), inline("new", "yy")]);
    let mut touched = inline("touched", "same");
    touched.metadata.mtime.seconds += 1;
    touched.metadata.mode = 0o600;
    touched.metadata.xattrs = vec![Xattr { name: b"user.a".to_vec(), value: b"1".to_vec() }];
    let mut later = inline("written", "longer");
    later.metadata.mtime.seconds += 1;
    let common = || vec![directory("same", absent), inline("untouched", "u")];
    let mut before = common();
    before.extend([
        directory("a", inner),
        file("chunks", 22, Body::Chunks(ids[..2].to_vec())),
        inline("gone", "12345"),
        inline("rotten", "abc"),
        inline("touched", "same"),
        node("type", Content::Symlink { target: b"x".to_vec() }),
        inline("written", "short"),
        directory("zdir", inner),
        node("link", Content::Symlink { target: b"x".to_vec() }),
    ]);
    let mut after = common();
    after.extend([
        directory("a", moved),
        file("chunks", 16, Body::Chunks(vec![ids[0], ids[2]])),
        inline("rotten", "abd"),
        touched,
        directory("type", inner),
        later,
        node("null", Content::CharDevice { major: 1, minor: 3 }),
        node("link", Content::Symlink { target: b"y".to_vec() }),
    ]);
    let (before, after) = (leaf(&mut builder, before), leaf(&mut builder, after));
    builder.commit(before);
    let (before, after) = (Found::Root(before), Found::Root(after));
    let (found, report) = lines(&cx, [&before, &after], false);
    let expected = [
        "+ /a/new",
        "M? /chunks",
        "- /gone",
        "M /link",
        "+ /null",
        "M? /rotten",
        "T /type",
        "+ /type/deep",
        "M /written",
        "- /zdir",
        "- /zdir/deep",
    ];
    // Of another length, so not as if untouched.
    let expected: Vec<_> = expected.iter().map(|line| line.replace("M? /chunks", "M /chunks")).collect();
    assert_eq!(found, expected);
    assert_eq!((report.changed_files, report.changed_types, report.changed_metadata, report.damaged), (3, 1, 0, 0));
    let (added, removed) = (report.added, report.removed);
    assert_eq!((added.files, added.directories, added.others, added.file_bytes), (2, 1, 1, 3));
    assert_eq!((removed.files, removed.directories, removed.others, removed.file_bytes), (2, 1, 1, 6));
    let (new, gone) = (added.volume.unwrap(), removed.volume.unwrap());
    assert_eq!((new.chunks, gone.chunks), (1, 1));
    // The roots; /a of both, of which the first side's is also /zdir, and the second's /type.
    assert_eq!((new.trees, gone.trees), (2, 1));
    let (found, report) = lines(&cx, [&before, &after], true);
    assert!(found.contains(&"U /touched".to_owned()) && found.len() == expected.len() + 1);
    assert_eq!(report.changed_metadata, 1);
    // The other way round, marks are exchanged; with itself there is nothing, and nothing is read.
    let (found, _) = lines(&cx, [&after, &before], false);
    assert_eq!(found.iter().filter(|line| line.starts_with('+')).count(), 3);
    assert_eq!(lines(&cx, [&before, &before], true).0, Vec::<String>::new());
}

#[test]
fn large_deep_and_damaged_directories() {
    let storage = MemoryStorage::new();
    let cx = create(&storage, 0);
    let mut builder = Builder::new(&cx);
    let names: Vec<String> = (0..500).map(|n| format!("f{n:03}")).collect();
    let none = TreeId::from_bytes([9; 32]);
    let all = pages(&mut builder, &names);
    let [but_first, few, other_few] = [&names[1..], &names[..400], &names[5..]].map(|names| pages(&mut builder, names));
    let mut trees = [none, none];
    // Ever larger directories in one another: more is held than is allowed, and read again on the way up.
    for _ in 0..400 {
        trees = [paged(&mut builder, &all, trees[0]), paged(&mut builder, &but_first, trees[1])];
    }
    let equal_inside = [paged(&mut builder, &few, none), paged(&mut builder, &other_few, none)];
    let wrong = builder.leaf(&[directory("x", none), inline("y", "1")]);
    let right = builder.leaf(&[directory("x", equal_inside[0]), inline("y", "2")]);
    builder.commit(wrong);
    let (found, report) = lines(&cx, [&Found::Root(equal_inside[0]), &Found::Root(equal_inside[1])], false);
    assert_eq!((found.len(), report.removed.files, report.added.files, report.damaged), (105, 5, 100, 0));
    // At the bottom both sides have the same tree, which is not there and not read.
    let (found, report) = lines(&cx, [&Found::Root(trees[0]), &Found::Root(trees[1])], false);
    assert_eq!((found.len(), report.removed.files, report.damaged), (400, 400, 0));
    let (found, report) = lines(&cx, [&Found::Root(wrong), &Found::Root(right)], false);
    assert_eq!(found, ["damaged /x", "M? /y"]);
    assert_eq!((report.damaged, report.added.files), (1, 0), "what cannot be compared is not added");
}

#[test]
fn single_entries_and_an_end() {
    let storage = MemoryStorage::new();
    let cx = create(&storage, 0);
    let mut builder = Builder::new(&cx);
    let root = builder.leaf(&[inline("a", "1"), inline("b", "2"), inline("c", "3")]);
    let empty = builder.leaf(&[]);
    builder.commit(root);
    let entry = |name: &str, content: &str| Found::Node(Box::new(inline(name, content)));
    assert_eq!(lines(&cx, [&entry("a", "1"), &entry("b", "22")], false).0, ["M /b"]);
    assert_eq!(lines(&cx, [&entry("a", "1"), &entry("b", "1")], false).0, Vec::<String>::new());
    let view = cx.repository.load_view(Damage::Stop).unwrap();
    let reader = PackReader::new(Arc::clone(&cx.repository), Arc::new(view.index));
    let sides = (&Found::Root(root), &Found::Root(empty));
    let mut count = 0;
    let report = run(&cx, &reader, sides, DiffOptions::default(), |_| {
        count += 1;
        count < 2
    });
    assert_eq!((count, report.unwrap().removed.files), (2, 2));
    cx.stop.store(true, std::sync::atomic::Ordering::Relaxed);
    let stopped = run(&cx, &reader, sides, DiffOptions::default(), |_| true);
    assert!(matches!(stopped, Err(EngineError::Interrupted)));
}
