//! Writing packs: blobs are sealed by whoever made them, appended under a lock, and a full pack goes to the publisher.
//!
//! A message number is reserved before sealing, so sealing needs no lock. A pack that is full takes no more reservations and
//! is closed by the last append that was reserved in it; meanwhile the next one is open.

use crate::crypto::aead::Sealer;
use crate::crypto::hash::StoredHasher;
use crate::crypto::sign::Identity;
use crate::format::envelope;
use crate::format::pack::{self, BlobEntry, ChunkEntry, PACK_BLOBS_MAX, PackKind, Trailer};
use crate::format::padme;
use crate::format::sealed::encoded;
use crate::format::segment::PackEntry;
use crate::format::wire::FormatError;
use crate::id::{PackId, SessionId};
use crate::repository::error::{RepositoryError, Result};
use crate::repository::handle::Repository;
use crate::repository::publisher::Publisher;
use crate::storage::{RequestCost, Stage};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Sizes at which packs are closed, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackSize {
    /// From here on a pack is closed where padding costs little.
    pub from: u64,
    /// Here it is closed in any case.
    pub to: u64,
}

impl PackSize {
    /// About 36 MiB for contents, 48 MiB where a request costs something, since each is one; 8 MiB for trees.
    pub fn default_for(kind: PackKind, cost: RequestCost) -> Self {
        match kind {
            PackKind::Data if cost == RequestCost::NONE => Self { from: 32 << 20, to: 44 << 20 },
            PackKind::Data => Self { from: 44 << 20, to: 56 << 20 },
            PackKind::Meta => Self { from: 6 << 20, to: 10 << 20 },
        }
    }

    /// Whether a pack of `len` bytes should be closed: the gap to the next padded length is small, the smaller the earlier.
    fn is_reached(self, len: u64) -> bool {
        let gap = padme::padded(len) - len;
        len >= self.to || (len >= self.from && gap <= (16 << 10) + (len - self.from) / 64)
    }
}

struct OpenPack {
    sealer: Sealer,
    header_len: u32,
    body: Mutex<Option<Body>>,
}

struct Body {
    stage: Box<dyn Stage>,
    hasher: StoredHasher,
    len: u64,
    blobs: Vec<BlobEntry>,
    chunks: usize,
    reserved: usize,
    full: bool,
}

/// A pack is closed at so many chunks, whatever its length: its trailer has a limit too.
const PACK_CHUNKS_MAX: usize = 1 << 18;

/// Writes packs of one kind for one session.
pub struct PackWriter {
    repository: Arc<Repository>,
    identity: Arc<Identity>,
    publisher: Arc<Publisher>,
    kind: PackKind,
    session: SessionId,
    size: PackSize,
    open: Mutex<Option<Arc<OpenPack>>>,
}

impl std::fmt::Debug for PackWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PackWriter").field("kind", &self.kind).finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn seal_error(error: impl std::fmt::Display) -> RepositoryError {
    RepositoryError::Encode { what: "blob", source: FormatError::Seal(error.to_string()) }
}

impl PackWriter {
    /// A writer for packs of `kind`.
    pub fn new(
        repository: Arc<Repository>,
        identity: Arc<Identity>,
        publisher: Arc<Publisher>,
        kind: PackKind,
        session: SessionId,
        size: PackSize,
    ) -> Self {
        Self { repository, identity, publisher, kind, session, size, open: Mutex::new(None) }
    }

    fn start(&self) -> Result<Arc<OpenPack>> {
        let keys = self.repository.keys();
        let recipients: &[&[_]] = match self.kind {
            PackKind::Data => &[&[&keys.index], &[&keys.data]],
            PackKind::Meta => &[&[&keys.index], &[&keys.references], &[&keys.entries]],
        };
        let new =
            envelope::create(self.kind.object_kind(), &self.repository.place(), recipients, self.repository.random())
                .map_err(RepositoryError::encode("pack header"))?;
        let mut stage = self.repository.publish()?.stage()?;
        stage.append(encoded(&new.header))?;
        let mut hasher = StoredHasher::new();
        hasher.update(&new.header);
        let len = new.header.len() as u64;
        let body = Body { stage, hasher, len, blobs: Vec::new(), chunks: 0, reserved: 0, full: false };
        Ok(Arc::new(OpenPack { sealer: new.sealer, header_len: len as u32, body: Mutex::new(Some(body)) }))
    }

    /// The open pack with one more reservation in it.
    fn reserve(&self) -> Result<Arc<OpenPack>> {
        let mut open = lock(&self.open);
        if let Some(pack) = &*open
            && let Some(body) = lock(&pack.body).as_mut().filter(|body| !body.full)
        {
            body.reserved += 1;
            return Ok(Arc::clone(pack));
        }
        let pack = self.start()?;
        if let Some(body) = &mut *lock(&pack.body) {
            body.reserved = 1;
        }
        *open = Some(Arc::clone(&pack));
        Ok(pack)
    }

    /// Seals a blob's parts (codec byte and data) and appends it. With `verify`, every part is opened again and has to be
    /// what went in. Returns the stored bytes.
    ///
    /// # Errors
    /// What the store says; [`RepositoryError::Verification`].
    pub fn write(&self, parts: &mut [&mut Vec<u8>], chunks: Vec<ChunkEntry>, verify: bool) -> Result<u64> {
        let pack = self.reserve()?;
        let before: Vec<Vec<u8>> = if verify { parts.iter().map(|p| p.to_vec()).collect() } else { Vec::new() };
        let number = pack.sealer.number().map_err(seal_error)?;
        let number = pack.sealer.seal(number, 1, parts).map_err(seal_error)?;
        for (index, plain) in before.iter().enumerate() {
            let mut sealed = parts[index].to_vec();
            let opened = pack.sealer.open(number, index + 1, &mut sealed);
            if opened.is_err() || sealed != *plain {
                return Err(RepositoryError::Verification("a sealed blob does not open to what was sealed"));
            }
        }
        let mut stored = [0; 2];
        for (len, part) in stored.iter_mut().zip(parts.iter()) {
            *len = part.len() as u32;
        }
        let entry = BlobEntry { number, stored, chunks };
        let added = entry.stored_len();
        let mut guard = lock(&pack.body);
        let body = guard.as_mut().ok_or(RepositoryError::Thread)?;
        for part in parts.iter() {
            body.stage.append(encoded(part))?;
            body.hasher.update(part);
        }
        body.len += added;
        body.chunks += entry.chunks.len();
        body.blobs.push(entry);
        body.reserved -= 1;
        body.full |= self.size.is_reached(body.len)
            || body.chunks >= PACK_CHUNKS_MAX
            || body.blobs.len() + body.reserved >= PACK_BLOBS_MAX;
        if body.full && body.reserved == 0 {
            let body = guard.take();
            drop(guard);
            self.close(&pack, body)?;
        }
        Ok(added)
    }

    fn close(&self, pack: &OpenPack, body: Option<Body>) -> Result<()> {
        let Some(mut body) = body.filter(|body| !body.blobs.is_empty()) else { return Ok(()) };
        let trailer = Trailer { session: self.session, host: self.identity.host_key(), blobs: body.blobs };
        let end = pack::encode_end(self.kind, &pack.sealer, body.len, &trailer, self.repository.random())
            .map_err(RepositoryError::encode("pack trailer"))?;
        body.stage.append(encoded(&end))?;
        body.hasher.update(&end);
        let signature = self.identity.sign(&body.hasher.finish());
        body.stage.append(encoded(&signature))?;
        body.hasher.update(&signature);
        let size = body.len + (end.len() + signature.len()) as u64;
        let id = PackId::from_bytes(body.hasher.finish());
        let staged = body.stage.finish(self.repository.layout().pack(self.kind, &id), size)?;
        let entry = PackEntry { id, kind: self.kind, size, header_len: pack.header_len, blobs: trailer.blobs };
        self.publisher.submit(staged, entry)
    }

    /// Closes the open pack. No write may be under way.
    ///
    /// # Errors
    /// What the store says.
    pub fn flush(&self) -> Result<()> {
        let Some(pack) = lock(&self.open).take() else { return Ok(()) };
        let body = lock(&pack.body).take();
        self.close(&pack, body)
    }
}
