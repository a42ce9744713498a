//! The real binary on a full disk and on a read-only medium: a restore always comes back, and what the log cannot keep it leaves
//! beside the target; a backup that finds no room says so and hurts nothing.
//!
//! Needs root, for file systems of its own; elsewhere it says that it was skipped.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests say what they covered")]

mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use support::compare;
use support::tree::Numbers;
use tempfile::TempDir;

/// Folders of one machine; what is mounted below is unmounted at the end, also of a failed test.
struct Machine {
    mounts: Vec<PathBuf>,
    folder: TempDir,
}

impl Drop for Machine {
    fn drop(&mut self) {
        for mount in self.mounts.iter().rev() {
            let _ = Command::new("umount").arg("--lazy").arg(mount).status();
        }
    }
}

impl Machine {
    /// `None` where file systems cannot be mounted.
    fn new() -> Option<Self> {
        let mut machine = Self { mounts: Vec::new(), folder: tempfile::tempdir().unwrap() };
        if machine.mount("state", &["-t", "tmpfs", "-o", "size=1m,mode=700", "tmpfs"]) {
            std::fs::create_dir(machine.path("source")).unwrap();
            let mut numbers = Numbers(support::seed("full disk"));
            for name in ["one", "two", "three"] {
                let bytes: Vec<u8> = (0..20_000).flat_map(|_| numbers.next().to_le_bytes()).collect();
                std::fs::write(machine.path("source").join(name), bytes).unwrap();
            }
            return Some(machine);
        }
        println!("SKIPPED: no file system can be mounted here");
        None
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn mount(&mut self, name: &str, how: &[&str]) -> bool {
        let at = self.path(name);
        std::fs::create_dir_all(&at).unwrap();
        let mounted = Command::new("mount").args(how).arg(&at).stderr(Stdio::null()).status();
        let mounted = mounted.is_ok_and(|status| status.success());
        if mounted {
            self.mounts.push(at);
        }
        mounted
    }

    fn make_read_only(&mut self, name: &str) {
        let at = self.path(name);
        assert!(self.mount(name, &["--bind", at.to_str().unwrap()]));
        let again = Command::new("mount").args(["-o", "remount,bind,ro"]).arg(&at).status().unwrap();
        assert!(again.success());
        assert!(std::fs::write(at.join("probe"), "x").is_err(), "it can be written all the same");
    }

    /// Takes every byte that is left.
    fn fill(&self, name: &str) {
        let file = self.path(name).join("filler");
        let mut size = 1 << 20;
        let mut filler = Vec::new();
        while size > 0 {
            filler.resize(filler.len() + size, 1);
            if std::fs::write(&file, &filler).is_err() {
                filler.truncate(filler.len() - size);
                size /= 2;
            }
        }
        std::fs::write(&file, &filler).unwrap();
        assert!(std::fs::write(self.path(name).join("probe"), [1; 8192]).is_err(), "it is not full");
        let _ = std::fs::remove_file(self.path(name).join("probe"));
    }

    /// A file's last block has room until it is used up: runs that only read, until a leaf of theirs found no place here.
    fn fill_the_log(&self) {
        self.fill("state");
        for _ in 0..100 {
            let before = self.log_len();
            self.run(&["ls", "latest"]);
            if self.log_len() == before {
                return;
            }
        }
        panic!("the log grows on a full disk");
    }

    fn log_len(&self) -> u64 {
        let logs = Command::new("find").arg(self.path("state/audit")).args(["-name", "log.jsonl"]).output().unwrap();
        let logs = String::from_utf8(logs.stdout).unwrap();
        logs.lines().map(|log| std::fs::metadata(log).unwrap().len()).sum()
    }

    fn cairn(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_cairn"))
            .arg("--no-cache")
            .args(arguments)
            .env_clear()
            .env("HOME", self.path("home"))
            .env("CAIRN_STATE_DIR", self.path("state"))
            .env("CAIRN_REPOSITORY", self.path("repository"))
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    fn run(&self, arguments: &[&str]) -> String {
        let output = self.cairn(arguments);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {:?} {error}", output.status);
        error
    }

    fn assert_restored(&self, target: &Path) {
        let found = compare::differences_of(&compare::describe(&self.path("source")), &compare::describe(target));
        assert_eq!(found, Vec::<String>::new());
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_restore_from_a_read_only_medium_with_a_full_state_disk_leaves_its_record() {
    let Some(mut machine) = Machine::new() else { return };
    let (source, target) = (machine.path("source"), machine.path("target"));
    machine.run(&["init"]);
    machine.run(&["backup", text(&source)]);
    machine.make_read_only("repository");
    machine.fill_the_log();
    let what = format!("latest:{}", source.display());
    let said = machine.run(&["restore", &what, "--target", text(&target), "--purpose", "drill"]);
    machine.assert_restored(&target);
    assert!(said.contains("its signed record is "), "{said}");
    let beside: Vec<PathBuf> = std::fs::read_dir(machine.folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().contains("target.cairn-record-"))
        .collect();
    let all: String =
        beside.iter().map(|path| String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned()).collect();
    for word in ["cairn log key v1", "\"type\":\"content.recovered\"", "\"files_count\":3", "\"res\":\"ok\""] {
        assert!(all.contains(word), "{word} is not in {beside:?}: {all}");
    }
    // Looking goes on too.
    for command in [&["ls", "latest"][..], &["snapshots"], &["check", "--read-data"], &["audit", "verify"]] {
        machine.run(command);
    }
}

#[test]
fn a_backup_with_a_full_state_disk_is_recorded_in_the_repository() {
    let Some(machine) = Machine::new() else { return };
    let source = machine.path("source");
    machine.run(&["init"]);
    machine.run(&["backup", text(&source)]);
    machine.fill_the_log();
    machine.run(&["backup", text(&source)]);
    std::fs::remove_file(machine.path("state/filler")).unwrap();
    machine.run(&["audit", "verify"]);
    let shown = machine.cairn(&["audit", "show"]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("reason=state-not-writable"), "{shown}");
    machine.run(&["backup", text(&source)]);
    machine.run(&["audit", "verify"]);
}

#[test]
fn a_backup_ends_with_21_where_neither_takes_the_record() {
    let Some(mut machine) = Machine::new() else { return };
    let source = machine.path("source");
    machine.run(&["init"]);
    machine.run(&["backup", text(&source)]);
    machine.make_read_only("repository");
    machine.fill_the_log();
    let refused = machine.cairn(&["backup", text(&source)]);
    assert_eq!(refused.status.code(), Some(21), "{}", String::from_utf8_lossy(&refused.stderr));
}

#[test]
fn a_repository_without_room_hurts_nothing_that_is_there() {
    let Some(mut machine) = Machine::new() else { return };
    assert!(machine.mount("repository", &["-t", "tmpfs", "-o", "size=2m,mode=700", "tmpfs"]));
    let (source, target) = (machine.path("source"), machine.path("target"));
    machine.run(&["init"]);
    machine.run(&["backup", text(&source)]);
    let mut numbers = Numbers(support::seed("no room"));
    let large: Vec<u8> = (0..400_000).flat_map(|_| numbers.next().to_le_bytes()).collect();
    std::fs::write(source.join("large"), &large).unwrap();
    let failed = machine.cairn(&["backup", text(&source)]);
    let said = String::from_utf8_lossy(&failed.stderr).into_owned();
    assert_eq!(failed.status.code(), Some(1), "{said}");
    assert!(said.contains("No space left on device") && said.contains("hint: "), "{said}");
    std::fs::remove_file(source.join("large")).unwrap();
    // Still full, and what is there comes back.
    machine.run(&["check", "--read-data"]);
    machine.run(&["restore", &format!("latest:{}", source.display()), "--target", text(&target)]);
    machine.assert_restored(&target);
}
