//! A command's run in the log: begun before it acts, handed to the engine as its journal, and ended with what came of it.
//!
//! What only reads goes on without a record, and says so. What writes needs one (exit 21), and what removes or changes who may
//! do what needs a log that verifies (exit 24). The schema is `docs/audit-log.md`.

use crate::exit::{Exit, Failure, Result};
use crate::output::Output;
use crate::remote::{Judged, Remote};
use crate::run::{Opened, Run, host_name, user_name};
use cairn::audit::AuditError;
use cairn::audit::leaf::{Event, Outcome, PURPOSES};
use cairn::audit::publish::Store;
use cairn::audit::record::Tokens;
use cairn::audit::recorder::{LateRecord, Need, Opening, Recorder};
use cairn::crypto::sign::Identity;
use cairn::format::file_records;
use cairn::id::{RepositoryId, SessionId};
use cairn::journal::{Journal, Unrecorded};
use cairn::object::ObjectName;
use cairn::storage::{Fetch, Location, Publish};
use serde_json::{Value, json};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The record of one run.
#[derive(Debug)]
pub(crate) struct Record {
    recorder: Option<Arc<Recorder>>,
    output: Arc<Output>,
    remote: Option<Arc<Remote>>,
    /// What a late record is put beside.
    beside: Option<PathBuf>,
}

/// What is recorded of a run's beginning.
#[derive(Debug)]
pub(crate) struct Beginning<'a> {
    /// What it may do without.
    pub(crate) need: Need,
    /// Which command.
    pub(crate) operation: &'static str,
    /// Why, as whoever started it said.
    pub(crate) purpose: &'a str,
    /// Fields of its own: an object without names of files, people or hosts.
    pub(crate) fields: Value,
}

/// A repository as far as the log needs it.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    /// Its id.
    pub(crate) id: RepositoryId,
    /// It, if it is open.
    pub(crate) opened: Option<&'a Opened>,
    /// Its store, if the run may add to it.
    pub(crate) store: Option<(Arc<dyn Fetch>, Arc<dyn Publish>)>,
    /// What was found out about where it is.
    pub(crate) judged: Option<&'a Judged>,
    /// How it is reached over a network.
    pub(crate) remote: Option<Arc<Remote>>,
}

impl Run {
    /// Where this host keeps its logs of a repository.
    pub(crate) fn log_folder(&self, id: &RepositoryId) -> PathBuf {
        self.state.path().join("audit").join(id.to_string())
    }

    /// Begins the record of a run on an open repository.
    ///
    /// # Errors
    /// Exit 21 where it has to be recorded and cannot be, exit 24 where the log has to verify and does not.
    pub(crate) fn begin(&self, opened: &Opened, beginning: Beginning<'_>) -> Result<Record> {
        let publish = opened.repository.publish().ok().cloned();
        let place = Place {
            id: opened.id(),
            opened: Some(opened),
            store: publish.map(|publish| (opened.store.fetch().clone(), publish)),
            judged: opened.judged.as_ref(),
            remote: opened.remote.clone(),
        };
        self.begin_at(&place, beginning)
    }

    /// As [`Run::begin`], for a repository that may not be open.
    pub(crate) fn begin_at(&self, place: &Place<'_>, beginning: Beginning<'_>) -> Result<Record> {
        let need = beginning.need;
        let record =
            |recorder| Record { recorder, output: self.output.clone(), remote: place.remote.clone(), beside: None };
        match self.recorder(place, beginning) {
            Ok(recorder) => {
                recorder.take_alerts().iter().for_each(|alert| self.output.warn(alert));
                Ok(record(Some(Arc::new(recorder))))
            }
            Err(failure) if need == Need::Read => {
                self.output.warn(&format!("this run is not recorded: {}", failure.message));
                Ok(record(None))
            }
            Err(failure) => Err(failure),
        }
    }

    fn recorder(&self, place: &Place<'_>, beginning: Beginning<'_>) -> Result<Recorder> {
        let Beginning { need, operation, purpose, fields } = beginning;
        let identity = match self.state.identity(&*self.random) {
            Err(failure) if need == Need::Read => {
                self.output.info(&failure.message);
                Identity::generate(&*self.random)
                    .map_err(|error| Failure::new(Exit::Failed, "random", error.to_string(), ""))?
            }
            identity => identity?,
        };
        let repository = place.opened.map(|opened| opened.repository.clone());
        let tokens = repository.as_ref().map(|repository| Tokens::new(&repository.keys().tokens));
        let all = self.first_fields(place, purpose, tokens.as_ref(), fields);
        let seal = repository.clone().map(|repository| {
            let seal = move |content: &[u8]| {
                let (keys, random) = (repository.keys(), repository.random());
                file_records::encode(content, &repository.place(), &keys.entries, random).map_err(|e| e.to_string())
            };
            Box::new(seal) as cairn::audit::recorder::Seal
        });
        let is_committed = |session: &SessionId| {
            let repository = repository.as_ref()?;
            let name: ObjectName = repository.layout().cell(session);
            match repository.fetch().size(&name) {
                Ok(_) => Some(true),
                Err(error) if error.is_not_found() => Some(false),
                Err(_) => None,
            }
        };
        let opening = Opening {
            folder: &self.log_folder(&place.id),
            repository: place.id,
            identity: Arc::new(identity),
            random: self.random.clone(),
            clock: self.clock.clone(),
            tokens,
            seal,
            store: place.store.clone().map(|(fetch, publish)| Store { fetch, publish }),
            newest: place.remote.as_ref().and_then(|remote| remote.ahead.log()),
            need,
            operation,
            fields: all,
            events: place.judged.map(checked).into_iter().collect(),
            is_committed: &is_committed,
        };
        Recorder::begin(opening).map_err(|error| failure(&error).while_trying("keep a record of this run"))
    }

    fn first_fields(&self, place: &Place<'_>, purpose: &str, tokens: Option<&Tokens>, fields: Value) -> Value {
        let mut all = fields;
        all["version"] = env!("CARGO_PKG_VERSION").into();
        all["cause"] = if self.settings.is_service { "service" } else { "command" }.into();
        all["purpose"] = match purpose.trim() {
            "" => "unspecified",
            known if PURPOSES.contains(&known) => known,
            other => {
                all["purpose_token"] = tokens.map(|tokens| tokens.name(other)).into();
                "other"
            }
        }
        .into();
        all["user_token"] = tokens.map(|tokens| tokens.name(&format!("user {}", user_name()))).into();
        all["host_token"] = tokens.map(|tokens| tokens.name(&format!("host {}", host_name()))).into();
        all["storage"] = match self.location() {
            Location::Local(_) => "this host",
            Location::S3 { .. } => "s3",
        }
        .into();
        if let Some(opened) = place.opened {
            all["pin"] = opened.repository.config().pin.to_string().into();
            all["policy"] = Some(self.record().known_policy()).filter(|number| *number > 0).into();
        }
        all
    }

    /// Records that nothing was sent, where a repository is known to have been.
    pub(crate) fn record_refusal(&self, operation: &'static str, to: Option<&Location>, failure: &Failure) {
        if !matches!(failure.exit, Exit::Residency | Exit::Unverified) {
            return;
        }
        let Some(id) = self.state.known(self.location()).ok().flatten() else { return };
        let place = Place { id, opened: None, store: None, judged: None, remote: None };
        let beginning = Beginning { need: Need::Read, operation, purpose: "", fields: json!({}) };
        let Ok(record) = self.begin_at(&place, beginning) else { return };
        let site = match to.unwrap_or(self.location()) {
            Location::S3 { site, .. } => site.clone(),
            Location::Local(_) => "this host".into(),
        };
        let fields = json!({"site": site, "kind": failure.kind, "exit": failure.exit as u8});
        record.say([Event { name: "residency.refused", outcome: Outcome::Refused, fields }]);
        let _ = record.end(Err(failure.clone()), json!({}));
    }
}

/// What was found out about the place that is sent to.
fn checked(judged: &Judged) -> Event {
    let verdict = &judged.verdict;
    let checks: serde_json::Map<String, Value> = verdict
        .findings
        .iter()
        .map(|finding| (finding.check.name().to_owned(), finding.outcome.name().into()))
        .collect();
    let row = judged.endpoint.site();
    let fields = json!({
        "site": verdict.site,
        "endpoint": row.origin.authority(),
        "place": row.place.to_string(),
        "pin": verdict.pin.to_string(),
        "checks": checks,
        "table": verdict.table.compiled,
        "valid_until": crate::values::time_seconds(verdict.expires),
    });
    Event::ok("residency.checked", fields)
}

/// What a failure of the log means.
pub(crate) fn failure(error: &AuditError) -> Failure {
    let text = crate::exit::chain(error);
    match error {
        error if error.is_unverified() => Failure::new(
            Exit::LogUnverified,
            "log-unverified",
            text,
            "`cairn audit verify` says what is wrong; `cairn audit acknowledge` begins a new log that says so",
        ),
        AuditError::Io { .. } | AuditError::Nowhere { .. } => Failure::new(
            Exit::NoLog,
            "log-not-written",
            text,
            "make the state directory writable, or name another with --state-dir",
        ),
        AuditError::Storage(error) => {
            let class = Failure::from(cairn::storage::StorageError {
                operation: error.operation,
                subject: error.subject.clone(),
                kind: error.kind,
                detail: error.detail.clone(),
            });
            Failure { message: text, ..class }
        }
        _ => Failure::new(Exit::NoLog, "log-not-written", text, ""),
    }
}

impl Record {
    /// Where a late record is to be put: beside this path.
    pub(crate) fn beside(mut self, path: &Path) -> Self {
        self.beside = Some(path.to_owned());
        self
    }

    /// What the engine tells.
    pub(crate) fn journal(&self) -> Arc<dyn Journal> {
        match &self.recorder {
            Some(recorder) => recorder.clone(),
            None => Arc::new(Unrecorded),
        }
    }

    /// The token of a name.
    pub(crate) fn token(&self, name: &str) -> Option<String> {
        self.recorder.as_ref().and_then(|recorder| recorder.token(name))
    }

    /// Adds events.
    pub(crate) fn say(&self, events: impl IntoIterator<Item = Event>) {
        if let Some(recorder) = &self.recorder
            && let Err(error) = recorder.say(events)
        {
            self.output.warn(&error.to_string());
        }
    }

    /// Adds events, and makes them durable before what they say is done.
    ///
    /// # Errors
    /// Exit 21.
    pub(crate) fn announce(&self, events: impl IntoIterator<Item = Event>) -> Result<()> {
        let Some(recorder) = &self.recorder else { return Ok(()) };
        recorder.announce(events).map_err(|error| failure(&error))
    }

    /// Ends it with what the run came to, which is passed on.
    pub(crate) fn end(self, ended: Result<Exit>, fields: Value) -> Result<Exit> {
        let Some(recorder) = &self.recorder else { return ended };
        let mut fields = fields;
        let outcome = match &ended {
            Ok(Exit::Done) => Outcome::Ok,
            Ok(exit) => {
                fields["exit"] = (*exit as u8).into();
                Outcome::Partial
            }
            Err(failure) => {
                fields["exit"] = (failure.exit as u8).into();
                fields["err"] = failure.kind.into();
                match failure.exit {
                    Exit::Residency | Exit::Unverified => Outcome::Refused,
                    _ => Outcome::Failed,
                }
            }
        };
        if let Some(remote) = &self.remote {
            let hosts = remote.traffic().hosts.into_iter().map(|(host, traffic)| {
                json!({"host": host, "requests": traffic.requests, "out": traffic.sent_bytes, "in": traffic.received_bytes})
            });
            fields["hosts"] = hosts.collect::<Vec<_>>().into();
        }
        if let Some(late) = recorder.finish(outcome, fields) {
            self.put_late(&late);
        }
        recorder.take_alerts().iter().for_each(|alert| self.output.warn(alert));
        ended
    }

    /// Puts a record that nothing else takes beside what was restored.
    fn put_late(&self, late: &LateRecord) {
        let Some(beside) = &self.beside else {
            self.output.warn(&format!("this run's record could not be kept: {}", late.why));
            return;
        };
        let mut name = beside.file_name().unwrap_or_default().to_owned();
        name.push(format!(".cairn-record-{}", std::process::id()));
        let path = beside.with_file_name(&name);
        let write = |path: &Path, bytes: &[u8]| {
            let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
            file.write_all(bytes)?;
            file.sync_all()
        };
        let parts = late.parts.iter().try_for_each(|(number, sealed)| {
            let mut name = name.clone();
            name.push(format!(".files-{number}"));
            write(&beside.with_file_name(name), sealed)
        });
        match late.text.as_ref().map_or(Ok(()), |text| write(&path, text)).and(parts) {
            Ok(()) => {
                let what = if late.text.is_some() { "signed record is" } else { "records of files are beside" };
                self.output.warn(&format!(
                    "this run could not be recorded in the log ({}); its {what} {}: keep it with the log",
                    late.why,
                    path.display()
                ));
            }
            Err(error) => self.output.warn(&format!(
                "this run's record could not be kept: {}; nor beside what was restored: {error}",
                late.why
            )),
        }
    }
}
