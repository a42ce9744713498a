//! Small objects as they are stored: they come back for their readers, in their place, and every altered bit is noticed.

use super::random::check;
use super::{contents, fixtures, samples, slots, strategies};
use cairn::crypto::random::SeededRandom;
use cairn::crypto::secret::Secret;
use cairn::crypto::sign::Identity;
use cairn::format::cell::{self, CellKeys};
use cairn::format::config::Config;
use cairn::format::declaration::DeclarationRecord;
use cairn::format::envelope::{HEADER_LEN_MAX, Place, STANZAS_MAX, header_len};
use cairn::format::forget::{ForgetRecord, REASON_MAX};
use cairn::format::key_slot::Unlocked;
use cairn::format::pack::{PackKind, write_blobs};
use cairn::format::policy::PolicyRecord;
use cairn::format::sealed::{self, OBJECT_LEN_MAX, Section, pad};
use cairn::format::session::{HOST_NAME_MAX, Session};
use cairn::format::wire::{FormatError, Result, Writer};
use cairn::format::{dataset_root, envelope, segment};
use cairn::id::{DatasetId, RepositoryId};
use cairn::object::ObjectKind;
use proptest::prelude::*;

/// A good encoding of the structure with this name in [`contents::RECODE`].
pub(crate) fn sample(name: &str) -> Vec<u8> {
    let blobs = |kind| {
        let mut w = Writer::new();
        write_blobs(&mut w, kind, &samples::blobs(kind));
        w.into_vec()
    };
    match name {
        "tree" => contents::join(&samples::trees().unwrap()[0]),
        "segment" => samples::segment().content(),
        "session" => samples::session().encode_content(),
        "forget record" => samples::forget().encode_content(),
        "declaration" => samples::declaration().encode_content(),
        "policy" => samples::policy().encode_content(),
        "cell references" => samples::cell_references().encode(),
        "cell entries" => samples::cell_entries().encode(),
        "blobs of a data pack" => blobs(PackKind::Data),
        "blobs of a meta pack" => blobs(PackKind::Meta),
        "configuration" => samples::config().encode(&fixtures::master()),
        "padded message" => pad(b"content"),
        "payload of a slot" => slots::payload(&Unlocked { master: fixtures::master(), roots: vec![fixtures::root()] }),
        "notes of a slot" => slots::notes_content(&samples::notes()),
        other => panic!("no sample of {other}"),
    }
}

/// Reads a stored object of whatever kind with all keys, to the end.
type Read = fn(&[u8], &Place) -> Result<()>;

const READ: [(&str, Read); 8] = [
    ("configuration", |bytes, place| {
        let config = Config::decode(bytes, &fixtures::master())?;
        let found = Place { repository: config.repository, dataset: config.dataset, epoch: config.epoch };
        if found == *place { Ok(()) } else { Err(FormatError::Invalid { what: "place" }) }
    }),
    ("dataset root", |bytes, place| dataset_root::decode(bytes, place, &fixtures::master()).map(|_| ())),
    ("session", |bytes, place| Session::decode(bytes, place, &fixtures::keys().index).map(|_| ())),
    ("forget record", |bytes, place| ForgetRecord::decode(bytes, place, &fixtures::keys().index).map(|_| ())),
    ("segment", |bytes, place| segment::decode(bytes, place, &fixtures::keys().index).map(|_| ())),
    ("cell", |bytes, place| {
        let keys = fixtures::keys();
        cell::decode(bytes, place, CellKeys { references: &keys.references, entries: &keys.entries }).map(|_| ())
    }),
    ("declaration", |bytes, place| {
        whole(place)?;
        DeclarationRecord::decode(bytes, &place.repository, &fixtures::master()).map(|_| ())
    }),
    ("policy", |bytes, place| {
        whole(place)?;
        PolicyRecord::decode(bytes, &place.repository, &fixtures::master()).map(|_| ())
    }),
];

/// Objects of the whole repository belong to no dataset; whoever reads them for another one than the fixture's is wrong.
fn whole(place: &Place) -> Result<()> {
    let right = Place { repository: place.repository, ..fixtures::place() };
    if *place == right { Ok(()) } else { Err(FormatError::Invalid { what: "place" }) }
}

fn stored(name: &str, seed: u64) -> Vec<u8> {
    let random = SeededRandom::new(seed);
    match name {
        "configuration" => samples::config().encode(&fixtures::master()),
        "dataset root" => samples::root_object(&random).unwrap(),
        "session" => samples::session_object(&random).unwrap(),
        "forget record" => samples::forget_object(&random).unwrap(),
        "segment" => samples::segment_object(&random).unwrap(),
        "cell" => samples::cell_object(&random).unwrap(),
        "declaration" => samples::declaration_object(&random).unwrap(),
        "policy" => samples::policy_object(&random).unwrap(),
        other => panic!("no object {other}"),
    }
}

#[test]
fn every_altered_bit_is_noticed() {
    for (name, read) in READ {
        let bytes = stored(name, 1);
        assert_eq!(read(&bytes, &fixtures::place()), Ok(()), "{name}");
        for bit in 0..bytes.len() * 8 {
            let mut altered = bytes.clone();
            altered[bit / 8] ^= 1 << (bit % 8);
            assert!(read(&altered, &fixtures::place()).is_err(), "{name}, bit {bit}");
        }
        for len in 0..bytes.len() {
            assert!(read(&bytes[..len], &fixtures::place()).is_err(), "{name}, length {len}");
        }
        assert!(read(&[bytes.as_slice(), b"\0"].concat(), &fixtures::place()).is_err(), "{name}");
        println!("counts: {name}: {} bits and {} lengths", bytes.len() * 8, bytes.len());
    }
}

#[test]
fn objects_belong_to_one_place_and_kind() {
    let place = fixtures::place();
    let elsewhere = [
        Place { repository: RepositoryId::from_bytes([1; 16]), ..place },
        Place { dataset: DatasetId::from_bytes([1; 16]), ..place },
        Place { epoch: 2, ..place },
    ];
    for (name, read) in READ {
        let bytes = stored(name, 2);
        elsewhere.iter().for_each(|place| assert!(read(&bytes, place).is_err(), "{name} in {place:?}"));
        for (other, read_other) in READ.iter().filter(|(other, _)| *other != name) {
            assert!(read_other(&bytes, &place).is_err(), "{name} read as {other}");
        }
    }
}

/// The message of one object in the frame of another of the same kind.
#[test]
fn parts_of_two_objects_do_not_mix() {
    for (name, read) in READ.into_iter().skip(1) {
        let (one, two) = (stored(name, 3), stored(name, 4));
        let header = header_len(&one).unwrap();
        assert_eq!((one.len(), header), (two.len(), header_len(&two).unwrap()));
        assert_ne!(one, two, "{name}");
        for cut in [88, header, one.len() - 64] {
            let mixed = [&one[..cut], &two[cut..]].concat();
            assert!(read(&mixed, &fixtures::place()).is_err(), "{name} cut at {cut}");
        }
    }
}

#[test]
fn values_come_back() {
    let place = (any::<[u8; 16]>(), any::<[u8; 16]>(), any::<u32>()).prop_map(|(repository, dataset, epoch)| Place {
        repository: RepositoryId::from_bytes(repository),
        dataset: DatasetId::from_bytes(dataset),
        epoch,
    });
    let values = (
        (place, any::<u64>()),
        strategies::session(),
        strategies::packs(),
        strategies::cell_references(),
        strategies::cell_entries(),
        strategies::config(),
    );
    check("objects", 128, &values, |((place, seed), mut session, packs, mut references, entries, config)| {
        let (random, keys) = (SeededRandom::new(seed), fixtures::keys());
        let identity = Identity::generate(&random).unwrap();
        (session.host, references.host) = (identity.host_key(), identity.host_key());
        let bytes = session.encode(&place, &keys.index, &identity, &random).unwrap();
        assert_eq!(Session::decode(&bytes, &place, &keys.index), Ok(session));

        let mut builder = segment::SegmentBuilder::default();
        packs.iter().for_each(|pack| builder.push(pack));
        let bytes = builder.encode(&place, &keys.index, &random).unwrap();
        assert_eq!(segment::decode(&bytes, &place, &keys.index), Ok(packs));

        let all = CellKeys { references: &keys.references, entries: &keys.entries };
        let bytes = cell::encode(&references, &entries, &place, all, &identity, &random).unwrap();
        let read = cell::decode(&bytes, &place, all).unwrap();
        assert_eq!((&read.references, read.entries.as_ref()), (&references, Some(&entries)));
        // Who may prune reads no names.
        let some = CellKeys { references: &keys.references, entries: &keys.references };
        let read = cell::decode(&bytes, &place, some).unwrap();
        assert_eq!((&read.references, read.entries), (&references, None));

        let bytes = config.encode(&fixtures::master());
        assert_eq!(Config::decode(&bytes, &fixtures::master()), Ok(config));
        assert!(bytes.len() <= 4096);

        let root = cairn::crypto::keyring::DatasetRoot::new(place.dataset, place.epoch, Secret::new([7; 32]));
        let bytes = dataset_root::encode(&place.repository, &root, &fixtures::master(), &random).unwrap();
        let read = dataset_root::decode(&bytes, &place, &fixtures::master()).unwrap();
        assert_eq!((read.dataset, read.epoch, read.expose()), (root.dataset, root.epoch, root.expose()));
    });
}

#[test]
fn another_host_cannot_sign() {
    let (random, keys) = (SeededRandom::new(5), fixtures::keys());
    let other = Identity::generate(&random).unwrap();
    let bytes = samples::session().encode(&fixtures::place(), &keys.index, &other, &random).unwrap();
    let refused = FormatError::NotAuthentic { what: "signature" };
    assert_eq!(Session::decode(&bytes, &fixtures::place(), &keys.index), Err(refused.clone()));
    let bytes = samples::forget().encode(&fixtures::place(), &keys.index, &other, &random).unwrap();
    assert_eq!(ForgetRecord::decode(&bytes, &fixtures::place(), &keys.index), Err(refused.clone()));
    let all = CellKeys { references: &keys.references, entries: &keys.entries };
    let (first, second) = (samples::cell_references(), samples::cell_entries());
    let cell = cell::encode(&first, &second, &fixtures::place(), all, &other, &random);
    assert_eq!(cell, Err(refused.clone()));
    let (repository, master) = (fixtures::place().repository, fixtures::master());
    let bytes = samples::policy().encode(&repository, &master, &other, &random).unwrap();
    assert_eq!(PolicyRecord::decode(&bytes, &repository, &master), Err(refused.clone()));
    let bytes = samples::declaration().encode(&repository, &master, &other, &random).unwrap();
    assert_eq!(DeclarationRecord::decode(&bytes, &repository, &master), Err(refused));
}

/// Whoever stores a declaration vouches for the object; what it says is vouched for by whoever declared it.
#[test]
fn a_statement_that_was_altered_is_noticed_whoever_stores_it() {
    let (repository, master) = (fixtures::place().repository, fixtures::master());
    let mut record = samples::declaration();
    record.signed.declaration.city = "Toronto".into();
    let bytes = record.encode(&repository, &master, &samples::identity(), &SeededRandom::new(5)).unwrap();
    let refused = FormatError::NotAuthentic { what: "signature of the declaration" };
    assert_eq!(DeclarationRecord::decode(&bytes, &repository, &master), Err(refused));
}

#[test]
fn limits_of_declarations() {
    use cairn::format::declaration::{CA_LEN_MAX, SignedDeclaration, TEXT_LEN_MAX};
    let sign = |declaration| SignedDeclaration::sign(declaration, &samples::identity()).is_ok();
    assert!(sign(samples::site()));
    for (len, good) in [(TEXT_LEN_MAX, true), (TEXT_LEN_MAX + 1, false)] {
        let mut site = samples::site();
        site.address = "a".repeat(len);
        assert_eq!(sign(site), good, "{len}");
    }
    for (pem, good) in [
        ("a".repeat(CA_LEN_MAX), true),
        ("a".repeat(CA_LEN_MAX + 1), false),
        ("a\r\n".into(), false),
        ("é".into(), false),
    ] {
        let mut site = samples::site();
        site.ca_pem = pem;
        assert_eq!(sign(site), good);
    }
    for name in ["", "A", "1a", "a_b", "a/b"] {
        let mut site = samples::site();
        site.name = name.into();
        assert!(!sign(site), "{name}");
    }
}

fn sections(kind: ObjectKind, count: usize, signed: bool) -> Vec<u8> {
    let keys = fixtures::keys();
    let content = samples::session().encode_content();
    let recipients = [&keys.index];
    let sections: Vec<_> = (0..count).map(|_| Section { recipients: &recipients, content: &content }).collect();
    let identity = samples::identity();
    let identity = signed.then_some(&identity);
    sealed::encode(kind, &fixtures::place(), &sections, identity, &SeededRandom::new(6)).unwrap()
}

#[test]
fn small_objects_have_the_sections_of_their_kind() {
    let keys = fixtures::keys();
    for (kind, signed, right) in [
        (ObjectKind::DatasetRoot, false, 1),
        (ObjectKind::Segment, false, 1),
        (ObjectKind::Session, true, 1),
        (ObjectKind::Cell, true, 2),
        (ObjectKind::Declaration, true, 1),
        (ObjectKind::Policy, true, 1),
        (ObjectKind::Forget, true, 1),
    ] {
        for count in 1..=3 {
            let bytes = sections(kind, count, signed);
            let read = sealed::decode(&bytes, kind, &fixtures::place(), &[&keys.index], signed);
            assert_eq!(read.is_ok(), count == right, "{kind:?} with {count} sections");
        }
    }
}

#[test]
fn limits_of_objects() {
    let (random, keys, place) = (SeededRandom::new(7), fixtures::keys(), fixtures::place());
    let session = |len| Session { host_name: vec![b'h'; len], ..samples::session() };
    for (len, good) in [(HOST_NAME_MAX, true), (HOST_NAME_MAX + 1, false)] {
        let encoded = session(len).encode(&place, &keys.index, &samples::identity(), &random);
        assert_eq!(encoded.is_ok(), good, "host name of {len} bytes");
        assert_eq!(Session::decode_content(&session(len).encode_content()).is_ok(), good);
    }
    for (host, reason, good) in
        [(HOST_NAME_MAX, REASON_MAX, true), (HOST_NAME_MAX + 1, 0, false), (0, REASON_MAX + 1, false)]
    {
        let record = ForgetRecord { host_name: vec![b'h'; host], reason: vec![b'r'; reason], ..samples::forget() };
        let encoded = record.encode(&place, &keys.index, &samples::identity(), &random);
        assert_eq!(encoded.is_ok(), good, "{host} and {reason} bytes");
        assert_eq!(ForgetRecord::decode_content(&record.encode_content()).is_ok(), good);
    }
    let content = vec![0; OBJECT_LEN_MAX as usize];
    let section = Section { recipients: &[&keys.index], content: &content };
    let encoded = sealed::encode(ObjectKind::Segment, &place, &[section], None, &random);
    assert!(matches!(encoded, Err(FormatError::Limit { what: "object", .. })));
    let decoded = sealed::decode(&vec![0; content.len() + 1], ObjectKind::Segment, &place, &[], false);
    assert!(matches!(decoded, Err(FormatError::Limit { what: "object", .. })));

    let many = [&keys.index; STANZAS_MAX + 1];
    let create = |recipients: &[&[_]]| envelope::create(ObjectKind::Segment, &place, recipients, &random);
    assert!(create(&[&many[..STANZAS_MAX]]).is_ok_and(|new| new.header.len() <= HEADER_LEN_MAX));
    for recipients in [&[&many[..]][..], &[], &[&many[..1], &[]], &[&many[..1]; 4]] {
        assert!(matches!(create(recipients), Err(FormatError::Limit { .. })));
    }
}

/// A stanza of a kind that is not known is somebody else's: it is skipped, and bound into every message.
#[test]
fn unknown_stanzas_are_skipped() {
    let keys = fixtures::keys();
    let new =
        envelope::create(ObjectKind::Segment, &fixtures::place(), &[&[&keys.index]], &SeededRandom::new(8)).unwrap();
    let mut header = new.header;
    header[53] += 1;
    header.extend_from_slice(&[0, 9, 3, 0]);
    header.extend_from_slice(b"somebodyabc");
    let len = header.len() as u16;
    header[54..56].copy_from_slice(&len.to_le_bytes());
    let open = |header: &[u8]| envelope::open(header, ObjectKind::Segment, &fixtures::place(), &[&keys.index]);
    // The fixed part was altered, so the known stanza does not open; without our key nothing is tried.
    assert_eq!(open(&header).err(), Some(FormatError::NotAuthentic { what: "wrapped section secret" }));
    let other = envelope::open(&header, ObjectKind::Segment, &fixtures::place(), &[&keys.data]).unwrap();
    assert_eq!((other.header_len, other.sections()), (header.len(), 1));
    let mut message = Vec::new();
    assert_eq!(other.open(0, 0, "test", &mut message), Err(FormatError::NoRecipient { what: "test" }));
    assert!(open(&header[..header.len() - 1]).is_err());
}

/// A key that opens a message is not enough: one ciphertext can be made for two keys, one commitment cannot.
#[test]
fn commitments_are_compared_before_anything_is_opened() {
    let keys = fixtures::keys();
    let random = SeededRandom::new(9);
    let recipients: [&[_]; 2] = [&[&keys.index], &[&keys.data]];
    let header = envelope::create(ObjectKind::DataPack, &fixtures::place(), &recipients, &random).unwrap().header;
    for (section, key) in [(0, &keys.index), (1, &keys.data)] {
        for at in [0, 31] {
            let mut altered = header.clone();
            altered[88 + 32 * section + at] ^= 1;
            let opened = envelope::open(&altered, ObjectKind::DataPack, &fixtures::place(), &[key]);
            assert_eq!(opened.err(), Some(FormatError::NotAuthentic { what: "key commitment" }));
        }
    }
}
