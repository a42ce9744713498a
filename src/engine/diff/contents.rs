//! What the different parts of two sides are made of: chunks and trees that only one of them has.

use crate::format::node::{Body, Content, Node};
use crate::format::tree::Tree;
use crate::id::{ChunkId, IndexKey, TreeId};
use crate::repository::RepositoryError;
use crate::repository::pack_reader::{PackReader, ReadBuffers};
use std::collections::{HashMap, HashSet};

/// Bytes that a chunk or tree takes in memory here, about.
const ENTRY_BYTES: u64 = 64;

/// Chunks and trees.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Volume {
    /// Distinct chunks of files.
    pub chunks: u64,
    /// Distinct trees of directories, the pages of large ones left out, and lists.
    pub trees: u64,
    /// Bytes of all of them, as they are before compression.
    pub bytes: u64,
}

/// Collects.
#[derive(Debug)]
pub(super) struct Contents<'a> {
    reader: &'a PackReader,
    sides: [HashMap<IndexKey, Entry>; 2],
    entries_max: usize,
    /// There were too many.
    is_over: bool,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    bytes: u32,
    is_tree: bool,
}

impl<'a> Contents<'a> {
    /// With at most a quarter of `memory_bytes`.
    pub(super) fn new(reader: &'a PackReader, memory_bytes: u64) -> Self {
        let entries_max = usize::try_from(memory_bytes / 4 / ENTRY_BYTES).unwrap_or(usize::MAX);
        Self { reader, sides: Default::default(), entries_max, is_over: false }
    }

    fn add(&mut self, side: usize, key: IndexKey, bytes: u64, is_tree: bool) {
        if self.is_over {
            return;
        }
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.sides[side].insert(key, Entry { bytes, is_tree });
        if self.sides.iter().map(HashMap::len).sum::<usize>() > self.entries_max {
            self.is_over = true;
            self.sides = Default::default();
        }
    }

    /// A tree or list of one side.
    pub(super) fn tree(&mut self, side: usize, id: &TreeId) {
        // One that is missing is found to be by whoever reads it.
        if let Ok(location) = self.reader.locate_tree(id) {
            let bytes = location.lens.iter().map(|len| u64::from(*len)).sum();
            self.add(side, id.key(), bytes, true);
        }
    }

    fn chunks(&mut self, side: usize, ids: &[ChunkId]) {
        for id in ids {
            if let Ok(location) = self.reader.locate_chunk(id) {
                self.add(side, id.key(), location.lens[0].into(), false);
            }
        }
    }

    /// What a file of one side is made of; of lists that the other entry has too nothing has to be read.
    pub(super) fn file(
        &mut self,
        side: usize,
        node: &Node,
        other: Option<&Node>,
        buffers: &mut ReadBuffers,
    ) -> Result<(), RepositoryError> {
        let body = |node: &'_ Node| match &node.content {
            Content::File { body: Body::Lists(lists), .. } => lists.iter().copied().collect(),
            _ => HashSet::new(),
        };
        match &node.content {
            Content::File { body: Body::Chunks(ids), .. } => self.chunks(side, ids),
            Content::File { body: Body::Lists(lists), .. } if !self.is_over => {
                let shared = other.map(body).unwrap_or_default();
                for list in lists.iter().filter(|list| !shared.contains(*list)) {
                    self.tree(side, list);
                    if let Tree::List(ids) = self.reader.read_tree(list, buffers)? {
                        self.chunks(side, &ids);
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// What is on one side and not on the other: first, second.
    pub(super) fn finish(self) -> [Option<Volume>; 2] {
        let count = |side: usize| {
            let mut volume = Volume::default();
            for (_, entry) in self.sides[side].iter().filter(|(key, _)| !self.sides[1 - side].contains_key(*key)) {
                if entry.is_tree {
                    volume.trees += 1;
                } else {
                    volume.chunks += 1;
                }
                volume.bytes += u64::from(entry.bytes);
            }
            (!self.is_over).then_some(volume)
        };
        [count(0), count(1)]
    }
}
