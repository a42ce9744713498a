//! A writer's session from beginning to commit, by the writer's and adopter's rules (`docs/architecture.md`, "Concurrency").
//!
//! * The session object is on the store before anything is listed (W1), then generations, then cells and forget records,
//!   then segments. Nothing from before the session is relied on.
//! * Packs of an own session that never committed are adopted: seen in the store, absent from the view (A1, A3). They go
//!   into this session's own segment; the same pack with equal entries in two segments is harmless (A4).
//! * The commit is one conditional create of a name only this session uses. If it exists, equal bytes are our own earlier
//!   success and anything else means that somebody fenced us (W7).

use crate::clock::Clock;
use crate::crypto::sign::Identity;
use crate::format::cell::{self, CellEntries, CellReferences, Outcome};
use crate::format::layout::DatasetLayout;
use crate::format::pack::PackKind;
use crate::format::sealed::{OBJECT_LEN_MAX, encoded};
use crate::format::segment::PackEntry;
use crate::format::session::Session;
use crate::id::{PackId, SegmentId, SessionId, TreeId};
use crate::journal::Anchor;
use crate::repository::cells::StoredCell;
use crate::repository::error::{RepositoryError, Result};
use crate::repository::handle::Repository;
use crate::repository::pack_reader::read_trailer;
use crate::repository::parallel;
use crate::repository::view::{Damage, View};
use crate::storage::{Listed, Published};
use std::collections::HashSet;
use std::sync::Arc;

/// A session that is on the store and has its view.
#[derive(Debug)]
pub struct OpenSession {
    repository: Arc<Repository>,
    identity: Arc<Identity>,
    /// Its id.
    pub id: SessionId,
    /// What was committed when it began.
    pub view: View,
    /// Packs taken over from dead sessions of this host.
    pub adopted: Vec<PackEntry>,
}

/// What a commit says beside the session's own facts.
#[derive(Debug)]
pub struct Commit {
    /// Snapshot or checkpoint.
    pub outcome: Outcome,
    /// Root tree.
    pub tree: TreeId,
    /// The session whose tree was the parent.
    pub parent: Option<SessionId>,
    /// Segments it publishes.
    pub segments: Vec<SegmentId>,
    /// What people ask about it.
    pub entries: CellEntries,
    /// The state of the log that says so.
    pub log: Option<Anchor>,
}

impl OpenSession {
    /// Begins a session. With `dry`, nothing is written and nothing adopted: it can look, and must not commit.
    ///
    /// # Errors
    /// What the store says; damage; [`RepositoryError::Generations`].
    pub fn begin(
        repository: &Arc<Repository>,
        identity: &Arc<Identity>,
        host_name: &[u8],
        clock: &dyn Clock,
        dry: bool,
    ) -> Result<Self> {
        let id = SessionId::from_bytes(repository.random().bytes()?);
        let session = Session { id, host: identity.host_key(), host_name: host_name.to_vec(), started: clock.now() };
        let bytes = session
            .encode(&repository.place(), &repository.keys().index, identity, repository.random())
            .map_err(RepositoryError::encode("session"))?;
        if !dry {
            repository.publish()?.put_fresh(&repository.layout().session(&id), encoded(&bytes))?;
        }
        repository.expect_no_generations()?;
        let layout = repository.layout();
        let [sessions, cells] = if dry {
            [Vec::new(), repository.fetch().list(&layout.cells())?]
        } else {
            repository.fetch().list_together([layout.sessions(), layout.cells()])?
        };
        let mut view = repository.load_listed(cells, Damage::Stop)?;
        repository.load_segments(&mut view, Damage::Stop)?;
        let mut open =
            Self { repository: Arc::clone(repository), identity: Arc::clone(identity), id, view, adopted: Vec::new() };
        open.adopt(&sessions)?;
        Ok(open)
    }

    /// Those of the sessions that are this host's and never came to a cell.
    fn dead_sessions(&self, listed: &[Listed]) -> Result<HashSet<SessionId>> {
        let repository = &self.repository;
        let id_of = |object: &Listed| SessionId::from_hex(object.name.last_part()).ok();
        let is_open =
            |object: &&Listed| id_of(object).is_some_and(|id| id != self.id && !self.view.cells.contains_key(&id));
        let open: Vec<&Listed> = listed.iter().filter(is_open).collect();
        let mut dead = HashSet::new();
        let read = |object: &&Listed| Ok((id_of(object), repository.fetch().read(&object.name, OBJECT_LEN_MAX)?));
        parallel::for_each(&open, repository.fetch().request_cost().parallel, read, |read: Result<_>| {
            let (id, bytes) = read?;
            // A session of another host, or one that cannot be read, is nothing to adopt from; `check` names it.
            match Session::decode(&bytes, &repository.place(), &repository.keys().index) {
                Ok(session) if Some(session.id) == id && session.host == self.identity.host_key() => {
                    dead.insert(session.id);
                }
                _ => {}
            }
            Ok(())
        })?;
        Ok(dead)
    }

    fn adopt(&mut self, sessions: &[Listed]) -> Result<()> {
        let dead = self.dead_sessions(sessions)?;
        if dead.is_empty() {
            return Ok(());
        }
        let live: HashSet<PackId> = self.view.index.packs().iter().map(|p| p.id).collect();
        for kind in [PackKind::Data, PackKind::Meta] {
            for object in self.repository.fetch().list(&self.repository.layout().packs(kind))? {
                let Ok(id) = PackId::from_hex(object.name.last_part()) else { continue };
                if !live.contains(&id)
                    && let Some(entry) = self.adoptable(kind, id, &object, &dead)?
                {
                    self.adopted.push(entry);
                }
            }
        }
        Ok(())
    }

    fn adoptable(
        &self,
        kind: PackKind,
        id: PackId,
        object: &Listed,
        dead: &HashSet<SessionId>,
    ) -> Result<Option<PackEntry>> {
        match read_trailer(&self.repository, kind, &object.name, object.size) {
            Ok((header_len, trailer))
                if dead.contains(&trailer.session) && trailer.host == self.identity.host_key() =>
            {
                Ok(Some(PackEntry { id, kind, size: object.size, header_len, blobs: trailer.blobs }))
            }
            // A damaged orphan is of no use, but no reason to stop either: what was in it is read again.
            Ok(_) => Ok(None),
            Err(error) if error.is_damage() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// This host's newest cell: the one with the highest counter.
    fn last_own_cell(&self) -> Option<&StoredCell> {
        let host = self.identity.host_key();
        self.view
            .cells
            .values()
            .filter(|stored| stored.cell.references.host == host)
            .max_by_key(|stored| stored.cell.references.counter)
    }

    /// Commits, and returns the cell's hash.
    ///
    /// # Errors
    /// [`RepositoryError::Fenced`] when the cell was taken; what the store says.
    pub fn commit(&self, commit: &Commit) -> Result<[u8; 32]> {
        let last = self.last_own_cell();
        let references = CellReferences {
            outcome: commit.outcome,
            session: self.id,
            host: self.identity.host_key(),
            counter: last.map_or(0, |stored| stored.cell.references.counter).saturating_add(1),
            previous: last.map_or([0; 32], |stored| stored.hash),
            parent: commit.parent,
            tree: commit.tree,
            segments: commit.segments.clone(),
            log: commit.log,
        };
        let repository = &self.repository;
        let bytes = cell::encode(
            &references,
            &commit.entries,
            &repository.place(),
            repository.cell_keys(),
            &self.identity,
            repository.random(),
        )
        .map_err(RepositoryError::encode("commit cell"))?;
        let name = DatasetLayout(repository.config().dataset).cell(&self.id);
        match repository.publish()?.put_new(&name, encoded(&bytes))? {
            Published::Created => {}
            Published::Existed if repository.fetch().read(&name, OBJECT_LEN_MAX)? == bytes => {}
            Published::Existed => return Err(RepositoryError::Fenced),
        }
        Ok(crate::crypto::hash::stored(&bytes))
    }
}
