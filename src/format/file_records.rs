//! The log's records of single files, sealed for those who may read names. (`docs/format.md`, "Records of files".)
//!
//! What a record is, `audit::record` says: here it is bytes.

use crate::crypto::keyring::RecipientKey;
use crate::crypto::random::Randomness;
use crate::format::envelope::Place;
use crate::format::sealed::{self, Section};
use crate::format::wire::Result;
use crate::object::ObjectKind;

/// Seals a part of a run's records. It is not signed: the signed log has the root of what is in it.
///
/// # Errors
/// As [`sealed::encode`].
pub fn encode(content: &[u8], place: &Place, entries: &RecipientKey, random: &dyn Randomness) -> Result<Vec<u8>> {
    sealed::encode(ObjectKind::FileRecords, place, &[Section { recipients: &[entries], content }], None, random)
}

/// Opens one.
///
/// # Errors
/// [`crate::format::wire::FormatError`] for anything that [`encode`] would not have written.
pub fn decode(bytes: &[u8], place: &Place, entries: &RecipientKey) -> Result<Vec<u8>> {
    let decoded = sealed::decode(bytes, ObjectKind::FileRecords, place, &[entries], false)?;
    Ok(decoded.section(0, "records of files")?.to_vec())
}
