//! Content in order: pieces are taken up in the order in which they are given out, fetched a batch at a time by all workers in
//! the order in which they lie in packs, and given out while the next batch is fetched. So memory is two batches, however
//! long a file is, and no byte is given out before the id of its chunk was computed from it again.

use crate::engine::context::{Context, EngineError, Result};
use crate::engine::dump::giving::Giving;
use crate::engine::dump::member::Member;
use crate::engine::pool::Pool;
use crate::format::node::Body;
use crate::format::tree::Tree;
use crate::format::wire::FormatError;
use crate::id::{ChunkId, TreeId};
use crate::repository::RepositoryError;
use crate::repository::index::Location;
use crate::repository::pack_reader::{PackReader, ReadBuffers};
use crate::storage::ErrorKind;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bytes of content in one batch.
const BATCH_BYTES_MAX: u64 = 32 << 20;
const BATCH_BYTES_MIN: u64 = 1 << 20;
/// What a member counts for besides its content, in bytes.
const MEMBER_BYTES: u64 = 1 << 10;

/// Chunks to be fetched, and where they are put.
#[derive(Debug, Default)]
pub(super) struct Fetching {
    chunks: Vec<(ChunkId, Location)>,
    /// Numbers of chunks, in the order in which they lie in packs.
    order: Vec<u32>,
    /// What was fetched. What is missing when all workers are done is tried once more by whoever needs it.
    fetched: Mutex<Vec<Option<Vec<u8>>>>,
}

/// A run of chunks that lie together.
#[derive(Debug)]
pub(super) struct Job(Arc<Fetching>, Range<usize>);

impl Fetching {
    fn lock(&self) -> MutexGuard<'_, Vec<Option<Vec<u8>>>> {
        // Only whole values are put in.
        self.fetched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts the chunks in order, and says which are fetched together.
    fn plan(&mut self, reader: &PackReader) -> Vec<Range<usize>> {
        let at = |chunks: &[(ChunkId, Location)], number: u32| chunks[number as usize].1;
        self.order = (0..).take(self.chunks.len()).collect();
        self.order.sort_unstable_by_key(|number| {
            let location = at(&self.chunks, *number);
            (location.blob, location.offsets[0])
        });
        self.fetched = Mutex::new(vec![None; self.chunks.len()]);
        let mut runs: Vec<Range<usize>> = Vec::new();
        let mut start = 0;
        for run in self.order.chunk_by(|a, b| at(&self.chunks, *a).blob == at(&self.chunks, *b).blob) {
            let end = start + run.len();
            let next = at(&self.chunks, run[0]).blob;
            match runs.last_mut() {
                Some(last)
                    if reader.reads_together(
                        at(&self.chunks, self.order[last.start]).blob,
                        at(&self.chunks, self.order[last.end - 1]).blob,
                        next,
                    ) =>
                {
                    last.end = end;
                }
                _ => runs.push(start..end),
            }
            start = end;
        }
        runs
    }
}

/// What workers need.
#[derive(Debug)]
pub(super) struct Fetcher<'a> {
    pub(super) cx: &'a Context,
    pub(super) reader: &'a PackReader,
    /// The store is out of reach: nothing more is asked of it until whoever needs it has tried.
    pub(super) is_lost: AtomicBool,
}

impl Fetcher<'_> {
    fn is_over(&self) -> bool {
        self.cx.is_stopped() || self.is_lost.load(Ordering::Relaxed)
    }

    /// Fetches. What fails is left out.
    pub(super) fn fetch(&self, buffers: &mut ReadBuffers, job: &Job) {
        let Job(fetching, range) = job;
        let blob = |number: &u32| fetching.chunks[*number as usize].1.blob;
        let order = &fetching.order[range.clone()];
        let (Some(first), Some(last)) = (order.first().map(blob), order.last().map(blob)) else { return };
        if self.is_over() {
            return;
        }
        if first != last && self.reader.read_ahead(first, last, buffers).is_err() {
            self.is_lost.store(true, Ordering::Relaxed);
        }
        for run in order.chunk_by(|a, b| blob(a) == blob(b)) {
            if self.is_over() {
                return;
            }
            if let Err(error) = self.reader.read_blob(blob(&run[0]), buffers) {
                let kind = if let RepositoryError::Storage(error) = &error { Some(error.kind) } else { None };
                if matches!(kind, Some(ErrorKind::Transient | ErrorKind::StoreMissing)) {
                    self.is_lost.store(true, Ordering::Relaxed);
                }
                continue;
            }
            for number in run {
                let (id, location) = &fetching.chunks[*number as usize];
                if let Ok(bytes) = self.reader.check_chunk(id, location, &buffers.plain[0]) {
                    let bytes = bytes.to_vec();
                    fetching.lock()[*number as usize] = Some(bytes);
                }
            }
        }
    }
}

#[derive(Debug)]
enum Piece {
    Begin(Box<Member>),
    Bytes(Vec<u8>),
    Chunk(usize),
    End,
}

/// What is fetched, or was, and in which order it is given out.
#[derive(Debug, Default)]
struct Batch {
    pieces: Vec<Piece>,
    fetching: Arc<Fetching>,
}

/// Takes up what is to be given out.
pub(super) struct Stream<'a, 'p, 'o> {
    fetcher: &'a Fetcher<'a>,
    pool: &'a mut Pool<'p, Job>,
    giving: Giving<'o>,
    /// For lists of chunks, and for what workers could not fetch.
    buffers: ReadBuffers,
    pieces: Vec<Piece>,
    chunks: Vec<(ChunkId, Location)>,
    bytes: u64,
    bytes_max: u64,
    before: Batch,
    /// Something could not be given out: nothing that comes after it may be.
    is_over: bool,
}

impl<'a, 'p, 'o> Stream<'a, 'p, 'o> {
    pub(super) fn new(fetcher: &'a Fetcher<'a>, pool: &'a mut Pool<'p, Job>, giving: Giving<'o>) -> Result<Self> {
        let bytes_max = (fetcher.cx.memory_bytes / 8).clamp(BATCH_BYTES_MIN, BATCH_BYTES_MAX);
        let (pieces, chunks) = (Vec::new(), Vec::new());
        let buffers = ReadBuffers::new()?;
        Ok(Self {
            fetcher,
            pool,
            giving,
            buffers,
            pieces,
            chunks,
            bytes: 0,
            bytes_max,
            before: Batch::default(),
            is_over: false,
        })
    }

    /// Takes up a member with its content.
    ///
    /// # Errors
    /// Damage; [`EngineError::Interrupted`]; that nothing more can be given out.
    pub(super) fn member(&mut self, member: Member, body: Option<Body>) -> Result<()> {
        let (path, size) = (member.path.clone(), member.node.size());
        let metadata = &member.node.metadata;
        let attributes: usize = metadata.xattrs.iter().map(|xattr| xattr.name.len() + xattr.value.len()).sum();
        self.bytes += MEMBER_BYTES + (2 * path.len() + attributes) as u64;
        self.pieces.push(Piece::Begin(Box::new(member)));
        if let Some(body) = body {
            let taken = self.body(body, size);
            taken.map_err(|error| match error {
                EngineError::Repository(source) => EngineError::Content { path: lossy(&path), source },
                error => error,
            })?;
        }
        self.pieces.push(Piece::End);
        self.turn_if_full()
    }

    fn body(&mut self, body: Body, size: u64) -> Result<()> {
        let at = match body {
            Body::Inline(bytes) => {
                let len = bytes.len() as u64;
                self.bytes += len;
                self.pieces.push(Piece::Bytes(bytes));
                len
            }
            Body::Chunks(ids) => self.chunks(&ids, 0, size)?,
            Body::Lists(lists) => {
                let mut at = 0;
                for list in lists {
                    let ids = match self.fetcher.reader.read_tree(&list, &mut self.buffers)? {
                        Tree::List(ids) => ids,
                        _ => return Err(malformed(&list, "list of chunks").into()),
                    };
                    at = self.chunks(&ids, at, size)?;
                }
                at
            }
        };
        if at == size { Ok(()) } else { Err(wrong_length().into()) }
    }

    /// Takes up chunks from byte `at` of the file on; returns where they end, which is not beyond `size`.
    fn chunks(&mut self, ids: &[ChunkId], mut at: u64, size: u64) -> Result<u64> {
        for id in ids {
            let location = self.fetcher.reader.locate_chunk(id)?;
            let len = u64::from(location.lens[0]);
            // Nothing is given out beyond the length that was announced.
            at = at.checked_add(len).filter(|end| *end <= size).ok_or_else(wrong_length)?;
            self.pieces.push(Piece::Chunk(self.chunks.len()));
            self.chunks.push((*id, location));
            // Empty chunks, which nobody makes, must not come for nothing.
            self.bytes += len.max(64);
            self.turn_if_full()?;
        }
        Ok(at)
    }

    fn turn_if_full(&mut self) -> Result<()> {
        if self.bytes >= self.bytes_max { self.turn() } else { Ok(()) }
    }

    /// Has what was taken up fetched, and gives out the batch before it meanwhile.
    fn turn(&mut self) -> Result<()> {
        let mut fetching = Fetching { chunks: std::mem::take(&mut self.chunks), ..Fetching::default() };
        let jobs = fetching.plan(self.fetcher.reader);
        let next = Batch { pieces: std::mem::take(&mut self.pieces), fetching: Arc::new(fetching) };
        self.bytes = 0;
        for range in jobs {
            self.pool.submit(Job(Arc::clone(&next.fetching), range));
        }
        let before = std::mem::replace(&mut self.before, next);
        let given = self.give(before);
        self.is_over |= given.is_err();
        self.pool.wait_idle();
        given
    }

    fn give(&mut self, batch: Batch) -> Result<()> {
        for piece in batch.pieces {
            if self.fetcher.cx.is_stopped() {
                return Err(EngineError::Interrupted);
            }
            match piece {
                Piece::Begin(member) => self.giving.begin(*member)?,
                Piece::Bytes(bytes) => self.giving.content(&bytes)?,
                Piece::Chunk(number) => {
                    let fetched = batch.fetching.lock()[number].take();
                    let bytes = match fetched {
                        Some(bytes) => bytes,
                        None => self.once_more(&batch.fetching.chunks[number].0)?,
                    };
                    self.giving.content(&bytes)?;
                }
                Piece::End => self.giving.end()?,
            }
        }
        Ok(())
    }

    /// A chunk that could not be fetched with the others: from another copy, or again; or the reason why not.
    fn once_more(&mut self, id: &ChunkId) -> Result<Vec<u8>> {
        let path = || lossy(self.giving.path());
        let read = self.fetcher.reader.read_chunk(id, &mut self.buffers);
        let bytes = read.map_err(|source| EngineError::Content { path: path(), source })?;
        self.fetcher.is_lost.store(false, Ordering::Relaxed);
        Ok(bytes)
    }

    /// Gives out everything that was taken up. What was given out, and whether it is whole, comes back.
    pub(super) fn finish(mut self, walked: Result<()>) -> (Giving<'o>, Result<()>) {
        // What was taken up before something could not be is given out all the same, but not after a gap, nor what was told
        // to end.
        let given = if self.is_over || matches!(walked, Err(EngineError::Interrupted)) {
            Ok(())
        } else {
            self.turn().and_then(|()| self.turn())
        };
        (self.giving, walked.and(given))
    }
}

fn wrong_length() -> RepositoryError {
    let source = FormatError::Invalid { what: "length of the file, which is not that of its chunks" };
    RepositoryError::Damaged { object: "entry".into(), source }
}

fn malformed(tree: &TreeId, what: &'static str) -> RepositoryError {
    RepositoryError::Damaged { object: format!("tree {tree}"), source: FormatError::Invalid { what } }
}

pub(super) fn lossy(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}
