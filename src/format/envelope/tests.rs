//! Tests of the object header: a section opens for its recipient, in its object, and any altered header byte is noticed.
#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::crypto::keyring::DatasetRoot;
use crate::crypto::random::SeededRandom;

fn place() -> Place {
    Place { repository: RepositoryId::from_bytes([1; 16]), dataset: DatasetId::from_bytes([2; 16]), epoch: 1 }
}

fn keys() -> crate::crypto::keyring::DatasetKeys {
    DatasetRoot::new(DatasetId::from_bytes([2; 16]), 1, Secret::new([3; 32])).keys()
}

#[test]
fn a_section_opens_for_its_recipient_only() {
    let keys = keys();
    let random = SeededRandom::new(1);
    let new =
        create(ObjectKind::MetaPack, &place(), &[&[&keys.index], &[&keys.references, &keys.data]], &random).unwrap();
    let mut sealed = b"refs".to_vec();
    let number = new.sealer.seal(new.sealer.number().unwrap(), 1, &mut [&mut sealed]).unwrap();

    for key in [&keys.references, &keys.data] {
        let open = open(&new.header, ObjectKind::MetaPack, &place(), &[key]).unwrap();
        assert_eq!(open.header_len, new.header.len());
        let mut plain = sealed.clone();
        open.open(1, number, "test", &mut plain).unwrap();
        assert_eq!(plain, b"refs");
    }
    let other = open(&new.header, ObjectKind::MetaPack, &place(), &[&keys.index, &keys.entries]).unwrap();
    assert_eq!(other.open(1, number, "test", &mut sealed.clone()), Err(FormatError::NoRecipient { what: "test" }));
    assert!(open(&new.header, ObjectKind::DataPack, &place(), &[]).is_err());
    assert!(open(&new.header, ObjectKind::MetaPack, &Place { epoch: 2, ..place() }, &[]).is_err());
}

#[test]
fn every_altered_header_bit_is_noticed() {
    let keys = keys();
    let new = create(ObjectKind::Segment, &place(), &[&[&keys.index, &keys.data]], &SeededRandom::new(2)).unwrap();
    let mut sealed = b"text".to_vec();
    let number = new.sealer.seal(new.sealer.number().unwrap(), 0, &mut [&mut sealed]).unwrap();
    for bit in 0..new.header.len() * 8 {
        let mut header = new.header.clone();
        header[bit / 8] ^= 1 << (bit % 8);
        let opened = open(&header, ObjectKind::Segment, &place(), &[&keys.index])
            .and_then(|o| o.open(0, number, "test", &mut sealed.clone()));
        assert!(opened.is_err(), "bit {bit}");
    }
    for len in 0..new.header.len() {
        assert!(open(&new.header[..len], ObjectKind::Segment, &place(), &[&keys.index]).is_err(), "length {len}");
    }
}
