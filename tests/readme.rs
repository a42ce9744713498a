//! The commands of README.md, run in their order: what a newcomer types has to work.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests say what they covered")]

use std::path::Path;
use std::process::{Command, Stdio};

/// Lines of console blocks that a user types.
fn commands(readme: &str) -> Vec<String> {
    let blocks = readme.split("```console\n").skip(1).filter_map(|rest| rest.split("```").next());
    // What needs a server is run in `tests/s3/readme.rs`.
    let local = blocks.filter(|block| !block.contains("scripts/servers/"));
    local.flat_map(str::lines).filter_map(|line| line.strip_prefix("$ ")).map(str::to_owned).collect()
}

fn run(home: &Path, bin: &Path, command: &str) -> String {
    let path = format!("{}:/usr/bin:/bin", bin.display());
    let output = Command::new("sh")
        .args(["-c", command])
        .env_clear()
        .envs([("PATH", path.as_str()), ("HOME", home.to_str().unwrap())])
        .env("CAIRN_STATE_DIR", home.join("state"))
        .env("CAIRN_CACHE_DIR", home.join("cache"))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{command}: {:?}: {error}", output.status.code());
    String::from_utf8_lossy(&output.stdout).into_owned() + &error
}

#[test]
fn every_command_of_the_readme_works() {
    let place = tempfile::tempdir().unwrap();
    let home = place.path();
    let bin = Path::new(env!("CARGO_BIN_EXE_cairn")).parent().unwrap();
    let share = home.join("share");
    std::fs::create_dir(&share).unwrap();
    std::fs::write(share.join("file"), "content").unwrap();
    // Places of the examples that a test must not touch. The default place of root is one of them, so it is named.
    let repository = home.join("repository");
    let named = format!("CAIRN_REPOSITORY={} cairn", repository.display());
    let replaced = [
        ("cargo run --release --", "cairn".to_owned()),
        ("/usr/share", share.display().to_string()),
        ("/tmp/back", home.join("back").display().to_string()),
        ("/tmp/etc-only", home.join("etc-only").display().to_string()),
        ("/srv/back", home.join("again").display().to_string()),
        ("/mnt/disk/repository", repository.display().to_string()),
        ("paper.txt", home.join("paper.txt").display().to_string()),
    ];
    let commands = commands(&std::fs::read_to_string("README.md").unwrap());
    let mut ran = 0;
    for command in &commands {
        if command.starts_with("cargo build") || command.starts_with("./scripts/test") {
            continue;
        }
        let mut command = command.clone();
        for (from, to) in &replaced {
            command = command.replace(from, to);
        }
        assert!(command.starts_with("cairn "), "this test does not know how to run: {command}");
        if !command.contains("--repo ") && !command.contains(" -r ") {
            command = command.replacen("cairn", &named, 1);
        }
        if command.starts_with("cairn recover") {
            // The machine is gone: only the recovery key is left.
            let keys = home.join("state/keys");
            let recovery = std::fs::read_dir(&keys)
                .unwrap()
                .map(|e| e.unwrap().path())
                .find(|p| p.extension().is_some_and(|e| e == "recovery"))
                .expect("init left the recovery key beside the key file");
            std::fs::copy(recovery, home.join("paper.txt")).unwrap();
            std::fs::remove_dir_all(home.join("state")).unwrap();
        }
        run(home, bin, &command);
        ran += 1;
    }
    println!("counts: README commands: {ran} of {} run", commands.len());
    assert!(ran >= 7);
    for restored in ["back", "again"] {
        let file = home.join(restored).join(share.strip_prefix("/").unwrap()).join("file");
        assert_eq!(std::fs::read_to_string(file).unwrap(), "content");
    }
    assert!(home.join("etc-only/passwd").exists());
}
