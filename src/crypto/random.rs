//! Randomness as a parameter: the operating system's for use, a seeded one for simulation and golden files.

use std::fmt;
use std::sync::Mutex;

/// The operating system gave no randomness.
#[derive(Debug, thiserror::Error)]
#[error("the operating system gave no random bytes: {0}")]
pub struct RandomError(String);

/// Where keys, salts and random names come from.
pub trait Randomness: Send + Sync + fmt::Debug {
    /// Fills `out` with random bytes.
    ///
    /// # Errors
    /// [`RandomError`] when the source fails; nothing may then be sealed.
    fn fill(&self, out: &mut [u8]) -> Result<(), RandomError>;
}

impl dyn Randomness + '_ {
    /// `N` random bytes.
    ///
    /// # Errors
    /// As [`Randomness::fill`].
    pub fn bytes<const N: usize>(&self) -> Result<[u8; N], RandomError> {
        let mut out = [0; N];
        self.fill(&mut out)?;
        Ok(out)
    }
}

/// The kernel's generator. It is asked for every object, so a machine resumed twice from one image has no generator
/// state of ours to repeat.
#[derive(Debug, Clone, Copy)]
pub struct OsRandom;

impl Randomness for OsRandom {
    fn fill(&self, out: &mut [u8]) -> Result<(), RandomError> {
        getrandom::fill(out).map_err(|error| RandomError(error.to_string()))
    }
}

/// A reproducible stream for simulation, tests and golden files. Never for real data.
pub struct SeededRandom(Mutex<blake3::OutputReader>);

impl SeededRandom {
    /// The stream of this seed.
    pub fn new(seed: u64) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("cairn v1 simulation randomness");
        hasher.update(&seed.to_le_bytes());
        Self(Mutex::new(hasher.finalize_xof()))
    }
}

impl fmt::Debug for SeededRandom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SeededRandom(..)")
    }
}

impl Randomness for SeededRandom {
    fn fill(&self, out: &mut [u8]) -> Result<(), RandomError> {
        self.0.lock().map_err(|_| RandomError("the seeded stream's lock is poisoned".into()))?.fill(out);
        Ok(())
    }
}
