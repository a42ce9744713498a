//! Versions of what was found: for each path, from which snapshot to which it was the same.

use crate::entry::word;
use crate::exit::{Exit, Failure, Result};
use crate::output::{Results, put_path, shown};
use crate::values;
use cairn::clock::Timestamp;
use cairn::engine::browse::Snapshot;
use cairn::format::node::{Content, Node};
use cairn::id::SessionId;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Most versions of all paths together that are collected.
const VERSIONS_MAX: usize = 500_000;

/// What makes a version: type, time of last change, and content.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Identity {
    word: &'static str,
    mtime: Timestamp,
    size: u64,
    content: Option<[u8; 32]>,
    target: Vec<u8>,
}

/// One version of an entry.
#[derive(Debug)]
struct Version {
    identity: Identity,
    first: (SessionId, Timestamp),
    last: (SessionId, Timestamp),
    snapshots: u64,
}

/// Versions by host and path, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Versions {
    found: BTreeMap<(Vec<u8>, Vec<u8>), Vec<Version>>,
    count: usize,
}

impl Identity {
    fn new(node: &Node) -> Self {
        let (content, target) = match &node.content {
            Content::File { body, .. } => (Some(body.digest()), Vec::new()),
            Content::Symlink { target } => (None, target.clone()),
            Content::CharDevice { major, minor } | Content::BlockDevice { major, minor } => {
                (None, [major.to_le_bytes(), minor.to_le_bytes()].concat())
            }
            _ => (None, Vec::new()),
        };
        Self { word: word(&node.content), mtime: node.metadata.mtime, size: node.size(), content, target }
    }
}

impl Versions {
    /// An entry of a snapshot that is later than those before.
    pub(super) fn add(&mut self, snapshot: &Snapshot, path: &[u8], node: &Node) -> Result<()> {
        let at = (snapshot.id, snapshot.entries.time);
        let identity = Identity::new(node);
        let versions = self.found.entry((snapshot.entries.host_name.clone(), path.to_vec())).or_default();
        match versions.last_mut() {
            Some(version) if version.identity == identity => {
                version.last = at;
                version.snapshots += 1;
            }
            _ => {
                versions.push(Version { identity, first: at, last: at, snapshots: 1 });
                self.count += 1;
            }
        }
        if self.count > VERSIONS_MAX {
            return Err(Failure::new(
                Exit::Failed,
                "too-many",
                format!("cannot show versions: more than {VERSIONS_MAX} match"),
                "narrow the pattern, or name snapshots with --snapshot",
            ));
        }
        Ok(())
    }

    pub(super) fn print(self, results: &mut Results<'_>, json: bool) -> Result<()> {
        if json {
            let rows = self.found.iter().map(|((host, path), versions)| row(host, path, versions));
            return results.line(&Value::from(rows.collect::<Vec<_>>()).to_string());
        }
        let hosts: BTreeSet<&Vec<u8>> = self.found.keys().map(|(host, _)| host).collect();
        let has_hosts = hosts.len() > 1;
        for ((host, path), versions) in &self.found {
            let host = if has_hosts { format!("{}:", shown(host)) } else { String::new() };
            results.line(&format!("{host}{}", shown(path)))?;
            for version in versions {
                let Version { identity, first, last, snapshots } = version;
                let size = if identity.word == "file" { values::size(identity.size) } else { identity.word.to_owned() };
                let time =
                    |(id, time): &(SessionId, Timestamp)| format!("{} {}", id.short(), values::time_seconds(*time));
                let until = if first == last { String::new() } else { format!(" .. {}", time(last)) };
                results.line(&format!(
                    "  {}  {size:>9}  in {}: {}{until}",
                    values::time_seconds(identity.mtime),
                    values::count(*snapshots, "snapshot", "snapshots"),
                    time(first),
                ))?;
            }
        }
        Ok(())
    }
}

fn row(host: &[u8], path: &[u8], versions: &[Version]) -> Value {
    let version = |version: &Version| {
        json!({
            "type": version.identity.word,
            "mtime": values::time(version.identity.mtime),
            "size": version.identity.size,
            "snapshots": version.snapshots,
            "first_snapshot": version.first.0.to_string(),
            "first_time": values::time(version.first.1),
            "last_snapshot": version.last.0.to_string(),
            "last_time": values::time(version.last.1),
        })
    };
    let mut row = json!({"versions": versions.iter().map(version).collect::<Vec<_>>()});
    put_path(&mut row, "host", host);
    put_path(&mut row, "path", path);
    row
}
