//! Key slots: the master key and dataset roots, wrapped for one key file, password or recovery key; and the text forms of
//! those secrets. (`docs/format.md`, "Key slots" and "Secrets as text".)

use crate::clock::Timestamp;
use crate::crypto::aead::{open_once, seal_once};
use crate::crypto::kdf::{PasswordCost, derive_committed, stretch_password};
use crate::crypto::keyring::{DatasetRoot, MasterKey};
use crate::crypto::random::Randomness;
use crate::crypto::secret::{Secret, SecretBytes, equal};
use crate::format::envelope::{read_start, write_start};
use crate::format::wire::{FormatError, Reader, Result, Writer};
use crate::id::{DatasetId, RepositoryId, SlotId};
use crate::object::ObjectKind;
use bech32::{Bech32m, Hrp};
use zeroize::Zeroize;

/// Longest slot object, in bytes.
pub const SLOT_LEN_MAX: u64 = 64 << 10;
/// Most slots that are tried or listed.
pub const SLOTS_MAX: usize = 256;
/// Longest holder, purpose or host in a slot's notes, in bytes.
pub const NOTE_LEN_MAX: usize = 512;
const ROOTS_MAX: u64 = 64;
/// Bytes in clear before the commitment.
const CLEAR_LEN: usize = 32 + 16 + 1 + 12 + 32;

/// What opens a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum SlotKind {
    /// 32 random bytes in a file.
    KeyFile = 1,
    /// A password, through Argon2id.
    Password = 2,
    /// 32 random bytes on paper.
    Recovery = 3,
}

/// The secret somebody holds.
#[derive(Debug)]
pub enum Unlock {
    /// From a key file.
    KeyFile(Secret),
    /// A password.
    Password(SecretBytes),
    /// From a recovery key.
    Recovery(Secret),
}

const KEY_PREFIX: &str = "cairn-key";
const RECOVERY_PREFIX: &str = "cairn-recovery";

impl Unlock {
    /// Which slots it may open.
    pub fn kind(&self) -> SlotKind {
        match self {
            Self::KeyFile(_) => SlotKind::KeyFile,
            Self::Password(_) => SlotKind::Password,
            Self::Recovery(_) => SlotKind::Recovery,
        }
    }

    /// Reads a key file or recovery key: bech32m (BIP 350) with the prefix `cairn-key` or `cairn-recovery`; white space
    /// around it and within it is ignored.
    ///
    /// # Errors
    /// [`FormatError::Invalid`] when it is neither, its checksum does not fit, or the bits behind the 32 bytes are not 0.
    pub fn from_text(text: &str) -> Result<Self> {
        let bad = || FormatError::Invalid { what: "key text (a character may be wrong or missing)" };
        let mut compact: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        let decoded = bech32::primitives::decode::CheckedHrpstring::new::<Bech32m>(&compact)
            .ok()
            .filter(|checked| checked.validate_segwit_padding().is_ok())
            .map(|checked| (checked.hrp().to_lowercase(), SecretBytes::new(checked.byte_iter().collect())));
        compact.zeroize();
        let (prefix, bytes) = decoded.ok_or_else(bad)?;
        let secret = Secret::new(bytes.expose().try_into().map_err(|_| bad())?);
        match prefix.as_str() {
            KEY_PREFIX => Ok(Self::KeyFile(secret)),
            RECOVERY_PREFIX => Ok(Self::Recovery(secret)),
            _ => Err(bad()),
        }
    }

    /// The text form; `None` for a password.
    pub fn to_text(&self) -> Option<String> {
        let (prefix, secret) = match self {
            Self::KeyFile(secret) => (KEY_PREFIX, secret),
            Self::Recovery(secret) => (RECOVERY_PREFIX, secret),
            Self::Password(_) => return None,
        };
        bech32::encode::<Bech32m>(Hrp::parse(prefix).ok()?, secret.expose()).ok()
    }
}

/// What is said about a slot; only holders of the master key can read or write it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotNotes {
    /// Who holds the secret.
    pub holder: String,
    /// What for.
    pub purpose: String,
    /// Which host it is for.
    pub host: String,
    /// When the slot was made.
    pub created: Timestamp,
    /// When it should be removed.
    pub expires: Option<Timestamp>,
}

/// What a slot opens.
#[derive(Debug)]
pub struct Unlocked {
    /// The repository's master key.
    pub master: MasterKey,
    /// Copies of the dataset roots that existed when the slot was made.
    pub roots: Vec<DatasetRoot>,
}

/// A decoded slot, still closed.
#[derive(Debug)]
pub struct Slot {
    /// Its id.
    pub id: SlotId,
    /// What opens it.
    pub kind: SlotKind,
    /// The repository it says it belongs to.
    pub repository: RepositoryId,
    cost: PasswordCost,
    salt: [u8; 32],
    clear: Vec<u8>,
    commitment: [u8; 32],
    payload: Vec<u8>,
    before_notes: Vec<u8>,
    notes: Vec<u8>,
}

fn slot_key(unlock: &Unlock, salt: &[u8; 32], cost: PasswordCost, clear: &[u8]) -> Result<(Secret, [u8; 32])> {
    let invalid = |_| FormatError::Invalid { what: "password or its parameters" };
    let secret = match unlock {
        Unlock::KeyFile(secret) | Unlock::Recovery(secret) => secret.duplicate(),
        Unlock::Password(password) => stretch_password(password.expose(), salt, cost).map_err(invalid)?,
    };
    Ok(derive_committed("cairn v1 slot", &secret, &[clear]))
}

fn encode_notes(notes: &SlotNotes) -> Result<Vec<u8>> {
    let mut w = Writer::new();
    for text in [&notes.holder, &notes.purpose, &notes.host] {
        if text.len() > NOTE_LEN_MAX {
            return Err(FormatError::Limit { what: "note", value: text.len() as u64, limit: NOTE_LEN_MAX as u64 });
        }
        w.bytes(text.as_bytes());
    }
    w.timestamp(notes.created);
    w.u8(u8::from(notes.expires.is_some()));
    if let Some(expires) = notes.expires {
        w.timestamp(expires);
    }
    Ok(w.into_vec())
}

fn decode_notes(bytes: &[u8]) -> Result<SlotNotes> {
    let mut r = Reader::new(bytes, "slot notes");
    let text = |r: &mut Reader<'_>| -> Result<String> {
        String::from_utf8(r.bytes(NOTE_LEN_MAX)?.to_vec()).map_err(|_| FormatError::Invalid { what: "slot notes" })
    };
    let notes = SlotNotes {
        holder: text(&mut r)?,
        purpose: text(&mut r)?,
        host: text(&mut r)?,
        created: r.timestamp()?,
        expires: match r.u8()? {
            0 => None,
            1 => Some(r.timestamp()?),
            _ => return Err(r.invalid()),
        },
    };
    r.end()?;
    Ok(notes)
}

/// Encodes a slot that `unlock` opens.
///
/// # Errors
/// [`FormatError`] when the password, a note or the number of roots breaks a limit, or there is no randomness.
pub fn encode(
    repository: &RepositoryId,
    id: SlotId,
    unlock: &Unlock,
    master: &MasterKey,
    roots: &[&DatasetRoot],
    notes: &SlotNotes,
    random: &dyn Randomness,
) -> Result<Vec<u8>> {
    let seal_failed = |e: &dyn std::fmt::Display| FormatError::Seal(e.to_string());
    let salt = random.bytes::<32>().map_err(|e| seal_failed(&e))?;
    let cost = match unlock {
        Unlock::Password(_) => PasswordCost::DEFAULT,
        _ => PasswordCost { memory_kib: 0, passes: 0, lanes: 0 },
    };
    let mut w = Writer::new();
    write_start(&mut w, ObjectKind::KeySlot, repository);
    w.raw(id.as_bytes());
    w.u8(unlock.kind() as u8);
    w.u32(cost.memory_kib);
    w.u32(cost.passes);
    w.u32(cost.lanes);
    w.raw(&salt);
    let clear = w.as_slice().to_vec();
    let (key, commitment) = slot_key(unlock, &salt, cost, &clear)?;
    w.raw(&commitment);

    if roots.len() as u64 > ROOTS_MAX {
        return Err(FormatError::Limit { what: "dataset roots", value: roots.len() as u64, limit: ROOTS_MAX });
    }
    let mut payload = Writer::new();
    payload.raw(master.expose());
    payload.varint(roots.len() as u64);
    for root in roots {
        payload.raw(root.dataset.as_bytes());
        payload.u32(root.epoch);
        payload.raw(root.expose());
    }
    let mut payload = payload.into_vec();
    // Room for the tag, so that sealing does not move the keys and leave a copy behind.
    let mut sealed = Vec::with_capacity(payload.len() + 16);
    sealed.extend_from_slice(&payload);
    payload.zeroize();
    seal_once(key, &clear, &mut sealed).map_err(|e| seal_failed(&e))?;
    w.u32(sealed.len() as u32);
    w.raw(&sealed);
    let mut sealed_notes = encode_notes(notes)?;
    // Bound to all that stands before them, so that every holder of the master key can tell whether the slot is whole.
    seal_once(master.slot_notes_key(&clear), w.as_slice(), &mut sealed_notes).map_err(|e| seal_failed(&e))?;
    w.u32(sealed_notes.len() as u32);
    w.raw(&sealed_notes);
    Ok(w.into_vec())
}

/// Decodes a slot's outside.
///
/// # Errors
/// [`FormatError`] when it is malformed, or asks for more password work than any reader should do.
pub fn decode(bytes: &[u8]) -> Result<Slot> {
    let mut r = Reader::new(bytes, "key slot");
    let repository = read_start(&mut r, ObjectKind::KeySlot)?;
    let id = SlotId::from_bytes(r.array()?);
    let kind = match r.u8()? {
        1 => SlotKind::KeyFile,
        2 => SlotKind::Password,
        3 => SlotKind::Recovery,
        other => return Err(FormatError::Unknown { what: "key slot kind", value: other.into() }),
    };
    let cost = PasswordCost { memory_kib: r.u32()?, passes: r.u32()?, lanes: r.u32()? };
    let none = PasswordCost { memory_kib: 0, passes: 0, lanes: 0 };
    if (kind == SlotKind::Password && !cost.is_bounded()) || (kind != SlotKind::Password && cost != none) {
        return Err(FormatError::Invalid { what: "password parameters of the slot" });
    }
    let salt = r.array()?;
    let clear = bytes[..CLEAR_LEN].to_vec();
    let commitment = r.array()?;
    let len = r.u32()? as usize;
    let payload = r.take(len)?.to_vec();
    let before_notes = bytes[..bytes.len() - r.remaining()].to_vec();
    let len = r.u32()? as usize;
    let notes = r.take(len)?.to_vec();
    r.end()?;
    Ok(Slot { id, kind, repository, cost, salt, clear, commitment, payload, before_notes, notes })
}

impl Slot {
    /// Tries a secret.
    ///
    /// # Errors
    /// [`FormatError::NoRecipient`] when the secret is not this slot's; other errors when the slot is damaged.
    pub fn open(&self, unlock: &Unlock) -> Result<Unlocked> {
        let closed = FormatError::NoRecipient { what: "key slot" };
        if unlock.kind() != self.kind {
            return Err(closed);
        }
        let (key, commitment) = slot_key(unlock, &self.salt, self.cost, &self.clear)?;
        if !equal(&commitment, &self.commitment) {
            return Err(closed);
        }
        let mut payload = self.payload.clone();
        open_once(&key, &self.clear, &mut payload).map_err(|_| FormatError::NotAuthentic { what: "key slot" })?;
        let payload = SecretBytes::new(payload);
        let mut r = Reader::new(payload.expose(), "key slot");
        let master = MasterKey::new(Secret::new(r.array()?));
        let count = r.count(ROOTS_MAX, 52)?;
        let root = |r: &mut Reader<'_>| -> Result<DatasetRoot> {
            Ok(DatasetRoot::new(DatasetId::from_bytes(r.array()?), r.u32()?, Secret::new(r.array()?)))
        };
        let roots = (0..count).map(|_| root(&mut r)).collect::<Result<Vec<_>>>()?;
        r.end()?;
        Ok(Unlocked { master, roots })
    }

    /// What is said about it. That they open shows too that the rest of the slot is as it was made.
    ///
    /// # Errors
    /// [`FormatError::NotAuthentic`] when any of it was altered, or made under another master key.
    pub fn notes(&self, master: &MasterKey) -> Result<SlotNotes> {
        let mut notes = self.notes.clone();
        open_once(&master.slot_notes_key(&self.clear), &self.before_notes, &mut notes)
            .map_err(|_| FormatError::NotAuthentic { what: "slot notes" })?;
        decode_notes(&notes)
    }
}
