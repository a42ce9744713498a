//! Replicate: the objects of a repository copied to another place as they are stored. No key is needed and nothing is
//! opened; what can be checked without one is: names that are hashes, and that an object belongs to this repository.
//!
//! Cells are listed first and copied last, each class is whole before the next one begins, and objects that are there are
//! not sent again: a replica never has a snapshot without what the source had of it, and a run that was cut short goes on
//! where it ended. Nothing is ever removed from a replica.

use crate::audit::checkpoint::Checkpoint;
use crate::audit::note::Note;
use crate::audit::object as log;
use crate::crypto::hash;
use crate::engine::context::{EngineError, Result, chain};
use crate::engine::pool;
use crate::format::envelope::read_start;
use crate::format::layout::{self, DatasetLayout};
use crate::format::pack::PackKind;
use crate::format::sealed::encoded;
use crate::format::wire::{FormatError, Reader};
use crate::id::RepositoryId;
use crate::object::{ObjectKind, ObjectName};
use crate::progress::{Event, EventSink};
use crate::repository::RepositoryError;
use crate::repository::open::identify;
use crate::storage::{Fetch, Listed, Publish, Published};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

/// Longest object that is copied, in bytes: the longest pack.
const OBJECT_LEN_MAX: u64 = crate::format::pack::PACK_LEN_MAX;
/// Problems that are named; more are counted.
const PROBLEMS_MAX: usize = 1000;

/// From where to where.
#[derive(Debug, Clone)]
pub struct Transfer {
    /// The repository.
    pub source: Arc<dyn Fetch>,
    /// The replica, for reading …
    pub target: Arc<dyn Fetch>,
    /// … and for adding to it.
    pub publish: Arc<dyn Publish>,
    /// Where events go.
    pub sink: Arc<dyn EventSink>,
    /// Set from outside to end the operation; what was copied is kept.
    pub stop: Arc<AtomicBool>,
    /// Objects under way at once; each is held in memory. 0 copies inline, in one order.
    pub threads: usize,
}

/// What came of it.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct ReplicateReport {
    /// Objects copied.
    pub objects_copied: u64,
    /// Their bytes.
    pub bytes_copied: u64,
    /// Objects that were there.
    pub objects_known: u64,
    /// Snapshots, checkpoints and abort records copied.
    pub cells_copied: u64,
    /// Objects that only the replica has: removed at the source since.
    pub objects_only_there: u64,
    /// What could not be copied because it is damaged, or differs from what is there; at most the first thousand.
    pub problems: Vec<String>,
    /// How many those are.
    pub problems_count: u64,
}

/// How an object is checked without a key.
#[derive(Debug, Clone, Copy)]
enum Proof {
    /// Its name is the hash of its bytes.
    Hash,
    /// It begins as this kind of object of this repository.
    Start(ObjectKind),
    /// It is a part of a log of this repository, or the key of one.
    Log,
    /// It is a receipt for such a log.
    Receipt,
}

/// What is copied, in this order; the dataset's cells come last.
fn classes(layout: &DatasetLayout) -> [(ObjectName, Proof); 11] {
    [
        (layout::key_slots(), Proof::Start(ObjectKind::KeySlot)),
        (layout::dataset_roots(), Proof::Start(ObjectKind::DatasetRoot)),
        (layout::declarations(), Proof::Start(ObjectKind::Declaration)),
        (layout::policies(), Proof::Start(ObjectKind::Policy)),
        (layout.packs(PackKind::Data), Proof::Hash),
        (layout.packs(PackKind::Meta), Proof::Hash),
        (layout.segments(), Proof::Hash),
        (layout.sessions(), Proof::Start(ObjectKind::Session)),
        (log::logs(), Proof::Log),
        (log::all_files(), Proof::Start(ObjectKind::FileRecords)),
        (log::all_receipts(), Proof::Receipt),
    ]
}

/// Number of those that a new replica begins with: what opens the repository and says where it may be.
const CLASSES_OF_INIT: usize = 4;

/// Makes a replica in an empty place: keys and records, then the configuration. Returns the repository's id.
///
/// # Errors
/// [`RepositoryError::Exists`] when a repository is there; damage of what is copied; what the stores say.
pub fn init(transfer: &Transfer) -> Result<RepositoryId> {
    let found = identify(&*transfer.source)?;
    let config = found.config();
    match identify(&*transfer.target) {
        Err(RepositoryError::NotThere) => {}
        Ok(found) => return Err(RepositoryError::Exists(found.repository().to_string()).into()),
        Err(error) => return Err(error.into()),
    }
    let copying = Copying::new(transfer, config.repository);
    for (prefix, proof) in classes(&DatasetLayout(config.dataset)).into_iter().take(CLASSES_OF_INIT) {
        copying.class(&prefix, proof, transfer.source.list(&prefix).map_err(RepositoryError::from)?)?;
    }
    let name = layout::config(&config.repository);
    let size = transfer.source.size(&name).map_err(RepositoryError::from)?;
    copying.class(&layout::configs(), Proof::Start(ObjectKind::Config), vec![Listed { name, size }])?;
    match copying.into_report()?.problems.into_iter().next() {
        Some(problem) => Err(EngineError::Setting(format!("the replica is not complete: {problem}"))),
        None => Ok(config.repository),
    }
}

/// Copies to a replica what it does not have.
///
/// # Errors
/// [`RepositoryError::NotThere`] and [`RepositoryError::Another`] when the target is no replica of the source;
/// [`RepositoryError::Generations`]; what the stores say. Damaged objects are in the report.
pub fn run(transfer: &Transfer) -> Result<ReplicateReport> {
    let source = identify(&*transfer.source)?;
    let (config, found) = (source.config(), identify(&*transfer.target)?);
    if found.repository() != config.repository {
        let (expected, found) = (config.repository.to_string(), found.repository().to_string());
        return Err(RepositoryError::Another { expected, found }.into());
    }
    let operation = "replicate";
    let event = |event: &Event<'_>| transfer.sink.event(event);
    event(&Event::RunStarted { operation, repository: config.repository.to_string(), purpose: "" });
    let copied = copy_all(transfer, config.repository, &DatasetLayout(config.dataset));
    event(&Event::RunEnded { operation, complete: copied.as_ref().is_ok_and(|report| report.problems_count == 0) });
    copied
}

fn copy_all(transfer: &Transfer, repository: RepositoryId, layout: &DatasetLayout) -> Result<ReplicateReport> {
    let list = |prefix: &ObjectName| transfer.source.list(prefix).map_err(RepositoryError::from);
    if !list(&layout.generations())?.is_empty() {
        return Err(RepositoryError::Generations.into());
    }
    let copying = Copying::new(transfer, repository);
    // Everything that these need was there before they were.
    let cells = list(&layout.cells())?;
    let forgets = list(&layout.forgets())?;
    for (prefix, proof) in classes(layout) {
        copying.class(&prefix, proof, list(&prefix)?)?;
    }
    let before = copying.report().objects_copied;
    copying.class(&layout.cells(), Proof::Start(ObjectKind::Cell), cells)?;
    let cells_copied = copying.report().objects_copied - before;
    // After what they speak of. Most repositories have none, and then nothing is asked of the replica.
    if !forgets.is_empty() {
        copying.class(&layout.forgets(), Proof::Start(ObjectKind::Forget), forgets)?;
    }
    Ok(ReplicateReport { cells_copied, ..copying.into_report()? })
}

struct Copying<'a> {
    transfer: &'a Transfer,
    repository: RepositoryId,
    bytes: AtomicU64,
    /// Objects and bytes to copy, of the classes so far.
    planned: [AtomicU64; 2],
    report: Mutex<ReplicateReport>,
    failed: Mutex<Option<RepositoryError>>,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // Only counts and whole values are put in.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<'a> Copying<'a> {
    fn new(transfer: &'a Transfer, repository: RepositoryId) -> Self {
        let (report, failed) = (Mutex::default(), Mutex::default());
        Self { transfer, repository, bytes: AtomicU64::new(0), planned: Default::default(), report, failed }
    }

    fn report(&self) -> ReplicateReport {
        lock(&self.report).clone()
    }

    fn into_report(self) -> Result<ReplicateReport> {
        let mut report = self.report.into_inner().unwrap_or_else(PoisonError::into_inner);
        report.bytes_copied = self.bytes.into_inner();
        Ok(report)
    }

    fn problem(&self, what: String) {
        self.transfer.sink.event(&Event::Warning { path: b"", message: &what });
        let mut report = lock(&self.report);
        report.problems_count += 1;
        if report.problems.len() < PROBLEMS_MAX {
            report.problems.push(what);
        }
    }

    fn is_over(&self) -> bool {
        self.transfer.stop.load(Relaxed) || lock(&self.failed).is_some()
    }

    /// Copies what of a class is missing, and waits until it is durable.
    fn class(&self, prefix: &ObjectName, proof: Proof, listed: Vec<Listed>) -> Result<()> {
        let there = self.transfer.target.list(prefix).map_err(RepositoryError::from)?;
        let mut there: HashMap<ObjectName, u64> = there.into_iter().map(|object| (object.name, object.size)).collect();
        let mut missing = Vec::new();
        for object in listed {
            match there.remove(&object.name) {
                None => missing.push(object),
                Some(size) if size == object.size => lock(&self.report).objects_known += 1,
                Some(size) => {
                    let what = format!("{} has {} bytes, and {size} in the replica", object.name, object.size);
                    self.problem(what);
                }
            }
        }
        lock(&self.report).objects_only_there += there.len() as u64;
        let more = [missing.len() as u64, missing.iter().map(|object| object.size).sum()];
        let [entries, bytes] = [0, 1].map(|n| self.planned[n].fetch_add(more[n], Relaxed) + more[n]);
        self.transfer.sink.event(&Event::Total { entries, bytes });
        let copy = |(): &mut (), object: Listed| {
            if !self.is_over()
                && let Err(error) = self.copy(&object, proof)
            {
                lock(&self.failed).get_or_insert(error);
            }
        };
        pool::run(
            self.transfer.threads,
            || Ok(()),
            copy,
            |pool| {
                missing.into_iter().take_while(|_| !self.is_over()).for_each(|object| pool.submit(object));
                pool.wait_idle();
                Ok(())
            },
        )?;
        if let Some(error) = lock(&self.failed).take() {
            return Err(error.into());
        }
        if self.transfer.stop.load(Relaxed) { Err(EngineError::Interrupted) } else { Ok(()) }
    }

    fn copy(&self, object: &Listed, proof: Proof) -> std::result::Result<(), RepositoryError> {
        let name = &object.name;
        let bytes = match self.transfer.source.read(name, OBJECT_LEN_MAX) {
            Ok(bytes) => bytes,
            // Removed since it was listed, as a key slot may be.
            Err(error) if error.is_not_found() => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        if let Err(error) = self.check(name, &bytes, proof) {
            self.problem(chain(&RepositoryError::damaged(name, error)));
            return Ok(());
        }
        if self.transfer.publish.put_new(name, encoded(&bytes))? == Published::Existed
            && self.transfer.target.read(name, OBJECT_LEN_MAX)? != bytes
        {
            self.problem(format!("{name} is another object in the replica"));
            return Ok(());
        }
        self.bytes.fetch_add(bytes.len() as u64, Relaxed);
        lock(&self.report).objects_copied += 1;
        self.transfer.sink.event(&Event::ObjectsPublished { count: 1, bytes: bytes.len() as u64 });
        self.transfer.sink.event(&Event::EntryDone { size: bytes.len() as u64, unchanged: false });
        Ok(())
    }

    fn is_origin(&self, origin: &str) -> bool {
        origin.starts_with(&format!("cairn/{}/", self.repository))
    }

    /// Whether a log's object belongs to its name. Whether its signature is right, `audit verify` tells.
    fn is_log(&self, name: &ObjectName, bytes: &[u8]) -> bool {
        match log::log_parts(name) {
            Some((id, Some(size))) => log::LogPart::parse(bytes).is_ok_and(|part| {
                part.checkpoint.size == size && part.checkpoint.origin == log::origin(&self.repository, &id)
            }),
            Some((id, None)) => {
                log::Endorsement::parse(bytes).is_ok_and(|e| e.log.name() == log::origin(&self.repository, &id))
            }
            None => false,
        }
    }

    fn check(&self, name: &ObjectName, bytes: &[u8], proof: Proof) -> std::result::Result<(), FormatError> {
        let is_right = match proof {
            Proof::Hash => crate::id::PackId::from_bytes(hash::stored(bytes)).to_string() == name.last_part(),
            Proof::Start(kind) => read_start(&mut Reader::new(bytes, "object"), kind)? == self.repository,
            Proof::Log => self.is_log(name, bytes),
            Proof::Receipt => Note::parse(bytes)
                .and_then(|note| Checkpoint::parse(note.text()))
                .is_ok_and(|checkpoint| self.is_origin(&checkpoint.origin)),
        };
        if is_right { Ok(()) } else { Err(FormatError::WrongId) }
    }
}
