//! The header of every sealed object: what it is, where it belongs, and for whom its section secrets are wrapped.
//! (`docs/format.md`, "Object header" and "Sections".)
//!
//! An object has one to three sections. Each has a random secret of its own, wrapped for one or more recipients, and a
//! commitment that is compared before anything is opened. What is sealed in a section is bound to the hash of the whole
//! header, to the section and to a message number, so nothing opens in another object or place.

use crate::crypto::aead::{Sealer, SectionKey, open_once, seal_once};
use crate::crypto::hash;
use crate::crypto::kdf::derive_committed;
use crate::crypto::keyring::RecipientKey;
use crate::crypto::random::Randomness;
use crate::crypto::secret::{Secret, equal};
use crate::format::wire::{FormatError, Reader, Result, Writer};
use crate::id::{DatasetId, RepositoryId};
use crate::object::ObjectKind;
use zeroize::Zeroize;

/// First bytes of every object. The high bit, the line ends and the length show whether a transfer mangled them.
pub const MAGIC: &[u8; 8] = b"\x89CAIRN\r\n";
/// Version of the format.
pub const VERSION: u16 = 1;
/// Cipher suite 1: BLAKE3, ChaCha20-Poly1305, Ed25519.
pub const SUITE: u8 = 1;
/// Bytes of the header's fixed part, which ends with the salt.
pub const FIXED_LEN: usize = 88;
/// Most sections of an object.
pub const SECTIONS_MAX: usize = 3;
/// Most recipient stanzas of an object.
pub const STANZAS_MAX: usize = 24;
/// Longest header in bytes.
pub const HEADER_LEN_MAX: usize = 65_535;

const SYMMETRIC: u8 = 1;
const WRAPPED_LEN: usize = 48;
const STANZA_HEAD_LEN: usize = 12;

/// Which dataset of which repository, in which epoch of its keys, an object belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The repository.
    pub repository: RepositoryId,
    /// The dataset; all zero for objects of the whole repository.
    pub dataset: DatasetId,
    /// Key epoch; 0 for objects of the whole repository.
    pub epoch: u32,
}

impl Place {
    /// Where objects of the whole repository belong.
    pub fn of_repository(repository: &RepositoryId) -> Self {
        Self { repository: *repository, dataset: DatasetId::from_bytes([0; 16]), epoch: 0 }
    }
}

/// The start that clear objects (configuration, slots) and sealed ones share: magic, version, kind, suite, flags, repository.
pub fn write_start(w: &mut Writer, kind: ObjectKind, repository: &RepositoryId) {
    w.raw(MAGIC);
    w.u16(VERSION);
    w.u8(kind as u8);
    w.u8(SUITE);
    w.u32(0);
    w.raw(repository.as_bytes());
}

/// Reads that start.
///
/// # Errors
/// [`FormatError`] when it is another kind of object, or of another version, suite, or with unknown mandatory flags.
pub fn read_start(r: &mut Reader<'_>, kind: ObjectKind) -> Result<RepositoryId> {
    if r.array::<8>()? != *MAGIC {
        return Err(FormatError::Invalid { what: "magic number" });
    }
    let known = |what, value: u64, expected: u64| {
        if value == expected { Ok(()) } else { Err(FormatError::Unknown { what, value }) }
    };
    known("format version", r.u16()?.into(), VERSION.into())?;
    known("object type", r.u8()?.into(), kind as u64)?;
    known("cipher suite", r.u8()?.into(), SUITE.into())?;
    known("mandatory flags", r.u32()?.into(), 0)?;
    Ok(RepositoryId::from_bytes(r.array()?))
}

/// A new object's header and the sealer of its sections.
#[derive(Debug)]
pub struct NewEnvelope {
    /// The encoded header.
    pub header: Vec<u8>,
    /// Seals its sections.
    pub sealer: Sealer,
}

fn section_key(secret: &Secret, fixed: &[u8], section: u8) -> (Secret, [u8; 32]) {
    derive_committed("cairn v1 section", secret, &[fixed, &[section]])
}

fn stanza_data(fixed: &[u8], section: u8, recipient: &[u8; 8]) -> Vec<u8> {
    [fixed, &[section, SYMMETRIC], recipient].concat()
}

/// Makes a header with fresh secrets; `recipients` has one list for each section.
///
/// # Errors
/// [`FormatError::Seal`] when there is no randomness; [`FormatError::Limit`] for too many sections or recipients.
pub fn create(
    kind: ObjectKind,
    place: &Place,
    recipients: &[&[&RecipientKey]],
    random: &dyn Randomness,
) -> Result<NewEnvelope> {
    let stanzas: usize = recipients.iter().map(|list| list.len()).sum();
    let limit =
        |what, value: usize, limit: usize| FormatError::Limit { what, value: value as u64, limit: limit as u64 };
    if recipients.is_empty() || recipients.len() > SECTIONS_MAX {
        return Err(limit("number of sections", recipients.len(), SECTIONS_MAX));
    }
    if stanzas > STANZAS_MAX || recipients.iter().any(|list| list.is_empty()) {
        return Err(limit("number of recipients", stanzas, STANZAS_MAX));
    }
    let no_random = |e: crate::crypto::random::RandomError| FormatError::Seal(e.to_string());
    let header_len = FIXED_LEN + 32 * recipients.len() + stanzas * (STANZA_HEAD_LEN + WRAPPED_LEN);
    let mut w = Writer::new();
    write_start(&mut w, kind, &place.repository);
    w.raw(place.dataset.as_bytes());
    w.u32(place.epoch);
    w.u8(recipients.len() as u8);
    w.u8(stanzas as u8);
    w.u16(header_len as u16);
    w.raw(&random.bytes::<32>().map_err(no_random)?);
    let fixed = w.as_slice().to_vec();

    let (mut keys, mut stanza_bytes) = (Vec::new(), Writer::new());
    for (section, list) in (0_u8..).zip(recipients) {
        let secret = Secret::new(random.bytes::<32>().map_err(no_random)?);
        let (key, commitment) = section_key(&secret, &fixed, section);
        w.raw(&commitment);
        keys.push(key);
        for recipient in *list {
            let mut wrapped = Vec::with_capacity(WRAPPED_LEN);
            wrapped.extend_from_slice(secret.expose());
            let data = stanza_data(&fixed, section, recipient.id());
            seal_once(recipient.wrapping_key(&fixed, section), &data, &mut wrapped)
                .map_err(|e| FormatError::Seal(e.to_string()))?;
            stanza_bytes.u8(section);
            stanza_bytes.u8(SYMMETRIC);
            stanza_bytes.u16(WRAPPED_LEN as u16);
            stanza_bytes.raw(recipient.id());
            stanza_bytes.raw(&wrapped);
        }
    }
    w.raw(stanza_bytes.as_slice());
    let header = w.into_vec();
    let header_hash = hash::stored(&header);
    let sections =
        (0_u8..).zip(&keys).map(|(section, key)| SectionKey::new(key, &header_hash, section)).collect::<Vec<_>>();
    Ok(NewEnvelope { header, sealer: Sealer::new(sections) })
}

/// An opened header.
#[derive(Debug)]
pub struct OpenEnvelope {
    /// Length of the header in bytes.
    pub header_len: usize,
    sections: Vec<Option<SectionKey>>,
}

impl OpenEnvelope {
    /// Number of sections.
    pub fn sections(&self) -> usize {
        self.sections.len()
    }

    /// Opens message `number` of a section in place.
    ///
    /// # Errors
    /// [`FormatError::NoRecipient`] when none of the keys given to [`open`] fits; [`FormatError::NotAuthentic`].
    pub fn open(&self, section: usize, number: u64, what: &'static str, sealed: &mut Vec<u8>) -> Result<()> {
        let key = self.sections.get(section).and_then(Option::as_ref).ok_or(FormatError::NoRecipient { what })?;
        key.open(number, sealed).map_err(|_| FormatError::NotAuthentic { what })
    }
}

/// Length of the header that starts with these bytes ([`FIXED_LEN`] of them are enough).
///
/// # Errors
/// [`FormatError`] when they are too few or the length cannot be.
pub fn header_len(start: &[u8]) -> Result<usize> {
    let mut r = Reader::new(start, "object header");
    r.take(54)?;
    let len = usize::from(r.u16()?);
    if len < FIXED_LEN { Err(r.invalid()) } else { Ok(len) }
}

/// Opens the header at the start of `bytes` with whichever of `keys` are recipients.
///
/// # Errors
/// [`FormatError`] when the header is not one of this kind and place, is malformed, or a wrapped secret does not open or
/// contradicts its commitment. A section without a fitting key is not an error here.
pub fn open(bytes: &[u8], kind: ObjectKind, place: &Place, keys: &[&RecipientKey]) -> Result<OpenEnvelope> {
    let mut r = Reader::new(bytes, "object header");
    let found =
        Place { repository: read_start(&mut r, kind)?, dataset: DatasetId::from_bytes(r.array()?), epoch: r.u32()? };
    if found != *place {
        return Err(FormatError::Invalid { what: "repository, dataset or epoch of the object" });
    }
    let (sections, stanzas, header_len) = (usize::from(r.u8()?), usize::from(r.u8()?), usize::from(r.u16()?));
    if sections == 0 || sections > SECTIONS_MAX || stanzas < sections || stanzas > STANZAS_MAX {
        return Err(r.invalid());
    }
    r.take(32)?;
    let fixed = &bytes[..FIXED_LEN];
    let commitments = (0..sections).map(|_| r.array::<32>()).collect::<Result<Vec<_>>>()?;
    let mut secrets: Vec<Option<Secret>> = (0..sections).map(|_| None).collect();
    for _ in 0..stanzas {
        let (section, kind, len) = (r.u8()?, r.u8()?, usize::from(r.u16()?));
        let (recipient, wrapped) = (r.array::<8>()?, r.take(len)?);
        let slot = secrets.get_mut(usize::from(section)).ok_or(FormatError::Invalid { what: "object header" })?;
        let Some(key) = keys.iter().find(|key| kind == SYMMETRIC && *key.id() == recipient) else { continue };
        let mut secret = wrapped.to_vec();
        let data = stanza_data(fixed, section, &recipient);
        open_once(&key.wrapping_key(fixed, section), &data, &mut secret)
            .map_err(|_| FormatError::NotAuthentic { what: "wrapped section secret" })?;
        let bytes: [u8; 32] =
            secret.as_slice().try_into().map_err(|_| FormatError::Invalid { what: "wrapped section secret" })?;
        secret.zeroize();
        *slot = Some(Secret::new(bytes));
    }
    if bytes.len() - r.remaining() != header_len {
        return Err(FormatError::Invalid { what: "header length" });
    }
    let header_hash = hash::stored(&bytes[..header_len]);
    let sections = (0_u8..)
        .zip(secrets.iter().zip(&commitments))
        .map(|(section, (secret, commitment))| {
            let Some(secret) = secret else { return Ok(None) };
            let (key, computed) = section_key(secret, fixed, section);
            if !equal(&computed, commitment) {
                return Err(FormatError::NotAuthentic { what: "key commitment" });
            }
            Ok(Some(SectionKey::new(&key, &header_hash, section)))
        })
        .collect::<Result<Vec<_>>>()?;
    Ok(OpenEnvelope { header_len, sections })
}

#[cfg(test)]
mod tests;
