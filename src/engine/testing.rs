//! For the unit tests of operations: a repository in memory, and trees put into it by hand, honest or not.
#![allow(clippy::unwrap_used, reason = "tests")]

use crate::chunker::ChunkerParams;
use crate::clock::{Clock, SystemClock, Timestamp};
use crate::codec::{Compressor, Level};
use crate::crypto::random::{OsRandom, Randomness, SeededRandom};
use crate::crypto::secret::Secret;
use crate::crypto::sign::Identity;
use crate::engine::Context;
use crate::engine::backup::{self, BackupOptions, BackupReport};
use crate::engine::browse::{Snapshot, Snapshots};
use crate::format::cell::{CellEntries, Outcome, Statistics};
use crate::format::key_slot::{SlotNotes, Unlock};
use crate::format::node::{Body, Content, Metadata, Node, Owner};
use crate::format::pack::{ChunkEntry, PackKind};
use crate::format::tree::{self, EncodedTree};
use crate::id::{ChunkId, TreeId};
use crate::journal::Unrecorded;
use crate::progress::{EventSink, Silent};
use crate::repository::open::{self, NewRepository};
use crate::repository::pack_writer::{PackSize, PackWriter};
use crate::repository::publisher::Publisher;
use crate::repository::session::{Commit, OpenSession};
use crate::repository::{Access, Repository, RepositoryError};
use crate::storage::MemoryStorage;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

fn unlock() -> Unlock {
    Unlock::KeyFile(Secret::new([7; 32]))
}

fn identity() -> Arc<Identity> {
    Arc::new(Identity::from_seed(&Secret::new([9; 32])))
}

fn access(storage: &MemoryStorage) -> Access {
    let storage = Arc::new(storage.clone());
    Access { fetch: storage.clone(), publish: Some(storage) }
}

fn context(repository: Repository, workers: usize) -> Context {
    Context {
        repository: Arc::new(repository),
        sink: Arc::new(Silent),
        journal: Arc::new(Unrecorded),
        clock: Arc::new(SystemClock::new()),
        stop: Arc::default(),
        workers,
        memory_bytes: 64 << 20,
    }
}

/// A new repository with chunks of 4 KiB on average.
pub(in crate::engine) fn create(storage: &MemoryStorage, workers: usize) -> Context {
    let notes = SlotNotes {
        holder: "tests".into(),
        purpose: String::new(),
        host: String::new(),
        created: Timestamp::EPOCH,
        expires: None,
    };
    let new = NewRepository {
        chunker: ChunkerParams::new(12).unwrap(),
        pin: crate::residency::place::Pin::Canada,
        slots: vec![(unlock(), notes)],
    };
    let clock = SystemClock::new();
    context(open::create(access(storage), &new, Arc::new(SeededRandom::new(1)), &clock).unwrap(), workers)
}

/// Opens it again.
pub(in crate::engine) fn reopen(storage: &MemoryStorage, workers: usize) -> Context {
    try_reopen(storage, workers).unwrap()
}

/// Opens it again, if it can be.
pub(in crate::engine) fn try_reopen(storage: &MemoryStorage, workers: usize) -> Result<Context, RepositoryError> {
    open_with(access(storage), workers)
}

/// Opens it through a store of the caller's.
pub(in crate::engine) fn open_with(access: Access, workers: usize) -> Result<Context, RepositoryError> {
    // Not the stream that made it: session ids have to differ.
    let seed = u64::from_le_bytes(<dyn Randomness>::bytes(&OsRandom).unwrap());
    Ok(context(open::open(access, &unlock(), None, Arc::new(SeededRandom::new(seed)))?, workers))
}

/// Small packs, so that there are several.
const PACK_SIZE: PackSize = PackSize { from: 48 << 10, to: 64 << 10 };

/// Backs up.
pub(in crate::engine) fn back_up(cx: &Context, source: &Path) -> BackupReport {
    backup::run(cx, &options(source)).unwrap()
}

/// What a backup of this directory is told.
pub(in crate::engine) fn options(source: &Path) -> BackupOptions {
    BackupOptions {
        sources: vec![source.to_path_buf()].into(),
        excludes: crate::fs::ExcludeOptions::default(),
        one_file_system: false,
        compression: Level::default(),
        host_name: "host".into(),
        user_name: "user".into(),
        tags: Vec::new(),
        time: None,
        purpose: String::new(),
        program_version: "test".into(),
        identity: identity(),
        parent: None,
        force: false,
        ignore_ctime: false,
        ignore_inode: false,
        dry_run: false,
        skip_if_unchanged: false,
        allow_empty_source: false,
        checkpoint_every: Duration::from_secs(3600),
        pack_sizes: Some([PACK_SIZE, PACK_SIZE]),
    }
}

/// The newest snapshot.
pub(in crate::engine) fn last_snapshot(cx: &Context) -> Snapshot {
    Snapshots::load(&cx.repository).unwrap().all().last().unwrap().clone()
}

/// Puts a snapshot into a repository piece by piece.
pub(in crate::engine) struct Builder {
    cx: Context,
    session: OpenSession,
    publisher: Arc<Publisher>,
    data: PackWriter,
    meta: PackWriter,
    compressor: Compressor,
}

impl Builder {
    pub(in crate::engine) fn new(cx: &Context) -> Self {
        let (repository, clock): (_, Arc<dyn Clock>) = (&cx.repository, Arc::clone(&cx.clock));
        let session = OpenSession::begin(repository, &identity(), b"host", &*clock, false).unwrap();
        let sink: Arc<dyn EventSink> = Arc::new(Silent);
        let publisher = Arc::new(Publisher::new(Arc::clone(repository), sink, false, &[]).unwrap());
        let writer = |kind| {
            PackWriter::new(Arc::clone(repository), identity(), Arc::clone(&publisher), kind, session.id, PACK_SIZE)
        };
        let (data, meta) = (writer(PackKind::Data), writer(PackKind::Meta));
        Self { cx: cx.clone(), session, publisher, data, meta, compressor: Compressor::new(Level::Off).unwrap() }
    }

    /// Stores chunks in one blob.
    pub(in crate::engine) fn blob(&mut self, chunks: &[&[u8]]) -> Vec<ChunkId> {
        let hasher = &self.cx.repository.keys().hasher;
        let ids: Vec<_> = chunks.iter().map(|chunk| hasher.chunk(chunk)).collect();
        let entries = ids.iter().zip(chunks).map(|(id, c)| ChunkEntry { key: id.key(), lens: [c.len() as u32, 0] });
        let mut packed = Vec::new();
        self.compressor.compress(&chunks.concat(), &mut packed).unwrap();
        self.data.write(&mut [&mut packed], entries.collect(), false).unwrap();
        ids
    }

    /// Stores a tree or list.
    pub(in crate::engine) fn encoded(&mut self, tree: &EncodedTree) -> TreeId {
        let id = self.cx.repository.keys().hasher.tree(&tree.references, &tree.entries);
        let lens = [tree.references.len() as u32, tree.entries.len() as u32];
        let (mut references, mut entries) = (Vec::new(), Vec::new());
        self.compressor.compress(&tree.references, &mut references).unwrap();
        self.compressor.compress(&tree.entries, &mut entries).unwrap();
        let entry = ChunkEntry { key: id.key(), lens };
        self.meta.write(&mut [&mut references, &mut entries], vec![entry], false).unwrap();
        id
    }

    /// Stores a directory.
    pub(in crate::engine) fn leaf(&mut self, nodes: &[Node]) -> TreeId {
        self.encoded(&tree::encode_leaf(nodes).unwrap())
    }

    /// Commits a snapshot with this root.
    pub(in crate::engine) fn commit(self, tree: TreeId) -> Snapshot {
        self.data.flush().unwrap();
        self.meta.flush().unwrap();
        let published = self.publisher.finish().unwrap();
        let now = self.cx.clock.now();
        let entries = CellEntries {
            time: now,
            started: now,
            ended: now,
            host_name: b"host".to_vec(),
            user_name: Vec::new(),
            program_version: Vec::new(),
            purpose: Vec::new(),
            paths: vec![b"/".to_vec()],
            tags: Vec::new(),
            excludes: Vec::new(),
            statistics: Statistics::default(),
            failures: Vec::new(),
        };
        let (outcome, segments) = (Outcome::Snapshot, published.segments);
        self.session.commit(&Commit { outcome, tree, parent: None, segments, entries, log: None }).unwrap();
        let id = self.session.id;
        Snapshots::load(&self.cx.repository).unwrap().all().iter().find(|s| s.id == id).unwrap().clone()
    }
}

/// An entry that belongs to whoever runs the tests.
pub(in crate::engine) fn node(name: &str, content: Content) -> Node {
    let owner = Owner {
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
        user: Vec::new(),
        group: Vec::new(),
    };
    let time = Timestamp { seconds: 1_000_000_000, nanoseconds: 5 };
    let mode = if matches!(content, Content::Directory { .. }) { 0o755 } else { 0o644 };
    let metadata = Metadata {
        mode,
        owner: Arc::new(owner),
        mtime: time,
        ctime: time,
        inode: 1,
        device: 0,
        links: 1,
        btime: None,
        inode_flags: 0,
        xattrs: Vec::new(),
    };
    Node { name: name.into(), metadata, content }
}

/// A regular file.
pub(in crate::engine) fn file(name: &str, size: u64, body: Body) -> Node {
    node(name, Content::File { size, sparse: false, inconsistent: false, body })
}
