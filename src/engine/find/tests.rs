//! Finding over many snapshots: what is found, and that shared trees are read once.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::known::Known;
use super::{Finder, Finding, Kind, Pattern, Query};
use crate::clock::Timestamp;
use crate::engine::context::{Context, EngineError};
use crate::engine::testing::{Builder, create, file, node};
use crate::format::node::{Body, Content, Node};
use crate::id::TreeId;
use crate::repository::pack_reader::PackReader;
use crate::repository::view::Damage;
use crate::storage::MemoryStorage;
use std::sync::Arc;

fn query(patterns: &[&str]) -> Query {
    let patterns = patterns.iter().map(|pattern| Pattern::new(pattern.as_bytes(), false).unwrap()).collect();
    Query { patterns, ..Query::default() }
}

fn reader(cx: &Context) -> Arc<PackReader> {
    let view = cx.repository.load_view(Damage::Stop).unwrap();
    Arc::new(PackReader::new(Arc::clone(&cx.repository), Arc::new(view.index)))
}

fn directory(name: &str, tree: TreeId) -> Node {
    node(name, Content::Directory { tree })
}

fn inline(name: &str, content: &str, seconds: i64) -> Node {
    let mut node = file(name, content.len() as u64, Body::Inline(content.into()));
    node.metadata.mtime = Timestamp { seconds, nanoseconds: 0 };
    node
}

/// Paths that are found; those that cannot be read with a question mark.
fn found(finder: &mut Finder<'_>, root: TreeId) -> Vec<String> {
    let mut found = Vec::new();
    let ended = finder.snapshot(root, |finding| {
        found.push(match finding {
            Finding::Hit(path, node) => {
                assert!(path.ends_with(&node.name));
                String::from_utf8_lossy(path).into_owned()
            }
            Finding::Damaged(path, _) => format!("{}?", String::from_utf8_lossy(path)),
        });
        true
    });
    ended.unwrap();
    found
}

/// Two roots that share `/a` and `/a/b`; the second has them once more, as `/c`.
fn two(cx: &Context) -> [TreeId; 2] {
    let mut builder = Builder::new(cx);
    let b = builder.leaf(&[inline("x", "123", 50), inline("y", "12345", 100)]);
    let a = builder.leaf(&[directory("b", b), inline("x", "", 200)]);
    let empty = builder.leaf(&[inline("z", "z", 100)]);
    let first = builder.leaf(&[directory("a", a), directory("empty", empty)]);
    let second = builder.leaf(&[directory("a", a), directory("c", a), directory("empty", empty), inline("x", "1", 1)]);
    builder.commit(first);
    [first, second]
}

#[test]
fn what_has_to_be_true_of_an_entry() {
    let storage = MemoryStorage::new();
    let cx = create(&storage, 0);
    let [_, root] = two(&cx);
    let at = |seconds| Some(Timestamp { seconds, nanoseconds: 0 });
    let all = query(&["*"]);
    for (query, expected) in [
        (query(&["x"]), "/a/b/x /a/x /c/b/x /c/x /x"),
        (query(&["y", "z"]), "/a/b/y /c/b/y /empty/z"),
        (query(&["/a/*"]), "/a/b /a/x"),
        (query(&["b/x"]), "/a/b/x /c/b/x"),
        (query(&["/c/**/x"]), "/c/b/x /c/x"),
        (query(&["none"]), ""),
        (Query { kinds: vec![Kind::Directory], ..all.clone() }, "/a /a/b /c /c/b /empty"),
        (Query { kinds: vec![Kind::Symlink, Kind::Device], ..all.clone() }, ""),
        (Query { size_min: Some(3), ..all.clone() }, "/a/b/x /a/b/y /c/b/x /c/b/y"),
        (Query { size_max: Some(0), ..all.clone() }, "/a/x /c/x"),
        (Query { size_min: Some(1), size_max: Some(1), ..all.clone() }, "/empty/z /x"),
        (Query { oldest: at(200), kinds: vec![Kind::File], ..all.clone() }, "/a/x /c/x"),
        (Query { newest: at(50), ..all.clone() }, "/a/b/x /c/b/x /x"),
        (Query { oldest: at(51), newest: at(100), ..all.clone() }, "/a/b/y /c/b/y /empty/z"),
    ] {
        let mut finder = Finder::new(&cx, reader(&cx), &query);
        assert_eq!(found(&mut finder, root).join(" "), expected, "{query:?}");
    }
}

#[test]
fn trees_that_were_looked_through_are_not_read_again_and_give_the_same() {
    let storage = MemoryStorage::new();
    let cx = create(&storage, 0);
    let [first, second] = two(&cx);
    for patterns in [&["x"][..], &["/**/x"], &["*"], &["none"], &["/a/b/*", "/c"]] {
        let query = query(patterns);
        // With as much room as there is, a little, and none.
        for bytes_max in [usize::MAX, 700, 0] {
            let mut finder = Finder::new(&cx, reader(&cx), &query);
            finder.known = Known::bounded(bytes_max);
            let mut expected = Vec::new();
            for root in [first, second, first] {
                let fresh = found(&mut Finder::new(&cx, reader(&cx), &query), root);
                assert_eq!(found(&mut finder, root), fresh, "{patterns:?}, {bytes_max} bytes");
                expected.push(fresh);
            }
            assert_eq!(expected[0], expected[2]);
            if bytes_max < usize::MAX {
                continue;
            }
            // Everything is known now: with nothing to read from, the same is found.
            let nothing = MemoryStorage::new();
            finder.reader = reader(&create(&nothing, 0));
            for (root, expected) in [first, second].into_iter().zip(expected) {
                assert_eq!(found(&mut finder, root), expected, "{patterns:?}");
            }
        }
    }
}

#[test]
fn damage_is_named_for_every_snapshot_and_the_rest_is_found() {
    let storage = MemoryStorage::new();
    let cx = create(&storage, 0);
    let mut builder = Builder::new(&cx);
    let absent = TreeId::from_bytes([9; 32]);
    let good = builder.leaf(&[inline("x", "1", 1)]);
    let root = builder.leaf(&[directory("bad", absent), directory("good", good), inline("x", "1", 1)]);
    builder.commit(root);
    let query = query(&["x"]);
    let mut finder = Finder::new(&cx, reader(&cx), &query);
    for _ in 0..3 {
        assert_eq!(found(&mut finder, root), ["/bad?", "/good/x", "/x"]);
    }
    let mut count = 0;
    let ended = finder.snapshot(root, |_| {
        count += 1;
        count < 2
    });
    assert!(ended.is_ok() && count == 2);
    cx.stop.store(true, std::sync::atomic::Ordering::Relaxed);
    assert!(matches!(finder.snapshot(root, |_| true), Err(EngineError::Interrupted)));
}
