//! Snapshots and how they are named: a full id, a short one, `latest`, `latest~N`.
//!
//! Checkpoints and aborted sessions are no snapshots. A forgotten one is not listed, and only its whole id names it.

use crate::engine::context::{EngineError, Result};
use crate::format::cell::{CellEntries, CellReferences};
use crate::id::SessionId;
use crate::repository::view::{Damage, View};
use crate::repository::{Repository, RepositoryError};

/// Fewest digits of a short id.
const SHORT_ID_LEN_MIN: usize = 4;
/// Candidates listed when a name is not clear.
const CANDIDATES_MAX: usize = 20;

/// A snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Its id.
    pub id: SessionId,
    /// What it needs.
    pub references: CellReferences,
    /// What it says of itself.
    pub entries: CellEntries,
}

impl Snapshot {
    /// One line for people: short id, time, host, paths.
    pub fn line(&self) -> String {
        let time = self.entries.time.to_system_time().map_or_else(
            || format!("{} s", self.entries.time.seconds),
            |time| humantime::format_rfc3339_seconds(time).to_string(),
        );
        let paths: Vec<_> = self.entries.paths.iter().map(|path| shown(path)).collect();
        format!("{}  {time}  {}  {}", self.id.short(), shown(&self.entries.host_name), paths.join(" "))
    }
}

fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes)
        .chars()
        .map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c })
        .collect()
}

/// Which snapshots are meant. Empty lists allow all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SnapshotFilter {
    /// Of one of these hosts.
    pub hosts: Vec<Vec<u8>>,
    /// With all tags of one of these lists.
    pub tags: Vec<Vec<Vec<u8>>>,
    /// Holding all of these backed-up paths.
    pub paths: Vec<Vec<u8>>,
}

impl SnapshotFilter {
    /// Whether a snapshot fits.
    pub fn fits(&self, snapshot: &Snapshot) -> bool {
        let entries = &snapshot.entries;
        self.fits_parts(&entries.host_name, &entries.tags, &entries.paths)
    }

    /// Whether a snapshot of this host, with these tags and paths, fits.
    pub fn fits_parts(&self, host: &[u8], tags: &[Vec<u8>], paths: &[Vec<u8>]) -> bool {
        let fits_host = self.hosts.is_empty() || self.hosts.iter().any(|wanted| wanted == host);
        let has_tags = |list: &Vec<Vec<u8>>| list.iter().all(|tag| tags.contains(tag));
        let fits_tags = self.tags.is_empty() || self.tags.iter().any(has_tags);
        fits_host && fits_tags && self.paths.iter().all(|path| paths.contains(path))
    }
}

/// The snapshots of a repository, the oldest first.
#[derive(Debug)]
pub struct Snapshots {
    list: Vec<Snapshot>,
    /// Those that were forgotten and whose cells are still there.
    forgotten: Vec<Snapshot>,
    /// Cells that could not be read.
    pub damaged: Vec<RepositoryError>,
}

impl Snapshots {
    /// Reads the cells. Damaged ones are kept aside: one bad cell does not hide the good ones.
    ///
    /// # Errors
    /// What the store says.
    pub fn load(repository: &Repository) -> Result<Self> {
        Ok(Self::of(repository.load_cells(Damage::Collect)?))
    }

    fn of(view: View) -> Self {
        let forgotten = view.forgotten;
        let mut list: Vec<_> = view
            .cells
            .into_iter()
            .filter(|(_, stored)| stored.is_snapshot())
            .filter_map(|(id, stored)| {
                // Every key of this version opens both sections.
                let entries = stored.cell.entries?;
                Some(Snapshot { id, references: stored.cell.references, entries })
            })
            .collect();
        list.sort_by_key(|snapshot| (snapshot.entries.time, snapshot.id));
        let (forgotten, list) = list.into_iter().partition(|snapshot| forgotten.contains(&snapshot.id));
        Self { list, forgotten, damaged: view.damaged }
    }

    /// All of them, by time and then id.
    pub fn all(&self) -> &[Snapshot] {
        &self.list
    }

    /// Whether this snapshot was forgotten. Its data may be pruned at any time.
    pub fn is_forgotten(&self, id: &SessionId) -> bool {
        self.forgotten.iter().any(|snapshot| snapshot.id == *id)
    }

    /// Those that fit.
    pub fn matching<'a>(&'a self, filter: &'a SnapshotFilter) -> impl DoubleEndedIterator<Item = &'a Snapshot> {
        self.list.iter().filter(|snapshot| filter.fits(snapshot))
    }

    /// The snapshot that `text` names: a full id, a short one of at least four digits that no other snapshot begins with,
    /// `latest`, or `latest~N` for the N-th before it. Ids name a snapshot whatever the filter says. `latest` is the newest
    /// that fits, of `host` if the filter names no host: another host's snapshot is never restored by mistake. A full id may be
    /// that of a forgotten snapshot, see [`Snapshots::is_forgotten`].
    ///
    /// # Errors
    /// [`EngineError::NoSnapshot`] if nothing fits; [`EngineError::AmbiguousSnapshot`] with the candidates if an id is not
    /// clear, if those that fit are of several hosts, or if only other hosts have some.
    pub fn resolve(&self, text: &str, host: &[u8], filter: &SnapshotFilter) -> Result<&Snapshot> {
        let none = || EngineError::NoSnapshot(text.to_owned());
        match text.strip_prefix("latest") {
            Some("") => self.latest(text, 0, host, filter),
            Some(rest) => {
                let number = rest.strip_prefix('~').and_then(|digits| digits.parse().ok()).ok_or_else(none)?;
                self.latest(text, number, host, filter)
            }
            None if is_short_id(text) => {
                let mut fitting = self.list.iter().filter(|snapshot| snapshot.id.to_string().starts_with(text));
                match (fitting.next(), fitting.next()) {
                    (None, _) => {
                        self.forgotten.iter().find(|snapshot| snapshot.id.to_string() == text).ok_or_else(none)
                    }
                    (Some(only), None) => Ok(only),
                    (Some(first), Some(second)) => Err(ambiguous(text, [first, second].into_iter().chain(fitting))),
                }
            }
            None => Err(none()),
        }
    }

    fn latest(&self, text: &str, number: usize, host: &[u8], filter: &SnapshotFilter) -> Result<&Snapshot> {
        let mut wanted = filter.clone();
        if wanted.hosts.is_empty() {
            wanted.hosts.push(host.to_vec());
        }
        let mut fitting = self.list.iter().rev().filter(|snapshot| wanted.fits(snapshot)).peekable();
        let Some(newest) = fitting.peek() else {
            // Other hosts' snapshots are offered, never taken.
            let mut others = self.matching(filter).rev().peekable();
            return Err(match others.peek() {
                Some(_) => ambiguous(text, others),
                None => EngineError::NoSnapshot(text.to_owned()),
            });
        };
        let first_host = &newest.entries.host_name;
        if let Some(other) = self.list.iter().find(|s| wanted.fits(s) && s.entries.host_name != *first_host) {
            let of_first = self.list.iter().rev().find(|s| wanted.fits(s));
            return Err(ambiguous(text, of_first.into_iter().chain([other])));
        }
        fitting.nth(number).ok_or_else(|| EngineError::NoSnapshot(text.to_owned()))
    }
}

fn is_short_id(text: &str) -> bool {
    (SHORT_ID_LEN_MIN..=2 * SessionId::LEN).contains(&text.len())
        && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn ambiguous<'a>(text: &str, candidates: impl Iterator<Item = &'a Snapshot>) -> EngineError {
    EngineError::AmbiguousSnapshot {
        text: text.to_owned(),
        candidates: candidates.take(CANDIDATES_MAX).map(Snapshot::line).collect(),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::format::cell::{Outcome, Statistics};
    use crate::id::{HostKey, TreeId};

    fn snapshot(id: &[u8; 2], seconds: i64, host: &str, tags: &[&str], paths: &[&str]) -> Snapshot {
        let mut bytes = [0; 16];
        bytes[..2].copy_from_slice(id);
        let id = SessionId::from_bytes(bytes);
        let time = Timestamp { seconds, nanoseconds: 0 };
        let list = |items: &[&str]| items.iter().map(|item| item.as_bytes().to_vec()).collect();
        Snapshot {
            id,
            references: CellReferences {
                outcome: Outcome::Snapshot,
                session: id,
                host: HostKey::from_bytes([0; 32]),
                counter: 1,
                previous: [0; 32],
                parent: None,
                tree: TreeId::from_bytes([0; 32]),
                segments: Vec::new(),
                log: None,
            },
            entries: CellEntries {
                time,
                started: time,
                ended: time,
                host_name: host.into(),
                user_name: Vec::new(),
                program_version: Vec::new(),
                purpose: Vec::new(),
                paths: list(paths),
                tags: list(tags),
                excludes: Vec::new(),
                statistics: Statistics::default(),
                failures: Vec::new(),
            },
        }
    }

    fn some() -> Snapshots {
        let mut list = vec![
            snapshot(&[0xab, 0xcd], 10, "alpha", &[], &["/etc"]),
            snapshot(&[0xab, 0xce], 20, "alpha", &["a", "b"], &["/etc", "/srv"]),
            snapshot(&[0x12, 0x34], 30, "alpha", &["a"], &["/srv"]),
            snapshot(&[0x56, 0x78], 40, "beta", &["a"], &["/etc"]),
        ];
        list.sort_by_key(|s| (s.entries.time, s.id));
        Snapshots { list, forgotten: Vec::new(), damaged: Vec::new() }
    }

    fn seconds(snapshots: &Snapshots, text: &str, host: &str, filter: &SnapshotFilter) -> i64 {
        snapshots.resolve(text, host.as_bytes(), filter).unwrap().entries.time.seconds
    }

    #[test]
    fn ids_full_short_and_unclear() {
        let (snapshots, all) = (some(), SnapshotFilter::default());
        let full = snapshots.all()[1].id.to_string();
        assert_eq!(seconds(&snapshots, &full, "gamma", &all), 20);
        assert_eq!(seconds(&snapshots, "abce", "gamma", &all), 20);
        let filter = SnapshotFilter { hosts: vec![b"beta".to_vec()], ..all.clone() };
        assert_eq!(seconds(&snapshots, "1234", "gamma", &filter), 30, "an id is an id, whatever the filter");
        for text in ["abc", "", "ABCD", "abcf", "latest~", "latest~x", "latest~-1", "latests", &format!("{full}0")] {
            let error = snapshots.resolve(text, b"alpha", &all).unwrap_err();
            assert!(matches!(error, EngineError::NoSnapshot(_)), "{text}: {error}");
        }
        let mut twice = some();
        twice.list[1].id = SessionId::from_bytes([0xab, 0xcd, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2, 3, 4]);
        match twice.resolve("abcd", b"alpha", &all) {
            Err(EngineError::AmbiguousSnapshot { candidates, .. }) => assert_eq!(candidates.len(), 2),
            other => panic!("{other:?}"),
        }
        assert!(twice.resolve("abcd01", b"alpha", &all).is_ok());
    }

    #[test]
    fn forgotten_ones_have_whole_ids_only() {
        let (mut snapshots, all) = (some(), SnapshotFilter::default());
        let gone = snapshots.list.remove(2);
        let (id, text) = (gone.id, gone.id.to_string());
        snapshots.forgotten.push(gone);
        assert_eq!(seconds(&snapshots, &text, "alpha", &all), 30);
        assert_eq!(seconds(&snapshots, "latest", "alpha", &all), 20);
        assert!(snapshots.resolve("1234", b"alpha", &all).is_err());
        assert!(snapshots.is_forgotten(&id) && !snapshots.is_forgotten(&snapshots.all()[0].id));
    }

    #[test]
    fn latest_is_of_this_host_unless_another_is_named() {
        let (snapshots, all) = (some(), SnapshotFilter::default());
        assert_eq!(seconds(&snapshots, "latest", "alpha", &all), 30);
        assert_eq!(seconds(&snapshots, "latest~0", "alpha", &all), 30);
        assert_eq!(seconds(&snapshots, "latest~2", "alpha", &all), 10);
        assert!(matches!(snapshots.resolve("latest~3", b"alpha", &all), Err(EngineError::NoSnapshot(_))));
        assert_eq!(seconds(&snapshots, "latest", "beta", &all), 40);

        let of = |hosts: &[&str], tags: &[&[&str]], paths: &[&str]| SnapshotFilter {
            hosts: hosts.iter().map(|h| h.as_bytes().to_vec()).collect(),
            tags: tags.iter().map(|list| list.iter().map(|t| t.as_bytes().to_vec()).collect()).collect(),
            paths: paths.iter().map(|p| p.as_bytes().to_vec()).collect(),
        };
        assert_eq!(seconds(&snapshots, "latest", "alpha", &of(&["beta"], &[], &[])), 40);
        assert_eq!(seconds(&snapshots, "latest", "alpha", &of(&[], &[&["a", "b"]], &[])), 20);
        assert_eq!(seconds(&snapshots, "latest", "alpha", &of(&[], &[&["a", "b"], &["a"]], &[])), 30);
        assert_eq!(seconds(&snapshots, "latest", "alpha", &of(&[], &[], &["/etc"])), 20);
        assert_eq!(seconds(&snapshots, "latest~1", "alpha", &of(&[], &[], &["/etc"])), 10);
        assert!(matches!(
            snapshots.resolve("latest", b"alpha", &of(&[], &[&["none"]], &[])),
            Err(EngineError::NoSnapshot(_))
        ));

        // Several hosts, and another host: listed, not taken.
        for (host, filter) in [("alpha", of(&["alpha", "beta"], &[], &[])), ("gamma", all)] {
            match snapshots.resolve("latest", host.as_bytes(), &filter) {
                Err(EngineError::AmbiguousSnapshot { candidates, .. }) => assert!(!candidates.is_empty()),
                other => panic!("{other:?}"),
            }
        }
    }
}
