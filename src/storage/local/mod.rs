//! A store in a directory: an object's name is its path below the root.
//!
//! **How an object comes to be.** It is written to a file in `tmp/` (mode 0600, then 0400) and its length is compared.
//! [`LocalStorage::publish_batch`](Publish::publish_batch) forces the bytes of the whole batch to the disk first, and makes
//! the missing directories, each durable in the one above. Then, object by object in the order given: `link(2)` to its
//! name, which fails if the name is taken and never replaces; unlink the temporary name; fsync the directory. The next
//! object is linked only after that fsync, so no assumption is made about the order in which a file system writes
//! directory entries: after a power cut a later object is there only if every earlier one is. `tmp/` itself is not synced:
//! what a power cut leaves there is a leftover, or a second name of a published object, and the cleaner takes both.
//!
//! An object that existed already was synced by whoever made it, but perhaps not yet its directory entry; so
//! [`Published::Existed`], too, is reported only after the fsync of the directory.
//!
//! **fsync fails once.** The kernel may drop what it could not write and report success next time. A file that could not
//! be synced is therefore discarded with its batch, before anything of it is visible. If a directory could not be synced, an
//! object may be visible and not durable; the store then takes no more writes until it is opened anew.
//!
//! **What is below the root** is reached from one directory descriptor, part by part, never through a symbolic link. Names
//! that are not [`ObjectName`]s (`lost+found`, `.nfs…`, temporary files) are not objects and are not listed. Something else
//! than a file or directory under an object's name is an error, in a listing too: it may hide objects.
//!
//! **Absence.** "No such file" means absence only while the root has its directory `config`. Without it the medium is
//! not mounted, or the repository was removed: [`ErrorKind::StoreMissing`].
//!
//! **Limits.** A staged object holds two file descriptors until it is published or dropped. A visible object is durable only once its publisher's call has returned. A second process can see it a moment
//! earlier; on file systems with one journal (ext4, XFS) its own fsync then covers the first one's entry, too.

mod network;
mod root;
mod sys;
mod temp;

use temp::TempFile;

use crate::object::ObjectName;
use crate::storage::contract::{Fetch, Listed, Publish, Published, Remove, Stage, Staged};
use crate::storage::error::{ErrorKind, Result, StorageError};
use root::Root;
use rustix::fd::{AsFd as _, OwnedFd};
use rustix::fs::{AtFlags, Dir, FileType, fstat, statat};
use rustix::io::Errno;
use std::fmt;
use std::io::Read as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How often a name that was taken and is gone again is tried.
const TRIES: usize = 8;

const LIST: &str = "list";

/// A store in a directory. Clones are the same store.
#[derive(Clone)]
pub struct LocalStorage {
    root: Arc<Root>,
}

impl LocalStorage {
    /// Opens the store in this directory.
    ///
    /// # Errors
    /// `StoreMissing` when there is no such directory or it has no directory `config`; otherwise what the system says.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Ok(Self { root: Arc::new(Root::open(path.as_ref())?) })
    }

    /// Makes a store in this directory, or opens the one that is there. The directory is made if it is missing (mode
    /// 0700), those above it are not: their absence more often means that something is not mounted.
    ///
    /// # Errors
    /// `StoreMissing` when the directory above is missing; `Other` when the directory holds something else (`lost+found`
    /// aside); otherwise what the system says.
    pub fn create(path: impl AsRef<Path>) -> Result<Self> {
        Ok(Self { root: Arc::new(Root::create(path.as_ref())?) })
    }

    /// The path it was opened by.
    pub fn path(&self) -> &Path {
        self.root.path()
    }

    /// The kind of network or FUSE file system the directory is on; `None` on one that ends at this machine.
    pub fn network_file_system(&self) -> Option<&'static str> {
        self.root.network()
    }

    /// Removes what processes that died left in `tmp/`: files whose last change is at least `older_than` ago (by the file
    /// system's clock) and that no living process holds. Returns how many. To be called when a backup starts.
    ///
    /// # Errors
    /// `StoreMissing`, or what the system says.
    pub fn clean_tmp(&self, older_than: Duration) -> Result<u64> {
        temp::clean(&self.root, older_than)
    }

    /// The error of a failed listing. A directory that was there and is not is no reason for a shorter list.
    fn list_failed(&self, dir: &str, errno: Errno) -> StorageError {
        if errno != Errno::NOENT {
            return StorageError::io(LIST, dir, &errno.into());
        }
        self.root.check_alive(LIST).err().unwrap_or_else(|| StorageError {
            operation: LIST,
            subject: dir.to_owned(),
            kind: ErrorKind::Transient,
            detail: "the directory vanished while it was listed".to_owned(),
        })
    }

    /// Adds the objects of one open directory to `found` and its directories to `pending`.
    fn list_dir(&self, dir: &str, fd: &OwnedFd, pending: &mut Vec<String>, found: &mut Vec<Listed>) -> Result<()> {
        let failed = |errno| self.list_failed(dir, errno);
        for entry in Dir::read_from(fd).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let Ok(part) = entry.file_name().to_str() else { continue };
            let Ok(name) = ObjectName::new(format!("{dir}/{part}")) else { continue };
            if entry.file_type() == FileType::Directory {
                pending.push(name.as_str().to_owned());
                continue;
            }
            let stat = match statat(fd, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => stat,
                // Removed since: it did not exist throughout the listing.
                Err(Errno::NOENT) => continue,
                Err(errno) => return Err(failed(errno)),
            };
            // Some file systems do not say the type in the directory.
            if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                pending.push(name.as_str().to_owned());
            } else {
                let size = root::file_len(LIST, &name, &stat)?;
                found.push(Listed { name, size });
            }
        }
        // Reading a directory that was removed just ends.
        if fstat(fd).map_err(failed)?.st_nlink == 0 { Err(failed(Errno::NOENT)) } else { Ok(()) }
    }

    fn publish_one(&self, name: &ObjectName, temp: TempFile, parent: &OwnedFd) -> Result<Published> {
        const PUBLISH: &str = "publish";
        let (above, part) = root::split(name);
        let failed = |errno| self.root.write_failed(PUBLISH, name, errno);
        for _ in 0..TRIES {
            let published = match temp.link(parent, part, name) {
                Ok(()) => Published::Created,
                Err(Errno::EXIST) => match statat(parent, part, AtFlags::SYMLINK_NOFOLLOW) {
                    Ok(stat) => {
                        root::file_len(PUBLISH, name, &stat)?;
                        let own = temp.stat().map_err(failed)?;
                        // A network file system may send a request again whose answer was lost.
                        let is_own = (own.st_dev, own.st_ino) == (stat.st_dev, stat.st_ino);
                        if is_own { Published::Created } else { Published::Existed }
                    }
                    Err(Errno::NOENT) => continue,
                    Err(errno) => return Err(failed(errno)),
                },
                Err(errno @ (Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS)) => {
                    let mut error = failed(errno);
                    error.detail.push_str(" (the file system has to support hard links)");
                    return Err(error);
                }
                Err(errno) => return Err(failed(errno)),
            };
            drop(temp);
            self.root.sync_dir(PUBLISH, parent.as_fd(), above)?;
            return Ok(published);
        }
        Err(StorageError::new(PUBLISH, name, ErrorKind::Transient, "the name is taken and freed again and again"))
    }
}

impl fmt::Debug for LocalStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LocalStorage").field(&self.path()).finish()
    }
}

fn ends_early(name: &ObjectName, size: u64) -> StorageError {
    StorageError::new("read", name, ErrorKind::Truncated, format!("it ends at byte {size}"))
}

impl Fetch for LocalStorage {
    fn read(&self, name: &ObjectName, len_max: u64) -> Result<Vec<u8>> {
        let (file, size) = self.root.open_file("read", name)?;
        let too_large = || {
            let detail = format!("{size} bytes, at most {len_max} are expected");
            StorageError::new("read", name, ErrorKind::TooLarge, detail)
        };
        if size > len_max {
            return Err(too_large());
        }
        let mut bytes = Vec::new();
        let no_memory = |_| StorageError::new("read", name, ErrorKind::Other, format!("no memory for {size} bytes"));
        bytes.try_reserve_exact(usize::try_from(size).map_err(|_| too_large())?).map_err(no_memory)?;
        file.take(size).read_to_end(&mut bytes).map_err(|error| StorageError::io("read", name.to_string(), &error))?;
        // Shorter than a moment ago: somebody else cut it, and half an object is none.
        if bytes.len() as u64 == size { Ok(bytes) } else { Err(ends_early(name, bytes.len() as u64)) }
    }

    fn read_range(&self, name: &ObjectName, offset: u64, buf: &mut [u8]) -> Result<()> {
        let (file, size) = self.root.open_file("read", name)?;
        if offset.checked_add(buf.len() as u64).is_none_or(|end| end > size) {
            return Err(ends_early(name, size));
        }
        file.read_exact_at(buf, offset).map_err(|error| StorageError::io("read", name.to_string(), &error))
    }

    fn size(&self, name: &ObjectName) -> Result<u64> {
        self.root.file_size("size", name)
    }

    fn list(&self, prefix: &ObjectName) -> Result<Vec<Listed>> {
        let mut found = Vec::new();
        let mut pending = vec![prefix.as_str().to_owned()];
        while let Some(dir) = pending.pop() {
            match self.root.open_dir(&dir) {
                Ok(fd) => self.list_dir(&dir, &fd, &mut pending, &mut found)?,
                Err(Errno::NOENT) if dir == prefix.as_str() => self.root.check_alive(LIST)?,
                Err(errno) => return Err(self.list_failed(&dir, errno)),
            }
        }
        found.sort_by(|a, b| a.name.cmp(&b.name));
        found.dedup_by(|a, b| a.name == b.name);
        Ok(found)
    }
}

impl Publish for LocalStorage {
    fn stage(&self) -> Result<Box<dyn Stage>> {
        Ok(Box::new(temp::LocalStage::new(&self.root)?))
    }

    fn publish_batch(&self, staged: Vec<Staged>) -> Result<Vec<Published>> {
        const PUBLISH: &str = "publish";
        self.root.check_writable(PUBLISH)?;
        self.root.check_alive(PUBLISH)?;
        let mut batch = Vec::with_capacity(staged.len());
        for item in staged {
            let name = item.name().clone();
            match item.body.downcast::<TempFile>() {
                Ok(temp) if temp.belongs_to(&self.root) => batch.push((name, *temp)),
                _ => {
                    let detail = "it was staged in another store";
                    return Err(StorageError::new(PUBLISH, &name, ErrorKind::Other, detail));
                }
            }
        }
        for (name, temp) in &batch {
            temp.sync(name).map_err(|errno| self.root.write_failed(PUBLISH, name, errno))?;
        }
        let mut published = Vec::with_capacity(batch.len());
        for (name, temp) in batch {
            let parent = self.root.make_dirs(PUBLISH, root::split(&name).0, true)?;
            published.push(self.publish_one(&name, temp, &parent)?);
        }
        Ok(published)
    }
}

impl Remove for LocalStorage {
    fn remove(&self, name: &ObjectName) -> Result<()> {
        const REMOVE: &str = "remove";
        self.root.check_writable(REMOVE)?;
        let (above, part) = root::split(name);
        let parent = match self.root.open_dir(above) {
            Ok(parent) => parent,
            Err(Errno::NOENT) => return self.root.check_alive(REMOVE),
            Err(errno) => return Err(self.root.write_failed(REMOVE, name, errno)),
        };
        match sys::unlink(&parent, part, name.as_str()) {
            Ok(()) => {}
            Err(Errno::NOENT) => self.root.check_alive(REMOVE)?,
            Err(errno) => return Err(self.root.write_failed(REMOVE, name, errno)),
        }
        // Also when it was not there: an earlier removal may have been cut off before this point.
        self.root.sync_dir(REMOVE, parent.as_fd(), above)
    }
}

#[cfg(test)]
mod tests;
