//! Which log a run is kept in: the one of this host, a new one that says why, or one of this run alone.

use crate::audit::error::{AuditError, Result};
use crate::audit::leaf::{Event, base64};
use crate::audit::log::{Log, make_folder};
use crate::audit::publish::{self, Standing, Store};
use crate::audit::runs;
use crate::clock::Clock;
use crate::crypto::random::Randomness;
use crate::crypto::sign::Identity;
use crate::id::{LogId, RepositoryId, RunId};
use serde_json::{Value, json};
use std::path::Path;

/// What a run may do when its record cannot be kept as it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// It reads: it always goes on.
    Read,
    /// It adds: the record has to be durable somewhere before anything is sent.
    Add,
    /// It removes, or changes who may do what: as `Add`, and only with a log that verifies.
    Manage,
}

/// A log, and the size of its newest checkpoint in the repository.
pub type Newest = (LogId, Option<u64>);

/// Finds or founds the log that a run is kept in.
pub(super) struct Founder<'a> {
    pub(super) folder: &'a Path,
    pub(super) repository: RepositoryId,
    pub(super) identity: &'a Identity,
    pub(super) random: &'a dyn Randomness,
    pub(super) clock: &'a dyn Clock,
    pub(super) run: RunId,
}

/// The log to use.
pub(super) struct Found {
    pub(super) log: Log,
    /// Leaves of it that are in the repository.
    pub(super) published: u64,
    /// What people should know.
    pub(super) alerts: Vec<String>,
    /// Why it is not kept on this host.
    pub(super) why_late: Option<String>,
}

impl Founder<'_> {
    fn opened(&self, reason: &str, after: &Value) -> Result<Vec<u8>> {
        let fields = json!({"reason": reason, "host_key": self.identity.host_key().to_string(), "after": after});
        Event::ok("log.opened", fields).line(&self.run, self.clock.now())
    }

    fn create(&self, folder: Option<&Path>, reason: &str, after: &Value, leaves: &[Vec<u8>]) -> Result<Log> {
        let first = [&[self.opened(reason, after)?], leaves].concat();
        Log::create(folder, &self.repository, self.identity, self.random, &first)
    }

    /// A log of this run alone. `before` is the one that could not be written.
    ///
    /// # Errors
    /// [`AuditError::Random`].
    pub(super) fn in_memory(&self, before: Option<&Log>, leaves: &[Vec<u8>]) -> Result<Log> {
        let after = before.map(|log| tip(log, "host")).into_iter().collect::<Vec<_>>();
        self.create(None, "state-not-writable", &json!(after), leaves)
    }

    /// A new log on this host, or else in memory.
    fn found(&self, reason: &str, after: &Value, alerts: Vec<String>) -> Result<Found> {
        match make_folder(self.folder).and_then(|()| self.create(Some(self.folder), reason, after, &[])) {
            Ok(log) => Ok(Found { log, published: 0, alerts, why_late: None }),
            Err(error @ AuditError::Io { .. }) => {
                let log = self.create(None, reason, after, &[])?;
                Ok(Found { log, published: 0, alerts, why_late: Some(error.to_string()) })
            }
            Err(error) => Err(error),
        }
    }

    /// The log for a run. `newest` need not be asked for again, if it is of that log.
    ///
    /// # Errors
    /// [`AuditError::Unverified`] where that must not be passed over; what the store says.
    pub(super) fn log(&self, need: Need, store: Option<&Store>, newest: Option<Newest>) -> Result<Found> {
        let mut log = match Log::open(self.folder) {
            Ok(Some(log)) => log,
            Ok(None) => return self.found("first", &json!([]), Vec::new()),
            Err(AuditError::Unverified { path, why }) => {
                if need == Need::Manage {
                    return Err(AuditError::Unverified { path, why });
                }
                let after = json!([{"where": "host", "unverified": why}]);
                let alert =
                    format!("the log in {} does not verify: {why}; a new log begins, which says so", path.display());
                return self.found("unverified", &after, vec![alert]);
            }
            Err(error) => {
                let why_late = Some(error.to_string());
                return Ok(Found { log: self.in_memory(None, &[])?, published: 0, alerts: Vec::new(), why_late });
            }
        };
        let Some(store) = store else { return Ok(Found { log, published: 0, alerts: Vec::new(), why_late: None }) };
        let known = runs::published(self.folder, &log.id());
        let newest = match newest.filter(|(id, _)| *id == log.id()) {
            Some((_, newest)) => newest,
            None => publish::newest(&*store.fetch, &log.id())?,
        };
        match publish::standing(&*store.fetch, &mut log, newest, known)? {
            Standing::Same(published) => Ok(Found { log, published, alerts: Vec::new(), why_late: None }),
            Standing::Apart { size, root } => {
                let why = format!(
                    "the log of this host has {} leaves here and {size} in the repository, and one does not lead to the \
                     other: this machine was rolled back or cloned, or somebody else uses its key",
                    log.size()
                );
                if need == Need::Manage {
                    return Err(AuditError::Unverified { path: self.folder.to_owned(), why });
                }
                let root = root.map(|root| base64(&root));
                let there = json!({"log": log.id().to_string(), "size": size, "root": root, "where": "repository"});
                let alert = format!("{why}; a new log begins, which cites both");
                self.found("apart", &json!([tip(&log, "host"), there]), vec![alert])
            }
        }
    }
}

/// A log's tip as a leaf cites it.
fn tip(log: &Log, place: &str) -> Value {
    json!({"log": log.id().to_string(), "size": log.size(), "root": base64(&log.root()), "where": place})
}
