//! Lists of what to back up, as files or another program's output give them. Paths are taken byte for byte: no
//! patterns, no quoting. A list that is empty or looks cut off is an error, since a backup of too little is noticed
//! too late.

use crate::fs::error::{FsError, Result};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// One path a line. Empty lines and lines that start with `#` are skipped (`./#name` names such a file). `list` is
/// what the user calls the list.
///
/// # Errors
/// [`FsError::FileList`] for a line with a NUL, and for a list without any path.
pub fn parse_lines(content: &[u8], list: &str) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for (index, line) in content.split(|byte| *byte == b'\n').enumerate() {
        if line.contains(&0) {
            return Err(bad(list, index + 1, "has a NUL byte (lists separated by NUL are for --files-from0)"));
        }
        if !line.is_empty() && !line.starts_with(b"#") {
            paths.push(path(line));
        }
    }
    at_least_one(paths, list)
}

/// Each path ended by a NUL, as `find -print0` writes it; nothing is skipped.
///
/// # Errors
/// [`FsError::FileList`] for an empty path, a last one without its NUL, and for a list without any path.
pub fn parse_nul(content: &[u8], list: &str) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for (index, entry) in content.split_inclusive(|byte| *byte == 0).enumerate() {
        let Some(entry) = entry.strip_suffix(b"\0") else {
            return Err(bad(list, index + 1, "has no NUL at its end; the list is cut off or not separated by NUL"));
        };
        if entry.is_empty() {
            return Err(bad(list, index + 1, "is empty"));
        }
        paths.push(path(entry));
    }
    at_least_one(paths, list)
}

fn path(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsString::from_vec(bytes.to_vec()))
}

fn at_least_one(paths: Vec<PathBuf>, list: &str) -> Result<Vec<PathBuf>> {
    if paths.is_empty() { Err(bad(list, 0, "names nothing to back up")) } else { Ok(paths) }
}

fn bad(list: &str, entry: usize, reason: &'static str) -> FsError {
    FsError::FileList { list: list.to_owned(), entry, reason }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStrExt;

    fn bytes(paths: &[PathBuf]) -> Vec<&[u8]> {
        paths.iter().map(|path| path.as_os_str().as_bytes()).collect()
    }

    #[test]
    fn lines() {
        let paths = parse_lines(b"/a b\n\n# note\n./#c\n /d \n\xff\n*.o", "list").unwrap();
        assert_eq!(bytes(&paths), [&b"/a b"[..], b"./#c", b" /d ", b"\xff", b"*.o"]);
        assert_eq!(
            parse_lines(b"# only\n\n", "l").unwrap_err().to_string(),
            "bad list of files l: names nothing to back up"
        );
        let error = parse_lines(b"a\nb\0c\n", "l").unwrap_err().to_string();
        assert!(error.starts_with("bad list of files l, entry 2: has a NUL"), "{error}");
    }

    #[test]
    fn separated_by_nul() {
        let paths = parse_nul(b"/a\nb\0# no note\0", "list").unwrap();
        assert_eq!(bytes(&paths), [&b"/a\nb"[..], b"# no note"]);
        for (content, entry) in [(&b""[..], 0), (b"/a\0\0/b\0", 2), (b"/a\0/b", 2), (b"/a\n/b\n", 1)] {
            let error = parse_nul(content, "l").unwrap_err();
            assert!(matches!(error, FsError::FileList { entry: found, .. } if found == entry), "{content:?}: {error}");
        }
    }
}
