//! Trees: one encoding for each directory, and no name that could lead anywhere else.

use super::contents::{damage, encode_tree, join, round_trip};
use super::random::check;
use super::{samples, strategies};
use cairn::clock::Timestamp;
use cairn::format::node::{
    Body, Content, INLINE_MAX, INODE_FLAGS_KEPT, LINK_TARGET_MAX, Metadata, Node, Owner, XATTR_COUNT_MAX,
    XATTR_NAME_MAX, XATTR_VALUE_MAX, Xattr,
};
use cairn::format::tree::{
    DIRECT_CHUNKS_MAX, LIST_CHUNKS_MAX, PAGE_ENTRIES_MAX, Page, Tree, decode, decode_references, encode_leaf,
    encode_list, encode_pages,
};
use cairn::format::wire::{FormatError, Reader, Result, Writer};
use cairn::id::{ChunkId, TreeId};
use proptest::prelude::*;
use std::sync::Arc;

fn split(bytes: &[u8]) -> Result<(&[u8], &[u8])> {
    let mut r = Reader::new(bytes, "test");
    let len = r.u32()? as usize;
    Ok((r.take(len)?, r.take(r.remaining())?))
}

#[test]
fn trees() {
    let tree = prop_oneof![
        6 => strategies::nodes().prop_map(Tree::Leaf),
        1 => strategies::pages().prop_map(Tree::Pages),
        1 => strategies::list().prop_map(Tree::List),
    ];
    let encode = |tree: &Tree| join(&encode_tree(tree).unwrap());
    round_trip("tree", &tree, encode, |bytes| {
        split(bytes).and_then(|(references, entries)| decode(references, entries))
    });
}

#[test]
fn references_tell_what_is_needed() {
    check("references", 256, &strategies::nodes(), |nodes| {
        let encoded = encode_leaf(&nodes).unwrap();
        let references = decode_references(&encoded.references).unwrap();
        let (mut trees, mut chunks) = (Vec::new(), Vec::new());
        for node in &nodes {
            match &node.content {
                Content::Directory { tree } => trees.push(*tree),
                Content::File { body: Body::Lists(lists), .. } => trees.extend_from_slice(lists),
                Content::File { body: Body::Chunks(ids), .. } => chunks.extend_from_slice(ids),
                _ => {}
            }
        }
        assert_eq!((references.trees, references.chunks), (trees, chunks));
    });
}

#[test]
fn damaged_samples() {
    let tried: u64 =
        samples::trees().unwrap().iter().map(|tree| damage(&join(tree), super::contents::RECODE[0].1)).sum();
    println!("counts: tree samples: {tried} damaged encodings");
}

fn node(name: &[u8], content: Content) -> Node {
    let owner = Arc::new(Owner { uid: 0, gid: 0, user: Vec::new(), group: Vec::new() });
    let (mtime, ctime) = (samples::time(), samples::time());
    let (btime, inode_flags, xattrs) = (None, 0, Vec::new());
    let metadata =
        Metadata { mode: 0o644, owner, mtime, ctime, inode: 1, device: 0, links: 1, btime, inode_flags, xattrs };
    Node { name: name.to_vec(), metadata, content }
}

fn fifo(name: &[u8]) -> Node {
    node(name, Content::Fifo)
}

/// The references of a leaf with these numbers of trees and chunks.
fn references(trees: u8, chunks: u8) -> Vec<u8> {
    let ids = |count: u8| [vec![count], vec![0xaa; 32 * usize::from(count)]].concat();
    [vec![1], ids(trees), ids(chunks)].concat()
}

/// The entries of a leaf, written by hand: owners, then for each entry its shared length, the rest of its name and all
/// that follows.
fn leaf(owners: &[&[u8]], entries: &[(u8, &[u8], &[u8])]) -> Vec<u8> {
    let mut w = Writer::new();
    w.varint(owners.len() as u64);
    owners.iter().for_each(|owner| w.raw(owner));
    w.varint(entries.len() as u64);
    for (shared, rest, more) in entries {
        w.u8(*shared);
        w.bytes(rest);
        w.raw(more);
    }
    w.into_vec()
}

const OWNER: &[u8] = &[0, 0, 0, 0];
/// A fifo with mode 0 and all times and numbers as in the entry before.
const FIFO: &[u8] = &[4, 0, 0, 0, 0, 0, 0, 0, 0];

fn names(entries: &[(u8, &[u8])]) -> Result<Vec<Vec<u8>>> {
    let entries: Vec<(u8, &[u8], &[u8])> = entries.iter().map(|(shared, rest)| (*shared, *rest, FIFO)).collect();
    match decode(&references(0, 0), &leaf(&[OWNER], &entries))? {
        Tree::Leaf(nodes) => Ok(nodes.into_iter().map(|node| node.name).collect()),
        other => panic!("not a leaf: {other:?}"),
    }
}

const BAD_NAMES: [&[u8]; 10] = [b"", b".", b"..", b"/", b"a/b", b"../a", b"/etc", b"a\0", b"\0", &[b'x'; 256]];

#[test]
fn bad_names_are_refused() {
    assert_eq!(names(&[(0, b"a"), (1, b"b"), (0, b"b")]).unwrap(), [b"a".to_vec(), b"ab".to_vec(), b"b".to_vec()]);
    for good in [&b"..."[..], b".a", b"a..", b"\xff\xfe", b"\n", &[b'x'; 255]] {
        assert_eq!(names(&[(0, good)]).unwrap(), [good.to_vec()]);
    }
    for bad in BAD_NAMES {
        assert!(names(&[(0, bad)]).is_err(), "{bad:?}");
        assert!(encode_leaf(&[fifo(bad)]).is_err(), "{bad:?}");
    }
    // Put together from a shared beginning.
    assert!(names(&[(0, b"."), (1, b".")]).is_err());
    assert!(names(&[(0, b".a"), (1, b".")]).is_err());
    assert!(names(&[(0, b"-x"), (1, b"/")]).is_err());
    assert!(names(&[(0, &[b'x'; 200]), (200, &[b'y'; 56])]).is_err());
    for bad in BAD_NAMES {
        let page = |name: &[u8], byte| Page { first_name: name.to_vec(), tree: TreeId::from_bytes([byte; 32]) };
        assert!(encode_pages(&[page(bad, 1), page(b"zzz", 2)]).is_err(), "{bad:?}");
        let mut w = Writer::new();
        w.varint(2);
        w.bytes(bad);
        w.bytes(b"zzz");
        let references = [&[2, 2][..], &[1; 64], &[0]].concat();
        assert!(decode(&references, w.as_slice()).is_err(), "{bad:?}");
    }
}

#[test]
fn names_ascend_and_share_all_they_can() {
    for (bad, why) in [
        (&[(0, &b"a"[..]), (1, &b""[..])][..], "twice"),
        (&[(0, b"a"), (0, b"a")], "twice, not shared"),
        (&[(0, b"b"), (0, b"a")], "unsorted"),
        (&[(0, b"ab"), (1, b"")], "a beginning of the name before"),
        (&[(0, b"ab"), (0, b"ac")], "less shared than could be"),
        (&[(0, b"a"), (2, b"b")], "more shared than there is"),
        (&[(1, b"a")], "shared with nothing"),
    ] {
        assert!(names(bad).is_err(), "{why}");
    }
    for bad in [[&b"a"[..], b"a"], [b"b", b"a"], [b"ab", b"a"]] {
        assert!(encode_leaf(&bad.map(fifo)).is_err(), "{bad:?}");
        let pages = bad.map(|name| Page { first_name: name.to_vec(), tree: TreeId::from_bytes([1; 32]) });
        assert!(encode_pages(&pages).is_err(), "{bad:?}");
    }
    assert!(encode_pages(&[Page { first_name: b"a".to_vec(), tree: TreeId::from_bytes([1; 32]) }]).is_err());
}

#[test]
fn owners_are_listed_once_in_order_of_use() {
    let by = |owners: &[&[u8]], used: &[u8]| {
        let fifos: Vec<Vec<u8>> = used.iter().map(|owner| [&[4, 0, 0, *owner], &FIFO[4..]].concat()).collect();
        let name = |index: usize| [b'a' + index as u8];
        let names: Vec<[u8; 1]> = (0..used.len()).map(name).collect();
        let entries: Vec<(u8, &[u8], &[u8])> =
            names.iter().zip(&fifos).map(|(name, fifo)| (0, &name[..], fifo.as_slice())).collect();
        decode(&references(0, 0), &leaf(owners, &entries))
    };
    let (a, b) = (OWNER, &[1, 0, 0, 0][..]);
    assert!(by(&[a, b], &[0, 1, 0]).is_ok() && by(&[], &[]).is_ok());
    for (owners, used, why) in [
        (&[a, a][..], &[0, 1][..], "twice"),
        (&[a, b], &[1, 0], "out of order"),
        (&[a, b], &[0], "unused"),
        (&[a], &[], "unused"),
        (&[a], &[0, 1], "not there"),
        (&[], &[0], "not there"),
    ] {
        assert!(by(owners, used).is_err(), "{why}");
    }
    // Names that differ only where they are cut off are one owner.
    let long = |end: &[u8]| {
        let user = [&[b'u'; 256], end].concat();
        Arc::new(Owner { uid: 1, gid: 1, user, group: Vec::new() })
    };
    let mut nodes = [fifo(b"a"), fifo(b"b")];
    (nodes[0].metadata.owner, nodes[1].metadata.owner) = (long(b"1"), long(b"2"));
    let encoded = encode_leaf(&nodes).unwrap();
    let Tree::Leaf(read) = decode(&encoded.references, &encoded.entries).unwrap() else { panic!("not a leaf") };
    assert!(read.iter().all(|node| node.metadata.owner == long(b"")));
    assert_eq!(encode_leaf(&read), Ok(encoded));
}

/// Each row: the references, and what follows the name of the only entry.
#[test]
fn malformed_entries_are_refused() {
    let file = |flags: u8, rest: &[u8]| [&[1, flags, 0, 0, 0, 0, 0, 0, 0], rest].concat();
    let read = |(trees, chunks): (u8, u8), more: &[u8]| {
        decode(&references(trees, chunks), &leaf(&[OWNER], &[(0, b"a", more)])).map(|_| ())
    };
    let good = [
        ((0, 0), FIFO.to_vec()),
        ((1, 0), [&[2], &FIFO[1..]].concat()),
        ((0, 0), file(16, &[3, b'a', b'b', b'c'])),
        ((0, 2), file(3, &[9, 2])),
        ((2, 0), file(32, &[9, 2])),
        ((0, 0), [FIFO[..1].to_vec(), vec![8], FIFO[2..].to_vec(), vec![2, 0]].concat()),
        ((0, 0), [FIFO[..1].to_vec(), vec![64], FIFO[2..].to_vec(), vec![1, 2]].concat()),
        ((0, 0), file(16 | 64 | 128, &[1, 2, 0x30, 0])),
        ((1, 0), [&[2, 128], &FIFO[2..], &[0x10]].concat()),
    ];
    good.iter().for_each(|(ids, more)| assert_eq!(read(*ids, more), Ok(()), "{more:?}"));
    let with = |at: usize, value: &[u8]| [&FIFO[..at], value, &FIFO[at + 1..]].concat();
    let xattrs = |list: &[u8]| [&with(1, &[4]), list].concat();
    let signed = |value: i64| {
        let mut w = Writer::new();
        w.signed(value);
        w.into_vec()
    };
    let bad = [
        ((0, 0), with(0, &[0]), "type 0"),
        ((0, 0), with(0, &[8]), "type 8"),
        ((0, 0), [with(1, &[64]), signed(0), signed(-1)].concat(), "born at -1 nanoseconds"),
        ((0, 0), [with(1, &[64]), signed(0), signed(1_000_000_000)].concat(), "born at 10^9 nanoseconds"),
        ((0, 0), [with(1, &[64]), signed(0), signed(i64::MIN)].concat(), "born long before"),
        ((0, 0), [with(1, &[128]), vec![0x10]].concat(), "inode flags of a fifo"),
        ((0, 0), file(144, &[0, 0]), "no inode flags, but the flag for them"),
        ((0, 0), file(144, &[0x80, 0x10, 0]), "an inode flag that says how a file is stored"),
        ((0, 0), file(144, &[0xff, 0xff, 0xff, 0xff, 0x0f, 0]), "all inode flags"),
        ((0, 0), file(144, &[0x90, 0x80, 0x80, 0x80, 0x10, 0]), "inode flags of 33 bits"),
        ((0, 0), with(1, &[1]), "sparse, but no file"),
        ((0, 0), with(1, &[16]), "inline, but no file"),
        ((1, 0), [&[2, 8][..], &FIFO[2..], &[2, 0]].concat(), "a directory with several links"),
        ((0, 0), with(2, &[0x80, 0x20]), "mode of 13 bits"),
        ((0, 0), with(2, &[0x80, 0x00]), "mode longer than needed"),
        ((0, 0), with(5, &[0x80, 0x94, 0xeb, 0xdc, 0x03]), "10^9 nanoseconds"),
        ((0, 0), with(7, &[0x80, 0x94, 0xeb, 0xdc, 0x03]), "10^9 nanoseconds"),
        ((0, 0), [with(1, &[8]), vec![1, 0]].concat(), "flag of several links, but one"),
        ((0, 0), [FIFO, b"x"].concat(), "bytes left over"),
        ((1, 0), FIFO.to_vec(), "a tree left over"),
        ((0, 1), FIFO.to_vec(), "a chunk left over"),
        ((0, 0), with(0, &[2]), "a directory without a tree"),
        ((0, 1), with(0, &[2]), "a chunk is no tree"),
        ((0, 1), file(0, &[9, 2]), "a chunk too few"),
        ((0, 3), file(0, &[9, 2]), "a chunk too many"),
        ((0, 2), file(32, &[9, 2]), "chunks are no lists"),
        ((0, 0), file(48, &[0, 0]), "inline and lists"),
        ((0, 0), file(16, &[4, b'a', b'b', b'c']), "inline content too short"),
        ((0, 0), file(16, &[&[0x81, 4], &[0; 513][..]].concat()), "513 bytes inline"),
        ((0, 0), [&with(0, &[3]), &[0x80, 0x20][..], &[b'x'; 4096]].concat(), "symlink target of 4096 bytes"),
        ((0, 0), xattrs(&[0]), "flag of attributes, but none"),
        ((0, 0), xattrs(&[1, 0, 0]), "attribute without name"),
        ((0, 0), xattrs(&[1, 1, 0, 0]), "NUL in an attribute's name"),
        ((0, 0), xattrs(&[2, 1, b'a', 0, 1, b'a', 0]), "attribute twice"),
        ((0, 0), xattrs(&[2, 1, b'b', 0, 1, b'a', 0]), "attributes unsorted"),
    ];
    bad.iter().for_each(|(ids, more, why)| assert!(read(*ids, more).is_err(), "{why}"));
    for references in [&[0, 0, 0][..], &[4, 0, 0], &[1, 0], &[1, 0, 0, 0], &[1, 1, 0], &[1, 0x80, 0, 0]] {
        assert!(decode_references(references).is_err() && decode(references, &[0, 0]).is_err(), "{references:?}");
    }
    assert!(decode(&[3, 0, 0], b"x").is_err() && decode(&[&[3, 1][..], &[0; 32], &[0]].concat(), b"").is_err());
}

/// At a limit an encoder writes what the decoder reads; one beyond, it refuses.
#[test]
fn limits_hold_on_both_sides() {
    let accepted = |tree: Tree| match encode_tree(&tree) {
        Ok(encoded) => {
            assert_eq!(decode(&encoded.references, &encoded.entries), Ok(tree), "written, but not read");
            true
        }
        Err(error) => {
            assert!(matches!(error, FormatError::Limit { .. } | FormatError::Invalid { .. }), "{error}");
            false
        }
    };
    let file = |size, body| Content::File { size, sparse: false, inconsistent: false, body };
    let one = |content| Tree::Leaf(vec![node(b"a", content)]);
    let meta = |change: &dyn Fn(&mut Metadata)| {
        let mut node = fifo(b"a");
        change(&mut node.metadata);
        Tree::Leaf(vec![node])
    };
    let chunk = ChunkId::from_bytes([1; 32]);
    let xattr = |name: usize, value: usize| Xattr { name: vec![b'n'; name], value: vec![0; value] };
    for beyond in [0, 1] {
        let good = beyond == 0;
        let names = (0..PAGE_ENTRIES_MAX + beyond).map(|index| fifo(format!("{index:06}").as_bytes()));
        assert_eq!(accepted(Tree::Leaf(names.collect())), good, "entries");
        assert_eq!(accepted(Tree::List(vec![chunk; LIST_CHUNKS_MAX + beyond])), good, "chunks of a list");
        assert_eq!(accepted(one(file(0, Body::Chunks(vec![chunk; DIRECT_CHUNKS_MAX + beyond])))), good, "chunks");
        let inline = INLINE_MAX + beyond;
        assert_eq!(accepted(one(file(inline as u64, Body::Inline(vec![0; inline])))), good, "inline");
        assert_eq!(accepted(one(file(beyond as u64, Body::Inline(Vec::new())))), good, "inline of another size");
        assert_eq!(accepted(one(Content::Symlink { target: vec![b'x'; LINK_TARGET_MAX + beyond] })), good, "target");
        assert_eq!(accepted(meta(&|m| m.xattrs = vec![xattr(XATTR_NAME_MAX + beyond, 1)])), good, "attribute name");
        assert_eq!(accepted(meta(&|m| m.xattrs = vec![xattr(1, XATTR_VALUE_MAX + beyond)])), good, "attribute value");
        let count = XATTR_COUNT_MAX + beyond;
        let many = |m: &mut Metadata| {
            let name = |index| format!("user.{index:06}").into_bytes();
            m.xattrs = (0..count).map(|index| Xattr { name: name(index), value: Vec::new() }).collect();
        };
        assert_eq!(accepted(meta(&many)), good, "attributes");
        let nanoseconds = 999_999_999 + beyond as u32;
        assert_eq!(accepted(meta(&|m| m.mtime.nanoseconds = nanoseconds)), good, "mtime");
        assert_eq!(accepted(meta(&|m| m.ctime.nanoseconds = nanoseconds)), good, "ctime");
        let born = Timestamp { seconds: i64::MIN, nanoseconds };
        assert_eq!(accepted(meta(&|m| m.btime = Some(born))), good, "btime");
        let mut flagged = node(b"a", if good { file(0, Body::Chunks(Vec::new())) } else { Content::Fifo });
        flagged.metadata.inode_flags = INODE_FLAGS_KEPT;
        assert_eq!(accepted(Tree::Leaf(vec![flagged.clone()])), good, "inode flags of a fifo");
        flagged.content = Content::Directory { tree: TreeId::from_bytes([1; 32]) };
        flagged.metadata.inode_flags = if good { 0x10 } else { 0x8_0010 };
        assert_eq!(accepted(Tree::Leaf(vec![flagged])), good, "inode flags that are not kept");
        let second = if good { b'o' } else { b'n' };
        let pair = |m: &mut Metadata| m.xattrs = vec![xattr(1, 0), Xattr { name: vec![second], value: Vec::new() }];
        assert_eq!(accepted(meta(&pair)), good, "attribute twice");
        let named = |m: &mut Metadata| m.xattrs = vec![Xattr { name: vec![b'n', 1 - beyond as u8], value: Vec::new() }];
        assert_eq!(accepted(meta(&named)), good, "NUL in an attribute's name");
        let nameless = |m: &mut Metadata| m.xattrs = vec![xattr(1 - beyond, 0)];
        assert_eq!(accepted(meta(&nameless)), good, "attribute without name");
        let directory = Content::Directory { tree: TreeId::from_bytes([1; 32]) };
        let mut linked = node(b"a", if good { Content::Fifo } else { directory });
        linked.metadata.links = 2;
        assert_eq!(accepted(Tree::Leaf(vec![linked])), good, "a directory with several links");
    }
    assert!(encode_list(&[]).is_ok());
}
