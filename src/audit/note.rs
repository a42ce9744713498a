//! Signed notes (C2SP `signed-note`): a text and lines of signatures below it, Ed25519 and `cosignature/v1`.
#![expect(clippy::disallowed_methods, reason = "C2SP writes numbers with the most significant byte first")]

use crate::audit::merkle::sha256;
use crate::crypto::sign::{NoteKey, SIGNATURE_LEN, verify_text};
use crate::id::hex;
use base64ct::{Base64, Encoding as _};
use std::fmt;

/// Longest note that is read, in bytes.
pub const NOTE_LEN_MAX: usize = 64 << 10;
/// Most signatures of a note.
const SIGNATURES_MAX: usize = 64;
/// Type bytes of key ids: Ed25519 over the text, and a cosignature with its time.
const ED25519: u8 = 1;
const COSIGNATURE: u8 = 4;

/// What is wrong with a note or a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// It does not have the form of a note.
    #[error("not a signed note: {0}")]
    Malformed(&'static str),
    /// It does not have the form of a verifier key.
    #[error("not a verifier key: {0}")]
    Key(&'static str),
    /// No signature of this key is on it.
    #[error("not signed by {0}")]
    Unsigned(String),
    /// A signature that claims to be this key's does not verify.
    #[error("the signature of {0} does not verify")]
    Forged(String),
}

/// What signatures a key makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyType {
    /// Over the text.
    Ed25519,
    /// Over the text and the time at which it was seen (C2SP `tlog-cosignature`).
    Cosignature,
}

impl KeyType {
    fn byte(self) -> u8 {
        match self {
            Self::Ed25519 => ED25519,
            Self::Cosignature => COSIGNATURE,
        }
    }
}

/// A key that signatures are checked with: `NAME+ID+KEY`, the id in hexadecimal, type byte and key in base64.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    key_type: KeyType,
    public: [u8; 32],
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= 255 && text.bytes().all(|b| b.is_ascii_graphic() && b != b'+')
}

impl VerifierKey {
    /// The key of this name. `None` if a name cannot be that: it has no spaces and no plus sign.
    pub fn new(name: &str, key_type: KeyType, public: [u8; 32]) -> Option<Self> {
        is_name(name).then(|| Self { name: name.to_owned(), key_type, public })
    }

    /// Reads `NAME+ID+KEY`.
    ///
    /// # Errors
    /// [`NoteError::Key`].
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        let mut parts = text.trim_end_matches('\n').splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(NoteError::Key("it is NAME+ID+KEY"));
        };
        let key = Base64::decode_vec(key).map_err(|_| NoteError::Key("the key is not base64"))?;
        let key_type = match key.first() {
            Some(&ED25519) => KeyType::Ed25519,
            Some(&COSIGNATURE) => KeyType::Cosignature,
            _ => return Err(NoteError::Key("of another type than Ed25519")),
        };
        let public = key[1..].try_into().map_err(|_| NoteError::Key("the key has not 32 bytes"))?;
        let parsed = Self::new(name, key_type, public).ok_or(NoteError::Key("its name is none"))?;
        if parsed.to_string() == text.trim_end_matches('\n') && hex(&parsed.id()) == id {
            Ok(parsed)
        } else {
            Err(NoteError::Key("its id is not that of the key"))
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The public key.
    pub fn public(&self) -> &[u8; 32] {
        &self.public
    }

    /// What it signs.
    pub fn key_type(&self) -> KeyType {
        self.key_type
    }

    /// The first four bytes of SHA-256 of name, line feed, type byte and key.
    pub fn id(&self) -> [u8; 4] {
        let hash = sha256(&[self.name.as_bytes(), &[b'\n', self.key_type.byte()], &self.public]);
        [hash[0], hash[1], hash[2], hash[3]]
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = [&[self.key_type.byte()], &self.public[..]].concat();
        write!(f, "{}+{}+{}", self.name, hex(&self.id()), Base64::encode_string(&key))
    }
}

/// A signature below a note.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// Name of the key.
    pub name: String,
    /// Id of the key.
    pub id: [u8; 4],
    /// The rest: 64 bytes, or of a cosignature a time and 64 bytes.
    pub bytes: Vec<u8>,
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [&self.id, &self.bytes[..]].concat();
        write!(f, "\u{2014} {} {}", self.name, Base64::encode_string(&bytes))
    }
}

/// A text and its signatures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    text: String,
    /// The signatures.
    pub signatures: Vec<Signature>,
}

fn is_text(text: &str) -> bool {
    text.ends_with('\n') && text.chars().all(|c| c == '\n' || !c.is_control())
}

impl Note {
    /// An unsigned note. `None` unless the text ends with a line feed and has no other control characters.
    pub fn new(text: String) -> Option<Self> {
        is_text(&text).then_some(Self { text, signatures: Vec::new() })
    }

    /// Reads a note.
    ///
    /// # Errors
    /// [`NoteError::Malformed`].
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        let malformed = NoteError::Malformed;
        if bytes.len() > NOTE_LEN_MAX {
            return Err(malformed("it is too long"));
        }
        let all = std::str::from_utf8(bytes).map_err(|_| malformed("it is not UTF-8"))?;
        if !is_text(all) {
            return Err(malformed("it has control characters, or no end"));
        }
        let end = all.rfind("\n\n").ok_or(malformed("it has no signatures"))?;
        let mut note = Self { text: all[..=end].to_owned(), signatures: Vec::new() };
        for line in all[end + 2..].lines() {
            let rest = line.strip_prefix("\u{2014} ").ok_or(malformed("a line below it is no signature"))?;
            let (name, data) = rest.split_once(' ').ok_or(malformed("a signature without bytes"))?;
            let data = Base64::decode_vec(data).map_err(|_| malformed("a signature that is not base64"))?;
            let Some((id, bytes)) = data.split_first_chunk::<4>().filter(|(_, rest)| !rest.is_empty()) else {
                return Err(malformed("a signature that is too short"));
            };
            if !is_name(name) || note.signatures.len() == SIGNATURES_MAX {
                return Err(malformed("a signature without a name, or too many"));
            }
            note.signatures.push(Signature { name: name.to_owned(), id: *id, bytes: bytes.to_vec() });
        }
        if note.signatures.is_empty() { Err(malformed("it has no signatures")) } else { Ok(note) }
    }

    /// Its text, the last line feed included.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Signs it with the key whose public half this is.
    pub fn sign(&mut self, key: &dyn NoteKey, public: &VerifierKey) {
        let bytes = key.sign_text(self.text.as_bytes()).to_vec();
        self.signatures.push(Signature { name: public.name.clone(), id: public.id(), bytes });
    }

    /// Signs it as seen at `seconds` since 1970.
    pub fn cosign(&mut self, key: &dyn NoteKey, public: &VerifierKey, seconds: u64) {
        let signature = key.sign_text(&cosigned(seconds, &self.text));
        let bytes = [&seconds.to_be_bytes()[..], &signature].concat();
        self.signatures.push(Signature { name: public.name.clone(), id: public.id(), bytes });
    }

    /// Checks that the key signed it. Of a cosignature the time comes back, in seconds since 1970.
    ///
    /// # Errors
    /// [`NoteError::Unsigned`], [`NoteError::Forged`].
    pub fn verify(&self, key: &VerifierKey) -> Result<Option<u64>, NoteError> {
        let id = key.id();
        let by_key = self.signatures.iter().find(|signature| signature.name == key.name && signature.id == id);
        let signature = by_key.ok_or_else(|| NoteError::Unsigned(key.name.clone()))?;
        let forged = || NoteError::Forged(key.name.clone());
        let (time, message, bytes) = match key.key_type {
            KeyType::Ed25519 => (None, self.text.as_bytes().to_vec(), &signature.bytes[..]),
            KeyType::Cosignature => {
                let (time, bytes) = signature.bytes.split_first_chunk::<8>().ok_or_else(forged)?;
                let time = u64::from_be_bytes(*time);
                (Some(time), cosigned(time, &self.text), bytes)
            }
        };
        let bytes: &[u8; SIGNATURE_LEN] = bytes.try_into().map_err(|_| forged())?;
        verify_text(&key.public, &message, bytes).map_err(|_| forged())?;
        Ok(time)
    }
}

/// What a cosignature signs.
fn cosigned(seconds: u64, text: &str) -> Vec<u8> {
    format!("cosignature/v1\ntime {seconds}\n{text}").into_bytes()
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        f.write_str("\n")?;
        self.signatures.iter().try_for_each(|signature| writeln!(f, "{signature}"))
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::crypto::random::SeededRandom;
    use crate::crypto::sign::LogKey;

    fn key(seed: u64, key_type: KeyType) -> (LogKey, VerifierKey) {
        let key = LogKey::generate(&SeededRandom::new(seed)).unwrap();
        let public = VerifierKey::new("example.com/log", key_type, key.public()).unwrap();
        (key, public)
    }

    #[test]
    fn a_note_comes_back_and_its_signature_belongs_to_it() {
        let (key, public) = key(1, KeyType::Ed25519);
        let mut note = Note::new("a\n\nb\n".into()).unwrap();
        note.sign(&key, &public);
        let text = note.to_string();
        let read = Note::parse(text.as_bytes()).unwrap();
        assert_eq!(read, note);
        assert_eq!(read.verify(&public), Ok(None));
        assert_eq!(VerifierKey::parse(&public.to_string()).as_ref(), Ok(&public));
        let other = self::key(2, KeyType::Ed25519).1;
        assert_eq!(read.verify(&other), Err(NoteError::Unsigned(other.name.clone())));
        let changed = Note::parse(text.replacen("a\n", "c\n", 1).as_bytes()).unwrap();
        assert_eq!(changed.verify(&public), Err(NoteError::Forged(public.name.clone())));
    }

    #[test]
    fn a_cosignature_says_when() {
        let (key, public) = key(3, KeyType::Cosignature);
        let mut note = Note::new("a\n".into()).unwrap();
        note.cosign(&key, &public, 1_700_000_000);
        let mut read = Note::parse(note.to_string().as_bytes()).unwrap();
        assert_eq!(read.verify(&public), Ok(Some(1_700_000_000)));
        read.signatures[0].bytes[7] ^= 1;
        assert_eq!(read.verify(&public), Err(NoteError::Forged(public.name.clone())));
    }

    #[test]
    fn what_is_no_note_or_key_is_refused() {
        let (key, public) = key(1, KeyType::Ed25519);
        let mut note = Note::new("a\n".into()).unwrap();
        note.sign(&key, &public);
        let good = note.to_string();
        let bad = [
            String::new(),
            "a\n".into(),
            "a\n\n".into(),
            good.trim_end().into(),
            good.replace('a', "\u{7}"),
            good.replace('\u{2014}', "-"),
            good.replace("AA", "!!") + "x\n",
            format!("{good}\u{2014} x AAAA\n"),
            format!("{good}\u{2014} x+y AAAAAAAA\n"),
        ];
        for text in bad {
            assert!(Note::parse(text.as_bytes()).is_err(), "{text:?}");
        }
        let text = public.to_string();
        for bad in ["", "a+b", &text.replace("example", "exampel"), &text[..text.len() - 4], &format!("x y{text}")] {
            assert!(VerifierKey::parse(bad).is_err(), "{bad:?}");
        }
    }
}
