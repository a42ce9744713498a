//! The Merkle tree of RFC 6962, section 2, over SHA-256: roots, and the two proofs that a verifier works with.

use sha2::{Digest as _, Sha256};

/// A node of the tree.
pub type Hash = [u8; 32];

/// SHA-256 of parts, one after the other.
pub fn sha256(parts: &[&[u8]]) -> Hash {
    let mut hasher = Sha256::new();
    parts.iter().for_each(|part| hasher.update(part));
    hasher.finalize().into()
}

/// The hash of a leaf.
pub fn leaf_hash(leaf: &[u8]) -> Hash {
    sha256(&[&[0], leaf])
}

/// The hash of an inner node.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    sha256(&[&[1], left, right])
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
        let mut hash = leaf;
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.peaks.pop() {
                hash = node_hash(&left, &hash);
            }
        }
        self.peaks.push(hash);
        self.size += 1;
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
