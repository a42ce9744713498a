//! One regular file on its way: opened at its first piece, written by any worker, put in place by the one that writes the
//! last piece. If anything of it fails, nothing of it is left, unless it is a file that is changed where it is.

use crate::engine::restore::dirs::Dir;
use crate::engine::restore::links::LinkKey;
use crate::engine::restore::place::Place;
use crate::engine::restore::tally::Why;
use crate::format::node::{Content, Metadata, Node};
use crate::fs::{FsError, NewFile, PresentFile};
use crate::id::ChunkId;
use crate::progress::Event;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Runs of zeros are left out in units of this many bytes: the block of most file systems.
const HOLE_UNIT: usize = 4096;
static ZEROS: [u8; HOLE_UNIT] = [0; HOLE_UNIT];

#[derive(Debug)]
enum State {
    Waiting,
    Open(Arc<Out>),
    /// In place, or given up.
    Over,
}

/// What is written to.
#[derive(Debug)]
enum Out {
    New(NewFile),
    /// It was there, and is changed where it is.
    Present(PresentFile),
}

impl Out {
    /// Writes a piece.
    fn write(&self, place: &Place<'_>, is_sparse: bool, offset: u64, bytes: &[u8]) -> Result<(), FsError> {
        match self {
            Self::New(file) if is_sparse => write_with_holes(file, offset, bytes),
            Self::New(file) => file.write_at(offset, bytes),
            Self::Present(file) => {
                let written = file.write_different(offset, bytes)?;
                let unchanged = bytes.len() as u64 - written;
                place.tally.bytes_unchanged.fetch_add(unchanged, Ordering::Relaxed);
                Ok(())
            }
        }
    }
}

/// A regular file to be restored.
#[derive(Debug)]
pub(super) struct FileTask {
    dir: Arc<Dir>,
    name: Vec<u8>,
    metadata: Metadata,
    pub(super) size: u64,
    content: [u8; 32],
    is_sparse: bool,
    link: Option<LinkKey>,
    /// Number of the file in the walk.
    number: u64,
    /// Pieces not yet written, and one for the walk that adds them.
    pending: AtomicU64,
    state: Mutex<State>,
}

impl FileTask {
    /// The task for a regular file. [`settle`](Self::settle) it when all its pieces are added.
    pub(super) fn new(dir: Arc<Dir>, node: Node, link: Option<LinkKey>, number: u64, all_sparse: bool) -> Arc<Self> {
        let (size, sparse, content) = match node.content {
            Content::File { size, sparse, body, .. } => (size, sparse, body.digest()),
            _ => (0, false, [0; 32]),
        };
        Arc::new(Self {
            dir,
            name: node.name,
            metadata: node.metadata,
            size,
            content,
            is_sparse: sparse || all_sparse,
            link,
            number,
            pending: AtomicU64::new(1),
            state: Mutex::new(State::Waiting),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A state is replaced whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn path(&self) -> Vec<u8> {
        self.dir.path_of(&self.name)
    }

    /// A piece was added.
    pub(super) fn expect_piece(&self) {
        self.pending.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether it needs no more pieces, because it was given up.
    pub(super) fn is_over(&self) -> bool {
        matches!(*self.lock(), State::Over)
    }

    /// Gives the file up; what was written of it is removed.
    pub(super) fn fail(&self, place: &Place<'_>, why: &Why) {
        let before = std::mem::replace(&mut *self.lock(), State::Over);
        if matches!(before, State::Over) {
            return;
        }
        let mixture;
        let why = match &before {
            State::Open(file) if matches!(**file, Out::Present(_)) => {
                let message = format!("{}; what is there is a mixture now", why.message);
                mixture = Why { message, is_damage: why.is_damage };
                &mixture
            }
            _ => why,
        };
        if let Some(key) = &self.link {
            place.links.failed(key, why.is_damage);
        }
        place.tally.fail(&self.path(), why);
    }

    /// Takes the file that is there to be changed where it is, if it can be.
    pub(super) fn take_present(&self, place: &Place<'_>) {
        let uid = place.fs_options.uid_of(&self.metadata.owner);
        let present = place.handles.open(&self.dir).and_then(|dir| dir.open_present(&self.name, uid));
        // What is wrong with it shows when it is replaced.
        if let Ok(Some(file)) = present {
            *self.lock() = State::Open(Arc::new(Out::Present(file)));
        }
    }

    /// Whether the file that is there has this chunk where it has to be. `buffer` is the caller's, to be used again.
    pub(super) fn has(&self, place: &Place<'_>, at: u64, len: u32, id: &ChunkId, buffer: &mut Vec<u8>) -> bool {
        let file = match &*self.lock() {
            State::Open(file) => Arc::clone(file),
            State::Waiting | State::Over => return false,
        };
        let Out::Present(file) = &*file else { return false };
        buffer.resize(len as usize, 0);
        let has = file.read_at(at, buffer).is_ok_and(|read| read == buffer.len())
            && place.reader.repository().keys().hasher.chunk(buffer) == *id;
        if has {
            place.tally.bytes_unchanged.fetch_add(len.into(), Ordering::Relaxed);
            place.cx.event(&Event::Bytes { count: len.into() });
        }
        has
    }

    fn open(&self, place: &Place<'_>) -> Result<Option<Arc<Out>>, FsError> {
        let mut state = self.lock();
        match &*state {
            State::Over => Ok(None),
            State::Open(file) => Ok(Some(Arc::clone(file))),
            State::Waiting => {
                let file = place.handles.open(&self.dir)?.create_file(&self.name)?;
                file.prepare(&self.metadata);
                let file = Arc::new(Out::New(file));
                *state = State::Open(Arc::clone(&file));
                Ok(Some(file))
            }
        }
    }

    /// Writes a piece. Does not settle it.
    pub(super) fn write(&self, place: &Place<'_>, offset: u64, bytes: &[u8]) {
        let written = self.open(place).and_then(|file| match file {
            None => Ok(()),
            Some(file) => file.write(place, self.is_sparse, offset, bytes),
        });
        match written {
            Ok(()) => place.cx.event(&Event::Bytes { count: bytes.len() as u64 }),
            Err(error) => self.fail(place, &error.into()),
        }
    }

    /// A piece is written or will never be. The last one puts the file in place.
    pub(super) fn settle(&self, place: &Place<'_>) {
        // Whoever comes to zero has to see what the others wrote and that they let go of the file.
        if self.pending.fetch_sub(1, Ordering::AcqRel) == 1 {
            match self.finish(place) {
                Ok(true) => {
                    place.tally.bytes.fetch_add(self.size, Ordering::Relaxed);
                    place.tally.recovered(&self.path(), self.size, &self.content);
                    place.tally.done(&place.tally.files, self.size);
                    place.restored(self.number);
                }
                Ok(false) => {}
                Err(error) => self.fail(place, &error.into()),
            }
        }
    }

    fn finish(&self, place: &Place<'_>) -> Result<bool, FsError> {
        // A file without pieces was not opened yet.
        let Some(file) = self.open(place)? else { return Ok(false) };
        let id = match &*file {
            Out::New(file) => {
                if self.is_sparse {
                    file.set_len(self.size)?;
                }
                self.link.map(|_| file.id()).transpose()?
            }
            Out::Present(file) => {
                file.finish_content(self.size, self.is_sparse)?;
                None
            }
        };
        drop(file);
        let state = {
            let mut state = self.lock();
            std::mem::replace(&mut *state, State::Waiting)
        };
        let State::Open(file) = state else { return Ok(false) };
        // Every other holder let go of it before it settled its piece.
        let Some(file) = Arc::into_inner(file) else {
            self.fail(place, &Why { message: "it is still being written".into(), is_damage: false });
            return Ok(false);
        };
        if place.deletion.is_some() && matches!(file, Out::New(_)) {
            place.make_way(&self.dir, &place.handles.open(&self.dir)?, &self.name);
        }
        let warnings = match file {
            Out::New(file) if self.link.is_some() => file.commit_unlocked(&self.metadata, &place.fs_options)?,
            Out::New(file) => file.commit(&self.metadata, &place.fs_options)?,
            Out::Present(file) => file.finish(&self.metadata, &place.fs_options),
        };
        *self.lock() = State::Over;
        place.tally.warn(&warnings);
        if let (Some(key), Some(id)) = (&self.link, id) {
            place.links.made(key, id);
        }
        Ok(true)
    }
}

/// Writes `bytes`, but for blocks of zeros, which are holes of what was never written.
fn write_with_holes(file: &NewFile, offset: u64, bytes: &[u8]) -> Result<(), FsError> {
    let mut start = 0;
    let mut at = 0;
    while at < bytes.len() {
        let in_block = ((offset + at as u64) % HOLE_UNIT as u64) as usize;
        let end = (at + HOLE_UNIT - in_block).min(bytes.len());
        let is_hole = bytes[at..end] == ZEROS[..end - at];
        if is_hole {
            if start < at {
                file.write_at(offset + start as u64, &bytes[start..at])?;
            }
            start = end;
        }
        at = end;
    }
    if start < bytes.len() { file.write_at(offset + start as u64, &bytes[start..]) } else { Ok(()) }
}
