//! Key derivation: labelled sub-keys by BLAKE3, passwords by Argon2id (RFC 9106) within bounds.

use crate::crypto::secret::Secret;
use argon2::{Algorithm, Argon2, Params, Version};
use std::fmt;
use zeroize::Zeroize;

/// Least memory for a new password slot: 64 MiB, in KiB.
pub const PASSWORD_MEMORY_KIB_MIN: u32 = 64 * 1024;
/// Most memory that opening a slot may ask for: 1 GiB, in KiB. A hostile store must not exhaust the reader.
pub const PASSWORD_MEMORY_KIB_MAX: u32 = 1024 * 1024;
/// Least passes for a new password slot.
pub const PASSWORD_PASSES_MIN: u32 = 3;
/// Most passes that opening a slot may ask for.
pub const PASSWORD_PASSES_MAX: u32 = 64;
/// Most lanes that opening a slot may ask for.
pub const PASSWORD_LANES_MAX: u32 = 16;

const _: () = assert!(PASSWORD_MEMORY_KIB_MIN < PASSWORD_MEMORY_KIB_MAX && PASSWORD_PASSES_MIN < PASSWORD_PASSES_MAX);

/// Argon2id parameters of a password slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PasswordCost {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes over the memory.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
}

impl PasswordCost {
    /// What new slots use: 128 MiB, 3 passes, 4 lanes.
    pub const DEFAULT: Self = Self { memory_kib: 128 * 1024, passes: 3, lanes: 4 };

    /// Whether a reader may work with these at all.
    pub fn is_bounded(&self) -> bool {
        (PASSWORD_MEMORY_KIB_MIN..=PASSWORD_MEMORY_KIB_MAX).contains(&self.memory_kib)
            && (PASSWORD_PASSES_MIN..=PASSWORD_PASSES_MAX).contains(&self.passes)
            && (1..=PASSWORD_LANES_MAX).contains(&self.lanes)
    }
}

/// Why a password could not be stretched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// Parameters out of bounds.
    #[error("password parameters out of bounds: {0:?}")]
    Bounds(PasswordCost),
    /// The password is empty.
    #[error("the password is empty")]
    Empty,
    /// The primitive refused.
    #[error("cannot stretch the password: {0}")]
    Primitive(String),
}

/// A sub-key: BLAKE3 in key-derivation mode over `root` and the further `parts`, which must have fixed lengths or stand last.
pub fn derive(context: &'static str, root: &Secret, parts: &[&[u8]]) -> Secret {
    let mut hasher = blake3::Hasher::new_derive_key(context);
    hasher.update(root.expose());
    for part in parts {
        hasher.update(part);
    }
    let key = Secret::new(*hasher.finalize().as_bytes());
    hasher.zeroize();
    key
}

/// A sub-key together with a 32-byte commitment to it. AEADs of this family open one ciphertext under many keys; comparing
/// the commitment first leaves a single key.
pub fn derive_committed(context: &'static str, root: &Secret, parts: &[&[u8]]) -> (Secret, [u8; 32]) {
    let mut hasher = blake3::Hasher::new_derive_key(context);
    hasher.update(root.expose());
    for part in parts {
        hasher.update(part);
    }
    let mut output = [0; 64];
    hasher.finalize_xof().fill(&mut output);
    hasher.zeroize();
    let (mut key, mut commitment) = ([0; 32], [0; 32]);
    key.copy_from_slice(&output[..32]);
    commitment.copy_from_slice(&output[32..]);
    output.zeroize();
    let secret = Secret::new(key);
    key.zeroize();
    (secret, commitment)
}

/// Argon2id over a password.
///
/// # Errors
/// [`PasswordError`] for an empty password or parameters out of bounds.
pub fn stretch_password(password: &[u8], salt: &[u8; 32], cost: PasswordCost) -> Result<Secret, PasswordError> {
    if password.is_empty() {
        return Err(PasswordError::Empty);
    }
    if !cost.is_bounded() {
        return Err(PasswordError::Bounds(cost));
    }
    let failed = |error: &dyn fmt::Display| PasswordError::Primitive(error.to_string());
    let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(32)).map_err(|e| failed(&e))?;
    let mut key = [0; 32];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(password, salt, &mut key)
        .map_err(|e| failed(&e))?;
    let secret = Secret::new(key);
    key.zeroize();
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_and_parts_separate_keys() {
        let root = Secret::new([7; 32]);
        let a = derive("cairn v1 test a", &root, &[b"x"]);
        assert_ne!(a, derive("cairn v1 test b", &root, &[b"x"]));
        assert_ne!(a, derive("cairn v1 test a", &root, &[b"y"]));
        assert_eq!(a, derive("cairn v1 test a", &root, &[b"x"]));
    }

    #[test]
    fn hostile_password_parameters_are_refused_before_any_work() {
        for (memory_kib, passes, lanes) in
            [(u32::MAX, 3, 4), (64 * 1024, u32::MAX, 4), (64 * 1024, 3, 17), (1024, 3, 1)]
        {
            let cost = PasswordCost { memory_kib, passes, lanes };
            assert_eq!(stretch_password(b"x", &[0; 32], cost).err(), Some(PasswordError::Bounds(cost)));
        }
        assert_eq!(stretch_password(b"", &[0; 32], PasswordCost::DEFAULT).err(), Some(PasswordError::Empty));
    }
}
