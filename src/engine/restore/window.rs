//! The window: what the walk has taken up and workers have not done yet. When it is full, everything in it is done, in the
//! order that this file is about:
//!
//! 1. contents, in the order of [`plan`](super::plan); each file is put in place with its metadata when it is whole;
//! 2. further names of files, once their first names are in place (in this window or an earlier one);
//! 3. symbolic links, pipes and devices, and then further names of these;
//! 4. metadata of the directories that the walk has left, the deepest first: nothing is made in them any more, and a mode
//!    that forbids to enter does not come before what is below.
//!
//! So no memory grows with the snapshot, except for inodes of which not all names were seen. A file that is larger than
//! a window stays open from one to the next.

use crate::engine::context::{EngineError, Result};
use crate::engine::pool::Pool;
use crate::engine::restore::file::FileTask;
use crate::engine::restore::links::{Claim, LinkKey};
use crate::engine::restore::plan::{self, Extent};
use crate::engine::restore::tally::Why;
use crate::engine::restore::work::{Batch, DirectoryItem, Item, Job, Retry, Work};
use crate::format::node::{Body, Content, Metadata, Node};
use crate::format::tree::Tree;
use crate::id::{ChunkId, TreeId};
use crate::repository::index::BlobIndex;
use crate::repository::pack_reader::ReadBuffers;
use std::sync::Arc;

/// Where a window ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Entries of any kind.
    pub(super) entries: usize,
    /// Pieces of files.
    pub(super) extents: usize,
    /// Bytes of names, attributes and the like.
    pub(super) bytes: usize,
    /// Files open at the same time, over all workers.
    pub(super) open_files: usize,
}

impl Limits {
    /// About 40 MB.
    pub(super) const DEFAULT: Self = Self { entries: 65_536, extents: 262_144, bytes: 16 << 20, open_files: 256 };
}

/// Entries in one job of things that have no content.
const ITEMS_PER_JOB: usize = 128;
/// Files with their content here in one job.
const SMALL_PER_JOB: usize = 32;

/// Collects what is to be restored, and has it done.
pub(super) struct Window<'a, 'w, 'p> {
    work: &'a Work<'w>,
    pool: &'a mut Pool<'p, Job>,
    limits: Limits,
    workers: usize,
    all_sparse: bool,
    lists: ReadBuffers,
    /// What a file that is there has.
    present: Vec<u8>,
    /// Files that are changed where they are, and open until they are done.
    held: usize,
    files: Vec<Arc<FileTask>>,
    extents: Vec<Extent>,
    small: Vec<(Arc<FileTask>, Vec<u8>)>,
    later: Vec<Item>,
    others: Vec<(Item, Option<LinkKey>)>,
    /// Further names of what is in `others`, or was.
    later_others: Vec<Item>,
    left: Vec<DirectoryItem>,
    entries: usize,
    bytes: usize,
    /// Chunk ids that later names carry.
    ids: usize,
}

fn weight(metadata: &Metadata) -> usize {
    metadata.xattrs.iter().map(|xattr| xattr.name.len() + xattr.value.len()).sum()
}

fn damaged(what: String) -> Why {
    Why { message: what, is_damage: true }
}

impl<'a, 'w, 'p> Window<'a, 'w, 'p> {
    pub(super) fn new(
        work: &'a Work<'w>,
        pool: &'a mut Pool<'p, Job>,
        limits: Limits,
        all_sparse: bool,
    ) -> Result<Self> {
        Ok(Self {
            work,
            pool,
            limits,
            workers: work.place.cx.readers().max(1),
            all_sparse,
            lists: ReadBuffers::new()?,
            present: Vec::new(),
            held: 0,
            files: Vec::new(),
            extents: Vec::new(),
            small: Vec::new(),
            later: Vec::new(),
            others: Vec::new(),
            later_others: Vec::new(),
            left: Vec::new(),
            entries: 0,
            bytes: 0,
            ids: 0,
        })
    }

    fn weigh(&mut self, node: &Node) {
        self.entries += 1;
        self.bytes += node.name.len() + weight(&node.metadata);
        if let Content::Symlink { target } = &node.content {
            self.bytes += target.len();
        }
    }

    /// Does everything when the window is full. To be called between entries.
    ///
    /// # Errors
    /// [`EngineError::Interrupted`].
    pub(super) fn flush_if_full(&mut self) -> Result<()> {
        let is_full = self.entries >= self.limits.entries
            || self.extents.len() + self.ids >= self.limits.extents
            || self.bytes >= self.limits.bytes;
        if is_full { self.flush() } else { Ok(()) }
    }

    /// Takes up anything but a directory.
    ///
    /// # Errors
    /// [`EngineError::Interrupted`].
    pub(super) fn add(&mut self, item: Item) -> Result<()> {
        match item.node.content {
            Content::File { .. } => match self.work.place.links.claim(&item.dir, &item.node, false) {
                Claim::Later => {
                    self.weigh(&item.node);
                    self.ids += match &item.node.content {
                        Content::File { body: Body::Chunks(ids), .. } => ids.len(),
                        Content::File { body: Body::Lists(ids), .. } => ids.len(),
                        _ => 0,
                    };
                    self.later.push(item);
                    Ok(())
                }
                claim => self.add_file(item, claim),
            },
            _ => {
                self.weigh(&item.node);
                match self.work.place.links.claim(&item.dir, &item.node, false) {
                    Claim::Later => self.later_others.push(item),
                    claim => self.others.push((item, claim.key())),
                }
                Ok(())
            }
        }
    }

    /// Takes up the metadata of a directory that the walk has left.
    pub(super) fn leave(&mut self, item: DirectoryItem) {
        self.entries += 1;
        self.bytes += weight(&item.metadata);
        self.left.push(item);
    }

    fn add_file(&mut self, item: Item, claim: Claim) -> Result<()> {
        self.weigh(&item.node);
        let Item { dir, mut node, number } = item;
        let link = claim.key();
        let body = match &mut node.content {
            Content::File { body, .. } => std::mem::replace(body, Body::Inline(Vec::new())),
            _ => Body::Inline(Vec::new()),
        };
        let file = FileTask::new(dir, node, link, number, self.all_sparse);
        // A file of several names is replaced: those that are not restored must keep what they have.
        let may_be_held = self.work.place.changes_in_place && claim == Claim::Own;
        if may_be_held {
            if self.held >= self.limits.open_files {
                self.write_contents();
                if self.work.place.is_stopped() {
                    return Err(EngineError::Interrupted);
                }
            }
            file.take_present(&self.work.place);
            self.held += 1;
        }
        let bytes = match body {
            Body::Inline(bytes) => {
                self.small.push((file, bytes));
                if self.small.len() >= SMALL_PER_JOB {
                    self.submit_small();
                }
                return Ok(());
            }
            Body::Chunks(ids) => self.add_chunks(&file, &ids, 0)?,
            Body::Lists(lists) => self.add_lists(&file, &lists)?,
        };
        if bytes != file.size && !file.is_over() {
            let what = format!("its chunks have {bytes} bytes, its length is {}", file.size);
            file.fail(&self.work.place, &damaged(what));
        }
        file.settle(&self.work.place);
        if may_be_held && file.is_over() {
            self.held = self.held.saturating_sub(1);
        }
        Ok(())
    }

    fn add_lists(&mut self, file: &Arc<FileTask>, lists: &[TreeId]) -> Result<u64> {
        let mut at = 0;
        for list in lists {
            let ids = match self.work.place.reader.read_tree(list, &mut self.lists) {
                Ok(Tree::List(ids)) => ids,
                Ok(_) => {
                    file.fail(&self.work.place, &damaged(format!("tree {list} is no list of chunks")));
                    break;
                }
                Err(error) => {
                    file.fail(&self.work.place, &self.work.place.tally.why(&error));
                    break;
                }
            };
            at = self.add_chunks(file, &ids, at)?;
            if file.is_over() {
                break;
            }
        }
        Ok(at)
    }

    /// Adds chunks from byte `at` of the file on; returns where they end.
    fn add_chunks(&mut self, file: &Arc<FileTask>, ids: &[ChunkId], mut at: u64) -> Result<u64> {
        let mut number = None;
        let in_place = self.work.place.changes_in_place;
        for id in ids {
            let location = match self.work.place.reader.locate_chunk(id) {
                Ok(location) => location,
                Err(error) => {
                    file.fail(&self.work.place, &Why::from(&error));
                    break;
                }
            };
            if self.extents.len() >= self.limits.extents {
                // In the middle of a file only contents are written; the rest waits for the end of an entry.
                self.write_contents();
                if self.work.place.is_stopped() {
                    return Err(EngineError::Interrupted);
                }
                number = None;
                if file.is_over() {
                    break;
                }
            }
            let number = *number.get_or_insert_with(|| {
                self.files.push(Arc::clone(file));
                self.files.len() as u32 - 1
            });
            let [len, _] = location.lens;
            if in_place && file.has(&self.work.place, at, len, id, &mut self.present) {
                at = at.saturating_add(u64::from(len));
                continue;
            }
            file.expect_piece();
            let [offset, _] = location.offsets;
            self.extents.push(Extent { blob: location.blob.0, offset, len, file: number, at, id: *id });
            // A sum beyond 64 bits cannot be the length of a file.
            at = at.saturating_add(u64::from(len));
        }
        Ok(at)
    }

    fn submit_small(&mut self) {
        if !self.small.is_empty() {
            self.pool.submit(Job::Small(std::mem::take(&mut self.small)));
        }
    }

    fn write_contents(&mut self) {
        self.submit_small();
        let (files, extents) = (std::mem::take(&mut self.files), std::mem::take(&mut self.extents));
        // Each worker may be at another place of the order, so each has its part of the files that may be open.
        let extents = plan::order(extents, files.len(), self.limits.open_files / self.workers);
        let batch = Arc::new(Batch { files, extents });
        let reader = self.work.place.reader;
        let together = |first, last, next| reader.reads_together(BlobIndex(first), BlobIndex(last), BlobIndex(next));
        for range in plan::jobs(&batch.extents, together) {
            if self.work.place.is_stopped() {
                break;
            }
            self.pool.submit(Job::Blobs(Arc::clone(&batch), range));
        }
        self.pool.wait_idle();
        self.held = 0;
    }

    /// Does everything.
    ///
    /// # Errors
    /// [`EngineError::Interrupted`].
    pub(super) fn flush(&mut self) -> Result<()> {
        self.write_contents();
        self.ids = 0;
        let later = std::mem::take(&mut self.later);
        self.submit_items(later, Job::Links);
        // Of names whose first name failed, the next one is tried as a file; each round settles at least one.
        loop {
            let retries = self.work.take_retries();
            if retries.is_empty() || self.work.place.is_stopped() {
                break;
            }
            let mut later = Vec::new();
            for retry in retries {
                match retry {
                    Retry::AsOwn(item) => self.add_file(item, Claim::Own)?,
                    Retry::AsFirst(item) => match self.work.place.links.claim(&item.dir, &item.node, true) {
                        Claim::Later => later.push(item),
                        claim => self.add_file(item, claim)?,
                    },
                }
            }
            self.write_contents();
            self.submit_items(later, Job::Links);
        }
        self.make_others();
        self.work.lock(self.work.place.links.forget_seen());
        self.finish_directories();
        (self.entries, self.bytes) = (0, 0);
        if self.work.place.is_stopped() { Err(EngineError::Interrupted) } else { Ok(()) }
    }

    /// Makes what has no content, then further names of it; of those that cannot be linked, each is made by itself.
    fn make_others(&mut self) {
        let others = std::mem::take(&mut self.others);
        self.submit_items(others, Job::Others);
        let mut later = std::mem::take(&mut self.later_others);
        while !later.is_empty() && !self.work.place.is_stopped() {
            self.submit_items(std::mem::take(&mut later), Job::Links);
            let mut others = Vec::new();
            for retry in self.work.take_retries() {
                match retry {
                    Retry::AsOwn(item) => others.push((item, None)),
                    Retry::AsFirst(item) => match self.work.place.links.claim(&item.dir, &item.node, true) {
                        Claim::Later => later.push(item),
                        claim => others.push((item, claim.key())),
                    },
                }
            }
            self.submit_items(others, Job::Others);
        }
    }

    /// Does everything, and what had to wait for names that now do not come.
    ///
    /// # Errors
    /// [`EngineError::Interrupted`].
    pub(super) fn finish(&mut self) -> Result<()> {
        self.flush()?;
        self.work.lock(self.work.place.links.forget_all());
        Ok(())
    }

    fn submit_items<T>(&mut self, items: Vec<T>, job: impl Fn(Vec<T>) -> Job) {
        let mut items = items.into_iter().peekable();
        while items.peek().is_some() {
            self.pool.submit(job(items.by_ref().take(ITEMS_PER_JOB).collect()));
        }
        self.pool.wait_idle();
    }

    fn finish_directories(&mut self) {
        let mut left = std::mem::take(&mut self.left);
        left.sort_by_key(|item| std::cmp::Reverse(item.dir.depth));
        let mut left = left.into_iter().peekable();
        while let Some(next) = left.peek() {
            let depth = next.dir.depth;
            loop {
                let batch: Vec<_> =
                    std::iter::from_fn(|| left.next_if(|item| item.dir.depth == depth)).take(ITEMS_PER_JOB).collect();
                if batch.is_empty() {
                    break;
                }
                self.pool.submit(Job::Directories(batch));
            }
            self.pool.wait_idle();
        }
    }
}

impl Why {
    /// Of a directory whose entries cannot be read.
    pub(super) fn unreadable(self) -> Self {
        Self { message: format!("its entries cannot be read: {}", self.message), ..self }
    }
}
