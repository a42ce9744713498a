//! One run of a command: its settings, and the way from them to an open repository.

use crate::exit::{Exit, Failure, Result, chain};
use crate::output::Output;
use crate::remote::{Judged, Record, Remote, Target, canonical, checks_line, place_line, publisher};
use crate::secrets;
use crate::settings::Settings;
use crate::signals;
use crate::state::State;
use crate::values;
use cairn::audit::log::Log;
use cairn::clock::{Clock, SystemClock};
use cairn::crypto::random::{OsRandom, Randomness};
use cairn::engine::browse::{Snapshot, SnapshotFilter, Snapshots};
use cairn::engine::{Context, EngineError};
use cairn::format::key_slot::Unlock;
use cairn::format::layout::is_cacheable;
use cairn::id::RepositoryId;
use cairn::journal::Journal;
use cairn::progress::EventSink;
use cairn::repository::open::{Remembered, Unverified, identify_known, open_identified};
use cairn::repository::sites::Records;
use cairn::repository::{Access, Repository, RepositoryError, sites};
use cairn::residency::{Pin, Policy};
use cairn::storage::{CachedFetch, ErrorKind, Fetch, Location, StorageError, Store};
use serde_json::Value;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

/// Most bytes of one repository that stay in the cache from run to run.
const CACHE_BYTES_MAX: u64 = 2 << 30;

/// What to do about a repository that somebody deleted from a bucket.
const HOW_TO_READ_THE_PAST: &str = "where the bucket keeps versions, what was deleted can still be read: \
                                               `cairn snapshots --at TIME`, then `cairn restore SNAPSHOT --at TIME \
                                               --target DIR`, with a TIME before that";

/// What a command wants to do with the repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// Only read it.
    Read,
    /// Read what the store has, past the cache.
    Check,
    /// Add to it.
    Write,
}

/// What every command works with.
#[derive(Debug)]
pub(crate) struct Run {
    /// Settings.
    pub(crate) settings: Settings,
    /// Where to say things.
    pub(crate) output: Arc<Output>,
    /// The state directory.
    pub(crate) state: State,
    /// Set by signals once an operation has begun.
    pub(crate) stop: Arc<AtomicBool>,
    /// Randomness.
    pub(crate) random: Arc<dyn Randomness>,
    /// Time.
    pub(crate) clock: Arc<dyn Clock>,
    /// Figures of what was done, for whoever watches over runs.
    summary: Mutex<Value>,
}

/// A repository that is open.
#[derive(Debug)]
pub(crate) struct Opened {
    /// It.
    pub(crate) repository: Arc<Repository>,
    /// Where it was found.
    pub(crate) location: Location,
    /// Its store.
    pub(crate) store: Store,
    /// How it is reached, if that is over a network.
    pub(crate) remote: Option<Arc<Remote>>,
    /// What was found out about its place, if something may be sent there.
    pub(crate) judged: Option<Judged>,
    /// Its declarations and policies, if they were listed for that.
    pub(crate) records: Option<Records>,
}

/// A store, before it is known what is in it.
#[derive(Debug, Clone)]
pub(crate) struct Reached {
    /// It: over a network for reading and removing only.
    pub(crate) store: Store,
    /// How it is reached, if that is over a network.
    pub(crate) remote: Option<Arc<Remote>>,
}

impl From<Remote> for Reached {
    fn from(remote: Remote) -> Self {
        Self { store: remote.store(), remote: Some(Arc::new(remote)) }
    }
}

impl Opened {
    /// Its id.
    pub(crate) fn id(&self) -> RepositoryId {
        self.repository.config().repository
    }
}

impl Run {
    /// A run with these settings.
    pub(crate) fn new(mut settings: Settings, output: Arc<Output>) -> Self {
        settings.location = canonical(settings.location);
        let stop = Arc::new(AtomicBool::new(false));
        let state = State::new(&settings.state_dir);
        let (random, clock) = (Arc::new(OsRandom), Arc::new(SystemClock::new()));
        Self { settings, output, state, stop, random, clock, summary: Mutex::default() }
    }

    /// Keeps figures of what was done: `snapshot` (an id), `files`, `bytes`, `stored_bytes`, `errors`.
    pub(crate) fn set_summary(&self, summary: Value) {
        *self.summary.lock().unwrap_or_else(PoisonError::into_inner) = summary;
    }

    /// They, or null.
    pub(crate) fn summary(&self) -> Value {
        self.summary.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The same run at another location.
    pub(crate) fn at(&self, location: Location) -> Self {
        Self {
            settings: self.settings.at(canonical(location)),
            output: self.output.clone(),
            state: self.state.clone(),
            stop: self.stop.clone(),
            random: self.random.clone(),
            clock: self.clock.clone(),
            summary: Mutex::default(),
        }
    }

    /// Where the repository is.
    pub(crate) fn location(&self) -> &Location {
        &self.settings.location
    }

    /// What is remembered of the location.
    pub(crate) fn record(&self) -> Record<'_> {
        Record { state: &self.state, output: &self.output, location: self.location() }
    }

    /// The bucket that the location names; `None` for a local one. What is to be sent to is admitted `under` a policy.
    pub(crate) fn reach(&self, under: Option<&Policy>) -> Result<Option<Remote>> {
        let tried = |failure: Failure| failure.while_trying(self.tried_to_open());
        let Some(target) = Target::of_location(self.location(), &self.state).map_err(tried)? else { return Ok(None) };
        let record = self.record();
        let remote = Remote::reach(target, &self.settings, record.known_create_mode(), under).map_err(tried)?;
        record.say_ignored(&self.settings.ignored);
        Ok(Some(remote))
    }

    /// The repository that is there; `None` if there is none and this machine never knew one. A place that nothing may be
    /// sent to under any policy is not even asked, if that is what it is for.
    pub(crate) fn find(&self, need: Need) -> Result<Option<(Reached, Unverified)>> {
        self.refuse_past_of_directory()?;
        let loosest = Policy::new(Pin::Canada);
        let reached = match self.reach((need == Need::Write).then_some(&loosest))? {
            Some(remote) => {
                if need == Need::Write {
                    let known = self.state.known(self.location()).ok().flatten();
                    remote.ask_ahead(&*self.clock, known.and_then(|id| Log::current(&self.log_folder(&id))));
                }
                self.reached(remote)?
            }
            None => match cairn::storage::connect(self.location()) {
                Ok(store) => Reached { store, remote: None },
                Err(StorageError { kind: ErrorKind::StoreMissing, .. }) => {
                    return self.expect_unknown().map(|()| None);
                }
                Err(error) => return Err(Failure::from(error).while_trying(self.tried_to_open())),
            },
        };
        self.find_in(reached)
    }

    /// As [`Run::find`], in a store that was reached already.
    pub(crate) fn find_in(&self, reached: Reached) -> Result<Option<(Reached, Unverified)>> {
        match identify_known(&**reached.store.fetch(), &self.remembered()) {
            Ok(found) => Ok(Some((reached, found))),
            Err(RepositoryError::NotThere) => self.expect_unknown().map(|()| None),
            Err(error) => Err(self.explained(error.into()).while_trying(self.tried_to_open())),
        }
    }

    /// What this machine remembers of what is at the location. A record that cannot be read is spoken of by
    /// [`Run::expect_same`].
    fn remembered(&self) -> Remembered {
        Remembered { repository: self.state.known(self.location()).ok().flatten(), slot: self.record().known_slot() }
    }

    /// Refuses to go on where there is no repository and this machine has known one.
    pub(crate) fn expect_unknown(&self) -> Result<()> {
        let Some(known) = self.state.known(self.location())? else { return Ok(()) };
        if self.settings.at.is_some() {
            return Err(self.missing());
        }
        let location = self.location();
        let question = match location {
            Location::Local(_) => "is the disk mounted?".to_owned(),
            Location::S3 { .. } => format!("was it deleted? {HOW_TO_READ_THE_PAST}."),
        };
        Err(Failure::new(
            Exit::NoRepository,
            "repository-gone",
            format!("the repository that was here is gone: {location} held repository {known}, and holds none now"),
            format!("{question} {}", self.how_to_forget()),
        ))
    }

    fn how_to_forget(&self) -> String {
        let records: Vec<String> =
            self.state.records(self.location()).iter().map(|p| p.display().to_string()).collect();
        format!("If it is gone for good, remove what remembers it: {}", records.join(" and "))
    }

    /// The repository that has to be there.
    pub(crate) fn find_existing(&self, need: Need) -> Result<(Reached, Unverified)> {
        self.find(need)?.ok_or_else(|| self.missing())
    }

    /// That there is none.
    pub(crate) fn missing(&self) -> Failure {
        let failure = Failure::from(RepositoryError::NotThere).while_trying(self.tried_to_open());
        match self.location() {
            Location::Local(_) => failure,
            Location::S3 { .. } if self.settings.at.is_some() => failure
                .with_hint("by the store's clock it was not there at that time: try a later one, or an earlier one"),
            Location::S3 { .. } => {
                let hint = format!("{}. If it was deleted: {HOW_TO_READ_THE_PAST}", failure.hint);
                failure.with_hint(hint)
            }
        }
    }

    /// Opens the repository, which has to be there, with the secret that the settings name.
    pub(crate) fn open(&self, need: Need) -> Result<Opened> {
        let (reached, found) = self.find_existing(need)?;
        self.open_found(reached, &found, need)
    }

    /// As [`Run::open`], for what [`Run::find`] found.
    pub(crate) fn open_found(&self, reached: Reached, found: &Unverified, need: Need) -> Result<Opened> {
        self.expect_same(found, need)?;
        let unlock = secrets::unlock(&self.settings, &found.repository(), &self.output)?;
        self.open_with(reached, found, &unlock, need)
    }

    /// Refuses another repository than the one that was here before.
    pub(crate) fn expect_same(&self, found: &Unverified, need: Need) -> Result<()> {
        let known = match self.state.known(self.location()) {
            // What a restore does not need must not keep it from being made.
            Err(failure) if need != Need::Write => {
                self.output.warn(&failure.message);
                None
            }
            known => known?,
        };
        let found = found.repository();
        let Some(expected) = known.filter(|id| *id != found) else { return Ok(()) };
        let another = RepositoryError::Another { expected: expected.to_string(), found: found.to_string() };
        Err(Failure::from(another).while_trying(self.tried_to_open()).with_hint(format!(
            "the repository that was here is gone: is the right disk mounted? {}",
            self.how_to_forget()
        )))
    }

    /// Opens a repository that [`Run::find`] found with this secret, and remembers that it is here.
    pub(crate) fn open_with(
        &self,
        reached: Reached,
        found: &Unverified,
        unlock: &Unlock,
        need: Need,
    ) -> Result<Opened> {
        let Reached { store, remote } = reached;
        let fetch = match &remote {
            Some(_) => self.through_cache(store.fetch(), &found.repository(), need),
            None => store.fetch().clone(),
        };
        let access = Access { fetch, publish: None };
        let repository = open_identified(access, found, unlock, self.random.clone())
            .map_err(|error| Failure::from(error).while_trying(self.tried_to_open()))?;
        let (repository, location) = (Arc::new(repository), self.location().clone());
        let opened = Opened { repository, location, store, remote, judged: None, records: None };
        self.remember(&opened);
        match need {
            Need::Write => self.allow_writing(opened, None),
            Need::Read | Need::Check => {
                opened.remote.iter().for_each(|remote| remote.warn_if_refused(&self.output));
                Ok(opened)
            }
        }
    }

    /// A store on a network, read through the cache. Who checks sees what the store has now: nothing of earlier runs, but each
    /// object once.
    fn through_cache(&self, fetch: &Arc<dyn Fetch>, id: &RepositoryId, need: Need) -> Arc<dyn Fetch> {
        let Some(dir) = self.settings.cache_dir.as_ref().map(|dir| dir.join(id.to_string())) else {
            return fetch.clone();
        };
        // Before it grows; what cannot be removed is no reason to stop.
        let _ = cairn::storage::cache::trim(&dir, CACHE_BYTES_MAX);
        if need != Need::Check {
            return Arc::new(CachedFetch::new(fetch.clone(), dir, is_cacheable));
        }
        match CachedFetch::of_this_run(fetch.clone(), &dir, is_cacheable, CACHE_BYTES_MAX) {
            Ok(cached) => Arc::new(cached),
            Err(_) => fetch.clone(),
        }
    }

    /// Opens the way to create objects: over a network, through the gate, under the repository's policy or the one given.
    ///
    /// # Errors
    /// Exit 20 or 23 where nothing may be sent.
    pub(crate) fn allow_writing(&self, opened: Opened, policy: Option<&Policy>) -> Result<Opened> {
        let tried = |failure: Failure| failure.while_trying(format!("send to {}", self.named(&opened)));
        let mut listed = None;
        let (publish, judged) = match &opened.remote {
            None => {
                refuse_network(&opened.store, self.location())?;
                (opened.store.publish().cloned(), None)
            }
            Some(remote) => {
                let effective = match policy {
                    Some(policy) => policy.clone(),
                    None => {
                        let (policy, records) = self.policy_and_records(&opened)?;
                        listed = Some(records);
                        policy
                    }
                };
                let (sender, judged) = remote.sender(&effective, &self.clock, &self.record()).map_err(tried)?;
                self.output.info(&place_line(&judged));
                self.output.info(&checks_line(&judged.verdict));
                (Some(publisher(sender)), Some(judged))
            }
        };
        let Some(publish) = publish else { return Ok(opened) };
        let Opened { repository, location, store, remote, .. } = opened;
        let repository = Arc::try_unwrap(repository).map_err(|_| {
            Failure::new(
                Exit::Failed,
                "failed",
                "the repository is in use already and cannot be opened for writing",
                "",
            )
        })?;
        let repository = Arc::new(repository.with_publish(publish));
        Ok(Opened { repository, location, store, remote, judged, records: listed })
    }

    /// The repository's policy. One that is older than what this machine has seen is refused: the newer one was taken away.
    ///
    /// # Errors
    /// Exit 20 for that; damage; what the store says.
    pub(crate) fn policy(&self, opened: &Opened) -> Result<Policy> {
        self.policy_and_records(opened).map(|(policy, _)| policy)
    }

    /// As [`Run::policy`], with what was listed for it.
    fn policy_and_records(&self, opened: &Opened) -> Result<(Policy, Records)> {
        let tried = |failure: Failure| failure.while_trying(format!("read the policy of {}", self.named(opened)));
        let failed = |error: RepositoryError| tried(error.into());
        let ahead = opened.remote.as_ref().and_then(|remote| remote.ahead.records());
        let records = ahead.unwrap_or_else(|| Records::list(opened.repository.fetch())).map_err(failed)?;
        let newest = sites::newest_policy(&opened.repository, &records).map_err(failed)?;
        let record = self.record();
        let (number, known) = (newest.as_ref().map_or(0, |newest| u64::from(newest.number)), record.known_policy());
        if number < known {
            return Err(tried(Failure::new(
                Exit::Residency,
                "residency-refused",
                format!("policy {known} was there, and the newest one there now is {number}"),
                "somebody has removed it from the store: find out who; `cairn residency pin` shows what is there and stores a new one",
            )));
        }
        record.policy(number);
        let pin = || Policy::new(opened.repository.config().pin.clone());
        Ok((newest.map_or_else(pin, |newest| newest.policy), records))
    }

    fn tried_to_open(&self) -> String {
        format!("open the repository at {}", self.place())
    }

    /// Remembers that this repository is here. Reading must work where nothing can be written, so failing is no error.
    pub(crate) fn remember(&self, opened: &Opened) {
        if let Err(failure) = self.state.remember(self.location(), &opened.id(), self.clock.now()) {
            self.output.info(&failure.message);
        }
        if let (Some(_), Some(slot)) = (&opened.remote, opened.repository.slot()) {
            self.record().slot(slot);
        }
    }

    /// What the engine works with. From here on signals end the operation in order.
    pub(crate) fn context(&self, opened: &Opened, sink: Arc<dyn EventSink>, journal: Arc<dyn Journal>) -> Context {
        signals::watch(&self.stop);
        Context {
            repository: opened.repository.clone(),
            sink,
            journal,
            clock: self.clock.clone(),
            stop: self.stop.clone(),
            workers: std::thread::available_parallelism().map_or(1, usize::from),
            memory_bytes: self.settings.memory_bytes,
        }
    }

    /// Reads which snapshots there are, and warns of those that cannot be read.
    pub(crate) fn snapshots(&self, opened: &Opened) -> Result<Snapshots> {
        let snapshots = Snapshots::load(&opened.repository).map_err(|error| {
            Failure::from(error).while_trying(format!("list the snapshots of {}", self.named(opened)))
        })?;
        for error in &snapshots.damaged {
            self.output.warn(&chain(error));
        }
        Ok(snapshots)
    }

    /// The snapshot that a text names. One that was forgotten is found by its whole id, with a warning.
    pub(crate) fn resolve<'a>(
        &self,
        all: &'a Snapshots,
        text: &str,
        filter: &SnapshotFilter,
    ) -> std::result::Result<&'a Snapshot, EngineError> {
        let snapshot = all.resolve(text, host_name().as_bytes(), filter)?;
        if all.is_forgotten(&snapshot.id) {
            self.output
                .warn(&format!("snapshot {} was forgotten; its data may be pruned at any time", snapshot.id.short()));
        }
        Ok(snapshot)
    }

    /// `repository ID at LOCATION`.
    pub(crate) fn named(&self, opened: &Opened) -> String {
        let at = self.settings.at.map(|at| format!(" as of {}", values::time(at))).unwrap_or_default();
        format!("repository {} at {}{at}", opened.id().short(), opened.location)
    }

    /// Those of `paths` that are on the same disk as the repository.
    pub(crate) fn on_same_disk<'a>(&self, paths: impl IntoIterator<Item = &'a Path>) -> Vec<&'a Path> {
        let Location::Local(repository) = self.location() else { return Vec::new() };
        let device = |path: &Path| path.symlink_metadata().ok().map(|metadata| metadata.dev());
        let Some(own) = repository.metadata().ok().map(|metadata| metadata.dev()) else { return Vec::new() };
        paths.into_iter().filter(|path| device(path) == Some(own)).collect()
    }

    /// What must never be backed up: the repository, the cache and the state.
    pub(crate) fn own_paths(&self) -> Vec<PathBuf> {
        let repository = match self.location() {
            Location::Local(path) => Some(path.clone()),
            _ => None,
        };
        let state = self.state.path().to_owned();
        repository.into_iter().chain(self.settings.cache_dir.clone()).chain([state]).collect()
    }
}

/// Refuses a directory whose bytes may lie anywhere.
pub(crate) fn refuse_network(store: &Store, location: &Location) -> Result<()> {
    let Some(kind) = store.network_file_system() else { return Ok(()) };
    Err(Failure::new(
        Exit::Residency,
        "residency-refused",
        format!(
            "cannot write to the repository at {location}: it is on a network file system ({kind}), and where its data lies cannot be told"
        ),
        "use a directory on a disk of this host",
    ))
}

/// The name of this host.
pub(crate) fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// The name of the user who runs this, or the number if it has none.
pub(crate) fn user_name() -> String {
    let uid = nix::unistd::geteuid();
    nix::unistd::User::from_uid(uid).ok().flatten().map_or_else(|| uid.to_string(), |user| user.name)
}
