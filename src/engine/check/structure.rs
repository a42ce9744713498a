//! Everything but the content of packs.

use crate::engine::check::report::{CheckReport, Lost};
use crate::engine::context::{Context, EngineError, Result};
use crate::format::cell::Outcome;
use crate::format::layout;
use crate::format::node::{Body, Content, Node};
use crate::format::pack::PackKind;
use crate::format::sealed::OBJECT_LEN_MAX;
use crate::format::session::Session;
use crate::format::tree::Tree;
use crate::id::{PackId, SessionId, TreeId};
use crate::object::ObjectName;
use crate::progress::Event;
use crate::repository::pack_reader::{PackReader, ReadBuffers};
use crate::repository::view::{StoredCell, View};
use crate::repository::{RepositoryError, key_store, open};
use crate::storage::Listed;
use std::collections::{HashMap, HashSet};

fn list(cx: &Context, prefix: &ObjectName) -> Result<Vec<Listed>> {
    Ok(cx.repository.fetch().list(prefix).map_err(RepositoryError::from)?)
}

/// Slots and the dataset root.
pub(super) fn keys(cx: &Context, report: &mut CheckReport) -> Result<()> {
    let (slots, damaged) = key_store::list(&cx.repository)?;
    damaged.iter().for_each(|error| report.damage(error));
    report.counts.slots = slots.len() as u64;
    for slot in slots {
        if let Err(error) = slot.notes {
            report.damage(&RepositoryError::damaged(&layout::key_slot(&slot.id), error));
        }
    }
    match open::check_root(&cx.repository) {
        Err(error) if error.is_damage() => report.damage(&error),
        other => other?,
    }
    Ok(())
}

/// Sessions: nothing depends on an old one, but a damaged object is a sign.
pub(super) fn sessions(cx: &Context, view: &View, report: &mut CheckReport) -> Result<()> {
    let repository = &cx.repository;
    for object in list(cx, &repository.layout().sessions())? {
        let damaged = |error| RepositoryError::damaged(&object.name, error);
        let wrong = || damaged(crate::format::wire::FormatError::WrongId);
        let read = repository.fetch().read(&object.name, OBJECT_LEN_MAX).map_err(RepositoryError::from);
        let session = read
            .and_then(|bytes| Session::decode(&bytes, &repository.place(), &repository.keys().index).map_err(damaged));
        let checked = session.and_then(|session| {
            let cell = view.cells.get(&session.id);
            let named = repository.layout().session(&session.id) == object.name;
            let same_host = cell.is_none_or(|stored| stored.cell.references.host == session.host);
            if named && same_host { Ok(()) } else { Err(wrong()) }
        });
        match checked {
            Err(error) if error.is_damage() => report.damage(&error),
            other => other?,
        }
    }
    Ok(())
}

/// Each host counts its cells and names the one before: a cell that is missing, or put back, shows.
pub(super) fn chains(view: &View, report: &mut CheckReport) {
    let mut by_host: HashMap<_, Vec<(&SessionId, &StoredCell)>> = HashMap::new();
    for (id, stored) in &view.cells {
        report.counts.cells += u64::from(stored.cell.references.outcome != Outcome::Aborted);
        by_host.entry(stored.cell.references.host).or_default().push((id, stored));
    }
    for cells in by_host.values() {
        for (id, stored) in cells {
            let references = &stored.cell.references;
            if references.counter <= 1 {
                continue;
            }
            let before: Vec<_> =
                cells.iter().filter(|(_, c)| c.cell.references.counter + 1 == references.counter).collect();
            if before.is_empty() {
                report.warnings.push(format!(
                    "snapshot {id} is number {} of its host, and number {} is not there",
                    references.counter,
                    references.counter - 1
                ));
            } else if before.iter().all(|(_, c)| c.hash != references.previous) {
                report.warnings.push(format!("snapshot {id} names another one before it than the one that is there"));
            }
        }
    }
}

/// Packs by name and size. Blobs of packs that are missing or short are lost.
pub(super) fn packs(cx: &Context, reader: &PackReader, report: &mut CheckReport) -> Result<Lost> {
    let mut lost = Lost::default();
    let mut stored: HashMap<PackId, u64> = HashMap::new();
    for kind in [PackKind::Data, PackKind::Meta] {
        for object in list(cx, &cx.repository.layout().packs(kind))? {
            match PackId::from_hex(object.name.last_part()) {
                Ok(id) if cx.repository.layout().pack(kind, &id) == object.name => {
                    stored.insert(id, object.size);
                }
                _ => report.warnings.push(format!("{} is no pack's name", object.name)),
            }
        }
    }
    for (number, pack) in reader.index().packs().iter().enumerate() {
        report.counts.packs += 1;
        report.counts.pack_bytes += pack.size;
        let what = match stored.remove(&pack.id) {
            Some(size) if size == pack.size => continue,
            Some(size) => format!("has {size} bytes, and should have {}", pack.size),
            None => "is missing".into(),
        };
        report.problem(reader.pack_name(pack).to_string(), what);
        lost.blobs.extend(reader.blobs_of(number).map(|blob| blob as u32));
    }
    report.counts.unreferenced_packs = stored.len() as u64;
    Ok(lost)
}

/// What a tree is expected to be.
#[derive(Clone, PartialEq, Eq)]
enum Expected {
    Directory,
    /// A page that begins with this name and stays below the next one's.
    Page(Vec<u8>, Option<Vec<u8>>),
}

struct Walk<'a> {
    reader: &'a PackReader,
    buffers: ReadBuffers,
    report: &'a mut CheckReport,
    lost: &'a mut Lost,
    pending: Vec<(TreeId, Expected)>,
}

/// Every tree that a cell leads to, each once.
pub(super) fn trees(
    cx: &Context,
    reader: &PackReader,
    view: &View,
    report: &mut CheckReport,
    lost: &mut Lost,
) -> Result<()> {
    let roots = view
        .cells
        .iter()
        .filter(|(id, stored)| stored.cell.references.outcome != Outcome::Aborted && !view.forgotten.contains(id))
        .map(|(_, stored)| (stored.cell.references.tree, Expected::Directory))
        .collect();
    let mut walk = Walk { reader, buffers: ReadBuffers::new()?, report, lost, pending: roots };
    let mut visited = HashSet::new();
    while let Some((id, expected)) = walk.pending.pop() {
        if cx.is_stopped() {
            return Err(EngineError::Interrupted);
        }
        if !visited.insert(id) {
            continue;
        }
        walk.report.counts.trees += 1;
        cx.event(&Event::EntryDone { size: 0, unchanged: false });
        match walk.reader.read_tree(&id, &mut walk.buffers) {
            Ok(tree) => {
                if !walk.tree(tree, &expected) {
                    walk.wrong_tree(&id);
                }
            }
            // A tree that cannot be read for whatever reason does not end the check: the others may be what saves the day.
            Err(error) => {
                walk.report.damage(&error);
                walk.lost.trees.insert(id);
            }
        }
    }
    Ok(())
}

impl Walk<'_> {
    fn wrong_tree(&mut self, id: &TreeId) {
        self.report.problem(format!("tree {id}"), "is not what refers to it says it is");
        self.lost.trees.insert(*id);
    }

    fn tree(&mut self, tree: Tree, expected: &Expected) -> bool {
        match (tree, expected) {
            (Tree::Leaf(nodes), expected) => {
                let fits = match expected {
                    Expected::Directory => true,
                    Expected::Page(first, next) => {
                        nodes.first().is_some_and(|n| n.name == *first)
                            && next.as_ref().is_none_or(|next| nodes.last().is_some_and(|n| n.name < *next))
                    }
                };
                for node in &nodes {
                    self.node(node);
                }
                fits
            }
            (Tree::Pages(pages), Expected::Directory) => {
                for (index, page) in pages.iter().enumerate() {
                    let next = pages.get(index + 1).map(|p| p.first_name.clone());
                    self.pending.push((page.tree, Expected::Page(page.first_name.clone(), next)));
                }
                true
            }
            _ => false,
        }
    }

    fn node(&mut self, node: &Node) {
        match &node.content {
            Content::Directory { tree } => self.pending.push((*tree, Expected::Directory)),
            Content::File { size, body, .. } => {
                self.report.counts.files += 1;
                let found = match body {
                    Body::Inline(bytes) => Some(bytes.len() as u64),
                    Body::Chunks(ids) => self.chunks(ids),
                    Body::Lists(lists) => self.lists(lists),
                };
                if found.is_some_and(|found| found != *size) {
                    let name = String::from_utf8_lossy(&node.name);
                    self.report.problem(format!("file {name}"), "its chunks do not add up to its length");
                }
            }
            _ => {}
        }
    }

    /// Length of all chunks together; `None` if one is missing.
    fn chunks(&mut self, ids: &[crate::id::ChunkId]) -> Option<u64> {
        self.report.counts.references += ids.len() as u64;
        let mut total = Some(0_u64);
        for id in ids {
            match self.reader.locate_chunk(id) {
                Ok(location) => total = total.map(|t| t + u64::from(location.lens[0])),
                Err(error) => {
                    self.report.damage(&error);
                    self.lost.chunks = true;
                    total = None;
                }
            }
        }
        total
    }

    fn lists(&mut self, lists: &[TreeId]) -> Option<u64> {
        let mut total = Some(0_u64);
        for id in lists {
            self.report.counts.trees += 1;
            let found = match self.reader.read_tree(id, &mut self.buffers) {
                Ok(Tree::List(ids)) => self.chunks(&ids),
                Ok(_) => {
                    self.wrong_tree(id);
                    None
                }
                Err(error) => {
                    self.report.damage(&error);
                    self.lost.trees.insert(*id);
                    None
                }
            };
            total = total.zip(found).map(|(a, b)| a + b);
        }
        total
    }
}
