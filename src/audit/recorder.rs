//! One run's record: begun before anything is sent, kept while it works, closed at its end, wherever it can be kept.
//!
//! * The leaf that a run has begun is durable before this returns from [`Recorder::begin`]: in the state directory, or else
//!   in the repository. Only where neither can take it a run that writes must not go on.
//! * A run that only reads always goes on. What could not be kept comes back from [`Recorder::finish`] as a late record.
//! * Where the log on this host is not the one in the repository, or does not verify, a new one begins that cites both.
//! * A run that was killed is closed as `partial` by the next: its lock file can be locked.
//! * Records of files are made, sealed and stored by the thread that brought enough of them, and no lock is held meanwhile. The
//!   leaf that has their root is said when all of them are where they belong: nothing is noted before it and stored after it.

use crate::audit::error::{AuditError, Result};
use crate::audit::founding::{Found, Founder};
use crate::audit::leaf::{Event, Outcome, base64, millis};
use crate::audit::log::{Log, make_folder, replace};
use crate::audit::merkle::{leaf_hash, root};
use crate::audit::object::{self, LogPart};
use crate::audit::publish::{self, Store};
use crate::audit::record::Tokens;
use crate::audit::runs::{self, RunLock};
use crate::audit::spool::{Intake, Spool, Taken};
use crate::clock::Clock;
use crate::crypto::random::Randomness;
use crate::crypto::sign::Identity;
use crate::id::{RepositoryId, RunId, SessionId, hex};
use crate::journal::{Anchor, FileEvent, FileRecord, Journal, JournalError, Prepared};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use crate::audit::founding::{Need, Newest};

/// Sealed parts that are kept in memory where nothing can take them.
const PARTS_KEPT_MAX: usize = 16;

/// Seals the records of files for those who may read names.
pub type Seal = Box<dyn Fn(&[u8]) -> std::result::Result<Vec<u8>, String> + Send + Sync>;

/// What a recorder works with.
pub struct Opening<'a> {
    /// The folder of this repository's logs in the state directory.
    pub folder: &'a Path,
    /// The repository.
    pub repository: RepositoryId,
    /// Endorses new logs.
    pub identity: Arc<Identity>,
    /// For new ids and keys.
    pub random: Arc<dyn Randomness>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Makes tokens; `None` where the repository was not unlocked.
    pub tokens: Option<Tokens>,
    /// Seals records of files; `None` where the repository was not unlocked.
    pub seal: Option<Seal>,
    /// The repository's store, for runs that write.
    pub store: Option<Store>,
    /// How much of which log is in that store, if it was asked for already in this run.
    pub newest: Option<Newest>,
    /// What the run may do without.
    pub need: Need,
    /// Which command.
    pub operation: &'static str,
    /// Fields of the first leaf: an object.
    pub fields: Value,
    /// Further events that belong before anything is sent.
    pub events: Vec<Event>,
    /// Whether a prepared snapshot was committed, if that can be told.
    pub is_committed: &'a dyn Fn(&SessionId) -> Option<bool>,
}

impl std::fmt::Debug for Opening<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opening").field("operation", &self.operation).finish_non_exhaustive()
    }
}

/// A record that no place could take yet: to be put beside what was restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LateRecord {
    /// Endorsement, leaves and checkpoint of a log of this run alone; `None` if the log took the leaves.
    pub text: Option<Vec<u8>>,
    /// Records of files, sealed, with their numbers.
    pub parts: Vec<(u64, Vec<u8>)>,
    /// Why it is late.
    pub why: String,
}

struct State {
    log: Log,
    store: Option<Store>,
    /// Leaves in the repository.
    published: u64,
    /// Said and not yet durable.
    pending: Vec<Vec<u8>>,
    /// This run's leaves that are durable, in case they have to move.
    said: Vec<Vec<u8>>,
    spool: Spool,
    first_part: u64,
    parts: Vec<(u64, Vec<u8>)>,
    parts_lost: u64,
    /// Why the log on this host is not used.
    why_late: Option<String>,
    alerts: Vec<String>,
    lock: Option<RunLock>,
}

/// Keeps one run's record.
pub struct Recorder {
    state: Mutex<State>,
    /// Where files are noted, under a lock of its own: it may be taken while `state` is held, and not the other way round.
    intake: Intake,
    /// Whether files were recovered.
    recovers: AtomicBool,
    folder: PathBuf,
    repository: RepositoryId,
    identity: Arc<Identity>,
    random: Arc<dyn Randomness>,
    clock: Arc<dyn Clock>,
    tokens: Option<Tokens>,
    seal: Option<Seal>,
    need: Need,
    operation: &'static str,
    run: RunId,
    begun: Duration,
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Recorder({})", self.run)
    }
}

impl Recorder {
    /// Begins a run's record.
    ///
    /// # Errors
    /// [`AuditError::Nowhere`] when a run that is no [`Need::Read`] has no place for it; for [`Need::Manage`] also
    /// [`AuditError::Unverified`]; [`AuditError::Random`].
    pub fn begin(opening: Opening<'_>) -> Result<Self> {
        let Opening {
            folder, repository, identity, random, clock, tokens, seal, store, newest, need, operation, ..
        } = opening;
        let run = RunId::from_bytes(random.bytes()?);
        let begun = clock.elapsed();
        let founder = Founder { folder, repository, identity: &identity, random: &*random, clock: &*clock, run };
        let Found { log, published, mut alerts, why_late } = founder.log(need, store.as_ref(), newest)?;
        let mut state = State {
            published,
            log,
            store,
            pending: Vec::new(),
            said: Vec::new(),
            spool: Spool::default(),
            first_part: 0,
            parts: Vec::new(),
            parts_lost: 0,
            why_late,
            alerts: Vec::new(),
            lock: None,
        };
        let dead = if state.log.is_in_memory() { Vec::new() } else { runs::dead(folder) };
        if !state.log.is_in_memory() {
            for dead in &dead {
                for leaf in runs::closing(&state.log, dead, &run, opening.is_committed) {
                    state.pending.push(leaf.line(dead, clock.now())?);
                }
                alerts.push(format!("run {dead} ended before it could close its record; it is closed as partial"));
            }
            state.lock = RunLock::take(folder, &run).ok();
        }
        state.alerts = alerts;
        let recorder = Self {
            state: Mutex::new(state),
            intake: Intake::default(),
            recovers: AtomicBool::new(false),
            folder: folder.to_owned(),
            repository,
            identity,
            random,
            clock,
            tokens,
            seal,
            need,
            operation,
            run,
            begun,
        };
        let mut fields = opening.fields;
        fields["op"] = operation.into();
        let first = [Event::ok("run.started", fields)].into_iter().chain(opening.events);
        recorder.say(first)?;
        recorder.lock().keep(&recorder)?;
        // Those and no others: one that died since is for the next run to close.
        runs::forget(folder, &dead);
        Ok(recorder)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Leaves are added whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds events. They become durable with the next step that has to be.
    ///
    /// # Errors
    /// [`AuditError::Leaf`].
    pub fn say(&self, events: impl IntoIterator<Item = Event>) -> Result<()> {
        let now = self.clock.now();
        let lines = events.into_iter().map(|event| event.line(&self.run, now)).collect::<Result<Vec<_>>>()?;
        self.lock().pending.extend(lines);
        Ok(())
    }

    /// Adds events and makes them durable, before what they announce is done.
    ///
    /// # Errors
    /// As [`Recorder::begin`].
    pub fn announce(&self, events: impl IntoIterator<Item = Event>) -> Result<()> {
        self.say(events)?;
        self.lock().keep(self)
    }

    /// What people should know about the log.
    pub fn take_alerts(&self) -> Vec<String> {
        std::mem::take(&mut self.lock().alerts)
    }

    /// The token of a name, if the repository was unlocked.
    pub fn token(&self, name: &str) -> Option<String> {
        self.tokens.as_ref().map(|tokens| tokens.name(name))
    }

    /// Ends the record. What no place could take comes back.
    pub fn finish(&self, outcome: Outcome, fields: Value) -> Option<LateRecord> {
        let recovers = self.recovers.load(Relaxed);
        let mut state = if recovers { self.settled() } else { self.lock() };
        let mut fields = fields;
        fields["op"] = self.operation.into();
        fields["ms"] = (self.clock.elapsed().saturating_sub(self.begun).as_millis() as u64).into();
        let mut events = Vec::new();
        if recovers {
            events.push(Event { name: "content.recovered", outcome, fields: state.end_files() });
        }
        events.push(Event { name: "run.finished", outcome, fields });
        let now = self.clock.now();
        for event in events {
            match event.line(&self.run, now) {
                Ok(line) => state.pending.push(line),
                Err(error) => state.alerts.push(error.to_string()),
            }
        }
        if let Err(error) = state.keep(self) {
            state.alerts.push(error.to_string());
        }
        if let Err(error) = state.publish(&self.folder) {
            let text = format!("the end of this run is not in the repository's log yet: {error}");
            state.alerts.push(text);
        }
        let late = state.late();
        match state.lock.take() {
            // What this run had begun in the log on this host, before that could not be written any more, the next one closes.
            Some(lock) if state.log.is_in_memory() => drop(lock),
            Some(lock) => lock.release(),
            None => {}
        }
        late
    }

    /// Makes records of files. What has one order for all threads is done under the lock, and what takes long is not.
    fn take_in(&self, tokens: &Tokens, mut batch: Taken<'_>) {
        let records = batch.records(tokens);
        let full = self.lock().spool.add(records);
        if let Some(part) = full {
            self.put_part(part);
        }
    }

    /// The state, when every file noted so far is in a part, and every part where it belongs.
    fn settled(&self) -> MutexGuard<'_, State> {
        loop {
            if let (Some(tokens), Some(batch)) = (&self.tokens, self.intake.take()) {
                self.take_in(tokens, batch);
            }
            self.intake.wait();
            let mut state = self.lock();
            match state.spool.flush() {
                Some(part) => {
                    drop(state);
                    self.put_part(part);
                }
                // What is in the tree was added by a batch that is not under way any more.
                None if self.intake.is_idle() => return state,
                None => {}
            }
        }
    }

    /// Seals a part, and puts it into the repository, or the state directory, or keeps it.
    fn put_part(&self, (number, content): (u64, Vec<u8>)) {
        let sealed = self.seal.as_ref().map(|seal| seal(&content));
        let kept = match sealed {
            Some(Ok(sealed)) => self.store_part(number, sealed),
            Some(Err(error)) => Err(AuditError::Seal(error)),
            None => Err(AuditError::Seal("the repository is not open".into())),
        };
        let mut state = self.lock();
        state.spool.reuse(content);
        if let Err(error) = kept {
            state.parts_lost += 1;
            state.alerts.push(format!("records of single files are lost: {error}"));
        }
    }

    fn store_part(&self, number: u64, sealed: Vec<u8>) -> Result<()> {
        let (log, store) = {
            let state = self.lock();
            (state.log.id(), state.store.clone())
        };
        let name = object::files(&log, &self.run, number);
        if let Some(store) = &store {
            return publish::publish_fresh(&*store.publish, &name, &sealed);
        }
        let folder = self.folder.join("files");
        let file = folder.join(format!("{log}.{}", name.last_part()));
        let stored = make_folder(&folder).and_then(|()| replace(&file, &sealed, true));
        if stored.is_err() {
            let mut state = self.lock();
            if state.parts.len() < PARTS_KEPT_MAX {
                state.parts.push((number, sealed));
                return Ok(());
            }
        }
        stored
    }
}

impl State {
    /// Where the records of files of this run end, and what they come to.
    fn end_files(&mut self) -> Value {
        let (count, root, parts) = self.spool.totals();
        let value = json!({
            "files_count": count,
            "files_root": base64(&root),
            "files_first_part": self.first_part,
            "files_parts": parts - self.first_part,
            "files_parts_lost": Some(self.parts_lost).filter(|lost| *lost > 0),
        });
        self.first_part = parts;
        self.spool.begin_tree();
        value
    }

    /// Makes what was said durable.
    fn keep(&mut self, recorder: &Recorder) -> Result<()> {
        let pending = std::mem::take(&mut self.pending);
        if pending.is_empty() {
            return Ok(());
        }
        if let Err(error) = self.log.append(&pending) {
            // The same leaves, in a log of this run alone.
            let why = error.to_string();
            let leaves = [&self.said[..], &pending].concat();
            let found = Founder {
                folder: &recorder.folder,
                repository: recorder.repository,
                identity: &recorder.identity,
                random: &*recorder.random,
                clock: &*recorder.clock,
                run: recorder.run,
            };
            self.log = found.in_memory(Some(&self.log), &leaves)?;
            self.published = 0;
            self.why_late = Some(why);
        }
        self.said.extend(pending);
        if !self.log.is_in_memory() {
            return Ok(());
        }
        let host = || self.why_late.clone().unwrap_or_default();
        match (&self.store, recorder.need) {
            (_, Need::Read) => Ok(()),
            (None, _) => Err(AuditError::Nowhere { host: host(), repository: "it can only be read".into() }),
            (Some(store), _) => match publish::publish(store, &self.log, self.published) {
                Ok(size) => {
                    self.published = size;
                    Ok(())
                }
                Err(error) => Err(AuditError::Nowhere { host: host(), repository: error.to_string() }),
            },
        }
    }

    /// Stores what the repository lacks.
    fn publish(&mut self, folder: &Path) -> Result<()> {
        let Some(store) = &self.store else { return Ok(()) };
        runs::publish_waiting_files(folder, store);
        self.log.catch_up()?;
        self.published = publish::publish(store, &self.log, self.published)?;
        if !self.log.is_in_memory() {
            runs::remember_published(folder, &self.log.id(), self.published);
        }
        Ok(())
    }

    /// What is in no place.
    fn late(&mut self) -> Option<LateRecord> {
        let parts = std::mem::take(&mut self.parts);
        let why = self.why_late.clone().unwrap_or_else(|| "records of files could not be written".into());
        if !self.log.is_in_memory() || self.store.is_some() && self.published == self.log.size() {
            return (!parts.is_empty()).then_some(LateRecord { text: None, parts, why });
        }
        let leaves = self.log.leaves(0..self.log.size()).ok()?;
        let note = self.log.checkpoint(self.log.size()).ok()?;
        let mut text = self.log.endorsement().note.to_string().into_bytes();
        text.push(b'\n');
        text.extend(LogPart::encode(&leaves, &note));
        Some(LateRecord { text: Some(text), parts, why })
    }
}

impl Journal for Recorder {
    fn file(&self, record: &FileRecord<'_>) -> std::result::Result<(), JournalError> {
        let Some(tokens) = &self.tokens else { return Ok(()) };
        if matches!(record.event, FileEvent::Recovered | FileEvent::NotRecovered) {
            self.recovers.store(true, Relaxed);
        }
        if let Some(batch) = self.intake.note(record, millis(self.clock.now())) {
            self.take_in(tokens, batch);
        }
        Ok(())
    }

    fn settle(&self) {
        drop(self.settled());
    }

    fn prepared(&self, prepared: &Prepared<'_>) -> std::result::Result<Option<Anchor>, JournalError> {
        let failed = |error: AuditError| JournalError(error.to_string());
        let names: Vec<_> = prepared.objects.iter().map(|name| leaf_hash(name.as_str().as_bytes())).collect();
        let mut state = self.settled();
        let mut fields = state.end_files();
        fields["snapshot"] = prepared.session.to_string().into();
        fields["checkpoint"] = prepared.checkpoint.into();
        fields["objects"] = names.len().into();
        fields["objects_root"] = base64(&root(&names)).into();
        fields["bytes"] = prepared.bytes.into();
        let line = Event::ok("snapshot.prepared", fields).line(&self.run, self.clock.now()).map_err(failed)?;
        state.pending.push(line);
        state.keep(self).map_err(failed)?;
        if let Err(error) = state.publish(&self.folder) {
            // The leaf is durable here. If the store takes nothing any more, the cell will not get there either.
            state.alerts.push(format!("the log in the repository lags behind: {error}"));
        }
        Ok(Some(Anchor { log: state.log.id(), size: state.log.size(), root: state.log.root() }))
    }

    fn committed(&self, session: &SessionId, cell: &[u8; 32]) {
        let fields = json!({"snapshot": session.to_string(), "cell_blake3": hex(cell)});
        // At worst it is said by the next run.
        let _ = self.say([Event::ok("snapshot.committed", fields)]);
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests;
