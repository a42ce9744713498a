//! Copy: snapshots into an unrelated repository. Content is opened with the keys of the one and named, compressed and sealed
//! with those of the other, so the two share no key, no id and no stored byte.
//!
//! Every snapshot is a session of its own in the target. A directory or file that an earlier copy brought over is not read
//! again as long as the target still has it: what this run remembers says which id content has there, and only the session's
//! own view says that it is there.

use crate::codec::Level;
use crate::crypto::sign::Identity;
use crate::engine::backup::store::{Coder, Group, LARGE_GROUP_LEN};
use crate::engine::backup::writing::{self, Author, Outcomes, Writing};
use crate::engine::browse::{DEPTH_MAX, Snapshot};
use crate::engine::context::{Context, EngineError, Result};
use crate::format::cell::{CellEntries, Outcome, Statistics};
use crate::format::node::{Body, Content, Node};
use crate::format::pack::PackKind;
use crate::format::tree::{EncodedTree, Page, Tree, encode_leaf, encode_list, encode_pages};
use crate::id::{ChunkId, SessionId, TreeId};
use crate::progress::Event;
use crate::repository::RepositoryError;
use crate::repository::index::BlobIndex;
use crate::repository::pack_reader::{PackReader, ReadBuffers};
use crate::repository::view::{Damage, View};
use std::collections::HashMap;
use std::sync::Arc;

/// How to copy.
#[derive(Debug, Clone)]
pub struct CopyOptions {
    /// Signs what is stored in the target.
    pub identity: Arc<Identity>,
    /// The host this runs on.
    pub host_name: String,
    /// The version of the program that copies.
    pub program_version: String,
    /// How to compress.
    pub compression: Level,
}

/// What came of it.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct CopyReport {
    /// Ids of copied snapshots, in the source and in the target.
    pub copied: Vec<(SessionId, SessionId)>,
    /// Snapshots that the target had already.
    pub skipped: Vec<SessionId>,
    /// Chunks that were stored.
    pub chunks_new: u64,
    /// Stored bytes of new packs and segments.
    pub bytes_added_packed: u64,
}

/// Copies snapshots.
///
/// # Errors
/// The first damage of what is copied, what the stores say, [`EngineError::Interrupted`]; snapshots that were copied
/// before stay.
pub fn run(source: &Context, target: &Context, snapshots: &[Snapshot], options: &CopyOptions) -> Result<CopyReport> {
    let repository = target.repository.config().repository;
    if repository == source.repository.config().repository {
        return Err(EngineError::Setting(
            "both are the same repository; a replica of it is made with replicate".to_owned(),
        ));
    }
    let operation = "copy";
    target.event(&Event::RunStarted { operation, repository: repository.to_string(), purpose: "" });
    let copied = copy(source, target, snapshots, options);
    target.event(&Event::RunEnded { operation, complete: copied.is_ok() });
    copied
}

fn copy(source: &Context, target: &Context, snapshots: &[Snapshot], options: &CopyOptions) -> Result<CopyReport> {
    let view = source.repository.load_view_for_reading(Damage::Collect)?;
    let reader = PackReader::new(Arc::clone(&source.repository), Arc::new(view.index));
    let mut known = Known::default();
    let mut report = CopyReport::default();
    let author = Author {
        identity: &options.identity,
        host_name: options.host_name.as_bytes(),
        pack_sizes: None,
        dry_run: false,
    };
    for snapshot in snapshots {
        if has_copy(&target.repository.load_cells(Damage::Stop)?, snapshot) {
            report.skipped.push(snapshot.id);
            continue;
        }
        let writing = Writing::begin(target, &author)?;
        let mut copier = Copier {
            stop: target,
            reader: &reader,
            trees: ReadBuffers::new()?,
            chunks: ReadBuffers::new()?,
            blob: None,
            writing: &writing,
            known: &mut known,
            group: Group::default(),
            coder: Coder::new(options.compression)?,
        };
        let tree = copier.tree(&snapshot.references.tree, 0);
        let tree = tree.and_then(|tree| copier.seal().map(|()| tree));
        let published = writing.finish();
        let (tree, published) = (tree?, published?);
        let [chunks_new, chunks_known, plain_bytes] = writing.added();
        let statistics = Statistics {
            chunks_new,
            chunks_known,
            data_added_bytes: plain_bytes,
            data_added_packed_bytes: published.bytes,
            ..snapshot.entries.statistics
        };
        let program_version = options.program_version.clone().into_bytes();
        let entries = CellEntries { statistics, program_version, ..snapshot.entries.clone() };
        let outcomes = Outcomes { outcome: Outcome::Snapshot, tree, parent: None, entries };
        let id = writing::commit(target, &writing.session, &published, outcomes)?;
        // Content left one repository's keys for another's.
        let totals = &snapshot.entries.statistics;
        source.event(&Event::ContentRecovered {
            snapshot: snapshot.id.to_string(),
            files: totals.total_files,
            bytes: totals.total_bytes,
            failed: 0,
        });
        report.copied.push((snapshot.id, id));
        report.chunks_new += chunks_new;
        report.bytes_added_packed += published.bytes;
    }
    Ok(report)
}

/// Whether the target has this snapshot: one of the same host, paths and times, to the nanosecond.
fn has_copy(view: &View, snapshot: &Snapshot) -> bool {
    let wanted = &snapshot.entries;
    view.cells.iter().any(|(id, stored)| {
        let same = |entries: &CellEntries| {
            (entries.time, entries.started, entries.ended) == (wanted.time, wanted.started, wanted.ended)
                && entries.host_name == wanted.host_name
                && entries.paths == wanted.paths
        };
        stored.is_snapshot() && !view.forgotten.contains(id) && stored.cell.entries.as_ref().is_some_and(same)
    })
}

/// Which id content has in the target. Says nothing of whether the target has it.
#[derive(Debug, Default)]
struct Known {
    chunks: HashMap<ChunkId, ChunkId>,
    trees: HashMap<TreeId, TreeId>,
}

struct Copier<'a> {
    stop: &'a Context,
    reader: &'a PackReader,
    trees: ReadBuffers,
    chunks: ReadBuffers,
    /// The blob whose plaintext is in `chunks`.
    blob: Option<BlobIndex>,
    writing: &'a Writing,
    known: &'a mut Known,
    group: Group,
    coder: Coder,
}

impl Copier<'_> {
    /// Copies a tree or list and everything below it.
    fn tree(&mut self, id: &TreeId, depth: usize) -> Result<TreeId> {
        if self.stop.is_stopped() {
            return Err(EngineError::Interrupted);
        }
        if let Some(there) = self.known.trees.get(id)
            && self.writing.known.contains(PackKind::Meta, &there.key())
        {
            return Ok(*there);
        }
        if depth > DEPTH_MAX {
            return Err(EngineError::Setting(format!("tree {id} is nested more than {DEPTH_MAX} deep")));
        }
        let encoded = match self.reader.read_tree(id, &mut self.trees)? {
            Tree::Leaf(nodes) => {
                let nodes = nodes.into_iter().map(|node| self.node(node, depth)).collect::<Result<Vec<_>>>()?;
                encode_leaf(&nodes)
            }
            Tree::Pages(pages) => {
                let page = |page: Page| Ok(Page { tree: self.tree(&page.tree, depth + 1)?, ..page });
                encode_pages(&pages.into_iter().map(page).collect::<Result<Vec<_>>>()?)
            }
            Tree::List(chunks) => encode_list(&self.content(&chunks)?),
        };
        let encoded: EncodedTree = encoded.map_err(RepositoryError::encode("tree"))?;
        let there = self.writing.store.add_tree(&encoded)?;
        self.known.trees.insert(*id, there);
        Ok(there)
    }

    fn node(&mut self, mut node: Node, depth: usize) -> Result<Node> {
        match &mut node.content {
            Content::Directory { tree } => *tree = self.tree(tree, depth + 1)?,
            Content::File { body: Body::Chunks(ids), .. } => *ids = self.content(ids)?,
            Content::File { body: Body::Lists(ids), .. } => {
                for list in ids {
                    *list = self.tree(list, depth + 1)?;
                }
            }
            _ => {}
        }
        self.stop.event(&Event::EntryDone { size: node.size(), unchanged: false });
        Ok(node)
    }

    fn content(&mut self, ids: &[ChunkId]) -> Result<Vec<ChunkId>> {
        ids.iter().map(|id| self.chunk(id)).collect()
    }

    fn chunk(&mut self, id: &ChunkId) -> Result<ChunkId> {
        if let Some(there) = self.known.chunks.get(id)
            && self.writing.known.contains(PackKind::Data, &there.key())
        {
            return Ok(*there);
        }
        let location = self.reader.locate_chunk(id)?;
        let read = if self.blob == Some(location.blob) {
            Ok(())
        } else {
            self.blob = None;
            self.reader.read_blob(location.blob, &mut self.chunks).inspect(|()| self.blob = Some(location.blob))
        };
        let checked =
            read.and_then(|()| self.reader.check_chunk(id, &location, &self.chunks.plain[0]).map(<[u8]>::to_vec));
        let bytes = checked.or_else(|error| {
            self.blob = None;
            self.reader.read_spare_chunk(id, location.blob, &mut self.chunks).ok_or(error)
        })?;
        self.stop.event(&Event::Bytes { count: bytes.len() as u64 });
        let there = self.writing.store.add_chunk(&bytes, &mut self.group);
        self.known.chunks.insert(*id, there);
        if self.group.len() >= LARGE_GROUP_LEN {
            self.seal()?;
        }
        Ok(there)
    }

    fn seal(&mut self) -> Result<()> {
        self.writing.store.seal(&mut self.group, &mut self.coder)
    }
}
