//! `cairn cat`: one object, as JSON; or the content of a chunk, as it is, which is a recovery of content and recorded as
//! one.

use crate::args::{CatArgs, CatKind};
use crate::commands::snapshots;
use crate::entry;
use crate::exit::{Exit, Failure, Result};
use crate::failover;
use crate::output::put_path;
use crate::record::{Beginning, Record};
use crate::run::{Need, Opened, Run};
use crate::values;
use cairn::audit::recorder as audit;
use cairn::engine::browse::{Snapshot, SnapshotTree};
use cairn::format::key_slot::SlotKind;
use cairn::format::layout;
use cairn::format::node::{Body, Content, Node};
use cairn::format::pack::{BlobEntry, ChunkEntry, PackKind};
use cairn::format::sealed::OBJECT_LEN_MAX;
use cairn::format::session::Session;
use cairn::format::tree::Tree;
use cairn::id::{ChunkId, IndexKey, SegmentId, TreeId};
use cairn::journal::{FileEvent, FileRecord};
use cairn::repository::pack_reader::{PackReader, ReadBuffers, read_trailer};
use cairn::repository::view::Damage;
use cairn::repository::{RepositoryError, key_store};
use cairn::storage::Listed;
use serde_json::{Value, json};
use std::os::unix::ffi::OsStrExt as _;
use std::sync::Arc;

/// Shows an object.
pub(crate) fn run(run: &Run, args: &CatArgs) -> Result<Exit> {
    let id = match (args.kind, &args.id) {
        (CatKind::Config, Some(_)) => return Err(Failure::usage("there is one config: it has no id", "")),
        (CatKind::Config, None) => "",
        (_, None) => return Err(Failure::usage("cat: an id is missing", "`cairn list KIND` shows the ids")),
        (_, Some(id)) => id.to_str().filter(|id| !id.is_empty()).map_or_else(
            // Of paths in snapshots only.
            || if args.kind == CatKind::Tree { Ok("") } else { Err(Failure::usage("cat: that is no id", "")) },
            Ok,
        )?,
    };
    let at = failover::at_site(run, args.site.site.as_deref())?;
    let with_hint =
        |failure| if args.site.site.is_none() { failover::with_replica_hint(run, failure) } else { failure };
    let opened = at.open(Need::Read).map_err(with_hint)?;
    let kind = format!("{:?}", args.kind).to_lowercase();
    let fields = json!({"kind": kind});
    let beginning = Beginning { need: audit::Need::Read, operation: "cat", purpose: &args.purpose, fields };
    let record = run.begin(&opened, beginning)?;
    let shown = show(run, args, id, &opened, &record)
        .map_err(|failure| failure.while_trying(format!("show {kind} {id} of {}", run.named(&opened))));
    record.end(shown.map(|()| Exit::Done), json!({}))
}

fn show(run: &Run, args: &CatArgs, id: &str, opened: &Opened, record: &Record) -> Result<()> {
    let repository = &opened.repository;
    let layout = repository.layout();
    let object = match args.kind {
        CatKind::Blob => return blob(run, opened, id, record),
        CatKind::Config => {
            let config = repository.config();
            json!({
                "repository_id": config.repository.to_string(),
                "dataset_id": config.dataset.to_string(),
                "epoch": config.epoch,
                "created": values::time(config.created),
                "chunk_size": config.chunker.average(),
                "pin": config.pin.to_string(),
            })
        }
        CatKind::Snapshot => snapshot(&resolved(run, args, id, opened)?),
        CatKind::Tree => tree(run, args, opened)?,
        CatKind::Pack => pack(opened, id)?,
        CatKind::Index => {
            let name = only(repository.fetch().list(&layout.segments())?, id)?.name;
            let id = SegmentId::from_hex(name.last_part()).map_err(|_| none(id))?;
            let packs = repository.load_segment(&id)?;
            let row = |pack: &cairn::format::segment::PackEntry| {
                json!({
                    "id": pack.id.to_string(),
                    "type": word(pack.kind),
                    "size": pack.size,
                    "blobs": pack.blobs.len(),
                    "chunks": pack.blobs.iter().map(|blob| blob.chunks.len()).sum::<usize>(),
                })
            };
            json!({"id": id.to_string(), "packs": packs.iter().map(row).collect::<Vec<_>>()})
        }
        CatKind::Session => {
            let name = only(repository.fetch().list(&layout.sessions())?, id)?.name;
            let bytes = repository.fetch().read(&name, OBJECT_LEN_MAX)?;
            let session = Session::decode(&bytes, &repository.place(), &repository.keys().index);
            let session = session.map_err(|error| RepositoryError::damaged(&name, error))?;
            json!({
                "id": session.id.to_string(),
                "host_key": session.host.to_string(),
                "host": String::from_utf8_lossy(&session.host_name),
                "started": values::time(session.started),
            })
        }
        CatKind::Key => {
            let name = only(repository.fetch().list(&layout::key_slots())?, id)?.name;
            let (slots, _) = key_store::list(repository)?;
            let slot =
                slots.into_iter().find(|slot| slot.id.to_string() == name.last_part()).ok_or_else(|| none(id))?;
            let mut object = json!({"id": slot.id.to_string(), "type": slot_word(slot.kind)});
            match slot.notes {
                Ok(notes) => {
                    for (field, text) in [("host", notes.host), ("holder", notes.holder), ("purpose", notes.purpose)] {
                        object[field] = text.into();
                    }
                    object["created"] = values::time(notes.created).into();
                    object["expires"] = notes.expires.map(values::time).into();
                }
                Err(error) => object["error"] = error.to_string().into(),
            }
            object
        }
    };
    let text = if run.output.is_json() { object.to_string() } else { format!("{object:#}") };
    let mut results = run.output.results();
    results.line(&text)?;
    results.finish()
}

fn none(id: &str) -> Failure {
    Failure::new(
        Exit::Failed,
        "no-object",
        format!("nothing has an id that begins with {id:?}"),
        "`cairn list KIND` shows the ids",
    )
}

/// The one object whose name begins with `id`.
fn only(objects: Vec<Listed>, id: &str) -> Result<Listed> {
    let mut fitting = objects.into_iter().filter(|object| object.name.last_part().starts_with(id));
    let first = fitting.next().ok_or_else(|| none(id))?;
    match fitting.next() {
        None => Ok(first),
        Some(_) => Err(Failure::new(
            Exit::Failed,
            "ambiguous-id",
            format!("several ids begin with {id:?}"),
            "give more digits",
        )),
    }
}

fn resolved(run: &Run, args: &CatArgs, text: &str, opened: &Opened) -> Result<Snapshot> {
    let filter = snapshots::filter(&args.filter)?;
    Ok(run.resolve(&run.snapshots(opened)?, text, &filter).cloned()?)
}

fn reader(opened: &Opened) -> Result<Arc<PackReader>> {
    let view = opened.repository.load_view_for_reading(Damage::Collect)?;
    Ok(Arc::new(PackReader::new(opened.repository.clone(), Arc::new(view.index))))
}

/// What the index knows a chunk or tree by, and all of its id if it was given.
fn key(text: &str) -> Option<(IndexKey, Option<[u8; 32]>)> {
    match ChunkId::from_hex(text) {
        Ok(id) => Some((id.key(), Some(*id.as_bytes()))),
        Err(_) => IndexKey::from_hex(text).ok().map(|key| (key, None)),
    }
}

fn bad_id(text: &str) -> Failure {
    Failure::usage(format!("{text:?} is not 32 or 64 hexadecimal digits"), "`cairn list blobs` shows the first 32")
}

fn blob(run: &Run, opened: &Opened, text: &str, record: &Record) -> Result<()> {
    let (key, whole) = key(text).ok_or_else(|| bad_id(text))?;
    let reader = reader(opened)?;
    let found = reader.find_chunk(&key, &mut ReadBuffers::new()?)?;
    let found = found.filter(|(id, _)| whole.is_none_or(|whole| *id.as_bytes() == whole));
    let (id, bytes) = found.ok_or_else(|| none(text))?;
    let path = format!("blob {id}");
    // A part may have left when it fails.
    let content = Body::Chunks(vec![id]).digest();
    let (event, size) = (FileEvent::Recovered, bytes.len() as u64);
    let _ = record.journal().file(&FileRecord { event, path: path.as_bytes(), size, content: Some(&content) });
    let mut results = run.output.results();
    results.raw(&bytes)?;
    results.finish()
}

fn slot_word(kind: SlotKind) -> &'static str {
    match kind {
        SlotKind::KeyFile => "key-file",
        SlotKind::Password => "password",
        SlotKind::Recovery => "recovery",
    }
}

fn word(kind: PackKind) -> &'static str {
    match kind {
        PackKind::Data => "data",
        PackKind::Meta => "tree",
    }
}

fn snapshot(snapshot: &Snapshot) -> Value {
    let mut object = snapshots::object(snapshot);
    let references = &snapshot.references;
    object["tree"] = references.tree.to_string().into();
    object["segments"] = references.segments.iter().map(ToString::to_string).collect();
    object["host_key"] = references.host.to_string().into();
    object["counter"] = references.counter.into();
    object["previous"] = cairn::id::hex(&references.previous).into();
    object["started"] = values::time(snapshot.entries.started).into();
    object["ended"] = values::time(snapshot.entries.ended).into();
    if let Some(log) = &references.log {
        object["log"] = json!({"id": log.log.to_string(), "size": log.size, "root": cairn::id::hex(&log.root)});
    }
    object
}

fn pack(opened: &Opened, id: &str) -> Result<Value> {
    let repository = &opened.repository;
    let mut all = Vec::new();
    for kind in [PackKind::Data, PackKind::Meta] {
        all.extend(repository.fetch().list(&repository.layout().packs(kind))?);
    }
    let Listed { name, size } = only(all, id)?;
    let is_data = name.as_str().starts_with(repository.layout().packs(PackKind::Data).as_str());
    let kind = if is_data { PackKind::Data } else { PackKind::Meta };
    let (header_len, trailer) = read_trailer(repository, kind, &name, size)?;
    let mut offset = u64::from(header_len);
    let row = |blob: &BlobEntry| {
        let at = offset;
        offset += blob.stored_len();
        let chunk = |chunk: &ChunkEntry| json!({"id": chunk.key.to_string(), "length": chunk.lens[0] + chunk.lens[1]});
        json!({"offset": at, "length": blob.stored_len(), "chunks": blob.chunks.iter().map(chunk).collect::<Vec<_>>()})
    };
    Ok(json!({
        "id": name.last_part(),
        "type": word(kind),
        "size": size,
        "header_length": header_len,
        "host_key": trailer.host.to_string(),
        "session": trailer.session.to_string(),
        "blobs": trailer.blobs.iter().map(row).collect::<Vec<_>>(),
    }))
}

fn tree(run: &Run, args: &CatArgs, opened: &Opened) -> Result<Value> {
    let text = args.id.as_deref().unwrap_or_default();
    let reader = reader(opened)?;
    let mut buffers = ReadBuffers::new()?;
    let (id, tree) = match text.to_str().and_then(key) {
        Some((key, whole)) => {
            let found = reader.find_tree(&key, &mut buffers)?;
            let found = found.filter(|(id, _)| whole.is_none_or(|whole| *id.as_bytes() == whole));
            found.ok_or_else(|| none(&text.to_string_lossy()))?
        }
        None => {
            let (name, path) = snapshots::split(text)?;
            let root = resolved(run, args, &name, opened)?.references.tree;
            let found = SnapshotTree::new(reader.clone(), root).find(&path)?;
            let id = found.tree().ok_or_else(|| {
                let path = String::from_utf8_lossy(text.as_bytes()).into_owned();
                Failure::new(
                    Exit::Failed,
                    "no-object",
                    format!("{path} is no directory"),
                    "`cairn ls --long` shows what it is",
                )
            })?;
            (id, reader.read_tree(&id, &mut buffers)?)
        }
    };
    Ok(of_tree(&id, &tree))
}

fn ids<T: ToString>(ids: &[T]) -> Vec<String> {
    ids.iter().map(ToString::to_string).collect()
}

/// Contents that are in the tree are content, and not shown.
fn of_tree(id: &TreeId, tree: &Tree) -> Value {
    let node = |node: &Node| {
        let mut row = entry::object(&node.name, node);
        if let Some(row) = row.as_object_mut() {
            row.retain(|key, _| key != "message_type" && !key.starts_with("path"));
        }
        match &node.content {
            Content::Directory { tree } => row["subtree"] = tree.to_string().into(),
            Content::File { body: Body::Chunks(chunks), .. } => row["content"] = ids(chunks).into(),
            Content::File { body: Body::Lists(lists), .. } => row["lists"] = ids(lists).into(),
            Content::File { body: Body::Inline(bytes), .. } => row["inline_bytes"] = bytes.len().into(),
            _ => {}
        }
        row
    };
    let page = |page: &cairn::format::tree::Page| {
        let mut row = json!({"tree": page.tree.to_string()});
        put_path(&mut row, "first_name", &page.first_name);
        row
    };
    let mut object = json!({"id": id.to_string()});
    match tree {
        Tree::Leaf(nodes) => object["nodes"] = nodes.iter().map(node).collect(),
        Tree::Pages(pages) => object["pages"] = pages.iter().map(page).collect(),
        Tree::List(chunks) => object["chunks"] = ids(chunks).into(),
    }
    object
}
