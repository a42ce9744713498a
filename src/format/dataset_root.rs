//! Dataset roots, wrapped by the master key. (`docs/format.md`, "Dataset roots".)

use crate::crypto::keyring::{DatasetRoot, MasterKey};
use crate::crypto::random::Randomness;
use crate::crypto::secret::{Secret, SecretBytes};
use crate::format::envelope::Place;
use crate::format::sealed::{self, Section};
use crate::format::wire::{Reader, Result};
use crate::id::RepositoryId;
use crate::object::ObjectKind;

/// Encodes a root for holders of the master key.
///
/// # Errors
/// As [`sealed::encode`].
pub fn encode(
    repository: &RepositoryId,
    root: &DatasetRoot,
    master: &MasterKey,
    random: &dyn Randomness,
) -> Result<Vec<u8>> {
    let place = Place { repository: *repository, dataset: root.dataset, epoch: root.epoch };
    let recipient = master.dataset_recipient(repository);
    let section = Section { recipients: &[&recipient], content: root.expose() };
    sealed::encode(ObjectKind::DatasetRoot, &place, &[section], None, random)
}

/// Decodes a root.
///
/// # Errors
/// [`crate::format::wire::FormatError`] for anything that [`encode`] would not have written.
pub fn decode(bytes: &[u8], place: &Place, master: &MasterKey) -> Result<DatasetRoot> {
    let recipient = master.dataset_recipient(&place.repository);
    let decoded = sealed::decode(bytes, ObjectKind::DatasetRoot, place, &[&recipient], false)?;
    let content = SecretBytes::new(decoded.section(0, "dataset root")?.to_vec());
    let mut r = Reader::new(content.expose(), "dataset root");
    let root = Secret::new(r.array()?);
    r.end()?;
    Ok(DatasetRoot::new(place.dataset, place.epoch, root))
}
