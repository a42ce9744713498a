//! `cairn audit identity`, `record` and `acknowledge`.

use crate::args::{RecordArgs, RecordKind};
use crate::exit::{Exit, Failure, Result};
use crate::record::{Beginning, Place};
use crate::run::{Need, Run};
use cairn::audit::leaf::Event;
use cairn::audit::log::Log;
use cairn::audit::merkle::sha256;
use cairn::audit::object::host_verifier;
use cairn::audit::recorder as audit;
use cairn::id::hex;
use serde_json::{Value, json};

/// Longest reference, in bytes.
const REFERENCE_MAX: usize = 200;

/// Prints what the other side enrols.
pub(super) fn identity(run: &Run) -> Result<Exit> {
    let identity = run.state.identity(&*run.random)?;
    let host = host_verifier(&identity.host_key());
    let id = run.state.known(run.location()).ok().flatten();
    let log = id.and_then(|id| Log::open(&run.log_folder(&id)).ok().flatten());
    run.output.text(&host.to_string())?;
    run.output.object(&json!({
        "message_type": "summary",
        "enrolment": host.to_string(),
        "host_key": identity.host_key().to_string(),
        "log": log.as_ref().map(|log| log.id().to_string()),
        "log_key": log.as_ref().map(|log| log.endorsement().log.to_string()),
    }))?;
    Ok(Exit::Done)
}

fn kind(kind: RecordKind) -> &'static str {
    match kind {
        RecordKind::Heartbeat => "heartbeat",
        RecordKind::Disclosure => "disclosure.recorded",
        RecordKind::AccessOpened => "access.opened",
        RecordKind::AccessAnswered => "access.answered",
        RecordKind::Complaint => "complaint.recorded",
        RecordKind::IncidentSuspected => "incident.suspected",
        RecordKind::BreachRecorded => "breach.recorded",
        RecordKind::Instruction => "instruction.set",
        RecordKind::Retired => "client.retired",
    }
}

/// Begins a record without opening the repository: no key is needed, and the leaf gets there with the next run that writes.
fn begin(run: &Run, operation: &'static str, need: audit::Need) -> Result<crate::record::Record> {
    let (_, found) = run.find_existing(Need::Read)?;
    let place = Place { id: found.repository(), opened: None, store: None, judged: None, remote: None };
    run.begin_at(&place, Beginning { need, operation, purpose: "", fields: json!({}) })
}

/// Puts an act of people on record.
pub(super) fn record(run: &Run, args: &RecordArgs) -> Result<Exit> {
    if args.reference.is_empty() || args.reference.len() > REFERENCE_MAX {
        return Err(Failure::usage(
            format!("--ref is empty, or longer than {REFERENCE_MAX} bytes"),
            "give a short reference",
        ));
    }
    let digest = match &args.sealed_file {
        Some(path) => {
            let bytes = std::fs::read(path).map_err(|error| Failure::io(format!("read {}", path.display()), &error))?;
            json!({"file_sha256": hex(&sha256(&[&bytes])), "file_bytes": bytes.len()})
        }
        None => json!({}),
    };
    let record = begin(run, "record", audit::Need::Add)?;
    let mut fields: Value = digest;
    fields["ref"] = args.reference.as_str().into();
    fields["visibility"] = if args.restricted { "restricted" } else { "normal" }.into();
    record.announce([Event::ok(kind(args.kind), fields)])?;
    let ended = run.output.text(&format!("{} recorded as {}", args.reference, kind(args.kind)));
    record.end(ended.map(|()| Exit::Done), json!({}))
}

/// Begins a new log where the one that is there does not verify.
pub(super) fn acknowledge(run: &Run) -> Result<Exit> {
    let (reached, found) = run.find_existing(Need::Write)?;
    let opened = run.open_found(reached, &found, Need::Write)?;
    let before = Log::open(&run.log_folder(&opened.id())).ok().flatten().map(|log| log.id());
    let beginning = Beginning { need: audit::Need::Add, operation: "acknowledge", purpose: "", fields: json!({}) };
    let record = run.begin(&opened, beginning)?;
    let after = Log::open(&run.log_folder(&opened.id())).ok().flatten().map(|log| log.id());
    let ended = run.output.text(&match (before == after, after) {
        (true, _) => "the log verifies; there is nothing to acknowledge".to_owned(),
        (false, Some(id)) => format!("log {id} begins; it says what was wrong with the one before"),
        (false, None) => "the log cannot be kept on this host".to_owned(),
    });
    record.end(ended.map(|()| Exit::Done), json!({}))
}
