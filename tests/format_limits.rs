//! What a few hostile bytes claim is never allocated. One test alone in its process, since it watches the whole
//! process's address space.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests print what they covered")]

#[allow(dead_code, unreachable_pub, reason = "shared; each test needs a part")]
#[path = "../fuzz/fixtures.rs"]
mod fixtures;
#[allow(dead_code, unreachable_pub, reason = "shared; each test needs a part")]
#[path = "../fuzz/samples.rs"]
mod samples;

use cairn::codec::Decompressor;
use cairn::crypto::random::SeededRandom;
use cairn::format::cell::{CellEntries, CellReferences};
use cairn::format::config::Config;
use cairn::format::declaration::DeclarationRecord;
use cairn::format::forget::ForgetRecord;
use cairn::format::pack::{PackKind, end_len, read_blobs, write_blobs};
use cairn::format::policy::PolicyRecord;
use cairn::format::session::Session;
use cairn::format::wire::{Reader, Writer};
use cairn::format::{key_slot, segment, tree};
use std::hint::black_box;

/// Most address space this process ever had, in KiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmPeak:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse().unwrap()
}

/// A structure, a good encoding of it, and whether bytes are accepted as one.
type Row = (&'static str, Vec<u8>, Box<dyn Fn(&[u8]) -> bool>);

fn rows() -> Vec<Row> {
    let [leaf, pages, list] = samples::trees().unwrap();
    let blobs = |kind| {
        let mut w = Writer::new();
        write_blobs(&mut w, kind, &samples::blobs(kind));
        w.into_vec()
    };
    let read = |kind| move |bytes: &[u8]| read_blobs(&mut Reader::new(bytes, "test"), kind).is_ok();
    let (of_leaf, of_pages) = (leaf.references.clone(), pages.references);
    let footer = [&300_u32.to_le_bytes(), cairn::format::envelope::MAGIC.as_slice(), &[0; 64]].concat();
    let slot = samples::slot_object(&SeededRandom::new(1)).unwrap();
    vec![
        ("leaf", leaf.entries, Box::new(move |bytes| tree::decode(&of_leaf, bytes).is_ok())),
        ("pages", pages.entries, Box::new(move |bytes| tree::decode(&of_pages, bytes).is_ok())),
        ("references", leaf.references, Box::new(|bytes| tree::decode_references(bytes).is_ok())),
        ("list", list.references, Box::new(|bytes| tree::decode(bytes, b"").is_ok())),
        ("segment", samples::segment().content(), Box::new(|bytes| segment::decode_content(bytes).is_ok())),
        ("data blobs", blobs(PackKind::Data), Box::new(read(PackKind::Data))),
        ("meta blobs", blobs(PackKind::Meta), Box::new(read(PackKind::Meta))),
        ("session", samples::session().encode_content(), Box::new(|bytes| Session::decode_content(bytes).is_ok())),
        ("forget", samples::forget().encode_content(), Box::new(|bytes| ForgetRecord::decode_content(bytes).is_ok())),
        ("references", samples::cell_references().encode(), Box::new(|bytes| CellReferences::decode(bytes).is_ok())),
        ("entries", samples::cell_entries().encode(), Box::new(|bytes| CellEntries::decode(bytes).is_ok())),
        (
            "declaration",
            samples::declaration().encode_content(),
            Box::new(|bytes| DeclarationRecord::decode_content(bytes).is_ok()),
        ),
        ("policy", samples::policy().encode_content(), Box::new(|bytes| PolicyRecord::decode_content(bytes).is_ok())),
        ("slot", slot, Box::new(|bytes| key_slot::decode(bytes).is_ok())),
        ("footer", footer, Box::new(|bytes| end_len(bytes).is_ok())),
        (
            "configuration",
            samples::config().encode(&fixtures::master()),
            Box::new(|bytes| Config::decode_unverified(bytes).is_ok()),
        ),
    ]
}

/// A frame that says it expands to a terabyte, and one that says nothing and goes on repeating one letter.
fn bombs() -> [Vec<u8>; 2] {
    let said = [&[1, 0x28, 0xb5, 0x2f, 0xfd, 0xe0][..], &(1_u64 << 40).to_le_bytes(), &[0x03, 0, 0x10, b'x']].concat();
    let blocks = [0x02, 0, 0x10, b'x'].repeat(10_000);
    let unsaid = [&[1, 0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58][..], &blocks, &[0x03, 0, 0x10, b'x']].concat();
    [said, unsaid]
}

#[test]
fn claims_are_not_believed() {
    let rows = rows();
    // Up to its peak so far a process grows unseen: go there first, and stay.
    let start = peak();
    let mut slack = Vec::new();
    while peak() == start {
        slack.push(black_box(Vec::<u8>::with_capacity(1 << 20)));
    }
    let before = peak();
    let (mut tried, mut refused) = (0, 0);
    for (name, good, accepts) in &rows {
        assert!(accepts(good), "{name}");
        // Every field is somewhere; behind each place the claim stands alone, or with a little to read.
        for at in 0..good.len() {
            for bits in [8, 13, 14, 16, 17, 20, 21, 24, 28, 31, 32, 40, 62, 63, 64] {
                let mut w = Writer::from_vec(good[..at].to_vec());
                w.varint(u64::MAX >> (64 - bits));
                refused += u64::from(!accepts(w.as_slice()));
                w.raw(&[0xff; 64]);
                refused += u64::from(!accepts(w.as_slice()));
                tried += 2;
            }
        }
    }
    let (mut codec, mut plain) = (Decompressor::new().unwrap(), Vec::new());
    for bomb in bombs() {
        for len in [0, 1, 1000, 1 << 20] {
            assert!(codec.expand(&bomb, len, &mut plain).is_err());
        }
    }
    let grown = peak() - before;
    println!("counts: claims: {tried}, {refused} of them refused, address space grew by {grown} KiB");
    assert!(refused > tried * 9 / 10);
    assert!(grown < 16 << 10, "{grown} KiB");

    // The measure does see what is taken and not used.
    let planted = black_box(Vec::<u64>::with_capacity(1 << 22));
    assert!(peak() - before >= 32 << 10, "{} items went unnoticed", planted.capacity() + slack.len());
}
