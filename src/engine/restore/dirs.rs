//! Directories of the target: known by their place in the tree, opened when needed, at most [`HANDLES_MAX`] of them kept open.

use crate::fs::{FsError, Target, TargetDir};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Directories kept open. With as many files, each of which holds its directory, this stays below the 1024 descriptors a
/// process may usually have.
const HANDLES_MAX: usize = 256;

/// A directory that is restored into.
#[derive(Debug)]
pub(super) struct Dir {
    parent: Option<Arc<Self>>,
    /// Name; of the directory restored from, its path in the snapshot.
    name: Vec<u8>,
    number: u64,
    pub(super) depth: u32,
}

impl Dir {
    /// The target itself, into which the directory at `path` in the snapshot is restored.
    pub(super) fn root(path: &[u8]) -> Arc<Self> {
        Arc::new(Self { parent: None, name: path.to_vec(), number: 0, depth: 0 })
    }

    /// A directory in `parent`; `number` is its own.
    pub(super) fn child(parent: &Arc<Self>, name: &[u8], number: u64) -> Arc<Self> {
        Arc::new(Self { parent: Some(Arc::clone(parent)), name: name.to_vec(), number, depth: parent.depth + 1 })
    }

    /// Names from the target down.
    fn components(&self) -> Vec<&[u8]> {
        let mut names = Vec::with_capacity(self.depth as usize);
        let mut at = self;
        while let Some(parent) = &at.parent {
            names.push(at.name.as_slice());
            at = parent;
        }
        names.reverse();
        names
    }

    /// Its path in the snapshot; empty for the root.
    pub(super) fn path(&self) -> Vec<u8> {
        let mut root = self;
        while let Some(parent) = &root.parent {
            root = parent;
        }
        let mut path = root.name.clone();
        for name in self.components() {
            path.push(b'/');
            path.extend_from_slice(name);
        }
        path
    }

    /// Path of an entry in the snapshot.
    pub(super) fn path_of(&self, name: &[u8]) -> Vec<u8> {
        let mut path = self.path();
        path.push(b'/');
        path.extend_from_slice(name);
        path
    }
}

impl Drop for Dir {
    /// Not recursively: a directory may be thousands deep.
    fn drop(&mut self) {
        let mut next = self.parent.take();
        while let Some(mut dir) = next.and_then(Arc::into_inner) {
            next = dir.parent.take();
        }
    }
}

/// Two generations of handles: those used since the last change of generation, and those used in the one before.
#[derive(Debug, Default)]
struct Cache {
    young: HashMap<u64, TargetDir>,
    old: HashMap<u64, TargetDir>,
}

impl Cache {
    fn get(&mut self, number: u64) -> Option<TargetDir> {
        if let Some(handle) = self.young.get(&number) {
            return Some(handle.clone());
        }
        let handle = self.old.remove(&number)?;
        self.put(number, handle.clone());
        Some(handle)
    }

    fn put(&mut self, number: u64, handle: TargetDir) {
        if self.young.len() >= HANDLES_MAX / 2 {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(number, handle);
    }
}

/// Opens directories of the target.
#[derive(Debug)]
pub(super) struct Handles {
    target: Target,
    cache: Mutex<Cache>,
}

impl Handles {
    pub(super) fn new(target: Target) -> Self {
        Self { target, cache: Mutex::default() }
    }

    /// The target itself.
    pub(super) fn root(&self) -> &TargetDir {
        self.target.root()
    }

    /// Whether others may interfere with the target.
    pub(super) fn is_exposed(&self) -> bool {
        // What cannot be looked at is not claimed to be safe.
        self.target.is_exposed().unwrap_or(true)
    }

    fn with<T>(&self, act: impl FnOnce(&mut Cache) -> T) -> T {
        // Handles are put in whole, so the cache is good even if a thread died.
        act(&mut self.cache.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Opens a directory that was made before.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn open(&self, dir: &Dir) -> Result<TargetDir, FsError> {
        if dir.depth == 0 {
            return Ok(self.target.root().clone());
        }
        if let Some(handle) = self.with(|cache| cache.get(dir.number)) {
            return Ok(handle);
        }
        let handle = self.target.open_dir(&dir.components())?;
        self.with(|cache| cache.put(dir.number, handle.clone()));
        Ok(handle)
    }

    /// Makes a directory, or takes the one that is there.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn make(&self, dir: &Dir) -> Result<(), FsError> {
        let Some(parent) = &dir.parent else { return Ok(()) };
        let handle = self.open(parent)?.make_child(&dir.name)?;
        self.with(|cache| cache.put(dir.number, handle));
        Ok(())
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn more_directories_than_handles_and_very_deep_ones() {
        let temporary = tempfile::tempdir().unwrap();
        let handles = Handles::new(Target::open(temporary.path()).unwrap());
        let root = Dir::root(b"/base");
        let wide: Vec<_> =
            (1..=2 * HANDLES_MAX as u64).map(|n| Dir::child(&root, format!("d{n}").as_bytes(), n)).collect();
        wide.iter().for_each(|dir| handles.make(dir).unwrap());
        for dir in wide.iter().chain(wide.iter().rev()) {
            assert!(handles.open(dir).unwrap().path().ends_with(&dir.name));
        }
        assert!(handles.with(|cache| cache.young.len() + cache.old.len()) <= HANDLES_MAX);
        assert_eq!(wide[6].path_of(b"x"), b"/base/d7/x");

        let mut deep = Arc::clone(&root);
        for n in 10_000..200_000 {
            deep = Dir::child(&deep, b"d", n);
        }
        assert_eq!(deep.depth, 190_000);
        drop(deep);
    }
}
