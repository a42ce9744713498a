//! What a run that writes will want to know of a bucket, asked for while the repository is being opened: each answer takes a
//! round trip, and none of these questions depends on another.
//!
//! Nothing is decided here and nothing is sent. An answer counts from the moment at which it was asked for, and for nothing that
//! has to be listed later than something else, as what a session sees has to be.

use cairn::audit::publish::newest;
use cairn::clock::{Clock, Timestamp};
use cairn::id::LogId;
use cairn::repository::RepositoryError;
use cairn::repository::sites::Records;
use cairn::residency::Observations;
use cairn::storage::S3Storage;
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;

/// An answer that is on its way.
#[derive(Debug)]
struct Asked<T>(Mutex<Option<JoinHandle<T>>>);

impl<T> Default for Asked<T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<T: Send + 'static> Asked<T> {
    fn ask(&self, question: impl FnOnce() -> T + Send + 'static) {
        // Without a thread it is asked when it is needed.
        *self.lock() = std::thread::Builder::new().name("ahead".into()).spawn(question).ok();
    }

    /// The answer, once.
    fn take(&self) -> Option<T> {
        let asked = self.lock().take();
        asked.and_then(|asked| asked.join().ok())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<JoinHandle<T>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What was asked for.
#[derive(Debug, Default)]
pub(crate) struct Ahead {
    observed: Asked<(Timestamp, Observations)>,
    records: Asked<Result<Records, RepositoryError>>,
    log: Asked<Option<(LogId, Option<u64>)>>,
}

impl Ahead {
    /// Asks what the gate judges by, which declarations and policies there are, and how much of this log.
    pub(crate) fn ask(&self, storage: &S3Storage, clock: &dyn Clock, log: Option<LogId>) {
        let (observing, listing, asked) = (storage.clone(), storage.clone(), clock.now());
        self.observed.ask(move || (asked, observing.observe()));
        self.records.ask(move || Records::list(&listing));
        if let Some(id) = log {
            let listing = storage.clone();
            self.log.ask(move || newest(&listing, &id).ok().map(|size| (id, size)));
        }
    }

    /// What was observed, and when it was asked for.
    pub(crate) fn observed(&self) -> Option<(Timestamp, Observations)> {
        self.observed.take()
    }

    /// Which declarations and policies there are.
    pub(crate) fn records(&self) -> Option<Result<Records, RepositoryError>> {
        self.records.take()
    }

    /// How much of which log there is.
    pub(crate) fn log(&self) -> Option<(LogId, Option<u64>)> {
        self.log.take().flatten()
    }
}
