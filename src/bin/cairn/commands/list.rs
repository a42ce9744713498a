//! `cairn list`: the ids of what a repository is made of.

use crate::args::{ListArgs, ListKind};
use crate::exit::{Exit, Failure, Result, chain};
use crate::failover;
use crate::output::Results;
use crate::run::{Need, Opened, Run};
use cairn::format::cell::Outcome;
use cairn::format::layout;
use cairn::format::pack::PackKind;
use cairn::object::ObjectName;
use cairn::repository::RepositoryError;
use cairn::repository::view::Damage;
use serde_json::json;
use std::collections::HashSet;

/// Writes rows as lines, or as one array.
struct Rows<'r, 'o> {
    results: &'r mut Results<'o>,
    json: bool,
    is_first: bool,
}

impl Rows<'_, '_> {
    fn row(&mut self, kind: Option<&str>, id: &str) -> Result<()> {
        if !self.json {
            return self.results.line(&kind.map_or_else(|| id.to_owned(), |kind| format!("{kind} {id}")));
        }
        let row = match kind {
            Some(kind) => json!({"type": kind, "id": id}),
            None => json!(id),
        };
        let before = if std::mem::replace(&mut self.is_first, false) { '[' } else { ',' };
        self.results.raw(format!("{before}{row}").as_bytes())
    }

    fn end(self) -> Result<()> {
        match (self.json, self.is_first) {
            (false, _) => Ok(()),
            (true, true) => self.results.line("[]"),
            (true, false) => self.results.line("]"),
        }
    }
}

/// Lists.
pub(crate) fn run(run: &Run, args: &ListArgs) -> Result<Exit> {
    let at = failover::at_site(run, args.site.site.as_deref())?;
    let with_hint =
        |failure| if args.site.site.is_none() { failover::with_replica_hint(run, failure) } else { failure };
    let opened = at.open(Need::Read).map_err(with_hint)?;
    let mut results = run.output.results();
    let mut rows = Rows { results: &mut results, json: run.output.is_json(), is_first: true };
    let mut damaged = Vec::new();
    let listed = list(args.kind, &opened, &mut rows, &mut damaged).and_then(|()| rows.end());
    let finished = results.finish();
    damaged.iter().for_each(|error| run.output.warn(&chain(error)));
    listed.and(finished)?;
    Ok(if damaged.is_empty() { Exit::Done } else { Exit::Damage })
}

fn tried(error: impl Into<Failure>) -> Failure {
    error.into().while_trying("list what is in the repository")
}

/// The last parts of the names of objects.
fn names(opened: &Opened, rows: &mut Rows<'_, '_>, prefix: &ObjectName, kind: Option<&str>) -> Result<()> {
    let objects = opened.repository.fetch().list(prefix).map_err(tried)?;
    objects.iter().try_for_each(|object| rows.row(kind, object.name.last_part()))
}

fn list(kind: ListKind, opened: &Opened, rows: &mut Rows<'_, '_>, damaged: &mut Vec<RepositoryError>) -> Result<()> {
    let repository = &opened.repository;
    match kind {
        ListKind::Packs => {
            names(opened, rows, &repository.layout().packs(PackKind::Data), Some("data"))?;
            names(opened, rows, &repository.layout().packs(PackKind::Meta), Some("tree"))
        }
        ListKind::Index => names(opened, rows, &repository.layout().segments(), None),
        ListKind::Sessions => names(opened, rows, &repository.layout().sessions(), None),
        ListKind::Keys => names(opened, rows, &layout::key_slots(), None),
        ListKind::Sites => {
            names(opened, rows, &layout::declarations(), Some("site"))?;
            names(opened, rows, &layout::policies(), Some("policy"))
        }
        ListKind::Snapshots => {
            let view = repository.load_cells(Damage::Collect).map_err(tried)?;
            damaged.extend(view.damaged);
            let live = view.cells.iter().filter(|(id, stored)| stored.is_snapshot() && !view.forgotten.contains(id));
            live.map(|(id, _)| id.to_string()).try_for_each(|id| rows.row(None, &id))
        }
        ListKind::Blobs => {
            let view = repository.load_cells(Damage::Collect).map_err(tried)?;
            damaged.extend(view.damaged);
            let cells = view.cells.values().map(|stored| &stored.cell.references);
            let counting = cells.filter(|references| references.outcome != Outcome::Aborted);
            let (mut segments, mut packs) = (HashSet::new(), HashSet::new());
            for id in counting.flat_map(|references| &references.segments).filter(|id| segments.insert(**id)) {
                let entries = match repository.load_segment(id) {
                    Ok(entries) => entries,
                    Err(error) if error.is_damage() => {
                        damaged.push(error);
                        continue;
                    }
                    Err(error) => return Err(tried(error)),
                };
                for pack in entries.iter().filter(|pack| packs.insert(pack.id)) {
                    let kind = if pack.kind == PackKind::Data { "data" } else { "tree" };
                    let mut chunks = pack.blobs.iter().flat_map(|blob| &blob.chunks);
                    chunks.try_for_each(|chunk| rows.row(Some(kind), &chunk.key.to_string()))?;
                }
            }
            Ok(())
        }
    }
}
