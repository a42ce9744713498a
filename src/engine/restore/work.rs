//! What workers do: fetch a blob once and write its chunks wherever they go, make what has no content, finish directories.

use crate::engine::context::chain;
use crate::engine::restore::dirs::Dir;
use crate::engine::restore::file::FileTask;
use crate::engine::restore::links::{LinkKey, Source, ToLock};
use crate::engine::restore::place::Place;
use crate::engine::restore::plan::Extent;
use crate::engine::restore::tally::Why;
use crate::format::node::{Content, Metadata, Node};
use crate::fs::{FsError, Made, Operation};
use crate::id::ChunkId;
use crate::progress::Event;
use crate::repository::index::{BlobIndex, Location};
use crate::repository::pack_reader::ReadBuffers;
use std::borrow::Cow;
use std::ops::Range;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Files and ordered extents of one window.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) files: Vec<Arc<FileTask>>,
    pub(super) extents: Vec<Extent>,
}

/// An entry that is no regular file, or a further name of one.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) dir: Arc<Dir>,
    pub(super) node: Node,
    /// Number of the file in the walk.
    pub(super) number: u64,
}

/// A directory in which everything is made.
#[derive(Debug)]
pub(super) struct DirectoryItem {
    pub(super) dir: Arc<Dir>,
    pub(super) metadata: Metadata,
    /// It is not just on the way to what was backed up: nobody misses the owner of such a one.
    pub(super) was_backed_up: bool,
}

/// What is to be done.
#[derive(Debug)]
pub(super) enum Job {
    /// A run of extents in one blob, or in several of one pack that are read together.
    Blobs(Arc<Batch>, Range<usize>),
    /// Files whose whole content is here.
    Small(Vec<(Arc<FileTask>, Vec<u8>)>),
    /// Symbolic links, pipes, devices; each with its key if further names of it may come.
    Others(Vec<(Item, Option<LinkKey>)>),
    /// Further names of what is in place.
    Links(Vec<Item>),
    /// Metadata of directories that are complete.
    Directories(Vec<DirectoryItem>),
}

/// What of a further name has to be tried in another way.
#[derive(Debug)]
pub(super) enum Retry {
    /// The first name failed: this may become the first.
    AsFirst(Item),
    /// It cannot be linked here: it becomes a file of its own.
    AsOwn(Item),
}

/// What all workers share.
#[derive(Debug)]
pub(super) struct Work<'a> {
    pub(super) place: Place<'a>,
    pub(super) retries: Mutex<Vec<Retry>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Only whole values are put in.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Work<'_> {
    /// Does a job. After a stop nothing more is done, and no file that is not whole is put in place.
    pub(super) fn run(&self, buffers: &mut ReadBuffers, job: Job) {
        if self.place.is_stopped() {
            return;
        }
        match job {
            Job::Blobs(batch, range) => self.blobs(&batch.files, &batch.extents[range], buffers),
            Job::Small(files) => {
                for (file, bytes) in files {
                    if !bytes.is_empty() {
                        file.write(&self.place, 0, &bytes);
                    }
                    file.settle(&self.place);
                }
            }
            Job::Others(items) => items.iter().for_each(|(item, link)| self.other(item, link.as_ref())),
            Job::Links(items) => items.into_iter().for_each(|item| self.link(item)),
            Job::Directories(dirs) => {
                for DirectoryItem { dir, metadata, was_backed_up } in dirs {
                    match self.place.handles.open(&dir) {
                        Ok(handle) => {
                            let mut warnings = handle.finish(&metadata, &self.place.fs_options);
                            warnings.retain(|warning| was_backed_up || warning.operation != Operation::SetOwner);
                            self.place.tally.warn(&warnings);
                        }
                        Err(error) => self.place.tally.fail(&dir.path(), &error.into()),
                    }
                }
            }
        }
    }

    fn blobs(&self, files: &[Arc<FileTask>], extents: &[Extent], buffers: &mut ReadBuffers) {
        let needed = || extents.iter().filter(|extent| !files[extent.file as usize].is_over());
        if let (Some(first), Some(last)) = (needed().next(), needed().next_back())
            && first.blob != last.blob
        {
            let asked = self.place.reader.read_ahead(BlobIndex(first.blob), BlobIndex(last.blob), buffers);
            asked.unwrap_or_else(|error| drop(self.place.tally.why(&error)));
        }
        for run in extents.chunk_by(|a, b| a.blob == b.blob) {
            // Files that are not whole are not settled, and so not put in place.
            if self.place.is_stopped() {
                return;
            }
            self.blob(files, run, buffers);
        }
    }

    fn blob(&self, files: &[Arc<FileTask>], extents: &[Extent], buffers: &mut ReadBuffers) {
        let file = |extent: &Extent| &files[extent.file as usize];
        let Some(first) = extents.first() else { return };
        let blob = BlobIndex(first.blob);
        let is_needed = extents.iter().any(|extent| !file(extent).is_over());
        let read = if is_needed { self.place.reader.read_blob(blob, buffers) } else { Ok(()) };
        let read = read.map_err(|error| self.place.tally.why(&error));
        if self.place.is_stopped() {
            return;
        }
        // Extents of one chunk stand together: it is hashed once.
        for run in extents.chunk_by(|a, b| (a.offset, a.len, a.id) == (b.offset, b.len, b.id)) {
            let chunk = run.iter().any(|extent| !file(extent).is_over()).then(|| {
                let location = Location { blob, offsets: [run[0].offset, 0], lens: [run[0].len, 0] };
                let checked = read.clone().and_then(|()| {
                    let checked = self.place.reader.check_chunk(&run[0].id, &location, &buffers.plain[0]);
                    checked.map(Cow::Borrowed).map_err(|error| Why::from(&error))
                });
                checked.or_else(|why| self.spare(blob, &run[0].id, &why, file(&run[0])).map(Cow::Owned).ok_or(why))
            });
            for extent in run {
                match &chunk {
                    Some(Ok(bytes)) => file(extent).write(&self.place, extent.at, bytes),
                    Some(Err(why)) => file(extent).fail(&self.place, why),
                    None => {}
                }
                file(extent).settle(&self.place);
            }
        }
    }

    /// The chunk from another place, when it cannot be had from `blob`.
    fn spare(&self, blob: BlobIndex, id: &ChunkId, why: &Why, file: &FileTask) -> Option<Vec<u8>> {
        // Of its own: the buffers at hand may hold the blob that others of its chunks are good in.
        let bytes = self.place.reader.read_spare_chunk(id, blob, &mut ReadBuffers::new().ok()?)?;
        let message = format!("restored from a second copy, as the first cannot be used: {}", why.message);
        self.place.cx.event(&Event::Warning { path: &file.path(), message: &message });
        Some(bytes)
    }

    fn other(&self, item: &Item, link: Option<&LinkKey>) {
        let Item { dir, node, .. } = item;
        let made = |act: &dyn Fn(&crate::fs::TargetDir) -> Result<Made, FsError>| -> Result<_, FsError> {
            let handle = self.place.handles.open(dir)?;
            self.place.make_way(dir, &handle, &node.name);
            act(&handle)
        };
        let made = match &node.content {
            Content::Symlink { target } => {
                made(&|handle| handle.create_symlink(&node.name, target, &node.metadata, &self.place.fs_options))
            }
            content => made(&|handle| handle.make_special(&node.name, content, &node.metadata, &self.place.fs_options)),
        };
        match made {
            Ok(Made { id, warnings }) => {
                if let Some(key) = link {
                    self.place.links.made(key, id);
                }
                self.place.tally.warn(&warnings);
                self.place.tally.done(&self.place.tally.others, 0);
            }
            Err(error) => {
                if let Some(key) = link {
                    self.place.links.failed(key, false);
                }
                self.place.tally.fail(&dir.path_of(&node.name), &error.into());
            }
        }
    }

    /// Makes files immutable or append-only that have all their names now.
    pub(super) fn lock(&self, files: Vec<ToLock>) {
        for ToLock { dir, name, id, inode_flags } in files {
            match self.place.handles.open(&dir).and_then(|handle| handle.lock(&name, id, inode_flags)) {
                Ok(warnings) => self.place.tally.warn(&warnings),
                Err(error) => self.place.tally.fail(&dir.path_of(&name), &error.into()),
            }
        }
    }

    fn link(&self, item: Item) {
        let path = || item.dir.path_of(&item.node.name);
        match self.place.links.source(&item.node) {
            Source::File(dir, name, id) => {
                let linked = self.place.handles.open(&dir).and_then(|source| {
                    let handle = self.place.handles.open(&item.dir)?;
                    self.place.make_way(&item.dir, &handle, &item.node.name);
                    handle.hard_link(&item.node.name, &source, &name, id)
                });
                match linked {
                    Ok(()) => {
                        self.place.tally.hard_links.fetch_add(1, Relaxed);
                        if let Content::File { size, body, .. } = &item.node.content {
                            self.place.tally.recovered(&path(), *size, &body.digest());
                            self.place.tally.done(&self.place.tally.files, *size);
                            self.place.restored(item.number);
                        } else {
                            self.place.tally.done(&self.place.tally.others, 0);
                        }
                    }
                    Err(error) => {
                        let message = format!("made a file of its own: {}", chain(&error));
                        self.place.cx.event(&Event::Warning { path: &path(), message: &message });
                        lock(&self.retries).push(Retry::AsOwn(item));
                    }
                }
            }
            Source::None { is_damage: true } => {
                let message = "another name of the same file could not be restored: its content is damaged".into();
                self.place.tally.fail(&path(), &Why { message, is_damage: true });
            }
            Source::None { is_damage: false } => lock(&self.retries).push(Retry::AsFirst(item)),
        }
    }

    /// Further names that could not be linked.
    pub(super) fn take_retries(&self) -> Vec<Retry> {
        std::mem::take(&mut lock(&self.retries))
    }
}
