//! cairn: encrypted, deduplicating backup for servers whose data has to stay in Canada.
//!
//! Data flows one way: walk → scan → cut → dedup → seal → pack → publish → index → commit. The layers and what each may do
//! are in `docs/architecture.md`; the bytes on the store are in `docs/format.md`.
#![deny(unsafe_code)]

pub mod audit;
pub mod chunker;
pub mod clock;
pub mod codec;
pub mod crypto;
pub mod engine;
pub mod format;
pub mod fs;
pub mod id;
pub mod journal;
pub mod object;
pub mod progress;
pub mod repository;
pub mod residency;
pub mod storage;
