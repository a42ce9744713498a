//! The host's identity: an Ed25519 key (RFC 8032) that signs what the host stores.

use crate::crypto::random::{RandomError, Randomness};
use crate::crypto::secret::Secret;
use crate::id::HostKey;
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use zeroize::Zeroize;

/// Length of a signature in bytes.
pub const SIGNATURE_LEN: usize = 64;
/// Put before every signed hash, so that no signature means anything elsewhere.
const CONTEXT: &[u8; 18] = b"cairn v1 signature";

/// A signature that does not belong to these bytes and this key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signature does not verify")]
pub struct SignatureError;

/// A host's signing key.
pub struct Identity(SigningKey);

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Identity({})", self.host_key())
    }
}

fn message(stored_hash: &[u8; 32]) -> [u8; 50] {
    let mut message = [0; 50];
    message[..18].copy_from_slice(CONTEXT);
    message[18..].copy_from_slice(stored_hash);
    message
}

impl Identity {
    /// A new identity.
    ///
    /// # Errors
    /// As [`Randomness::fill`].
    pub fn generate(random: &dyn Randomness) -> Result<Self, RandomError> {
        let mut seed = random.bytes::<32>()?;
        let identity = Self(SigningKey::from_bytes(&seed));
        seed.zeroize();
        Ok(identity)
    }

    /// The identity of this seed.
    pub fn from_seed(seed: &Secret) -> Self {
        Self(SigningKey::from_bytes(seed.expose()))
    }

    /// The seed, to be kept in a file that only the owner reads.
    pub fn seed(&self) -> Secret {
        Secret::new(self.0.to_bytes())
    }

    /// The public key.
    pub fn host_key(&self) -> HostKey {
        HostKey::from_bytes(self.0.verifying_key().to_bytes())
    }

    /// Signs the BLAKE3 hash of an object's bytes before its signature.
    pub fn sign(&self, stored_hash: &[u8; 32]) -> [u8; SIGNATURE_LEN] {
        self.0.sign(&message(stored_hash)).to_bytes()
    }
}

/// Signs texts that stand for themselves: signed notes (C2SP `signed-note`), which need no context since a note's first line
/// says what it is. No such line begins as [`CONTEXT`] does.
pub trait NoteKey {
    /// The Ed25519 signature of a text.
    fn sign_text(&self, text: &[u8]) -> [u8; SIGNATURE_LEN];
}

impl NoteKey for Identity {
    fn sign_text(&self, text: &[u8]) -> [u8; SIGNATURE_LEN] {
        self.0.sign(text).to_bytes()
    }
}

/// The key that signs one log's checkpoints, or a witness's receipts.
pub struct LogKey(SigningKey);

impl std::fmt::Debug for LogKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LogKey(..)")
    }
}

impl NoteKey for LogKey {
    fn sign_text(&self, text: &[u8]) -> [u8; SIGNATURE_LEN] {
        self.0.sign(text).to_bytes()
    }
}

impl LogKey {
    /// A new key.
    ///
    /// # Errors
    /// As [`Randomness::fill`].
    pub fn generate(random: &dyn Randomness) -> Result<Self, RandomError> {
        Identity::generate(random).map(|identity| Self(identity.0))
    }

    /// The key of this seed.
    pub fn from_seed(seed: &Secret) -> Self {
        Self(SigningKey::from_bytes(seed.expose()))
    }

    /// The seed, to be kept in a file that only the owner reads.
    pub fn seed(&self) -> Secret {
        Secret::new(self.0.to_bytes())
    }

    /// The public key.
    pub fn public(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }
}

/// Checks a signature made by [`NoteKey::sign_text`]; keys and signatures in non-canonical form are refused.
///
/// # Errors
/// [`SignatureError`] when it does not verify.
pub fn verify_text(public: &[u8; 32], text: &[u8], signature: &[u8; SIGNATURE_LEN]) -> Result<(), SignatureError> {
    VerifyingKey::from_bytes(public)
        .and_then(|key| key.verify_strict(text, &Signature::from_bytes(signature)))
        .map_err(|_| SignatureError)
}

/// Checks a signature made by [`Identity::sign`]; keys and signatures in non-canonical form are refused.
///
/// # Errors
/// [`SignatureError`] when it does not verify.
pub fn verify(host: &HostKey, stored_hash: &[u8; 32], signature: &[u8; SIGNATURE_LEN]) -> Result<(), SignatureError> {
    VerifyingKey::from_bytes(host.as_bytes())
        .and_then(|key| key.verify_strict(&message(stored_hash), &Signature::from_bytes(signature)))
        .map_err(|_| SignatureError)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::crypto::random::SeededRandom;

    #[test]
    fn a_signature_belongs_to_one_key_and_one_hash() {
        let random = SeededRandom::new(1);
        let (a, b) = (Identity::generate(&random).unwrap(), Identity::generate(&random).unwrap());
        let signature = a.sign(&[1; 32]);
        assert_eq!(verify(&a.host_key(), &[1; 32], &signature), Ok(()));
        assert_eq!(verify(&b.host_key(), &[1; 32], &signature), Err(SignatureError));
        assert_eq!(verify(&a.host_key(), &[2; 32], &signature), Err(SignatureError));
        assert_eq!(Identity::from_seed(&a.seed()).host_key(), a.host_key());
    }
}
