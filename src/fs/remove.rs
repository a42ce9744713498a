//! Removing what is in the target and should not be: an entry and all below it, but for what is to be spared. Goes by
//! descriptors and follows nothing, and never enters another file system: what is mounted somewhere is not part of what was
//! restored there.

use crate::fs::error::{FsError, Operation, Result};
use crate::fs::flags;
use crate::fs::inode::Inode;
use crate::fs::stat::{FileKind, Stat};
use crate::fs::target::TargetDir;
use rustix::fs::{AtFlags, Mode, unlinkat};
use rustix::io::Errno;

/// Deepest directory that is removed with the one above it: a bound on open directories.
const DEPTH_MAX: usize = 4096;

/// What to remove, and who is told.
pub trait Removal {
    /// Whether the entry at `path` stays, with all below it.
    fn spares(&mut self, path: &[u8], stat: &Stat) -> bool;
    /// It is removed; in a dry run it would have been.
    fn removed(&mut self, path: &[u8]);
    /// It could not be removed.
    fn failed(&mut self, path: &[u8], error: FsError);
    /// Whether nothing is really removed.
    fn is_dry_run(&self) -> bool;
    /// Whether to end now, with what is not removed yet left as it is.
    fn is_stopped(&self) -> bool;
}

/// A directory on its way out.
struct Frame {
    dir: TargetDir,
    name: Vec<u8>,
    names: std::vec::IntoIter<Vec<u8>>,
    path_len: usize,
    /// Its mode, to be put back if something in it stays.
    mode: u32,
    /// Everything in it is gone so far.
    is_empty: bool,
}

impl TargetDir {
    /// The directory `name`, if there is one; a symbolic link to one is none.
    ///
    /// # Errors
    /// [`FsError::BadName`], or what the system says.
    pub fn child_if_there(&self, name: &[u8]) -> Result<Option<Self>> {
        match self.open_below(&[name]) {
            Ok(dir) => Ok(Some(dir)),
            Err(FsError::Io { source, .. })
                if [Errno::NOENT, Errno::NOTDIR, Errno::LOOP]
                    .iter()
                    .any(|errno| source.raw_os_error() == Some(errno.raw_os_error())) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Whether both directories are reached through one mount.
    ///
    /// # Errors
    /// What the system says.
    pub fn same_mount(&self, other: &Self) -> Result<bool> {
        let (ours, theirs) = (self.stat_self()?, other.stat_self()?);
        Ok(ours.same_file_system(&theirs) && ours.mount_id == theirs.mount_id)
    }

    /// Removes `name`, and if it is a directory all below it. `path` is what `removal` is told it is called. Returns whether
    /// all of it is gone; what is not there is.
    pub fn remove_unless_spared(&self, name: &[u8], path: &[u8], removal: &mut dyn Removal) -> bool {
        let mut path = path.to_vec();
        let mut stack: Vec<Frame> = Vec::new();
        let mut is_gone = self.remove_one(self, name, &path, removal, &mut stack);
        while let Some(frame) = stack.last_mut() {
            let is_stopped = removal.is_stopped();
            frame.is_empty &= !is_stopped;
            if let Some(name) = frame.names.next().filter(|_| !is_stopped) {
                path.truncate(frame.path_len);
                path.push(b'/');
                path.extend_from_slice(&name);
                let dir = frame.dir.clone();
                let depth = stack.len();
                let is_gone = self.remove_one(&dir, &name, &path, removal, &mut stack);
                // A directory that was entered is judged when it is left.
                if stack.len() == depth
                    && let Some(frame) = stack.last_mut()
                {
                    frame.is_empty &= is_gone;
                }
                continue;
            }
            let Some(Frame { dir, name, path_len, mode, is_empty, .. }) = stack.pop() else { break };
            path.truncate(path_len);
            is_gone = is_empty && {
                let parent = stack.last().map_or(self, |above| &above.dir);
                remove_directory(parent, &name, &path, removal)
            };
            if !is_gone && !removal.is_dry_run() {
                let _ = Inode::Opened(dir.as_fd()).set_mode(mode);
            }
            if let Some(above) = stack.last_mut() {
                above.is_empty &= is_gone;
            }
        }
        is_gone
    }

    /// Removes one entry of `dir`, or pushes it if it is a directory. Says whether it is gone.
    fn remove_one(
        &self,
        dir: &Self,
        name: &[u8],
        path: &[u8],
        removal: &mut dyn Removal,
        stack: &mut Vec<Frame>,
    ) -> bool {
        let stat = match dir.stat(name) {
            Ok(Some(stat)) => stat,
            Ok(None) => return true,
            Err(error) => {
                removal.failed(path, error);
                return false;
            }
        };
        if removal.spares(path, &stat) {
            return false;
        }
        if stat.kind == FileKind::Directory {
            match self.enter(dir, name, path, &stat, removal, stack.len()) {
                Ok(Some(frame)) => stack.push(frame),
                Ok(None) => {}
                Err(error) => removal.failed(path, error),
            }
            return false;
        }
        if !removal.is_dry_run() {
            let unlinked = match unlinkat(dir.as_fd(), name, AtFlags::empty()) {
                Err(Errno::PERM) if flags::unlock_entry(dir.as_fd(), name) => {
                    unlinkat(dir.as_fd(), name, AtFlags::empty())
                }
                other => other,
            };
            if let Err(errno) = unlinked
                && errno != Errno::NOENT
            {
                removal.failed(path, dir.io(Operation::Remove, name, errno));
                return false;
            }
        }
        removal.removed(path);
        true
    }

    /// Opens a directory that is to be emptied; `None` if it stays.
    fn enter(
        &self,
        dir: &Self,
        name: &[u8],
        path: &[u8],
        stat: &Stat,
        removal: &mut dyn Removal,
        depth: usize,
    ) -> Result<Option<Frame>> {
        let Some(child) = dir.child_if_there(name)? else { return Ok(None) };
        if depth >= DEPTH_MAX || !self.same_mount(&child)? {
            let what = if depth >= DEPTH_MAX { "nested too deeply to be removed" } else { "another file system" };
            removal.failed(path, FsError::Spared { path: child.path().to_vec(), what });
            return Ok(None);
        }
        if !removal.is_dry_run() {
            let inode = Inode::Opened(child.as_fd());
            let _ = flags::unlock(inode);
            if stat.mode & 0o700 != 0o700 {
                let _ = inode.set_mode(stat.mode | Mode::RWXU.bits());
            }
        }
        let mut names: Vec<_> = child.source()?.list()?.into_iter().map(|entry| entry.name).collect();
        names.sort_unstable();
        let (name, mode, path_len) = (name.to_vec(), stat.mode, path.len());
        Ok(Some(Frame { dir: child, name, names: names.into_iter(), path_len, mode, is_empty: true }))
    }
}

fn remove_directory(parent: &TargetDir, name: &[u8], path: &[u8], removal: &mut dyn Removal) -> bool {
    if !removal.is_dry_run() {
        match unlinkat(parent.as_fd(), name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => {
                removal.failed(path, parent.io(Operation::Remove, name, errno));
                return false;
            }
        }
    }
    removal.removed(path);
    true
}
