//! Commit cells: what a session came to. A snapshot, a checkpoint, or the record that it was aborted; created once, under
//! the session's own name. (`docs/format.md`, "Commit cells".)
//!
//! Section 0 (references) is what pruning needs; section 1 (entries) is what people read.

use crate::clock::Timestamp;
use crate::crypto::keyring::RecipientKey;
use crate::crypto::random::Randomness;
use crate::crypto::sign::Identity;
use crate::format::envelope::Place;
use crate::format::sealed::{self, Section};
use crate::format::session::HOST_NAME_MAX;
use crate::format::wire::{FormatError, Reader, Result, Writer};
use crate::id::{HostKey, LogId, SegmentId, SessionId, TreeId};
use crate::journal::Anchor;
use crate::object::ObjectKind;

/// Most index segments that one cell publishes.
pub const CELL_SEGMENTS_MAX: usize = 65_535;
/// Most paths, tags or excludes of a snapshot.
pub const CELL_LIST_MAX: usize = 4096;
/// Longest path, tag, exclude or message in a cell, in bytes.
pub const CELL_TEXT_MAX: usize = 8192;
/// Most failed items named in a cell; the number of all is in the statistics.
pub const CELL_FAILURES_MAX: usize = 1000;

/// What a session came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// A snapshot.
    Snapshot,
    /// A part of one, kept so that an interruption loses little; hidden from `latest` and from retention.
    Checkpoint,
    /// Nothing: the session may no longer commit.
    Aborted,
}

/// Section 0: what the snapshot needs and publishes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CellReferences {
    /// What the session came to.
    pub outcome: Outcome,
    /// The session.
    pub session: SessionId,
    /// The host that signed it.
    pub host: HostKey,
    /// Counts this host's cells in this dataset from 1, so that one that is missing or put back shows.
    pub counter: u64,
    /// BLAKE3 of the stored bytes of the host's cell before this one; zero for its first.
    pub previous: [u8; 32],
    /// The session whose tree was taken as parent, if any.
    pub parent: Option<SessionId>,
    /// Root tree.
    pub tree: TreeId,
    /// Index segments that become live with this cell.
    pub segments: Vec<SegmentId>,
    /// The state of the host's log that says what this snapshot is made of; it is older than the cell.
    pub log: Option<Anchor>,
}

/// Counts of a backup. Bytes are bytes of content before compression unless named otherwise.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Regular files not in the parent.
    pub files_new: u64,
    /// Regular files whose content was read again.
    pub files_changed: u64,
    /// Regular files taken over from the parent.
    pub files_unmodified: u64,
    /// Directories not in the parent.
    pub dirs_new: u64,
    /// Directories that differ from the parent's.
    pub dirs_changed: u64,
    /// Directories that equal the parent's.
    pub dirs_unmodified: u64,
    /// Entries that are neither files nor directories.
    pub others: u64,
    /// Entries that could not be read.
    pub failed: u64,
    /// Entries that vanished between listing and reading.
    pub vanished: u64,
    /// Files that kept changing while they were read.
    pub inconsistent: u64,
    /// Bytes read from files.
    pub data_read_bytes: u64,
    /// Plaintext bytes of new chunks and trees.
    pub data_added_bytes: u64,
    /// Stored bytes of new packs.
    pub data_added_packed_bytes: u64,
    /// Chunks that were stored.
    pub chunks_new: u64,
    /// Chunks that were known already.
    pub chunks_known: u64,
    /// Regular files in the snapshot.
    pub total_files: u64,
    /// Bytes of content in the snapshot.
    pub total_bytes: u64,
}

impl Statistics {
    /// Number of fields, which is how many numbers are stored.
    pub const FIELDS: usize = 17;

    /// The numbers in stored order.
    pub fn to_array(self) -> [u64; Self::FIELDS] {
        [
            self.files_new,
            self.files_changed,
            self.files_unmodified,
            self.dirs_new,
            self.dirs_changed,
            self.dirs_unmodified,
            self.others,
            self.failed,
            self.vanished,
            self.inconsistent,
            self.data_read_bytes,
            self.data_added_bytes,
            self.data_added_packed_bytes,
            self.chunks_new,
            self.chunks_known,
            self.total_files,
            self.total_bytes,
        ]
    }

    /// From numbers in stored order.
    pub fn from_array(n: [u64; Self::FIELDS]) -> Self {
        Self {
            files_new: n[0],
            files_changed: n[1],
            files_unmodified: n[2],
            dirs_new: n[3],
            dirs_changed: n[4],
            dirs_unmodified: n[5],
            others: n[6],
            failed: n[7],
            vanished: n[8],
            inconsistent: n[9],
            data_read_bytes: n[10],
            data_added_bytes: n[11],
            data_added_packed_bytes: n[12],
            chunks_new: n[13],
            chunks_known: n[14],
            total_files: n[15],
            total_bytes: n[16],
        }
    }
}

/// An entry that could not be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Its path.
    pub path: Vec<u8>,
    /// What happened.
    pub message: Vec<u8>,
}

/// Section 1: what people ask about a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CellEntries {
    /// The time the snapshot stands for, by the host's clock: its start, or what `--time` said.
    pub time: Timestamp,
    /// When reading began. What changed later than shortly before this is read again next time.
    pub started: Timestamp,
    /// When it was committed.
    pub ended: Timestamp,
    /// Host name.
    pub host_name: Vec<u8>,
    /// User name.
    pub user_name: Vec<u8>,
    /// Version of the program.
    pub program_version: Vec<u8>,
    /// Why the run was made.
    pub purpose: Vec<u8>,
    /// Backed-up paths, absolute, sorted.
    pub paths: Vec<Vec<u8>>,
    /// Tags, sorted.
    pub tags: Vec<Vec<u8>>,
    /// Exclude patterns in force.
    pub excludes: Vec<Vec<u8>>,
    /// Counts.
    pub statistics: Statistics,
    /// The first of the entries that could not be kept.
    pub failures: Vec<Failure>,
}

/// A commit cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    /// Section 0.
    pub references: CellReferences,
    /// Section 1; `None` when the keys at hand do not open it.
    pub entries: Option<CellEntries>,
}

impl CellReferences {
    /// Encodes section 0's content.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.u8(match self.outcome {
            Outcome::Snapshot => 1,
            Outcome::Checkpoint => 2,
            Outcome::Aborted => 3,
        });
        w.raw(self.session.as_bytes());
        w.raw(self.host.as_bytes());
        w.varint(self.counter);
        w.raw(&self.previous);
        w.u8(u8::from(self.parent.is_some()));
        if let Some(parent) = &self.parent {
            w.raw(parent.as_bytes());
        }
        w.raw(self.tree.as_bytes());
        w.varint(self.segments.len() as u64);
        self.segments.iter().for_each(|id| w.raw(id.as_bytes()));
        w.u8(u8::from(self.log.is_some()));
        if let Some(anchor) = &self.log {
            w.raw(anchor.log.as_bytes());
            w.varint(anchor.size);
            w.raw(&anchor.root);
        }
        w.into_vec()
    }

    /// Decodes section 0's content.
    ///
    /// # Errors
    /// [`FormatError`] when it is malformed.
    pub fn decode(content: &[u8]) -> Result<Self> {
        let mut r = Reader::new(content, "commit cell");
        let references = Self {
            outcome: match r.u8()? {
                1 => Outcome::Snapshot,
                2 => Outcome::Checkpoint,
                3 => Outcome::Aborted,
                other => return Err(FormatError::Unknown { what: "commit cell outcome", value: other.into() }),
            },
            session: SessionId::from_bytes(r.array()?),
            host: HostKey::from_bytes(r.array()?),
            counter: r.varint()?,
            previous: r.array()?,
            parent: match r.u8()? {
                0 => None,
                1 => Some(SessionId::from_bytes(r.array()?)),
                _ => return Err(r.invalid()),
            },
            tree: TreeId::from_bytes(r.array()?),
            segments: {
                let count = r.count(CELL_SEGMENTS_MAX as u64, 32)?;
                (0..count).map(|_| r.array().map(SegmentId::from_bytes)).collect::<Result<_>>()?
            },
            log: match r.u8()? {
                0 => None,
                1 => Some(Anchor { log: LogId::from_bytes(r.array()?), size: r.varint()?, root: r.array()? }),
                _ => return Err(r.invalid()),
            },
        };
        r.end()?;
        Ok(references)
    }
}

fn write_list(w: &mut Writer, list: &[Vec<u8>]) {
    w.varint(list.len() as u64);
    list.iter().for_each(|item| w.bytes(item));
}

fn read_list(r: &mut Reader<'_>) -> Result<Vec<Vec<u8>>> {
    let count = r.count(CELL_LIST_MAX as u64, 1)?;
    (0..count).map(|_| r.bytes(CELL_TEXT_MAX).map(<[u8]>::to_vec)).collect()
}

impl CellEntries {
    /// Encodes section 1's content.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.timestamp(self.time);
        w.timestamp(self.started);
        w.timestamp(self.ended);
        w.bytes(&self.host_name);
        w.bytes(&self.user_name);
        w.bytes(&self.program_version);
        w.bytes(&self.purpose);
        write_list(&mut w, &self.paths);
        write_list(&mut w, &self.tags);
        write_list(&mut w, &self.excludes);
        self.statistics.to_array().into_iter().for_each(|n| w.varint(n));
        w.varint(self.failures.len() as u64);
        for failure in &self.failures {
            w.bytes(&failure.path);
            w.bytes(&failure.message);
        }
        w.into_vec()
    }

    /// Decodes section 1's content.
    ///
    /// # Errors
    /// [`FormatError`] when it is malformed.
    pub fn decode(content: &[u8]) -> Result<Self> {
        let mut r = Reader::new(content, "commit cell");
        let entries = Self {
            time: r.timestamp()?,
            started: r.timestamp()?,
            ended: r.timestamp()?,
            host_name: r.bytes(HOST_NAME_MAX)?.to_vec(),
            user_name: r.bytes(CELL_TEXT_MAX)?.to_vec(),
            program_version: r.bytes(CELL_TEXT_MAX)?.to_vec(),
            purpose: r.bytes(CELL_TEXT_MAX)?.to_vec(),
            paths: read_list(&mut r)?,
            tags: read_list(&mut r)?,
            excludes: read_list(&mut r)?,
            statistics: {
                let mut numbers = [0; Statistics::FIELDS];
                for number in &mut numbers {
                    *number = r.varint()?;
                }
                Statistics::from_array(numbers)
            },
            failures: {
                let count = r.count(CELL_FAILURES_MAX as u64, 2)?;
                let one = |r: &mut Reader<'_>| -> Result<Failure> {
                    Ok(Failure { path: r.bytes(CELL_TEXT_MAX)?.to_vec(), message: r.bytes(CELL_TEXT_MAX)?.to_vec() })
                };
                (0..count).map(|_| one(&mut r)).collect::<Result<_>>()?
            },
        };
        r.end()?;
        Ok(entries)
    }
}

/// The recipients of a cell's two sections.
#[derive(Debug, Clone, Copy)]
pub struct CellKeys<'a> {
    /// Opens section 0.
    pub references: &'a RecipientKey,
    /// Opens section 1.
    pub entries: &'a RecipientKey,
}

/// Encodes and signs a cell, and reads it back before anything is stored.
///
/// # Errors
/// [`FormatError`] when a limit is broken or sealing fails.
pub fn encode(
    references: &CellReferences,
    entries: &CellEntries,
    place: &Place,
    keys: CellKeys<'_>,
    identity: &Identity,
    random: &dyn Randomness,
) -> Result<Vec<u8>> {
    let (first, second) = (references.encode(), entries.encode());
    let sections = [
        Section { recipients: &[keys.references], content: &first },
        Section { recipients: &[keys.entries], content: &second },
    ];
    let bytes = sealed::encode(ObjectKind::Cell, place, &sections, Some(identity), random)?;
    let read = decode(&bytes, place, keys)?;
    if read.references != *references || read.entries.as_ref() != Some(entries) {
        return Err(FormatError::Invalid { what: "commit cell read back before storing" });
    }
    Ok(bytes)
}

/// Decodes a cell and checks its signature.
///
/// # Errors
/// [`FormatError`] for anything that [`encode`] would not have written.
pub fn decode(bytes: &[u8], place: &Place, keys: CellKeys<'_>) -> Result<Cell> {
    let decoded = sealed::decode(bytes, ObjectKind::Cell, place, &[keys.references, keys.entries], true)?;
    let references = CellReferences::decode(decoded.section(0, "commit cell")?)?;
    decoded.verify(&references.host)?;
    let entries = decoded.sections.get(1).and_then(Option::as_deref).map(CellEntries::decode).transpose()?;
    Ok(Cell { references, entries })
}
