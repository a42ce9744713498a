//! A store that fails where it is told to: every operation has a number, and one of them, or all from one on, go wrong.

use cairn::object::{Encoded, ObjectName};
use cairn::repository::Access;
use cairn::storage::{
    ErrorKind, Fetch, Listed, MemoryStorage, Publish, Published, Remove, Stage, Staged, StorageError,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

type Result<T> = std::result::Result<T, StorageError>;

/// What goes wrong at the operation of the given number (from 0).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plan {
    /// Nothing.
    None,
    /// The machine stops before it happens; nothing works afterwards.
    CrashBefore(u64),
    /// It happens, and the machine stops before anybody hears of it.
    CrashAfter(u64),
    /// It fails, this once.
    Once(u64, ErrorKind),
    /// It fails, and so does everything after it.
    From(u64, ErrorKind),
}

/// A store with a plan.
#[derive(Debug)]
pub struct FaultStore {
    inner: MemoryStorage,
    plan: Plan,
    operations: Arc<AtomicU64>,
}

enum Verdict {
    Go,
    GoThenFail(StorageError),
    Fail(StorageError),
}

fn error(operation: &'static str, kind: ErrorKind) -> StorageError {
    StorageError { operation, subject: "the store".into(), kind, detail: "made to fail by the test".into() }
}

impl FaultStore {
    pub fn new(inner: MemoryStorage, plan: Plan) -> Arc<Self> {
        Arc::new(Self { inner, plan, operations: Arc::default() })
    }

    /// Operations so far.
    pub fn operations(&self) -> u64 {
        self.operations.load(SeqCst)
    }

    /// The store behind.
    pub fn inner(&self) -> MemoryStorage {
        self.inner.clone()
    }

    pub fn access(self: &Arc<Self>) -> Access {
        Access { fetch: Arc::clone(self) as Arc<dyn Fetch>, publish: Some(Arc::clone(self) as Arc<dyn Publish>) }
    }

    fn verdict(&self, operation: &'static str) -> Verdict {
        verdict(&self.operations, self.plan, operation)
    }
}

fn verdict(operations: &AtomicU64, plan: Plan, operation: &'static str) -> Verdict {
    let number = operations.fetch_add(1, SeqCst);
    match plan {
        Plan::CrashBefore(at) if number >= at => Verdict::Fail(error(operation, ErrorKind::Other)),
        Plan::CrashAfter(at) if number == at => Verdict::GoThenFail(error(operation, ErrorKind::Other)),
        Plan::CrashAfter(at) if number > at => Verdict::Fail(error(operation, ErrorKind::Other)),
        Plan::Once(at, kind) if number == at => Verdict::Fail(error(operation, kind)),
        Plan::From(at, kind) if number >= at => Verdict::Fail(error(operation, kind)),
        _ => Verdict::Go,
    }
}

fn apply<T>(verdict: Verdict, run: impl FnOnce() -> Result<T>) -> Result<T> {
    match verdict {
        Verdict::Go => run(),
        Verdict::GoThenFail(error) => run().and(Err(error)),
        Verdict::Fail(error) => Err(error),
    }
}

impl Fetch for FaultStore {
    fn read(&self, name: &ObjectName, len_max: u64) -> Result<Vec<u8>> {
        apply(self.verdict("read"), || self.inner.read(name, len_max))
    }

    fn read_range(&self, name: &ObjectName, offset: u64, buf: &mut [u8]) -> Result<()> {
        apply(self.verdict("read"), || self.inner.read_range(name, offset, buf))
    }

    fn size(&self, name: &ObjectName) -> Result<u64> {
        apply(self.verdict("size"), || self.inner.size(name))
    }

    fn list(&self, prefix: &ObjectName) -> Result<Vec<Listed>> {
        apply(self.verdict("list"), || self.inner.list(prefix))
    }
}

struct FaultStage {
    inner: Box<dyn Stage>,
    plan: Plan,
    operations: Arc<AtomicU64>,
}

impl Stage for FaultStage {
    fn append(&mut self, bytes: Encoded<'_>) -> Result<()> {
        let verdict = verdict(&self.operations, self.plan, "append");
        apply(verdict, || self.inner.append(bytes))
    }

    fn finish(self: Box<Self>, name: ObjectName, len: u64) -> Result<Staged> {
        let verdict = verdict(&self.operations, self.plan, "finish");
        apply(verdict, || self.inner.finish(name, len))
    }
}

impl Publish for FaultStore {
    fn stage(&self) -> Result<Box<dyn Stage>> {
        let inner = apply(self.verdict("stage"), || self.inner.stage())?;
        Ok(Box::new(FaultStage { inner, plan: self.plan, operations: Arc::clone(&self.operations) }))
    }

    /// Each object is an operation of its own, so a batch can be cut in the middle.
    fn publish_batch(&self, staged: Vec<Staged>) -> Result<Vec<Published>> {
        let mut outcomes = Vec::new();
        for one in staged {
            outcomes.extend(apply(self.verdict("publish"), || self.inner.publish_batch(vec![one]))?);
        }
        Ok(outcomes)
    }
}

impl Remove for FaultStore {
    fn remove(&self, name: &ObjectName) -> Result<()> {
        apply(self.verdict("remove"), || self.inner.remove(name))
    }
}
