//! Inode numbers, and the table of those that the kernel holds a reference to.
//!
//! A number is a hash of the way to the entry, or of what names of one file have in common, so it is the same whenever it is
//! asked for: programs that tell hard links by their numbers would be misled by a number that another file had before. An
//! entry says where its node is and takes about 200 bytes; the node itself is in a cache or is read again. It stays until the
//! kernel forgets it, and until nothing below it is left in the table.

use crate::crypto::hash;
use crate::engine::mount::trees::Place;
use crate::format::node::{Content, Node};
use std::collections::HashMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// What an entry takes in bytes, about: with a name of middle length and its share of the table.
pub(super) const ENTRY_BYTES: u64 = 256;

/// Number of an inode; 1 is the root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ino(pub u64);

impl Ino {
    /// The root.
    pub const ROOT: Self = Self(1);

    fn of_bytes(bytes: &[u8]) -> Self {
        let hash = hash::stored(bytes);
        let mut first = [0; 8];
        first.copy_from_slice(&hash[..8]);
        // 0 means none, and 1 is the root.
        Self(u64::from_le_bytes(first).max(2))
    }

    /// Of the entry of this name.
    pub(super) fn of_name(parent: Self, name: &[u8]) -> Self {
        Self::of_bytes(&[&parent.0.to_le_bytes()[..], b"/", name].concat())
    }

    /// Of an entry of a directory of the snapshot that begins at `top`. Names of one file, by what the host that was backed up
    /// said, have one number if their contents are equal too, as a restore links them.
    pub(super) fn of_node(parent: Self, top: Self, node: &Node) -> Self {
        if node.metadata.links < 2 || node.is_directory() {
            return Self::of_name(parent, &node.name);
        }
        let (tag, size, digest) = match &node.content {
            Content::File { size, body, .. } => (1_u8, *size, body.digest()),
            Content::Symlink { target } => (2, 0, hash::stored(target)),
            Content::Fifo => (3, 0, [0; 32]),
            Content::CharDevice { major, minor } => (4, u64::from(*major) << 32 | u64::from(*minor), [0; 32]),
            Content::BlockDevice { major, minor } => (5, u64::from(*major) << 32 | u64::from(*minor), [0; 32]),
            Content::Socket | Content::Directory { .. } => (6, 0, [0; 32]),
        };
        let numbers = [top.0, node.metadata.device, node.metadata.inode, size].map(u64::to_le_bytes);
        Self::of_bytes(&[numbers.as_flattened(), b"=", &[tag], &digest].concat())
    }
}

/// An entry, as it is found again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Known {
    /// The top directory of its snapshot.
    pub(super) top: Ino,
    /// Where its node is.
    pub(super) place: Place,
    /// Directories between the top and it.
    pub(super) depth: u16,
}

#[derive(Debug)]
struct Entry {
    parent: Ino,
    name: Box<[u8]>,
    known: Known,
    is_linked: bool,
    is_directory: bool,
    /// References that the kernel holds.
    lookups: u64,
    /// Entries of the table whose parent it is.
    below: u64,
    used: u64,
}

#[derive(Debug, Default)]
struct State {
    entries: HashMap<Ino, Entry>,
    tick: u64,
    /// When it was last asked which ones should go, and how many were there then.
    asked: Option<(u64, usize)>,
    is_closed: bool,
}

/// The table.
#[derive(Debug)]
pub(super) struct Inodes {
    state: Mutex<State>,
    changed: Condvar,
    count_max: usize,
}

impl Inodes {
    /// An empty table; more entries than `count_max` are a crowd.
    pub(super) fn new(count_max: usize) -> Self {
        Self { state: Mutex::default(), changed: Condvar::new(), count_max }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Counts and entries are changed together, before anything can fail.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a reference to an entry. Returns whether it is the one that the table has under this number.
    #[must_use]
    pub(super) fn remember(&self, ino: Ino, parent: Ino, node: &Node, known: Known) -> bool {
        let mut state = self.lock();
        state.tick += 1;
        let used = state.tick;
        if let Some(entry) = state.entries.get_mut(&ino) {
            let is_same = entry.is_linked || entry.parent == parent && *entry.name == *node.name;
            if is_same {
                (entry.lookups, entry.used) = (entry.lookups + 1, used);
            }
            return is_same;
        }
        let entry = Entry {
            parent,
            name: node.name.as_slice().into(),
            known,
            is_linked: node.metadata.links > 1,
            is_directory: node.is_directory(),
            lookups: 1,
            below: 0,
            used,
        };
        state.entries.insert(ino, entry);
        if let Some(parent) = state.entries.get_mut(&parent) {
            parent.below += 1;
        }
        if self.is_crowded(&state) {
            self.changed.notify_all();
        }
        true
    }

    /// Whether there are too many, and it is time to ask (again) for some to go.
    fn is_crowded(&self, state: &State) -> bool {
        let patience = (self.count_max / 8) as u64;
        state.entries.len() > self.count_max && state.asked.is_none_or(|(when, _)| state.tick - when > patience)
    }

    /// What is known of a number.
    pub(super) fn get(&self, ino: Ino) -> Option<Known> {
        let mut state = self.lock();
        state.tick += 1;
        let used = state.tick;
        state.entries.get_mut(&ino).map(|entry| {
            entry.used = used;
            entry.known
        })
    }

    /// The directory that an entry was found in.
    pub(super) fn parent(&self, ino: Ino) -> Option<Ino> {
        self.lock().entries.get(&ino).map(|entry| entry.parent)
    }

    /// The way to an entry from the top of its snapshot: `/name/name`.
    pub(super) fn path(&self, ino: Ino) -> Vec<u8> {
        let state = self.lock();
        let mut names: Vec<&[u8]> = Vec::new();
        let mut at = ino;
        while let Some(entry) = state.entries.get(&at) {
            names.push(&entry.name);
            at = entry.parent;
        }
        names.iter().rev().flat_map(|name| [b"/", *name].concat()).collect()
    }

    /// Takes references away.
    pub(super) fn forget(&self, ino: Ino, count: u64) {
        let mut state = self.lock();
        let Some(entry) = state.entries.get_mut(&ino) else { return };
        entry.lookups = entry.lookups.saturating_sub(count);
        let mut at = ino;
        while let Some(entry) = state.entries.get(&at).filter(|entry| entry.lookups == 0 && entry.below == 0) {
            let parent = entry.parent;
            state.entries.remove(&at);
            if let Some(parent) = state.entries.get_mut(&parent) {
                parent.below -= 1;
            }
            at = parent;
        }
        // A walk through millions leaves a large table behind.
        if state.entries.len() < state.entries.capacity() / 8 {
            state.entries.shrink_to_fit();
        }
    }

    /// Number of entries.
    pub(super) fn len(&self) -> usize {
        self.lock().entries.len()
    }

    /// Waits until there are too many entries, and returns the names of those that the kernel should let go of, with their
    /// directories. `None` once the table is closed.
    ///
    /// First those that were not used for longest. If that did not help, since other names hold them, whole directories: with
    /// one of them the kernel drops all below it that is not in use.
    pub(super) fn crowd(&self) -> Option<Vec<(Ino, Vec<u8>)>> {
        let mut state = self.lock();
        while !state.is_closed && !self.is_crowded(&state) {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.is_closed {
            return None;
        }
        let (tick, count) = (state.tick, state.entries.len());
        let was_in_vain = state.asked.is_some_and(|(_, before)| count >= before);
        state.asked = Some((tick, count));
        let fits = |entry: &&Entry| if was_in_vain { entry.is_directory } else { entry.below == 0 };
        let mut leaving: Vec<&Entry> = state.entries.values().filter(fits).collect();
        leaving.sort_unstable_by_key(|entry| entry.used);
        leaving.truncate(count - self.count_max / 4 * 3);
        Some(leaving.into_iter().map(|entry| (entry.parent, entry.name.to_vec())).collect())
    }

    /// Ends waiting.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.changed.notify_all();
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::engine::testing::{file, node};
    use crate::format::node::Body;
    use crate::id::TreeId;

    fn known(index: u32) -> Known {
        Known { top: Ino(9), place: Place { page: TreeId::from_bytes([7; 32]), index }, depth: 0 }
    }

    fn directory(name: &str) -> Node {
        node(name, Content::Directory { tree: TreeId::from_bytes([1; 32]) })
    }

    #[test]
    fn entries_stay_while_they_or_what_is_below_them_is_held() {
        let inodes = Inodes::new(100);
        let (dir, leaf) = (directory("d"), file("f", 1, Body::Inline(b"x".to_vec())));
        let (d, f) = (Ino::of_node(Ino(9), Ino(9), &dir), Ino::of_node(Ino(5), Ino(9), &leaf));
        assert!(inodes.remember(d, Ino(9), &dir, known(0)));
        assert!(inodes.remember(f, d, &leaf, known(1)));
        assert!(inodes.remember(f, d, &leaf, known(1)));
        assert_eq!((inodes.path(f), inodes.path(d)), (b"/d/f".to_vec(), b"/d".to_vec()));
        inodes.forget(d, 1);
        assert_eq!(inodes.get(d), Some(known(0)), "something below it is held");
        inodes.forget(f, 1);
        assert_eq!((inodes.get(f), inodes.len()), (Some(known(1)), 2), "it was looked up twice");
        inodes.forget(f, 1);
        assert_eq!(inodes.len(), 0);
        inodes.forget(f, 1);
    }

    #[test]
    fn another_entry_with_the_same_number_is_noticed() {
        let inodes = Inodes::new(100);
        let (a, b) = (directory("a"), directory("b"));
        assert!(inodes.remember(Ino(77), Ino(9), &a, known(0)));
        assert!(!inodes.remember(Ino(77), Ino(9), &b, known(1)));
        inodes.forget(Ino(77), 1);
        assert_eq!(inodes.len(), 0);
    }

    #[test]
    fn names_of_one_file_have_one_number_and_others_their_own() {
        let linked = |name: &str, inode, text: &str| {
            let mut node = file(name, text.len() as u64, Body::Inline(text.into()));
            (node.metadata.links, node.metadata.inode, node.metadata.device) = (2, inode, 3);
            node
        };
        let number = |parent, top, node: &Node| Ino::of_node(Ino(parent), Ino(top), node);
        let first = number(20, 9, &linked("a", 5, "x"));
        assert_eq!(first, number(30, 9, &linked("b", 5, "x")));
        assert_ne!(first, number(30, 9, &linked("b", 6, "x")), "another inode");
        assert_ne!(first, number(30, 9, &linked("b", 5, "y")), "another content");
        assert_ne!(first, number(30, 8, &linked("b", 5, "x")), "another snapshot");
        let mut single = linked("a", 5, "x");
        single.metadata.links = 1;
        assert_ne!(number(20, 9, &single), number(30, 9, &single));
    }

    #[test]
    fn a_crowd_is_asked_to_go_the_longest_unused_first_then_by_directories() {
        let inodes = Inodes::new(16);
        let dir = directory("d");
        assert!(inodes.remember(Ino(100), Ino(9), &dir, known(0)));
        let files: Vec<Node> = (0..40).map(|n| file(&format!("f{n:02}"), 0, Body::Inline(Vec::new()))).collect();
        let add = |n: usize| assert!(inodes.remember(Ino(200 + n as u64), Ino(100), &files[n], known(n as u32)));
        (0..20).for_each(add);
        inodes.get(Ino(200)).unwrap();
        let asked = inodes.crowd().unwrap();
        let names: Vec<_> = asked.iter().map(|(_, name)| String::from_utf8_lossy(name).into_owned()).collect();
        let expected: Vec<_> = (1..10).map(|n| format!("f{n:02}")).collect();
        assert_eq!(names, expected, "f00 was used, and three quarters may stay");
        // None of them went.
        (20..24).for_each(add);
        assert_eq!(inodes.crowd().unwrap(), [(Ino(9), b"d".to_vec())]);
        inodes.close();
        assert_eq!(inodes.crowd(), None);
    }
}
