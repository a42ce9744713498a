//! What is backed up: the sources as a tree of path components, so that each directory is visited once.

use crate::engine::context::{EngineError, Result};
use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

/// What of a directory is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Selection {
    /// All of it.
    All,
    /// Only these entries; it is on the way to sources.
    Only(BTreeMap<Vec<u8>, Selection>),
}

impl Selection {
    /// The selection below `/` for absolute sources. A source below another one is part of it.
    ///
    /// # Errors
    /// [`EngineError::Setting`] for a path that is not absolute or has `.` or `..` in it.
    pub(super) fn new(sources: &[PathBuf]) -> Result<Self> {
        let mut root = Self::Only(BTreeMap::new());
        for source in sources {
            let mut at = &mut root;
            for name in components(source)? {
                let Self::Only(children) = at else { break };
                at = children.entry(name).or_insert_with(|| Self::Only(BTreeMap::new()));
            }
            *at = Self::All;
        }
        Ok(root)
    }
}

/// The names of an absolute path, from the root on.
///
/// # Errors
/// [`EngineError::Setting`] for a path that is not absolute or has `.` or `..` in it.
pub(super) fn components(path: &Path) -> Result<Vec<Vec<u8>>> {
    let bad = || EngineError::Setting(format!("{} is not an absolute path without . and ..", path.display()));
    let mut parts = path.components();
    if parts.next() != Some(Component::RootDir) {
        return Err(bad());
    }
    parts
        .map(|part| match part {
            Component::Normal(name) => Ok(name.as_bytes().to_vec()),
            _ => Err(bad()),
        })
        .collect()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn nested_sources_are_one() {
        let paths = |list: &[&str]| list.iter().map(PathBuf::from).collect::<Vec<_>>();
        let expected = Selection::new(&paths(&["/usr/share", "/etc"])).unwrap();
        for order in [&["/etc", "/usr/share", "/usr/share/doc"], &["/usr/share/doc", "/usr/share", "/etc"]] {
            assert_eq!(Selection::new(&paths(order)).unwrap(), expected);
        }
        assert_eq!(Selection::new(&paths(&["/etc", "/"])).unwrap(), Selection::All);
        assert!(Selection::new(&paths(&["etc"])).is_err());
        assert!(Selection::new(&paths(&["/etc/../usr"])).is_err());
    }
}
