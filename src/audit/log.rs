//! One log as its host keeps it: lines that are only ever appended, the key that signs them, and the last checkpoint.
//!
//! In `STATE/audit/REPOSITORY/`: `current` names the log in use; `LOG/log.jsonl` has its leaves, `LOG/key` the key's seed,
//! `LOG/endorsement` the host's word for the key, `LOG/checkpoint` the last checkpoint, `LOG/lock` is held while appending.
//! Several runs may append at once. A line without its line feed was never acknowledged and is dropped by the next append.
//! Where the state directory cannot be written, a log of one run is kept in memory, and ends up elsewhere.

use crate::audit::checkpoint::Checkpoint;
use crate::audit::error::{AuditError, Result};
use crate::audit::merkle::{Frontier, Hash, leaf_hash, root};
use crate::audit::note::{KeyType, Note, VerifierKey};
use crate::audit::object::{Endorsement, LEAF_LEN_MAX, origin};
use crate::crypto::random::Randomness;
use crate::crypto::secret::Secret;
use crate::crypto::sign::{Identity, LogKey};
use crate::id::{LogId, RepositoryId};
use rustix::fs::FlockOperation;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::ops::Range;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Bytes that are read at once.
const BLOCK_LEN: usize = 1 << 20;

#[derive(Debug)]
enum Home {
    Folder(PathBuf),
    Memory(Vec<Vec<u8>>),
}

/// A log that can be appended to.
#[derive(Debug)]
pub struct Log {
    id: LogId,
    key: LogKey,
    endorsement: Endorsement,
    home: Home,
    hashes: Vec<Hash>,
    tree: Frontier,
    /// Where in the file each leaf ends, its line feed included.
    ends: Vec<u64>,
}

fn private(write: bool) -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(write).create(write).mode(0o600);
    options
}

fn read_text(path: &Path) -> Result<Option<String>> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(AuditError::io("read", path)(error)),
    }
}

/// Replaces a file, whole or not at all; with `durable`, for good when it returns.
pub(in crate::audit) fn replace(path: &Path, bytes: &[u8], durable: bool) -> Result<()> {
    let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.write_all(bytes)?;
        if durable {
            file.sync_all()?;
        }
        std::fs::rename(&temporary, path)?;
        if durable && let Some(parent) = path.parent() {
            File::open(parent)?.sync_all()?;
        }
        Ok(())
    })();
    written.map_err(|error| {
        let _ = std::fs::remove_file(&temporary);
        AuditError::io("write", path)(error)
    })
}

pub(in crate::audit) fn make_folder(path: &Path) -> Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(AuditError::io("create", path))
}

impl Log {
    /// The log in use below `folder`, if there is one. Every leaf is read, and held against the last checkpoint.
    ///
    /// # Errors
    /// [`AuditError::Unverified`] when it was changed or cut; [`AuditError::Io`].
    pub fn open(folder: &Path) -> Result<Option<Self>> {
        let current = folder.join("current");
        let Some(text) = read_text(&current)? else { return Ok(None) };
        let unverified = |why: &str| AuditError::Unverified { path: folder.to_owned(), why: why.into() };
        let id = LogId::from_hex(text.trim_end()).map_err(|_| unverified("its file \"current\" names no log"))?;
        let dir = folder.join(id.to_string());
        let unverified = |why: &str| AuditError::Unverified { path: dir.clone(), why: why.into() };
        let (seed, endorsement) = (read_text(&dir.join("key"))?, read_text(&dir.join("endorsement"))?);
        let (Some(seed), Some(endorsement)) = (seed, endorsement) else {
            return Err(unverified("its key or the endorsement of it is gone"));
        };
        let seed = crate::id::HostKey::from_hex(seed.trim_end()).map_err(|_| unverified("its key is damaged"))?;
        let key = LogKey::from_seed(&Secret::new(*seed.as_bytes()));
        let endorsement = Endorsement::parse(endorsement.as_bytes()).map_err(|error| unverified(&error.to_string()))?;
        if endorsement.log.public() != &key.public() || !endorsement.log.name().ends_with(&format!("/{id}")) {
            return Err(unverified("the endorsement is of another key"));
        }
        let (tree, hashes, ends) = <_>::default();
        let mut log = Self { id, key, endorsement, home: Home::Folder(dir.clone()), hashes, tree, ends };
        log.catch_up()?;
        if let Some(text) = read_text(&dir.join("checkpoint"))?.filter(|text| !text.is_empty()) {
            let checked = Note::parse(text.as_bytes())
                .and_then(|note| Checkpoint::open(&note, &log.endorsement.log))
                .map_err(|error| unverified(&format!("its last checkpoint: {error}")))?;
            // Another run may have appended since the leaves were read.
            log.catch_up()?;
            if checked.size > log.size() {
                let why = format!("it ends after {} leaves of {}", log.size(), checked.size);
                return Err(unverified(&why));
            }
            if log.root_at(checked.size) != checked.root {
                return Err(unverified("a leaf was changed since it was written"));
            }
        }
        Ok(Some(log))
    }

    /// The id of the log in use below `folder`, if there is one; nothing of it is looked at.
    pub fn current(folder: &Path) -> Option<LogId> {
        LogId::from_hex(read_text(&folder.join("current")).ok()??.trim_end()).ok()
    }

    /// A new log below `folder`, or in memory, with its first leaves. It is in use when this returns.
    ///
    /// # Errors
    /// [`AuditError::Io`], [`AuditError::Random`].
    pub fn create(
        folder: Option<&Path>,
        repository: &RepositoryId,
        identity: &Identity,
        random: &dyn Randomness,
        first: &[Vec<u8>],
    ) -> Result<Self> {
        let (id, key) = (LogId::from_bytes(random.bytes()?), LogKey::generate(random)?);
        let public = VerifierKey::new(&origin(repository, &id), KeyType::Ed25519, key.public());
        let endorsement = public.and_then(|public| Endorsement::new(identity, public));
        let endorsement = endorsement.ok_or(AuditError::Leaf("this origin"))?;
        let (tree, hashes, ends) = <_>::default();
        let mut log = Self { id, key, endorsement, home: Home::Memory(Vec::new()), hashes, tree, ends };
        if let Some(folder) = folder {
            let dir = folder.join(id.to_string());
            make_folder(&dir)?;
            let seed = crate::id::HostKey::from_bytes(*log.key.seed().expose());
            replace(&dir.join("key"), format!("{seed}\n").as_bytes(), true)?;
            replace(&dir.join("endorsement"), log.endorsement.note.to_string().as_bytes(), true)?;
            log.home = Home::Folder(dir);
        }
        log.append(first)?;
        if let Some(folder) = folder {
            replace(&folder.join("current"), format!("{id}\n").as_bytes(), true)?;
        }
        Ok(log)
    }

    /// Its id.
    pub fn id(&self) -> LogId {
        self.id
    }

    /// The host's word for its key.
    pub fn endorsement(&self) -> &Endorsement {
        &self.endorsement
    }

    /// Number of its leaves.
    pub fn size(&self) -> u64 {
        self.tree.size()
    }

    /// The root of its tree.
    pub fn root(&self) -> Hash {
        self.tree.root()
    }

    /// The hashes of its leaves.
    pub fn hashes(&self) -> &[Hash] {
        &self.hashes
    }

    /// Whether it is kept in memory only.
    pub fn is_in_memory(&self) -> bool {
        matches!(self.home, Home::Memory(_))
    }

    /// The root when it had `size` leaves, which is at most what it has.
    pub fn root_at(&self, size: u64) -> Hash {
        let size = usize::try_from(size).unwrap_or(usize::MAX).min(self.hashes.len());
        if size == self.hashes.len() { self.root() } else { root(&self.hashes[..size]) }
    }

    /// Its signed checkpoint of a size.
    ///
    /// # Errors
    /// None that can be caused from outside.
    pub fn checkpoint(&self, size: u64) -> Result<Note> {
        let origin = self.endorsement.log.name().to_owned();
        let checkpoint = Checkpoint { origin, size, root: self.root_at(size) };
        checkpoint.sign(&self.key, &self.endorsement.log).ok_or(AuditError::Leaf("this origin"))
    }

    /// Leaves by number.
    ///
    /// # Errors
    /// [`AuditError::Io`].
    pub fn leaves(&self, range: Range<u64>) -> Result<Vec<Vec<u8>>> {
        let last = self.hashes.len();
        let (from, to) = (range.start as usize, (range.end as usize).min(last));
        if from >= to {
            return Ok(Vec::new());
        }
        let dir = match &self.home {
            Home::Memory(leaves) => return Ok(leaves[from..to].to_vec()),
            Home::Folder(dir) => dir,
        };
        let path = dir.join("log.jsonl");
        let start = from.checked_sub(1).map_or(0, |before| self.ends[before]);
        let mut bytes = vec![0; (self.ends[to - 1] - start) as usize];
        let file = File::open(&path).map_err(AuditError::io("open", &path))?;
        file.read_exact_at(&mut bytes, start).map_err(AuditError::io("read", &path))?;
        let mut leaves = Vec::with_capacity(to - from);
        let mut at = start;
        for end in &self.ends[from..to] {
            leaves.push(bytes[(at - start) as usize..(end - start - 1) as usize].to_vec());
            at = *end;
        }
        Ok(leaves)
    }

    fn len(&self) -> u64 {
        self.ends.last().copied().unwrap_or(0)
    }

    fn push(&mut self, leaf: &[u8]) {
        let hash = leaf_hash(leaf);
        self.ends.push(self.len() + leaf.len() as u64 + 1);
        self.hashes.push(hash);
        self.tree.push(hash);
    }

    /// Takes in what other runs have appended.
    ///
    /// # Errors
    /// [`AuditError::Unverified`] when the file became shorter, [`AuditError::Io`].
    pub fn catch_up(&mut self) -> Result<()> {
        let Home::Folder(dir) = &self.home else { return Ok(()) };
        let dir = dir.clone();
        let path = dir.join("log.jsonl");
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound && self.hashes.is_empty() => return Ok(()),
            Err(error) => return Err(AuditError::io("open", &path)(error)),
        };
        let unverified = |why: &str| AuditError::Unverified { path: dir.clone(), why: why.into() };
        let len = file.metadata().map_err(AuditError::io("read", &path))?.len();
        if len < self.len() {
            return Err(unverified("its file became shorter"));
        }
        file.seek(SeekFrom::Start(self.len())).map_err(AuditError::io("read", &path))?;
        let (mut block, mut pending) = (vec![0; BLOCK_LEN.min((len - self.len()) as usize + 1)], Vec::new());
        loop {
            let read = file.read(&mut block).map_err(AuditError::io("read", &path))?;
            if read == 0 {
                return Ok(());
            }
            pending.extend_from_slice(&block[..read]);
            let Some(end) = pending.iter().rposition(|b| *b == b'\n') else {
                if pending.len() > LEAF_LEN_MAX {
                    return Err(unverified("a line in it is too long"));
                }
                continue;
            };
            let rest = pending.split_off(end + 1);
            for line in pending[..end].split(|b| *b == b'\n') {
                self.push(line);
            }
            pending = rest;
        }
    }

    /// Appends leaves. They are durable when this returns.
    ///
    /// # Errors
    /// [`AuditError::Io`]: then none of them counts; [`AuditError::Unverified`].
    pub fn append(&mut self, leaves: &[Vec<u8>]) -> Result<()> {
        if leaves.iter().any(|leaf| leaf.is_empty() || leaf.len() > LEAF_LEN_MAX || leaf.contains(&b'\n')) {
            return Err(AuditError::Leaf("a leaf of this length"));
        }
        let dir = match &mut self.home {
            Home::Folder(dir) => dir.clone(),
            Home::Memory(lines) => {
                lines.extend_from_slice(leaves);
                leaves.iter().for_each(|leaf| self.push(leaf));
                return Ok(());
            }
        };
        let lock_path = dir.join("lock");
        let lock = private(true).open(&lock_path).map_err(AuditError::io("open", &lock_path))?;
        rustix::fs::flock(&lock, FlockOperation::LockExclusive)
            .map_err(|errno| AuditError::io("lock", &lock_path)(errno.into()))?;
        self.catch_up()?;
        let path = dir.join("log.jsonl");
        let io = AuditError::io("write", &path);
        let file = private(true).open(&path).map_err(&io)?;
        let start = self.len();
        // What a killed run left of a line; or what is left of this, should it fail.
        file.set_len(start).map_err(&io)?;
        let mut bytes = Vec::new();
        for leaf in leaves {
            bytes.extend_from_slice(leaf);
            bytes.push(b'\n');
        }
        let written = file.write_all_at(&bytes, start).and_then(|()| file.sync_all());
        if let Err(error) = written {
            let _ = file.set_len(start);
            return Err(io(error));
        }
        if start == 0 {
            let synced = File::open(&dir).and_then(|dir| dir.sync_all());
            synced.map_err(AuditError::io("write", &dir))?;
        }
        leaves.iter().for_each(|leaf| self.push(leaf));
        // It may lag behind after a power cut: it says what there has to be at least.
        let note = self.checkpoint(self.size())?;
        let _ = replace(&dir.join("checkpoint"), note.to_string().as_bytes(), false);
        Ok(())
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::crypto::random::SeededRandom;

    fn make(folder: Option<&Path>) -> Log {
        let random = SeededRandom::new(1);
        let identity = Identity::generate(&random).unwrap();
        Log::create(folder, &RepositoryId::from_bytes([1; 16]), &identity, &random, &[b"{\"n\":0}".to_vec()]).unwrap()
    }

    #[test]
    fn leaves_come_back_and_two_writers_do_not_hurt_each_other() {
        let dir = tempfile::tempdir().unwrap();
        let mut one = make(Some(dir.path()));
        let mut two = Log::open(dir.path()).unwrap().unwrap();
        for n in 0..20 {
            let leaf = format!("{{\"n\":{}}}", n + 1).into_bytes();
            if n % 3 == 0 { one.append(&[leaf]) } else { two.append(&[leaf]) }.unwrap();
        }
        one.catch_up().unwrap();
        two.catch_up().unwrap();
        assert_eq!((one.size(), one.root()), (21, two.root()));
        let read = Log::open(dir.path()).unwrap().unwrap();
        assert_eq!(read.root(), one.root());
        let leaves = read.leaves(3..6).unwrap();
        assert_eq!(leaves, [b"{\"n\":3}".to_vec(), b"{\"n\":4}".to_vec(), b"{\"n\":5}".to_vec()]);
        assert_eq!(root(&read.hashes()[..7]), read.root_at(7));
        let mut memory = make(None);
        memory.append(&[b"x".to_vec()]).unwrap();
        assert_eq!(memory.leaves(1..9).unwrap(), [b"x".to_vec()]);
    }

    #[test]
    fn a_torn_line_is_dropped_and_changes_are_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = make(Some(dir.path()));
        log.append(&[b"{\"n\":1}".to_vec(), b"{\"n\":2}".to_vec()]).unwrap();
        let path = dir.path().join(log.id().to_string()).join("log.jsonl");
        let good = std::fs::read(&path).unwrap();
        std::fs::write(&path, [&good[..], b"{\"n\":"].concat()).unwrap();
        let mut log = Log::open(dir.path()).unwrap().unwrap();
        assert_eq!(log.size(), 3);
        log.append(&[b"{\"n\":3}".to_vec()]).unwrap();
        assert_eq!(Log::open(dir.path()).unwrap().unwrap().leaves(3..4).unwrap(), [b"{\"n\":3}".to_vec()]);

        let whole = std::fs::read(&path).unwrap();
        let changed = String::from_utf8(whole.clone()).unwrap().replace("\"n\":1", "\"n\":7");
        for (bytes, why) in [(changed.as_bytes(), "changed"), (&whole[..16], "it ends after 2 leaves of 4")] {
            std::fs::write(&path, bytes).unwrap();
            let error = Log::open(dir.path()).unwrap_err();
            assert!(error.is_unverified() && error.to_string().contains(why), "{error}");
        }
        std::fs::write(&path, &whole).unwrap();
        assert_eq!(Log::open(dir.path()).unwrap().unwrap().size(), 4);
        assert!(log.append(&[b"a\nb".to_vec()]).is_err());
        assert!(log.append(&[vec![b'x'; LEAF_LEN_MAX + 1]]).is_err());
    }
}
