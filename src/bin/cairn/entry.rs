//! How an entry of a snapshot is shown: as a line for people and as a row for programs.

use crate::output::{put_path, shown};
use crate::values;
use cairn::format::node::{Content, INODE_FLAGS, Node};
use serde_json::{Value, json};

/// Type and mode, owner, size, time and path, as `ls -l` has them.
pub(crate) fn long_line(path: &[u8], node: &Node) -> String {
    let metadata = &node.metadata;
    let owner = |name: &[u8], number: u32| if name.is_empty() { number.to_string() } else { shown(name) };
    let target = match &node.content {
        Content::Symlink { target } => format!(" -> {}", shown(target)),
        _ => String::new(),
    };
    format!(
        "{}{}  {:<8} {:<8}  {:>12}  {}  {}{target}",
        letter(&node.content),
        permissions(metadata.mode),
        owner(&metadata.owner.user, metadata.owner.uid),
        owner(&metadata.owner.group, metadata.owner.gid),
        node.size(),
        values::time_seconds(metadata.mtime),
        shown(path),
    )
}

/// As `ls -l` has it.
pub(crate) fn letter(content: &Content) -> char {
    match content {
        Content::File { .. } => '-',
        Content::Directory { .. } => 'd',
        Content::Symlink { .. } => 'l',
        Content::Fifo => 'p',
        Content::CharDevice { .. } => 'c',
        Content::BlockDevice { .. } => 'b',
        Content::Socket => 's',
    }
}

/// As restic calls it.
pub(crate) fn word(content: &Content) -> &'static str {
    match content {
        Content::File { .. } => "file",
        Content::Directory { .. } => "dir",
        Content::Symlink { .. } => "symlink",
        Content::Fifo => "fifo",
        Content::CharDevice { .. } => "chardev",
        Content::BlockDevice { .. } => "dev",
        Content::Socket => "socket",
    }
}

/// As `ls -l` writes them.
pub(crate) fn permissions(mode: u32) -> String {
    let bit = |shift: u32, letter: char| if mode & (1 << shift) != 0 { letter } else { '-' };
    let execute =
        |shift: u32, special: u32, both: char, only: char| match (mode & (1 << shift) != 0, mode & special != 0) {
            (true, true) => both,
            (false, true) => only,
            (true, false) => 'x',
            (false, false) => '-',
        };
    [
        bit(8, 'r'),
        bit(7, 'w'),
        execute(6, 0o4000, 's', 'S'),
        bit(5, 'r'),
        bit(4, 'w'),
        execute(3, 0o2000, 's', 'S'),
        bit(2, 'r'),
        bit(1, 'w'),
        execute(0, 0o1000, 't', 'T'),
    ]
    .into_iter()
    .collect()
}

/// An entry's row for programs, with restic's names.
pub(crate) fn object(path: &[u8], node: &Node) -> Value {
    let metadata = &node.metadata;
    let mut row = json!({
        "message_type": "node",
        "type": word(&node.content),
        "mode": metadata.mode,
        "permissions": format!("{}{}", letter(&node.content), permissions(metadata.mode)),
        "uid": metadata.owner.uid,
        "gid": metadata.owner.gid,
        "user": String::from_utf8_lossy(&metadata.owner.user),
        "group": String::from_utf8_lossy(&metadata.owner.group),
        "mtime": values::time(metadata.mtime),
        "ctime": values::time(metadata.ctime),
        "btime": metadata.btime.map(values::time),
        "inode": metadata.inode,
        "links": metadata.links,
        "flags": flags(metadata.inode_flags),
    });
    put_path(&mut row, "path", path);
    put_path(&mut row, "name", &node.name);
    match &node.content {
        Content::File { size, inconsistent, .. } => {
            row["size"] = json!(size);
            row["inconsistent"] = json!(inconsistent);
        }
        Content::Symlink { target } => put_path(&mut row, "linktarget", target),
        Content::CharDevice { major, minor } | Content::BlockDevice { major, minor } => {
            row["device"] = json!([major, minor]);
        }
        _ => {}
    }
    row
}

/// Inode flags as words.
pub(crate) fn flags(bits: u32) -> Vec<&'static str> {
    INODE_FLAGS.iter().filter(|(bit, _)| bits & bit != 0).map(|(_, word)| *word).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_read_as_everywhere() {
        for (mode, text) in [
            (0o755, "rwxr-xr-x"),
            (0o4755, "rwsr-xr-x"),
            (0o2644, "rw-r-Sr--"),
            (0o1777, "rwxrwxrwt"),
            (0o7000, "--S--S--T"),
        ] {
            assert_eq!(permissions(mode), text);
        }
    }
}
