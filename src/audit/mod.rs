//! The log that both sides can hold up: what was sent and what was recovered, signed, and verifiable without this program.
//!
//! `merkle`, `note`, `checkpoint` and `tile` are the core, after RFC 6962 and the C2SP documents, and pure. `leaf`, `record` and
//! `object` say what is logged and how it is stored; `log`, `runs`, `publish`, `spool` and `recorder` keep it. The schema is
//! `docs/audit-log.md`.

pub mod checkpoint;
pub mod error;
mod founding;
pub mod leaf;
pub mod log;
pub mod merkle;
pub mod note;
pub mod object;
pub mod publish;
pub mod record;
pub mod recorder;
pub mod runs;
mod spool;
pub mod tile;
pub mod verify;

pub use error::AuditError;
