//! `cairn audit verify`.

use super::gather::{Gathered, gather};
use crate::args::VerifyArgs;
use crate::exit::{Exit, Failure, Result};
use crate::run::{Need, Opened, Run};
use crate::{secrets, values};
use cairn::audit::note::VerifierKey;
use cairn::audit::object::host_verifier;
use cairn::audit::verify::{Fault, Finding, Seen, Verified};
use cairn::format::key_slot::SlotKind;
use cairn::id::LogId;
use cairn::journal::Anchor;
use cairn::repository::key_store;
use cairn::repository::view::Damage;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashSet};

/// What a snapshot's cell says of the log.
struct Anchored {
    snapshot: String,
    anchor: Option<Anchor>,
}

/// Looks at all logs of the repository.
pub(crate) fn run(run: &Run, args: &VerifyArgs) -> Result<Exit> {
    let parse = |text: &String| {
        VerifierKey::parse(text.trim()).map_err(|error| {
            Failure::usage(format!("--key: {error}"), "give the line that `cairn audit identity` printed")
        })
    };
    let enrolled = args.key.iter().map(parse).collect::<Result<Vec<_>>>()?;
    let mut gathered = gather(run)?;
    let snapshots = snapshots(run)?;
    for Anchored { snapshot, anchor } in snapshots.iter().flatten() {
        if let Some(anchor) = anchor {
            let seen = Seen { by: format!("snapshot {snapshot}"), size: anchor.size, root: Some(anchor.root) };
            gathered.seen.entry(anchor.log).or_default().push(seen);
        }
    }
    // Without an enrolment only logs of this host are tied to anybody.
    let own = run.state.identity_if_any().map(|identity| host_verifier(&identity.host_key()));
    let mut logs = gathered.verify(&enrolled);
    let unlogged = unlogged(&gathered, &logs, snapshots.as_deref().unwrap_or_default());
    for (id, finding) in unlogged {
        match logs.get_mut(&id) {
            Some(log) => log.findings.push(finding),
            None => run.output.warn(&finding.what),
        }
    }
    say(run, &gathered, &logs, &enrolled, own.as_ref(), snapshots.as_ref().map(Vec::len))
}

/// The snapshots' anchors, where a key is at hand.
fn snapshots(run: &Run) -> Result<Option<Vec<Anchored>>> {
    let Ok((reached, found)) = run.find_existing(Need::Read) else { return Ok(None) };
    if !secrets::is_at_hand(&run.settings, &found.repository()) {
        return Ok(None);
    }
    let opened: Opened = run.open_found(reached, &found, Need::Read)?;
    let view = opened.repository.load_cells(Damage::Collect)?;
    let anchored = view.cells.iter().map(|(id, stored)| {
        let references = &stored.cell.references;
        Anchored { snapshot: id.to_string(), anchor: references.log }
    });
    Ok(Some(anchored.collect()))
}

/// A key that opens the repository.
pub(super) struct Slot {
    /// Its id.
    pub(super) id: String,
    /// What kind of secret opens it.
    pub(super) kind: String,
    /// Who holds it, as was said when it was made.
    pub(super) holder: String,
}

/// Who can open the repository.
pub(super) struct Custody {
    /// Its keys.
    pub(super) slots: Vec<Slot>,
}

/// Who can open the repository, where a key is at hand to read it with.
pub(super) fn custody(run: &Run) -> Result<Option<Custody>> {
    let Ok((reached, found)) = run.find_existing(Need::Read) else { return Ok(None) };
    if !secrets::is_at_hand(&run.settings, &found.repository()) {
        return Ok(None);
    }
    let opened: Opened = run.open_found(reached, &found, Need::Read)?;
    let (listed, _) = key_store::list(&opened.repository)?;
    let slots = listed.into_iter().map(|slot| Slot {
        id: slot.id.short(),
        kind: match slot.kind {
            SlotKind::KeyFile => "key file",
            SlotKind::Password => "password",
            SlotKind::Recovery => "recovery key",
        }
        .into(),
        holder: slot.notes.map(|notes| notes.holder).unwrap_or_default(),
    });
    Ok(Some(Custody { slots: slots.collect() }))
}

/// Snapshots of which no leaf says that they were prepared.
fn unlogged(gathered: &Gathered, logs: &BTreeMap<LogId, Verified>, snapshots: &[Anchored]) -> Vec<(LogId, Finding)> {
    let mut prepared: HashSet<String> = HashSet::new();
    for leaf in logs.values().flat_map(|log| &log.leaves) {
        let Ok(leaf) = serde_json::from_slice::<Value>(leaf) else { continue };
        if leaf["type"] == "snapshot.prepared"
            && let Some(id) = leaf["snapshot"].as_str()
        {
            prepared.insert(id.to_owned());
        }
    }
    let any = gathered.current.or_else(|| logs.keys().next().copied());
    let missing = snapshots.iter().filter(|snapshot| !prepared.contains(&snapshot.snapshot));
    missing
        .filter_map(|snapshot| {
            let id = snapshot.anchor.map(|anchor| anchor.log).filter(|id| logs.contains_key(id)).or(any)?;
            let what =
                format!("snapshot {} is in the repository, and no leaf says that it was prepared", snapshot.snapshot);
            Some((id, Finding { fault: Fault::Unlogged, what }))
        })
        .collect()
}

fn say(
    run: &Run,
    gathered: &Gathered,
    logs: &BTreeMap<LogId, Verified>,
    enrolled: &[VerifierKey],
    own: Option<&VerifierKey>,
    snapshots: Option<usize>,
) -> Result<Exit> {
    let mut findings = 0;
    let mut untied = 0;
    let mut rows = Vec::new();
    for (id, log) in logs {
        let host = log.endorsement.as_ref().map(|endorsement| &endorsement.host);
        let is_tied = match enrolled {
            [] => own.is_some() && host == own,
            _ => log.is_enrolled == Some(true),
        };
        untied += usize::from(!is_tied);
        findings += log.findings.len();
        let current = if gathered.current == Some(*id) { ", in use here" } else { "" };
        let of = host.map_or_else(|| "no host".to_owned(), |host| host.name().to_owned());
        run.output.text(&format!(
            "log {id} of {of}{current}: {}, {}",
            values::count(log.leaves.len() as u64, "leaf", "leaves"),
            values::count(log.checkpoints.len() as u64, "signed checkpoint", "signed checkpoints"),
        ))?;
        for finding in &log.findings {
            run.output.damage(&format!("{} ({}): {}", id, finding.fault.word(), finding.what));
        }
        rows.push(json!({
            "log": id.to_string(),
            "host": host.map(ToString::to_string),
            "leaves": log.leaves.len(),
            "tied": is_tied,
            "findings": log.findings.iter()
                .map(|finding| json!({"fault": finding.fault.word(), "what": finding.what})).collect::<Vec<_>>(),
        }));
    }
    let tied = match (untied, enrolled) {
        (0, []) => "as signed by this host".to_owned(),
        (0, [one]) => format!("as signed by {}", one.name()),
        (0, _) => "as signed by hosts that are enrolled".to_owned(),
        (number, _) => {
            format!("{} NOT tied to an enrolled key (give --key)", values::count(number as u64, "log is", "logs are"))
        }
    };
    let held = match snapshots {
        Some(number) => format!("{} held against it", values::count(number as u64, "snapshot", "snapshots")),
        None => "snapshots not held against it: no key at hand".to_owned(),
    };
    let outcome = match findings {
        0 => "the log verifies".to_owned(),
        number => format!("THE LOG DOES NOT VERIFY: {}", values::count(number as u64, "fault", "faults")),
    };
    run.output.text(&format!("{outcome}; {tied}; {held}"))?;
    run.output.object(&json!({
        "message_type": "summary",
        "repository_id": gathered.repository.to_string(),
        "logs": rows,
        "num_errors": findings,
        "tied": untied == 0,
        "snapshots_held_against_it": snapshots,
    }))?;
    Ok(match (findings, untied) {
        (0, 0) => Exit::Done,
        (0, _) => Exit::Incomplete,
        _ => Exit::LogUnverified,
    })
}
