//! A tree with one of everything that a Linux file system has, and comparers of such trees.

use crate::support::tree::{self, Numbers};
use rustix::fs::{FileType, Mode, Timespec, Timestamps, XattrFlags, mknodat};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Differences in anything that rsync compares: contents, types, modes, owners, times, links, attributes, access lists.
pub(crate) fn rsync(left: &Path, right: &Path) -> String {
    let slash = |path: &Path| [path.as_os_str().as_bytes(), b"/"].concat();
    let output = Command::new("rsync")
        .args(["-aHAXnci", "--numeric-ids", "--specials", "--devices", "--delete"])
        .args([left, right].map(|path| std::ffi::OsString::from(std::ffi::OsStr::from_bytes(&slash(path)))))
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "rsync: {error}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Extended attributes by path and name, of everything in a tree.
pub(crate) fn attributes(root: &Path) -> BTreeMap<(PathBuf, Vec<u8>), Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut pending = vec![root.to_path_buf()];
    while let Some(path) = pending.pop() {
        let mut names = vec![0; 1 << 16];
        let len = rustix::fs::llistxattr(&path, &mut names[..]).unwrap();
        for name in names[..len].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
            let mut value = vec![0; 1 << 16];
            let len = rustix::fs::lgetxattr(&path, name, &mut value[..]).unwrap();
            let relative = path.strip_prefix(root).unwrap().to_path_buf();
            found.insert((relative, name.to_vec()), value[..len].to_vec());
        }
        if path.symlink_metadata().unwrap().is_dir() {
            pending.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    found
}

pub(crate) fn set_time(path: &Path, seconds: i64, nanoseconds: i64) {
    let time = Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
    let times = Timestamps { last_access: time, last_modification: time };
    rustix::fs::utimensat(rustix::fs::CWD, path, &times, rustix::fs::AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

/// One of everything that a Linux file system has, beside a random tree.
pub(crate) fn make_everything(root: &Path, numbers: &mut Numbers) {
    tree::make(root, 250, numbers);
    let at = |name: &str| root.join(name);
    fs::write(root.join(std::ffi::OsStr::from_bytes(b"not \xff\xfe utf-8\n")), b"name").unwrap();
    fs::write(at("attributes"), b"x").unwrap();
    let long = [0xa5; 3000];
    for (name, value) in [
        ("user.comment", &b"a comment"[..]),
        ("user.empty", b""),
        ("user.long", &long),
        ("trusted.t", b"trusted"),
        // Version 2, cap_net_raw, effective.
        ("security.capability", b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
    ] {
        rustix::fs::setxattr(at("attributes"), name, value, XattrFlags::empty()).unwrap();
    }
    for (arguments, name) in
        [(&["-m", "u:12345:r,g:23456:rw"][..], "access"), (&["-d", "-m", "u:12345:rwx"], "default")]
    {
        if name == "default" {
            fs::create_dir(at(name)).unwrap()
        } else {
            fs::write(at(name), b"y").unwrap()
        }
        let status = Command::new("setfacl").args(arguments).arg(at(name)).status().unwrap();
        assert!(status.success(), "setfacl");
    }
    for (name, kind, device) in [
        ("fifo", FileType::Fifo, 0),
        ("socket", FileType::Socket, 0),
        ("null", FileType::CharacterDevice, rustix::fs::makedev(1, 3)),
        ("disk", FileType::BlockDevice, rustix::fs::makedev(259, 70_000)),
    ] {
        mknodat(rustix::fs::CWD, at(name), kind, Mode::from_raw_mode(0o640), device).unwrap();
    }
    fs::write(at("linked"), b"three names").unwrap();
    fs::create_dir(at("sub")).unwrap();
    fs::hard_link(at("linked"), at("sub/linked")).unwrap();
    fs::hard_link(at("linked"), at("linked too")).unwrap();
    fs::hard_link(at("fifo"), at("sub/fifo too")).unwrap();
    symlink("nowhere/\u{1f4a5}", at("link")).unwrap();
    fs::hard_link(at("link"), at("link too")).unwrap();
    for (name, mode, owner) in [("setuid", 0o6755, 12), ("closed", 0o000, 34)] {
        fs::write(at(name), name).unwrap();
        std::os::unix::fs::chown(at(name), Some(owner), Some(owner + 1)).unwrap();
        fs::set_permissions(at(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    fs::create_dir(at("sticky")).unwrap();
    fs::set_permissions(at("sticky"), fs::Permissions::from_mode(0o1777)).unwrap();
    let sparse = File::create(at("sparse")).unwrap();
    sparse.set_len(5 << 20).unwrap();
    sparse.write_all_at(b"middle", 3 << 20).unwrap();
    fs::write(at("large"), numbers.bytes(24 << 20)).unwrap();
    for (name, seconds, nanoseconds) in
        [("old", -1_000_000_000, 1), ("just before", -1, 999_999_999), ("late", 9_000_000_000, 123_456_789)]
    {
        fs::write(at(name), name).unwrap();
        set_time(&at(name), seconds, nanoseconds);
    }
    set_time(&at("link"), 1_000_000_000, 5);
    set_time(&at("sticky"), 1_111_111_111, 7);
}
