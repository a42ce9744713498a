//! Reading extended attributes and inode flags. An attribute that cannot be read is a warning beside the others, not a failure of the
//! file; a file system without any has none.

use crate::format::node::{XATTR_COUNT_MAX, XATTR_NAME_MAX, XATTR_VALUE_MAX, Xattr};
use crate::fs::error::{Operation, Warning};
use crate::fs::inode::Inode;
use rustix::io::Errno;
use std::io;

/// Enough for what nearly every entry has; larger ones take a second look.
const FIRST_LIST_SIZE: usize = 1024;
const FIRST_VALUE_SIZE: usize = 4096;
/// Linux has no longer list or value than 64 KiB; a file system that claims more is not believed.
const BUFFER_SIZE_MAX: usize = 4 * XATTR_VALUE_MAX;
/// How often a list or value may grow under our hands before we give up on it.
const ATTEMPTS_MAX: u32 = 8;

/// Extended attributes of an entry, and its inode flags.
#[derive(Debug, Default)]
#[must_use]
pub struct Xattrs {
    /// What could be read, sorted by name, within the limits of `format::node`.
    pub xattrs: Vec<Xattr>,
    /// Those inode flags that are kept; of files and directories only.
    pub inode_flags: u32,
    /// What could not be read.
    pub warnings: Vec<Warning>,
}

/// Reads all attributes and inode flags of an inode. `path` is for the warnings.
pub(super) fn read_attributes(inode: Inode<'_>, path: &[u8]) -> Xattrs {
    let mut found = read_xattrs(inode, path);
    match inode.kept_flags() {
        Ok(flags) => found.inode_flags = flags,
        Err(errno) => {
            let (operation, path, attribute) = (Operation::ReadFlags, path.to_vec(), Vec::new());
            found.warnings.push(Warning { operation, path, attribute, source: errno.into() });
        }
    }
    found
}

/// Reads all attributes of an inode. `path` is for the warnings.
pub(super) fn read_xattrs(inode: Inode<'_>, path: &[u8]) -> Xattrs {
    let mut found = Xattrs::default();
    let mut warn = |operation, attribute: &[u8], source: io::Error| {
        found.warnings.push(Warning { operation, path: path.to_vec(), attribute: attribute.to_vec(), source });
    };
    let mut list = [0; FIRST_LIST_SIZE];
    let grown;
    let list = match inode.list_xattrs(&mut list) {
        Ok(0) | Err(Errno::NOTSUP) => return found,
        Ok(length) => &list[..length],
        Err(Errno::RANGE) => {
            match read_growing(FIRST_LIST_SIZE, |buffer| inode.list_xattrs(buffer), || inode.list_xattrs_size()) {
                Ok(list) => {
                    grown = list;
                    &grown[..]
                }
                Err(errno) => {
                    warn(Operation::ListXattrs, b"", errno.into());
                    return found;
                }
            }
        }
        Err(errno) => {
            warn(Operation::ListXattrs, b"", errno.into());
            return found;
        }
    };
    let mut xattrs: Vec<Xattr> = Vec::new();
    for name in list.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        if name.len() > XATTR_NAME_MAX || xattrs.len() == XATTR_COUNT_MAX {
            warn(Operation::ReadXattr, name, io::Error::other("more or longer than Linux allows"));
            continue;
        }
        match read_growing(FIRST_VALUE_SIZE, |buffer| inode.get_xattr(name, buffer), || inode.xattr_size(name)) {
            Ok(value) if value.len() > XATTR_VALUE_MAX => {
                warn(Operation::ReadXattr, name, io::Error::other("longer than Linux allows"));
            }
            Ok(value) => xattrs.push(Xattr { name: name.to_vec(), value }),
            // Removed since it was listed.
            Err(Errno::NODATA) => {}
            Err(errno) => warn(Operation::ReadXattr, name, errno.into()),
        }
    }
    // Some network file systems list a name twice.
    xattrs.sort_unstable();
    xattrs.dedup_by(|a, b| a.name == b.name);
    found.xattrs = xattrs;
    found
}

/// Reads something whose length is only known by asking, and may be another one after that.
fn read_growing(
    first_size: usize,
    read: impl Fn(&mut [u8]) -> Result<usize, Errno>,
    size: impl Fn() -> Result<usize, Errno>,
) -> Result<Vec<u8>, Errno> {
    let mut buffer = vec![0; first_size];
    for _ in 0..ATTEMPTS_MAX {
        match read(&mut buffer) {
            Ok(length) => {
                buffer.truncate(length);
                buffer.shrink_to_fit();
                return Ok(buffer);
            }
            Err(Errno::RANGE) => {
                // Half as much again, so that one that keeps growing is caught up with.
                let wanted = size()?;
                let wanted = wanted.saturating_add(wanted / 2).max(buffer.len() + 1).min(BUFFER_SIZE_MAX);
                if wanted == buffer.len() {
                    break;
                }
                buffer.resize(wanted, 0);
            }
            Err(errno) => return Err(errno),
        }
    }
    Err(Errno::RANGE)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn a_value_that_grows_between_the_calls_is_read_whole() {
        let size = Cell::new(10);
        let value = read_growing(
            4,
            |buffer| {
                let needed = size.get();
                size.set((needed + 7).min(60));
                if buffer.len() < needed { Err(Errno::RANGE) } else { Ok(needed) }
            },
            || Ok(size.get()),
        );
        assert!((10..=60).contains(&value.unwrap().len()));
        let forever = read_growing(4, |_| Err(Errno::RANGE), || Ok(usize::MAX / 2));
        assert_eq!(forever, Err(Errno::RANGE));
    }
}
