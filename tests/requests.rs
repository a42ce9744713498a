//! Where requests cost something, fewer are made, and what comes back is the same.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests say what they covered")]

mod support;

use cairn::id::{RepositoryId, SlotId};
use cairn::object::ObjectName;
use cairn::repository::open::{self, Remembered};
use cairn::repository::{Access, RepositoryError};
use cairn::storage::{CachedFetch, Fetch, Listed, MemoryStorage, RequestCost, StorageError};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use support::tree::Numbers;

type Result<T> = std::result::Result<T, StorageError>;

/// Keeps count of requests, and says what they cost.
#[derive(Debug)]
struct Counted {
    inner: MemoryStorage,
    cost: RequestCost,
    requests: Mutex<Vec<String>>,
}

impl Counted {
    fn new(inner: &MemoryStorage, cost: RequestCost) -> Arc<Self> {
        Arc::new(Self { inner: inner.clone(), cost, requests: Mutex::default() })
    }

    fn count(&self, what: &str, name: &ObjectName) -> &MemoryStorage {
        self.requests.lock().unwrap().push(format!("{what} {name}"));
        &self.inner
    }

    fn len(&self) -> usize {
        self.requests.lock().unwrap().len()
    }

    /// What was asked for since the last time, sorted.
    fn take(&self) -> Vec<String> {
        let mut taken = std::mem::take(&mut *self.requests.lock().unwrap());
        taken.sort();
        taken
    }
}

impl Fetch for Counted {
    fn read(&self, name: &ObjectName, len_max: u64) -> Result<Vec<u8>> {
        self.count("read", name).read(name, len_max)
    }

    fn read_range(&self, name: &ObjectName, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.count("range", name).read_range(name, offset, buf)
    }

    fn size(&self, name: &ObjectName) -> Result<u64> {
        self.count("size", name).size(name)
    }

    fn list(&self, prefix: &ObjectName) -> Result<Vec<Listed>> {
        self.count("list", prefix).list(prefix)
    }

    fn request_cost(&self) -> RequestCost {
        self.cost
    }
}

const DEAR: RequestCost = RequestCost { gap: 256 << 10, span: 16 << 20, parallel: 4 };

fn restore(fetch: Arc<dyn Fetch>, snapshot: &str, workers: usize, target: &Path) {
    let repository = support::reopen(Access { fetch, publish: None }, 4).unwrap();
    support::restore(&support::context(repository, workers), snapshot, target).unwrap();
}

fn is_cached(name: &ObjectName) -> bool {
    name.as_str().contains("/meta/") || name.as_str().contains("/index/")
}

#[test]
fn neighbouring_blobs_are_read_together() {
    let source = tempfile::tempdir().unwrap();
    let mut numbers = Numbers(8);
    for index in 0..60 {
        std::fs::write(source.path().join(format!("f{index}")), numbers.bytes(60_000)).unwrap();
    }
    let storage = MemoryStorage::new();
    let access = support::fault::FaultStore::new(storage.clone(), support::fault::Plan::None).access();
    let cx = support::context(support::create(access, 3).unwrap(), 0);
    let options =
        cairn::engine::backup::BackupOptions { pack_sizes: None, ..support::backup_options(&[source.path()]) };
    cairn::engine::backup::run(&cx, &options).unwrap();
    let snapshot = support::only_snapshot(&storage);
    let original = support::describe_as_restored(source.path());

    let cache = tempfile::tempdir().unwrap();
    let mut counts = Vec::new();
    for (cost, workers, is_cached_run) in
        [(RequestCost::NONE, 0, false), (DEAR, 0, false), (DEAR, 2, false), (DEAR, 2, true), (DEAR, 2, true)]
    {
        let counted = Counted::new(&storage, cost);
        let target = tempfile::tempdir().unwrap();
        let fetch: Arc<dyn Fetch> = if is_cached_run {
            Arc::new(CachedFetch::new(counted.clone(), cache.path().join("cache"), is_cached))
        } else {
            counted.clone()
        };
        restore(fetch, &snapshot, workers, target.path());
        assert_eq!(support::describe_as_restored(target.path()), original);
        counts.push(counted.len());
    }
    println!("counts: requests of a restore: one by one {}, together {:?}", counts[0], &counts[1..]);
    assert!(counts[1] < counts[0], "{counts:?}");
    assert_eq!(counts[1], counts[2], "threads make no more requests");
    assert!(counts[4] < counts[3] && counts[3] <= counts[2], "a cache saves some: {counts:?}");
}

/// A repository with two snapshots, and the names of its configuration and of its key slot.
fn small() -> (MemoryStorage, [ObjectName; 2]) {
    let source = tempfile::tempdir().unwrap();
    std::fs::write(source.path().join("file"), Numbers(3).bytes(100_000)).unwrap();
    let storage = MemoryStorage::new();
    let access = support::fault::FaultStore::new(storage.clone(), support::fault::Plan::None).access();
    support::create(access.clone(), 3).unwrap();
    for seed in [4, 5] {
        let cx = support::context(support::reopen(access.clone(), seed).unwrap(), 0);
        support::backup(&cx, &[source.path()]).unwrap();
    }
    let objects = storage.snapshot();
    let named = |start: &str| objects.keys().find(|name| name.as_str().starts_with(start)).unwrap().clone();
    (storage, [named("config/"), named("keys/slots/")])
}

fn remembered(names: &[ObjectName; 2]) -> Remembered {
    Remembered {
        repository: Some(RepositoryId::from_hex(names[0].last_part()).unwrap()),
        slot: Some(SlotId::from_hex(names[1].last_part()).unwrap()),
    }
}

type Opened<T> = std::result::Result<T, RepositoryError>;

/// Opens with the key, or says why not.
fn try_to_open(counted: &Arc<Counted>, remembered: &Remembered, key: u8) -> Opened<cairn::repository::Repository> {
    let found = open::identify_known(&**counted, remembered)?;
    let unlock = cairn::format::key_slot::Unlock::KeyFile(cairn::crypto::secret::Secret::new([key; 32]));
    let access = Access { fetch: counted.clone(), publish: None };
    open::open_identified(access, &found, &unlock, support::random(9))
}

/// The key of `support`.
const KEY: u8 = 7;

#[test]
fn what_is_remembered_is_asked_for_first_and_not_believed() {
    let (storage, names) = small();
    let known = remembered(&names);
    let [config, slot] = names.clone();
    let asked = |storage: &MemoryStorage, remembered: &Remembered, key: u8| {
        let counted = Counted::new(storage, DEAR);
        let opened = try_to_open(&counted, remembered, key);
        (opened, counted.take())
    };
    let one = [format!("read {config}"), format!("read {slot}")];
    let all = ["list config".to_owned(), "list keys/slots".to_owned(), one[0].clone(), one[1].clone()];

    let (opened, requests) = asked(&storage, &known, KEY);
    let opened = opened.unwrap();
    assert_eq!((requests, opened.slot()), (one.to_vec(), known.slot));
    assert_eq!(Some(opened.config().repository), known.repository);

    let (opened, requests) = asked(&storage, &Remembered::default(), KEY);
    assert_eq!((requests, opened.unwrap().slot()), (all.to_vec(), known.slot));

    // The slot is another one now; the other was removed.
    let gone = SlotId::from_bytes([9; 16]);
    let (opened, requests) = asked(&storage, &Remembered { slot: Some(gone), ..known }, KEY);
    assert_eq!(opened.unwrap().slot(), known.slot);
    assert_eq!(requests, [all[1].clone(), one[0].clone(), one[1].clone(), format!("read keys/slots/{gone}")]);

    // Another key is tried at all slots before it is called wrong.
    let (opened, requests) = asked(&storage, &known, KEY + 1);
    assert!(matches!(opened, Err(RepositoryError::WrongKey { slots: 1, .. })), "{opened:?}");
    assert!(requests.contains(&all[1]), "{requests:?}");

    // Another repository is there, or none, or a second one beside it.
    let stranger = Remembered { repository: Some(RepositoryId::from_bytes([8; 16])), slot: known.slot };
    let (opened, requests) = asked(&storage, &stranger, KEY);
    assert_eq!(Some(opened.unwrap().config().repository), known.repository);
    assert!(requests.contains(&all[0]), "{requests:?}");
    let without = storage.snapshot().into_iter().filter(|(name, _)| *name != config).collect();
    let (opened, _) = asked(&MemoryStorage::from_map(without), &known, KEY);
    assert!(matches!(opened, Err(RepositoryError::NotThere)), "{opened:?}");
    let mut two = storage.snapshot();
    two.insert(ObjectName::new(format!("config/{}", "8".repeat(32))).unwrap(), two[&config].clone());
    let two = MemoryStorage::from_map(two);
    let (opened, _) = asked(&two, &Remembered::default(), KEY);
    assert!(matches!(opened, Err(RepositoryError::ManyConfigs(2))), "who does not know which is meant: {opened:?}");
    let opened = asked(&two, &known, KEY).0.unwrap();
    assert!(matches!(open::check_config(&opened), Err(RepositoryError::ManyConfigs(2))), "a check says so");

    // What is not what its name says is damage, and a damaged slot opens nothing.
    for (name, is_config) in [(&config, true), (&slot, false)] {
        let mut damaged = storage.snapshot();
        damaged.get_mut(name).unwrap()[40] ^= 1;
        let (opened, _) = asked(&MemoryStorage::from_map(damaged), &known, KEY);
        let error = opened.unwrap_err();
        assert!(error.is_damage() || !is_config, "{name}: {error}");
    }
}

#[test]
fn a_restore_asks_for_nothing_twice() {
    use cairn::engine::{browse, restore};
    let (storage, names) = small();
    let mut totals = BTreeMap::new();
    for workers in [0, 2] {
        let (counted, cache) = (Counted::new(&storage, DEAR), tempfile::tempdir().unwrap());
        let found = open::identify_known(&*counted, &remembered(&names)).unwrap();
        let fetch = Arc::new(CachedFetch::new(counted.clone(), cache.path().join("cache"), is_cached));
        let access = Access { fetch, publish: None };
        let repository = open::open_identified(access, &found, &support::key(), support::random(9)).unwrap();
        let cx = support::context(repository, workers);
        let snapshots = browse::Snapshots::load(&cx.repository).unwrap();
        let target = tempfile::tempdir().unwrap();
        let snapshot = snapshots.all().last().unwrap();
        let path = snapshot.entries.paths[0].clone();
        let options =
            restore::RestoreOptions { target: target.path().into(), path, ..restore::RestoreOptions::default() };
        let report = restore::run(&cx, snapshot, &options).unwrap();
        assert_eq!((report.failed, report.files_restored), (0, 1));
        let requests = counted.take();
        let mut once: Vec<_> = requests.iter().filter(|request| !request.starts_with("range ")).collect();
        let count = once.len();
        once.dedup();
        assert_eq!(once.len(), count, "{requests:?}");
        let lists: Vec<_> = requests.iter().filter_map(|request| request.strip_prefix("list ")).collect();
        assert!(lists.len() == 2 && lists[0].ends_with("/forget") && lists[1].ends_with("/snapshots"), "{lists:?}");
        totals.insert(workers, requests.len());
    }
    println!("counts: requests of a small restore, by workers: {totals:?}");
    assert_eq!(totals[&0], totals[&2]);
}

/// The rule of a writer's session: it is on the store before generations are listed, these before cells and records of what was
/// forgotten, and only then segments are read. What was listed before the session counts for nothing.
#[test]
fn a_session_lists_in_order_and_anew() {
    let (storage, _) = small();
    let counted = Counted::new(&storage, DEAR);
    let access = Access { fetch: counted.clone(), publish: Some(Arc::new(storage.clone())) };
    let cx = support::context(support::reopen(access, 11).unwrap(), 0);
    // As a command does that looks for the parent first.
    cairn::engine::browse::Snapshots::load(&cx.repository).unwrap();
    counted.take();
    let source = tempfile::tempdir().unwrap();
    std::fs::write(source.path().join("new"), "new").unwrap();
    support::backup(&cx, &[source.path()]).unwrap();
    let requests = std::mem::take(&mut *counted.requests.lock().unwrap());
    let at = |end: &str| requests.iter().position(|request| request.starts_with("list ") && request.ends_with(end));
    let [generations, cells, forgets] = ["/gen", "/snapshots", "/forget"].map(|end| at(end).unwrap());
    assert!(generations < cells && generations < forgets, "{requests:?}");
    let segment = requests.iter().position(|request| request.contains("/index/")).unwrap();
    assert!(cells < segment && forgets < segment, "{requests:?}");
    assert!(
        !requests.iter().any(|request| request.starts_with("read ") && request.contains("/snapshots/")),
        "{requests:?}"
    );
}
