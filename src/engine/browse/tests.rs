//! Large, deep and lying directories: looked up in, walked, restored.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::{DirReader, Found, SnapshotTree, Snapshots};
use crate::engine::EngineError;
use crate::engine::restore::{self, RestoreOptions};
use crate::engine::testing::{Builder, create, file, node};
use crate::format::node::{Body, Content};
use crate::format::tree;
use crate::repository::pack_reader::{PackReader, ReadBuffers};
use crate::repository::view::Damage;
use crate::storage::MemoryStorage;
use std::sync::Arc;

#[test]
fn large_directories_and_deep_ones_are_walked_and_found_in() {
    let storage = MemoryStorage::new();
    let cx = create(&storage, 0);
    let mut builder = Builder::new(&cx);
    let mut pages = Vec::new();
    let names: Vec<String> = (0..300).map(|n| format!("f{n:03}")).collect();
    for page in names.chunks(70) {
        let nodes: Vec<_> = page.iter().map(|n| file(n, 4, Body::Inline(n.clone().into_bytes()))).collect();
        pages.push(tree::Page { first_name: page[0].clone().into_bytes(), tree: builder.leaf(&nodes) });
    }
    let large = builder.encoded(&tree::encode_pages(&pages).unwrap());
    let mut deep = builder.leaf(&[file("bottom", 1, Body::Inline(b"x".to_vec()))]);
    for _ in 0..300 {
        deep = builder.leaf(&[node("d", Content::Directory { tree: deep })]);
    }
    // A page that does not begin with what the pages say, and the same page twice.
    let mut lying = pages.clone();
    lying[1].first_name = b"f0700".to_vec();
    let lying = builder.encoded(&tree::encode_pages(&lying).unwrap());
    let root = builder.leaf(&[
        node("deep", Content::Directory { tree: deep }),
        node("large", Content::Directory { tree: large }),
        node("lying", Content::Directory { tree: lying }),
    ]);
    let snapshot = builder.commit(root);
    let view = cx.repository.load_view(Damage::Stop).unwrap();
    let reader = Arc::new(PackReader::new(Arc::clone(&cx.repository), Arc::new(view.index)));
    let tree = SnapshotTree::new(reader, snapshot.references.tree);
    for name in [&names[0], &names[69], &names[70], &names[299]] {
        let found = tree.find(format!("/large//{name}/").as_bytes()).unwrap();
        assert!(matches!(found, Found::Node(node) if node.name == name.as_bytes()), "{name}");
    }
    for missing in ["/large/f", "/large/f0695", "/large/g", "/large/f000/x", "/deep/..", "/deep/./d"] {
        assert!(matches!(tree.find(missing.as_bytes()), Err(EngineError::NoPath(_))), "{missing}");
    }
    let mut listed = Vec::new();
    tree.for_each(b"large", true, |path, node| {
        assert_eq!(path, [b"/large/".as_slice(), &node.unwrap().name].concat());
        listed.push(String::from_utf8(node.unwrap().name.clone()).unwrap());
        true
    })
    .unwrap();
    assert_eq!(listed, names);
    // What is let go of after any entry, the last of a page too, is read again from there.
    let (mut dir, mut buffers, mut read) = (DirReader::new(large), ReadBuffers::new().unwrap(), Vec::new());
    while let Some(entry) = dir.next(tree.reader(), &mut buffers) {
        read.push(String::from_utf8(entry.unwrap().name).unwrap());
        dir.release();
    }
    assert_eq!(read, names);
    let (mut entries, mut errors) = (0, 0);
    tree.for_each(b"", true, |_, node| {
        if node.is_ok() {
            entries += 1
        } else {
            errors += 1
        }
        true
    })
    .unwrap();
    assert_eq!((entries, errors), (3 + 301 + 300 + 230, 1));

    let target = tempfile::tempdir().unwrap();
    let options = RestoreOptions { target: target.path().to_path_buf(), ..RestoreOptions::default() };
    let report = restore::run(&cx, &snapshot, &options).unwrap();
    assert_eq!((report.files_restored, report.directories, report.failed), (1 + 300 + 230, 303, 1));
    assert_eq!(Snapshots::load(&cx.repository).unwrap().all().len(), 1);
}
