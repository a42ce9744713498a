//! What the integration tests share: a repository in memory, stores that fail on purpose, trees made from a seed, and a
//! comparer that knows nothing of cairn.
#![allow(dead_code, unreachable_pub, missing_docs, reason = "each test uses its part")]
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::disallowed_methods, reason = "tests: output and settings")]

pub mod compare;
pub mod fault;
pub mod python;
pub mod tree;

use cairn::clock::{Clock, SystemClock};
use cairn::crypto::random::{Randomness, SeededRandom};
use cairn::crypto::secret::Secret;
use cairn::crypto::sign::Identity;
use cairn::engine::backup::{BackupOptions, BackupReport};
use cairn::engine::{Context, EngineError};
use cairn::format::key_slot::{SlotNotes, Unlock};
use cairn::journal::Unrecorded;
use cairn::progress::Silent;
use cairn::repository::open::NewRepository;
use cairn::repository::pack_writer::PackSize;
use cairn::repository::{Access, Repository, RepositoryError, open};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Whether the long forms of the sampled families are to be run.
pub fn is_full() -> bool {
    std::env::var_os("CAIRN_TEST_FULL").is_some()
}

/// A seed for random tests, printed so that a failure can be repeated with `CAIRN_TEST_SEED`.
pub fn seed(test: &str) -> u64 {
    let seed = match std::env::var("CAIRN_TEST_SEED") {
        Ok(text) => text.parse().expect("CAIRN_TEST_SEED is a number"),
        Err(_) => u64::from_le_bytes(<dyn Randomness>::bytes(&cairn::crypto::random::OsRandom).unwrap()),
    };
    println!("{test}: CAIRN_TEST_SEED={seed}");
    seed
}

pub fn key() -> Unlock {
    Unlock::KeyFile(Secret::new([7; 32]))
}

pub fn identity() -> Arc<Identity> {
    Arc::new(Identity::from_seed(&Secret::new([9; 32])))
}

pub fn notes() -> SlotNotes {
    SlotNotes {
        holder: "tests".into(),
        purpose: String::new(),
        host: String::new(),
        created: cairn::clock::Timestamp::EPOCH,
        expires: None,
    }
}

pub fn random(seed: u64) -> Arc<dyn Randomness> {
    Arc::new(SeededRandom::new(seed))
}

/// Chunks of 4 KiB on average, so that small trees have many.
pub fn create(access: Access, seed: u64) -> Result<Repository, RepositoryError> {
    let new = NewRepository {
        chunker: cairn::chunker::ChunkerParams::new(12).unwrap(),
        pin: cairn::residency::place::Pin::Canada,
        slots: vec![(key(), notes())],
    };
    open::create(access, &new, random(seed), &SystemClock::new())
}

pub fn reopen(access: Access, seed: u64) -> Result<Repository, RepositoryError> {
    open::open(access, &key(), None, random(seed))
}

pub fn context(repository: Repository, workers: usize) -> Context {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    Context {
        repository: Arc::new(repository),
        sink: Arc::new(Silent),
        journal: Arc::new(Unrecorded),
        clock,
        stop: Arc::default(),
        workers,
        memory_bytes: 64 << 20,
    }
}

/// Options for a backup of `sources`, with packs of a few ten KiB so that there are several.
pub fn backup_options(sources: &[&Path]) -> BackupOptions {
    let small = PackSize { from: 64 << 10, to: 96 << 10 };
    BackupOptions {
        sources: sources.iter().map(|p| PathBuf::from(*p)).collect::<Vec<_>>().into(),
        excludes: cairn::fs::ExcludeOptions::default(),
        one_file_system: false,
        compression: cairn::codec::Level::default(),
        host_name: "host".into(),
        user_name: "user".into(),
        tags: Vec::new(),
        time: None,
        purpose: String::new(),
        program_version: "test".into(),
        identity: identity(),
        parent: None,
        force: false,
        ignore_ctime: false,
        ignore_inode: false,
        dry_run: false,
        skip_if_unchanged: false,
        allow_empty_source: false,
        checkpoint_every: Duration::from_secs(3600),
        pack_sizes: Some([small, small]),
    }
}

pub fn backup(cx: &Context, sources: &[&Path]) -> Result<BackupReport, EngineError> {
    cairn::engine::backup::run(cx, &backup_options(sources))
}

/// The tree of `source` as a whole restore lays it out: below its absolute path, directories on the way left out of account.
pub fn describe_as_restored(source: &Path) -> std::collections::BTreeMap<PathBuf, String> {
    compare::describe(source)
}

fn load(storage: &cairn::storage::MemoryStorage) -> Repository {
    let store = fault::FaultStore::new(storage.clone(), fault::Plan::None);
    reopen(store.access(), 77).unwrap()
}

/// Ids of all snapshots, oldest first.
pub fn snapshots(storage: &cairn::storage::MemoryStorage) -> Vec<String> {
    let repository = load(storage);
    let view = repository.load_cells(cairn::repository::view::Damage::Stop).unwrap();
    let mut all: Vec<_> = view.cells.iter().filter(|(_, c)| c.is_snapshot()).collect();
    all.sort_by_key(|(_, c)| c.cell.references.counter);
    all.into_iter().map(|(id, _)| id.to_string()).collect()
}

/// The only snapshot's id.
pub fn only_snapshot(storage: &cairn::storage::MemoryStorage) -> String {
    let all = snapshots(storage);
    assert_eq!(all.len(), 1);
    all[0].clone()
}

/// An error with its causes, on one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// Whether an error says that the repository is damaged.
pub fn is_damage(error: &RepositoryError) -> bool {
    error.is_damage()
}

/// Waits until times that were just set count as old: a backup reads what changed in the last two seconds again.
pub fn let_times_settle() {
    std::thread::sleep(Duration::from_millis(2200));
}

/// Every entry of every snapshot, by `snapshot/path`: what it is, and the hash of its content, read by ids alone.
pub fn read_all(repository: &Arc<Repository>) -> Result<std::collections::BTreeMap<Vec<u8>, String>, RepositoryError> {
    use cairn::format::node::{Body, Content};
    use cairn::format::tree::Tree;
    use cairn::repository::pack_reader::{PackReader, ReadBuffers};
    let view = repository.load_view(cairn::repository::view::Damage::Collect)?;
    let index = Arc::new(view.index);
    let reader = PackReader::new(Arc::clone(repository), index);
    let mut buffers = ReadBuffers::new()?;
    let mut found = std::collections::BTreeMap::new();
    for (id, stored) in &view.cells {
        let mut pending = vec![(id.to_string().into_bytes(), stored.cell.references.tree)];
        while let Some((path, tree)) = pending.pop() {
            let nodes = match reader.read_tree(&tree, &mut buffers)? {
                Tree::Leaf(nodes) => nodes,
                Tree::Pages(pages) => {
                    pending.extend(pages.into_iter().map(|page| (path.clone(), page.tree)));
                    continue;
                }
                Tree::List(_) => panic!("a list in place of a directory"),
            };
            for node in nodes {
                let at = [&path[..], b"/", &node.name].concat();
                let mut content = blake3::Hasher::new();
                match &node.content {
                    Content::Directory { tree } => pending.push((at.clone(), *tree)),
                    Content::File { body: Body::Inline(bytes), .. } => {
                        content.update(bytes);
                    }
                    Content::File { body: Body::Chunks(ids), .. } => {
                        for id in ids {
                            content.update(&reader.read_chunk(id, &mut buffers)?);
                        }
                    }
                    Content::File { body: Body::Lists(lists), .. } => {
                        for list in lists {
                            let Tree::List(ids) = reader.read_tree(list, &mut buffers)? else {
                                panic!("no list in place of one")
                            };
                            for id in ids {
                                content.update(&reader.read_chunk(&id, &mut buffers)?);
                            }
                        }
                    }
                    _ => {}
                }
                found.insert(at, format!("{:?} {}", node, content.finalize().to_hex()));
            }
        }
    }
    Ok(found)
}

/// What `check --read-data` finds wrong, a line each.
pub fn problems(cx: &Context) -> Vec<String> {
    let options = cairn::engine::check::CheckOptions { read_data: true, ..Default::default() };
    match cairn::engine::check::run(cx, &options) {
        Ok(report) => report.problems.iter().map(|p| format!("{}: {}", p.object, p.what)).collect(),
        Err(error) => vec![chain(&error)],
    }
}

/// Whether nothing is wrong.
pub fn is_clean(cx: &Context) -> bool {
    problems(cx).is_empty()
}

/// Nothing may be wrong.
pub fn expect_clean(cx: &Context) {
    assert_eq!(problems(cx), Vec::<String>::new());
}

/// Restores the only source of a snapshot into `target`.
pub fn restore(cx: &Context, snapshot: &str, target: &Path) -> Result<(), EngineError> {
    use cairn::engine::{browse, restore};
    let snapshots = browse::Snapshots::load(&cx.repository)?;
    let found = snapshots.resolve(snapshot, b"host", &browse::SnapshotFilter::default())?;
    let options = restore::RestoreOptions {
        target: target.to_path_buf(),
        path: found.entries.paths[0].clone(),
        ..restore::RestoreOptions::default()
    };
    let report = restore::run(cx, found, &options)?;
    assert_eq!(report.failures, Vec::new());
    Ok(())
}

/// The tree of a directory within a snapshot's root tree. Roots themselves cannot be compared: the directories on the way to a
/// temporary one change whenever anybody makes another.
pub fn tree_of(cx: &Context, root: cairn::id::TreeId, path: &Path) -> cairn::id::TreeId {
    use cairn::engine::browse::{Found, SnapshotTree};
    use std::os::unix::ffi::OsStrExt;
    let view = cx.repository.load_view(cairn::repository::view::Damage::Stop).unwrap();
    let reader = cairn::repository::pack_reader::PackReader::new(Arc::clone(&cx.repository), Arc::new(view.index));
    let found: Found = SnapshotTree::new(Arc::new(reader), root).find(path.as_os_str().as_bytes()).unwrap();
    found.tree().expect("it is a directory")
}
