//! What the log says about single files, and the tokens that stand for names in it.
//!
//! A path is never in the log. Its token is a commitment: SHA-256 over a *blind*, which only the dataset's key yields, and the
//! path. Who is shown path and blind can compute the token with ordinary tools; it tells nothing about any other path, and
//! without the key nobody can try guesses.

use crate::audit::merkle::{Hash, pad, sha256, sha256_padded};
use crate::crypto::secret::Secret;
use crate::format::wire::{FormatError, Reader, Result, Writer};
use crate::id::hex;
use crate::journal::FileEvent;

/// Length of a token or a blind, in bytes.
pub const TOKEN_LEN: usize = 16;
/// Stands before blind and path.
const FILE_TOKEN: &[u8] = b"cairn file token v1\n";
/// What stands before each text that a token or a blind is made of under the dataset's key.
const DOMAIN_PATH: u8 = 1;
const DOMAIN_CONTENT: u8 = 2;
const DOMAIN_NAME: u8 = 3;
/// Bytes of records that are sealed as one object, about.
pub const PART_LEN: usize = 2 << 20;
/// Longest part that is read, in bytes: a part and one record.
const PART_LEN_MAX: usize = PART_LEN + 64;
/// Longest record, in bytes: event, tokens, two numbers.
pub(in crate::audit) const RECORD_LEN_MAX: usize = 1 + 2 * TOKEN_LEN + 2 * 10;
const _: () = assert!(PART_LEN + RECORD_LEN_MAX <= PART_LEN_MAX);

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

    /// `text` begins with its domain. In one piece: an incremental hash would take longer for its state than for texts of this
    /// length.
    fn keyed(&self, text: &[u8]) -> Token {
        cut(blake3::keyed_hash(self.0.expose(), text).as_bytes())
    }

    /// What hides a path in its token.
    pub fn blind(&self, path: &[u8]) -> Token {
        self.keyed(&[&[DOMAIN_PATH], path].concat())
    }

    /// The token of a path.
    pub fn file(&self, path: &[u8]) -> Token {
        token_of(&self.blind(path), path)
    }

    /// The token of what stands for a file's content; zeros for nothing.
    pub fn content(&self, content: Option<&[u8; 32]>) -> Token {
        let Some(content) = content else { return [0; TOKEN_LEN] };
        let mut text = [DOMAIN_CONTENT; 33];
        text[1..].copy_from_slice(content);
        self.keyed(&text)
    }

    /// The token of a user, a host or another name, in hexadecimal.
    pub fn name(&self, name: &str) -> String {
        hex(&self.keyed(&[&[DOMAIN_NAME], name.as_bytes()].concat()))
    }
}

/// Paths whose tokens are made together, each as the message that its token is the hash of: [`FILE_TOKEN`], the blind, the path,
/// padding. Both hashes of a path are made of it where it stands, so it is copied once and nothing is allocated for it.
#[derive(Debug, Default)]
pub(in crate::audit) struct TokenTexts {
    bytes: Vec<u8>,
    ends: Vec<TextEnd>,
}

#[derive(Debug, Clone, Copy)]
struct TextEnd {
    path: usize,
    padding: usize,
}

/// Where in a message the blind begins, and the path.
const BLIND: usize = FILE_TOKEN.len();
const PATH: usize = BLIND + TOKEN_LEN;
/// What a message begins with before its blind is known. The last byte of its place is the domain that the blind is made under,
/// so that domain and path stand together.
const TEXT_START: [u8; PATH] = {
    let (mut start, mut n) = ([0; PATH], 0);
    while n < BLIND {
        start[n] = FILE_TOKEN[n];
        n += 1;
    }
    start[PATH - 1] = DOMAIN_PATH;
    start
};

impl TokenTexts {
    /// Bytes so far.
    pub(in crate::audit) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Adds a path.
    pub(in crate::audit) fn push(&mut self, path: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&TEXT_START);
        self.bytes.extend_from_slice(path);
        let path = self.bytes.len();
        pad(&mut self.bytes, start);
        self.ends.push(TextEnd { path, padding: self.bytes.len() });
    }

    /// Appends their tokens, which are those of [`Tokens::file`], to `found`. No paths are left then.
    pub(in crate::audit) fn take_tokens(&mut self, tokens: &Tokens, found: &mut Vec<Token>) {
        let mut start = 0;
        for end in &self.ends {
            let blind = tokens.keyed(&self.bytes[start + PATH - 1..end.path]);
            self.bytes[start + BLIND..start + PATH].copy_from_slice(&blind);
            start = end.padding;
        }
        start = 0;
        for end in &self.ends {
            found.push(cut(&sha256_padded(&self.bytes[start..end.padding])));
            start = end.padding;
        }
        self.bytes.clear();
        self.ends.clear();
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

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

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

    /// Together in one buffer, of all lengths around blocks of the two hashes, and from keys and domains that stand in
    /// `docs/audit-log.md`.
    #[test]
    fn tokens_of_several_paths_are_those_of_each() {
        let (tokens, mut texts, mut found) = (tokens(), TokenTexts::default(), Vec::new());
        for round in 0..2 {
            let paths: Vec<Vec<u8>> = (0..200_u8).map(|n| vec![n.wrapping_mul(7) ^ round; n.into()]).collect();
            paths.iter().for_each(|path| texts.push(path));
            found.clear();
            texts.take_tokens(&tokens, &mut found);
            assert_eq!(texts.len(), 0);
            assert_eq!(found, paths.iter().map(|path| tokens.file(path)).collect::<Vec<_>>());
            for (path, token) in paths.iter().zip(&found) {
                let blind = blake3::keyed_hash(&[5; 32], &[&[1], &path[..]].concat());
                assert_eq!(*token, token_of(&cut(blind.as_bytes()), path));
            }
        }
        let keyed = |text: &[u8]| cut(blake3::keyed_hash(&[5; 32], text).as_bytes());
        assert_eq!(tokens.content(Some(&[9; 32])), keyed(&[&[2][..], &[9; 32]].concat()));
        assert_eq!(tokens.name("user root"), hex(&keyed(b"\x03user root")));
    }

    #[test]
    fn records_come_back_and_cost_little() {
        let tokens = tokens();
        let events =
            [FileEvent::Transmitted, FileEvent::TransmittedChanging, FileEvent::Recovered, FileEvent::NotRecovered];
        let records: Vec<StoredRecord> = (0..40_000_u64)
            .map(|n| StoredRecord {
                event: events[n as usize % 4],
                file: tokens.file(&n.to_le_bytes()),
                content: tokens.content(Some(&[n as u8; 32])),
                size: n * 977 % 300_000,
                millis: 1_790_000_000_000 + n,
            })
            .collect();
        let mut part = Vec::new();
        records.iter().for_each(|record| record.encode(&mut part));
        assert!(part.len() <= records.len() * 44, "{}", part.len());
        let decoded = decode_part(&part).unwrap();
        assert!(decoded.iter().map(|(record, _)| record).eq(&records));
        assert_eq!(decoded.iter().map(|(_, bytes)| bytes.len()).sum::<usize>(), part.len());
        let longest = StoredRecord { size: u64::MAX, millis: u64::MAX, ..records[0] };
        let mut bytes = Vec::new();
        longest.encode(&mut bytes);
        assert_eq!(bytes.len(), RECORD_LEN_MAX);
        assert!(decode_part(&part[1..]).is_err());
        assert!(decode_part(&vec![1; PART_LEN_MAX + 1]).is_err());
    }
}
