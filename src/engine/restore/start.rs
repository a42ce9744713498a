//! Where in a snapshot a restore begins, and what of it was backed up: sources, and what is below them. Directories on the way to
//! a source are in the snapshot as well, but nobody looked what else is in them.

use crate::engine::browse::Found;

/// Where a restore begins.
#[derive(Debug)]
pub(super) struct Start {
    /// What is restored.
    pub(super) found: Found,
    /// Its path, with single slashes and none at the end; empty for the root.
    pub(super) path: Vec<u8>,
}

impl Start {
    pub(super) fn new(path: &[u8], found: Found) -> Self {
        let mut normal = Vec::with_capacity(path.len());
        for name in path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
            normal.push(b'/');
            normal.extend_from_slice(name);
        }
        Self { found, path: normal }
    }

    /// Path of the directory whose entries go into the target.
    pub(super) fn base(&self) -> &[u8] {
        if self.found.tree().is_some() {
            return &self.path;
        }
        let name_len = self.path.iter().rev().take_while(|byte| **byte != b'/').count();
        &self.path[..self.path.len().saturating_sub(name_len + 1)]
    }
}

/// Whether a path is a source or below one. Neither has a slash at its end.
pub(super) fn is_covered(sources: &[Vec<u8>], path: &[u8]) -> bool {
    sources.iter().any(|source| {
        let source = source.strip_suffix(b"/").unwrap_or(source);
        path.strip_prefix(source).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
    })
}

/// Whether a path is a source.
pub(super) fn is_source(sources: &[Vec<u8>], path: &[u8]) -> bool {
    sources.iter().any(|source| source.strip_suffix(b"/").unwrap_or(source) == path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_covered() {
        let sources = [b"/srv/a".to_vec(), b"/home".to_vec()];
        for (path, covered, source) in [
            (&b"/srv/a"[..], true, true),
            (b"/srv/a/b", true, false),
            (b"/srv/ab", false, false),
            (b"/srv", false, false),
            (b"", false, false),
            (b"/home", true, true),
        ] {
            assert_eq!((is_covered(&sources, path), is_source(&sources, path)), (covered, source), "{path:?}");
        }
        assert!(is_covered(&[b"/".to_vec()], b"") && is_source(&[b"/".to_vec()], b""));
        assert!(is_covered(&[b"/".to_vec()], b"/x") && !is_source(&[b"/".to_vec()], b"/x"));
    }
}
