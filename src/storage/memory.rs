//! A store in memory, for tests and examples: the same contract, nothing durable beyond the process.

use crate::object::{Encoded, ObjectName};
use crate::storage::contract::{Fetch, Listed, Publish, Published, Remove, Stage, Staged};
use crate::storage::error::{ErrorKind, Result, StorageError};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The whole contents of a store: name to bytes.
pub type Contents = BTreeMap<ObjectName, Vec<u8>>;

/// A store in memory. Clones are the same store, so a test can "reopen" one.
#[derive(Clone, Default)]
pub struct MemoryStorage {
    objects: Arc<Mutex<Contents>>,
}

impl MemoryStorage {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// A store with these objects. For tests and examples, as it needs no sealed bytes.
    pub fn from_map(objects: Contents) -> Self {
        Self { objects: Arc::new(Mutex::new(objects)) }
    }

    /// A copy of everything in it. For tests and examples.
    pub fn snapshot(&self) -> Contents {
        self.lock().clone()
    }

    /// Puts these objects in the place of everything in it, for all clones. For tests and examples: to damage a store or to
    /// take it back to an earlier state.
    pub fn replace(&self, objects: Contents) {
        *self.lock() = objects;
    }

    /// Every change is one insertion or removal, so the map is whole even if a thread died holding it.
    fn lock(&self) -> MutexGuard<'_, Contents> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for MemoryStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStorage").field("objects", &self.lock().len()).finish()
    }
}

fn absent(operation: &'static str, name: &ObjectName) -> StorageError {
    StorageError::new(operation, name, ErrorKind::NotFound, "no such object")
}

impl Fetch for MemoryStorage {
    fn read(&self, name: &ObjectName, len_max: u64) -> Result<Vec<u8>> {
        let objects = self.lock();
        let bytes = objects.get(name).ok_or_else(|| absent("read", name))?;
        if bytes.len() as u64 > len_max {
            let detail = format!("{} bytes, at most {len_max} are expected", bytes.len());
            return Err(StorageError::new("read", name, ErrorKind::TooLarge, detail));
        }
        Ok(bytes.clone())
    }

    fn read_range(&self, name: &ObjectName, offset: u64, buf: &mut [u8]) -> Result<()> {
        let objects = self.lock();
        let bytes = objects.get(name).ok_or_else(|| absent("read", name))?;
        let range = usize::try_from(offset).ok().and_then(|start| Some(start..start.checked_add(buf.len())?));
        let part = range.and_then(|range| bytes.get(range)).ok_or_else(|| {
            StorageError::new("read", name, ErrorKind::Truncated, format!("it ends at byte {}", bytes.len()))
        })?;
        buf.copy_from_slice(part);
        Ok(())
    }

    fn size(&self, name: &ObjectName) -> Result<u64> {
        self.lock().get(name).map(|bytes| bytes.len() as u64).ok_or_else(|| absent("size", name))
    }

    fn list(&self, prefix: &ObjectName) -> Result<Vec<Listed>> {
        let is_below =
            |name: &ObjectName| name.as_str().strip_prefix(prefix.as_str()).is_some_and(|rest| rest.starts_with('/'));
        let objects = self.lock();
        // All names with the prefix as text are in one run, those of the directory among them.
        let run = objects.range(prefix..).take_while(|(name, _)| name.as_str().starts_with(prefix.as_str()));
        Ok(run
            .filter(|(name, _)| is_below(name))
            .map(|(name, bytes)| Listed { name: name.clone(), size: bytes.len() as u64 })
            .collect())
    }
}

struct MemoryStage(Vec<u8>);

impl Stage for MemoryStage {
    fn append(&mut self, bytes: Encoded<'_>) -> Result<()> {
        self.0.extend_from_slice(bytes.as_bytes());
        Ok(())
    }

    fn finish(self: Box<Self>, name: ObjectName, len: u64) -> Result<Staged> {
        if self.0.len() as u64 != len {
            let detail = format!("{} bytes were appended, {len} were meant to be", self.0.len());
            return Err(StorageError::new("stage", &name, ErrorKind::Truncated, detail));
        }
        Ok(Staged::new(name, len, self.0))
    }
}

impl Publish for MemoryStorage {
    fn stage(&self) -> Result<Box<dyn Stage>> {
        Ok(Box::new(MemoryStage(Vec::new())))
    }

    fn publish_batch(&self, staged: Vec<Staged>) -> Result<Vec<Published>> {
        use std::collections::btree_map::Entry;
        let mut published = Vec::with_capacity(staged.len());
        for item in staged {
            let name = item.name().clone();
            let Ok(bytes) = item.body.downcast::<Vec<u8>>() else {
                return Err(StorageError::new("publish", &name, ErrorKind::Other, "it was staged in another store"));
            };
            // Locked for each: as in any other store, the objects of a batch become visible one after the other.
            published.push(match self.lock().entry(name) {
                Entry::Vacant(place) => {
                    place.insert(*bytes);
                    Published::Created
                }
                Entry::Occupied(_) => Published::Existed,
            });
        }
        Ok(published)
    }
}

impl Remove for MemoryStorage {
    fn remove(&self, name: &ObjectName) -> Result<()> {
        self.lock().remove(name);
        Ok(())
    }
}
