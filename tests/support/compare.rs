//! Comparing two trees with nothing but the standard library: what is there, of which type, with which content, mode, owner,
//! times and links.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// One line for each entry of a tree, by relative path.
pub fn describe(root: &Path) -> BTreeMap<PathBuf, String> {
    let mut lines = BTreeMap::new();
    let mut first_names: BTreeMap<(u64, u64), PathBuf> = BTreeMap::new();
    let mut pending = vec![root.to_path_buf()];
    while let Some(dir) = pending.pop() {
        let mut names: Vec<_> = fs::read_dir(&dir).unwrap().map(|e| e.unwrap().path()).collect();
        names.sort();
        for path in names {
            let meta = fs::symlink_metadata(&path).unwrap();
            let relative = path.strip_prefix(root).unwrap().to_path_buf();
            let content = if meta.is_dir() {
                pending.push(path.clone());
                "directory".to_owned()
            } else if meta.is_symlink() {
                format!("link to {:?}", fs::read_link(&path).unwrap())
            } else if meta.is_file() {
                let bytes = fs::read(&path).unwrap();
                format!("file {} {}", bytes.len(), blake3::hash(&bytes).to_hex())
            } else {
                format!("special {:o} {}", meta.mode() & 0o170_000, meta.rdev())
            };
            let links = if meta.is_dir() { 1 } else { meta.nlink() };
            lines.insert(
                relative.clone(),
                format!(
                    "{content} mode {:o} owner {}:{} mtime {}.{:09} links {links}",
                    meta.mode(),
                    meta.uid(),
                    meta.gid(),
                    meta.mtime(),
                    meta.mtime_nsec(),
                ),
            );
            if links > 1 {
                first_names.entry((meta.dev(), meta.ino())).or_insert(relative);
            }
        }
    }
    // Which names are one file, said independently of inode numbers: by the smallest name.
    let mut groups: BTreeMap<(u64, u64), PathBuf> = BTreeMap::new();
    for path in lines.keys() {
        let meta = fs::symlink_metadata(root.join(path)).unwrap();
        if !meta.is_dir() && meta.nlink() > 1 {
            groups.entry((meta.dev(), meta.ino())).or_insert_with(|| path.clone());
        }
    }
    for (path, line) in &mut lines {
        let meta = fs::symlink_metadata(root.join(path)).unwrap();
        if let Some(first) = groups.get(&(meta.dev(), meta.ino())).filter(|_| !meta.is_dir()) {
            line.push_str(&format!(" same as {}", first.display()));
        }
    }
    lines
}

/// Every difference, a line each; nothing if the trees are equal.
pub fn differences(a: &Path, b: &Path) -> Vec<String> {
    differences_of(&describe(a), &describe(b))
}

/// As [`differences`], of descriptions.
pub fn differences_of(left: &BTreeMap<PathBuf, String>, right: &BTreeMap<PathBuf, String>) -> Vec<String> {
    let mut found = Vec::new();
    for (path, line) in left {
        match right.get(path) {
            None => found.push(format!("missing: {}", path.display())),
            Some(other) if other != line => found.push(format!("{}: {line} | {other}", path.display())),
            Some(_) => {}
        }
    }
    found.extend(right.keys().filter(|p| !left.contains_key(*p)).map(|p| format!("extra: {}", p.display())));
    found
}
