//! The parent: an earlier snapshot (and a checkpoint of this run, if there is one) to compare with.
//!
//! A parent's cell is a commit and unforgotten in the view of this session, and no generation is open (W3): so all its
//! nodes, and everything below them, may be carried over without looking them up.

use crate::clock::Timestamp;
use crate::engine::backup::options::BackupOptions;
use crate::engine::context::{EngineError, Result};
use crate::format::cell::Outcome;
use crate::format::node::{Content, Node};
use crate::format::tree::Tree;
use crate::fs::Stat;
use crate::id::{HostKey, SessionId, TreeId};
use crate::repository::RepositoryError;
use crate::repository::pack_reader::{PackReader, ReadBuffers};
use crate::repository::view::View;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

/// What changed this shortly before reading began may have changed again without its time showing it: within the tick of a
/// kernel that keeps fractions of seconds …
const RACY_FINE: Duration = Duration::from_millis(100);
/// … or of a file system that keeps whole seconds or two.
const RACY_COARSE: Duration = Duration::from_secs(2);

/// One parent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parent {
    pub(super) session: SessionId,
    pub(super) tree: TreeId,
    /// Whether it is a snapshot, and not a checkpoint.
    pub(super) is_snapshot: bool,
    /// When reading began.
    started: Timestamp,
    /// Files and bytes it has.
    pub(super) totals: (u64, u64),
}

impl Parent {
    /// Whether what changed last at this time was read by the parent in its present state: nothing can have changed it
    /// again within the same tick after it was read.
    pub(super) fn has_settled(&self, newest_change: Timestamp) -> bool {
        let is_coarse = newest_change.nanoseconds.is_multiple_of(1_000_000);
        newest_change < self.started.saturating_sub(if is_coarse { RACY_COARSE } else { RACY_FINE })
    }
}

/// The paths of a snapshot as they are recorded.
pub(super) fn paths(options: &BackupOptions) -> Vec<Vec<u8>> {
    let mut paths: Vec<_> = options.sources.stored().iter().map(|p| p.as_os_str().as_bytes().to_vec()).collect();
    paths.sort();
    paths.dedup();
    paths
}

/// Chooses the parents: the newest checkpoint after the newest snapshot of the same host and paths, then that snapshot.
///
/// # Errors
/// [`EngineError::NoSnapshot`] when the one asked for is not there.
pub(super) fn choose(view: &View, host: &HostKey, options: &BackupOptions) -> Result<Vec<Parent>> {
    let as_parent = |id: &SessionId| {
        let stored = view.cells.get(id).filter(|_| !view.forgotten.contains(id))?;
        let entries = stored.cell.entries.as_ref()?;
        Some(Parent {
            session: *id,
            tree: stored.cell.references.tree,
            is_snapshot: stored.is_snapshot(),
            started: entries.started,
            totals: (entries.statistics.total_files, entries.statistics.total_bytes),
        })
    };
    if let Some(id) = &options.parent {
        let parent = as_parent(id).filter(|parent| parent.is_snapshot);
        return parent.map(|p| vec![p]).ok_or_else(|| EngineError::NoSnapshot(id.to_string()));
    }
    let wanted = paths(options);
    let newest = |outcome: Outcome| {
        view.cells
            .iter()
            .filter(|(id, stored)| {
                let references = &stored.cell.references;
                references.outcome == outcome
                    && references.host == *host
                    && !view.forgotten.contains(id)
                    && stored
                        .cell
                        .entries
                        .as_ref()
                        .is_some_and(|e| e.paths == wanted && e.host_name == options.host_name.as_bytes())
            })
            .max_by_key(|(_, stored)| stored.cell.references.counter)
    };
    let (snapshot, checkpoint) = (newest(Outcome::Snapshot), newest(Outcome::Checkpoint));
    let counter = |found: &Option<(&SessionId, &crate::repository::cells::StoredCell)>| {
        found.map_or(0, |(_, stored)| stored.cell.references.counter)
    };
    let checkpoint = checkpoint.filter(|_| counter(&checkpoint) > counter(&snapshot));
    Ok([checkpoint, snapshot].into_iter().flatten().filter_map(|(id, _)| as_parent(id)).collect())
}

/// The entries of one directory in one parent, looked up in name order.
#[derive(Debug)]
pub(super) struct ParentDir {
    pub(super) parent: Parent,
    nodes: Vec<Node>,
    next: usize,
}

impl ParentDir {
    /// Number of entries.
    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// The entry of this name. Names must be asked for in ascending order.
    pub(super) fn find(&mut self, name: &[u8]) -> Option<&Node> {
        while self.nodes.get(self.next).is_some_and(|node| node.name.as_slice() < name) {
            self.next += 1;
        }
        self.nodes.get(self.next).filter(|node| node.name == name)
    }
}

/// Loads the directory that `tree` is in one parent.
///
/// # Errors
/// What the store says; damage.
pub(super) fn load(reader: &PackReader, buffers: &mut ReadBuffers, parent: Parent, tree: &TreeId) -> Result<ParentDir> {
    let mut nodes = Vec::new();
    let mut pending = vec![*tree];
    while let Some(id) = pending.pop() {
        match reader.read_tree(&id, buffers)? {
            Tree::Leaf(leaf) => nodes.extend(leaf),
            Tree::Pages(pages) => pending.extend(pages.iter().rev().map(|page| page.tree)),
            Tree::List(_) => return Err(RepositoryError::MissingTree(id).into()),
        }
    }
    Ok(ParentDir { parent, nodes, next: 0 })
}

/// What of an entry may be taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reuse {
    /// The node as it is.
    Node,
    /// The content; the metadata changed.
    Content,
    /// Nothing.
    Nothing,
}

fn same_kind(stat: &Stat, content: &Content) -> bool {
    use crate::fs::FileKind as Kind;
    matches!(
        (stat.kind, content),
        (Kind::File, Content::File { .. })
            | (Kind::Directory, Content::Directory { .. })
            | (Kind::Symlink, Content::Symlink { .. })
            | (Kind::Fifo, Content::Fifo)
            | (Kind::CharDevice, Content::CharDevice { .. })
            | (Kind::BlockDevice, Content::BlockDevice { .. })
            | (Kind::Socket, Content::Socket)
    )
}

/// Compares an entry with its node in a parent.
pub(super) fn compare(stat: &Stat, node: &Node, parent: &Parent, options: &BackupOptions) -> Reuse {
    let metadata = &node.metadata;
    if options.force || !same_kind(stat, &node.content) {
        return Reuse::Nothing;
    }
    if let Content::File { size, inconsistent, .. } = node.content
        && (size != stat.size || inconsistent)
    {
        return Reuse::Nothing;
    }
    let ctime_same = stat.ctime == metadata.ctime;
    // The kernel sets the inode's change time with every change; a content time can be anything, the future included.
    let newest_change = if options.ignore_ctime { stat.mtime } else { stat.ctime };
    if stat.mtime != metadata.mtime
        || !(ctime_same || options.ignore_ctime)
        || !(stat.inode == metadata.inode || options.ignore_inode)
        || !parent.has_settled(newest_change)
    {
        return Reuse::Nothing;
    }
    let linked = stat.links > 1 && stat.kind != crate::fs::FileKind::Directory;
    let links = if linked { (stat.links, stat.device) } else { (1, 0) };
    let same = ctime_same
        && stat.inode == metadata.inode
        && stat.mode == metadata.mode
        && (stat.uid, stat.gid) == (metadata.owner.uid, metadata.owner.gid)
        && links == (metadata.links, metadata.device);
    if same { Reuse::Node } else { Reuse::Content }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::testing;
    use crate::format::node::{Body, Metadata};
    use crate::fs::{FileKind, Owners, Xattrs, metadata};

    fn at(seconds: i64) -> Timestamp {
        Timestamp { seconds, nanoseconds: 1 }
    }

    /// What each option leaves out of account, and that it leaves nothing else out.
    #[test]
    fn what_counts_as_unchanged() {
        let stat = Stat {
            kind: FileKind::File,
            mode: 0o644,
            uid: 0,
            gid: 0,
            size: 5,
            mtime: at(1000),
            ctime: at(1000),
            btime: None,
            inode: 7,
            device: 1,
            links: 1,
            blocks: 8,
            rdev_major: 0,
            rdev_minor: 0,
            mount_id: 0,
        };
        let content = Content::File { size: 5, sparse: false, inconsistent: false, body: Body::Inline(vec![0; 5]) };
        let metadata = Metadata { device: 0, ..metadata(&stat, &Owners::new(), Xattrs::default()) };
        let node = Node { name: b"f".to_vec(), metadata, content };
        let (session, tree) = (SessionId::from_bytes([1; 16]), TreeId::from_bytes([1; 32]));
        let parent = Parent { session, tree, is_snapshot: true, started: at(9000), totals: (1, 5) };
        let compared = |stat: Stat, [force, ignore_ctime, ignore_inode]: [bool; 3]| {
            let options =
                BackupOptions { force, ignore_ctime, ignore_inode, ..testing::options(std::path::Path::new("/")) };
            compare(&stat, &node, &parent, &options)
        };
        use Reuse::{Content as C, Node as N, Nothing as X};
        let (ctime, inode) = (Stat { ctime: at(2000), ..stat }, Stat { inode: 8, ..stat });
        let cases = [
            ("nothing", stat, [N, N, N, N]),
            ("change time", ctime, [X, C, X, C]),
            ("inode", inode, [X, X, C, C]),
            ("both", Stat { inode: 8, ..ctime }, [X, X, X, C]),
            ("mode and change time", Stat { mode: 0o600, ..ctime }, [X, C, X, C]),
            ("time of the content", Stat { mtime: at(2000), ..ctime }, [X, X, X, X]),
            ("length", Stat { size: 6, ..stat }, [X, X, X, X]),
            ("kind", Stat { kind: FileKind::Fifo, ..stat }, [X, X, X, X]),
            ("changed as it was read", Stat { ctime: at(9000), ..stat }, [X, C, X, C]),
            ("changed as it was read, by content", Stat { mtime: at(9000), ctime: at(9000), ..stat }, [X, X, X, X]),
        ];
        let options = [[false; 3], [false, true, false], [false, false, true], [false, true, true]];
        for (what, stat, expected) in cases {
            assert_eq!(options.map(|options| compared(stat, options)), expected, "{what}");
            assert_eq!(compared(stat, [true; 3]), X, "{what}, forced");
        }
    }
}
