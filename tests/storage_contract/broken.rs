//! The suite can turn red: a store with one planted bug fails the test of the number it breaks.

use crate::suite::{self, All, Subject, Test};
use cairn::object::{Encoded, ObjectName};
use cairn::storage::error::Result;
use cairn::storage::memory::Contents;
use cairn::storage::{
    ErrorKind, Fetch, Listed, MemoryStorage, Publish, Published, Remove, Stage, Staged, StorageError,
};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bug {
    /// None: the wrapper itself passes.
    None,
    /// Visible as soon as it is finished, and published even if dropped.
    PublishesWhenFinished,
    /// The first half is seen before the whole.
    SeenInPart,
    /// The length the caller believes in is not compared.
    TrustsLength,
    /// What is published is gone when the store is opened again.
    Forgets,
    /// A call returns before its objects are published; the next call does it.
    PublishesLater,
    /// An existing object is overwritten.
    Overwrites,
    /// Looks whether the name is free, then writes: two may find it free.
    LooksThenWrites,
    /// Whether it created the object is made up.
    AlwaysCreated,
    /// Every request for an object that was removed still finds it.
    KeepsRemoved,
    /// Listings end after 1000 objects, as a page of S3 does.
    OnePage,
    /// `d/ab` also lists `d/abc`.
    TextPrefix,
    /// Of folders that are listed together, what is on one page of all that lies between them.
    OnePageTogether,
    /// In the order of some hash.
    Unsorted,
    /// Absence is just another error.
    Unclassified,
    /// Reads whatever the length.
    NoLimit,
    /// A range past the end is filled up with zeros.
    FillsUp,
    /// Leaves a file behind with each dropped object.
    Leaks,
}

#[derive(Debug, Clone)]
struct Broken {
    bug: Bug,
    inner: MemoryStorage,
    leaked: Arc<AtomicUsize>,
    removed: Arc<Mutex<MemoryStorage>>,
    late: Arc<Mutex<Vec<Staged>>>,
}

struct BrokenStage {
    store: Broken,
    bytes: Vec<u8>,
    finished: bool,
}

impl Drop for BrokenStage {
    fn drop(&mut self) {
        if self.store.bug == Bug::Leaks && !self.finished {
            self.store.leaked.fetch_add(1, Ordering::SeqCst);
        }
    }
}

impl Stage for BrokenStage {
    fn append(&mut self, bytes: Encoded<'_>) -> Result<()> {
        self.bytes.extend_from_slice(bytes.as_bytes());
        Ok(())
    }

    fn finish(mut self: Box<Self>, name: ObjectName, len: u64) -> Result<Staged> {
        self.finished = true;
        let len = if self.store.bug == Bug::TrustsLength { self.bytes.len() as u64 } else { len };
        let mut stage = self.store.inner.stage()?;
        stage.append(Encoded::new(&self.bytes))?;
        let staged = stage.finish(name.clone(), len)?;
        if self.store.bug == Bug::PublishesWhenFinished {
            self.store.inner.put_new(&name, Encoded::new(&self.bytes))?;
        }
        Ok(staged)
    }
}

impl Publish for Broken {
    fn stage(&self) -> Result<Box<dyn Stage>> {
        Ok(Box::new(BrokenStage { store: self.clone(), bytes: Vec::new(), finished: false }))
    }

    fn publish_batch(&self, staged: Vec<Staged>) -> Result<Vec<Published>> {
        match self.bug {
            Bug::PublishesLater => {
                let count = staged.len();
                let earlier = std::mem::replace(&mut *self.late.lock().unwrap(), staged);
                self.inner.publish_batch(earlier)?;
                Ok(vec![Published::Created; count])
            }
            Bug::SeenInPart => {
                let mut published = Vec::new();
                for one in staged {
                    let name = one.name().clone();
                    let half = Contents::from([(name.clone(), vec![7; usize::try_from(one.len() / 2).unwrap()])]);
                    let before = self.inner.snapshot();
                    if !before.contains_key(&name) {
                        self.inner.replace(before.into_iter().chain(half).collect());
                        std::thread::sleep(std::time::Duration::from_millis(1));
                        self.inner.remove(&name)?;
                    }
                    published.extend(self.inner.publish_batch(vec![one])?);
                }
                Ok(published)
            }
            Bug::Overwrites => {
                let mut published = Vec::new();
                for one in staged {
                    let name = one.name().clone();
                    let was_there = self.inner.size(&name).is_ok();
                    self.inner.remove(&name)?;
                    self.inner.publish_batch(vec![one])?;
                    published.push(if was_there { Published::Existed } else { Published::Created });
                }
                Ok(published)
            }
            Bug::LooksThenWrites => {
                let mut published = Vec::new();
                for one in staged {
                    let was_there = self.inner.size(one.name()).is_ok();
                    std::thread::sleep(std::time::Duration::from_micros(200));
                    self.inner.publish_batch(vec![one])?;
                    published.push(if was_there { Published::Existed } else { Published::Created });
                }
                Ok(published)
            }
            Bug::AlwaysCreated => Ok(vec![Published::Created; self.inner.publish_batch(staged)?.len()]),
            _ => self.inner.publish_batch(staged),
        }
    }
}

impl Broken {
    fn error(&self, error: StorageError) -> StorageError {
        if self.bug == Bug::Unclassified { StorageError { kind: ErrorKind::Other, ..error } } else { error }
    }
}

impl Fetch for Broken {
    fn read(&self, name: &ObjectName, len_max: u64) -> Result<Vec<u8>> {
        let len_max = if self.bug == Bug::NoLimit { u64::MAX } else { len_max };
        let kept = |error| self.removed.lock().unwrap().read(name, len_max).map_err(|_| self.error(error));
        self.inner.read(name, len_max).or_else(kept)
    }

    fn read_range(&self, name: &ObjectName, offset: u64, buf: &mut [u8]) -> Result<()> {
        match self.inner.read_range(name, offset, buf) {
            Err(error) if self.bug == Bug::FillsUp && error.kind == ErrorKind::Truncated => {
                buf.fill(0);
                Ok(())
            }
            result => result.map_err(|error| self.error(error)),
        }
    }

    fn size(&self, name: &ObjectName) -> Result<u64> {
        self.inner.size(name).map_err(|error| self.error(error))
    }

    fn list(&self, prefix: &ObjectName) -> Result<Vec<Listed>> {
        let mut found = self.inner.list(prefix)?;
        match self.bug {
            Bug::OnePage => found.truncate(1000),
            Bug::Unsorted => found.reverse(),
            Bug::TextPrefix => {
                let all = self.inner.snapshot();
                let has_prefix = all.into_iter().filter(|(name, _)| name.as_str().starts_with(prefix.as_str()));
                found = has_prefix.map(|(name, bytes)| Listed { name, size: bytes.len() as u64 }).collect();
            }
            _ => {}
        }
        Ok(found)
    }

    fn list_each(&self, prefixes: &[ObjectName]) -> Result<Vec<Vec<Listed>>> {
        let mut listed = prefixes.iter().map(|prefix| self.list(prefix)).collect::<Result<Vec<_>>>()?;
        if self.bug == Bug::OnePageTogether {
            let first = prefixes.iter().min();
            let all: Vec<_> = self.inner.snapshot().into_keys().filter(|name| Some(name) > first).collect();
            let page: std::collections::BTreeSet<_> = all.into_iter().take(1000).collect();
            listed.iter_mut().for_each(|folder| folder.retain(|one| page.contains(&one.name)));
        }
        Ok(listed)
    }
}

impl Remove for Broken {
    fn remove(&self, name: &ObjectName) -> Result<()> {
        if self.bug == Bug::KeepsRemoved
            && let Ok(bytes) = self.inner.read(name, u64::MAX)
        {
            self.removed.lock().unwrap().put_new(name, Encoded::new(&bytes))?;
        }
        self.inner.remove(name)
    }
}

impl Subject for Broken {
    fn store(&self) -> &dyn All {
        self
    }

    fn reopened(&self) -> Box<dyn All> {
        let inner = if self.bug == Bug::Forgets { MemoryStorage::new() } else { self.inner.clone() };
        Box::new(Self { inner, ..self.clone() })
    }

    fn leftovers(&self) -> usize {
        self.leaked.load(Ordering::SeqCst)
    }
}

/// Whether a store with this bug fails this test.
fn fails(bug: Bug, test: Test) -> bool {
    let make = || -> Box<dyn Subject> {
        Box::new(Broken {
            bug,
            inner: MemoryStorage::new(),
            leaked: Arc::default(),
            removed: Arc::default(),
            late: Arc::default(),
        })
    };
    std::panic::catch_unwind(|| test.1(&make)).is_err()
}

#[test]
fn every_planted_bug_turns_its_test_red() {
    for test in suite::TESTS {
        assert!(!fails(Bug::None, test), "the wrapper fails {} without a bug", test.0);
    }
    let planted = [
        (Bug::PublishesWhenFinished, "s1_atomic"),
        (Bug::PublishesWhenFinished, "s8_no_leftovers"),
        (Bug::SeenInPart, "s1_atomic"),
        (Bug::TrustsLength, "s1_atomic"),
        (Bug::Forgets, "s2_durable"),
        (Bug::PublishesLater, "s2_durable"),
        (Bug::Overwrites, "s3_create_only"),
        (Bug::LooksThenWrites, "s3_one_of_many_creates"),
        (Bug::AlwaysCreated, "s3_create_only"),
        (Bug::Overwrites, "s3_fresh_names"),
        (Bug::KeepsRemoved, "s4_read_after_write"),
        (Bug::OnePage, "s5_complete_listing"),
        (Bug::TextPrefix, "s5_complete_listing"),
        (Bug::OnePageTogether, "s5_listing_together"),
        (Bug::Unsorted, "s5_listing_while_written"),
        (Bug::Unclassified, "s6_classified_errors"),
        (Bug::NoLimit, "s6_classified_errors"),
        (Bug::FillsUp, "s7_exact_ranges"),
        (Bug::Leaks, "s8_no_leftovers"),
    ];
    for (bug, name) in planted {
        let test = suite::TESTS.into_iter().find(|test| test.0 == name).unwrap();
        assert!(fails(bug, test), "{bug:?} is not found by {name}");
    }
    let found: std::collections::BTreeSet<&str> = planted.iter().map(|(_, test)| *test).collect();
    assert_eq!(found.len(), suite::TESTS.len(), "a test of the suite that no bug is planted for");
}
