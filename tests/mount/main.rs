//! `cairn mount` with a real kernel: what is shown is the tree that was backed up, to rsync and to a comparer that knows
//! nothing of cairn; damage fails the files that it hits and no others; and however it ends, no dead mount is left.
//!
//! Needs root and a `/dev/fuse` that can be opened; otherwise every test says that it was skipped.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests say what they covered")]

mod everything;
mod home;
#[path = "../support/mod.rs"]
mod support;

use everything::{attributes, make_everything, rsync, set_time};
use home::{Home, is_mounted, obstacle};
use rustix::process::Signal;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use support::compare;
use support::tree::Numbers;

/// Whoever has no rights.
const NOBODY: u32 = 65_534;

macro_rules! needs_fuse {
    () => {
        if let Some(why) = obstacle() {
            println!("SKIPPED: {why}");
            return;
        }
    };
}

#[test]
fn a_mount_is_the_tree_that_was_backed_up() {
    needs_fuse!();
    let mut numbers = Numbers(support::seed("mount"));
    let home = Home::new();
    let source = home.path("source");
    make_everything(&source, &mut numbers);
    home.back_up();
    let snapshots: serde_json::Value = serde_json::from_str(&home.run(&["snapshots", "--json"])).unwrap();
    let short = snapshots[0]["short_id"].as_str().unwrap();
    let mounted = home.mount(&[]);
    let below = source.canonicalize().unwrap();
    let below = below.strip_prefix("/").unwrap();
    let shown = mounted.point.join("snapshots/latest").join(below);

    assert_eq!(rsync(&source, &shown), "");
    let (mut expected, found) = (compare::describe(&source), compare::describe(&shown));
    assert_eq!(compare::differences_of(&expected, &found), Vec::<String>::new());
    assert_eq!(attributes(&shown), attributes(&source));
    // The comparison sees differences where there are some.
    fs::write(source.join("late"), b"other").unwrap();
    assert!(rsync(&source, &shown).lines().count() == 1 && compare::differences(&source, &shown).len() == 1);
    fs::write(source.join("late"), b"late").unwrap();
    set_time(&source.join("late"), 9_000_000_000, 123_456_789);

    // The same under every name that it has.
    let time = fs::read_link(mounted.point.join("snapshots/latest")).unwrap();
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    for way in [format!("ids/{short}"), format!("hosts/{host}/latest"), format!("snapshots/{}", time.display())] {
        assert_eq!(fs::read(mounted.point.join(&way).join(below).join("linked")).unwrap(), b"three names", "{way}");
    }
    let top: Vec<_> = fs::read_dir(&mounted.point).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(top, ["hosts", "ids", "snapshots", "tags"]);

    // Nothing can be changed.
    for result in [
        fs::write(shown.join("new"), b"x"),
        fs::write(shown.join("late"), b"x"),
        fs::remove_file(shown.join("late")),
        fs::set_permissions(shown.join("late"), fs::Permissions::from_mode(0o777)),
        fs::create_dir(mounted.point.join("ids/new")),
    ] {
        assert_eq!(result.unwrap_err().raw_os_error(), Some(30), "EROFS");
    }

    // Many at once, at any offset, while others list.
    let large = fs::read(source.join("large")).unwrap();
    let seed = numbers.next();
    std::thread::scope(|scope| {
        for reader in 0..8 {
            let (large, shown) = (&large, &shown);
            scope.spawn(move || {
                let mut numbers = Numbers(seed + reader);
                let file = File::open(shown.join("large")).unwrap();
                for _ in 0..100 {
                    let offset = numbers.below(large.len() as u64);
                    let mut bytes = vec![0; numbers.below(300_000) as usize];
                    let mut filled = 0;
                    while let read @ 1.. = file.read_at(&mut bytes[filled..], offset + filled as u64).unwrap() {
                        filled += read;
                    }
                    let end = large.len().min(offset as usize + bytes.len());
                    assert!(bytes[..filled] == large[offset as usize..end], "offset {offset}, {} bytes", bytes.len());
                }
            });
        }
        for _ in 0..3 {
            let (source, shown) = (&source, &shown);
            scope.spawn(move || assert_eq!(compare::differences(source, shown), Vec::<String>::new()));
        }
    });

    let (code, output, error) = mounted.unmount();
    assert_eq!((code, error.as_str()), (Some(0), ""), "{output}");
    // Every file once, however often it was opened and under however many names; but its two views are two files.
    expected.retain(|_, line| line.starts_with("file"));
    let mut inodes: Vec<u64> = expected.keys().map(|path| source.join(path).metadata().unwrap().ino()).collect();
    inodes.sort_unstable();
    inodes.dedup();
    let opened: u64 =
        output.split(" files opened").next().unwrap().rsplit(' ').next().unwrap().replace(',', "").parse().unwrap();
    assert_eq!(opened, inodes.len() as u64 + 2, "{output}");
    println!("counts: mount: {} entries compared, {} files opened", compare::describe(&source).len(), opened);
    home.run(&["audit", "verify"]);
    let log = home.run(&["audit", "show"]);
    assert!(log.lines().any(|line| line.contains("run.started") && line.contains("mount")), "{log}");
    assert!(log.lines().any(|line| line.contains("content.recovered")), "{log}");
}

#[test]
fn a_part_of_one_snapshot_and_the_ways_to_end() {
    needs_fuse!();
    let home = Home::new();
    fs::create_dir(home.path("source/dir")).unwrap();
    fs::write(home.path("source/dir/file"), vec![7; 300_000]).unwrap();
    home.back_up();
    let part = format!("latest:{}/dir", home.path("source").canonicalize().unwrap().display());
    for (signal, json) in [(Signal::TERM, true), (Signal::INT, false), (Signal::HUP, true)] {
        let arguments = ["--json", &part];
        let mounted = home.mount(&arguments[usize::from(!json)..]);
        let shown: Vec<_> = fs::read_dir(&mounted.point).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(shown, ["file"]);
        assert_eq!(rsync(&home.path("source/dir"), &mounted.point), "");
        let point = mounted.point.clone();
        mounted.signal(signal);
        let (code, output, error) = mounted.wait();
        assert_eq!((code, error.as_str(), is_mounted(&point)), (Some(0), "", false), "{output}");
        if json {
            let summary: serde_json::Value = serde_json::from_str(output.lines().last().unwrap()).unwrap();
            assert_eq!((&summary["files_opened"], &summary["bytes_read"]), (&1.into(), &300_000.into()), "{summary}");
        }
    }

    // In use: it is taken away all the same, and whoever has it open is told.
    let mounted = home.mount(&[&part]);
    let (point, open) = (mounted.point.clone(), File::open(mounted.point.join("file")).unwrap());
    mounted.signal(Signal::TERM);
    let (code, _, error) = mounted.wait();
    assert_eq!((code, is_mounted(&point)), (Some(0), false), "{error}");
    assert!(error.contains("is in use"), "{error}");
    assert!(open.read_at(&mut [0; 10], 0).is_err());
    drop(open);

    // Killed: what is left is a mount without a process, that can be taken away, that the next mount names, and a run that
    // the next one closes.
    let mounted = home.mount(&[&part]);
    fs::read(mounted.point.join("file")).unwrap();
    let dead = mounted.kill();
    let (code, error) = home.refused(&[point.to_str().unwrap()]);
    assert!(code == Some(1) && error.contains("whose process has ended"), "{code:?} {error}");
    assert!(Command::new("umount").arg(&point).status().unwrap().success());
    drop(dead);
    let mounted = home.mount(&[&part]);
    let (code, _, error) = mounted.unmount();
    assert_eq!(code, Some(0));
    assert!(error.contains("closed as partial"), "{error}");
    home.run(&["audit", "verify"]);
    let log = home.run(&["audit", "show"]);
    assert!(log.lines().any(|line| line.contains("partial  run.finished")), "{log}");
}

#[test]
fn damage_fails_the_files_it_hits_and_no_others() {
    needs_fuse!();
    let mut numbers = Numbers(support::seed("mount damage"));
    let home = Home::new();
    for file in 0..40 {
        // Nothing that compresses, so that a flipped byte is in a file.
        let bytes: Vec<u8> = (0..60_000 / 8).flat_map(|_| numbers.next().to_le_bytes()).collect();
        fs::write(home.path(&format!("source/file-{file:02}")), bytes).unwrap();
    }
    home.back_up();
    let mut packs = Vec::new();
    let mut pending = vec![home.path("repository")];
    while let Some(dir) = pending.pop() {
        for entry in fs::read_dir(dir).unwrap().map(|entry| entry.unwrap()) {
            if entry.file_type().unwrap().is_dir() {
                pending.push(entry.path());
            } else {
                packs.push((entry.metadata().unwrap().len(), entry.path()));
            }
        }
    }
    let (len, pack) = packs.into_iter().max().unwrap();
    assert!(len > 1_500_000, "the pack of the contents");
    fs::set_permissions(&pack, fs::Permissions::from_mode(0o600)).unwrap();
    let file = File::options().read(true).write(true).open(&pack).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, len / 2).unwrap();
    file.write_all_at(&[byte[0] ^ 1], len / 2).unwrap();
    drop(file);

    let part = format!("latest:{}", home.path("source").canonicalize().unwrap().display());
    let mounted = home.mount(&[&part]);
    let (mut good, mut bad) = (0, Vec::new());
    for _ in 0..2 {
        for number in 0..40 {
            let name = format!("file-{number:02}");
            match fs::read(mounted.point.join(&name)) {
                Ok(bytes) => {
                    assert!(bytes == fs::read(home.path("source").join(&name)).unwrap(), "{name}");
                    good += 1;
                }
                Err(error) => {
                    assert_eq!(error.raw_os_error(), Some(5), "{name}: {error}");
                    bad.push(name);
                }
            }
        }
    }
    bad.sort();
    bad.dedup();
    assert!(good >= 40 && !bad.is_empty(), "{good} {bad:?}");
    assert_eq!(fs::read_dir(&mounted.point).unwrap().count(), 40);
    let (code, output, error) = mounted.unmount();
    assert_eq!(code, Some(22), "{output} {error}");
    let named: Vec<_> = error.lines().filter(|line| line.starts_with("failed: ")).collect();
    assert_eq!(named.len(), bad.len(), "each once: {error}");
    assert!(bad.iter().all(|name| named.iter().any(|line| line.contains(name.as_str()))), "{bad:?}: {error}");
    assert!(output.contains(&format!("{} failed", bad.len())), "{output}");
    println!("counts: mount: {} of 40 files damaged by one bit", bad.len());
}

#[test]
fn others_are_let_in_by_choice_and_by_what_modes_allow() {
    needs_fuse!();
    let home = Home::new();
    for (name, mode) in [("open", 0o644), ("closed", 0o600), ("listed", 0o600)] {
        fs::write(home.path("source").join(name), name).unwrap();
        fs::set_permissions(home.path("source").join(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    let access =
        Command::new("setfacl").args(["-m", &format!("u:{NOBODY}:r")]).arg(home.path("source/listed")).status();
    assert!(access.unwrap().success());
    fs::set_permissions(home.dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    home.back_up();
    let part = format!("latest:{}", home.path("source").canonicalize().unwrap().display());
    let read = |name: &str| {
        let mut command = Command::new("cat");
        let path = home.path("mnt").join(name);
        command.arg(path).uid(NOBODY).gid(NOBODY).stdout(Stdio::piped()).stderr(Stdio::null());
        command.output().unwrap().status.success()
    };
    for (options, expected) in [
        (&[][..], [false, false, false]),
        (&["--allow-other"], [true, false, true]),
        (&["--allow-other", "--no-default-permissions"], [true, true, true]),
    ] {
        let mounted = home.mount(&[options, &[&part]].concat());
        assert_eq!(["open", "closed", "listed"].map(read), expected, "{options:?}");
        assert_eq!(mounted.unmount().0, Some(0));
    }
}

#[test]
fn what_cannot_be_mounted_is_said_with_a_way_out() {
    let home = Home::new();
    fs::write(home.path("source/file"), b"x").unwrap();
    home.back_up();
    let at = |below: &str| home.path(below).to_str().unwrap().to_owned();
    for (arguments, code, text) in [
        (&[&at("nowhere")[..]][..], 1, "there is no such directory"),
        (&[&at("source/file")], 1, "it is not a directory"),
        (&[&at("")], 2, "would be hidden"),
        (&[&at("state")], 2, "would be hidden"),
        (&[&at("mnt"), "latest:/nowhere"], 1, "not in the snapshot"),
        (&[&at("mnt"), &format!("latest:{}", at("source/file"))], 2, "is not a directory"),
        (&[&at("mnt"), "nonsense"], 1, "no snapshot fits"),
        (&[&at("mnt"), "--repo", &at("nothing")], 10, "no repository"),
    ] {
        let (found, error) = home.refused(arguments);
        assert!(found == Some(code) && error.contains(text), "{arguments:?}: {found:?} {error}");
    }
    assert!(!is_mounted(&home.path("mnt")));
    if let Some(why) = obstacle() {
        println!("SKIPPED: no note of a directory that is not empty, as nothing can be mounted: {why}");
        return;
    }
    fs::write(home.path("mnt/hidden"), b"x").unwrap();
    let mounted = home.mount(&["--host", "elsewhere"]);
    assert!(!mounted.point.join("hidden").exists());
    let (code, _, error) = mounted.unmount();
    assert_eq!(code, Some(0));
    assert!(error.contains("is not empty") && error.contains("none fits the options"), "{error}");
    assert!(home.path("mnt/hidden").exists());

    // Who may not mount and has nobody to do it: fusermount3 is looked for where it is not.
    let binary = home.path("cairn");
    fs::copy(env!("CARGO_BIN_EXE_cairn"), &binary).unwrap();
    let owner = format!("{NOBODY}:{NOBODY}");
    assert!(Command::new("chown").args(["-R", &owner]).arg(home.dir.path()).status().unwrap().success());
    let mut command = Command::new(binary);
    command.env_clear().envs(home.cairn().get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.args(["mount", &at("mnt")]).env("FUSERMOUNT_PATH", home.path("fusermount3"));
    let output = command.stdin(Stdio::null()).uid(NOBODY).gid(NOBODY).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1), "{error}");
    assert!(error.contains("/dev/fuse cannot be opened") || error.contains("cannot be started"), "{error}");
}

/// A hundred thousand files, compared through a mount with little memory: the process stays small.
#[test]
fn a_hundred_thousand_files_are_compared_in_little_memory() {
    if !support::is_full() {
        println!("SKIPPED: a long family, see `scripts/test --full`");
        return;
    }
    needs_fuse!();
    const MEMORY_MIB: u64 = 32;
    let home = Home::new();
    let source = home.path("source");
    for dir in 0..500 {
        let dir = source.join(format!("{}/{dir:03}", dir % 7));
        fs::create_dir_all(&dir).unwrap();
        for file in 0..120 {
            fs::write(dir.join(format!("a file with a name of some length {file:03}")), format!("{file}")).unwrap();
        }
    }
    let flat = source.join("flat");
    fs::create_dir(&flat).unwrap();
    for file in 0..40_000 {
        fs::write(flat.join(format!("{file}")), format!("{file}").repeat(200)).unwrap();
    }
    fs::write(source.join("large"), Numbers(5).bytes(300 << 20)).unwrap();
    home.back_up();
    let mounted = home.mount(&["--memory", &format!("{MEMORY_MIB}M")]);
    let below = source.canonicalize().unwrap();
    let shown = mounted.point.join("snapshots/latest").join(below.strip_prefix("/").unwrap());
    let peak = || {
        let status = fs::read_to_string(format!("/proc/{}/status", mounted.pid())).unwrap();
        let field = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        field.trim().trim_end_matches(" kB").parse::<u64>().unwrap() >> 10
    };
    let at_first = peak();
    assert_eq!(rsync(&source, &shown), "");
    let after_rsync = peak();
    assert_eq!(compare::differences(&source, &shown), Vec::<String>::new());
    let at_last = peak();
    println!(
        "counts: mount: 100,000 files, --memory {MEMORY_MIB}M: at most {at_first} MiB at first, {after_rsync} after \
         rsync, {at_last} after the second walk"
    );
    assert!(at_last <= at_first + 2 * MEMORY_MIB + 64, "{at_first} {at_last}");
    assert_eq!(mounted.unmount().0, Some(0));
}
