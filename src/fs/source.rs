//! Listing and looking at directories that are backed up. Everything is relative to an open directory; an error is
//! the only reason to build an entry's path.

use crate::fs::error::{FsError, Operation, Result, joined};
use crate::fs::inode::Inode;
use crate::fs::stat::{Stat, stat_at};
use crate::fs::xattr::{Xattrs, read_attributes, read_xattrs};
use rustix::fs::{CWD, Mode, OFlags, RawDir, SeekFrom, openat, readlinkat, seek};
use rustix::io::{Errno, retry_on_intr};
use std::cell::RefCell;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// One `getdents64` fills this: some 3,000 entries. Once a thread, since a fresh one per directory costs page faults.
const LIST_BUFFER_SIZE: usize = 128 << 10;

thread_local! {
    static LIST_BUFFER: RefCell<Vec<u8>> = RefCell::new(Vec::with_capacity(LIST_BUFFER_SIZE));
}

/// An entry as the directory lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirEntry {
    /// Name.
    pub name: Vec<u8>,
    /// Inode number, for looking at entries in the order they lie on the disk. Of what is below a mount point, not of
    /// what is mounted there.
    pub inode: u64,
}

/// An open directory that is backed up.
#[derive(Debug)]
pub struct SourceDir {
    fd: OwnedFd,
    path: Vec<u8>,
}

impl SourceDir {
    /// Opens a directory by its absolute path; symbolic links on the way and at the end are followed, since the
    /// user named it.
    ///
    /// # Errors
    /// [`FsError::NotAbsolute`], or what the system says ([`FsError::Io`]).
    pub fn open_root(path: &Path) -> Result<Self> {
        let bytes = path.as_os_str().as_bytes().to_vec();
        if !path.is_absolute() {
            return Err(FsError::NotAbsolute { path: bytes });
        }
        let fd = open_directory(CWD, &bytes, OFlags::empty())
            .map_err(|errno| FsError::io(Operation::OpenDirectory, bytes.clone(), errno))?;
        Ok(Self { fd, path: bytes })
    }

    /// An open directory under the path it is to be named by in messages.
    pub(super) fn from_parts(fd: OwnedFd, path: Vec<u8>) -> Self {
        Self { fd, path }
    }

    /// Opens the directory `name` in this one. What it holds now is described by its own
    /// [`stat_self`](Self::stat_self), not by an earlier look at the name.
    ///
    /// # Errors
    /// [`FsError::Changed`] if it is no directory (any more), [`FsError::BadName`], or what the system says.
    pub fn open_child(&self, name: &[u8]) -> Result<Self> {
        let path = self.path_of(name);
        if !crate::format::node::is_entry_name(name) {
            return Err(FsError::BadName { name: name.to_vec() });
        }
        match open_directory(self.fd.as_fd(), name, OFlags::NOFOLLOW) {
            Ok(fd) => Ok(Self { fd, path }),
            Err(Errno::NOTDIR | Errno::LOOP) => Err(FsError::Changed { path }),
            Err(errno) => Err(FsError::io(Operation::OpenDirectory, path, errno)),
        }
    }

    /// The path this directory was opened by, as bytes. No link below the root is in it.
    pub fn path(&self) -> &[u8] {
        &self.path
    }

    /// The path of an entry of this directory.
    pub fn path_of(&self, name: &[u8]) -> Vec<u8> {
        joined(&self.path, name)
    }

    /// All entries but `.` and `..`, in the order the file system has them. Two threads must not list one `SourceDir`
    /// at the same time: they would share one position in it.
    ///
    /// # Errors
    /// What the system says; a directory that was removed meanwhile is [`FsError::is_vanished`].
    pub fn list(&self) -> Result<Vec<DirEntry>> {
        LIST_BUFFER
            .with_borrow_mut(|buffer| self.list_into(buffer))
            .map_err(|errno| FsError::io(Operation::List, self.path.clone(), errno))
    }

    fn list_into(&self, buffer: &mut Vec<u8>) -> std::result::Result<Vec<DirEntry>, Errno> {
        seek(&self.fd, SeekFrom::Start(0))?;
        let mut entries = Vec::new();
        let mut raw = RawDir::new(&self.fd, buffer.spare_capacity_mut());
        while let Some(entry) = raw.next() {
            let entry = match entry {
                Err(Errno::INTR) => continue,
                other => other?,
            };
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                entries.push(DirEntry { name: name.to_vec(), inode: entry.ino() });
            }
        }
        Ok(entries)
    }

    /// What the host says of an entry; of a symbolic link itself, not of where it points.
    ///
    /// # Errors
    /// What the system says; an entry that is gone is [`FsError::is_vanished`].
    pub fn stat(&self, name: &[u8]) -> Result<Stat> {
        if name.is_empty() {
            return Err(FsError::BadName { name: Vec::new() });
        }
        stat_at(self.fd.as_fd(), name).map_err(|errno| FsError::io(Operation::Stat, self.path_of(name), errno))
    }

    /// What the host says of this directory.
    ///
    /// # Errors
    /// What the system says.
    pub fn stat_self(&self) -> Result<Stat> {
        stat_at(self.fd.as_fd(), b"").map_err(|errno| FsError::io(Operation::Stat, self.path.clone(), errno))
    }

    /// Where the symbolic link `name` points, byte for byte.
    ///
    /// # Errors
    /// [`FsError::Changed`] if it is no symbolic link (any more), or what the system says.
    pub fn read_link(&self, name: &[u8]) -> Result<Vec<u8>> {
        match readlinkat(&self.fd, name, Vec::new()) {
            Ok(target) => Ok(target.into_bytes()),
            Err(Errno::INVAL) => Err(FsError::Changed { path: self.path_of(name) }),
            Err(errno) => Err(FsError::io(Operation::ReadLink, self.path_of(name), errno)),
        }
    }

    /// Extended attributes and inode flags of this directory.
    pub fn xattrs(&self) -> Xattrs {
        read_attributes(Inode::Opened(self.fd.as_fd()), &self.path)
    }

    /// Extended attributes of an entry of any type, without opening it for reading: for symbolic links and special
    /// files. For regular files see [`SourceFile::xattrs`](crate::fs::SourceFile::xattrs), which is cheaper when the
    /// file is open anyway.
    ///
    /// # Errors
    /// What the system says of the entry itself; what it says of its attributes are warnings in the value.
    pub fn entry_xattrs(&self, name: &[u8]) -> Result<Xattrs> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = openat(&self.fd, name, flags, Mode::empty())
            .map_err(|errno| FsError::io(Operation::Open, self.path_of(name), errno))?;
        Ok(read_xattrs(Inode::Located(fd.as_fd()), &self.path_of(name)))
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Opens for listing, without touching the access time where that is allowed.
fn open_directory(dir: BorrowedFd<'_>, name: &[u8], extra: OFlags) -> std::result::Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | extra;
    match retry_on_intr(|| openat(dir, name, flags | OFlags::NOATIME, Mode::empty())) {
        Err(Errno::PERM) => retry_on_intr(|| openat(dir, name, flags, Mode::empty())),
        other => other,
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::fs::stat::FileKind;
    use std::collections::BTreeSet;
    use std::fs;
    use std::os::unix::fs::{MetadataExt, symlink};

    #[test]
    fn lists_more_than_one_buffer_twice_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let names: BTreeSet<Vec<u8>> =
            (0..3000).map(|i| format!("{i:04}-{}", "n".repeat(100)).into_bytes()).chain([vec![0xff, 0xfe]]).collect();
        for name in &names {
            fs::write(dir.path().join(std::ffi::OsStr::from_bytes(name)), b"").unwrap();
        }
        let source = SourceDir::open_root(dir.path()).unwrap();
        for _ in 0..2 {
            let listed = source.list().unwrap();
            assert_eq!(listed.len(), names.len());
            assert_eq!(listed.iter().map(|entry| entry.name.clone()).collect::<BTreeSet<_>>(), names);
        }
        let entry = &source.list().unwrap()[0];
        assert_eq!(source.stat(&entry.name).unwrap().inode, entry.inode);
    }

    #[test]
    fn stat_says_what_the_standard_library_says() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("f"), b"hello").unwrap();
        fs::hard_link(dir.path().join("f"), dir.path().join("g")).unwrap();
        let stat = SourceDir::open_root(dir.path()).unwrap().stat(b"f").unwrap();
        let std = fs::symlink_metadata(dir.path().join("f")).unwrap();
        assert_eq!((stat.kind, stat.size, stat.links), (FileKind::File, 5, 2));
        assert_eq!((stat.device, stat.inode, stat.mode), (std.dev(), std.ino(), std.mode() & 0o7777));
        assert_eq!((stat.mtime.seconds, i64::from(stat.mtime.nanoseconds)), (std.mtime(), std.mtime_nsec()));
        assert_eq!((stat.ctime.seconds, i64::from(stat.ctime.nanoseconds)), (std.ctime(), std.ctime_nsec()));
        assert_eq!((stat.uid, stat.gid, stat.blocks), (std.uid(), std.gid(), std.blocks()));
    }

    #[test]
    fn a_link_is_neither_followed_by_stat_nor_entered() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("real")).unwrap();
        symlink("real", dir.path().join("link")).unwrap();
        let source = SourceDir::open_root(dir.path()).unwrap();
        assert_eq!(source.stat(b"link").unwrap().kind, FileKind::Symlink);
        assert_eq!(source.read_link(b"link").unwrap(), b"real");
        assert!(source.open_child(b"link").unwrap_err().is_changed());
        assert!(source.read_link(b"real").unwrap_err().is_changed());
        assert!(source.stat(b"gone").unwrap_err().is_vanished());
        assert!(source.open_child(b"gone").unwrap_err().is_vanished());
        assert!(matches!(source.open_child(b"../real"), Err(FsError::BadName { .. })));
        assert!(matches!(SourceDir::open_root(Path::new("relative")), Err(FsError::NotAbsolute { .. })));
        let child = source.open_child(b"real").unwrap();
        assert_eq!(child.stat_self().unwrap().id(), source.stat(b"real").unwrap().id());
        fs::remove_dir(dir.path().join("real")).unwrap();
        assert!(child.list().unwrap_err().is_vanished());
    }

    #[test]
    fn goes_deeper_than_a_path_can_be_long() {
        let dir = tempfile::tempdir().unwrap();
        let name = vec![b'd'; 200];
        let mut source = SourceDir::open_root(dir.path()).unwrap();
        for _ in 0..30 {
            rustix::fs::mkdirat(&source.fd, &name[..], Mode::RWXU).unwrap();
            source = source.open_child(&name).unwrap();
        }
        rustix::fs::symlinkat(c"x", &source.fd, c"link").unwrap();
        assert!(source.path().len() > 4096);
        let entries = source.list().unwrap();
        assert_eq!(entries.len(), 1);
        assert_eq!(source.stat(&entries[0].name).unwrap().kind, FileKind::Symlink);
        assert!(source.entry_xattrs(b"link").unwrap().warnings.is_empty());
    }
}
