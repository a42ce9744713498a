//! The repository's configuration: in clear, so that it can be read before any key is there, and authenticated by the master
//! key, so that nobody else can have written it. (`docs/format.md`, "Configuration".)

use crate::chunker::ChunkerParams;
use crate::clock::Timestamp;
use crate::crypto::keyring::MasterKey;
use crate::crypto::secret::{Secret, equal};
use crate::format::envelope::{read_start, write_start};
use crate::format::wire::{FormatError, Reader, Result, Writer};
use crate::id::{DatasetId, RepositoryId};
use crate::object::ObjectKind;
use crate::residency::place::Pin;

/// Longest configuration object, in bytes.
pub const CONFIG_LEN_MAX: u64 = 4096;
/// The cutting algorithm of this version: gear with a wholly keyed table. 2 is reserved for Toeplitz-AES.
const CUTTING_GEAR: u8 = 1;

/// What is fixed when a repository is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The repository.
    pub repository: RepositoryId,
    /// The dataset that backups go to.
    pub dataset: DatasetId,
    /// Its key epoch.
    pub epoch: u32,
    /// When it was made, by the clock of the host that made it.
    pub created: Timestamp,
    /// How files are cut.
    pub chunker: ChunkerParams,
    /// Where its data may be.
    pub pin: Pin,
}

fn mac(config_key: &Secret, bytes: &[u8]) -> [u8; 32] {
    *blake3::keyed_hash(config_key.expose(), bytes).as_bytes()
}

impl Config {
    /// Encodes and authenticates it.
    pub fn encode(&self, master: &MasterKey) -> Vec<u8> {
        let mut w = Writer::new();
        write_start(&mut w, ObjectKind::Config, &self.repository);
        w.raw(self.dataset.as_bytes());
        w.u32(self.epoch);
        w.timestamp(self.created);
        w.u8(CUTTING_GEAR);
        w.u8(self.chunker.average_log2());
        w.bytes(self.pin.to_string().as_bytes());
        let tag = mac(&master.config_mac_key(&self.repository), w.as_slice());
        w.raw(&tag);
        w.into_vec()
    }

    /// Decodes it without checking who wrote it: enough to find key slots, not enough to rely on.
    ///
    /// # Errors
    /// [`FormatError`] when it is malformed.
    pub fn decode_unverified(bytes: &[u8]) -> Result<Self> {
        let mut r = Reader::new(bytes, "configuration");
        let config = Self {
            repository: read_start(&mut r, ObjectKind::Config)?,
            dataset: DatasetId::from_bytes(r.array()?),
            epoch: r.u32()?,
            created: r.timestamp()?,
            chunker: {
                let algorithm = r.u8()?;
                if algorithm != CUTTING_GEAR {
                    return Err(FormatError::Unknown { what: "cutting algorithm", value: algorithm.into() });
                }
                ChunkerParams::new(r.u8()?).map_err(|_| r.invalid())?
            },
            pin: {
                let text = std::str::from_utf8(r.bytes(64)?).map_err(|_| r.invalid())?;
                Pin::parse(text).ok().filter(|pin| pin.to_string() == text).ok_or_else(|| r.invalid())?
            },
        };
        r.array::<32>()?;
        r.end()?;
        Ok(config)
    }

    /// Decodes it and checks that a holder of the master key wrote it.
    ///
    /// # Errors
    /// [`FormatError`] when it is malformed or not authentic.
    pub fn decode(bytes: &[u8], master: &MasterKey) -> Result<Self> {
        let config = Self::decode_unverified(bytes)?;
        let (content, tag) = bytes.split_last_chunk::<32>().ok_or(FormatError::Truncated { what: "configuration" })?;
        if !equal(&mac(&master.config_mac_key(&config.repository), content), tag) {
            return Err(FormatError::NotAuthentic { what: "configuration" });
        }
        Ok(config)
    }
}
