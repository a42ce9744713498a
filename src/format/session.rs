//! Sessions: a writer says that it is at work, before it reads anything it will rely on. (`docs/format.md`, "Sessions".)

use crate::clock::Timestamp;
use crate::crypto::keyring::RecipientKey;
use crate::crypto::random::Randomness;
use crate::crypto::sign::Identity;
use crate::format::envelope::Place;
use crate::format::sealed::{self, Section};
use crate::format::wire::{FormatError, Reader, Result, Writer};
use crate::id::{HostKey, SessionId};
use crate::object::ObjectKind;

/// Longest host name kept, in bytes.
pub const HOST_NAME_MAX: usize = 255;

/// A writer's session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Its id, which is also its object's name.
    pub id: SessionId,
    /// The host's public key.
    pub host: HostKey,
    /// The host's name.
    pub host_name: Vec<u8>,
    /// When it began, by the host's clock.
    pub started: Timestamp,
}

impl Session {
    /// Encodes and signs it.
    ///
    /// # Errors
    /// As [`sealed::encode`], and [`FormatError::Limit`] for a host name that is too long.
    pub fn encode(
        &self,
        place: &Place,
        index: &RecipientKey,
        identity: &Identity,
        random: &dyn Randomness,
    ) -> Result<Vec<u8>> {
        if self.host_name.len() > HOST_NAME_MAX {
            let value = self.host_name.len() as u64;
            return Err(FormatError::Limit { what: "host name", value, limit: HOST_NAME_MAX as u64 });
        }
        let section = Section { recipients: &[index], content: &self.encode_content() };
        sealed::encode(ObjectKind::Session, place, &[section], Some(identity), random)
    }

    /// Encodes a session's content, which is then sealed.
    pub fn encode_content(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.raw(self.id.as_bytes());
        w.raw(self.host.as_bytes());
        w.bytes(&self.host_name);
        w.timestamp(self.started);
        w.into_vec()
    }

    /// Decodes a session and checks its signature.
    ///
    /// # Errors
    /// [`FormatError`] for anything [`Session::encode`] would not have written.
    pub fn decode(bytes: &[u8], place: &Place, index: &RecipientKey) -> Result<Self> {
        let decoded = sealed::decode(bytes, ObjectKind::Session, place, &[index], true)?;
        let session = Self::decode_content(decoded.section(0, "session")?)?;
        decoded.verify(&session.host)?;
        Ok(session)
    }

    /// Decodes a session's opened content.
    ///
    /// # Errors
    /// [`FormatError`] when it is malformed.
    pub fn decode_content(content: &[u8]) -> Result<Self> {
        let mut r = Reader::new(content, "session");
        let session = Self {
            id: SessionId::from_bytes(r.array()?),
            host: HostKey::from_bytes(r.array()?),
            host_name: r.bytes(HOST_NAME_MAX)?.to_vec(),
            started: r.timestamp()?,
        };
        r.end()?;
        Ok(session)
    }
}

/// Checks that an object that was stored under a session's name is that session's.
///
/// # Errors
/// [`FormatError::WrongId`].
pub fn expect_id(found: SessionId, name: SessionId) -> Result<()> {
    if found == name { Ok(()) } else { Err(FormatError::WrongId) }
}
