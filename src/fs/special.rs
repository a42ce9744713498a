//! Restoring what has no bytes of its own: symbolic links, further names of a file, pipes and devices. All are made
//! under a temporary name, checked to be what was made, and renamed into place.

use crate::format::node::{Content, LINK_TARGET_MAX, Metadata};
use crate::fs::apply::{RestoreOptions, apply};
use crate::fs::error::{FsError, Operation, Result, Warning};
use crate::fs::inode::Inode;
use crate::fs::stat::{FileId, FileKind, Stat};
use crate::fs::target::{TargetDir, Temporary};
use rustix::fs::{AtFlags, Dev, FileType, Mode, OFlags, linkat, makedev, mknodat, openat, symlinkat, unlinkat};
use rustix::io::Errno;
use std::os::fd::{AsFd, OwnedFd};

/// What was made.
#[derive(Debug)]
#[must_use]
pub struct Made {
    /// Which inode it is: to make hard links to it later.
    pub id: FileId,
    /// Metadata that could not be set.
    pub warnings: Vec<Warning>,
}

impl TargetDir {
    /// Makes a symbolic link. Where it points is not looked at: nothing here ever follows it. Make the links of a
    /// directory last all the same, so that other programs do not either while files are missing.
    ///
    /// # Errors
    /// [`FsError::BadName`], [`FsError::BadLinkTarget`], [`FsError::DirectoryInTheWay`], [`FsError::Replaced`], or
    /// what the system says.
    pub fn create_symlink(
        &self,
        name: &[u8],
        target: &[u8],
        metadata: &Metadata,
        options: &RestoreOptions,
    ) -> Result<Made> {
        self.check_name(name)?;
        if target.is_empty() || target.len() > LINK_TARGET_MAX || target.contains(&0) {
            return Err(FsError::BadLinkTarget { path: self.path_of(name) });
        }
        let (temporary, ()) = self
            .make_temporary(|temporary| symlinkat(target, self.as_fd(), temporary))
            .map_err(|errno| self.io(Operation::CreateSymlink, name, errno))?;
        let is_ours = |stat: &Stat| stat.kind == FileKind::Symlink && stat.size == target.len() as u64;
        let (fd, id) = self.locate(&temporary, name, is_ours)?;
        let kind = (FileKind::Symlink, false);
        let warnings = apply(Inode::Located(fd.as_fd()), kind, metadata, options, &self.path_of(name));
        temporary.rename(name)?;
        Ok(Made { id, warnings })
    }

    /// Gives what is called `source_name` in `source_dir`, which this restore made as `expected`, a further name here. It
    /// may be anything but a directory.
    ///
    /// # Errors
    /// [`FsError::BadName`]; [`FsError::Replaced`] if something else is there by now; [`FsError::DirectoryInTheWay`];
    /// or what the system says.
    pub fn hard_link(&self, name: &[u8], source_dir: &Self, source_name: &[u8], expected: FileId) -> Result<()> {
        self.check_name(name)?;
        self.check_name(source_name)?;
        let (temporary, ()) = self
            .make_temporary(|temporary| {
                linkat(source_dir.as_fd(), source_name, self.as_fd(), temporary, AtFlags::empty())
            })
            .map_err(|errno| self.io(Operation::HardLink, name, errno))?;
        // Checked after linking, under a name nobody can foresee: what the source was before proves nothing.
        self.locate_linked(&temporary, name, |stat| stat.kind != FileKind::Directory && stat.id() == expected)?;
        let leftover = temporary.name().to_vec();
        temporary.rename(name)?;
        // If the name was a link to the same file before, `rename` does nothing and says it did.
        match unlinkat(self.as_fd(), &leftover[..], AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(self.io(Operation::Remove, &leftover, errno)),
        }
    }

    /// Makes a pipe, or a device where that is permitted.
    ///
    /// # Errors
    /// [`FsError::UnknownType`] for any other content (sockets are made by their servers); otherwise as
    /// [`create_symlink`](Self::create_symlink).
    pub fn make_special(
        &self,
        name: &[u8],
        content: &Content,
        metadata: &Metadata,
        options: &RestoreOptions,
    ) -> Result<Made> {
        self.check_name(name)?;
        let (kind, file_type, major, minor) = match *content {
            Content::Fifo => (FileKind::Fifo, FileType::Fifo, 0, 0),
            Content::CharDevice { major, minor } => (FileKind::CharDevice, FileType::CharacterDevice, major, minor),
            Content::BlockDevice { major, minor } => (FileKind::BlockDevice, FileType::BlockDevice, major, minor),
            _ => return Err(FsError::UnknownType { path: self.path_of(name), what: "no pipe and no device" }),
        };
        let device: Dev = makedev(major, minor);
        let (temporary, ()) = self
            .make_temporary(|temporary| mknodat(self.as_fd(), temporary, file_type, Mode::RUSR | Mode::WUSR, device))
            .map_err(|errno| self.io(Operation::CreateSpecial, name, errno))?;
        let is_ours = |stat: &Stat| stat.kind == kind && (stat.rdev_major, stat.rdev_minor) == (major, minor);
        let (fd, id) = self.locate(&temporary, name, is_ours)?;
        let warnings = apply(Inode::Located(fd.as_fd()), (kind, false), metadata, options, &self.path_of(name));
        temporary.rename(name)?;
        Ok(Made { id, warnings })
    }

    /// Takes hold of what was just made. It must have no other name: somebody who can write to the directory could have
    /// put a link to a file he may not change in its place, to have us change its owner.
    fn locate(&self, temporary: &Temporary, name: &[u8], is_ours: impl Fn(&Stat) -> bool) -> Result<(OwnedFd, FileId)> {
        self.locate_linked(temporary, name, |stat| stat.links == 1 && is_ours(stat))
    }

    fn locate_linked(
        &self,
        temporary: &Temporary,
        name: &[u8],
        is_ours: impl Fn(&Stat) -> bool,
    ) -> Result<(OwnedFd, FileId)> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = openat(self.as_fd(), temporary.name(), flags, Mode::empty())
            .map_err(|errno| self.io(Operation::Open, name, errno))?;
        let stat = Inode::Located(fd.as_fd()).stat().map_err(|errno| self.io(Operation::Stat, name, errno))?;
        if is_ours(&stat) { Ok((fd, stat.id())) } else { Err(FsError::Replaced { path: self.path_of(name) }) }
    }
}
