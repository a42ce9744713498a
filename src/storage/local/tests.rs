//! Tests of the local store that look below the contract: the order of its system calls, with any of them failing, and what
//! may lie in its directory. The contract itself is in `tests/storage_contract`.
#![expect(clippy::unwrap_used, reason = "tests")]

use super::sys::{Step, trace};
use super::*;
use crate::object::Encoded;
use std::collections::BTreeSet;
use std::fs;

fn name(text: &str) -> ObjectName {
    ObjectName::new(text).unwrap()
}

/// A store in a directory that is removed with it.
fn store() -> (tempfile::TempDir, LocalStorage) {
    let dir = tempfile::tempdir().unwrap();
    let store = LocalStorage::create(dir.path().join("r")).unwrap();
    (dir, store)
}

fn stage(store: &LocalStorage, text: &str) -> Staged {
    let mut stage = store.stage().unwrap();
    stage.append(Encoded::new(text.as_bytes())).unwrap();
    stage.finish(name(text), text.len() as u64).unwrap()
}

fn temp_files(store: &LocalStorage) -> usize {
    fs::read_dir(store.path().join("tmp")).unwrap().count()
}

/// What the order of steps has to be, whatever the file system does with what was not synced.
fn check_order(steps: &[Step<'_>], is_complete: bool) -> std::result::Result<(), String> {
    let mut synced_files = BTreeSet::new();
    let mut unsynced_dirs = BTreeSet::new();
    for step in steps {
        match *step {
            Step::SyncFile(file) if !synced_files.insert(file) => return Err(format!("{file} synced twice")),
            Step::SyncFile(_) => {}
            Step::SyncDir(dir) => _ = unsynced_dirs.remove(dir),
            Step::MakeDir(dir) => _ = unsynced_dirs.insert(dir.rsplit_once('/').map_or("", |(above, _)| above)),
            Step::Link(object) => {
                if !synced_files.contains(object) {
                    return Err(format!("{object} visible before its bytes are durable"));
                }
                if let Some(dir) = unsynced_dirs.first() {
                    return Err(format!("{object} visible before {dir:?} is durable"));
                }
                unsynced_dirs.insert(object.rsplit_once('/').map_or("", |(above, _)| above));
            }
            Step::Unlink(object) => _ = unsynced_dirs.insert(object.rsplit_once('/').map_or("", |(above, _)| above)),
        }
    }
    match unsynced_dirs.first() {
        Some(dir) if is_complete => Err(format!("{dir:?} never synced")),
        _ => Ok(()),
    }
}

const BATCH: [&str; 4] = ["d/a/packs/0f/1", "d/a/packs/0f/2", "d/a/packs/ee/3", "d/a/index/4"];

#[test]
fn a_batch_is_durable_in_its_order() {
    let (_dir, store) = store();
    for (round, expected) in [(1, Published::Created), (2, Published::Existed)] {
        let staged = BATCH.map(|text| stage(&store, text));
        trace::start(None);
        assert_eq!(store.publish_batch(staged.into()).unwrap(), [expected; 4]);
        let steps = trace::steps();
        check_order(&steps, true).unwrap();
        let count = |wanted: fn(&Step<'_>) -> bool| steps.iter().filter(|step| wanted(step)).count();
        assert_eq!(count(|step| matches!(step, Step::SyncFile(_))), 4);
        assert_eq!(count(|step| matches!(step, Step::Link(_))), 4);
        // d, d/a, packs, 0f, ee and index are made and made durable once, then known to be.
        let (made, synced) = if round == 1 { (6, 4 + 6) } else { (0, 4) };
        assert_eq!(count(|step| matches!(step, Step::MakeDir(_))), made, "round {round}");
        assert_eq!(count(|step| matches!(step, Step::SyncDir(_))), synced, "round {round}");
    }
    // A second process does not know what the first has synced.
    let second = LocalStorage::open(store.path()).unwrap();
    let staged = vec![stage(&second, BATCH[0])];
    trace::start(None);
    second.publish_batch(staged).unwrap();
    let synced: Vec<_> = trace::steps().into_iter().filter(|step| matches!(step, Step::SyncDir(_))).collect();
    assert_eq!(synced, ["", "d", "d/a", "d/a/packs", "d/a/packs/0f"].map(Step::SyncDir));
    assert_eq!(temp_files(&store), 0);
}

#[test]
fn the_order_check_can_fail() {
    let good = [Step::SyncFile("a/1"), Step::SyncFile("b/2"), Step::Link("a/1"), Step::SyncDir("a"), Step::Link("b/2")];
    check_order(&good, false).unwrap();
    check_order(&good, true).unwrap_err();
    for without in [0, 1, 3] {
        let mut bad = good.to_vec();
        bad.remove(without);
        check_order(&bad, false).unwrap_err();
    }
    check_order(&[Step::MakeDir("a/b"), Step::SyncFile("a/b/1"), Step::Link("a/b/1")], false).unwrap_err();
}

#[test]
fn whichever_step_fails_nothing_is_out_of_order_and_nothing_is_left() {
    let (_dir, reference) = store();
    let staged = BATCH.map(|text| stage(&reference, text));
    trace::start(None);
    reference.publish_batch(staged.into()).unwrap();
    let all = trace::steps();
    for (n, failing) in all.iter().enumerate() {
        let (_dir, store) = store();
        let staged = BATCH.map(|text| stage(&store, text));
        trace::start(Some(n));
        let error = store.publish_batch(staged.into()).unwrap_err();
        assert_ne!(error.kind, ErrorKind::NotFound, "step {n}");
        let steps = trace::steps();
        assert_eq!(steps.len(), n + 1, "nothing is tried after step {n}, {failing:?}");
        check_order(&steps, false).unwrap();
        trace::start(None);

        assert_eq!(temp_files(&store), 0, "step {n}");
        let visible = BATCH.map(|text| store.size(&name(text)).is_ok());
        assert!(visible.is_sorted_by(|a, b| a >= b), "step {n}: {visible:?}");
        if matches!(failing, Step::SyncFile(_)) {
            assert_eq!(visible, [false; 4], "step {n}");
        }
        // Only a failed fsync of a directory leaves the store in doubt, and then it says so until opened anew.
        let is_in_doubt = matches!(failing, Step::SyncDir(_));
        assert_eq!(store.stage().is_err(), is_in_doubt, "step {n}");
        assert_eq!(store.remove(&name("d/none")).is_err(), is_in_doubt, "step {n}");
        let again = LocalStorage::open(store.path()).unwrap();
        let staged = BATCH.map(|text| stage(&again, text));
        let published = again.publish_batch(staged.into()).unwrap();
        assert_eq!(published.map_to_existed(), visible, "step {n}");
    }
    assert!(all.len() >= 18, "the batch has {} steps", all.len());
}

trait MapToExisted {
    fn map_to_existed(&self) -> Vec<bool>;
}

impl MapToExisted for Vec<Published> {
    fn map_to_existed(&self) -> Vec<bool> {
        self.iter().map(|published| *published == Published::Existed).collect()
    }
}

#[test]
fn a_removal_is_durable_or_an_error() {
    let (_dir, store) = store();
    let staged = stage(&store, "a/b");
    store.publish_batch(vec![staged]).unwrap();
    trace::start(None);
    store.remove(&name("a/b")).unwrap();
    assert_eq!(trace::steps(), [Step::Unlink("a/b"), Step::SyncDir("a")]);
    // Again: the first may have been cut off between the two.
    trace::start(None);
    store.remove(&name("a/b")).unwrap();
    assert_eq!(trace::steps().last(), Some(&Step::SyncDir("a")));
}

#[test]
fn create_takes_only_what_is_empty_or_its_own() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("r");
    assert_eq!(LocalStorage::open(&path).unwrap_err().kind, ErrorKind::StoreMissing);
    assert_eq!(LocalStorage::create(path.join("below")).unwrap_err().kind, ErrorKind::StoreMissing);
    LocalStorage::create(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
    LocalStorage::create(&path).unwrap();
    LocalStorage::open(&path).unwrap();

    let used = dir.path().join("used");
    fs::create_dir_all(used.join("lost+found")).unwrap();
    fs::write(used.join("letter.txt"), "keep").unwrap();
    assert_eq!(LocalStorage::create(&used).unwrap_err().kind, ErrorKind::Other);
    assert_eq!(LocalStorage::open(&used).unwrap_err().kind, ErrorKind::StoreMissing);
    assert_eq!(fs::read_dir(&used).unwrap().count(), 2, "nothing was made in it");
    fs::remove_file(used.join("letter.txt")).unwrap();
    LocalStorage::create(&used).unwrap();

    fs::write(dir.path().join("file"), "").unwrap();
    assert_ne!(LocalStorage::open(dir.path().join("file")).unwrap_err().kind, ErrorKind::NotFound);
}

#[test]
fn objects_are_read_only_files() {
    use std::os::unix::fs::PermissionsExt as _;
    let (_dir, store) = store();
    store.put_new(&name("a/b"), Encoded::new(b"x")).unwrap();
    let mode = |path: &str| fs::metadata(store.path().join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("a/b"), mode("a"), mode("tmp")), (0o400, 0o700, 0o700));
}

#[test]
fn links_are_not_followed_and_other_things_are_no_objects() {
    use std::os::unix::fs::symlink;
    let (dir, store) = store();
    fs::create_dir(dir.path().join("outside")).unwrap();
    fs::write(dir.path().join("outside/secret"), "secret").unwrap();
    let below = |path: &str| store.path().join(path);

    symlink(dir.path().join("outside"), below("d")).unwrap();
    for error in [
        store.read(&name("d/secret"), 100).unwrap_err(),
        store.size(&name("d/secret")).unwrap_err(),
        store.list(&name("d")).unwrap_err(),
        store.put_new(&name("d/new"), Encoded::new(b"x")).unwrap_err(),
        store.remove(&name("d/secret")).unwrap_err(),
    ] {
        assert_eq!(error.kind, ErrorKind::Other, "{error}");
    }
    assert_eq!(fs::read_dir(dir.path().join("outside")).unwrap().count(), 1);

    fs::create_dir(below("e")).unwrap();
    symlink(dir.path().join("outside/secret"), below("e/link")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, below("e/fifo"), rustix::fs::Mode::RUSR).unwrap();
    fs::create_dir(below("e/dir")).unwrap();
    for part in ["e/link", "e/fifo", "e/dir"] {
        for error in [
            store.read(&name(part), 100).unwrap_err(),
            store.read_range(&name(part), 0, &mut [0]).unwrap_err(),
            store.size(&name(part)).unwrap_err(),
            store.put_new(&name(part), Encoded::new(b"x")).unwrap_err(),
        ] {
            assert_eq!(error.kind, ErrorKind::ForeignName, "{error}");
        }
    }
    // It may hide objects, so the listing does not just go on.
    assert_eq!(store.list(&name("e")).unwrap_err().kind, ErrorKind::ForeignName);
    fs::remove_file(below("e/link")).unwrap();
    assert_eq!(store.list(&name("e")).unwrap_err().kind, ErrorKind::ForeignName);
    fs::remove_file(below("e/fifo")).unwrap();
    for foreign in ["lost+found", ".nfs0001", "UPPER", "with space"] {
        fs::write(below("e").join(foreign), "").unwrap();
    }
    assert_eq!(store.list(&name("e")).unwrap(), []);
    // Temporary files are under no object's name.
    let staged = stage(&store, "e/1");
    assert_eq!(store.list(&name("tmp")).unwrap(), []);
    drop(staged);
}

#[test]
fn a_missing_store_is_not_an_empty_one() {
    let (_dir, store) = store();
    store.put_new(&name("config/1"), Encoded::new(b"x")).unwrap();
    assert_eq!(store.list(&name("d")).unwrap(), []);
    assert_eq!(store.read(&name("d/1"), 1).unwrap_err().kind, ErrorKind::NotFound);
    let staged = stage(&store, "d/2");
    fs::rename(store.path().join("config"), store.path().join("away")).unwrap();
    for error in [
        store.list(&name("d")).unwrap_err(),
        store.read(&name("d/1"), 1).unwrap_err(),
        store.size(&name("config/1")).unwrap_err(),
        store.remove(&name("d/1")).unwrap_err(),
        store.publish_batch(vec![staged]).unwrap_err(),
        store.clean_tmp(Duration::ZERO).unwrap_err(),
    ] {
        assert_eq!(error.kind, ErrorKind::StoreMissing, "{error}");
    }
    fs::remove_dir_all(store.path()).unwrap();
    assert_eq!(store.list(&name("config")).unwrap_err().kind, ErrorKind::StoreMissing);
    let error = store.stage().err().unwrap();
    assert_eq!(error.kind, ErrorKind::StoreMissing, "{error}");
}

#[test]
fn a_directory_that_vanishes_while_it_is_listed_is_an_error() {
    let (_dir, store) = store();
    fs::create_dir_all(store.path().join("d/x")).unwrap();
    let fd = store.root.open_dir("d/x").unwrap();
    let (mut pending, mut found) = (Vec::new(), Vec::new());
    store.list_dir("d/x", &fd, &mut pending, &mut found).unwrap();
    fs::remove_dir(store.path().join("d/x")).unwrap();
    let error = store.list_dir("d/x", &fd, &mut pending, &mut found).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Transient, "{error}");
    fs::remove_dir_all(store.path()).unwrap();
    let error = store.list_dir("d/x", &fd, &mut pending, &mut found).unwrap_err();
    assert_eq!(error.kind, ErrorKind::StoreMissing, "{error}");
}

#[test]
fn what_was_staged_elsewhere_is_refused() {
    let (_dir, one) = store();
    let (_other, two) = store();
    let staged = stage(&one, "a/b");
    assert_eq!(two.publish_batch(vec![staged]).unwrap_err().kind, ErrorKind::Other);
    assert_eq!((temp_files(&one), two.list(&name("a")).unwrap().len()), (0, 0));
}

#[test]
fn a_file_is_published_once_even_if_the_answer_was_lost() {
    let (_dir, store) = store();
    let staged = stage(&store, "a/b");
    // What a repeated link request finds: the first one has arrived.
    let temp = staged.body.downcast_ref::<TempFile>().unwrap();
    let parent = store.root.make_dirs("test", "a", true).unwrap();
    temp.link(&parent, "b", &name("a/b")).unwrap();
    assert_eq!(store.publish_batch(vec![staged]).unwrap(), [Published::Created]);
}
