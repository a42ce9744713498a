//! Small objects: sessions, cells and their chain, segments.

use crate::crypto::hash::{self, StoredHasher};
use crate::engine::check::findings::{Findings, Reach};
use crate::engine::check::report::{CheckCounts, Problem};
use crate::engine::context::Context;
use crate::format::cell::{self, CellKeys, Outcome};
use crate::format::forget::ForgetRecord;
use crate::format::layout;
use crate::format::sealed::OBJECT_LEN_MAX;
use crate::format::segment::PackEntry;
use crate::format::session::{Session, expect_id};
use crate::format::wire::FormatError;
use crate::id::{HostKey, IndexKey, PackId, SegmentId, SessionId};
use crate::object::ObjectName;
use crate::repository::cells::StoredCell;
use crate::repository::index::Index;
use crate::repository::sites::Records;
use crate::repository::{RepositoryError, key_store, open, parallel, sites};
use crate::storage::Listed;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// The cells that can be read, and which of them are forgotten.
#[derive(Debug, Default)]
pub(super) struct Cells {
    pub(super) cells: BTreeMap<SessionId, StoredCell>,
    pub(super) forgotten: BTreeSet<SessionId>,
}

impl Cells {
    /// Those whose trees have to be whole: snapshots and checkpoints that are not forgotten.
    pub(super) fn live(&self) -> impl Iterator<Item = &StoredCell> {
        let is_live = |(id, stored): &(&SessionId, &StoredCell)| {
            stored.cell.references.outcome != Outcome::Aborted && !self.forgotten.contains(id)
        };
        self.cells.iter().filter(is_live).map(|(_, stored)| stored)
    }

    /// Segments that count, each once.
    pub(super) fn segments(&self) -> Vec<SegmentId> {
        let mut seen = HashSet::new();
        let counting = self.cells.values().filter(|s| s.cell.references.outcome != Outcome::Aborted);
        counting.flat_map(|s| &s.cell.references.segments).copied().filter(|id| seen.insert(*id)).collect()
    }
}

/// Lists objects; that they cannot be listed is a problem.
pub(super) fn list(cx: &Context, prefix: &ObjectName, findings: &Findings<'_>) -> Vec<Listed> {
    cx.repository.fetch().list(prefix).unwrap_or_else(|error| {
        findings.error(Problem::of(prefix.as_str(), &error.into()), Reach::Nothing);
        Vec::new()
    })
}

fn session_of(name: &ObjectName) -> Result<SessionId, RepositoryError> {
    SessionId::from_hex(name.last_part()).map_err(|_| RepositoryError::damaged(name, FormatError::WrongId))
}

/// Lists several folders, with as few requests as can be; that they cannot be listed is a problem of the first of them.
pub(super) fn list_together<const N: usize>(
    cx: &Context,
    prefixes: [ObjectName; N],
    findings: &Findings<'_>,
) -> [Vec<Listed>; N] {
    let first = prefixes.first().map_or_else(String::new, ToString::to_string);
    cx.repository.fetch().list_together(prefixes).unwrap_or_else(|error| {
        findings.error(Problem::of(first, &error.into()), Reach::Nothing);
        std::array::from_fn(|_| Vec::new())
    })
}

/// Checks what the repository is opened by, and what it says of where it may be. Configuration and key slot that opened it were
/// read for that in this run. Of a slot that belongs to another secret only the notes can be read.
pub(super) fn check_keys(cx: &Context, findings: &Findings<'_>, counts: &mut CheckCounts) {
    let repository = &cx.repository;
    let error = |error: RepositoryError| findings.error(Problem::of("keys", &error), Reach::Nothing);
    for checked in [open::check_config(repository), open::check_root(repository)] {
        checked.unwrap_or_else(error);
    }
    let prefixes = [layout::key_slots(), layout::declarations(), layout::policies()];
    let [slots, declarations, policies] = list_together(cx, prefixes, findings);
    match key_store::list_of(repository, slots) {
        Err(problem) => error(problem),
        Ok((slots, damaged)) => {
            counts.slots = slots.len() as u64;
            damaged.into_iter().for_each(error);
            for slot in slots {
                if let Err(problem) = slot.notes {
                    error(RepositoryError::damaged(&layout::key_slot(&slot.id), problem));
                }
            }
        }
    }
    match Records::of(declarations, policies) {
        Err(problem) => findings.error(Problem::of("sites", &problem), Reach::Nothing),
        Ok(records) => check_sites(cx, &records, findings, counts),
    }
}

/// Checks declarations of sites and policies: each can be read, is what its name says, and is signed by whom it names.
/// Nothing that is restored depends on them.
fn check_sites(cx: &Context, records: &Records, findings: &Findings<'_>, counts: &mut CheckCounts) {
    for name in records.names() {
        counts.sites += 1;
        if let Err(error) = sites::check(&cx.repository, name) {
            findings.error(Problem::of(name.as_str(), &error), Reach::Nothing);
        }
    }
}

/// Reads objects by their names, several at a time where that is worth it, and takes in order what came. What cannot be read is
/// a problem.
fn read_each<T: Send>(
    cx: &Context,
    names: &[ObjectName],
    findings: &Findings<'_>,
    read: impl Fn(&ObjectName) -> Result<T, RepositoryError> + Sync,
    mut take: impl FnMut(&ObjectName, T),
) {
    let read = |name: &ObjectName| (name.clone(), read(name));
    let take = |(name, result): (ObjectName, Result<T, RepositoryError>)| {
        match result {
            Ok(object) => take(&name, object),
            Err(error) => findings.error(Problem::of(name.as_str(), &error), Reach::Nothing),
        }
        Ok(())
    };
    if let Err(error) = parallel::for_each(names, cx.repository.fetch().request_cost().parallel, read, take) {
        findings.error(Problem::of("objects", &error), Reach::Nothing);
    }
}

fn names(listed: Vec<Listed>) -> Vec<ObjectName> {
    listed.into_iter().map(|object| object.name).collect()
}

/// The names of sessions and of cells that are there.
pub(super) fn list_sessions(cx: &Context, findings: &Findings<'_>) -> [Vec<ObjectName>; 2] {
    let layout = cx.repository.layout();
    list_together(cx, [layout.sessions(), layout.cells()], findings).map(names)
}

/// Checks that every session can be read and is what its name says.
pub(super) fn check_sessions(cx: &Context, names: &[ObjectName], findings: &Findings<'_>, counts: &mut CheckCounts) {
    let repository = &cx.repository;
    let check = |name: &ObjectName| -> Result<(), RepositoryError> {
        let bytes = repository.fetch().read(name, OBJECT_LEN_MAX)?;
        Session::decode(&bytes, &repository.place(), &repository.keys().index)
            .and_then(|session| expect_id(session.id, session_of(name).map_err(|_| FormatError::WrongId)?))
            .map_err(|error| RepositoryError::damaged(name, error))
    };
    counts.sessions = names.len() as u64;
    read_each(cx, names, findings, check, |_, ()| {});
}

/// Reads every cell; each has to be signed by the host it names.
pub(super) fn load_cells(
    cx: &Context,
    names: &[ObjectName],
    findings: &Findings<'_>,
    counts: &mut CheckCounts,
) -> Cells {
    let (repository, layout) = (&cx.repository, cx.repository.layout());
    let keys = CellKeys { references: &repository.keys().references, entries: &repository.keys().entries };
    let load = |name: &ObjectName| -> Result<StoredCell, RepositoryError> {
        let bytes = repository.fetch().read(name, OBJECT_LEN_MAX)?;
        let session = session_of(name)?;
        let damaged = |error| RepositoryError::damaged(name, error);
        let cell = cell::decode(&bytes, &repository.place(), keys).map_err(damaged)?;
        expect_id(cell.references.session, session).map_err(damaged)?;
        Ok(StoredCell { cell, hash: hash::stored(&bytes) })
    };
    let mut cells = Cells::default();
    let forgets = self::names(list(cx, &layout.forgets(), findings));
    cells.forgotten.extend(forgets.iter().filter_map(|name| session_of(name).ok()));
    check_forgets(cx, &forgets, findings);
    read_each(cx, names, findings, load, |_, stored| {
        cells.cells.insert(stored.cell.references.session, stored);
    });
    for stored in cells.live() {
        match stored.cell.references.outcome {
            Outcome::Snapshot => counts.snapshots += 1,
            _ => counts.checkpoints += 1,
        }
    }
    if !list(cx, &layout.generations(), findings).is_empty() {
        let what = "prune generations are there, which this version of cairn does not know: it does not look at them";
        findings.warning(Problem::new(layout.generations().as_str(), what));
    }
    cells
}

/// Checks that every forget record can be read, is what its name says, and is signed by whom it names. A snapshot is hidden by
/// the name alone, so nothing that is restored depends on them.
fn check_forgets(cx: &Context, names: &[ObjectName], findings: &Findings<'_>) {
    let repository = &cx.repository;
    let check = |name: &ObjectName| -> Result<(), RepositoryError> {
        let bytes = repository.fetch().read(name, OBJECT_LEN_MAX)?;
        ForgetRecord::decode(&bytes, &repository.place(), &repository.keys().index)
            .and_then(|record| expect_id(record.session, session_of(name).map_err(|_| FormatError::WrongId)?))
            .map_err(|error| RepositoryError::damaged(name, error))
    };
    read_each(cx, names, findings, check, |_, ()| {});
}

/// Each host counts its cells from 1 and names the hash of the one before, so one that is missing or was put back shows.
/// Sessions of one host that ran at the same time fork the chain, so this is only worth a look.
pub(super) fn check_chains(cells: &Cells, findings: &Findings<'_>) {
    let mut hosts: BTreeMap<HostKey, Vec<&StoredCell>> = BTreeMap::new();
    for stored in cells.cells.values() {
        hosts.entry(stored.cell.references.host).or_default().push(stored);
    }
    for (host, mut chain) in hosts {
        chain.sort_by_key(|stored| (stored.cell.references.counter, stored.cell.references.session));
        let warn = |stored: &StoredCell, what: String| {
            findings.warning(Problem::new(format!("snapshot {}", stored.cell.references.session), what));
        };
        let mut before: Option<&StoredCell> = None;
        for stored in chain {
            let (references, number) = (&stored.cell.references, stored.cell.references.counter);
            let last = before.map_or(0, |b| b.cell.references.counter);
            let last_name = before.map_or_else(|| "none".into(), |b| b.cell.references.session.to_string());
            if number == last {
                warn(stored, format!("has number {number} of host {}, as has {last_name}", host.short()));
            } else if number != last + 1 {
                warn(
                    stored,
                    format!("has number {number} of host {}, the one before is {last} ({last_name})", host.short()),
                );
            } else if references.previous != before.map_or([0; 32], |b| b.hash) {
                warn(stored, format!("names another cell before it than {last_name}, which is there"));
            }
            before = Some(stored);
        }
    }
}

/// What an entry of a pack says, so that two can be compared.
fn fingerprint(pack: &PackEntry) -> [u8; 32] {
    let mut hasher = StoredHasher::new();
    hasher.update(&[pack.kind.object_kind() as u8]);
    hasher.update(&pack.size.to_le_bytes());
    hasher.update(&pack.header_len.to_le_bytes());
    for blob in &pack.blobs {
        hasher.update(&blob.number.to_le_bytes());
        blob.stored.iter().for_each(|len| hasher.update(&len.to_le_bytes()));
        hasher.update(&(blob.chunks.len() as u64).to_le_bytes());
        for chunk in &blob.chunks {
            hasher.update(chunk.key.as_bytes());
            chunk.lens.iter().for_each(|len| hasher.update(&len.to_le_bytes()));
        }
    }
    hasher.finish()
}

/// Reads every segment that counts, and builds the index.
pub(super) fn load_index(cx: &Context, cells: &Cells, findings: &Findings<'_>, counts: &mut CheckCounts) -> Index {
    let (repository, layout) = (&cx.repository, cx.repository.layout());
    let mut index = Index::default();
    let mut seen: HashMap<PackId, [u8; 32]> = HashMap::new();
    let read = |name: &ObjectName| {
        let id =
            SegmentId::from_hex(name.last_part()).map_err(|_| RepositoryError::damaged(name, FormatError::WrongId))?;
        if cx.is_stopped() { Ok(Vec::new()) } else { repository.load_segment(&id) }
    };
    let segments: Vec<_> = cells.segments().iter().map(|id| layout.segment(id)).collect();
    counts.segments = segments.len() as u64;
    read_each(cx, &segments, findings, read, |name, packs: Vec<PackEntry>| {
        for pack in &packs {
            let print = fingerprint(pack);
            match seen.insert(pack.id, print) {
                None => check_entry(pack, name, findings),
                Some(before) if before == print => continue,
                Some(_) => {
                    let what = format!("says something else of pack {} than another segment", pack.id);
                    findings.error(Problem::new(name.as_str(), what), Reach::Pack(pack.id));
                }
            }
            index.add(pack);
        }
    });
    index.finish();
    counts.packs = index.packs().len() as u64;
    counts.blobs = index.blobs().len() as u64;
    counts.chunks = index.len() as u64;
    counts.pack_bytes = index.packs().iter().map(|pack| pack.size).sum();
    index
}

fn check_entry(pack: &PackEntry, segment: &ObjectName, findings: &Findings<'_>) {
    let mut keys: Vec<IndexKey> = pack.blobs.iter().flat_map(|blob| &blob.chunks).map(|chunk| chunk.key).collect();
    keys.sort_unstable();
    let twice = keys.windows(2).filter(|pair| pair[0] == pair[1]).count();
    if twice > 0 {
        let what = format!("pack {} holds {twice} chunks or trees twice", pack.id);
        findings.warning(Problem::new(segment.as_str(), what));
    }
}
