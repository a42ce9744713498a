//! What the host says of one directory entry, small enough to copy, and the type and identity taken from it.

use crate::clock::Timestamp;
use rustix::fs::{AtFlags, FileType, Statx, StatxFlags, StatxTimestamp, makedev, statx};
use rustix::io::Errno;
use std::os::fd::BorrowedFd;

/// Type of a directory entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileKind {
    /// Regular file.
    File,
    /// Directory.
    Directory,
    /// Symbolic link.
    Symlink,
    /// Named pipe.
    Fifo,
    /// Character device.
    CharDevice,
    /// Block device.
    BlockDevice,
    /// Socket.
    Socket,
}

/// Which inode: the same for all hard links of a file and through every bind mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId {
    /// Device number.
    pub device: u64,
    /// Inode number on it.
    pub inode: u64,
}

/// What the host says of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// Type.
    pub kind: FileKind,
    /// The low twelve bits of `st_mode`.
    pub mode: u32,
    /// User number.
    pub uid: u32,
    /// Group number.
    pub gid: u32,
    /// Length in bytes.
    pub size: u64,
    /// Last change of the content.
    pub mtime: Timestamp,
    /// Last change of the inode.
    pub ctime: Timestamp,
    /// When the inode was made, where the file system says.
    pub btime: Option<Timestamp>,
    /// Inode number.
    pub inode: u64,
    /// Number of the device it is on.
    pub device: u64,
    /// Number of names.
    pub links: u32,
    /// Allocated, in units of 512 bytes.
    pub blocks: u64,
    /// Major number, if it is a device.
    pub rdev_major: u32,
    /// Minor number, if it is a device.
    pub rdev_minor: u32,
    /// Number of the mount it was reached through; 0 where the kernel does not say (before 5.8).
    pub mount_id: u64,
}

impl Stat {
    /// Which inode it is.
    pub fn id(&self) -> FileId {
        FileId { device: self.device, inode: self.inode }
    }

    /// Whether fewer blocks are allocated than the length needs. Also true of what a file system compresses.
    pub fn is_sparse(&self) -> bool {
        self.kind == FileKind::File && self.blocks.saturating_mul(512) < self.size
    }

    /// Whether both are on one file system, by device number as every `-x` and `--one-file-system` has it. Compare
    /// directories with directories: overlayfs shows other device numbers for files.
    pub fn same_file_system(&self, other: &Self) -> bool {
        self.device == other.device
    }
}

/// `statx` of `name` in `dir` (of `dir` itself if the name is empty), following nothing and mounting nothing.
pub(super) fn stat_at(dir: BorrowedFd<'_>, name: &[u8]) -> Result<Stat, Errno> {
    let mut flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    if name.is_empty() {
        flags |= AtFlags::EMPTY_PATH;
    }
    from_statx(&statx(dir, name, flags, StatxFlags::BASIC_STATS | StatxFlags::MNT_ID | StatxFlags::BTIME)?)
}

fn from_statx(stat: &Statx) -> Result<Stat, Errno> {
    let kind = match FileType::from_raw_mode(stat.stx_mode.into()) {
        FileType::RegularFile => FileKind::File,
        FileType::Directory => FileKind::Directory,
        FileType::Symlink => FileKind::Symlink,
        FileType::Fifo => FileKind::Fifo,
        FileType::CharacterDevice => FileKind::CharDevice,
        FileType::BlockDevice => FileKind::BlockDevice,
        FileType::Socket => FileKind::Socket,
        // Only a damaged file system has an eighth type.
        FileType::Unknown => return Err(Errno::UCLEAN),
    };
    Ok(Stat {
        kind,
        mode: u32::from(stat.stx_mode) & 0o7777,
        uid: stat.stx_uid,
        gid: stat.stx_gid,
        size: stat.stx_size,
        mtime: timestamp(stat.stx_mtime),
        ctime: timestamp(stat.stx_ctime),
        btime: (stat.stx_mask & StatxFlags::BTIME.bits() != 0).then(|| timestamp(stat.stx_btime)),
        inode: stat.stx_ino,
        device: makedev(stat.stx_dev_major, stat.stx_dev_minor),
        links: stat.stx_nlink,
        blocks: stat.stx_blocks,
        rdev_major: stat.stx_rdev_major,
        rdev_minor: stat.stx_rdev_minor,
        mount_id: if stat.stx_mask & StatxFlags::MNT_ID.bits() == 0 { 0 } else { stat.stx_mnt_id },
    })
}

/// A file system can hand out any 32 bits; a [`Timestamp`] has at most 999,999,999 nanoseconds.
fn timestamp(time: StatxTimestamp) -> Timestamp {
    Timestamp { seconds: time.tv_sec, nanoseconds: time.tv_nsec.min(999_999_999) }
}
