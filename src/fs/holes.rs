//! Holes: parts of a file that were never written and take no room.
//!
//! A file system that answers wrongly where its holes are costs data: OpenZFS did for years while blocks were on their way to
//! the disk (its issues 11900 and 15526). So holes are left out of reading only on file systems whose answer accounts for what
//! is not written back yet; everywhere else every byte is read, and holes serve as a hint for the restore.

use crate::fs::read::SourceFile;
use rustix::fs::{SeekFrom, fstatfs, seek};
use rustix::io::Errno;

/// ext2, ext3 and ext4; XFS; Btrfs; tmpfs; F2FS: the numbers of `statfs`, from `linux/magic.h`.
const TRUSTED: [u64; 5] = [0xef53, 0x5846_5342, 0x9123_683e, 0x0102_1994, 0xf2f5_2010];

/// What is known of a file's holes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holes {
    /// It has none.
    None,
    /// It has some, and [`SourceFile::next_data`] says where.
    Known,
    /// It takes less room than its length needs: holes that are not to be relied on, or compression.
    Supposed,
}

impl SourceFile {
    /// Whether the file has holes.
    pub fn holes(&self) -> Holes {
        let stat = self.stat();
        if stat.size == 0 {
            return Holes::None;
        }
        // Where this is not known the answer is the end of the file.
        let has_hole = seek(self, SeekFrom::Hole(0)).is_ok_and(|at| at < stat.size);
        if !has_hole && !stat.is_sparse() {
            return Holes::None;
        }
        let is_trusted = fstatfs(self).is_ok_and(|fs| TRUSTED.contains(&(fs.f_type as u64)));
        match (is_trusted, has_hole) {
            (true, true) => Holes::Known,
            // It is compressed, or lies in its inode.
            (true, false) => Holes::None,
            (false, _) => Holes::Supposed,
        }
    }

    /// Where the next byte is that is in no hole, from `offset` (bytes) on, and where that part ends; `None` if there are only
    /// holes up to the end, or the system does not say. To be relied on only for [`Holes::Known`].
    pub fn next_data(&self, offset: u64) -> Option<(u64, u64)> {
        let start = seek(self, SeekFrom::Data(offset));
        let start = match start {
            Ok(start) => start.max(offset),
            Err(Errno::NXIO) => return None,
            // What cannot be asked is read.
            Err(_) => return Some((offset, u64::MAX)),
        };
        let end = seek(self, SeekFrom::Hole(start)).ok().filter(|end| *end > start);
        Some((start, end.unwrap_or(u64::MAX)))
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::print_stdout, reason = "tests say what they skip")]
mod tests {
    use super::*;
    use crate::fs::source::SourceDir;
    use std::os::unix::fs::FileExt;

    #[test]
    fn holes_are_found_where_they_are() {
        let dir = tempfile::tempdir().unwrap();
        let open = |name: &str| {
            let source = SourceDir::open_root(dir.path()).unwrap();
            let stat = source.stat(name.as_bytes()).unwrap();
            SourceFile::open(&source, name.as_bytes(), &stat).unwrap()
        };
        std::fs::write(dir.path().join("full"), vec![0; 100_000]).unwrap();
        std::fs::write(dir.path().join("empty"), b"").unwrap();
        let file = std::fs::File::create(dir.path().join("holes")).unwrap();
        file.set_len(1 << 20).unwrap();
        file.write_all_at(b"data", 300_000).unwrap();
        assert_eq!((open("full").holes(), open("empty").holes()), (Holes::None, Holes::None));
        let holes = open("holes");
        if holes.holes() != Holes::Known {
            println!("SKIPPED: holes: files in {} are not known to have them", dir.path().display());
            return;
        }
        let (start, end) = holes.next_data(0).unwrap();
        assert!((1..=300_000).contains(&start) && (300_004..1 << 20).contains(&end), "{start} {end}");
        assert_eq!(holes.next_data(300_001).unwrap().0, 300_001);
        assert_eq!(holes.next_data(end), None);
        assert_eq!(open("full").next_data(0), Some((0, 100_000)));
    }
}
