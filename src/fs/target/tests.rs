//! Entering and making directories, and what happens to what stands in the way. Both ways of going down are tested.

#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::clock::Timestamp;
use crate::format::node::{Content, Owner};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use tempfile::TempDir;

fn metadata(mode: u32) -> Metadata {
    let uid = rustix::process::geteuid().as_raw();
    let gid = rustix::process::getegid().as_raw();
    Metadata {
        mode,
        owner: Arc::new(Owner { uid, gid, user: Vec::new(), group: Vec::new() }),
        mtime: Timestamp { seconds: -12, nanoseconds: 345_678_901 },
        ctime: Timestamp::EPOCH,
        inode: 1,
        device: 1,
        links: 1,
        btime: None,
        inode_flags: 0,
        xattrs: Vec::new(),
    }
}

fn target(resolver: Resolver) -> (TempDir, Target) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a/b");
    let target = Target::with_resolver(open_root(&path).unwrap(), &path, resolver);
    (dir, target)
}

fn names(dir: &TargetDir) -> Vec<Vec<u8>> {
    let mut names: Vec<_> = dir.source().unwrap().list().unwrap().into_iter().map(|entry| entry.name).collect();
    names.sort();
    names
}

#[test]
fn goes_down_without_following_links_either_way() {
    for resolver in [Resolver::Kernel, Resolver::Components] {
        let (dir, target) = target(resolver);
        let root = dir.path().join("a/b");
        assert_eq!(fs::metadata(&root).unwrap().mode() & 0o7777, 0o700, "made for us alone");
        assert!(!target.is_exposed().unwrap());
        fs::create_dir_all(root.join("x/y/z")).unwrap();
        fs::create_dir(dir.path().join("outside")).unwrap();
        symlink("../../outside", root.join("out")).unwrap();
        symlink("x/y", root.join("inner")).unwrap();
        symlink("/proc/self/fd", root.join("magic")).unwrap();
        let deep = target.open_dir(&[b"x", b"y", b"z"]).unwrap();
        assert_eq!(deep.stat_self().unwrap().inode, fs::metadata(root.join("x/y/z")).unwrap().ino());
        assert_eq!(target.open_dir(&[]).unwrap().path(), target.root().path());
        for components in [&[&b"out"[..]][..], &[b"inner"], &[b"inner", b"z"], &[b"magic", b"0"]] {
            assert!(target.open_dir(components).is_err(), "{resolver:?} {components:?}");
        }
        for name in [&b".."[..], b".", b"", b"x/y", b"/etc", b"x\0", &[b'n'; 256]] {
            assert!(matches!(target.open_dir(&[b"x", name]), Err(FsError::BadName { .. })), "{name:?}");
        }
        fs::set_permissions(&root, fs::Permissions::from_mode(0o770)).unwrap();
        assert!(target.is_exposed().unwrap());
    }
}

#[test]
fn goes_deeper_than_a_path_can_be_long() {
    for resolver in [Resolver::Kernel, Resolver::Components] {
        let (_dir, target) = target(resolver);
        let name = [b'd'; 255];
        let components = vec![&name[..]; 40];
        let mut at = target.root().clone();
        for name in &components {
            at = at.make_child(name).unwrap();
        }
        drop(at.create_file(b"f").unwrap());
        at.create_file(b"g").unwrap().commit(&metadata(0o644), &RestoreOptions::default()).unwrap();
        assert_eq!(names(&target.open_dir(&components).unwrap()), [b"g"]);
        target.root().remove(&name).unwrap();
        assert!(names(target.root()).is_empty());
    }
}

#[test]
fn a_child_replaces_what_is_no_directory_and_keeps_what_is() {
    let (dir, target) = target(Resolver::Kernel);
    let root = dir.path().join("a/b");
    let outside = dir.path().join("outside");
    fs::create_dir(&outside).unwrap();
    symlink(&outside, root.join("link")).unwrap();
    fs::write(root.join("file"), b"x").unwrap();
    fs::create_dir(root.join("dir")).unwrap();
    fs::write(root.join("dir/kept"), b"x").unwrap();
    fs::set_permissions(root.join("dir"), fs::Permissions::from_mode(0o555)).unwrap();
    for name in [&b"link"[..], b"file", b"dir", b"new"] {
        let child = target.root().make_child(name).unwrap();
        drop(child.create_file(b"f").unwrap());
        let stat = child.stat_self().unwrap();
        assert_eq!(target.root().stat(name).unwrap(), Some(stat));
        assert_eq!(stat.mode, if name == b"dir" { 0o755 } else { 0o700 });
        assert!(child.finish(&metadata(0o1555), &RestoreOptions::default()).is_empty());
        let stat = child.stat_self().unwrap();
        assert_eq!((stat.mode, stat.mtime), (0o1555, metadata(0).mtime));
    }
    assert_eq!(names(&target.open_dir(&[b"dir"]).unwrap()), [b"kept"]);
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
}

#[test]
fn a_committed_file_replaces_all_but_a_directory_with_entries() {
    let (dir, target) = target(Resolver::Kernel);
    let root = dir.path().join("a/b");
    let outside = dir.path().join("outside");
    fs::write(&outside, b"precious").unwrap();
    fs::write(root.join("file"), b"old").unwrap();
    symlink(&outside, root.join("link")).unwrap();
    fs::create_dir(root.join("empty")).unwrap();
    fs::create_dir_all(root.join("full/x")).unwrap();
    let options = RestoreOptions::default();
    for name in [&b"file"[..], b"link", b"empty", b"absent"] {
        let file = target.root().create_file(name).unwrap();
        file.set_len(10).unwrap();
        file.write_at(7, b"new").unwrap();
        let id = file.id().unwrap();
        assert!(file.commit(&metadata(0o640), &options).unwrap().is_empty());
        let stat = target.root().stat(name).unwrap().unwrap();
        assert_eq!((stat.id(), stat.kind, stat.mode, stat.size), (id, FileKind::File, 0o640, 10));
        assert_eq!(stat.mtime, metadata(0).mtime);
        assert_eq!(fs::read(root.join(std::ffi::OsStr::from_bytes(name))).unwrap(), b"\0\0\0\0\0\0\0new");
    }
    let refused = target.root().create_file(b"full").unwrap().commit(&metadata(0o644), &options);
    assert!(matches!(refused, Err(FsError::DirectoryInTheWay { path }) if path.ends_with(b"/full")));
    assert!(target.root().create_symlink(b"full", b"x", &metadata(0o777), &options).is_err());
    assert!(target.root().make_special(b"full", &Content::Fifo, &metadata(0o644), &options).is_err());
    drop(target.root().create_file(b"dropped").unwrap());
    assert_eq!(names(target.root()), [&b"absent"[..], b"empty", b"file", b"full", b"link"], "no temporary names left");
    assert_eq!(fs::read(&outside).unwrap(), b"precious");
}

#[test]
fn many_threads_write_one_file() {
    let (dir, target) = target(Resolver::Kernel);
    let file = target.root().create_file(b"f").unwrap();
    std::thread::scope(|scope| {
        for part in 0..8_u8 {
            let file = &file;
            scope.spawn(move || file.write_at(u64::from(part) * 100_000, &vec![part; 100_000]).unwrap());
        }
    });
    file.commit(&metadata(0o644), &RestoreOptions::default()).unwrap();
    let expected: Vec<u8> = (0..8_u8).flat_map(|part| vec![part; 100_000]).collect();
    assert_eq!(fs::read(dir.path().join("a/b/f")).unwrap(), expected);
}

#[test]
fn hard_links_are_to_the_file_that_was_restored() {
    let (dir, target) = target(Resolver::Kernel);
    let root = target.root();
    let file = root.create_file(b"f").unwrap();
    let id = file.id().unwrap();
    file.commit(&metadata(0o644), &RestoreOptions::default()).unwrap();
    let sub = root.make_child(b"sub").unwrap();
    fs::write(dir.path().join("a/b/sub/old"), b"in the way").unwrap();
    sub.hard_link(b"old", root, b"f", id).unwrap();
    // Once more: the name is a link to it already.
    sub.hard_link(b"old", root, b"f", id).unwrap();
    assert_eq!(names(&sub), [b"old"]);
    assert_eq!(root.stat(b"f").unwrap().unwrap().links, 2);

    for kind in ["file", "symlink"] {
        root.remove(b"f").unwrap();
        match kind {
            "file" => fs::write(dir.path().join("a/b/f"), b"other").unwrap(),
            _ => symlink("sub/old", dir.path().join("a/b/f")).unwrap(),
        }
        let swapped = sub.hard_link(b"new", root, b"f", id);
        assert!(matches!(swapped, Err(FsError::Replaced { .. })), "{kind}");
        assert_eq!(names(&sub), [b"old"]);
    }
    assert!(sub.hard_link(b"new", root, b"gone", id).unwrap_err().is_vanished());
}

#[test]
fn links_and_pipes_carry_their_own_metadata() {
    let (dir, target) = target(Resolver::Kernel);
    let outside = dir.path().join("outside");
    fs::write(&outside, b"precious").unwrap();
    let before = fs::metadata(&outside).unwrap();
    let options = RestoreOptions::default();
    let link = outside.as_os_str().as_bytes();
    assert!(target.root().create_symlink(b"l", link, &metadata(0o777), &options).unwrap().warnings.is_empty());
    assert!(target.root().make_special(b"p", &Content::Fifo, &metadata(0o1640), &options).unwrap().warnings.is_empty());
    let stat = target.root().stat(b"l").unwrap().unwrap();
    assert_eq!((stat.kind, stat.mtime), (FileKind::Symlink, metadata(0).mtime));
    let stat = target.root().stat(b"p").unwrap().unwrap();
    assert_eq!((stat.kind, stat.mode, stat.mtime), (FileKind::Fifo, 0o1640, metadata(0).mtime));
    let after = fs::metadata(&outside).unwrap();
    assert_eq!((before.mtime(), before.ctime(), before.mode()), (after.mtime(), after.ctime(), after.mode()));
    for bad in [&b""[..], b"a\0b", &[b'a'; LONG]] {
        let refused = target.root().create_symlink(b"x", bad, &metadata(0o777), &options);
        assert!(matches!(refused, Err(FsError::BadLinkTarget { .. })));
    }
    let socket = target.root().make_special(b"s", &Content::Socket, &metadata(0o644), &options);
    assert!(matches!(socket, Err(FsError::UnknownType { .. })));
    assert_eq!(names(target.root()), [b"l", b"p"]);
}

const LONG: usize = crate::format::node::LINK_TARGET_MAX + 1;

#[test]
fn removing_follows_nothing() {
    let (dir, target) = target(Resolver::Kernel);
    let root = dir.path().join("a/b");
    let outside = dir.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("precious"), b"x").unwrap();
    fs::create_dir_all(root.join("tree/deep")).unwrap();
    symlink(&outside, root.join("tree/deep/link")).unwrap();
    symlink(&outside, root.join("link")).unwrap();
    fs::write(root.join("file"), b"x").unwrap();
    for name in [&b"tree"[..], b"link", b"file", b"never there"] {
        target.root().remove(name).unwrap();
    }
    assert!(matches!(target.root().remove(b".."), Err(FsError::BadName { .. })));
    assert!(names(target.root()).is_empty());
    assert!(outside.join("precious").exists());
}

#[test]
fn a_time_that_is_a_code_of_the_kernel_is_refused_with_a_warning() {
    let (_dir, target) = target(Resolver::Kernel);
    let mut metadata = metadata(0o644);
    metadata.mtime.nanoseconds = 0x3fff_ffff; // "now"
    let warnings = target.root().create_file(b"f").unwrap().commit(&metadata, &RestoreOptions::default()).unwrap();
    assert_eq!(warnings.len(), 1);
    assert_eq!(warnings[0].operation, Operation::SetTimes);
    assert!(warnings[0].to_string().starts_with("cannot set the times of `"), "{}", warnings[0]);
}
