//! What to do about what is in the target already.

use crate::engine::restore::options::Overwrite;
use crate::engine::restore::select::kind;
use crate::format::node::{Metadata, Node};
use crate::fs::{FileKind, FsError, Stat, TargetDir};

/// What the rule says of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Restore it.
    Restore,
    /// Leave what is there.
    Leave,
}

/// Looks at what is under the entry's name and decides.
///
/// # Errors
/// What the system says.
pub(super) fn decide(rule: Overwrite, no_owner: bool, dir: &TargetDir, node: &Node) -> Result<Verdict, FsError> {
    if rule == Overwrite::Always {
        return Ok(Verdict::Restore);
    }
    let Some(present) = dir.stat(&node.name)? else { return Ok(Verdict::Restore) };
    let leave = match rule {
        Overwrite::Always => false,
        Overwrite::Never => true,
        Overwrite::IfNewer => present.mtime >= node.metadata.mtime,
        Overwrite::IfChanged => kind(node) == FileKind::File && is_same(&present, no_owner, node),
    };
    Ok(if leave { Verdict::Leave } else { Verdict::Restore })
}

fn is_same(present: &Stat, no_owner: bool, node: &Node) -> bool {
    let meta = &node.metadata;
    let same_owner = no_owner || (present.uid, present.gid) == (meta.owner.uid, meta.owner.gid);
    present.kind == FileKind::File
        && (present.size, present.mtime, present.mode) == (node.size(), meta.mtime, meta.mode)
        && same_owner
}

/// Whether something that is no directory, and must not be replaced, is where a directory has to be; and whether a directory
/// is there already.
///
/// # Errors
/// What the system says.
pub(super) fn directory_in_place(
    rule: Overwrite,
    dir: &TargetDir,
    name: &[u8],
    metadata: Option<&Metadata>,
) -> Result<(bool, bool), FsError> {
    let Some(present) = dir.stat(name)? else { return Ok((false, false)) };
    let is_directory = present.kind == FileKind::Directory;
    let keeps = match rule {
        Overwrite::Always | Overwrite::IfChanged => false,
        Overwrite::IfNewer => metadata.is_some_and(|metadata| present.mtime >= metadata.mtime),
        Overwrite::Never => true,
    };
    Ok((!is_directory && keeps, is_directory))
}
