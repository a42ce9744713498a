//! What became of the last runs: `runs/HASH-OPERATION.json` in the state directory, for `cairn status` and for metrics.
//!
//! The log (`cairn::audit`) has every run that reached a repository. This has the last of each kind for each profile, or
//! location where there is none, also when it failed before that: no profile that is valid, no disk, a hook that failed. It is
//! no evidence, only an answer to "did it run?"; that it cannot be written is no reason to stop.
//!
//! A run holds a lock while it is under way, so one that was killed is told from one that runs.

use crate::exit::{Exit, Failure, Result};
use crate::output::Output;
use crate::state::{State, replace};
use crate::values;
use cairn::clock::Timestamp;
use rustix::fs::FlockOperation;
use serde_json::{Value, json};
use std::fs::File;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Most records that are read.
const RECORDS_MAX: usize = 10_000;
/// Longest record, in bytes, and longest message in one.
const RECORD_LEN_MAX: u64 = 1 << 20;
const MESSAGE_LEN_MAX: usize = 4096;

/// Whose runs these are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Subject {
    /// The profile's name, if there is one.
    pub(crate) profile: Option<String>,
    /// Where the repository is.
    pub(crate) location: String,
}

impl Subject {
    fn stem(&self) -> String {
        let hash = match &self.profile {
            Some(name) => blake3::hash(format!("profile {name}").as_bytes()),
            None => blake3::hash(format!("location {}", self.location).as_bytes()),
        };
        hash.to_hex()[..32].to_owned()
    }

    /// How people call it.
    pub(crate) fn name(&self) -> &str {
        self.profile.as_deref().unwrap_or(&self.location)
    }
}

/// A run that is under way.
#[derive(Debug)]
pub(crate) struct Begun {
    path: Option<PathBuf>,
    record: Value,
    _lock: Option<File>,
}

/// What a run came to.
#[derive(Debug)]
pub(crate) struct End<'a> {
    /// When.
    pub(crate) now: Timestamp,
    /// How long it took, in seconds.
    pub(crate) seconds: f64,
    /// How it ended.
    pub(crate) ended: &'a Result<Exit>,
    /// Its figures.
    pub(crate) summary: Value,
    /// The repository's id, if it is known.
    pub(crate) repository: Option<String>,
}

/// Notes that a run has begun.
pub(crate) fn begin(state: &State, subject: &Subject, operation: &str, now: Timestamp, output: &Output) -> Begun {
    let begun = (|| {
        let path = state.directory("runs")?.join(format!("{}-{operation}.json", subject.stem()));
        let lock = lock(&path.with_extension("lock"), true);
        let mut record = read(&path).unwrap_or_else(|| json!({}));
        record["version"] = 1.into();
        record["operation"] = operation.into();
        record["profile"] = subject.profile.clone().into();
        record["location"] = subject.location.clone().into();
        record["last"] = json!({"begun": values::time_seconds(now), "ended": null});
        replace(&path, &format!("{record:#}\n"))?;
        Ok::<_, Failure>(Begun { path: Some(path), record, _lock: lock })
    })();
    begun.unwrap_or_else(|failure| {
        output.info(&failure.message);
        Begun { path: None, record: json!({"operation": operation, "profile": subject.profile}), _lock: None }
    })
}

impl Begun {
    /// Notes what it came to.
    pub(crate) fn end(mut self, end: End<'_>, output: &Output) {
        let now = values::time_seconds(end.now);
        let (exit, kind, message) = match end.ended {
            Ok(exit) => (*exit as u8, "", String::new()),
            Err(failure) => (failure.exit as u8, failure.kind, cut(&failure.message)),
        };
        let begun = self.record["last"]["begun"].take();
        if end.repository.is_some() {
            self.record["repository"] = end.repository.into();
        }
        if let Some(id) = end.summary["snapshot"].as_str() {
            self.record["snapshot"] = json!({"id": id, "time": now});
        }
        self.record["last"] = json!({
            "begun": begun,
            "ended": now,
            "exit": exit,
            "kind": kind,
            "message": message,
            "seconds": end.seconds,
            "summary": end.summary,
        });
        if exit == Exit::Done as u8 {
            self.record["success"] = json!({"ended": now});
        }
        if let Some(path) = &self.path
            && let Err(failure) = replace(path, &format!("{:#}\n", self.record))
        {
            output.info(&failure.message);
        }
    }
}

/// The start of a message.
pub(crate) fn cut(message: &str) -> String {
    message.chars().filter(|c| *c != '\0').take(MESSAGE_LEN_MAX).collect()
}

fn lock(path: &Path, create: bool) -> Option<File> {
    let mut options = File::options();
    let file = options.read(true).write(true).create(create).truncate(false).mode(0o600).open(path).ok()?;
    rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).ok()?;
    Some(file)
}

fn read(path: &Path) -> Option<Value> {
    let size = path.metadata().ok()?.len();
    let bytes = std::fs::read(path).ok().filter(|_| size <= RECORD_LEN_MAX)?;
    serde_json::from_slice(&bytes).ok().filter(Value::is_object)
}

/// The last run of a kind.
#[derive(Debug, Clone)]
pub(crate) struct LastRun {
    /// Whose it is.
    pub(crate) subject: Subject,
    /// Which command.
    pub(crate) operation: String,
    /// The record as it is kept.
    pub(crate) record: Value,
    /// Whether it is under way.
    pub(crate) is_running: bool,
}

impl LastRun {
    /// The exit code; `None` while it runs. A run that was killed has no code, and counts as failed.
    pub(crate) fn exit(&self) -> Option<u64> {
        match self.record["last"]["exit"].as_u64() {
            None if self.is_running => None,
            exit => Some(exit.unwrap_or(Exit::Failed as u64)),
        }
    }

    /// Whether it ended without a word.
    pub(crate) fn was_killed(&self) -> bool {
        self.record["last"]["ended"].is_null() && !self.is_running
    }

    /// A time of the record.
    pub(crate) fn time(&self, part: &str, field: &str) -> Option<Timestamp> {
        values::parse_time(self.record[part][field].as_str()?).ok()
    }
}

/// The last runs that a state directory knows, by subject and operation.
///
/// # Errors
/// Exit 1 if it is there and cannot be read.
pub(crate) fn all(state: &State) -> Result<Vec<LastRun>> {
    let directory = state.path().join("runs");
    let failed = |error: &std::io::Error| Failure::io(format!("read {}", directory.display()), error);
    let entries = match std::fs::read_dir(&directory) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|error| failed(&error))?,
    };
    let mut runs = Vec::new();
    for entry in entries.take(RECORDS_MAX) {
        let path = entry.map_err(|error| failed(&error))?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            // One that is damaged is as good as none: the next run writes it anew.
            runs.extend(read(&path).and_then(|record| last_run(&path, record)));
        }
    }
    let key = |run: &LastRun| (run.subject.profile.is_none(), run.subject.name().to_owned(), run.operation.clone());
    runs.sort_by_key(key);
    Ok(runs)
}

fn last_run(path: &Path, record: Value) -> Option<LastRun> {
    let text = |field: &str| record[field].as_str().map(str::to_owned);
    let subject = Subject { profile: text("profile"), location: text("location")? };
    let operation = text("operation")?;
    let beside = path.with_extension("lock");
    let is_running = record["last"]["ended"].is_null() && beside.exists() && lock(&beside, false).is_none();
    Some(LastRun { subject, operation, record, is_running })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn the_last_run_and_the_last_success() {
        let dir = tempfile::tempdir().unwrap();
        let (state, output) = (State::new(dir.path()), Output::silent());
        let web = Subject { profile: Some("web".into()), location: "/r".into() };
        let none = Subject { profile: None, location: "/r".into() };
        let at = |seconds| Timestamp { seconds, nanoseconds: 0 };
        let end = |begun: Begun, now, ended: Result<Exit>, summary| {
            let end = End { now: at(now), seconds: 1.5, ended: &ended, summary, repository: Some("ab".into()) };
            begun.end(end, &output);
        };
        end(begin(&state, &web, "backup", at(10), &output), 20, Ok(Exit::Done), json!({"snapshot": "s1"}));
        let failure = Failure::new(Exit::NoRepository, "repository-gone", "gone\0", "");
        end(begin(&state, &web, "backup", at(30), &output), 40, Err(failure), json!({}));
        let running = begin(&state, &none, "check", at(50), &output);
        let runs = all(&state).unwrap();
        let [first, second] = &runs[..] else { panic!("{runs:?}") };
        assert_eq!((first.subject.clone(), first.exit(), first.was_killed()), (web, Some(10), false));
        assert_eq!(first.time("success", "ended"), Some(at(20)));
        assert_eq!((first.time("last", "begun"), first.time("last", "ended")), (Some(at(30)), Some(at(40))));
        assert_eq!(first.record["snapshot"]["id"], "s1");
        assert_eq!(first.record["last"]["message"], "gone");
        assert_eq!((second.subject.clone(), second.exit(), second.is_running), (none, None, true));
        // As if it had been killed: the lock goes, nothing is written.
        drop(running);
        assert_eq!((all(&state).unwrap()[1].exit(), all(&state).unwrap()[1].was_killed()), (Some(1), true));
        std::fs::write(dir.path().join("runs/x.json"), "{").unwrap();
        assert_eq!(all(&state).unwrap().len(), 2);
    }
}
