//! What this machine knows of a repository's replicas and of its newest snapshots: `replicas/REPOSITORY-ID.json` and
//! `newest/REPOSITORY-ID.json` in the state directory. Restores need it where the first site is gone, backups and `replicate`
//! write it; what is lost here costs a word on the command line (`--site`), never data.

use crate::exit::{Exit, Failure, Result};
use crate::state::{State, replace};
use crate::values::{parse_time, time, unhex};
use cairn::clock::Timestamp;
use cairn::engine::browse::{Snapshot, SnapshotFilter};
use cairn::format::cell::CellEntries;
use cairn::id::{RepositoryId, SessionId, hex};
use cairn::residency::Pin;
use cairn::storage::Location;
use serde_json::{Value, json};
use std::io::ErrorKind;
use std::path::PathBuf;

/// Kinds of snapshots (host, paths, tags) that are remembered; of more, those that were made last.
const KINDS_MAX: usize = 1000;

/// A replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Replica {
    /// Where it is.
    pub(crate) location: Location,
    /// AWS profile with its credentials.
    pub(crate) aws_profile: Option<String>,
    /// Where it may be, if somebody said so for it alone.
    pub(crate) pin: Option<Pin>,
    /// When it was last complete.
    pub(crate) replicated: Option<Timestamp>,
}

impl Replica {
    /// What `--site` may call it: the site of its location, or all of that.
    fn is_called(&self, site: &str) -> bool {
        let own = match &self.location {
            Location::S3 { site: own, .. } => own == site,
            _ => false,
        };
        own || self.location.to_string() == site
    }

    fn object(&self) -> Value {
        json!({
            "location": self.location.to_string(),
            "aws_profile": self.aws_profile,
            "pin": self.pin.as_ref().map(ToString::to_string),
            "replicated": self.replicated.map(time),
        })
    }

    fn parse(value: &Value) -> Option<Self> {
        Some(Self {
            location: Location::parse(value["location"].as_str()?).ok()?,
            aws_profile: value["aws_profile"].as_str().map(str::to_owned),
            pin: value["pin"].as_str().map(Pin::parse).transpose().ok()?,
            replicated: value["replicated"].as_str().map(parse_time).transpose().ok()?,
        })
    }
}

/// The newest snapshot of one host, set of paths and set of tags that this machine has heard of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Newest {
    pub(crate) id: SessionId,
    pub(crate) time: Timestamp,
    host: Vec<u8>,
    paths: Vec<Vec<u8>>,
    tags: Vec<Vec<u8>>,
}

impl Newest {
    /// That of a snapshot.
    pub(crate) fn of(id: SessionId, entries: &CellEntries) -> Self {
        Self {
            id,
            time: entries.time,
            host: entries.host_name.clone(),
            paths: entries.paths.clone(),
            tags: entries.tags.clone(),
        }
    }

    fn is_same_kind(&self, other: &Self) -> bool {
        (&self.host, &self.paths, &self.tags) == (&other.host, &other.paths, &other.tags)
    }

    fn object(&self) -> Value {
        let list = |list: &[Vec<u8>]| list.iter().map(|item| hex(item)).collect::<Vec<_>>();
        json!({
            "id": self.id.to_string(), "time": time(self.time),
            "host": hex(&self.host), "paths": list(&self.paths), "tags": list(&self.tags),
        })
    }

    fn parse(value: &Value) -> Option<Self> {
        let list =
            |value: &Value| value.as_array()?.iter().map(|item| unhex(item.as_str()?)).collect::<Option<Vec<_>>>();
        Some(Self {
            id: SessionId::from_hex(value["id"].as_str()?).ok()?,
            time: parse_time(value["time"].as_str()?).ok()?,
            host: unhex(value["host"].as_str()?)?,
            paths: list(&value["paths"])?,
            tags: list(&value["tags"])?,
        })
    }
}

/// What this machine knows of a repository that is at more than one place.
#[derive(Debug)]
pub(crate) struct Known<'a> {
    state: &'a State,
    id: RepositoryId,
}

impl<'a> Known<'a> {
    /// That of this repository.
    pub(crate) fn new(state: &'a State, id: RepositoryId) -> Self {
        Self { state, id }
    }

    fn path(&self, folder: &str) -> PathBuf {
        self.state.path().join(folder).join(format!("{}.json", self.id))
    }

    /// A list that is kept in a file; empty where there is none.
    fn read<T>(&self, folder: &str, parse: fn(&Value) -> Option<T>) -> Result<Vec<T>> {
        let path = self.path(folder);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                return Ok(Vec::new());
            }
            Err(error) => return Err(Failure::io(format!("read {}", path.display()), &error)),
        };
        let value: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        let items = value.as_array().and_then(|items| items.iter().map(parse).collect());
        items.ok_or_else(|| {
            let message = format!("cannot read {}: it is damaged", path.display());
            Failure::new(
                Exit::Failed,
                "state",
                message,
                "remove it; the next backup or `cairn replicate` writes a new one",
            )
        })
    }

    fn write(&self, folder: &str, items: Vec<Value>) -> Result<()> {
        self.state.directory(folder)?;
        replace(&self.path(folder), &format!("{:#}\n", Value::from(items)))
    }

    /// Its replicas, in the order in which they were made.
    pub(crate) fn replicas(&self) -> Result<Vec<Replica>> {
        self.read("replicas", Replica::parse)
    }

    /// The replica at a location.
    pub(crate) fn replica_at(&self, location: &Location) -> Result<Option<Replica>> {
        Ok(self.replicas()?.into_iter().find(|replica| replica.location == *location))
    }

    /// The replica that `--site` names.
    ///
    /// # Errors
    /// Exit 2 with the names there are.
    pub(crate) fn replica_called(&self, site: &str) -> Result<Replica> {
        let replicas = self.replicas()?;
        let mut called = replicas.iter().filter(|replica| replica.is_called(site));
        match (called.next(), called.next()) {
            (Some(only), None) => Ok(only.clone()),
            (found, _) => {
                let what = if found.is_some() { "several replicas are" } else { "no replica is" };
                let names: Vec<String> = replicas.iter().map(|replica| replica.location.to_string()).collect();
                let hint = if names.is_empty() {
                    "this machine knows of none: name the replica's place with --repo".to_owned()
                } else {
                    format!("the replicas that this machine knows: {}", names.join(", "))
                };
                Err(Failure::usage(format!("--site: {what} at {site}"), hint))
            }
        }
    }

    /// Remembers a replica, in the place of what was known of that location.
    pub(crate) fn set_replica(&self, replica: Replica) -> Result<()> {
        let mut replicas = self.replicas()?;
        match replicas.iter_mut().find(|known| known.location == replica.location) {
            Some(known) => *known = replica,
            None => replicas.push(replica),
        }
        self.write("replicas", replicas.iter().map(Replica::object).collect())
    }

    /// Remembers that these snapshots exist.
    pub(crate) fn note<'b>(&self, snapshots: impl IntoIterator<Item = (SessionId, &'b CellEntries)>) -> Result<()> {
        // What cannot be read is written anew.
        let before = self.read("newest", Newest::parse).unwrap_or_default();
        let mut kinds = before.clone();
        for newest in snapshots.into_iter().map(|(id, entries)| Newest::of(id, entries)) {
            match kinds.iter_mut().find(|kind| kind.is_same_kind(&newest)) {
                Some(kind) if (kind.time, kind.id) >= (newest.time, newest.id) => {}
                Some(kind) => *kind = newest,
                None => kinds.push(newest),
            }
        }
        if kinds == before {
            return Ok(());
        }
        kinds.sort_by_key(|kind| (kind.time, kind.id));
        kinds.drain(..kinds.len().saturating_sub(KINDS_MAX));
        self.write("newest", kinds.iter().map(Newest::object).collect())
    }

    /// The newest snapshot of this host, or of the filter's, that this machine has heard of.
    pub(crate) fn newest(&self, host: &[u8], filter: &SnapshotFilter) -> Result<Option<Newest>> {
        let mut wanted = filter.clone();
        if wanted.hosts.is_empty() {
            wanted.hosts.push(host.to_vec());
        }
        let fits = |kind: &Newest| wanted.fits_parts(&kind.host, &kind.tags, &kind.paths);
        let kinds = self.read("newest", Newest::parse)?;
        Ok(kinds.into_iter().filter(fits).max_by_key(|kind| (kind.time, kind.id)))
    }
}

/// Whether a replica's newest snapshot may be taken for the newest of all without asking: only if it is the last one that
/// this machine has heard of.
pub(crate) fn is_current(known: Option<&Newest>, replica: &Snapshot) -> bool {
    known.is_some_and(|known| known.id == replica.id)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use cairn::format::cell::Statistics;

    fn entries(seconds: i64, host: &str, path: &[u8]) -> CellEntries {
        let time = Timestamp { seconds, nanoseconds: 7 };
        CellEntries {
            time,
            started: time,
            ended: time,
            host_name: host.into(),
            user_name: Vec::new(),
            program_version: Vec::new(),
            purpose: Vec::new(),
            paths: vec![path.to_vec()],
            tags: vec![b"x".to_vec()],
            excludes: Vec::new(),
            statistics: Statistics::default(),
            failures: Vec::new(),
        }
    }

    #[test]
    fn the_newest_of_each_kind_is_known() {
        let dir = tempfile::tempdir().unwrap();
        let state = State::new(dir.path());
        let known = Known::new(&state, RepositoryId::from_bytes([1; 16]));
        let filter = |path: &[u8]| SnapshotFilter { paths: vec![path.to_vec()], ..SnapshotFilter::default() };
        assert_eq!(known.newest(b"h", &SnapshotFilter::default()).unwrap(), None);
        let id = |n: u8| SessionId::from_bytes([n; 16]);
        let (old, new, other) = (entries(5, "h", b"/a\xff"), entries(9, "h", b"/a\xff"), entries(7, "h", b"/b"));
        let stranger = entries(99, "i", b"/a\xff");
        known.note([(id(1), &old), (id(2), &new), (id(3), &other), (id(4), &stranger)]).unwrap();
        known.note([(id(1), &old)]).unwrap();
        let newest = |filter: &SnapshotFilter| known.newest(b"h", filter).unwrap().map(|newest| newest.id);
        assert_eq!(newest(&SnapshotFilter::default()), Some(id(2)));
        assert_eq!(newest(&filter(b"/a\xff")), Some(id(2)));
        assert_eq!(newest(&filter(b"/b")), Some(id(3)));
        assert_eq!(newest(&filter(b"/c")), None);
        let hosts = SnapshotFilter { hosts: vec![b"i".to_vec()], ..SnapshotFilter::default() };
        assert_eq!(newest(&hosts), Some(id(4)));
        // Another repository's is another file.
        let stranger = Known::new(&state, RepositoryId::from_bytes([2; 16]));
        assert_eq!(stranger.newest(b"h", &SnapshotFilter::default()).unwrap(), None);

        // There is a bound, and the newest stay.
        let many: Vec<CellEntries> =
            (0..KINDS_MAX as i64 + 10).map(|n| entries(1000 + n, "h", format!("/{n}").as_bytes())).collect();
        known.note(many.iter().map(|entries| (id(9), entries))).unwrap();
        assert_eq!(known.read("newest", Newest::parse).unwrap().len(), KINDS_MAX);
        assert_eq!(newest(&filter(b"/b")), None);
        assert_eq!(newest(&filter(format!("/{}", KINDS_MAX + 9).as_bytes())), Some(id(9)));
    }

    #[test]
    fn replicas_are_remembered_by_their_place() {
        let dir = tempfile::tempdir().unwrap();
        let state = State::new(dir.path());
        let known = Known::new(&state, RepositoryId::from_bytes([1; 16]));
        assert!(known.replica_called("second").unwrap_err().hint.contains("--repo"));
        let replica = |location: &str| Replica {
            location: Location::parse(location).unwrap(),
            aws_profile: None,
            pin: None,
            replicated: None,
        };
        known.set_replica(replica("s3://second/bucket/a")).unwrap();
        known.set_replica(replica("/mnt/replica")).unwrap();
        let told = Replica {
            aws_profile: Some("b".into()),
            pin: Some(Pin::parse("ON,QC").unwrap()),
            replicated: Some(Timestamp { seconds: 1_700_000_000, nanoseconds: 0 }),
            ..replica("s3://second/bucket/a")
        };
        known.set_replica(told.clone()).unwrap();
        assert_eq!(known.replicas().unwrap(), [told.clone(), replica("/mnt/replica")]);
        assert_eq!(known.replica_called("second").unwrap(), told);
        assert_eq!(known.replica_called("/mnt/replica").unwrap(), replica("/mnt/replica"));
        let failure = known.replica_called("third").unwrap_err();
        assert!(failure.exit == Exit::Usage && failure.hint.contains("/mnt/replica"), "{failure:?}");
        known.set_replica(replica("s3://second/other")).unwrap();
        assert!(known.replica_called("second").unwrap_err().message.contains("several"));
        std::fs::write(known.path("replicas"), "{").unwrap();
        assert_eq!(known.replicas().unwrap_err().kind, "state");
    }
}
