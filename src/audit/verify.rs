//! Is a log what its host wrote, whole, and in one history? Needs no key but the public ones.

use crate::audit::checkpoint::Checkpoint;
use crate::audit::error::Result;
use crate::audit::merkle::{Frontier, Hash, empty_root, leaf_hash};
use crate::audit::note::{Note, VerifierKey};
use crate::audit::object::{self, Endorsement, LOG_OBJECT_LEN_MAX, LogPart};
use crate::id::{LogId, RepositoryId};
use crate::storage::Fetch;
use serde_json::Value;
use std::collections::BTreeMap;

/// How far a clock may step back between two leaves, in milliseconds: runs of one host do not wait for each other.
const STEP_BACK_MAX: i64 = 60_000;

/// What kind of thing is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The log's key is not endorsed, or not by the host that is enrolled.
    Key,
    /// A checkpoint is not signed by the log's key.
    Signature,
    /// Leaves do not have the root that was signed.
    Edited,
    /// Leaves are missing that others build on.
    Gap,
    /// Less is there than somebody has seen.
    Truncated,
    /// Two histories were signed.
    Forked,
    /// The clock went back.
    Clock,
    /// An object cannot be read as what it should be.
    Malformed,
    /// Something happened that no leaf says.
    Unlogged,
}

impl Fault {
    /// As reports call it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Signature => "signature",
            Self::Edited => "edited",
            Self::Gap => "gap",
            Self::Truncated => "truncated",
            Self::Forked => "forked",
            Self::Clock => "clock",
            Self::Malformed => "malformed",
            Self::Unlogged => "unlogged",
        }
    }
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What kind of thing.
    pub fault: Fault,
    /// What and where.
    pub what: String,
}

/// What somebody knows of a log from elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Who: `a receipt of NAME`, `snapshot ID`, `this host`.
    pub by: String,
    /// Number of leaves.
    pub size: u64,
    /// Their root, if that is known too.
    pub root: Option<Hash>,
}

/// All there is of one log.
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    /// The endorsement as stored.
    pub key: Option<Vec<u8>>,
    /// Parts by the size in their names.
    pub parts: BTreeMap<u64, Vec<u8>>,
    /// Receipts as stored, by their names' last part.
    pub receipts: BTreeMap<String, Vec<u8>>,
}

/// A log that was looked at.
#[derive(Debug, Clone)]
pub struct Verified {
    /// Its id.
    pub id: LogId,
    /// Its key and its host's, if an endorsement of it verifies.
    pub endorsement: Option<Endorsement>,
    /// Whether its host is one that is enrolled; `None` if nobody said which those are.
    pub is_enrolled: Option<bool>,
    /// Leaves, as far as they could be put together.
    pub leaves: Vec<Vec<u8>>,
    /// Their hashes.
    pub hashes: Vec<Hash>,
    /// Signed checkpoints.
    pub checkpoints: Vec<(u64, Note)>,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

/// Reads all logs of a repository.
///
/// # Errors
/// What the store says.
pub fn collect(fetch: &dyn Fetch) -> Result<BTreeMap<LogId, Evidence>> {
    let mut logs: BTreeMap<LogId, Evidence> = BTreeMap::new();
    for listed in fetch.list(&object::logs())? {
        let Some((id, size)) = object::log_parts(&listed.name) else { continue };
        let bytes = fetch.read(&listed.name, LOG_OBJECT_LEN_MAX)?;
        let evidence = logs.entry(id).or_default();
        match size {
            Some(size) => drop(evidence.parts.insert(size, bytes)),
            None => evidence.key = Some(bytes),
        }
    }
    for listed in fetch.list(&object::all_receipts())? {
        let mut path = listed.name.as_str().trim_start_matches("audit/receipts/").splitn(2, '/');
        let (Some(id), Some(last)) = (path.next().and_then(|id| LogId::from_hex(id).ok()), path.next()) else {
            continue;
        };
        let bytes = fetch.read(&listed.name, LOG_OBJECT_LEN_MAX)?;
        logs.entry(id).or_default().receipts.insert(last.to_owned(), bytes);
    }
    Ok(logs)
}

struct Looking {
    found: Verified,
    tree: Frontier,
    /// The root of every size from 0, so that each is computed once, however many have seen it.
    roots: Vec<Hash>,
}

impl Looking {
    fn say(&mut self, fault: Fault, what: impl Into<String>) {
        self.found.findings.push(Finding { fault, what: what.into() });
    }

    /// The log's key, and whether its host is enrolled.
    fn key(&mut self, repository: &RepositoryId, stored: Option<&[u8]>, enrolled: &[VerifierKey]) {
        let Some(stored) = stored else { return self.say(Fault::Key, "the endorsement of its key is missing") };
        let endorsement = match Endorsement::parse(stored) {
            Ok(endorsement) => endorsement,
            Err(error) => return self.say(Fault::Key, format!("the endorsement of its key: {error}")),
        };
        if endorsement.log.name() != object::origin(repository, &self.found.id) {
            return self.say(Fault::Key, "the endorsement is of another log's key");
        }
        self.found.is_enrolled = Some(enrolled.contains(&endorsement.host)).filter(|_| !enrolled.is_empty());
        if self.found.is_enrolled == Some(false) {
            let what = format!("its key is endorsed by {}, which is no host that is enrolled", endorsement.host.name());
            self.say(Fault::Key, what);
        }
        self.found.endorsement = Some(endorsement);
    }

    /// Puts a part behind what is there.
    fn part(&mut self, size: u64, bytes: &[u8]) {
        let part = match LogPart::parse(bytes) {
            Ok(part) if part.checkpoint.size == size => part,
            Ok(_) => {
                return self.say(Fault::Malformed, format!("the part of size {size} has a checkpoint of another size"));
            }
            Err(error) => return self.say(Fault::Malformed, format!("the part of size {size}: {error}")),
        };
        let signed = match self.found.endorsement.as_ref().map(|endorsement| endorsement.log.clone()) {
            Some(key) if part.checkpoint.origin != key.name() => {
                self.say(Fault::Signature, format!("the checkpoint of size {size} is of another log"));
                false
            }
            Some(key) => match part.note.verify(&key) {
                Ok(_) => true,
                Err(error) => {
                    self.say(Fault::Signature, format!("the checkpoint of size {size}: {error}"));
                    false
                }
            },
            None => false,
        };
        let (start, have) = (part.start() as usize, self.found.leaves.len());
        if start > have {
            self.say(Fault::Gap, format!("leaves {have} to {} are missing", start - 1));
            // So that what follows keeps its numbers; no root can be right from here on.
            (have..start).for_each(|_| self.push(Vec::new(), [0; 32]));
        }
        let overlap = self.found.leaves.len().saturating_sub(start).min(part.leaves.len());
        let differs = (0..overlap).find(|n| self.found.leaves[start + n] != part.leaves[*n]);
        if let Some(n) = differs {
            let what = format!("leaf {} is one thing in one part and another in the part of size {size}", start + n);
            self.say(if signed { Fault::Forked } else { Fault::Edited }, what);
        }
        for leaf in part.leaves.iter().skip(overlap) {
            self.push(leaf.clone(), leaf_hash(leaf));
        }
        let is_gap = self.found.findings.iter().any(|finding| finding.fault == Fault::Gap);
        if !is_gap && differs.is_none() && self.root_at(size) != Some(part.checkpoint.root) {
            let what = format!("the first {size} leaves do not have the root that the checkpoint of that size has");
            self.say(Fault::Edited, what);
        }
        self.found.checkpoints.push((size, part.note));
    }

    fn root_at(&self, size: u64) -> Option<Hash> {
        self.roots.get(usize::try_from(size).ok()?).copied()
    }

    fn push(&mut self, leaf: Vec<u8>, hash: Hash) {
        self.tree.push(hash);
        self.roots.push(self.tree.root());
        self.found.leaves.push(leaf);
        self.found.hashes.push(hash);
    }

    fn seen(&mut self, seen: &Seen) {
        let have = self.found.leaves.len() as u64;
        if seen.size > have {
            return self
                .say(Fault::Truncated, format!("{} has seen {} leaves, and {have} are here", seen.by, seen.size));
        }
        if seen.root.is_some_and(|root| self.root_at(seen.size) != Some(root)) {
            let what = format!("{} has seen other leaves than the first {} of these", seen.by, seen.size);
            self.say(Fault::Forked, what);
        }
    }

    fn times(&mut self) {
        let mut last: Option<(i64, String)> = None;
        let mut steps = Vec::new();
        for (n, leaf) in self.found.leaves.iter().enumerate() {
            let Ok(value) = serde_json::from_slice::<Value>(leaf) else {
                if !leaf.is_empty() {
                    steps.push((Fault::Malformed, format!("leaf {n} is no JSON")));
                }
                continue;
            };
            let text = value["t"].as_str().unwrap_or_default();
            let Some(millis) = parse_time(text) else {
                steps.push((Fault::Malformed, format!("leaf {n} has no time")));
                continue;
            };
            match &last {
                Some((before, was)) if millis < before - STEP_BACK_MAX => {
                    steps.push((
                        Fault::Clock,
                        format!("leaf {n} is of {text}, and one before it of {was}: the clock was set back"),
                    ));
                    last = Some((millis, text.to_owned()));
                }
                Some((before, _)) if millis < *before => {}
                _ => last = Some((millis, text.to_owned())),
            }
        }
        steps.into_iter().for_each(|(fault, what)| self.say(fault, what));
    }
}

/// Milliseconds since 1970 of a time as leaves have it.
pub fn parse_time(text: &str) -> Option<i64> {
    let time = humantime::parse_rfc3339(text).ok()?;
    let time = time.duration_since(std::time::SystemTime::UNIX_EPOCH).ok()?;
    i64::try_from(time.as_millis()).ok()
}

/// Looks at a log. It has to be of one of the `enrolled` hosts, if any are named. `seen` is what is known of it from elsewhere; receipts that are with it count as well.
pub fn verify(
    repository: &RepositoryId,
    id: LogId,
    evidence: &Evidence,
    enrolled: &[VerifierKey],
    seen: &[Seen],
) -> Verified {
    let mut looking = Looking {
        found: Verified {
            id,
            endorsement: None,
            is_enrolled: None,
            leaves: Vec::new(),
            hashes: Vec::new(),
            checkpoints: Vec::new(),
            findings: Vec::new(),
        },
        tree: Frontier::default(),
        roots: vec![empty_root()],
    };
    looking.key(repository, evidence.key.as_deref(), enrolled);
    for (size, bytes) in &evidence.parts {
        looking.part(*size, bytes);
    }
    for seen in seen.iter().chain(&receipts(evidence)) {
        looking.seen(seen);
    }
    looking.times();
    looking.found
}

/// What receipts say that are with a log. Whose they are is not checked here: a receipt can only add doubt.
pub fn receipts(evidence: &Evidence) -> Vec<Seen> {
    let read = |bytes: &Vec<u8>| {
        let note = Note::parse(bytes).ok()?;
        let checkpoint = Checkpoint::parse(note.text()).ok()?;
        let names: Vec<&str> = note.signatures.iter().map(|signature| signature.name.as_str()).collect();
        let by = format!("a receipt of {}", names.join(" and "));
        Some(Seen { by, size: checkpoint.size, root: Some(checkpoint.root) })
    };
    evidence.receipts.values().filter_map(read).collect()
}

/// Whether the tips that a log's first leaf cites are those of the logs at hand.
pub fn succession(logs: &BTreeMap<LogId, Verified>) -> Vec<(LogId, Finding)> {
    let mut findings = Vec::new();
    for (id, log) in logs {
        let Some(first) = log.leaves.first().and_then(|leaf| serde_json::from_slice::<Value>(leaf).ok()) else {
            continue;
        };
        for tip in first["after"].as_array().into_iter().flatten() {
            let other = tip["log"].as_str().and_then(|text| LogId::from_hex(text).ok()).and_then(|id| logs.get(&id));
            let (Some(other), Some(size)) = (other, tip["size"].as_u64()) else { continue };
            let cited = tip["root"].as_str().unwrap_or_default();
            let size = usize::try_from(size).unwrap_or(usize::MAX);
            // What only its host had of a log cannot be held against it here.
            let there = other.hashes.get(..size).map(|hashes| crate::audit::leaf::base64(&Frontier::of(hashes).root()));
            if tip["where"] == "repository" && !cited.is_empty() && there.as_deref() != Some(cited) {
                let what = format!("log {id} goes on from {size} leaves of log {} that are not those here", other.id);
                findings.push((other.id, Finding { fault: Fault::Forked, what }));
            }
        }
    }
    findings
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::audit::log::Log;
    use crate::crypto::random::SeededRandom;
    use crate::crypto::sign::{Identity, LogKey, NoteKey as _};

    const REPOSITORY: RepositoryId = RepositoryId::from_bytes([1; 16]);

    fn leaf(n: u64) -> Vec<u8> {
        format!("{{\"n\":{n},\"t\":\"2026-11-22T10:{:02}:00.000Z\"}}", n % 60).into_bytes()
    }

    fn made(seed: u64, count: u64) -> (Log, Evidence, VerifierKey) {
        let random = SeededRandom::new(seed);
        let identity = Identity::generate(&random).unwrap();
        let mut log = Log::create(None, &REPOSITORY, &identity, &random, &[leaf(0)]).unwrap();
        let mut evidence = Evidence { key: Some(log.endorsement().note.to_string().into()), ..Evidence::default() };
        for n in 1..count {
            log.append(&[leaf(n)]).unwrap();
            if n % 3 == 0 || n == count - 1 {
                let from = evidence.parts.keys().last().copied().unwrap_or(0);
                let size = log.size();
                let part = LogPart::encode(&log.leaves(from..size).unwrap(), &log.checkpoint(size).unwrap());
                evidence.parts.insert(size, part);
            }
        }
        (log, evidence, object::host_verifier(&identity.host_key()))
    }

    fn faults(log: &Log, evidence: &Evidence, enrolled: Option<&VerifierKey>, seen: &[Seen]) -> Vec<Fault> {
        let enrolled: Vec<VerifierKey> = enrolled.into_iter().cloned().collect();
        let found = verify(&REPOSITORY, log.id(), evidence, &enrolled, seen);
        let mut faults: Vec<Fault> = found.findings.iter().map(|finding| finding.fault).collect();
        faults.dedup();
        faults
    }

    #[test]
    fn an_untouched_log_verifies_and_every_touch_is_named() {
        let (log, good, host) = made(1, 20);
        assert_eq!(faults(&log, &good, Some(&host), &[]), []);
        let seen = |size, root| Seen { by: "x".into(), size, root };
        assert_eq!(faults(&log, &good, Some(&host), &[seen(20, Some(log.root()))]), []);
        // Edited byte of a leaf.
        let mut touched = good.clone();
        let bytes = touched.parts.get_mut(&10).unwrap();
        *bytes = String::from_utf8(bytes.clone()).unwrap().replacen("\"n\":7", "\"n\":8", 1).into();
        assert_eq!(faults(&log, &touched, Some(&host), &[])[0], Fault::Edited);
        // Dropped tail, which the rest of the log cannot show and others can.
        let mut touched = good.clone();
        touched.parts.remove(&20);
        assert_eq!(faults(&log, &touched, Some(&host), &[]), []);
        assert_eq!(faults(&log, &touched, Some(&host), &[seen(20, None)]), [Fault::Truncated]);
        touched.receipts.insert("r".into(), log.checkpoint(20).unwrap().to_string().into());
        assert_eq!(faults(&log, &touched, Some(&host), &[]), [Fault::Truncated]);
        // Deleted middle object.
        let mut touched = good.clone();
        touched.parts.remove(&10);
        assert_eq!(faults(&log, &touched, Some(&host), &[]), [Fault::Gap]);
        // Another history of the same key.
        assert_eq!(faults(&log, &good, Some(&host), &[seen(10, Some([7; 32]))]), [Fault::Forked]);
        // Swapped key, and a wholly invented log.
        let (_, invented, other) = made(2, 20);
        let touched = Evidence { key: invented.key.clone(), ..good.clone() };
        assert_eq!(faults(&log, &touched, Some(&host), &[])[0], Fault::Key);
        let (stranger, ..) = made(2, 20);
        assert_eq!(faults(&stranger, &invented, Some(&host), &[])[0], Fault::Key);
        assert_eq!(faults(&stranger, &invented, Some(&other), &[]), []);
        // A signature of nobody.
        let key = LogKey::generate(&SeededRandom::new(9)).unwrap();
        let mut touched = good.clone();
        let mut part = LogPart::parse(&touched.parts[&10]).unwrap();
        part.note.signatures[0].bytes = key.sign_text(part.note.text().as_bytes()).to_vec();
        touched.parts.insert(10, LogPart::encode(&part.leaves, &part.note));
        assert_eq!(faults(&log, &touched, Some(&host), &[]), [Fault::Signature]);
    }

    #[test]
    fn a_forked_history_and_a_clock_that_goes_back_are_named() {
        let random = SeededRandom::new(1);
        let identity = Identity::generate(&random).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let mut log = Log::create(Some(dir.path()), &REPOSITORY, &identity, &random, &[leaf(0)]).unwrap();
        let clone = tempfile::tempdir().unwrap();
        for entry in [log.id().to_string()] {
            std::fs::create_dir(clone.path().join(&entry)).unwrap();
            for file in std::fs::read_dir(dir.path().join(&entry)).unwrap() {
                let file = file.unwrap();
                std::fs::copy(file.path(), clone.path().join(&entry).join(file.file_name())).unwrap();
            }
        }
        std::fs::copy(dir.path().join("current"), clone.path().join("current")).unwrap();
        let mut other = Log::open(clone.path()).unwrap().unwrap();
        log.append(&[leaf(1), leaf(2)]).unwrap();
        other.append(&[leaf(3), leaf(1), leaf(2)]).unwrap();
        let part =
            |log: &Log| LogPart::encode(&log.leaves(0..log.size()).unwrap(), &log.checkpoint(log.size()).unwrap());
        let evidence = Evidence {
            key: Some(log.endorsement().note.to_string().into()),
            parts: [(3, part(&log)), (4, part(&other))].into(),
            ..Evidence::default()
        };
        let found = faults(&log, &evidence, None, &[]);
        assert!(found.contains(&Fault::Forked), "{found:?}");
        let evidence = Evidence { parts: [(4, part(&other))].into(), ..evidence };
        assert_eq!(faults(&log, &evidence, None, &[]), [Fault::Clock]);
    }
}
