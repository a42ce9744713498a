//! Stats: how much there is in snapshots, counted in one of several ways.
//!
//! What is counted of a restore is counted of each snapshot for itself. What is counted of contents is counted once, for the
//! first snapshot that has it: a tree that an earlier one had is not read again.

use crate::engine::browse::{SnapshotTree, Step};
use crate::engine::context::{Context, EngineError, Result};
use crate::format::node::{Body, Content, Node};
use crate::format::tree::Tree;
use crate::id::{ChunkId, IndexKey, TreeId};
use crate::repository::RepositoryError;
use crate::repository::index::Location;
use crate::repository::pack_reader::{PackReader, ReadBuffers};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Directories whose sums are remembered.
const SUMS_MAX: usize = 1 << 20;
/// Names of linked inodes that are remembered of one directory and all below; one with more is counted anew each time.
const LINKED_MAX: usize = 64;
/// Bytes that a file's content takes in memory where each is counted once.
const CONTENT_BYTES: u64 = 32;

/// How to count. The names are restic's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// What a restore writes; hard links once.
    RestoreSize,
    /// Files of different content.
    FilesByContents,
    /// What is stored, and what it would be without compression: whole blobs that something in them is needed of.
    RawData,
    /// Chunks of files of different content: what they would take if files shared nothing with one another.
    BlobsPerFile,
}

/// What was counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Regular files: all names for [`Mode::RestoreSize`], else different contents.
    pub files: u64,
    /// Directories, for [`Mode::RestoreSize`].
    pub directories: u64,
    /// Anything else, for [`Mode::RestoreSize`].
    pub others: u64,
    /// Bytes of content, or for [`Mode::RawData`] of blobs before compression.
    pub bytes: u64,
    /// Blobs for [`Mode::RawData`], chunks for [`Mode::BlobsPerFile`].
    pub blobs: u64,
    /// Stored bytes, for [`Mode::RawData`].
    pub stored_bytes: u64,
}

impl std::ops::AddAssign for Stats {
    fn add_assign(&mut self, other: Self) {
        for (sum, number) in [
            (&mut self.files, other.files),
            (&mut self.directories, other.directories),
            (&mut self.others, other.others),
            (&mut self.bytes, other.bytes),
            (&mut self.blobs, other.blobs),
            (&mut self.stored_bytes, other.stored_bytes),
        ] {
            // Lengths of files come from the repository.
            *sum = sum.saturating_add(number);
        }
    }
}

/// What is in a directory and below, but for files of several names.
#[derive(Debug, Clone, Default)]
struct Sum {
    stats: Stats,
    /// Device, inode number and length of files of several names, once for each name.
    linked: Vec<(u64, u64, u64)>,
}

#[derive(Debug)]
struct Frame {
    tree: TreeId,
    /// `None` if it cannot be remembered.
    sum: Option<Sum>,
}

/// Counts snapshot after snapshot.
#[derive(Debug)]
pub struct Counter<'a> {
    cx: &'a Context,
    reader: Arc<PackReader>,
    mode: Mode,
    buffers: ReadBuffers,
    sums: HashMap<TreeId, Arc<Sum>>,
    seen_trees: HashSet<IndexKey>,
    seen_contents: HashSet<[u8; 16]>,
    /// A bit for each blob of the index.
    seen_blobs: Vec<u64>,
}

type Linked = HashSet<(u64, u64)>;

impl<'a> Counter<'a> {
    /// One that has counted nothing yet.
    ///
    /// # Errors
    /// When there is no memory for buffers.
    pub fn new(cx: &'a Context, reader: Arc<PackReader>, mode: Mode) -> Result<Self> {
        let words = reader.index().blobs().len().div_ceil(64);
        Ok(Self {
            cx,
            reader,
            mode,
            buffers: ReadBuffers::new()?,
            sums: HashMap::new(),
            seen_trees: HashSet::new(),
            seen_contents: HashSet::new(),
            seen_blobs: vec![0; words],
        })
    }

    /// What the snapshot with this root has, for [`Mode::RestoreSize`]; else what it has and those before had not. What cannot be
    /// read is told with its path and left out.
    ///
    /// # Errors
    /// [`EngineError::Interrupted`]; when there is no memory.
    pub fn snapshot(&mut self, root: TreeId, mut damaged: impl FnMut(&[u8], &RepositoryError)) -> Result<Stats> {
        if self.mode == Mode::RestoreSize {
            self.restored(root, &mut damaged)
        } else {
            self.contents(root, &mut damaged)
        }
    }

    fn restored(&mut self, root: TreeId, damaged: &mut dyn FnMut(&[u8], &RepositoryError)) -> Result<Stats> {
        let (mut stats, mut linked) = (Stats::default(), Linked::new());
        if let Some(sum) = self.sums.get(&root) {
            add_sum(&mut stats, &mut linked, sum);
            return Ok(stats);
        }
        let mut walk = SnapshotTree::new(Arc::clone(&self.reader), root).walk(b"", root)?;
        let mut frames = vec![Frame { tree: root, sum: Some(Sum::default()) }];
        while let Some(step) = walk.next() {
            if self.cx.is_stopped() {
                return Err(EngineError::Interrupted);
            }
            let one = match step {
                Step::Enter(node) => {
                    let own = Sum::of(&node);
                    add_sum(&mut stats, &mut linked, &own);
                    into(frames.last_mut(), &own);
                    let Content::Directory { tree } = node.content else { continue };
                    match self.sums.get(&tree) {
                        Some(sum) => {
                            walk.skip();
                            Arc::clone(sum)
                        }
                        None => {
                            frames.push(Frame { tree, sum: Some(Sum::default()) });
                            continue;
                        }
                    }
                }
                Step::Entry(node) => Arc::new(Sum::of(&node)),
                Step::Leave => {
                    self.leave(&mut frames);
                    continue;
                }
                Step::Damaged(error) => {
                    frames.iter_mut().for_each(|frame| frame.sum = None);
                    damaged(walk.path(), &error);
                    continue;
                }
            };
            add_sum(&mut stats, &mut linked, &one);
            into(frames.last_mut(), &one);
        }
        self.leave(&mut frames);
        Ok(stats)
    }

    /// Remembers the directory that was counted.
    fn leave(&mut self, frames: &mut Vec<Frame>) {
        let Some(Frame { tree, sum }) = frames.pop() else { return };
        match sum {
            Some(sum) => {
                into(frames.last_mut(), &sum);
                if self.sums.len() < SUMS_MAX {
                    self.sums.insert(tree, Arc::new(sum));
                }
            }
            None => frames.iter_mut().for_each(|frame| frame.sum = None),
        }
    }

    fn contents(&mut self, root: TreeId, damaged: &mut dyn FnMut(&[u8], &RepositoryError)) -> Result<Stats> {
        let mut stats = Stats::default();
        if !self.tree(&root, &mut stats, |error| damaged(b"", error)) {
            return Ok(stats);
        }
        let mut walk = SnapshotTree::new(Arc::clone(&self.reader), root).walk(b"", root)?;
        while let Some(step) = walk.next() {
            if self.cx.is_stopped() {
                return Err(EngineError::Interrupted);
            }
            match step {
                Step::Enter(node) => {
                    let Content::Directory { tree } = node.content else { continue };
                    if !self.tree(&tree, &mut stats, |error| damaged(walk.path(), error)) {
                        walk.skip();
                    }
                }
                Step::Entry(node) => {
                    if let Content::File { body, size, .. } = node.content
                        && let Err(error) = self.file(&body, size, &mut stats)?
                    {
                        damaged(walk.path(), &error);
                    }
                }
                Step::Leave => {}
                Step::Damaged(error) => damaged(walk.path(), &error),
            }
        }
        Ok(stats)
    }

    /// Takes up a directory, its pages too; says whether it is new.
    fn tree(&mut self, id: &TreeId, stats: &mut Stats, mut damaged: impl FnMut(&RepositoryError)) -> bool {
        if !self.seen_trees.insert(id.key()) {
            return false;
        }
        // One that is missing or damaged is told of by the walk.
        let Ok(location) = self.reader.locate_tree(id) else { return true };
        self.blob(&location, stats);
        if self.mode == Mode::RawData
            && let Ok(Tree::Pages(pages)) = self.reader.read_tree(id, &mut self.buffers)
        {
            for page in pages {
                match self.reader.locate_tree(&page.tree) {
                    Ok(location) => self.blob(&location, stats),
                    Err(error) => damaged(&error),
                }
            }
        }
        true
    }

    /// A file. The outer error ends it all, the inner one is damage.
    fn file(&mut self, body: &Body, size: u64, stats: &mut Stats) -> Result<std::result::Result<(), RepositoryError>> {
        if self.mode == Mode::RawData {
            return Ok(self.each_chunk(body, stats, &mut |counter, location, _, stats| counter.blob(&location, stats)));
        }
        let mut short = [0; 16];
        short.copy_from_slice(&body.digest()[..16]);
        if !self.seen_contents.insert(short) {
            return Ok(Ok(()));
        }
        if self.seen_contents.len() as u64 > (self.cx.memory_bytes / CONTENT_BYTES).max(1 << 16) {
            let what = "there are too many files of different content for the memory that may be used: give more with --memory";
            return Err(EngineError::Setting(what.into()));
        }
        stats.files += 1;
        if self.mode == Mode::FilesByContents {
            stats.bytes = stats.bytes.saturating_add(size);
            return Ok(Ok(()));
        }
        if let Body::Inline(bytes) = body {
            stats.bytes = stats.bytes.saturating_add(bytes.len() as u64);
        }
        let mut own = HashSet::new();
        Ok(self.each_chunk(body, stats, &mut |_, location, id, stats| {
            if own.insert(id.key()) {
                stats.blobs += 1;
                stats.bytes = stats.bytes.saturating_add(location.lens[0].into());
            }
        }))
    }

    fn each_chunk(
        &mut self,
        body: &Body,
        stats: &mut Stats,
        take: &mut dyn FnMut(&mut Self, Location, &ChunkId, &mut Stats),
    ) -> std::result::Result<(), RepositoryError> {
        match body {
            Body::Inline(_) => Ok(()),
            Body::Chunks(ids) => self.chunks(ids, stats, take),
            Body::Lists(lists) => {
                for list in lists {
                    // A list that was taken up in another file says nothing new where blobs are counted.
                    if self.mode == Mode::RawData && !self.seen_trees.insert(list.key()) {
                        continue;
                    }
                    let location = self.reader.locate_tree(list)?;
                    self.blob(&location, stats);
                    if let Tree::List(ids) = self.reader.read_tree(list, &mut self.buffers)? {
                        self.chunks(&ids, stats, take)?;
                    }
                }
                Ok(())
            }
        }
    }

    fn chunks(
        &mut self,
        ids: &[ChunkId],
        stats: &mut Stats,
        take: &mut dyn FnMut(&mut Self, Location, &ChunkId, &mut Stats),
    ) -> std::result::Result<(), RepositoryError> {
        for id in ids {
            let location = self.reader.locate_chunk(id)?;
            take(self, location, id, stats);
        }
        Ok(())
    }

    /// Counts a blob, where those are counted and if it is new.
    fn blob(&mut self, location: &Location, stats: &mut Stats) {
        let number = location.blob.0 as usize;
        let Some(word) = self.seen_blobs.get_mut(number / 64).filter(|_| self.mode == Mode::RawData) else { return };
        let bit = 1 << (number % 64);
        if *word & bit == 0 {
            *word |= bit;
            let info = self.reader.index().blob(location.blob);
            let sum = |parts: [u32; 2]| u64::from(parts[0]) + u64::from(parts[1]);
            stats.blobs += 1;
            stats.bytes += sum(info.plain);
            stats.stored_bytes += sum(info.stored);
        }
    }
}

impl Sum {
    /// One entry, without what is below it.
    fn of(node: &Node) -> Self {
        let mut sum = Self::default();
        match node.content {
            Content::File { size, .. } => {
                sum.stats.files = 1;
                if node.metadata.links > 1 {
                    sum.linked.push((node.metadata.device, node.metadata.inode, size));
                } else {
                    sum.stats.bytes = size;
                }
            }
            Content::Directory { .. } => sum.stats.directories = 1,
            _ => sum.stats.others = 1,
        }
        sum
    }
}

/// Adds to a snapshot; an inode's length with the first of its names.
fn add_sum(stats: &mut Stats, linked: &mut Linked, sum: &Sum) {
    *stats += sum.stats;
    for (device, inode, size) in &sum.linked {
        if linked.insert((*device, *inode)) {
            stats.bytes = stats.bytes.saturating_add(*size);
        }
    }
}

/// Adds to the directory one is in.
fn into(frame: Option<&mut Frame>, part: &Sum) {
    let Some(frame) = frame else { return };
    let Some(sum) = &mut frame.sum else { return };
    if sum.linked.len() + part.linked.len() > LINKED_MAX {
        frame.sum = None;
        return;
    }
    sum.stats += part.stats;
    sum.linked.extend_from_slice(&part.linked);
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::engine::testing::{Builder, create, file, node};
    use crate::format::tree;
    use crate::repository::view::Damage;
    use crate::storage::MemoryStorage;

    fn reader(cx: &Context) -> Arc<PackReader> {
        let view = cx.repository.load_view(Damage::Stop).unwrap();
        Arc::new(PackReader::new(Arc::clone(&cx.repository), Arc::new(view.index)))
    }

    /// What each of `roots` comes to, and how many could not be read.
    fn count(cx: &Context, mode: Mode, roots: &[TreeId]) -> (Vec<Stats>, u32) {
        let mut counter = Counter::new(cx, reader(cx), mode).unwrap();
        let mut damaged = 0;
        let stats = roots.iter().map(|root| counter.snapshot(*root, |_, _| damaged += 1).unwrap()).collect();
        (stats, damaged)
    }

    #[test]
    fn each_mode_counts_what_it_says() {
        let storage = MemoryStorage::new();
        let cx = create(&storage, 0);
        let mut builder = Builder::new(&cx);
        let (one, two, three) = ([1_u8; 1000], [2_u8; 2000], [3_u8; 3000]);
        let ids = builder.blob(&[&one, &two]);
        let other = builder.blob(&[&three]);
        let list = builder.encoded(&tree::encode_list(&[ids[0], other[0], ids[0]]).unwrap());
        let linked = |name: &str| {
            let mut node = file(name, 2000, Body::Chunks(vec![ids[1]]));
            (node.metadata.links, node.metadata.inode) = (2, 5);
            node
        };
        let inner = builder.leaf(&[
            file("a", 3000, Body::Chunks(ids.clone())),
            file("copy", 3000, Body::Chunks(ids.clone())),
            linked("l1"),
            linked("l2"),
            node("to", Content::Symlink { target: b"a".to_vec() }),
        ]);
        let first = builder.leaf(&[node("d", Content::Directory { tree: inner })]);
        let second = builder.leaf(&[
            node("d", Content::Directory { tree: inner }),
            file("long", 5000, Body::Lists(vec![list])),
            file("small", 3, Body::Inline(b"abc".to_vec())),
        ]);
        let absent = TreeId::from_bytes([9; 32]);
        let third = builder
            .leaf(&[node("bad", Content::Directory { tree: absent }), node("d", Content::Directory { tree: inner })]);
        builder.commit(first);
        let roots = [first, second, first, third];

        let (stats, damaged) = count(&cx, Mode::RestoreSize, &roots);
        let expected = Stats { files: 4, directories: 1, others: 1, bytes: 8000, ..Stats::default() };
        assert_eq!(stats[0], expected);
        assert_eq!(stats[1], Stats { files: 6, bytes: 13_003, ..expected });
        assert_eq!((stats[2], stats[3]), (expected, Stats { directories: 2, ..expected }));
        assert_eq!(damaged, 1);

        let (stats, damaged) = count(&cx, Mode::FilesByContents, &roots);
        let only = |files, bytes| Stats { files, bytes, ..Stats::default() };
        assert_eq!((&stats[..], damaged), (&[only(2, 5000), only(2, 5003), only(0, 0), only(0, 0)][..], 1));

        let (stats, _) = count(&cx, Mode::BlobsPerFile, &roots);
        let chunks = |files, blobs, bytes| Stats { files, blobs, bytes, ..Stats::default() };
        // The list names one chunk twice.
        assert_eq!(stats[..3], [chunks(2, 3, 5000), chunks(2, 2, 4003), chunks(0, 0, 0)]);

        let (stats, _) = count(&cx, Mode::RawData, &roots);
        // The blob of two chunks, the trees of the root and of d; then another blob, a list and a root.
        assert_eq!((stats[0].blobs, stats[1].blobs, stats[2].blobs, stats[3].blobs), (3, 3, 0, 1));
        assert!(stats[0].bytes > 3000 && stats[1].bytes > 3000 && stats[0].stored_bytes > 0);
        let index = reader(&cx);
        let all: u64 =
            index.index().blobs().iter().map(|blob| u64::from(blob.stored[0]) + u64::from(blob.stored[1])).sum();
        assert_eq!(stats.iter().map(|stats| stats.stored_bytes).sum::<u64>(), all, "everything is referred to");
    }

    #[test]
    fn many_linked_names_are_counted_anew_and_right() {
        let storage = MemoryStorage::new();
        let cx = create(&storage, 0);
        let mut builder = Builder::new(&cx);
        let names: Vec<Node> = (0..200)
            .map(|n| {
                let mut node = file(&format!("f{n:03}"), 1, Body::Inline(vec![1]));
                (node.metadata.links, node.metadata.inode) = (2, n / 2);
                node
            })
            .collect();
        let inner = builder.leaf(&names);
        let root = builder
            .leaf(&[node("a", Content::Directory { tree: inner }), node("b", Content::Directory { tree: inner })]);
        builder.commit(root);
        let (stats, _) = count(&cx, Mode::RestoreSize, &[root, root]);
        let expected = Stats { files: 400, directories: 2, bytes: 100, ..Stats::default() };
        assert_eq!(stats, [expected, expected]);
    }
}
