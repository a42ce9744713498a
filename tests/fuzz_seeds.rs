//! The first corpus files of every fuzz target: made from fixed values, committed, and kept equal to what the code writes.
//!
//! `CAIRN_WRITE_SEEDS=1 cargo test --test fuzz_seeds` writes them anew after a change of the format.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests print what they covered")]

#[path = "../fuzz/entries.rs"]
#[allow(dead_code, unreachable_pub, reason = "shared; each test needs a part")]
mod entries;
#[path = "../fuzz/samples.rs"]
#[allow(dead_code, unreachable_pub, reason = "shared; each test needs a part")]
mod samples;

use cairn::audit::log::Log;
use cairn::audit::note::{Note, VerifierKey};
use cairn::audit::object::{Endorsement, LogPart};
use cairn::audit::record::{StoredRecord, decode_part};
use cairn::codec::Decompressor;
use cairn::crypto::random::SeededRandom;
use cairn::crypto::secret::Secret;
use cairn::format::cell::{CellEntries, CellReferences, Outcome};
use cairn::format::config::Config;
use cairn::format::declaration::DeclarationRecord;
use cairn::format::forget::ForgetRecord;
use cairn::format::key_slot::{self, Unlock};
use cairn::format::pack::{FOOTER_LEN, PackKind, end_len, read_blobs, write_blobs};
use cairn::format::policy::PolicyRecord;
use cairn::format::session::Session;
use cairn::format::tree::{self, EncodedTree};
use cairn::format::wire::{Reader, Writer};
use cairn::format::{envelope, sealed, segment};
use cairn::journal::FileEvent;
use cairn::object::{ObjectKind, ObjectName};
use cairn::residency::{CanadianEndpoint, EndpointCandidate, Pin, Policy};
use entries::{ENTRIES, fixtures};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A seed: what it shows, its bytes, whether its target accepts it as a value.
type Seed = (&'static str, Vec<u8>, bool);

fn good(name: &'static str, bytes: impl Into<Vec<u8>>) -> Seed {
    (name, bytes.into(), true)
}

fn bad(name: &'static str, bytes: impl Into<Vec<u8>>) -> Seed {
    (name, bytes.into(), false)
}

fn cut(bytes: &[u8]) -> Vec<u8> {
    bytes[..bytes.len() * 2 / 3].to_vec()
}

fn texts() -> [(&'static str, Vec<Seed>); 4] {
    let key = Unlock::KeyFile(Secret::new([7; 32])).to_text().unwrap();
    let recovery = Unlock::Recovery(Secret::new([8; 32])).to_text().unwrap();
    let (head, tail) = recovery.split_at(30);
    [
        (
            "object_name",
            vec![
                good("cell", format!("d/{}/snapshots/{}", "0a".repeat(16), "1b".repeat(16))),
                good("dots", "a.b/c-d_e.0"),
                bad("hidden", "d/.a"),
            ],
        ),
        (
            "key_text",
            vec![
                good("key", key.as_str()),
                good("upper", key.to_uppercase()),
                good("spaced", format!(" {head} \n{tail}\r\n")),
                bad("spoilt", key.replacen('q', "p", 1)),
                bad("bytes", [[9; 32].as_slice(), &[20, b'q', 0]].concat()),
            ],
        ),
        (
            "endpoint",
            vec![
                good("aws", "s3.ca-central-1.amazonaws.com"),
                good("upper", "S3.BHS.IO.Cloud.OVH.net.:443"),
                good("pattern", "my_ns.compat.objectstorage.ca-toronto-1.oraclecloud.com"),
                good("row", "gcs:northamerica-northeast1"),
                bad("url", "https://tor1.digitaloceanspaces.com/"),
                bad("suffix", "s3.ca-central-1.amazonaws.com.example"),
                bad("bucket", "backups.s3.ca-west-1.amazonaws.com"),
                bad("refused", "mybucket.s3-accelerate.dualstack.amazonaws.com"),
                bad("address", "http://[::1]:3900"),
                bad("tricks", "a@b%2e:443/?#\\"),
            ],
        ),
        ("pin", vec![good("canada", "CA"), good("one", "QC"), good("spaced", "QC, ON,QC"), bad("abroad", "QC,US")]),
    ]
}

fn objects() -> [(&'static str, Vec<Seed>); 5] {
    let random = &SeededRandom::new(1);
    let slot = samples::slot_object(random).unwrap();
    let payload = [[3; 32].as_slice(), &[1], &[4; 16], &[1, 0, 0, 0], &[5; 32]].concat();
    let mut password = slot.clone();
    password[48] = 2;
    password[49..61].copy_from_slice(&[0, 0, 1, 0, 3, 0, 0, 0, 4, 0, 0, 0]);
    let (root, session) = (samples::root_object(random).unwrap(), samples::session_object(random).unwrap());
    let (segment, cell) = (samples::segment_object(random).unwrap(), samples::cell_object(random).unwrap());
    let header = |kind| samples::pack_header(kind, random).unwrap().header;
    let ends = [PackKind::Data, PackKind::Meta].map(|kind| {
        let pack = samples::pack_object(kind, random).unwrap();
        let len = end_len(&pack[pack.len() - FOOTER_LEN..]).unwrap();
        let mut blobs = Writer::new();
        write_blobs(&mut blobs, kind, &samples::blobs(kind));
        (pack[pack.len() - len..].to_vec(), blobs.into_vec())
    });
    let trailer = [[0x77; 16].as_slice(), &[0x22; 32], &ends[0].1].concat();
    let config = samples::config().encode(&fixtures::master());
    [
        (
            "config",
            vec![
                good("provinces", config.as_slice()),
                good("canada", Config { pin: Pin::Canada, ..samples::config() }.encode(&fixtures::master())),
                bad("cut", cut(&config)),
            ],
        ),
        (
            "key_slot",
            vec![
                good("slot", slot.as_slice()),
                good("password", password),
                bad("payload", payload),
                bad("notes", b"\x01a\x00\x01b\0\0\0\0\0\0\0\0\0\0\0\0\0".as_slice()),
                bad("cut", cut(&slot)),
            ],
        ),
        (
            "envelope",
            vec![
                good("data", header(PackKind::Data)),
                good("meta", header(PackKind::Meta)),
                good("session", session.as_slice()),
                good("cell", cell.as_slice()),
                good("root", root.as_slice()),
                bad("cut", header(PackKind::Meta)[..200].to_vec()),
            ],
        ),
        (
            "sealed",
            vec![
                good("root", root),
                good("session", session.as_slice()),
                good("segment", segment),
                good("cell", cell),
                good("declaration", samples::declaration_object(random).unwrap()),
                good("policy", samples::policy_object(random).unwrap()),
                good("message", sealed::pad(b"content")),
                bad("cut", cut(&session)),
            ],
        ),
        (
            "pack_end",
            vec![
                bad("data", ends[0].0.as_slice()),
                bad("meta", ends[1].0.as_slice()),
                good("blobs-data", ends[0].1.as_slice()),
                good("blobs-meta", ends[1].1.as_slice()),
                bad("trailer", trailer),
            ],
        ),
    ]
}

fn forgets() -> Vec<Seed> {
    let record = samples::forget().encode_content();
    let nameless = ForgetRecord { host_name: vec![], reason: vec![], ..samples::forget() };
    vec![good("record", record.as_slice()), good("nameless", nameless.encode_content()), bad("cut", cut(&record))]
}

fn contents() -> [(&'static str, Vec<Seed>); 8] {
    let (references, entries) = (samples::cell_references(), samples::cell_entries());
    let session = samples::session().encode_content();
    let segment = samples::segment().content();
    let trees = samples::trees().unwrap();
    let join = |tree: &EncodedTree| {
        [&(tree.references.len() as u16).to_le_bytes(), tree.references.as_slice(), tree.entries.as_slice()].concat()
    };
    let empty = tree::encode_leaf(&[]).unwrap();
    let aborted = CellReferences { outcome: Outcome::Aborted, parent: None, segments: vec![], ..references.clone() };
    let checkpoint = CellReferences { outcome: Outcome::Checkpoint, ..references.clone() };
    [
        (
            "session",
            vec![
                good("session", session.as_slice()),
                good("nameless", Session { host_name: vec![], ..samples::session() }.encode_content()),
                bad("cut", cut(&session)),
            ],
        ),
        ("forget", forgets()),
        (
            "cell",
            vec![
                good("references", references.encode()),
                good("checkpoint", checkpoint.encode()),
                good("aborted", aborted.encode()),
                good("entries", entries.encode()),
                bad("cut", cut(&entries.encode())),
            ],
        ),
        ("declaration", declarations()),
        ("policy", policies()),
        ("segment", vec![good("segment", segment.as_slice()), good("empty", [0]), bad("cut", cut(&segment))]),
        (
            "tree",
            vec![
                good("leaf", join(&trees[0])),
                good("pages", join(&trees[1])),
                good("list", join(&trees[2])),
                good("empty", join(&empty)),
                bad("cut", cut(&join(&trees[0]))),
            ],
        ),
        (
            "tree_references",
            vec![
                good("leaf", trees[0].references.as_slice()),
                good("pages", trees[1].references.as_slice()),
                good("list", trees[2].references.as_slice()),
                bad("cut", cut(&trees[0].references)),
            ],
        ),
    ]
}

fn declarations() -> Vec<Seed> {
    let full = samples::declaration();
    let mut least = full.clone();
    let declaration = &mut least.signed.declaration;
    for text in [&mut declaration.address, &mut declaration.replicates_to, &mut declaration.ca_pem] {
        text.clear();
    }
    (declaration.us_parent, least.number) = (None, 1);
    let mut control = full.clone();
    control.signed.declaration.operator = "a\u{7}b".into();
    let content = full.encode_content();
    vec![
        good("declaration", content.as_slice()),
        good("least", least.encode_content()),
        bad("control", control.encode_content()),
        bad("unnumbered", [&[0; 4], &content[4..]].concat()),
        bad("cut", cut(&content)),
    ]
}

fn policies() -> Vec<Seed> {
    let full = samples::policy();
    let mut least = full.clone();
    least.policy.exceptions.clear();
    (least.policy.deny_us_parent, least.widened_by) = (false, String::new());
    let content = full.encode_content();
    vec![
        good("policy", content.as_slice()),
        good("least", least.encode_content()),
        bad("longer", [content.as_slice(), &[0]].concat()),
        bad("cut", cut(&content)),
    ]
}

/// What is in the log: its text, and the records of files that its leaves have the roots of.
fn logs() -> [(&'static str, Vec<Seed>); 2] {
    let random = SeededRandom::new(1);
    let identity = samples::identity();
    let leaves = [b"{\"n\":0}".to_vec(), b"{\"n\":1}".to_vec()];
    let log = Log::create(None, &fixtures::place().repository, &identity, &random, &leaves).unwrap();
    let note = log.checkpoint(2).unwrap();
    let part = LogPart::encode(&leaves, &note);
    let endorsement = log.endorsement().note.to_string();
    let mut records = Vec::new();
    for (event, size) in [(FileEvent::Transmitted, 0), (FileEvent::Recovered, u64::MAX)] {
        StoredRecord { event, file: [1; 16], content: [2; 16], size, millis: 1_790_000_000_000 }.encode(&mut records);
    }
    [
        (
            "log_part",
            vec![
                good("part", part.as_slice()),
                good("checkpoint", note.to_string()),
                good("endorsement", endorsement.as_str()),
                good("key", log.endorsement().log.to_string()),
                bad("cut", cut(&part)),
                bad("changed", endorsement.replace("v1", "v2").replacen('\u{2014}', "-", 1)),
            ],
        ),
        (
            "file_records",
            vec![
                good("records", records.as_slice()),
                good("none", []),
                bad("cut", cut(&records)),
                bad("event", [9; 50]),
            ],
        ),
    ]
}

/// Frames by hand (RFC 8878), so that another version of zstd writes the same seeds.
fn parts() -> (&'static str, Vec<Seed>) {
    let frame = |len: u8, block: &[u8]| [&[2, 0, 1, 0x28, 0xb5, 0x2f, 0xfd, 0x20, len], block].concat();
    let raw = frame(17, &[&[0x89, 0, 0][..], b"seventeen letters"].concat());
    let skippable = [&[2, 0, 1, 0x50, 0x2a, 0x4d, 0x18, 1, 0, 0, 0, 0], &raw[3..]].concat();
    let seeds = vec![
        good("stored", [&[2, 0, 0][..], &[9; 17]].concat()),
        good("nothing", [0, 0, 0]),
        good("raw", raw.as_slice()),
        good("repeated", frame(17, &[0x8b, 0, 0, b'x'])),
        bad("skippable", skippable),
        bad("twice", [raw.as_slice(), &raw[3..]].concat()),
        bad("longer", [&[1], &raw[1..]].concat()),
    ];
    ("codec_expand", seeds)
}

fn seeds() -> BTreeMap<&'static str, Vec<Seed>> {
    texts().into_iter().chain(objects()).chain(contents()).chain([parts()]).chain(logs()).collect()
}

/// Whether a target's decoder takes the bytes for a value.
fn accepts(target: &str, data: &[u8]) -> bool {
    let (place, keys) = (fixtures::place(), fixtures::keys());
    let text = || std::str::from_utf8(data).unwrap_or_default();
    let blobs = |kind| {
        let mut r = Reader::new(data, "blobs");
        read_blobs(&mut r, kind).is_ok() && r.remaining() == 0
    };
    match target {
        "cell" => CellReferences::decode(data).is_ok() || CellEntries::decode(data).is_ok(),
        "codec_expand" => {
            let len = usize::from(u16::from_le_bytes([data[0], data[1]]));
            let len = (len * 16).saturating_sub(15);
            Decompressor::new().unwrap().expand(&data[2..], len, &mut Vec::new()).is_ok()
        }
        "config" => Config::decode(data, &fixtures::master()).is_ok(),
        "declaration" => DeclarationRecord::decode_content(data).is_ok(),
        "forget" => ForgetRecord::decode_content(data).is_ok(),
        "endpoint" => EndpointCandidate::of_site(text())
            .and_then(|candidate| CanadianEndpoint::admit(&candidate, &[], &Policy::new(Pin::Canada)))
            .is_ok(),
        "envelope" => {
            let kind = ObjectKind::from_byte(data[10]).unwrap();
            envelope::open(data, kind, &place, &[&keys.index, &keys.references]).is_ok()
        }
        "key_slot" => key_slot::decode(data).is_ok(),
        "key_text" => Unlock::from_text(text()).is_ok(),
        "file_records" => decode_part(data).is_ok(),
        "log_part" => {
            LogPart::parse(data).is_ok()
                || Note::parse(data).is_ok()
                || Endorsement::parse(data).is_ok()
                || VerifierKey::parse(text()).is_ok()
        }
        "object_name" => ObjectName::new(text()).is_ok(),
        "pack_end" => blobs(PackKind::Data) || blobs(PackKind::Meta),
        "pin" => Pin::parse(text()).is_ok(),
        "policy" => PolicyRecord::decode_content(data).is_ok(),
        "sealed" => {
            let kinds = [(ObjectKind::DatasetRoot, false), (ObjectKind::Session, true), (ObjectKind::Segment, false)];
            let mut kinds = kinds.into_iter().chain([(ObjectKind::Cell, true)]);
            let opens = kinds.any(|(kind, signed)| sealed::decode(data, kind, &place, &[&keys.index], signed).is_ok());
            let master = fixtures::master();
            let of_sites = DeclarationRecord::decode(data, &place.repository, &master).is_ok()
                || PolicyRecord::decode(data, &place.repository, &master).is_ok();
            opens || of_sites || sealed::unpad(data, "message").is_ok()
        }
        "segment" => segment::decode_content(data).is_ok(),
        "session" => Session::decode_content(data).is_ok(),
        "tree" => {
            let (references, entries) = data[2..].split_at(usize::from(u16::from_le_bytes([data[0], data[1]])));
            tree::decode(references, entries).is_ok()
        }
        "tree_references" => tree::decode_references(data).is_ok(),
        other => panic!("no decoder of {other}"),
    }
}

fn folder(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target)
}

/// What differs between the seeds and the committed files.
fn differences(target: &str, seeds: &[Seed], folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for (name, bytes, _) in seeds {
        match std::fs::read(folder.join(format!("seed-{name}"))) {
            Ok(committed) if committed == *bytes => {}
            Ok(_) => found.push(format!("{target}/seed-{name} differs")),
            Err(error) => found.push(format!("{target}/seed-{name}: {error}")),
        }
    }
    for file in std::fs::read_dir(folder).into_iter().flatten() {
        let file = file.unwrap().file_name().into_string().unwrap();
        if file.strip_prefix("seed-").is_some_and(|name| !seeds.iter().any(|(known, ..)| *known == name)) {
            found.push(format!("{target}/{file}: no such seed"));
        }
    }
    found
}

#[test]
fn committed_seeds_are_what_the_code_writes() {
    let all = seeds();
    assert!(
        ENTRIES.iter().map(|(name, _)| *name).eq(all.keys().copied()),
        "a target without seeds, or seeds without one"
    );
    #[allow(clippy::disallowed_methods, reason = "how seeds are written anew")]
    let write = std::env::var_os("CAIRN_WRITE_SEEDS").is_some();
    let mut found = Vec::new();
    for (target, seeds) in &all {
        assert!((3..=10).contains(&seeds.len()), "{} seeds of {target}", seeds.len());
        for (name, bytes, _) in seeds.iter().filter(|_| write) {
            std::fs::create_dir_all(folder(target)).unwrap();
            std::fs::write(folder(target).join(format!("seed-{name}")), bytes).unwrap();
        }
        found.extend(differences(target, seeds, &folder(target)));
    }
    println!("counts: fuzz seeds: {} files of {} targets", all.values().map(Vec::len).sum::<usize>(), all.len());
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn seeds_are_what_they_say_and_pass_their_targets() {
    let all = seeds();
    for (target, run) in ENTRIES {
        for (name, bytes, good) in &all[target] {
            assert_eq!(accepts(target, bytes), *good, "{target}/seed-{name}");
            run(bytes);
        }
    }
}

#[test]
fn a_difference_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let seeds = [good("a", "a"), good("b", "b"), good("c", "c")];
    std::fs::write(folder.path().join("seed-a"), "a").unwrap();
    std::fs::write(folder.path().join("seed-b"), "other").unwrap();
    std::fs::write(folder.path().join("seed-old"), "").unwrap();
    std::fs::write(folder.path().join("found-by-the-fuzzer"), "").unwrap();
    assert_eq!(differences("t", &seeds, folder.path()).len(), 3);
}
