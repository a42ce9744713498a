//! The log against crashes, attacks, and other implementations of what it is made of.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::disallowed_methods, reason = "tests say what they covered")]

mod support;

use cairn::audit::checkpoint::Checkpoint;
use cairn::audit::leaf::{Event, Outcome};
use cairn::audit::log::Log;
use cairn::audit::merkle::{Hash, leaf_hash, root};
use cairn::audit::note::{KeyType, Note, NoteError, VerifierKey};
use cairn::audit::object::{self, LogPart};
use cairn::audit::publish::Store;
use cairn::audit::record::Tokens;
use cairn::audit::recorder::{Need, Opening, Recorder};
use cairn::audit::verify::{self, Evidence, Fault, Seen};
use cairn::clock::{Clock, SystemClock};
use cairn::crypto::random::{OsRandom, SeededRandom};
use cairn::crypto::sign::{Identity, LogKey};
use cairn::engine::{Context, EngineError};
use cairn::format::file_records;
use cairn::id::{RepositoryId, SessionId};
use cairn::object::ObjectName;
use cairn::repository::view::Damage;
use cairn::storage::{ErrorKind, Fetch, MemoryStorage, Publish};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use support::fault::{FaultStore, Plan};
use support::tree::{self, Numbers};

const REPOSITORY: RepositoryId = RepositoryId::from_bytes([1; 16]);

// ---------------------------------------------------------------- crashes

/// A backup with its record, as the command makes it.
fn backup(store: &Arc<FaultStore>, state: &Path, source: &Path) -> Result<(), EngineError> {
    // Not the stream of another run: session ids have to differ.
    static SEED: AtomicU64 = AtomicU64::new(1000);
    let repository = support::reopen(store.access(), SEED.fetch_add(1, Ordering::SeqCst))?;
    let mut cx: Context = support::context(repository, 0);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let opened = cx.repository.clone();
    let seal_with = opened.clone();
    let is_committed = |id: &SessionId| match opened.fetch().size(&opened.layout().cell(id)) {
        Ok(_) => Some(true),
        Err(error) if error.is_not_found() => Some(false),
        Err(_) => None,
    };
    let recorder = Recorder::begin(Opening {
        folder: state,
        repository: opened.config().repository,
        identity: support::identity(),
        random: Arc::new(OsRandom),
        clock,
        tokens: Some(Tokens::new(&opened.keys().tokens)),
        seal: Some(Box::new(move |content| {
            let (place, keys) = (seal_with.place(), seal_with.keys());
            file_records::encode(content, &place, &keys.entries, seal_with.random()).map_err(|error| error.to_string())
        })),
        store: Some(Store {
            fetch: Arc::clone(store) as Arc<dyn Fetch>,
            publish: Arc::clone(store) as Arc<dyn Publish>,
        }),
        newest: None,
        need: Need::Add,
        operation: "backup",
        fields: json!({}),
        events: Vec::new(),
        is_committed: &is_committed,
    })
    .map_err(|error| EngineError::Setting(error.to_string()))?;
    let recorder = Arc::new(recorder);
    cx.journal = recorder.clone();
    let done = support::backup(&cx, &[source]).map(drop);
    let outcome = if done.is_ok() { Outcome::Ok } else { Outcome::Failed };
    recorder.finish(outcome, json!({}));
    done
}

fn leaves(storage: &MemoryStorage, local: Option<&Log>) -> (Vec<Value>, Vec<verify::Finding>) {
    let mut said = Vec::new();
    let mut findings = Vec::new();
    for (id, evidence) in verify::collect(storage).unwrap() {
        let repository = support::reopen(FaultStore::new(storage.clone(), Plan::None).access(), 8).unwrap();
        let own = local.filter(|log| log.id() == id);
        let seen: Vec<Seen> = own
            .map(|log| Seen {
                by: "the host".into(),
                size: verify_size(&evidence),
                root: Some(log.root_at(verify_size(&evidence))),
            })
            .into_iter()
            .collect();
        let found = verify::verify(&repository.config().repository, id, &evidence, &[], &seen);
        said.extend(found.leaves.iter().map(|leaf| serde_json::from_slice::<Value>(leaf).unwrap()));
        findings.extend(found.findings);
    }
    (said, findings)
}

fn verify_size(evidence: &Evidence) -> u64 {
    evidence.parts.keys().last().copied().unwrap_or(0)
}

/// Every snapshot has its leaf, and the leaf is under the state of the log that the cell names.
fn expect_logged(storage: &MemoryStorage, state: &Path, plan: Plan) -> usize {
    let local = Log::open(state).unwrap();
    let (said, findings) = leaves(storage, local.as_ref());
    assert_eq!(findings, [], "{plan:?}");
    let repository = support::reopen(FaultStore::new(storage.clone(), Plan::None).access(), 9).unwrap();
    let cells = repository.load_cells(Damage::Stop).unwrap().cells;
    for (id, stored) in &cells {
        let prepared =
            said.iter().any(|leaf| leaf["type"] == "snapshot.prepared" && leaf["snapshot"] == id.to_string());
        assert!(prepared, "{plan:?}: snapshot {id} has no leaf in the repository");
        let anchor = stored.cell.references.log.expect("a snapshot names the state of the log");
        if let Some(log) = local.as_ref().filter(|log| log.id() == anchor.log) {
            assert_eq!(log.root_at(anchor.size), anchor.root, "{plan:?}");
        }
    }
    // No object outside an intent: whatever is there, some run that adds has begun before it.
    if !storage.list(&ObjectName::new("d").unwrap()).unwrap().is_empty() {
        let own = local.as_ref().map(|log| log.leaves(0..log.size()).unwrap()).unwrap_or_default();
        assert!(own.iter().any(|leaf| leaf.windows(13).any(|w| w == b"\"run.started\"")), "{plan:?}");
    }
    cells.len()
}

#[test]
fn a_backup_that_is_cut_anywhere_leaves_a_log_that_verifies() {
    let seed = support::seed("audit crash");
    let source = tempfile::tempdir().unwrap();
    let mut numbers = Numbers(seed);
    tree::make(source.path(), 20, &mut numbers);
    let base = MemoryStorage::new();
    support::create(FaultStore::new(base.clone(), Plan::None).access(), 1).unwrap();
    let empty = base.snapshot();
    let count = {
        let store = FaultStore::new(base.clone(), Plan::None);
        let state = tempfile::tempdir().unwrap();
        backup(&store, state.path(), source.path()).unwrap();
        assert_eq!(expect_logged(&base, state.path(), Plan::None), 1);
        store.operations()
    };
    let step = if support::is_full() { 1 } else { (count / 30).max(1) };
    let mut tried = 0;
    for at in (0..count).step_by(step as usize).chain([count - 1]) {
        let plans = [
            Plan::CrashBefore(at),
            Plan::CrashAfter(at),
            Plan::Once(at, ErrorKind::Denied),
            Plan::From(at, ErrorKind::NoSpace),
        ];
        for plan in plans {
            let storage = MemoryStorage::from_map(empty.clone());
            let state = tempfile::tempdir().unwrap();
            let _ = backup(&FaultStore::new(storage.clone(), plan), state.path(), source.path());
            expect_logged(&storage, state.path(), plan);
            // The next run goes on, and what was cut short is closed.
            backup(&FaultStore::new(storage.clone(), Plan::None), state.path(), source.path()).unwrap();
            assert!(expect_logged(&storage, state.path(), plan) >= 1);
            let (said, _) = leaves(&storage, None);
            let runs = |kind: &str| said.iter().filter(|leaf| leaf["type"] == kind).count();
            assert_eq!(runs("run.started"), runs("run.finished"), "{plan:?}");
            tried += 1;
        }
    }
    println!("counts: crash and failure with a log: {count} operations, {tried} plans");
}

#[test]
fn a_run_that_was_killed_is_closed_as_partial() {
    let source = tempfile::tempdir().unwrap();
    std::fs::write(source.path().join("a"), "a").unwrap();
    let storage = MemoryStorage::new();
    support::create(FaultStore::new(storage.clone(), Plan::None).access(), 1).unwrap();
    let state = tempfile::tempdir().unwrap();
    backup(&FaultStore::new(storage.clone(), Plan::None), state.path(), source.path()).unwrap();
    // What a killed run leaves: leaves without an end, and a lock that nobody holds.
    let mut log = Log::open(state.path()).unwrap().unwrap();
    let run = cairn::id::RunId::from_bytes([9; 8]);
    let line = |name, fields| Event::ok(name, fields).line(&run, SystemClock::new().now()).unwrap();
    let prepared = SessionId::from_bytes([8; 16]).to_string();
    log.append(&[
        line("run.started", json!({"op": "backup"})),
        line("snapshot.prepared", json!({"snapshot": prepared})),
    ])
    .unwrap();
    std::fs::write(state.path().join("runs").join(run.to_string()), "").unwrap();
    backup(&FaultStore::new(storage.clone(), Plan::None), state.path(), source.path()).unwrap();
    let (said, findings) = leaves(&storage, None);
    assert_eq!(findings, []);
    let of_run = |kind: &str| said.iter().find(|leaf| leaf["type"] == kind && leaf["run"] == run.to_string()).cloned();
    assert_eq!(of_run("run.finished").unwrap()["res"], "partial");
    let committed = of_run("snapshot.committed").unwrap();
    assert_eq!((&committed["res"], &committed["found"]), (&json!("fail"), &json!(false)));
    assert!(!state.path().join("runs").join(run.to_string()).exists());
}

// ---------------------------------------------------------------- attacks, before both verifiers

struct Made {
    log: Log,
    evidence: Evidence,
    host: VerifierKey,
}

fn leaf(n: u64, minute: u64) -> Vec<u8> {
    json!({"v": 1, "n": n, "t": format!("2026-11-22T{:02}:{:02}:00.000Z", minute / 60, minute % 60)})
        .to_string()
        .into_bytes()
}

/// A log of leaves at these minutes, stored in parts of three.
fn made(seed: u64, minutes: &[u64]) -> Made {
    let random = SeededRandom::new(seed);
    let identity = Identity::generate(&random).unwrap();
    let mut log = Log::create(None, &REPOSITORY, &identity, &random, &[leaf(0, minutes[0])]).unwrap();
    let mut evidence = Evidence { key: Some(log.endorsement().note.to_string().into()), ..Evidence::default() };
    for (n, minute) in minutes.iter().enumerate().skip(1) {
        log.append(&[leaf(n as u64, *minute)]).unwrap();
        if n % 3 == 0 || n + 1 == minutes.len() {
            let from = evidence.parts.keys().last().copied().unwrap_or(0);
            let part = LogPart::encode(&log.leaves(from..log.size()).unwrap(), &log.checkpoint(log.size()).unwrap());
            evidence.parts.insert(log.size(), part);
        }
    }
    Made { host: object::host_verifier(&identity.host_key()), log, evidence }
}

/// What `verify.py` says of a bundle with these leaves, checkpoints, key and receipts.
fn python(
    leaves: &[Vec<u8>],
    checkpoints: &[Note],
    key: &[u8],
    receipts: &[Note],
    enrolled: &VerifierKey,
) -> (i32, String) {
    let dir = tempfile::tempdir().unwrap();
    for folder in ["checkpoints", "keys", "receipts"] {
        std::fs::create_dir(dir.path().join(folder)).unwrap();
    }
    let lines: Vec<u8> = leaves.iter().flat_map(|leaf| [leaf, &b"\n"[..]].concat()).collect();
    std::fs::write(dir.path().join("log.jsonl"), lines).unwrap();
    for (place, notes) in [("checkpoints", checkpoints), ("receipts", receipts)] {
        for (n, note) in notes.iter().enumerate() {
            std::fs::write(dir.path().join(place).join(n.to_string()), note.to_string()).unwrap();
        }
    }
    std::fs::write(dir.path().join("keys/log.endorsement"), key).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/bin/cairn/commands/audit/verify.py");
    let out =
        Command::new("python3").arg(script).args(["--key", &enrolled.to_string()]).arg(dir.path()).output().unwrap();
    (out.status.code().unwrap(), String::from_utf8_lossy(&out.stdout).into_owned())
}

#[test]
fn every_attack_is_named_by_both_verifiers() {
    let minutes: Vec<u64> = (0..20).collect();
    let Made { log, evidence, host } = made(1, &minutes);
    let all = log.leaves(0..20).unwrap();
    let notes: Vec<Note> = evidence.parts.values().map(|part| LogPart::parse(part).unwrap().note).collect();
    let key = evidence.key.clone().unwrap();
    let faults = |log: &Log, evidence: &Evidence, seen: &[Seen]| -> Vec<Fault> {
        let found = verify::verify(&REPOSITORY, log.id(), evidence, std::slice::from_ref(&host), seen).findings;
        found.into_iter().map(|finding| finding.fault).collect()
    };
    let expect = |name: &str, ours: Vec<Fault>, fault: Fault, theirs: (i32, String), word: &str| {
        assert!(ours.contains(&fault), "{name}: {ours:?}");
        assert_eq!(theirs.0, 1, "{name}: {}", theirs.1);
        assert!(theirs.1.contains(&format!("FAULT {word}: ")), "{name}: {}", theirs.1);
    };
    assert_eq!(faults(&log, &evidence, &[]), []);
    let good = python(&all, &notes, &key, &[], &host);
    assert_eq!(good.0, 0, "{}", good.1);
    let seen = |size: u64, root: Hash| Seen { by: "x".into(), size, root: Some(root) };
    let receipt = |size: u64, root: Hash| {
        let random = SeededRandom::new(77);
        let witness = LogKey::generate(&random).unwrap();
        let public = VerifierKey::new("provider", KeyType::Cosignature, witness.public()).unwrap();
        let origin = object::origin(&REPOSITORY, &log.id());
        let mut note = Note::new(Checkpoint { origin, size, root }.text()).unwrap();
        note.cosign(&witness, &public, 1_790_000_000);
        note
    };

    // Edited byte.
    let mut edited = all.clone();
    edited[7] = String::from_utf8(edited[7].clone()).unwrap().replace("\"n\":7", "\"n\":8").into();
    let mut touched = evidence.clone();
    let part = touched.parts.get_mut(&10).unwrap();
    *part = String::from_utf8(part.clone()).unwrap().replace("\"n\":7", "\"n\":8").into();
    expect("edited", faults(&log, &touched, &[]), Fault::Edited, python(&edited, &notes, &key, &[], &host), "edited");

    // Dropped tail, and an older checkpoint with it: whoever has seen more can tell.
    let mut touched = evidence.clone();
    touched.parts.retain(|size, _| *size <= 10);
    let held = [receipt(20, log.root())];
    let theirs = python(&all[..10], &notes[..3], &key, &held, &host);
    expect("tail", faults(&log, &touched, &[seen(20, log.root())]), Fault::Truncated, theirs, "truncated");
    // Only the leaves were dropped.
    let theirs = python(&all[..10], &notes, &key, &[], &host);
    assert!(theirs.0 == 1 && theirs.1.contains("FAULT truncated: "), "{}", theirs.1);

    // Forked history: the same key has signed another log, and a witness has seen that one.
    let other: Vec<Hash> = (0..20).map(|n| leaf_hash(&leaf(n + 100, n))).collect();
    let held = [receipt(20, root(&other))];
    let theirs = python(&all, &notes, &key, &held, &host);
    expect("fork", faults(&log, &evidence, &[seen(20, root(&other))]), Fault::Forked, theirs, "forked");

    // Swapped key.
    let stranger = made(2, &minutes);
    let touched = Evidence { key: stranger.evidence.key.clone(), ..evidence.clone() };
    let theirs = python(&all, &notes, stranger.evidence.key.as_ref().unwrap(), &[], &host);
    expect("swapped key", faults(&log, &touched, &[]), Fault::Key, theirs, "key");

    // Wholly invented, with keys of its own.
    let invented: Vec<Note> = stranger.evidence.parts.values().map(|part| LogPart::parse(part).unwrap().note).collect();
    let its = stranger.log.leaves(0..20).unwrap();
    let theirs = python(&its, &invented, stranger.evidence.key.as_ref().unwrap(), &[], &host);
    expect("invented", faults(&stranger.log, &stranger.evidence, &[]), Fault::Key, theirs, "key");

    // Deleted middle.
    let mut touched = evidence.clone();
    touched.parts.remove(&10);
    let without = [&all[..7], &all[10..]].concat();
    let ours = faults(&log, &touched, &[]);
    expect("middle", ours, Fault::Gap, python(&without, &notes, &key, &[], &host), "truncated");

    // Clock set back.
    let mut minutes = minutes.clone();
    minutes[12] = 2;
    let Made { log, evidence, host } = made(1, &minutes);
    let notes: Vec<Note> = evidence.parts.values().map(|part| LogPart::parse(part).unwrap().note).collect();
    let found = verify::verify(&REPOSITORY, log.id(), &evidence, std::slice::from_ref(&host), &[]).findings;
    let ours = found.into_iter().map(|finding| finding.fault).collect();
    let theirs = python(&log.leaves(0..20).unwrap(), &notes, &key, &[], &host);
    expect("clock", ours, Fault::Clock, theirs, "clock");
}

// ---------------------------------------------------------------- other implementations

#[test]
fn a_note_of_the_specification_verifies() {
    // The example of Go's package golang.org/x/mod/sumdb/note, which C2SP's signed-note is the specification of.
    let key = VerifierKey::parse("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW").unwrap();
    let text = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n\n\
                \u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
    let note = Note::parse(text.as_bytes()).unwrap();
    assert_eq!(note.verify(&key), Ok(None));
    assert_eq!(note.to_string(), text);
    let changed = Note::parse(text.replace("you think", "we think").as_bytes()).unwrap();
    assert_eq!(changed.verify(&key), Err(NoteError::Forged("PeterNeumann".into())));
}
