//! Making a repository and opening one.

use crate::chunker::ChunkerParams;
use crate::clock::{Clock, Timestamp};
use crate::crypto::keyring::{DatasetRoot, MasterKey};
use crate::crypto::random::Randomness;
use crate::crypto::secret::Secret;
use crate::format::config::{CONFIG_LEN_MAX, Config};
use crate::format::key_slot::{SlotNotes, Unlock, Unlocked};
use crate::format::sealed::OBJECT_LEN_MAX;
use crate::format::wire::FormatError;
use crate::format::{dataset_root, envelope::Place, layout};
use crate::id::{DatasetId, RepositoryId};
use crate::object::Encoded;
use crate::repository::error::{RepositoryError, Result};
use crate::repository::handle::{Access, Repository};
use crate::repository::key_store::{self, NewSlot};
use crate::residency::place::Pin;
use crate::storage::{Fetch, StorageError};
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

/// The repository at a place, as far as it can be told without a key.
///
/// # Errors
/// [`RepositoryError::NotThere`] when there is none; [`RepositoryError::ManyConfigs`]; what the store says.
pub fn identify(fetch: &dyn Fetch) -> Result<Config> {
    let listed = match fetch.list(&layout::configs()) {
        Ok(listed) => listed,
        Err(StorageError { kind: crate::storage::ErrorKind::StoreMissing, .. }) => {
            return Err(RepositoryError::NotThere);
        }
        Err(error) => return Err(error.into()),
    };
    let [only] = listed.as_slice() else {
        return Err(match listed.len() {
            0 => RepositoryError::NotThere,
            count => RepositoryError::ManyConfigs(count),
        });
    };
    let bytes = fetch.read(&only.name, CONFIG_LEN_MAX)?;
    let config = Config::decode_unverified(&bytes).map_err(|e| RepositoryError::damaged(&only.name, e))?;
    if layout::config(&config.repository) != only.name {
        return Err(RepositoryError::damaged(&only.name, FormatError::WrongId));
    }
    Ok(config)
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
        Ok(config) => return Err(RepositoryError::Exists(config.repository.to_string())),
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
    let repository = Repository::new(access, config, master, root, random);
    let publish = repository.publish()?;
    publish.put_new(&layout::dataset_root(&repository.config.dataset, repository.config.epoch), seal(&wrapped))?;
    for (unlock, notes) in &new.slots {
        key_store::add(&repository, &NewSlot { unlock, notes })?;
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
    if let Some(expected) = expected.filter(|id| **id != found.repository) {
        return Err(RepositoryError::Another { expected: expected.to_string(), found: found.repository.to_string() });
    }
    open_identified(access, &found, unlock, random)
}

/// Opens the repository that [`identify`] found at a place.
///
/// # Errors
/// As [`open`].
pub fn open_identified(
    access: Access,
    found: &Config,
    unlock: &Unlock,
    random: Arc<dyn Randomness>,
) -> Result<Repository> {
    let Unlocked { master, roots } = key_store::unlock(&*access.fetch, &found.repository, unlock)?;
    let name = layout::config(&found.repository);
    let bytes = access.fetch.read(&name, CONFIG_LEN_MAX)?;
    let config = Config::decode(&bytes, &master).map_err(|e| RepositoryError::damaged(&name, e))?;
    let root = load_root(&*access.fetch, &config, &master, roots)?;
    Ok(Repository::new(access, config, master, root, random))
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
