//! Identifiers: fixed-size byte strings that cannot be mixed up with one another.
//!
//! One macro makes every id type. Ids print as lower-case hexadecimal, which is also how they appear in object
//! names. There is deliberately no `Default`, `Deref` or `From<[u8; N]>`: an id is made by whoever computed it.

use std::fmt;

/// Why a text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// The text has the wrong number of hexadecimal digits.
    #[error("expected {expected} hexadecimal digits, found {found}")]
    Length {
        /// Digits an id of this type has.
        expected: usize,
        /// Digits the text has.
        found: usize,
    },
    /// The text holds something other than `0-9a-f`.
    #[error("not a lower-case hexadecimal digit at position {position}")]
    Digit {
        /// Byte offset of the first offending character.
        position: usize,
    },
}

fn nibble(c: u8) -> Option<u8> {
    match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'f' => Some(c - b'a' + 10),
        _ => None,
    }
}

/// Bytes as lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn write_hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|b| write!(f, "{b:02x}"))
}

fn parse_hex(text: &str, out: &mut [u8]) -> Result<(), IdError> {
    let text = text.as_bytes();
    if text.len() != out.len() * 2 {
        return Err(IdError::Length { expected: out.len() * 2, found: text.len() });
    }
    for (i, (pair, byte)) in text.chunks_exact(2).zip(out.iter_mut()).enumerate() {
        let high = nibble(pair[0]).ok_or(IdError::Digit { position: i * 2 })?;
        let low = nibble(pair[1]).ok_or(IdError::Digit { position: i * 2 + 1 })?;
        *byte = high << 4 | low;
    }
    Ok(())
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; $len]);

        impl $name {
            /// Length in bytes.
            pub const LEN: usize = $len;

            /// Wraps bytes that are known to be such an id.
            pub const fn from_bytes(bytes: [u8; $len]) -> Self {
                Self(bytes)
            }

            /// The bytes of the id.
            pub const fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }

            /// Reads the hexadecimal form.
            ///
            /// # Errors
            /// [`IdError`] when the length or a digit is wrong; upper case is refused, so that every id has one spelling.
            pub fn from_hex(text: &str) -> Result<Self, IdError> {
                let mut bytes = [0; $len];
                parse_hex(text, &mut bytes)?;
                Ok(Self(bytes))
            }

            /// The first eight hexadecimal digits, for people.
            pub fn short(&self) -> String {
                let mut text = self.to_string();
                text.truncate(8);
                text
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_hex(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }
    };
}

id!(
    /// Names a repository for ever; random.
    RepositoryId, 16
);
id!(
    /// Names a dataset (trust domain, deduplication domain, unit of shredding); random.
    DatasetId, 16
);
id!(
    /// Names a writer's session and the commit cell it may fill; random. A snapshot's id is its session's id.
    SessionId, 16
);
id!(
    /// Names a key slot; random.
    SlotId, 16
);
id!(
    /// Names a log of what was done (one incarnation of one host's log of one repository); random.
    LogId, 16
);
id!(
    /// Names a run of a command in the log; random.
    RunId, 8
);
id!(
    /// Keyed BLAKE3 of a chunk's plaintext.
    ChunkId, 32
);
id!(
    /// Keyed BLAKE3 of a tree's or a list's plaintext.
    TreeId, 32
);
id!(
    /// BLAKE3 of a pack's stored bytes.
    PackId, 32
);
id!(
    /// BLAKE3 of an index segment's stored bytes.
    SegmentId, 32
);
id!(
    /// A host's Ed25519 public key.
    HostKey, 32
);
id!(
    /// The first 16 bytes of a [`ChunkId`] or a [`TreeId`]: what the index is keyed by. Two ids that agree in it are a
    /// 2^-128 event that every reader notices, because it recomputes the whole id.
    IndexKey, 16
);

impl IndexKey {
    fn of(bytes: &[u8; 32]) -> Self {
        let mut key = [0; 16];
        key.copy_from_slice(&bytes[..16]);
        Self(key)
    }
}

impl ChunkId {
    /// What the index knows this chunk by.
    pub fn key(&self) -> IndexKey {
        IndexKey::of(&self.0)
    }
}

impl TreeId {
    /// What the index knows this tree by.
    pub fn key(&self) -> IndexKey {
        IndexKey::of(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_round_trips_and_refuses_other_spellings() {
        let id = SessionId::from_bytes(*b"\x00\x01\xfe\xff0123456789ab");
        assert_eq!(SessionId::from_hex(&id.to_string()), Ok(id));
        assert_eq!(id.short(), "0001feff");
        assert_eq!(SessionId::from_hex("00"), Err(IdError::Length { expected: 32, found: 2 }));
        let upper = id.to_string().to_uppercase();
        assert_eq!(SessionId::from_hex(&upper), Err(IdError::Digit { position: 4 }));
    }
}
