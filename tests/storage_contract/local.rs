//! What only a directory can do wrong: other processes that die, a full disk, a place that is not what it was.

use crate::suite::{All, name, stage};
use cairn::object::Encoded;
use cairn::storage::{ErrorKind, Fetch as _, LocalStorage, Publish as _, Published, Remove as _};
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const CHILD_DIR: &str = "CAIRN_TEST_STAGE_IN";

/// Not a test by itself: with the variable set, a process that has staged two objects and waits to be killed.
#[test]
fn child_that_stages_and_waits() {
    let Some(dir) = std::env::var_os(CHILD_DIR) else { return };
    let store = LocalStorage::open(dir).unwrap();
    let mut unfinished = store.stage().unwrap();
    unfinished.append(Encoded::new(b"half an ob")).unwrap();
    let finished = stage(&store, "d/x/finished", b"never published");
    eprintln!("staged");
    // Ends by itself should nobody kill it.
    std::thread::sleep(Duration::from_secs(60));
    drop((unfinished, finished));
}

fn start_child(dir: &Path) -> Child {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "local::child_that_stages_and_waits", "--nocapture"])
        .env(CHILD_DIR, dir)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(lines.map(Result::unwrap).any(|line| line == "staged"), "the child has not staged");
    child
}

fn temp_files(store: &LocalStorage) -> usize {
    fs::read_dir(store.path().join("tmp")).unwrap().count()
}

#[test]
fn the_cleaner_removes_what_the_dead_left_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let store = LocalStorage::create(dir.path().join("r")).unwrap();
    assert_eq!(store.clean_tmp(Duration::ZERO).unwrap(), 0, "there is no tmp/ yet");
    let mut child = start_child(store.path());
    let own = stage(&store, "d/x/own", b"own");
    assert_eq!(temp_files(&store), 3);
    assert_eq!(store.clean_tmp(Duration::ZERO).unwrap(), 0, "all three are held by the living");

    child.kill().unwrap();
    child.wait().unwrap();
    fs::write(store.path().join("tmp/notes.txt"), "no file of ours").unwrap();
    assert_eq!(temp_files(&store), 4, "a killed process leaves its files");
    assert_eq!(store.list(&name("d")).unwrap(), [], "and no object");
    assert_eq!(store.clean_tmp(Duration::from_secs(3600)).unwrap(), 0, "they are younger than that");
    let other = LocalStorage::open(store.path()).unwrap();
    assert_eq!(other.clean_tmp(Duration::ZERO).unwrap(), 2);
    assert_eq!(temp_files(&store), 2);
    assert_eq!(store.publish_batch(vec![own]).unwrap(), [Published::Created], "the living one is untouched");
    assert_eq!(store.read(&name("d/x/own"), 100).unwrap(), b"own");
    assert!(store.path().join("tmp/notes.txt").exists());
}

#[test]
fn cleaners_and_writers_do_not_get_in_each_others_way() {
    let dir = tempfile::tempdir().unwrap();
    let store = LocalStorage::create(dir.path().join("r")).unwrap();
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                let store = &store;
                scope.spawn(move || {
                    for i in 0..100 {
                        let at = name(&format!("d/{writer}/{i}"));
                        assert_eq!(store.put_new(&at, Encoded::new(b"x")).unwrap(), Published::Created);
                    }
                })
            })
            .collect();
        let cleaner = LocalStorage::open(store.path()).unwrap();
        while !writers.iter().all(std::thread::ScopedJoinHandle::is_finished) {
            // What it catches between being made and being locked is made again; it must never cost an object.
            cleaner.clean_tmp(Duration::ZERO).unwrap();
        }
    });
    assert_eq!(store.list(&name("d")).unwrap().len(), 400);
    assert_eq!(temp_files(&store), 0);
}

/// Permissions do not bind root; a file in the place of a directory binds everybody.
#[test]
fn a_directory_that_cannot_be_entered_is_not_absence() {
    let dir = tempfile::tempdir().unwrap();
    let store = LocalStorage::create(dir.path().join("r")).unwrap();
    store.put_new(&name("d/x/1"), Encoded::new(b"x")).unwrap();
    fs::rename(store.path().join("d/x"), store.path().join("d/away")).unwrap();
    fs::write(store.path().join("d/x"), "").unwrap();
    for error in [
        store.read(&name("d/x/1"), 1).unwrap_err(),
        store.size(&name("d/x/1")).unwrap_err(),
        store.list(&name("d/x")).unwrap_err(),
        store.list(&name("d/x/y")).unwrap_err(),
        store.put_new(&name("d/x/2"), Encoded::new(b"x")).unwrap_err(),
        store.remove(&name("d/x/1")).unwrap_err(),
    ] {
        assert_eq!(error.kind, ErrorKind::Other, "{error}");
    }
    fs::rename(store.path().join("tmp"), store.path().join("tmp-away")).unwrap();
    fs::write(store.path().join("tmp"), "").unwrap();
    assert_eq!(store.put_new(&name("d/y/2"), Encoded::new(b"x")).unwrap_err().kind, ErrorKind::Other);
}

#[test]
fn permissions_are_told_apart() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let store = LocalStorage::create(dir.path().join("r")).unwrap();
    store.put_new(&name("d/x/1"), Encoded::new(b"x")).unwrap();
    let set = |path: &str, mode| {
        fs::set_permissions(store.path().join(path), fs::Permissions::from_mode(mode)).unwrap();
    };
    set("d/x", 0o000);
    if fs::read_dir(store.path().join("d/x")).is_ok() {
        eprintln!("skipped: permissions do not bind this user (root)");
        return;
    }
    for error in [store.read(&name("d/x/1"), 1).unwrap_err(), store.list(&name("d")).unwrap_err()] {
        assert_eq!(error.kind, ErrorKind::Denied, "{error}");
    }
    set("d/x", 0o500);
    assert_eq!(store.put_new(&name("d/x/2"), Encoded::new(b"x")).unwrap_err().kind, ErrorKind::Denied);
    set("d/x", 0o700);
}

/// A file system that is unmounted when dropped.
struct Mounted(tempfile::TempDir);

impl Mounted {
    fn tmpfs(options: &str) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(dir.path()).output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self(dir)),
            Ok(output) => {
                eprintln!("skipped: cannot mount: {}", String::from_utf8_lossy(&output.stderr).trim());
                None
            }
            Err(error) => {
                eprintln!("skipped: cannot run mount: {error}");
                None
            }
        }
    }

    fn mount(&self, args: &[&str]) {
        assert!(Command::new("mount").args(args).arg(self.0.path()).status().unwrap().success(), "mount {args:?}");
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).output();
    }
}

#[test]
fn a_full_disk_is_told_apart_and_leaves_nothing() {
    let Some(disk) = Mounted::tmpfs("size=256k") else { return };
    let store = LocalStorage::create(disk.0.path()).unwrap();
    assert_eq!(store.network_file_system(), None);
    store.put_new(&name("d/x/1"), Encoded::new(&[1; 1000])).unwrap();
    let mut stage = store.stage().unwrap();
    let error = (0..100).find_map(|_| stage.append(Encoded::new(&[2; 10_000])).err()).unwrap();
    assert_eq!(error.kind, ErrorKind::NoSpace, "{error}");
    // A caller that overlooked the error does not get the half as an object.
    let half = fs::read_dir(disk.0.path().join("tmp")).unwrap().next().unwrap().unwrap().metadata().unwrap().len();
    stage.finish(name("d/x/2"), half).unwrap_err();
    assert_eq!(temp_files(&store), 0);
    assert_eq!(store.read(&name("d/x/1"), 1000).unwrap(), [1; 1000]);
    store.put_new(&name("d/x/2"), Encoded::new(&[3; 1000])).unwrap();
    assert_eq!(store.list(&name("d")).unwrap().len(), 2);
}

#[test]
fn a_read_only_disk_is_told_apart_and_can_be_read() {
    let Some(disk) = Mounted::tmpfs("size=1m") else { return };
    let store = LocalStorage::create(disk.0.path()).unwrap();
    store.put_new(&name("d/x/1"), Encoded::new(b"x")).unwrap();
    let staged = stage(&store as &dyn All, "d/x/2", b"staged before");
    drop(staged);
    disk.mount(&["-o", "remount,ro"]);
    let store = LocalStorage::open(disk.0.path()).unwrap();
    assert_eq!(store.read(&name("d/x/1"), 1).unwrap(), b"x");
    assert_eq!(store.list(&name("d")).unwrap().len(), 1);
    assert_eq!(store.put_new(&name("d/x/2"), Encoded::new(b"x")).unwrap_err().kind, ErrorKind::ReadOnly);
    assert_eq!(store.remove(&name("d/x/1")).unwrap_err().kind, ErrorKind::ReadOnly);
}

#[test]
fn an_unmounted_disk_is_a_missing_store() {
    let Some(disk) = Mounted::tmpfs("size=1m") else { return };
    LocalStorage::create(disk.0.path()).unwrap();
    assert!(Command::new("umount").arg(disk.0.path()).status().unwrap().success());
    assert_eq!(LocalStorage::open(disk.0.path()).unwrap_err().kind, ErrorKind::StoreMissing);
}
