//! Which snapshots and paths need what is damaged. A walk over every snapshot, made only if there is damage; directories
//! that turned out to be whole are not walked again for other snapshots.

use crate::engine::browse::{SnapshotTree, Step};
use crate::engine::check::findings::Reach;
use crate::engine::check::objects::Cells;
use crate::engine::check::report::{PATHS_MAX, Problem, SNAPSHOTS_MAX};
use crate::engine::context::{Context, EngineError, Result};
use crate::format::node::{Body, Content, Node};
use crate::format::pack::PackKind;
use crate::format::tree::Tree;
use crate::id::{ChunkId, IndexKey, PackId, SessionId, TreeId};
use crate::repository::index::BlobIndex;
use crate::repository::pack_reader::{PackReader, ReadBuffers};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

/// Which problems something belongs to.
type Which<K> = HashMap<K, Vec<usize>>;

/// Names snapshots and paths of every problem that reaches some.
///
/// # Errors
/// [`EngineError::Interrupted`]; when there is no memory for buffers.
pub(super) fn name(
    cx: &Context,
    reader: &Arc<PackReader>,
    cells: &Cells,
    found: Vec<(Problem, Reach)>,
) -> Result<Vec<Problem>> {
    let (problems, reaches): (Vec<_>, Vec<_>) = found.into_iter().unzip();
    if reaches.iter().all(|reach| *reach == Reach::Nothing) {
        return Ok(problems);
    }
    let mut naming = Naming::new(reader, problems, &reaches)?;
    for stored in cells.live().filter(|stored| stored.is_snapshot()) {
        naming.snapshot(cx, stored.cell.references.session, stored.cell.references.tree)?;
    }
    Ok(naming.problems)
}

struct Naming<'a> {
    reader: &'a Arc<PackReader>,
    buffers: ReadBuffers,
    problems: Vec<Problem>,
    directories: Which<TreeId>,
    entries: Which<(TreeId, Vec<u8>)>,
    chunks: Which<IndexKey>,
    blobs: Which<(PackId, u32)>,
    packs: Which<PackId>,
    /// Directories below which nothing is damaged.
    whole: HashSet<TreeId>,
    /// Problems of lists that were read.
    lists: HashMap<TreeId, BTreeSet<usize>>,
}

impl<'a> Naming<'a> {
    fn new(reader: &'a Arc<PackReader>, problems: Vec<Problem>, reaches: &[Reach]) -> Result<Self> {
        let mut naming = Self {
            reader,
            buffers: ReadBuffers::new()?,
            problems,
            directories: HashMap::new(),
            entries: HashMap::new(),
            chunks: HashMap::new(),
            blobs: HashMap::new(),
            packs: HashMap::new(),
            whole: HashSet::new(),
            lists: HashMap::new(),
        };
        for (number, reach) in reaches.iter().enumerate() {
            match reach {
                Reach::Nothing => continue,
                Reach::Directory(tree) => naming.directories.entry(*tree).or_default(),
                Reach::Entry(tree, name) => naming.entries.entry((*tree, name.clone())).or_default(),
                Reach::Chunk(key) => naming.chunks.entry(*key).or_default(),
                Reach::Blob(pack, offset) => naming.blobs.entry((*pack, *offset)).or_default(),
                Reach::Pack(pack) => naming.packs.entry(*pack).or_default(),
            }
            .push(number);
        }
        Ok(naming)
    }

    fn of_blob(&self, blob: BlobIndex, found: &mut BTreeSet<usize>) {
        let pack = self.reader.pack_of(blob).id;
        found.extend(self.packs.get(&pack).into_iter().flatten());
        found.extend(self.blobs.get(&(pack, self.reader.index().blob(blob).offset)).into_iter().flatten());
    }

    fn of_chunks(&self, ids: &[ChunkId], found: &mut BTreeSet<usize>) {
        for id in ids {
            found.extend(self.chunks.get(&id.key()).into_iter().flatten());
            if let Some(location) = self.reader.index().find(PackKind::Data, &id.key()) {
                self.of_blob(location.blob, found);
            }
        }
    }

    fn of_tree(&self, id: &TreeId, found: &mut BTreeSet<usize>) {
        found.extend(self.chunks.get(&id.key()).into_iter().flatten());
        if let Ok(location) = self.reader.locate_tree(id) {
            self.of_blob(location.blob, found);
        }
    }

    fn of_directory(&mut self, id: &TreeId) -> BTreeSet<usize> {
        let mut found = BTreeSet::new();
        found.extend(self.directories.get(id).into_iter().flatten());
        self.of_tree(id, &mut found);
        // Pages too: what cannot be read is found by the tree above.
        if let Ok(Tree::Pages(pages)) = self.reader.read_tree(id, &mut self.buffers) {
            pages.iter().for_each(|page| self.of_tree(&page.tree, &mut found));
        }
        found
    }

    fn of_file(&mut self, directory: &TreeId, node: &Node) -> BTreeSet<usize> {
        let mut found = BTreeSet::new();
        if !self.entries.is_empty() {
            found.extend(self.entries.get(&(*directory, node.name.clone())).into_iter().flatten());
        }
        match &node.content {
            Content::File { body: Body::Chunks(ids), .. } => self.of_chunks(ids, &mut found),
            Content::File { body: Body::Lists(lists), .. } => {
                lists.iter().for_each(|list| found.extend(self.of_list(list)));
            }
            _ => {}
        }
        found
    }

    fn of_list(&mut self, list: &TreeId) -> BTreeSet<usize> {
        if let Some(found) = self.lists.get(list) {
            return found.clone();
        }
        let mut found = BTreeSet::new();
        self.of_tree(list, &mut found);
        if let Ok(Tree::List(ids)) = self.reader.read_tree(list, &mut self.buffers) {
            self.of_chunks(&ids, &mut found);
        }
        self.lists.insert(*list, found.clone());
        found
    }

    fn note(&mut self, found: &BTreeSet<usize>, snapshot: SessionId, path: &[u8]) {
        for number in found {
            let problem = &mut self.problems[*number];
            if problem.snapshots.len() < SNAPSHOTS_MAX && problem.snapshots.last() != Some(&snapshot) {
                problem.snapshots.push(snapshot);
            }
            if problem.paths.len() < PATHS_MAX && !problem.paths.iter().any(|known| known == path) {
                problem.paths.push(path.to_vec());
            }
        }
    }

    fn snapshot(&mut self, cx: &Context, snapshot: SessionId, root: TreeId) -> Result<()> {
        let tree = SnapshotTree::new(Arc::clone(self.reader), root);
        let mut walk = tree.walk(b"", root)?;
        // The directories one is in, and whether all of them has been whole so far.
        let mut stack = vec![(root, true)];
        let found = self.of_directory(&root);
        self.note(&found, snapshot, b"/");
        while let Some(step) = walk.next() {
            if cx.is_stopped() {
                return Err(EngineError::Interrupted);
            }
            let Some((directory, is_whole)) = stack.last_mut() else { break };
            match step {
                Step::Enter(Node { content: Content::Directory { tree }, .. }) => {
                    if self.whole.contains(&tree) {
                        walk.skip();
                        continue;
                    }
                    let found = self.of_directory(&tree);
                    stack.push((tree, found.is_empty()));
                    self.note(&found, snapshot, walk.path());
                }
                Step::Enter(_) => {}
                Step::Entry(node) => {
                    let found = self.of_file(directory, &node);
                    *is_whole &= found.is_empty();
                    self.note(&found, snapshot, walk.path());
                }
                Step::Damaged(_) => *is_whole = false,
                Step::Leave => {
                    let Some((tree, is_whole)) = stack.pop() else { break };
                    if is_whole {
                        self.whole.insert(tree);
                    } else if let Some((_, above)) = stack.last_mut() {
                        *above = false;
                    }
                }
            }
        }
        Ok(())
    }
}
