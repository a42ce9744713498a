//! A regular file of the target that is changed where it is: only what differs is written, and it stays the same inode. Unlike a
//! [`NewFile`](crate::fs::NewFile), it is a mixture while that lasts.
//!
//! Whoever may write to the target could have put the file there to read what is restored, or to have a file changed
//! that he may not. So it has to have one name, and belong to us or to whom it will belong; nobody else may open it from
//! the first byte that is written on, until its mode is set.

use crate::format::node::Metadata;
use crate::fs::apply::{RestoreOptions, apply};
use crate::fs::error::{FsError, Operation, Result, Warning};
use crate::fs::flags;
use crate::fs::inode::Inode;
use crate::fs::stat::{FileKind, Stat};
use crate::fs::target::TargetDir;
use rustix::fs::{FallocateFlags, Mode, OFlags, SeekFrom, fallocate, ftruncate, openat, seek};
use rustix::io::{Errno, pread, pwrite, retry_on_intr};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Once;

/// What is compared and written at once: the block of most file systems.
const BLOCK: usize = 4096;
static ZEROS: [u8; BLOCK] = [0; BLOCK];
/// Bytes looked at in one go for blocks of zeros.
const STEP: usize = 16 * BLOCK;

/// A regular file that is there.
#[derive(Debug)]
pub struct PresentFile {
    fd: OwnedFd,
    stat: Stat,
    path: Vec<u8>,
    closed_to_others: Once,
}

impl TargetDir {
    /// Opens the regular file `name` to change it where it is, which is going to belong to `uid`, or to us. `None` if there
    /// is none, and if it must not be changed where it is or cannot be.
    ///
    /// # Errors
    /// [`FsError::BadName`], or what the system says.
    pub fn open_present(&self, name: &[u8], uid: Option<u32>) -> Result<Option<PresentFile>> {
        let Some(listed) = self.stat(name)? else { return Ok(None) };
        let us = rustix::process::geteuid().as_raw();
        let may_be =
            |stat: &Stat| stat.kind == FileKind::File && stat.links == 1 && (Some(stat.uid) == uid || stat.uid == us);
        if !may_be(&listed) {
            return Ok(None);
        }
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let open = || retry_on_intr(|| openat(self.as_fd(), name, flags, Mode::empty()));
        let opened = match open() {
            Err(Errno::PERM) if flags::unlock_entry(self.as_fd(), name) => open(),
            other => other,
        };
        // Being executed, not writable for us, gone: it is replaced.
        let Ok(fd) = opened else { return Ok(None) };
        let stat = Inode::Opened(fd.as_fd()).stat().map_err(|errno| self.io(Operation::Stat, name, errno))?;
        let (path, closed_to_others) = (self.path_of(name), Once::new());
        Ok(may_be(&stat).then_some(PresentFile { fd, stat, path, closed_to_others }))
    }
}

impl PresentFile {
    /// Its length in bytes when it was opened.
    pub fn len(&self) -> u64 {
        self.stat.size
    }

    /// Whether it had no bytes when it was opened.
    pub fn is_empty(&self) -> bool {
        self.stat.size == 0
    }

    /// Reads at `offset` (bytes) until `buffer` is full or the file ends; returns how many bytes.
    ///
    /// # Errors
    /// What the system says.
    pub fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match pread(&self.fd, &mut buffer[filled..], offset.saturating_add(filled as u64)) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(self.error(Operation::Read, errno.into())),
            }
        }
        Ok(filled)
    }

    /// Makes the bytes at `offset` be `bytes`: blocks that are so already are not written. Returns how many bytes were. Threads
    /// may write different parts at the same time.
    ///
    /// # Errors
    /// What the system says.
    pub fn write_different(&self, offset: u64, bytes: &[u8]) -> Result<u64> {
        let mut present = vec![0; bytes.len()];
        let read = self.read_at(offset, &mut present)?;
        let (mut at, mut written) = (0, 0);
        while at < bytes.len() {
            let in_block = ((offset + at as u64) % BLOCK as u64) as usize;
            let end = (at + BLOCK - in_block).min(bytes.len());
            if end > read || present[at..end] != bytes[at..end] {
                self.write_at(offset + at as u64, &bytes[at..end])?;
                written += (end - at) as u64;
            }
            at = end;
        }
        Ok(written)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        // A failure shows when the mode is set; whoever is not the owner could not have opened it for writing.
        self.closed_to_others.call_once(|| {
            let _ = Inode::Opened(self.fd.as_fd()).set_mode(0o600);
        });
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

    /// Sets the length in bytes; with `sparse`, makes holes of all blocks of zeros. Where that is not possible, zeros they
    /// stay.
    ///
    /// # Errors
    /// What the system says.
    pub fn finish_content(&self, length: u64, sparse: bool) -> Result<()> {
        retry_on_intr(|| ftruncate(&self.fd, length))
            .map_err(|errno| self.error(Operation::SetLength, errno.into()))?;
        if sparse { self.dig_holes(length) } else { Ok(()) }
    }

    fn dig_holes(&self, length: u64) -> Result<()> {
        let mut buffer = vec![0; STEP];
        let mut at = 0;
        while at < length {
            at = match seek(&self.fd, SeekFrom::Data(at)) {
                Ok(data) => data / STEP as u64 * STEP as u64,
                Err(_) => return Ok(()),
            };
            let read = self.read_at(at, &mut buffer)?;
            for (index, block) in buffer[..read].chunks(BLOCK).enumerate() {
                let offset = at + (index * BLOCK) as u64;
                let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
                if *block == ZEROS[..block.len()]
                    && retry_on_intr(|| fallocate(&self.fd, flags, offset, BLOCK as u64)).is_err()
                {
                    return Ok(());
                }
            }
            at += STEP as u64;
        }
        Ok(())
    }

    /// Sets the metadata. Returns what could not be set.
    pub fn finish(self, metadata: &Metadata, options: &RestoreOptions) -> Vec<Warning> {
        let inode = Inode::Opened(self.fd.as_fd());
        let mut warnings = apply(inode, (FileKind::File, true), metadata, options, &self.path);
        warnings.extend(flags::set_recorded(inode, metadata.inode_flags, &self.path));
        warnings
    }

    fn error(&self, operation: Operation, source: io::Error) -> FsError {
        FsError::io(operation, self.path.clone(), source)
    }
}
