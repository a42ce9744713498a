//! Packs: header, sealed blobs, padding, sealed trailer, footer, signature. (`docs/format.md`, "Packs".)
//!
//! A blob holds one chunk or several compressed together. In a data pack it is one sealed part; in a meta pack it is two,
//! references and entries, so that who may prune need not be able to read names. Nothing in clear shows where blobs begin.

use crate::chunker::params::CHUNK_LEN_MAX;
use crate::crypto::aead::{Sealer, TAG_LEN};
use crate::crypto::random::Randomness;
use crate::crypto::sign::SIGNATURE_LEN;
use crate::format::envelope::{MAGIC, OpenEnvelope};
use crate::format::padme;
use crate::format::sealed::{pad, unpad};
use crate::format::wire::{FormatError, Reader, Result, Writer};
use crate::id::{HostKey, IndexKey, SessionId};
use crate::object::ObjectKind;

/// Longest pack any reader accepts, in bytes.
pub const PACK_LEN_MAX: u64 = 192 << 20;
/// Shortest pack: smaller ones are padded to it.
pub const PACK_LEN_MIN: u64 = 16 << 10;
/// Most plaintext in one part of a blob, in bytes.
pub const BLOB_PLAIN_MAX: usize = CHUNK_LEN_MAX;
/// Longest sealed part of a blob, in bytes: codec byte and tag on top, and zstd's bound never exceeds a stored part.
pub const BLOB_PART_MAX: usize = BLOB_PLAIN_MAX + 1 + TAG_LEN;
/// Most chunks in one blob.
pub const BLOB_CHUNKS_MAX: usize = 65_535;
/// Most blobs in one pack.
pub const PACK_BLOBS_MAX: usize = 65_535;
/// Footer and signature: the bytes behind the sealed trailer.
pub const FOOTER_LEN: usize = 4 + MAGIC.len() + SIGNATURE_LEN;
/// Longest sealed trailer, in bytes.
const TRAILER_LEN_MAX: u64 = 16 << 20;
/// Section that seals the trailer.
pub const TRAILER_SECTION: usize = 0;

/// What a pack holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PackKind {
    /// File contents.
    Data,
    /// Trees and lists.
    Meta,
}

impl PackKind {
    /// As an object kind.
    pub fn object_kind(self) -> ObjectKind {
        match self {
            Self::Data => ObjectKind::DataPack,
            Self::Meta => ObjectKind::MetaPack,
        }
    }

    /// Sealed parts of each blob.
    pub fn parts(self) -> usize {
        match self {
            Self::Data => 1,
            Self::Meta => 2,
        }
    }

    /// The kind with this type byte.
    ///
    /// # Errors
    /// [`FormatError::Unknown`].
    pub fn from_byte(byte: u8) -> Result<Self> {
        match ObjectKind::from_byte(byte) {
            Some(ObjectKind::DataPack) => Ok(Self::Data),
            Some(ObjectKind::MetaPack) => Ok(Self::Meta),
            _ => Err(FormatError::Unknown { what: "pack type", value: byte.into() }),
        }
    }
}

/// One chunk (or tree, or list) of a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkEntry {
    /// What the index knows it by.
    pub key: IndexKey,
    /// Plaintext bytes it takes in each part; the second is 0 in data packs.
    pub lens: [u32; 2],
}

/// One blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobEntry {
    /// Number of its message in its sections.
    pub number: u64,
    /// Stored bytes of each sealed part; the second is 0 in data packs.
    pub stored: [u32; 2],
    /// What it holds, in order.
    pub chunks: Vec<ChunkEntry>,
}

impl BlobEntry {
    /// Stored bytes of all parts.
    pub fn stored_len(&self) -> u64 {
        u64::from(self.stored[0]) + u64::from(self.stored[1])
    }

    /// Plaintext bytes of a part.
    pub fn plain_len(&self, part: usize) -> usize {
        self.chunks.iter().map(|c| c.lens[part] as usize).sum()
    }
}

/// Writes the blobs of one pack, as trailers and segments list them.
pub fn write_blobs(w: &mut Writer, kind: PackKind, blobs: &[BlobEntry]) {
    w.varint(blobs.len() as u64);
    for blob in blobs {
        w.varint(blob.number);
        for stored in &blob.stored[..kind.parts()] {
            w.varint(u64::from(*stored));
        }
        w.varint(blob.chunks.len() as u64);
        for chunk in &blob.chunks {
            w.raw(chunk.key.as_bytes());
            for len in &chunk.lens[..kind.parts()] {
                w.varint(u64::from(*len));
            }
        }
    }
}

/// Reads what [`write_blobs`] wrote.
///
/// # Errors
/// [`FormatError`] when a count or a length is out of bounds.
pub fn read_blobs(r: &mut Reader<'_>, kind: PackKind) -> Result<Vec<BlobEntry>> {
    let count = r.count(PACK_BLOBS_MAX as u64, 4)?;
    let mut blobs = Vec::with_capacity(count);
    for _ in 0..count {
        let number = r.bounded(u64::from(u32::MAX))? as u64;
        let mut stored = [0; 2];
        for len in &mut stored[..kind.parts()] {
            *len = r.bounded(BLOB_PART_MAX as u64)? as u32;
            if (*len as usize) <= TAG_LEN {
                return Err(r.invalid());
            }
        }
        let chunk_count = r.count(BLOB_CHUNKS_MAX as u64, 17)?;
        if chunk_count == 0 {
            return Err(r.invalid());
        }
        let (mut chunks, mut plain) = (Vec::with_capacity(chunk_count), [0_usize; 2]);
        for _ in 0..chunk_count {
            let key = IndexKey::from_bytes(r.array()?);
            let mut lens = [0; 2];
            for (len, plain) in lens.iter_mut().zip(&mut plain).take(kind.parts()) {
                *len = r.bounded(BLOB_PLAIN_MAX as u64)? as u32;
                *plain += *len as usize;
            }
            chunks.push(ChunkEntry { key, lens });
        }
        if plain.iter().any(|len| *len > BLOB_PLAIN_MAX) {
            return Err(r.invalid());
        }
        blobs.push(BlobEntry { number, stored, chunks });
    }
    Ok(blobs)
}

fn limit(what: &'static str, value: u64, limit: u64) -> Result<()> {
    if value > limit { Err(FormatError::Limit { what, value, limit }) } else { Ok(()) }
}

/// What a pack says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trailer {
    /// The session that wrote it.
    pub session: SessionId,
    /// The host that signed it.
    pub host: HostKey,
    /// Its blobs, in stored order.
    pub blobs: Vec<BlobEntry>,
}

/// Everything of a pack behind its `body_len` bytes of header and blobs, but for the signature: padding up to a Padmé
/// length, sealed trailer, footer.
///
/// # Errors
/// [`FormatError`] when sealing fails, the trailer or the whole pack is too long, or a blob breaks a limit: nothing is
/// written that [`decode_end`] would refuse.
pub fn encode_end(
    kind: PackKind,
    sealer: &Sealer,
    body_len: u64,
    trailer: &Trailer,
    random: &dyn Randomness,
) -> Result<Vec<u8>> {
    let mut w = Writer::new();
    w.raw(trailer.session.as_bytes());
    w.raw(trailer.host.as_bytes());
    let listed = w.len();
    write_blobs(&mut w, kind, &trailer.blobs);
    read_blobs(&mut Reader::new(&w.as_slice()[listed..], "pack trailer"), kind)?;
    let mut sealed = pad(w.as_slice());
    let number = sealer.number().map_err(|e| FormatError::Seal(e.to_string()))?;
    let mut end = Writer::new();
    let trailer_number =
        sealer.seal(number, TRAILER_SECTION, &mut [&mut sealed]).map_err(|e| FormatError::Seal(e.to_string()))?;
    limit("pack trailer", sealed.len() as u64, TRAILER_LEN_MAX)?;
    let least = body_len.saturating_add(8 + sealed.len() as u64 + FOOTER_LEN as u64);
    let total = padme::padded(least.max(PACK_LEN_MIN));
    limit("pack", total, PACK_LEN_MAX)?;
    let padding = total - least;
    let mut filling = vec![0; padding as usize];
    let seed = random.bytes::<32>().map_err(|e| FormatError::Seal(e.to_string()))?;
    blake3::Hasher::new_keyed(&seed).finalize_xof().fill(&mut filling);
    end.raw(&filling);
    end.raw(&trailer_number.to_le_bytes());
    end.raw(&sealed);
    end.u32(sealed.len() as u32);
    end.raw(MAGIC);
    Ok(end.into_vec())
}

/// How many bytes before the signature the trailer (with its number) and footer take, from a pack's last
/// [`FOOTER_LEN`] bytes.
///
/// # Errors
/// [`FormatError`] when the footer is not one.
pub fn end_len(footer: &[u8]) -> Result<usize> {
    let mut r = Reader::new(footer, "pack footer");
    let sealed = u64::from(r.u32()?);
    if r.array::<8>()? != *MAGIC {
        return Err(r.invalid());
    }
    if sealed > TRAILER_LEN_MAX || sealed <= TAG_LEN as u64 {
        return Err(FormatError::Limit { what: "pack trailer", value: sealed, limit: TRAILER_LEN_MAX });
    }
    Ok(8 + sealed as usize + FOOTER_LEN)
}

/// Reads a trailer out of the last [`end_len`] bytes of a pack.
///
/// # Errors
/// [`FormatError`] when it does not open or is malformed.
pub fn decode_end(kind: PackKind, open: &OpenEnvelope, end: &[u8]) -> Result<Trailer> {
    let mut r = Reader::new(end, "pack trailer");
    let number = r.u64()?;
    let sealed_len = r.remaining().checked_sub(FOOTER_LEN).ok_or_else(|| r.invalid())?;
    let mut sealed = r.take(sealed_len)?.to_vec();
    open.open(TRAILER_SECTION, number, "pack trailer", &mut sealed)?;
    let content = unpad(&sealed, "pack trailer")?;
    let mut r = Reader::new(&content, "pack trailer");
    let trailer = Trailer {
        session: SessionId::from_bytes(r.array()?),
        host: HostKey::from_bytes(r.array()?),
        blobs: read_blobs(&mut r, kind)?,
    };
    r.end()?;
    Ok(trailer)
}
