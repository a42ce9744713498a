//! From a location to a store, and the bundle of capabilities that is handed on from there.

use crate::storage::contract::{Fetch, Publish, Remove};
use crate::storage::error::{ErrorKind, Result, StorageError};
use crate::storage::local::LocalStorage;
use crate::storage::location::Location;
use crate::storage::memory::MemoryStorage;
#[cfg(feature = "s3")]
use crate::storage::s3::S3Storage;
use std::sync::Arc;
use std::time::Duration;

/// What its holder may do with one store. Reading always; publishing and removing only if it was not taken away: nothing
/// that is reachable from here leads back to a capability that was.
#[derive(Debug, Clone)]
pub struct Store {
    fetch: Arc<dyn Fetch>,
    publish: Option<Arc<dyn Publish>>,
    remove: Option<Arc<dyn Remove>>,
    /// For housekeeping only, never handed out: it could do everything.
    local: Option<LocalStorage>,
}

impl Store {
    /// A bundle of these capabilities, which have to be of the same store. For wrappers of a store and for tests.
    pub fn new(fetch: Arc<dyn Fetch>, publish: Option<Arc<dyn Publish>>, remove: Option<Arc<dyn Remove>>) -> Self {
        Self { fetch, publish, remove, local: None }
    }

    /// Reading.
    pub fn fetch(&self) -> &Arc<dyn Fetch> {
        &self.fetch
    }

    /// Creating, if allowed.
    pub fn publish(&self) -> Option<&Arc<dyn Publish>> {
        self.publish.as_ref()
    }

    /// Removing, if allowed.
    pub fn remove(&self) -> Option<&Arc<dyn Remove>> {
        self.remove.as_ref()
    }

    /// The same store without removing: what a backup gets.
    #[must_use]
    pub fn without_remove(&self) -> Self {
        Self { remove: None, ..self.clone() }
    }

    /// The same store for reading only: what a restore gets.
    #[must_use]
    pub fn read_only(&self) -> Self {
        Self { publish: None, remove: None, ..self.clone() }
    }

    /// The same store with creating: what a verdict opens.
    #[must_use]
    pub fn with_publish(&self, publish: Arc<dyn Publish>) -> Self {
        Self { publish: Some(publish), ..self.clone() }
    }

    /// The kind of network or FUSE file system a local store is on; `None` for any other store.
    pub fn network_file_system(&self) -> Option<&'static str> {
        self.local.as_ref().and_then(LocalStorage::network_file_system)
    }

    /// Removes what uploads of dead processes have left, see [`LocalStorage::clean_tmp`]. Never an object. Returns how many;
    /// 0 where nothing can be left, and where publishing is not allowed.
    ///
    /// # Errors
    /// As [`LocalStorage::clean_tmp`].
    pub fn clean_tmp(&self, older_than: Duration) -> Result<u64> {
        match (&self.local, &self.publish) {
            (Some(local), Some(_)) => local.clean_tmp(older_than),
            _ => Ok(0),
        }
    }
}

impl From<LocalStorage> for Store {
    fn from(local: LocalStorage) -> Self {
        let all = Arc::new(local.clone());
        Self { local: Some(local), ..Self::new(all.clone(), Some(all.clone()), Some(all)) }
    }
}

impl From<MemoryStorage> for Store {
    fn from(memory: MemoryStorage) -> Self {
        let all = Arc::new(memory);
        Self::new(all.clone(), Some(all.clone()), Some(all))
    }
}

#[cfg(feature = "s3")]
impl From<S3Storage> for Store {
    /// For reading and removing. Creating comes with [`Store::with_publish`], once the bucket was judged.
    fn from(s3: S3Storage) -> Self {
        let both = Arc::new(s3);
        Self::new(both.clone(), None, Some(both))
    }
}

/// An S3 store is opened by way of the residency gate, which needs more than a location.
fn through_the_gate(operation: &'static str, location: &Location) -> StorageError {
    StorageError {
        operation,
        subject: location.to_string(),
        kind: ErrorKind::Refused,
        detail: "an S3 store is opened through its verified endpoint only".to_owned(),
    }
}

/// Opens the store in this directory.
///
/// # Errors
/// As [`LocalStorage::open`]; `Refused` for S3, which [`S3Storage::reach`] opens.
pub fn connect(location: &Location) -> Result<Store> {
    match location {
        Location::Local(path) => Ok(LocalStorage::open(path)?.into()),
        Location::S3 { .. } => Err(through_the_gate("open", location)),
    }
}

/// Makes a store in this directory, or opens the one that is there.
///
/// # Errors
/// As [`LocalStorage::create`]; `Refused` for S3: a bucket is made by its owner.
pub fn create(location: &Location) -> Result<Store> {
    match location {
        Location::Local(path) => Ok(LocalStorage::create(path)?.into()),
        Location::S3 { .. } => Err(through_the_gate("create", location)),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::storage::location::Location;

    #[test]
    fn a_capability_taken_away_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let location = Location::Local(dir.path().join("repository"));
        assert_eq!(connect(&location).unwrap_err().kind, ErrorKind::StoreMissing);
        let all = create(&location).unwrap();
        assert!(all.publish().is_some() && all.remove().is_some());
        let backup = all.without_remove();
        assert!(backup.publish().is_some() && backup.remove().is_none());
        let restore = backup.read_only();
        assert!(restore.publish().is_none() && restore.remove().is_none());
        assert_eq!(restore.clean_tmp(Duration::ZERO).unwrap(), 0);
        assert!(connect(&location).is_ok());
    }

    #[test]
    fn s3_is_not_opened_by_its_location_alone() {
        let location = Location::parse("s3://aws:ca-central-1/backups/web").unwrap();
        for error in [connect(&location).unwrap_err(), create(&location).unwrap_err()] {
            assert_eq!(error.kind, ErrorKind::Refused, "{error}");
        }
    }
}
