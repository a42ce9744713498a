//! A regular file that is being restored: written under a temporary name by any number of threads, then given its
//! metadata and put in place at once. Whoever looks sees what was there before or the finished file.

use crate::format::node::Metadata;
use crate::fs::apply::{RestoreOptions, apply};
use crate::fs::error::{FsError, Operation, Result, Warning};
use crate::fs::flags;
use crate::fs::inode::Inode;
use crate::fs::stat::{FileId, FileKind};
use crate::fs::target::{TargetDir, Temporary};
use rustix::fs::{Mode, OFlags, ftruncate, openat};
use rustix::io::{Errno, pwrite, retry_on_intr};
use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// A file that is not in place yet. Dropped without [`commit`](Self::commit), it is removed.
#[derive(Debug)]
#[must_use = "it is removed unless committed"]
pub struct NewFile {
    fd: OwnedFd,
    temporary: Temporary,
    name: Vec<u8>,
    path: Vec<u8>,
}

impl TargetDir {
    /// Starts a file that is to be called `name`. Until it is committed only its owner, which is us, can open it.
    ///
    /// # Errors
    /// [`FsError::BadName`], or what the system says.
    pub fn create_file(&self, name: &[u8]) -> Result<NewFile> {
        self.check_name(name)?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let (temporary, fd) = self
            .make_temporary(|temporary| {
                retry_on_intr(|| openat(self.as_fd(), temporary, flags, Mode::RUSR | Mode::WUSR))
            })
            .map_err(|errno| self.io(Operation::CreateFile, name, errno))?;
        Ok(NewFile { fd, temporary, name: name.to_vec(), path: self.path_of(name) })
    }
}

impl TargetDir {
    /// Gives the file `name`, which this restore made as `expected`, these inode flags, now that it has all its names. Returns what could not be set.
    ///
    /// # Errors
    /// [`FsError::BadName`]; [`FsError::Replaced`] if something else is there by now; what the system says.
    pub fn lock(&self, name: &[u8], expected: FileId, inode_flags: u32) -> Result<Vec<Warning>> {
        self.check_name(name)?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = retry_on_intr(|| openat(self.as_fd(), name, flags, Mode::empty()))
            .map_err(|errno| self.io(Operation::Open, name, errno))?;
        let inode = Inode::Opened(fd.as_fd());
        let stat = inode.stat().map_err(|errno| self.io(Operation::Stat, name, errno))?;
        if stat.kind != FileKind::File || stat.id() != expected {
            return Err(FsError::Replaced { path: self.path_of(name) });
        }
        Ok(flags::set_recorded(inode, inode_flags, &self.path_of(name)))
    }
}

impl NewFile {
    /// Writes all of `bytes` at `offset` (bytes). Threads may write different parts at the same time.
    ///
    /// # Errors
    /// What the system says.
    pub fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let mut written = 0;
        while written < bytes.len() {
            match pwrite(&self.fd, &bytes[written..], offset.saturating_add(written as u64)) {
                Ok(0) => return Err(self.error(Operation::Write, io::ErrorKind::WriteZero.into())),
                Ok(count) => written += count,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(self.error(Operation::Write, errno.into())),
            }
        }
        Ok(())
    }

    /// Sets the length in bytes: cuts, or appends a hole. What is never written is a hole too and reads as zeros.
    ///
    /// # Errors
    /// What the system says.
    pub fn set_len(&self, length: u64) -> Result<()> {
        retry_on_intr(|| ftruncate(&self.fd, length)).map_err(|errno| self.error(Operation::SetLength, errno.into()))
    }

    /// Which inode it is: to make hard links to it later.
    ///
    /// # Errors
    /// What the system says.
    pub fn id(&self) -> Result<FileId> {
        let stat = Inode::Opened(self.fd.as_fd()).stat();
        Ok(stat.map_err(|errno| self.error(Operation::Stat, errno.into()))?.id())
    }

    /// Sets the metadata and puts the file in place, replacing a file or symbolic link that is there. Returns what
    /// metadata could not be set.
    ///
    /// # Errors
    /// [`FsError::DirectoryInTheWay`], or what the system says. The file is then removed.
    pub fn commit(self, metadata: &Metadata, options: &RestoreOptions) -> Result<Vec<Warning>> {
        self.commit_with(metadata, options, metadata.inode_flags)
    }

    /// As [`commit`](Self::commit), but leaves [`INODE_LOCKS`](crate::fs::INODE_LOCKS) off: the file is to get further
    /// names first. [`TargetDir::lock`] sets them.
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
    pub fn commit_unlocked(self, metadata: &Metadata, options: &RestoreOptions) -> Result<Vec<Warning>> {
        self.commit_with(metadata, options, metadata.inode_flags & !flags::INODE_LOCKS)
    }

    fn commit_with(self, metadata: &Metadata, options: &RestoreOptions, inode_flags: u32) -> Result<Vec<Warning>> {
        let inode = Inode::Opened(self.fd.as_fd());
        let mut warnings = apply(inode, (FileKind::File, false), metadata, options, &self.path);
        self.temporary.rename(&self.name)?;
        warnings.extend(flags::set_recorded(inode, inode_flags, &self.path));
        Ok(warnings)
    }

    /// Prepares for the content of a file with this metadata: some inode flags are for empty files only.
    pub fn prepare(&self, metadata: &Metadata) {
        flags::set_layout(Inode::Opened(self.fd.as_fd()), metadata.inode_flags);
    }

    fn error(&self, operation: Operation, source: io::Error) -> FsError {
        FsError::io(operation, self.path.clone(), source)
    }
}
