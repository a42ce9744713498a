//! `cairn init`, and the making of a repository for `cairn backup --init`: keys first, durable and shown, then the
//! repository, its configuration last. Until that is there, nothing is, and nobody can have stored what no key opens.

use crate::args::InitArgs;
use crate::commands::residency;
use crate::exit::{Exit, Failure, Result};
use crate::record::{self, Beginning};
use crate::remote::{Judged, Remote, checks_line, place_line};
use crate::run::{Need, Opened, Run, host_name, refuse_network, user_name};
use crate::secrets;
use crate::settings::SecretSource;
use crate::values;
use cairn::audit::recorder as audit;
use cairn::chunker::ChunkerParams;
use cairn::format::key_slot::{SlotKind, SlotNotes, Unlock};
use cairn::id::RepositoryId;
use cairn::repository::open::{NewRepository, create_with_id};
use cairn::repository::{Access, RepositoryError};
use cairn::residency::{Pin, Policy};
use cairn::storage::s3::{CreateMode, S3Sender};
use cairn::storage::{Location, Publish, StorageError, Store};
use serde_json::{Value, json};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A repository that was just made.
#[derive(Debug)]
pub(crate) struct Made {
    /// It, open.
    pub(crate) opened: Opened,
    /// Its key file; `None` if a password opens it.
    key_file: Option<PathBuf>,
    /// The file with the recovery key; `None` if it was shown on the terminal.
    recovery_file: Option<PathBuf>,
}

/// Makes a repository and says where its keys are.
pub(crate) fn run(run: &Run, args: &InitArgs) -> Result<Exit> {
    let chunker = args.chunk_size.map_or_else(|| Ok(ChunkerParams::default()), chunker)?;
    let pin = args.pin.clone().unwrap_or(Pin::Canada);
    let policy = Policy { deny_us_parent: args.deny_us_parent, ..Policy::new(pin) };
    match make(run, &policy, chunker)? {
        Ok(made) => {
            for line in made.lines(run) {
                run.output.text(&line)?;
            }
            run.output.object(&made.object(run))?;
            Ok(Exit::Done)
        }
        Err(found) => {
            let exists = Failure::from(RepositoryError::Exists(found.to_string()));
            Err(exists.while_trying(format!("create a repository at {}", run.location())))
        }
    }
}

fn chunker(bytes: u64) -> Result<ChunkerParams> {
    let power = bytes.is_power_of_two().then(|| ChunkerParams::new(bytes.trailing_zeros() as u8));
    let message = || format!("--chunk-size: {} is not a power of two from 4K to 4M", values::size(bytes));
    power.and_then(std::result::Result::ok).ok_or_else(|| Failure::usage(message(), ""))
}

/// Makes a repository. The inner error is the id of one that is there already.
///
/// # Errors
/// Exit 10 where this machine has known one that is gone.
pub(crate) fn make(
    run: &Run,
    policy: &Policy,
    chunker: ChunkerParams,
) -> Result<std::result::Result<Made, RepositoryId>> {
    // Of two runs on this machine, one makes the repository and the other finds it.
    let lock = run.state.lock_init()?;
    let tried = || format!("create a repository at {}", run.location());
    // What is refused by its name alone is not asked anything.
    run.reach(Some(policy))?;
    if let Some((_, found)) = run.find(Need::Read)? {
        return Ok(Err(found.repository()));
    }
    if let (Location::Local(path), true) = (run.location(), run.settings.is_default_location) {
        make_parents(path)?;
    }
    let place = place(run, policy).map_err(|failure| failure.while_trying(tried()))?;

    let id = new_id(run)?;
    let (unlock, key_file) = first_key(run, &id)?;
    let recovery = Unlock::Recovery(secrets::new_secret(&*run.random)?);
    let recovery_file = publish_recovery_key(run, &id, &recovery, key_file.as_deref())?;
    let notes = SlotNotes {
        holder: user_name(),
        purpose: "made with the repository".into(),
        host: host_name(),
        created: run.clock.now(),
        expires: None,
    };
    let slots = vec![(unlock, notes.clone()), (recovery, SlotNotes { host: String::new(), ..notes })];
    let in_log = record::Place {
        id,
        opened: None,
        store: place.publish.clone().map(|publish| (place.store.fetch().clone(), publish)),
        judged: place.judged.as_ref(),
        remote: place.remote.clone(),
    };
    let fields = json!({"pin": policy.pin.to_string(), "deny_us_parent": policy.deny_us_parent});
    let beginning = Beginning { need: audit::Need::Add, operation: "init", purpose: "", fields };
    let record = run.begin_at(&in_log, beginning)?;
    let made = create(run, policy, chunker, place, (id, slots));
    let done = made.as_ref().map(|_| Exit::Done).map_err(Clone::clone);
    record.end(done, json!({"keys": ["first", "recovery"]}))?;
    drop(lock);
    Ok(Ok(Made { opened: made?, key_file, recovery_file }))
}

/// Makes the repository, its configuration last.
fn create(
    run: &Run,
    policy: &Policy,
    chunker: ChunkerParams,
    place: Place,
    (id, slots): (RepositoryId, Vec<(Unlock, SlotNotes)>),
) -> Result<Opened> {
    let tried = || format!("create a repository at {}", run.location());
    place.probe(run)?;
    let access = Access { fetch: place.store.fetch().clone(), publish: place.publish.clone() };
    let new = NewRepository { chunker, pin: policy.pin.clone(), slots };
    let made = create_with_id(access, id, &new, run.random.clone(), &*run.clock);
    let repository = made.map_err(|error| {
        let failure = Failure::from(error).while_trying(tried());
        let hint = format!("{} The keys made or shown for {id} open nothing if it was not made", failure.hint);
        failure.with_hint(hint.trim_start())
    })?;
    run.state.remember(run.location(), &id, run.clock.now())?;
    if let (Some(_), Some(slot)) = (&place.remote, repository.slot()) {
        run.record().slot(slot);
    }
    let Place { store, remote, judged, .. } = place;
    let location = run.location().clone();
    let opened = Opened { repository: Arc::new(repository), location, store, remote, judged, records: None };
    residency::publish_declaration(run, &opened)?;
    if policy.deny_us_parent {
        residency::publish_policy(run, &opened, None, "", policy)?;
    }
    Ok(opened)
}

/// A place that may be sent to, whatever is there.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) store: Store,
    pub(crate) publish: Option<Arc<dyn Publish>>,
    sender: Option<Arc<S3Sender>>,
    pub(crate) remote: Option<Arc<Remote>>,
    pub(crate) judged: Option<Judged>,
}

/// Makes a directory, or finds out whether something may be sent to a bucket. Before any key is made: a place that is
/// refused leaves nothing behind.
pub(crate) fn place(run: &Run, policy: &Policy) -> Result<Place> {
    place_at(run, policy, cairn::storage::create)
}

/// As [`place`], with a local directory opened in this way.
pub(crate) fn place_at(
    run: &Run,
    policy: &Policy,
    open: impl FnOnce(&Location) -> std::result::Result<Store, StorageError>,
) -> Result<Place> {
    let Some(remote) = run.reach(Some(policy))? else {
        let store = open(run.location())?;
        refuse_network(&store, run.location())?;
        return Ok(Place { publish: store.publish().cloned(), store, sender: None, remote: None, judged: None });
    };
    remote.expect_bucket()?;
    let (sender, judged) = remote.sender(policy, &run.clock, &run.record())?;
    let sender = Arc::new(sender);
    Ok(Place {
        store: remote.store(),
        publish: Some(sender.clone()),
        sender: Some(sender),
        remote: Some(Arc::new(remote)),
        judged: Some(judged),
    })
}

impl Place {
    /// Finds out how the store creates objects, and says so where that is not enough.
    pub(crate) fn probe(&self, run: &Run) -> Result<()> {
        let Some(sender) = &self.sender else { return Ok(()) };
        let remove = self.store.remove().map(|remove| &**remove);
        let probe = sender
            .probe(remove)
            .map_err(|error| Failure::from(error).while_trying("find out what the store can do"))?;
        run.record().create_mode(probe.create);
        for name in &probe.left {
            run.output.info(&format!("{name} was made to find out what the store can do, and could not be removed"));
        }
        if probe.create == CreateMode::Window {
            run.output.warn(
                "this store cannot create an object only if it is not there (window mode): two hosts that commit at the \
                 same moment under the same name could overwrite each other's object. Names are random, so this \
                 takes a fault or an attack; use one prefix for each host if that matters to you",
            );
        }
        Ok(())
    }
}

/// The directories above the default place. Above a place that somebody named, none is made: if it is missing, more
/// likely something is not mounted.
fn make_parents(path: &Path) -> Result<()> {
    let Some(parent) = path.parent() else { return Ok(()) };
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(parent)
        .map_err(|error| Failure::io(format!("create directory {}", parent.display()), &error))
}

fn new_id(run: &Run) -> Result<RepositoryId> {
    let bytes = run.random.bytes().map_err(|error| Failure::new(Exit::Failed, "random", error.to_string(), ""))?;
    Ok(RepositoryId::from_bytes(bytes))
}

/// The secret that will open the repository from day to day, and the key file that holds it.
fn first_key(run: &Run, id: &RepositoryId) -> Result<(Unlock, Option<PathBuf>)> {
    let new_file = |path: PathBuf| {
        let key = Unlock::KeyFile(secrets::new_secret(&*run.random)?);
        secrets::write_new(&path, &key)?;
        Ok((key, Some(path)))
    };
    let used = |path: &Path| {
        let key = secrets::read_key_file(path, &run.output)?;
        if key.kind() == SlotKind::KeyFile {
            return Ok((key, Some(path.to_owned())));
        }
        let message = format!("{} holds a recovery key, which is no key for every day", path.display());
        Err(Failure::usage(message, "name another --key-file; it is created if it does not exist"))
    };
    match &run.settings.secret {
        Some(SecretSource::KeyFile(path)) => match path.symlink_metadata() {
            Err(error) if error.kind() == ErrorKind::NotFound => new_file(path.clone()),
            _ => used(path),
        },
        Some(source) => secrets::from_source(source, &run.output).map(|unlock| (unlock, None)),
        None => match run.settings.credential.as_deref().filter(|path| path.exists()) {
            Some(credential) => used(credential),
            None => {
                run.state.directory("keys")?;
                new_file(secrets::key_file(run.state.path(), id))
            }
        },
    }
}

/// Shows the recovery key on the terminal, or writes it to a file beside the key file. Returns the file.
fn publish_recovery_key(
    run: &Run,
    id: &RepositoryId,
    recovery: &Unlock,
    key_file: Option<&Path>,
) -> Result<Option<PathBuf>> {
    if secrets::show_once(recovery, id)? {
        return Ok(None);
    }
    // Beside systemd's credential nothing can be written.
    let is_credential = key_file.is_some() && key_file == run.settings.credential.as_deref();
    let directory = match key_file.filter(|_| !is_credential).and_then(Path::parent) {
        Some(parent) => parent.to_owned(),
        None => run.state.directory("keys")?,
    };
    let path = directory.join(format!("{id}.recovery"));
    secrets::write_new(&path, recovery)?;
    Ok(Some(path))
}

impl Made {
    /// What to tell: where the repository and its keys are, and what to do about them.
    pub(crate) fn lines(&self, run: &Run) -> Vec<String> {
        let id = self.opened.id();
        let mut lines = vec![format!("repository {id} created at {}", run.location())];
        if let Some(judged) = &self.opened.judged {
            lines.extend([place_line(judged), checks_line(&judged.verdict)]);
        }
        lines.extend(self.key_file.as_ref().map(|path| format!("key file: {}", path.display())));
        lines.push(match &self.recovery_file {
            Some(path) => format!(
                "recovery key: {} - copy it to somewhere else than this machine, then delete this file",
                path.display()
            ),
            None => "recovery key: shown above, once - keep it somewhere else than on this machine".to_owned(),
        });
        lines
    }

    /// The same for programs.
    pub(crate) fn object(&self, run: &Run) -> Value {
        let text = |path: &Option<PathBuf>| path.as_ref().map(|path| path.to_string_lossy().into_owned());
        let mut object = json!({
            "message_type": "summary",
            "repository_id": self.opened.id().to_string(),
            "repository": run.location().to_string(),
            "key_file": text(&self.key_file),
            "recovery_key_file": text(&self.recovery_file),
        });
        if let Some(judged) = &self.opened.judged {
            object["residency"] = crate::remote::object(&judged.verdict);
        }
        object
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_powers_of_two_are_chunk_sizes() {
        assert_eq!(chunker(64 << 10).map(ChunkerParams::average_log2), Ok(16));
        for bytes in [0, 1, 2048, 5 << 10, 8 << 20, u64::MAX] {
            assert_eq!(chunker(bytes).map_err(|failure| failure.exit), Err(Exit::Usage), "{bytes}");
        }
    }
}
