//! What is looked for: names or paths, and what has to be true of an entry besides.

use crate::clock::Timestamp;
use crate::engine::find::glob::Pattern;
use crate::format::node::{Content, Node};

/// Types of entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Regular file.
    File,
    /// Directory.
    Directory,
    /// Symbolic link.
    Symlink,
    /// Named pipe.
    Fifo,
    /// Character or block device.
    Device,
    /// Socket.
    Socket,
}

impl Kind {
    /// Of an entry.
    pub fn of(content: &Content) -> Self {
        match content {
            Content::File { .. } => Self::File,
            Content::Directory { .. } => Self::Directory,
            Content::Symlink { .. } => Self::Symlink,
            Content::Fifo => Self::Fifo,
            Content::CharDevice { .. } | Content::BlockDevice { .. } => Self::Device,
            Content::Socket => Self::Socket,
        }
    }
}

/// What is looked for. All of it has to be true; of the patterns one.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// Names or paths.
    pub patterns: Vec<Pattern>,
    /// Types; empty allows all.
    pub kinds: Vec<Kind>,
    /// Content not last changed before this.
    pub oldest: Option<Timestamp>,
    /// Content not last changed after this.
    pub newest: Option<Timestamp>,
    /// Regular files of at least so many bytes.
    pub size_min: Option<u64>,
    /// Regular files of at most so many bytes.
    pub size_max: Option<u64>,
}

impl Query {
    /// Whether an entry at an absolute path is looked for.
    pub fn fits(&self, path: &[u8], node: &Node) -> bool {
        let (mtime, size) = (node.metadata.mtime, node.size());
        let has_size = self.size_min.is_none() && self.size_max.is_none()
            || matches!(node.content, Content::File { .. })
                && self.size_min.is_none_or(|min| size >= min)
                && self.size_max.is_none_or(|max| size <= max);
        has_size
            && self.oldest.is_none_or(|oldest| mtime >= oldest)
            && self.newest.is_none_or(|newest| mtime <= newest)
            && (self.kinds.is_empty() || self.kinds.contains(&Kind::of(&node.content)))
            && self.patterns.iter().any(|pattern| pattern.fits(path))
    }

    /// Whether the same directory has the same hits wherever it is.
    pub(super) fn ignores_place(&self) -> bool {
        !self.patterns.iter().any(Pattern::is_path)
    }
}
