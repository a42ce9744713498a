//! The view: which cells count, and the index they name. Built by listing, in the order that the writer's rules ask for;
//! nothing of it comes from a cache or from before.

use crate::format::cell::{self, Outcome};
use crate::format::sealed::OBJECT_LEN_MAX;
use crate::format::segment;
use crate::format::session::expect_id;
use crate::id::{SegmentId, SessionId};
use crate::object::ObjectName;
use crate::repository::cells::{ListedCells, StoredCell};
use crate::repository::error::{RepositoryError, Result};
use crate::repository::handle::Repository;
use crate::repository::index::Index;
use crate::repository::parallel;
use crate::storage::{Listed, RequestCost};
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// What is committed.
#[derive(Debug, Default)]
pub struct View {
    /// Cells by session, aborted ones included.
    pub cells: BTreeMap<SessionId, StoredCell>,
    /// Sessions whose snapshots were forgotten.
    pub forgotten: BTreeSet<SessionId>,
    /// What the cells' segments list.
    pub index: Index,
    /// Objects that could not be used, when damage is tolerated.
    pub damaged: Vec<RepositoryError>,
}

/// What to do about damaged cells and segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Damage {
    /// Stop: a writer must not build on what it cannot read.
    Stop,
    /// Collect, and go on with the rest: a restore must not be stopped by what it does not need.
    Collect,
}

fn session_of(name: &ObjectName) -> Option<SessionId> {
    SessionId::from_hex(name.last_part()).ok()
}

impl Repository {
    /// Loads cells only: enough to list snapshots.
    ///
    /// # Errors
    /// What the store says; with [`Damage::Stop`], the first damaged object.
    pub fn load_cells(&self, damage: Damage) -> Result<View> {
        let listed = self.fetch().list(&self.layout().cells())?;
        self.load_listed(listed, damage)
    }

    /// Loads the cells that were listed. Which of them are forgotten is listed here, so after them, and not if there are none:
    /// with a store where a request takes long, while they are read.
    pub(in crate::repository) fn load_listed(&self, listed: Vec<Listed>, damage: Damage) -> Result<View> {
        let names: Vec<ObjectName> = listed.into_iter().map(|object| object.name).collect();
        if names.is_empty() {
            return Ok(View::default());
        }
        let list_forgotten = || -> Result<BTreeSet<SessionId>> {
            let records = self.fetch().list(&self.layout().forgets())?;
            Ok(records.iter().filter_map(|object| session_of(&object.name)).collect())
        };
        if !self.is_dear() {
            let forgotten = list_forgotten()?;
            return Ok(View { forgotten, ..self.read_cells(&names, damage)? });
        }
        let (view, forgotten) = parallel::both(|| self.read_cells(&names, damage), list_forgotten)?;
        let view = View { forgotten: forgotten?, ..view? };
        self.cells.put_listed(ListedCells { names, forgotten: view.forgotten.clone() });
        Ok(view)
    }

    fn read_cells(&self, names: &[ObjectName], damage: Damage) -> Result<View> {
        let mut view = View::default();
        let at_once = self.fetch().request_cost().parallel;
        let load = |name: &ObjectName| self.known_cell(name);
        parallel::for_each(names, at_once, load, |loaded| match loaded {
            Ok(stored) => {
                view.cells.insert(stored.cell.references.session, stored);
                Ok(())
            }
            Err(error) if damage == Damage::Collect && error.is_damage() => {
                view.damaged.push(error);
                Ok(())
            }
            Err(error) => Err(error),
        })?;
        Ok(view)
    }

    fn is_dear(&self) -> bool {
        self.fetch().request_cost() != RequestCost::NONE
    }

    /// A cell, from this run's memory where it was read before: an object never changes. Where a request costs nothing, the
    /// memory is worth more.
    fn known_cell(&self, name: &ObjectName) -> Result<StoredCell> {
        if !self.is_dear() {
            return self.load_cell(name);
        }
        if let Some(stored) = self.cells.get(name) {
            return Ok(stored);
        }
        let stored = self.load_cell(name)?;
        self.cells.put(name, &stored);
        Ok(stored)
    }

    fn load_cell(&self, name: &ObjectName) -> Result<StoredCell> {
        let bytes = self.fetch().read(name, OBJECT_LEN_MAX)?;
        let damaged = |e| RepositoryError::damaged(name, e);
        let cell = cell::decode(&bytes, &self.place(), self.cell_keys()).map_err(damaged)?;
        let session = session_of(name).ok_or_else(|| damaged(crate::format::wire::FormatError::WrongId))?;
        expect_id(cell.references.session, session).map_err(damaged)?;
        Ok(StoredCell { cell, hash: crate::crypto::hash::stored(&bytes) })
    }

    /// Loads cells, then every segment they name.
    ///
    /// # Errors
    /// As [`Repository::load_cells`].
    pub fn load_view(&self, damage: Damage) -> Result<View> {
        let mut view = self.load_cells(damage)?;
        self.load_segments(&mut view, damage)?;
        Ok(view)
    }

    /// As [`Repository::load_view`], of the cells that this run has listed last, if it has: for who only reads, and has chosen a
    /// snapshot from that list. What was committed since is not in it and is not needed. A writer must not rely on it.
    ///
    /// # Errors
    /// As [`Repository::load_cells`].
    pub fn load_view_for_reading(&self, damage: Damage) -> Result<View> {
        let Some(ListedCells { names, forgotten }) = self.cells.listed() else { return self.load_view(damage) };
        let mut view = View { forgotten, ..self.read_cells(&names, damage)? };
        self.load_segments(&mut view, damage)?;
        Ok(view)
    }

    pub(in crate::repository) fn load_segments(&self, view: &mut View, damage: Damage) -> Result<()> {
        let mut seen: HashSet<SegmentId> = HashSet::new();
        let committed = view.cells.values().filter(|s| s.cell.references.outcome != Outcome::Aborted);
        let named = committed.flat_map(|stored| stored.cell.references.segments.iter().copied());
        let segments: Vec<SegmentId> = named.filter(|id| seen.insert(*id)).collect();
        let at_once = self.fetch().request_cost().parallel;
        parallel::for_each(
            &segments,
            at_once,
            |id| self.load_segment(id),
            |loaded| match loaded {
                Ok(packs) => {
                    packs.iter().for_each(|pack| view.index.add(pack));
                    Ok(())
                }
                Err(error) if damage == Damage::Collect && error.is_damage() => {
                    view.damaged.push(error);
                    Ok(())
                }
                Err(error) => Err(error),
            },
        )?;
        view.index.finish();
        Ok(())
    }

    /// Loads one segment, checked against its name.
    ///
    /// # Errors
    /// What the store says; damage.
    pub fn load_segment(&self, id: &SegmentId) -> Result<Vec<segment::PackEntry>> {
        let name = self.layout().segment(id);
        let bytes = self.fetch().read(&name, OBJECT_LEN_MAX)?;
        let damaged = |e| RepositoryError::damaged(&name, e);
        if crate::crypto::hash::segment_id(&bytes) != *id {
            return Err(damaged(crate::format::wire::FormatError::WrongId));
        }
        segment::decode(&bytes, &self.place(), &self.keys.index).map_err(damaged)
    }

    /// Refuses to go on where a prune has begun: this version knows no generations, and a writer that ignored them could
    /// rely on what is about to be deleted.
    ///
    /// # Errors
    /// [`RepositoryError::Generations`]; what the store says.
    pub fn expect_no_generations(&self) -> Result<()> {
        if self.fetch().list(&self.layout().generations())?.is_empty() {
            Ok(())
        } else {
            Err(RepositoryError::Generations)
        }
    }
}
