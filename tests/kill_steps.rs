//! `kill -9` at every step: before each call of the system that changes a file, found by counting them, in the real binary. After
//! it the log verifies, nothing was done that the log does not know of, and the same command run again does the rest.
//!
//! The kills are strace's: it sends the signal at the entry of the n-th call of a name, so that call is not made any more.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::disallowed_methods, reason = "tests say what they covered")]

mod support;

use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use support::compare;
use tempfile::TempDir;

/// What changes files. A question mark: not on every machine.
const CALLS: &[&str] = &[
    "write",
    "pwrite64",
    "ftruncate",
    "fsync",
    "fdatasync",
    "linkat",
    "unlinkat",
    "mkdirat",
    "?mkdir",
    "?rename",
    "?renameat",
    "?renameat2",
    "?unlink",
    "?link",
];
/// More calls of one name than any command here makes.
const STEPS_MAX: usize = 2000;

/// A machine: its state, its repository, what it backs up.
struct Machine {
    folder: TempDir,
}

impl Machine {
    fn new() -> Self {
        let machine = Self { folder: tempfile::tempdir().unwrap() };
        std::fs::create_dir(machine.path("source")).unwrap();
        machine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Another one in the same place, as this one is now: paths are part of what is recorded.
    fn save(&self) -> TempDir {
        let saved = tempfile::tempdir().unwrap();
        copy(self.folder.path(), saved.path());
        saved
    }

    fn go_back_to(&self, saved: &TempDir) {
        let made = ["state", "repository", "target", "key"].map(|name| self.path(name));
        assert!(Command::new("rm").arg("-rf").args(made).status().unwrap().success());
        copy(saved.path(), self.folder.path());
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.path("home"))
            .env("CAIRN_STATE_DIR", self.path("state"))
            .env("CAIRN_REPOSITORY", self.path("repository"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn cairn(&self, arguments: &[&str]) -> Output {
        self.command(env!("CARGO_BIN_EXE_cairn")).arg("--no-cache").args(arguments).output().unwrap()
    }

    fn run(&self, arguments: &[&str]) -> String {
        let output = self.cairn(arguments);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {:?} {error}", output.status);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Runs it and kills it before the `step`-th call (from 1) of this name in one of its threads. False if it ended before.
    fn killed(&self, arguments: &[&str], call: &str, step: usize) -> bool {
        let mut command = self.command("strace");
        command.args(["-f", "-qqq", "-o", "/dev/null", "-e", &format!("trace={call}")]);
        command.args(["-e", &format!("inject={call}:signal=SIGKILL:when={step}"), "--"]);
        let output = command.arg(env!("CARGO_BIN_EXE_cairn")).arg("--no-cache").args(arguments).output().unwrap();
        let killed = output.status.signal() == Some(9) || output.status.code() == Some(128 + 9);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(killed || output.status.success(), "{call} {step}: {:?} {error}", output.status);
        killed
    }

    /// The leaves of this machine's log of this type, and with this text in them.
    fn leaves(&self, kind: &str, text: &str) -> usize {
        let Ok(logs) = Command::new("find").arg(self.path("state/audit")).args(["-name", "log.jsonl"]).output() else {
            return 0;
        };
        let logs = String::from_utf8(logs.stdout).unwrap();
        let lines = logs.lines().flat_map(|log| {
            let bytes = std::fs::read(log).unwrap();
            String::from_utf8_lossy(&bytes).lines().map(str::to_owned).collect::<Vec<_>>()
        });
        lines.filter(|line| line.contains(&format!("\"type\":\"{kind}\"")) && line.contains(text)).count()
    }

    /// Files of the repository below these folders.
    fn objects(&self, folders: &[&str]) -> usize {
        let mut count = 0;
        for folder in folders {
            let found =
                Command::new("find").arg(self.path("repository").join(folder)).args(["-type", "f"]).output().unwrap();
            count += found.stdout.iter().filter(|byte| **byte == b'\n').count();
        }
        count
    }
}

fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-a").arg(from.join(".")).arg(to).status().unwrap();
    assert!(status.success());
}

/// Runs `command` once for every step of every call (in a sample, every `sparse`-th), killed there; `then` looks at what is left.
fn at_every_step(machine: &Machine, command: &[&str], sparse: usize, then: impl Fn(&str)) {
    let saved = machine.save();
    let every = if support::is_full() { 1 } else { sparse };
    let first = usize::try_from(support::seed("kill steps")).unwrap_or_default() % every;
    let (mut kills, mut steps) = (0, 0);
    for call in CALLS {
        for step in 1..STEPS_MAX {
            steps += 1;
            if steps % every != first {
                continue;
            }
            machine.go_back_to(&saved);
            if !machine.killed(command, call, step) {
                break;
            }
            kills += 1;
            then(&format!("{}: killed before {call} {step}", command.join(" ")));
        }
    }
    println!("counts: {kills} kills of `cairn {}`, one of {every} steps", command[0]);
    assert!(kills > 4, "nearly every run ended before it was killed: {kills}");
}

fn verifies(machine: &Machine, when: &str) {
    let output = machine.cairn(&["audit", "verify"]);
    assert!(output.status.success(), "{when}: {}", String::from_utf8_lossy(&output.stderr));
}

fn prepared() -> Machine {
    let machine = Machine::new();
    for index in 0..4_u8 {
        std::fs::write(machine.path("source").join(format!("file-{index}")), vec![index; 3000]).unwrap();
    }
    machine.run(&["init"]);
    machine.run(&["backup", machine.path("source").to_str().unwrap()]);
    machine
}

fn restores_exactly(machine: &Machine, when: &str) {
    let (source, target) = (machine.path("source"), tempfile::tempdir().unwrap());
    let what = format!("latest:{}", source.display());
    machine.run(&["restore", &what, "--target", target.path().to_str().unwrap()]);
    let found = compare::differences_of(&compare::describe(&source), &compare::describe(target.path()));
    assert_eq!(found, Vec::<String>::new(), "{when}");
}

#[test]
fn a_backup_killed_at_any_step_is_done_by_the_next() {
    let machine = prepared();
    for index in 0..4_u8 {
        std::fs::write(machine.path("source").join(format!("new-{index}")), vec![100 + index; 70_000]).unwrap();
    }
    let source = machine.path("source");
    let backup = ["backup", source.to_str().unwrap()];
    let before = machine.objects(&["d"]);
    assert_eq!(machine.leaves("run.started", "\"op\":\"backup\""), 1);
    at_every_step(&machine, &backup, 3, |when| {
        // No object outside a logged intent.
        let begun = machine.leaves("run.started", "\"op\":\"backup\"");
        let after = machine.objects(&["d"]);
        assert!(after == before || begun == 2, "{when}: {} objects more, and no leaf", after - before);
        // No cell without its leaf, and a log that holds together.
        verifies(&machine, when);
        machine.run(&backup);
        verifies(&machine, when);
        restores_exactly(&machine, when);
        machine.run(&["check", "--read-data"]);
    });
}

#[test]
fn a_key_is_not_removed_before_its_leaf() {
    let machine = prepared();
    let key = machine.path("key");
    machine.run(&["key", "add", "--output", key.to_str().unwrap()]);
    let listed: serde_json::Value = serde_json::from_str(&machine.run(&["key", "list", "--json"])).unwrap();
    let newest = listed.as_array().unwrap().iter().max_by_key(|row| row["created"].as_str().unwrap_or("").to_owned());
    let id = newest.unwrap()["id"].as_str().unwrap().to_owned();
    let there = machine.objects(&["keys/slots"]);
    at_every_step(&machine, &["key", "remove", &id], 2, |when| {
        let left = machine.objects(&["keys/slots"]);
        assert!(left == there || machine.leaves("key.removal", "") == 1, "{when}: removed, and no leaf says so");
        verifies(&machine, when);
        if left == there {
            machine.run(&["key", "remove", &id]);
        }
        assert_eq!(machine.objects(&["keys/slots"]), there - 1, "{when}");
        verifies(&machine, when);
        restores_exactly(&machine, when);
    });
}

#[test]
fn a_restore_killed_at_any_step_is_done_by_the_next() {
    let machine = prepared();
    let (source, target) = (machine.path("source"), machine.path("target"));
    let what = format!("latest:{}", source.display());
    let restore = ["restore", &what, "--target", target.to_str().unwrap()];
    at_every_step(&machine, &restore, 3, |when| {
        // Content is not given out before a leaf says that it will be.
        let begun = machine.leaves("run.started", "\"op\":\"restore\"");
        assert!(begun == 1 || !target.exists(), "{when}: files, and no leaf");
        verifies(&machine, when);
        machine.run(&restore);
        let mut found = compare::differences_of(&compare::describe(&source), &compare::describe(&target));
        // What the killed one was about to give its name is left, and is nobody's file.
        found.retain(|difference| !difference.starts_with("extra: .cairn-"));
        assert_eq!(found, Vec::<String>::new(), "{when}");
        verifies(&machine, when);
    });
}

#[test]
fn an_init_killed_at_any_step_leaves_nothing_that_stands_in_the_way() {
    let machine = Machine::new();
    std::fs::write(machine.path("source").join("file"), "content").unwrap();
    let source = machine.path("source");
    at_every_step(&machine, &["init"], 3, |when| {
        let again = machine.cairn(&["init"]);
        if !again.status.success() {
            // There is one already, then it is whole.
            let error = String::from_utf8_lossy(&again.stderr).into_owned();
            assert!(error.contains("already"), "{when}: {error}");
        }
        machine.run(&["backup", source.to_str().unwrap()]);
        verifies(&machine, when);
        restores_exactly(&machine, when);
    });
}
