//! Checking a whole pack in one pass: its name, its trailer, its signature, and every blob opened, expanded and named again.

use crate::crypto::aead::TAG_LEN;
use crate::crypto::hash::StoredHasher;
use crate::crypto::sign::{self, SIGNATURE_LEN};
use crate::format::pack::{BlobEntry, PackKind, Trailer};
use crate::format::wire::FormatError;
use crate::id::IndexKey;
use crate::repository::error::{RepositoryError, Result};
use crate::repository::index::PackInfo;
use crate::repository::pack_reader::{PackReader, ReadBuffers, read_trailer};

/// Most bytes read at once where there is no blob.
const PIECE_LEN: usize = 1 << 20;

/// What was found in a pack.
#[derive(Debug, Default)]
pub struct PackCheck {
    /// What is wrong, if anything is.
    pub problems: Vec<FormatError>,
    /// Which blobs (by their place in the pack) cannot be used.
    pub bad_blobs: Vec<usize>,
    /// Blobs that were opened.
    pub blobs: u64,
    /// Chunks, trees and lists whose id fits.
    pub chunks: u64,
    /// Plaintext bytes.
    pub plain_bytes: u64,
}

impl PackReader {
    /// Reads a pack from end to end and checks everything about it, `tick` being told of bytes read.
    ///
    /// # Errors
    /// What the store says. What is wrong with the pack is in the value.
    pub fn check_pack(&self, number: usize, buffers: &mut ReadBuffers, tick: &mut dyn FnMut(u64)) -> Result<PackCheck> {
        let pack = &self.index().packs()[number];
        let mut found = PackCheck::default();
        let trailer = match read_trailer(self.repository(), pack.kind, &self.pack_name(pack), pack.size) {
            Ok((header_len, trailer)) if header_len == pack.header_len => Some(trailer),
            Ok(_) => {
                found.problems.push(FormatError::Invalid { what: "pack header length" });
                None
            }
            Err(RepositoryError::Damaged { source, .. }) => {
                found.problems.push(source);
                None
            }
            Err(error) => return Err(error),
        };
        let mut hasher = StoredHasher::new();
        let mut at = u64::from(pack.header_len);
        self.hash_range(pack, 0, at, &mut hasher, tick)?;
        match &trailer {
            Some(trailer) => {
                if !self.agrees_with_index(number, trailer) {
                    found.problems.push(FormatError::Invalid { what: "agreement of pack trailer and index" });
                }
                for (ordinal, blob) in trailer.blobs.iter().enumerate() {
                    if at + blob.stored_len() > pack.size {
                        found.problems.push(FormatError::Truncated { what: "pack" });
                        break;
                    }
                    if let Err(error) = self.check_blob(number, at, blob, buffers, &mut hasher, &mut found) {
                        match error {
                            RepositoryError::Damaged { source, .. } => found.problems.push(source),
                            other => return Err(other),
                        }
                        found.bad_blobs.push(ordinal);
                    }
                    at += blob.stored_len();
                    tick(blob.stored_len());
                }
            }
            // Without a trailer nothing tells which blobs are good; the index may, when they are read one by one.
            None => found.bad_blobs.extend(0..self.blobs_of(number).len()),
        }
        let signed = pack.size.saturating_sub(SIGNATURE_LEN as u64);
        self.hash_range(pack, at, signed, &mut hasher, tick)?;
        let mut signature = [0; SIGNATURE_LEN];
        self.repository().fetch().read_range(&self.pack_name(pack), signed, &mut signature)?;
        if let Some(trailer) = &trailer
            && sign::verify(&trailer.host, &hasher.finish(), &signature).is_err()
        {
            found.problems.push(FormatError::NotAuthentic { what: "pack signature" });
        }
        hasher.update(&signature);
        if hasher.finish() != *pack.id.as_bytes() {
            found.problems.push(FormatError::WrongId);
        }
        Ok(found)
    }

    fn hash_range(
        &self,
        pack: &PackInfo,
        mut from: u64,
        to: u64,
        hasher: &mut StoredHasher,
        tick: &mut dyn FnMut(u64),
    ) -> Result<()> {
        let name = self.pack_name(pack);
        let mut piece = vec![0; PIECE_LEN.min(to.saturating_sub(from) as usize)];
        while from < to {
            let len = piece.len().min((to - from) as usize);
            self.repository().fetch().read_range(&name, from, &mut piece[..len])?;
            hasher.update(&piece[..len]);
            tick(len as u64);
            from += len as u64;
        }
        Ok(())
    }

    /// The index's blobs of a pack, as a range of [`Index::blobs`](super::index::Index::blobs).
    pub fn blobs_of(&self, pack: usize) -> std::ops::Range<usize> {
        let blobs = self.index().blobs();
        let start = blobs.partition_point(|b| (b.pack as usize) < pack);
        start..blobs.partition_point(|b| (b.pack as usize) <= pack)
    }

    fn agrees_with_index(&self, pack: usize, trailer: &Trailer) -> bool {
        let range = self.blobs_of(pack);
        let known = &self.index().blobs()[range.clone()];
        let kind = self.index().packs()[pack].kind;
        known.len() == trailer.blobs.len()
            && known.iter().zip(&trailer.blobs).all(|(info, entry)| {
                info.stored == entry.stored
                    && u64::from(info.number) == entry.number
                    && entry.chunks.iter().all(|chunk| self.index().contains(kind, &chunk.key))
            })
    }

    fn check_blob(
        &self,
        pack_number: usize,
        mut offset: u64,
        blob: &BlobEntry,
        buffers: &mut ReadBuffers,
        hasher: &mut StoredHasher,
        found: &mut PackCheck,
    ) -> Result<()> {
        let pack = &self.index().packs()[pack_number];
        let name = self.pack_name(pack);
        let damaged = |source| RepositoryError::damaged(&name, source);
        let mut failure = None;
        // All parts are hashed before any of them may fail.
        for part in 0..pack.kind.parts() {
            let len = blob.stored[part] as usize;
            self.read_part(pack_number as u32, offset, len, hasher, buffers)?;
            offset += len as u64;
            let opened = if len <= TAG_LEN {
                Err(damaged(FormatError::Truncated { what: "blob" }))
            } else {
                self.open_part(pack_number as u32, part, blob.number, blob.plain_len(part), buffers)
            };
            failure = failure.or(opened.err());
        }
        if let Some(error) = failure {
            return Err(error);
        }
        found.blobs += 1;
        let mut at = [0_usize; 2];
        for chunk in &blob.chunks {
            let mut slices: [&[u8]; 2] = [&[], &[]];
            for part in 0..pack.kind.parts() {
                let end = at[part] + chunk.lens[part] as usize;
                slices[part] = buffers.plain[part].get(at[part]..end).unwrap_or_default();
                at[part] = end;
            }
            let hasher = &self.repository().keys().hasher;
            let key: IndexKey = match pack.kind {
                PackKind::Data => hasher.chunk(slices[0]).key(),
                PackKind::Meta => hasher.tree(slices[0], slices[1]).key(),
            };
            if key != chunk.key {
                return Err(damaged(FormatError::WrongId));
            }
            found.chunks += 1;
            found.plain_bytes += (slices[0].len() + slices[1].len()) as u64;
        }
        Ok(())
    }
}
