//! The state directory: this host's identity, which repository was where, lists of failures. Private (0700), and only
//! ever needed for writing by commands that write to a repository.
//!
//! | name | content |
//! |---|---|
//! | `identity.key` | the host's Ed25519 seed as bech32m text, mode 0600 |
//! | `keys/REPOSITORY-ID.key` | the default key file |
//! | `known/HASH.json` | a location and the id of the repository that was there; HASH is BLAKE3 of the location |
//! | `sites/NAME.json` | a declared site, signed (`sites.rs`) |
//! | `remote/HASH.json` | of a repository on a network: last verdict, ignored settings, what the store can do, key slot, declaration |
//! | `replicas/REPOSITORY-ID.json`, `newest/REPOSITORY-ID.json` | its replicas, and its newest snapshots (`replicas.rs`) |
//! | `failed/SNAPSHOT-ID.txt` | all entries that a run could not read or write |
//! | `audit/REPOSITORY-ID/` | this host's logs of a repository (`cairn::audit::log`) |
//! | `witnesses/NAME`, `cosigned/HASH.json` | keys of witnesses; what this host signed last as one (`commands/audit/witness.rs`) |
//! | `init.lock` | held while a repository is made |
//!
//! Each record is a file of its own, replaced as a whole: two runs at once lose nothing of each other's.

use crate::exit::{Exit, Failure, Result};
use crate::secrets::{sync_parent, write_private};
use crate::values;
use bech32::{Bech32m, Hrp};
use cairn::clock::Timestamp;
use cairn::crypto::random::Randomness;
use cairn::crypto::secret::{Secret, SecretBytes};
use cairn::crypto::sign::Identity;
use cairn::id::RepositoryId;
use cairn::storage::Location;
use rustix::fs::FlockOperation;
use serde_json::{Value, json};
use std::fs::{DirBuilder, File};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use zeroize::{Zeroize as _, Zeroizing};

const IDENTITY_PREFIX: &str = "cairn-identity";

/// The state directory; it need not exist.
#[derive(Debug, Clone)]
pub(crate) struct State {
    path: PathBuf,
}

impl State {
    /// That of this path.
    pub(crate) fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// Its path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes a directory in it, and itself.
    pub(crate) fn directory(&self, name: &str) -> Result<PathBuf> {
        let path = if name.is_empty() { self.path.clone() } else { self.path.join(name) };
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&path);
        made.map_err(|error| {
            let failure = Failure::io(format!("create state directory {}", path.display()), &error);
            failure.with_hint("name one that can be written with --state-dir or CAIRN_STATE_DIR")
        })?;
        Ok(path)
    }

    /// This host's identity, made at first need.
    pub(crate) fn identity(&self, random: &dyn Randomness) -> Result<Identity> {
        let path = self.path.join("identity.key");
        if let Some(identity) = read_identity(&path)? {
            return Ok(identity);
        }
        self.directory("")?;
        let failed = |error: &std::io::Error| Failure::io(format!("create identity key {}", path.display()), error);
        let broken = |error: &dyn std::fmt::Display| {
            Failure::new(Exit::Failed, "identity", format!("cannot make this host's identity: {error}"), "")
        };
        let identity = Identity::generate(random).map_err(|error| broken(&error))?;
        let prefix = Hrp::parse(IDENTITY_PREFIX).map_err(|error| broken(&error))?;
        let mut text = bech32::encode::<Bech32m>(prefix, identity.seed().expose()).map_err(|error| broken(&error))?;
        text.push('\n');
        // Written whole under another name, then linked: of two runs at once, one wins and both use what it made.
        let suffix = u64::from_le_bytes(random.bytes().map_err(|error| broken(&error))?);
        let temporary = self.path.join(format!(".identity-{suffix:016x}"));
        let written = write_private(&temporary, text.as_bytes());
        text.zeroize();
        written.map_err(|error| failed(&error))?;
        let linked = std::fs::hard_link(&temporary, &path);
        let _ = std::fs::remove_file(&temporary);
        match linked {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(failed(&error)),
            _ => sync_parent(&path).map_err(|error| failed(&error))?,
        }
        read_identity(&path)?.ok_or_else(|| broken(&"it vanished"))
    }

    /// This host's identity, if it has one that can be read.
    pub(crate) fn identity_if_any(&self) -> Option<Identity> {
        read_identity(&self.path.join("identity.key")).ok().flatten()
    }

    /// The repository that was at this location when this machine last opened it.
    pub(crate) fn known(&self, location: &Location) -> Result<Option<RepositoryId>> {
        for path in self.records(location) {
            let bytes = match std::fs::read(&path) {
                Ok(bytes) => bytes,
                Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => continue,
                Err(error) => return Err(Failure::io(format!("read {}", path.display()), &error)),
            };
            let value: Value = serde_json::from_slice(&bytes).unwrap_or_default();
            let id = value["repository"].as_str().and_then(|text| RepositoryId::from_hex(text).ok());
            return id.map(Some).ok_or_else(|| {
                let message = format!("cannot read {}: it is damaged", path.display());
                let hint =
                    format!("it records which repository was at {location}; remove it if that is the right place");
                Failure::new(Exit::Failed, "state", message, hint)
            });
        }
        Ok(None)
    }

    /// Remembers which repository is at this location.
    pub(crate) fn remember(&self, location: &Location, repository: &RepositoryId, now: Timestamp) -> Result<()> {
        if self.known(location).is_ok_and(|known| known.as_ref() == Some(repository)) {
            return Ok(());
        }
        self.directory("known")?;
        let record = json!({
            "location": location.to_string(),
            "repository": repository.to_string(),
            "since": values::time_seconds(now),
        });
        for path in self.records(location) {
            replace(&path, &format!("{record:#}\n"))?;
        }
        Ok(())
    }

    /// Where it is remembered which repository is at this location: under the path as it was given, which stays when a
    /// symbolic link on the way loses its target, and under the real one, which stays whatever link leads there.
    pub(crate) fn records(&self, location: &Location) -> Vec<PathBuf> {
        let mut names = match location {
            Location::Local(path) => vec![path.as_os_str().as_encoded_bytes().to_vec()],
            other => vec![other.to_string().into_bytes()],
        };
        names.extend(real(location).map(|path| path.into_os_string().into_encoded_bytes()));
        names.dedup();
        let record = |name: &Vec<u8>| format!("{}.json", &blake3::hash(name).to_hex()[..32]);
        names.iter().map(|name| self.path.join("known").join(record(name))).collect()
    }

    /// What is remembered of a repository on a network: an object, or null. What cannot be read is as if it were not there,
    /// since nothing is allowed by it.
    pub(crate) fn remote(&self, location: &Location) -> Value {
        let read = |path: PathBuf| std::fs::read(path).ok();
        let bytes = self.remote_record(location).and_then(read).unwrap_or_default();
        serde_json::from_slice(&bytes).ok().filter(Value::is_object).unwrap_or_default()
    }

    fn remote_record(&self, location: &Location) -> Option<PathBuf> {
        let known = self.records(location).pop()?;
        Some(self.path.join("remote").join(known.file_name()?))
    }

    /// Remembers one thing about it.
    pub(crate) fn set_remote(&self, location: &Location, key: &str, value: Value) -> Result<()> {
        let Some(path) = self.remote_record(location) else { return Ok(()) };
        let mut record = self.remote(location);
        if record[key] == value && !record.is_null() {
            return Ok(());
        }
        self.directory("remote")?;
        if record.is_null() {
            record = json!({"location": location.to_string()});
        }
        record[key] = value;
        replace(&path, &format!("{record:#}\n"))
    }

    /// Keeps others of this machine from making a repository until it is dropped.
    pub(crate) fn lock_init(&self) -> Result<File> {
        let path = self.directory("")?.join("init.lock");
        let failed = |error: &std::io::Error| Failure::io(format!("lock {}", path.display()), error);
        let options = File::options().create(true).write(true).truncate(false).mode(0o600).to_owned();
        let file = options.open(&path).map_err(|error| failed(&error))?;
        rustix::fs::flock(&file, FlockOperation::LockExclusive).map_err(|errno| failed(&errno.into()))?;
        Ok(file)
    }
}

/// Writes a file of mode 0600 in the place of the one that is there, whole or not at all.
pub(crate) fn replace(path: &Path, text: &str) -> Result<()> {
    let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
    let _ = std::fs::remove_file(&temporary);
    write_private(&temporary, text.as_bytes())
        .and_then(|()| std::fs::rename(&temporary, path))
        .and_then(|()| sync_parent(path))
        .map_err(|error| Failure::io(format!("write {}", path.display()), &error))
}

/// A local path as far as it exists without symbolic links.
fn real(location: &Location) -> Option<PathBuf> {
    let Location::Local(path) = location else { return None };
    let mut missing = Vec::new();
    for ancestor in path.ancestors() {
        if let Ok(real) = ancestor.canonicalize() {
            return Some(missing.iter().rev().fold(real, |path: PathBuf, name| path.join(name)));
        }
        missing.extend(ancestor.file_name());
    }
    None
}

fn read_identity(path: &Path) -> Result<Option<Identity>> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => Zeroizing::new(bytes),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Failure::io(format!("read identity key {}", path.display()), &error)),
    };
    let decoded = std::str::from_utf8(&bytes).ok().and_then(|text| {
        let checked = bech32::primitives::decode::CheckedHrpstring::new::<Bech32m>(text.trim_end()).ok()?;
        let is_ours = checked.hrp().to_lowercase() == IDENTITY_PREFIX;
        is_ours.then(|| SecretBytes::new(checked.byte_iter().collect()))
    });
    let seed = decoded.and_then(|bytes| bytes.expose().try_into().ok().map(Secret::new));
    seed.map(|seed| Some(Identity::from_seed(&seed))).ok_or_else(|| {
        Failure::new(
            Exit::Failed,
            "identity",
            format!("cannot use identity key {}: it is damaged", path.display()),
            "restore it from a backup, or move it away: this host then gets a new identity",
        )
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use cairn::crypto::random::{OsRandom, SeededRandom};

    #[test]
    fn the_identity_is_made_once_and_damage_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let state = State::new(&dir.path().join("a/state"));
        let keys: Vec<_> = std::thread::scope(|scope| {
            let runs: Vec<_> = (0..4).map(|_| scope.spawn(|| state.identity(&OsRandom))).collect();
            runs.into_iter().map(|run| run.join().unwrap().unwrap().host_key()).collect()
        });
        let again = state.identity(&SeededRandom::new(2)).unwrap().host_key();
        assert!(keys.iter().all(|key| *key == again));
        let path = state.path().join("identity.key");
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replacen('q', "p", 1) + "p").unwrap();
        assert_eq!(state.identity(&OsRandom).unwrap_err().kind, "identity");
    }

    #[test]
    fn a_place_has_one_name_and_remembers_its_repository() {
        let dir = tempfile::tempdir().unwrap();
        let state = State::new(&dir.path().join("state"));
        std::fs::create_dir(dir.path().join("real")).unwrap();
        std::os::unix::fs::symlink("real", dir.path().join("link")).unwrap();
        let at = |path: &str| Location::Local(dir.path().join(path));
        let id = RepositoryId::from_bytes([7; 16]);
        assert_eq!(state.known(&at("real/not/yet")).unwrap(), None);
        state.remember(&at("real/not/yet"), &id, Timestamp::EPOCH).unwrap();
        assert_eq!(state.known(&at("link/not/yet")).unwrap(), Some(id));
        assert_eq!(state.known(&at("real/not")).unwrap(), None);
        let other = RepositoryId::from_bytes([8; 16]);
        state.remember(&at("link/not/yet"), &other, Timestamp::EPOCH).unwrap();
        assert_eq!(state.known(&at("real/not/yet")).unwrap(), Some(other));
        // What the link points to goes away, as when a disk is not mounted.
        std::fs::rename(dir.path().join("real"), dir.path().join("elsewhere")).unwrap();
        assert_eq!(state.known(&at("link/not/yet")).unwrap(), Some(other));
        std::fs::write(&state.records(&at("link/not/yet"))[0], "{").unwrap();
        assert_eq!(state.known(&at("link/not/yet")).unwrap_err().kind, "state");
    }
}
