//! Forget records: that a snapshot is none any more. Its data stay until they are pruned. (`docs/format.md`, "Forget records".)

use crate::clock::Timestamp;
use crate::crypto::keyring::RecipientKey;
use crate::crypto::random::Randomness;
use crate::crypto::sign::Identity;
use crate::format::envelope::Place;
use crate::format::sealed::{self, Section};
use crate::format::session::HOST_NAME_MAX;
use crate::format::wire::{FormatError, Reader, Result, Writer};
use crate::id::{HostKey, SessionId};
use crate::object::ObjectKind;

/// Longest reason kept, in bytes.
pub const REASON_MAX: usize = 1024;

/// That a snapshot was forgotten: by whom, when and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForgetRecord {
    /// The snapshot's session, which is also the object's name.
    pub session: SessionId,
    /// The public key of the host that forgot it.
    pub host: HostKey,
    /// That host's name.
    pub host_name: Vec<u8>,
    /// When, by that host's clock.
    pub time: Timestamp,
    /// Why: the policy, `by id`, or nothing.
    pub reason: Vec<u8>,
}

fn expect_len(what: &'static str, bytes: &[u8], limit: usize) -> Result<()> {
    if bytes.len() <= limit {
        return Ok(());
    }
    Err(FormatError::Limit { what, value: bytes.len() as u64, limit: limit as u64 })
}

impl ForgetRecord {
    /// Encodes and signs it.
    ///
    /// # Errors
    /// As [`sealed::encode`], and [`FormatError::Limit`] for a host name or reason that is too long.
    pub fn encode(
        &self,
        place: &Place,
        index: &RecipientKey,
        identity: &Identity,
        random: &dyn Randomness,
    ) -> Result<Vec<u8>> {
        expect_len("host name", &self.host_name, HOST_NAME_MAX)?;
        expect_len("reason", &self.reason, REASON_MAX)?;
        let section = Section { recipients: &[index], content: &self.encode_content() };
        sealed::encode(ObjectKind::Forget, place, &[section], Some(identity), random)
    }

    /// Encodes its content, which is then sealed.
    pub fn encode_content(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.raw(self.session.as_bytes());
        w.raw(self.host.as_bytes());
        w.bytes(&self.host_name);
        w.timestamp(self.time);
        w.bytes(&self.reason);
        w.into_vec()
    }

    /// Decodes one and checks its signature.
    ///
    /// # Errors
    /// [`FormatError`] for anything [`ForgetRecord::encode`] would not have written.
    pub fn decode(bytes: &[u8], place: &Place, index: &RecipientKey) -> Result<Self> {
        let decoded = sealed::decode(bytes, ObjectKind::Forget, place, &[index], true)?;
        let record = Self::decode_content(decoded.section(0, "forget record")?)?;
        decoded.verify(&record.host)?;
        Ok(record)
    }

    /// Decodes opened content.
    ///
    /// # Errors
    /// [`FormatError`] when it is malformed.
    pub fn decode_content(content: &[u8]) -> Result<Self> {
        let mut r = Reader::new(content, "forget record");
        let record = Self {
            session: SessionId::from_bytes(r.array()?),
            host: HostKey::from_bytes(r.array()?),
            host_name: r.bytes(HOST_NAME_MAX)?.to_vec(),
            time: r.timestamp()?,
            reason: r.bytes(REASON_MAX)?.to_vec(),
        };
        r.end()?;
        Ok(record)
    }
}
