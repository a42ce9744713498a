//! What stands elsewhere in the snapshot than on the host, or is not on the host at all: one directory or file under
//! another name, and a stream as a file. The content takes the same way as any other; here it is given its place.
//!
//! The directories above it are as the host has them, if it has them; otherwise they are made up: mode 0755, of whoever runs
//! this. What is made up keeps its times for as long as its content stays the same, so that nothing looks changed that is not.

use crate::engine::backup::dir::{Dir, store_directory};
use crate::engine::backup::parent::{self, Parent, Reuse};
use crate::engine::backup::reading::{ScanError, TOO_LONG};
use crate::engine::backup::scan::Scanner;
use crate::engine::backup::source::stored_names;
use crate::engine::backup::walk::{Grafted, WalkContext, Walker, attributes};
use crate::engine::backup::workers::{Executor, WorkContext, node_of, record};
use crate::engine::context::{EngineError, Result};
use crate::format::node::{Content, Metadata, Node};
use crate::fs::{FileKind, SourceDir, Stat, StreamSource};
use crate::id::TreeId;
use crate::journal::{FileEvent, FileRecord};
use crate::progress::Event;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Modes of what is not on the host. A dump is for its owner only.
const FILE_MODE: u32 = 0o600;
const DIRECTORY_MODE: u32 = 0o755;

/// What was read, once it is done.
pub(super) enum Read {
    /// A directory: its files may still be under way.
    Directory(Arc<Dir>),
    /// A file, or nothing if it could not be read.
    File(Option<Node>),
}

/// A place in the snapshot, and what the parents have there.
pub(super) struct Place {
    names: Vec<Vec<u8>>,
    path: PathBuf,
    /// For each parent, the nodes on the way there, as far as there are any.
    known: Vec<(Parent, Vec<Node>)>,
}

impl Place {
    /// # Errors
    /// [`EngineError::Setting`] for what cannot be a path; what the store says.
    pub(super) fn new(path: &Path, parents: &[Parent], walker: &mut Walker<'_>) -> Result<Self> {
        let names = stored_names(path)?;
        let known =
            parents.iter().map(|parent| Ok((*parent, walker.way(parent, &names)?))).collect::<Result<Vec<_>>>()?;
        Ok(Self { names, path: path.to_owned(), known })
    }

    fn name(&self) -> Vec<u8> {
        self.names.last().cloned().unwrap_or_default()
    }

    /// What the parents have at this place, the newest first.
    fn before(&self) -> impl Iterator<Item = (&Parent, &Node)> {
        let depth = self.names.len();
        self.known.iter().filter_map(move |(parent, way)| Some((parent, way.get(depth.checked_sub(1)?)?)))
    }

    /// Reads a directory or a file of the host.
    ///
    /// # Errors
    /// As for any source: what is missing or suddenly empty stops the run.
    pub(super) fn read_path(
        &self,
        source: &Path,
        walker: &mut Walker<'_>,
        executor: &mut Executor<'_>,
        work: WorkContext<'_>,
        scanner: impl FnOnce() -> Result<Scanner>,
    ) -> Result<Read> {
        let failed = |error: crate::fs::FsError| match error.is_vanished() {
            true => EngineError::SuspiciousSource { path: source.display().to_string(), what: "missing" },
            false => EngineError::Fs(error),
        };
        if std::fs::symlink_metadata(source).is_ok_and(|metadata| metadata.is_dir()) {
            let dir = SourceDir::open_root(source).map_err(failed)?;
            let tree_of = |node: &Node| match node.content {
                Content::Directory { tree } => Some(tree),
                _ => None,
            };
            let mut below: Vec<(Parent, TreeId)> = Vec::new();
            for (parent, way) in &self.known {
                let tree = if self.names.is_empty() {
                    Some(parent.tree)
                } else {
                    way.get(self.names.len() - 1).and_then(tree_of)
                };
                below.extend(tree.map(|tree| (*parent, tree)));
            }
            let first = self.known.first().and_then(|(_, way)| way.get(self.names.len().checked_sub(1)?));
            let known = first.filter(|node| node.is_directory()).cloned();
            let dir = walker.walk_as(Grafted { source: dir, name: self.name(), known, below }, executor)?;
            return Ok(Read::Directory(dir));
        }
        let (Some(above), Some(name)) = (source.parent(), source.file_name()) else {
            return Err(EngineError::Setting(format!("{} is neither a directory nor a file", source.display())));
        };
        let dir = SourceDir::open_root(above).map_err(failed)?;
        let stat = dir.stat(name.as_bytes()).map_err(failed)?;
        if stat.kind != FileKind::File || self.names.is_empty() {
            let what = "can be stored under another path only if it is a directory, or a file that gets a name";
            return Err(EngineError::Setting(format!("{} {what}", source.display())));
        }
        executor.in_caller(work, scanner, |scanner, work| self.read_file(&dir, name, &stat, walker.w, scanner, work))
    }

    fn read_file(
        &self,
        dir: &SourceDir,
        name: &OsStr,
        stat: &Stat,
        w: WalkContext<'_>,
        scanner: &mut Scanner,
        work: WorkContext<'_>,
    ) -> Result<Read> {
        let (sink, host) = (&*w.cx.sink, dir.path_of(name.as_bytes()));
        for (parent, node) in self.before() {
            let reuse = parent::compare(stat, node, parent, w.options);
            if reuse == Reuse::Nothing {
                continue;
            }
            let mut node = node.clone();
            if reuse == Reuse::Content {
                let xattrs = attributes(dir, name.as_bytes(), stat, &node)?;
                node.metadata = w.tally.metadata(stat, w.tally.keep(|| host.clone(), xattrs, sink));
            }
            w.unchanged(node.size());
            return Ok(Read::File(Some(node)));
        }
        match scanner.scan(dir, name.as_bytes(), stat, work.scan) {
            Ok(scanned) => {
                record(&self.path_bytes(), &scanned, work.scan.journal)?;
                let known = self.before().next().map(|(_, node)| node);
                Ok(Read::File(Some(node_of(self.name(), known, scanned, w.tally, sink))))
            }
            Err(ScanError::File(error)) => {
                w.tally.lost(&host, &error, sink);
                Ok(Read::File(None))
            }
            Err(ScanError::TooLong) => {
                w.tally.fail(&host, &format!("is {TOO_LONG}"), sink);
                Ok(Read::File(None))
            }
            Err(ScanError::Run(error)) => Err(error),
        }
    }

    fn path_bytes(&self) -> Vec<u8> {
        self.path.as_os_str().as_bytes().to_vec()
    }

    /// Reads a stream to its end.
    ///
    /// # Errors
    /// [`EngineError::Stream`] when it broke off, [`EngineError::SuspiciousSource`] when it is suddenly empty.
    pub(super) fn read_stream(
        &self,
        stream: &dyn StreamSource,
        w: WalkContext<'_>,
        executor: &mut Executor<'_>,
        work: WorkContext<'_>,
        scanner: impl FnOnce() -> Result<Scanner>,
    ) -> Result<Read> {
        if self.names.is_empty() {
            return Err(EngineError::Setting("a stream needs a name in the snapshot".into()));
        }
        executor.in_caller(work, scanner, |scanner, work| {
            let (path, sink) = (self.path_bytes(), &*w.cx.sink);
            let mut stream = stream.open()?;
            sink.event(&Event::EntryStarted { path: &path });
            let (size, body) = scanner.scan_stream(&mut *stream, work.scan)?;
            stream.finish()?;
            let before = self.before().next().map(|(_, node)| node);
            self.guard_empty(size, before, w)?;
            let (event, digest) = (FileEvent::Transmitted, body.digest());
            work.scan.journal.file(&FileRecord { event, path: &path, size, content: Some(&digest) })?;
            let content = Content::File { size, sparse: false, inconsistent: false, body };
            let node = made_up(self.name(), FILE_MODE, content, before, w);
            let unchanged = before == Some(&node);
            w.tally.count(|s| {
                match before {
                    None => s.files_new += 1,
                    Some(_) if unchanged => s.files_unmodified += 1,
                    Some(_) => s.files_changed += 1,
                }
                s.data_read_bytes += size;
                s.total_files += 1;
                s.total_bytes += size;
            });
            sink.event(&Event::EntryDone { size, unchanged: false });
            Ok(Read::File(Some(node)))
        })
    }

    /// A stream that is empty where the last snapshot had something is more likely a failed dump than the truth.
    fn guard_empty(&self, size: u64, before: Option<&Node>, w: WalkContext<'_>) -> Result<()> {
        if size > 0 || w.options.allow_empty_source {
            return Ok(());
        }
        if before.is_some_and(|node| node.size() > 0) {
            let what = "empty, although it has content in the last snapshot";
            return Err(EngineError::SuspiciousSource { path: self.path.display().to_string(), what });
        }
        w.cx.event(&Event::Warning { path: &self.path_bytes(), message: "the stream was empty: so is the file" });
        Ok(())
    }

    /// Makes the directories above what was read; returns the root. Nothing may be under way any more.
    ///
    /// # Errors
    /// What the store says.
    pub(super) fn finish(&self, read: &Read, w: WalkContext<'_>) -> Result<Option<TreeId>> {
        let mut node = match read {
            Read::Directory(dir) if self.names.is_empty() => return Ok(dir.tree()),
            Read::Directory(dir) => dir.node(),
            Read::File(node) => node.clone(),
        };
        let empty: &[Node] = &[];
        let way = self.known.first().map_or(empty, |(_, way)| way.as_slice());
        for depth in (0..self.names.len() - 1).rev() {
            let content = Content::Directory { tree: store_directory(node.as_slice(), w.store)? };
            let path: PathBuf = Path::new("/")
                .join(self.names[..=depth].iter().map(|name| OsStr::from_bytes(name)).collect::<PathBuf>());
            let before = way.get(depth).filter(|node| node.is_directory());
            let name = self.names[depth].clone();
            let found = SourceDir::open_root(&path).and_then(|dir| Ok((dir.stat_self()?, dir.xattrs())));
            let made = match found {
                Ok((stat, xattrs)) => {
                    let xattrs = w.tally.keep(|| path.as_os_str().as_bytes().to_vec(), xattrs, &*w.cx.sink);
                    Node { name, metadata: w.tally.metadata(&stat, xattrs), content }
                }
                Err(_) => made_up(name, DIRECTORY_MODE, content, before, w),
            };
            w.tally.count(|s| match before {
                None => s.dirs_new += 1,
                Some(before) if *before == made => s.dirs_unmodified += 1,
                Some(_) => s.dirs_changed += 1,
            });
            node = Some(made);
        }
        store_directory(node.as_slice(), w.store).map(Some)
    }
}

/// A node of what is not on the host. With the content of the one before it keeps that one's times.
fn made_up(name: Vec<u8>, mode: u32, content: Content, before: Option<&Node>, w: WalkContext<'_>) -> Node {
    let same = before.filter(|node| node.content == content);
    let time = same.map_or_else(|| w.cx.clock.now(), |node| node.metadata.mtime);
    let owner = w.tally.owner(rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let metadata = Metadata {
        mode,
        owner,
        mtime: time,
        ctime: time,
        inode: 0,
        device: 0,
        links: 1,
        btime: None,
        inode_flags: 0,
        xattrs: Vec::new(),
    };
    Node { name, metadata, content }
}
