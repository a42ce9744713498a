//! `cairn key …`: the slots whose secrets open the repository.

use crate::args::{KeyAddArgs, KeyCommand, KeyPasswdArgs, NoteArgs, Role};
use crate::exit::{Exit, Failure, Result};
use crate::output::shown;
use crate::record::{Beginning, Record};
use crate::run::{Need, Opened, Run, host_name, user_name};
use crate::{secrets, values};
use cairn::audit::leaf::Event;
use cairn::audit::recorder as audit;
use cairn::format::key_slot::{SlotKind, SlotNotes, Unlock};
use cairn::id::SlotId;
use cairn::repository::RepositoryError;
use cairn::repository::key_store::{self, ListedSlot, NewSlot};
use cairn::storage::{ErrorKind, Location, Remove, StorageError};
use serde_json::{Value, json};
use std::sync::Arc;

/// Runs one of the key commands.
pub(crate) fn run(run: &Run, command: &KeyCommand) -> Result<Exit> {
    match command {
        KeyCommand::Add(args) => add(run, args),
        KeyCommand::List => list(run),
        KeyCommand::Remove { id } => remove(run, id),
        KeyCommand::Passwd(args) => passwd(run, args),
        KeyCommand::Test => test(run),
    }
}

fn word(kind: SlotKind) -> &'static str {
    match kind {
        SlotKind::KeyFile => "key-file",
        SlotKind::Password => "password",
        SlotKind::Recovery => "recovery",
    }
}

/// Opens the repository and says which slot did it.
fn open(run: &Run, need: Need) -> Result<(Opened, SlotId)> {
    let opened = run.open(need)?;
    let slot = opened.repository.slot().ok_or_else(|| RepositoryError::Slot("no key slot opened it".into()))?;
    Ok((opened, slot))
}

fn notes(run: &Run, args: &NoteArgs) -> SlotNotes {
    SlotNotes {
        holder: args.holder.clone().unwrap_or_else(user_name),
        purpose: args.purpose.clone(),
        host: args.host.clone().unwrap_or_else(host_name),
        created: run.clock.now(),
        expires: args.expires,
    }
}

fn add(run: &Run, args: &KeyAddArgs) -> Result<Exit> {
    if args.role != Role::Owner {
        return Err(Failure::usage(
            "keys with fewer rights are not in this version of cairn: every key may do everything",
            "leave --role out, and give the key to nobody who may not do everything",
        ));
    }
    let (opened, _) = open(run, Need::Write)?;
    let unlock = match (&args.new_password_file, args.new_password, args.recovery) {
        (Some(path), ..) => Unlock::Password(secrets::read_password_file(path, &run.output)?),
        (None, true, _) => Unlock::Password(secrets::ask_new()?),
        (None, false, true) => Unlock::Recovery(secrets::new_secret(&*run.random)?),
        (None, false, false) => Unlock::KeyFile(secrets::new_secret(&*run.random)?),
    };
    let record = manage(run, &opened, "key add", json!({"kind": word(unlock.kind())}))?;
    let ended = add_slot(run, args, &opened, &unlock, &record);
    record.end(ended, json!({}))
}

/// Begins the record of a change of keys.
fn manage(run: &Run, opened: &Opened, operation: &'static str, fields: Value) -> Result<Record> {
    run.begin(opened, Beginning { need: audit::Need::Manage, operation, purpose: "", fields })
}

/// Who holds a key, as the log has it.
fn holder(record: &Record, slot: &SlotId, kind: SlotKind, notes: Option<&SlotNotes>) -> Value {
    json!({
        "slot": slot.to_string(),
        "kind": word(kind),
        "holder_token": notes.and_then(|notes| record.token(&notes.holder)),
        "holder_stated": notes.is_some_and(|notes| !notes.holder.is_empty()),
    })
}

fn add_slot(run: &Run, args: &KeyAddArgs, opened: &Opened, unlock: &Unlock, record: &Record) -> Result<Exit> {
    // The secret is durable before the slot that it opens.
    match &args.output {
        Some(path) => secrets::write_new(path, unlock)?,
        None if args.recovery && !secrets::show_once(unlock, &opened.id())? => {
            return Err(Failure::usage(
                "there is no terminal to show the recovery key on",
                "name a file with --output",
            ));
        }
        None => {}
    }
    let notes = notes(run, &args.notes);
    let stored = key_store::add(&opened.repository, &NewSlot { unlock, notes: &notes });
    let slot = stored.map_err(|error| {
        let failure = Failure::from(error).while_trying(format!("add a key to {}", run.named(opened)));
        match &args.output {
            Some(path) => failure.with_hint(format!("the key in {} may open nothing; remove it", path.display())),
            None => failure,
        }
    })?;
    record.say([Event::ok("key.added", holder(record, &slot, unlock.kind(), Some(&notes)))]);
    let file = args.output.as_ref().map(|path| path.to_string_lossy().into_owned());
    let place = file.as_ref().map(|path| format!(" in {path}")).unwrap_or_default();
    run.output.text(&format!("{} key {slot} added{place} to {}", word(unlock.kind()), run.named(opened)))?;
    run.output.object(&json!({
        "message_type": "summary", "slot_id": slot.to_string(), "kind": word(unlock.kind()), "file": file,
        "repository_id": opened.id().to_string(),
    }))?;
    Ok(Exit::Done)
}

fn list(run: &Run) -> Result<Exit> {
    let (opened, current) = open(run, Need::Read)?;
    let (mut slots, damaged) = listed(run, &opened)?;
    slots.sort_by_key(|slot| (slot.notes.as_ref().map(|notes| notes.created).ok(), slot.id));
    for error in &damaged {
        run.output.warn(&crate::exit::chain(error));
    }
    let mut results = run.output.results();
    if run.output.is_json() {
        let rows: Vec<Value> = slots.iter().map(|slot| row(slot, &current)).collect();
        results.line(&Value::from(rows).to_string())?;
        results.finish()?;
        return Ok(if damaged.is_empty() { Exit::Done } else { Exit::Damage });
    }
    let ids: Vec<String> = slots.iter().map(|slot| slot.id.to_string()).collect();
    let width = unambiguous(&ids);
    results.line(&format!(
        "  {:<width$}  {:<8}  {:<10}  {:<10}  HOST, HOLDER, PURPOSE",
        "ID", "KIND", "CREATED", "EXPIRES"
    ))?;
    for (slot, id) in slots.iter().zip(&ids) {
        let mark = if slot.id == current { '*' } else { ' ' };
        let line = match &slot.notes {
            Ok(notes) => {
                let expires = notes.expires.map(values::time_seconds).unwrap_or_default();
                let texts: Vec<String> = [&notes.host, &notes.holder, &notes.purpose]
                    .into_iter()
                    .filter(|text| !text.is_empty())
                    .map(|text| shown(text.as_bytes()))
                    .collect();
                let created = values::time_seconds(notes.created);
                let [created, expires] = [&created, &expires].map(|time| time.split('T').next().unwrap_or_default());
                format!("{created:<10}  {expires:<10}  {}", texts.join(", "))
            }
            Err(error) => format!("notes cannot be read: {error}"),
        };
        results.line(format!("{mark} {}  {:<8}  {line}", &id[..width], word(slot.kind)).trim_end())?;
    }
    results.finish()?;
    Ok(if damaged.is_empty() { Exit::Done } else { Exit::Damage })
}

/// How many digits of these ids tell them apart: eight, if that is enough.
fn unambiguous(ids: &[String]) -> usize {
    let longest = ids.iter().map(String::len).max().unwrap_or_default();
    let is_enough = |width: &usize| {
        let starts: std::collections::BTreeSet<&str> = ids.iter().filter_map(|id| id.get(..*width)).collect();
        starts.len() == ids.len()
    };
    (8..longest).find(is_enough).unwrap_or(longest)
}

fn row(slot: &ListedSlot, current: &SlotId) -> Value {
    let mut row = json!({"id": slot.id.to_string(), "kind": word(slot.kind), "current": slot.id == *current});
    match &slot.notes {
        Ok(notes) => {
            row["host"] = json!(notes.host);
            row["holder"] = json!(notes.holder);
            row["purpose"] = json!(notes.purpose);
            row["created"] = json!(values::time(notes.created));
            row["expires"] = json!(notes.expires.map(values::time));
        }
        Err(error) => row["error"] = json!(error.to_string()),
    }
    row
}

fn listed(run: &Run, opened: &Opened) -> Result<(Vec<ListedSlot>, Vec<RepositoryError>)> {
    key_store::list(&opened.repository)
        .map_err(|error| Failure::from(error).while_trying(format!("list the keys of {}", run.named(opened))))
}

/// What removes from the store. Only these commands are handed it.
fn remover(run: &Run, opened: &Opened) -> Result<Arc<dyn Remove>> {
    opened.store.remove().cloned().ok_or_else(|| {
        let error = StorageError {
            operation: "remove from",
            subject: run.location().to_string(),
            kind: ErrorKind::ReadOnly,
            detail: "it can only be read".into(),
        };
        error.into()
    })
}

fn remove(run: &Run, text: &str) -> Result<Exit> {
    // Removing sends nothing, so no verdict about a place on a network stands in its way.
    let need = if matches!(run.location(), Location::Local(_)) { Need::Write } else { Need::Read };
    let (opened, current) = open(run, need)?;
    let (slots, _) = listed(run, &opened)?;
    let fits: Vec<&ListedSlot> = slots.iter().filter(|slot| slot.id.to_string().starts_with(text)).collect();
    let slot = match fits[..] {
        [slot] if !text.is_empty() => slot,
        _ => {
            let what = if fits.is_empty() {
                "no key has an id that starts with"
            } else {
                "several keys have ids that start with"
            };
            return Err(Failure::new(
                Exit::Failed,
                "key-slot",
                format!("{what} {text:?}"),
                "`cairn key list` shows them",
            ));
        }
    };
    if slot.id == current {
        let message = format!("{} is the key in use", slot.id);
        return Err(Failure::new(
            Exit::Failed,
            "key-slot",
            message,
            "open the repository with another key to remove this one",
        ));
    }
    let record = manage(run, &opened, "key remove", json!({}))?;
    // Said before it is done: nothing is removed that the log does not know of.
    record.announce([Event::ok("key.removal", holder(&record, &slot.id, slot.kind, slot.notes.as_ref().ok()))])?;
    let removed = remover(run, &opened).and_then(|store| {
        key_store::remove(&opened.repository, &*store, &slot.id).map_err(|error| {
            Failure::from(error).while_trying(format!("remove key {} from {}", slot.id, run.named(&opened)))
        })
    });
    record.end(removed.map(|()| Exit::Done), json!({"slot": slot.id.to_string()}))?;
    run.output.text(&format!("{} key {} removed from {}", word(slot.kind), slot.id, run.named(&opened)))?;
    run.output.object(&json!({
        "message_type": "summary", "slot_id": slot.id.to_string(), "kind": word(slot.kind),
        "repository_id": opened.id().to_string(),
    }))?;
    run.output.note("whoever has copied the master key with it before can still open the repository");
    Ok(Exit::Done)
}

fn passwd(run: &Run, args: &KeyPasswdArgs) -> Result<Exit> {
    let (opened, current) = open(run, Need::Write)?;
    let (slots, _) = listed(run, &opened)?;
    let old = slots.iter().find(|slot| slot.id == current);
    let Some(old) = old.filter(|slot| slot.kind == SlotKind::Password) else {
        return Err(Failure::usage(
            "the repository was not opened with a password, so there is none to replace",
            "open it with the old password (--password-file), or use `cairn key add --new-password-file`",
        ));
    };
    let password = match &args.new_password_file {
        Some(path) => secrets::read_password_file(path, &run.output)?,
        None => secrets::ask_new()?,
    };
    let defaults = NoteArgs { host: None, holder: None, purpose: String::new(), expires: None };
    let kept = old.notes.clone().unwrap_or_else(|_| notes(run, &defaults));
    let notes = SlotNotes { created: run.clock.now(), ..kept };
    let unlock = Unlock::Password(password);
    let store = remover(run, &opened)?;
    let tried = || format!("replace the password of {}", run.named(&opened));
    let record = manage(run, &opened, "key passwd", json!({}))?;
    record
        .announce([Event::ok("key.removal", holder(&record, &current, SlotKind::Password, old.notes.as_ref().ok()))])?;
    let replaced = key_store::add(&opened.repository, &NewSlot { unlock: &unlock, notes: &notes })
        .map_err(|error| Failure::from(error).while_trying(tried()))
        .and_then(|slot| {
            record.say([Event::ok("key.added", holder(&record, &slot, SlotKind::Password, Some(&notes)))]);
            key_store::remove(&opened.repository, &*store, &current).map_err(|error| {
                let hint = format!("the new password works; the old one does, too, until `cairn key remove {current}`");
                Failure::from(error).while_trying(tried()).with_hint(hint)
            })?;
            Ok(slot)
        });
    record.end(replaced.clone().map(|_| Exit::Done), json!({}))?;
    let slot = replaced?;
    run.output.text(&format!("password of {} replaced: key {slot}", run.named(&opened)))?;
    run.output.object(&json!({
        "message_type": "summary", "slot_id": slot.to_string(), "removed_slot_id": current.to_string(),
        "kind": word(SlotKind::Password), "repository_id": opened.id().to_string(),
    }))?;
    Ok(Exit::Done)
}

fn test(run: &Run) -> Result<Exit> {
    let (opened, current) = open(run, Need::Read)?;
    let (slots, _) = listed(run, &opened)?;
    let kind = slots.iter().find(|slot| slot.id == current).map_or("?", |slot| word(slot.kind));
    run.output.text(&format!("{kind} key {current} opens {}", run.named(&opened)))?;
    run.output.object(&json!({
        "message_type": "summary", "slot_id": current.to_string(), "kind": kind,
        "repository_id": opened.id().to_string(), "repository": run.location().to_string(),
    }))?;
    Ok(Exit::Done)
}
