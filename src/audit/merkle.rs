//! The Merkle tree of RFC 6962, section 2, over SHA-256: roots, and the two proofs that a verifier works with.
//!
//! A node is 65 bytes, and the records of files are leaves of less than one block, by the hundred thousand: for texts of this
//! length a good part of the time would go into the state and the buffer of an incremental hash. So they are laid out in blocks,
//! padding and all, and compressed in one step.
#![expect(clippy::disallowed_methods, reason = "SHA-256 has the most significant byte first")]

use sha2::block_api::compress256;
use sha2::{Digest as _, Sha256};

/// A node of the tree.
pub type Hash = [u8; 32];

/// A block of SHA-256.
type Block = [u8; BLOCK_LEN];
const BLOCK_LEN: usize = 64;
/// What SHA-256 puts behind a message at least: a byte that ends it, and its length in bits.
const PADDING_MIN: usize = 1 + size_of::<u64>();
/// The state that SHA-256 begins with (FIPS 180-4, 5.3.3).
const START: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];
/// Longest leaf that is one block, in bytes.
const SHORT_LEAF_MAX: usize = BLOCK_LEN - PADDING_MIN - 1;

/// SHA-256 of parts, one after the other.
pub fn sha256(parts: &[&[u8]]) -> Hash {
    let mut hasher = Sha256::new();
    parts.iter().for_each(|part| hasher.update(part));
    hasher.finalize().into()
}

/// Appends what SHA-256 puts behind the message that begins at `start` (FIPS 180-4, 5.1.1): then it ends with a block.
pub(in crate::audit) fn pad(bytes: &mut Vec<u8>, start: usize) {
    let len = bytes.len() - start;
    let padded = (len + PADDING_MIN).next_multiple_of(BLOCK_LEN);
    bytes.push(0x80);
    bytes.resize(start + padded - size_of::<u64>(), 0);
    bytes.extend_from_slice(&(8 * len as u64).to_be_bytes());
}

/// SHA-256 of a message, given with the padding that [`pad`] makes.
pub(in crate::audit) fn sha256_padded(message: &[u8]) -> Hash {
    let (blocks, rest) = message.as_chunks();
    debug_assert!(rest.is_empty(), "a padded message is whole blocks");
    compressed(blocks)
}

fn compressed(blocks: &[Block]) -> Hash {
    let mut state = START;
    compress256(&mut state, blocks);
    let mut hash = [0; 32];
    for (bytes, word) in hash.as_chunks_mut().0.iter_mut().zip(state) {
        *bytes = word.to_be_bytes();
    }
    hash
}

/// The hash of a leaf.
pub fn leaf_hash(leaf: &[u8]) -> Hash {
    let len = 1 + leaf.len();
    if leaf.len() > SHORT_LEAF_MAX {
        return sha256(&[&[0], leaf]);
    }
    let mut block = [0; BLOCK_LEN];
    block[1..len].copy_from_slice(leaf);
    block[len] = 0x80;
    block[BLOCK_LEN - 8..].copy_from_slice(&(8 * len as u64).to_be_bytes());
    compressed(&[block])
}

/// The hash of an inner node.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    const LEN: usize = 1 + 32 + 32;
    let mut blocks = [[0; BLOCK_LEN]; 2];
    let bytes = blocks.as_flattened_mut();
    bytes[0] = 1;
    bytes[1..33].copy_from_slice(left);
    bytes[33..LEN].copy_from_slice(right);
    bytes[LEN] = 0x80;
    bytes[2 * BLOCK_LEN - 8..].copy_from_slice(&(8 * LEN as u64).to_be_bytes());
    compressed(&blocks)
}

/// The root of no leaves.
pub fn empty_root() -> Hash {
    sha256(&[])
}

/// A tree that only grows, as the roots of its complete subtrees: one for each bit of its size that is set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    peaks: Vec<Hash>,
}

impl Frontier {
    /// The tree of these leaves' hashes.
    pub fn of(leaves: &[Hash]) -> Self {
        let mut frontier = Self::default();
        leaves.iter().for_each(|leaf| frontier.push(*leaf));
        frontier
    }

    /// Adds a leaf's hash.
    pub fn push(&mut self, leaf: Hash) {
        self.push_complete(leaf, 1);
    }

    /// Adds a complete tree of so many leaves by its root, and says whether it could: that is a power of two, and what is there
    /// already is a multiple of it.
    pub fn push_complete(&mut self, root: Hash, leaves: u64) -> bool {
        if !leaves.is_power_of_two() || !self.size.is_multiple_of(leaves) {
            return false;
        }
        let mut hash = root;
        for _ in 0..(self.size / leaves).trailing_ones() {
            if let Some(left) = self.peaks.pop() {
                hash = node_hash(&left, &hash);
            }
        }
        self.peaks.push(hash);
        self.size += leaves;
        true
    }

    /// Number of leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The root.
    pub fn root(&self) -> Hash {
        let mut peaks = self.peaks.iter().rev();
        let Some(last) = peaks.next() else { return empty_root() };
        peaks.fold(*last, |right, left| node_hash(left, &right))
    }
}

/// The root of these leaves' hashes.
pub fn root(leaves: &[Hash]) -> Hash {
    Frontier::of(leaves).root()
}

/// The root of a complete tree of these leaves' hashes, which are overwritten; `None` if their number is no power of two.
/// Level by level: the nodes of one level do not wait for each other, so a processor works at several of them at once.
pub fn complete_root(hashes: &mut [Hash]) -> Option<Hash> {
    let mut len = hashes.len();
    if !len.is_power_of_two() {
        return None;
    }
    while len > 1 {
        len /= 2;
        for n in 0..len {
            hashes[n] = node_hash(&hashes[2 * n], &hashes[2 * n + 1]);
        }
    }
    hashes.first().copied()
}

/// The largest power of two below `len`, which is at least 2.
fn split(len: usize) -> usize {
    len.next_power_of_two() / 2
}

/// The proof that leaf `index` is in the tree of `leaves` (RFC 6962, 2.1.1), from the leaf upwards. `None` if it is not there.
pub fn inclusion_proof(leaves: &[Hash], index: usize) -> Option<Vec<Hash>> {
    if index >= leaves.len() {
        return None;
    }
    let (mut leaves, mut index, mut proof) = (leaves, index, Vec::new());
    while leaves.len() > 1 {
        let (left, right) = leaves.split_at(split(leaves.len()));
        if index < left.len() {
            proof.push(root(right));
            leaves = left;
        } else {
            proof.push(root(left));
            index -= left.len();
            leaves = right;
        }
    }
    proof.reverse();
    Some(proof)
}

/// The proof that the tree of the first `old` leaves became the tree of all (RFC 6962, 2.1.2). `None` unless `1 <= old <= len`.
pub fn consistency_proof(leaves: &[Hash], old: usize) -> Option<Vec<Hash>> {
    if old == 0 || old > leaves.len() {
        return None;
    }
    let (mut leaves, mut old, mut whole, mut proof) = (leaves, old, true, Vec::new());
    while old < leaves.len() {
        let (left, right) = leaves.split_at(split(leaves.len()));
        if old <= left.len() {
            proof.push(root(right));
            leaves = left;
        } else {
            proof.push(root(left));
            (leaves, old, whole) = (right, old - left.len(), false);
        }
    }
    if !whole {
        proof.push(root(leaves));
    }
    proof.reverse();
    Some(proof)
}

/// Checks an inclusion proof (RFC 9162, 2.1.3.2).
#[must_use]
pub fn verify_inclusion(leaf: &Hash, index: u64, size: u64, proof: &[Hash], expected: &Hash) -> bool {
    if index >= size {
        return false;
    }
    let (mut at, mut last, mut hash) = (index, size - 1, *leaf);
    for sibling in proof {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            hash = node_hash(sibling, &hash);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        at >>= 1;
        last >>= 1;
    }
    last == 0 && hash == *expected
}

/// Checks a consistency proof (RFC 9162, 2.1.4.2) between two trees, each by its size and root.
#[must_use]
pub fn verify_consistency(old: (u64, &Hash), new: (u64, &Hash), proof: &[Hash]) -> bool {
    if old.0 == new.0 {
        return proof.is_empty() && old.1 == new.1;
    }
    if old.0 == 0 || old.0 > new.0 {
        return false;
    }
    let (mut at, mut last) = (old.0 - 1, new.0 - 1);
    while at & 1 == 1 {
        at >>= 1;
        last >>= 1;
    }
    let mut rest = proof.iter();
    // A complete old tree is its own first node.
    let first = if old.0.is_power_of_two() { Some(old.1) } else { rest.next() };
    let Some(first) = first else { return false };
    let (mut old_hash, mut new_hash) = (*first, *first);
    for sibling in rest {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            old_hash = node_hash(sibling, &old_hash);
            new_hash = node_hash(sibling, &new_hash);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            new_hash = node_hash(&new_hash, sibling);
        }
        at >>= 1;
        last >>= 1;
    }
    last == 0 && old_hash == *old.1 && new_hash == *new.1
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::id::hex;

    fn leaves(count: usize) -> Vec<Hash> {
        (0..count).map(|n| leaf_hash(&[n as u8])).collect()
    }

    /// The definition of RFC 6962, 2.1, word for word.
    fn defined(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => empty_root(),
            [leaf] => *leaf,
            _ => {
                let (left, right) = leaves.split_at(split(leaves.len()));
                node_hash(&defined(left), &defined(right))
            }
        }
    }

    #[test]
    fn roots_are_those_of_the_rfc() {
        assert_eq!(hex(&empty_root()), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert_eq!(hex(&leaf_hash(b"")), "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d");
        for count in 0..70 {
            assert_eq!(root(&leaves(count)), defined(&leaves(count)), "{count}");
        }
    }

    #[test]
    fn texts_laid_out_in_blocks_have_the_hash_that_sha_256_gives_them() {
        let bytes: Vec<u8> = (0..300_u32).map(|n| (n * 31) as u8).collect();
        for len in 0..=bytes.len() {
            let text = &bytes[..len];
            assert_eq!(leaf_hash(text), sha256(&[&[0], text]), "{len}");
            // Behind something else, as in a buffer that is used again and again.
            for start in [0, 1, 64, 77] {
                let mut padded = vec![7; start];
                padded.extend_from_slice(text);
                pad(&mut padded, start);
                assert_eq!(sha256_padded(&padded[start..]), sha256(&[text]), "{len} from {start}");
            }
        }
        let (left, right) = (leaf_hash(b"left"), leaf_hash(b"right"));
        assert_eq!(node_hash(&left, &right), sha256(&[&[1], &left, &right]));
    }

    #[test]
    fn complete_trees_are_added_where_they_fit_and_nowhere_else() {
        for before in 0..40 {
            for count in 0..20 {
                let all = leaves(before + count);
                let mut tree = Frontier::of(&all[..before]);
                let made = complete_root(&mut all[before..].to_vec());
                assert_eq!(made.is_some(), count.is_power_of_two(), "{count}");
                let root = made.unwrap_or([9; 32]);
                let fits = count.is_power_of_two() && before % count == 0;
                assert_eq!(tree.push_complete(root, count as u64), fits, "{count} behind {before}");
                let expected = if fits { &all[..] } else { &all[..before] };
                assert_eq!(tree, Frontier::of(expected), "{count} behind {before}");
            }
        }
    }

    #[test]
    fn proofs_prove_one_thing_and_nothing_else() {
        for count in 1..40 {
            let tree = leaves(count);
            let top = root(&tree);
            for index in 0..count {
                let proof = inclusion_proof(&tree, index).unwrap();
                for (other, leaf) in tree.iter().enumerate() {
                    let holds = verify_inclusion(leaf, other as u64, count as u64, &proof, &top);
                    assert_eq!(holds, other == index, "{count} {index} {other}");
                }
                assert!(!verify_inclusion(&tree[index], index as u64, count as u64, &proof, &[7; 32]));
                if let Some((_, shorter)) = proof.split_last() {
                    assert!(!verify_inclusion(&tree[index], index as u64, count as u64, shorter, &top));
                }
            }
            assert_eq!(inclusion_proof(&tree, count), None);
            for old in 1..=count {
                let proof = consistency_proof(&tree, old).unwrap();
                let before = root(&tree[..old]);
                let now = (count as u64, &top);
                assert!(verify_consistency((old as u64, &before), now, &proof), "{old} {count}");
                assert!(!verify_consistency((old as u64, &[7; 32]), now, &proof));
                assert!(!verify_consistency((old as u64, &before), (count as u64, &[7; 32]), &proof));
                let longer = [&proof[..], &[[0; 32]]].concat();
                assert!(!verify_consistency((old as u64, &before), now, &longer));
            }
            assert_eq!(consistency_proof(&tree, 0), None);
            assert_eq!(consistency_proof(&tree, count + 1), None);
        }
    }
}
