//! `cairn audit prove`: that one file was transmitted or recovered, shown to somebody who learns nothing of any other.

use super::gather::{failed, gather};
use crate::args::ProveArgs;
use crate::exit::{Exit, Failure, Result};
use crate::run::{Need, Opened, Run};
use crate::sources;
use cairn::audit::leaf::base64;
use cairn::audit::merkle::{Hash, inclusion_proof, leaf_hash, root};
use cairn::audit::object;
use cairn::audit::record::{Tokens, decode_part};
use cairn::audit::verify::Verified;
use cairn::format::file_records;
use cairn::format::sealed::OBJECT_LEN_MAX;
use cairn::id::RunId;
use cairn::journal::FileEvent;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// Prints the proof.
pub(super) fn run(run: &Run, args: &ProveArgs) -> Result<Exit> {
    let path = sources::absolute_path(Path::new(&args.path))?;
    let path = path.as_os_str().as_bytes();
    let opened = run.open(Need::Read)?;
    let tokens = Tokens::new(&opened.repository.keys().tokens);
    let token = tokens.file(path);
    let logs = gather(run)?.verify(&[]);
    let kind = if args.recovered { "content.recovered" } else { "snapshot.prepared" };
    // The newest first.
    let mut candidates: Vec<(&Verified, usize, Value)> = Vec::new();
    for log in logs.values() {
        let runs = runs_of(args, log);
        for (number, leaf) in log.leaves.iter().enumerate() {
            let Ok(said) = serde_json::from_slice::<Value>(leaf) else { continue };
            if said["type"] == kind && said["files_count"].as_u64().unwrap_or(0) > 0 && is_asked(args, &runs, &said) {
                candidates.push((log, number, said));
            }
        }
    }
    candidates.sort_by(|a, b| b.2["t"].as_str().cmp(&a.2["t"].as_str()));
    let wants = |event: FileEvent| match event {
        FileEvent::Transmitted | FileEvent::TransmittedChanging => !args.recovered,
        FileEvent::Recovered => args.recovered,
        FileEvent::NotRecovered => false,
    };
    for (log, number, said) in candidates {
        let Some(records) = records(run, &opened, log, &said)? else { continue };
        let found = records.iter().position(|(event, file, _)| *file == token && wants(*event));
        let Some(index) = found else { continue };
        let hashes: Vec<Hash> = records.iter().map(|(_, _, bytes)| leaf_hash(bytes)).collect();
        let proof = proof(log, number, index, &hashes).ok_or_else(|| {
            Failure::new(
                Exit::LogUnverified,
                "log-unverified",
                "the log has no checkpoint that covers this",
                "`cairn audit verify` says more",
            )
        })?;
        let mut proof = proof;
        proof["path"] = base64(path).into();
        proof["blind"] = base64(&tokens.blind(path)).into();
        proof["record"] = base64(&records[index].2).into();
        let mut results = run.output.results();
        results.line(&format!("{proof:#}"))?;
        results.finish()?;
        return Ok(Exit::Done);
    }
    let what = if args.recovered { "recovered" } else { "transmitted" };
    Err(Failure::new(
        Exit::Failed,
        "no-record",
        format!("no record says that {} was {what}", crate::output::shown(path)),
        "give the path as it was backed up; a file that did not change is not sent again: leave --snapshot out",
    ))
}

/// Whether something is of the snapshot that was asked for.
fn names(args: &ProveArgs, said: &Value) -> bool {
    let asked = args.snapshot.as_deref().unwrap_or_default();
    said["snapshot"].as_str().is_some_and(|id| id.starts_with(asked))
}

/// The runs that began with this snapshot: a leaf of a recovery does not name it itself.
fn runs_of(args: &ProveArgs, log: &Verified) -> HashSet<String> {
    let all = log.leaves.iter().filter_map(|leaf| serde_json::from_slice::<Value>(leaf).ok());
    let of_it = all.filter(|said| said["type"] == "run.started" && names(args, said));
    of_it.filter_map(|said| said["run"].as_str().map(ToOwned::to_owned)).collect()
}

/// Whether a leaf is of the snapshot that was asked for, if one was.
fn is_asked(args: &ProveArgs, runs: &HashSet<String>, said: &Value) -> bool {
    args.snapshot.is_none() || names(args, said) || said["run"].as_str().is_some_and(|run| runs.contains(run))
}

type Record = (FileEvent, [u8; 16], Vec<u8>);

/// The records behind a leaf, if all of them are there and have the root that it says.
fn records(run: &Run, opened: &Opened, log: &Verified, said: &Value) -> Result<Option<Vec<Record>>> {
    let (Some(first), Some(parts)) = (said["files_first_part"].as_u64(), said["files_parts"].as_u64()) else {
        return Ok(None);
    };
    let Some(of) = said["run"].as_str().and_then(|text| RunId::from_hex(text).ok()) else { return Ok(None) };
    let mut records = Vec::new();
    for part in first..first.saturating_add(parts) {
        let name = object::files(&log.id, &of, part);
        let waiting = run.log_folder(&opened.id()).join("files").join(format!("{}.{}", log.id, name.last_part()));
        let sealed = match std::fs::read(&waiting) {
            Ok(bytes) => bytes,
            Err(_) => match opened.repository.fetch().read(&name, OBJECT_LEN_MAX) {
                Ok(bytes) => bytes,
                Err(error) if error.is_not_found() => return Ok(None),
                Err(error) => return Err(failed(run, "read records of files", &error.into())),
            },
        };
        let (place, keys) = (opened.repository.place(), opened.repository.keys());
        let damaged = |error: cairn::format::wire::FormatError| {
            Failure::new(
                Exit::Damage,
                "damage",
                format!("{name} is damaged: {error}"),
                "`cairn audit verify` says more",
            )
        };
        let content = file_records::decode(&sealed, &place, &keys.entries).map_err(damaged)?;
        let decoded = decode_part(&content).map_err(damaged)?;
        records.extend(decoded.into_iter().map(|(record, bytes)| (record.event, record.file, bytes.to_vec())));
    }
    let hashes: Vec<Hash> = records.iter().map(|(_, _, bytes)| leaf_hash(bytes)).collect();
    Ok((said["files_root"].as_str() == Some(&base64(&root(&hashes)))).then_some(records))
}

/// The two proofs: of the record in the leaf's tree, and of the leaf in the log's.
fn proof(log: &Verified, number: usize, index: usize, records: &[Hash]) -> Option<Value> {
    let (size, note) = log.checkpoints.iter().find(|(size, _)| *size > number as u64)?;
    let leaves = log.hashes.get(..usize::try_from(*size).ok()?)?;
    let list = |proof: Vec<Hash>| proof.iter().map(|hash| base64(hash)).collect::<Vec<_>>();
    Some(json!({
        "cairn_proof": 1,
        "endorsement": log.endorsement.as_ref()?.note.to_string(),
        "checkpoint": note.to_string(),
        "leaf": String::from_utf8(log.leaves.get(number)?.clone()).ok()?,
        "leaf_index": number,
        "leaf_proof": list(inclusion_proof(leaves, number)?),
        "record_index": index,
        "record_proof": list(inclusion_proof(records, index)?),
    }))
}
