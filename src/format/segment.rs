//! Index segments: which chunk is in which pack. (`docs/format.md`, "Index segments".)

use crate::crypto::keyring::RecipientKey;
use crate::crypto::random::Randomness;
use crate::format::envelope::Place;
use crate::format::pack::{BlobEntry, PACK_LEN_MAX, PackKind, read_blobs, write_blobs};
use crate::format::sealed::{self, Section};
use crate::format::wire::{FormatError, Reader, Result, Writer};
use crate::id::PackId;
use crate::object::ObjectKind;

/// A writer starts a new segment when one reaches this many content bytes.
pub const SEGMENT_LEN_TARGET: usize = 8 << 20;
/// Most packs in one segment.
const SEGMENT_PACKS_MAX: u64 = 1 << 20;

/// One pack of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackEntry {
    /// Its name.
    pub id: PackId,
    /// What it holds.
    pub kind: PackKind,
    /// Its length in bytes.
    pub size: u64,
    /// Length of its header, where the first blob begins.
    pub header_len: u32,
    /// Its blobs, in stored order.
    pub blobs: Vec<BlobEntry>,
}

impl PackEntry {
    fn write(&self, w: &mut Writer) {
        w.raw(self.id.as_bytes());
        w.u8(self.kind.object_kind() as u8);
        w.varint(self.size);
        w.varint(u64::from(self.header_len));
        write_blobs(w, self.kind, &self.blobs);
    }

    fn read(r: &mut Reader<'_>) -> Result<Self> {
        let id = PackId::from_bytes(r.array()?);
        let kind = PackKind::from_byte(r.u8()?)?;
        let size = r.bounded(PACK_LEN_MAX)? as u64;
        let header_len = r.bounded(crate::format::envelope::HEADER_LEN_MAX as u64)? as u32;
        let blobs = read_blobs(r, kind)?;
        let used = u64::from(header_len) + blobs.iter().map(BlobEntry::stored_len).sum::<u64>();
        if used > size {
            return Err(FormatError::Invalid { what: "pack size in the index" });
        }
        Ok(Self { id, kind, size, header_len, blobs })
    }
}

/// Collects pack entries until a segment is full.
#[derive(Debug, Default)]
pub struct SegmentBuilder {
    packs: u64,
    content: Writer,
}

impl SegmentBuilder {
    /// Adds a pack.
    pub fn push(&mut self, pack: &PackEntry) {
        pack.write(&mut self.content);
        self.packs += 1;
    }

    /// Whether it is time to write the segment.
    pub fn is_full(&self) -> bool {
        self.content.len() >= SEGMENT_LEN_TARGET
    }

    /// Whether it holds no pack.
    pub fn is_empty(&self) -> bool {
        self.packs == 0
    }

    /// The content, which is then sealed.
    pub fn content(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.varint(self.packs);
        w.raw(self.content.as_slice());
        w.into_vec()
    }

    /// Encodes the segment, and reads it back before anything is stored.
    ///
    /// # Errors
    /// As [`sealed::encode`], and [`FormatError`] when an entry breaks a limit.
    pub fn encode(self, place: &Place, index: &RecipientKey, random: &dyn Randomness) -> Result<Vec<u8>> {
        let content = self.content();
        decode_content(&content)?;
        let section = Section { recipients: &[index], content: &content };
        sealed::encode(ObjectKind::Segment, place, &[section], None, random)
    }
}

/// Decodes a segment.
///
/// # Errors
/// [`FormatError`] for anything that [`SegmentBuilder::encode`] would not have written.
pub fn decode(bytes: &[u8], place: &Place, index: &RecipientKey) -> Result<Vec<PackEntry>> {
    let decoded = sealed::decode(bytes, ObjectKind::Segment, place, &[index], false)?;
    decode_content(decoded.section(0, "index segment")?)
}

/// Decodes a segment's opened content.
///
/// # Errors
/// [`FormatError`] when it is malformed.
pub fn decode_content(content: &[u8]) -> Result<Vec<PackEntry>> {
    let mut r = Reader::new(content, "index segment");
    let count = r.count(SEGMENT_PACKS_MAX, 32 + 1 + 1 + 1 + 1)?;
    let packs = (0..count).map(|_| PackEntry::read(&mut r)).collect::<Result<Vec<_>>>()?;
    r.end()?;
    Ok(packs)
}
