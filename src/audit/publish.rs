//! A log and its repository: is what lies there what this host wrote, and what is missing there.

use crate::audit::error::{AuditError, Result};
use crate::audit::log::Log;
use crate::audit::object::{self, LOG_OBJECT_LEN_MAX, LogPart, OBJECT_LEAVES_MAX};
use crate::id::LogId;
use crate::object::{Encoded, ObjectName};
use crate::storage::{Fetch, Publish};
use std::sync::Arc;

/// A repository's store, as far as the log needs it.
#[derive(Debug, Clone)]
pub struct Store {
    /// Reading.
    pub fetch: Arc<dyn Fetch>,
    /// Creating.
    pub publish: Arc<dyn Publish>,
}

/// How a log stands to what is in the repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// This many of its leaves are there.
    Same(u64),
    /// More is there than this host knows, or something else: the host was rolled back or cloned.
    Apart {
        /// Size of what is there.
        size: u64,
        /// Its root, if it could be read.
        root: Option<[u8; 32]>,
    },
}

/// The size of the newest checkpoint of a log in the store.
///
/// # Errors
/// What the store says.
pub fn newest(fetch: &dyn Fetch, log: &LogId) -> Result<Option<u64>> {
    let listed = fetch.list(&object::log(log))?;
    Ok(listed.iter().filter_map(|object| object::log_parts(&object.name)?.1).max())
}

/// Reads one part of a log. Whether its checkpoint is signed is for the caller to check.
///
/// # Errors
/// [`AuditError::Object`]; what the store says.
pub fn read_part(fetch: &dyn Fetch, name: &ObjectName) -> Result<LogPart> {
    let bytes = fetch.read(name, LOG_OBJECT_LEN_MAX)?;
    LogPart::parse(&bytes).map_err(|source| AuditError::Object { object: name.to_string(), source })
}

/// Compares a log with what the repository has of it, the newest of which has `newest` leaves and was asked for before. `known`
/// is the size that this host itself stored last.
///
/// # Errors
/// What the store says. Damage there is no error: it is [`Standing::Apart`].
pub fn standing(fetch: &dyn Fetch, log: &mut Log, newest: Option<u64>, known: Option<u64>) -> Result<Standing> {
    let Some(size) = newest else { return Ok(Standing::Same(0)) };
    // Another run of this host may have appended and stored since the log was read; what it stored, it appended first. So what
    // was listed at any time before now is in the file now.
    log.catch_up()?;
    if known == Some(size) && size <= log.size() {
        return Ok(Standing::Same(size));
    }
    let part = match read_part(fetch, &object::log_part(&log.id(), size)) {
        Ok(part) => part,
        Err(AuditError::Object { .. }) => return Ok(Standing::Apart { size, root: None }),
        Err(error) => return Err(error),
    };
    let root = part.checkpoint.root;
    let is_ours = part.note.verify(&log.endorsement().log).is_ok() && part.checkpoint.size == size;
    if is_ours && size <= log.size() && log.root_at(size) == root {
        Ok(Standing::Same(size))
    } else {
        Ok(Standing::Apart { size, root: is_ours.then_some(root) })
    }
}

/// Stores what the repository lacks of a log: its key, then leaves from `from` on, each part with its checkpoint. Returns
/// the size that is there then.
///
/// # Errors
/// What the store says; [`AuditError::Io`].
pub fn publish(store: &Store, log: &Log, from: u64) -> Result<u64> {
    if from == 0 {
        let endorsement = log.endorsement().note.to_string();
        store.publish.put_new(&object::log_key(&log.id()), Encoded::new(endorsement.as_bytes()))?;
    }
    let (mut from, size) = (from, log.size());
    while from < size {
        let to = size.min(from + OBJECT_LEAVES_MAX as u64);
        let bytes = LogPart::encode(&log.leaves(from..to)?, &log.checkpoint(to)?);
        // Another run of this host may have stored one of this size, which says the same of all leaves before it.
        store.publish.put_new(&object::log_part(&log.id(), to), Encoded::new(&bytes))?;
        from = to;
    }
    Ok(size)
}

/// Stores an object of the log as it is: a sealed part of a run's records of files, a receipt, what is delivered elsewhere.
///
/// # Errors
/// What the store says.
pub fn publish_object(publish: &dyn Publish, name: &ObjectName, bytes: &[u8]) -> Result<()> {
    publish.put_new(name, Encoded::new(bytes))?;
    Ok(())
}

/// As [`publish_object`], of a run whose id is in the name and was drawn for that run: nobody else has taken it.
///
/// # Errors
/// What the store says.
pub fn publish_fresh(publish: &dyn Publish, name: &ObjectName, bytes: &[u8]) -> Result<()> {
    publish.put_fresh(name, Encoded::new(bytes))?;
    Ok(())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::crypto::random::SeededRandom;
    use crate::crypto::sign::Identity;
    use crate::id::RepositoryId;
    use crate::storage::MemoryStorage;

    #[test]
    fn another_run_of_this_host_is_no_other_host() {
        let (storage, dir, random) =
            (Arc::new(MemoryStorage::new()), tempfile::tempdir().unwrap(), SeededRandom::new(1));
        let store = Store { fetch: storage.clone(), publish: storage };
        let identity = Identity::generate(&random).unwrap();
        let first = [b"{}".to_vec()];
        let repository = RepositoryId::from_bytes([1; 16]);
        let mut log = Log::create(Some(dir.path()), &repository, &identity, &random, &first).unwrap();
        // It was opened before the other run appended and stored.
        let mut opened = Log::open(dir.path()).unwrap().unwrap();
        log.append(&[b"{\"n\":1}".to_vec()]).unwrap();
        assert_eq!(publish(&store, &log, 0).unwrap(), 2);
        assert_eq!(opened.size(), 1);
        let newest = newest(&*store.fetch, &log.id()).unwrap();
        assert_eq!(newest, Some(2));
        assert_eq!(standing(&*store.fetch, &mut opened, newest, None).unwrap(), Standing::Same(2));
        // What was listed earlier is as good.
        let mut opened = Log::open(dir.path()).unwrap().unwrap();
        assert_eq!(standing(&*store.fetch, &mut opened, None, None).unwrap(), Standing::Same(0));
        // A clone has the same key and not those leaves.
        let clone = tempfile::tempdir().unwrap();
        let folder = clone.path().join(log.id().to_string());
        std::fs::create_dir(&folder).unwrap();
        for name in ["key", "endorsement"] {
            std::fs::copy(dir.path().join(log.id().to_string()).join(name), folder.join(name)).unwrap();
        }
        std::fs::copy(dir.path().join("current"), clone.path().join("current")).unwrap();
        std::fs::write(folder.join("log.jsonl"), "{}\n{\"n\":2}\n").unwrap();
        let mut cloned = Log::open(clone.path()).unwrap().unwrap();
        let apart = Standing::Apart { size: 2, root: Some(log.root()) };
        assert_eq!(standing(&*store.fetch, &mut cloned, newest, None).unwrap(), apart);
    }
}
