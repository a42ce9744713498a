//! What the fuzzer runs: one function for each kind of untrusted bytes.
//!
//! The functions are shared: `targets/` runs them under libFuzzer, `tests/fuzz_corpus.rs` runs them over every committed
//! corpus file with the ordinary toolchain. A function panics when a promise is broken, and only then; refusing the
//! bytes is fine. Where a value is accepted, encoding it again must give the same bytes (one encoding for each value).
//!
//! What is stored sealed is fuzzed twice: as it is stored (`envelope`, `sealed`, `key_slot`, `pack_end`), and as it is
//! once opened, since somebody with keys may have sealed anything.

pub mod fixtures;

use cairn::audit::note::{Note, VerifierKey};
use cairn::audit::object::{Endorsement, LogPart};
use cairn::audit::record::decode_part;
use cairn::codec::{Compressor, Decompressor, Level};
use cairn::crypto::aead::{Sealer, seal_once};
use cairn::crypto::kdf::derive_committed;
use cairn::crypto::random::SeededRandom;
use cairn::crypto::secret::Secret;
use cairn::format::cell::{self, CellEntries, CellKeys, CellReferences};
use cairn::format::config::Config;
use cairn::format::declaration::DeclarationRecord;
use cairn::format::envelope::{self, OpenEnvelope};
use cairn::format::forget::ForgetRecord;
use cairn::format::key_slot::{self, Slot, SlotKind, Unlock};
use cairn::format::pack::{self, PackKind};
use cairn::format::policy::PolicyRecord;
use cairn::format::segment::{self, SegmentBuilder};
use cairn::format::session::Session;
use cairn::format::tree::{self as trees, Tree};
use cairn::format::wire::{FormatError, Reader, Writer};
use cairn::format::{dataset_root, sealed};
use cairn::object::{NAME_LEN_MAX, ObjectKind, ObjectName};
use cairn::residency::{
    BucketName, CanadianEndpoint, EndpointCandidate, Origin, Pin, Policy, ReachableEndpoint, Scheme, table,
};
use std::sync::LazyLock;

/// A target: its name, which is also that of its corpus folder, and its function.
pub type Entry = (&'static str, fn(&[u8]));

/// Every target.
pub const ENTRIES: &[Entry] = &[
    ("cell", cell),
    ("codec_expand", codec_expand),
    ("config", config),
    ("declaration", declaration),
    ("endpoint", endpoint),
    ("envelope", envelope),
    ("file_records", file_records),
    ("forget", forget),
    ("key_slot", key_slot),
    ("key_text", key_text),
    ("log_part", log_part),
    ("object_name", object_name),
    ("pack_end", pack_end),
    ("pin", pin),
    ("policy", policy),
    ("sealed", sealed),
    ("segment", segment),
    ("session", session),
    ("tree", tree),
    ("tree_references", tree_references),
];

/// Parts of logs, endorsements of their keys, and receipts: text, so there is one spelling of everything.
pub fn log_part(data: &[u8]) {
    if let Ok(part) = LogPart::parse(data) {
        assert_eq!(LogPart::encode(&part.leaves, &part.note), data, "two spellings of one part");
        assert_eq!(part.start() + part.leaves.len() as u64, part.checkpoint.size);
        assert_eq!(part.checkpoint.text(), part.note.text());
    }
    if let Ok(note) = Note::parse(data) {
        assert_eq!(note.to_string().as_bytes(), data, "two spellings of one note");
    }
    if let Ok(endorsement) = Endorsement::parse(data) {
        assert_eq!(endorsement.note.verify(&endorsement.host), Ok(None), "endorsed by nobody");
    }
    if let Some(key) = std::str::from_utf8(data).ok().and_then(|text| VerifierKey::parse(text).ok()) {
        assert_eq!(VerifierKey::parse(&key.to_string()), Ok(key));
    }
}

/// Records of single files, once opened.
pub fn file_records(data: &[u8]) {
    let Ok(records) = decode_part(data) else { return };
    let mut again = Vec::new();
    records.iter().for_each(|(record, _)| record.encode(&mut again));
    assert_eq!(again, data, "two encodings of the same records");
}

/// Texts as object names: whatever is accepted stays below its root and keeps its spelling.
pub fn object_name(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(name) = ObjectName::new(text) else { return };
    assert_eq!(name.as_str(), text, "changed");
    assert!(text.len() <= NAME_LEN_MAX, "too long");
    let mut parts = std::path::Path::new(text).components();
    assert!(parts.all(|part| matches!(part, std::path::Component::Normal(_))), "leaves its root: {text:?}");
    assert!(text.ends_with(name.last_part()) && !name.last_part().contains('/'), "wrong last part: {text:?}");
}

/// Texts as key files and recovery keys; and any 32 bytes as a key, whose text is then spoilt in one place.
pub fn key_text(data: &[u8]) {
    if let Some(unlock) = std::str::from_utf8(data).ok().and_then(|text| Unlock::from_text(text).ok()) {
        let compact: String = String::from_utf8_lossy(data).chars().filter(|c| !c.is_whitespace()).collect();
        assert_eq!(unlock.to_text(), Some(compact.to_ascii_lowercase()), "two texts of one key");
    }
    let Some((secret, [at, other, ..])) = data.split_first_chunk::<32>() else { return };
    let text = Unlock::Recovery(Secret::new(*secret)).to_text().expect("a recovery key has a text");
    assert!(matches!(Unlock::from_text(&text), Ok(Unlock::Recovery(read)) if read.expose() == secret), "lost: {text}");
    let at = usize::from(*at) % text.len();
    let spoilt = format!("{}{}{}", &text[..at], char::from(*other), &text[at + 1..]);
    assert!(spoilt == text || Unlock::from_text(&spoilt).is_err(), "{spoilt} is read as {text}");
}

/// Pins: whatever is accepted has one spelling, which is read as the same pin.
pub fn pin(data: &[u8]) {
    let Some(pin) = std::str::from_utf8(data).ok().and_then(|text| Pin::parse(text).ok()) else { return };
    assert_eq!(Pin::parse(&pin.to_string()).as_ref(), Ok(&pin), "another pin");
    assert!(pin.to_string().len() <= 38, "longer than all provinces: {pin}");
}

/// Texts as endpoints and buckets: whatever is accepted has one reading, and whatever may be sent to is a host of the table, whole.
pub fn endpoint(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(bucket) = BucketName::parse(text) {
        assert_eq!(bucket.as_str(), text, "changed");
        assert!((3..=63).contains(&text.len()) && !text.ends_with("-s3alias") && !text.contains(':'), "{text:?}");
    }
    if let Ok(origin) = Origin::parse(text) {
        assert_eq!(Origin::parse(&origin.to_string()).as_ref(), Ok(&origin), "two readings of {text:?}");
        let known = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.[:]".contains(c);
        assert!(origin.port() > 0 && origin.host().chars().all(known), "{text:?} is {origin}");
    }
    let Ok(candidate) = EndpointCandidate::of_site(text) else { return };
    let policy = Policy::new(Pin::Canada);
    let reachable = ReachableEndpoint::resolve(&candidate, &[], &policy);
    let Ok(admitted) = CanadianEndpoint::admit(&candidate, &[], &policy) else {
        assert!(
            reachable.is_err() || reachable.is_ok_and(|found| found.sending().is_err()),
            "refused and open: {text:?}"
        );
        return;
    };
    let site = admitted.site();
    assert!(reachable.is_ok_and(|found| found.sending() == Ok(&admitted)), "two answers for {text:?}");
    assert_eq!((site.origin.scheme(), site.origin.port()), (Scheme::Https, 443), "{text:?}");
    let labels = |text: &str| text.split('.').map(str::to_owned).collect::<Vec<_>>();
    let host = labels(site.origin.host());
    let like = |pattern: &str| {
        let pattern = labels(pattern);
        pattern.len() == host.len() && pattern.iter().zip(&host).all(|(p, h)| p == h || p.contains('{'))
    };
    let mut rows = table::rows().filter(|row| row.id() == site.id && row.off.is_none());
    let hosts = |row: &table::row::Row| row.hosts.iter().chain(row.patterns).any(|known| like(known));
    assert!(rows.any(hosts), "{text:?} became {}", site.origin);
}

/// Configurations: before any key is there, and authenticated.
pub fn config(data: &[u8]) {
    let Ok(read) = Config::decode_unverified(data) else {
        assert!(Config::decode(data, &fixtures::master()).is_err(), "malformed, but authentic");
        return;
    };
    let again = read.encode(&fixtures::master());
    assert_eq!(again[..again.len() - 32], data[..data.len() - 32], "two encodings of one configuration");
    assert_eq!(Config::decode(&again, &fixtures::master()).as_ref(), Ok(&read));
    assert_eq!(Config::decode(data, &fixtures::master()).is_ok(), again == data, "not authentic, but accepted");
}

/// Key slots as stored; and the bytes as what a slot holds, behind good seals.
pub fn key_slot(data: &[u8]) {
    if let Ok(slot) = key_slot::decode(data)
        && slot.kind != SlotKind::Password
    {
        open_slot(&slot);
    }
    static CLEAR: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let clear =
            [b"\x89CAIRN\r\n\x01\0\x02\x01\0\0\0\0", fixtures::place().repository.as_bytes().as_slice()].concat();
        [clear, vec![9; 16], vec![SlotKind::KeyFile as u8], vec![0; 12], vec![7; 32]].concat()
    });
    let Unlock::KeyFile(secret) = fixtures::unlock() else { return };
    let (key, commitment) = derive_committed("cairn v1 slot", &secret, &[&CLEAR]);
    let mut w = Writer::from_vec(CLEAR.clone());
    w.raw(&commitment);
    let mut bound = CLEAR.clone();
    for key in [key, fixtures::master().slot_notes_key(&CLEAR)] {
        let mut sealed = data.to_vec();
        seal_once(key, &bound, &mut sealed).expect("short enough to seal");
        w.u32(sealed.len() as u32);
        w.raw(&sealed);
        // The notes are bound to all that stands before them.
        bound = w.as_slice().to_vec();
    }
    let slot = key_slot::decode(w.as_slice()).expect("a slot with a good outside");
    let opened = (slot.open(&fixtures::unlock()).err(), slot.notes(&fixtures::master()).err());
    assert!(
        !is_sealed_off(opened.0.as_ref()) && !is_sealed_off(opened.1.as_ref()),
        "the seals are not good: {opened:?}"
    );
    let (payload, notes) = open_slot(&slot);
    assert!(payload.is_none_or(|again| again == data), "two encodings of one payload");
    assert!(notes.is_none_or(|again| again == data), "two encodings of the same notes");
}

/// Whether something did not even open, so that its content was never looked at.
fn is_sealed_off(error: Option<&FormatError>) -> bool {
    matches!(error, Some(FormatError::NotAuthentic { .. } | FormatError::NoRecipient { .. }))
}

/// Payload and notes of a slot, encoded again.
fn open_slot(slot: &Slot) -> (Option<Vec<u8>>, Option<Vec<u8>>) {
    let payload = slot.open(&fixtures::unlock()).ok().map(|opened| {
        let mut w = Writer::new();
        w.raw(opened.master.expose());
        w.varint(opened.roots.len() as u64);
        for root in &opened.roots {
            w.raw(root.dataset.as_bytes());
            w.u32(root.epoch);
            w.raw(root.expose());
        }
        w.into_vec()
    });
    let notes = slot.notes(&fixtures::master()).ok().map(|notes| {
        let mut w = Writer::new();
        [&notes.holder, &notes.purpose, &notes.host].into_iter().for_each(|text| w.bytes(text.as_bytes()));
        w.timestamp(notes.created);
        w.u8(u8::from(notes.expires.is_some()));
        notes.expires.into_iter().for_each(|time| w.timestamp(time));
        w.into_vec()
    });
    (payload, notes)
}

/// Headers of every sealed kind, for somebody who has all keys.
pub fn envelope(data: &[u8]) {
    let keys = fixtures::keys();
    let dataset = fixtures::master().dataset_recipient(&fixtures::place().repository);
    let all = [&keys.index, &keys.references, &keys.entries, &keys.data, &dataset];
    let len = envelope::header_len(data);
    let Some(kind) = data.get(10).and_then(|byte| ObjectKind::from_byte(*byte)) else { return };
    let closed = envelope::open(data, kind, &fixtures::place(), &[]);
    let Ok(opened) = envelope::open(data, kind, &fixtures::place(), &all) else { return };
    assert_eq!(len, Ok(opened.header_len), "two lengths of one header");
    assert!(opened.header_len <= data.len() && (1..=envelope::SECTIONS_MAX).contains(&opened.sections()));
    assert!(closed.is_ok_and(|closed| closed.header_len == opened.header_len), "keys change how it is read");
    for section in 0..opened.sections() + 1 {
        let mut message = data[opened.header_len..].to_vec();
        let open = opened.open(section, 0, "message", &mut message);
        assert!(open.is_ok() || message.is_empty() || message == data[opened.header_len..], "half opened");
    }
}

/// Small objects as stored, with all keys; and messages once opened, with their padding.
pub fn sealed(data: &[u8]) {
    if let Ok(content) = sealed::unpad(data, "message") {
        assert_eq!(sealed::pad(&content), data, "two paddings of one message");
    }
    let (place, keys) = (fixtures::place(), fixtures::keys());
    if let Ok(root) = dataset_root::decode(data, &place, &fixtures::master()) {
        assert_eq!((root.dataset, root.epoch), (place.dataset, place.epoch), "a root of another place");
    }
    if let Ok(read) = Session::decode(data, &place, &keys.index) {
        session(&read.encode_content());
    }
    if let Ok(read) = ForgetRecord::decode(data, &place, &keys.index) {
        forget(&read.encode_content());
    }
    let _ = segment::decode(data, &place, &keys.index);
    let master = fixtures::master();
    if let Ok(read) = DeclarationRecord::decode(data, &place.repository, &master) {
        declaration(&read.encode_content());
    }
    if let Ok(read) = PolicyRecord::decode(data, &place.repository, &master) {
        policy(&read.encode_content());
    }
    let all = CellKeys { references: &keys.references, entries: &keys.entries };
    if let Ok(read) = cell::decode(data, &place, all) {
        assert!(read.entries.is_some(), "a cell that opens in part with all keys");
    }
}

/// What sessions hold.
pub fn session(data: &[u8]) {
    let Ok(read) = Session::decode_content(data) else { return };
    assert_eq!(read.encode_content(), data, "two encodings of one session");
}

/// What forget records hold.
pub fn forget(data: &[u8]) {
    let Ok(read) = ForgetRecord::decode_content(data) else { return };
    assert_eq!(read.encode_content(), data, "two encodings of one forget record");
}

/// What declarations of sites hold. That its signature is good is asked of what was accepted, not of what is tried.
pub fn declaration(data: &[u8]) {
    let Ok(read) = DeclarationRecord::decode_content(data) else { return };
    assert_eq!(read.encode_content(), data, "two encodings of one declaration");
    if read.signed.verify().is_ok() {
        let mut other = read.signed.clone();
        other.declaration.signed_by.push('x');
        assert!(other.verify().is_err(), "a signature of two declarations");
    }
}

/// What policies hold.
pub fn policy(data: &[u8]) {
    let Ok(read) = PolicyRecord::decode_content(data) else { return };
    assert_eq!(read.encode_content(), data, "two encodings of one policy");
}

/// What either section of a cell holds.
pub fn cell(data: &[u8]) {
    if let Ok(read) = CellReferences::decode(data) {
        assert_eq!(read.encode(), data, "two encodings of one section 0");
    }
    if let Ok(read) = CellEntries::decode(data) {
        assert_eq!(read.encode(), data, "two encodings of one section 1");
    }
}

/// What segments hold.
pub fn segment(data: &[u8]) {
    let Ok(packs) = segment::decode_content(data) else { return };
    let mut builder = SegmentBuilder::default();
    for pack in &packs {
        let used = u64::from(pack.header_len) + pack.blobs.iter().map(pack::BlobEntry::stored_len).sum::<u64>();
        assert!(used <= pack.size && pack.size <= pack::PACK_LEN_MAX, "blobs outside of their pack");
        builder.push(pack);
    }
    assert_eq!(builder.content(), data, "two encodings of one segment");
}

struct OpenPack {
    kind: PackKind,
    sealer: Sealer,
    opened: OpenEnvelope,
}

/// The header of a pack, as its writer and as its reader have it.
fn open_pack(kind: PackKind) -> OpenPack {
    let keys = fixtures::keys();
    let meta: [&[_]; 3] = [&[&keys.index], &[&keys.references], &[&keys.entries]];
    let data: [&[_]; 2] = [&[&keys.index], &[&keys.data]];
    let recipients = if kind == PackKind::Meta { meta.as_slice() } else { data.as_slice() };
    let new = envelope::create(kind.object_kind(), &fixtures::place(), recipients, &SeededRandom::new(1))
        .expect("a header for known recipients");
    let opened = envelope::open(&new.header, kind.object_kind(), &fixtures::place(), &[&keys.index])
        .expect("a header that was just made");
    OpenPack { kind, sealer: new.sealer, opened }
}

/// The end of a pack as stored; and the bytes as the list of blobs and as the trailer behind a good seal.
pub fn pack_end(data: &[u8]) {
    static PACKS: LazyLock<[OpenPack; 2]> = LazyLock::new(|| [PackKind::Data, PackKind::Meta].map(open_pack));
    let footer = &data[data.len().saturating_sub(pack::FOOTER_LEN)..];
    let end = pack::end_len(footer).ok().and_then(|len| data.len().checked_sub(len)).map(|start| &data[start..]);
    for OpenPack { kind, sealer, opened } in PACKS.iter() {
        for end in [Some(data), end].into_iter().flatten() {
            let _ = pack::decode_end(*kind, opened, end);
        }
        let mut r = Reader::new(data, "blobs");
        if let Ok(blobs) = pack::read_blobs(&mut r, *kind) {
            let mut w = Writer::new();
            pack::write_blobs(&mut w, *kind, &blobs);
            assert_eq!(w.as_slice(), &data[..data.len() - r.remaining()], "two encodings of the same blobs");
            let plain = |part| blobs.iter().map(move |blob| blob.plain_len(part));
            assert!(plain(0).chain(plain(1)).all(|len| len <= pack::BLOB_PLAIN_MAX), "a blob beyond its bound");
        }
        let mut message = sealed::pad(data);
        let number = sealer.number().expect("fewer messages than there are numbers");
        let number = sealer.seal(number, pack::TRAILER_SECTION, &mut [&mut message]).expect("short enough to seal");
        let end = [&number.to_le_bytes(), message.as_slice(), &[0; pack::FOOTER_LEN]].concat();
        let decoded = pack::decode_end(*kind, opened, &end);
        assert!(!is_sealed_off(decoded.as_ref().err()), "the seal is not good: {decoded:?}");
        if let Ok(trailer) = decoded {
            let mut w = Writer::new();
            w.raw(trailer.session.as_bytes());
            w.raw(trailer.host.as_bytes());
            pack::write_blobs(&mut w, *kind, &trailer.blobs);
            assert_eq!(w.as_slice(), data, "two encodings of one trailer");
        }
    }
}

/// Trees and lists: two bytes say how long the references are; the entries follow.
pub fn tree(data: &[u8]) {
    let Some((len, parts)) = data.split_first_chunk::<2>() else { return };
    let Some((references, entries)) = parts.split_at_checked(u16::from_le_bytes(*len).into()) else { return };
    let Ok(tree) = trees::decode(references, entries) else { return };
    let again = match &tree {
        Tree::Leaf(nodes) => trees::encode_leaf(nodes),
        Tree::Pages(pages) => trees::encode_pages(pages),
        Tree::List(chunks) => trees::encode_list(chunks),
    }
    .expect("what was decoded can be encoded");
    assert_eq!(
        (again.references.as_slice(), again.entries.as_slice()),
        (references, entries),
        "two encodings of a tree"
    );
}

/// References alone, which are all that pruning reads.
pub fn tree_references(data: &[u8]) {
    let Ok(read) = trees::decode_references(data) else { return };
    let mut w = Writer::new();
    w.u8(data[0]);
    w.varint(read.trees.len() as u64);
    read.trees.iter().for_each(|id| w.raw(id.as_bytes()));
    w.varint(read.chunks.len() as u64);
    read.chunks.iter().for_each(|id| w.raw(id.as_bytes()));
    assert_eq!(w.as_slice(), data, "two encodings of the same references");
}

/// Compressed parts: two bytes say the expanded length, in units of 16 bytes less 15 (so that 0 is possible).
pub fn codec_expand(data: &[u8]) {
    let Some((len, packed)) = data.split_first_chunk::<2>() else { return };
    let len = (usize::from(u16::from_le_bytes(*len)) * 16).saturating_sub(15);
    let mut codec = Decompressor::new().expect("memory for a decompressor");
    let mut plain = Vec::new();
    let expanded = codec.expand(packed, len, &mut plain);
    assert!(plain.capacity() <= len.max(data.len()) + 64, "{} bytes were taken for {len}", plain.capacity());
    if expanded.is_err() {
        return;
    }
    assert_eq!(plain.len(), len, "another length");
    let mut again = Vec::new();
    assert!(codec.expand(packed, len + 1, &mut again).is_err(), "two lengths of one part");
    let compressed = Compressor::new(Level::Zstd(1)).and_then(|mut c| c.compress(&plain, &mut again));
    compressed.expect("memory for a compressor");
    let mut twice = Vec::new();
    assert_eq!(codec.expand(&again, len, &mut twice), Ok(()));
    assert_eq!(twice, plain, "lost in compression");
}
