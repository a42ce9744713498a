//! The repository that fuzz targets and seeds belong to: fixed names, fixed keys, nothing secret.

use cairn::clock::Timestamp;
use cairn::crypto::keyring::{DatasetKeys, DatasetRoot, MasterKey};
use cairn::crypto::secret::Secret;
use cairn::crypto::sign::Identity;
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

/// The host that signs.
pub fn identity() -> Identity {
    Identity::from_seed(&Secret::new([0x55; 32]))
}

/// What opens the slot.
pub fn unlock() -> Unlock {
    Unlock::KeyFile(Secret::new([0x66; 32]))
}

/// A moment.
pub fn time() -> Timestamp {
    Timestamp { seconds: 1_700_000_000, nanoseconds: 123_456_789 }
}
