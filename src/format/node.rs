//! What a snapshot knows of one directory entry. The encoding is in `tree.rs`; here are the values.

use crate::clock::Timestamp;
use crate::crypto::hash;
use crate::id::{ChunkId, TreeId};
use std::sync::Arc;

/// Longest entry name in bytes (Linux allows 255).
pub const ENTRY_NAME_MAX: usize = 255;
/// Longest symbolic-link target in bytes (`PATH_MAX` less the terminator).
pub const LINK_TARGET_MAX: usize = 4095;
/// Contents up to this many bytes may live in the tree itself.
pub const INLINE_MAX: usize = 512;
/// Longest extended-attribute name in bytes, as in Linux.
pub const XATTR_NAME_MAX: usize = 255;
/// Longest extended-attribute value in bytes, as in Linux.
pub const XATTR_VALUE_MAX: usize = 65_536;
/// Most extended attributes kept of one entry.
pub const XATTR_COUNT_MAX: usize = 1024;
/// Inode flags that are kept, by their bits in `FS_IOC_GETFLAGS`: those that `chattr` sets and takes away. The others say how
/// a file system stores a file.
pub const INODE_FLAGS: &[(u32, &str)] = &[
    (0x1, "secure-removal"),
    (0x2, "undelete"),
    (0x4, "compressed"),
    (0x8, "sync"),
    (0x10, "immutable"),
    (0x20, "append-only"),
    (0x40, "nodump"),
    (0x80, "noatime"),
    (0x400, "not-compressed"),
    (0x4000, "journalled"),
    (0x8000, "notail"),
    (0x1_0000, "dirsync"),
    (0x2_0000, "topdir"),
    (0x80_0000, "nocow"),
    (0x200_0000, "dax"),
    (0x2000_0000, "project-inherit"),
    (0x4000_0000, "casefold"),
];
/// All bits of [`INODE_FLAGS`].
pub const INODE_FLAGS_KEPT: u32 = {
    let (mut bits, mut index) = (0, 0);
    while index < INODE_FLAGS.len() {
        bits |= INODE_FLAGS[index].0;
        index += 1;
    }
    bits
};

/// Who owns an entry: the numbers, and the names they had on the host that was backed up (empty where unknown).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Owner {
    /// User number.
    pub uid: u32,
    /// Group number.
    pub gid: u32,
    /// User name; empty if the number had none.
    pub user: Vec<u8>,
    /// Group name; empty if the number had none.
    pub group: Vec<u8>,
}

/// One extended attribute.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Xattr {
    /// Name with its namespace, such as `user.comment`.
    pub name: Vec<u8>,
    /// Value.
    pub value: Vec<u8>,
}

/// Everything about an entry but its name and content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    /// The low twelve bits of `st_mode`: permissions, setuid, setgid, sticky.
    pub mode: u32,
    /// Owner.
    pub owner: Arc<Owner>,
    /// Time of last change of the content.
    pub mtime: Timestamp,
    /// Time of last change of the inode: for noticing changes, never restored.
    pub ctime: Timestamp,
    /// Inode number: for noticing changes and for hard links.
    pub inode: u64,
    /// Device number as the host showed it: for hard links only, not compared between runs.
    pub device: u64,
    /// Number of names the inode had.
    pub links: u32,
    /// When the inode was made, where the file system says: for people, never restored, since it cannot be.
    pub btime: Option<Timestamp>,
    /// Inode flags of a file or directory ([`INODE_FLAGS`]); 0 if there are none, or the file system has none.
    pub inode_flags: u32,
    /// Extended attributes, sorted by name.
    pub xattrs: Vec<Xattr>,
}

/// Where a file's bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// Here (at most [`INLINE_MAX`] bytes).
    Inline(Vec<u8>),
    /// In these chunks, in order.
    Chunks(Vec<ChunkId>),
    /// In the chunks of these lists, in order.
    Lists(Vec<TreeId>),
}

impl Body {
    /// Equal for equal bodies of one dataset: the id of a single chunk, otherwise BLAKE3 of a byte that tells what follows (1, 2
    /// or 3), and the content or the ids.
    pub fn digest(&self) -> [u8; 32] {
        if let Self::Chunks(chunks) = self
            && let [chunk] = chunks.as_slice()
        {
            return *chunk.as_bytes();
        }
        let ids = |tag: u8, ids: &mut dyn Iterator<Item = &[u8; 32]>| {
            let mut bytes = vec![tag];
            ids.for_each(|id| bytes.extend_from_slice(id));
            bytes
        };
        // There is one for each tiny file that is read: on the stack, as far as it can be.
        let mut short = [1; 1 + INLINE_MAX];
        if let Self::Inline(bytes) = self
            && let Some(place) = short.get_mut(1..=bytes.len())
        {
            place.copy_from_slice(bytes);
            return hash::stored(&short[..=bytes.len()]);
        }
        hash::stored(&match self {
            Self::Inline(bytes) => [&[1], &bytes[..]].concat(),
            Self::Chunks(chunks) => ids(2, &mut chunks.iter().map(ChunkId::as_bytes)),
            Self::Lists(lists) => ids(3, &mut lists.iter().map(TreeId::as_bytes)),
        })
    }
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Regular file.
    File {
        /// Length in bytes of what was read.
        size: u64,
        /// Fewer blocks were allocated than the length needs.
        sparse: bool,
        /// The file kept changing while it was read; the content is a mixture of several moments.
        inconsistent: bool,
        /// The bytes.
        body: Body,
    },
    /// Directory.
    Directory {
        /// Its entries.
        tree: TreeId,
    },
    /// Symbolic link.
    Symlink {
        /// Where it points, byte for byte.
        target: Vec<u8>,
    },
    /// Named pipe.
    Fifo,
    /// Character device.
    CharDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// Block device.
    BlockDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// Socket (recorded, never restored).
    Socket,
}

/// One directory entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Name: 1 to 255 bytes, no slash, no NUL, neither `.` nor `..`.
    pub name: Vec<u8>,
    /// Metadata.
    pub metadata: Metadata,
    /// Type and content.
    pub content: Content,
}

/// Whether bytes may be the name of a directory entry. Checked when a tree is decoded and again before a file is created.
pub fn is_entry_name(name: &[u8]) -> bool {
    !name.is_empty()
        && name.len() <= ENTRY_NAME_MAX
        && name != b"."
        && name != b".."
        && !name.iter().any(|b| matches!(b, b'/' | 0))
}

impl Node {
    /// Bytes of content; 0 for anything but a regular file.
    pub fn size(&self) -> u64 {
        match self.content {
            Content::File { size, .. } => size,
            _ => 0,
        }
    }

    /// Whether it is a directory.
    pub fn is_directory(&self) -> bool {
        matches!(self.content, Content::Directory { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of all lengths, those beyond what a tree may hold included.
    #[test]
    fn the_digest_of_inline_content_is_that_of_its_tag_and_bytes() {
        for len in [0, 1, 63, 64, 65, INLINE_MAX - 1, INLINE_MAX, INLINE_MAX + 1, 5000] {
            let bytes: Vec<u8> = (0..len).map(|n| (n * 7) as u8).collect();
            let expected = blake3::hash(&[&[1], &bytes[..]].concat());
            assert_eq!(Body::Inline(bytes).digest(), *expected.as_bytes(), "{len}");
        }
    }
}
