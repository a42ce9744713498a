//! One inode held by a descriptor, and what can be asked of it and set on it. Names are resolved once, when the
//! descriptor is opened; after that nobody can put another file under our hands.

use crate::clock::Timestamp;
use crate::format::node::INODE_FLAGS_KEPT;
use crate::fs::stat::{Stat, stat_at};
use rustix::fs::{
    AtFlags, CWD, Gid, IFlags, Mode, Timespec, Timestamps, UTIME_OMIT, Uid, XattrFlags, chmodat, chownat, fchmod,
    fgetxattr, fgetxattr_query, flistxattr, flistxattr_query, fremovexattr, fsetxattr, futimens, getxattr,
    getxattr_query, ioctl_getflags, ioctl_setflags, listxattr, listxattr_query, removexattr, setxattr, utimensat,
};
use rustix::io::Errno;
use std::os::fd::{AsRawFd, BorrowedFd};

/// An inode.
#[derive(Debug, Clone, Copy)]
pub(super) enum Inode<'a> {
    /// Opened: a file or a directory.
    Opened(BorrowedFd<'a>),
    /// Held by `O_PATH` without opening: a symbolic link, a pipe, a device. Most calls refuse such a descriptor and
    /// take its magic link in `/proc` instead, which leads to the inode itself, even if that is a symbolic link.
    Located(BorrowedFd<'a>),
}

fn magic_link(fd: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

impl Inode<'_> {
    fn fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Opened(fd) | Self::Located(fd) => *fd,
        }
    }

    pub(super) fn stat(&self) -> Result<Stat, Errno> {
        stat_at(self.fd(), b"")
    }

    pub(super) fn set_owner(&self, uid: Option<u32>, gid: Option<u32>) -> Result<(), Errno> {
        chownat(self.fd(), c"", uid.map(Uid::from_raw), gid.map(Gid::from_raw), AtFlags::EMPTY_PATH)
    }

    pub(super) fn set_mode(&self, mode: u32) -> Result<(), Errno> {
        let mode = Mode::from_raw_mode(mode & 0o7777);
        match self {
            Self::Opened(fd) => fchmod(fd, mode),
            Self::Located(fd) => chmodat(CWD, magic_link(*fd), mode, AtFlags::empty()),
        }
    }

    /// Sets the time of last change; leaves the time of last access alone.
    pub(super) fn set_mtime(&self, mtime: Timestamp) -> Result<(), Errno> {
        // Above a second are the codes for "now" and "leave it".
        if mtime.nanoseconds > 999_999_999 {
            return Err(Errno::INVAL);
        }
        let times = Timestamps {
            last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
            last_modification: Timespec { tv_sec: mtime.seconds, tv_nsec: mtime.nanoseconds.into() },
        };
        match self {
            Self::Opened(fd) => futimens(fd, &times),
            Self::Located(fd) => match utimensat(fd, c"", &times, AtFlags::EMPTY_PATH) {
                // Kernels before 5.8.
                Err(Errno::INVAL) => utimensat(CWD, magic_link(*fd), &times, AtFlags::empty()),
                other => other,
            },
        }
    }

    /// Inode flags, all of them; `None` where there are none: on a file system that has none, and of what cannot be
    /// opened.
    pub(super) fn flags(&self) -> Result<Option<u32>, Errno> {
        let Self::Opened(fd) = self else { return Ok(None) };
        match ioctl_getflags(fd) {
            Ok(flags) => Ok(Some(flags.bits())),
            Err(Errno::NOTTY | Errno::NOTSUP | Errno::INVAL | Errno::NOSYS) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    /// Inode flags that are kept.
    pub(super) fn kept_flags(&self) -> Result<u32, Errno> {
        Ok(self.flags()?.unwrap_or(0) & INODE_FLAGS_KEPT)
    }

    /// Sets all inode flags at once.
    pub(super) fn set_flags(&self, flags: u32) -> Result<(), Errno> {
        match self {
            Self::Opened(fd) => ioctl_setflags(fd, IFlags::from_bits_retain(flags)),
            Self::Located(_) => Err(Errno::NOTSUP),
        }
    }

    pub(super) fn list_xattrs(&self, buffer: &mut [u8]) -> Result<usize, Errno> {
        match self {
            Self::Opened(fd) => flistxattr(fd, buffer),
            Self::Located(fd) => listxattr(magic_link(*fd), buffer),
        }
    }

    pub(super) fn list_xattrs_size(&self) -> Result<usize, Errno> {
        match self {
            Self::Opened(fd) => flistxattr_query(fd),
            Self::Located(fd) => listxattr_query(magic_link(*fd)),
        }
    }

    pub(super) fn get_xattr(&self, name: &[u8], buffer: &mut [u8]) -> Result<usize, Errno> {
        match self {
            Self::Opened(fd) => fgetxattr(fd, name, buffer),
            Self::Located(fd) => getxattr(magic_link(*fd), name, buffer),
        }
    }

    pub(super) fn xattr_size(&self, name: &[u8]) -> Result<usize, Errno> {
        match self {
            Self::Opened(fd) => fgetxattr_query(fd, name),
            Self::Located(fd) => getxattr_query(magic_link(*fd), name),
        }
    }

    pub(super) fn set_xattr(&self, name: &[u8], value: &[u8]) -> Result<(), Errno> {
        match self {
            Self::Opened(fd) => fsetxattr(fd, name, value, XattrFlags::empty()),
            Self::Located(fd) => setxattr(magic_link(*fd), name, value, XattrFlags::empty()),
        }
    }

    pub(super) fn remove_xattr(&self, name: &[u8]) -> Result<(), Errno> {
        match self {
            Self::Opened(fd) => fremovexattr(fd, name),
            Self::Located(fd) => removexattr(magic_link(*fd), name),
        }
    }
}
