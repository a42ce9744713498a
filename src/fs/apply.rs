//! Putting recorded metadata on a restored inode. The order matters:
//!
//! 1. inherited access lists go (the target's parent may have left some), and `user.` attributes are set, while we
//!    still own the inode and may write to it;
//! 2. owner;
//! 3. mode, because a change of owner clears setuid and setgid;
//! 4. other attributes, because an access list refines the mode, and a change of owner clears `security.capability`,
//!    which is therefore the last of them;
//! 5. times.
//!
//! Inode flags come after that, when the inode has its last name ([`flags`](super::flags)).
//!
//! Nothing here fails the restore: what could not be set is returned.

use crate::format::node::{Metadata, Owner};
use crate::fs::error::{Operation, Warning};
use crate::fs::inode::Inode;
use crate::fs::stat::FileKind;
use crate::fs::xattr::read_xattrs;
use nix::unistd::{Group, User};
use rustix::io::Errno;
use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

const ACCESS_LIST: &[u8] = b"system.posix_acl_access";
const CAPABILITY: &[u8] = b"security.capability";
const SETUID: u32 = 0o4000;
const SETGID: u32 = 0o2000;

/// Whose the restored files become.
#[derive(Debug, Clone, Default)]
pub enum Ownership {
    /// The recorded numbers'.
    #[default]
    ById,
    /// Those of the users and groups of this host with the recorded names; the recorded numbers where there is no such
    /// name.
    ByName(Arc<LocalIds>),
    /// Of whoever restores.
    Ignore,
}

/// How to restore.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct RestoreOptions {
    /// Whose the files become.
    pub ownership: Ownership,
}

impl RestoreOptions {
    /// With this ownership.
    pub fn new(ownership: Ownership) -> Self {
        Self { ownership }
    }

    /// Number of the user that a file of this owner will belong to; `None` for whoever restores.
    pub fn uid_of(&self, owner: &Owner) -> Option<u32> {
        match &self.ownership {
            Ownership::ById => Some(owner.uid),
            Ownership::ByName(ids) => Some(ids.of(owner).0),
            Ownership::Ignore => None,
        }
    }
}

/// Numbers of this host's users and groups, each name asked for once.
#[derive(Debug, Default)]
pub struct LocalIds {
    ids: Mutex<Ids>,
}

#[derive(Debug, Default)]
struct Ids {
    users: HashMap<Vec<u8>, Option<u32>>,
    groups: HashMap<Vec<u8>, Option<u32>>,
}

impl LocalIds {
    /// Nobody asked for yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// User and group number to restore with.
    fn of(&self, owner: &Owner) -> (u32, u32) {
        // A map of finished values is whole even if a thread died holding the lock.
        let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        let uid = *ids.users.entry(owner.user.clone()).or_insert_with(|| user_number(&owner.user));
        let gid = *ids.groups.entry(owner.group.clone()).or_insert_with(|| group_number(&owner.group));
        (uid.unwrap_or(owner.uid), gid.unwrap_or(owner.gid))
    }
}

fn user_number(name: &[u8]) -> Option<u32> {
    let name = std::str::from_utf8(name).ok().filter(|name| !name.is_empty())?;
    Some(User::from_name(name).ok().flatten()?.uid.as_raw())
}

fn group_number(name: &[u8]) -> Option<u32> {
    let name = std::str::from_utf8(name).ok().filter(|name| !name.is_empty())?;
    Some(Group::from_name(name).ok().flatten()?.gid.as_raw())
}

/// Puts `metadata` on `inode`, which is of type `kind`, and was there before or was made just now; `path` is for the
/// warnings.
pub(super) fn apply(
    inode: Inode<'_>,
    (kind, was_there): (FileKind, bool),
    metadata: &Metadata,
    options: &RestoreOptions,
    path: &[u8],
) -> Vec<Warning> {
    let mut step = Applying { inode, kind, was_there, metadata, path, warnings: Vec::new() };
    step.remove_inherited();
    step.set_xattrs(Class::User);
    let wanted = match &options.ownership {
        Ownership::Ignore => None,
        Ownership::ById => Some((metadata.owner.uid, metadata.owner.gid)),
        Ownership::ByName(ids) => Some(ids.of(&metadata.owner)),
    };
    if let Some((uid, gid)) = wanted {
        step.set_owner(uid, gid);
    }
    if kind != FileKind::Symlink {
        step.set_mode(wanted.unwrap_or((metadata.owner.uid, metadata.owner.gid)));
    }
    step.set_xattrs(Class::Other);
    step.set_xattrs(Class::Capability);
    step.set_times();
    step.warnings
}

/// Which attributes to set in one pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    User,
    Other,
    Capability,
}

fn class(name: &[u8]) -> Class {
    if name.starts_with(b"user.") {
        Class::User
    } else if name == CAPABILITY {
        Class::Capability
    } else {
        Class::Other
    }
}

fn is_removable(name: &[u8]) -> bool {
    let is_ours = [&b"user."[..], b"trusted.", b"system.posix_acl_"].iter().any(|prefix| name.starts_with(prefix));
    is_ours || name == CAPABILITY
}

struct Applying<'a> {
    inode: Inode<'a>,
    kind: FileKind,
    was_there: bool,
    metadata: &'a Metadata,
    path: &'a [u8],
    warnings: Vec<Warning>,
}

impl Applying<'_> {
    fn warn(&mut self, operation: Operation, attribute: &[u8], source: impl Into<io::Error>) {
        let warning =
            Warning { operation, path: self.path.to_vec(), attribute: attribute.to_vec(), source: source.into() };
        self.warnings.push(warning);
    }

    fn is_recorded(&self, name: &[u8]) -> bool {
        self.metadata.xattrs.iter().any(|xattr| xattr.name == name)
    }

    /// A new file has of itself only what its directory's default access list gave it. What was there before may have
    /// anything; what belongs to the system or the file system (`security.`, `btrfs.`) stays, but for capabilities.
    fn remove_inherited(&mut self) {
        match self.kind {
            FileKind::Symlink => {}
            _ if self.was_there => {
                let present = read_xattrs(self.inode, self.path);
                self.warnings.extend(present.warnings);
                for xattr in present.xattrs {
                    if is_removable(&xattr.name) && !self.is_recorded(&xattr.name) {
                        self.remove_xattr(&xattr.name);
                    }
                }
            }
            _ if self.is_recorded(ACCESS_LIST) => {}
            _ => self.remove_xattr(ACCESS_LIST),
        }
    }

    fn remove_xattr(&mut self, name: &[u8]) {
        match self.inode.remove_xattr(name) {
            Ok(()) | Err(Errno::NODATA | Errno::NOTSUP) => {}
            // Where there is no `/proc` to reach a pipe or device by, it cannot have been given one through it either.
            Err(Errno::NOENT) if matches!(self.inode, Inode::Located(_)) => {}
            Err(errno) => self.warn(Operation::RemoveXattr, name, errno),
        }
    }

    fn set_xattrs(&mut self, wanted: Class) {
        let metadata = self.metadata;
        for xattr in metadata.xattrs.iter().filter(|xattr| class(&xattr.name) == wanted) {
            if let Err(errno) = self.inode.set_xattr(&xattr.name, &xattr.value) {
                self.warn(Operation::SetXattr, &xattr.name, errno);
            }
        }
    }

    /// A file system that cannot hold a time takes another one without an error.
    fn set_times(&mut self) {
        let mtime = self.metadata.mtime;
        match self.inode.set_mtime(mtime) {
            Err(errno) => self.warn(Operation::SetTimes, b"", errno),
            Ok(()) if self.inode.stat().is_ok_and(|now| now.mtime != mtime) => {
                self.warn(Operation::SetTimes, b"", io::Error::other("the file system cannot hold it exactly"));
            }
            Ok(()) => {}
        }
    }

    fn set_owner(&mut self, uid: u32, gid: u32) {
        let Err(errno) = self.inode.set_owner(Some(uid), Some(gid)) else { return };
        // Somebody who may not give files away may still give them to a group of his.
        let _ = self.inode.set_owner(None, Some(gid));
        self.warn(Operation::SetOwner, b"", errno);
    }

    /// Setuid and setgid are rights of the recorded owner: on a file that could not be given to him, they would be
    /// rights of somebody else, and stay off. On a directory setgid only names the group of new entries.
    fn set_mode(&mut self, owner: (u32, u32)) {
        let recorded = self.metadata.mode & 0o7777;
        let mut mode = recorded;
        if recorded & (SETUID | SETGID) != 0 && self.kind != FileKind::Directory {
            match self.inode.stat() {
                Ok(now) => {
                    if now.uid != owner.0 {
                        mode &= !SETUID;
                    }
                    if now.gid != owner.1 {
                        mode &= !SETGID;
                    }
                }
                Err(_) => mode &= !(SETUID | SETGID),
            }
        }
        if let Err(errno) = self.inode.set_mode(mode) {
            self.warn(Operation::SetMode, b"", errno);
        } else if mode != recorded {
            self.warn(Operation::SetMode, b"", io::Error::other("setuid or setgid left off: the owner is another one"));
        } else if mode & SETGID != 0 && self.inode.stat().is_ok_and(|now| now.mode & SETGID == 0) {
            // The kernel does so without an error.
            self.warn(Operation::SetMode, b"", io::Error::other("setgid left off: not a member of the group"));
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn owners_are_found_by_name_or_else_by_number() {
        let ids = LocalIds::new();
        let owner = |user: &[u8], group: &[u8]| Owner { uid: 77, gid: 88, user: user.to_vec(), group: group.to_vec() };
        assert_eq!(ids.of(&owner(b"root", b"root")), (0, 0));
        assert_eq!(ids.of(&owner(b"", b"")), (77, 88));
        assert_eq!(ids.of(&owner(b"no-such-user", b"\xff")), (77, 88));
        assert_eq!(ids.ids.lock().unwrap().users.len(), 3);
    }

    #[test]
    fn capabilities_have_a_pass_of_their_own() {
        assert_eq!(class(b"security.capability"), Class::Capability);
        assert_eq!(class(b"security.selinux"), Class::Other);
        assert_eq!(class(b"user.x"), Class::User);
        assert_eq!(class(ACCESS_LIST), Class::Other);
    }
}
