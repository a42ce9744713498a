//! Content hashes: keyed BLAKE3 for what is inside, plain BLAKE3 for stored bytes.

use crate::crypto::secret::Secret;
use crate::id::{ChunkId, PackId, SegmentId, TreeId};

/// Names chunks and trees of one dataset. Without the key nobody can tell whether a known file is in the repository.
pub struct ContentHasher {
    chunk_key: Secret,
    tree_key: Secret,
}

impl std::fmt::Debug for ContentHasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ContentHasher(..)")
    }
}

impl ContentHasher {
    /// A hasher with the dataset's two id keys.
    pub fn new(chunk_key: Secret, tree_key: Secret) -> Self {
        Self { chunk_key, tree_key }
    }

    /// The id of a chunk's plaintext.
    pub fn chunk(&self, plaintext: &[u8]) -> ChunkId {
        ChunkId::from_bytes(*blake3::keyed_hash(self.chunk_key.expose(), plaintext).as_bytes())
    }

    /// The id of a tree's or list's two parts. The length of the first part is hashed too, so that bytes cannot move from
    /// one part to the other.
    pub fn tree(&self, references: &[u8], entries: &[u8]) -> TreeId {
        let mut hasher = blake3::Hasher::new_keyed(self.tree_key.expose());
        hasher.update(&(references.len() as u64).to_le_bytes());
        hasher.update(references);
        hasher.update(entries);
        TreeId::from_bytes(*hasher.finalize().as_bytes())
    }
}

/// Hashes stored bytes as they are appended.
#[derive(Debug, Clone, Default)]
pub struct StoredHasher(blake3::Hasher);

impl StoredHasher {
    /// A hasher that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The hash of what was added so far.
    pub fn finish(&self) -> [u8; 32] {
        *self.0.finalize().as_bytes()
    }
}

/// BLAKE3 of stored bytes.
pub fn stored(bytes: &[u8]) -> [u8; 32] {
    *blake3::hash(bytes).as_bytes()
}

/// A pack's name.
pub fn pack_id(bytes: &[u8]) -> PackId {
    PackId::from_bytes(stored(bytes))
}

/// A segment's name.
pub fn segment_id(bytes: &[u8]) -> SegmentId {
    SegmentId::from_bytes(stored(bytes))
}
