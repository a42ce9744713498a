//! Who needs what is lost: a second walk, made only when something is.

use crate::engine::check::report::{CheckReport, Lost};
use crate::engine::context::{Context, EngineError, Result};
use crate::format::node::{Body, Content, Node};
use crate::format::tree::Tree;
use crate::id::{ChunkId, SessionId, TreeId};
use crate::repository::pack_reader::{PackReader, ReadBuffers};
use crate::repository::view::View;

/// Paths named for each snapshot.
const PATHS_MAX: usize = 20;

struct Search<'a> {
    reader: &'a PackReader,
    buffers: ReadBuffers,
    lost: &'a Lost,
}

/// Names the snapshots and paths that cannot be restored whole.
pub(super) fn find(
    cx: &Context,
    reader: &PackReader,
    view: &View,
    lost: &Lost,
    report: &mut CheckReport,
) -> Result<()> {
    let mut search = Search { reader, buffers: ReadBuffers::new()?, lost };
    for (id, stored) in view.cells.iter().filter(|(id, s)| s.is_snapshot() && !view.forgotten.contains(id)) {
        let paths = search.snapshot(cx, &stored.cell.references.tree)?;
        if !paths.is_empty() {
            report.affected_snapshots.push(id.to_string());
        }
        report.affected.extend(paths.iter().map(|path| line(id, path)));
    }
    Ok(())
}

fn line(id: &SessionId, path: &[u8]) -> String {
    format!("{}:{}", id.short(), String::from_utf8_lossy(path))
}

impl Search<'_> {
    fn snapshot(&mut self, cx: &Context, root: &TreeId) -> Result<Vec<Vec<u8>>> {
        let mut found = Vec::new();
        let mut pending = vec![(Vec::new(), *root)];
        while let Some((path, tree)) = pending.pop() {
            if cx.is_stopped() {
                return Err(EngineError::Interrupted);
            }
            if found.len() >= PATHS_MAX {
                break;
            }
            let nodes = match self.tree(&tree) {
                Some(Tree::Leaf(nodes)) => nodes,
                Some(Tree::Pages(pages)) => {
                    pending.extend(pages.into_iter().map(|page| (path.clone(), page.tree)));
                    continue;
                }
                Some(Tree::List(_)) | None => {
                    found.push(if path.is_empty() { b"/".to_vec() } else { path });
                    continue;
                }
            };
            for node in nodes {
                let at = [&path[..], b"/", &node.name].concat();
                match &node.content {
                    Content::Directory { tree } => pending.push((at, *tree)),
                    _ if self.needs_lost(&node) => found.push(at),
                    _ => {}
                }
            }
        }
        found.truncate(PATHS_MAX);
        Ok(found)
    }

    /// A tree, unless it is lost.
    fn tree(&mut self, id: &TreeId) -> Option<Tree> {
        let location = self.reader.locate_tree(id).ok()?;
        if self.lost.trees.contains(id) || self.lost.blobs.contains(&location.blob.0) {
            return None;
        }
        self.reader.read_tree(id, &mut self.buffers).ok()
    }

    fn chunks(&self, ids: &[ChunkId]) -> bool {
        ids.iter().any(|id| self.reader.locate_chunk(id).map_or(true, |l| self.lost.blobs.contains(&l.blob.0)))
    }

    fn needs_lost(&mut self, node: &Node) -> bool {
        let Content::File { body, .. } = &node.content else { return false };
        match body {
            Body::Inline(_) => false,
            Body::Chunks(ids) => self.chunks(ids),
            Body::Lists(lists) => lists.iter().any(|id| match self.tree(id) {
                Some(Tree::List(ids)) => self.chunks(&ids),
                _ => true,
            }),
        }
    }
}
