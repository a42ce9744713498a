//! What the log costs, on this machine: `cargo bench --bench log`. Bounds: 48 stored bytes a file, and 5 % of the time of a first
//! backup of many small files. The second is measured with pairs of the same backup, with and without a log.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::disallowed_methods, reason = "a bench measures and prints")]

use cairn::audit::leaf::Outcome;
use cairn::audit::publish::Store;
use cairn::audit::record::{Spool, StoredRecord, Tokens};
use cairn::audit::recorder::{Need, Opening, Recorder};
use cairn::clock::{Clock, SystemClock};
use cairn::crypto::keyring::DatasetRoot;
use cairn::crypto::random::OsRandom;
use cairn::crypto::secret::Secret;
use cairn::crypto::sign::Identity;
use cairn::engine::Context;
use cairn::engine::backup::{self, BackupOptions};
use cairn::format::envelope::Place;
use cairn::format::file_records;
use cairn::format::key_slot::{SlotNotes, Unlock};
use cairn::id::{DatasetId, RepositoryId};
use cairn::journal::{FileEvent, Journal, Unrecorded};
use cairn::progress::Silent;
use cairn::repository::open::{self, NewRepository};
use cairn::repository::{Access, Repository};
use cairn::storage::LocalStorage;
use serde_json::json;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

const FILES: u64 = 200_000;
const ROUNDS: usize = 7;
/// Small files on disk, and pairs of backups of them.
const SMALL_FILES: u64 = 100_000;
const PAIRS: usize = 9;
const BYTES_MAX: f64 = 48.0;

/// Records, tokens, tree and sealing of that many files; returns the stored bytes.
fn run(tokens: &Tokens, seal: &dyn Fn(&[u8]) -> Vec<u8>) -> usize {
    let (mut spool, mut stored) = (Spool::default(), 0);
    let mut path = Vec::new();
    for n in 0..FILES {
        path.clear();
        path.extend_from_slice(format!("/srv/data/customers/{:04}/documents/file-{n:08}.txt", n % 1000).as_bytes());
        let mut content = [0; 32];
        content[..8].copy_from_slice(&n.to_le_bytes());
        let record = StoredRecord {
            event: FileEvent::Transmitted,
            file: tokens.file(&path),
            content: tokens.content(Some(&content)),
            size: n * 977 % 65_536,
            millis: 1_790_000_000_000 + n,
        };
        if let Some((_, part)) = spool.push(&record) {
            stored += seal(&part).len();
        }
    }
    stored += spool.flush().map_or(0, |(_, part)| seal(&part).len());
    black_box(spool.totals());
    stored
}

/// Files of 1 to 4 KiB that compress a little, a hundred in a directory.
fn make_files(folder: &Path) {
    let mut state = 1_u64;
    for n in 0..SMALL_FILES {
        let directory = folder.join(format!("{:03}", n / 100));
        std::fs::create_dir_all(&directory).unwrap();
        let mut bytes = Vec::new();
        let len = 1024 + (n * 7919 % 3072) as usize;
        while bytes.len() < len {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            bytes.extend_from_slice(format!("{:x} value={}\n", state >> 20, state >> 58).as_bytes());
        }
        std::fs::write(directory.join(format!("file-{n:06}")), bytes).unwrap();
    }
}

/// Clock ticks of this process, in all its threads.
fn ticks() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()
}

fn recorder(
    folder: &Path,
    storage: &Arc<LocalStorage>,
    repository: &Arc<Repository>,
    identity: &Arc<Identity>,
) -> Recorder {
    let sealing = repository.clone();
    Recorder::begin(Opening {
        folder,
        repository: repository.config().repository,
        identity: identity.clone(),
        random: Arc::new(OsRandom),
        clock: Arc::new(SystemClock::new()),
        tokens: Some(Tokens::new(&repository.keys().tokens)),
        seal: Some(Box::new(move |content| {
            let (place, keys) = (sealing.place(), sealing.keys());
            file_records::encode(content, &place, &keys.entries, sealing.random()).map_err(|error| error.to_string())
        })),
        store: Some(Store { fetch: storage.clone(), publish: storage.clone() }),
        newest: None,
        need: Need::Add,
        operation: "backup",
        fields: json!({}),
        events: Vec::new(),
        is_committed: &|_| None,
    })
    .unwrap()
}

/// A first backup into a new repository: seconds of the clock and of the processors.
fn first_backup(source: &Path, with_log: bool) -> (f64, f64) {
    let folder = tempfile::tempdir().unwrap();
    let storage = Arc::new(LocalStorage::create(folder.path().join("repository")).unwrap());
    let notes = SlotNotes {
        holder: String::new(),
        purpose: String::new(),
        host: String::new(),
        created: cairn::clock::Timestamp::EPOCH,
        expires: None,
    };
    let new = NewRepository {
        chunker: cairn::chunker::ChunkerParams::default(),
        pin: cairn::residency::place::Pin::Canada,
        slots: vec![(Unlock::KeyFile(Secret::new([7; 32])), notes)],
    };
    let access = Access { fetch: storage.clone(), publish: Some(storage.clone()) };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let repository = Arc::new(open::create(access, &new, Arc::new(OsRandom), &*clock).unwrap());
    let identity = Arc::new(Identity::from_seed(&Secret::new([9; 32])));
    let log = folder.path().join("log");
    let (start, before) = (Instant::now(), ticks());
    let recorder = with_log.then(|| Arc::new(recorder(&log, &storage, &repository, &identity)));
    let journal: Arc<dyn Journal> = match &recorder {
        Some(recorder) => recorder.clone(),
        None => Arc::new(Unrecorded),
    };
    let cx = Context {
        repository,
        sink: Arc::new(Silent),
        journal,
        clock,
        stop: Arc::default(),
        workers: 0,
        memory_bytes: 256 << 20,
    };
    let options = BackupOptions {
        sources: vec![source.to_owned()].into(),
        excludes: cairn::fs::ExcludeOptions::default(),
        one_file_system: false,
        compression: cairn::codec::Level::default(),
        host_name: "host".into(),
        user_name: "user".into(),
        tags: Vec::new(),
        time: None,
        purpose: String::new(),
        program_version: "bench".into(),
        identity,
        parent: None,
        force: false,
        ignore_ctime: false,
        ignore_inode: false,
        dry_run: false,
        skip_if_unchanged: false,
        allow_empty_source: false,
        checkpoint_every: Duration::from_secs(3600),
        pack_sizes: None,
    };
    let report = backup::run(&cx, &options).unwrap();
    if let Some(recorder) = recorder {
        assert!(recorder.finish(Outcome::Ok, json!({})).is_none(), "the record is late");
    }
    assert_eq!(report.statistics.files_new, SMALL_FILES);
    (start.elapsed().as_secs_f64(), (ticks() - before) / 100.0)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn whole_backups() {
    let source = tempfile::tempdir().unwrap();
    make_files(source.path());
    let (mut clock, mut processors, mut plain) = (Vec::new(), Vec::new(), Vec::new());
    first_backup(source.path(), true);
    for pair in 0..PAIRS {
        let (with, without) = if pair % 2 == 0 {
            let with = first_backup(source.path(), true);
            (with, first_backup(source.path(), false))
        } else {
            let without = first_backup(source.path(), false);
            (first_backup(source.path(), true), without)
        };
        clock.push(with.0 / without.0 - 1.0);
        processors.push(with.1 / without.1 - 1.0);
        plain.push(without.0);
    }
    println!(
        "first backup of {SMALL_FILES} files  {:>6.0} ms without a log; with one {:+.1} % by the clock, {:+.1} % of processor time \
         (medians of {PAIRS} pairs)",
        median(plain) * 1e3,
        median(clock) * 1e2,
        median(processors) * 1e2
    );
}

fn main() {
    let root = DatasetRoot::new(DatasetId::from_bytes([1; 16]), 1, Secret::new([2; 32]));
    let keys = root.keys();
    let place = Place { repository: RepositoryId::from_bytes([3; 16]), dataset: root.dataset, epoch: root.epoch };
    let tokens = Tokens::new(&keys.tokens);
    let seal = |part: &[u8]| file_records::encode(part, &place, &keys.entries, &OsRandom).unwrap();
    let mut seconds = Vec::new();
    let mut stored = 0;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        stored = run(&tokens, &seal);
        seconds.push(start.elapsed().as_secs_f64());
    }
    seconds.sort_by(f64::total_cmp);
    let bytes = stored as f64 / FILES as f64;
    println!(
        "record of a file             {:>8.0} ns, {bytes:.1} stored bytes",
        seconds[ROUNDS / 2] * 1e9 / FILES as f64
    );
    assert!(bytes <= BYTES_MAX, "{bytes} stored bytes a file, and {BYTES_MAX} are the bound");
    whole_backups();
}
