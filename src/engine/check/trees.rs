//! Trees: every one that is reachable from a snapshot or checkpoint is read once, and everything it refers to has to be there.
//!
//! Trees that were seen are known by their place in the index, 16 bytes each.

use crate::engine::check::findings::{Findings, Reach};
use crate::engine::check::objects::Cells;
use crate::engine::check::report::{CheckCounts, Problem};
use crate::engine::context::{Context, EngineError, Result};
use crate::format::node::{Body, Content, Node};
use crate::format::pack::PackKind;
use crate::format::tree::{Page, Tree};
use crate::id::{ChunkId, IndexKey, TreeId};
use crate::repository::RepositoryError;
use crate::repository::pack_reader::{PackReader, ReadBuffers};
use std::collections::{HashMap, HashSet};

/// Reads every tree of every live cell.
///
/// # Errors
/// [`EngineError::Interrupted`]; when there is no memory for buffers.
pub(super) fn check(
    cx: &Context,
    reader: &PackReader,
    cells: &Cells,
    findings: &Findings<'_>,
    counts: &mut CheckCounts,
) -> Result<()> {
    let mut trees = Trees {
        reader,
        findings,
        buffers: ReadBuffers::new()?,
        seen: HashSet::new(),
        lists: HashMap::new(),
        missing: HashSet::new(),
        pending: Vec::new(),
        count: 0,
        files: 0,
        references: 0,
    };
    for stored in cells.live() {
        trees.push(stored.cell.references.tree);
        while let Some(tree) = trees.pending.pop() {
            if cx.is_stopped() {
                return Err(EngineError::Interrupted);
            }
            trees.directory(&tree);
        }
    }
    (counts.trees, counts.files, counts.references) = (trees.count, trees.files, trees.references);
    Ok(())
}

struct Trees<'a> {
    reader: &'a PackReader,
    findings: &'a Findings<'a>,
    buffers: ReadBuffers,
    seen: HashSet<(u64, u64)>,
    /// Lists that were read, and the bytes of their chunks; `None` if they are damaged.
    lists: HashMap<TreeId, Option<u64>>,
    /// Chunks that are in no index, each reported once.
    missing: HashSet<IndexKey>,
    pending: Vec<TreeId>,
    count: u64,
    files: u64,
    references: u64,
}

impl Trees<'_> {
    /// What a tree is known by: its place, and a part of its id that the index does not have. Without a place the id has
    /// to do.
    fn mark(&self, id: &TreeId) -> (u64, u64) {
        let number = |at: usize| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&id.as_bytes()[at..at + 8]);
            u64::from_le_bytes(bytes)
        };
        match self.reader.locate_tree(id) {
            Ok(location) => (u64::from(location.blob.0) << 32 | u64::from(location.offsets[0]), number(24)),
            Err(_) => (number(16), number(24)),
        }
    }

    fn push(&mut self, tree: TreeId) {
        if self.seen.insert(self.mark(&tree)) {
            self.pending.push(tree);
        }
    }

    fn read(&mut self, id: &TreeId) -> std::result::Result<Tree, RepositoryError> {
        self.count += 1;
        self.reader.read_tree(id, &mut self.buffers)
    }

    fn error(&self, tree: &TreeId, error: &RepositoryError, reach: Reach) {
        let mut problem = Problem::of(format!("tree {tree}"), error);
        if !problem.object.contains(&tree.to_string()) {
            problem.what = format!("tree {tree}: {}", problem.what);
        }
        if let Ok(location) = self.reader.locate_tree(tree) {
            problem.offset = Some(self.reader.index().blob(location.blob).offset.into());
        }
        self.findings.error(problem, reach);
    }

    fn malformed(&self, tree: &TreeId, what: impl Into<String>, reach: Reach) {
        self.findings.error(Problem::new(format!("tree {tree}"), what), reach);
    }

    fn directory(&mut self, id: &TreeId) {
        match self.read(id) {
            Ok(Tree::Leaf(nodes)) => self.nodes(id, &nodes),
            Ok(Tree::Pages(pages)) => self.pages(id, &pages),
            Ok(Tree::List(_)) => self.malformed(id, "is a list and stands for a directory", Reach::Directory(*id)),
            Err(error) => self.error(id, &error, Reach::Directory(*id)),
        }
    }

    fn pages(&mut self, id: &TreeId, pages: &[Page]) {
        let mut last = Vec::new();
        for page in pages {
            match self.read(&page.tree) {
                Ok(Tree::Leaf(nodes)) if nodes.first().is_some_and(|node| node.name == page.first_name) => {
                    if page.first_name <= last {
                        self.malformed(id, "its pages overlap", Reach::Directory(*id));
                    }
                    if let Some(node) = nodes.last() {
                        last.clone_from(&node.name);
                    }
                    self.nodes(id, &nodes);
                }
                Ok(_) => {
                    let what = format!("its page {} is no page, or begins with another name", page.tree);
                    self.malformed(id, what, Reach::Directory(*id));
                }
                Err(error) => self.error(&page.tree, &error, Reach::Directory(*id)),
            }
        }
    }

    fn nodes(&mut self, directory: &TreeId, nodes: &[Node]) {
        for node in nodes {
            match &node.content {
                Content::Directory { tree } => self.push(*tree),
                Content::File { size, body, .. } => {
                    self.files += 1;
                    let len = match body {
                        Body::Inline(bytes) => Some(bytes.len() as u64),
                        Body::Chunks(ids) => self.chunks(ids),
                        Body::Lists(lists) => self.lists(directory, node, lists),
                    };
                    if len.is_some_and(|len| len != *size) {
                        let name = String::from_utf8_lossy(&node.name);
                        let what = format!("the chunks of {name:?} have another length than its {size} bytes");
                        self.malformed(directory, what, Reach::Entry(*directory, node.name.clone()));
                    }
                }
                _ => {}
            }
        }
    }

    /// The bytes of chunks; `None` if some are missing.
    fn chunks(&mut self, ids: &[ChunkId]) -> Option<u64> {
        self.references += ids.len() as u64;
        let mut sum = Some(0_u64);
        for id in ids {
            match self.reader.index().find(PackKind::Data, &id.key()) {
                Some(location) => sum = sum.map(|sum| sum.saturating_add(location.lens[0].into())),
                None => {
                    sum = None;
                    if self.missing.insert(id.key()) {
                        let problem = Problem::new(format!("chunk {id}"), "is in no index segment");
                        self.findings.error(problem, Reach::Chunk(id.key()));
                    }
                }
            }
        }
        sum
    }

    fn lists(&mut self, directory: &TreeId, node: &Node, lists: &[TreeId]) -> Option<u64> {
        let mut sum = Some(0_u64);
        for id in lists {
            let known = self.lists.get(id).copied();
            let len = match known {
                Some(len) => len,
                None => {
                    let reach = Reach::Entry(*directory, node.name.clone());
                    let len = match self.read(id) {
                        Ok(Tree::List(ids)) => self.chunks(&ids),
                        Ok(_) => {
                            self.malformed(id, "is no list and stands for one", reach);
                            None
                        }
                        Err(error) => {
                            self.error(id, &error, reach);
                            None
                        }
                    };
                    self.lists.insert(*id, len);
                    len
                }
            };
            sum = sum.zip(len).map(|(a, b)| a.saturating_add(b));
        }
        sum
    }
}
