//! What the log costs, on this machine: `cargo bench --bench log -- [--rounds N] [--files N] [--workers N]`. Bounds: 48 stored
//! bytes a file, and 5 % of the time of a first backup of many small files.
//!
//! The second is measured in pairs: the same tree, backed up with and without a log, one right after the other and in one
//! process, the order swapped from round to round, each into a repository of its own; first and unchanged backups apart. What
//! counts is the median of the ratios of pairs, so neither what else the machine does nor a processor that slows down moves it
//! much. Processor time is that of user and system in all threads, from `getrusage`. What is with the log is all of it: begun
//! before and ended after the backup, parts sealed and stored, the leaf before the snapshot. Put `TMPDIR` on a tmpfs, with room
//! for the files and two repositories: elsewhere the disk is measured.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::disallowed_methods, reason = "a bench measures and prints")]

use cairn::audit::leaf::Outcome;
use cairn::audit::publish::Store;
use cairn::audit::record::Tokens;
use cairn::audit::recorder::{Need, Opening, Recorder, Seal};
use cairn::clock::{Clock, SystemClock};
use cairn::crypto::keyring::DatasetRoot;
use cairn::crypto::random::OsRandom;
use cairn::crypto::secret::Secret;
use cairn::crypto::sign::Identity;
use cairn::engine::Context;
use cairn::engine::backup::{self, BackupOptions};
use cairn::format::cell::Statistics;
use cairn::format::envelope::Place;
use cairn::format::file_records;
use cairn::format::key_slot::{SlotNotes, Unlock};
use cairn::id::{DatasetId, RepositoryId};
use cairn::journal::{FileEvent, FileRecord, Journal, Unrecorded};
use cairn::progress::Silent;
use cairn::repository::open::{self, NewRepository};
use cairn::repository::{Access, Repository};
use cairn::storage::{Fetch, LocalStorage, MemoryStorage, Publish};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use serde_json::json;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

const BYTES_MAX: f64 = 48.0;
/// Records that are made without a backup, and how often.
const RECORDS: u64 = 200_000;
const RECORD_ROUNDS: usize = 15;

/// What is measured.
struct Settings {
    rounds: usize,
    files: u64,
    workers: usize,
}

fn settings() -> Settings {
    let mut settings = Settings { rounds: 20, files: 100_000, workers: 0 };
    // The last one is cargo's own.
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    while let Some(name) = arguments.next() {
        let value = arguments.next().and_then(|value| value.parse::<usize>().ok());
        match (name.as_str(), value) {
            ("--rounds", Some(value)) if value > 0 => settings.rounds = value,
            ("--files", Some(value)) if value > 0 => settings.files = value as u64,
            ("--workers", Some(value)) => settings.workers = value,
            _ => panic!("{name}: not [--rounds N] [--files N] [--workers N]"),
        }
    }
    settings
}

/// Seconds.
#[derive(Debug, Clone, Copy)]
struct Cost {
    clock: f64,
    processors: f64,
}

type Measure = fn(&Cost) -> f64;

/// User and system time of all threads of this process, those that have ended included.
fn processor_seconds() -> f64 {
    let usage = getrusage(UsageWho::RUSAGE_SELF).unwrap();
    (usage.user_time().num_microseconds() + usage.system_time().num_microseconds()) as f64 / 1e6
}

fn measured<T>(run: impl FnOnce() -> T) -> (Cost, T) {
    let (start, before) = (Instant::now(), processor_seconds());
    let result = run();
    (Cost { clock: start.elapsed().as_secs_f64(), processors: processor_seconds() - before }, result)
}

/// The value below which a share of the values is.
fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = share * (sorted.len() - 1) as f64;
    let (low, high) = (at.floor() as usize, at.ceil() as usize);
    sorted[low] + (sorted[high] - sorted[low]) * at.fract()
}

fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    quantile(&values.into_iter().collect::<Vec<_>>(), 0.5)
}

fn identity() -> Arc<Identity> {
    Arc::new(Identity::from_seed(&Secret::new([9; 32])))
}

/// A log of its own in `folder`, as the command keeps it.
fn recorder<S: Fetch + Publish + 'static>(
    folder: &Path,
    storage: &Arc<S>,
    repository: RepositoryId,
    tokens: Tokens,
    seal: Seal,
) -> Recorder {
    Recorder::begin(Opening {
        folder,
        repository,
        identity: identity(),
        random: Arc::new(OsRandom),
        clock: Arc::new(SystemClock::new()),
        tokens: Some(tokens),
        seal: Some(seal),
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

/// What the records of so many files cost by themselves: said, made, sealed, stored in memory.
fn records() {
    let paths: Vec<Vec<u8>> = (0..1024_u64)
        .map(|n| format!("/srv/data/customers/{:04}/documents/file-{n:08}.txt", n % 100).into_bytes())
        .collect();
    let (mut costs, mut stored) = (Vec::new(), 0);
    for _ in 0..RECORD_ROUNDS {
        let (folder, storage) = (tempfile::tempdir().unwrap(), Arc::new(MemoryStorage::new()));
        let root = DatasetRoot::new(DatasetId::from_bytes([1; 16]), 1, Secret::new([2; 32]));
        let place = Place { repository: RepositoryId::from_bytes([3; 16]), dataset: root.dataset, epoch: root.epoch };
        let keys = root.keys();
        let tokens = Tokens::new(&keys.tokens);
        let seal = move |content: &[u8]| {
            file_records::encode(content, &place, &keys.entries, &OsRandom).map_err(|error| error.to_string())
        };
        let recorder = recorder(folder.path(), &storage, place.repository, tokens, Box::new(seal));
        let (cost, late) = measured(|| {
            let mut content = [0; 32];
            for n in 0..RECORDS {
                content[..8].copy_from_slice(&n.to_le_bytes());
                let path = &paths[n as usize % paths.len()];
                let (event, size) = (FileEvent::Recovered, n * 977 % 65_536);
                recorder.file(&FileRecord { event, path, size, content: Some(&content) }).unwrap();
            }
            recorder.finish(Outcome::Ok, json!({}))
        });
        assert!(late.is_none(), "the record is late");
        costs.push(cost.processors);
        let is_part = |name: &str| name.starts_with("audit/files/");
        stored = storage.snapshot().iter().filter(|(name, _)| is_part(name.as_str())).map(|(_, part)| part.len()).sum();
    }
    let bytes = stored as f64 / RECORDS as f64;
    let nanos = median(costs) * 1e9 / RECORDS as f64;
    println!("record of a file: {nanos:.0} ns of processor time (median of {RECORD_ROUNDS}), {bytes:.1} stored bytes");
    assert!(bytes <= BYTES_MAX, "{bytes} stored bytes a file, and {BYTES_MAX} are the bound");
}

/// Files of 1 to 4 KiB that compress a little, a hundred in a directory.
fn make_files(folder: &Path, count: u64) {
    let mut state = 1_u64;
    for n in 0..count {
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

/// A new repository, and whether what is done with it is logged.
struct Side {
    folder: tempfile::TempDir,
    storage: Arc<LocalStorage>,
    repository: Arc<Repository>,
    with_log: bool,
}

impl Side {
    fn new(with_log: bool) -> Self {
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
        let repository = Arc::new(open::create(access, &new, Arc::new(OsRandom), &SystemClock::new()).unwrap());
        Self { folder, storage, repository, with_log }
    }

    fn recorder(&self) -> Recorder {
        let repository = self.repository.clone();
        let tokens = Tokens::new(&repository.keys().tokens);
        let seal = move |content: &[u8]| {
            let (place, keys) = (repository.place(), repository.keys());
            file_records::encode(content, &place, &keys.entries, repository.random()).map_err(|error| error.to_string())
        };
        let (folder, id) = (self.folder.path().join("log"), self.repository.config().repository);
        recorder(&folder, &self.storage, id, tokens, Box::new(seal))
    }

    /// A backup with everything that belongs to its log, if it has one.
    fn backup(&self, source: &Path, workers: usize) -> (Cost, Statistics) {
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
            identity: identity(),
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
        measured(|| {
            let recorder = self.with_log.then(|| Arc::new(self.recorder()));
            let journal: Arc<dyn Journal> = match &recorder {
                Some(recorder) => recorder.clone(),
                None => Arc::new(Unrecorded),
            };
            let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
            let cx = Context {
                repository: self.repository.clone(),
                sink: Arc::new(Silent),
                journal,
                clock,
                stop: Arc::default(),
                workers,
                memory_bytes: 256 << 20,
            };
            let report = backup::run(&cx, &options).unwrap();
            if let Some(recorder) = recorder {
                assert!(recorder.finish(Outcome::Ok, json!({})).is_none(), "the record is late");
            }
            report.statistics
        })
    }
}

/// Costs of a backup with a log and of the same without one.
struct Pair {
    with: Cost,
    without: Cost,
    log_first: bool,
}

/// Both backups of a round: each side's first one, then, nothing having changed, each side's next.
fn round(source: &Path, settings: &Settings, log_first: bool) -> [Pair; 2] {
    let sides = [Side::new(log_first), Side::new(!log_first)];
    ["first", "unchanged"].map(|kind| {
        let costs = sides.each_ref().map(|side| {
            let (cost, counts) = side.backup(source, settings.workers);
            let (new, unmodified, read) = (counts.files_new, counts.files_unmodified, counts.data_read_bytes);
            let expected = if kind == "first" { (settings.files, 0) } else { (0, settings.files) };
            assert_eq!((new, unmodified), expected, "{kind}");
            assert_eq!(read > 0, kind == "first", "{kind}: {read} bytes were read");
            cost
        });
        let [with, without] = if log_first { costs } else { [costs[1], costs[0]] };
        Pair { with, without, log_first }
    })
}

fn print(kind: &str, pairs: &[Pair], settings: &Settings) {
    let (files, rounds) = (settings.files, settings.rounds);
    println!("{kind} backup of {files} files, {rounds} rounds, {} workers", settings.workers);
    let measures: [(&str, Measure); 2] = [("clock", |cost| cost.clock), ("processors", |cost| cost.processors)];
    for (name, of) in measures {
        let more = |pair: &Pair| (of(&pair.with) / of(&pair.without) - 1.0) * 1e2;
        let all: Vec<f64> = pairs.iter().map(more).collect();
        let ordered = |log_first: bool| {
            let some: Vec<f64> = pairs.iter().filter(|pair| pair.log_first == log_first).map(more).collect();
            if some.is_empty() { "-".to_owned() } else { format!("{:+.1}", quantile(&some, 0.5)) }
        };
        let plain = median(pairs.iter().map(|pair| of(&pair.without))) * 1e3;
        let a_file = median(pairs.iter().map(|pair| of(&pair.with) - of(&pair.without))) * 1e6 / files as f64;
        println!(
            "  {name:<10} {plain:>7.0} ms without a log; with one {:+.1} % (quartiles {:+.1} and {:+.1}; log first {}, \
             second {}), {a_file:+.2} µs a file",
            quantile(&all, 0.5),
            quantile(&all, 0.25),
            quantile(&all, 0.75),
            ordered(true),
            ordered(false),
        );
    }
}

fn main() {
    let settings = settings();
    records();
    let source = tempfile::tempdir().unwrap();
    println!("files and repositories in {}", source.path().parent().unwrap().display());
    make_files(source.path(), settings.files);
    // Files that were only just written are read again by the next backup.
    std::thread::sleep(Duration::from_secs(3));
    // Not counted: allocator, caches and the clock of the processor come to rest.
    round(source.path(), &settings, true);
    let (mut first, mut unchanged) = (Vec::new(), Vec::new());
    for n in 0..settings.rounds {
        let [one, other] = round(source.path(), &settings, n % 2 == 0);
        first.push(one);
        unchanged.push(other);
    }
    print("first", &first, &settings);
    print("unchanged", &unchanged, &settings);
}
