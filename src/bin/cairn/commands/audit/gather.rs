//! All that is known of a repository's logs: what is in it, and what this host has not stored there yet.

use crate::exit::{Exit, Failure, Result};
use crate::record;
use crate::run::{Need, Run};
use cairn::audit::log::Log;
use cairn::audit::note::VerifierKey;
use cairn::audit::object::{Endorsement, LogPart};
use cairn::audit::verify::{self, Evidence, Seen, Verified};
use cairn::id::{LogId, RepositoryId};
use std::collections::BTreeMap;

/// What was gathered.
pub(super) struct Gathered {
    /// The repository.
    pub(super) repository: RepositoryId,
    /// The log that this host uses.
    pub(super) current: Option<LogId>,
    /// All logs.
    pub(super) logs: BTreeMap<LogId, Evidence>,
    /// What this host knows of them.
    pub(super) seen: BTreeMap<LogId, Vec<Seen>>,
}

/// The name of a kind of audit failure.
pub(super) fn failed(run: &Run, tried: &str, error: &cairn::audit::AuditError) -> Failure {
    record::failure(error).while_trying(format!("{tried} of the repository at {}", run.location()))
}

/// Gathers the logs. No key is needed. Where the repository cannot be reached, what this host has serves.
pub(super) fn gather(run: &Run) -> Result<Gathered> {
    let (repository, fetch) = match run.find_existing(Need::Read) {
        Ok((reached, found)) => (found.repository(), Some(reached.store.fetch().clone())),
        Err(failure) => match run.state.known(run.location()) {
            Ok(Some(id)) if run.log_folder(&id).exists() => {
                run.output.warn(&format!("{}; this is what this host has", failure.message));
                (id, None)
            }
            _ => return Err(failure),
        },
    };
    let mut logs = match &fetch {
        Some(fetch) => verify::collect(&**fetch).map_err(|error| failed(run, "read the log", &error))?,
        None => BTreeMap::new(),
    };
    let mut seen: BTreeMap<LogId, Vec<Seen>> = BTreeMap::new();
    let folder = run.log_folder(&repository);
    let current = match Log::open(&folder) {
        Ok(Some(log)) => {
            add_own(&log, &mut logs).map_err(|error| failed(run, "read the log", &error))?;
            let by = "this host".to_owned();
            seen.entry(log.id()).or_default().push(Seen { by, size: log.size(), root: Some(log.root()) });
            Some(log.id())
        }
        Ok(None) => None,
        // Whatever is wrong here, the repository has a log as well.
        Err(error) => {
            run.output.warn(&error.to_string());
            None
        }
    };
    if logs.is_empty() {
        return Err(Failure::new(
            Exit::Failed,
            "no-log",
            format!("the repository at {} has no log", run.location()),
            "every backup and restore writes one",
        ));
    }
    Ok(Gathered { repository, current, logs, seen })
}

/// The logs at a place, as a witness finds them: of a repository, or of what was delivered.
pub(super) fn gather_foreign(run: &Run) -> Result<Gathered> {
    let store = match run.reach(None)? {
        Some(remote) => run.reached(remote)?.store,
        None => cairn::storage::connect(run.location())?,
    };
    let fetch = store.fetch().clone();
    let logs = verify::collect(&*fetch).map_err(|error| failed(run, "read the log", &error))?;
    let origin = logs.values().filter_map(|evidence| {
        let endorsement = Endorsement::parse(evidence.key.as_deref()?).ok()?;
        RepositoryId::from_hex(endorsement.log.name().split('/').nth(1)?).ok()
    });
    let repository = origin.min().ok_or_else(|| {
        let message = format!("there is no log at {}", run.location());
        Failure::new(Exit::Failed, "no-log", message, "name a repository, or a place that logs are delivered to")
    })?;
    Ok(Gathered { repository, current: None, logs, seen: BTreeMap::new() })
}

/// Adds the leaves that are not in the repository yet. Where it has other ones, they stay: that is for `verify` to tell.
fn add_own(log: &Log, logs: &mut BTreeMap<LogId, Evidence>) -> cairn::audit::error::Result<()> {
    let evidence = logs.entry(log.id()).or_default();
    evidence.key.get_or_insert_with(|| log.endorsement().note.to_string().into_bytes());
    let there = evidence.parts.keys().last().copied().unwrap_or(0);
    let mut from = there;
    while from < log.size() {
        let to = log.size().min(from + cairn::audit::object::OBJECT_LEAVES_MAX as u64);
        let part = LogPart::encode(&log.leaves(from..to)?, &log.checkpoint(to)?);
        evidence.parts.insert(to, part);
        from = to;
    }
    Ok(())
}

impl Gathered {
    /// Looks at all logs.
    pub(super) fn verify(&self, enrolled: &[VerifierKey]) -> BTreeMap<LogId, Verified> {
        let none = Vec::new();
        let verified = self.logs.iter().map(|(id, evidence)| {
            let seen = self.seen.get(id).unwrap_or(&none);
            (*id, verify::verify(&self.repository, *id, evidence, enrolled, seen))
        });
        let mut verified: BTreeMap<LogId, Verified> = verified.collect();
        for (id, finding) in verify::succession(&verified) {
            if let Some(log) = verified.get_mut(&id) {
                log.findings.push(finding);
            }
        }
        verified
    }
}
