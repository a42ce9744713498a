//! The structures in clear, as they are before they are sealed: one encoding for each value, whatever the bytes.

use super::random::{cases, check, stream};
use super::{fixtures, strategies};
use cairn::crypto::random::{Randomness, SeededRandom};
use cairn::format::cell::{CellEntries, CellReferences};
use cairn::format::config::Config;
use cairn::format::declaration::DeclarationRecord;
use cairn::format::envelope::MAGIC;
use cairn::format::forget::ForgetRecord;
use cairn::format::pack::{PackKind, read_blobs, write_blobs};
use cairn::format::policy::PolicyRecord;
use cairn::format::sealed::{pad, unpad};
use cairn::format::segment::{self, SegmentBuilder};
use cairn::format::session::Session;
use cairn::format::tree::{self, EncodedTree, Tree};
use cairn::format::wire::{FormatError, Reader, Result, Writer};
use proptest::prelude::*;
use std::fmt::Debug;
use std::ops::Range;

/// Decodes and encodes again.
pub(crate) type Recode = fn(&[u8]) -> Result<Vec<u8>>;

/// Every structure whose content is one byte string; trees as the length of their references, references, entries.
pub(crate) const RECODE: &[(&str, Recode)] = &[
    ("tree", tree),
    ("segment", segment),
    ("session", |bytes| Session::decode_content(bytes).map(|session| session.encode_content())),
    ("forget record", |bytes| ForgetRecord::decode_content(bytes).map(|record| record.encode_content())),
    ("declaration", |bytes| DeclarationRecord::decode_content(bytes).map(|record| record.encode_content())),
    ("policy", |bytes| PolicyRecord::decode_content(bytes).map(|record| record.encode_content())),
    ("cell references", |bytes| CellReferences::decode(bytes).map(|cell| cell.encode())),
    ("cell entries", |bytes| CellEntries::decode(bytes).map(|cell| cell.encode())),
    ("blobs of a data pack", |bytes| blobs(bytes, PackKind::Data)),
    ("blobs of a meta pack", |bytes| blobs(bytes, PackKind::Meta)),
    ("configuration", config),
    ("padded message", |bytes| unpad(bytes, "test").map(|content| pad(&content))),
    ("payload of a slot", super::slots::recode_payload),
    ("notes of a slot", super::slots::recode_notes),
];

pub(crate) fn join(encoded: &EncodedTree) -> Vec<u8> {
    let len = (encoded.references.len() as u32).to_le_bytes();
    [&len, encoded.references.as_slice(), encoded.entries.as_slice()].concat()
}

pub(crate) fn encode_tree(tree: &Tree) -> Result<EncodedTree> {
    match tree {
        Tree::Leaf(nodes) => tree::encode_leaf(nodes),
        Tree::Pages(pages) => tree::encode_pages(pages),
        Tree::List(chunks) => tree::encode_list(chunks),
    }
}

fn tree(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut r = Reader::new(bytes, "test");
    let len = r.u32()? as usize;
    let (references, entries) = (r.take(len)?, r.take(r.remaining())?);
    let tree = tree::decode(references, entries)?;
    Ok(join(&encode_tree(&tree).expect("what was decoded can be encoded")))
}

fn segment(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut builder = SegmentBuilder::default();
    segment::decode_content(bytes)?.iter().for_each(|pack| builder.push(pack));
    Ok(builder.content())
}

fn blobs(bytes: &[u8], kind: PackKind) -> Result<Vec<u8>> {
    let mut r = Reader::new(bytes, "test");
    let blobs = read_blobs(&mut r, kind)?;
    r.end()?;
    let mut w = Writer::new();
    write_blobs(&mut w, kind, &blobs);
    Ok(w.into_vec())
}

/// Without the authentication code, which is taken as it is.
fn config(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut again = Config::decode_unverified(bytes)?.encode(&fixtures::master());
    let tag = again.len() - 32;
    again[tag..].copy_from_slice(&bytes[bytes.len() - 32..]);
    Ok(again)
}

/// What is cut off or has one bit or byte altered is refused, or is another value with those very bytes. How often.
pub(crate) fn damage(bytes: &[u8], recode: Recode) -> u64 {
    let mut tried = 0;
    let mut try_one = |damaged: &[u8]| {
        tried += 1;
        if let Ok(again) = recode(damaged) {
            assert!(again == damaged, "two encodings of one value: {damaged:02x?} and {again:02x?}");
        }
    };
    (0..bytes.len()).for_each(|len| try_one(&bytes[..len]));
    let mut damaged = bytes.to_vec();
    for at in 0..bytes.len() {
        for flip in (0..8).map(|bit| 1 << bit).chain([0xff]) {
            damaged[at] ^= flip;
            try_one(&damaged);
            damaged[at] ^= flip;
        }
    }
    damaged.push(0);
    try_one(&damaged);
    tried
}

fn recode(name: &str) -> Recode {
    RECODE.iter().find(|(known, _)| *known == name).expect("a name of the table").1
}

/// Values come back from their encoding, the encoding comes back from its value, and damage is noticed.
pub(crate) fn round_trip<T: PartialEq + Debug>(
    name: &str,
    strategy: &impl Strategy<Value = T>,
    encode: impl Fn(&T) -> Vec<u8>,
    decode: impl Fn(&[u8]) -> Result<T>,
) {
    let (case, damaged) = (std::cell::Cell::new(0), std::cell::Cell::new(0));
    check(name, 256, strategy, |value| {
        let bytes = encode(&value);
        assert_eq!(decode(&bytes).expect("what was encoded can be decoded"), value);
        assert_eq!(recode(name)(&bytes).expect("what was encoded can be decoded"), bytes);
        // Thousands of decodings each, so for every eighth value only.
        if case.replace(case.get() + 1) % 8 == 0 {
            damaged.set(damaged.get() + damage(&bytes, recode(name)));
        }
    });
    println!("counts: {name}: {} damaged encodings", damaged.get());
    assert!(damaged.get() > 10_000);
}

#[test]
fn segments() {
    let encode = |packs: &Vec<segment::PackEntry>| {
        let mut builder = SegmentBuilder::default();
        packs.iter().for_each(|pack| builder.push(pack));
        builder.content()
    };
    round_trip("segment", &strategies::packs(), encode, segment::decode_content);
}

#[test]
fn sessions() {
    round_trip("session", &strategies::session(), Session::encode_content, Session::decode_content);
}

#[test]
fn forget_records() {
    let strategy = strategies::forget();
    round_trip("forget record", &strategy, ForgetRecord::encode_content, ForgetRecord::decode_content);
}

#[test]
fn declarations_and_policies() {
    let strategy = strategies::declaration();
    round_trip("declaration", &strategy, DeclarationRecord::encode_content, DeclarationRecord::decode_content);
    round_trip("policy", &strategies::policy(), PolicyRecord::encode_content, PolicyRecord::decode_content);
}

#[test]
fn cells() {
    let strategy = strategies::cell_references();
    round_trip("cell references", &strategy, CellReferences::encode, CellReferences::decode);
    round_trip("cell entries", &strategies::cell_entries(), CellEntries::encode, CellEntries::decode);
}

#[test]
fn blob_tables() {
    for (name, kind) in [("blobs of a data pack", PackKind::Data), ("blobs of a meta pack", PackKind::Meta)] {
        let encode = |blobs: &Vec<_>| {
            let mut w = Writer::new();
            write_blobs(&mut w, kind, blobs);
            w.into_vec()
        };
        round_trip(name, &strategies::blobs(kind), encode, |bytes| read_blobs(&mut Reader::new(bytes, "test"), kind));
    }
}

#[test]
fn configurations() {
    let encode = |config: &Config| config.encode(&fixtures::master());
    round_trip("configuration", &strategies::config(), encode, |bytes| Config::decode(bytes, &fixtures::master()));
}

#[test]
fn padded_messages() {
    let content =
        prop_oneof![prop::collection::vec(any::<u8>(), 0..300), (250..9000_usize).prop_map(|len| vec![7; len])];
    check("padded message", 100, &content, |content| {
        let message = pad(&content);
        assert_eq!(unpad(&message, "test").as_deref(), Ok(content.as_slice()));
        assert!(message.len() >= 256 && message.len() <= (content.len() + 4).max(256) * 9 / 8);
        let mut longer = message.clone();
        longer.push(0);
        assert!(unpad(&longer, "test").is_err() && unpad(&message[..message.len() - 1], "test").is_err());
        for at in content.len() + 4..message.len() {
            let mut altered = message.clone();
            altered[at] = 1;
            assert_eq!(unpad(&altered, "test"), Err(FormatError::Invalid { what: "test" }));
        }
    });
    damage(&pad(b"content"), recode("padded message"));
}

/// Bytes from a stream of noise.
struct Noise(SeededRandom);

impl Noise {
    fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.0.fill(&mut bytes).expect("a seeded stream does not end");
        bytes
    }

    fn below(&mut self, bound: usize) -> usize {
        let word = <dyn Randomness>::bytes(&self.0).expect("a seeded stream does not end");
        (u64::from_le_bytes(word) % bound as u64) as usize
    }

    /// Wholly random bytes, or such as decoders count with, so that some get beyond the first field.
    fn input(&mut self) -> Vec<u8> {
        let len = self.below(400);
        let mut bytes = self.bytes(len);
        if self.below(4) > 0 {
            let likely = [0, 0, 0, 1, 1, 2, 3, 4, 5, 16, 17, 32, 40, 64, 127, 128, 129, 255];
            for byte in &mut bytes {
                *byte = likely[usize::from(*byte) % likely.len()];
            }
        }
        if self.below(4) == 0 && bytes.len() >= 12 {
            bytes[..8].copy_from_slice(MAGIC);
            bytes[8..12].copy_from_slice(&[1, 0, 1, 1]);
        }
        bytes
    }

    /// A few changes of the kinds that fuzzers make.
    fn change(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..=self.below(4) {
            if bytes.is_empty() {
                return;
            }
            let at = self.below(bytes.len());
            let some: Range<usize> = at..bytes.len().min(at + 1 + self.below(16));
            match self.below(5) {
                0 => bytes[at] ^= 1 << self.below(8),
                1 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][self.below(5)],
                2 => drop(bytes.drain(some)),
                3 => drop(bytes.splice(at..at, bytes[some].to_vec())),
                _ => bytes[at] = bytes[at].wrapping_add(1),
            }
        }
    }
}

#[test]
fn no_bytes_make_a_decoder_panic() {
    let cases = cases(10_000);
    let mut noise = Noise(stream("noise", cases));
    for (name, recode) in RECODE {
        let mut accepted: u64 = 0;
        for _ in 0..cases {
            let bytes = noise.input();
            if let Ok(again) = recode(&bytes) {
                assert_eq!(again, bytes, "{name}: two encodings of one value");
                accepted += 1;
            }
        }
        println!("counts: {name}: {cases} inputs of noise, {accepted} accepted");
    }
}

#[test]
fn changed_encodings_are_refused_or_have_one_value() {
    let cases = cases(10_000);
    let mut noise = Noise(stream("changes", cases));
    for (name, recode) in RECODE {
        let good = super::objects::sample(name);
        assert_eq!(recode(&good).as_ref(), Ok(&good), "{name}");
        let mut accepted: u64 = 0;
        for _ in 0..cases {
            let mut bytes = good.clone();
            noise.change(&mut bytes);
            if let Ok(again) = recode(&bytes) {
                assert_eq!(again, bytes, "{name}: two encodings of one value");
                accepted += 1;
            }
        }
        println!("counts: {name}: {cases} changed encodings, {accepted} accepted");
        assert!(accepted < u64::from(cases));
    }
}

#[test]
fn a_second_encoding_is_found() {
    // A decoder that ignores the highest bit of the last byte.
    let planted: Recode = |bytes| {
        let mut bytes = bytes.to_vec();
        bytes.last_mut().map(|last| *last &= 0x7f).ok_or(FormatError::Invalid { what: "test" })?;
        Ok(bytes)
    };
    assert!(std::panic::catch_unwind(|| damage(&[0; 4], planted)).is_err());
}
