//! `cairn audit witness`, `cosign` and `deliver`: what the two sides of a contract do with each other's logs.
//!
//! A receipt means: received, and it goes on from what was signed last. It does not mean that what it says is true.

use super::gather::failed;
use crate::args::{CosignArgs, DeliverArgs, WitnessCommand};
use crate::commands::init;
use crate::exit::{Exit, Failure, Result};
use crate::output::shown;
use crate::run::{Need, Run};
use crate::secrets;
use crate::settings::parse_location;
use crate::state::replace;
use crate::values;
use cairn::audit::checkpoint::Checkpoint;
use cairn::audit::merkle::root;
use cairn::audit::note::{KeyType, Note, VerifierKey};
use cairn::audit::object::{self, host_verifier};
use cairn::audit::publish;
use cairn::audit::verify::{self, Seen, Verified};
use cairn::clock::Timestamp;
use cairn::crypto::sign::Identity;
use cairn::format::layout;
use cairn::id::{LogId, hex};
use cairn::residency::{Pin, Policy};
use cairn::storage::{Location, Publish};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Adds, shows, or says who this host is as a witness.
pub(super) fn run(run: &Run, command: &WitnessCommand) -> Result<Exit> {
    match command {
        WitnessCommand::Add { name, key } => add(run, name, key),
        WitnessCommand::List => {
            for (name, key) in witnesses(run)? {
                run.output.text(&format!("{name}  {key}"))?;
            }
            Ok(Exit::Done)
        }
        WitnessCommand::Identity => {
            let key = own_key(run)?.1;
            run.output.text(&key.to_string())?;
            run.output.object(&json!({"message_type": "summary", "witness": key.to_string()}))?;
            Ok(Exit::Done)
        }
    }
}

/// This host's identity as a witness.
fn own_key(run: &Run) -> Result<(Identity, VerifierKey)> {
    let identity = run.state.identity(&*run.random)?;
    let host = host_verifier(&identity.host_key());
    let key = VerifierKey::new(host.name(), KeyType::Cosignature, *host.public());
    let key = key.ok_or_else(|| Failure::new(Exit::Failed, "identity", "this host's key has no name", ""))?;
    Ok((identity, key))
}

fn witnesses(run: &Run) -> Result<Vec<(String, VerifierKey)>> {
    let folder = run.state.path().join("witnesses");
    let Ok(entries) = std::fs::read_dir(&folder) else { return Ok(Vec::new()) };
    let mut all = Vec::new();
    for entry in entries.filter_map(std::io::Result::ok) {
        let path = entry.path();
        let text = std::fs::read_to_string(&path).map_err(|e| Failure::io(format!("read {}", path.display()), &e))?;
        let key = VerifierKey::parse(text.trim()).map_err(|error| {
            let hint = "remove it, and add the witness again";
            Failure::new(Exit::Failed, "state", format!("cannot read {}: {error}", path.display()), hint)
        })?;
        all.push((entry.file_name().to_string_lossy().into_owned(), key));
    }
    all.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(all)
}

fn add(run: &Run, name: &str, key: &str) -> Result<Exit> {
    if !layout::is_site_name(name) {
        return Err(Failure::usage(format!("{name:?} is no name"), "use a-z, 0-9 and -, beginning with a letter"));
    }
    let key = VerifierKey::parse(key).map_err(|error| {
        Failure::usage(error.to_string(), "give the line that `cairn audit witness identity` printed there")
    })?;
    if key.key_type() != KeyType::Cosignature {
        return Err(Failure::usage(
            "this key does not sign receipts",
            "`cairn audit witness identity` prints the one that does",
        ));
    }
    let path = run.state.directory("witnesses")?.join(name);
    replace(&path, &format!("{key}\n"))?;
    run.output.text(&format!("witness {name} added: {}", key.name()))?;
    Ok(Exit::Done)
}

/// What may create objects at the run's location: through the gate, under the pin that the repository was made with.
fn publisher(run: &Run, policy: &Policy) -> Result<Arc<dyn Publish>> {
    let place = init::place_at(run, policy, cairn::storage::connect)?;
    place
        .publish
        .ok_or_else(|| Failure::new(Exit::Failed, "read-only", "it can only be read here", "open it for writing"))
}

/// Under which policy something of the log may be sent: the repository's, as far as it can be read. A place that logs were
/// delivered to has none of its own.
///
/// # Errors
/// Exit 12 where the policy was changed, and no key is at hand to read how.
fn policy(run: &Run) -> Result<Policy> {
    let Some((reached, found)) = run.find(Need::Read)? else { return Ok(Policy::new(Pin::Canada)) };
    if secrets::is_at_hand(&run.settings, &found.repository()) {
        return run.policy(&run.open_found(reached, &found, Need::Read)?);
    }
    if reached.store.fetch().list(&layout::policies())?.is_empty() {
        return Ok(Policy::new(found.config().pin.clone()));
    }
    Err(Failure::new(
        Exit::WrongKey,
        "no-key",
        "where data may be was changed since the repository was made, and only a key can read how",
        "name a key, or deliver the logs to a place on this host",
    ))
}

/// Copies the logs to a place where somebody else reads them. Nothing else of the repository goes there.
pub(super) fn deliver(run: &Run, args: &DeliverArgs) -> Result<Exit> {
    let to = run.at(parse_location(&args.to)?);
    let gathered = super::gather::gather(run)?;
    let place = match to.location() {
        Location::Local(_) => init::place(&to, &Policy::new(Pin::Canada))?,
        Location::S3 { .. } => init::place_at(&to, &policy(run)?, cairn::storage::connect)?,
    };
    let Some(publish) = place.publish else {
        return Err(Failure::new(
            Exit::Failed,
            "read-only",
            "nothing can be delivered there",
            "name a place that can be written",
        ));
    };
    let mut delivered = 0;
    for (id, evidence) in &gathered.logs {
        let key = evidence.key.iter().map(|bytes| (object::log_key(id), bytes));
        let parts = evidence.parts.iter().map(|(size, bytes)| (object::log_part(id, *size), bytes));
        for (name, bytes) in key.chain(parts) {
            let there = place.store.fetch().size(&name);
            if there.is_err() {
                publish::publish_object(&*publish, &name, bytes)
                    .map_err(|error| failed(&to, "deliver the log", &error))?;
                delivered += 1;
            }
        }
    }
    run.output.text(&format!(
        "{} delivered to {}",
        values::count(delivered, "object of the log", "objects of the log"),
        to.location()
    ))?;
    run.output.object(&json!({"message_type": "summary", "objects": delivered, "to": to.location().to_string()}))?;
    Ok(Exit::Done)
}

/// Signs receipts, for one repository or for all below a directory.
pub(super) fn cosign(run: &Run, args: &CosignArgs) -> Result<Exit> {
    let Some(all) = &args.all else { return cosign_one(run) };
    let entries = std::fs::read_dir(all).map_err(|e| Failure::io(format!("read {}", all.display()), &e))?;
    let mut folders: Vec<_> =
        entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_dir()).collect();
    folders.sort();
    let mut worst = Exit::Done;
    for folder in folders {
        let at = run.at(Location::Local(folder.clone()));
        let exit = cosign_one(&at).unwrap_or_else(|failure| {
            run.output.warn(&format!("{}: {}", folder.display(), failure.message));
            failure.exit
        });
        if exit != Exit::Done && worst != Exit::LogUnverified {
            worst = exit;
        }
    }
    Ok(worst)
}

/// What a witness remembers of a log.
fn memory(run: &Run, origin: &str) -> Result<std::path::PathBuf> {
    let name = format!("{}.json", &blake3::hash(origin.as_bytes()).to_hex()[..32]);
    Ok(run.state.directory("cosigned")?.join(name))
}

fn cosign_one(run: &Run) -> Result<Exit> {
    let gathered = super::gather::gather_foreign(run)?;
    let (identity, key) = own_key(run)?;
    let publish = policy(run).and_then(|policy| publisher(run, &policy));
    let mut worst = Exit::Done;
    let mut rows = Vec::new();
    let logs: BTreeMap<LogId, Verified> = {
        let mut logs = BTreeMap::new();
        for (id, evidence) in &gathered.logs {
            let origin = object::origin(&gathered.repository, id);
            let seen: Vec<Seen> = remembered(run, &origin)?.into_iter().collect();
            logs.insert(*id, verify::verify(&gathered.repository, *id, evidence, &[], &seen));
        }
        logs
    };
    for (id, log) in &logs {
        let origin = object::origin(&gathered.repository, id);
        let before = remembered(run, &origin)?.map_or(0, |seen| seen.size);
        let size = log.leaves.len() as u64;
        let last = last_run(log);
        let mut verdict = "NOT SIGNED";
        if !log.findings.is_empty() {
            worst = Exit::LogUnverified;
            for finding in &log.findings {
                run.output.damage(&format!("{origin} ({}): {}", finding.fault.word(), finding.what));
            }
        } else if size > before {
            match sign(run, (&identity, &key), &publish, (id, log)) {
                Ok(()) => verdict = "signed",
                Err(failure) => {
                    run.output.warn(&failure.message);
                    (verdict, worst) = ("NOT SIGNED", failure.exit);
                }
            }
        } else {
            verdict = "signed before";
        }
        let line = format!("{origin}: {verdict}, {size} leaves, {} new; last run: {last}", size.saturating_sub(before));
        run.output.text(&shown(line.as_bytes()))?;
        rows.push(json!({"origin": origin, "leaves": size, "new": size.saturating_sub(before), "last": last,
            "faults": log.findings.iter().map(|finding| finding.fault.word()).collect::<Vec<_>>()}));
    }
    // A log that was here and is gone.
    for origin in all_remembered(run, &gathered.repository.to_string())? {
        if !logs.keys().any(|id| object::origin(&gathered.repository, id) == origin) {
            worst = Exit::LogUnverified;
            run.output.damage(&format!("{origin}: was here when it was signed last, and is gone"));
        }
    }
    run.output.object(&json!({"message_type": "summary", "logs": rows}))?;
    Ok(worst)
}

/// Stores a receipt for a log, and then remembers that. What is not stored is not remembered either: it is signed next time.
fn sign(
    run: &Run,
    (identity, key): (&Identity, &VerifierKey),
    publish: &Result<Arc<dyn Publish>>,
    (id, log): (&LogId, &Verified),
) -> Result<()> {
    let publish = publish.as_ref().map_err(Clone::clone)?;
    let origin = log.endorsement.as_ref().map(|endorsement| endorsement.log.name().to_owned()).unwrap_or_default();
    let now = run.clock.now();
    let checkpoint = Checkpoint { origin, size: log.leaves.len() as u64, root: root(&log.hashes) };
    let unfit = || Failure::new(Exit::LogUnverified, "log-unverified", "its origin fits no note", "");
    let mut note = Note::new(checkpoint.text()).ok_or_else(unfit)?;
    note.cosign(identity, key, u64::try_from(now.seconds).unwrap_or(0));
    let name = object::receipt(id, checkpoint.size, key.id());
    publish::publish_object(&**publish, &name, note.to_string().as_bytes())
        .map_err(|error| failed(run, "store a receipt", &error))?;
    let record = json!({
        "origin": checkpoint.origin,
        "size": checkpoint.size,
        "root": hex(&checkpoint.root),
        "time": values::time_seconds(now),
    });
    replace(&memory(run, &checkpoint.origin)?, &format!("{record:#}\n"))
}

fn parsed(text: &str) -> Option<Seen> {
    let value: Value = serde_json::from_str(text).ok()?;
    let root = cairn::id::HostKey::from_hex(value["root"].as_str()?).ok()?;
    let by = format!("this witness, at {},", value["time"].as_str()?);
    Some(Seen { by, size: value["size"].as_u64()?, root: Some(*root.as_bytes()) })
}

/// What this host signed last of a log.
fn remembered(run: &Run, origin: &str) -> Result<Option<Seen>> {
    let path = memory(run, origin)?;
    match std::fs::read_to_string(&path) {
        Ok(text) => parsed(&text).map(Some).ok_or_else(|| {
            let hint = "it says what was signed last; a witness without it would sign what it cannot know";
            Failure::new(Exit::Failed, "state", format!("cannot read {}: it is damaged", path.display()), hint)
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::io(format!("read {}", path.display()), &error)),
    }
}

/// The origins of all logs of a repository that this host has signed.
fn all_remembered(run: &Run, repository: &str) -> Result<Vec<String>> {
    let folder = run.state.directory("cosigned")?;
    let entries = std::fs::read_dir(&folder).map_err(|e| Failure::io(format!("read {}", folder.display()), &e))?;
    let texts = entries.filter_map(|entry| std::fs::read_to_string(entry.ok()?.path()).ok());
    let origins = texts.filter_map(|text| {
        let value: Value = serde_json::from_str(&text).ok()?;
        value["origin"].as_str().map(ToOwned::to_owned)
    });
    Ok(origins.filter(|origin| origin.starts_with(&format!("cairn/{repository}/"))).collect())
}

/// When the last run ended, and how.
fn last_run(log: &Verified) -> String {
    let last = log.leaves.iter().rev().find_map(|leaf| {
        let said: Value = serde_json::from_slice(leaf).ok()?;
        (said["type"] == "run.finished").then(|| {
            let text = |field: &str| said[field].as_str().unwrap_or("?").to_owned();
            format!("{} {} at {}", text("op"), text("res"), text("t"))
        })
    });
    last.unwrap_or_else(|| "none".into())
}

/// A witness that should have signed.
pub(super) struct Overdue {
    /// Its name here.
    pub(super) name: String,
    /// For how many days it has not; `None` if it never has.
    pub(super) days: Option<i64>,
}

/// Which of the witnesses that are enrolled have not signed for longer than this is worth a word.
pub(super) fn overdue(run: &Run, logs: &BTreeMap<LogId, verify::Evidence>, now: Timestamp) -> Vec<Overdue> {
    const DAYS: i64 = 3;
    let Ok(witnesses) = witnesses(run) else { return Vec::new() };
    let mut overdue = Vec::new();
    for (name, key) in witnesses {
        let receipts = logs.values().flat_map(|evidence| evidence.receipts.values());
        let last = receipts.filter_map(|bytes| Note::parse(bytes).ok()?.verify(&key).ok().flatten()).max();
        let days = last.map(|last| (now.seconds - i64::try_from(last).unwrap_or(i64::MAX)) / 86_400);
        if days.is_none_or(|days| days >= DAYS) {
            overdue.push(Overdue { name, days });
        }
    }
    overdue
}
