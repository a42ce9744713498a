//! Where requests cost something, fewer are made, and what comes back is the same.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests say what they covered")]

mod support;

use cairn::object::ObjectName;
use cairn::repository::Access;
use cairn::storage::{CachedFetch, Fetch, Listed, MemoryStorage, RequestCost, StorageError};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use support::tree::Numbers;

type Result<T> = std::result::Result<T, StorageError>;

/// Counts requests, and says what they cost.
#[derive(Debug)]
struct Counted {
    inner: MemoryStorage,
    cost: RequestCost,
    requests: AtomicU64,
}

impl Counted {
    fn new(inner: &MemoryStorage, cost: RequestCost) -> Arc<Self> {
        Arc::new(Self { inner: inner.clone(), cost, requests: AtomicU64::new(0) })
    }

    fn count(&self) -> &MemoryStorage {
        self.requests.fetch_add(1, SeqCst);
        &self.inner
    }
}

impl Fetch for Counted {
    fn read(&self, name: &ObjectName, len_max: u64) -> Result<Vec<u8>> {
        self.count().read(name, len_max)
    }

    fn read_range(&self, name: &ObjectName, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.count().read_range(name, offset, buf)
    }

    fn size(&self, name: &ObjectName) -> Result<u64> {
        self.count().size(name)
    }

    fn list(&self, prefix: &ObjectName) -> Result<Vec<Listed>> {
        self.count().list(prefix)
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
        counts.push(counted.requests.load(SeqCst));
    }
    println!("counts: requests of a restore: one by one {}, together {:?}", counts[0], &counts[1..]);
    assert!(counts[1] < counts[0], "{counts:?}");
    assert_eq!(counts[1], counts[2], "threads make no more requests");
    assert!(counts[4] < counts[3] && counts[3] <= counts[2], "a cache saves some: {counts:?}");
}
