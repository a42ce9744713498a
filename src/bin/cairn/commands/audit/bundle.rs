//! `cairn audit bundle`: evidence that is read and checked without cairn.

use super::gather::{Gathered, gather};
use super::report::{self, Period};
use super::verify::custody;
use crate::args::BundleArgs;
use crate::exit::{Exit, Failure, Result};
use crate::run::Run;
use crate::values;
use cairn::audit::merkle::sha256;
use cairn::audit::tile;
use cairn::audit::verify::{Evidence, Verified};
use cairn::id::hex;
use serde_json::json;
use std::collections::BTreeMap;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

const VERIFIER: &str = include_str!("verify.py");
const README: &str = include_str!("README.bundle.txt");

/// The files of a bundle, by their paths in it.
type Files = BTreeMap<PathBuf, Vec<u8>>;

/// Writes the bundle.
pub(super) fn run(run: &Run, args: &BundleArgs) -> Result<Exit> {
    let gathered = gather(run)?;
    let logs = gathered.verify(&[]);
    let mut files = Files::new();
    let newest = || logs.values().max_by_key(|log| log.leaves.len()).map(|log| log.id);
    let first = gathered.current.or_else(newest);
    for (id, log) in &logs {
        let folder = if first == Some(*id) { PathBuf::new() } else { PathBuf::from("others").join(id.to_string()) };
        let none = Evidence::default();
        put_log(&mut files, &folder, log, gathered.logs.get(id).unwrap_or(&none))?;
    }
    let period = Period { from: args.from, to: args.to };
    let custody = custody(run)?;
    files.insert("report.html".into(), report::html(run, &gathered, &logs, &period, custody.as_ref()).into_bytes());
    files.insert("verify.py".into(), VERIFIER.into());
    files.insert("README.txt".into(), README.into());
    let sums: String =
        files.iter().map(|(path, bytes)| format!("{}  {}\n", hex(&sha256(&[bytes])), path.display())).collect();
    files.insert("SHA256SUMS".into(), sums.into_bytes());
    write(&args.output, &files)?;
    say(run, &args.output, &gathered, &logs, files.len())
}

/// The log as files: lines, checkpoints, key, receipts, and the tree as tiles (C2SP `tlog-tiles`).
fn put_log(files: &mut Files, folder: &Path, log: &Verified, evidence: &Evidence) -> Result<()> {
    let mut lines = Vec::new();
    for leaf in &log.leaves {
        lines.extend_from_slice(leaf);
        lines.push(b'\n');
    }
    files.insert(folder.join("log.jsonl"), lines);
    for (size, note) in &log.checkpoints {
        files.insert(folder.join("checkpoints").join(format!("{size:020}")), note.to_string().into_bytes());
    }
    if let Some((_, note)) = log.checkpoints.iter().max_by_key(|(size, _)| *size) {
        files.insert(folder.join("checkpoint"), note.to_string().into_bytes());
    }
    if let Some(key) = &evidence.key {
        files.insert(folder.join("keys").join(format!("{}.endorsement", log.id)), key.clone());
    }
    if let Some(endorsement) = &log.endorsement {
        files.insert(
            folder.join("keys").join(format!("{}.vkey", log.id)),
            format!("{}\n", endorsement.log).into_bytes(),
        );
    }
    for (name, bytes) in &evidence.receipts {
        files.insert(folder.join("receipts").join(name), bytes.clone());
    }
    let leaves: Vec<&[u8]> = log.leaves.iter().map(Vec::as_slice).collect();
    for file in tile::files(&leaves, &log.hashes).unwrap_or_default() {
        files.insert(folder.join(file.path), file.bytes);
    }
    Ok(())
}

/// Writes into a directory that is not there yet: what is in a bundle is all its own.
fn write(output: &Path, files: &Files) -> Result<()> {
    let make = |path: &Path, recursive| DirBuilder::new().recursive(recursive).mode(0o700).create(path);
    let failed = |path: &Path| {
        let path = path.display().to_string();
        move |error: std::io::Error| {
            let hint = if error.kind() == std::io::ErrorKind::AlreadyExists {
                "name a directory that does not exist"
            } else {
                ""
            };
            let failure = Failure::io(format!("write {path}"), &error);
            if hint.is_empty() { failure } else { failure.with_hint(hint) }
        }
    };
    make(output, false).map_err(failed(output))?;
    for (path, bytes) in files {
        let path = output.join(path);
        if let Some(parent) = path.parent() {
            make(parent, true).map_err(failed(parent))?;
        }
        std::fs::write(&path, bytes).map_err(failed(&path))?;
    }
    Ok(())
}

fn say(
    run: &Run,
    output: &Path,
    gathered: &Gathered,
    logs: &BTreeMap<cairn::id::LogId, Verified>,
    files: usize,
) -> Result<Exit> {
    let leaves: usize = logs.values().map(|log| log.leaves.len()).sum();
    let faults: usize = logs.values().map(|log| log.findings.len()).sum();
    run.output.text(&format!(
        "{} of {} in {}: {}; check it with: python3 {}/verify.py --key ENROLMENT",
        values::count(leaves as u64, "leaf", "leaves"),
        values::count(logs.len() as u64, "log", "logs"),
        output.display(),
        values::count(files as u64, "file", "files"),
        output.display(),
    ))?;
    if faults > 0 {
        run.output.warn("the log does not verify, and the bundle shows it: `cairn audit verify` says more");
    }
    run.output.object(&json!({
        "message_type": "summary",
        "repository_id": gathered.repository.to_string(),
        "output": output.to_string_lossy(),
        "leaves": leaves,
        "logs": logs.len(),
        "num_errors": faults,
    }))?;
    Ok(if faults == 0 { Exit::Done } else { Exit::LogUnverified })
}
