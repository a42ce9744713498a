//! Declared sites: what an owner says of a store that nothing remote can prove, signed by the host it was said on.
//! (`docs/format.md`, "Declarations".)
//!
//! There are two signatures. The *statement* is signed where it was made, and that signature goes with it from the state
//! directory into the repository and from there to another machine. The object is signed by the host that stored it, as every
//! small signed object is, and binds the number: a later declaration cannot be put back to an earlier one under a new name.

use crate::crypto::hash;
use crate::crypto::keyring::MasterKey;
use crate::crypto::random::Randomness;
use crate::crypto::sign::{self, Identity, SIGNATURE_LEN};
use crate::format::envelope::Place;
use crate::format::layout::{SITE_NAME_MAX, is_site_name};
use crate::format::sealed::{self, Section};
use crate::format::wire::{FormatError, Reader, Result, Writer, is_text};
use crate::id::{HostKey, RepositoryId};
use crate::object::ObjectKind;
use crate::residency::declaration::Declaration;
use crate::residency::origin::{Addressing, Origin};
use crate::residency::place::Province;

/// Longest origin, in bytes.
pub const ORIGIN_LEN_MAX: usize = 272;
/// Longest text of a declaration, in bytes; a civic address and what is said of copies included.
pub const TEXT_LEN_MAX: usize = 1024;
/// Longest certificates of a declaration, in bytes.
pub const CA_LEN_MAX: usize = 64 << 10;
/// Put before every signed statement, so that its signature means nothing elsewhere: no object starts like this.
const CONTEXT: &[u8; 20] = b"cairn v1 declaration";

/// A declaration, and who signed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedDeclaration {
    /// What is declared.
    pub declaration: Declaration,
    /// The key of the host it was declared on.
    pub host: HostKey,
    /// That host's signature.
    pub signature: [u8; SIGNATURE_LEN],
}

fn statement_hash(statement: &[u8]) -> [u8; 32] {
    hash::stored(&[CONTEXT.as_slice(), statement].concat())
}

impl SignedDeclaration {
    /// Signs a declaration.
    ///
    /// # Errors
    /// [`FormatError`] when a field is beyond its limit or holds what no text may.
    pub fn sign(declaration: Declaration, identity: &Identity) -> Result<Self> {
        let statement = encode_statement(&declaration);
        // What is written has to be readable: the decoder holds the limits.
        decode_statement(&statement)?;
        let signature = identity.sign(&statement_hash(&statement));
        Ok(Self { declaration, host: identity.host_key(), signature })
    }

    /// Checks the signature.
    ///
    /// # Errors
    /// [`FormatError::NotAuthentic`]; [`FormatError`] as of [`SignedDeclaration::sign`].
    pub fn verify(&self) -> Result<()> {
        let statement = encode_statement(&self.declaration);
        decode_statement(&statement)?;
        sign::verify(&self.host, &statement_hash(&statement), &self.signature)
            .map_err(|_| FormatError::NotAuthentic { what: "signature of the declaration" })
    }
}

/// Encodes what is signed.
pub fn encode_statement(declaration: &Declaration) -> Vec<u8> {
    let d = declaration;
    let mut w = Writer::new();
    w.bytes(d.name.as_bytes());
    w.bytes(d.origin.to_string().as_bytes());
    w.bytes(d.signing_region.as_bytes());
    w.u8(match d.addressing {
        Addressing::Path => 1,
        Addressing::VirtualHost => 2,
    });
    w.bytes(d.operator.as_bytes());
    w.bytes(d.jurisdiction.as_bytes());
    w.u8(match d.us_parent {
        None => 0,
        Some(false) => 1,
        Some(true) => 2,
    });
    for text in [&d.address, &d.city] {
        w.bytes(text.as_bytes());
    }
    w.raw(d.province.as_str().as_bytes());
    for text in [&d.replicates_to, &d.ca_pem] {
        w.bytes(text.as_bytes());
    }
    w.timestamp(d.declared);
    w.bytes(d.signed_by.as_bytes());
    w.into_vec()
}

/// Decodes what is signed. Whether a site may be declared so is for `residency` to say: a table that has grown since must
/// not make what is stored unreadable.
///
/// # Errors
/// [`FormatError`] for anything [`encode_statement`] would not have written.
pub fn decode_statement(bytes: &[u8]) -> Result<Declaration> {
    let mut r = Reader::new(bytes, "declaration");
    let declaration = read_statement(&mut r)?;
    r.end()?;
    Ok(declaration)
}

fn read_statement(r: &mut Reader<'_>) -> Result<Declaration> {
    Ok(Declaration {
        name: {
            let name = r.text(SITE_NAME_MAX)?;
            if !is_site_name(name) {
                return Err(r.invalid());
            }
            name.to_owned()
        },
        origin: {
            let text = r.text(ORIGIN_LEN_MAX)?;
            Origin::parse(text).ok().filter(|origin| origin.to_string() == text).ok_or_else(|| r.invalid())?
        },
        signing_region: r.text(TEXT_LEN_MAX)?.to_owned(),
        addressing: match r.u8()? {
            1 => Addressing::Path,
            2 => Addressing::VirtualHost,
            value => return Err(FormatError::Unknown { what: "addressing of a site", value: value.into() }),
        },
        operator: r.text(TEXT_LEN_MAX)?.to_owned(),
        jurisdiction: r.text(TEXT_LEN_MAX)?.to_owned(),
        us_parent: match r.u8()? {
            0 => None,
            1 => Some(false),
            2 => Some(true),
            _ => return Err(r.invalid()),
        },
        address: r.text(TEXT_LEN_MAX)?.to_owned(),
        city: r.text(TEXT_LEN_MAX)?.to_owned(),
        province: {
            let text = std::str::from_utf8(r.take(2)?).map_err(|_| r.invalid())?;
            Province::parse(text).ok_or_else(|| r.invalid())?
        },
        replicates_to: r.text(TEXT_LEN_MAX)?.to_owned(),
        ca_pem: {
            let text = std::str::from_utf8(r.bytes(CA_LEN_MAX)?).map_err(|_| r.invalid())?;
            if !text.is_ascii() || !text.split('\n').all(is_text) {
                return Err(r.invalid());
            }
            text.to_owned()
        },
        declared: r.timestamp()?,
        signed_by: r.text(TEXT_LEN_MAX)?.to_owned(),
    })
}

/// A declaration as a repository keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeclarationRecord {
    /// Which of this site's declarations: the highest number counts. Bound to the object's name.
    pub number: u32,
    /// The key of the host that stored it.
    pub host: HostKey,
    /// The declaration, and who signed that.
    pub signed: SignedDeclaration,
}

impl DeclarationRecord {
    /// Encodes, seals and signs it.
    ///
    /// # Errors
    /// As [`sealed::encode`]; [`FormatError`] when the content would not be read back.
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
        sealed::encode(ObjectKind::Declaration, &Place::of_repository(repository), &[section], Some(identity), random)
    }

    /// Encodes its content, which is then sealed.
    pub fn encode_content(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.u32(self.number);
        w.raw(self.host.as_bytes());
        w.raw(self.signed.host.as_bytes());
        w.raw(&self.signed.signature);
        w.raw(&encode_statement(&self.signed.declaration));
        w.into_vec()
    }

    /// Decodes one and checks both signatures.
    ///
    /// # Errors
    /// [`FormatError`] for anything [`DeclarationRecord::encode`] would not have written.
    pub fn decode(bytes: &[u8], repository: &RepositoryId, master: &MasterKey) -> Result<Self> {
        let recipient = master.dataset_recipient(repository);
        let place = Place::of_repository(repository);
        let decoded = sealed::decode(bytes, ObjectKind::Declaration, &place, &[&recipient], true)?;
        let record = Self::decode_content(decoded.section(0, "declaration")?)?;
        decoded.verify(&record.host)?;
        record.signed.verify()?;
        Ok(record)
    }

    /// Decodes opened content. The signature of the statement is not looked at here.
    ///
    /// # Errors
    /// [`FormatError`] when it is malformed.
    pub fn decode_content(content: &[u8]) -> Result<Self> {
        let mut r = Reader::new(content, "declaration");
        let number = r.u32()?;
        if number == 0 {
            return Err(r.invalid());
        }
        let host = HostKey::from_bytes(r.array()?);
        let signed = SignedDeclaration {
            host: HostKey::from_bytes(r.array()?),
            signature: r.array()?,
            declaration: read_statement(&mut r)?,
        };
        r.end()?;
        Ok(Self { number, host, signed })
    }
}
