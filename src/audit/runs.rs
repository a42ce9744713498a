//! Which runs are under way, which ended without a word, and what waits for a run that can write to the repository.

use crate::audit::error::{AuditError, Result};
use crate::audit::leaf::{Event, Outcome};
use crate::audit::log::{Log, make_folder, replace};
use crate::audit::object;
use crate::audit::publish::{Store, publish_object};
use crate::id::{LogId, RunId, SessionId};
use rustix::fs::FlockOperation;
use serde_json::{Value, json};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Leaves that are looked through for what a dead run had begun.
const LOOKED_THROUGH: u64 = 4096;

/// Held while a run is under way.
#[derive(Debug)]
pub struct RunLock {
    path: PathBuf,
    _file: File,
}

fn locked(path: &Path, create: bool) -> Option<File> {
    let file = OpenOptions::new().read(true).write(true).create(create).truncate(false).mode(0o600).open(path).ok()?;
    rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).ok()?;
    Some(file)
}

impl RunLock {
    /// Takes it.
    ///
    /// # Errors
    /// [`AuditError::Io`].
    pub fn take(folder: &Path, run: &RunId) -> Result<Self> {
        let runs = folder.join("runs");
        make_folder(&runs)?;
        // Under its name it is locked, or its run is dead.
        let (path, new) = (runs.join(run.to_string()), runs.join(format!("{run}.new")));
        let file = locked(&new, true).ok_or_else(|| AuditError::io("lock", &new)(std::io::Error::last_os_error()))?;
        std::fs::rename(&new, &path).map_err(AuditError::io("rename", &new))?;
        Ok(Self { path, _file: file })
    }

    /// Gives it back.
    pub fn release(self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Runs that hold no lock and left theirs behind.
pub fn dead(folder: &Path) -> Vec<RunId> {
    let Ok(entries) = std::fs::read_dir(folder.join("runs")) else { return Vec::new() };
    let mut runs: Vec<RunId> = entries
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let run = RunId::from_hex(path.file_name()?.to_str()?).ok()?;
            locked(&path, false).map(|_| run)
        })
        .collect();
    runs.sort();
    runs
}

/// Removes the locks of dead runs that are closed.
pub fn forget(folder: &Path, closed: &[RunId]) {
    for run in closed {
        let _ = std::fs::remove_file(folder.join("runs").join(run.to_string()));
    }
}

/// What closes the record of a dead run: for each snapshot that it had prepared whether it was committed, then its end.
pub fn closing(log: &Log, dead: &RunId, by: &RunId, is_committed: &dyn Fn(&SessionId) -> Option<bool>) -> Vec<Event> {
    let from = log.size().saturating_sub(LOOKED_THROUGH);
    let (mut prepared, mut op) = (Vec::new(), Value::Null);
    for leaf in log.leaves(from..log.size()).unwrap_or_default() {
        let Ok(leaf) = serde_json::from_slice::<Value>(&leaf) else { continue };
        if leaf["run"].as_str() != Some(&dead.to_string()) {
            continue;
        }
        let snapshot = leaf["snapshot"].as_str().and_then(|text| SessionId::from_hex(text).ok());
        match (leaf["type"].as_str(), snapshot) {
            (Some("run.started"), _) => op = leaf["op"].clone(),
            (Some("run.finished"), _) => return Vec::new(),
            (Some("snapshot.prepared"), Some(id)) => prepared.push(id),
            (Some("snapshot.committed"), Some(id)) => prepared.retain(|other| *other != id),
            _ => {}
        }
    }
    let mut events = Vec::new();
    for id in prepared {
        let (outcome, found) = match is_committed(&id) {
            Some(true) => (Outcome::Ok, json!(true)),
            Some(false) => (Outcome::Failed, json!(false)),
            None => (Outcome::Partial, Value::Null),
        };
        let fields = json!({"snapshot": id.to_string(), "found": found, "closed_by": by.to_string()});
        events.push(Event { name: "snapshot.committed", outcome, fields });
    }
    let fields = json!({"op": op, "closed_by": by.to_string()});
    events.push(Event { name: "run.finished", outcome: Outcome::Partial, fields });
    events
}

fn published_path(folder: &Path, log: &LogId) -> PathBuf {
    folder.join(log.to_string()).join("published")
}

/// How many leaves this host knows to have stored in the repository.
pub fn published(folder: &Path, log: &LogId) -> Option<u64> {
    std::fs::read_to_string(published_path(folder, log)).ok()?.trim_end().parse().ok()
}

/// Remembers that.
pub fn remember_published(folder: &Path, log: &LogId, size: u64) {
    let _ = replace(&published_path(folder, log), format!("{size}\n").as_bytes(), false);
}

/// Stores what runs that could only read left in the state directory. What fails stays.
pub fn publish_waiting_files(folder: &Path, store: &Store) {
    let Ok(entries) = std::fs::read_dir(folder.join("files")) else { return };
    for entry in entries.filter_map(std::io::Result::ok) {
        let path = entry.path();
        let name = path.file_name().and_then(|name| name.to_str()).and_then(waiting_name);
        if let (Some(name), Ok(sealed)) = (name, std::fs::read(&path))
            && publish_object(&*store.publish, &name, &sealed).is_ok()
        {
            let _ = std::fs::remove_file(&path);
        }
    }
}

/// The object that a waiting file `LOG.RUN-PART` becomes.
fn waiting_name(text: &str) -> Option<crate::object::ObjectName> {
    let (log, rest) = text.split_once('.')?;
    let (run, part) = rest.split_once('-')?;
    Some(object::files(&LogId::from_hex(log).ok()?, &RunId::from_hex(run).ok()?, part.parse().ok()?))
}
