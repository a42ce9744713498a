//! What is known of directories that were looked through: snapshots share most of their trees, and none is to be read again
//! for every snapshot that it is in.
//!
//! Of a directory without hits that fact is kept, of one with hits the hits; both up to a bound, beyond which directories are
//! looked through again.

use crate::crypto::hash::StoredHasher;
use crate::format::node::{Body, Content, Node};
use crate::id::TreeId;
use std::collections::HashMap;
use std::sync::Arc;

/// Bytes that are remembered.
pub(super) const BYTES_MAX: usize = 96 << 20;
/// What a directory counts for besides its hits.
const DIRECTORY_BYTES: usize = 96;
/// What a hit counts for besides what hangs on it.
const HIT_BYTES: usize = 320;

/// Hits in a directory and below, in order.
#[derive(Debug, Default)]
pub(super) struct Hits(pub(super) Vec<Hit>);

/// An entry of a directory that is a hit, or below which there is one.
#[derive(Debug)]
pub(super) struct Hit {
    pub(super) name: Vec<u8>,
    /// The entry, if it is a hit itself.
    pub(super) node: Option<Node>,
    /// Hits below it.
    pub(super) below: Option<Arc<Hits>>,
}

impl Hit {
    /// What it takes in memory, about; what is below it is counted there.
    pub(super) fn bytes(&self) -> usize {
        let attributes = |node: &Node| -> usize {
            node.metadata.xattrs.iter().map(|xattr| xattr.name.len() + xattr.value.len() + 48).sum::<usize>()
                + body_bytes(node)
        };
        HIT_BYTES + 2 * self.name.len() + self.node.as_ref().map_or(0, attributes)
    }
}

/// Bytes that the body of a file takes in memory.
fn body_bytes(node: &Node) -> usize {
    match &node.content {
        Content::File { body: Body::Inline(bytes), .. } => bytes.len(),
        Content::File { body: Body::Chunks(ids), .. } => 32 * ids.len(),
        Content::File { body: Body::Lists(ids), .. } => 32 * ids.len(),
        _ => 0,
    }
}

/// What a directory is known by: its tree, and where it is if that matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key([u8; 16]);

impl Key {
    pub(super) fn new(tree: &TreeId, path: Option<&[u8]>) -> Self {
        let mut key = [0; 16];
        match path {
            // A tree's id is a hash already.
            None => key.copy_from_slice(&tree.as_bytes()[..16]),
            Some(path) => {
                let mut hasher = StoredHasher::new();
                hasher.update(tree.as_bytes());
                hasher.update(path);
                key.copy_from_slice(&hasher.finish()[..16]);
            }
        }
        Self(key)
    }
}

/// Directories that were looked through.
#[derive(Debug)]
pub(super) struct Known {
    directories: HashMap<Key, Option<Arc<Hits>>>,
    bytes: usize,
    bytes_max: usize,
}

impl Default for Known {
    fn default() -> Self {
        Self { directories: HashMap::new(), bytes: 0, bytes_max: BYTES_MAX }
    }
}

impl Known {
    /// Its hits, if it was looked through; `Some(None)` if there are none.
    pub(super) fn get(&self, key: &Key) -> Option<Option<Arc<Hits>>> {
        self.directories.get(key).cloned()
    }

    /// A directory was looked through. Says what is kept of it; `None` if there is no room.
    pub(super) fn put(&mut self, key: Key, hits: Hits) -> Option<Option<Arc<Hits>>> {
        let bytes = DIRECTORY_BYTES + hits.0.iter().map(Hit::bytes).sum::<usize>();
        if self.bytes + bytes > self.bytes_max {
            return None;
        }
        self.bytes += bytes;
        let kept = if hits.0.is_empty() { None } else { Some(Arc::new(hits)) };
        self.directories.insert(key, kept.clone());
        Some(kept)
    }

    /// One that keeps less.
    #[cfg(test)]
    pub(super) fn bounded(bytes_max: usize) -> Self {
        Self { bytes_max, ..Self::default() }
    }
}
