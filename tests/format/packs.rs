//! Packs: the end is found and read from behind, only with the right key, and nothing altered in it goes unnoticed.

use super::random::check;
use super::{fixtures, samples, strategies};
use cairn::crypto::aead::TAG_LEN;
use cairn::crypto::hash;
use cairn::crypto::random::SeededRandom;
use cairn::crypto::sign::{self, SIGNATURE_LEN};
use cairn::format::envelope::{self, OpenEnvelope};
use cairn::format::pack::{
    BLOB_CHUNKS_MAX, BLOB_PART_MAX, BLOB_PLAIN_MAX, BlobEntry, ChunkEntry, FOOTER_LEN, PACK_BLOBS_MAX, PACK_LEN_MAX,
    PACK_LEN_MIN, PackKind, Trailer, decode_end, encode_end, end_len,
};
use cairn::format::segment::{self, PackEntry, SegmentBuilder};
use cairn::format::wire::{FormatError, Result};
use cairn::format::{padme, segment::decode_content};
use cairn::id::{IndexKey, PackId};
use proptest::prelude::*;

fn open(kind: PackKind, header: &[u8]) -> Result<OpenEnvelope> {
    let keys = fixtures::keys();
    envelope::open(header, kind.object_kind(), &fixtures::place(), &[&keys.index])
}

/// A pack's trailer, read as a reader does who knows nothing but the stored bytes.
fn read(kind: PackKind, pack: &[u8]) -> Result<Trailer> {
    let footer = pack.len().checked_sub(FOOTER_LEN).ok_or(FormatError::Truncated { what: "test" })?;
    let len = end_len(&pack[footer..])?;
    let end = pack.len().checked_sub(len).ok_or(FormatError::Truncated { what: "test" })?;
    decode_end(kind, &open(kind, pack)?, &pack[end..])
}

#[test]
fn ends_come_back() {
    let values = strategies::pack_kind().prop_flat_map(|kind| {
        let len = prop_oneof![0..100_000_u64, 0..150_000_000_u64];
        (Just(kind), strategies::blobs(kind), len, any::<u64>())
    });
    check("pack ends", 64, &values, |(kind, blobs, body_len, seed)| {
        let random = SeededRandom::new(seed);
        let new = samples::pack_header(kind, &random).unwrap();
        let trailer = Trailer { blobs, ..samples::trailer(kind) };
        let body_len = new.header.len() as u64 + body_len;
        let end = encode_end(kind, &new.sealer, body_len, &trailer, &random).unwrap();
        let total = body_len + (end.len() + SIGNATURE_LEN) as u64;
        assert!(
            total >= PACK_LEN_MIN
                && padme::padded(total) == total
                && total <= body_len.max(PACK_LEN_MIN) * 9 / 8 + 9000
        );
        let signed = [end.as_slice(), &[0; SIGNATURE_LEN]].concat();
        let len = end_len(&signed[signed.len() - FOOTER_LEN..]).unwrap();
        let opened = open(kind, &new.header).unwrap();
        assert_eq!(decode_end(kind, &opened, &signed[signed.len() - len..]), Ok(trailer));
        let other = if kind == PackKind::Data { PackKind::Meta } else { PackKind::Data };
        assert!(open(other, &new.header).is_err());
    });
}

#[test]
fn altered_packs_are_noticed() {
    for kind in [PackKind::Data, PackKind::Meta] {
        let pack = samples::pack_object(kind, &SeededRandom::new(1)).unwrap();
        assert_eq!(read(kind, &pack), Ok(samples::trailer(kind)));
        let (unsigned, signature) = pack.split_last_chunk::<SIGNATURE_LEN>().unwrap();
        let host = samples::identity().host_key();
        assert_eq!(sign::verify(&host, &hash::stored(unsigned), signature), Ok(()));

        let end = pack.len() - end_len(&pack[pack.len() - FOOTER_LEN..]).unwrap();
        let header = open(kind, &pack).unwrap().header_len;
        let mut tried = 0;
        for bit in (0..header * 8).chain(end * 8..unsigned.len() * 8) {
            let mut altered = pack.clone();
            altered[bit / 8] ^= 1 << (bit % 8);
            assert!(read(kind, &altered).is_err(), "bit {bit}");
            tried += 1;
        }
        // Blobs, padding and the signature itself are held by the name and the signature.
        for bit in (header * 8..end * 8).step_by(4099).chain(unsigned.len() * 8..pack.len() * 8) {
            let mut altered = pack.clone();
            altered[bit / 8] ^= 1 << (bit % 8);
            let (unsigned, signature) = altered.split_last_chunk::<SIGNATURE_LEN>().unwrap();
            assert!(sign::verify(&host, &hash::stored(unsigned), signature).is_err(), "bit {bit}");
            assert_ne!(hash::pack_id(&altered), hash::pack_id(&pack));
            tried += 1;
        }
        for len in (0..pack.len()).rev().take(2000).chain(0..header) {
            assert!(read(kind, &pack[..len]).is_err(), "length {len}");
        }
        println!("counts: {kind:?} pack: {tried} bits");
    }
}

#[test]
fn footers_are_bounded() {
    let footer = |len: u32, magic: &[u8]| [&len.to_le_bytes(), magic, &[0; SIGNATURE_LEN]].concat();
    let good = envelope::MAGIC;
    assert_eq!(end_len(&footer(300, good)), Ok(300 + 8 + FOOTER_LEN));
    assert!(end_len(&footer(300, b"\x89CAIRN\n\n")).is_err() && end_len(&footer(300, good)[..11]).is_err());
    for len in [0, TAG_LEN as u32, (16 << 20) + 1, u32::MAX] {
        assert!(matches!(end_len(&footer(len, good)), Err(FormatError::Limit { .. })), "{len}");
    }
    let opened = open(PackKind::Data, &samples::pack_object(PackKind::Data, &SeededRandom::new(2)).unwrap()).unwrap();
    for len in 0..FOOTER_LEN + 40 {
        assert!(decode_end(PackKind::Data, &opened, &vec![0; len]).is_err(), "{len} bytes");
    }
}

fn blob(chunks: usize, len: u32) -> BlobEntry {
    let chunk = ChunkEntry { key: IndexKey::from_bytes([1; 16]), lens: [len, 0] };
    BlobEntry { number: 1, stored: [100, 0], chunks: vec![chunk; chunks] }
}

/// At a limit the encoders write what the decoders read; one beyond, they refuse.
#[test]
fn limits_hold_on_both_sides() {
    let random = SeededRandom::new(3);
    let accepted = |body_len: u64, blobs: Vec<BlobEntry>| {
        let new = samples::pack_header(PackKind::Data, &random).unwrap();
        let trailer = Trailer { blobs: blobs.clone(), ..samples::trailer(PackKind::Data) };
        let ended = encode_end(PackKind::Data, &new.sealer, body_len, &trailer, &random);
        if let Ok(end) = &ended {
            let signed = [end.as_slice(), &[0; SIGNATURE_LEN]].concat();
            let len = end_len(&signed[signed.len() - FOOTER_LEN..]).unwrap();
            let opened = open(PackKind::Data, &new.header).unwrap();
            assert_eq!(decode_end(PackKind::Data, &opened, &signed[signed.len() - len..]), Ok(trailer));
            assert!(body_len + signed.len() as u64 <= PACK_LEN_MAX);
        }
        ended.is_ok()
    };
    for beyond in [0, 1] {
        let good = beyond == 0;
        let plain = BLOB_PLAIN_MAX as u32 + beyond as u32;
        assert_eq!(accepted(1000, vec![blob(1, plain)]), good, "plaintext of a chunk");
        let halves = [BLOB_PLAIN_MAX as u32 / 2, plain - BLOB_PLAIN_MAX as u32 / 2];
        let mut two = blob(2, halves[0]);
        two.chunks[1].lens[0] = halves[1];
        assert_eq!(accepted(1000, vec![two]), good, "plaintext of a blob");
        assert_eq!(accepted(1000, vec![blob(BLOB_CHUNKS_MAX + beyond, 1)]), good, "chunks of a blob");
        assert_eq!(accepted(1000, vec![blob(1, 1); PACK_BLOBS_MAX + beyond]), good, "blobs");
        assert_eq!(accepted(1000, vec![blob(1 - beyond, 1)]), good, "a blob without chunks");
        let stored = |len| BlobEntry { stored: [len, 0], ..blob(1, 1) };
        assert_eq!(accepted(1000, vec![stored(BLOB_PART_MAX as u32 + beyond as u32)]), good, "stored part");
        assert_eq!(accepted(1000, vec![stored(TAG_LEN as u32 + 1 - beyond as u32)]), good, "stored part of a tag");
        let number = BlobEntry { number: u64::from(u32::MAX) + beyond as u64, ..blob(1, 1) };
        assert_eq!(accepted(1000, vec![number]), good, "message number");
        // 17 bytes for each chunk: 13 blobs of 65,535 make 14.5 MB, 16 make 17.8 MB, more than a trailer may have.
        assert_eq!(accepted(1000, vec![blob(BLOB_CHUNKS_MAX, 1); 13 + 3 * beyond]), good, "trailer");
    }
    for body_len in [PACK_LEN_MAX, PACK_LEN_MAX - 100, u64::MAX] {
        assert!(!accepted(body_len, vec![blob(1, 1)]), "{body_len} bytes of blobs");
    }
}

#[test]
fn a_segment_with_a_bad_entry_is_not_written() {
    let entry = |size, header_len, blobs| PackEntry {
        id: PackId::from_bytes([1; 32]),
        kind: PackKind::Data,
        size,
        header_len,
        blobs,
    };
    let encode = |pack: &PackEntry| {
        let mut builder = SegmentBuilder::default();
        builder.push(pack);
        builder.encode(&fixtures::place(), &fixtures::keys().index, &SeededRandom::new(4))
    };
    let good = entry(1100, 1000, vec![blob(1, 1)]);
    let bytes = encode(&good).unwrap();
    assert_eq!(segment::decode(&bytes, &fixtures::place(), &fixtures::keys().index), Ok(vec![good]));
    for (bad, why) in [
        (entry(1099, 1000, vec![blob(1, 1)]), "blobs do not fit into the pack"),
        (entry(PACK_LEN_MAX + 1, 1000, vec![blob(1, 1)]), "a pack beyond the limit"),
        (entry(1 << 20, 65_536, vec![]), "a header beyond the limit"),
        (entry(1 << 20, 1000, vec![blob(0, 1)]), "a blob without chunks"),
    ] {
        assert!(encode(&bad).is_err(), "{why}");
        let mut builder = SegmentBuilder::default();
        builder.push(&bad);
        assert!(decode_content(&builder.content()).is_err(), "{why}");
    }
}
