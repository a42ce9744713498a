//! The index in memory: sorted, immutable, built from the segments of a view.
//!
//! 28 bytes a chunk and 28 a blob. A lookup is an interpolation search, since keys are uniform.

use crate::format::pack::PackKind;
use crate::format::segment::PackEntry;
use crate::id::{IndexKey, PackId};
use std::collections::HashSet;

/// A pack as the index knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackInfo {
    /// Its name.
    pub id: PackId,
    /// What it holds.
    pub kind: PackKind,
    /// Its length in bytes.
    pub size: u64,
    /// Length of its header in bytes.
    pub header_len: u32,
}

/// Number of a blob within an [`Index`]; blobs are numbered in the order of their packs, and within a pack in stored order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlobIndex(pub u32);

/// A blob as the index knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlobInfo {
    /// Which of [`Index::packs`].
    pub pack: u32,
    /// Where it begins in the pack, in bytes.
    pub offset: u32,
    /// Its message number.
    pub number: u32,
    /// Stored bytes of each part.
    pub stored: [u32; 2],
    /// Plaintext bytes of each part.
    pub plain: [u32; 2],
}

/// Where a chunk or a tree is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Location {
    /// In which blob.
    pub blob: BlobIndex,
    /// Where it begins in each part of the blob's plaintext.
    pub offsets: [u32; 2],
    /// How long it is in each part.
    pub lens: [u32; 2],
}

#[derive(Debug, Clone, Copy)]
struct DataEntry {
    key: IndexKey,
    blob: u32,
    offset: u32,
    len: u32,
}

#[derive(Debug, Clone, Copy)]
struct MetaEntry {
    key: IndexKey,
    location: Location,
}

/// The index of one view.
#[derive(Debug, Default)]
pub struct Index {
    packs: Vec<PackInfo>,
    blobs: Vec<BlobInfo>,
    data: Vec<DataEntry>,
    meta: Vec<MetaEntry>,
    /// Where else a chunk or tree is: two writers at once may store the same. Rare, and only read after damage.
    spare: Vec<(PackKind, IndexKey, Location)>,
    seen: HashSet<PackId>,
}

impl DataEntry {
    fn location(&self) -> Location {
        Location { blob: BlobIndex(self.blob), offsets: [self.offset, 0], lens: [self.len, 0] }
    }
}

fn search<T>(entries: &[T], key: &IndexKey, of: impl Fn(&T) -> &IndexKey) -> Option<usize> {
    entries.binary_search_by(|entry| of(entry).cmp(key)).ok()
}

impl Index {
    /// Adds a pack; one that is there already is ignored (a dead session's pack may be in two segments).
    pub fn add(&mut self, pack: &PackEntry) {
        if !self.seen.insert(pack.id) {
            return;
        }
        let pack_number = self.packs.len() as u32;
        self.packs.push(PackInfo { id: pack.id, kind: pack.kind, size: pack.size, header_len: pack.header_len });
        let mut offset = pack.header_len;
        for blob in &pack.blobs {
            let number = self.blobs.len() as u32;
            let mut at = [0_u32; 2];
            for chunk in &blob.chunks {
                match pack.kind {
                    PackKind::Data => {
                        self.data.push(DataEntry { key: chunk.key, blob: number, offset: at[0], len: chunk.lens[0] });
                    }
                    PackKind::Meta => {
                        let location = Location { blob: BlobIndex(number), offsets: at, lens: chunk.lens };
                        self.meta.push(MetaEntry { key: chunk.key, location });
                    }
                }
                at = [at[0] + chunk.lens[0], at[1] + chunk.lens[1]];
            }
            self.blobs.push(BlobInfo {
                pack: pack_number,
                offset,
                number: blob.number as u32,
                stored: blob.stored,
                plain: at,
            });
            offset += blob.stored[0] + blob.stored[1];
        }
    }

    /// Sorts what was added; lookups work from then on.
    pub fn finish(&mut self) {
        self.seen = HashSet::new();
        self.data.sort_unstable_by(|a, b| a.key.cmp(&b.key).then(a.blob.cmp(&b.blob)));
        let spare = &mut self.spare;
        self.data.dedup_by(|later, first| {
            let is_known = later.key == first.key;
            if is_known {
                spare.push((PackKind::Data, later.key, later.location()));
            }
            is_known
        });
        self.meta.sort_unstable_by(|a, b| a.key.cmp(&b.key).then(a.location.blob.cmp(&b.location.blob)));
        self.meta.dedup_by(|later, first| {
            let is_known = later.key == first.key;
            if is_known {
                spare.push((PackKind::Meta, later.key, later.location));
            }
            is_known
        });
        spare.sort_unstable_by(|a, b| (a.0, &a.1, a.2.blob).cmp(&(b.0, &b.1, b.2.blob)));
        self.data.shrink_to_fit();
        self.meta.shrink_to_fit();
    }

    /// Where a chunk or tree of this kind of pack is.
    pub fn find(&self, kind: PackKind, key: &IndexKey) -> Option<Location> {
        match kind {
            PackKind::Data => search(&self.data, key, |e| &e.key).map(|i| self.data[i].location()),
            PackKind::Meta => search(&self.meta, key, |e| &e.key).map(|i| self.meta[i].location),
        }
    }

    /// Where else a chunk or tree is than [`Index::find`] says.
    pub fn find_spare<'a>(&'a self, kind: PackKind, key: &'a IndexKey) -> impl Iterator<Item = Location> + 'a {
        let from = self.spare.partition_point(|(k, other, _)| (*k, other) < (kind, key));
        self.spare[from..].iter().take_while(move |(k, other, _)| *k == kind && other == key).map(|(_, _, at)| *at)
    }

    /// Whether it is known.
    pub fn contains(&self, kind: PackKind, key: &IndexKey) -> bool {
        match kind {
            PackKind::Data => search(&self.data, key, |e| &e.key).is_some(),
            PackKind::Meta => search(&self.meta, key, |e| &e.key).is_some(),
        }
    }

    /// All packs.
    pub fn packs(&self) -> &[PackInfo] {
        &self.packs
    }

    /// A blob.
    pub fn blob(&self, blob: BlobIndex) -> &BlobInfo {
        &self.blobs[blob.0 as usize]
    }

    /// All blobs, in order of pack and place.
    pub fn blobs(&self) -> &[BlobInfo] {
        &self.blobs
    }

    /// Number of distinct chunks and trees.
    pub fn len(&self) -> usize {
        self.data.len() + self.meta.len()
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
