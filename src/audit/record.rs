//! What the log says about single files, and the tokens that stand for names in it.
//!
//! A path is never in the log. Its token is a commitment: SHA-256 over a *blind*, which only the dataset's key yields, and the
//! path. Who is shown path and blind can compute the token with ordinary tools; it tells nothing about any other path, and
//! without the key nobody can try guesses.

use crate::audit::merkle::{Frontier, Hash, leaf_hash, sha256};
use crate::crypto::secret::Secret;
use crate::format::wire::{FormatError, Reader, Result, Writer};
use crate::id::hex;
use crate::journal::FileEvent;

/// Length of a token or a blind, in bytes.
pub const TOKEN_LEN: usize = 16;
/// Stands before blind and path.
const FILE_TOKEN: &[u8] = b"cairn file token v1\n";
/// Texts up to this many bytes and their domain are hashed where they are.
const SHORT: usize = 192;
/// Bytes of records that are sealed as one object, about.
pub const PART_LEN: usize = 2 << 20;
/// Longest part that is read, in bytes: a part and one record.
const PART_LEN_MAX: usize = PART_LEN + 64;

/// A token.
pub type Token = [u8; TOKEN_LEN];

/// Makes tokens.
pub struct Tokens(Secret);

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tokens(..)")
    }
}

fn cut(hash: &Hash) -> Token {
    let mut token = [0; TOKEN_LEN];
    token.copy_from_slice(&hash[..TOKEN_LEN]);
    token
}

/// The token of a path, given its blind.
pub fn token_of(blind: &Token, path: &[u8]) -> Token {
    cut(&sha256(&[FILE_TOKEN, blind, path]))
}

impl Tokens {
    /// From the dataset's key for them.
    pub fn new(key: &Secret) -> Self {
        Self(key.duplicate())
    }

    fn keyed(&self, domain: u8, value: &[u8]) -> Token {
        // In one piece, and without an allocation where it can be: for texts of this length, most of the time would go into
        // these and into the state of an incremental hash.
        let mut short = [0; SHORT];
        let long;
        let bytes = match short.get_mut(..=value.len()) {
            Some(bytes) => {
                bytes[0] = domain;
                bytes[1..].copy_from_slice(value);
                &*bytes
            }
            None => {
                long = [&[domain][..], value].concat();
                long.as_slice()
            }
        };
        cut(blake3::keyed_hash(self.0.expose(), bytes).as_bytes())
    }

    /// What hides a path in its token.
    pub fn blind(&self, path: &[u8]) -> Token {
        self.keyed(1, path)
    }

    /// The token of a path.
    pub fn file(&self, path: &[u8]) -> Token {
        token_of(&self.blind(path), path)
    }

    /// The token of what stands for a file's content; zeros for nothing.
    pub fn content(&self, content: Option<&[u8; 32]>) -> Token {
        content.map_or([0; TOKEN_LEN], |content| self.keyed(2, content))
    }

    /// The token of a user, a host or another name, in hexadecimal.
    pub fn name(&self, name: &str) -> String {
        hex(&self.keyed(3, name.as_bytes()))
    }
}

/// One file, once. Its encoding is the leaf of the tree whose root the log has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredRecord {
    /// What happened.
    pub event: FileEvent,
    /// The path's token.
    pub file: Token,
    /// The content's token.
    pub content: Token,
    /// Length of the content in bytes.
    pub size: u64,
    /// When, in milliseconds since 1970.
    pub millis: u64,
}

impl StoredRecord {
    /// Appends its bytes.
    pub fn encode(&self, bytes: &mut Vec<u8>) {
        let mut w = Writer::from_vec(std::mem::take(bytes));
        w.u8(match self.event {
            FileEvent::Transmitted => 1,
            FileEvent::TransmittedChanging => 2,
            FileEvent::Recovered => 3,
            FileEvent::NotRecovered => 4,
        });
        w.raw(&self.file);
        w.raw(&self.content);
        w.varint(self.size);
        w.varint(self.millis);
        *bytes = w.into_vec();
    }

    fn decode(r: &mut Reader<'_>) -> Result<Self> {
        let event = match r.u8()? {
            1 => FileEvent::Transmitted,
            2 => FileEvent::TransmittedChanging,
            3 => FileEvent::Recovered,
            4 => FileEvent::NotRecovered,
            _ => return Err(FormatError::Invalid { what: "file record" }),
        };
        Ok(Self { event, file: r.array()?, content: r.array()?, size: r.varint()?, millis: r.varint()? })
    }
}

/// Decodes the records of one part, each with its bytes.
///
/// # Errors
/// [`FormatError`] for anything that is no sequence of records.
pub fn decode_part(content: &[u8]) -> Result<Vec<(StoredRecord, &[u8])>> {
    if content.len() > PART_LEN_MAX {
        let (value, limit) = (content.len() as u64, PART_LEN_MAX as u64);
        return Err(FormatError::Limit { what: "file records", value, limit });
    }
    let (mut records, mut rest) = (Vec::new(), content);
    while !rest.is_empty() {
        let mut r = Reader::new(rest, "file record");
        let record = StoredRecord::decode(&mut r)?;
        let (bytes, after) = rest.split_at(rest.len() - r.remaining());
        records.push((record, bytes));
        rest = after;
    }
    Ok(records)
}

/// Records of a run, on their way to parts.
#[derive(Debug, Default)]
pub struct Spool {
    buffer: Vec<u8>,
    tree: Frontier,
    parts: u64,
}

impl Spool {
    /// Adds a record. A part that is full comes back with its number.
    pub fn push(&mut self, record: &StoredRecord) -> Option<(u64, Vec<u8>)> {
        let start = self.buffer.len();
        record.encode(&mut self.buffer);
        self.tree.push(leaf_hash(&self.buffer[start..]));
        if self.buffer.len() >= PART_LEN { self.flush() } else { None }
    }

    /// The last part, if something is left.
    pub fn flush(&mut self) -> Option<(u64, Vec<u8>)> {
        if self.buffer.is_empty() {
            return None;
        }
        self.parts += 1;
        Some((self.parts - 1, std::mem::take(&mut self.buffer)))
    }

    /// Begins a new tree; parts go on being counted.
    pub fn begin_tree(&mut self) {
        self.tree = Frontier::default();
    }

    /// Records of the tree, its root, and parts so far.
    pub fn totals(&self) -> (u64, Hash, u64) {
        (self.tree.size(), self.tree.root(), self.parts)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::audit::merkle::root;

    fn tokens() -> Tokens {
        Tokens::new(&Secret::new([5; 32]))
    }

    #[test]
    fn tokens_are_keyed_and_a_blind_opens_one() {
        let tokens = tokens();
        let other = Tokens::new(&Secret::new([6; 32]));
        assert_ne!(tokens.file(b"/a"), other.file(b"/a"));
        assert_ne!(tokens.file(b"/a"), tokens.file(b"/b"));
        assert_eq!(tokens.file(b"/a"), token_of(&tokens.blind(b"/a"), b"/a"));
        assert_ne!(tokens.blind(&[7; 32]), tokens.content(Some(&[7; 32])));
        assert_eq!(tokens.content(None), [0; TOKEN_LEN]);
        // Whoever guesses a name and has no key cannot tell: no hash of it that can be made without one is its token.
        let hex = |hash: &[u8]| hex(&hash[..TOKEN_LEN]);
        for guess in ["user root", "root"] {
            let (name, path) = (tokens.name("user root"), hex(&tokens.file(b"/etc/passwd")));
            let plain = [guess.as_bytes(), &[&[3], guess.as_bytes()].concat()].map(|text| {
                let zero = blake3::keyed_hash(&[0; 32], text);
                [hex(&sha256(&[text])), hex(blake3::hash(text).as_bytes()), hex(zero.as_bytes())]
            });
            assert!(plain.iter().flatten().all(|token| *token != name));
            let unblinded = [token_of(&[0; TOKEN_LEN], b"/etc/passwd"), cut(&sha256(&[FILE_TOKEN, b"/etc/passwd"]))];
            assert!(unblinded.iter().all(|token| hex(token) != path));
        }
    }

    #[test]
    fn records_come_back_in_parts_of_bounded_length_and_cost_little() {
        let tokens = tokens();
        let (mut spool, mut parts) = (Spool::default(), Vec::new());
        let events =
            [FileEvent::Transmitted, FileEvent::TransmittedChanging, FileEvent::Recovered, FileEvent::NotRecovered];
        let records: Vec<StoredRecord> = (0..120_000_u64)
            .map(|n| StoredRecord {
                event: events[n as usize % 4],
                file: tokens.file(&n.to_le_bytes()),
                content: tokens.content(Some(&[n as u8; 32])),
                size: n * 977 % 300_000,
                millis: 1_790_000_000_000 + n,
            })
            .collect();
        records.iter().for_each(|record| parts.extend(spool.push(record)));
        parts.extend(spool.flush());
        let numbers: Vec<u64> = parts.iter().map(|part| part.0).collect();
        assert_eq!(numbers, (0..parts.len() as u64).collect::<Vec<_>>());
        let bytes: usize = parts.iter().map(|part| part.1.len()).sum();
        assert!(bytes <= records.len() * 44, "{bytes}");
        let decoded: Vec<_> = parts.iter().flat_map(|part| decode_part(&part.1).unwrap()).collect();
        assert!(decoded.iter().map(|(record, _)| record).eq(&records));
        let hashes: Vec<Hash> = decoded.iter().map(|(_, bytes)| leaf_hash(bytes)).collect();
        assert_eq!(spool.totals(), (records.len() as u64, root(&hashes), parts.len() as u64));
        assert!(decode_part(&parts[0].1[1..]).is_err());
        assert!(decode_part(&vec![1; PART_LEN_MAX + 1]).is_err());
    }
}
