//! The repository that fuzz targets and seeds belong to: fixed names, fixed keys, nothing secret.

use cairn::crypto::keyring::{DatasetKeys, DatasetRoot, MasterKey};
use cairn::crypto::secret::Secret;
use cairn::format::envelope::Place;
use cairn::format::key_slot::Unlock;
use cairn::id::{DatasetId, RepositoryId};

/// Where every object belongs.
pub fn place() -> Place {
    Place { repository: RepositoryId::from_bytes([0xc1; 16]), dataset: DatasetId::from_bytes([0xd5; 16]), epoch: 1 }
}

/// The master key.
pub fn master() -> MasterKey {
    MasterKey::new(Secret::new([0x33; 32]))
}

/// The dataset's root.
pub fn root() -> DatasetRoot {
    DatasetRoot::new(place().dataset, place().epoch, Secret::new([0x44; 32]))
}

/// The dataset's keys.
pub fn keys() -> DatasetKeys {
    root().keys()
}

/// What opens the slot.
pub fn unlock() -> Unlock {
    Unlock::KeyFile(Secret::new([0x66; 32]))
}
