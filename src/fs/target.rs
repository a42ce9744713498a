//! The directory a restore writes into, and the directories below it. The only way to one is through its parent's
//! descriptor, by a checked name and without following a link, so nothing is ever made outside.

use crate::format::node::{Metadata, is_entry_name};
use crate::fs::apply::{RestoreOptions, apply};
use crate::fs::error::{FsError, Operation, Result, Warning, joined};
use crate::fs::flags;
use crate::fs::inode::Inode;
use crate::fs::source::SourceDir;
use crate::fs::stat::{FileKind, Stat, stat_at};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, ResolveFlags, mkdirat, openat, openat2, renameat, unlinkat};
use rustix::io::{Errno, retry_on_intr};
use std::fs::DirBuilder;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// How often somebody may replace an entry under our hands before we give up on it.
pub(super) const ATTEMPTS_MAX: u32 = 16;
/// Bytes of a path given to the kernel at once; it takes 4095.
const PATH_PART_MAX: usize = 2048;

/// How to go from a directory to one below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Resolver {
    /// By `openat2`.
    Kernel,
    /// Component by component.
    Components,
}

impl Resolver {
    /// Asks the kernel. Besides those that have no `openat2` there are filters of containers that refuse what they do
    /// not know.
    fn of_kernel(dir: BorrowedFd<'_>) -> Self {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match retry_on_intr(|| openat2(dir, c".", flags, Mode::empty(), RESOLVE)) {
            Ok(_) => Self::Kernel,
            Err(_) => Self::Components,
        }
    }
}

const RESOLVE: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);

fn open_root(path: &Path) -> Result<OwnedFd> {
    let bytes = path.as_os_str().as_bytes();
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|error| FsError::io(Operation::CreateDirectory, bytes, error))?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    retry_on_intr(|| openat(CWD, path, flags, Mode::empty()))
        .map_err(|errno| FsError::io(Operation::OpenDirectory, bytes, errno))
}

/// Where a restore goes.
#[derive(Debug)]
pub struct Target {
    root: TargetDir,
}

impl Target {
    /// Opens a directory to restore into; makes it and missing parents (mode 0700) if it is not there. Links in
    /// `path` are followed, since the user named it.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(path: &Path) -> Result<Self> {
        let fd = open_root(path)?;
        let resolver = Resolver::of_kernel(fd.as_fd());
        Ok(Self::with_resolver(fd, path, resolver))
    }

    /// As [`open`](Self::open), but makes nothing; `None` if it is not there.
    ///
    /// # Errors
    /// What the system says.
    pub fn open_existing(path: &Path) -> Result<Option<Self>> {
        match std::fs::metadata(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            _ => Self::open(path).map(Some),
        }
    }

    fn with_resolver(fd: OwnedFd, path: &Path, resolver: Resolver) -> Self {
        let inner = Inner { fd, path: path.as_os_str().as_bytes().to_vec(), resolver };
        Self { root: TargetDir { inner: Arc::new(inner) } }
    }

    /// The directory itself.
    pub fn root(&self) -> &TargetDir {
        &self.root
    }

    /// Opens the directory that `components` lead to from the root; none lead to the root.
    ///
    /// # Errors
    /// [`FsError::BadName`]; what the system says, also for a symbolic link on the way.
    pub fn open_dir(&self, components: &[&[u8]]) -> Result<TargetDir> {
        let mut at = self.root.clone();
        let mut rest = components;
        while !rest.is_empty() {
            let mut count = 0;
            let mut length = 0;
            while count < rest.len() && (count == 0 || length + rest[count].len() < PATH_PART_MAX) {
                length += rest[count].len() + 1;
                count += 1;
            }
            at = at.open_below(&rest[..count])?;
            rest = &rest[count..];
        }
        Ok(at)
    }

    /// Whether other users than root and we may rename entries in the target (it belongs to one, or its group or
    /// others may write to it). They could move what is restored elsewhere while it is: worth a warning.
    ///
    /// # Errors
    /// What the system says.
    pub fn is_exposed(&self) -> Result<bool> {
        let stat = self.root.stat_self()?;
        let us = rustix::process::geteuid().as_raw();
        Ok((stat.uid != 0 && stat.uid != us) || stat.mode & 0o022 != 0)
    }
}

/// A directory that is being restored. Cloning is cheap and shares the descriptor.
#[derive(Debug, Clone)]
pub struct TargetDir {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    fd: OwnedFd,
    path: Vec<u8>,
    resolver: Resolver,
}

impl TargetDir {
    /// Makes the directory `name` (mode 0700 until [`finish`](Self::finish)) and opens it. A directory that is there is
    /// used; anything else that is there, a symbolic link too, is removed first.
    ///
    /// # Errors
    /// [`FsError::BadName`]; [`FsError::Replaced`] if somebody keeps replacing it; what the system says.
    pub fn make_child(&self, name: &[u8]) -> Result<Self> {
        self.check_name(name)?;
        for _ in 0..ATTEMPTS_MAX {
            let existed = match mkdirat(self.as_fd(), name, Mode::RWXU) {
                Ok(()) => false,
                Err(Errno::EXIST) => true,
                Err(errno) => return Err(self.io(Operation::CreateDirectory, name, errno)),
            };
            match self.open_components(name) {
                Ok(fd) => {
                    let child = self.child(fd, name);
                    if existed {
                        child.make_writable();
                    }
                    return Ok(child);
                }
                Err(Errno::NOTDIR | Errno::LOOP) => match unlinkat(self.as_fd(), name, AtFlags::empty()) {
                    Ok(()) | Err(Errno::NOENT | Errno::ISDIR) => {}
                    Err(errno) => return Err(self.io(Operation::Remove, name, errno)),
                },
                // Gone again, or changed while the kernel looked.
                Err(Errno::NOENT | Errno::AGAIN) => {}
                Err(errno) => return Err(self.io(Operation::OpenDirectory, name, errno)),
            }
        }
        Err(FsError::Replaced { path: self.path_of(name) })
    }

    /// A directory restored before may be read-only even for its owner, or immutable. `finish` sets what is recorded; failure
    /// shows when something is to be made in it.
    pub fn make_writable(&self) {
        let _ = flags::unlock(Inode::Opened(self.as_fd()));
        if let Ok(stat) = self.stat_self()
            && stat.mode & 0o700 != 0o700
        {
            let _ = Inode::Opened(self.as_fd()).set_mode(stat.mode | 0o700);
        }
    }

    pub(super) fn open_below(&self, components: &[&[u8]]) -> Result<Self> {
        for name in components {
            self.check_name(name)?;
        }
        let path = components.join(&b'/');
        let fd = self.open_components(&path).map_err(|errno| self.io(Operation::OpenDirectory, &path, errno))?;
        Ok(self.child(fd, &path))
    }

    /// Opens a directory below; `path` is made of checked names with single slashes between them.
    fn open_components(&self, path: &[u8]) -> std::result::Result<OwnedFd, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        if self.inner.resolver == Resolver::Kernel {
            return retry_on_intr(|| openat2(self.as_fd(), path, flags, Mode::empty(), RESOLVE));
        }
        let mut at: Option<OwnedFd> = None;
        for name in path.split(|byte| *byte == b'/') {
            let parent = at.as_ref().map_or_else(|| self.as_fd(), AsFd::as_fd);
            let next = retry_on_intr(|| openat(parent, name, flags, Mode::empty()))?;
            at = Some(next);
        }
        at.ok_or(Errno::NOENT)
    }

    fn child(&self, fd: OwnedFd, path: &[u8]) -> Self {
        let inner = Inner { fd, path: joined(&self.inner.path, path), resolver: self.inner.resolver };
        Self { inner: Arc::new(inner) }
    }

    /// Sets the recorded metadata. To be called when everything in the directory is made, the deepest first, since
    /// making entries changes its times and its mode may forbid to. Returns what could not be set.
    pub fn finish(&self, metadata: &Metadata, options: &RestoreOptions) -> Vec<Warning> {
        let inode = Inode::Opened(self.as_fd());
        let mut warnings = apply(inode, (FileKind::Directory, true), metadata, options, &self.inner.path);
        warnings.extend(flags::set_recorded(inode, metadata.inode_flags, &self.inner.path));
        warnings
    }

    /// What is there under `name` now, if anything; of a symbolic link itself.
    ///
    /// # Errors
    /// [`FsError::BadName`], or what the system says.
    pub fn stat(&self, name: &[u8]) -> Result<Option<Stat>> {
        self.check_name(name)?;
        match stat_at(self.as_fd(), name) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(self.io(Operation::Stat, name, errno)),
        }
    }

    /// What the host says of this directory.
    ///
    /// # Errors
    /// What the system says.
    pub fn stat_self(&self) -> Result<Stat> {
        stat_at(self.as_fd(), b"").map_err(|errno| FsError::io(Operation::Stat, self.inner.path.clone(), errno))
    }

    /// The same directory for reading: to list it, to compare or to verify what is in it.
    ///
    /// # Errors
    /// What the system says.
    pub fn source(&self) -> Result<SourceDir> {
        // Opened anew, not duplicated: a duplicate would share the position of a listing.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = retry_on_intr(|| openat(self.as_fd(), c".", flags, Mode::empty()))
            .map_err(|errno| FsError::io(Operation::OpenDirectory, self.inner.path.clone(), errno))?;
        Ok(SourceDir::from_parts(fd, self.inner.path.clone()))
    }

    /// Removes an entry and, if it is a directory, all below it, following nothing. What is not there is no error.
    ///
    /// # Errors
    /// [`FsError::BadName`], or what the system says.
    pub fn remove(&self, name: &[u8]) -> Result<()> {
        self.check_name(name)?;
        match unlinkat(self.as_fd(), name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => return Ok(()),
            Err(Errno::ISDIR) => {}
            Err(errno) => return Err(self.io(Operation::Remove, name, errno)),
        }
        // The library's removal goes by descriptors too, and takes our parent through its magic link.
        let mut path = format!("/proc/self/fd/{}/", self.as_fd().as_raw_fd()).into_bytes();
        path.extend_from_slice(name);
        match std::fs::remove_dir_all(std::ffi::OsStr::from_bytes(&path)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(FsError::io(Operation::Remove, self.path_of(name), error))
            }
            _ => Ok(()),
        }
    }

    /// Where it is, as bytes, for messages only.
    pub fn path(&self) -> &[u8] {
        &self.inner.path
    }

    pub(super) fn path_of(&self, name: &[u8]) -> Vec<u8> {
        joined(&self.inner.path, name)
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.fd.as_fd()
    }

    pub(super) fn io(&self, operation: Operation, name: &[u8], errno: Errno) -> FsError {
        FsError::io(operation, self.path_of(name), errno)
    }

    /// The decoder has checked it too; here is where it would do harm.
    pub(super) fn check_name(&self, name: &[u8]) -> Result<()> {
        if is_entry_name(name) { Ok(()) } else { Err(FsError::BadName { name: name.to_vec() }) }
    }

    /// Makes something under a fresh temporary name by `make`, which must fail with `EEXIST` if the name is taken.
    pub(super) fn make_temporary<T>(
        &self,
        make: impl Fn(&[u8]) -> std::result::Result<T, Errno>,
    ) -> std::result::Result<(Temporary, T), Errno> {
        for _ in 0..ATTEMPTS_MAX {
            let name = temporary_name();
            match make(&name) {
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(errno),
                Ok(made) => return Ok((Temporary { dir: self.clone(), name, renamed: false }, made)),
            }
        }
        Err(Errno::EXIST)
    }
}

/// An entry under a temporary name; removed again unless it was renamed into place.
#[derive(Debug)]
#[must_use]
pub(super) struct Temporary {
    dir: TargetDir,
    name: Vec<u8>,
    renamed: bool,
}

impl Temporary {
    pub(super) fn name(&self) -> &[u8] {
        &self.name
    }

    /// Puts it in the place of whatever is under `name`; of a directory only if that is empty.
    pub(super) fn rename(mut self, name: &[u8]) -> Result<()> {
        for _ in 0..ATTEMPTS_MAX {
            match renameat(self.dir.as_fd(), &self.name[..], self.dir.as_fd(), name) {
                Ok(()) => {
                    self.renamed = true;
                    return Ok(());
                }
                Err(Errno::ISDIR) => {}
                // What is there is immutable or append-only.
                Err(Errno::PERM) if flags::unlock_entry(self.dir.as_fd(), name) => continue,
                Err(errno) => return Err(self.dir.io(Operation::Rename, name, errno)),
            }
            match unlinkat(self.dir.as_fd(), name, AtFlags::REMOVEDIR) {
                // Gone, or something else by now: try again.
                Ok(()) | Err(Errno::NOENT | Errno::NOTDIR) => {}
                Err(Errno::NOTEMPTY | Errno::EXIST) => {
                    return Err(FsError::DirectoryInTheWay { path: self.dir.path_of(name) });
                }
                Err(errno) => return Err(self.dir.io(Operation::Remove, name, errno)),
            }
        }
        Err(FsError::Replaced { path: self.dir.path_of(name) })
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.renamed {
            // Best effort: what remains is named so that anybody can see what it is.
            let _ = unlinkat(self.dir.as_fd(), &self.name[..], AtFlags::empty());
        }
    }
}

/// A name nobody can foresee, without asking for random bytes every time.
fn temporary_name() -> Vec<u8> {
    static PREFIX: OnceLock<u64> = OnceLock::new();
    static COUNTER: AtomicU64 = AtomicU64::new(0);

    // Without random bytes the names are only as unique as the process; creation is exclusive in any case.
    let prefix = PREFIX.get_or_init(|| getrandom::u64().unwrap_or_else(|_| u64::from(std::process::id())));
    format!(".cairn-{prefix:016x}-{:x}", COUNTER.fetch_add(1, Ordering::Relaxed)).into_bytes()
}

#[cfg(test)]
mod tests;
