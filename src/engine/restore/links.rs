//! Hard links: the first name of an inode is made, further ones are linked to it. Everything but a directory may have several
//! names. What is immutable or append-only cannot be linked, so it becomes that when its last name was seen.
//!
//! That two nodes have the same device and inode number says that they were one file when they were looked at. If one was
//! replaced in between, or the numbers were made up, the contents differ: then the second is a file of its own.

use crate::crypto::hash::StoredHasher;
use crate::engine::restore::dirs::Dir;
use crate::format::node::{Body, Content, Node};
use crate::fs::{FileId, INODE_LOCKS};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Device and inode number on the host that was backed up.
pub(super) type LinkKey = (u64, u64);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    Made(FileId),
    Failed { is_damage: bool },
}

#[derive(Debug)]
struct First {
    dir: Arc<Dir>,
    name: Vec<u8>,
    body: [u8; 32],
    state: State,
    inode_flags: u32,
    /// Names that may still come.
    left: u32,
}

/// A file that has all its names, and is to be immutable or append-only.
#[derive(Debug)]
pub(super) struct ToLock {
    pub(super) dir: Arc<Dir>,
    pub(super) name: Vec<u8>,
    pub(super) id: FileId,
    pub(super) inode_flags: u32,
}

impl First {
    fn into_lock(self) -> Option<ToLock> {
        let Self { dir, name, state: State::Made(id), inode_flags, .. } = self else { return None };
        (inode_flags & INODE_LOCKS != 0).then_some(ToLock { dir, name, id, inode_flags })
    }
}

/// What a name is to become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Claim {
    /// A file of its own, that nothing is linked to.
    Own,
    /// A file, that others will be linked to.
    First(LinkKey),
    /// A link to the first.
    Later,
}

impl Claim {
    /// The key of a first name.
    pub(super) fn key(self) -> Option<LinkKey> {
        if let Self::First(key) = self { Some(key) } else { None }
    }
}

/// What a later name is linked to.
#[derive(Debug)]
pub(super) enum Source {
    /// This file.
    File(Arc<Dir>, Vec<u8>, FileId),
    /// The first name could not be restored; `is_damage`: nor could this one.
    None { is_damage: bool },
}

/// Linked inodes of which not all names were seen yet.
#[derive(Debug, Default)]
pub(super) struct Links(Mutex<HashMap<LinkKey, First>>);

/// Equal for equal contents only.
fn digest(node: &Node) -> [u8; 32] {
    let mut hasher = StoredHasher::new();
    let mut add = |tag: u8, parts: &mut dyn Iterator<Item = &[u8]>| {
        hasher.update(&node.size().to_le_bytes());
        hasher.update(&[tag]);
        parts.for_each(|part| hasher.update(part));
    };
    match &node.content {
        Content::File { body: Body::Inline(bytes), .. } => add(1, &mut [bytes.as_slice()].into_iter()),
        Content::File { body: Body::Chunks(ids), .. } => add(2, &mut ids.iter().map(|id| &id.as_bytes()[..])),
        Content::File { body: Body::Lists(ids), .. } => add(3, &mut ids.iter().map(|id| &id.as_bytes()[..])),
        Content::Symlink { target } => add(4, &mut [target.as_slice()].into_iter()),
        Content::Fifo => add(5, &mut [].into_iter()),
        Content::CharDevice { major, minor } => {
            add(6, &mut [&major.to_le_bytes()[..], &minor.to_le_bytes()].into_iter())
        }
        Content::BlockDevice { major, minor } => {
            add(7, &mut [&major.to_le_bytes()[..], &minor.to_le_bytes()].into_iter());
        }
        Content::Socket | Content::Directory { .. } => add(8, &mut [].into_iter()),
    }
    hasher.finish()
}

impl Links {
    fn lock(&self) -> MutexGuard<'_, HashMap<LinkKey, First>> {
        // Entries are changed in single steps, so the map is whole even if a thread died.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says what `node` in `dir`, which is no directory, is to become; `again` if it was asked before.
    pub(super) fn claim(&self, dir: &Arc<Dir>, node: &Node, again: bool) -> Claim {
        if node.metadata.links < 2 {
            return Claim::Own;
        }
        let key = (node.metadata.device, node.metadata.inode);
        let body = digest(node);
        let (inode_flags, state) = (node.metadata.inode_flags, State::Waiting);
        let first = |left| First { dir: Arc::clone(dir), name: node.name.clone(), body, state, inode_flags, left };
        let mut map = self.lock();
        let Some(known) = map.get_mut(&key) else {
            map.insert(key, first(node.metadata.links - 1));
            return Claim::First(key);
        };
        if known.body != body {
            return Claim::Own;
        }
        known.left = known.left.saturating_sub(u32::from(!again));
        match known.state {
            State::Waiting | State::Made(_) => Claim::Later,
            State::Failed { .. } => {
                *known = first(known.left);
                Claim::First(key)
            }
        }
    }

    /// The first name is in place.
    pub(super) fn made(&self, key: &LinkKey, id: FileId) {
        if let Some(first) = self.lock().get_mut(key) {
            first.state = State::Made(id);
        }
    }

    /// The first name could not be restored.
    pub(super) fn failed(&self, key: &LinkKey, is_damage: bool) {
        if let Some(first) = self.lock().get_mut(key) {
            first.state = State::Failed { is_damage };
        }
    }

    /// What a [`Claim::Later`] is linked to, once all contents are written.
    pub(super) fn source(&self, node: &Node) -> Source {
        match self.lock().get(&(node.metadata.device, node.metadata.inode)) {
            Some(First { dir, name, state: State::Made(id), .. }) => Source::File(Arc::clone(dir), name.clone(), *id),
            Some(First { state: State::Failed { is_damage }, .. }) => Source::None { is_damage: *is_damage },
            _ => Source::None { is_damage: false },
        }
    }

    /// Forgets inodes all names of which were seen and linked. Returns those that can be locked now.
    pub(super) fn forget_seen(&self) -> Vec<ToLock> {
        self.lock().extract_if(|_, first| first.left == 0).filter_map(|(_, first)| first.into_lock()).collect()
    }

    /// Forgets all inodes: no further names come. Returns those that can be locked now.
    pub(super) fn forget_all(&self) -> Vec<ToLock> {
        std::mem::take(&mut *self.lock()).into_values().filter_map(First::into_lock).collect()
    }
}
