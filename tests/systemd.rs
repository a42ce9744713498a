//! The package under a real systemd: its timer fires, a missed run is caught up, a run that fails is seen by whoever looks, the
//! key comes from a credential; and the units are as closed as they are said to be.
//!
//! The nights are in `systemd/night`, the machine is `scripts/systemd/boot`. What cannot be tried on this machine prints a line
//! that begins with "SKIPPED".
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests say what they covered")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Seconds for everything in the booted systemd; it takes about ten.
const LIMIT: &str = "600";

/// Most exposure that `systemd-analyze security` may find, in tenths.
const EXPOSURE_MAX: u32 = 20;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn has(program: &str) -> bool {
    let found = Command::new("sh").args(["-c", &format!("command -v {program}")]).output();
    found.is_ok_and(|output| output.status.success())
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Why there can be no systemd of our own here.
fn obstacle() -> Option<&'static str> {
    if !rustix::process::geteuid().is_root() {
        return Some("only root can start a systemd");
    }
    let missing =
        ["systemctl", "systemd-analyze", "dpkg-deb", "unshare", "nsenter"].into_iter().find(|name| !has(name));
    if missing.is_some() || !Path::new("/lib/systemd/systemd").exists() {
        return Some("Debian's packages systemd, dpkg and util-linux are needed");
    }
    // Containers often forbid what a systemd needs.
    let arguments = ["--mount", "--pid", "--fork", "--cgroup", "mount", "-t", "tmpfs", "x", "/mnt"];
    let tried = Command::new("unshare").args(arguments).output();
    (!tried.is_ok_and(|output| output.status.success())).then_some("namespaces cannot be made here")
}

/// Runs a script in a booted systemd on whose machine the package is installed; `None` where that cannot be.
fn booted(what: &str, script: &str) -> Option<Output> {
    if let Some(why) = obstacle() {
        println!("counts: SKIPPED: {what}: {why}");
        return None;
    }
    let place = tempfile::tempdir().unwrap();
    let (overlay, package) = (place.path().join("overlay"), place.path().join("cairn.deb"));
    let built = Command::new(root().join("packaging/deb/build"))
        .args(["--compression", "none", "--output"])
        .arg(&package)
        .arg(env!("CARGO_BIN_EXE_cairn"))
        .output()
        .unwrap();
    assert!(built.status.success(), "{}", text(&built));
    let unpacked = Command::new("dpkg-deb").arg("-x").arg(&package).arg(&overlay).output().unwrap();
    assert!(unpacked.status.success(), "{}", text(&unpacked));
    // The package's timers wait for up to an hour, so that not all machines come at once. That is left out here.
    let drop_in = overlay.join("etc/systemd/system/cairn-backup@web.timer.d");
    std::fs::create_dir_all(&drop_in).unwrap();
    std::fs::write(drop_in.join("test.conf"), "[Timer]\nRandomizedDelaySec=0\nAccuracySec=100ms\n").unwrap();
    let ran = Command::new(root().join("scripts/systemd/boot"))
        .args([overlay.as_os_str(), LIMIT.as_ref(), "bash".as_ref(), "-c".as_ref()])
        .arg(script)
        .env("TMPDIR", place.path())
        .output()
        .unwrap();
    if ran.status.code() == Some(125) {
        println!("counts: SKIPPED: {what}: systemd did not come up: {}", text(&ran));
        return None;
    }
    assert!(ran.status.success(), "{:?}\n{}", ran.status, text(&ran));
    Some(ran)
}

fn count_steps(ran: &Output) -> usize {
    String::from_utf8_lossy(&ran.stdout).lines().filter(|line| line.starts_with("ok:")).count()
}

#[test]
fn nights() {
    let script = std::fs::read_to_string(root().join("tests/systemd/night")).unwrap();
    let Some(ran) = booted("nights under systemd", &script) else { return };
    let steps = count_steps(&ran);
    println!("counts: systemd: {steps} steps of nights");
    assert_eq!(steps, 8, "{}", text(&ran));
}

/// What a newcomer types, as docs/first-night.md has it: `# ` begins a command, `> ` goes on with it.
#[test]
fn the_first_night() {
    let document = std::fs::read_to_string(root().join("docs/first-night.md")).unwrap();
    let blocks = document.split("```console\n").skip(1).filter_map(|rest| rest.split("```").next());
    let mut script = String::from("set -eu\n");
    let mut commands = 0;
    for line in blocks.flat_map(str::lines) {
        if let Some(command) = line.strip_prefix("# ") {
            // The package is installed already, in the only way that leaves the machine alone.
            let is_install = command.starts_with("apt install ");
            script +=
                &format!("echo 'ok: {commands}'\n{}\n", if is_install { "test -x /usr/bin/cairn" } else { command });
            commands += 1;
        } else if let Some(more) = line.strip_prefix('>') {
            script += &format!("{}\n", more.strip_prefix(' ').unwrap_or(more));
        }
    }
    assert!(commands >= 12, "{commands} commands found");
    let Some(ran) = booted("docs/first-night.md", &script) else { return };
    println!("counts: docs/first-night.md: {commands} commands run");
    assert_eq!(count_steps(&ran), commands, "{}", text(&ran));
    assert!(text(&ran).contains("web: repository"), "{}", text(&ran));
}

#[test]
fn units_are_closed() {
    if !has("systemd-analyze") {
        println!("counts: SKIPPED: exposure of units: systemd-analyze is not installed");
        return;
    }
    let help = Command::new("systemd-analyze").arg("--help").output().unwrap();
    if !text(&help).contains("--offline") {
        println!("counts: SKIPPED: exposure of units: systemd-analyze is too old for --offline");
        return;
    }
    for unit in ["cairn-backup@.service", "cairn-check@.service"] {
        let path = root().join("packaging/systemd").join(unit);
        let output =
            Command::new("systemd-analyze").args(["security", "--offline=true", "--no-pager"]).arg(path).output();
        let text = text(&output.unwrap());
        let level = text.split("Overall exposure level for ").nth(1).and_then(|rest| rest.split(": ").nth(1));
        let number = level.and_then(|level| level.split_whitespace().next()).unwrap_or_default();
        let tenths: u32 = number.replace('.', "").parse().unwrap_or(u32::MAX);
        println!("counts: {unit}: exposure {number}");
        assert!(tenths <= EXPOSURE_MAX, "{text}");
    }
}
