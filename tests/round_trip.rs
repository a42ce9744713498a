//! Round trips: what comes back is what went in, by a comparer that knows nothing of cairn.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::disallowed_methods, reason = "tests: output and settings")]

mod support;

use cairn::clock::Timestamp;
use cairn::format::declaration::SignedDeclaration;
use cairn::repository::sites::{self, NewPolicy};
use cairn::repository::{Access, Repository};
use cairn::residency::{Addressing, Check, Declaration, Exception, Origin, Pin, Policy, Province};
use cairn::storage::{LocalStorage, MemoryStorage};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use support::compare;
use support::fault::{FaultStore, Plan};
use support::tree::{self, Numbers};

fn trip(seed: u64, workers: usize) {
    let mut numbers = Numbers(seed);
    let source = tempfile::tempdir().unwrap();
    let entries = 5 + numbers.below(60);
    tree::make(source.path(), entries, &mut numbers);
    let store = FaultStore::new(MemoryStorage::new(), Plan::None);
    let cx = support::context(support::create(store.access(), seed).unwrap(), workers);
    let mut done = Vec::new();
    for _ in 0..3 {
        let report = support::backup(&cx, &[source.path()]).unwrap();
        assert_eq!(report.statistics.failed, 0);
        done.push((report.snapshot.unwrap().to_string(), compare::describe(source.path())));
        tree::change(source.path(), &mut numbers);
    }
    // The older ones still come back as they were.
    for (id, expected) in &done {
        let target = tempfile::tempdir().unwrap();
        support::restore(&cx, id, target.path()).unwrap();
        let found = compare::differences_of(expected, &compare::describe(target.path()));
        assert_eq!(found, Vec::<String>::new(), "seed {seed}, {workers} workers, snapshot {id}");
    }
    support::expect_clean(&cx);
}

#[test]
fn random_trees_come_back() {
    let seed = support::seed("round trip");
    let trips = if support::is_full() { 400 } else { 24 };
    for number in 0..trips {
        trip(seed.wrapping_add(number), [0, 1, 3][number as usize % 3]);
    }
    println!("counts: round trips: {trips} trees, three snapshots each");
}

/// Incremental backups of an unchanged tree add nothing, and give the same tree id as a full one.
#[test]
fn an_unchanged_tree_is_taken_over_whole() {
    let source = tempfile::tempdir().unwrap();
    tree::make(source.path(), 60, &mut Numbers(3));
    support::let_times_settle();
    let store = FaultStore::new(MemoryStorage::new(), Plan::None);
    let cx = support::context(support::create(store.access(), 4).unwrap(), 2);
    let first = support::backup(&cx, &[source.path()]).unwrap();
    let again = support::backup(&cx, &[source.path()]).unwrap();
    let tree = |report: &cairn::engine::backup::BackupReport| support::tree_of(&cx, report.tree, source.path());
    assert_eq!(tree(&again), tree(&first));
    assert_eq!(again.parent, first.snapshot);
    let s = again.statistics;
    assert_eq!((s.files_new, s.files_changed, s.data_read_bytes, s.chunks_new), (0, 0, 0, 0));
    assert_eq!(s.total_bytes, first.statistics.total_bytes);
    let mut options = support::backup_options(&[source.path()]);
    options.force = true;
    let full = cairn::engine::backup::run(&cx, &options).unwrap();
    assert_eq!(tree(&full), tree(&first), "reading everything again gives the same tree");
    assert_eq!(full.statistics.chunks_new, 0);
}

/// Checkpoints: a run that is cut up into many sessions ends in the same tree.
#[test]
fn a_run_with_checkpoints_ends_in_the_same_tree() {
    let source = tempfile::tempdir().unwrap();
    for index in 0..3000 {
        std::fs::write(source.path().join(format!("file-{index:04}")), Numbers(index).bytes(3000)).unwrap();
    }
    support::let_times_settle();
    let store = FaultStore::new(MemoryStorage::new(), Plan::None);
    let cx = support::context(support::create(store.access(), 4).unwrap(), 0);
    let mut options = support::backup_options(&[source.path()]);
    options.checkpoint_every = std::time::Duration::from_millis(5);
    let cut = cairn::engine::backup::run(&cx, &options).unwrap();
    assert!(cut.checkpoints > 0);
    println!("counts: checkpoints: {}", cut.checkpoints);
    let target = tempfile::tempdir().unwrap();
    support::restore(&cx, &cut.snapshot.unwrap().to_string(), target.path()).unwrap();
    assert_eq!(compare::differences(source.path(), target.path()), Vec::<String>::new());
    let plain = support::backup(&cx, &[source.path()]).unwrap();
    assert_eq!((plain.statistics.files_unmodified, plain.statistics.chunks_new), (3000, 0));
    assert_eq!(support::snapshots(&store.inner()).len(), 2, "checkpoints are no snapshots");
}

fn reader(arguments: &[&str], repository: &Path, key: &Path) -> String {
    let output = Command::new(support::python::interpreter())
        .arg("tests/reader/cairn_read.py")
        .arg("--repository")
        .arg(repository)
        .arg("--key-file")
        .arg(key)
        .args(arguments)
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// A declaration, stored twice, and a policy with an exception.
fn say_where(repository: &Repository) {
    let identity = support::identity();
    for city in ["Québec", "Lévis"] {
        let declaration = Declaration {
            name: "own-rooms".into(),
            origin: Origin::parse("https://s3.backup.example:3900").unwrap(),
            signing_region: "garage".into(),
            addressing: Addressing::VirtualHost,
            operator: "Coopérative".into(),
            jurisdiction: "CA".into(),
            us_parent: None,
            address: "1, rue Principale".into(),
            city: city.into(),
            province: Province::parse("QC").unwrap(),
            replicates_to: String::new(),
            ca_pem: "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n".into(),
            declared: Timestamp::EPOCH,
            signed_by: "A. Roy".into(),
        };
        let signed = SignedDeclaration::sign(declaration, &identity).unwrap();
        sites::publish_declaration(repository, &signed, &identity).unwrap();
    }
    let (site, reason, signed_by) = ("own-rooms".into(), "not offered".into(), "A. Roy".into());
    let exception = Exception { site, check: Check::Logging, reason, signed_by, expires: Timestamp::EPOCH };
    let policy = Policy { exceptions: vec![exception], ..Policy::new(Pin::parse("ON,QC").unwrap()) };
    let new = NewPolicy { after: None, made: Timestamp::EPOCH, widened_by: "", policy: &policy };
    sites::publish_policy(repository, &new, &identity).unwrap();
    assert_eq!(sites::Records::list(repository.fetch()).unwrap().names().count(), 3);
}

/// A reader in another language, written from `docs/format.md` alone, agrees.
#[test]
fn the_independent_reader_restores_the_same_tree() {
    let source = tempfile::tempdir().unwrap();
    let mut numbers = Numbers(support::seed("reader"));
    tree::make(source.path(), 150, &mut numbers);
    // A directory of several pages, and a file of several lists.
    let many = source.path().join("many");
    std::fs::create_dir(&many).unwrap();
    for index in 0..1500 {
        std::fs::write(many.join(format!("entry {index}")), index.to_string()).unwrap();
    }
    std::fs::write(source.path().join("long"), numbers.bytes(9 << 20)).unwrap();
    let place = tempfile::tempdir().unwrap();
    let repository = place.path().join("repository");
    let storage = Arc::new(LocalStorage::create(&repository).unwrap());
    let access = Access { fetch: Arc::clone(&storage) as _, publish: Some(storage) };
    let cx = support::context(support::create(access, 5).unwrap(), 2);
    support::backup(&cx, &[source.path()]).unwrap();
    let report = support::backup(&cx, &[source.path()]).unwrap();
    say_where(&cx.repository);
    let key = place.path().join("key");
    std::fs::write(&key, support::key().to_text().unwrap()).unwrap();

    let listed = reader(&["list"], &repository, &key);
    assert!(listed.contains(&report.snapshot.unwrap().to_string()), "{listed}");
    reader(&["verify"], &repository, &key);
    let target = place.path().join("target");
    reader(&["restore", "latest", target.to_str().unwrap()], &repository, &key);
    let restored = target.join(source.path().strip_prefix("/").unwrap());
    assert_eq!(compare::differences(source.path(), &restored), Vec::<String>::new());

    // It must be able to turn red: one flipped bit.
    let pack = std::fs::read_dir(repository.join("d")).unwrap().next().unwrap().unwrap().path().join("meta");
    let folder = std::fs::read_dir(pack).unwrap().next().unwrap().unwrap().path();
    let pack = std::fs::read_dir(folder).unwrap().next().unwrap().unwrap().path();
    let mut bytes = std::fs::read(&pack).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    std::fs::remove_file(&pack).unwrap();
    std::fs::write(&pack, bytes).unwrap();
    let verified = Command::new(support::python::interpreter())
        .args(["tests/reader/cairn_read.py", "--repository"])
        .arg(&repository)
        .arg("--key-file")
        .arg(&key)
        .arg("verify")
        .output()
        .unwrap();
    assert!(!verified.status.success());
}
