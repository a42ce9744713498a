//! Data: every pack that was chosen read from front to back once. Its bytes are hashed for its name and signature, every blob of it is
//! opened and expanded, and every chunk's id is computed again. What holds a pack in memory is a piece and a blob.

use crate::crypto::hash::StoredHasher;
use crate::crypto::sign::{self, SIGNATURE_LEN};
use crate::engine::check::findings::{Findings, Reach};
use crate::engine::check::objects::Cells;
use crate::engine::check::report::{CheckCounts, Problem};
use crate::engine::check::subset::Chosen;
use crate::engine::context::{Context, EngineError, Result, chain};
use crate::engine::pool;
use crate::format::envelope::{self, OpenEnvelope};
use crate::format::pack::{self, BlobEntry, FOOTER_LEN, PackKind};
use crate::format::segment::PackEntry;
use crate::format::wire::FormatError;
use crate::id::{IndexKey, PackId};
use crate::object::ObjectName;
use crate::progress::Event;
use crate::repository::RepositoryError;
use crate::repository::pack_reader::PackReader;
use crate::storage::{Listed, StorageError};
use std::collections::HashSet;
use std::io::Read;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Bytes read at a time.
const PIECE_LEN: u64 = 1 << 20;
/// Longest end of a pack: padding, trailer and footer.
const END_LEN_MAX: u64 = 64 << 20;

enum Job {
    Pack(Box<PackEntry>),
    /// A pack that nothing refers to: only its name is checked.
    Unreferenced(Listed),
}

/// Buffers of one worker.
struct Buffers {
    piece: Vec<u8>,
    sealed: Vec<u8>,
    plain: [Vec<u8>; 2],
    decompressor: crate::codec::Decompressor,
}

#[derive(Default)]
struct Totals {
    bytes: AtomicU64,
    blobs: AtomicU64,
    chunks: AtomicU64,
    plain: AtomicU64,
}

/// Reads the chosen packs.
///
/// # Errors
/// [`EngineError::Interrupted`]; when there is no memory for buffers.
pub(super) fn check(
    cx: &Context,
    cells: &Cells,
    (chosen, reader): (&Chosen, &PackReader),
    unreferenced: &[Listed],
    findings: &Findings<'_>,
    counts: &mut CheckCounts,
) -> Result<()> {
    let packs = reader.index().packs().iter().filter(|pack| chosen.has(&pack.id));
    let (entries, bytes) = packs.fold((0, 0_u64), |(n, bytes), pack| (n + 1, bytes.saturating_add(pack.size)));
    cx.event(&Event::Total { entries, bytes });
    counts.packs_read = entries;
    let totals = Totals::default();
    let buffers = || {
        let decompressor = crate::codec::Decompressor::new()
            .map_err(|e| RepositoryError::Encode { what: "decompressor", source: FormatError::Codec(e) })?;
        Ok(Buffers { piece: Vec::new(), sealed: Vec::new(), plain: [Vec::new(), Vec::new()], decompressor })
    };
    let work = |buffers: &mut Buffers, job: Job| match job {
        Job::Pack(entry) => Pack::new(cx, findings, &totals, &entry).check(buffers),
        Job::Unreferenced(object) => check_unreferenced(cx, findings, &object, buffers),
    };
    pool::run(cx.readers(), buffers, work, |pool| {
        let mut done: HashSet<PackId> = HashSet::new();
        for id in cells.segments() {
            // Segments that cannot be read are reported already; without them there is nothing to compare with.
            for entry in cx.repository.load_segment(&id).unwrap_or_default() {
                if cx.is_stopped() {
                    return Err(EngineError::Interrupted);
                }
                if chosen.has(&entry.id) && done.insert(entry.id) {
                    pool.submit(Job::Pack(Box::new(entry)));
                }
            }
        }
        let is_chosen = |object: &&Listed| PackId::from_hex(object.name.last_part()).is_ok_and(|id| chosen.has(&id));
        for object in unreferenced.iter().filter(is_chosen) {
            pool.submit(Job::Unreferenced(object.clone()));
        }
        pool.wait_idle();
        Ok(())
    })?;
    counts.bytes_read = totals.bytes.into_inner();
    counts.blobs_read = totals.blobs.into_inner();
    counts.chunks_read = totals.chunks.into_inner();
    counts.plain_bytes_read = totals.plain.into_inner();
    Ok(())
}

/// Reads an object from front to back.
struct Stream<'a> {
    cx: &'a Context,
    name: &'a ObjectName,
    size: u64,
    /// Read so far.
    at: u64,
    /// Taken of the piece.
    taken: usize,
    hasher: StoredHasher,
    /// The hash of all but the signature, once that much was read.
    signed: [u8; 32],
    /// All of it with one request, where that is better.
    whole: Option<Box<dyn Read + Send>>,
}

impl<'a> Stream<'a> {
    fn new(cx: &'a Context, name: &'a ObjectName, size: u64, piece: &mut Vec<u8>) -> Self {
        piece.clear();
        let whole = cx.repository.fetch().stream(name, 0, size);
        Self { cx, name, size, at: 0, taken: 0, hasher: StoredHasher::new(), signed: [0; 32], whole }
    }

    /// Takes the next `len` bytes; into `out` if there is one.
    fn take(
        &mut self,
        mut len: u64,
        piece: &mut Vec<u8>,
        mut out: Option<&mut Vec<u8>>,
    ) -> std::result::Result<(), StorageError> {
        if let Some(out) = &mut out {
            out.clear();
        }
        while len > 0 {
            if self.taken == piece.len() {
                self.fill(piece)?;
            }
            let part = (piece.len() - self.taken).min(usize::try_from(len).unwrap_or(usize::MAX));
            if let Some(out) = &mut out {
                out.extend_from_slice(&piece[self.taken..self.taken + part]);
            }
            self.taken += part;
            len -= part as u64;
        }
        Ok(())
    }

    fn fill(&mut self, piece: &mut Vec<u8>) -> std::result::Result<(), StorageError> {
        // A piece never goes across the beginning of the signature, so that the hash before it can be told.
        let signature = self.size.saturating_sub(SIGNATURE_LEN as u64);
        let end = if self.at < signature { signature } else { self.size };
        let len = (end - self.at).min(PIECE_LEN) as usize;
        if len == 0 {
            let detail = "it ends too early";
            return Err(StorageError::new("read", self.name, crate::storage::ErrorKind::Truncated, detail));
        }
        piece.resize(len, 0);
        self.taken = len;
        let is_read = self.whole.as_mut().is_some_and(|whole| whole.read_exact(piece).is_ok());
        if !is_read {
            // Why it failed, if it did, is said by asking for this piece alone.
            self.whole = None;
            self.cx.repository.fetch().read_range(self.name, self.at, piece)?;
        }
        self.taken = 0;
        self.hasher.update(piece);
        self.at += len as u64;
        if self.at == signature {
            self.signed = self.hasher.finish();
        }
        self.cx.event(&Event::Bytes { count: len as u64 });
        Ok(())
    }

    /// Bytes given out so far.
    fn position(&self, piece: &[u8]) -> u64 {
        self.at - (piece.len() - self.taken) as u64
    }
}

fn check_unreferenced(cx: &Context, findings: &Findings<'_>, object: &Listed, buffers: &mut Buffers) {
    let mut stream = Stream::new(cx, &object.name, object.size, &mut buffers.piece);
    let warn = |what: String| findings.warning(Problem::new(object.name.as_str(), what));
    match stream.take(object.size, &mut buffers.piece, None) {
        Ok(()) if PackId::from_bytes(stream.hasher.finish()).to_string() == object.name.last_part() => {}
        Ok(()) => warn("is in no index segment, and its bytes do not have the hash that is its name".into()),
        Err(error) => warn(format!("is in no index segment: {error}")),
    }
}

/// One pack and what the index says of it.
struct Pack<'a> {
    cx: &'a Context,
    findings: &'a Findings<'a>,
    totals: &'a Totals,
    entry: &'a PackEntry,
    name: ObjectName,
}

impl<'a> Pack<'a> {
    fn new(cx: &'a Context, findings: &'a Findings<'a>, totals: &'a Totals, entry: &'a PackEntry) -> Self {
        let name = cx.repository.layout().pack(entry.kind, &entry.id);
        Self { cx, findings, totals, entry, name }
    }

    fn error(&self, offset: Option<u64>, what: impl Into<String>, reach: Reach) {
        self.findings.error(Problem { offset, ..Problem::new(self.name.as_str(), what) }, reach);
    }

    fn check(&self, buffers: &mut Buffers) {
        let mut stream = Stream::new(self.cx, &self.name, self.entry.size, &mut buffers.piece);
        let header_len = u64::from(self.entry.header_len);
        let mut is_read = true;
        if let Err(error) = self.read(0, header_len, &mut stream, &mut is_read, buffers) {
            // A missing pack was reported when packs were listed.
            if !error.is_not_found() {
                self.error(Some(0), error.to_string(), Reach::Pack(self.entry.id));
            }
            return;
        }
        let keys = self.cx.repository.keys();
        let recipients = [&keys.index, &keys.references, &keys.entries, &keys.data];
        let place = self.cx.repository.place();
        let open = envelope::open(&buffers.sealed, self.entry.kind.object_kind(), &place, &recipients);
        let open = match open {
            Ok(open) => open,
            Err(error) => {
                self.error(Some(0), format!("header: {}", chain(&error)), Reach::Pack(self.entry.id));
                return;
            }
        };
        self.blobs(&open, &mut stream, &mut is_read, buffers);
        if self.cx.is_stopped() {
            return;
        }
        if is_read {
            self.end(&open, &mut stream, buffers);
        } else {
            let what = "cannot be read from front to back: its name and signature are not checked";
            self.error(None, what, Reach::Nothing);
        }
        self.totals.bytes.fetch_add(stream.at, Relaxed);
        self.cx.event(&Event::EntryDone { size: self.entry.size, unchanged: false });
    }

    /// Reads the next bytes into `buffers.sealed`. After a read error everything is read by itself: the rest may be good.
    fn read(
        &self,
        at: u64,
        len: u64,
        stream: &mut Stream<'_>,
        is_read: &mut bool,
        buffers: &mut Buffers,
    ) -> std::result::Result<(), StorageError> {
        if *is_read && stream.take(len, &mut buffers.piece, Some(&mut buffers.sealed)).is_ok() {
            return Ok(());
        }
        *is_read = false;
        buffers.sealed.resize(len as usize, 0);
        self.cx.repository.fetch().read_range(&self.name, at, &mut buffers.sealed)
    }

    /// Opens all blobs.
    fn blobs(&self, open: &OpenEnvelope, stream: &mut Stream<'_>, is_read: &mut bool, buffers: &mut Buffers) {
        let mut offset = self.entry.header_len;
        for blob in &self.entry.blobs {
            if self.cx.is_stopped() {
                return;
            }
            let reach = Reach::Blob(self.entry.id, offset);
            let mut at = u64::from(offset);
            for part in 0..self.entry.kind.parts() {
                let len = u64::from(blob.stored[part]);
                let read = self.read(at, len, stream, is_read, buffers);
                let opened = read.map_err(|error| error.to_string()).and_then(|()| {
                    open.open(part + 1, blob.number, "blob", &mut buffers.sealed).map_err(|e| chain(&e))?;
                    let (sealed, plain) = (&buffers.sealed, &mut buffers.plain[part]);
                    buffers.decompressor.expand(sealed, blob.plain_len(part), plain).map_err(|e| chain(&e))
                });
                if let Err(what) = opened {
                    buffers.plain[part].clear();
                    self.error(Some(at), what, reach.clone());
                    // The other part is taken all the same, so that the stream stays where it should be.
                }
                at += len;
            }
            self.chunks(blob, offset, &buffers.plain);
            offset += blob.stored_len() as u32;
            self.totals.blobs.fetch_add(1, Relaxed);
            let plain: usize = buffers.plain[..self.entry.kind.parts()].iter().map(Vec::len).sum();
            self.totals.plain.fetch_add(plain as u64, Relaxed);
        }
    }

    /// Computes every chunk's id. Of a blob that did not open that is reported already.
    fn chunks(&self, blob: &BlobEntry, offset: u32, plain: &[Vec<u8>; 2]) {
        let hasher = &self.cx.repository.keys().hasher;
        let parts = self.entry.kind.parts();
        if (0..parts).any(|part| plain[part].len() != blob.plain_len(part)) {
            return;
        }
        self.totals.chunks.fetch_add(blob.chunks.len() as u64, Relaxed);
        let mut at = [0_usize; 2];
        for chunk in &blob.chunks {
            let range = |part: usize| at[part]..at[part] + chunk.lens[part] as usize;
            let key: IndexKey = match self.entry.kind {
                PackKind::Data => hasher.chunk(&plain[0][range(0)]).key(),
                PackKind::Meta => hasher.tree(&plain[0][range(0)], &plain[1][range(1)]).key(),
            };
            if key != chunk.key {
                let what = format!("chunk {} has another id than the index says", chunk.key);
                self.error(Some(offset.into()), what, Reach::Chunk(chunk.key));
            }
            at = [at[0] + chunk.lens[0] as usize, at[1] + chunk.lens[1] as usize];
        }
    }

    /// Padding, trailer, footer, signature and name.
    fn end(&self, open: &OpenEnvelope, stream: &mut Stream<'_>, buffers: &mut Buffers) {
        let at = stream.position(&buffers.piece);
        match self.read_end(open, stream, buffers) {
            Ok((host, signature)) => {
                if PackId::from_bytes(stream.hasher.finish()) != self.entry.id {
                    self.error(None, "its bytes do not have the hash that is its name", Reach::Nothing);
                }
                if let Some(host) = host
                    && let Err(error) = sign::verify(&host, &stream.signed, &signature)
                {
                    self.error(None, format!("signature of host {host}: {error}"), Reach::Nothing);
                }
            }
            Err(what) => self.error(Some(at), what, Reach::Nothing),
        }
    }

    fn read_end(
        &self,
        open: &OpenEnvelope,
        stream: &mut Stream<'_>,
        buffers: &mut Buffers,
    ) -> std::result::Result<(Option<crate::id::HostKey>, [u8; SIGNATURE_LEN]), String> {
        let (size, at) = (self.entry.size, stream.position(&buffers.piece));
        let left = size.checked_sub(at).filter(|left| *left <= END_LEN_MAX).ok_or("its end is longer than any")?;
        stream.take(left, &mut buffers.piece, Some(&mut buffers.sealed)).map_err(|e| e.to_string())?;
        let footer = buffers.sealed.last_chunk::<FOOTER_LEN>().ok_or("ends before its footer")?;
        let end_len = pack::end_len(footer)
            .map_err(|e| chain(&e))
            .and_then(|len| if len as u64 <= left { Ok(len) } else { Err("its trailer overlaps its blobs".into()) });
        let mut host = None;
        match end_len {
            Ok(end_len) => {
                let padding = buffers.sealed.len() - end_len;
                let trailer_at = Some(at + padding as u64);
                match pack::decode_end(self.entry.kind, open, &buffers.sealed[padding..]) {
                    Ok(trailer) => {
                        host = Some(trailer.host);
                        if trailer.blobs != self.entry.blobs {
                            self.error(trailer_at, "its trailer lists other blobs than the index", Reach::Nothing);
                        }
                    }
                    Err(error) => self.error(trailer_at, format!("trailer: {}", chain(&error)), Reach::Nothing),
                }
            }
            Err(what) => self.error(Some(size - FOOTER_LEN as u64), what, Reach::Nothing),
        }
        let mut signature = [0; SIGNATURE_LEN];
        signature.copy_from_slice(&footer[FOOTER_LEN - SIGNATURE_LEN..]);
        Ok((host, signature))
    }
}
