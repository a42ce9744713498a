//! `cairn ls`.

use crate::args::LsArgs;
use crate::commands::snapshots;
use crate::exit::{Exit, Failure, Result, chain};
use crate::failover::{self, Found};
use crate::output::{Results, put_path, shown};
use crate::record::Beginning;
use crate::run::{Opened, Run};
use crate::{signals, values};
use cairn::audit::recorder::Need;
use cairn::engine::browse::{Snapshot, SnapshotTree};
use cairn::format::node::{Content, INODE_FLAGS, Node};
use cairn::repository::pack_reader::PackReader;
use cairn::repository::view::Damage;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Lists what is in a snapshot.
pub(crate) fn run(run: &Run, args: &LsArgs) -> Result<Exit> {
    let (name, path) = snapshots::split(&args.snapshot)?;
    let filter = snapshots::filter(&args.filter)?;
    let Found { opened, snapshot, .. } = failover::open_snapshot(run, &name, &filter, args.site.site.as_deref())?;
    let fields = json!({"snapshot": snapshot.id.to_string()});
    let record = run.begin(&opened, Beginning { need: Need::Read, operation: "ls", purpose: "", fields })?;
    let ended = list(run, args, (&name, &path), &opened, &snapshot);
    record.end(ended, json!({}))
}

fn list(run: &Run, args: &LsArgs, (name, path): (&str, &[u8]), opened: &Opened, snapshot: &Snapshot) -> Result<Exit> {
    let tried = || format!("list snapshot {name} of {}", run.named(opened));
    let view =
        opened.repository.load_view(Damage::Collect).map_err(|error| Failure::from(error).while_trying(tried()))?;
    let reader = PackReader::new(opened.repository.clone(), Arc::new(view.index));
    let tree = SnapshotTree::new(Arc::new(reader), snapshot.references.tree);

    signals::watch(&run.stop);
    let mut results = run.output.results();
    let mut damaged = Vec::new();
    let mut failure = None;
    let walked = tree.for_each(path, args.recursive, |path, entry| {
        if run.stop.load(Ordering::Relaxed) {
            failure = Some(Failure::from(cairn::engine::EngineError::Interrupted));
            return false;
        }
        let written = match entry {
            Ok(node) => write(&mut results, path, node, args, run.output.is_json()),
            Err(error) => {
                damaged.push(format!("{}: {}", shown(path), chain(error)));
                Ok(())
            }
        };
        failure = written.err();
        failure.is_none()
    });
    let finished = results.finish();
    walked.map_err(|error| Failure::from(error).while_trying(tried()))?;
    for text in &damaged {
        run.output.warn(text);
    }
    match failure {
        Some(failure) => Err(failure),
        None => finished.map(|()| if damaged.is_empty() { Exit::Done } else { Exit::Damage }),
    }
}

fn write(results: &mut Results<'_>, path: &[u8], node: &Node, args: &LsArgs, json: bool) -> Result<()> {
    if json {
        return results.line(&object(path, node).to_string());
    }
    if !args.long {
        return results.line(&shown(path));
    }
    let metadata = &node.metadata;
    let owner = |name: &[u8], number: u32| if name.is_empty() { number.to_string() } else { shown(name) };
    let target = match &node.content {
        Content::Symlink { target } => format!(" -> {}", shown(target)),
        _ => String::new(),
    };
    results.line(&format!(
        "{}{}  {:<8} {:<8}  {:>12}  {}  {}{target}",
        letter(&node.content),
        permissions(metadata.mode),
        owner(&metadata.owner.user, metadata.owner.uid),
        owner(&metadata.owner.group, metadata.owner.gid),
        node.size(),
        values::time_seconds(metadata.mtime),
        shown(path),
    ))
}

fn letter(content: &Content) -> char {
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

fn word(content: &Content) -> &'static str {
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
fn permissions(mode: u32) -> String {
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
fn object(path: &[u8], node: &Node) -> Value {
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
fn flags(bits: u32) -> Vec<&'static str> {
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
