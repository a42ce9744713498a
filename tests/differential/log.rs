//! The log's hashes, proofs, tiles, notes and checkpoints against `signed_note` and `tlog_tiles`, which were written by
//! others from the same C2SP specifications: each has to make what the other makes, and to accept and refuse alike.
#![cfg(test)]
#![expect(clippy::disallowed_methods, reason = "C2SP writes numbers with the most significant byte first")]

use cairn::audit::checkpoint::Checkpoint;
use cairn::audit::merkle::{self, Hash};
use cairn::audit::note::{KeyType, Note, VerifierKey};
use cairn::audit::tile;
use cairn::crypto::random::SeededRandom;
use cairn::crypto::sign::LogKey;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use signed_note::{StandardVerifier, Verifier, VerifierList};
use std::cell::Cell;
use tlog_tiles::{Error, HashReader, Tile};

/// All hashes that the other implementation stores for a log of these leaves.
struct Stored(Vec<tlog_tiles::Hash>);

impl HashReader for Stored {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<tlog_tiles::Hash>, Error> {
        Ok(indexes.iter().map(|index| self.0[*index as usize]).collect())
    }
}

impl Stored {
    fn of(leaves: &[Vec<u8>]) -> Self {
        let mut stored = Self(Vec::new());
        for (n, leaf) in leaves.iter().enumerate() {
            let more = tlog_tiles::stored_hashes(n as u64, leaf, &stored).expect("hashes of a leaf");
            stored.0.extend(more);
        }
        stored
    }

    fn root(&self, size: usize) -> Hash {
        tlog_tiles::tree_hash(size as u64, self).expect("a root").0
    }
}

fn leaves(count: usize) -> Vec<Vec<u8>> {
    (0..count).map(|n| format!("{{\"leaf\":{n}}}{}", "x".repeat(n % 7)).into_bytes()).collect()
}

fn bytes(proof: &[tlog_tiles::Hash]) -> Vec<Hash> {
    proof.iter().map(|hash| hash.0).collect()
}

fn theirs(proof: &[Hash]) -> Vec<tlog_tiles::Hash> {
    proof.iter().map(|hash| tlog_tiles::Hash(*hash)).collect()
}

#[test]
fn roots_and_proofs_are_the_same() {
    let leaves = leaves(140);
    let hashes: Vec<Hash> = leaves.iter().map(|leaf| merkle::leaf_hash(leaf)).collect();
    let stored = Stored::of(&leaves);
    let mut proofs = 0;
    for size in 1..=leaves.len() {
        let root = merkle::root(&hashes[..size]);
        assert_eq!(root, stored.root(size), "{size} leaves");
        for index in 0..size {
            let proof = merkle::inclusion_proof(&hashes[..size], index).expect("a proof");
            let other = tlog_tiles::prove_record(size as u64, index as u64, &stored).expect("a proof");
            assert_eq!(proof, bytes(&other), "leaf {index} of {size}");
            let (at, of) = (index as u64, size as u64);
            let leaf = tlog_tiles::record_hash(&leaves[index]);
            assert!(tlog_tiles::check_record(&theirs(&proof), of, tlog_tiles::Hash(root), at, leaf).is_ok());
            assert!(merkle::verify_inclusion(&hashes[index], at, of, &bytes(&other), &root));

            let before = index + 1;
            let proof = merkle::consistency_proof(&hashes[..size], before).expect("a proof");
            let other = tlog_tiles::prove_tree(of, before as u64, &stored).expect("a proof");
            assert_eq!(proof, bytes(&other), "{before} leaves, then {size}");
            let old = merkle::root(&hashes[..before]);
            let held = (tlog_tiles::Hash(root), tlog_tiles::Hash(old));
            assert!(tlog_tiles::check_tree(&theirs(&proof), of, held.0, before as u64, held.1).is_ok());
            assert!(merkle::verify_consistency((before as u64, &old), (of, &root), &bytes(&other)));
            proofs += 2;
        }
    }
    println!("counts: {proofs} proofs the same in two implementations");
}

#[test]
fn changed_proofs_are_judged_alike() {
    let leaves = leaves(64);
    let hashes: Vec<Hash> = leaves.iter().map(|leaf| merkle::leaf_hash(leaf)).collect();
    let mut runner = TestRunner::new(Config { cases: 4000, failure_persistence: None, ..Config::default() });
    let (accepted, refused) = (Cell::new(0_u32), Cell::new(0_u32));
    let count = |ours: bool| {
        let counter = if ours { &accepted } else { &refused };
        counter.set(counter.get() + 1);
    };
    let strategy = (1..64_usize, any::<u16>(), any::<u16>(), any::<u16>(), 0..6_u8);
    runner
        .run(&strategy, |(size, a, b, c, change)| {
            let root = merkle::root(&hashes[..size]);
            let index = usize::from(a) % size;
            let mut proof = merkle::inclusion_proof(&hashes[..size], index).expect("a proof");
            let (mut at, mut of) = (index as u64, size as u64);
            match change {
                0 => {}
                1 if !proof.is_empty() => {
                    let place = usize::from(b) % proof.len();
                    proof[place][usize::from(c) % 32] ^= 1;
                }
                2 => drop(proof.pop()),
                3 => proof.push(hashes[usize::from(b) % hashes.len()]),
                4 => at = u64::from(b) % of,
                _ => of = 1 + u64::from(c) % 64,
            }
            if at >= of {
                return Ok(());
            }
            let ours = merkle::verify_inclusion(&hashes[index], at, of, &proof, &root);
            let leaf = tlog_tiles::Hash(hashes[index]);
            let other = tlog_tiles::check_record(&theirs(&proof), of, tlog_tiles::Hash(root), at, leaf).is_ok();
            prop_assert_eq!(ours, other, "leaf {} of {}, change {}", at, of, change);
            count(ours);

            let before = 1 + usize::from(b) % size;
            let old = merkle::root(&hashes[..before]);
            let mut proof = merkle::consistency_proof(&hashes[..size], before).expect("a proof");
            match change {
                1 if !proof.is_empty() => {
                    let place = usize::from(a) % proof.len();
                    proof[place][usize::from(c) % 32] ^= 1;
                }
                2 => drop(proof.pop()),
                3 => proof.push(hashes[usize::from(c) % hashes.len()]),
                _ => {}
            }
            let ours = merkle::verify_consistency((before as u64, &old), (size as u64, &root), &proof);
            let (new, old) = (tlog_tiles::Hash(root), tlog_tiles::Hash(old));
            let other = tlog_tiles::check_tree(&theirs(&proof), size as u64, new, before as u64, old).is_ok();
            prop_assert_eq!(ours, other, "{} leaves, then {}, change {}", before, size, change);
            count(ours);
            Ok(())
        })
        .expect("both judge alike");
    let (accepted, refused) = (accepted.get(), refused.get());
    assert!(accepted > 500 && refused > 500, "{accepted} accepted, {refused} refused");
    println!("counts: {accepted} proofs accepted and {refused} refused by both");
}

#[test]
fn tiles_are_the_same() {
    for count in [1, 255, 256, 257, 600, 1000] {
        let leaves = leaves(count);
        let hashes: Vec<Hash> = leaves.iter().map(|leaf| merkle::leaf_hash(leaf)).collect();
        let entries: Vec<&[u8]> = leaves.iter().map(Vec::as_slice).collect();
        let files = tile::files(&entries, &hashes).expect("no leaf is too long");
        let stored = Stored::of(&leaves);
        let mut of_hashes = files.iter().filter(|file| !file.path.starts_with("tile/entries/"));
        for tile in Tile::new_tiles(8, 0, count as u64) {
            let file = of_hashes.next().expect("as many tiles");
            // The other crate writes the height into the path, as the Go library does; the specification has none.
            let path = tile.path().replacen("tile/8/", "tile/", 1);
            assert_eq!(file.path, path);
            assert_eq!(file.bytes, tile.read_data(&stored).expect("a tile"), "{path} of {count}");
        }
        assert_eq!(of_hashes.next(), None, "{count} leaves have no more tiles");
    }
}

fn key(seed: u64, name: &str) -> (LogKey, VerifierKey) {
    let key = LogKey::generate(&SeededRandom::new(seed)).expect("a key");
    let public = VerifierKey::new(name, KeyType::Ed25519, key.public()).expect("a name");
    (key, public)
}

#[test]
fn notes_and_checkpoints_are_read_by_the_other() {
    let hashes: Vec<Hash> = leaves(5).iter().map(|leaf| merkle::leaf_hash(leaf)).collect();
    let (key, public) = key(7, "cairn.example/log");
    let checkpoint = Checkpoint { origin: "cairn/repository/log".into(), size: 5, root: merkle::root(&hashes) };
    let note = checkpoint.sign(&key, &public).expect("a checkpoint is a text");

    let verifier = StandardVerifier::new(&public.to_string()).expect("our key is one of theirs");
    assert_eq!(verifier.name(), public.name());
    assert_eq!(verifier.key_id(), u32::from_be_bytes(public.id()));
    let theirs = signed_note::Note::from_bytes(note.to_string().as_bytes()).expect("our note is one of theirs");
    let known = VerifierList::new(vec![Box::new(verifier)]);
    assert_eq!(theirs.verify(&known).expect("its signature verifies").0.len(), 1);
    let read = tlog_tiles::Checkpoint::from_bytes(theirs.text()).expect("our checkpoint is one of theirs");
    assert_eq!((read.origin(), read.size(), read.hash().0), ("cairn/repository/log", 5, checkpoint.root));
    assert_eq!(read.to_bytes(), checkpoint.text().as_bytes());

    // And the other way round: written by them, read by cairn.
    let other = tlog_tiles::Checkpoint::new("example.org/x", 12, tlog_tiles::Hash([3; 32]), "").expect("a checkpoint");
    let mut other = signed_note::Note::new(&other.to_bytes(), &[]).expect("a note");
    let (secret, verifier) = signed_note::generate_key(&mut Fixed(1), "example.org/x");
    let signer = signed_note::StandardSigner::new(&secret).expect("a signer");
    other.add_sigs(&[&signer]).expect("a signature");
    let read = Note::parse(&other.to_bytes()).expect("their note is one of ours");
    assert_eq!(read.to_string().as_bytes(), other.to_bytes());
    let verifier = VerifierKey::parse(&verifier).expect("their key is one of ours");
    let read = Checkpoint::open(&read, &verifier).expect("their signature verifies");
    assert_eq!((read.origin.as_str(), read.size, read.root), ("example.org/x", 12, [3; 32]));
}

#[test]
fn a_note_changed_anywhere_is_no_longer_verified_by_either() {
    let (key, public) = key(9, "cairn.example/log");
    let mut note = Note::new("one\n\ntwo \u{e9}\n".into()).expect("a text");
    note.sign(&key, &public);
    let good = note.to_string().into_bytes();
    let known = VerifierList::new(vec![Box::new(StandardVerifier::new(&public.to_string()).expect("a key"))]);
    let ours = |bytes: &[u8]| Note::parse(bytes).is_ok_and(|note| note.verify(&public).is_ok());
    let theirs = |bytes: &[u8]| signed_note::Note::from_bytes(bytes).is_ok_and(|note| note.verify(&known).is_ok());
    assert!(ours(&good) && theirs(&good));
    for place in 0..good.len() {
        for bit in 0..8 {
            let mut bad = good.clone();
            bad[place] ^= 1 << bit;
            assert!(!ours(&bad), "byte {place}, bit {bit}");
            assert!(!theirs(&bad), "byte {place}, bit {bit}, the other");
        }
    }
}

/// Not random: a key for a test.
struct Fixed(u8);

impl signed_note_rand::RngCore for Fixed {
    fn next_u32(&mut self) -> u32 {
        u32::from_le_bytes([self.0; 4])
    }
    fn next_u64(&mut self) -> u64 {
        u64::from_le_bytes([self.0; 8])
    }
    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        bytes.fill(self.0);
    }
    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), signed_note_rand::Error> {
        self.fill_bytes(bytes);
        Ok(())
    }
}

impl signed_note_rand::CryptoRng for Fixed {}
