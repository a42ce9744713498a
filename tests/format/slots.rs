//! Key slots: what they hold comes back, for the right secret only, and every altered bit is noticed.

use super::random::check;
use super::samples::notes;
use super::{contents, fixtures, strategies};
use cairn::crypto::aead::seal_once;
use cairn::crypto::kdf::{PASSWORD_LANES_MAX, PASSWORD_MEMORY_KIB_MAX, PASSWORD_PASSES_MAX, derive_committed};
use cairn::crypto::keyring::{DatasetRoot, MasterKey};
use cairn::crypto::random::SeededRandom;
use cairn::crypto::secret::{Secret, SecretBytes};
use cairn::format::key_slot::{self, SlotKind, SlotNotes, Unlock, Unlocked};
use cairn::format::wire::{FormatError, Result, Writer};
use cairn::id::{DatasetId, SlotId};
use proptest::collection::vec;
use proptest::prelude::*;

/// Length of the clear part (`docs/format.md`, "Key slots").
const CLEAR_LEN: usize = 93;

fn slot(unlock: &Unlock, roots: &[&DatasetRoot], notes: &SlotNotes) -> Result<Vec<u8>> {
    let (id, random) = (SlotId::from_bytes([9; 16]), SeededRandom::new(1));
    key_slot::encode(&fixtures::place().repository, id, unlock, &fixtures::master(), roots, notes, &random)
}

/// A slot that holds just these bytes.
fn slot_of(payload: &[u8], notes_content: &[u8]) -> Vec<u8> {
    let Unlock::KeyFile(secret) = fixtures::unlock() else { panic!("the fixture is a key file") };
    let clear = slot(&fixtures::unlock(), &[], &notes()).unwrap()[..CLEAR_LEN].to_vec();
    let (key, commitment) = derive_committed("cairn v1 slot", &secret, &[&clear]);
    let mut w = Writer::from_vec(clear.clone());
    w.raw(&commitment);
    let mut bound = clear.clone();
    for (key, content) in [(key, payload), (fixtures::master().slot_notes_key(&clear), notes_content)] {
        let mut sealed = content.to_vec();
        seal_once(key, &bound, &mut sealed).unwrap();
        w.u32(sealed.len() as u32);
        w.raw(&sealed);
        bound = w.as_slice().to_vec();
    }
    w.into_vec()
}

pub(crate) fn payload(unlocked: &Unlocked) -> Vec<u8> {
    let mut w = Writer::new();
    w.raw(unlocked.master.expose());
    w.varint(unlocked.roots.len() as u64);
    for root in &unlocked.roots {
        w.raw(root.dataset.as_bytes());
        w.u32(root.epoch);
        w.raw(root.expose());
    }
    w.into_vec()
}

pub(crate) fn notes_content(notes: &SlotNotes) -> Vec<u8> {
    let mut w = Writer::new();
    for text in [&notes.holder, &notes.purpose, &notes.host] {
        w.bytes(text.as_bytes());
    }
    w.timestamp(notes.created);
    w.u8(u8::from(notes.expires.is_some()));
    if let Some(expires) = notes.expires {
        w.timestamp(expires);
    }
    w.into_vec()
}

/// The payload as the code under test reads it.
pub(crate) fn recode_payload(bytes: &[u8]) -> Result<Vec<u8>> {
    Ok(payload(&key_slot::decode(&slot_of(bytes, b"")).unwrap().open(&fixtures::unlock())?))
}

/// The notes as the code under test reads them.
pub(crate) fn recode_notes(bytes: &[u8]) -> Result<Vec<u8>> {
    Ok(notes_content(&key_slot::decode(&slot_of(b"", bytes)).unwrap().notes(&fixtures::master())?))
}

#[test]
fn what_a_slot_holds_comes_back() {
    let unlock = (any::<[u8; 32]>(), any::<bool>()).prop_map(|(bytes, key_file)| {
        if key_file { Unlock::KeyFile(Secret::new(bytes)) } else { Unlock::Recovery(Secret::new(bytes)) }
    });
    let roots = vec((any::<[u8; 16]>(), any::<u32>(), any::<[u8; 32]>()), 0..5);
    check("slots", 256, &(unlock, roots, strategies::notes()), |(unlock, roots, notes)| {
        let root = |(dataset, epoch, bytes): &(_, _, _)| {
            DatasetRoot::new(DatasetId::from_bytes(*dataset), *epoch, Secret::new(*bytes))
        };
        let roots: Vec<DatasetRoot> = roots.iter().map(root).collect();
        let bytes = slot(&unlock, &roots.iter().collect::<Vec<_>>(), &notes).unwrap();
        let closed = key_slot::decode(&bytes).unwrap();
        assert_eq!((closed.id, closed.kind), (SlotId::from_bytes([9; 16]), unlock.kind()));
        assert_eq!(closed.repository, fixtures::place().repository);
        assert_eq!(closed.notes(&fixtures::master()).as_ref(), Ok(&notes));
        let opened = closed.open(&unlock).unwrap();
        assert_eq!(payload(&opened), payload(&Unlocked { master: fixtures::master(), roots }));
        let refused = |unlock: &Unlock| {
            assert_eq!(closed.open(unlock).err(), Some(FormatError::NoRecipient { what: "key slot" }));
        };
        refused(&fixtures::unlock());
        refused(&Unlock::Password(SecretBytes::new(b"x".to_vec())));
        match unlock {
            Unlock::KeyFile(secret) => refused(&Unlock::Recovery(secret)),
            Unlock::Recovery(secret) => refused(&Unlock::KeyFile(secret)),
            Unlock::Password(_) => {}
        }
        assert!(closed.notes(&MasterKey::new(Secret::new([1; 32]))).is_err());
    });
}

#[test]
fn every_altered_bit_of_a_slot_is_noticed() {
    let bytes = slot(&fixtures::unlock(), &[&fixtures::root()], &notes()).unwrap();
    let read = |bytes: &[u8]| -> Result<()> {
        let closed = key_slot::decode(bytes)?;
        closed.open(&fixtures::unlock())?;
        closed.notes(&fixtures::master()).map(|_| ())
    };
    assert_eq!(read(&bytes), Ok(()));
    for bit in 0..bytes.len() * 8 {
        let mut altered = bytes.clone();
        altered[bit / 8] ^= 1 << (bit % 8);
        assert!(read(&altered).is_err(), "bit {bit}");
    }
    for len in 0..bytes.len() {
        assert!(read(&bytes[..len]).is_err(), "length {len}");
    }
    assert!(read(&[bytes.as_slice(), b"\0"].concat()).is_err());
    println!("counts: slot: {} bits and {} lengths", bytes.len() * 8, bytes.len());
}

#[test]
fn payload_and_notes_have_one_encoding() {
    let master = fixtures::master();
    let inside = payload(&Unlocked { master, roots: vec![fixtures::root(), fixtures::root()] });
    assert_eq!(recode_payload(&inside).as_ref(), Ok(&inside));
    let outside = notes_content(&notes());
    assert_eq!(recode_notes(&outside).as_ref(), Ok(&outside));
    let tried = contents::damage(&inside, recode_payload) + contents::damage(&outside, recode_notes);
    println!("counts: slot contents: {tried} damaged encodings");
}

#[test]
fn limits_of_slots() {
    let root = fixtures::root();
    assert!(slot(&fixtures::unlock(), &vec![&root; 64], &notes()).is_ok());
    let error = slot(&fixtures::unlock(), &vec![&root; 65], &notes()).err();
    assert!(matches!(error, Some(FormatError::Limit { what: "dataset roots", .. })), "{error:?}");
    let error = slot(&fixtures::unlock(), &[], &SlotNotes { host: "x".repeat(513), ..notes() }).err();
    assert!(matches!(error, Some(FormatError::Limit { what: "note", .. })), "{error:?}");
    assert!(recode_notes(&notes_content(&SlotNotes { host: "x".repeat(513), ..notes() })).is_err());
    assert!(recode_notes(b"\x01\xff\x00\x00").is_err(), "not UTF-8");
}

/// What a password slot asks for is refused before any work is done; other kinds may ask for nothing.
#[test]
fn hostile_password_parameters() {
    let bytes = slot(&fixtures::unlock(), &[], &notes()).unwrap();
    let with = |kind: u8, cost: [u32; 3]| {
        let mut bytes = bytes.clone();
        bytes[48] = kind;
        for (index, value) in cost.into_iter().enumerate() {
            bytes[49 + index * 4..][..4].copy_from_slice(&value.to_le_bytes());
        }
        key_slot::decode(&bytes).map(|slot| slot.kind)
    };
    assert_eq!(with(1, [0; 3]), Ok(SlotKind::KeyFile));
    assert_eq!(with(2, [64 << 10, 3, 1]), Ok(SlotKind::Password));
    let most = [PASSWORD_MEMORY_KIB_MAX, PASSWORD_PASSES_MAX, PASSWORD_LANES_MAX];
    assert_eq!(with(2, most), Ok(SlotKind::Password));
    for index in 0..3 {
        for value in [0, most[index] + 1, u32::MAX] {
            let mut cost = most;
            cost[index] = value;
            assert!(with(2, cost).is_err(), "{cost:?}");
        }
        for kind in [1, 3] {
            let mut cost = [0; 3];
            cost[index] = 1;
            assert!(with(kind, cost).is_err(), "kind {kind}, {cost:?}");
        }
    }
    for kind in [0, 4, 255] {
        assert!(matches!(with(kind, [0; 3]), Err(FormatError::Unknown { .. })), "kind {kind}");
    }
}
