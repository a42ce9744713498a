//! Looking up, describing and listing entries. All of it works on directories alone, so none of it waits for a content that
//! is being read.

use crate::clock::Timestamp;
use crate::engine::browse::DEPTH_MAX;
use crate::engine::mount::inodes::{Ino, Inodes, Known};
use crate::engine::mount::layout::{Layout, Made, Top, Virtual};
use crate::engine::mount::report::{MountError, Report, Totals};
use crate::engine::mount::trees::{Entry, Trees};
use crate::format::node::{Content, Metadata, Node};
use crate::format::tree::{PAGE_ENTRIES_MAX, PAGES_MAX};
use crate::format::wire::FormatError;
use crate::id::TreeId;
use crate::repository::RepositoryError;
use crate::repository::pack_reader::ReadBuffers;
use std::sync::{Arc, Mutex, PoisonError};

type Result<T> = std::result::Result<T, MountError>;

/// Positions in a directory: where `..` and the first entry are; `.` is at 0.
const DOT_DOT: u64 = 1;
const FIRST: u64 = 2;
/// Positions of a page.
const PAGE_POSITIONS: u64 = PAGE_ENTRIES_MAX as u64 + 1;
/// In a position: some of what was before it could not be read.
const INCOMPLETE: u64 = 1 << 62;
/// Buffers kept for the next one who needs some.
const BUFFERS_MAX: usize = 16;

// A position is an `off_t`, and the flag is none of the numbers.
const _: () = assert!(FIRST + PAGES_MAX as u64 * PAGE_POSITIONS < INCOMPLETE);

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum FileKind {
    File,
    Directory,
    Symlink,
    Fifo,
    CharDevice,
    BlockDevice,
    Socket,
}

impl FileKind {
    fn of(content: &Content) -> Self {
        match content {
            Content::File { .. } => Self::File,
            Content::Directory { .. } => Self::Directory,
            Content::Symlink { .. } => Self::Symlink,
            Content::Fifo => Self::Fifo,
            Content::CharDevice { .. } => Self::CharDevice,
            Content::BlockDevice { .. } => Self::BlockDevice,
            Content::Socket => Self::Socket,
        }
    }
}

/// What `stat` says of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attributes {
    /// Its number.
    pub ino: Ino,
    /// What it is.
    pub kind: FileKind,
    /// The low twelve bits of the mode.
    pub mode: u32,
    /// Number of names; 1 for every directory, which programs take as not known.
    pub links: u32,
    /// User number.
    pub uid: u32,
    /// Group number.
    pub gid: u32,
    /// Major and minor number of a device.
    pub device: (u32, u32),
    /// Length in bytes: of a file its content, of a symbolic link its target.
    pub size: u64,
    /// Last change of the content.
    pub mtime: Timestamp,
    /// Last change of the inode.
    pub ctime: Timestamp,
}

/// An entry in a listing.
#[derive(Debug)]
pub struct Listed<'a> {
    /// Its name.
    pub name: &'a [u8],
    /// Its number.
    pub ino: Ino,
    /// What it is.
    pub kind: FileKind,
    /// The position behind it.
    pub next: u64,
    /// What `stat` says; `None` for `.` and `..`.
    pub attributes: Option<Attributes>,
}

/// A directory, ready to be looked into.
enum Directory<'a> {
    Made(&'a [(Vec<u8>, Ino)]),
    /// The top of its snapshot, its tree, and directories between the two.
    Real(Ino, TreeId, u16),
}

/// The entries of a mount.
#[derive(Debug)]
pub struct Names {
    pub(super) layout: Layout,
    pub(super) inodes: Inodes,
    pub(super) trees: Trees,
    pub(super) report: Report,
    /// Who owns what is in no snapshot.
    pub(super) owner: (u32, u32),
    pub(super) buffers: Mutex<Vec<ReadBuffers>>,
}

impl Names {
    /// Lends buffers.
    pub(super) fn with_buffers<T>(&self, act: impl FnOnce(&mut ReadBuffers) -> Result<T>) -> Result<T> {
        let kept = || self.buffers.lock().unwrap_or_else(PoisonError::into_inner);
        let spare = kept().pop();
        let mut buffers = match spare {
            Some(buffers) => buffers,
            // No memory for a decompressor.
            None => ReadBuffers::new().map_err(|_| MountError::Unreadable)?,
        };
        let result = act(&mut buffers);
        let mut kept = kept();
        if kept.len() < BUFFERS_MAX {
            kept.push(buffers);
        }
        result
    }

    fn top(&self, ino: Ino) -> Result<&Top> {
        self.layout.top(ino).ok_or(MountError::Stale)
    }

    /// The absolute path of an entry in its snapshot.
    pub(super) fn path(&self, ino: Ino, known: &Known) -> Vec<u8> {
        let below = self.inodes.path(ino);
        let top = self.layout.top(known.top).map_or(&b""[..], |top| &top.path);
        [top, &below].concat()
    }

    /// Says that an entry cannot be read.
    pub(super) fn failed(&self, ino: Ino, known: &Known, is_file: bool, error: &RepositoryError) -> MountError {
        match self.top(known.top) {
            Ok(top) => self.report.failed(ino, || self.path(ino, known), &top.snapshot, is_file, error),
            Err(error) => error,
        }
    }

    /// What is known of a number, and its node.
    pub(super) fn entry(&self, ino: Ino, buffers: &mut ReadBuffers) -> Result<(Known, Entry)> {
        let known = self.inodes.get(ino).ok_or(MountError::Stale)?;
        let entry = self.trees.entry(known.place, buffers);
        entry.map(|entry| (known, entry)).map_err(|error| self.failed(ino, &known, false, &error))
    }

    fn directory(&self, ino: Ino, buffers: &mut ReadBuffers) -> Result<Directory<'_>> {
        match self.layout.get(ino).map(|made| &made.made) {
            Some(Made::Directory(children)) => Ok(Directory::Made(children)),
            Some(Made::Link(_)) => Err(MountError::NotDirectory),
            Some(Made::Top(_)) => Ok(Directory::Real(ino, self.top(ino)?.tree, 0)),
            None => {
                let (known, entry) = self.entry(ino, buffers)?;
                match entry.node().content {
                    Content::Directory { tree } if usize::from(known.depth) < DEPTH_MAX => {
                        Ok(Directory::Real(known.top, tree, known.depth + 1))
                    }
                    Content::Directory { tree } => {
                        let source = FormatError::Invalid { what: "depth of the directory" };
                        let error = RepositoryError::Damaged { object: format!("tree {tree}"), source };
                        Err(self.failed(ino, &known, false, &error))
                    }
                    _ => Err(MountError::NotDirectory),
                }
            }
        }
    }

    /// Says that a directory, or a part of it, cannot be read.
    fn directory_failed(&self, ino: Ino, top: Ino, error: &RepositoryError) -> MountError {
        match (self.inodes.get(ino), self.layout.top(ino)) {
            (Some(known), _) => self.failed(ino, &known, false, error),
            (None, Some(top)) => {
                self.report.failed(ino, || [&top.path[..], b"/"].concat(), &top.snapshot, false, error)
            }
            (None, None) => match self.top(top) {
                Ok(top) => self.report.failed(ino, Vec::new, &top.snapshot, false, error),
                Err(error) => error,
            },
        }
    }

    fn of_made(&self, ino: Ino, made: &Virtual) -> Attributes {
        let node = self.layout.top(ino).and_then(|top| top.node.as_deref());
        if let Some(node) = node {
            return attributes(ino, node);
        }
        let (kind, mode, size) = match &made.made {
            Made::Link(target) => (FileKind::Symlink, 0o777, target.len() as u64),
            _ => (FileKind::Directory, 0o555, 0),
        };
        let (uid, gid) = self.owner;
        let time = made.time;
        Attributes { ino, kind, mode, links: 1, uid, gid, device: (0, 0), size, mtime: time, ctime: time }
    }

    /// Looks up a name, and adds a reference to what is found.
    ///
    /// # Errors
    /// [`MountError::NoEntry`], [`MountError::NotDirectory`], [`MountError::Unreadable`].
    pub fn lookup(&self, parent: Ino, name: &[u8]) -> Result<Attributes> {
        self.with_buffers(|buffers| match self.directory(parent, buffers)? {
            Directory::Made(children) => {
                let index = children.binary_search_by(|(child, _)| child.as_slice().cmp(name));
                let ino = children[index.map_err(|_| MountError::NoEntry)?].1;
                self.layout.get(ino).map(|made| self.of_made(ino, made)).ok_or(MountError::Stale)
            }
            Directory::Real(top, tree, depth) => {
                let found = self.trees.find(&tree, name, buffers);
                let found = found.map_err(|error| self.directory_failed(parent, top, &error))?;
                let entry = found.ok_or(MountError::NoEntry)?;
                let ino = Ino::of_node(parent, top, entry.node());
                self.remember(ino, parent, &entry, top, depth)?;
                Ok(attributes(ino, entry.node()))
            }
        })
    }

    /// Adds a reference. Two entries with one number cannot both be shown; it will not happen in the life of a universe.
    fn remember(&self, ino: Ino, parent: Ino, entry: &Entry, top: Ino, depth: u16) -> Result<()> {
        let known = Known { top, place: entry.place, depth };
        let is_free = self.layout.get(ino).is_none() && self.inodes.remember(ino, parent, entry.node(), known);
        is_free.then_some(()).ok_or(MountError::Unreadable)
    }

    /// Takes references away.
    pub fn forget(&self, ino: Ino, count: u64) {
        self.inodes.forget(ino, count);
    }

    /// What `stat` says.
    ///
    /// # Errors
    /// [`MountError::Stale`], [`MountError::Unreadable`].
    pub fn attributes(&self, ino: Ino) -> Result<Attributes> {
        if let Some(made) = self.layout.get(ino) {
            return Ok(self.of_made(ino, made));
        }
        self.with_buffers(|buffers| Ok(attributes(ino, self.entry(ino, buffers)?.1.node())))
    }

    /// Where a symbolic link points.
    ///
    /// # Errors
    /// [`MountError::NotLink`] and as [`Names::attributes`].
    pub fn link_target(&self, ino: Ino) -> Result<Vec<u8>> {
        match self.layout.get(ino).map(|made| &made.made) {
            Some(Made::Link(target)) => return Ok(target.clone()),
            Some(_) => return Err(MountError::NotLink),
            None => {}
        }
        self.with_buffers(|buffers| match &self.entry(ino, buffers)?.1.node().content {
            Content::Symlink { target } => Ok(target.clone()),
            _ => Err(MountError::NotLink),
        })
    }

    fn with_metadata<T>(&self, ino: Ino, act: impl FnOnce(Option<&Metadata>) -> Result<T>) -> Result<T> {
        if self.layout.get(ino).is_some() {
            let node = self.layout.top(ino).and_then(|top| top.node.as_deref());
            return act(node.map(|node| &node.metadata));
        }
        self.with_buffers(|buffers| act(Some(&self.entry(ino, buffers)?.1.node().metadata)))
    }

    /// Names of extended attributes, each followed by a zero byte. Only root sees those of the namespace `trusted`, as in
    /// Linux' own file systems.
    ///
    /// # Errors
    /// As [`Names::attributes`].
    pub fn attribute_names(&self, ino: Ino, is_root: bool) -> Result<Vec<u8>> {
        self.with_metadata(ino, |metadata| {
            let xattrs = metadata.map_or(&[][..], |metadata| &metadata.xattrs);
            let seen = xattrs.iter().filter(|xattr| is_root || !xattr.name.starts_with(b"trusted."));
            Ok(seen.flat_map(|xattr| [&xattr.name[..], b"\0"].concat()).collect())
        })
    }

    /// Value of an extended attribute.
    ///
    /// # Errors
    /// [`MountError::NoAttribute`] and as [`Names::attributes`].
    pub fn attribute(&self, ino: Ino, name: &[u8]) -> Result<Vec<u8>> {
        self.with_metadata(ino, |metadata| {
            let xattrs = metadata.map_or(&[][..], |metadata| &metadata.xattrs);
            let found = xattrs.iter().find(|xattr| xattr.name == name);
            found.map(|xattr| xattr.value.clone()).ok_or(MountError::NoAttribute)
        })
    }

    /// Passes the entries from a position on to `add`, until that returns false: then the last one was not taken. With
    /// `remember`, each one that was taken has a reference more. What is in a page that cannot be read is left out, and then
    /// the end of the directory is an error rather than an end: no listing looks whole that is not.
    ///
    /// # Errors
    /// [`MountError::Unreadable`], only if nothing was passed on before; [`MountError::NotDirectory`].
    pub fn list(
        &self,
        ino: Ino,
        position: u64,
        remember: bool,
        mut add: impl FnMut(&Listed<'_>) -> bool,
    ) -> Result<()> {
        let mut taken = 0_usize;
        let mut add = |listed: &Listed<'_>| {
            let is_taken = add(listed);
            taken += usize::from(is_taken);
            is_taken
        };
        let listed = self.list_from(ino, position, remember, &mut add);
        // The error comes again when the rest is asked for.
        if taken > 0 { Ok(()) } else { listed }
    }

    fn list_from(
        &self,
        ino: Ino,
        position: u64,
        remember: bool,
        add: &mut dyn FnMut(&Listed<'_>) -> bool,
    ) -> Result<()> {
        self.with_buffers(|buffers| {
            let directory = self.directory(ino, buffers)?;
            for (at, name) in [(0, &b"."[..]), (DOT_DOT, b"..")] {
                let parent = || self.inodes.parent(ino).or(self.layout.get(ino).map(|made| made.parent));
                let number = if at == 0 { ino } else { parent().unwrap_or(ino) };
                let kind = FileKind::Directory;
                if position <= at && !add(&Listed { name, ino: number, kind, next: at + 1, attributes: None }) {
                    return Ok(());
                }
            }
            match directory {
                Directory::Made(children) => {
                    self.list_made(children, position.saturating_sub(FIRST) as usize, add);
                    Ok(())
                }
                Directory::Real(top, tree, depth) => {
                    self.list_real(ino, (top, tree, depth), position, remember, buffers, add)
                }
            }
        })
    }

    fn list_made(&self, children: &[(Vec<u8>, Ino)], skip: usize, add: &mut dyn FnMut(&Listed<'_>) -> bool) {
        for (index, (name, ino)) in children.iter().enumerate().skip(skip) {
            let Some(made) = self.layout.get(*ino) else { continue };
            let attributes = self.of_made(*ino, made);
            let next = FIRST + index as u64 + 1;
            let listed = Listed { name, ino: *ino, kind: attributes.kind, next, attributes: Some(attributes) };
            if !add(&listed) {
                return;
            }
        }
    }

    fn list_real(
        &self,
        ino: Ino,
        (top, tree, depth): (Ino, TreeId, u16),
        position: u64,
        remember: bool,
        buffers: &mut ReadBuffers,
        add: &mut dyn FnMut(&Listed<'_>) -> bool,
    ) -> Result<()> {
        let mut flag = position & INCOMPLETE;
        let at = (position & !INCOMPLETE).saturating_sub(FIRST);
        let mut at = ((at / PAGE_POSITIONS) as usize, (at % PAGE_POSITIONS) as usize);
        loop {
            let (entry, found) = match self.trees.next(&tree, at, buffers) {
                Ok(Some(next)) => next,
                Ok(None) if flag == 0 => return Ok(()),
                Ok(None) => return Err(MountError::Unreadable),
                Err((error, page)) => {
                    let failed = self.directory_failed(ino, top, &error);
                    let Some(page) = page else { return Err(failed) };
                    (at, flag) = ((page + 1, 0), INCOMPLETE);
                    continue;
                }
            };
            at = (found.0, found.1 + 1);
            let node = entry.node();
            let number = Ino::of_node(ino, top, node);
            let next = (FIRST + at.0 as u64 * PAGE_POSITIONS + at.1 as u64) | flag;
            let (kind, attributes) = (FileKind::of(&node.content), Some(attributes(number, node)));
            if remember {
                self.remember(number, ino, &entry, top, depth)?;
            }
            if !add(&Listed { name: &node.name, ino: number, kind, next, attributes }) {
                if remember {
                    self.forget(number, 1);
                }
                return Ok(());
            }
        }
    }

    /// Waits until the table of inodes has too many entries, and returns names that the kernel should let go of, with their
    /// directories. `None` once [`Names::close`] was called.
    pub fn crowd(&self) -> Option<Vec<(Ino, Vec<u8>)>> {
        self.inodes.crowd()
    }

    /// Number of entries in the table of inodes.
    pub fn inode_count(&self) -> usize {
        self.inodes.len()
    }

    /// What the mount came to until now.
    pub fn totals(&self) -> Totals {
        self.report.totals()
    }

    /// Ends [`Names::crowd`].
    pub fn close(&self) {
        self.inodes.close();
    }
}

fn attributes(ino: Ino, node: &Node) -> Attributes {
    let metadata = &node.metadata;
    let (device, size) = match &node.content {
        Content::File { size, .. } => ((0, 0), *size),
        Content::Symlink { target } => ((0, 0), target.len() as u64),
        Content::CharDevice { major, minor } | Content::BlockDevice { major, minor } => ((*major, *minor), 0),
        _ => ((0, 0), 0),
    };
    let owner: &Arc<_> = &metadata.owner;
    Attributes {
        ino,
        kind: FileKind::of(&node.content),
        mode: metadata.mode & 0o7777,
        links: metadata.links.max(1),
        uid: owner.uid,
        gid: owner.gid,
        device,
        size,
        mtime: metadata.mtime,
        ctime: metadata.ctime,
    }
}
