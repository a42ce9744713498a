//! `kill -9` at random times on the real binary and a real directory: what was committed stays whole, and the same command run
//! again takes over what the killed one stored.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests say what they covered")]

mod support;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use support::compare;
use support::tree::Numbers;

fn cairn(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cairn"));
    command
        .env_clear()
        .env("HOME", home)
        .env("CAIRN_STATE_DIR", home.join("state"))
        .env("CAIRN_CACHE_DIR", home.join("cache"))
        .env("CAIRN_REPOSITORY", home.join("repository"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn run(home: &Path, arguments: &[&str]) -> String {
    let output = cairn(home).args(arguments).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {:?} {error}", output.status.code());
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_killed_backup_loses_nothing_and_is_taken_over() {
    let mut numbers = Numbers(support::seed("kill"));
    let home = tempfile::tempdir().unwrap();
    let source = home.path().join("source");
    std::fs::create_dir(&source).unwrap();
    run(home.path(), &["init"]);
    let rounds = if support::is_full() { 100 } else { 10 };
    let (mut killed, mut committed) = (0, Vec::new());
    for round in 0..rounds {
        for file in 0..6 {
            let bytes: Vec<u8> = (0..400_000).flat_map(|_| numbers.next().to_le_bytes()).collect();
            std::fs::write(source.join(format!("file-{}", (round + file) % 9)), bytes).unwrap();
        }
        let mut child = cairn(home.path()).arg("backup").arg(&source).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(numbers.below(250)));
        child.kill().unwrap();
        killed += u32::from(!child.wait().unwrap().success());
        // Wherever it was: the log verifies, and every snapshot there is has its leaf.
        run(home.path(), &["audit", "verify"]);
        if round % 3 == 2 {
            run(home.path(), &["backup", source.to_str().unwrap()]);
            let listed: serde_json::Value = serde_json::from_str(&run(home.path(), &["snapshots", "--json"])).unwrap();
            let newest = listed.as_array().unwrap().last().unwrap()["id"].as_str().unwrap().to_owned();
            committed.push((newest, compare::describe(&source)));
        }
    }
    run(home.path(), &["check", "--read-data"]);
    let shown = run(home.path(), &["audit", "show"]);
    let closed = shown.lines().filter(|line| line.contains("partial  run.finished")).count();
    assert!(closed > 0, "no killed run was closed as partial:\n{shown}");
    for (id, expected) in &committed {
        let target = tempfile::tempdir().unwrap();
        let what = format!("{id}:{}", source.display());
        run(home.path(), &["restore", &what, "--target", target.path().to_str().unwrap()]);
        let found = compare::differences_of(expected, &compare::describe(target.path()));
        assert_eq!(found, Vec::<String>::new(), "snapshot {id}");
    }
    let left = std::fs::read_dir(home.path().join("repository/tmp")).map_or(0, Iterator::count);
    println!(
        "counts: kill -9: {rounds} runs, {killed} killed before they ended, {} snapshots compared, {left} files in tmp",
        committed.len()
    );
    assert!(killed > 0, "every run ended before it was killed: the test shows nothing");
}

/// Ctrl-C in the middle of one long file ends the run soon, with the documented code, and the next run takes over.
#[test]
fn an_interrupted_backup_ends_soon_and_is_taken_over() {
    let home = tempfile::tempdir().unwrap();
    let source = home.path().join("source");
    std::fs::create_dir(&source).unwrap();
    let mut numbers = Numbers(support::seed("interrupt"));
    let piece: Vec<u8> = (0..1 << 20).flat_map(|_| numbers.next().to_le_bytes()).collect();
    let mut bytes = Vec::new();
    for index in 0..24_u8 {
        bytes.extend(piece.iter().map(|b| b ^ index));
    }
    std::fs::write(source.join("long"), &bytes).unwrap();
    run(home.path(), &["init"]);
    let child = cairn(home.path()).arg("backup").arg(&source).spawn().unwrap();
    // As soon as there is something to be taken over.
    let staged = home.path().join("repository/tmp");
    for _ in 0..400 {
        if std::fs::read_dir(&staged).is_ok_and(|mut entries| entries.next().is_some()) {
            break;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    std::thread::sleep(Duration::from_millis(60));
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(child.id().cast_signed()).unwrap(),
        rustix::process::Signal::INT,
    )
    .unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", String::from_utf8_lossy(&output.stderr));
    let summary: serde_json::Value =
        serde_json::from_str(run(home.path(), &["backup", "--json", source.to_str().unwrap()]).lines().last().unwrap())
            .unwrap();
    assert!(summary["chunks_known"].as_u64().unwrap() > 0, "nothing was taken over: {summary}");
    run(home.path(), &["check", "--read-data"]);
}
