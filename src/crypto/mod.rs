//! Cryptography: every key with its one use, and nothing that takes a raw nonce.
//!
//! | key | made from | used for |
//! |---|---|---|
//! | slot key | key file, recovery key, or password through Argon2id | wrapping the master key in a slot |
//! | master key | random | configuration MAC, dataset wrap key, slot notes |
//! | dataset root | random; wrapped by the master key | the dataset's keys below |
//! | chunk-id, tree-id key | dataset root | keyed BLAKE3 of plaintext |
//! | cutting key | dataset root | the chunker's gear table |
//! | index, reference, entry, data recipient | dataset root | wrapping section secrets of objects |
//! | section secret | random, one for each section of each object | section key and commitment |
//!
//! Suite 1: BLAKE3 for derivation and hashing, ChaCha20-Poly1305 (RFC 8439) for sealing, Ed25519 (RFC 8032) for signing.

pub mod aead;
pub mod hash;
pub mod kdf;
pub mod keyring;
pub mod random;
pub mod secret;
pub mod sign;
