//! A mount as a whole: made of snapshots and a number of bytes of memory.

use crate::engine::browse::{Found, Snapshot, SnapshotTree};
use crate::engine::context::{EngineError, Result};
use crate::engine::mount::blobs::Blobs;
use crate::engine::mount::content::Contents;
use crate::engine::mount::files::{AHEAD_MAX, Files};
use crate::engine::mount::inodes::{ENTRY_BYTES, Inodes};
use crate::engine::mount::layout::{Layout, Top};
use crate::engine::mount::names::Names;
use crate::engine::mount::reads::Reads;
use crate::engine::mount::report::Report;
use crate::engine::mount::trees::Trees;
use crate::journal::Journal;
use crate::progress::EventSink;
use crate::repository::pack_reader::{PackReader, ReadBuffers};
use std::sync::{Arc, Mutex};

/// What a thread's buffers take at least: blobs of up to 1 MiB, sealed and expanded.
const THREAD_BYTES: u64 = 4 << 20;
/// Fewest reading threads: one that somebody waits for, and one that reads ahead.
const THREADS_MIN: u64 = 2;
/// What a blob of small chunks has, about.
const BLOB_BYTES: u64 = 1 << 20;
/// Entries of the table of inodes that there is always room for.
const INODES_MIN: u64 = 1024;

/// What to mount, and with what.
#[derive(Debug)]
pub struct MountOptions {
    /// Reads the packs.
    pub reader: Arc<PackReader>,
    /// The snapshots, by time.
    pub snapshots: Vec<Snapshot>,
    /// Show this directory of the first of them, and nothing else; empty for its root.
    pub path: Option<Vec<u8>>,
    /// User and group number of whoever mounts: owner of the directories above the snapshots.
    pub owner: (u32, u32),
    /// The record of what is opened.
    pub journal: Arc<dyn Journal>,
    /// Where it is said what cannot be read.
    pub sink: Arc<dyn EventSink>,
    /// Bytes that caches, tables and buffers may take.
    pub memory_bytes: u64,
    /// Threads that read contents, at most; 0 has everybody read for himself.
    pub threads: usize,
}

/// A file system of snapshots.
#[derive(Debug)]
pub struct MountView {
    names: Arc<Names>,
    files: Files,
}

impl MountView {
    /// Makes one.
    ///
    /// # Errors
    /// [`EngineError::NoPath`], [`EngineError::NoSnapshot`]; [`EngineError::Setting`] if the path is no directory; damage on
    /// the way to it; no memory for buffers.
    pub fn new(options: MountOptions) -> Result<Self> {
        let MountOptions { reader, snapshots, path, owner, journal, sink, memory_bytes, threads } = options;
        let layout = match &path {
            Some(path) => Layout::of_top(top(&reader, snapshots.first(), path)?),
            None => Layout::of_snapshots(&snapshots),
        };
        let share = memory_bytes / 16;
        let inodes_max = (2 * share / ENTRY_BYTES).max(INODES_MIN);
        let names = Arc::new(Names {
            layout,
            inodes: Inodes::new(usize::try_from(inodes_max).unwrap_or(usize::MAX)),
            trees: Trees::new(Arc::clone(&reader), 4 * share),
            report: Report::new(sink, journal),
            owner,
            buffers: Mutex::default(),
        });
        let chunk_bytes = reader.repository().config().chunker.maximum() as u64;
        let fitting = (2 * share / THREAD_BYTES.max(3 * chunk_bytes)).max(THREADS_MIN);
        let threads = threads.min(usize::try_from(fitting).unwrap_or(usize::MAX));
        let buffers = (0..threads).map(|_| Ok(ReadBuffers::new()?)).collect::<Result<Vec<_>>>()?;
        // A blob that is not kept would be read again for every part of it.
        let blobs_bytes = (7 * share).max(2 * chunk_bytes.max(BLOB_BYTES));
        let contents = Contents::new(Blobs::new(reader, blobs_bytes), share);
        let ahead_max = AHEAD_MAX.min(blobs_bytes / 4);
        let files = Files::new(Arc::clone(&names), contents, Reads::start(buffers), ahead_max);
        Ok(Self { names, files })
    }

    /// Its entries.
    pub fn names(&self) -> &Arc<Names> {
        &self.names
    }

    /// Its open files.
    pub fn files(&self) -> &Files {
        &self.files
    }
}

fn top(reader: &Arc<PackReader>, snapshot: Option<&Snapshot>, path: &[u8]) -> Result<Top> {
    let snapshot = snapshot.ok_or_else(|| EngineError::NoSnapshot(String::new()))?;
    let found = SnapshotTree::new(Arc::clone(reader), snapshot.references.tree).find(path)?;
    let shown = || String::from_utf8_lossy(path).into_owned();
    let tree = found.tree().ok_or_else(|| EngineError::Setting(format!("{} is not a directory", shown())))?;
    let names = path.split(|byte| *byte == b'/').filter(|name| !name.is_empty());
    let path = names.flat_map(|name| [b"/", name].concat()).collect();
    let node = match found {
        Found::Root(_) => None,
        Found::Node(node) => Some(node),
    };
    Ok(Top { snapshot: snapshot.id, time: snapshot.entries.time, path, node, tree })
}
