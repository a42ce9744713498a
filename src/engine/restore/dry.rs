//! What a restore would do, without doing it: the same choices by patterns and by what is there.

use crate::engine::browse::{Found, SnapshotTree, Step};
use crate::engine::context::{Context, Result};
use crate::engine::restore::options::{Overwrite, RestoreOptions};
use crate::engine::restore::overwrite::{self, Verdict};
use crate::engine::restore::select::{Choice, Selection};
use crate::engine::restore::start::Start;
use crate::engine::restore::tally::Tally;
use crate::format::node::{Content, Node};
use crate::fs::TargetDir;
use crate::progress::Event;
use std::sync::atomic::Ordering::Relaxed;

/// Counts and names.
struct Count<'a> {
    cx: &'a Context,
    options: &'a RestoreOptions,
    tally: &'a Tally<'a>,
}

impl Count<'_> {
    /// Counts an entry that would be restored into `dir`, unless what is there stays.
    fn one(&self, path: &[u8], node: &Node, dir: Option<&TargetDir>) {
        if matches!(node.content, Content::Socket) {
            self.tally.sockets.fetch_add(1, Relaxed);
            return;
        }
        let stays = match dir {
            Some(dir) if self.options.overwrite != Overwrite::Always && !node.is_directory() => {
                overwrite::decide(self.options.overwrite, self.options.no_owner, dir, node)
            }
            _ => Ok(Verdict::Restore),
        };
        let unchanged = match stays {
            Ok(verdict) => verdict == Verdict::Leave,
            Err(error) => return self.tally.fail(path, &error.into()),
        };
        self.cx.event(&Event::EntryPlanned { path, unchanged });
        if unchanged {
            return self.tally.left(node.size());
        }
        match node.content {
            Content::File { size, .. } => {
                self.tally.bytes.fetch_add(size, Relaxed);
                self.tally.files.fetch_add(1, Relaxed);
            }
            Content::Directory { .. } => drop(self.tally.directories.fetch_add(1, Relaxed)),
            _ => drop(self.tally.others.fetch_add(1, Relaxed)),
        }
    }
}

/// Counts what would be restored into the target; without one, into a new directory.
///
/// # Errors
/// [`EngineError`](crate::engine::EngineError) when there is no memory for buffers.
pub(super) fn run(
    cx: &Context,
    tree: &SnapshotTree,
    start: &Start,
    selection: &Selection,
    options: &RestoreOptions,
    target: Option<&TargetDir>,
    tally: &Tally<'_>,
) -> Result<()> {
    let count = Count { cx, options, tally };
    let root = match (&start.found, start.found.tree()) {
        (_, Some(root)) => root,
        (Found::Node(node), None) => {
            count.one(&start.path, node, target);
            return Ok(());
        }
        (Found::Root(_), None) => return Ok(()),
    };
    let mut walk = tree.walk(&start.path, root)?;
    let mut stack = vec![(selection.root(), target.cloned())];
    while let Some(step) = walk.next() {
        let Some((parent, dir)) = stack.last() else { break };
        match step {
            Step::Enter(node) => match selection.choose(walk.path(), &node, *parent) {
                Choice::Leave => walk.skip(),
                choice => {
                    if choice == Choice::Restore {
                        count.one(walk.path(), &node, dir.as_ref());
                    }
                    let child = dir.as_ref().and_then(|dir| dir.child_if_there(&node.name).ok().flatten());
                    stack.push((choice, child));
                }
            },
            Step::Entry(node) => {
                if selection.choose(walk.path(), &node, *parent) == Choice::Restore {
                    count.one(walk.path(), &node, dir.as_ref());
                }
            }
            Step::Leave => drop(stack.pop()),
            Step::Damaged(error) => tally.fail(walk.path(), &tally.why(&error).unreadable()),
        }
        if tally.is_lost() {
            break;
        }
    }
    Ok(())
}
