//! A home with a repository, and mounts in it that are gone when their value is.

use rustix::process::{Pid, Signal, kill_process};
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// Why nothing can be mounted here.
pub(crate) fn obstacle() -> Option<String> {
    if let Err(error) = File::options().read(true).write(true).open("/dev/fuse") {
        return Some(format!("/dev/fuse: {error}"));
    }
    if rustix::process::geteuid().is_root() {
        // A container's root may have no right to mount.
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let field = status.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap();
        let capabilities = u64::from_str_radix(field.trim(), 16).unwrap();
        return (capabilities & (1 << 21) == 0).then(|| "this root may not mount".to_owned());
    }
    Some("only root has all that is compared".to_owned())
}

pub(crate) struct Home {
    pub(crate) dir: TempDir,
}

impl Home {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for name in ["source", "mnt"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        Self { dir }
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.dir.path().join(below)
    }

    pub(crate) fn cairn(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cairn"));
        command
            .env_clear()
            .env("HOME", self.dir.path())
            .env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin")
            .env("CAIRN_STATE_DIR", self.path("state"))
            .env("CAIRN_CACHE_DIR", self.path("cache"))
            .env("CAIRN_REPOSITORY", self.path("repository"))
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> String {
        let output = self.cairn().args(arguments).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {:?} {error}", output.status.code());
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    pub(crate) fn back_up(&self) {
        self.run(&["backup", "--init", "--quiet", self.path("source").to_str().unwrap()]);
    }

    /// What is printed and the code of a mount that must not come about.
    pub(crate) fn refused(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let output = self.cairn().arg("mount").args(arguments).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// Mounts on `mnt` and waits until it is there.
    pub(crate) fn mount(&self, arguments: &[&str]) -> Mounted {
        let mut child = self
            .cairn()
            .arg("mount")
            .arg(self.path("mnt"))
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // The first line of output is said when it is mounted; without it the process has ended.
        let mut line = Vec::new();
        let mut output = child.stdout.take().unwrap();
        let mut byte = [0];
        while output.read(&mut byte).unwrap() == 1 && byte != *b"\n" {
            line.push(byte[0]);
        }
        let mounted =
            Mounted { child: Some(child), point: self.path("mnt").canonicalize().unwrap(), output, is_dead: false };
        if !is_mounted(&mounted.point) {
            panic!("{}: {:?}", String::from_utf8_lossy(&line), mounted.wait());
        }
        mounted
    }
}

pub(crate) fn is_mounted(point: &Path) -> bool {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    mounts.lines().any(|line| line.split(' ').nth(4) == point.to_str())
}

/// A mount that is gone when this is.
pub(crate) struct Mounted {
    child: Option<Child>,
    pub(crate) point: PathBuf,
    output: std::process::ChildStdout,
    is_dead: bool,
}

impl Mounted {
    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.pid().cast_signed()).unwrap(), signal).unwrap();
    }

    /// Waits for its end: code, output and errors.
    pub(crate) fn wait(mut self) -> (Option<i32>, String, String) {
        let mut output = String::new();
        self.output.read_to_string(&mut output).unwrap();
        let ended = self.child.take().unwrap().wait_with_output().unwrap();
        (ended.status.code(), output, String::from_utf8_lossy(&ended.stderr).into_owned())
    }

    /// Kills the process, which leaves the mount behind.
    pub(crate) fn kill(mut self) -> Dead {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        self.is_dead = true;
        Dead(self.point.clone())
    }

    pub(crate) fn unmount(self) -> (Option<i32>, String, String) {
        let status = Command::new("umount").arg(&self.point).status().unwrap();
        assert!(status.success(), "umount");
        self.wait()
    }
}

/// What a process that was killed has left behind; gone when this is.
pub(crate) struct Dead(PathBuf);

impl Drop for Dead {
    fn drop(&mut self) {
        unmount_lazily(&self.0);
    }
}

/// Returns whether there was something.
fn unmount_lazily(point: &Path) -> bool {
    let is_there = is_mounted(point);
    if is_there {
        let _ = Command::new("umount").arg("-l").arg(point).status();
    }
    is_there
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if self.is_dead {
            return;
        }
        let left = unmount_lazily(&self.point);
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        assert!(!left || std::thread::panicking(), "a mount was left behind");
    }
}
