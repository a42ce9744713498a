//! Small sealed objects: header, one length-prefixed message for each section, and for signed kinds a signature.
//! (`docs/format.md`, "Small objects".)

use crate::crypto::hash;
use crate::crypto::keyring::RecipientKey;
use crate::crypto::random::Randomness;
use crate::crypto::sign::{self, Identity, SIGNATURE_LEN};
use crate::format::envelope::{self, Place};
use crate::format::padme;
use crate::format::wire::{FormatError, Reader, Result, Writer};
use crate::id::HostKey;
use crate::object::{Encoded, ObjectKind};

/// Longest small object in bytes, and so the most a reader fetches at once.
pub const OBJECT_LEN_MAX: u64 = 32 << 20;
/// Messages are padded to at least this many bytes.
const PADDED_MIN: u64 = 256;

/// Puts a length before `content` and zeros behind it, up to a Padmé length.
pub fn pad(content: &[u8]) -> Vec<u8> {
    let len = padme::padded((content.len() as u64 + 4).max(PADDED_MIN)) as usize;
    let mut message = Vec::with_capacity(len + 16);
    message.extend_from_slice(&(content.len() as u32).to_le_bytes());
    message.extend_from_slice(content);
    message.resize(len, 0);
    message
}

/// Takes length and padding off again.
///
/// # Errors
/// [`FormatError`] when the length does not fit or the padding is not zero.
pub fn unpad(message: &[u8], what: &'static str) -> Result<Vec<u8>> {
    let mut r = Reader::new(message, what);
    let len = r.u32()? as usize;
    let content = r.take(len)?;
    if message.len() as u64 != padme::padded((len as u64 + 4).max(PADDED_MIN)) {
        return Err(FormatError::Invalid { what });
    }
    let padding = r.take(r.remaining())?;
    if padding.iter().any(|b| *b != 0) {
        return Err(FormatError::Invalid { what });
    }
    Ok(content.to_vec())
}

/// One section of a small object: for whom, and what.
#[derive(Debug)]
pub struct Section<'a> {
    /// Recipients.
    pub recipients: &'a [&'a RecipientKey],
    /// Content.
    pub content: &'a [u8],
}

/// Encodes a small object; with an identity it is signed.
///
/// # Errors
/// [`FormatError`] when there is no randomness or the object would be too long.
pub fn encode(
    kind: ObjectKind,
    place: &Place,
    sections: &[Section<'_>],
    identity: Option<&Identity>,
    random: &dyn Randomness,
) -> Result<Vec<u8>> {
    let recipients = sections.iter().map(|s| s.recipients).collect::<Vec<_>>();
    let new = envelope::create(kind, place, &recipients, random)?;
    let mut w = Writer::from_vec(new.header);
    for (index, section) in sections.iter().enumerate() {
        let mut message = pad(section.content);
        new.sealer
            .number()
            .and_then(|number| new.sealer.seal(number, index, &mut [&mut message]))
            .map_err(|e| FormatError::Seal(e.to_string()))?;
        w.u32(message.len() as u32);
        w.raw(&message);
    }
    let mut bytes = w.into_vec();
    if let Some(identity) = identity {
        let signature = identity.sign(&hash::stored(&bytes));
        bytes.extend_from_slice(&signature);
    }
    if bytes.len() as u64 > OBJECT_LEN_MAX {
        return Err(FormatError::Limit { what: "object", value: bytes.len() as u64, limit: OBJECT_LEN_MAX });
    }
    Ok(bytes)
}

/// A decoded small object.
#[derive(Debug)]
pub struct Decoded {
    /// Content of each section; `None` where none of the keys is a recipient.
    pub sections: Vec<Option<Vec<u8>>>,
    signed_hash: [u8; 32],
    signature: Option<[u8; SIGNATURE_LEN]>,
}

impl Decoded {
    /// The content of a section.
    ///
    /// # Errors
    /// [`FormatError::NoRecipient`] when it could not be opened.
    pub fn section(&self, index: usize, what: &'static str) -> Result<&[u8]> {
        self.sections.get(index).and_then(Option::as_deref).ok_or(FormatError::NoRecipient { what })
    }

    /// Checks the signature against the key that the content names.
    ///
    /// # Errors
    /// [`FormatError::NotAuthentic`].
    pub fn verify(&self, host: &HostKey) -> Result<()> {
        let signature = self.signature.as_ref().ok_or(FormatError::NotAuthentic { what: "signature" })?;
        sign::verify(host, &self.signed_hash, signature).map_err(|_| FormatError::NotAuthentic { what: "signature" })
    }
}

/// Decodes a small object of this kind and place, with whichever of `keys` are recipients.
///
/// # Errors
/// [`FormatError`] for anything that [`encode`] would not have written.
pub fn decode(bytes: &[u8], kind: ObjectKind, place: &Place, keys: &[&RecipientKey], signed: bool) -> Result<Decoded> {
    if bytes.len() as u64 > OBJECT_LEN_MAX {
        return Err(FormatError::Limit { what: "object", value: bytes.len() as u64, limit: OBJECT_LEN_MAX });
    }
    let open = envelope::open(bytes, kind, place, keys)?;
    let expected = if kind == ObjectKind::Cell { 2 } else { 1 };
    if open.sections() != expected {
        return Err(FormatError::Invalid { what: "number of sections" });
    }
    let mut r = Reader::new(bytes.get(open.header_len..).unwrap_or_default(), "object");
    let mut sections = Vec::with_capacity(expected);
    for index in 0..open.sections() {
        let len = r.u32()? as usize;
        let mut message = r.take(len)?.to_vec();
        sections.push(match open.open(index, index as u64, "section", &mut message) {
            Ok(()) => Some(unpad(&message, "section")?),
            Err(FormatError::NoRecipient { .. }) => None,
            Err(error) => return Err(error),
        });
    }
    let signed_hash = hash::stored(&bytes[..bytes.len() - r.remaining()]);
    let signature = if signed { Some(r.array::<SIGNATURE_LEN>()?) } else { None };
    r.end()?;
    Ok(Decoded { sections, signed_hash, signature })
}

/// Marks bytes that one of this layer's encoders made as fit to leave the host.
pub fn encoded(bytes: &[u8]) -> Encoded<'_> {
    Encoded::new(bytes)
}
