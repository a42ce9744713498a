//! Random values of everything that is stored, within the limits of the format.

use cairn::chunker::ChunkerParams;
use cairn::clock::Timestamp;
use cairn::format::cell::{CellEntries, CellReferences, Failure, Outcome, Statistics};
use cairn::format::config::Config;
use cairn::format::declaration::{DeclarationRecord, SignedDeclaration};
use cairn::format::forget::ForgetRecord;
use cairn::format::key_slot::SlotNotes;
use cairn::format::node::{Body, Content, INODE_FLAGS_KEPT, Metadata, Node, Owner, Xattr, is_entry_name};
use cairn::format::pack::{BlobEntry, ChunkEntry, PackKind};
use cairn::format::policy::PolicyRecord;
use cairn::format::segment::PackEntry;
use cairn::format::session::Session;
use cairn::format::tree::Page;
use cairn::id::{ChunkId, DatasetId, HostKey, IndexKey, LogId, PackId, RepositoryId, SegmentId, SessionId, TreeId};
use cairn::journal::Anchor;
use cairn::residency::{Addressing, Check, Declaration, Exception, Origin, Pin, Policy, Province};
use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use std::sync::Arc;

/// Numbers of every magnitude, the ends included.
pub(crate) fn number() -> impl Strategy<Value = u64> {
    prop_oneof![0..4_u64, any::<u64>(), (0..64_u32).prop_map(|bits| u64::MAX >> bits), Just(u64::MAX)]
}

fn number32() -> impl Strategy<Value = u32> {
    prop_oneof![0..4_u32, any::<u32>(), (0..32_u32).prop_map(|bits| u32::MAX >> bits)]
}

pub(crate) fn time() -> impl Strategy<Value = Timestamp> {
    let seconds =
        prop_oneof![1_600_000_000..1_800_000_000_i64, -2..3_i64, any::<i64>(), Just(i64::MIN), Just(i64::MAX)];
    let nanoseconds = prop_oneof![Just(0), 0..1_000_000_000_u32, Just(999_999_999)];
    (seconds, nanoseconds).prop_map(|(seconds, nanoseconds)| Timestamp { seconds, nanoseconds })
}

fn tree_id() -> impl Strategy<Value = TreeId> {
    any::<[u8; 32]>().prop_map(TreeId::from_bytes)
}

fn chunk_id() -> impl Strategy<Value = ChunkId> {
    any::<[u8; 32]>().prop_map(ChunkId::from_bytes)
}

fn session_id() -> impl Strategy<Value = SessionId> {
    any::<[u8; 16]>().prop_map(SessionId::from_bytes)
}

fn text(most: usize) -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..=most)
}

/// Names that share beginnings often, from a small alphabet; now and then of any bytes and of the greatest length.
pub(crate) fn name() -> impl Strategy<Value = Vec<u8>> {
    let small = vec(prop_oneof![Just(b'a'), Just(b'b'), Just(b'.'), Just(0xff_u8)], 1..6);
    prop_oneof![8 => small, 1 => vec(1_u8.., 1..20), 1 => vec(Just(b'x'), 255)]
        .prop_filter("an entry name", |name| is_entry_name(name))
}

fn owner() -> impl Strategy<Value = Arc<Owner>> {
    // Few, so that entries share them; names up to the greatest length.
    let name = prop_oneof![Just(Vec::new()), Just(b"user".to_vec()), vec(any::<u8>(), 255..=256)];
    let number = prop_oneof![0..3_u32, any::<u32>()];
    (number.clone(), number, name.clone(), name)
        .prop_map(|(uid, gid, user, group)| Arc::new(Owner { uid, gid, user, group }))
}

fn xattrs() -> impl Strategy<Value = Vec<Xattr>> {
    let name = prop_oneof![vec(1_u8.., 1..5), vec(Just(b'x'), 255)];
    prop_oneof![
        3 => Just(Vec::new()),
        1 => btree_map(name, vec(any::<u8>(), 0..20), 1..4)
            .prop_map(|map| map.into_iter().map(|(name, value)| Xattr { name, value }).collect()),
    ]
}

fn content() -> impl Strategy<Value = Content> {
    let inline = vec(any::<u8>(), 0..20).prop_map(|bytes| (bytes.len() as u64, Body::Inline(bytes)));
    let chunks = (number(), vec(chunk_id(), 0..4).prop_map(Body::Chunks));
    let lists = (number(), vec(tree_id(), 0..4).prop_map(Body::Lists));
    let body = prop_oneof![inline, chunks, lists];
    prop_oneof![
        5 => (body, any::<bool>(), any::<bool>())
            .prop_map(|((size, body), sparse, inconsistent)| Content::File { size, sparse, inconsistent, body }),
        2 => tree_id().prop_map(|tree| Content::Directory { tree }),
        1 => text(10).prop_map(|target| Content::Symlink { target }),
        1 => Just(Content::Fifo),
        1 => (number32(), number32()).prop_map(|(major, minor)| Content::CharDevice { major, minor }),
        1 => (number32(), number32()).prop_map(|(major, minor)| Content::BlockDevice { major, minor }),
        1 => Just(Content::Socket),
    ]
}

fn metadata() -> impl Strategy<Value = Metadata> {
    let links = prop_oneof![3 => Just((1, 0)), 1 => (2_u32.., number())];
    let inode_flags = prop_oneof![3 => Just(0), 1 => any::<u32>().prop_map(|bits| bits & INODE_FLAGS_KEPT)];
    (0..0o10000_u32, owner(), (time(), time(), option::of(time())), number(), links, inode_flags, xattrs()).prop_map(
        |(mode, owner, (mtime, ctime, btime), inode, (links, device), inode_flags, xattrs)| Metadata {
            mode,
            owner,
            mtime,
            ctime,
            inode,
            device,
            links,
            btime,
            inode_flags,
            xattrs,
        },
    )
}

/// The entries of a directory.
pub(crate) fn nodes() -> impl Strategy<Value = Vec<Node>> {
    let node = |(name, (metadata, content))| {
        let mut node = Node { name, metadata, content };
        if node.is_directory() {
            (node.metadata.links, node.metadata.device) = (1, 0);
        } else if !matches!(node.content, Content::File { .. }) {
            node.metadata.inode_flags = 0;
        }
        node
    };
    btree_map(name(), (metadata(), content()), 0..8).prop_map(move |map| map.into_iter().map(node).collect())
}

/// The pages of a large directory.
pub(crate) fn pages() -> impl Strategy<Value = Vec<Page>> {
    btree_map(name(), tree_id(), 2..8)
        .prop_map(|map| map.into_iter().map(|(first_name, tree)| Page { first_name, tree }).collect())
}

/// Part of a long file's chunks.
pub(crate) fn list() -> impl Strategy<Value = Vec<ChunkId>> {
    vec(chunk_id(), 0..8)
}

pub(crate) fn pack_kind() -> impl Strategy<Value = PackKind> {
    prop_oneof![Just(PackKind::Data), Just(PackKind::Meta)]
}

/// The blobs of a pack of this kind.
pub(crate) fn blobs(kind: PackKind) -> impl Strategy<Value = Vec<BlobEntry>> {
    let parts = move |one: u32, two: u32| [one, if kind == PackKind::Meta { two } else { 0 }];
    let len = || prop_oneof![0..300_u32, 0..=5_592_405_u32];
    let chunk = (any::<[u8; 16]>(), len(), len())
        .prop_map(move |(key, one, two)| ChunkEntry { key: IndexKey::from_bytes(key), lens: parts(one, two) });
    let stored = || prop_oneof![17..400_u32, 17..=2_000_000_u32];
    let blob = (number32(), stored(), stored(), vec(chunk, 1..4)).prop_map(move |(number, one, two, chunks)| {
        BlobEntry { number: number.into(), stored: parts(one, two), chunks }
    });
    vec(blob, 0..5)
}

/// The packs of a segment.
pub(crate) fn packs() -> impl Strategy<Value = Vec<PackEntry>> {
    let pack = pack_kind().prop_flat_map(|kind| {
        (any::<[u8; 32]>(), 0..=65_535_u32, 0..1_000_000_u64, blobs(kind)).prop_map(
            move |(id, header_len, more, blobs)| {
                let size = u64::from(header_len) + blobs.iter().map(BlobEntry::stored_len).sum::<u64>() + more;
                PackEntry { id: PackId::from_bytes(id), kind, size, header_len, blobs }
            },
        )
    });
    vec(pack, 0..5)
}

pub(crate) fn session() -> impl Strategy<Value = Session> {
    (session_id(), any::<[u8; 32]>(), text(255), time()).prop_map(|(id, host, host_name, started)| Session {
        id,
        host: HostKey::from_bytes(host),
        host_name,
        started,
    })
}

pub(crate) fn forget() -> impl Strategy<Value = ForgetRecord> {
    (session_id(), any::<[u8; 32]>(), text(255), time(), text(1024)).prop_map(
        |(session, host, host_name, time, reason)| ForgetRecord {
            session,
            host: HostKey::from_bytes(host),
            host_name,
            time,
            reason,
        },
    )
}

pub(crate) fn config() -> impl Strategy<Value = Config> {
    let provinces = ["AB", "BC", "MB", "NB", "NL", "NS", "NT", "NU", "ON", "PE", "QC", "SK", "YT"];
    let some = btree_set(prop::sample::select(provinces.to_vec()), 1..=13);
    let pin = prop_oneof![Just(Pin::Canada), some.prop_map(|set| Pin::Provinces(set.into_iter().collect()))];
    let chunker = (12_u8..=22).prop_map(|log2| ChunkerParams::new(log2).expect("within the bounds"));
    (any::<[u8; 16]>(), any::<[u8; 16]>(), any::<u32>(), time(), chunker, pin).prop_map(
        |(repository, dataset, epoch, created, chunker, pin)| Config {
            repository: RepositoryId::from_bytes(repository),
            dataset: DatasetId::from_bytes(dataset),
            epoch,
            created,
            chunker,
            pin,
        },
    )
}

pub(crate) fn notes() -> impl Strategy<Value = SlotNotes> {
    let text = || prop_oneof!["[ -~]{0,12}", "\\PC{0,100}", Just("n".repeat(512))];
    (text(), text(), text(), time(), option::of(time()))
        .prop_map(|(holder, purpose, host, created, expires)| SlotNotes { holder, purpose, host, created, expires })
}

pub(crate) fn cell_references() -> impl Strategy<Value = CellReferences> {
    let outcome = prop_oneof![Just(Outcome::Snapshot), Just(Outcome::Checkpoint), Just(Outcome::Aborted)];
    let segments = vec(any::<[u8; 32]>().prop_map(SegmentId::from_bytes), 0..5);
    let (host, previous) = (any::<[u8; 32]>().prop_map(HostKey::from_bytes), any::<[u8; 32]>());
    let anchor = (any::<[u8; 16]>(), number(), any::<[u8; 32]>()).prop_map(|(log, size, root)| Anchor {
        log: LogId::from_bytes(log),
        size,
        root,
    });
    let log = option::of(anchor);
    (outcome, session_id(), host, number(), previous, option::of(session_id()), tree_id(), segments, log).prop_map(
        |(outcome, session, host, counter, previous, parent, tree, segments, log)| CellReferences {
            outcome,
            session,
            host,
            counter,
            previous,
            parent,
            tree,
            segments,
            log,
        },
    )
}

pub(crate) fn cell_entries() -> impl Strategy<Value = CellEntries> {
    let list = || vec(text(20), 0..4);
    let failures = vec((text(20), text(20)).prop_map(|(path, message)| Failure { path, message }), 0..3);
    let statistics = prop::array::uniform17(number()).prop_map(Statistics::from_array);
    (
        (time(), time(), time()),
        (text(255), text(20), text(20), text(20)),
        (list(), list(), list()),
        statistics,
        failures,
    )
        .prop_map(|((time, started, ended), names, (paths, tags, excludes), statistics, failures)| CellEntries {
            time,
            started,
            ended,
            host_name: names.0,
            user_name: names.1,
            program_version: names.2,
            purpose: names.3,
            paths,
            tags,
            excludes,
            statistics,
            failures,
        })
}

/// One line of text, now and then the longest.
fn line() -> impl Strategy<Value = String> {
    prop_oneof![8 => "[ -~éÉ]{0,20}", 1 => Just("x".repeat(1024))]
}

/// A declaration; its signature is of any bytes, since it is not looked at where contents are decoded.
pub(crate) fn declaration() -> impl Strategy<Value = DeclarationRecord> {
    let province = prop::sample::select(vec!["AB", "ON", "QC", "YT"]);
    let origin =
        prop::sample::select(vec!["https://s3.example.ca", "https://s3.example.ca:8443", "http://192.0.2.1:3900"]);
    let texts = (line(), line(), line(), line(), line(), line(), line());
    let choices = (any::<bool>(), option::of(any::<bool>()), origin, province, "[ -~\n]{0,40}");
    let keys = (any::<[u8; 32]>(), any::<[u8; 32]>(), any::<[u8; 64]>());
    ("[a-z][a-z0-9-]{0,62}", texts, choices, keys, time(), 1..=u32::MAX).prop_map(
        |(name, texts, (path, us_parent, origin, province, ca_pem), (host, declarer, signature), declared, number)| {
            let declaration = Declaration {
                name,
                origin: Origin::parse(origin).expect("an origin"),
                signing_region: texts.0,
                addressing: if path { Addressing::Path } else { Addressing::VirtualHost },
                operator: texts.1,
                jurisdiction: texts.2,
                us_parent,
                address: texts.3,
                city: texts.4,
                province: Province::parse(province).expect("a province"),
                replicates_to: texts.5,
                ca_pem,
                declared,
                signed_by: texts.6,
            };
            let signed = SignedDeclaration { declaration, host: HostKey::from_bytes(declarer), signature };
            DeclarationRecord { number, host: HostKey::from_bytes(host), signed }
        },
    )
}

/// A policy.
pub(crate) fn policy() -> impl Strategy<Value = PolicyRecord> {
    let exception = (line(), prop::sample::select(Check::ALL.to_vec()), line(), line(), time())
        .prop_map(|(site, check, reason, signed_by, expires)| Exception { site, check, reason, signed_by, expires });
    let pin = prop_oneof![
        Just(Pin::Canada),
        prop::sample::subsequence(vec!["AB", "NL", "ON", "QC"], 1..=4)
            .prop_map(|places| Pin::parse(&places.join(",")).expect("provinces")),
    ];
    let policy = (pin, any::<bool>(), vec(exception, 0..4)).prop_map(|(pin, deny_us_parent, exceptions)| Policy {
        pin,
        deny_us_parent,
        exceptions,
    });
    (1..=u32::MAX, any::<[u8; 32]>(), time(), line(), policy).prop_map(|(number, host, made, widened_by, policy)| {
        PolicyRecord { number, host: HostKey::from_bytes(host), made, widened_by, policy }
    })
}
