//! What of a log is in a repository: objects of leaves with the checkpoint that they lead to, and the endorsement of its key.
//!
//! `audit/logs/LOG/SIZE` (twenty digits) holds the leaves before SIZE that the writer believed to be new, a line each, an
//! empty line, and the checkpoint of that size as a signed note. It appears whole or not at all, so there is never a
//! checkpoint without its leaves. Objects may overlap, since a host's runs do not wait for each other; they never disagree.

use crate::audit::checkpoint::Checkpoint;
use crate::audit::note::{KeyType, NOTE_LEN_MAX, Note, NoteError, VerifierKey};
use crate::crypto::sign::{Identity, NoteKey as _};
use crate::id::{HostKey, LogId, RepositoryId, RunId, hex};
use crate::object::ObjectName;

/// Longest leaf in bytes, without its line feed.
pub const LEAF_LEN_MAX: usize = 8 << 10;
/// Leaves of one object at most.
pub const OBJECT_LEAVES_MAX: usize = 512;
/// Longest object in bytes.
pub const LOG_OBJECT_LEN_MAX: u64 = (OBJECT_LEAVES_MAX * (LEAF_LEN_MAX + 1) + 1 + NOTE_LEN_MAX) as u64;
/// First line of an endorsement.
const ENDORSEMENT: &str = "cairn log key v1";

fn name(text: String) -> ObjectName {
    ObjectName::new(text).expect("hexadecimal ids, numbers and fixed words make valid names")
}

/// Prefix of all logs.
pub fn logs() -> ObjectName {
    name("audit/logs".into())
}

/// Prefix of a log.
pub fn log(id: &LogId) -> ObjectName {
    name(format!("audit/logs/{id}"))
}

/// The endorsement of a log's key.
pub fn log_key(id: &LogId) -> ObjectName {
    name(format!("audit/logs/{id}/key"))
}

/// The leaves up to a size.
pub fn log_part(id: &LogId, size: u64) -> ObjectName {
    name(format!("audit/logs/{id}/{size:020}"))
}

/// Prefix of all records of files.
pub fn all_files() -> ObjectName {
    name("audit/files".into())
}

/// A part of a run's records of files.
pub fn files(log: &LogId, run: &RunId, part: u64) -> ObjectName {
    name(format!("audit/files/{log}/{run}-{part}"))
}

/// Prefix of all receipts.
pub fn all_receipts() -> ObjectName {
    name("audit/receipts".into())
}

/// Prefix of a log's receipts.
pub fn receipts(id: &LogId) -> ObjectName {
    name(format!("audit/receipts/{id}"))
}

/// The receipt of a witness, by its key's id, for a size.
pub fn receipt(id: &LogId, size: u64, witness: [u8; 4]) -> ObjectName {
    name(format!("audit/receipts/{id}/{size:020}-{}", hex(&witness)))
}

/// Log and size of a part's name; a size of `None` is the log's key.
pub fn log_parts(name: &ObjectName) -> Option<(LogId, Option<u64>)> {
    let (id, last) = name.as_str().strip_prefix("audit/logs/")?.split_once('/')?;
    let id = LogId::from_hex(id).ok()?;
    if last == "key" {
        return Some((id, None));
    }
    let size = last.parse().ok().filter(|size| format!("{size:020}") == last)?;
    Some((id, Some(size)))
}

/// What a log is called in its checkpoints.
pub fn origin(repository: &RepositoryId, log: &LogId) -> String {
    format!("cairn/{repository}/{log}")
}

/// The key of a host under which its logs' keys are endorsed: what is enrolled with the other side.
pub fn host_verifier(host: &HostKey) -> VerifierKey {
    let name = format!("cairn-host/{}", host.short());
    VerifierKey::new(&name, KeyType::Ed25519, *host.as_bytes())
        .expect("a fixed word and hexadecimal digits make a name")
}

/// A host's word that a key signs one of its logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endorsement {
    /// The log's key; its name is the log's origin.
    pub log: VerifierKey,
    /// The host's key.
    pub host: VerifierKey,
    /// The signed note.
    pub note: Note,
}

impl Endorsement {
    /// Signs one.
    pub fn new(identity: &Identity, log: VerifierKey) -> Option<Self> {
        let host = host_verifier(&identity.host_key());
        let mut note = Note::new(format!("{ENDORSEMENT}\n{}\n{log}\n{host}\n", log.name()))?;
        let bytes = identity.sign_text(note.text().as_bytes()).to_vec();
        let (name, id) = (host.name().to_owned(), host.id());
        note.signatures.push(crate::audit::note::Signature { name, id, bytes });
        Some(Self { log, host, note })
    }

    /// Reads one, and checks that the host it names signed it. Whether that is the right host is for the caller to say.
    ///
    /// # Errors
    /// [`NoteError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        let note = Note::parse(bytes)?;
        let malformed = || NoteError::Malformed("it is no endorsement of a log's key");
        let lines: Vec<&str> = note.text().lines().collect();
        let [ENDORSEMENT, origin, log, host] = lines[..] else { return Err(malformed()) };
        let (log, host) = (VerifierKey::parse(log)?, VerifierKey::parse(host)?);
        let is_right = log.name() == origin
            && log.key_type() == KeyType::Ed25519
            && host_verifier(&HostKey::from_bytes(*host.public())) == host;
        if !is_right {
            return Err(malformed());
        }
        note.verify(&host)?;
        Ok(Self { log, host, note })
    }
}

/// The leaves that lead to a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogPart {
    /// The leaves, without line feeds.
    pub leaves: Vec<Vec<u8>>,
    /// The checkpoint, as signed.
    pub note: Note,
    /// The same, read. Whether the log's key signed it is for the caller to check.
    pub checkpoint: Checkpoint,
}

impl LogPart {
    /// Its bytes.
    pub fn encode(leaves: &[Vec<u8>], note: &Note) -> Vec<u8> {
        let mut bytes = Vec::new();
        for leaf in leaves {
            bytes.extend_from_slice(leaf);
            bytes.push(b'\n');
        }
        bytes.push(b'\n');
        bytes.extend_from_slice(note.to_string().as_bytes());
        bytes
    }

    /// Reads one.
    ///
    /// # Errors
    /// [`NoteError`] for anything that [`LogPart::encode`] would not have written.
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        let (mut leaves, mut rest) = (Vec::new(), bytes);
        loop {
            let end = rest.iter().position(|b| *b == b'\n').ok_or(NoteError::Malformed("a leaf without an end"))?;
            let line = &rest[..end];
            rest = &rest[end + 1..];
            if line.is_empty() {
                break;
            }
            if line.len() > LEAF_LEN_MAX || leaves.len() == OBJECT_LEAVES_MAX {
                return Err(NoteError::Malformed("a leaf that is too long, or too many"));
            }
            leaves.push(line.to_vec());
        }
        let note = Note::parse(rest)?;
        let checkpoint = Checkpoint::parse(note.text())?;
        if leaves.is_empty() || leaves.len() as u64 > checkpoint.size {
            return Err(NoteError::Malformed("more leaves than the checkpoint has, or none"));
        }
        Ok(Self { leaves, note, checkpoint })
    }

    /// The number of its first leaf.
    pub fn start(&self) -> u64 {
        self.checkpoint.size - self.leaves.len() as u64
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::crypto::random::SeededRandom;
    use crate::crypto::sign::LogKey;

    #[test]
    fn parts_and_endorsements_come_back_and_nothing_else_does() {
        let random = SeededRandom::new(1);
        let identity = Identity::generate(&random).unwrap();
        let key = LogKey::generate(&random).unwrap();
        let (repository, id) = (RepositoryId::from_bytes([1; 16]), LogId::from_bytes([2; 16]));
        let public = VerifierKey::new(&origin(&repository, &id), KeyType::Ed25519, key.public()).unwrap();
        let endorsement = Endorsement::new(&identity, public.clone()).unwrap();
        let text = endorsement.note.to_string();
        assert_eq!(Endorsement::parse(text.as_bytes()), Ok(endorsement));
        assert!(Endorsement::parse(text.replacen("key v1", "key v2", 1).as_bytes()).is_err());
        // Another host's signature under the name of this one.
        let mut other = Endorsement::new(&Identity::generate(&random).unwrap(), public.clone()).unwrap();
        other.note = Note::parse(text.as_bytes()).unwrap();
        other.note.signatures[0].bytes[0] ^= 1;
        assert!(Endorsement::parse(other.note.to_string().as_bytes()).is_err());

        let checkpoint = Checkpoint { origin: public.name().into(), size: 7, root: [3; 32] };
        let note = checkpoint.sign(&key, &public).unwrap();
        let leaves = vec![b"{}".to_vec(), b"{\"a\":1}".to_vec()];
        let bytes = LogPart::encode(&leaves, &note);
        let part = LogPart::parse(&bytes).unwrap();
        assert_eq!((part.start(), &part.leaves, &part.checkpoint), (5, &leaves, &checkpoint));
        for cut in 0..bytes.len() {
            assert!(LogPart::parse(&bytes[..cut]).is_err(), "{cut}");
        }
        assert!(LogPart::parse(&LogPart::encode(&[], &note)).is_err());
        assert!(LogPart::parse(&LogPart::encode(&vec![b"{}".to_vec(); 8], &note)).is_err());
    }

    #[test]
    fn names_have_one_spelling() {
        let id = LogId::from_bytes([2; 16]);
        assert_eq!(log_parts(&log_part(&id, 7)), Some((id, Some(7))));
        assert_eq!(log_parts(&log_key(&id)), Some((id, None)));
        for bad in ["7", "0000000000000000007", "000000000000000000007", "+0000000000000000007", "keys"] {
            assert_eq!(log_parts(&name(format!("audit/logs/{id}/{}", bad.replace('+', "_")))), None, "{bad}");
        }
    }
}
