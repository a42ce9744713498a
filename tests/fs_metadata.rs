//! What is read of a file's metadata is what is restored: attributes, access lists, owners, modes and times, in the
//! order in which none undoes another. What cannot be set comes back as a warning. Parts that need root, another user
//! or a mount of their own say so when they are skipped.

#![expect(clippy::unwrap_used, clippy::print_stdout, clippy::disallowed_methods, reason = "tests")]

use cairn::clock::Timestamp;
use cairn::format::node::{Content, Metadata, Owner, Xattr};
use cairn::fs::{
    ExcludeOptions, Excludes, LocalIds, Operation, Owners, Ownership, RestoreOptions, SourceDir, SourceFile, Target,
    TargetDir, Warning, metadata,
};
use rustix::fs::{XattrFlags, lsetxattr, setxattr};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use tempfile::TempDir;

/// Set in the process that a test has started to run its second half as another user or in other mounts.
const SECOND_HALF: &str = "CAIRN_TEST_DIRECTORY";

fn place() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn plain(mode: u32, uid: u32, gid: u32) -> Metadata {
    Metadata {
        mode,
        owner: Arc::new(Owner { uid, gid, user: Vec::new(), group: Vec::new() }),
        mtime: Timestamp { seconds: 1_000_000_000, nanoseconds: 987_654_321 },
        ctime: Timestamp::EPOCH,
        inode: 1,
        device: 1,
        links: 1,
        btime: None,
        inode_flags: 0,
        xattrs: Vec::new(),
    }
}

fn xattr(name: &str, value: &[u8]) -> Xattr {
    Xattr { name: name.as_bytes().to_vec(), value: value.to_vec() }
}

fn restore(dir: &TargetDir, name: &str, metadata: &Metadata, options: &RestoreOptions) -> Vec<Warning> {
    let file = dir.create_file(name.as_bytes()).unwrap();
    file.write_at(0, b"content").unwrap();
    file.commit(metadata, options).unwrap()
}

fn read(dir: &Path, name: &str) -> Metadata {
    let dir = SourceDir::open_root(dir).unwrap();
    let found = dir.entry_xattrs(name.as_bytes()).unwrap();
    assert!(found.warnings.is_empty(), "{:?}", found.warnings);
    metadata(&dir.stat(name.as_bytes()).unwrap(), &Owners::new(), found)
}

/// Whether `path` can have attributes `name`; says so if not.
fn supports(path: &Path, name: &str, value: &[u8]) -> bool {
    match lsetxattr(path, name, value, XattrFlags::empty()) {
        Ok(()) => true,
        Err(errno) => {
            println!("SKIPPED: cannot set {name} on {}: {errno}", path.display());
            false
        }
    }
}

/// An access list in the kernel's form: owner `rw`, user 4711 `rw`, group `r`, mask `rw`, others nothing.
fn access_list() -> Vec<u8> {
    let mut list = 2_u32.to_le_bytes().to_vec();
    for (tag, rights, id) in
        [(1_u16, 6_u16, u32::MAX), (2, 6, 4711), (4, 4, u32::MAX), (0x10, 6, u32::MAX), (0x20, 0, u32::MAX)]
    {
        list.extend(tag.to_le_bytes());
        list.extend(rights.to_le_bytes());
        list.extend(id.to_le_bytes());
    }
    list
}

#[test]
fn attributes_make_the_round_trip() {
    let dir = place();
    let from = dir.path().join("from");
    fs::create_dir_all(from.join("d")).unwrap();
    fs::write(from.join("f"), b"content").unwrap();
    if !supports(&from.join("f"), "user.empty", b"") {
        return;
    }
    // More than the first look at a list has room for, not in order; ext4 keeps 4 KiB of them.
    for index in (0..60).rev() {
        setxattr(from.join("f"), format!("user.{index:04}-{}", "n".repeat(20)), b"\0\xff", XattrFlags::empty())
            .unwrap();
    }
    setxattr(from.join("d"), "user.on-directory", b"x", XattrFlags::empty()).unwrap();
    setxattr(&from, "user.self", b"y", XattrFlags::empty()).unwrap();

    let source = SourceDir::open_root(&from).unwrap();
    assert_eq!(source.xattrs().xattrs, [xattr("user.self", b"y")]);
    let stat = source.stat(b"f").unwrap();
    let by_file = SourceFile::open(&source, b"f", &stat).unwrap().xattrs();
    assert!(by_file.warnings.is_empty());
    let file = read(&from, "f");
    assert_eq!(file.xattrs, by_file.xattrs, "the same by either way");
    assert_eq!(file.xattrs.len(), 61);
    assert!(file.xattrs.is_sorted());

    let target = Target::open(&dir.path().join("to")).unwrap();
    let options = RestoreOptions::default();
    let child = target.root().make_child(b"d").unwrap();
    setxattr(dir.path().join("to/d"), "user.left-from-before", b"", XattrFlags::empty()).unwrap();
    let warnings = child.finish(&read(&from, "d"), &options);
    assert!(warnings.is_empty(), "{warnings:?}");
    let warnings = restore(target.root(), "f", &file, &options);
    assert!(warnings.is_empty(), "{warnings:?}");
    for name in ["f", "d"] {
        let (was, is) = (read(&from, name), read(&dir.path().join("to"), name));
        assert_eq!((was.xattrs, was.mode, was.mtime, was.owner), (is.xattrs, is.mode, is.mtime, is.owner), "{name}");
    }
}

#[test]
fn an_attribute_that_cannot_be_set_is_a_warning_with_its_name() {
    let dir = place();
    let target = Target::open(dir.path()).unwrap();
    let us = rustix::process::geteuid().as_raw();
    let mut metadata = plain(0o644, us, rustix::process::getegid().as_raw());
    metadata.xattrs = vec![xattr("nonsense.x", b"1"), xattr("user.\0hidden", b"1")];
    let warnings = restore(target.root(), "f", &metadata, &RestoreOptions::default());
    let seen: Vec<_> = warnings.iter().map(|warning| (warning.operation, warning.attribute.as_slice())).collect();
    assert_eq!(seen, [(Operation::SetXattr, &b"user.\0hidden"[..]), (Operation::SetXattr, b"nonsense.x")]);
    let text = warnings[1].to_string();
    assert!(text.ends_with("/f` (`nonsense.x`)"), "{text}");
    assert_eq!(fs::read(dir.path().join("f")).unwrap(), b"content");
}

#[test]
fn attributes_of_links_and_pipes() {
    if !is_root() {
        println!("SKIPPED: only root may set attributes of symbolic links");
        return;
    }
    let dir = place();
    let from = dir.path().join("from");
    fs::create_dir(&from).unwrap();
    fs::write(dir.path().join("aim"), b"").unwrap();
    symlink("../aim", from.join("l")).unwrap();
    if !supports(&from.join("l"), "trusted.cairn", b"on the link") {
        return;
    }
    let source = read(&from, "l");
    assert_eq!(source.xattrs, [xattr("trusted.cairn", b"on the link")]);
    assert_eq!(read(dir.path(), "aim").xattrs, []);
    let target = Target::open(&dir.path().join("to")).unwrap();
    let options = RestoreOptions::default();
    let warnings = target.root().create_symlink(b"l", b"../aim", &source, &options).unwrap().warnings;
    assert!(warnings.is_empty(), "{warnings:?}");
    let warnings = target.root().make_special(b"p", &Content::Fifo, &source, &options).unwrap().warnings;
    assert!(warnings.is_empty(), "{warnings:?}");
    assert_eq!(read(&dir.path().join("to"), "l").xattrs, source.xattrs);
    assert_eq!(read(&dir.path().join("to"), "p").xattrs, source.xattrs);
    assert_eq!(read(dir.path(), "aim").xattrs, []);
    assert_eq!(read(dir.path(), "aim").owner.uid, 0);
}

#[test]
fn setuid_and_capabilities_outlive_the_change_of_owner() {
    if !is_root() {
        println!("SKIPPED: only root may give files away");
        return;
    }
    let dir = place();
    let target = Target::open(dir.path()).unwrap();
    // CAP_NET_BIND_SERVICE, effective; version 2.
    let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let mut metadata = plain(0o6755, 4711, 4712);
    metadata.xattrs = vec![xattr("security.capability", &capability)];
    let warnings = restore(target.root(), "f", &metadata, &RestoreOptions::default());
    assert!(warnings.is_empty(), "{warnings:?}");
    let restored = read(dir.path(), "f");
    assert_eq!((restored.mode, restored.owner.uid, restored.owner.gid), (0o6755, 4711, 4712));
    assert_eq!((restored.mtime, &restored.xattrs), (metadata.mtime, &metadata.xattrs));

    let child = target.root().make_child(b"d").unwrap();
    let directory = plain(0o3775, 4711, 4712);
    assert!(child.finish(&directory, &RestoreOptions::default()).is_empty());
    let restored = read(dir.path(), "d");
    assert_eq!((restored.mode, restored.owner.uid, restored.mtime), (0o3775, 4711, directory.mtime));

    // Device numbers, too: the null device.
    let device = Content::CharDevice { major: 1, minor: 3 };
    match target.root().make_special(b"null", &device, &plain(0o666, 0, 4712), &RestoreOptions::default()) {
        Ok(made) => {
            assert!(made.warnings.is_empty(), "{:?}", made.warnings);
            let stat = SourceDir::open_root(dir.path()).unwrap().stat(b"null").unwrap();
            assert_eq!((stat.rdev_major, stat.rdev_minor, stat.mode, stat.gid), (1, 3, 0o666, 4712));
        }
        Err(error) => println!("SKIPPED: devices are not permitted here: {error}"),
    }
}

#[test]
fn setuid_is_left_off_when_the_owner_is_another_one() {
    let dir = place();
    let target = Target::open(dir.path()).unwrap();
    let ignore = RestoreOptions::new(Ownership::Ignore);
    let warnings = restore(target.root(), "f", &plain(0o6755, 4711, 4712), &ignore);
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert_eq!(warnings[0].operation, Operation::SetMode);
    assert_eq!(read(dir.path(), "f").mode, 0o755);
    let (us, group) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    assert!(restore(target.root(), "g", &plain(0o6755, us, group), &ignore).is_empty());
    assert_eq!(read(dir.path(), "g").mode, 0o6755);
    assert!(restore(target.root(), "h", &plain(0o644, 4711, 4712), &ignore).is_empty(), "asked for, so no warning");
}

#[test]
fn owners_by_name() {
    if !is_root() {
        println!("SKIPPED: only root may give files away");
        return;
    }
    let dir = place();
    let target = Target::open(dir.path()).unwrap();
    let mut metadata = plain(0o644, 4711, 4712);
    metadata.owner = Arc::new(Owner { uid: 4711, gid: 4712, user: b"root".to_vec(), group: b"nobody here".to_vec() });
    let by_name = RestoreOptions::new(Ownership::ByName(Arc::new(LocalIds::new())));
    assert!(restore(target.root(), "f", &metadata, &by_name).is_empty());
    let owner = read(dir.path(), "f").owner;
    assert_eq!((owner.uid, owner.gid), (0, 4712));
}

#[test]
fn access_lists_are_restored_and_not_inherited_from_the_target() {
    let dir = place();
    let list = access_list();
    if !supports(dir.path(), "system.posix_acl_default", &list) {
        return;
    }
    fs::write(dir.path().join("inherits"), b"").unwrap();
    assert_eq!(read(dir.path(), "inherits").xattrs.len(), 1, "the test's directory does hand its list down");
    let target = Target::open(dir.path()).unwrap();
    let options = RestoreOptions::default();
    let (us, group) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let without = plain(0o664, us, group);
    let mut with = plain(0o660, us, group);
    with.xattrs = vec![xattr("system.posix_acl_access", &list)];
    for (name, metadata) in [("without", &without), ("with", &with)] {
        let pipe = format!("{name}-pipe");
        let child = format!("{name}-dir");
        let mut warnings = restore(target.root(), name, metadata, &options);
        warnings
            .extend(target.root().make_special(pipe.as_bytes(), &Content::Fifo, metadata, &options).unwrap().warnings);
        warnings.extend(target.root().make_child(child.as_bytes()).unwrap().finish(metadata, &options));
        assert!(warnings.is_empty(), "{warnings:?}");
        for name in [name, &pipe, &child] {
            let restored = read(dir.path(), name);
            assert_eq!((&restored.xattrs, restored.mode), (&metadata.xattrs, metadata.mode), "{name}");
        }
    }
}

/// Runs `test` of this file again under `wrapper`, telling it `dir`; says so where it cannot be started.
fn run_second_half(test: &str, wrapper: &[&str], dir: &Path) {
    let mut command = Command::new(wrapper[0]);
    command.args(&wrapper[1..]).arg(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture"]).env(SECOND_HALF, dir);
    let output = match command.output() {
        Ok(output) => output,
        Err(error) => {
            println!("SKIPPED: cannot start {}: {error}", wrapper[0]);
            return;
        }
    };
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    if !text.contains("running 1 test") {
        println!("SKIPPED: {} did not run the test: {text}", wrapper[0]);
        return;
    }
    assert!(output.status.success(), "{text}");
    for line in text.lines().filter(|line| line.contains("SKIPPED") || line.contains("checked")) {
        println!("{line}");
    }
}

#[test]
fn without_being_root() {
    if let Some(dir) = std::env::var_os(SECOND_HALF) {
        return as_somebody(Path::new(&dir));
    }
    if !is_root() {
        println!("SKIPPED: only root can become somebody else");
        return;
    }
    // Where somebody else can get to.
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
    fs::write(dir.path().join("root's"), b"readable").unwrap();
    fs::write(dir.path().join("secret"), b"").unwrap();
    fs::set_permissions(dir.path().join("secret"), fs::Permissions::from_mode(0o600)).unwrap();
    let wrapper = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    run_second_half("without_being_root", &wrapper, dir.path());
}

fn as_somebody(dir: &Path) {
    let us = rustix::process::geteuid().as_raw();
    assert_ne!(us, 0);
    let source = SourceDir::open_root(dir).unwrap();
    // Not ours: without leaving its access time alone, then.
    let stat = source.stat(b"root's").unwrap();
    let mut content = [0; 20];
    let file = SourceFile::open(&source, b"root's", &stat).unwrap();
    assert_eq!(file.read_at(0, &mut content).unwrap(), 8);
    let secret = SourceFile::open(&source, b"secret", &source.stat(b"secret").unwrap()).unwrap_err();
    assert_eq!(secret.io_kind(), Some(std::io::ErrorKind::PermissionDenied));

    let target = Target::open(&dir.join("to")).unwrap();
    let options = RestoreOptions::default();
    let warnings = restore(target.root(), "given", &plain(0o6755, 0, us), &options);
    let operations: Vec<_> = warnings.iter().map(|warning| warning.operation).collect();
    assert_eq!(operations, [Operation::SetOwner, Operation::SetMode], "{warnings:?}");
    assert_eq!(read(&dir.join("to"), "given").mode, 0o2755);
    // A read-only file takes its attributes before it is one.
    if supports(&dir.join("to/given"), "user.supported", b"") {
        let mut metadata = plain(0o444, us, us);
        metadata.xattrs = vec![xattr("user.x", b"1")];
        assert!(restore(target.root(), "read-only", &metadata, &options).is_empty());
        assert_eq!(read(&dir.join("to"), "read-only").xattrs, metadata.xattrs);
    }
    // A directory made read-only by an earlier restore can be restored into again.
    for _ in 0..2 {
        let child = target.root().make_child(b"d").unwrap();
        assert!(restore(&child, "f", &plain(0o444, us, us), &options).is_empty());
        assert!(child.finish(&plain(0o555, us, us), &options).is_empty());
    }
    assert!(!target.is_exposed().unwrap());
    println!("checked as user {us}");
}

#[test]
fn own_directories_are_known_through_a_bind_mount() {
    if let Some(dir) = std::env::var_os(SECOND_HALF) {
        return in_own_mounts(Path::new(&dir));
    }
    if !is_root() {
        println!("SKIPPED: only root may mount");
        return;
    }
    let dir = place();
    for name in ["repository", "elsewhere", "other"] {
        fs::create_dir(dir.path().join(name)).unwrap();
    }
    let wrapper = ["unshare", "--mount", "--propagation", "private"];
    run_second_half("own_directories_are_known_through_a_bind_mount", &wrapper, dir.path());
}

fn in_own_mounts(dir: &Path) {
    let mounted = Command::new("mount")
        .args(["--bind", "repository", "elsewhere"])
        .current_dir(dir)
        .status()
        .is_ok_and(|status| status.success());
    if !mounted {
        println!("SKIPPED: mounting is not permitted here");
        return;
    }
    let source = SourceDir::open_root(dir).unwrap();
    let own_paths = vec![dir.join("repository")];
    let excludes = Excludes::new(&ExcludeOptions { own_paths, ..ExcludeOptions::default() }).unwrap();
    let stat = source.stat(b"elsewhere").unwrap();
    assert_eq!(stat.inode, fs::metadata(dir.join("repository")).unwrap().ino());
    assert_ne!(stat.mount_id, source.stat_self().unwrap().mount_id, "it is a mount");
    assert!(excludes.excludes_entry(b"/anything", &stat));
    assert!(!excludes.excludes_entry(b"/anything", &source.stat(b"other").unwrap()));
    println!("checked through a bind mount");
}
