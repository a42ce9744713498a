//! A cache on this host of objects whose names are the hashes of their bytes, for stores where a request takes long.
//!
//! It gives content, never existence: listings and sizes always come from the store (rule W5 of the writer's rules in
//! `docs/architecture.md`). What is in it was compared with its name when it came and is compared again in each run, so a
//! damaged or foreign file is fetched anew and never believed. Nothing fails because of the cache: where it cannot be
//! written or read, the store is asked. What a run publishes it keeps as well, since the next one begins with it.
//!
//! Who has to see what the store has now uses a cache of this run alone: empty at its beginning, gone at its end.

use crate::crypto::hash;
use crate::object::ObjectName;
use crate::storage::contract::{Fetch, Listed, RequestCost};
use crate::storage::error::{ErrorKind, Result, StorageError};
use rustix::fs::{FlockOperation, Timespec, Timestamps, UTIME_NOW, flock, futimens};
use std::collections::HashMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Read, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::SystemTime;

/// Longest object that is kept whole, in bytes: the longest pack that the format allows.
const OBJECT_LEN_MAX: u64 = 192 << 20;
/// How deep the directories of a cache go; what is below is not ours.
const DEPTH_MAX: usize = 8;

/// A store read through a cache.
pub struct CachedFetch {
    inner: Arc<dyn Fetch>,
    dir: PathBuf,
    keeps: fn(&ObjectName) -> bool,
    /// Whether each object that was asked for is in the cache and as its name says; decided once a run.
    known: Mutex<HashMap<ObjectName, Arc<OnceLock<bool>>>>,
    temporary: AtomicU64,
    /// Bytes that it may still grow by.
    room: AtomicU64,
    /// Held while the directory is this run's alone; it is removed in the end.
    passing: Option<File>,
}

impl std::fmt::Debug for CachedFetch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CachedFetch").field("inner", &self.inner).field("dir", &self.dir).finish_non_exhaustive()
    }
}

fn make_dir(path: &Path) -> std::io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn is_named_by(name: &ObjectName, bytes: &[u8]) -> bool {
    blake3::Hash::from_bytes(hash::stored(bytes)).to_hex().as_str() == name.last_part()
}

impl CachedFetch {
    /// Reads `inner` through a cache in `dir`, which is made when the first object comes. `keeps` says which objects are
    /// kept; the last part of their names has to be the hash of their bytes.
    pub fn new(inner: Arc<dyn Fetch>, dir: PathBuf, keeps: fn(&ObjectName) -> bool) -> Self {
        let (temporary, room) = (AtomicU64::new(0), AtomicU64::new(u64::MAX));
        Self { inner, dir, keeps, known: Mutex::default(), temporary, room, passing: None }
    }

    /// Reads `inner` through a cache of this run alone, in a directory below `parent` that is removed with it. It grows to
    /// `bytes_max` bytes at most. What killed runs have left there of theirs is removed as well.
    ///
    /// # Errors
    /// When the directory cannot be made.
    pub fn of_this_run(
        inner: Arc<dyn Fetch>,
        parent: &Path,
        keeps: fn(&ObjectName) -> bool,
        bytes_max: u64,
    ) -> std::io::Result<Self> {
        make_dir(parent)?;
        remove_dead(parent);
        let dir = parent.join(format!("{PASSING}{}", std::process::id()));
        DirBuilder::new().mode(0o700).create(&dir)?;
        let lock = File::open(&dir)?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
        let mut cached = Self::new(inner, dir, keeps);
        (cached.room, cached.passing) = (AtomicU64::new(bytes_max), Some(lock));
        Ok(cached)
    }

    fn path(&self, name: &ObjectName) -> PathBuf {
        self.dir.join(name.as_str())
    }

    /// The cached file, fetched if need be; `None` when the store has to be asked.
    fn open(&self, name: &ObjectName) -> Option<File> {
        if !(self.keeps)(name) {
            return None;
        }
        // Whoever comes first looks or fetches; others that want the same object wait for it.
        let is_here = *self.known(name).get_or_init(|| self.is_cached(name) || self.fill(name).is_ok());
        if is_here { File::open(self.path(name)).ok() } else { None }
    }

    fn known(&self, name: &ObjectName) -> Arc<OnceLock<bool>> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(known.entry(name.clone()).or_default())
    }

    fn is_cached(&self, name: &ObjectName) -> bool {
        let read = || -> std::io::Result<Vec<u8>> {
            let file = File::open(self.path(name))?;
            let mut bytes = Vec::new();
            (&file).take(OBJECT_LEN_MAX + 1).read_to_end(&mut bytes)?;
            // What was used last is removed last.
            let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
            let _ = futimens(&file, &Timestamps { last_access: now, last_modification: now });
            Ok(bytes)
        };
        read().is_ok_and(|bytes| is_named_by(name, &bytes))
    }

    fn fill(&self, name: &ObjectName) -> std::result::Result<(), ()> {
        let bytes = self.inner.read(name, OBJECT_LEN_MAX).map_err(drop)?;
        if !is_named_by(name, &bytes) {
            return Err(());
        }
        self.keep(name, &bytes).map_err(drop)
    }

    fn keep(&self, name: &ObjectName, bytes: &[u8]) -> std::io::Result<()> {
        let len = bytes.len() as u64;
        let take = |room: u64| room.checked_sub(len);
        if self.room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_err() {
            return Err(std::io::ErrorKind::StorageFull.into());
        }
        make_dir(&self.dir)?;
        let path = self.path(name);
        path.parent().map_or(Ok(()), make_dir)?;
        let number = self.temporary.fetch_add(1, Ordering::Relaxed);
        let temporary = self.dir.join(format!(".{}-{number}", std::process::id()));
        let _ = std::fs::remove_file(&temporary);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        let written = file.write_all(bytes).and_then(|()| std::fs::rename(&temporary, &path));
        if written.is_err() {
            let _ = std::fs::remove_file(&temporary);
        }
        written
    }
}

impl Drop for CachedFetch {
    fn drop(&mut self) {
        if self.passing.is_some() {
            // It was made for this run; what cannot be removed now, a later one removes.
            let _ = std::fs::remove_dir_all(&self.dir);
        }
    }
}

/// What the names of directories begin with that are of one run alone.
const PASSING: &str = "run-";

/// Removes the directories of runs that are dead: they can be locked.
fn remove_dead(parent: &Path) {
    let Ok(entries) = std::fs::read_dir(parent) else { return };
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        let number = path.file_name().and_then(|name| name.to_str()?.strip_prefix(PASSING));
        if number.is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
            && let Ok(dir) = File::open(&path)
            && flock(&dir, FlockOperation::NonBlockingLockExclusive).is_ok()
        {
            let _ = std::fs::remove_dir_all(&path);
        }
    }
}

impl Fetch for CachedFetch {
    fn read(&self, name: &ObjectName, len_max: u64) -> Result<Vec<u8>> {
        let Some(file) = self.open(name) else { return self.inner.read(name, len_max) };
        let mut bytes = Vec::new();
        match file.take(len_max.saturating_add(1)).read_to_end(&mut bytes) {
            Ok(_) if bytes.len() as u64 > len_max => {
                let detail = format!("more than the {len_max} bytes that are expected");
                Err(StorageError::new("read", name, ErrorKind::TooLarge, detail))
            }
            Ok(_) => Ok(bytes),
            Err(_) => self.inner.read(name, len_max),
        }
    }

    fn read_range(&self, name: &ObjectName, offset: u64, buf: &mut [u8]) -> Result<()> {
        match self.open(name) {
            Some(file) if file.read_exact_at(buf, offset).is_ok() => Ok(()),
            _ => self.inner.read_range(name, offset, buf),
        }
    }

    fn size(&self, name: &ObjectName) -> Result<u64> {
        self.inner.size(name)
    }

    fn list(&self, prefix: &ObjectName) -> Result<Vec<Listed>> {
        self.inner.list(prefix)
    }

    fn list_each(&self, prefixes: &[ObjectName]) -> Result<Vec<Vec<Listed>>> {
        self.inner.list_each(prefixes)
    }

    fn stream(&self, name: &ObjectName, offset: u64, len: u64) -> Option<Box<dyn Read + Send>> {
        if self.open(name).is_some() { None } else { self.inner.stream(name, offset, len) }
    }

    fn offer(&self, name: &ObjectName, bytes: &[u8]) {
        if (self.keeps)(name) && is_named_by(name, bytes) {
            self.known(name).get_or_init(|| self.keep(name, bytes).is_ok());
        }
    }

    fn request_cost(&self) -> RequestCost {
        self.inner.request_cost()
    }
}

/// Whether a file can be one of a cache: named by a hash, or being written. Anything else in the directory is somebody's.
fn is_ours(name: &std::ffi::OsStr) -> bool {
    let Some(name) = name.to_str() else { return false };
    let is_hash = name.len() == 64 && name.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let temporary = name.strip_prefix('.').and_then(|rest| rest.split_once('-'));
    is_hash || temporary.is_some_and(|(process, number)| is_number(process) && is_number(number))
}

/// Removes from a cache what was not used for longest until at most `bytes_max` bytes are left. Returns how many bytes
/// were removed. Only files with the names of a cache are counted and removed, whatever directory was given. What is under way in another process is fetched again if it is missed.
///
/// # Errors
/// When the directory cannot be read.
pub fn trim(dir: &Path, bytes_max: u64) -> std::io::Result<u64> {
    let mut files = Vec::new();
    let mut pending = vec![(dir.to_owned(), 0)];
    while let Some((dir, depth)) = pending.pop() {
        let entries = match std::fs::read_dir(&dir) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            // Of the entry itself: nothing is followed out of the cache.
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_dir() && depth < DEPTH_MAX {
                pending.push((entry.path(), depth + 1));
            } else if metadata.is_file() && is_ours(&entry.file_name()) {
                let used = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                files.push((used, metadata.len(), entry.path()));
            }
        }
    }
    files.sort();
    let mut total: u64 = files.iter().map(|(_, len, _)| len).sum();
    let mut removed = 0;
    for (_, len, path) in files {
        if total <= bytes_max {
            break;
        }
        if std::fs::remove_file(path).is_ok() {
            removed += len;
        }
        total -= len;
    }
    Ok(removed)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::storage::memory::{Contents, MemoryStorage};

    fn named(bytes: &[u8]) -> ObjectName {
        ObjectName::new(format!("d/meta/{}", blake3::Hash::from_bytes(hash::stored(bytes)).to_hex())).unwrap()
    }

    fn keeps(name: &ObjectName) -> bool {
        name.as_str().contains("/meta/")
    }

    fn read(store: &dyn Fetch, name: &ObjectName) -> Result<Vec<u8>> {
        let mut part = [0; 3];
        store.read_range(name, 1, &mut part)?;
        let all = store.read(name, 100)?;
        assert_eq!(part, all[1..4]);
        Ok(all)
    }

    #[test]
    fn content_comes_from_the_cache_and_existence_from_the_store() {
        let dir = tempfile::tempdir().unwrap();
        let other = ObjectName::new("d/packs/plain").unwrap();
        let name = named(b"content");
        let objects: Contents =
            [(name.clone(), b"content".to_vec()), (other.clone(), b"other".to_vec())].into_iter().collect();
        let memory = MemoryStorage::from_map(objects);
        let open = || CachedFetch::new(Arc::new(memory.clone()), dir.path().join("cache"), keeps);
        let first = open();
        assert_eq!(read(&first, &name).unwrap(), b"content");
        assert_eq!(read(&first, &other).unwrap(), b"other");
        memory.replace(Contents::new());
        for cached in [first, open()] {
            assert_eq!(read(&cached, &name).unwrap(), b"content");
            assert_eq!(cached.read(&name, 3).unwrap_err().kind, ErrorKind::TooLarge);
            assert!(cached.size(&name).unwrap_err().is_not_found());
            assert!(cached.read(&other, 100).unwrap_err().is_not_found(), "it was not to be kept");
            assert_eq!(cached.list(&ObjectName::new("d").unwrap()).unwrap(), []);
        }
    }

    #[test]
    fn a_file_that_is_not_what_its_name_says_is_never_believed() {
        let dir = tempfile::tempdir().unwrap();
        let (name, damaged) = (named(b"content"), named(b"damaged in the store"));
        let objects: Contents =
            [(name.clone(), b"content".to_vec()), (damaged.clone(), b"something else".to_vec())].into_iter().collect();
        let memory = MemoryStorage::from_map(objects);
        let open = || CachedFetch::new(Arc::new(memory.clone()), dir.path().into(), keeps);
        assert_eq!(read(&open(), &name).unwrap(), b"content");
        std::fs::write(dir.path().join(name.as_str()), b"foreign").unwrap();
        assert_eq!(read(&open(), &name).unwrap(), b"content");
        // What the store itself has wrong is passed on, for its reader to say so, and not kept.
        assert_eq!(read(&open(), &damaged).unwrap(), b"something else");
        assert!(!dir.path().join(damaged.as_str()).exists());
    }

    #[test]
    fn what_was_offered_is_not_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let (name, other) = (named(b"content"), named(b"other"));
        let memory = MemoryStorage::new();
        let open = || CachedFetch::new(Arc::new(memory.clone()), dir.path().into(), keeps);
        let first = open();
        first.offer(&name, b"content");
        first.offer(&other, b"not what its name says");
        let packed = ObjectName::new("d/packs/plain").unwrap();
        first.offer(&packed, b"plain");
        for cached in [first, open()] {
            assert_eq!(read(&cached, &name).unwrap(), b"content");
            assert!(cached.size(&name).unwrap_err().is_not_found(), "whether it is there, the store says");
            assert!(cached.read(&other, 100).unwrap_err().is_not_found());
            assert!(cached.read(&packed, 100).unwrap_err().is_not_found());
        }
    }

    #[test]
    fn a_cache_of_one_run_begins_empty_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (name, second) = (named(b"content"), named(b"second"));
        let objects: Contents =
            [(name.clone(), b"content".to_vec()), (second.clone(), b"second".to_vec())].into_iter().collect();
        let memory = MemoryStorage::from_map(objects);
        // Of a run that was killed, and of nobody that we know.
        for left in ["run-1", "run-x", "run-"] {
            std::fs::create_dir(dir.path().join(left)).unwrap();
            std::fs::write(dir.path().join(left).join("file"), "x").unwrap();
        }
        let cached = CachedFetch::of_this_run(Arc::new(memory.clone()), dir.path(), keeps, 10).unwrap();
        assert_eq!(
            (read(&cached, &name).unwrap(), read(&cached, &second).unwrap()),
            (b"content".into(), b"second".into())
        );
        memory.replace(Contents::new());
        assert_eq!(read(&cached, &name).unwrap(), b"content");
        assert!(read(&cached, &second).unwrap_err().is_not_found(), "there was no room for it");
        assert!(
            CachedFetch::of_this_run(Arc::new(memory.clone()), dir.path(), keeps, 10).is_err(),
            "this run has one, which is alive"
        );
        assert_eq!(read(&cached, &name).unwrap(), b"content");
        drop(cached);
        let mut left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["run-", "run-x"]);
    }

    #[test]
    fn a_cache_that_cannot_be_written_is_no_failure() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, b"no directory").unwrap();
        let name = named(b"content");
        let memory = MemoryStorage::from_map([(name.clone(), b"content".to_vec())].into_iter().collect());
        let cached = CachedFetch::new(Arc::new(memory), file.join("cache"), keeps);
        assert_eq!(read(&cached, &name).unwrap(), b"content");
    }

    #[test]
    fn what_was_not_used_for_longest_goes_first() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(trim(&dir.path().join("missing"), 0).unwrap(), 0);
        std::fs::create_dir(dir.path().join("sub")).unwrap();
        let name = |digit: &str| digit.repeat(64);
        let (a, b, c) = (name("a"), format!("sub/{}", name("b")), name("c"));
        let foreign = ["letter.txt", ".bashrc", "sub/.1-x"];
        for path in foreign {
            File::create(dir.path().join(path)).unwrap().set_len(1 << 20).unwrap();
        }
        for (age, path) in [(30, a.as_str()), (20, &b), (10, &c), (5, ".17-3")] {
            let file = File::create(dir.path().join(path)).unwrap();
            file.set_len(100).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1000 - age)).unwrap();
        }
        assert_eq!(trim(dir.path(), 400).unwrap(), 0);
        assert_eq!(trim(dir.path(), 250).unwrap(), 200);
        assert!(!dir.path().join(a).exists() && dir.path().join(c).exists());
        assert_eq!(trim(dir.path(), 0).unwrap(), 200);
        assert!(foreign.iter().all(|path| dir.path().join(path).exists()), "what is not ours stays");
    }
}
