//! Key slots on the store: trying a secret, adding, listing, removing.

use crate::format::key_slot::{self, SLOT_LEN_MAX, SLOTS_MAX, Slot, SlotKind, SlotNotes, Unlock, Unlocked};
use crate::format::layout;
use crate::format::sealed::encoded;
use crate::format::wire::FormatError;
use crate::id::{RepositoryId, SlotId};
use crate::object::ObjectName;
use crate::repository::error::{RepositoryError, Result};
use crate::repository::handle::Repository;
use crate::repository::parallel;
use crate::storage::{Fetch, Listed, Remove};

/// A slot to be added.
#[derive(Debug)]
pub struct NewSlot<'a> {
    /// What is to open it.
    pub unlock: &'a Unlock,
    /// What is said about it.
    pub notes: &'a SlotNotes,
}

/// A slot as listed: the notes, or why they cannot be read.
#[derive(Debug)]
pub struct ListedSlot {
    /// Its id.
    pub id: SlotId,
    /// What opens it.
    pub kind: SlotKind,
    /// What is said about it.
    pub notes: std::result::Result<SlotNotes, FormatError>,
}

/// Reads a slot and checks that it is what its name says.
fn read(fetch: &dyn Fetch, repository: &RepositoryId, name: &ObjectName) -> Result<Slot> {
    decode(name, repository, &fetch.read(name, SLOT_LEN_MAX)?)
}

fn decode(name: &ObjectName, repository: &RepositoryId, bytes: &[u8]) -> Result<Slot> {
    key_slot::decode(bytes)
        .and_then(|slot| {
            let named = layout::key_slot(&slot.id) == *name && slot.repository == *repository;
            if named { Ok(slot) } else { Err(FormatError::WrongId) }
        })
        .map_err(|e| RepositoryError::damaged(name, e))
}

/// Reads the slots that were listed. Damaged ones are reported beside the good ones, since one good slot is enough.
fn load(fetch: &dyn Fetch, repository: &RepositoryId, listed: &[Listed]) -> Result<(Vec<Slot>, Vec<RepositoryError>)> {
    if listed.len() > SLOTS_MAX {
        return Err(RepositoryError::Slot(format!(
            "{} key slots are stored there; no more than {SLOTS_MAX} are tried",
            listed.len()
        )));
    }
    let (mut slots, mut damaged) = (Vec::new(), Vec::new());
    parallel::for_each(
        listed,
        fetch.request_cost().parallel,
        |object| read(fetch, repository, &object.name),
        |slot| {
            match slot {
                Ok(slot) => slots.push(slot),
                Err(error) => damaged.push(error),
            }
            Ok(())
        },
    )?;
    Ok((slots, damaged))
}

fn try_slots(slots: Vec<Slot>, unlock: &Unlock) -> Result<Option<(Slot, Unlocked)>> {
    let mut failure = None;
    for slot in slots {
        match slot.open(unlock) {
            Ok(unlocked) => return Ok(Some((slot, unlocked))),
            Err(FormatError::NoRecipient { .. }) => {}
            Err(error) => failure = Some(RepositoryError::damaged(&layout::key_slot(&slot.id), error)),
        }
    }
    failure.map_or(Ok(None), Err)
}

/// Opens whichever slot this secret belongs to. One that was read `ahead` is tried first; if it does not open, for whatever
/// reason, it counts for nothing, and those that are there are listed and tried.
///
/// # Errors
/// [`RepositoryError::WrongKey`] when there is none; damage if it may be why.
pub(in crate::repository) fn find(
    fetch: &dyn Fetch,
    repository: &RepositoryId,
    unlock: &Unlock,
    ahead: Option<(&SlotId, &[u8])>,
) -> Result<(Slot, Unlocked)> {
    if let Some((id, bytes)) = ahead
        && let Ok(slot) = decode(&layout::key_slot(id), repository, bytes)
        && let Ok(unlocked) = slot.open(unlock)
    {
        return Ok((slot, unlocked));
    }
    let (slots, mut damaged) = load(fetch, repository, &fetch.list(&layout::key_slots())?)?;
    let count = slots.len();
    if let Some(found) = try_slots(slots, unlock)? {
        return Ok(found);
    }
    Err(damaged.pop().unwrap_or(RepositoryError::WrongKey {
        what: match unlock.kind() {
            SlotKind::KeyFile => "key file",
            SlotKind::Password => "password",
            SlotKind::Recovery => "recovery key",
        },
        slots: count,
    }))
}

/// Adds a slot, and opens it again before saying so.
///
/// # Errors
/// What the store says; [`RepositoryError::Verification`] when the new slot does not open.
pub fn add(repository: &Repository, new: &NewSlot<'_>) -> Result<SlotId> {
    add_slot(repository, new).map(|slot| slot.id)
}

/// As [`add`], with all of the slot.
pub(in crate::repository) fn add_slot(repository: &Repository, new: &NewSlot<'_>) -> Result<Slot> {
    let id = SlotId::from_bytes(repository.random().bytes()?);
    let bytes = key_slot::encode(
        &repository.config.repository,
        id,
        new.unlock,
        &repository.master,
        &[&repository.root],
        new.notes,
        repository.random(),
    )
    .map_err(RepositoryError::encode("key slot"))?;
    let name = layout::key_slot(&id);
    repository.publish()?.put_fresh(&name, encoded(&bytes))?;
    let stored = repository.fetch().read(&name, SLOT_LEN_MAX)?;
    let opened = key_slot::decode(&stored).and_then(|slot| slot.open(new.unlock).map(|unlocked| (slot, unlocked)));
    match opened {
        Ok((slot, unlocked)) if unlocked.master.expose() == repository.master.expose() => Ok(slot),
        _ => Err(RepositoryError::Verification("the new key slot does not open")),
    }
}

/// All slots, and what is wrong with those that cannot be read.
///
/// # Errors
/// What the store says.
pub fn list(repository: &Repository) -> Result<(Vec<ListedSlot>, Vec<RepositoryError>)> {
    list_of(repository, repository.fetch().list(&layout::key_slots())?)
}

/// As [`list`], for slots that were listed already. The one that opened the repository was read then, and is not again.
///
/// # Errors
/// What the store says.
pub fn list_of(repository: &Repository, listed: Vec<Listed>) -> Result<(Vec<ListedSlot>, Vec<RepositoryError>)> {
    let own = repository.slot.as_ref();
    let is_own = |object: &Listed| own.is_some_and(|own| layout::key_slot(&own.id) == object.name);
    let (known, listed): (Vec<_>, Vec<_>) = listed.into_iter().partition(is_own);
    let (slots, damaged) = load(repository.fetch(), &repository.config.repository, &listed)?;
    let known = own.filter(|_| !known.is_empty());
    let notes = |slot: &Slot| ListedSlot { id: slot.id, kind: slot.kind, notes: slot.notes(&repository.master) };
    let mut all: Vec<_> = known.into_iter().chain(&slots).map(notes).collect();
    all.sort_by_key(|slot| slot.id);
    Ok((all, damaged))
}

/// Removes a slot, but never the last one that is not a recovery key, nor the last of all.
///
/// # Errors
/// [`RepositoryError::Slot`] when it is not there or the last; what the store says.
pub fn remove(repository: &Repository, store: &dyn Remove, id: &SlotId) -> Result<()> {
    let (slots, _) = list(repository)?;
    if !slots.iter().any(|slot| slot.id == *id) {
        return Err(RepositoryError::Slot(format!("there is no key slot {id}")));
    }
    if !slots.iter().any(|slot| slot.id != *id) {
        return Err(RepositoryError::Slot("this is the only key slot; add another before you remove it".into()));
    }
    store.remove(&layout::key_slot(id))?;
    Ok(())
}
