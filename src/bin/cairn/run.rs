//! One run of a command: its settings, and the way from them to an open repository.

use crate::exit::{Exit, Failure, Result};
use crate::output::Output;
use crate::secrets;
use crate::settings::Settings;
use crate::signals;
use crate::state::State;
use cairn::clock::{Clock, SystemClock};
use cairn::crypto::random::{OsRandom, Randomness};
use cairn::engine::Context;
use cairn::format::config::Config;
use cairn::format::key_slot::Unlock;
use cairn::id::RepositoryId;
use cairn::progress::EventSink;
use cairn::repository::open::identify;
use cairn::repository::{Access, Repository, RepositoryError};
use cairn::storage::{ErrorKind, Location, StorageError, Store};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// What a command wants to do with the repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// Only read it.
    Read,
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
}

/// A repository that is open.
#[derive(Debug)]
pub(crate) struct Opened {
    /// It.
    pub(crate) repository: Arc<Repository>,
    /// Its store.
    pub(crate) store: Store,
}

impl Opened {
    /// Its id.
    pub(crate) fn id(&self) -> RepositoryId {
        self.repository.config().repository
    }
}

impl Run {
    /// A run with these settings.
    pub(crate) fn new(settings: Settings, output: Arc<Output>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let state = State::new(&settings.state_dir);
        let (random, clock) = (Arc::new(OsRandom), Arc::new(SystemClock::new()));
        Self { settings, output, state, stop, random, clock }
    }

    /// Where the repository is.
    pub(crate) fn location(&self) -> &Location {
        &self.settings.location
    }

    /// The repository that is there; `None` if there is none and this machine never knew one.
    pub(crate) fn find(&self) -> Result<Option<(Store, Config)>> {
        let store = match cairn::storage::connect(self.location()) {
            Ok(store) => store,
            Err(StorageError { kind: ErrorKind::StoreMissing, .. }) => return self.expect_unknown().map(|()| None),
            Err(error) => return Err(Failure::from(error).while_trying(self.tried_to_open())),
        };
        match identify(&**store.fetch()) {
            Ok(config) => Ok(Some((store, config))),
            Err(RepositoryError::NotThere) => self.expect_unknown().map(|()| None),
            Err(error) => Err(Failure::from(error).while_trying(self.tried_to_open())),
        }
    }

    /// Refuses to go on where there is no repository and this machine has known one.
    pub(crate) fn expect_unknown(&self) -> Result<()> {
        let Some(known) = self.state.known(self.location())? else { return Ok(()) };
        let location = self.location();
        Err(Failure::new(
            Exit::NoRepository,
            "repository-gone",
            format!("the repository that was here is gone: {location} held repository {known}, and holds none now"),
            format!("is the disk mounted? {}", self.how_to_forget()),
        ))
    }

    fn how_to_forget(&self) -> String {
        let records: Vec<String> =
            self.state.records(self.location()).iter().map(|p| p.display().to_string()).collect();
        format!("If it is gone for good, remove what remembers it: {}", records.join(" and "))
    }

    /// The repository that has to be there.
    pub(crate) fn find_existing(&self) -> Result<(Store, Config)> {
        let missing = || Failure::from(RepositoryError::NotThere).while_trying(self.tried_to_open());
        self.find()?.ok_or_else(missing)
    }

    /// Opens the repository, which has to be there, with the secret that the settings name.
    pub(crate) fn open(&self, need: Need) -> Result<Opened> {
        let (store, config) = self.find_existing()?;
        self.open_found(store, &config, need)
    }

    /// As [`Run::open`], for what [`Run::find`] found.
    pub(crate) fn open_found(&self, store: Store, config: &Config, need: Need) -> Result<Opened> {
        self.expect_same(config, need)?;
        let unlock = secrets::unlock(&self.settings, &config.repository, &self.output)?;
        self.open_with(store, config, &unlock, need)
    }

    /// Refuses another repository than the one that was here before.
    pub(crate) fn expect_same(&self, config: &Config, need: Need) -> Result<()> {
        let known = match self.state.known(self.location()) {
            // What a restore does not need must not keep it from being made.
            Err(failure) if need == Need::Read => {
                self.output.warn(&failure.message);
                None
            }
            known => known?,
        };
        let Some(expected) = known.filter(|id| *id != config.repository) else { return Ok(()) };
        let another = RepositoryError::Another { expected: expected.to_string(), found: config.repository.to_string() };
        Err(Failure::from(another).while_trying(self.tried_to_open()).with_hint(format!(
            "the repository that was here is gone: is the right disk mounted? {}",
            self.how_to_forget()
        )))
    }

    /// Opens a repository that [`Run::find`] found with this secret, and remembers that it is here.
    pub(crate) fn open_with(&self, store: Store, config: &Config, unlock: &Unlock, need: Need) -> Result<Opened> {
        let publish = match need {
            Need::Write => {
                refuse_network(&store, self.location())?;
                store.publish().cloned()
            }
            Need::Read => None,
        };
        let access = Access { fetch: store.fetch().clone(), publish };
        let repository = cairn::repository::open::open(access, unlock, Some(&config.repository), self.random.clone())
            .map_err(|error| Failure::from(error).while_trying(self.tried_to_open()))?;
        let opened = Opened { repository: Arc::new(repository), store };
        self.remember(&opened);
        Ok(opened)
    }

    fn tried_to_open(&self) -> String {
        format!("open the repository at {}", self.location())
    }

    /// Remembers that this repository is here. Reading must work where nothing can be written, so failing is no error.
    fn remember(&self, opened: &Opened) {
        if let Err(failure) = self.state.remember(self.location(), &opened.id(), self.clock.now()) {
            self.output.info(&failure.message);
        }
    }

    /// What the engine works with. From here on signals end the operation in order.
    pub(crate) fn context(&self, opened: &Opened, sink: Arc<dyn EventSink>) -> Context {
        signals::watch(&self.stop);
        Context {
            repository: opened.repository.clone(),
            sink,
            clock: self.clock.clone(),
            stop: self.stop.clone(),
            workers: std::thread::available_parallelism().map_or(1, usize::from),
            memory_bytes: self.settings.memory_bytes,
        }
    }

    /// `repository ID at LOCATION`.
    pub(crate) fn named(&self, opened: &Opened) -> String {
        format!("repository {} at {}", opened.id().short(), self.location())
    }

    /// Those of `paths` that are on the same disk as the repository.
    pub(crate) fn on_same_disk<'a>(&self, paths: impl IntoIterator<Item = &'a PathBuf>) -> Vec<&'a Path> {
        let Location::Local(repository) = self.location() else { return Vec::new() };
        let device = |path: &Path| path.symlink_metadata().ok().map(|metadata| metadata.dev());
        let Some(own) = repository.metadata().ok().map(|metadata| metadata.dev()) else { return Vec::new() };
        paths.into_iter().map(PathBuf::as_path).filter(|path| device(path) == Some(own)).collect()
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
