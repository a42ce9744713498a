//! A repository that is open: its store, its configuration and its keys.

use crate::chunker::Chunker;
use crate::crypto::keyring::{DatasetKeys, DatasetRoot, MasterKey};
use crate::crypto::random::Randomness;
use crate::format::cell::CellKeys;
use crate::format::config::Config;
use crate::format::envelope::Place;
use crate::format::key_slot::Slot;
use crate::format::layout::DatasetLayout;
use crate::id::SlotId;
use crate::repository::cells::CellMemory;
use crate::storage::{Fetch, Publish};
use std::sync::Arc;

/// What a repository is reached through. A backup gets no way to remove.
#[derive(Debug, Clone)]
pub struct Access {
    /// Reading.
    pub fetch: Arc<dyn Fetch>,
    /// Creating; `None` for a read-only place.
    pub publish: Option<Arc<dyn Publish>>,
}

/// An open repository.
#[derive(Debug)]
pub struct Repository {
    pub(in crate::repository) access: Access,
    pub(in crate::repository) config: Config,
    pub(in crate::repository) master: MasterKey,
    pub(in crate::repository) root: DatasetRoot,
    pub(in crate::repository) keys: DatasetKeys,
    pub(in crate::repository) random: Arc<dyn Randomness>,
    /// The key slot that opened it, or the first that it was made with.
    pub(in crate::repository) slot: Option<Slot>,
    /// Cells that were read in this run, see `view.rs`.
    pub(in crate::repository) cells: CellMemory,
}

impl Repository {
    pub(in crate::repository) fn new(
        access: Access,
        config: Config,
        (master, root): (MasterKey, DatasetRoot),
        slot: Option<Slot>,
        random: Arc<dyn Randomness>,
    ) -> Self {
        let keys = root.keys();
        Self { access, config, master, root, keys, random, slot, cells: CellMemory::default() }
    }

    /// The same repository with a way to create objects: a network store hands that out only once its place was judged, and
    /// what it is judged by is in the repository.
    #[must_use]
    pub fn with_publish(mut self, publish: Arc<dyn Publish>) -> Self {
        self.access.publish = Some(publish);
        self
    }

    /// Its configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The key slot that opened it, or the first that it was made with.
    pub fn slot(&self) -> Option<SlotId> {
        self.slot.as_ref().map(|slot| slot.id)
    }

    /// Its keys.
    pub fn keys(&self) -> &DatasetKeys {
        &self.keys
    }

    /// Its store, for reading.
    pub fn fetch(&self) -> &dyn Fetch {
        &*self.access.fetch
    }

    /// Its store, for creating.
    ///
    /// # Errors
    /// A storage error of kind `ReadOnly` when it was opened without.
    pub fn publish(&self) -> super::error::Result<&Arc<dyn Publish>> {
        self.access.publish.as_ref().ok_or_else(|| {
            crate::storage::StorageError {
                operation: "write",
                subject: "repository".into(),
                kind: crate::storage::ErrorKind::ReadOnly,
                detail: "it was opened for reading only".into(),
            }
            .into()
        })
    }

    /// Randomness for new objects.
    pub fn random(&self) -> &dyn Randomness {
        &*self.random
    }

    /// Names of its dataset's objects.
    pub fn layout(&self) -> DatasetLayout {
        DatasetLayout(self.config.dataset)
    }

    /// What its dataset's objects are bound to.
    pub fn place(&self) -> Place {
        Place { repository: self.config.repository, dataset: self.config.dataset, epoch: self.config.epoch }
    }

    /// Its chunker.
    pub fn chunker(&self) -> Chunker {
        Chunker::new(self.config.chunker, &self.keys.gear_table())
    }

    pub(in crate::repository) fn cell_keys(&self) -> CellKeys<'_> {
        CellKeys { references: &self.keys.references, entries: &self.keys.entries }
    }
}
