//! Nothing is made, changed or removed outside the target of a restore: not by what a snapshot says (names, link
//! targets), not by what stands in the target already, and not by somebody who swaps directories and files for
//! symbolic links while the restore runs. A restore that goes by paths is run through the same attack, to show that
//! the attack is one.

#![expect(clippy::unwrap_used, clippy::print_stdout, clippy::disallowed_methods, reason = "tests")]

use cairn::clock::Timestamp;
use cairn::format::node::{Content, Metadata, Owner, Xattr};
use cairn::fs::{FsError, RestoreOptions, Target};
use rustix::fs::{CWD, Mode, OFlags, RenameFlags, openat, renameat_with};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How many swaps have to succeed, and how many rounds of the restore to be run, before an attack may end. It is their
/// number that counts: how long they take depends on what else the machine does.
const SWAPS: u32 = 20_000;
const ROUNDS: u32 = 500;
/// When an attack that gets nowhere is given up.
const PATIENCE: Duration = Duration::from_secs(120);

/// Metadata that would be seen on anything it is put on by mistake.
fn metadata() -> Metadata {
    let uid = rustix::process::geteuid().as_raw();
    // Root would give away what he is led to; others may not.
    let uid = if uid == 0 { 4711 } else { uid };
    Metadata {
        mode: 0o777,
        owner: Arc::new(Owner { uid, gid: uid, user: Vec::new(), group: Vec::new() }),
        mtime: Timestamp { seconds: 1, nanoseconds: 0 },
        ctime: Timestamp::EPOCH,
        inode: 1,
        device: 1,
        links: 1,
        btime: None,
        inode_flags: 0,
        xattrs: vec![Xattr { name: b"user.cairn".to_vec(), value: b"1".to_vec() }],
    }
}

/// `target` and, beside it, `outside` with a file in it.
struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        fs::create_dir(dir.path().join("target")).unwrap();
        fs::create_dir_all(dir.path().join("outside/sub")).unwrap();
        fs::write(dir.path().join("outside/f"), b"precious").unwrap();
        fs::write(dir.path().join("outside/sub/f"), b"precious").unwrap();
        Self { dir }
    }

    fn target(&self) -> PathBuf {
        self.dir.path().join("target")
    }

    fn outside(&self) -> PathBuf {
        self.dir.path().join("outside")
    }

    /// All that can be seen of `outside`: path, and content, mode, owner, number of names and times of each.
    fn seen(&self) -> BTreeMap<PathBuf, String> {
        let mut seen = BTreeMap::new();
        look(&self.outside(), &mut seen);
        seen
    }
}

fn look(path: &Path, seen: &mut BTreeMap<PathBuf, String>) {
    let stat = fs::symlink_metadata(path).unwrap();
    let content = if stat.is_file() { fs::read(path).unwrap() } else { Vec::new() };
    let times = (stat.mtime(), stat.mtime_nsec(), stat.ctime(), stat.ctime_nsec());
    let line = format!("{:o} {} {} {} {times:?} {content:?}", stat.mode(), stat.uid(), stat.gid(), stat.nlink());
    seen.insert(path.to_owned(), line);
    if stat.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            look(&entry.unwrap().path(), seen);
        }
    }
}

#[test]
fn hostile_names_are_refused_wherever_a_name_is_taken() {
    let place = Place::new();
    let target = Target::open(&place.target()).unwrap();
    let before = place.seen();
    let (metadata, options) = (metadata(), RestoreOptions::default());
    let root = target.root();
    let file = root.create_file(b"f").unwrap();
    let id = file.id().unwrap();
    file.commit(&metadata, &options).unwrap();
    let absolute = place.outside().join("new").into_os_string().into_encoded_bytes();
    let long = [b'n'; 256];
    for name in
        [&b".."[..], b".", b"", b"/", b"../outside/new", b"a/b", b"a/", b"a\0b", b"\0", &long, &absolute, b"../outside"]
    {
        let results = [
            root.make_child(name).map(drop),
            target.open_dir(&[name]).map(drop),
            root.create_file(name).map(drop),
            root.create_symlink(name, b"x", &metadata, &options).map(drop),
            root.hard_link(name, root, b"f", id),
            root.hard_link(b"g", root, name, id),
            root.make_special(name, &Content::Fifo, &metadata, &options).map(drop),
            root.remove(name),
            root.stat(name).map(drop),
        ];
        for (index, result) in results.into_iter().enumerate() {
            assert!(matches!(result, Err(FsError::BadName { .. })), "{index}: {name:?}: {result:?}");
        }
    }
    assert_eq!(fs::read_dir(place.target()).unwrap().count(), 1);
    assert_eq!(before, place.seen());
}

#[test]
fn links_that_stand_in_the_target_are_replaced_and_never_followed() {
    let place = Place::new();
    let before = place.seen();
    let target = Target::open(&place.target()).unwrap();
    let (metadata, options) = (metadata(), RestoreOptions::default());
    for link in ["dir", "file", "link", "pipe", "hard", "../outside/f"] {
        let to = if link == "dir" { place.outside() } else { place.outside().join("f") };
        if !link.contains('/') {
            symlink(to, place.target().join(link)).unwrap();
        }
    }
    let root = target.root();
    let dir = root.make_child(b"dir").unwrap();
    let file = root.create_file(b"file").unwrap();
    file.write_at(0, b"hostile").unwrap();
    let id = file.id().unwrap();
    let _ = file.commit(&metadata, &options).unwrap();
    let _ = root.create_symlink(b"link", b"../outside/f", &metadata, &options).unwrap().warnings;
    let _ = root.make_special(b"pipe", &Content::Fifo, &metadata, &options).unwrap().warnings;
    root.hard_link(b"hard", root, b"file", id).unwrap();
    let _ = dir.create_file(b"f").unwrap().commit(&metadata, &options).unwrap();
    let _ = dir.finish(&metadata, &options);
    assert_eq!(before, place.seen());
    assert!(fs::symlink_metadata(place.target().join("dir")).unwrap().is_dir());
    assert!(fs::symlink_metadata(place.target().join("dir/f")).unwrap().is_file());
    assert_eq!(fs::read(place.target().join("hard")).unwrap(), b"hostile");
}

/// What came of one attack.
#[derive(Debug, Default)]
struct Outcome {
    rounds: u32,
    /// Steps of the restore that succeeded, over all rounds.
    steps: u32,
    swaps: u32,
    escaped: bool,
}

/// Runs `round` over and over while three threads swap the directories `d` and `d/sub` and the file `d/sub/f` of the
/// target for symbolic links that lead outside, until `enough` says so. `round` returns how many of its steps succeeded.
fn attack(place: &Place, round: impl Fn() -> u32, enough: impl Fn(&Outcome) -> bool) -> Outcome {
    let before = place.seen();
    let (done, swaps) = (AtomicBool::new(false), AtomicU32::new(0));
    let mut outcome = Outcome::default();
    thread::scope(|scope| {
        // The attackers follow no link themselves, or they would be the ones who change things outside.
        let swapper = |parents: &'static [&'static str], victim: &'static str, to: &'static str| {
            let (root, to) = (place.target(), place.outside().join(to));
            let spare = root.join(format!("spare-{victim}"));
            let (done, swaps) = (&done, &swaps);
            move || {
                while !done.load(Ordering::Relaxed) {
                    // Whatever the restore made of them meanwhile: a link in `spare` again, then at the victim's place.
                    if fs::symlink_metadata(&spare).map_or(true, |stat| !stat.is_symlink()) {
                        let _ = fs::remove_file(&spare).or_else(|_| fs::remove_dir_all(&spare));
                        let _ = symlink(&to, &spare);
                    }
                    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW;
                    let root = openat(CWD, &root, flags, Mode::empty());
                    let parent = parents.iter().fold(root, |at, name| openat(at?, *name, flags, Mode::empty()));
                    let swapped = parent.and_then(|fd| renameat_with(fd, victim, CWD, &spare, RenameFlags::EXCHANGE));
                    swaps.fetch_add(u32::from(swapped.is_ok()), Ordering::Relaxed);
                }
            }
        };
        scope.spawn(swapper(&[], "d", ""));
        scope.spawn(swapper(&["d"], "sub", "sub"));
        scope.spawn(swapper(&["d", "sub"], "f", "f"));
        let start = Instant::now();
        while !enough(&outcome) && start.elapsed() < PATIENCE {
            outcome.rounds += 1;
            outcome.steps += round();
            outcome.swaps = swaps.load(Ordering::Relaxed);
            outcome.escaped |= outcome.rounds % 64 == 0 && place.seen() != before;
        }
        done.store(true, Ordering::Relaxed);
    });
    let after = place.seen();
    outcome.escaped = after != before;
    if outcome.escaped {
        println!("before {before:#?}\nafter {after:#?}");
    }
    outcome
}

#[test]
fn nothing_escapes_while_directories_and_files_are_swapped_for_links() {
    let place = Place::new();
    let target = Target::open(&place.target()).unwrap();
    let (metadata, options) = (metadata(), RestoreOptions::default());
    let done = std::cell::Cell::new(0);
    let did = || done.set(done.get() + 1);
    let round = || -> cairn::fs::Result<()> {
        let root = target.root();
        let dir = root.make_child(b"d").inspect(|_| did())?;
        let sub = dir.make_child(b"sub").inspect(|_| did())?;
        let file = sub.create_file(b"f").inspect(|_| did())?;
        file.write_at(0, b"hostile")?;
        let id = file.id()?;
        let _ = file.commit(&metadata, &options).inspect(|_| did())?;
        let by_path = target.open_dir(&[b"d", b"sub"]).inspect(|_| did())?;
        let _ = by_path.create_file(b"new")?.commit(&metadata, &options)?;
        let _ = dir.create_symlink(b"link", b"/", &metadata, &options)?;
        let _ = dir.make_special(b"pipe", &Content::Fifo, &metadata, &options)?;
        let _ = by_path.finish(&metadata, &options);
        let _ = dir.finish(&metadata, &options);
        dir.hard_link(b"hard", &sub, b"f", id).inspect(|()| did())?;
        dir.remove(b"sub").inspect(|()| did())
    };
    let counted = || {
        done.set(0);
        let _ = round();
        done.get()
    };
    let outcome = attack(&place, counted, |so_far| so_far.swaps >= SWAPS && so_far.rounds >= ROUNDS);
    println!("counts: swaps for links during a restore: {outcome:?}");
    assert!(!outcome.escaped, "{outcome:?}");
    assert!(outcome.swaps >= SWAPS && outcome.rounds >= ROUNDS, "no race took place: {outcome:?}");
    assert!(outcome.steps > outcome.rounds, "next to nothing was restored: {outcome:?}");
    // Once nobody disturbs it, all of the round succeeds, over whatever the attack has left.
    round().unwrap();
}

#[test]
fn the_same_attack_does_lead_a_restore_by_path_outside() {
    let place = Place::new();
    let target = place.target();
    let by_path = || {
        let _ = fs::create_dir(target.join("d"));
        let _ = fs::create_dir(target.join("d/sub"));
        u32::from(fs::write(target.join("d/sub/f"), b"hostile").is_ok())
    };
    let outcome = attack(&place, by_path, |so_far| so_far.escaped);
    println!("by path: {outcome:?}");
    assert!(outcome.escaped, "the attack is none: {outcome:?}");
}

#[test]
fn a_hard_link_whose_source_is_swapped_never_leads_to_another_file() {
    let place = Place::new();
    let target = Target::open(&place.target()).unwrap();
    let (metadata, options) = (metadata(), RestoreOptions::default());
    let root = target.root();
    let file = root.create_file(b"source").unwrap();
    file.write_at(0, b"ours").unwrap();
    let id = file.id().unwrap();
    let _ = file.commit(&metadata, &options).unwrap();
    // A second name of the file outside, as an attacker may have made one, and a link to it.
    fs::hard_link(place.outside().join("f"), place.target().join("stolen")).unwrap();
    symlink("../outside/f", place.target().join("pointer")).unwrap();
    let before = place.seen();
    // Both outcomes were seen; the attacker has ended.
    let (raced, done) = (AtomicBool::new(false), AtomicBool::new(false));
    let (mut made, mut refused) = (0, 0);
    thread::scope(|scope| {
        scope.spawn(|| {
            let (source, dir) = (place.target().join("source"), place.target());
            let start = Instant::now();
            for index in 0.. {
                if raced.load(Ordering::Relaxed) && index >= SWAPS || start.elapsed() > PATIENCE {
                    break;
                }
                let other = dir.join(if index / 2 % 2 == 0 { "stolen" } else { "pointer" });
                renameat_with(CWD, &source, CWD, &other, RenameFlags::EXCHANGE).unwrap();
            }
            done.store(true, Ordering::Relaxed);
        });
        while !done.load(Ordering::Relaxed) {
            match root.hard_link(b"link", root, b"source", id) {
                Ok(()) => {
                    made += 1;
                    assert_eq!(root.stat(b"link").unwrap().unwrap().id(), id);
                }
                Err(FsError::Replaced { .. }) => refused += 1,
                Err(error) => panic!("{error}"),
            }
            raced.store(made > 0 && refused > 0, Ordering::Relaxed);
        }
    });
    println!("counts: swaps of a hard link's source: {made} links made, {refused} refused");
    assert!(made > 0 && refused > 0, "no race took place");
    // The temporary names of refused links came and went on the file outside, which changes its inode's times.
    let without_times = |seen: BTreeMap<PathBuf, String>| -> Vec<_> {
        seen.into_iter().map(|(path, line)| (path, line.split('(').next().unwrap_or_default().to_owned())).collect()
    };
    assert_eq!(without_times(before), without_times(place.seen()));
    let left = fs::read_dir(place.target()).unwrap().count();
    assert_eq!(left, 4, "source, stolen, pointer, link and no temporary name");
}
