//! Key slots on the store: trying a secret, adding, listing, removing.

use crate::format::key_slot::{self, SLOT_LEN_MAX, SLOTS_MAX, Slot, SlotKind, SlotNotes, Unlock, Unlocked};
use crate::format::layout;
use crate::format::sealed::encoded;
use crate::format::wire::FormatError;
use crate::id::{RepositoryId, SlotId};
use crate::repository::error::{RepositoryError, Result};
use crate::repository::handle::Repository;
use crate::storage::{Fetch, Remove};

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

/// Decodes all slots of a repository. Damaged ones are reported beside the good ones, since one good slot is enough.
fn load(fetch: &dyn Fetch, repository: &RepositoryId) -> Result<(Vec<Slot>, Vec<RepositoryError>)> {
    let listed = fetch.list(&layout::key_slots())?;
    if listed.len() > SLOTS_MAX {
        return Err(RepositoryError::Slot(format!(
            "{} key slots are stored there; no more than {SLOTS_MAX} are tried",
            listed.len()
        )));
    }
    let (mut slots, mut damaged) = (Vec::new(), Vec::new());
    for object in listed {
        let slot = fetch.read(&object.name, SLOT_LEN_MAX).map_err(RepositoryError::from).and_then(|bytes| {
            key_slot::decode(&bytes)
                .and_then(|slot| {
                    let named = layout::key_slot(&slot.id) == object.name && slot.repository == *repository;
                    if named { Ok(slot) } else { Err(FormatError::WrongId) }
                })
                .map_err(|e| RepositoryError::damaged(&object.name, e))
        });
        match slot {
            Ok(slot) => slots.push(slot),
            Err(error) => damaged.push(error),
        }
    }
    Ok((slots, damaged))
}

fn try_slots(slots: &[Slot], unlock: &Unlock) -> Result<Option<(SlotId, Unlocked)>> {
    let mut failure = None;
    for slot in slots {
        match slot.open(unlock) {
            Ok(unlocked) => return Ok(Some((slot.id, unlocked))),
            Err(FormatError::NoRecipient { .. }) => {}
            Err(error) => failure = Some(RepositoryError::damaged(&layout::key_slot(&slot.id), error)),
        }
    }
    failure.map_or(Ok(None), Err)
}

/// Opens whichever slot this secret belongs to.
///
/// # Errors
/// [`RepositoryError::WrongKey`] when there is none; damage if it may be why.
pub fn unlock(fetch: &dyn Fetch, repository: &RepositoryId, unlock: &Unlock) -> Result<Unlocked> {
    find(fetch, repository, unlock).map(|(_, unlocked)| unlocked)
}

/// As [`unlock`], with the slot's id.
///
/// # Errors
/// As [`unlock`].
pub fn find(fetch: &dyn Fetch, repository: &RepositoryId, unlock: &Unlock) -> Result<(SlotId, Unlocked)> {
    let (slots, mut damaged) = load(fetch, repository)?;
    if let Some(found) = try_slots(&slots, unlock)? {
        return Ok(found);
    }
    Err(damaged.pop().unwrap_or(RepositoryError::WrongKey {
        what: match unlock.kind() {
            SlotKind::KeyFile => "key file",
            SlotKind::Password => "password",
            SlotKind::Recovery => "recovery key",
        },
        slots: slots.len(),
    }))
}

/// Adds a slot, and opens it again before saying so.
///
/// # Errors
/// What the store says; [`RepositoryError::Verification`] when the new slot does not open.
pub fn add(repository: &Repository, new: &NewSlot<'_>) -> Result<SlotId> {
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
    repository.publish()?.put_new(&name, encoded(&bytes))?;
    let stored = repository.fetch().read(&name, SLOT_LEN_MAX)?;
    let opened = key_slot::decode(&stored).and_then(|slot| slot.open(new.unlock));
    match opened {
        Ok(unlocked) if unlocked.master.expose() == repository.master.expose() => Ok(id),
        _ => Err(RepositoryError::Verification("the new key slot does not open")),
    }
}

/// All slots, and what is wrong with those that cannot be read.
///
/// # Errors
/// What the store says.
pub fn list(repository: &Repository) -> Result<(Vec<ListedSlot>, Vec<RepositoryError>)> {
    let (slots, damaged) = load(repository.fetch(), &repository.config.repository)?;
    let listed = slots
        .into_iter()
        .map(|slot| ListedSlot { id: slot.id, kind: slot.kind, notes: slot.notes(&repository.master) })
        .collect();
    Ok((listed, damaged))
}

/// Removes a slot, but never the last one that is not a recovery key, nor the last of all.
///
/// # Errors
/// [`RepositoryError::Slot`] when it is not there or the last; what the store says.
pub fn remove(repository: &Repository, store: &dyn Remove, id: &SlotId) -> Result<()> {
    let (slots, _) = load(repository.fetch(), &repository.config.repository)?;
    if !slots.iter().any(|slot| slot.id == *id) {
        return Err(RepositoryError::Slot(format!("there is no key slot {id}")));
    }
    if !slots.iter().any(|slot| slot.id != *id) {
        return Err(RepositoryError::Slot("this is the only key slot; add another before you remove it".into()));
    }
    store.remove(&layout::key_slot(id))?;
    Ok(())
}
