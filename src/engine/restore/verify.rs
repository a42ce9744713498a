//! Verification: every file that was put in place is read again, and its chunks' ids are computed from what is there.
//!
//! The walk is the same as the restore's, so a file is known by its number in it. If the repository cannot be read as it could
//! before, the numbers would mean other files: then verification ends, and says so.

use crate::engine::browse::{Found, SnapshotTree, Step};
use crate::engine::context::{EngineError, Result, chain};
use crate::engine::pool::{self, Pool};
use crate::engine::restore::dirs::Dir;
use crate::engine::restore::place::Place;
use crate::engine::restore::select::{Choice, Selection};
use crate::engine::restore::start::Start;
use crate::engine::restore::tally::Why;
use crate::engine::restore::walk::Walked;
use crate::format::node::{Body, Content, Node};
use crate::format::tree::Tree;
use crate::fs::{SourceDir, SourceFile};
use crate::id::ChunkId;
use crate::progress::Event;
use crate::repository::pack_reader::ReadBuffers;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// Files in one job, all of one directory.
const FILES_PER_JOB: usize = 64;
/// Chunk ids in one job, unless one file has more.
const IDS_PER_JOB: usize = 4096;
/// Directories of the second walk are other ones than those of the first.
const FIRST_DIRECTORY: u64 = 1 << 63;

struct Job {
    dir: Arc<Dir>,
    files: Vec<Node>,
}

struct Buffers {
    content: Vec<u8>,
    read: ReadBuffers,
}

fn wrong(what: impl Into<String>) -> Why {
    Why { message: format!("verification: {}", what.into()), is_damage: false }
}

/// Compares one file with the snapshot.
fn compare(place: &Place<'_>, dir: &SourceDir, node: &Node, buffers: &mut Buffers) -> std::result::Result<(), Why> {
    let Content::File { size, body, .. } = &node.content else { return Ok(()) };
    let file = SourceFile::open(dir, &node.name, &dir.stat(&node.name)?)?;
    if file.stat().size != *size {
        return Err(wrong(format!("it has {} bytes and should have {size}", file.stat().size)));
    }
    match body {
        Body::Inline(bytes) => {
            buffers.content.resize(bytes.len(), 0);
            let read = file.read_at(0, &mut buffers.content)?;
            if read == bytes.len() && buffers.content == *bytes {
                Ok(())
            } else {
                Err(wrong("its content is another one"))
            }
        }
        Body::Chunks(ids) => compare_chunks(place, &file, ids, 0, &mut buffers.content).map(drop),
        Body::Lists(lists) => {
            let mut at = 0;
            for list in lists {
                match place.reader.read_tree(list, &mut buffers.read) {
                    Ok(Tree::List(ids)) => at = compare_chunks(place, &file, &ids, at, &mut buffers.content)?,
                    Ok(_) => return Err(wrong("a list of its chunks is none")),
                    Err(error) => return Err(place.tally.why(&error)),
                }
            }
            Ok(())
        }
    }
}

fn compare_chunks(
    place: &Place<'_>,
    file: &SourceFile,
    ids: &[ChunkId],
    mut at: u64,
    content: &mut Vec<u8>,
) -> std::result::Result<u64, Why> {
    for id in ids {
        let location = place.reader.locate_chunk(id).map_err(|error| Why::from(&error))?;
        let len = location.lens[0] as usize;
        content.resize(len, 0);
        if file.read_at(at, content)? != len || place.reader.repository().keys().hasher.chunk(content) != *id {
            return Err(wrong(format!("its content from byte {at} on is another one")));
        }
        at += len as u64;
    }
    Ok(at)
}

fn run_job(place: &Place<'_>, buffers: &mut Buffers, job: &Job) {
    let opened = place.handles.open(&job.dir).and_then(|handle| handle.source());
    for node in &job.files {
        if place.is_stopped() {
            return;
        }
        let compared = match &opened {
            Ok(dir) => compare(place, dir, node, buffers),
            Err(error) => Err(wrong(chain(error))),
        };
        match compared {
            Ok(()) => drop(place.tally.verified.fetch_add(1, Relaxed)),
            Err(why) => place.tally.fail(&job.dir.path_of(&node.name), &why),
        }
        place.cx.event(&Event::Bytes { count: node.size() });
    }
}

/// Collects files of one directory after the other.
struct Collector<'a, 'p> {
    pool: &'a mut Pool<'p, Job>,
    job: Option<Job>,
    ids: usize,
}

impl Collector<'_, '_> {
    fn add(&mut self, dir: &Arc<Dir>, node: Node) {
        let ids = match &node.content {
            Content::File { body: Body::Chunks(ids), .. } => ids.len(),
            Content::File { body: Body::Lists(ids), .. } => ids.len(),
            _ => 0,
        };
        let is_full = |job: &Job| !Arc::ptr_eq(&job.dir, dir) || job.files.len() >= FILES_PER_JOB;
        if self.job.as_ref().is_some_and(is_full) || self.ids + ids > IDS_PER_JOB {
            self.submit();
        }
        self.ids += ids;
        self.job.get_or_insert_with(|| Job { dir: Arc::clone(dir), files: Vec::new() }).files.push(node);
    }

    fn submit(&mut self) {
        self.ids = 0;
        if let Some(job) = self.job.take() {
            self.pool.submit(job);
        }
    }
}

/// Verifies everything that was put in place.
///
/// # Errors
/// [`EngineError::Interrupted`].
pub(super) fn run(
    place: &Place<'_>,
    tree: &SnapshotTree,
    start: &Start,
    selection: &Selection,
    walked: &Walked,
) -> Result<()> {
    pool::run(
        place.cx.workers,
        || Ok(Buffers { content: Vec::new(), read: ReadBuffers::new()? }),
        |buffers: &mut Buffers, job: Job| run_job(place, buffers, &job),
        |pool| {
            let mut collector = Collector { pool, job: None, ids: 0 };
            walk(place, tree, start, selection, walked, &mut collector)?;
            collector.submit();
            collector.pool.wait_idle();
            if place.is_stopped() { Err(EngineError::Interrupted) } else { Ok(()) }
        },
    )
}

fn walk(
    place: &Place<'_>,
    tree: &SnapshotTree,
    start: &Start,
    selection: &Selection,
    walked: &Walked,
    collector: &mut Collector<'_, '_>,
) -> Result<()> {
    let root_dir = Dir::root(start.base());
    let root = match (&start.found, start.found.tree()) {
        (_, Some(root)) => root,
        (Found::Node(node), None) => {
            if place.is_restored(0) {
                collector.add(&root_dir, (**node).clone());
            }
            return Ok(());
        }
        (Found::Root(_), None) => return Ok(()),
    };
    let mut steps = tree.walk(&start.path, root)?;
    let mut stack = vec![(root_dir, selection.root())];
    let (mut files, mut directories) = (0_u64, FIRST_DIRECTORY);
    let mut unreadable = walked.unreadable.iter();
    while let Some(step) = steps.next() {
        if place.is_stopped() {
            return Err(EngineError::Interrupted);
        }
        let Some((dir, parent)) = stack.last() else { break };
        match step {
            Step::Enter(node) => {
                let choice = selection.choose(steps.path(), &node, *parent);
                if choice == Choice::Leave || walked.not_made.contains(steps.path()) {
                    steps.skip();
                } else {
                    directories += 1;
                    let child = Dir::child(dir, &node.name, directories);
                    stack.push((child, choice));
                }
            }
            Step::Entry(node) => {
                let is_file = matches!(node.content, Content::File { .. });
                if is_file && selection.choose(steps.path(), &node, *parent) == Choice::Restore {
                    if place.is_restored(files) {
                        collector.add(dir, node);
                    }
                    files += 1;
                }
            }
            Step::Leave => drop(stack.pop()),
            Step::Damaged(error) => {
                if unreadable.next() != Some(&files) {
                    let what = format!("ended early, the repository cannot be read any more: {}", chain(&error));
                    place.tally.fail(steps.path(), &wrong(what));
                    return Ok(());
                }
            }
        }
    }
    Ok(())
}
