//! Reading packs: blobs by number, trees by id; whatever is returned has been opened and has the id it was asked for by.

use crate::codec::Decompressor;
use crate::format::envelope::{self, FIXED_LEN, HEADER_LEN_MAX, OpenEnvelope};
use crate::format::pack::{self, FOOTER_LEN, PackKind, Trailer};
use crate::format::tree::{self, Tree};
use crate::format::wire::FormatError;
use crate::id::{ChunkId, IndexKey, TreeId};
use crate::object::ObjectName;
use crate::repository::error::{RepositoryError, Result};
use crate::repository::handle::Repository;
use crate::repository::index::{BlobIndex, BlobInfo, Index, Location, PackInfo};
use crate::storage::{ErrorKind, StorageError};
use std::collections::HashMap;
use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};

/// Opened pack headers kept; about 200 bytes each.
const HEADERS_MAX: usize = 4096;
/// Plaintext bytes of meta blobs kept.
const CACHE_BYTES_MAX: usize = 12 << 20;

/// Buffers of one reading thread.
#[derive(Debug)]
pub struct ReadBuffers {
    sealed: Vec<u8>,
    decompressor: Decompressor,
    /// The plaintext of the blob read last, one part after the other.
    pub plain: [Vec<u8>; 2],
    ahead: Option<Ahead>,
}

/// Bytes of a pack that were asked for ahead.
struct Ahead {
    pack: u32,
    /// The next byte to come.
    at: u64,
    end: u64,
    bytes: Box<dyn Read + Send>,
}

impl std::fmt::Debug for Ahead {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ahead({}, {}..{})", self.pack, self.at, self.end)
    }
}

impl Ahead {
    /// The next bytes from `offset` on; what is between is left out.
    fn read(&mut self, offset: u64, buf: &mut [u8]) -> std::io::Result<()> {
        let between = offset.saturating_sub(self.at);
        let skipped = std::io::copy(&mut (&mut self.bytes).take(between), &mut std::io::sink())?;
        self.at += skipped;
        if skipped < between {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        self.bytes.read_exact(buf)?;
        self.at += buf.len() as u64;
        Ok(())
    }
}

impl ReadBuffers {
    /// Empty buffers.
    ///
    /// # Errors
    /// When the decompressor cannot be set up.
    pub fn new() -> Result<Self> {
        let decompressor = Decompressor::new()
            .map_err(|e| RepositoryError::Encode { what: "decompressor", source: FormatError::Codec(e) })?;
        let plain = [Vec::new(), Vec::new()];
        Ok(Self { sealed: Vec::new(), decompressor, plain, ahead: None })
    }

    /// Takes a range of a pack from what was asked for ahead into `sealed`, if it is still to come.
    ///
    /// # Errors
    /// That the store is out of reach: asking for the range alone would take as long to say the same.
    fn take_ahead(&mut self, pack: u32, offset: u64, len: usize) -> std::result::Result<bool, StorageError> {
        let end = offset.saturating_add(len as u64);
        let Some(ahead) = self.ahead.as_mut().filter(|a| a.pack == pack && a.at <= offset && end <= a.end) else {
            return Ok(false);
        };
        self.sealed.resize(len, 0);
        let read = ahead.read(offset, &mut self.sealed);
        if read.is_err() || ahead.at == ahead.end {
            self.ahead = None;
        }
        let Err(error) = read else { return Ok(true) };
        match error.into_inner().and_then(|inner| inner.downcast::<StorageError>().ok()) {
            Some(error) if matches!(error.kind, ErrorKind::Transient | ErrorKind::StoreMissing) => Err(*error),
            _ => Ok(false),
        }
    }
}

/// A blob's plaintext parts, shared.
type Parts = Arc<[Vec<u8>; 2]>;

#[derive(Debug, Default)]
struct BlobCache {
    blobs: HashMap<BlobIndex, (u64, Parts)>,
    bytes: usize,
    tick: u64,
}

impl BlobCache {
    fn get(&mut self, blob: BlobIndex) -> Option<Parts> {
        self.tick += 1;
        let tick = self.tick;
        self.blobs.get_mut(&blob).map(|(used, parts)| {
            *used = tick;
            Arc::clone(parts)
        })
    }

    fn put(&mut self, blob: BlobIndex, parts: Parts) {
        let len = parts[0].len() + parts[1].len();
        while self.bytes + len > CACHE_BYTES_MAX && !self.blobs.is_empty() {
            let oldest = self.blobs.iter().min_by_key(|(_, (used, _))| *used).map(|(blob, _)| *blob);
            let Some((_, parts)) = oldest.and_then(|blob| self.blobs.remove(&blob)) else { break };
            self.bytes -= parts[0].len() + parts[1].len();
        }
        self.tick += 1;
        if self.blobs.insert(blob, (self.tick, parts)).is_none() {
            self.bytes += len;
        }
    }
}

/// Reads what an index names.
#[derive(Debug)]
pub struct PackReader {
    repository: Arc<Repository>,
    index: Arc<Index>,
    headers: Mutex<HashMap<u32, Arc<OpenEnvelope>>>,
    cache: Mutex<BlobCache>,
}

impl PackReader {
    /// A reader of `index`'s packs.
    pub fn new(repository: Arc<Repository>, index: Arc<Index>) -> Self {
        Self { repository, index, headers: Mutex::default(), cache: Mutex::default() }
    }

    /// The index.
    pub fn index(&self) -> &Arc<Index> {
        &self.index
    }

    /// The repository.
    pub fn repository(&self) -> &Arc<Repository> {
        &self.repository
    }

    /// A pack's object name.
    pub fn pack_name(&self, pack: &PackInfo) -> ObjectName {
        self.repository.layout().pack(pack.kind, &pack.id)
    }

    /// The pack that a blob is in.
    pub fn pack_of(&self, blob: BlobIndex) -> &PackInfo {
        &self.index.packs()[self.index.blob(blob).pack as usize]
    }

    fn header(&self, number: u32) -> Result<Arc<OpenEnvelope>> {
        let lock = || self.headers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = lock().get(&number) {
            return Ok(Arc::clone(open));
        }
        let pack = &self.index.packs()[number as usize];
        let name = self.pack_name(pack);
        let mut bytes = vec![0; pack.header_len as usize];
        self.repository.fetch().read_range(&name, 0, &mut bytes)?;
        let open = open_header(&self.repository, pack.kind, &name, &bytes)?;
        self.remember_header(number, Arc::clone(&open));
        Ok(open)
    }

    fn remember_header(&self, number: u32, open: Arc<OpenEnvelope>) {
        let mut headers = self.headers.lock().unwrap_or_else(PoisonError::into_inner);
        if headers.len() >= HEADERS_MAX {
            headers.clear();
        }
        headers.insert(number, open);
    }

    /// Reads a blob's plaintext into `buffers.plain`.
    ///
    /// # Errors
    /// What the store says; damage.
    pub fn read_blob(&self, blob: BlobIndex, buffers: &mut ReadBuffers) -> Result<()> {
        let info = *self.index.blob(blob);
        let pack = &self.index.packs()[info.pack as usize];
        let name = self.pack_name(pack);
        let mut offset = u64::from(info.offset);
        for part in 0..pack.kind.parts() {
            let len = info.stored[part] as usize;
            if !buffers.take_ahead(info.pack, offset, len)? {
                buffers.sealed.resize(len, 0);
                self.repository.fetch().read_range(&name, offset, &mut buffers.sealed)?;
            }
            self.open_part(info.pack, part, info.number.into(), info.plain[part] as usize, buffers)?;
            offset += u64::from(info.stored[part]);
        }
        Ok(())
    }

    /// Asks for the blobs from `first` to `last`, of one pack, with one request, and what is between them; the next calls of
    /// [`PackReader::read_blob`] with the same buffers take them from there, in this order. If it fails, they ask for
    /// themselves. Does nothing where a store gains nothing by it.
    ///
    /// # Errors
    /// That the store is out of reach.
    pub fn read_ahead(&self, first: BlobIndex, last: BlobIndex, buffers: &mut ReadBuffers) -> Result<()> {
        let (from, to) = (self.index.blob(first), self.index.blob(last));
        let pack = &self.index.packs()[from.pack as usize];
        let is_header_known = self.headers.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&from.pack);
        // The header comes along where it is near.
        let gap = self.repository.fetch().request_cost().gap;
        let start = if !is_header_known && u64::from(from.offset) <= gap { 0 } else { u64::from(from.offset) };
        let end = u64::from(to.offset) + u64::from(to.stored[0]) + u64::from(to.stored[1]);
        let name = self.pack_name(pack);
        let bytes = self.repository.fetch().stream(&name, start, end.saturating_sub(start));
        buffers.ahead = bytes.map(|bytes| Ahead { pack: from.pack, at: start, end, bytes });
        if start == 0
            && buffers.take_ahead(from.pack, 0, pack.header_len as usize)?
            && let Ok(open) = open_header(&self.repository, pack.kind, &name, &buffers.sealed)
        {
            self.remember_header(from.pack, open);
        }
        Ok(())
    }

    /// Whether one request should bring both `last` and `next`, having begun with `first`.
    pub fn reads_together(&self, first: BlobIndex, last: BlobIndex, next: BlobIndex) -> bool {
        let cost = self.repository.fetch().request_cost();
        let [first, last, next] = [first, last, next].map(|blob| self.index.blob(blob));
        let end = |blob: &BlobInfo| u64::from(blob.offset) + u64::from(blob.stored[0]) + u64::from(blob.stored[1]);
        first.pack == next.pack
            && u64::from(next.offset).checked_sub(end(last)).is_some_and(|between| between <= cost.gap)
            && end(next) - u64::from(first.offset) <= cost.span
    }

    /// Opens and expands the sealed bytes that were read last into a part of `buffers.plain`.
    fn open_part(
        &self,
        pack: u32,
        part: usize,
        number: u64,
        plain_len: usize,
        buffers: &mut ReadBuffers,
    ) -> Result<()> {
        let open = self.header(pack)?;
        let damaged = |e| RepositoryError::damaged(&self.pack_name(&self.index.packs()[pack as usize]), e);
        open.open(part + 1, number, "blob", &mut buffers.sealed).map_err(damaged)?;
        buffers.decompressor.expand(&buffers.sealed, plain_len, &mut buffers.plain[part]).map_err(|e| damaged(e.into()))
    }

    /// Where a chunk is.
    ///
    /// # Errors
    /// [`RepositoryError::MissingChunk`].
    pub fn locate_chunk(&self, id: &ChunkId) -> Result<Location> {
        self.index.find(PackKind::Data, &id.key()).ok_or(RepositoryError::MissingChunk(*id))
    }

    /// Where a tree or list is.
    ///
    /// # Errors
    /// [`RepositoryError::MissingTree`].
    pub fn locate_tree(&self, id: &TreeId) -> Result<Location> {
        self.index.find(PackKind::Meta, &id.key()).ok_or(RepositoryError::MissingTree(*id))
    }

    /// The bytes of a chunk within its blob's plaintext, if they are that chunk's.
    ///
    /// # Errors
    /// Damage, when the id differs.
    pub fn check_chunk<'a>(&self, id: &ChunkId, location: &Location, plain: &'a [u8]) -> Result<&'a [u8]> {
        let bytes = slice(plain, location, 0);
        match bytes {
            Some(bytes) if self.repository.keys().hasher.chunk(bytes) == *id => Ok(bytes),
            _ => Err(self.wrong_id(location)),
        }
    }

    fn wrong_id(&self, location: &Location) -> RepositoryError {
        RepositoryError::damaged(&self.pack_name(self.pack_of(location.blob)), FormatError::WrongId)
    }

    /// Reads one chunk.
    ///
    /// # Errors
    /// [`RepositoryError::MissingChunk`]; what the store says; damage of every copy: the first one's.
    pub fn read_chunk(&self, id: &ChunkId, buffers: &mut ReadBuffers) -> Result<Vec<u8>> {
        let location = self.locate_chunk(id)?;
        self.read_chunk_at(id, &location, buffers)
            .or_else(|error| self.read_spare_chunk(id, location.blob, buffers).ok_or(error))
    }

    fn read_chunk_at(&self, id: &ChunkId, location: &Location, buffers: &mut ReadBuffers) -> Result<Vec<u8>> {
        self.read_blob(location.blob, buffers)?;
        self.check_chunk(id, location, &buffers.plain[0]).map(<[u8]>::to_vec)
    }

    /// Reads one chunk from another blob than `damaged`, if one has it and can be read.
    pub fn read_spare_chunk(&self, id: &ChunkId, damaged: BlobIndex, buffers: &mut ReadBuffers) -> Option<Vec<u8>> {
        let key = id.key();
        let first = self.index.find(PackKind::Data, &key);
        let copies = first.into_iter().chain(self.index.find_spare(PackKind::Data, &key));
        copies.filter(|at| at.blob != damaged).find_map(|at| self.read_chunk_at(id, &at, buffers).ok())
    }

    /// Reads the chunk that the index knows by this key, if it knows one, and says its id.
    ///
    /// # Errors
    /// What the store says; damage.
    pub fn find_chunk(&self, key: &IndexKey, buffers: &mut ReadBuffers) -> Result<Option<(ChunkId, Vec<u8>)>> {
        let Some(location) = self.index.find(PackKind::Data, key) else { return Ok(None) };
        self.read_blob(location.blob, buffers)?;
        let bytes = slice(&buffers.plain[0], &location, 0).ok_or_else(|| self.wrong_id(&location))?.to_vec();
        let id = self.repository.keys().hasher.chunk(&bytes);
        if id.key() == *key { Ok(Some((id, bytes))) } else { Err(self.wrong_id(&location)) }
    }

    /// Reads the tree or list that the index knows by this key, if it knows one, and says its id.
    ///
    /// # Errors
    /// What the store says; damage.
    pub fn find_tree(&self, key: &IndexKey, buffers: &mut ReadBuffers) -> Result<Option<(TreeId, Tree)>> {
        let Some(location) = self.index.find(PackKind::Meta, key) else { return Ok(None) };
        self.read_blob(location.blob, buffers)?;
        let parts = [slice(&buffers.plain[0], &location, 0), slice(&buffers.plain[1], &location, 1)];
        let [Some(references), Some(entries)] = parts else { return Err(self.wrong_id(&location)) };
        let id = self.repository.keys().hasher.tree(references, entries);
        if id.key() == *key { Ok(Some((id, self.read_tree(&id, buffers)?))) } else { Err(self.wrong_id(&location)) }
    }

    /// Reads a tree or list.
    ///
    /// # Errors
    /// [`RepositoryError::MissingTree`]; what the store says; damage of every copy: the first one's.
    pub fn read_tree(&self, id: &TreeId, buffers: &mut ReadBuffers) -> Result<Tree> {
        let location = self.locate_tree(id)?;
        self.read_tree_at(id, &location, buffers).or_else(|error| {
            let key = id.key();
            let mut copies = self.index.find_spare(PackKind::Meta, &key);
            copies.find_map(|at| self.read_tree_at(id, &at, buffers).ok()).ok_or(error)
        })
    }

    fn read_tree_at(&self, id: &TreeId, location: &Location, buffers: &mut ReadBuffers) -> Result<Tree> {
        let lock = || self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let cached = lock().get(location.blob);
        let parts = match cached {
            Some(parts) => parts,
            None => {
                self.read_blob(location.blob, buffers)?;
                let parts = Arc::new([buffers.plain[0].clone(), buffers.plain[1].clone()]);
                lock().put(location.blob, Arc::clone(&parts));
                parts
            }
        };
        let (Some(references), Some(entries)) = (slice(&parts[0], location, 0), slice(&parts[1], location, 1)) else {
            return Err(self.wrong_id(location));
        };
        if self.repository.keys().hasher.tree(references, entries) != *id {
            return Err(self.wrong_id(location));
        }
        tree::decode(references, entries)
            .map_err(|e| RepositoryError::damaged(&self.pack_name(self.pack_of(location.blob)), e))
    }
}

fn slice<'a>(plain: &'a [u8], location: &Location, part: usize) -> Option<&'a [u8]> {
    let start = location.offsets[part] as usize;
    plain.get(start..start + location.lens[part] as usize)
}

fn open_header(repository: &Repository, kind: PackKind, name: &ObjectName, bytes: &[u8]) -> Result<Arc<OpenEnvelope>> {
    let keys = repository.keys();
    let all = [&keys.index, &keys.references, &keys.entries, &keys.data];
    envelope::open(bytes, kind.object_kind(), &repository.place(), &all)
        .map(Arc::new)
        .map_err(|e| RepositoryError::damaged(name, e))
}

/// What a pack that no index names says of itself. Its content is not checked.
///
/// # Errors
/// What the store says; damage.
pub fn read_trailer(repository: &Repository, kind: PackKind, name: &ObjectName, size: u64) -> Result<(u32, Trailer)> {
    let damaged = |e| RepositoryError::damaged(name, e);
    if size < (FIXED_LEN + FOOTER_LEN) as u64 {
        return Err(damaged(FormatError::Truncated { what: "pack" }));
    }
    let mut start = vec![0; HEADER_LEN_MAX.min(4096).min(size as usize)];
    repository.fetch().read_range(name, 0, &mut start)?;
    let header_len = envelope::header_len(&start).map_err(damaged)?;
    if header_len > start.len() {
        start.resize(header_len.min(size as usize), 0);
        repository.fetch().read_range(name, 0, &mut start)?;
    }
    let header = start.get(..header_len).ok_or_else(|| damaged(FormatError::Truncated { what: "pack header" }))?;
    let open = open_header(repository, kind, name, header)?;
    let mut footer = [0; FOOTER_LEN];
    repository.fetch().read_range(name, size - FOOTER_LEN as u64, &mut footer)?;
    let end_len = pack::end_len(&footer).map_err(damaged)? as u64;
    if end_len > size {
        return Err(damaged(FormatError::Truncated { what: "pack trailer" }));
    }
    let mut end = vec![0; end_len as usize];
    repository.fetch().read_range(name, size - end_len, &mut end)?;
    let trailer = pack::decode_end(kind, &open, &end).map_err(damaged)?;
    Ok((header_len as u32, trailer))
}
