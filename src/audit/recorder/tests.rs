//! What a recorder says of files is what it stored of them, and nobody waits while it does.

use super::*;
use crate::audit::merkle::Hash;
use crate::audit::record::decode_part;
use crate::clock::Timestamp;
use crate::crypto::random::SeededRandom;
use crate::crypto::secret::Secret;
use crate::storage::{Fetch as _, MemoryStorage};
use std::sync::OnceLock;
use std::sync::atomic::AtomicU64;

const REPOSITORY: RepositoryId = RepositoryId::from_bytes([1; 16]);

#[derive(Debug)]
struct StillClock;

impl Clock for StillClock {
    fn now(&self) -> Timestamp {
        Timestamp { seconds: 1_790_000_000, nanoseconds: 0 }
    }

    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }
}

fn begin(folder: &Path, storage: &MemoryStorage, seal: Seal) -> Recorder {
    let random = Arc::new(SeededRandom::new(1));
    Recorder::begin(Opening {
        folder,
        repository: REPOSITORY,
        identity: Arc::new(Identity::generate(&*random).unwrap()),
        random,
        clock: Arc::new(StillClock),
        tokens: Some(Tokens::new(&Secret::new([5; 32]))),
        seal: Some(seal),
        store: Some(Store { fetch: Arc::new(storage.clone()), publish: Arc::new(storage.clone()) }),
        newest: None,
        need: Need::Add,
        operation: "backup",
        fields: json!({}),
        events: Vec::new(),
        is_committed: &|_| None,
    })
    .unwrap()
}

fn note(recorder: &Recorder, event: FileEvent, n: u64) {
    let path = format!("/srv/{n}");
    recorder.file(&FileRecord { event, path: path.as_bytes(), size: n, content: Some(&[n as u8; 32]) }).unwrap();
}

fn prepare(recorder: &Recorder) {
    let session = SessionId::from_bytes([8; 16]);
    recorder.prepared(&Prepared { session: &session, checkpoint: false, objects: &[], bytes: 0 }).unwrap();
}

/// The leaves of a kind.
fn said(folder: &Path, kind: &str) -> Vec<Value> {
    let log = Log::open(folder).unwrap().unwrap();
    let leaves = log.leaves(0..log.size()).unwrap();
    leaves
        .iter()
        .map(|leaf| serde_json::from_slice::<Value>(leaf).unwrap())
        .filter(|leaf| leaf["type"] == kind)
        .collect()
}

/// The sizes in the records of the parts that a leaf names, after their root was held against the leaf's.
fn sizes(recorder: &Recorder, storage: &MemoryStorage, leaf: &Value) -> Vec<u64> {
    let (first, parts) = (leaf["files_first_part"].as_u64().unwrap(), leaf["files_parts"].as_u64().unwrap());
    let (mut sizes, mut hashes): (Vec<u64>, Vec<Hash>) = (Vec::new(), Vec::new());
    for part in first..first + parts {
        let name = object::files(&recorder.lock().log.id(), &recorder.run, part);
        let content = storage.read(&name, 1 << 30).unwrap();
        for (record, bytes) in decode_part(&content).unwrap() {
            sizes.push(record.size);
            hashes.push(leaf_hash(bytes));
        }
    }
    assert_eq!(leaf["files_count"], sizes.len());
    assert_eq!(leaf["files_root"], base64(&root(&hashes)).as_str());
    sizes.sort_unstable();
    sizes
}

fn parts_stored(storage: &MemoryStorage) -> usize {
    storage.snapshot().keys().filter(|name| name.as_str().starts_with("audit/files/")).count()
}

/// Sealing and storing a part takes as long as the store likes: meanwhile other threads note files and say events, and what they
/// note is in the next part, also if that part was to be the last.
#[test]
fn nothing_is_held_while_a_part_is_sealed() {
    let (dir, storage) = (tempfile::tempdir().unwrap(), MemoryStorage::new());
    let (sealed, own) = (Arc::new(AtomicU64::new(0)), Arc::new(OnceLock::<Arc<Recorder>>::new()));
    let (count, cell) = (sealed.clone(), own.clone());
    let seal = move |content: &[u8]| {
        let recorder = cell.get().unwrap();
        assert!(recorder.state.try_lock().is_ok(), "the state is held while a part is sealed");
        // While the first part that is full is sealed, and the first that is the last.
        let n = count.fetch_add(1, Relaxed);
        if n < 2 {
            note(recorder, FileEvent::Transmitted, 1_000_000 + n);
            recorder.say([Event::ok("heartbeat", json!({}))]).unwrap();
        }
        Ok(content.to_vec())
    };
    let recorder = Arc::new(begin(dir.path(), &storage, Box::new(seal)));
    own.set(recorder.clone()).unwrap();
    const FILES: u64 = 60_000;
    (0..FILES).for_each(|n| note(&recorder, FileEvent::Transmitted, n));
    prepare(&recorder);
    (0..10).for_each(|n| note(&recorder, FileEvent::Transmitted, n));
    prepare(&recorder);
    let leaves = said(dir.path(), "snapshot.prepared");
    let [first, second] = leaves.as_slice() else { panic!("{} leaves", leaves.len()) };
    let expected: Vec<u64> = (0..FILES).chain([1_000_000, 1_000_001]).collect();
    assert_eq!(sizes(&recorder, &storage, first), expected);
    assert_eq!((&first["files_first_part"], &first["files_parts"]), (&json!(0), &json!(3)));
    assert_eq!(sizes(&recorder, &storage, second), (0..10).collect::<Vec<_>>());
    assert_eq!(second["files_first_part"], 3);
    assert_eq!(sealed.load(Relaxed), 4);
    assert_eq!(said(dir.path(), "heartbeat").len(), 2);
}

/// Files that threads noted before they ended are in what is said after it, in whatever order their batches came.
#[test]
fn what_threads_noted_is_said_at_the_end() {
    const EACH: u64 = 20_000;
    let (dir, storage) = (tempfile::tempdir().unwrap(), MemoryStorage::new());
    let recorder = begin(dir.path(), &storage, Box::new(|content| Ok(content.to_vec())));
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let recorder = &recorder;
            scope.spawn(move || {
                (thread * EACH..(thread + 1) * EACH).for_each(|n| note(recorder, FileEvent::Recovered, n));
            });
        }
    });
    assert_eq!(recorder.finish(Outcome::Ok, json!({})), None);
    let leaves = said(dir.path(), "content.recovered");
    let [leaf] = leaves.as_slice() else { panic!("{} leaves", leaves.len()) };
    assert_eq!(sizes(&recorder, &storage, leaf), (0..4 * EACH).collect::<Vec<_>>());
}

/// A run that ends without a snapshot says nothing of files, and stores nothing of those it had noted.
#[test]
fn a_backup_that_fails_leaves_no_records_behind() {
    let (dir, storage) = (tempfile::tempdir().unwrap(), MemoryStorage::new());
    let recorder = begin(dir.path(), &storage, Box::new(|content| Ok(content.to_vec())));
    (0..200).for_each(|n| note(&recorder, FileEvent::Transmitted, n));
    assert_eq!(recorder.finish(Outcome::Failed, json!({})), None);
    assert!(said(dir.path(), "content.recovered").is_empty());
    assert_eq!(said(dir.path(), "run.finished").len(), 1);
    assert_eq!(parts_stored(&storage), 0);
}

/// What cannot be sealed is lost and said to be; the run goes on.
#[test]
fn a_part_that_cannot_be_sealed_is_said_to_be_lost() {
    let (dir, storage) = (tempfile::tempdir().unwrap(), MemoryStorage::new());
    let recorder = begin(dir.path(), &storage, Box::new(|_| Err("no randomness".into())));
    note(&recorder, FileEvent::Transmitted, 1);
    prepare(&recorder);
    let leaves = said(dir.path(), "snapshot.prepared");
    assert_eq!((&leaves[0]["files_count"], &leaves[0]["files_parts_lost"]), (&json!(1), &json!(1)));
    assert!(recorder.take_alerts().iter().any(|alert| alert.contains("no randomness")));
    assert_eq!(parts_stored(&storage), 0);
}
