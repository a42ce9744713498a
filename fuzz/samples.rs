//! One value of everything that is stored, with every field and variant in use: what seeds and damage tests start from.

use super::fixtures::{keys, master, place, root, unlock};
use cairn::chunker::ChunkerParams;
use cairn::clock::Timestamp;
use cairn::crypto::random::Randomness;
use cairn::crypto::secret::Secret;
use cairn::crypto::sign::Identity;
use cairn::format::cell::{self, CellEntries, CellKeys, CellReferences, Failure, Outcome, Statistics};
use cairn::format::config::Config;
use cairn::format::declaration::{DeclarationRecord, SignedDeclaration};
use cairn::format::envelope::{self, NewEnvelope};
use cairn::format::forget::ForgetRecord;
use cairn::format::key_slot::{self, SlotNotes};
use cairn::format::node::{Body, Content, Metadata, Node, Owner, Xattr};
use cairn::format::pack::{self, BlobEntry, ChunkEntry, PackKind, Trailer};
use cairn::format::policy::PolicyRecord;
use cairn::format::segment::{PackEntry, SegmentBuilder};
use cairn::format::session::Session;
use cairn::format::tree::{self, EncodedTree, Page};
use cairn::format::{dataset_root, wire::Result};
use cairn::id::{ChunkId, IndexKey, LogId, PackId, SegmentId, SessionId, SlotId, TreeId};
use cairn::journal::Anchor;
use cairn::residency::{Addressing, Check, Declaration, Exception, Origin, Pin, Policy, Province};
use std::sync::Arc;

/// The host that signs.
pub fn identity() -> Identity {
    Identity::from_seed(&Secret::new([0x55; 32]))
}

/// A moment.
pub fn time() -> Timestamp {
    Timestamp { seconds: 1_700_000_000, nanoseconds: 123_456_789 }
}

fn chunk_id(byte: u8) -> ChunkId {
    ChunkId::from_bytes([byte; 32])
}

fn tree_id(byte: u8) -> TreeId {
    TreeId::from_bytes([byte; 32])
}

fn session_id() -> SessionId {
    SessionId::from_bytes([0x77; 16])
}

/// A directory with an entry of every type and body, owners that alternate, a hard link and extended attributes.
pub fn nodes() -> Vec<Node> {
    let file = |size, body| Content::File { size, sparse: false, inconsistent: false, body };
    let contents = [
        ("a-block", Content::BlockDevice { major: 8, minor: 1 }),
        ("a-char", Content::CharDevice { major: 1, minor: 300 }),
        ("dir", Content::Directory { tree: tree_id(1) }),
        ("fifo", Content::Fifo),
        ("file", file(5, Body::Inline(b"hello".to_vec()))),
        ("file.chunks", file(200_000, Body::Chunks(vec![chunk_id(2), chunk_id(3)]))),
        ("file.empty", file(0, Body::Chunks(Vec::new()))),
        (
            "file.lists",
            Content::File { size: 1 << 40, sparse: true, inconsistent: true, body: Body::Lists(vec![tree_id(4)]) },
        ),
        ("link", Content::Symlink { target: b"../elsewhere".to_vec() }),
        ("socket", Content::Socket),
    ];
    let owners = [("root", 0), ("", 1000)]
        .map(|(name, number)| Arc::new(Owner { uid: number, gid: number, user: name.into(), group: name.into() }));
    let node = |(index, (name, content)): (usize, (&str, Content))| Node {
        name: name.into(),
        metadata: Metadata {
            mode: 0o4755,
            owner: Arc::clone(&owners[index / 2 % 2]),
            mtime: Timestamp { seconds: time().seconds - 1000 * index as i64, ..time() },
            ctime: time(),
            inode: 1_000_000 + index as u64,
            device: if name == "file" { 2049 } else { 0 },
            links: if name == "file" { 2 } else { 1 },
            btime: (index % 2 == 0).then(|| Timestamp { seconds: time().seconds - 5, nanoseconds: 1 }),
            inode_flags: if name == "dir" || name == "file.lists" { 0x50 } else { 0 },
            xattrs: match name {
                "dir" => [("user.a", "1"), ("user.b", "")]
                    .map(|(name, value)| Xattr { name: name.into(), value: value.into() })
                    .to_vec(),
                _ => Vec::new(),
            },
        },
        content,
    };
    contents.into_iter().enumerate().map(node).collect()
}

/// A leaf, the pages of a large directory, and a list, encoded.
pub fn trees() -> Result<[EncodedTree; 3]> {
    let pages =
        [("a", 1), ("b", 2), ("bb", 3)].map(|(name, byte)| Page { first_name: name.into(), tree: tree_id(byte) });
    Ok([tree::encode_leaf(&nodes())?, tree::encode_pages(&pages)?, tree::encode_list(&[chunk_id(1), chunk_id(2)])?])
}

/// The blobs of a pack of this kind.
pub fn blobs(kind: PackKind) -> Vec<BlobEntry> {
    let parts = |one, two| [one, if kind == PackKind::Meta { two } else { 0 }];
    let chunk = |byte, len| ChunkEntry { key: IndexKey::from_bytes([byte; 16]), lens: parts(len, len * 3) };
    vec![
        BlobEntry { number: 0, stored: parts(300, 17), chunks: vec![chunk(1, 200), chunk(2, 70_000)] },
        BlobEntry { number: 2, stored: parts(65_600, 200), chunks: vec![chunk(3, 65_536)] },
    ]
}

/// The packs of a segment.
pub fn packs() -> Vec<PackEntry> {
    let pack = |byte, kind| {
        let id = PackId::from_bytes([byte; 32]);
        PackEntry { id, kind, size: 98_304, header_len: 212, blobs: blobs(kind) }
    };
    vec![pack(1, PackKind::Data), pack(2, PackKind::Meta)]
}

/// A segment that is not sealed yet.
pub fn segment() -> SegmentBuilder {
    let mut builder = SegmentBuilder::default();
    packs().iter().for_each(|pack| builder.push(pack));
    builder
}

/// A session.
pub fn session() -> Session {
    Session { id: session_id(), host: identity().host_key(), host_name: b"host.example".to_vec(), started: time() }
}

/// A forget record.
pub fn forget() -> ForgetRecord {
    ForgetRecord {
        session: session_id(),
        host: identity().host_key(),
        host_name: b"host.example".to_vec(),
        time: time(),
        reason: b"keep-daily 7".to_vec(),
    }
}

/// Section 0 of a cell.
pub fn cell_references() -> CellReferences {
    CellReferences {
        outcome: Outcome::Snapshot,
        session: session_id(),
        host: identity().host_key(),
        counter: 300,
        previous: [5; 32],
        parent: Some(SessionId::from_bytes([6; 16])),
        tree: tree_id(7),
        segments: vec![SegmentId::from_bytes([8; 32]), SegmentId::from_bytes([9; 32])],
        log: Some(Anchor { log: LogId::from_bytes([10; 16]), size: 300, root: [11; 32] }),
    }
}

/// Section 1 of a cell.
pub fn cell_entries() -> CellEntries {
    let list = |items: &[&str]| items.iter().map(|item| item.as_bytes().to_vec()).collect();
    CellEntries {
        time: time(),
        started: time(),
        ended: Timestamp { seconds: time().seconds + 60, nanoseconds: 0 },
        host_name: b"host.example".to_vec(),
        user_name: b"root".to_vec(),
        program_version: b"cairn 0.1.0".to_vec(),
        purpose: b"nightly".to_vec(),
        paths: list(&["/etc", "/home"]),
        tags: list(&["weekly"]),
        excludes: list(&["*.tmp", ""]),
        statistics: Statistics::from_array(std::array::from_fn(|index| 1 << (3 * index))),
        failures: vec![Failure { path: b"/etc/shadow".to_vec(), message: b"permission denied".to_vec() }],
    }
}

/// A configuration.
pub fn config() -> Config {
    Config {
        repository: place().repository,
        dataset: place().dataset,
        epoch: place().epoch,
        created: time(),
        chunker: ChunkerParams::default(),
        pin: Pin::Provinces(vec!["ON", "QC"]),
    }
}

/// What is said of a site.
pub fn site() -> Declaration {
    Declaration {
        name: "garage-1".into(),
        origin: Origin::parse("https://s3.backup.example:3900").expect("an origin"),
        signing_region: "ca-central-1".into(),
        addressing: Addressing::Path,
        operator: "Coopérative d'hébergement".into(),
        jurisdiction: "CA".into(),
        us_parent: Some(false),
        address: "1234, rue Sainte-Catherine Est".into(),
        city: "Montréal".into(),
        province: Province::parse("QC").expect("a province"),
        replicates_to: "none".into(),
        ca_pem: "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".into(),
        declared: time(),
        signed_by: "A. Tremblay".into(),
    }
}

/// A declaration.
pub fn declaration() -> DeclarationRecord {
    let signed = SignedDeclaration::sign(site(), &identity()).expect("a declaration within its limits");
    DeclarationRecord { number: 3, host: identity().host_key(), signed }
}

/// A policy.
pub fn policy() -> PolicyRecord {
    let (site, reason) = ("aws:ca-central-1".into(), "the key may not read the logging target".into());
    let exception = Exception { site, check: Check::Logging, reason, signed_by: "B. Roy".into(), expires: time() };
    PolicyRecord {
        number: 2,
        host: identity().host_key(),
        made: time(),
        widened_by: "A. Tremblay".into(),
        policy: Policy { pin: Pin::Canada, deny_us_parent: true, exceptions: vec![exception] },
    }
}

/// What is said about the slot.
pub fn notes() -> SlotNotes {
    let (holder, purpose, host) = ("root@host".into(), "nightly".into(), "host".into());
    SlotNotes { holder, purpose, host, created: time(), expires: Some(time()) }
}

/// The slot that [`unlock`] opens, as stored.
pub fn slot_object(random: &dyn Randomness) -> Result<Vec<u8>> {
    let id = SlotId::from_bytes([9; 16]);
    key_slot::encode(&place().repository, id, &unlock(), &master(), &[&root()], &notes(), random)
}

/// The dataset's root, as stored.
pub fn root_object(random: &dyn Randomness) -> Result<Vec<u8>> {
    dataset_root::encode(&place().repository, &root(), &master(), random)
}

/// The session, as stored.
pub fn session_object(random: &dyn Randomness) -> Result<Vec<u8>> {
    session().encode(&place(), &keys().index, &identity(), random)
}

/// The forget record, as stored.
pub fn forget_object(random: &dyn Randomness) -> Result<Vec<u8>> {
    forget().encode(&place(), &keys().index, &identity(), random)
}

/// The declaration, as stored.
pub fn declaration_object(random: &dyn Randomness) -> Result<Vec<u8>> {
    declaration().encode(&place().repository, &master(), &identity(), random)
}

/// The policy, as stored.
pub fn policy_object(random: &dyn Randomness) -> Result<Vec<u8>> {
    policy().encode(&place().repository, &master(), &identity(), random)
}

/// The segment, as stored.
pub fn segment_object(random: &dyn Randomness) -> Result<Vec<u8>> {
    segment().encode(&place(), &keys().index, random)
}

/// The cell, as stored.
pub fn cell_object(random: &dyn Randomness) -> Result<Vec<u8>> {
    let keys = keys();
    let keys = CellKeys { references: &keys.references, entries: &keys.entries };
    cell::encode(&cell_references(), &cell_entries(), &place(), keys, &identity(), random)
}

/// The header of a pack.
pub fn pack_header(kind: PackKind, random: &dyn Randomness) -> Result<NewEnvelope> {
    let keys = keys();
    let recipients: &[&[_]] = match kind {
        PackKind::Data => &[&[&keys.index], &[&keys.data]],
        PackKind::Meta => &[&[&keys.index], &[&keys.references], &[&keys.entries]],
    };
    envelope::create(kind.object_kind(), &place(), recipients, random)
}

/// What a pack says of itself.
pub fn trailer(kind: PackKind) -> Trailer {
    Trailer { session: session_id(), host: identity().host_key(), blobs: blobs(kind) }
}

/// A pack whose blobs are zeros, as stored.
pub fn pack_object(kind: PackKind, random: &dyn Randomness) -> Result<Vec<u8>> {
    let NewEnvelope { header: mut bytes, sealer } = pack_header(kind, random)?;
    bytes.resize(bytes.len() + blobs(kind).iter().map(|blob| blob.stored_len() as usize).sum::<usize>(), 0);
    let end = pack::encode_end(kind, &sealer, bytes.len() as u64, &trailer(kind), random)?;
    bytes.extend_from_slice(&end);
    let signature = identity().sign(&cairn::crypto::hash::stored(&bytes));
    bytes.extend_from_slice(&signature);
    Ok(bytes)
}
