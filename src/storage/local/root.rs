//! The directory a local store lives in: opening it, and reaching everything below it without following a symbolic link.

use super::network;
use super::sys;
use crate::object::ObjectName;
use crate::storage::error::{ErrorKind, Result, StorageError};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat, openat, statat};
use rustix::io::Errno;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// The directory whose presence says that a store lives here.
const MARKER: &str = "config";
/// What a freshly made file system may hold and still count as empty.
const LOST_AND_FOUND: &[u8] = b"lost+found";

const OPEN_DIR: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
/// `NONBLOCK`, so that a fifo under an object's name is found out and not waited for.
const OPEN_FILE: OFlags = OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);

/// An open store directory. Everything is reached from its descriptor: a path that is renamed or mounted over in the
/// middle of a run cannot split the store in two.
#[derive(Debug)]
pub(super) struct Root {
    fd: OwnedFd,
    path: PathBuf,
    network: Option<&'static str>,
    /// Directories whose own entry is known to be on the disk, and that of each directory above.
    durable: Mutex<HashSet<String>>,
    /// A directory could not be forced to the disk: what is durable is no longer known.
    sync_failed: AtomicBool,
}

fn os(operation: &'static str, subject: impl ToString, errno: Errno) -> StorageError {
    StorageError::io(operation, subject.to_string(), &errno.into())
}

fn other(operation: &'static str, subject: impl ToString, kind: ErrorKind, detail: &str) -> StorageError {
    StorageError { operation, subject: subject.to_string(), kind, detail: detail.to_owned() }
}

/// The directory part and the last part of a name.
pub(super) fn split(name: &ObjectName) -> (&str, &str) {
    name.as_str().rsplit_once('/').unwrap_or(("", name.as_str()))
}

impl Root {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let root = Self::open_any("open", path)?;
        root.check_alive("open")?;
        Ok(root)
    }

    pub(super) fn create(path: &Path) -> Result<Self> {
        const CREATE: &str = "create";
        match rustix::fs::mkdirat(CWD, path, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(Errno::NOENT) => {
                let detail = "the directory above it does not exist (is something not mounted?)";
                return Err(other(CREATE, path.display(), ErrorKind::StoreMissing, detail));
            }
            Err(errno) => return Err(os(CREATE, path.display(), errno)),
        }
        let root = Self::open_any(CREATE, path)?;
        if root.has_marker(CREATE)? {
            return Ok(root);
        }
        root.check_empty()?;
        // Also when the directory was there: it may be what a create that was cut off has left.
        let parent = openat(&root.fd, "..", OPEN_DIR, Mode::empty()).map_err(|errno| root.os(CREATE, errno))?;
        root.sync_dir(CREATE, parent.as_fd(), "..")?;
        root.make_dirs(CREATE, MARKER, true)?;
        Ok(root)
    }

    fn open_any(operation: &'static str, path: &Path) -> Result<Self> {
        // The store's own path may lead through symbolic links: it is the user's, not the store's.
        let flags = OPEN_DIR.difference(OFlags::NOFOLLOW);
        let fd = openat(CWD, path, flags, Mode::empty()).map_err(|errno| match errno {
            Errno::NOENT => other(operation, path.display(), ErrorKind::StoreMissing, "no such directory"),
            errno => os(operation, path.display(), errno),
        })?;
        let network = network::name_of(rustix::fs::fstatfs(&fd).map_err(|errno| os(operation, path.display(), errno))?);
        Ok(Self {
            fd,
            path: path.to_owned(),
            network,
            durable: Mutex::new(HashSet::from([String::new()])),
            sync_failed: AtomicBool::new(false),
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn network(&self) -> Option<&'static str> {
        self.network
    }

    fn os(&self, operation: &'static str, errno: Errno) -> StorageError {
        os(operation, self.path.display(), errno)
    }

    fn has_marker(&self, operation: &'static str) -> Result<bool> {
        match statat(&self.fd, MARKER, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(FileType::from_raw_mode(stat.st_mode) == FileType::Directory),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(self.os(operation, errno)),
        }
    }

    /// Fails when the store is no longer there: nothing that is missing in it may then be taken for absent.
    pub(super) fn check_alive(&self, operation: &'static str) -> Result<()> {
        if self.has_marker(operation)? {
            return Ok(());
        }
        let detail = "no repository is in this directory: it has no directory config (is something not mounted?)";
        Err(other(operation, self.path.display(), ErrorKind::StoreMissing, detail))
    }

    fn check_empty(&self) -> Result<()> {
        let failed = |errno| self.os("create", errno);
        let fd = openat(&self.fd, ".", OPEN_DIR, Mode::empty()).map_err(failed)?;
        for entry in Dir::new(fd).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if !matches!(entry.file_name().to_bytes(), b"." | b".." | LOST_AND_FOUND) {
                let detail = "the directory is not empty and holds no repository";
                return Err(other("create", self.path.display(), ErrorKind::Other, detail));
            }
        }
        Ok(())
    }

    /// Refuses to write after a directory could not be forced to the disk: an object that is seen may then not be there
    /// after a power cut, and publishing it again would only report that it exists.
    pub(super) fn check_writable(&self, operation: &'static str) -> Result<()> {
        if !self.sync_failed.load(Ordering::SeqCst) {
            return Ok(());
        }
        let detail = "an earlier fsync of a directory failed, so what is on the disk is not known";
        Err(other(operation, self.path.display(), ErrorKind::Other, detail))
    }

    /// Opens a directory; `path` is empty (the root itself) or made of parts of object names.
    pub(super) fn open_dir(&self, path: &str) -> rustix::io::Result<OwnedFd> {
        if path.is_empty() {
            return openat(&self.fd, ".", OPEN_DIR, Mode::empty());
        }
        let mut at: Option<OwnedFd> = None;
        for part in path.split('/') {
            let parent = at.as_ref().map_or(self.fd.as_fd(), AsFd::as_fd);
            at = Some(openat(parent, part, OPEN_DIR, Mode::empty())?);
        }
        at.ok_or(Errno::INVAL)
    }

    /// Opens a directory, making what is missing of it. With `durable`, its entry and those above are on the disk then.
    pub(super) fn make_dirs(&self, operation: &'static str, path: &str, durable: bool) -> Result<OwnedFd> {
        let mut at = self.open_dir("").map_err(|errno| self.os(operation, errno))?;
        for (end, _) in path.match_indices('/').chain([(path.len(), "")]).filter(|_| !path.is_empty()) {
            let here = &path[..end];
            let (above, part) = here.rsplit_once('/').unwrap_or(("", here));
            let opened = match openat(&at, part, OPEN_DIR, Mode::empty()) {
                Err(Errno::NOENT) => match sys::make_dir(&at, part, here) {
                    Ok(()) | Err(Errno::EXIST) => openat(&at, part, OPEN_DIR, Mode::empty()),
                    Err(errno) => Err(errno),
                },
                opened => opened,
            };
            let opened = opened.map_err(|errno| self.write_failed(operation, here, errno))?;
            // Also when it was there: whoever made it may not have come as far as its own fsync.
            if durable && !self.lock_durable().contains(here) {
                self.sync_dir(operation, at.as_fd(), above)?;
                self.lock_durable().insert(here.to_owned());
            }
            at = opened;
        }
        Ok(at)
    }

    fn lock_durable(&self) -> std::sync::MutexGuard<'_, HashSet<String>> {
        self.durable.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forces a directory's entries to the disk. After a failure the store takes no more writes.
    pub(super) fn sync_dir(&self, operation: &'static str, dir: BorrowedFd<'_>, path: &str) -> Result<()> {
        match sys::sync_dir(dir, path) {
            Ok(()) => Ok(()),
            // Some network file systems have no fsync for directories; what they promise is then up to the server.
            Err(Errno::INVAL | Errno::OPNOTSUPP) if self.network.is_some() => Ok(()),
            Err(errno) => {
                self.sync_failed.store(true, Ordering::SeqCst);
                Err(os(operation, self.path.join(path).display(), errno))
            }
        }
    }

    /// Opens an object for reading and says how long it is.
    pub(super) fn open_file(&self, operation: &'static str, name: &ObjectName) -> Result<(std::fs::File, u64)> {
        let (above, part) = split(name);
        let failed = |errno| self.read_failed(operation, name, errno);
        let parent = self.open_dir(above).map_err(failed)?;
        let fd = openat(&parent, part, OPEN_FILE, Mode::empty()).map_err(failed)?;
        let stat = rustix::fs::fstat(&fd).map_err(failed)?;
        Ok((fd.into(), file_len(operation, name, &stat)?))
    }

    /// The length of an object.
    pub(super) fn file_size(&self, operation: &'static str, name: &ObjectName) -> Result<u64> {
        let (above, part) = split(name);
        let failed = |errno| self.read_failed(operation, name, errno);
        let parent = self.open_dir(above).map_err(failed)?;
        file_len(operation, name, &statat(&parent, part, AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?)
    }

    /// The error of a failed read: absence of the object only where the store itself is still there.
    fn read_failed(&self, operation: &'static str, name: &ObjectName, errno: Errno) -> StorageError {
        match errno {
            Errno::NOENT => self.check_alive(operation).err().unwrap_or_else(|| os(operation, name, errno)),
            Errno::LOOP => foreign(operation, name),
            errno => os(operation, name, errno),
        }
    }

    /// The error of a failed write. A directory that is missing then says nothing about any object.
    pub(super) fn write_failed(&self, operation: &'static str, subject: impl ToString, errno: Errno) -> StorageError {
        match (errno, self.check_alive(operation)) {
            (Errno::NOENT, Err(missing)) => missing,
            (Errno::NOENT, Ok(())) => {
                other(operation, subject, ErrorKind::Other, "a directory or temporary file of the store vanished")
            }
            (errno, _) => os(operation, subject, errno),
        }
    }
}

/// The error for something under an object's name that is no regular file.
pub(super) fn foreign(operation: &'static str, name: &ObjectName) -> StorageError {
    StorageError::new(operation, name, ErrorKind::ForeignName, "not a regular file")
}

/// The length of a regular file.
pub(super) fn file_len(operation: &'static str, name: &ObjectName, stat: &Stat) -> Result<u64> {
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(foreign(operation, name));
    }
    Ok(u64::try_from(stat.st_size).unwrap_or(0))
}
