//! The key hierarchy below a slot: master key and dataset root, and what is derived from them. Every context string of the
//! repository format stands here (`docs/format.md`, "Keys").

use crate::crypto::hash::ContentHasher;
use crate::crypto::kdf::derive;
use crate::crypto::secret::Secret;
use crate::id::{DatasetId, RepositoryId};

/// A symmetric recipient: a key that section secrets are wrapped for, and the public name stanzas know it by.
#[derive(Debug)]
pub struct RecipientKey {
    id: [u8; 8],
    key: Secret,
}

impl RecipientKey {
    fn new(key: Secret) -> Self {
        let name = derive("cairn v1 recipient id", &key, &[]);
        let mut id = [0; 8];
        id.copy_from_slice(&name.expose()[..8]);
        Self { id, key }
    }

    /// The name in stanzas; tells nothing about the key.
    pub fn id(&self) -> &[u8; 8] {
        &self.id
    }

    /// The key that wraps one object's section secrets: bound to the fixed part of that object's header, salt included.
    pub fn wrapping_key(&self, fixed_header: &[u8], section: u8) -> Secret {
        derive("cairn v1 wrap", &self.key, &[fixed_header, &[section]])
    }
}

/// The root of a repository's keys; random, wrapped in every slot.
#[derive(Debug)]
pub struct MasterKey(Secret);

impl MasterKey {
    /// Wraps 32 random bytes.
    pub fn new(secret: Secret) -> Self {
        Self(secret)
    }

    /// The bytes, to be sealed in a slot.
    pub fn expose(&self) -> &[u8; 32] {
        self.0.expose()
    }

    /// Authenticates the configuration.
    pub fn config_mac_key(&self, repository: &RepositoryId) -> Secret {
        derive("cairn v1 config mac", &self.0, &[repository.as_bytes()])
    }

    /// Wraps dataset roots.
    pub fn dataset_recipient(&self, repository: &RepositoryId) -> RecipientKey {
        RecipientKey::new(derive("cairn v1 dataset recipient", &self.0, &[repository.as_bytes()]))
    }

    /// Seals the notes (holder, purpose …) of one slot, whose clear bytes are `clear`.
    pub fn slot_notes_key(&self, clear: &[u8]) -> Secret {
        derive("cairn v1 slot notes", &self.0, &[clear])
    }
}

/// The root of one dataset's keys in one epoch; random, so that destroying every wrapped copy of it destroys the data.
#[derive(Debug)]
pub struct DatasetRoot {
    /// Which dataset.
    pub dataset: DatasetId,
    /// Which generation of its keys, from 1.
    pub epoch: u32,
    root: Secret,
}

impl DatasetRoot {
    /// Wraps 32 random bytes.
    pub fn new(dataset: DatasetId, epoch: u32, root: Secret) -> Self {
        Self { dataset, epoch, root }
    }

    /// The bytes, to be sealed.
    pub fn expose(&self) -> &[u8; 32] {
        self.root.expose()
    }

    fn derive(&self, context: &'static str) -> Secret {
        derive(context, &self.root, &[self.dataset.as_bytes(), &self.epoch.to_le_bytes()])
    }

    /// All keys of the dataset.
    pub fn keys(&self) -> DatasetKeys {
        DatasetKeys {
            hasher: ContentHasher::new(self.derive("cairn v1 chunk id"), self.derive("cairn v1 tree id")),
            cutting: self.derive("cairn v1 cutting"),
            index: RecipientKey::new(self.derive("cairn v1 index recipient")),
            references: RecipientKey::new(self.derive("cairn v1 reference recipient")),
            entries: RecipientKey::new(self.derive("cairn v1 entry recipient")),
            data: RecipientKey::new(self.derive("cairn v1 data recipient")),
            tokens: self.derive("cairn v1 audit tokens"),
        }
    }
}

/// What works on a dataset's content needs.
#[derive(Debug)]
pub struct DatasetKeys {
    /// Names content.
    pub hasher: ContentHasher,
    cutting: Secret,
    /// Opens segments, pack trailers and sessions.
    pub index: RecipientKey,
    /// Opens what a tree or a cell refers to.
    pub references: RecipientKey,
    /// Opens names, metadata, inline contents and the descriptive part of cells.
    pub entries: RecipientKey,
    /// Opens file contents.
    pub data: RecipientKey,
    /// Makes the tokens that stand for paths, contents and users in the log.
    pub tokens: Secret,
}

impl DatasetKeys {
    /// The chunker's table: 256 little-endian numbers of eight bytes.
    pub fn gear_table(&self) -> [u8; 2048] {
        let mut table = [0; 2048];
        let mut hasher = blake3::Hasher::new_derive_key("cairn v1 gear table");
        hasher.update(self.cutting.expose());
        hasher.finalize_xof().fill(&mut table);
        table
    }
}
