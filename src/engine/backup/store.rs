//! Where scanned content goes: claimed once, grouped, compressed, sealed, packed.
//!
//! The unit of deduplication is the chunk, the unit of compression the group: neighbouring new chunks share one zstd frame
//! and one seal, which gives small chunks the compression of large ones.

use crate::codec::{Compressor, Decompressor, Level};
use crate::engine::context::{EngineError, Result};
use crate::format::pack::{ChunkEntry, PackKind};
use crate::format::tree::EncodedTree;
use crate::format::wire::FormatError;
use crate::id::{ChunkId, TreeId};
use crate::repository::claims::Claims;
use crate::repository::pack_writer::PackWriter;
use crate::repository::{Repository, RepositoryError};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

/// Consecutive chunks of a large file share up to this many plaintext bytes.
pub(in crate::engine) const LARGE_GROUP_LEN: usize = 1 << 20;
/// Small files that follow each other share up to this many plaintext bytes.
pub(in crate::engine) const SMALL_GROUP_LEN: usize = 512 << 10;
/// Trees share up to this many plaintext bytes.
const META_GROUP_LEN: usize = 128 << 10;
/// One in so many blobs of content is opened and compared again before it is stored; trees always are.
const VERIFY_ONE_IN: u64 = 16;

/// New chunks that will share a blob.
#[derive(Debug, Default)]
pub(in crate::engine) struct Group {
    plain: Vec<u8>,
    chunks: Vec<ChunkEntry>,
}

impl Group {
    pub(in crate::engine) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    pub(in crate::engine) fn len(&self) -> usize {
        self.plain.len()
    }

    fn push(&mut self, id: &ChunkId, bytes: &[u8]) {
        if self.plain.capacity() == 0 {
            self.plain.reserve(LARGE_GROUP_LEN);
        }
        self.plain.extend_from_slice(bytes);
        self.chunks.push(ChunkEntry { key: id.key(), lens: [bytes.len() as u32, 0] });
    }
}

/// Compression state of one thread.
#[derive(Debug)]
pub(in crate::engine) struct Coder {
    compressor: Compressor,
    decompressor: Decompressor,
    packed: Vec<u8>,
    check: Vec<u8>,
}

fn codec_error(error: crate::codec::CodecError) -> EngineError {
    RepositoryError::Encode { what: "compressed data", source: FormatError::Codec(error) }.into()
}

impl Coder {
    pub(in crate::engine) fn new(level: Level) -> Result<Self> {
        Ok(Self {
            compressor: Compressor::new(level).map_err(codec_error)?,
            decompressor: Decompressor::new().map_err(codec_error)?,
            packed: Vec::new(),
            check: Vec::new(),
        })
    }

    fn compress(&mut self, plain: &[u8], verify: bool) -> Result<()> {
        self.compressor.compress(plain, &mut self.packed).map_err(codec_error)?;
        if verify {
            self.decompressor.expand(&self.packed, plain.len(), &mut self.check).map_err(codec_error)?;
            if self.check != plain {
                return Err(RepositoryError::Verification("compressed data does not expand to what it was").into());
            }
        }
        Ok(())
    }
}

#[derive(Debug, Default)]
struct MetaGroup {
    references: Vec<u8>,
    entries: Vec<u8>,
    chunks: Vec<ChunkEntry>,
}

/// What was added.
#[derive(Debug, Default)]
pub(in crate::engine) struct Added {
    pub(in crate::engine) chunks_new: AtomicU64,
    pub(in crate::engine) chunks_known: AtomicU64,
    pub(in crate::engine) plain_bytes: AtomicU64,
}

/// The sink of all content of one session.
#[derive(Debug)]
pub(in crate::engine) struct Store {
    repository: Arc<Repository>,
    claims: Claims,
    data: PackWriter,
    meta: PackWriter,
    meta_group: Mutex<(MetaGroup, Coder)>,
    blobs: AtomicU64,
    dry_run: bool,
    pub(in crate::engine) added: Added,
}

impl Store {
    pub(in crate::engine) fn new(
        repository: Arc<Repository>,
        claims: Claims,
        data: PackWriter,
        meta: PackWriter,
        dry_run: bool,
    ) -> Result<Self> {
        let coder = Coder::new(Level::default())?;
        let meta_group = Mutex::new((MetaGroup::default(), coder));
        let (blobs, added) = (AtomicU64::new(0), Added::default());
        Ok(Self { repository, claims, data, meta, meta_group, blobs, dry_run, added })
    }

    /// Names a chunk, and puts it into `group` if nobody has stored it.
    pub(in crate::engine) fn add_chunk(&self, bytes: &[u8], group: &mut Group) -> ChunkId {
        let id = self.repository.keys().hasher.chunk(bytes);
        if self.claims.claim(PackKind::Data, id.key()) {
            group.push(&id, bytes);
            self.added.chunks_new.fetch_add(1, Relaxed);
            self.added.plain_bytes.fetch_add(bytes.len() as u64, Relaxed);
        } else {
            self.added.chunks_known.fetch_add(1, Relaxed);
        }
        id
    }

    /// Compresses, seals and packs a group; it is empty afterwards and keeps its buffer.
    pub(in crate::engine) fn seal(&self, group: &mut Group, coder: &mut Coder) -> Result<()> {
        if group.is_empty() {
            return Ok(());
        }
        let verify = self.blobs.fetch_add(1, Relaxed).is_multiple_of(VERIFY_ONE_IN);
        coder.compress(&group.plain, verify)?;
        let chunks = std::mem::take(&mut group.chunks);
        group.plain.clear();
        if !self.dry_run {
            self.data.write(&mut [&mut coder.packed], chunks, verify)?;
        }
        Ok(())
    }

    /// Names a tree or list, and stores it if nobody has.
    pub(in crate::engine) fn add_tree(&self, encoded: &EncodedTree) -> Result<TreeId> {
        let id = self.repository.keys().hasher.tree(&encoded.references, &encoded.entries);
        if !self.claims.claim(PackKind::Meta, id.key()) {
            return Ok(id);
        }
        let lens = [encoded.references.len() as u32, encoded.entries.len() as u32];
        self.added.plain_bytes.fetch_add(u64::from(lens[0]) + u64::from(lens[1]), Relaxed);
        let mut guard = self.meta_group.lock().unwrap_or_else(PoisonError::into_inner);
        let (group, coder) = &mut *guard;
        let len = group.references.len() + group.entries.len();
        if len > 0 && len + encoded.references.len() + encoded.entries.len() > META_GROUP_LEN {
            self.seal_meta(group, coder)?;
        }
        group.references.extend_from_slice(&encoded.references);
        group.entries.extend_from_slice(&encoded.entries);
        group.chunks.push(ChunkEntry { key: id.key(), lens });
        Ok(id)
    }

    fn seal_meta(&self, group: &mut MetaGroup, coder: &mut Coder) -> Result<()> {
        if group.chunks.is_empty() {
            return Ok(());
        }
        coder.compress(&group.references, true)?;
        let mut references = std::mem::take(&mut coder.packed);
        coder.compress(&group.entries, true)?;
        let chunks = std::mem::take(&mut group.chunks);
        group.references.clear();
        group.entries.clear();
        if !self.dry_run {
            self.meta.write(&mut [&mut references, &mut coder.packed], chunks, true)?;
        }
        Ok(())
    }

    /// Seals what is grouped and closes the open packs. No other thread may be adding.
    pub(in crate::engine) fn flush(&self) -> Result<()> {
        let mut guard = self.meta_group.lock().unwrap_or_else(PoisonError::into_inner);
        let (group, coder) = &mut *guard;
        self.seal_meta(group, coder)?;
        self.data.flush()?;
        self.meta.flush()?;
        Ok(())
    }
}
