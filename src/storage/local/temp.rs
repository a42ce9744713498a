//! Temporary files of a local store: how they are made, and how those of dead processes are found and removed.
//!
//! A writer holds an exclusive `flock` on its file for as long as it lives; the kernel drops it with the process, however
//! that ended. The cleaner removes only files it can lock itself. A process id or an age alone would prove nothing: ids
//! are used again and mean nothing on another host, and an upload may take any time.

use super::root::Root;
use super::sys;
use crate::object::{Encoded, ObjectName};
use crate::storage::contract::{Stage, Staged};
use crate::storage::error::{ErrorKind, Result, StorageError};
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, Dir, FileType, FlockOperation, Mode, OFlags, Stat, fchmod, flock, fstat, openat, unlinkat};
use rustix::io::Errno;
use std::fs::File;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

/// Where temporary files are.
const TMP: &str = "tmp";
/// How often another name is tried. One try is enough unless a cleaner comes between making a file and locking it.
const TRIES: usize = 16;

/// `PID+RANDOM`: the plus keeps it from ever being an object's name; the process id is for whoever looks at the directory.
fn fresh_name() -> Result<String> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|error| StorageError {
        operation: "stage",
        subject: "a temporary file".to_owned(),
        kind: ErrorKind::Other,
        detail: format!("no randomness from the system: {error}"),
    })?;
    Ok(format!("{}+{:032x}", std::process::id(), u128::from_le_bytes(random)))
}

fn is_temp_name(name: &str) -> bool {
    name.split_once('+').is_some_and(|(pid, random)| {
        !pid.is_empty()
            && pid.bytes().all(|b| b.is_ascii_digit())
            && random.len() == 32
            && random.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    })
}

/// A temporary file; unlinked when dropped.
#[derive(Debug)]
pub(in crate::storage) struct TempFile {
    root: Arc<Root>,
    dir: OwnedFd,
    name: String,
    /// The descriptor it was written through is the one that is synced: an error of the write-back is reported there.
    file: File,
}

impl TempFile {
    fn create(root: &Arc<Root>) -> Result<Self> {
        let failed = |errno| root.write_failed("stage", root.path().join(TMP).display(), errno);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        for _ in 0..TRIES {
            let dir = root.make_dirs("stage", TMP, false)?;
            let name = fresh_name()?;
            let file = match openat(&dir, &name, flags, Mode::RUSR | Mode::WUSR) {
                Ok(fd) => File::from(fd),
                Err(Errno::EXIST) => continue,
                Err(errno) => return Err(failed(errno)),
            };
            let temp = Self { root: Arc::clone(root), dir, name, file };
            // Where locks are not supported nobody can lock the file, so no cleaner will remove it either.
            let taken = flock(&temp.file, FlockOperation::NonBlockingLockExclusive) == Err(Errno::WOULDBLOCK);
            if !taken && fstat(&temp.file).map_err(failed)?.st_nlink > 0 {
                return Ok(temp);
            }
        }
        Err(failed(Errno::AGAIN))
    }

    pub(super) fn stat(&self) -> rustix::io::Result<Stat> {
        fstat(&self.file)
    }

    pub(super) fn sync(&self, name: &ObjectName) -> rustix::io::Result<()> {
        sys::sync_file(&self.file, name.as_str())
    }

    pub(super) fn link(&self, parent: &OwnedFd, part: &str, name: &ObjectName) -> rustix::io::Result<()> {
        sys::link((&self.dir, &self.name), (parent, part), name.as_str())
    }

    /// Whether it was staged in the store with this root.
    pub(super) fn belongs_to(&self, root: &Arc<Root>) -> bool {
        Arc::ptr_eq(&self.root, root)
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        // Nobody is there to tell of a failure; the cleaner comes by.
        let _ = unlinkat(&self.dir, &self.name, AtFlags::empty());
    }
}

/// An object being written to a temporary file.
pub(super) struct LocalStage {
    temp: TempFile,
    failed: bool,
}

impl LocalStage {
    pub(super) fn new(root: &Arc<Root>) -> Result<Self> {
        root.check_writable("stage")?;
        Ok(Self { temp: TempFile::create(root)?, failed: false })
    }
}

impl Stage for LocalStage {
    fn append(&mut self, bytes: Encoded<'_>) -> Result<()> {
        self.temp.file.write_all(bytes.as_bytes()).map_err(|error| {
            self.failed = true;
            StorageError::io(
                "write",
                self.temp.root.path().join(TMP).join(&self.temp.name).display().to_string(),
                &error,
            )
        })
    }

    fn finish(self: Box<Self>, name: ObjectName, len: u64) -> Result<Staged> {
        if self.failed {
            return Err(StorageError::new("stage", &name, ErrorKind::Other, "an earlier write of it failed"));
        }
        let failed = |errno| self.temp.root.write_failed("stage", &name, errno);
        let stored = u64::try_from(self.temp.stat().map_err(failed)?.st_size).unwrap_or(0);
        if stored != len {
            let detail = format!("{stored} bytes are in the file, {len} were meant to be");
            return Err(StorageError::new("stage", &name, ErrorKind::Truncated, detail));
        }
        // Nobody has a reason to write to it from here on. Where modes cannot be set, that is no reason to give up.
        let _ = fchmod(&self.temp.file, Mode::RUSR);
        Ok(Staged::new(name, len, self.temp))
    }
}

/// Removes what dead processes left in `tmp/`, if its last change is at least `older_than` ago. The number removed.
pub(super) fn clean(root: &Arc<Root>, older_than: Duration) -> Result<u64> {
    const CLEAN: &str = "clean";
    let failed = |errno| root.write_failed(CLEAN, root.path().join(TMP).display(), errno);
    root.check_alive(CLEAN)?;
    let dir = match root.open_dir(TMP) {
        Ok(dir) => dir,
        Err(Errno::NOENT) => return Ok(0),
        Err(errno) => return Err(failed(errno)),
    };
    let mut names = Vec::new();
    for entry in Dir::read_from(&dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        names.extend(entry.file_name().to_str().ok().filter(|name| is_temp_name(name)).map(str::to_owned));
    }
    if names.is_empty() {
        return Ok(0);
    }
    // Age is measured by the clock that dated the files, which is a server's on a network file system.
    let now = changed_at(&TempFile::create(root)?.stat().map_err(failed)?);
    let mut removed = 0;
    for name in names {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match openat(&dir, &name, flags, Mode::empty()) {
            Ok(file) => file,
            // Gone meanwhile, or another user's, or a link: not ours to remove.
            Err(Errno::NOENT | Errno::ACCESS | Errno::PERM | Errno::LOOP) => continue,
            Err(errno) => return Err(failed(errno)),
        };
        let stat = fstat(&file).map_err(failed)?;
        let age = u128::try_from(now - changed_at(&stat)).unwrap_or(0);
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile || age < older_than.as_nanos() {
            continue;
        }
        // Shared is enough to exclude a writer, and can be had through a descriptor that only reads.
        if flock(&file, FlockOperation::NonBlockingLockShared).is_err() {
            continue;
        }
        match unlinkat(&dir, &name, AtFlags::empty()) {
            Ok(()) => removed += 1,
            Err(Errno::NOENT) => {}
            Err(errno) => return Err(failed(errno)),
        }
    }
    Ok(removed)
}

/// Nanoseconds since 1970 of the last change of the contents.
fn changed_at(stat: &Stat) -> i128 {
    i128::from(stat.st_mtime) * 1_000_000_000 + i128::from(stat.st_mtime_nsec)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn temporary_names_are_never_object_names() {
        let name = fresh_name().unwrap();
        assert!(is_temp_name(&name), "{name}");
        assert!(ObjectName::new(name.as_str()).is_err() && ObjectName::new(format!("{TMP}/{name}")).is_err());
        assert_ne!(name, fresh_name().unwrap());
        for foreign in
            ["", "+", "12+ab", "x+00000000000000000000000000000000", ".nfs0000", "12+0000000000000000000000000000000G"]
        {
            assert!(!is_temp_name(foreign), "{foreign}");
        }
    }
}
