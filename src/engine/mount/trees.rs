//! Decoded directories: names looked up, entries listed from a position on, kept within a number of bytes.

use crate::engine::mount::cache::ByteCache;
use crate::format::node::{Body, Content, Node};
use crate::format::tree::{Page, Tree};
use crate::format::wire::FormatError;
use crate::id::TreeId;
use crate::repository::RepositoryError;
use crate::repository::pack_reader::{PackReader, ReadBuffers};
use std::sync::{Arc, Mutex, PoisonError};

type Read<T> = Result<T, RepositoryError>;

/// A page's number, and an entry's in it.
pub(super) type Position = (usize, usize);

/// An entry and its position, or the end; or what is wrong, and with which page, if not with all.
type Next = Result<Option<(Entry, Position)>, (RepositoryError, Option<usize>)>;

/// Where an entry is: its number in a directory, or in a page of a large one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Place {
    /// The directory or page.
    pub(super) page: TreeId,
    /// Which of its entries.
    pub(super) index: u32,
}

/// An entry, with what it is decoded in.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    nodes: Arc<Vec<Node>>,
    /// Where it is.
    pub(super) place: Place,
}

impl Entry {
    /// It.
    pub(super) fn node(&self) -> &Node {
        &self.nodes[self.place.index as usize]
    }
}

#[derive(Debug, Clone)]
enum Directory {
    Whole(Arc<Vec<Node>>),
    Pages(Arc<Vec<Page>>),
}

/// Directories that were read lately.
#[derive(Debug)]
pub(super) struct Trees {
    reader: Arc<PackReader>,
    cache: Mutex<ByteCache<TreeId, Directory>>,
}

fn malformed(tree: &TreeId, what: &'static str) -> RepositoryError {
    RepositoryError::Damaged { object: format!("tree {tree}"), source: FormatError::Invalid { what } }
}

fn node_bytes(node: &Node) -> u64 {
    let content = match &node.content {
        Content::File { body: Body::Inline(bytes), .. } => bytes.len(),
        Content::File { body: Body::Chunks(ids), .. } => 32 * ids.len(),
        Content::File { body: Body::Lists(ids), .. } => 32 * ids.len(),
        Content::Symlink { target } => target.len(),
        _ => 0,
    };
    let xattrs = node.metadata.xattrs.iter().map(|xattr| xattr.name.len() + xattr.value.len() + 80);
    (size_of::<Node>() + 48 + node.name.len() + content + xattrs.sum::<usize>()) as u64
}

impl Trees {
    /// None yet, and never more than so many bytes of them.
    pub(super) fn new(reader: Arc<PackReader>, bytes_max: u64) -> Self {
        Self { reader, cache: Mutex::new(ByteCache::new(bytes_max)) }
    }

    fn load(&self, tree: &TreeId, buffers: &mut ReadBuffers) -> Read<Directory> {
        let cache = || self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = cache().get(tree);
        if let Some(directory) = kept {
            return Ok(directory);
        }
        let (directory, bytes) = match self.reader.read_tree(tree, buffers)? {
            Tree::Leaf(nodes) => {
                let bytes = nodes.iter().map(node_bytes).sum();
                (Directory::Whole(Arc::new(nodes)), bytes)
            }
            Tree::Pages(pages) => {
                let bytes = pages.iter().map(|page| (size_of::<Page>() + 16 + page.first_name.len()) as u64).sum();
                (Directory::Pages(Arc::new(pages)), bytes)
            }
            Tree::List(_) => return Err(malformed(tree, "tree of a directory")),
        };
        cache().put(*tree, directory.clone(), bytes);
        Ok(directory)
    }

    /// A page of a large directory. Its names are between its first and that of the next page, so no name is in two pages.
    fn page(&self, pages: &[Page], number: usize, buffers: &mut ReadBuffers) -> Read<Arc<Vec<Node>>> {
        let page = &pages[number];
        let Directory::Whole(nodes) = self.load(&page.tree, buffers)? else {
            return Err(malformed(&page.tree, "page of a directory"));
        };
        let ends_before = |next: &Page| nodes.last().is_some_and(|last| last.name < next.first_name);
        let is_right = nodes.first().is_some_and(|first| first.name == page.first_name)
            && pages.get(number + 1).is_none_or(ends_before);
        if is_right { Ok(nodes) } else { Err(malformed(&page.tree, "page of a directory")) }
    }

    /// The entry at a place where one was found before.
    ///
    /// # Errors
    /// That it cannot be read (any more).
    pub(super) fn entry(&self, place: Place, buffers: &mut ReadBuffers) -> Read<Entry> {
        match self.load(&place.page, buffers)? {
            Directory::Whole(nodes) if (place.index as usize) < nodes.len() => Ok(Entry { nodes, place }),
            _ => Err(malformed(&place.page, "page of a directory")),
        }
    }

    /// The entry of this name.
    ///
    /// # Errors
    /// That the directory, or the page that would have it, cannot be read.
    pub(super) fn find(&self, tree: &TreeId, name: &[u8], buffers: &mut ReadBuffers) -> Read<Option<Entry>> {
        let (page, nodes) = match self.load(tree, buffers)? {
            Directory::Whole(nodes) => (*tree, nodes),
            Directory::Pages(pages) => {
                let after = pages.partition_point(|page| page.first_name.as_slice() <= name);
                let Some(number) = after.checked_sub(1) else { return Ok(None) };
                (pages[number].tree, self.page(&pages, number, buffers)?)
            }
        };
        let index = nodes.binary_search_by(|node| node.name.as_slice().cmp(name)).ok();
        Ok(index.map(|index| Entry { nodes, place: Place { page, index: index as u32 } }))
    }

    /// The entry at a position, a page number and an index, or the next one after it, with its position. `None` at the end.
    ///
    /// # Errors
    /// What is wrong with the page, and its number: the next one may be well.
    pub(super) fn next(&self, tree: &TreeId, (mut number, mut index): Position, buffers: &mut ReadBuffers) -> Next {
        loop {
            let (page, nodes, is_last) = match self.load(tree, buffers).map_err(|error| (error, None))? {
                Directory::Whole(nodes) if number == 0 => (*tree, nodes, true),
                Directory::Pages(pages) if number < pages.len() => {
                    let nodes = self.page(&pages, number, buffers).map_err(|error| (error, Some(number)))?;
                    (pages[number].tree, nodes, number + 1 == pages.len())
                }
                _ => return Ok(None),
            };
            if index < nodes.len() {
                let place = Place { page, index: index as u32 };
                return Ok(Some((Entry { nodes, place }, (number, index))));
            }
            if is_last {
                return Ok(None);
            }
            (number, index) = (number + 1, 0);
        }
    }
}
