//! Directories under way: entries come in from the walker and the workers in any order, and who brings the last one closes
//! the directory, and its parent if that was the last one there, and so on up.

use crate::engine::backup::store::Store;
use crate::engine::backup::tally::Tally;
use crate::engine::context::Result;
use crate::format::node::{Body, Content, Metadata, Node};
use crate::format::tree::{EncodedTree, Page, encode_leaf, encode_pages};
use crate::fs::SourceDir;
use crate::id::TreeId;
use crate::repository::RepositoryError;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Directories up to this many entries (and [`PAGE_BYTES_MAX`]) are one tree.
const ONE_PAGE_MAX: usize = 512;
/// A page ends after at least this many entries …
const PAGE_MIN: usize = 128;
/// … at a name whose hash ends in nine zero bits, so that an added file changes one page …
const PAGE_MASK: u16 = 0x1ff;
/// … or at this many …
const PAGE_MAX: usize = 4096;
/// … or at about this many encoded bytes.
const PAGE_BYTES_MAX: usize = 1 << 20;

#[derive(Debug)]
struct State {
    nodes: Vec<Option<Node>>,
    pending: usize,
    identical: usize,
}

/// A directory under way.
#[derive(Debug)]
pub(super) struct Dir {
    /// The open directory.
    pub(super) source: SourceDir,
    name: Vec<u8>,
    /// Metadata of the directory itself; `None` for the root of the snapshot, which has no node.
    metadata: Option<Metadata>,
    up: Option<(Arc<Dir>, usize)>,
    /// Its node in the parent snapshot, and how many entries it had there.
    parent: Option<(Node, usize)>,
    state: Mutex<State>,
    tree: OnceLock<TreeId>,
}

/// What is known of a directory when it is entered.
#[derive(Debug)]
pub(super) struct NewDir {
    pub(super) source: SourceDir,
    pub(super) name: Vec<u8>,
    pub(super) metadata: Option<Metadata>,
    pub(super) up: Option<(Arc<Dir>, usize)>,
    pub(super) parent: Option<(Node, usize)>,
    pub(super) entries: usize,
}

/// What a closed directory is for the one above it.
struct Closed {
    node: Option<Node>,
    identical: bool,
}

impl Dir {
    /// A directory of so many entries, held open by the walker until it calls [`Dir::release`].
    pub(super) fn new(new: NewDir) -> Self {
        let NewDir { source, name, metadata, up, parent, entries } = new;
        let state = State { nodes: (0..entries).map(|_| None).collect(), pending: 1, identical: 0 };
        Self { source, name, metadata, up, parent, state: Mutex::new(state), tree: OnceLock::new() }
    }

    /// The root's tree, once everything is done.
    pub(super) fn tree(&self) -> Option<TreeId> {
        self.tree.get().copied()
    }

    /// Its own node, once everything is done; `None` for the root.
    pub(super) fn node(&self) -> Option<Node> {
        let (metadata, tree) = (self.metadata.clone()?, self.tree()?);
        Some(Node { name: self.name.clone(), metadata, content: Content::Directory { tree } })
    }

    /// Announces an entry that will be brought later.
    pub(super) fn expect(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).pending += 1;
    }

    /// Brings an entry at once; `identical` if the parent has the very same node.
    pub(super) fn put(&self, slot: usize, node: Node, identical: bool) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.nodes[slot] = Some(node);
        state.identical += usize::from(identical);
    }

    /// Brings an announced entry (`None` if it could not be read), and closes what is complete by it.
    pub(super) fn complete(
        self: &Arc<Self>,
        slot: usize,
        node: Option<Node>,
        identical: bool,
        store: &Store,
        tally: &Tally,
    ) -> Result<()> {
        {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.identical += usize::from(identical && node.is_some());
            state.nodes[slot] = node;
        }
        self.release(store, tally)
    }

    /// Gives up one hold, and closes what is complete by it.
    pub(super) fn release(self: &Arc<Self>, store: &Store, tally: &Tally) -> Result<()> {
        let mut at = Arc::clone(self);
        loop {
            {
                let mut state = at.state.lock().unwrap_or_else(PoisonError::into_inner);
                state.pending -= 1;
                if state.pending > 0 {
                    return Ok(());
                }
            }
            let Closed { node, identical } = at.close(store, tally)?;
            let Some((up, slot)) = at.up.clone() else { return Ok(()) };
            {
                let mut state = up.state.lock().unwrap_or_else(PoisonError::into_inner);
                state.identical += usize::from(identical);
                state.nodes[slot] = node;
            }
            at = up;
        }
    }

    fn close(&self, store: &Store, tally: &Tally) -> Result<Closed> {
        let (nodes, identical) = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            (std::mem::take(&mut state.nodes), state.identical)
        };
        let nodes: Vec<Node> = nodes.into_iter().flatten().collect();
        let before = self.parent.as_ref().and_then(|(node, count)| match node.content {
            Content::Directory { tree } => Some((tree, *count)),
            _ => None,
        });
        let tree = match before {
            // All entries are the parent's own nodes, and none is missing: so is the tree.
            Some((tree, count)) if identical == nodes.len() && count == nodes.len() => tree,
            _ => store_directory(&nodes, store)?,
        };
        // A directory is closed once.
        let _ = self.tree.set(tree);
        let Some(node) = self.node() else { return Ok(Closed { node: None, identical: false }) };
        let known = self.parent.as_ref().map(|(node, _)| node);
        let identical = known == Some(&node);
        tally.count(|s| match known {
            None => s.dirs_new += 1,
            Some(_) if identical => s.dirs_unmodified += 1,
            Some(_) => s.dirs_changed += 1,
        });
        Ok(Closed { node: Some(node), identical })
    }
}

fn encoded_len(node: &Node) -> usize {
    let xattrs: usize = node.metadata.xattrs.iter().map(|x| x.name.len() + x.value.len() + 4).sum();
    let content = match &node.content {
        Content::File { body: Body::Inline(bytes), .. } => bytes.len(),
        Content::File { body: Body::Chunks(ids), .. } => ids.len() * 32,
        Content::File { body: Body::Lists(ids), .. } => ids.len() * 32,
        Content::Symlink { target } => target.len(),
        _ => 32,
    };
    node.name.len() + 40 + xattrs + content
}

fn ends_page(node: &Node, entries: usize, bytes: usize) -> bool {
    let hash = blake3::hash(&node.name);
    let tail = u16::from_le_bytes([hash.as_bytes()[0], hash.as_bytes()[1]]);
    entries >= PAGE_MAX || bytes >= PAGE_BYTES_MAX || (entries >= PAGE_MIN && tail & PAGE_MASK == 0)
}

/// Stores a directory: one tree, or pages and the tree that names them.
pub(super) fn store_directory(nodes: &[Node], store: &Store) -> Result<TreeId> {
    let failed = RepositoryError::encode("directory");
    let add = |encoded: crate::format::wire::Result<EncodedTree>| -> Result<TreeId> {
        store.add_tree(&encoded.map_err(&failed)?)
    };
    let total: usize = nodes.iter().map(encoded_len).sum();
    if nodes.len() <= ONE_PAGE_MAX && total <= PAGE_BYTES_MAX {
        return add(encode_leaf(nodes));
    }
    let (mut pages, mut start, mut bytes) = (Vec::new(), 0, 0);
    for (index, node) in nodes.iter().enumerate() {
        bytes += encoded_len(node);
        if index + 1 == nodes.len() || ends_page(node, index + 1 - start, bytes) {
            let tree = add(encode_leaf(&nodes[start..=index]))?;
            pages.push(Page { first_name: nodes[start].name.clone(), tree });
            (start, bytes) = (index + 1, 0);
        }
    }
    match pages.as_slice() {
        [only] => Ok(only.tree),
        _ => add(encode_pages(&pages)),
    }
}
