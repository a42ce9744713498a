//! Sealing and opening: ChaCha20-Poly1305 (RFC 8439) under keys that are used for one section of one object, with
//! counter nonces that no caller can choose twice.

use crate::crypto::secret::Secret;
use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit};
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes that sealing adds.
pub const TAG_LEN: usize = 16;

/// The bytes do not open under this key: altered, of another place, or another key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("does not open: altered bytes or another key")]
pub struct OpenError;

/// A section's key with what is bound into every message of it.
pub struct SectionKey {
    cipher: ChaCha20Poly1305,
    bound: [u8; 33],
}

impl std::fmt::Debug for SectionKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SectionKey(..)")
    }
}

impl SectionKey {
    /// The key of section `section` of the object whose header hashes to `header_hash`.
    pub fn new(key: &Secret, header_hash: &[u8; 32], section: u8) -> Self {
        let mut bound = [0; 33];
        bound[..32].copy_from_slice(header_hash);
        bound[32] = section;
        Self { cipher: ChaCha20Poly1305::new(&(*key.expose()).into()), bound }
    }

    fn associated_data(&self, counter: u64) -> [u8; 41] {
        let mut data = [0; 41];
        data[..33].copy_from_slice(&self.bound);
        data[33..].copy_from_slice(&counter.to_le_bytes());
        data
    }

    fn nonce(counter: u64) -> [u8; 12] {
        let mut nonce = [0; 12];
        nonce[4..].copy_from_slice(&counter.to_le_bytes());
        nonce
    }

    /// Opens `sealed` (ciphertext and tag) in place; what is left is the plaintext.
    ///
    /// # Errors
    /// [`OpenError`]; the buffer is then empty.
    pub fn open(&self, counter: u64, sealed: &mut Vec<u8>) -> Result<(), OpenError> {
        let nonce = Self::nonce(counter);
        let opened = self.cipher.decrypt_in_place(&nonce.into(), &self.associated_data(counter), sealed);
        opened.map_err(|_| {
            sealed.clear();
            OpenError
        })
    }

    fn seal(&self, counter: u64, buffer: &mut Vec<u8>) -> Result<(), SealError> {
        let nonce = Self::nonce(counter);
        self.cipher.encrypt_in_place(&nonce.into(), &self.associated_data(counter), buffer).map_err(|_| SealError)
    }
}

/// The message is longer than the cipher allows (256 GiB), or the section's counter is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("cannot seal: message too long or counter exhausted")]
pub struct SealError;

/// The number of one message of a section: taken once, used once. Not `Copy`, not `Clone`, and [`Sealer::seal`] consumes it.
#[derive(Debug, PartialEq, Eq)]
pub struct MessageNumber(u64);

impl MessageNumber {
    /// The number, for the table that tells readers which message a blob is.
    pub fn get(&self) -> u64 {
        self.0
    }
}

/// Hands out message numbers of one object, and seals under them. The sections of an object share the numbering, so a
/// blob has the same number in each of them.
#[derive(Debug)]
pub struct Sealer {
    sections: Vec<SectionKey>,
    next: AtomicU64,
}

impl Sealer {
    /// A sealer for an object's sections, in order. The keys must be fresh: numbering starts at 0.
    pub fn new(sections: Vec<SectionKey>) -> Self {
        Self { sections, next: AtomicU64::new(0) }
    }

    /// The next number.
    ///
    /// # Errors
    /// [`SealError`] after 2^32 numbers: far beyond any object's bound.
    pub fn number(&self) -> Result<MessageNumber, SealError> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        if number >> 32 != 0 {
            return Err(SealError);
        }
        Ok(MessageNumber(number))
    }

    /// Seals one part for each of the sections from `first` on, in place, under one number.
    ///
    /// # Errors
    /// [`SealError`] when a section does not exist or a part is too long.
    pub fn seal(&self, number: MessageNumber, first: usize, parts: &mut [&mut Vec<u8>]) -> Result<u64, SealError> {
        let MessageNumber(counter) = number;
        let keys = self.sections.get(first..first + parts.len()).ok_or(SealError)?;
        for (part, key) in parts.iter_mut().zip(keys) {
            key.seal(counter, part)?;
        }
        Ok(counter)
    }

    /// Opens a part again, for the check before it is stored.
    ///
    /// # Errors
    /// [`OpenError`] when it does not open.
    pub fn open(&self, counter: u64, section: usize, part: &mut Vec<u8>) -> Result<(), OpenError> {
        self.sections.get(section).ok_or(OpenError)?.open(counter, part)
    }
}

/// Seals the only message that a key will ever see (wrapped keys, slots): nonce 0.
///
/// # Errors
/// [`SealError`] when the message is too long.
pub fn seal_once(key: Secret, associated_data: &[u8], message: &mut Vec<u8>) -> Result<(), SealError> {
    ChaCha20Poly1305::new(&(*key.expose()).into())
        .encrypt_in_place(&[0; 12].into(), associated_data, message)
        .map_err(|_| SealError)
}

/// Opens what [`seal_once`] sealed.
///
/// # Errors
/// [`OpenError`]; the buffer is then empty.
pub fn open_once(key: &Secret, associated_data: &[u8], message: &mut Vec<u8>) -> Result<(), OpenError> {
    ChaCha20Poly1305::new(&(*key.expose()).into()).decrypt_in_place(&[0; 12].into(), associated_data, message).map_err(
        |_| {
            message.clear();
            OpenError
        },
    )
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn key(section: u8) -> SectionKey {
        SectionKey::new(&Secret::new([1; 32]), &[2; 32], section)
    }

    #[test]
    fn a_message_opens_only_in_its_place() {
        let sealer = Sealer::new(vec![key(0), key(1)]);
        let mut sealed = b"text".to_vec();
        let counter = sealer.seal(sealer.number().unwrap(), 1, &mut [&mut sealed]).unwrap();
        for (section, number) in [(0, counter), (1, counter + 1)] {
            assert_eq!(key(section).open(number, &mut sealed.clone()), Err(OpenError));
        }
        let other = SectionKey::new(&Secret::new([1; 32]), &[3; 32], 1);
        assert_eq!(other.open(counter, &mut sealed.clone()), Err(OpenError));
        key(1).open(counter, &mut sealed).unwrap();
        assert_eq!(sealed, b"text");
    }

    #[test]
    fn numbers_are_never_given_twice() {
        let sealer = Sealer::new(vec![key(0)]);
        let seen = std::sync::Mutex::new(std::collections::HashSet::new());
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..10_000 {
                        assert!(seen.lock().unwrap().insert(sealer.number().unwrap().get()));
                    }
                });
            }
        });
        assert_eq!(seen.into_inner().unwrap().len(), 40_000);
    }
}
