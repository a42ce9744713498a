//! Dumps of honest and of lying repositories: what is given out is what was backed up, or does not look whole.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::{Archive, DumpOptions, run};
use crate::engine::EngineError;
use crate::engine::browse::Snapshot;
use crate::engine::context::Context;
use crate::engine::testing::{Builder, create, file, node, open_with, reopen};
use crate::format::node::{Body, Content, Node};
use crate::format::tree;
use crate::journal::{Anchor, FileEvent, FileRecord, Journal, JournalError, Prepared};
use crate::repository::Access;
use crate::storage::MemoryStorage;
use std::sync::{Arc, Mutex};

/// What happened, to which path, how many bytes, and whether there is something that stands for the content.
type Recorded = (FileEvent, Vec<u8>, u64, bool);

/// Remembers what was recorded of files.
#[derive(Debug, Default)]
struct Books(Mutex<Vec<Recorded>>);

impl Journal for Books {
    fn file(&self, record: &FileRecord<'_>) -> Result<(), JournalError> {
        let FileRecord { event, path, size, content } = *record;
        self.0.lock().unwrap().push((event, path.to_vec(), size, content.is_some()));
        Ok(())
    }

    fn prepared(&self, _: &Prepared<'_>) -> Result<Option<Anchor>, JournalError> {
        Ok(None)
    }

    fn committed(&self, _: &crate::id::SessionId, _: &[u8; 32]) {}
}

fn dumped(cx: &Context, snapshot: &Snapshot, path: &str, archive: Archive) -> (Vec<u8>, Result<u64, EngineError>) {
    let mut out = Vec::new();
    let options = DumpOptions { path: path.into(), archive, ..DumpOptions::default() };
    let result = run(cx, snapshot, &options, &mut out);
    (out, result.map(|report| report.bytes))
}

/// Bytes that no two offsets share.
fn bytes(len: usize) -> Vec<u8> {
    (0..len / 8 + 1).flat_map(|n| (n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes()).take(len).collect()
}

/// `/large` of many chunks in lists, `/link1` and `/link2` of one inode, `/inline`, `/dir/empty`, `/null`, `/to`.
fn repository(storage: &MemoryStorage, workers: usize) -> (Context, Snapshot, Vec<u8>) {
    let mut cx = create(storage, workers);
    // So that there are several batches.
    cx.memory_bytes = 1 << 20;
    let mut builder = Builder::new(&cx);
    let content = bytes(5 << 20);
    let chunks: Vec<&[u8]> = content.chunks(7000).collect();
    // Out of order in the packs, and with chunks that occur twice.
    let mut stored: Vec<(usize, _)> = Vec::new();
    for group in (0..chunks.len()).rev().collect::<Vec<_>>().chunks(9) {
        let parts: Vec<&[u8]> = group.iter().map(|index| chunks[*index]).collect();
        stored.extend(group.iter().copied().zip(builder.blob(&parts)));
    }
    stored.sort_by_key(|(index, _)| *index);
    let mut ids: Vec<_> = stored.into_iter().map(|(_, id)| id).collect();
    ids.push(ids[3]);
    let content = [&content[..], chunks[3]].concat();
    let lists: Vec<_> = ids.chunks(100).map(|ids| builder.encoded(&tree::encode_list(ids).unwrap())).collect();
    let linked = |name: &str| {
        let mut node = file(name, 7000, Body::Chunks(vec![ids[0]]));
        (node.metadata.links, node.metadata.inode, node.metadata.device) = (2, 77, 5);
        node
    };
    let empty = builder.leaf(&[file("empty", 0, Body::Inline(Vec::new()))]);
    let root = builder.leaf(&[
        node("dir", Content::Directory { tree: empty }),
        file("inline", 5, Body::Inline(b"short".to_vec())),
        file("large", content.len() as u64, Body::Lists(lists)),
        linked("link1"),
        linked("link2"),
        node("null", Content::CharDevice { major: 1, minor: 3 }),
        node("socket", Content::Socket),
        node("to", Content::Symlink { target: b"inline".to_vec() }),
    ]);
    (cx, builder.commit(root), content)
}

/// Members of a pax archive: name, type and content; `None` if it does not end as it should.
fn members(archive: &[u8]) -> Option<Vec<(String, u8, Vec<u8>)>> {
    let (mut rest, mut found) = (archive, Vec::new());
    loop {
        let header = rest.get(..512)?;
        if header.iter().all(|byte| *byte == 0) {
            let is_end =
                rest.len() >= 1024 && archive.len().is_multiple_of(10240) && rest.iter().all(|byte| *byte == 0);
            return is_end.then_some(found);
        }
        let octal = |at: std::ops::Range<usize>| {
            let text = String::from_utf8_lossy(&header[at]).trim_matches(['\0', ' ']).to_owned();
            u64::from_str_radix(&text, 8).unwrap()
        };
        let sum: u64 = header.iter().map(|b| u64::from(*b)).sum();
        let own: u64 = header[148..156].iter().map(|b| u64::from(*b)).sum();
        assert_eq!(octal(148..156), sum - own + 8 * 32);
        let size = octal(124..136) as usize;
        let content = rest.get(512..512 + size)?.to_vec();
        let name = String::from_utf8_lossy(&header[..100]).trim_end_matches('\0').to_owned();
        if header[156] != b'x' {
            found.push((name, header[156], content));
        }
        rest = rest.get(512 + size.next_multiple_of(512)..)?;
    }
}

#[test]
fn content_comes_out_in_order_whatever_the_order_in_packs() {
    for workers in [0, 3] {
        let storage = MemoryStorage::new();
        let (mut cx, snapshot, content) = repository(&storage, workers);
        let books = Arc::new(Books::default());
        cx.journal = books.clone();
        let (out, result) = dumped(&cx, &snapshot, "//large/", Archive::Tar);
        assert_eq!(result.unwrap(), content.len() as u64);
        assert!(out == content);
        let (out, _) = dumped(&cx, &snapshot, "", Archive::Tar);
        let members = members(&out).unwrap();
        let names: Vec<_> = members.iter().map(|(name, kind, _)| (name.as_str(), *kind)).collect();
        let expected = [
            ("dir/", b'5'),
            ("dir/empty", b'0'),
            ("inline", b'0'),
            ("large", b'0'),
            ("link1", b'0'),
            ("link2", b'1'),
            ("null", b'3'),
            ("to", b'2'),
        ];
        assert_eq!(names, expected);
        assert!(members[2].2 == b"short" && members[3].2 == content && members[4].2 == content[..7000]);
        let (zip, result) = dumped(&cx, &snapshot, "dir", Archive::Zip);
        result.unwrap();
        assert!(zip.starts_with(b"PK\x03\x04") && zip[zip.len() - 22..].starts_with(b"PK\x05\x06"));
        let recorded: Vec<_> = books.0.lock().unwrap().drain(..).collect();
        let expected: Vec<_> = [
            ("/large", content.len()),
            ("/dir/empty", 0),
            ("/inline", 5),
            ("/large", content.len()),
            ("/link1", 7000),
            ("/link2", 7000),
            ("/dir/empty", 0),
        ]
        .map(|(path, size)| (FileEvent::Recovered, path.as_bytes().to_vec(), size as u64, true))
        .into();
        assert_eq!(recorded, expected);
    }
}

#[test]
fn what_has_no_content_is_refused_and_nothing_is_given_out() {
    let storage = MemoryStorage::new();
    let (cx, snapshot, _) = repository(&storage, 0);
    for (path, is_missing) in [("to", false), ("null", false), ("socket", false), ("none", true), ("inline/x", true)] {
        let (out, result) = dumped(&cx, &snapshot, path, Archive::Tar);
        match result {
            Err(EngineError::NoPath(_)) => assert!(is_missing, "{path}"),
            Err(EngineError::NotDumped { .. }) => assert!(!is_missing, "{path}"),
            other => panic!("{path}: {other:?}"),
        }
        assert!(out.is_empty());
    }
    let options = DumpOptions { no_archive: true, ..DumpOptions::default() };
    assert!(matches!(run(&cx, &snapshot, &options, &mut Vec::new()), Err(EngineError::Setting(_))));
}

#[test]
fn a_flipped_byte_anywhere_gives_a_whole_archive_that_is_right_or_one_that_is_not_whole() {
    let storage = MemoryStorage::new();
    let (cx, snapshot, _) = repository(&storage, 0);
    let (right, _) = dumped(&cx, &snapshot, "", Archive::Tar);
    let (right_zip, _) = dumped(&cx, &snapshot, "large", Archive::Zip);
    drop(cx);
    let golden = storage.snapshot();
    let packs: Vec<_> = golden.iter().filter(|(_, bytes)| bytes.len() > 1000).map(|(name, _)| name.clone()).collect();
    assert!(packs.len() > 20);
    let (mut damaged, mut cut) = (0, 0);
    for (index, name) in packs.iter().enumerate().step_by(3) {
        let mut contents = golden.clone();
        let bytes = contents.get_mut(name).unwrap();
        let at = bytes.len() * (index % 9 + 1) / 10;
        bytes[at] ^= 1;
        let storage = MemoryStorage::from_map(contents);
        let Ok(mut cx) = open_with(Access { fetch: Arc::new(storage), publish: None }, index % 3) else { continue };
        let books = Arc::new(Books::default());
        (cx.memory_bytes, cx.journal) = (1 << 20, books.clone());
        let (out, result) = dumped(&cx, &snapshot, "", Archive::Tar);
        match result {
            Ok(_) => assert!(out == right, "{name}"),
            Err(error) => {
                damaged += 1;
                assert!(
                    matches!(&error, EngineError::Content { source, .. } if source.is_damage())
                        || matches!(&error, EngineError::Repository(source) if source.is_damage()),
                    "{name}: {error:?}"
                );
                assert!(members(&out).is_none(), "{name}: looks whole");
                // What of it can be taken for content is content.
                let same = out.iter().zip(&right).take_while(|(a, b)| a == b).count();
                assert!(out.len() - same <= 1024, "{name}: {} of {} bytes are right", same, out.len());
                cut += usize::from(same > 1 << 20);
                let given: u64 = books.0.lock().unwrap().iter().map(|(_, _, size, _)| *size).sum();
                assert!(given <= 2 * 5 * (1 << 20));
            }
        }
        let (out, result) = dumped(&cx, &snapshot, "large", Archive::Zip);
        if result.is_ok() {
            assert!(out == right_zip);
        } else {
            assert!(right_zip.starts_with(&out) && out.len() < right_zip.len());
        }
    }
    assert!(damaged > 10 && cut > 3, "{damaged} {cut}");
}

#[test]
fn lies_about_lengths_end_it_before_more_is_given_out_than_was_announced() {
    let storage = MemoryStorage::new();
    let cx = create(&storage, 0);
    let mut builder = Builder::new(&cx);
    let ids = builder.blob(&[&bytes(4000), &bytes(3000)]);
    let entries = [
        file("long", 3999, Body::Chunks(vec![ids[0]])),
        file("short", 8000, Body::Chunks(ids.clone())),
        file("twice", 8_000_000_000, Body::Chunks(vec![ids[1]])),
    ];
    let directories: Vec<Node> = entries
        .iter()
        .map(|entry| {
            let tree = builder.leaf(std::slice::from_ref(entry));
            node(&format!("d{}", String::from_utf8_lossy(&entry.name)), Content::Directory { tree })
        })
        .collect();
    let root = builder.leaf(&directories);
    let snapshot = builder.commit(root);
    let cx = reopen(&storage, 2);
    for (directory, name) in [("dlong", "long"), ("dshort", "short"), ("dtwice", "twice")] {
        for archive in [Archive::Tar, Archive::Zip] {
            let (out, result) = dumped(&cx, &snapshot, directory, archive);
            assert!(matches!(result, Err(EngineError::Content { source, .. }) if source.is_damage()), "{name}");
            if archive == Archive::Tar {
                assert!(members(&out).is_none(), "{name} looks whole");
            }
        }
        let (out, result) = dumped(&cx, &snapshot, &format!("{directory}/{name}"), Archive::Tar);
        assert!(result.is_err() && out.len() <= 7000, "{name}");
    }
}

#[test]
fn an_output_that_takes_no_more_ends_it_and_a_part_is_on_record() {
    struct Full(usize);
    impl std::io::Write for Full {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let taken = bytes.len().min(self.0);
            self.0 -= taken;
            if taken == 0 { Err(std::io::ErrorKind::StorageFull.into()) } else { Ok(taken) }
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let storage = MemoryStorage::new();
    let (mut cx, snapshot, _) = repository(&storage, 2);
    let books = Arc::new(Books::default());
    cx.journal = books.clone();
    let options = DumpOptions { path: b"large".to_vec(), ..DumpOptions::default() };
    let result = run(&cx, &snapshot, &options, &mut Full(3_000_000));
    assert!(matches!(result, Err(EngineError::Output(_))));
    let recorded = books.0.lock().unwrap();
    assert_eq!(recorded.len(), 1);
    let (event, path, size, is_whole) = &recorded[0];
    assert_eq!((event, path.as_slice(), is_whole), (&FileEvent::Recovered, b"/large".as_slice(), &false));
    assert!((3_000_000..3_100_000).contains(size), "{size}");
}
