//! Residency policies: where a repository's data may be from now on, who took it upon himself, and the exceptions.
//! (`docs/format.md`, "Policies".)

use crate::clock::Timestamp;
use crate::crypto::keyring::MasterKey;
use crate::crypto::random::Randomness;
use crate::crypto::sign::Identity;
use crate::format::envelope::Place;
use crate::format::sealed::{self, Section};
use crate::format::wire::{Reader, Result, Writer};
use crate::id::{HostKey, RepositoryId};
use crate::object::ObjectKind;
use crate::residency::check::Check;
use crate::residency::place::Pin;
use crate::residency::policy::{Exception, Policy};

/// Longest text of a policy, in bytes.
pub const TEXT_LEN_MAX: usize = 1024;
/// Longest pin, in bytes: all thirteen provinces and territories are 38.
pub const PIN_LEN_MAX: usize = 64;
/// Most exceptions of a policy.
pub const EXCEPTIONS_MAX: usize = 64;
/// Least that an exception takes: three empty texts, a check and a time.
const EXCEPTION_LEN_MIN: usize = 16;

/// A policy as a repository keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyRecord {
    /// Which policy: the highest number counts. Bound to the object's name.
    pub number: u32,
    /// The key of the host that stored it.
    pub host: HostKey,
    /// When it was made, by that host's clock.
    pub made: Timestamp,
    /// Who answers for a pin that is wider than the configuration's; empty where it is not.
    pub widened_by: String,
    /// Pin, parents and exceptions.
    pub policy: Policy,
}

impl PolicyRecord {
    /// Encodes, seals and signs it.
    ///
    /// # Errors
    /// As [`sealed::encode`]; [`crate::format::wire::FormatError`] when the content would not be read back.
    pub fn encode(
        &self,
        repository: &RepositoryId,
        master: &MasterKey,
        identity: &Identity,
        random: &dyn Randomness,
    ) -> Result<Vec<u8>> {
        let content = self.encode_content();
        Self::decode_content(&content)?;
        let section = Section { recipients: &[&master.dataset_recipient(repository)], content: &content };
        sealed::encode(ObjectKind::Policy, &Place::of_repository(repository), &[section], Some(identity), random)
    }

    /// Encodes its content, which is then sealed.
    pub fn encode_content(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.u32(self.number);
        w.raw(self.host.as_bytes());
        w.timestamp(self.made);
        w.bytes(self.widened_by.as_bytes());
        w.bytes(self.policy.pin.to_string().as_bytes());
        w.u8(u8::from(self.policy.deny_us_parent));
        w.varint(self.policy.exceptions.len() as u64);
        for exception in &self.policy.exceptions {
            w.bytes(exception.site.as_bytes());
            w.bytes(exception.check.name().as_bytes());
            w.bytes(exception.reason.as_bytes());
            w.bytes(exception.signed_by.as_bytes());
            w.timestamp(exception.expires);
        }
        w.into_vec()
    }

    /// Decodes one and checks its signature.
    ///
    /// # Errors
    /// [`crate::format::wire::FormatError`] for anything [`PolicyRecord::encode`] would not have written.
    pub fn decode(bytes: &[u8], repository: &RepositoryId, master: &MasterKey) -> Result<Self> {
        let recipient = master.dataset_recipient(repository);
        let place = Place::of_repository(repository);
        let decoded = sealed::decode(bytes, ObjectKind::Policy, &place, &[&recipient], true)?;
        let record = Self::decode_content(decoded.section(0, "policy")?)?;
        decoded.verify(&record.host)?;
        Ok(record)
    }

    /// Decodes opened content.
    ///
    /// # Errors
    /// [`crate::format::wire::FormatError`] when it is malformed.
    pub fn decode_content(content: &[u8]) -> Result<Self> {
        let mut r = Reader::new(content, "policy");
        let number = r.u32()?;
        if number == 0 {
            return Err(r.invalid());
        }
        let (host, made) = (HostKey::from_bytes(r.array()?), r.timestamp()?);
        let widened_by = r.text(TEXT_LEN_MAX)?.to_owned();
        let pin = {
            let text = r.text(PIN_LEN_MAX)?;
            Pin::parse(text).ok().filter(|pin| pin.to_string() == text).ok_or_else(|| r.invalid())?
        };
        let deny_us_parent = match r.u8()? {
            0 => false,
            1 => true,
            _ => return Err(r.invalid()),
        };
        let count = r.count(EXCEPTIONS_MAX as u64, EXCEPTION_LEN_MIN)?;
        let mut exceptions = Vec::with_capacity(count);
        for _ in 0..count {
            exceptions.push(Exception {
                site: r.text(TEXT_LEN_MAX)?.to_owned(),
                check: Check::parse(r.text(TEXT_LEN_MAX)?).ok_or_else(|| r.invalid())?,
                reason: r.text(TEXT_LEN_MAX)?.to_owned(),
                signed_by: r.text(TEXT_LEN_MAX)?.to_owned(),
                expires: r.timestamp()?,
            });
        }
        r.end()?;
        let policy = Policy { pin, deny_us_parent, exceptions };
        Ok(Self { number, host, made, widened_by, policy })
    }
}
