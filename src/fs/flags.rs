//! Inode flags of what is restored. They come last, since an immutable file can be neither renamed nor linked nor given an
//! owner, and are taken off what has to make way.
//!
//! What is set on an inode becomes what was recorded, but for flags that say how content is laid out: a new file has those from
//! its directory, and whoever set them there wants them.

use crate::format::node::{INODE_FLAGS, INODE_FLAGS_KEPT};
use crate::fs::error::{Operation, Warning};
use crate::fs::inode::Inode;
use crate::fs::stat::{FileKind, stat_at};
use rustix::fs::{Mode, OFlags, openat};
use rustix::io::{Errno, retry_on_intr};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

/// Immutable and append-only: nothing can be renamed over such a file, and it cannot be linked or renamed.
pub const INODE_LOCKS: u32 = 0x10 | 0x20;
/// Compressed, not compressed, notail, nocow, dax, project-inherit, casefold.
const LAYOUT: u32 = 0x4 | 0x400 | 0x8000 | 0x80_0000 | 0x200_0000 | 0x2000_0000 | 0x4000_0000;

const _: () = assert!((INODE_LOCKS | LAYOUT) & !INODE_FLAGS_KEPT == 0);

/// Gives an inode the flags that were recorded, as far as that is permitted; `path` is for the warnings, one for each flag.
pub(super) fn set_recorded(inode: Inode<'_>, recorded: u32, path: &[u8]) -> Vec<Warning> {
    let recorded = recorded & INODE_FLAGS_KEPT;
    let warn = |flags: u32, source: &dyn Fn() -> io::Error| -> Vec<Warning> {
        let named = INODE_FLAGS.iter().filter(|(bit, _)| flags & bit != 0);
        let warning = |name: &str| Warning {
            operation: Operation::SetFlags,
            path: path.to_vec(),
            attribute: name.as_bytes().to_vec(),
            source: source(),
        };
        named.map(|(_, name)| warning(name)).collect()
    };
    let present = match inode.flags() {
        Ok(Some(present)) => present,
        Ok(None) => return warn(recorded, &|| Errno::NOTSUP.into()),
        Err(errno) => return warn(recorded, &|| errno.into()),
    };
    let wanted = (present & !(INODE_FLAGS_KEPT & !LAYOUT)) | recorded;
    if wanted == present {
        return Vec::new();
    }
    let mut warnings = Vec::new();
    if inode.set_flags(wanted).is_err() {
        // One by one, so that one that is not permitted or not known there does not cost the others.
        let mut now = present;
        for (bit, _) in INODE_FLAGS.iter().filter(|(bit, _)| (wanted ^ present) & bit != 0) {
            match inode.set_flags(now ^ bit) {
                Ok(()) => now ^= bit,
                Err(errno) => warnings.extend(warn(*bit, &|| errno.into())),
            }
        }
    }
    // Some file systems take a flag they do not have and say nothing.
    if let Ok(Some(now)) = inode.flags() {
        let ignored = |warning: &Warning, name: &str| warning.attribute != name.as_bytes();
        let missing = recorded & !now;
        for (bit, name) in INODE_FLAGS.iter().filter(|(bit, _)| missing & bit != 0) {
            if warnings.iter().all(|warning| ignored(warning, name)) {
                warnings.extend(warn(*bit, &|| io::Error::other("the file system ignores it")));
            }
        }
    }
    warnings
}

/// Sets flags that have to be there before the first byte is. What cannot be set now is tried again by [`set_recorded`],
/// which says so.
pub(super) fn set_layout(inode: Inode<'_>, recorded: u32) {
    if recorded & LAYOUT != 0
        && let Ok(Some(present)) = inode.flags()
    {
        let _ = inode.set_flags(present | (recorded & LAYOUT));
    }
}

/// Takes immutable and append-only off an inode. Returns whether it had them and has them no more.
pub(super) fn unlock(inode: Inode<'_>) -> bool {
    match inode.flags() {
        Ok(Some(flags)) if flags & INODE_LOCKS != 0 => inode.set_flags(flags & !INODE_LOCKS).is_ok(),
        _ => false,
    }
}

/// As [`unlock`], of the entry `name`, if that is a file or directory that may be opened.
pub(super) fn unlock_entry(dir: BorrowedFd<'_>, name: &[u8]) -> bool {
    // Opening a device may do anything.
    if !stat_at(dir, name).is_ok_and(|stat| matches!(stat.kind, FileKind::File | FileKind::Directory)) {
        return false;
    }
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    match retry_on_intr(|| openat(dir, name, flags, Mode::empty())) {
        Ok(fd) => unlock(Inode::Opened(fd.as_fd())),
        Err(_) => false,
    }
}
