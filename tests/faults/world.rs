//! A repository in a real store, the commands on it as the program runs them, and what of it is there afterwards.

use crate::kinds::{Kind, Sort};
use crate::proxy::{Proxy, Sink};
use crate::servers::Garage;
use crate::site::Site;
use crate::support::compare::{describe, differences_of};
use crate::support::fault::{FaultStore, Plan};
use crate::support::{self, tree};
use cairn::engine::backup::BackupReport;
use cairn::engine::restore::RestoreReport;
use cairn::engine::{EngineError, browse, restore};
use cairn::format::layout::is_cacheable;
use cairn::id::{RepositoryId, SlotId};
use cairn::object::{Encoded, ObjectName};
use cairn::repository::open::Remembered;
use cairn::repository::sites::Records;
use cairn::repository::{Access, Repository, RepositoryError, open, sites};
use cairn::residency::Observations;
use cairn::storage::s3::{CreateMode, S3Storage, Timeouts};
use cairn::storage::{CachedFetch, Fetch as _, MemoryStorage, Publish as _, StorageError};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tempfile::TempDir;

/// What a tree is: a line for each entry.
pub(crate) type Description = BTreeMap<PathBuf, String>;

/// Why a command failed: what decides its exit code, and what people are told.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) kind: String,
    pub(crate) text: String,
}

impl From<EngineError> for Failed {
    fn from(error: EngineError) -> Self {
        let kind = match &error {
            EngineError::Repository(RepositoryError::Storage(error)) => format!("storage, {:?}", error.kind),
            EngineError::Repository(error) if error.is_damage() => "damage".to_owned(),
            EngineError::Repository(error) => {
                format!("{error:?}").split([' ', '(']).next().unwrap_or_default().to_owned()
            }
            other => format!("{other:?}"),
        };
        Self { kind, text: support::chain(&error) }
    }
}

impl From<RepositoryError> for Failed {
    fn from(error: RepositoryError) -> Self {
        EngineError::from(error).into()
    }
}

impl From<StorageError> for Failed {
    fn from(error: StorageError) -> Self {
        RepositoryError::from(error).into()
    }
}

/// How a fault meets a command.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Meeting<'a> {
    pub(crate) kind: &'a Kind,
    /// The number of the request, from 0.
    pub(crate) at: usize,
    /// Whether every request after it meets it too.
    pub(crate) stays: bool,
    /// How long a request may take with all its repetitions, where the fault stays.
    pub(crate) patience: Duration,
}

impl Meeting<'_> {
    /// Whether the command cannot succeed.
    pub(crate) fn is_fatal(&self) -> bool {
        self.stays && matches!(self.kind.sort, Sort::Passing | Sort::Silent | Sort::Denied)
    }

    /// Whether requests get `patience` and no more.
    pub(crate) fn is_short(&self) -> bool {
        self.stays && self.kind.sort != Sort::Harmless
    }

    fn timeouts(&self) -> Timeouts {
        let usual = Timeouts::default();
        // Innocent requests may run into a short time-out too, on a machine that is busy. They are repeated.
        let is_silent = matches!(self.kind.sort, Sort::Silent | Sort::Stalling);
        let idle = if is_silent { Duration::from_millis(500) } else { usual.idle };
        let total = if self.is_short() { self.patience } else { usual.total };
        Timeouts { idle, total, ..usual }
    }
}

/// What a command needs to know of the machine it runs on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Machine<'a> {
    /// The part of the bucket.
    pub(crate) prefix: &'a str,
    pub(crate) cache: &'a Path,
    pub(crate) workers: usize,
}

/// A store with a repository of one snapshot, a tree that has changed since, and a second server that nothing may reach.
pub(crate) struct World {
    pub(crate) garage: Garage,
    pub(crate) sink: Sink,
    pub(crate) source: TempDir,
    /// The objects of the repository.
    base: BTreeMap<ObjectName, Vec<u8>>,
    /// Each snapshot and what it holds.
    pub(crate) snapshots: Vec<(String, Description)>,
    /// What a machine knows of the repository that has opened it before.
    remembered: Remembered,
    /// What a further backup holds.
    pub(crate) now: Description,
    /// Commands that were run so far, and a hundred.
    runs: AtomicU64,
}

fn whole(storage: &MemoryStorage) -> Access {
    FaultStore::new(storage.clone(), Plan::None).access()
}

impl World {
    /// The tree is the same every time, so that requests are too.
    pub(crate) fn new() -> Self {
        let (source, storage) = (tempfile::tempdir().unwrap(), MemoryStorage::new());
        let mut numbers = tree::Numbers(4);
        tree::make(source.path(), 30, &mut numbers);
        support::create(whole(&storage), 1).unwrap();
        let cx = support::context(support::reopen(whole(&storage), 2).unwrap(), 0);
        support::backup(&cx, &[source.path()]).unwrap();
        let first = (support::only_snapshot(&storage), describe(source.path()));
        tree::change(source.path(), &mut numbers);
        std::fs::write(source.path().join("large"), numbers.bytes(260_000)).unwrap();
        let now = describe(source.path());
        let (garage, sink) = (Garage::start("ca-central-1"), Sink::start());
        let base = storage.snapshot();
        let id = |folder: &str| base.keys().find(|name| name.as_str().starts_with(folder)).unwrap().last_part();
        let remembered = Remembered {
            repository: Some(RepositoryId::from_hex(id("config/")).unwrap()),
            slot: Some(SlotId::from_hex(id("keys/slots/")).unwrap()),
        };
        let (snapshots, runs) = (vec![first], AtomicU64::new(100));
        Self { garage, sink, source, base, snapshots, remembered, now, runs }
    }

    /// The same after a further backup.
    pub(crate) fn with_second_snapshot() -> Self {
        let mut world = Self::new();
        let storage = MemoryStorage::from_map(world.base);
        let cx = support::context(support::reopen(whole(&storage), 3).unwrap(), 0);
        let report = support::backup(&cx, &[world.source.path()]).unwrap();
        world.snapshots.push((report.snapshot.unwrap().to_string(), world.now.clone()));
        world.base = storage.snapshot();
        world
    }

    fn site(&self) -> Site {
        let mut site = Site::new(&self.garage);
        // Nobody else creates there.
        site.options.create = CreateMode::Conditional;
        site
    }

    /// Puts the repository into a part of the bucket.
    pub(crate) fn place(&self, prefix: &str) {
        let both = self.site().open(self.garage.bucket(), prefix);
        let stage = |(name, bytes): (&ObjectName, &Vec<u8>)| {
            let mut stage = both.stage().unwrap();
            stage.append(Encoded::new(bytes)).unwrap();
            stage.finish(name.clone(), bytes.len() as u64).unwrap()
        };
        both.publish_batch(self.base.iter().map(stage).collect()).unwrap();
    }

    /// What is in a part of the bucket now.
    pub(crate) fn contents(&self, prefix: &str) -> MemoryStorage {
        let storage = self.site().reach(self.garage.bucket(), prefix);
        let tops: std::collections::BTreeSet<&str> =
            self.base.keys().filter_map(|name| name.as_str().split('/').next()).collect();
        let listed = tops.into_iter().flat_map(|top| storage.list(&ObjectName::new(top).unwrap()).unwrap());
        let objects = listed.map(|one| {
            let bytes = storage.read(&one.name, one.size).unwrap();
            (one.name, bytes)
        });
        MemoryStorage::from_map(objects.collect())
    }

    /// A proxy in front of the store in which a request meets a fault.
    pub(crate) fn proxy(&self) -> Proxy {
        Proxy::start(self.garage.address())
    }

    fn reach(&self, proxy: &Proxy, machine: Machine<'_>, meeting: Option<Meeting<'_>>) -> (Site, S3Storage) {
        let mut site = Site::at(&self.garage, &proxy.endpoint());
        // What the program finds out about Garage.
        site.options.create = CreateMode::Window;
        if let Some(meeting) = meeting {
            site.options.timeouts = meeting.timeouts();
        }
        let storage = site.reach(self.garage.bucket(), machine.prefix);
        (site, storage)
    }

    fn open(&self, storage: &S3Storage, machine: Machine<'_>) -> Result<Repository, Failed> {
        let found = open::identify_known(storage, &self.remembered)?;
        let fetch = Arc::new(CachedFetch::new(Arc::new(storage.clone()), machine.cache.to_owned(), is_cacheable));
        // Two runs with the same numbers would be the same session.
        let seed = self.runs.fetch_add(1, Ordering::Relaxed);
        let access = Access { fetch, publish: None };
        Ok(open::open_identified(access, &found, &support::key(), support::random(seed))?)
    }

    /// A backup, with all that the program asks before it.
    pub(crate) fn backup(
        &self,
        proxy: &Proxy,
        machine: Machine<'_>,
        meeting: Option<Meeting<'_>>,
    ) -> Result<BackupReport, Failed> {
        let (site, storage) = self.reach(proxy, machine, meeting);
        let (repository, records, observed) = std::thread::scope(|scope| {
            let records = scope.spawn(|| Records::list(&storage));
            let observed = scope.spawn(|| storage.observe());
            (self.open(&storage, machine), records.join().unwrap(), observed.join().unwrap())
        });
        let repository = repository?;
        sites::newest_policy(&repository, &records?)?;
        let observed = Observations { hints: storage.hints(), ..observed };
        let (verdict, resident) = site.judge(self.garage.bucket(), &observed);
        let Some(resident) = resident else {
            let refusal = verdict.refusal().expect("a verdict that stops says why");
            return Err(Failed { kind: "refused by the verdict".into(), text: refusal.to_string() });
        };
        let sender = storage.sender(resident, site.clock.clone())?;
        let cx = support::context(repository.with_publish(Arc::new(sender)), machine.workers);
        Ok(support::backup(&cx, &[self.source.path()])?)
    }

    /// A restore of the newest snapshot.
    pub(crate) fn restore(
        &self,
        proxy: &Proxy,
        machine: Machine<'_>,
        meeting: Option<Meeting<'_>>,
        target: &Path,
    ) -> Result<RestoreReport, Failed> {
        use std::os::unix::ffi::OsStrExt as _;
        let (_, storage) = self.reach(proxy, machine, meeting);
        let cx = support::context(self.open(&storage, machine)?, machine.workers);
        let snapshots = browse::Snapshots::load(&cx.repository)?;
        let (id, _) = self.snapshots.last().unwrap();
        // The program says first which cells are damaged.
        let found = snapshots.resolve(id, b"host", &browse::SnapshotFilter::default()).map_err(|error| {
            let damaged = snapshots.damaged.iter().map(|error| support::chain(error)).collect::<Vec<_>>().join("; ");
            if damaged.is_empty() { error.into() } else { Failed { kind: "damage".into(), text: damaged } }
        })?;
        let path = self.source.path().as_os_str().as_bytes().to_vec();
        let options = restore::RestoreOptions { target: target.to_owned(), path, ..restore::RestoreOptions::default() };
        Ok(restore::run(&cx, found, &options)?)
    }
}

/// Everything is in order: the check finds nothing, and each snapshot restores to what it should hold. `known` are those
/// that have to be there; a further one, whose backup was not told that it succeeded, is whole too and holds `now`.
/// Returns how many there are.
pub(crate) fn expect_whole(storage: &MemoryStorage, known: &[(String, Description)], now: &Description) -> usize {
    let cx = support::context(support::reopen(whole(storage), 99).unwrap(), 0);
    support::expect_clean(&cx);
    let there = support::snapshots(storage);
    for (id, _) in known {
        assert!(there.contains(id), "snapshot {id} was acknowledged and is not there");
    }
    for id in &there {
        let expected = known.iter().find(|(known, _)| known == id).map_or(now, |(_, description)| description);
        let target = tempfile::tempdir().unwrap();
        support::restore(&cx, id, target.path()).unwrap();
        assert_eq!(differences_of(expected, &describe(target.path())), Vec::<String>::new(), "snapshot {id}");
    }
    there.len()
}
