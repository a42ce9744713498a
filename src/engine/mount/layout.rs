//! The directories above the snapshots: `ids`, `snapshots`, `hosts`, `tags`, with the names that restic gives them. They are
//! made once and do not change.

use crate::clock::Timestamp;
use crate::engine::browse::Snapshot;
use crate::engine::mount::inodes::Ino;
use crate::format::node::{ENTRY_NAME_MAX, Node};
use crate::id::{SessionId, TreeId};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// The last second that has four digits for its year.
const SECONDS_MAX: i64 = 253_402_300_799;

/// A directory of a snapshot, as the top of what is shown of it.
#[derive(Debug, Clone)]
pub(super) struct Top {
    /// Which snapshot.
    pub(super) snapshot: SessionId,
    /// Its time.
    pub(super) time: Timestamp,
    /// Absolute path of the directory in the snapshot; empty for its root.
    pub(super) path: Vec<u8>,
    /// What the snapshot says of it; the root has no entry.
    pub(super) node: Option<Box<Node>>,
    /// Its entries.
    pub(super) tree: TreeId,
}

/// What a made-up entry is.
#[derive(Debug, Clone)]
pub(super) enum Made {
    /// A directory with these entries, sorted.
    Directory(Vec<(Vec<u8>, Ino)>),
    /// A symbolic link.
    Link(Vec<u8>),
    /// A snapshot, by its number in [`Layout::tops`].
    Top(usize),
}

/// An entry that is in no snapshot.
#[derive(Debug, Clone)]
pub(super) struct Virtual {
    /// The directory it is in; of the root the root itself.
    pub(super) parent: Ino,
    /// What it is.
    pub(super) made: Made,
    /// Its time: of the newest snapshot below it.
    pub(super) time: Timestamp,
}

/// Numbers of snapshots by the name that they share.
type Groups = BTreeMap<Vec<u8>, BTreeSet<usize>>;

/// All of them.
#[derive(Debug)]
pub(super) struct Layout {
    entries: HashMap<Ino, Virtual>,
    /// The snapshots that are shown.
    pub(super) tops: Vec<Top>,
}

/// A name that can be an entry of a directory.
fn safe(name: &[u8]) -> Vec<u8> {
    let name: Vec<u8> =
        name.iter().take(ENTRY_NAME_MAX - 8).map(|byte| if matches!(byte, b'/' | 0) { b'_' } else { *byte }).collect();
    match name.as_slice() {
        b"" | b"." => b"_".to_vec(),
        b".." => b"__".to_vec(),
        b"latest" => b"latest_".to_vec(),
        _ => name,
    }
}

fn time_name(time: Timestamp) -> String {
    match time.to_system_time().filter(|_| (0..=SECONDS_MAX).contains(&time.seconds)) {
        Some(system) => humantime::format_rfc3339_seconds(system).to_string(),
        None => format!("{}s", time.seconds),
    }
}

impl Layout {
    /// The root is the only directory that is shown.
    pub(super) fn of_top(top: Top) -> Self {
        let root = Virtual { parent: Ino::ROOT, made: Made::Top(0), time: top.time };
        Self { entries: HashMap::from([(Ino::ROOT, root)]), tops: vec![top] }
    }

    /// All of these snapshots, which are ordered by time.
    pub(super) fn of_snapshots(snapshots: &[Snapshot]) -> Self {
        let mut layout = Self { entries: HashMap::new(), tops: Vec::new() };
        let (mut hosts, mut tags) = (Groups::new(), Groups::new());
        for (number, snapshot) in snapshots.iter().enumerate() {
            let entries = &snapshot.entries;
            let (time, tree) = (entries.time, snapshot.references.tree);
            layout.tops.push(Top { snapshot: snapshot.id, time, path: Vec::new(), node: None, tree });
            hosts.entry(safe(&entries.host_name)).or_default().insert(number);
            for tag in &entries.tags {
                tags.entry(safe(tag)).or_default().insert(number);
            }
        }
        let all: BTreeSet<usize> = (0..layout.tops.len()).collect();
        let names = [&b"hosts"[..], b"ids", b"snapshots", b"tags"].map(|name| (name, Ino::of_name(Ino::ROOT, name)));
        let [(_, hosts_ino), (_, ids), (_, times), (_, tags_ino)] = names;
        layout.add_ids(ids);
        layout.add_times(times, Ino::ROOT, &all);
        for (ino, groups) in [(hosts_ino, hosts), (tags_ino, tags)] {
            let mut children = Vec::new();
            for (name, numbers) in groups {
                let group = Ino::of_name(ino, &name);
                layout.add_times(group, ino, &numbers);
                children.push((name, group));
            }
            layout.add_directory(ino, Ino::ROOT, children);
        }
        layout.add_directory(Ino::ROOT, Ino::ROOT, names.map(|(name, ino)| (name.to_vec(), ino)).to_vec());
        layout
    }

    fn add_directory(&mut self, ino: Ino, parent: Ino, mut children: Vec<(Vec<u8>, Ino)>) {
        children.sort();
        let times = children.iter().filter_map(|(_, child)| self.entries.get(child)).map(|child| child.time);
        let time = times.max().unwrap_or(Timestamp::EPOCH);
        self.entries.insert(ino, Virtual { parent, made: Made::Directory(children), time });
    }

    fn add_top(&mut self, parent: Ino, name: &str, number: usize, children: &mut Vec<(Vec<u8>, Ino)>) {
        let ino = Ino::of_name(parent, name.as_bytes());
        let time = self.tops[number].time;
        self.entries.insert(ino, Virtual { parent, made: Made::Top(number), time });
        children.push((name.as_bytes().to_vec(), ino));
    }

    fn add_ids(&mut self, ino: Ino) {
        let mut children = Vec::new();
        let mut used = BTreeSet::new();
        for number in 0..self.tops.len() {
            let id = self.tops[number].snapshot;
            let short = id.short().to_string();
            let name = if used.insert(short.clone()) { short } else { id.to_string() };
            self.add_top(ino, &name, number, &mut children);
        }
        self.add_directory(ino, Ino::ROOT, children);
    }

    /// A directory of snapshots by time, and a link to the last. Several of one second get numbers.
    fn add_times(&mut self, ino: Ino, parent: Ino, numbers: &BTreeSet<usize>) {
        let mut children = Vec::new();
        let mut counts: HashMap<String, u32> = HashMap::new();
        let mut last = None;
        for number in numbers {
            let time = time_name(self.tops[*number].time);
            let count = counts.entry(time.clone()).or_default();
            let name = if *count == 0 { time } else { format!("{time}-{count}") };
            *count += 1;
            self.add_top(ino, &name, *number, &mut children);
            last = Some((name, self.tops[*number].time));
        }
        if let Some((name, time)) = last {
            let link = Ino::of_name(ino, b"latest");
            self.entries.insert(link, Virtual { parent: ino, made: Made::Link(name.into_bytes()), time });
            children.push((b"latest".to_vec(), link));
        }
        self.add_directory(ino, parent, children);
    }

    /// The entry of this number, if it is one of these.
    pub(super) fn get(&self, ino: Ino) -> Option<&Virtual> {
        self.entries.get(&ino)
    }

    /// The snapshot that begins here.
    pub(super) fn top(&self, ino: Ino) -> Option<&Top> {
        match self.get(ino)?.made {
            Made::Top(number) => self.tops.get(number),
            _ => None,
        }
    }
}
