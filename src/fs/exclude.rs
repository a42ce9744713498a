//! What is left out of a backup: patterns as in `.gitignore`, tagged directories, large files, and cairn's own
//! directories.
//!
//! Patterns are relative to `/` and matched against absolute paths. One without a slash (but for the last byte)
//! matches at any depth; one with a slash matches from the root on; `!` takes back what an earlier pattern excluded,
//! unless it excluded a directory above. The last match counts, in the order: files of patterns, patterns,
//! case-insensitive patterns; so the command line overrides the files. Case is folded for ASCII only. Patterns are
//! UTF-8; names need not be, and `?` stands for one byte of them.

use crate::format::node::is_entry_name;
use crate::fs::error::{FsError, Operation, Result};
use crate::fs::read::SourceFile;
use crate::fs::source::{DirEntry, SourceDir};
use crate::fs::stat::{FileId, FileKind, Stat, stat_at};
use ignore::gitignore::{Gitignore, GitignoreBuilder};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Name of the file that marks a directory as a cache.
const CACHE_TAG_NAME: &[u8] = b"CACHEDIR.TAG";
/// What it starts with, by the Cache Directory Tagging Specification.
const CACHE_TAG_HEADER: &[u8] = b"Signature: 8a477f597d28d172789f06886806bc55";

/// A file that, if it is in a directory, excludes the directory's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IfPresent {
    name: Vec<u8>,
    /// What the file has to start with; empty if it only has to be there.
    header: Vec<u8>,
}

impl IfPresent {
    /// From `NAME` or `NAME:HEADER`.
    ///
    /// # Errors
    /// [`FsError::BadName`] if `NAME` cannot be the name of a file.
    pub fn parse(text: &OsStr) -> Result<Self> {
        let mut parts = text.as_bytes().splitn(2, |byte| *byte == b':');
        let name = parts.next().unwrap_or_default().to_vec();
        if !is_entry_name(&name) {
            return Err(FsError::BadName { name });
        }
        Ok(Self { name, header: parts.next().unwrap_or_default().to_vec() })
    }
}

/// What the user wants left out.
#[derive(Debug, Clone, Default)]
pub struct ExcludeOptions {
    /// Patterns.
    pub patterns: Vec<String>,
    /// Patterns that ignore the case of ASCII letters.
    pub case_insensitive_patterns: Vec<String>,
    /// Files with a pattern a line; lines that are blank or start with `#` are skipped.
    pub pattern_files: Vec<PathBuf>,
    /// Leave out the content of directories with a valid `CACHEDIR.TAG`.
    pub caches: bool,
    /// Leave out the content of directories with one of these files.
    pub if_present: Vec<IfPresent>,
    /// Leave out regular files of more than so many bytes.
    pub larger_than: Option<u64>,
    /// cairn's own repository, cache and state: never backed up, whatever path or mount leads there. What does not
    /// exist is skipped, so create it before.
    pub own_paths: Vec<PathBuf>,
}

/// Decides what is left out.
#[derive(Debug)]
pub struct Excludes {
    patterns: Gitignore,
    tags: Vec<IfPresent>,
    larger_than: Option<u64>,
    own: Vec<FileId>,
}

impl Excludes {
    /// Compiles the options.
    ///
    /// # Errors
    /// [`FsError::Pattern`] naming the bad pattern and where it stands; [`FsError::Io`] for a file of patterns that
    /// cannot be read or an own path that cannot be looked at.
    pub fn new(options: &ExcludeOptions) -> Result<Self> {
        let mut builder = GitignoreBuilder::new("/");
        builder.allow_unclosed_class(false);
        for file in &options.pattern_files {
            add_file(&mut builder, file)?;
        }
        for pattern in &options.patterns {
            add(&mut builder, &escaped(pattern)?, pattern, None)?;
        }
        set_case_insensitive(&mut builder, true)?;
        for pattern in &options.case_insensitive_patterns {
            add(&mut builder, &escaped(pattern)?, pattern, None)?;
        }
        let patterns = builder.build().map_err(|error| bad_pattern("", None, error.to_string()))?;
        let mut tags = options.if_present.clone();
        if options.caches {
            tags.push(IfPresent { name: CACHE_TAG_NAME.to_vec(), header: CACHE_TAG_HEADER.to_vec() });
        }
        let mut own = Vec::new();
        for path in &options.own_paths {
            match own_id(path.as_os_str().as_bytes()) {
                Ok(id) => own.push(id),
                Err(Errno::NOENT) => {}
                Err(errno) => return Err(FsError::io(Operation::Stat, path.as_os_str().as_bytes(), errno)),
            }
        }
        Ok(Self { patterns, tags, larger_than: options.larger_than, own })
    }

    /// Whether [`excludes_entry`](Self::excludes_entry) looks at the path at all; if not, none has to be built.
    pub fn needs_path(&self) -> bool {
        !self.patterns.is_empty()
    }

    /// Whether the entry is left out, and with it everything below. Ask for a directory before entering it.
    pub fn excludes_entry(&self, path: &[u8], stat: &Stat) -> bool {
        self.own.contains(&stat.id())
            || (stat.kind == FileKind::File && self.larger_than.is_some_and(|limit| stat.size > limit))
            || (self.needs_path()
                && self
                    .patterns
                    .matched(Path::new(OsStr::from_bytes(path)), stat.kind == FileKind::Directory)
                    .is_ignore())
    }

    /// Whether the content of a directory is left out because of a tag file in it. `names` is its listing.
    ///
    /// # Errors
    /// A tag file that is there and cannot be read.
    pub fn tag_excludes_dir(&self, dir: &SourceDir, names: &[DirEntry]) -> Result<bool> {
        for tag in &self.tags {
            if names.iter().any(|entry| entry.name == tag.name) {
                match has_header(dir, tag) {
                    Ok(false) => {}
                    // A tag that is no regular file, or gone since, is none.
                    Err(error) if error.is_vanished() || error.is_changed() => {}
                    other => return other,
                }
            }
        }
        Ok(false)
    }
}

fn has_header(dir: &SourceDir, tag: &IfPresent) -> Result<bool> {
    if tag.header.is_empty() {
        return Ok(true);
    }
    let file = SourceFile::open(dir, &tag.name, &dir.stat(&tag.name)?)?;
    let mut start = vec![0; tag.header.len()];
    let length = file.read_at(0, &mut start)?;
    Ok(start[..length] == tag.header)
}

/// Follows links: it is the directory at the end that must not be backed up.
fn own_id(path: &[u8]) -> std::result::Result<FileId, Errno> {
    let fd = openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    Ok(stat_at(fd.as_fd(), b"")?.id())
}

fn add_file(builder: &mut GitignoreBuilder, file: &Path) -> Result<()> {
    let content =
        std::fs::read(file).map_err(|error| FsError::io(Operation::Read, file.as_os_str().as_bytes(), error))?;
    let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&content);
    for (index, line) in content.split(|byte| *byte == b'\n').enumerate() {
        let origin = || Some((file.to_path_buf(), index + 1));
        let Ok(text) = std::str::from_utf8(line) else {
            let text = String::from_utf8_lossy(line);
            return Err(bad_pattern(&text, origin(), "not UTF-8 (write `?` for each byte that is not)"));
        };
        let pattern = if text.ends_with("\\ ") { text } else { text.trim_end() };
        if !pattern.is_empty() && !pattern.starts_with('#') {
            add(builder, pattern, pattern, origin())?;
        }
    }
    Ok(())
}

/// A pattern of the command line as the line of a file that means the same. There, `#` starts a comment and blanks at
/// the end do not count; somebody who quoted them for his shell meant them.
fn escaped(pattern: &str) -> Result<String> {
    let mut line = pattern.to_owned();
    if line.starts_with('#') {
        line.insert(0, '\\');
    }
    if line.ends_with(' ') && !line.ends_with("\\ ") {
        line.pop();
        line.push_str("\\ ");
    }
    if !line.ends_with("\\ ") && line.trim_end() != line {
        return Err(bad_pattern(pattern, None, "ends in white space other than a blank"));
    }
    Ok(line)
}

fn add(builder: &mut GitignoreBuilder, line: &str, pattern: &str, origin: Option<(PathBuf, usize)>) -> Result<()> {
    let body = line.strip_prefix('!').unwrap_or(line);
    // Such a pattern matches nothing, or everything, and was not meant.
    if body.trim_matches('/').is_empty() {
        return Err(bad_pattern(pattern, origin, "names nothing"));
    }
    match builder.add_line(None, line) {
        Ok(_) => Ok(()),
        Err(ignore::Error::Glob { err, .. }) => Err(bad_pattern(pattern, origin, err)),
        Err(error) => Err(bad_pattern(pattern, origin, error.to_string())),
    }
}

fn set_case_insensitive(builder: &mut GitignoreBuilder, yes: bool) -> Result<()> {
    match builder.case_insensitive(yes) {
        Ok(_) => Ok(()),
        Err(error) => Err(bad_pattern("", None, error.to_string())),
    }
}

fn bad_pattern(pattern: &str, origin: Option<(PathBuf, usize)>, reason: impl Into<String>) -> FsError {
    FsError::Pattern { pattern: pattern.to_owned(), origin, reason: reason.into() }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn stat(kind: FileKind, size: u64) -> Stat {
        Stat {
            kind,
            mode: 0o644,
            uid: 0,
            gid: 0,
            size,
            mtime: Timestamp::EPOCH,
            ctime: Timestamp::EPOCH,
            btime: None,
            inode: 1,
            device: 1,
            links: 1,
            blocks: 0,
            rdev_major: 0,
            rdev_minor: 0,
            mount_id: 0,
        }
    }

    fn of_patterns(patterns: &[&str]) -> Excludes {
        let patterns = patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
        Excludes::new(&ExcludeOptions { patterns, ..ExcludeOptions::default() }).unwrap()
    }

    #[test]
    fn patterns_mean_what_gitignore_says() {
        // Patterns, path (a directory if it ends in a slash), excluded?
        let table: &[(&[&str], &[u8], bool)] = &[
            (&[], b"/a", false),
            (&["*.o"], b"/a.o", true),
            (&["*.o"], b"/x/y/a.o", true),
            (&["*.o"], b"/x/y/a.c", false),
            (&["*.o"], b"/x/\xff\xfe.o", true),
            (&["a?b"], b"/x/a\xffb", true),
            (&["a?b"], b"/x/a\xff\xfeb", false),
            (&["a?b"], b"/x/a/b", false),
            (&["/home/x/tmp"], b"/home/x/tmp/", true),
            (&["/home/x/tmp"], b"/home/x/tmp", true),
            (&["/home/x/tmp"], b"/mnt/home/x/tmp", false),
            (&["/home/x/tmp/"], b"/home/x/tmp", false),
            (&["/home/x/tmp/"], b"/home/x/tmp/", true),
            (&["home/x"], b"/home/x", true),
            (&["home/x"], b"/mnt/home/x", false),
            (&["**/home/x"], b"/mnt/home/x", true),
            (&["/tmp"], b"/tmp/", true),
            (&["/tmp"], b"/var/tmp/", false),
            (&["node_modules"], b"/srv/a/node_modules/", true),
            (&["/home/*/.cache"], b"/home/u/.cache/", true),
            (&["/home/*/.cache"], b"/home/u/v/.cache/", false),
            (&["/srv/**"], b"/srv/", false),
            (&["/srv/**"], b"/srv/a/b", true),
            (&["*.log", "!keep.log"], b"/v/keep.log", false),
            (&["*.log", "!keep.log"], b"/v/lose.log", true),
            (&["!keep.log", "*.log"], b"/v/keep.log", true),
            (&["#*#"], b"/x/#notes#", true),
            (&["#*#"], b"/x/notes", false),
            (&["\\!important"], b"/x/!important", true),
            (&["blank "], b"/x/blank ", true),
            (&["blank "], b"/x/blank", false),
            (&["[ab].c"], b"/x/b.c", true),
            (&["*.{o,a}"], b"/x/b.a", true),
            (&["*.O"], b"/x/b.o", false),
        ];
        for (patterns, path, expected) in table {
            let kind = if path.ends_with(b"/") { FileKind::Directory } else { FileKind::File };
            let path = path.strip_suffix(b"/").unwrap_or(path);
            let found = of_patterns(patterns).excludes_entry(path, &stat(kind, 1));
            assert_eq!(found, *expected, "{patterns:?} on {}", String::from_utf8_lossy(path));
        }
    }

    #[test]
    fn a_bad_pattern_is_named_with_its_line() {
        for pattern in ["[ab", "{a,b", "", "/", "!", "a\t", "x[z-a]"] {
            let options = ExcludeOptions { patterns: vec![pattern.to_owned()], ..ExcludeOptions::default() };
            let error = Excludes::new(&options).unwrap_err().to_string();
            assert!(error.starts_with(&format!("bad exclude pattern `{pattern}`: ")), "{error}");
        }
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("list");
        for (content, line) in [(&b"# fine\n\n*.o\n[x\n"[..], 4), (b"ok\nbad \xff\n", 2)] {
            fs::write(&file, content).unwrap();
            let options = ExcludeOptions { pattern_files: vec![file.clone()], ..ExcludeOptions::default() };
            let error = Excludes::new(&options).unwrap_err().to_string();
            assert!(error.contains(&format!("list line {line}: ")), "{error}");
        }
    }

    #[test]
    fn files_come_first_and_case_is_ignored_where_asked() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("list");
        fs::write(&file, "\u{feff}*.tmp\r\n# comment\n\n/data/*  \n").unwrap();
        let excludes = Excludes::new(&ExcludeOptions {
            patterns: vec!["!keep.tmp".to_owned()],
            case_insensitive_patterns: vec!["*.JPG".to_owned()],
            pattern_files: vec![file],
            larger_than: Some(100),
            ..ExcludeOptions::default()
        })
        .unwrap();
        for (path, size, expected) in [
            (&b"/x/a.tmp"[..], 1, true),
            (b"/x/keep.tmp", 1, false),
            (b"/x/A.TMP", 1, false),
            (b"/x/a.jPg", 1, true),
            (b"/data/x", 1, true),
            (b"/x/# comment", 1, false),
            (b"/x/large", 101, true),
            (b"/x/just", 100, false),
        ] {
            assert_eq!(excludes.excludes_entry(path, &stat(FileKind::File, size)), expected, "{path:?}");
        }
        assert!(!excludes.excludes_entry(b"/x/dir", &stat(FileKind::Directory, 4096)), "length of a directory is none");
    }

    #[test]
    fn tagged_directories() {
        let header = String::from_utf8(CACHE_TAG_HEADER.to_vec()).unwrap();
        assert_eq!(header.len(), 43);
        let mark = IfPresent::parse(OsStr::new(".nobackup")).unwrap();
        let with_header = IfPresent::parse(OsStr::new("NOTE:skip: me")).unwrap();
        assert_eq!(with_header.header, b"skip: me");
        assert!(IfPresent::parse(OsStr::new("a/b")).is_err() && IfPresent::parse(OsStr::new(":x")).is_err());
        let options = ExcludeOptions { caches: true, if_present: vec![mark, with_header], ..ExcludeOptions::default() };
        let excludes = Excludes::new(&options).unwrap();
        // Name, content (none: a directory), excludes?
        let table: &[(&str, Option<String>, bool)] = &[
            ("CACHEDIR.TAG", Some(header.clone()), true),
            ("CACHEDIR.TAG", Some(format!("{header}\n# more")), true),
            ("CACHEDIR.TAG", Some(header[..42].to_owned()), false),
            ("CACHEDIR.TAG", Some(header.replace('8', "9")), false),
            ("CACHEDIR.TAG", None, false),
            ("cachedir.tag", Some(header.clone()), false),
            (".nobackup", Some(String::new()), true),
            (".nobackup", None, true),
            ("NOTE", Some("skip: me, please".to_owned()), true),
            ("NOTE", Some("read me".to_owned()), false),
            ("other", Some(header), false),
        ];
        for (name, content, expected) in table {
            let dir = tempfile::tempdir().unwrap();
            match content {
                Some(content) => fs::write(dir.path().join(name), content).unwrap(),
                None => fs::create_dir(dir.path().join(name)).unwrap(),
            }
            let source = SourceDir::open_root(dir.path()).unwrap();
            let names = source.list().unwrap();
            assert_eq!(excludes.tag_excludes_dir(&source, &names).unwrap(), *expected, "{name} {content:?}");
            fs::remove_file(dir.path().join(name)).or_else(|_| fs::remove_dir(dir.path().join(name))).unwrap();
            let gone = excludes.tag_excludes_dir(&source, &names);
            assert!(gone.is_ok(), "a tag that vanished is no error");
        }
    }

    #[test]
    fn own_directories_are_known_by_inode_whatever_leads_there() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        fs::create_dir_all(root.join("repository/data")).unwrap();
        fs::create_dir(root.join("other")).unwrap();
        symlink("repository", root.join("by-link")).unwrap();
        let own_paths = vec![root.join("by-link"), root.join("not-there")];
        let excludes = Excludes::new(&ExcludeOptions { own_paths, ..ExcludeOptions::default() }).unwrap();
        assert!(!excludes.needs_path());
        let source = SourceDir::open_root(root).unwrap();
        let excluded =
            |dir: &SourceDir, name: &[u8]| excludes.excludes_entry(b"/some/other/path", &dir.stat(name).unwrap());
        assert!(excluded(&source, b"repository"));
        assert!(!excluded(&source, b"other"));
        assert!(!excluded(&source, b"by-link"), "the link itself is no part of the repository");
        // As the root of a walk, reached through the link.
        let through_link = SourceDir::open_root(&root.join("by-link")).unwrap();
        assert!(excludes.excludes_entry(b"/x", &through_link.stat_self().unwrap()));
    }
}
