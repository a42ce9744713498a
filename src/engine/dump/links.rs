//! Hard links in an archive: the first name of an inode is a member with its content, further ones refer to it.
//!
//! As in a restore, two nodes are names of one file only if device, inode number and content agree. What is remembered is
//! bounded: a file beyond that is stored under each of its names.

use crate::format::node::{Content, Node};
use std::collections::HashMap;

/// Bytes of names and numbers that are remembered.
const BYTES_MAX: usize = 64 << 20;
/// What an inode counts for besides its name.
const INODE_BYTES: usize = 128;

#[derive(Debug)]
struct First {
    name: Vec<u8>,
    content: [u8; 32],
    /// Names that may still come.
    left: u32,
}

/// Inodes of which not all names were seen yet.
#[derive(Debug, Default)]
pub(super) struct Links {
    inodes: HashMap<(u64, u64), First>,
    bytes: usize,
}

impl Links {
    /// The name of the member that `node`, which is called `name` in the archive, is another name of.
    pub(super) fn first(&mut self, node: &Node, content: &[u8; 32], name: &[u8]) -> Option<Vec<u8>> {
        if node.metadata.links < 2 || !matches!(node.content, Content::File { .. }) {
            return None;
        }
        let key = (node.metadata.device, node.metadata.inode);
        if let Some(first) = self.inodes.get_mut(&key) {
            if first.content != *content {
                return None;
            }
            let found = first.name.clone();
            first.left = first.left.saturating_sub(1);
            if first.left == 0 {
                self.bytes -= INODE_BYTES + first.name.len();
                self.inodes.remove(&key);
            }
            return Some(found);
        }
        if self.bytes + INODE_BYTES + name.len() <= BYTES_MAX {
            self.bytes += INODE_BYTES + name.len();
            let left = node.metadata.links - 1;
            self.inodes.insert(key, First { name: name.to_vec(), content: *content, left });
        }
        None
    }
}
