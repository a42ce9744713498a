//! What of a snapshot is restored: include and exclude patterns.

use crate::clock::Timestamp;
use crate::engine::context::Result;
use crate::engine::restore::options::RestoreOptions;
use crate::format::node::{Content, Node};
use crate::fs::{ExcludeOptions, Excludes, FileKind, Stat};
use std::path::PathBuf;

/// Type of an entry as the host has it.
pub(super) fn kind(node: &Node) -> FileKind {
    match node.content {
        Content::File { .. } => FileKind::File,
        Content::Directory { .. } => FileKind::Directory,
        Content::Symlink { .. } => FileKind::Symlink,
        Content::Fifo => FileKind::Fifo,
        Content::CharDevice { .. } => FileKind::CharDevice,
        Content::BlockDevice { .. } => FileKind::BlockDevice,
        Content::Socket => FileKind::Socket,
    }
}

/// What the patterns look at of an entry that is not on this host: its type.
fn stat(node: &Node) -> Stat {
    Stat {
        kind: kind(node),
        mode: node.metadata.mode,
        uid: node.metadata.owner.uid,
        gid: node.metadata.owner.gid,
        size: node.size(),
        mtime: node.metadata.mtime,
        ctime: Timestamp::EPOCH,
        btime: None,
        inode: 0,
        device: 0,
        links: 1,
        blocks: 0,
        rdev_major: 0,
        rdev_minor: 0,
        mount_id: 0,
    }
}

/// What is to be done about an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Choice {
    /// It is restored, and all below it.
    Restore,
    /// It is not restored for its own sake, but something below it may be.
    Look,
    /// It is left out, and all below it.
    Leave,
}

/// Chooses by patterns.
#[derive(Debug)]
pub(super) struct Selection {
    include: Option<Excludes>,
    exclude: Excludes,
}

fn compiled(
    patterns: &[String],
    case_insensitive: &[String],
    files: &[PathBuf],
    own_paths: &[PathBuf],
) -> Result<Excludes> {
    let options = ExcludeOptions {
        patterns: patterns.to_vec(),
        case_insensitive_patterns: case_insensitive.to_vec(),
        pattern_files: files.to_vec(),
        own_paths: own_paths.to_vec(),
        ..ExcludeOptions::default()
    };
    Ok(Excludes::new(&options)?)
}

impl Selection {
    /// Compiles the patterns.
    ///
    /// # Errors
    /// A pattern that cannot be used.
    pub(super) fn new(options: &RestoreOptions) -> Result<Self> {
        let include = compiled(&options.include, &options.include_case_insensitive, &options.include_files, &[])?;
        Ok(Self {
            include: include.needs_path().then_some(include),
            exclude: compiled(
                &options.exclude,
                &options.exclude_case_insensitive,
                &options.exclude_files,
                &options.own_paths,
            )?,
        })
    }

    /// Whether everything is restored.
    pub(super) fn is_all(&self) -> bool {
        self.include.is_none() && !self.exclude.needs_path()
    }

    /// What is done about the entry at `path`, given what is done about the directory it is in.
    pub(super) fn choose(&self, path: &[u8], node: &Node, parent: Choice) -> Choice {
        if self.is_all() {
            return Choice::Restore;
        }
        self.choose_stat(path, &stat(node), parent)
    }

    /// As [`choose`](Self::choose), of an entry that is on this host.
    pub(super) fn choose_stat(&self, path: &[u8], stat: &Stat, parent: Choice) -> Choice {
        if self.exclude.excludes_entry(path, stat) {
            return Choice::Leave;
        }
        match &self.include {
            Some(include) if parent != Choice::Restore && !include.excludes_entry(path, stat) => {
                if stat.kind == FileKind::Directory { Choice::Look } else { Choice::Leave }
            }
            _ => Choice::Restore,
        }
    }

    /// Whether an exclusion hides an entry of this host, or it is cairn's own.
    pub(super) fn is_excluded(&self, path: &[u8], stat: &Stat) -> bool {
        self.exclude.excludes_entry(path, stat)
    }

    /// Whether only what is named is restored.
    pub(super) fn has_include(&self) -> bool {
        self.include.is_some()
    }

    /// What is done about the directory that the restore starts from.
    pub(super) fn root(&self) -> Choice {
        if self.include.is_none() { Choice::Restore } else { Choice::Look }
    }
}
