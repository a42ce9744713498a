//! The tree of a snapshot: looking up a path, listing a directory, walking all of it.
//!
//! What is in a repository may be hostile, so a walk needs neither recursion nor memory in proportion to the snapshot: it
//! holds what it is in the middle of, up to [`HELD_MAX`] encoded bytes, and reads the rest again on the way back up. Cycles
//! cannot be, since a tree's id is the hash of all below it; depth is bounded.

use crate::engine::context::{EngineError, Result};
use crate::format::node::{Content, Node, is_entry_name};
use crate::format::tree::{Page, Tree};
use crate::format::wire::FormatError;
use crate::id::TreeId;
use crate::repository::RepositoryError;
use crate::repository::pack_reader::{PackReader, ReadBuffers};
use std::sync::Arc;

/// Deepest directory below the root that is walked; a path of Linux cannot have more components.
pub const DEPTH_MAX: usize = 4096;
/// Encoded bytes of trees a walk holds decoded at the same time, besides the one it is in.
const HELD_MAX: u64 = 4 << 20;
/// What a page of a directory counts for.
const PAGE_BYTES: u64 = 64;

type Read<T> = std::result::Result<T, RepositoryError>;

fn malformed(tree: &TreeId, what: &'static str) -> RepositoryError {
    RepositoryError::Damaged { object: format!("tree {tree}"), source: FormatError::Invalid { what } }
}

/// Takes a directory's entries one after the other, of its pages too.
#[derive(Debug)]
pub struct DirReader {
    tree: TreeId,
    /// The pages of a large directory, once they are known.
    pages: Option<Vec<Page>>,
    /// Which page is next to be taken from; 0 in a directory without pages.
    page: usize,
    /// How many entries of that page were taken.
    taken: usize,
    nodes: Option<std::vec::IntoIter<Node>>,
    last_name: Vec<u8>,
    is_done: bool,
    held: u64,
}

impl DirReader {
    /// The entries of the directory whose tree this is.
    pub fn new(tree: TreeId) -> Self {
        Self { tree, pages: None, page: 0, taken: 0, nodes: None, last_name: Vec::new(), is_done: false, held: 0 }
    }

    /// The next entry, in order of names. After an error the entries of the next page follow, if there is one.
    pub fn next(&mut self, reader: &PackReader, buffers: &mut ReadBuffers) -> Option<Read<Node>> {
        while !self.is_done {
            let Some(nodes) = &mut self.nodes else {
                if let Err(error) = self.load(reader, buffers) {
                    self.next_page();
                    return Some(Err(error));
                }
                continue;
            };
            if let Some(node) = nodes.next() {
                self.taken += 1;
                if nodes.len() == 0 {
                    self.last_name.clone_from(&node.name);
                }
                return Some(Ok(node));
            }
            self.next_page();
        }
        None
    }

    fn next_page(&mut self) {
        (self.nodes, self.taken) = (None, 0);
        self.page += 1;
        self.is_done = self.pages.as_ref().is_none_or(|pages| self.page >= pages.len());
    }

    fn load(&mut self, reader: &PackReader, buffers: &mut ReadBuffers) -> Read<()> {
        if self.pages.is_none() {
            match reader.read_tree(&self.tree, buffers)? {
                Tree::Leaf(nodes) => {
                    self.hold(reader, &self.tree.clone(), nodes);
                    return Ok(());
                }
                Tree::Pages(pages) => self.pages = Some(pages),
                Tree::List(_) => return Err(malformed(&self.tree, "tree of a directory")),
            }
        }
        let Some(page) = self.pages.as_ref().and_then(|pages| pages.get(self.page)).cloned() else {
            return Err(malformed(&self.tree, "number of pages"));
        };
        let nodes = read_page(reader, buffers, &page)?;
        // A page that was let go of after its last entry was taken comes after itself.
        if self.taken == 0 && page.first_name <= self.last_name {
            return Err(malformed(&self.tree, "order of pages"));
        }
        self.hold(reader, &page.tree, nodes);
        Ok(())
    }

    fn hold(&mut self, reader: &PackReader, tree: &TreeId, nodes: Vec<Node>) {
        let mut nodes = nodes.into_iter();
        // Read again after it was let go: what was taken before does not come again.
        if self.taken > 0 {
            nodes.nth(self.taken - 1);
        }
        let pages = self.pages.as_ref().map_or(0, |pages| pages.len() as u64 * PAGE_BYTES);
        self.held = pages + reader.locate_tree(tree).map_or(0, |l| l.lens.iter().map(|len| u64::from(*len)).sum());
        self.nodes = Some(nodes);
    }

    /// Whether something comes after the entry that was taken last.
    fn has_more(&self) -> bool {
        let is_in_page = self.nodes.as_ref().is_some_and(|nodes| nodes.len() > 0);
        is_in_page || self.pages.as_ref().is_some_and(|pages| self.page + 1 < pages.len())
    }

    /// Encoded bytes of what is held in memory.
    pub(in crate::engine) fn held(&self) -> u64 {
        self.held
    }

    /// Has the entry that was taken last come again.
    pub(in crate::engine) fn put_back(&mut self) {
        self.taken = self.taken.saturating_sub(1);
        self.nodes = None;
        // It may have been the last of its page, and of the page's only one.
        self.last_name.clear();
    }

    /// Lets go of what is held in memory; it is read again when it is needed.
    pub(in crate::engine) fn release(&mut self) {
        self.nodes = None;
        self.pages = None;
        self.held = 0;
    }
}

fn read_page(reader: &PackReader, buffers: &mut ReadBuffers, page: &Page) -> Read<Vec<Node>> {
    match reader.read_tree(&page.tree, buffers)? {
        Tree::Leaf(nodes) if nodes.first().is_some_and(|node| node.name == page.first_name) => Ok(nodes),
        _ => Err(malformed(&page.tree, "page of a directory")),
    }
}

/// What a path leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// The root directory, which has no entry of its own.
    Root(TreeId),
    /// An entry.
    Node(Box<Node>),
}

impl Found {
    /// The tree, if it is a directory.
    pub fn tree(&self) -> Option<TreeId> {
        match self {
            Self::Root(tree) => Some(*tree),
            Self::Node(node) => match node.content {
                Content::Directory { tree } => Some(tree),
                _ => None,
            },
        }
    }
}

/// A snapshot's tree.
#[derive(Debug, Clone)]
pub struct SnapshotTree {
    reader: Arc<PackReader>,
    root: TreeId,
}

impl SnapshotTree {
    /// The tree with this root.
    pub fn new(reader: Arc<PackReader>, root: TreeId) -> Self {
        Self { reader, root }
    }

    /// What reads it.
    pub fn reader(&self) -> &Arc<PackReader> {
        &self.reader
    }

    /// What is at an absolute path, such as `/a/b`; the empty path is the root.
    ///
    /// # Errors
    /// [`EngineError::NoPath`]; damage on the way; what the store says.
    pub fn find(&self, path: &[u8]) -> Result<Found> {
        let missing = || EngineError::NoPath(String::from_utf8_lossy(path).into_owned());
        let mut buffers = ReadBuffers::new()?;
        let mut found = Found::Root(self.root);
        for name in path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
            if !is_entry_name(name) {
                return Err(missing());
            }
            let tree = found.tree().ok_or_else(missing)?;
            let node = self.entry(&tree, name, &mut buffers)?.ok_or_else(missing)?;
            found = Found::Node(Box::new(node));
        }
        Ok(found)
    }

    fn entry(&self, tree: &TreeId, name: &[u8], buffers: &mut ReadBuffers) -> Read<Option<Node>> {
        let mut nodes = match self.reader.read_tree(tree, buffers)? {
            Tree::Leaf(nodes) => nodes,
            Tree::Pages(pages) => {
                let after = pages.partition_point(|page| page.first_name.as_slice() <= name);
                let Some(page) = after.checked_sub(1).and_then(|index| pages.get(index)) else { return Ok(None) };
                read_page(&self.reader, buffers, page)?
            }
            Tree::List(_) => return Err(malformed(tree, "tree of a directory")),
        };
        let index = nodes.binary_search_by(|node| node.name.as_slice().cmp(name)).ok();
        Ok(index.map(|index| nodes.swap_remove(index)))
    }

    /// Walks a directory that [`find`](Self::find) found at `path`.
    ///
    /// # Errors
    /// When there is no memory for buffers.
    pub fn walk(&self, path: &[u8], tree: TreeId) -> Result<TreeWalk> {
        TreeWalk::new(Arc::clone(&self.reader), path, tree)
    }

    /// Calls `visit` for what is at `path`: a file itself, of a directory its entries, with `recursive` all below it, each
    /// directory before its entries. A directory that cannot be read is passed as an error with its path, and the rest goes
    /// on. `visit` returns whether to go on.
    ///
    /// # Errors
    /// As [`find`](Self::find).
    pub fn for_each(
        &self,
        path: &[u8],
        recursive: bool,
        mut visit: impl FnMut(&[u8], std::result::Result<&Node, &RepositoryError>) -> bool,
    ) -> Result<()> {
        let tree = match self.find(path)? {
            Found::Root(tree) => tree,
            Found::Node(node) => match node.content {
                Content::Directory { tree } => tree,
                _ => {
                    visit(path, Ok(&node));
                    return Ok(());
                }
            },
        };
        let mut walk = self.walk(path, tree)?;
        while let Some(step) = walk.next() {
            let go_on = match &step {
                Step::Enter(node) | Step::Entry(node) => visit(walk.path(), Ok(node)),
                Step::Damaged(error) => visit(walk.path(), Err(error)),
                Step::Leave => true,
            };
            if !go_on {
                break;
            }
            if !recursive && matches!(step, Step::Enter(_)) {
                walk.skip();
            }
        }
        Ok(())
    }
}

/// One step of a walk; [`TreeWalk::path`] says where.
#[derive(Debug)]
pub enum Step {
    /// A directory, whose entries come next unless it is skipped.
    Enter(Node),
    /// Anything else.
    Entry(Node),
    /// The end of the directory that was entered last and not left yet.
    Leave,
    /// The entries of the directory one is in, or some of them, cannot be read.
    Damaged(RepositoryError),
}

#[derive(Debug)]
struct Frame {
    dir: DirReader,
    path_len: usize,
}

/// Walks a directory depth-first, in order of names.
#[derive(Debug)]
pub struct TreeWalk {
    reader: Arc<PackReader>,
    buffers: ReadBuffers,
    stack: Vec<Frame>,
    path: Vec<u8>,
    entered: Option<TreeId>,
    held: u64,
}

impl TreeWalk {
    fn new(reader: Arc<PackReader>, path: &[u8], tree: TreeId) -> Result<Self> {
        let mut normal = Vec::with_capacity(path.len());
        for name in path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
            normal.push(b'/');
            normal.extend_from_slice(name);
        }
        let stack = vec![Frame { dir: DirReader::new(tree), path_len: normal.len() }];
        Ok(Self { reader, buffers: ReadBuffers::new()?, stack, path: normal, entered: None, held: 0 })
    }

    /// Absolute path of what the last step was about.
    pub fn path(&self) -> &[u8] {
        &self.path
    }

    /// Whether the entry that the last step was about is the last one of its directory. Only right after that step.
    pub fn is_last(&self) -> bool {
        !self.stack.last().is_some_and(|frame| frame.dir.has_more())
    }

    /// Does not go into the directory that the last step entered; there is no [`Step::Leave`] for it then.
    pub fn skip(&mut self) {
        self.entered = None;
    }

    /// The next step; `None` when everything was walked.
    #[expect(clippy::should_implement_trait, reason = "an iterator could not lend its path")]
    pub fn next(&mut self) -> Option<Step> {
        if let Some(tree) = self.entered.take() {
            let mut dir = DirReader::new(tree);
            dir.is_done = self.stack.len() >= DEPTH_MAX;
            let is_too_deep = dir.is_done;
            self.stack.push(Frame { dir, path_len: self.path.len() });
            if is_too_deep {
                return Some(Step::Damaged(malformed(&tree, "depth of the directory")));
            }
            self.release_some();
        }
        let frame = self.stack.last_mut()?;
        self.path.truncate(frame.path_len);
        let before = frame.dir.held;
        let next = frame.dir.next(&self.reader, &mut self.buffers);
        self.held = self.held - before + frame.dir.held;
        match next {
            Some(Ok(node)) => {
                self.path.push(b'/');
                self.path.extend_from_slice(&node.name);
                if let Content::Directory { tree } = node.content {
                    self.entered = Some(tree);
                    return Some(Step::Enter(node));
                }
                Some(Step::Entry(node))
            }
            Some(Err(error)) => Some(Step::Damaged(error)),
            None => {
                self.held -= frame.dir.held;
                self.stack.pop();
                if self.stack.is_empty() { None } else { Some(Step::Leave) }
            }
        }
    }

    fn release_some(&mut self) {
        for frame in &mut self.stack {
            if self.held <= HELD_MAX {
                break;
            }
            self.held -= frame.dir.held;
            frame.dir.release();
        }
    }
}
