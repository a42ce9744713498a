//! Checkpoints (C2SP `tlog-checkpoint`): how large a log is and what its root is, signed.

use crate::audit::merkle::Hash;
use crate::audit::note::{Note, NoteError, VerifierKey};
use crate::crypto::sign::NoteKey;
use base64ct::{Base64, Encoding as _};

/// A log's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log: `cairn/REPOSITORY/LOG`.
    pub origin: String,
    /// Number of its leaves.
    pub size: u64,
    /// Root of their tree.
    pub root: Hash,
}

impl Checkpoint {
    /// The three lines.
    pub fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, Base64::encode_string(&self.root))
    }

    /// Signs it.
    pub fn sign(&self, key: &dyn NoteKey, public: &VerifierKey) -> Option<Note> {
        let mut note = Note::new(self.text())?;
        note.sign(key, public);
        Some(note)
    }

    /// Reads the three lines; extension lines, which cairn does not write, are refused.
    ///
    /// # Errors
    /// [`NoteError::Malformed`].
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        let malformed = || NoteError::Malformed("it is no checkpoint");
        let mut lines = text.lines();
        let (Some(origin), Some(size), Some(root), None) = (lines.next(), lines.next(), lines.next(), lines.next())
        else {
            return Err(malformed());
        };
        let root = Base64::decode_vec(root).ok().and_then(|bytes| bytes.try_into().ok()).ok_or_else(malformed)?;
        let checkpoint = Self { origin: origin.to_owned(), size: size.parse().map_err(|_| malformed())?, root };
        if checkpoint.text() == text && !origin.is_empty() { Ok(checkpoint) } else { Err(malformed()) }
    }

    /// Reads a note that this key has to have signed.
    ///
    /// # Errors
    /// [`NoteError`].
    pub fn open(note: &Note, key: &VerifierKey) -> Result<Self, NoteError> {
        note.verify(key)?;
        Self::parse(note.text())
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_has_one_spelling() {
        let checkpoint = Checkpoint { origin: "cairn/a/b".into(), size: 12, root: [9; 32] };
        let text = checkpoint.text();
        assert_eq!(Checkpoint::parse(&text).unwrap(), checkpoint);
        let bad = [
            text.replace("12", "012"),
            text.replace("12", "+12"),
            format!("{text}x\n"),
            text[1..].replacen("airn/a/b", "", 1),
        ];
        for bad in bad.iter().map(String::as_str).chain(["", "\n", text.trim_end()]) {
            assert!(Checkpoint::parse(bad).is_err(), "{bad:?}");
        }
    }
}
