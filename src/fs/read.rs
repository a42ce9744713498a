//! Reading a regular file, and noticing that it changed meanwhile.

use crate::fs::error::{FsError, Operation, Result};
use crate::fs::inode::Inode;
use crate::fs::source::SourceDir;
use crate::fs::stat::{FileKind, Stat, stat_at};
use crate::fs::xattr::{Xattrs, read_attributes};
use rustix::fs::{Advice, CWD, Mode, OFlags, fadvise, openat};
use rustix::io::{Errno, pread, retry_on_intr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// From this size on the kernel is told that the file is read from end to end.
const ADVISE_SIZE_MIN: u64 = 2 << 20;

/// A regular file, open for reading.
#[derive(Debug)]
pub struct SourceFile {
    fd: OwnedFd,
    stat: Stat,
    path: Vec<u8>,
}

impl AsFd for SourceFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl SourceFile {
    /// Opens `name` in `dir`, which a moment ago was `listed`. Never follows a link, never waits for a pipe's other
    /// end, and leaves the access time alone where that is allowed.
    ///
    /// # Errors
    /// [`FsError::Changed`] if it is no regular file (any more), or what the system says.
    pub fn open(dir: &SourceDir, name: &[u8], listed: &Stat) -> Result<Self> {
        if listed.kind != FileKind::File {
            return Err(FsError::Changed { path: dir.path_of(name) });
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let opened = match retry_on_intr(|| openat(dir.as_fd(), name, flags | OFlags::NOATIME, Mode::empty())) {
            Err(Errno::PERM) => retry_on_intr(|| openat(dir.as_fd(), name, flags, Mode::empty())),
            other => other,
        };
        let opened = match opened {
            // Somebody (such as a file server) holds a lease on it and has to give it back first. Waiting for that
            // needs an open that may block, so make sure first that it is not a pipe.
            Err(Errno::AGAIN) => open_waiting(dir, name),
            other => other,
        };
        let fd = opened.map_err(|errno| match errno {
            // A symbolic link, a socket or an absent device. A regular file gives neither.
            Errno::LOOP | Errno::NXIO => FsError::Changed { path: dir.path_of(name) },
            errno => FsError::io(Operation::Open, dir.path_of(name), errno),
        })?;
        let path = dir.path_of(name);
        let stat = stat_at(fd.as_fd(), b"").map_err(|errno| FsError::io(Operation::Stat, path.clone(), errno))?;
        if stat.kind != FileKind::File {
            return Err(FsError::Changed { path });
        }
        Ok(Self { fd, stat, path })
    }

    /// What the host said of the open file when it was opened: the truth for its content, whatever was listed before.
    pub fn stat(&self) -> &Stat {
        &self.stat
    }

    /// Closes it and returns its path.
    pub fn into_path(self) -> Vec<u8> {
        self.path
    }

    /// Path, as bytes, for messages.
    pub fn path(&self) -> &[u8] {
        &self.path
    }

    /// Tells the kernel that the file is read from end to end, if it is long enough for that to matter.
    pub fn advise_sequential(&self) {
        if self.stat.size > ADVISE_SIZE_MIN {
            // A hint: what cannot take it reads as well without.
            let _ = fadvise(&self.fd, 0, None, Advice::Sequential);
        }
    }

    /// Reads at `offset` (bytes) until `buffer` is full or the file ends; returns how many bytes.
    ///
    /// # Errors
    /// What the system says.
    pub fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            let position = offset.saturating_add(filled as u64);
            match pread(&self.fd, &mut buffer[filled..], position) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(FsError::io(Operation::Read, self.path.clone(), errno)),
            }
        }
        Ok(filled)
    }

    /// Whether the open file is now as `before` says: length, times and inode. The time of the inode's last change
    /// cannot be forged back by the owner as the content's can.
    pub fn unchanged_since(&self, before: &Stat) -> bool {
        stat_at(self.fd.as_fd(), b"").is_ok_and(|now| {
            (now.size, now.mtime, now.ctime, now.inode) == (before.size, before.mtime, before.ctime, before.inode)
        })
    }

    /// Extended attributes and inode flags.
    pub fn xattrs(&self) -> Xattrs {
        read_attributes(Inode::Opened(self.fd.as_fd()), &self.path)
    }
}

/// Opens a regular file, waiting for a lease to be given back (45 s by default, then the kernel takes it).
fn open_waiting(dir: &SourceDir, name: &[u8]) -> std::result::Result<OwnedFd, Errno> {
    let located = openat(dir.as_fd(), name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    if stat_at(located.as_fd(), b"")?.kind != FileKind::File {
        return Err(Errno::LOOP);
    }
    let path = format!("/proc/self/fd/{}", located.as_raw_fd());
    retry_on_intr(|| openat(CWD, &path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use rustix::fs::{FileType, mknodat};
    use std::fs;
    use std::io::Write;
    use std::os::unix::fs::symlink;

    fn open(dir: &tempfile::TempDir, name: &[u8]) -> (SourceDir, Stat, SourceFile) {
        let source = SourceDir::open_root(dir.path()).unwrap();
        let stat = source.stat(name).unwrap();
        let file = SourceFile::open(&source, name, &stat).unwrap();
        (source, stat, file)
    }

    #[test]
    fn reads_fill_the_buffer_up_to_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let content: Vec<u8> = (0..3_000_000_u32).map(|i| (i % 251) as u8).collect();
        fs::write(dir.path().join("f"), &content).unwrap();
        let (_, _, file) = open(&dir, b"f");
        file.advise_sequential();
        let mut buffer = vec![0; 2_000_000];
        assert_eq!(file.read_at(1_500_000, &mut buffer).unwrap(), 1_500_000);
        assert_eq!(buffer[..1_500_000], content[1_500_000..]);
        assert_eq!(file.read_at(3_000_000, &mut buffer).unwrap(), 0);
    }

    #[test]
    fn every_kind_of_change_is_noticed() {
        type Change = fn(&std::path::Path);
        let changes: [(&str, Change); 4] = [
            ("grown", |path| fs::OpenOptions::new().append(true).open(path).unwrap().write_all(b"!").unwrap()),
            ("cut", |path| fs::File::options().write(true).open(path).unwrap().set_len(1).unwrap()),
            ("mode", |path| {
                fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
            }),
            ("overwritten, time put back", |path| {
                let before = fs::metadata(path).unwrap().modified().unwrap();
                let mut file = fs::File::options().write(true).open(path).unwrap();
                file.write_all(b"HELLO").unwrap();
                file.set_modified(before).unwrap();
            }),
        ];
        for (what, change) in changes {
            let dir = tempfile::tempdir().unwrap();
            fs::write(dir.path().join("f"), b"hello").unwrap();
            let (_, stat, file) = open(&dir, b"f");
            assert_eq!(&stat, file.stat());
            assert!(file.unchanged_since(&stat), "untouched");
            // The kernel's clock for these times ticks every 4 to 10 ms; two changes in one tick look like one.
            std::thread::sleep(std::time::Duration::from_millis(30));
            change(&dir.path().join("f"));
            assert!(!file.unchanged_since(&stat), "{what}");
        }
    }

    #[test]
    fn what_is_swapped_in_for_a_file_is_refused_and_never_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        fs::write(&path, b"x").unwrap();
        let source = SourceDir::open_root(dir.path()).unwrap();
        let stat = source.stat(b"f").unwrap();
        let put = |kind: &str| {
            let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir(&path));
            match kind {
                "fifo" => mknodat(source.as_fd(), c"f", FileType::Fifo, Mode::RUSR, 0).unwrap(),
                "socket" => mknodat(source.as_fd(), c"f", FileType::Socket, Mode::RUSR, 0).unwrap(),
                "directory" => fs::create_dir(&path).unwrap(),
                _ => symlink("/etc/hostname", &path).unwrap(),
            }
        };
        for kind in ["fifo", "socket", "directory", "symlink"] {
            put(kind);
            assert!(SourceFile::open(&source, b"f", &stat).unwrap_err().is_changed(), "{kind}");
            assert!(open_waiting(&source, b"f").is_err(), "{kind}, when waiting for a lease");
            assert!(SourceFile::open(&source, b"f", &source.stat(b"f").unwrap()).unwrap_err().is_changed(), "{kind}");
        }
        fs::remove_file(&path).unwrap();
        assert!(SourceFile::open(&source, b"f", &stat).unwrap_err().is_vanished());
        fs::write(&path, b"y").unwrap();
        assert!(open_waiting(&source, b"f").is_ok());
    }
}
