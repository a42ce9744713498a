//! Trees made from a seed, and changed from a seed.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// A small generator of numbers (SplitMix64, Steele et al. 2014).
#[derive(Debug)]
pub struct Numbers(pub u64);

impl Numbers {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// Bytes of which about half compress.
    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(len + 64);
        while out.len() < len {
            if self.below(2) == 0 {
                out.extend_from_slice(&self.next().to_le_bytes());
            } else {
                out.extend_from_slice(b"the same eight words over and over again, ");
            }
        }
        out.truncate(len);
        out
    }
}

/// Lengths around every border: empty, inline, whole-file and chunked, zeros.
fn length(n: &mut Numbers) -> usize {
    let choices = [0, 1, 511, 512, 513, 4095, 4096, 8191, 8192, 8193, 40_000, 150_000];
    let pick = choices[n.below(choices.len() as u64) as usize];
    if n.below(3) == 0 { n.below(20_000) as usize } else { pick }
}

/// Fills `root` (which exists) with a random tree of about `entries` entries.
pub fn make(root: &Path, entries: u64, n: &mut Numbers) {
    let mut dirs: Vec<PathBuf> = vec![root.to_path_buf()];
    let mut files: Vec<PathBuf> = Vec::new();
    for index in 0..entries {
        let dir = dirs[n.below(dirs.len() as u64) as usize].clone();
        let path = dir.join(match n.below(6) {
            0 => format!("name with spaces {index}"),
            1 => format!("ünïcödé-{index}"),
            _ => format!("n{index}"),
        });
        match n.below(12) {
            0 | 1 => {
                fs::create_dir(&path).unwrap();
                dirs.push(path);
            }
            2 => symlink(format!("../somewhere/{index}"), &path).unwrap(),
            3 if !files.is_empty() => {
                let old = &files[n.below(files.len() as u64) as usize];
                fs::hard_link(old, &path).unwrap();
            }
            4 => {
                // Zeros with a little at the end: chunks that repeat, and a file with a hole.
                let file = fs::File::create(&path).unwrap();
                file.set_len(100_000).unwrap();
                std::os::unix::fs::FileExt::write_all_at(&file, b"end", 99_997).unwrap();
                files.push(path);
            }
            _ => {
                let len = length(n);
                fs::write(&path, n.bytes(len)).unwrap();
                let mode = [0o644, 0o600, 0o755, 0o4755, 0o444][n.below(5) as usize];
                fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
                files.push(path);
            }
        }
    }
}

/// Changes a tree made by [`make`]: edits, appends, removes, adds.
pub fn change(root: &Path, n: &mut Numbers) {
    let mut pending = vec![root.to_path_buf()];
    while let Some(dir) = pending.pop() {
        let mut names: Vec<_> = fs::read_dir(&dir).unwrap().map(|e| e.unwrap().path()).collect();
        names.sort();
        for path in names {
            let kind = fs::symlink_metadata(&path).unwrap().file_type();
            if kind.is_dir() {
                pending.push(path);
            } else if kind.is_file() {
                match n.below(6) {
                    0 => fs::remove_file(&path).unwrap(),
                    1 => {
                        let len = length(n);
                        fs::write(&path, n.bytes(len)).unwrap();
                    }
                    2 => {
                        let mut bytes = fs::read(&path).unwrap();
                        let at = n.below(bytes.len() as u64 + 1) as usize;
                        bytes.splice(at..at, *b"inserted");
                        fs::write(&path, bytes).unwrap();
                    }
                    _ => {}
                }
            }
        }
        if n.below(3) == 0 {
            let bytes = n.bytes(3000);
            fs::write(dir.join(format!("new-{}", n.below(1000))), bytes).unwrap();
        }
    }
}
