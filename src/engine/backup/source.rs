//! Where a backup's content comes from: paths of this host, one path under another name, or a stream.

use crate::engine::backup::selection::components;
use crate::engine::context::{EngineError, Result};
use crate::format::node::is_entry_name;
use crate::fs::StreamSource;
use std::borrow::Cow;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// What is backed up, and where it stands in the snapshot.
#[derive(Debug)]
pub enum Sources {
    /// Absolute paths, under their own names; a path below another one is part of it.
    Paths(Vec<PathBuf>),
    /// A directory or a regular file, under another name.
    PathAs {
        /// Where it is: an absolute path.
        path: PathBuf,
        /// Where it stands in the snapshot: an absolute path, for a directory also `/`.
        stored: PathBuf,
    },
    /// A stream, as one regular file.
    Stream {
        /// Where the file stands in the snapshot: an absolute path.
        stored: PathBuf,
        /// What it is read from.
        stream: Box<dyn StreamSource>,
    },
}

impl From<Vec<PathBuf>> for Sources {
    fn from(paths: Vec<PathBuf>) -> Self {
        Self::Paths(paths)
    }
}

impl Sources {
    /// The paths as they stand in the snapshot.
    pub fn stored(&self) -> Vec<&Path> {
        match self {
            Self::Paths(paths) => paths.iter().map(PathBuf::as_path).collect(),
            Self::PathAs { stored, .. } | Self::Stream { stored, .. } => vec![stored],
        }
    }

    /// The paths that are read from this host.
    pub fn read(&self) -> Vec<&Path> {
        match self {
            Self::Paths(paths) => paths.iter().map(PathBuf::as_path).collect(),
            Self::PathAs { path, .. } => vec![path],
            Self::Stream { .. } => Vec::new(),
        }
    }

    /// The path in the snapshot of what is at this path of the host.
    pub(super) fn stored_path<'a>(&self, host: &'a [u8]) -> Cow<'a, [u8]> {
        let Self::PathAs { path, stored } = self else { return host.into() };
        match host.strip_prefix(without_slash(path)) {
            Some(rest) => [without_slash(stored), rest].concat().into(),
            None => host.into(),
        }
    }
}

fn without_slash(path: &Path) -> &[u8] {
    let bytes = path.as_os_str().as_bytes();
    bytes.strip_suffix(b"/").unwrap_or(bytes)
}

/// The names of a path in a snapshot, from the root on.
///
/// # Errors
/// [`EngineError::Setting`] for what cannot be one.
pub(super) fn stored_names(path: &Path) -> Result<Vec<Vec<u8>>> {
    let names = components(path)?;
    match names.iter().find(|name| !is_entry_name(name)) {
        None => Ok(names),
        Some(name) => {
            let name = String::from_utf8_lossy(name);
            Err(EngineError::Setting(format!("{name:?} cannot be the name of a file: it is longer than 255 bytes")))
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn paths_of_the_host_become_those_of_the_snapshot() {
        let cases = [
            ("/mnt/snap", "/srv", "/mnt/snap/a/b", "/srv/a/b"),
            ("/mnt/snap", "/", "/mnt/snap/a", "/a"),
            ("/", "/old", "/etc/a", "/old/etc/a"),
            ("/mnt/f", "/srv/g", "/mnt/f", "/srv/g"),
        ];
        for (path, stored, host, expected) in cases {
            let sources = Sources::PathAs { path: path.into(), stored: stored.into() };
            assert_eq!(sources.stored_path(host.as_bytes()), expected.as_bytes(), "{path} as {stored}");
        }
        assert_eq!(Sources::Paths(vec!["/a".into()]).stored_path(b"/a/b"), &b"/a/b"[..]);
    }

    #[test]
    fn names_are_checked() {
        assert_eq!(stored_names(Path::new("/a/b")).unwrap(), [b"a", b"b"]);
        assert!(stored_names(Path::new("/")).unwrap().is_empty());
        for bad in ["a", "/a/../b", &format!("/{}", "x".repeat(256))] {
            assert!(matches!(stored_names(Path::new(bad)), Err(EngineError::Setting(_))), "{bad}");
        }
    }
}
