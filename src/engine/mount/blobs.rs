//! Expanded blobs: read once however many ask at the same time, kept within a number of bytes, and nothing given out of them
//! that was not checked against its id.

use crate::engine::mount::cache::ByteCache;
use crate::id::ChunkId;
use crate::repository::RepositoryError;
use crate::repository::index::{BlobIndex, Location};
use crate::repository::pack_reader::{PackReader, ReadBuffers};
use std::collections::HashSet;
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

type Read<T> = Result<T, RepositoryError>;

/// What a blob takes beside its bytes, as far as is known beforehand.
const BLOB_BYTES: u64 = 256;

/// A blob's content.
#[derive(Debug)]
pub(super) struct Blob {
    plain: Vec<u8>,
    /// Chunks that were found to be what their ids say.
    checked: Mutex<HashSet<ChunkId>>,
}

/// The bytes of a chunk.
#[derive(Debug)]
pub(super) enum Chunk {
    /// In a blob.
    In(Arc<Blob>, Range<usize>),
    /// On their own: from a second copy.
    Own(Vec<u8>),
}

impl Chunk {
    /// The bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::In(blob, range) => blob.plain.get(range.clone()).unwrap_or_default(),
            Self::Own(bytes) => bytes,
        }
    }
}

#[derive(Debug)]
struct State {
    cache: ByteCache<BlobIndex, Arc<Blob>>,
    /// Somebody is reading these.
    coming: HashSet<BlobIndex>,
}

/// Blobs that were read lately, and those that are being read.
#[derive(Debug)]
pub(super) struct Blobs {
    reader: Arc<PackReader>,
    state: Mutex<State>,
    arrived: Condvar,
}

/// A blob that its holder reads and others wait for, until this is dropped.
struct Claim<'a>(&'a Blobs, BlobIndex);

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.0.lock().coming.remove(&self.1);
        self.0.arrived.notify_all();
    }
}

impl Blobs {
    /// None yet, and never more than so many bytes of them.
    pub(super) fn new(reader: Arc<PackReader>, bytes_max: u64) -> Self {
        let state = State { cache: ByteCache::new(bytes_max), coming: HashSet::new() };
        Self { reader, state: Mutex::new(state), arrived: Condvar::new() }
    }

    /// What reads them.
    pub(super) fn reader(&self) -> &Arc<PackReader> {
        &self.reader
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Changed in single steps.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn blob(&self, index: BlobIndex, buffers: &mut ReadBuffers) -> Read<Arc<Blob>> {
        let mut state = self.lock();
        loop {
            if let Some(blob) = state.cache.get(&index) {
                return Ok(blob);
            }
            if state.coming.insert(index) {
                break;
            }
            // If it could not be read, or was not kept, this one tries for itself.
            state = self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        drop(state);
        let claim = Claim(self, index);
        self.load(&claim, buffers)
    }

    fn load(&self, claim: &Claim<'_>, buffers: &mut ReadBuffers) -> Read<Arc<Blob>> {
        self.reader.read_blob(claim.1, buffers)?;
        let blob = Arc::new(Blob { plain: buffers.plain[0].clone(), checked: Mutex::default() });
        // Every chunk of it is going to be in the set.
        let bytes = BLOB_BYTES + blob.plain.len() as u64 + blob.plain.len() as u64 / 64;
        self.lock().cache.put(claim.1, Arc::clone(&blob), bytes);
        Ok(blob)
    }

    /// A chunk. Where its blob is damaged and there is a second copy, that is taken and `note` is told why.
    ///
    /// # Errors
    /// That no copy can be read: what is wrong with the first.
    pub(super) fn chunk(
        &self,
        id: &ChunkId,
        buffers: &mut ReadBuffers,
        note: &dyn Fn(&RepositoryError),
    ) -> Read<Chunk> {
        let location = self.reader.locate_chunk(id)?;
        self.chunk_at(id, &location, buffers).or_else(|error| {
            let spare = self.reader.read_spare_chunk(id, location.blob, buffers);
            spare
                .map(|bytes| {
                    note(&error);
                    Chunk::Own(bytes)
                })
                .ok_or(error)
        })
    }

    fn chunk_at(&self, id: &ChunkId, location: &Location, buffers: &mut ReadBuffers) -> Read<Chunk> {
        let blob = self.blob(location.blob, buffers)?;
        let checked = || blob.checked.lock().unwrap_or_else(PoisonError::into_inner);
        // Not while it is hashed: others read other chunks of the blob meanwhile.
        let is_checked = checked().contains(id);
        if !is_checked {
            self.reader.check_chunk(id, location, &blob.plain)?;
            checked().insert(*id);
        }
        let start = location.offsets[0] as usize;
        Ok(Chunk::In(blob, start..start + location.lens[0] as usize))
    }

    /// Reads what is not there yet, with as few requests as the store prefers. Nothing is said of what cannot be read: whoever
    /// needs it will find out.
    pub(super) fn read_ahead(&self, mut wanted: Vec<BlobIndex>, buffers: &mut ReadBuffers) {
        wanted.sort_unstable();
        wanted.dedup();
        let mut claims: Vec<Claim<'_>> = Vec::new();
        {
            let mut state = self.lock();
            for index in wanted {
                if !state.cache.contains(&index) && state.coming.insert(index) {
                    claims.push(Claim(self, index));
                }
            }
        }
        let mut claims = claims.into_iter().peekable();
        while let Some(first) = claims.next() {
            let mut run = vec![first];
            while let (Some(last), Some(next)) = (run.last(), claims.peek())
                && self.reader.reads_together(run[0].1, last.1, next.1)
                && let Some(next) = claims.next()
            {
                run.push(next);
            }
            if let [first, .., last] = &run[..] {
                let _ = self.reader.read_ahead(first.1, last.1, buffers);
            }
            for claim in run {
                if self.load(&claim, buffers).is_err() {
                    return;
                }
            }
        }
    }
}
