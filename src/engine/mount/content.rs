//! Which chunks stand for which bytes of a file, and reading them.
//!
//! Chunks have no lengths in a tree, the index has them. Tables of where each one ends are kept within a number of bytes; of a
//! long file, whose chunks are in lists, only the lists that are read are in memory, and where each list ends.

use crate::engine::mount::blobs::Blobs;
use crate::engine::mount::cache::ByteCache;
use crate::engine::mount::trees::Place;
use crate::format::node::Body;
use crate::format::tree::Tree;
use crate::format::wire::FormatError;
use crate::id::{ChunkId, TreeId};
use crate::repository::RepositoryError;
use crate::repository::index::BlobIndex;
use crate::repository::pack_reader::{PackReader, ReadBuffers};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

type Read<T> = Result<T, RepositoryError>;

/// Chunks in order, and where each one ends.
#[derive(Debug)]
struct Table {
    ids: Vec<ChunkId>,
    /// Shorter than `ids` if one is in no index: nothing is known of what comes after it.
    ends: Vec<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    /// The chunks of the file here.
    File(Place),
    /// The chunks of a list.
    List(TreeId),
    /// The lists of the file here.
    Ends(Place),
}

#[derive(Debug, Clone)]
enum Kept {
    Table(Arc<Table>),
    /// Where each list ends, of as many as were needed yet.
    Ends(Arc<Mutex<Vec<u64>>>),
}

/// A part of a chunk that is part of what is read.
#[derive(Debug)]
struct Piece {
    id: ChunkId,
    /// Which bytes of the chunk.
    range: Range<usize>,
}

/// Contents of files.
#[derive(Debug)]
pub(super) struct Contents {
    blobs: Blobs,
    tables: Mutex<ByteCache<Key, Kept>>,
}

fn too_short(object: String) -> RepositoryError {
    RepositoryError::Damaged { object, source: FormatError::Invalid { what: "length of a file" } }
}

impl Table {
    fn new(ids: Vec<ChunkId>, reader: &PackReader) -> Self {
        let mut end = 0;
        let lens = ids.iter().map_while(|id| reader.locate_chunk(id).ok().map(|at| u64::from(at.lens[0])));
        let ends = lens.map(|len| {
            end += len;
            end
        });
        let ends = ends.collect();
        Self { ids, ends }
    }

    /// Length of all chunks in bytes.
    fn len(&self) -> Read<u64> {
        match self.ids.get(self.ends.len()) {
            Some(missing) => Err(RepositoryError::MissingChunk(*missing)),
            None => Ok(self.ends.last().copied().unwrap_or(0)),
        }
    }

    /// Adds the pieces of a range, as far as it goes, and returns how far.
    fn pieces(&self, range: &Range<u64>, pieces: &mut Vec<Piece>) -> Read<u64> {
        let mut at = range.start;
        let mut index = self.ends.partition_point(|end| *end <= at);
        while at < range.end && index < self.ids.len() {
            let Some(chunk_end) = self.ends.get(index).copied() else {
                return Err(RepositoryError::MissingChunk(self.ids[index]));
            };
            let chunk_start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
            let end = chunk_end.min(range.end);
            if end > at {
                let range = (at - chunk_start) as usize..(end - chunk_start) as usize;
                pieces.push(Piece { id: self.ids[index], range });
                at = end;
            }
            index += 1;
        }
        Ok(at)
    }
}

impl Contents {
    /// Contents that are read through these blobs; tables take no more than so many bytes.
    pub(super) fn new(blobs: Blobs, tables_bytes_max: u64) -> Self {
        Self { blobs, tables: Mutex::new(ByteCache::new(tables_bytes_max)) }
    }

    fn tables(&self) -> MutexGuard<'_, ByteCache<Key, Kept>> {
        // Changed in single steps.
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn table(&self, key: Key, ids: impl FnOnce() -> Read<Vec<ChunkId>>) -> Read<Arc<Table>> {
        let kept = self.tables().get(&key);
        if let Some(Kept::Table(table)) = kept {
            return Ok(table);
        }
        let table = Arc::new(Table::new(ids()?, self.blobs.reader()));
        self.tables().put(key, Kept::Table(Arc::clone(&table)), 128 + 40 * table.ids.len() as u64);
        Ok(table)
    }

    fn list(&self, list: &TreeId, buffers: &mut ReadBuffers) -> Read<Arc<Table>> {
        self.table(Key::List(*list), || match self.blobs.reader().read_tree(list, buffers)? {
            Tree::List(ids) => Ok(ids),
            _ => Err(too_short(format!("tree {list}"))),
        })
    }

    /// The list that has this byte of the file, and where the list begins. `None` behind the last.
    fn list_with(
        &self,
        place: Place,
        lists: &[TreeId],
        offset: u64,
        buffers: &mut ReadBuffers,
    ) -> Read<Option<(usize, u64)>> {
        let key = Key::Ends(place);
        let kept = self.tables().get(&key);
        let ends = match kept {
            Some(Kept::Ends(ends)) => ends,
            _ => {
                let ends: Arc<Mutex<Vec<u64>>> = Arc::default();
                self.tables().put(key, Kept::Ends(Arc::clone(&ends)), 128 + 8 * lists.len() as u64);
                ends
            }
        };
        let ends = || ends.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let (known, end) = {
                let ends = ends();
                let index = ends.partition_point(|end| *end <= offset);
                if index < ends.len() {
                    return Ok(Some((index, index.checked_sub(1).map_or(0, |before| ends[before]))));
                }
                (ends.len(), ends.last().copied().unwrap_or(0))
            };
            let Some(list) = lists.get(known) else { return Ok(None) };
            let len = self.list(list, buffers)?.len()?;
            let mut ends = ends();
            if ends.len() == known {
                ends.push(end.saturating_add(len));
            }
        }
    }

    /// The pieces of a range of a file; an error if the file ends before.
    fn pieces(&self, place: Place, body: &Body, range: Range<u64>, buffers: &mut ReadBuffers) -> Read<Vec<Piece>> {
        let mut pieces = Vec::new();
        let mut at = range.start;
        match body {
            Body::Inline(_) => {}
            Body::Chunks(ids) => {
                at = self.table(Key::File(place), || Ok(ids.clone()))?.pieces(&range, &mut pieces)?;
            }
            Body::Lists(lists) => {
                while at < range.end
                    && let Some((index, start)) = self.list_with(place, lists, at, buffers)?
                {
                    let table = self.list(&lists[index], buffers)?;
                    let reached = start + table.pieces(&(at - start..range.end - start), &mut pieces)?;
                    if reached <= at {
                        break;
                    }
                    at = reached;
                }
            }
        }
        if at < range.end {
            return Err(too_short(format!("tree {}", place.page)));
        }
        Ok(pieces)
    }

    /// The bytes of a range of the file at `place`, which has to be within its length. `note` is told of what had to be taken
    /// from a second copy.
    ///
    /// # Errors
    /// That some of it cannot be read: then none is given out.
    pub(super) fn read(
        &self,
        place: Place,
        body: &Body,
        range: Range<u64>,
        buffers: &mut ReadBuffers,
        note: &dyn Fn(&RepositoryError),
    ) -> Read<Vec<u8>> {
        if let Body::Inline(bytes) = body {
            let part = bytes.get(range.start as usize..range.end as usize);
            return part.map(<[u8]>::to_vec).ok_or_else(|| too_short(format!("tree {}", place.page)));
        }
        let mut out = Vec::with_capacity((range.end - range.start) as usize);
        for piece in self.pieces(place, body, range, buffers)? {
            let chunk = self.blobs.chunk(&piece.id, buffers, note)?;
            let part = chunk.bytes().get(piece.range);
            out.extend_from_slice(part.ok_or(RepositoryError::MissingChunk(piece.id))?);
        }
        Ok(out)
    }

    /// Reads the blobs of a range that are not there yet.
    pub(super) fn read_ahead(&self, place: Place, body: &Body, range: Range<u64>, buffers: &mut ReadBuffers) {
        let Ok(pieces) = self.pieces(place, body, range, buffers) else { return };
        let reader = self.blobs.reader();
        let blobs: Vec<BlobIndex> =
            pieces.iter().filter_map(|piece| reader.locate_chunk(&piece.id).ok().map(|at| at.blob)).collect();
        self.blobs.read_ahead(blobs, buffers);
    }
}
