//! From what the host says to what a snapshot keeps: names for owner numbers, each asked for once, and [`Metadata`]
//! put together.

use crate::format::node::{Metadata, Owner};
use crate::fs::stat::Stat;
use crate::fs::xattr::Xattrs;
use nix::unistd::{Gid, Group, Uid, User};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// Owners seen so far. A lookup may go over the network, so each number is looked up once; a number without a name, and
/// one whose lookup failed, has an empty name from then on.
#[derive(Debug, Default)]
pub struct Owners {
    pairs: RwLock<HashMap<(u32, u32), Arc<Owner>>>,
    names: Mutex<Names>,
}

#[derive(Debug, Default)]
struct Names {
    users: HashMap<u32, Vec<u8>>,
    groups: HashMap<u32, Vec<u8>>,
}

impl Owners {
    /// Nobody seen yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The owner with these numbers.
    pub fn get(&self, uid: u32, gid: u32) -> Arc<Owner> {
        // A map of finished values is whole even if a thread died holding the lock.
        if let Some(owner) = self.pairs.read().unwrap_or_else(PoisonError::into_inner).get(&(uid, gid)) {
            return Arc::clone(owner);
        }
        let (user, group) = {
            let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
            let user = names.users.entry(uid).or_insert_with(|| user_name(uid)).clone();
            let group = names.groups.entry(gid).or_insert_with(|| group_name(gid)).clone();
            (user, group)
        };
        let mut pairs = self.pairs.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(pairs.entry((uid, gid)).or_insert_with(|| Arc::new(Owner { uid, gid, user, group })))
    }
}

fn user_name(uid: u32) -> Vec<u8> {
    User::from_uid(Uid::from_raw(uid)).ok().flatten().map_or_else(Vec::new, |user| user.name.into_bytes())
}

fn group_name(gid: u32) -> Vec<u8> {
    Group::from_gid(Gid::from_raw(gid)).ok().flatten().map_or_else(Vec::new, |group| group.name.into_bytes())
}

/// What a snapshot keeps of an entry besides name and content.
pub fn metadata(stat: &Stat, owners: &Owners, xattrs: Xattrs) -> Metadata {
    Metadata {
        mode: stat.mode,
        owner: owners.get(stat.uid, stat.gid),
        mtime: stat.mtime,
        ctime: stat.ctime,
        inode: stat.inode,
        device: stat.device,
        links: stat.links,
        btime: stat.btime,
        inode_flags: xattrs.inode_flags,
        xattrs: xattrs.xattrs,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_are_shared_and_unknown_numbers_have_no_name() {
        let owners = Owners::new();
        let root = owners.get(0, 0);
        assert_eq!((root.user.as_slice(), root.group.as_slice()), (b"root".as_slice(), b"root".as_slice()));
        assert!(Arc::ptr_eq(&root, &owners.get(0, 0)));
        let nobody = owners.get(0xfeed_beef, 0);
        assert_eq!(
            (nobody.uid, nobody.user.as_slice(), nobody.group.as_slice()),
            (0xfeed_beef, &b""[..], &b"root"[..])
        );
    }
}
