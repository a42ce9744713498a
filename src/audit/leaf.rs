//! Leaves: one JSON object on one line, in the form that `docs/audit-log.md` specifies.

use crate::audit::error::{AuditError, Result};
use crate::audit::object::LEAF_LEN_MAX;
use crate::clock::Timestamp;
use crate::id::RunId;
use base64ct::{Base64, Encoding as _};
use serde_json::{Map, Value};

/// Version of the schema.
pub const SCHEMA: u64 = 1;
/// Purposes that stand in the log as they are; another one is `other`, with a token of what was said.
pub const PURPOSES: [&str; 6] = ["backup", "archive", "failover", "test", "access-request", "legal"];

/// What came of what a leaf is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was done.
    Ok,
    /// It was done in part.
    Partial,
    /// It failed.
    Failed,
    /// It was refused.
    Refused,
}

impl Outcome {
    /// As it stands in a leaf.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Partial => "partial",
            Self::Failed => "fail",
            Self::Refused => "refused",
        }
    }
}

/// A time as RFC 3339 in UTC, to the millisecond.
pub fn time_text(time: Timestamp) -> String {
    let system = time.to_system_time().unwrap_or(std::time::SystemTime::UNIX_EPOCH);
    humantime::format_rfc3339_millis(system).to_string()
}

/// Milliseconds since 1970, before that 0.
pub fn millis(time: Timestamp) -> u64 {
    u64::try_from(time.seconds).unwrap_or(0).saturating_mul(1000) + u64::from(time.nanoseconds / 1_000_000)
}

/// Bytes in base64.
pub fn base64(bytes: &[u8]) -> String {
    Base64::encode_string(bytes)
}

/// What a leaf says beside what all leaves say.
#[derive(Debug, Clone)]
pub struct Event {
    /// `run.started`, `snapshot.prepared` …
    pub name: &'static str,
    /// What came of it.
    pub outcome: Outcome,
    /// Fields of its own: an object.
    pub fields: Value,
}

impl Event {
    /// An event that went as it should.
    pub fn ok(name: &'static str, fields: Value) -> Self {
        Self { name, outcome: Outcome::Ok, fields }
    }

    /// Its line, without the line feed.
    ///
    /// # Errors
    /// [`AuditError::Leaf`] when it is too long.
    pub fn line(&self, run: &RunId, time: Timestamp) -> Result<Vec<u8>> {
        let mut all = Map::new();
        all.insert("v".into(), SCHEMA.into());
        all.insert("t".into(), time_text(time).into());
        all.insert("run".into(), run.to_string().into());
        all.insert("type".into(), self.name.into());
        all.insert("res".into(), self.outcome.word().into());
        if let Value::Object(fields) = &self.fields {
            for (name, value) in fields.iter().filter(|(_, value)| !value.is_null()) {
                all.entry(name.clone()).or_insert_with(|| value.clone());
            }
        }
        let line = Value::Object(all).to_string().into_bytes();
        if line.len() > LEAF_LEN_MAX { Err(AuditError::Leaf("an event of this length")) } else { Ok(line) }
    }
}
