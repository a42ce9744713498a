//! Making a repository and opening one.

use crate::chunker::ChunkerParams;
use crate::clock::{Clock, Timestamp};
use crate::crypto::keyring::{DatasetRoot, MasterKey};
use crate::crypto::random::Randomness;
use crate::crypto::secret::Secret;
use crate::format::config::{CONFIG_LEN_MAX, Config};
use crate::format::key_slot::{SLOT_LEN_MAX, SlotNotes, Unlock, Unlocked};
use crate::format::sealed::OBJECT_LEN_MAX;
use crate::format::wire::FormatError;
use crate::format::{dataset_root, envelope::Place, layout};
use crate::id::{DatasetId, RepositoryId, SlotId};
use crate::object::{Encoded, ObjectName};
use crate::repository::error::{RepositoryError, Result};
use crate::repository::handle::{Access, Repository};
use crate::repository::key_store::{self, NewSlot};
use crate::repository::parallel;
use crate::residency::place::Pin;
use crate::storage::{ErrorKind, Fetch, RequestCost, StorageError};
use std::sync::Arc;

/// What a new repository is to be.
#[derive(Debug)]
pub struct NewRepository {
    /// How files are cut.
    pub chunker: ChunkerParams,
    /// Where its data may be.
    pub pin: Pin,
    /// The slots it starts with, each with who holds the secret; at least one.
    pub slots: Vec<(Unlock, SlotNotes)>,
}

/// A configuration as it lies at a place. Who wrote it only a key can tell, see [`open_identified`]: until then it says where
/// to look for a key, and nothing is built on it.
#[derive(Debug, Clone)]
pub struct Unverified {
    bytes: Vec<u8>,
    config: Config,
    /// A key slot that was read along.
    slot: Option<(SlotId, Vec<u8>)>,
}

impl Unverified {
    fn new(name: &ObjectName, bytes: Vec<u8>, slot: Option<(SlotId, Vec<u8>)>) -> Result<Self> {
        let damaged = |error| RepositoryError::damaged(name, error);
        let config = Config::decode_unverified(&bytes).map_err(damaged)?;
        if layout::config(&config.repository) != *name {
            return Err(damaged(FormatError::WrongId));
        }
        Ok(Self { bytes, config, slot })
    }

    /// What it says.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The repository that it says to be of.
    pub fn repository(&self) -> RepositoryId {
        self.config.repository
    }
}

/// What a host remembers of the repository at a place. It is asked for first, where that saves a request, and nothing is believed
/// for being remembered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Remembered {
    /// Which it was.
    pub repository: Option<RepositoryId>,
    /// Which key slot opened it.
    pub slot: Option<SlotId>,
}

/// The repository at a place, as far as it can be told without a key.
///
/// # Errors
/// [`RepositoryError::NotThere`] when there is none; [`RepositoryError::ManyConfigs`]; what the store says.
pub fn identify(fetch: &dyn Fetch) -> Result<Unverified> {
    let name = only_config(fetch)?;
    let bytes = fetch.read(&name, CONFIG_LEN_MAX)?;
    Unverified::new(&name, bytes, None)
}

/// The name of the one configuration that is there.
fn only_config(fetch: &dyn Fetch) -> Result<ObjectName> {
    let listed = match fetch.list(&layout::configs()) {
        Ok(listed) => listed,
        Err(StorageError { kind: ErrorKind::StoreMissing, .. }) => return Err(RepositoryError::NotThere),
        Err(error) => return Err(error.into()),
    };
    match <[_; 1]>::try_from(listed) {
        Ok([only]) => Ok(only.name),
        Err(listed) if listed.is_empty() => Err(RepositoryError::NotThere),
        Err(listed) => Err(RepositoryError::ManyConfigs(listed.len())),
    }
}

/// As [`identify`], for a host that remembers which repository is there: it is asked for by its name, together with the key slot
/// that opened it. Who knows which one is meant need not be told that there is another; who does not, and whoever finds
/// another instead, lists them.
///
/// # Errors
/// As [`identify`].
pub fn identify_known(fetch: &dyn Fetch, remembered: &Remembered) -> Result<Unverified> {
    let is_dear = fetch.request_cost() != RequestCost::NONE;
    let Some(repository) = remembered.repository.filter(|_| is_dear) else { return identify(fetch) };
    let name = layout::config(&repository);
    let (read, slot) = parallel::both(
        || fetch.read(&name, CONFIG_LEN_MAX),
        || {
            let id = remembered.slot?;
            // Whatever is wrong with it: the slots are listed then, and that is said.
            Some((id, fetch.read(&layout::key_slot(&id), SLOT_LEN_MAX).ok()?))
        },
    )?;
    match read {
        Ok(bytes) => Unverified::new(&name, bytes, slot),
        Err(error) if error.is_not_found() => identify(fetch),
        Err(StorageError { kind: ErrorKind::StoreMissing, .. }) => Err(RepositoryError::NotThere),
        Err(error) => Err(error.into()),
    }
}

/// Makes a repository in an empty place, with a random id.
///
/// # Errors
/// As [`create_with_id`].
pub fn create(
    access: Access,
    new: &NewRepository,
    random: Arc<dyn Randomness>,
    clock: &dyn Clock,
) -> Result<Repository> {
    let id = RepositoryId::from_bytes(random.bytes()?);
    create_with_id(access, id, new, random, clock)
}

/// Makes a repository in an empty place. The caller has chosen its id at random, and has stored its keys under that name
/// before anything that they open exists.
///
/// The configuration is written last: until it is there, nothing is, and a run that was cut short can be repeated.
///
/// # Errors
/// [`RepositoryError::Exists`] when one is there; what the store says.
pub fn create_with_id(
    access: Access,
    id: RepositoryId,
    new: &NewRepository,
    random: Arc<dyn Randomness>,
    clock: &dyn Clock,
) -> Result<Repository> {
    match identify(&*access.fetch) {
        Err(RepositoryError::NotThere) => {}
        Ok(found) => return Err(RepositoryError::Exists(found.repository().to_string())),
        Err(error) => return Err(error),
    }
    let secret = || random.bytes::<32>().map(Secret::new);
    let config = Config {
        repository: id,
        dataset: DatasetId::from_bytes(random.bytes()?),
        epoch: 1,
        created: Timestamp { nanoseconds: 0, ..clock.now() },
        chunker: new.chunker,
        pin: new.pin.clone(),
    };
    let master = MasterKey::new(secret()?);
    let root = DatasetRoot::new(config.dataset, config.epoch, secret()?);
    let wrapped = dataset_root::encode(&config.repository, &root, &master, &*random)
        .map_err(RepositoryError::encode("dataset root"))?;
    let mut repository = Repository::new(access, config, (master, root), None, random);
    let publish = repository.publish()?.clone();
    publish.put_new(&layout::dataset_root(&repository.config.dataset, repository.config.epoch), seal(&wrapped))?;
    for (unlock, notes) in &new.slots {
        let added = key_store::add_slot(&repository, &NewSlot { unlock, notes })?;
        repository.slot.get_or_insert(added);
    }
    let encoded = repository.config.encode(&repository.master);
    publish.put_new(&layout::config(&repository.config.repository), seal(&encoded))?;
    Ok(repository)
}

/// Marks bytes that `format` encoded as fit to leave the host.
fn seal(bytes: &[u8]) -> Encoded<'_> {
    crate::format::sealed::encoded(bytes)
}

/// Opens the repository at a place. With `expected`, any other one is refused.
///
/// # Errors
/// [`RepositoryError::NotThere`], [`RepositoryError::Another`], [`RepositoryError::WrongKey`], damage, what the store says.
pub fn open(
    access: Access,
    unlock: &Unlock,
    expected: Option<&RepositoryId>,
    random: Arc<dyn Randomness>,
) -> Result<Repository> {
    let found = identify(&*access.fetch)?;
    if let Some(expected) = expected.filter(|id| **id != found.repository()) {
        return Err(RepositoryError::Another { expected: expected.to_string(), found: found.repository().to_string() });
    }
    open_identified(access, &found, unlock, random)
}

/// Opens the repository that [`identify`] found at a place. What was found is believed once the key shows who wrote it.
///
/// # Errors
/// As [`open`].
pub fn open_identified(
    access: Access,
    found: &Unverified,
    unlock: &Unlock,
    random: Arc<dyn Randomness>,
) -> Result<Repository> {
    let ahead = found.slot.as_ref().map(|(id, bytes)| (id, bytes.as_slice()));
    let (slot, unlocked) = key_store::find(&*access.fetch, &found.repository(), unlock, ahead)?;
    let Unlocked { master, roots } = unlocked;
    let name = layout::config(&found.repository());
    let config = Config::decode(&found.bytes, &master).map_err(|e| RepositoryError::damaged(&name, e))?;
    let root = load_root(&*access.fetch, &config, &master, roots)?;
    Ok(Repository::new(access, config, (master, root), Some(slot), random))
}

/// The dataset's root: the copy in the slot, or the one in its own object if the slot has none.
fn load_root(fetch: &dyn Fetch, config: &Config, master: &MasterKey, copies: Vec<DatasetRoot>) -> Result<DatasetRoot> {
    let name = layout::dataset_root(&config.dataset, config.epoch);
    let place = Place { repository: config.repository, dataset: config.dataset, epoch: config.epoch };
    if let Some(copy) = copies.into_iter().find(|r| r.dataset == config.dataset && r.epoch == config.epoch) {
        return Ok(copy);
    }
    let bytes = fetch.read(&name, OBJECT_LEN_MAX)?;
    dataset_root::decode(&bytes, &place, master).map_err(|e| RepositoryError::damaged(&name, e))
}

/// Checks that the configuration that an open repository was opened by is the only one.
///
/// # Errors
/// [`RepositoryError::ManyConfigs`], [`RepositoryError::NotThere`], [`RepositoryError::Another`]; what the store says.
pub fn check_config(repository: &Repository) -> Result<()> {
    let (own, found) = (layout::config(&repository.config.repository), only_config(repository.fetch())?);
    if found == own {
        return Ok(());
    }
    Err(RepositoryError::Another { expected: own.last_part().to_owned(), found: found.last_part().to_owned() })
}

/// Reads the dataset root's own object, which [`open`] can do without, and compares it with the root in use.
///
/// # Errors
/// What the store says; damage.
pub fn check_root(repository: &Repository) -> Result<()> {
    let name = layout::dataset_root(&repository.config.dataset, repository.config.epoch);
    let bytes = repository.fetch().read(&name, OBJECT_LEN_MAX)?;
    let root = dataset_root::decode(&bytes, &repository.place(), &repository.master)
        .map_err(|e| RepositoryError::damaged(&name, e))?;
    if root.expose() == repository.root.expose() {
        Ok(())
    } else {
        Err(RepositoryError::damaged(&name, FormatError::WrongId))
    }
}
