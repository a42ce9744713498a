//! No key seals two messages under one number: every message of many objects is found by opening it, and what it was
//! sealed under (the commitment to its key, its section, its number) must not occur again.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests print what they covered")]

#[allow(dead_code, unreachable_pub, reason = "shared; each test needs a part")]
#[path = "../fuzz/fixtures.rs"]
mod fixtures;
#[allow(dead_code, unreachable_pub, reason = "shared; each test needs a part")]
#[path = "../fuzz/samples.rs"]
mod samples;

use cairn::crypto::aead::{Sealer, TAG_LEN};
use cairn::crypto::hash;
use cairn::crypto::keyring::RecipientKey;
use cairn::crypto::random::{RandomError, Randomness, SeededRandom};
use cairn::format::envelope::{self, FIXED_LEN, NewEnvelope};
use cairn::format::key_slot;
use cairn::format::pack::{BlobEntry, FOOTER_LEN, PackKind, Trailer, decode_end, encode_end, end_len};
use cairn::format::wire::Reader;
use cairn::object::ObjectKind;
use std::collections::HashSet;

/// What a message was sealed under: commitment to the section's key, section, number.
type Use = ([u8; 32], usize, u64);

#[derive(Default)]
struct Uses {
    seen: HashSet<Use>,
    repeated: Vec<Use>,
    objects: usize,
}

impl Uses {
    fn add(&mut self, found: Use) {
        if !self.seen.insert(found) {
            self.repeated.push(found);
        }
    }

    fn commitment(object: &[u8], section: usize) -> [u8; 32] {
        object[FIXED_LEN + 32 * section..][..32].try_into().unwrap()
    }

    /// A small object: the number of each message is whichever it opens under.
    fn small(&mut self, object: &[u8], kind: ObjectKind) {
        let keys = fixtures::keys();
        let roots = fixtures::master().dataset_recipient(&fixtures::place().repository);
        let all: [&RecipientKey; 4] = [&keys.index, &keys.references, &keys.entries, &roots];
        let opened = envelope::open(object, kind, &fixtures::place(), &all).unwrap();
        let mut r = Reader::new(&object[opened.header_len..], "test");
        for section in 0..opened.sections() {
            let len = r.u32().unwrap() as usize;
            let message = r.take(len).unwrap();
            let opens = |number: &u64| opened.open(section, *number, "test", &mut message.to_vec()).is_ok();
            let number = (0..100).find(opens).expect("a message opens under some number");
            self.add((Self::commitment(object, section), section, number));
        }
        self.objects += 1;
    }

    /// A pack: the numbers are those its trailer tells, and its blobs do open under them.
    fn pack(&mut self, pack: &[u8], kind: PackKind) {
        let keys = fixtures::keys();
        let all: [&RecipientKey; 4] = [&keys.index, &keys.references, &keys.entries, &keys.data];
        let opened = envelope::open(pack, kind.object_kind(), &fixtures::place(), &all).unwrap();
        let end = pack.len() - end_len(&pack[pack.len() - FOOTER_LEN..]).unwrap();
        let trailer = decode_end(kind, &opened, &pack[end..]).unwrap();
        let number = u64::from_le_bytes(pack[end..end + 8].try_into().unwrap());
        self.add((Self::commitment(pack, 0), 0, number));
        let mut at = opened.header_len;
        for blob in &trailer.blobs {
            for part in 0..kind.parts() {
                let len = blob.stored[part] as usize;
                opened.open(part + 1, blob.number, "test", &mut pack[at..at + len].to_vec()).unwrap();
                self.add((Self::commitment(pack, part + 1), part + 1, blob.number));
                at += len;
            }
        }
        self.objects += 1;
    }

    /// A slot: its key and that of its notes are used once each, and both are bound to the clear part.
    fn slot(&mut self, slot: &[u8]) {
        key_slot::decode(slot).unwrap().open(&fixtures::unlock()).unwrap();
        self.add((slot[93..125].try_into().unwrap(), 0, 0));
        self.add((hash::stored(&slot[..93]), 1, 0));
        self.objects += 1;
    }
}

/// Seals a blob of each part's number of chunks under the next number, and lists it.
fn seal_blob(kind: PackKind, sealer: &Sealer, body: &mut Vec<u8>, blobs: &mut Vec<BlobEntry>) {
    let mut parts = [vec![1; 40], vec![2; 30]];
    let [one, two] = &mut parts;
    let mut refs = [one, two];
    let number = sealer.seal(sealer.number().unwrap(), 1, &mut refs[..kind.parts()]).unwrap();
    let mut stored = [0; 2];
    for (stored, part) in stored.iter_mut().zip(&parts).take(kind.parts()) {
        body.extend_from_slice(part);
        *stored = part.len() as u32;
        assert!(part.len() > TAG_LEN);
    }
    let chunks = samples::blobs(kind)[0].chunks.clone();
    blobs.push(BlobEntry { number, stored, chunks });
}

fn close(
    kind: PackKind,
    sealer: &Sealer,
    mut body: Vec<u8>,
    blobs: Vec<BlobEntry>,
    random: &dyn Randomness,
) -> Vec<u8> {
    let trailer = Trailer { blobs, ..samples::trailer(kind) };
    let end = encode_end(kind, sealer, body.len() as u64, &trailer, random).unwrap();
    body.extend_from_slice(&end);
    body.extend_from_slice(&[0; 64]);
    body
}

fn pack(kind: PackKind, blobs: usize, random: &dyn Randomness) -> Vec<u8> {
    let NewEnvelope { header: mut body, sealer } = samples::pack_header(kind, random).unwrap();
    let mut listed = Vec::new();
    for _ in 0..blobs {
        // A number that was taken for a blob that then was not written.
        if listed.len() % 5 == 3 {
            sealer.number().unwrap();
        }
        seal_blob(kind, &sealer, &mut body, &mut listed);
    }
    close(kind, &sealer, body, listed, random)
}

#[test]
fn no_number_is_used_twice_under_one_key() {
    let random = SeededRandom::new(1);
    let mut uses = Uses::default();
    for round in 0..200 {
        uses.small(&samples::root_object(&random).unwrap(), ObjectKind::DatasetRoot);
        uses.small(&samples::session_object(&random).unwrap(), ObjectKind::Session);
        uses.small(&samples::forget_object(&random).unwrap(), ObjectKind::Forget);
        uses.small(&samples::segment_object(&random).unwrap(), ObjectKind::Segment);
        uses.small(&samples::cell_object(&random).unwrap(), ObjectKind::Cell);
        uses.slot(&samples::slot_object(&random).unwrap());
        for kind in [PackKind::Data, PackKind::Meta] {
            uses.pack(&pack(kind, round % 40, &random), kind);
        }
    }
    println!(
        "counts: nonces: {} messages of {} objects, {} repeated",
        uses.seen.len(),
        uses.objects,
        uses.repeated.len()
    );
    assert_eq!(uses.repeated, []);
    assert!(uses.objects == 1600 && uses.seen.len() > 10_000);
}

/// A source that says the same again and again, like that of a machine resumed twice from one image.
#[derive(Debug)]
struct Stuck;

impl Randomness for Stuck {
    fn fill(&self, out: &mut [u8]) -> Result<(), RandomError> {
        out.fill(0x5a);
        Ok(())
    }
}

#[test]
fn planted_repetitions_are_found() {
    let mut uses = Uses::default();
    for _ in 0..2 {
        uses.small(&samples::session_object(&Stuck).unwrap(), ObjectKind::Session);
    }
    assert_eq!(uses.repeated.len(), 1, "two sessions under one key");

    let mut uses = Uses::default();
    for _ in 0..2 {
        uses.slot(&samples::slot_object(&Stuck).unwrap());
    }
    assert_eq!(uses.repeated.len(), 2, "two slots under one key");

    // Two sealers of one pack, each counting for itself.
    for (kind, repeated) in [(PackKind::Data, 1), (PackKind::Meta, 2)] {
        let NewEnvelope { header: mut body, sealer } = samples::pack_header(kind, &Stuck).unwrap();
        let second = samples::pack_header(kind, &Stuck).unwrap().sealer;
        let mut blobs = Vec::new();
        seal_blob(kind, &sealer, &mut body, &mut blobs);
        seal_blob(kind, &second, &mut body, &mut blobs);
        let mut uses = Uses::default();
        uses.pack(&close(kind, &sealer, body, blobs, &Stuck), kind);
        assert_eq!(uses.repeated.len(), repeated, "two blobs of a {kind:?} pack under one number");
    }
}
