//! Records of files on their way to parts: noted from any thread, made in batches, put in order.
//!
//! A record takes two keyed hashes, the hash of its path, that of its leaf and, on average, one node of the tree: more than all
//! else that the log does for a file. So a file that is said is only noted. When there are [`BATCH_FILES`] of them, the thread
//! that brought the last one makes their records and the complete tree of their leaves, while others go on noting: each hash for
//! all files before the next, so that independent ones overlap in the processor and none is fetched into its cache for a single
//! file. What has one order for all threads, the [`Spool`], takes a batch over by copying its bytes and adding one subtree.
//! Buffers are used again; nothing is allocated for a file.

use crate::audit::merkle::{Frontier, Hash, complete_root, leaf_hash};
use crate::audit::record::{PART_LEN, RECORD_LEN_MAX, StoredRecord, Token, TokenTexts, Tokens};
use crate::journal::{FileEvent, FileRecord};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Files whose records are made together: a complete subtree, and about 20 KiB with all that is made of them …
const BATCH_FILES: usize = 64;
/// … but for long paths: a batch is also full with about so many bytes of them.
const BATCH_TEXTS_LEN: usize = 64 << 10;
// At most one part ends within a batch.
const _: () = assert!(BATCH_FILES.is_power_of_two() && BATCH_FILES * RECORD_LEN_MAX < PART_LEN);

/// What was said of a file, but for its path.
struct Noted {
    event: FileEvent,
    content: Option<[u8; 32]>,
    size: u64,
    millis: u64,
}

/// Records, and the hashes of their leaves.
#[derive(Default)]
pub(super) struct Records {
    bytes: Vec<u8>,
    /// Where each ends.
    ends: Vec<usize>,
    leaves: Vec<Hash>,
    /// For the nodes above the leaves.
    nodes: Vec<Hash>,
    /// The root of their tree, if that is complete.
    root: Option<Hash>,
}

impl Records {
    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        self.leaves.clear();
        self.root = None;
    }

    fn hash(&mut self) {
        let mut start = 0;
        for end in &self.ends {
            self.leaves.push(leaf_hash(&self.bytes[start..*end]));
            start = *end;
        }
        self.nodes.clone_from(&self.leaves);
        self.root = complete_root(&mut self.nodes);
    }
}

/// Files that were noted, and what is made of them.
#[derive(Default)]
struct Batch {
    files: Vec<Noted>,
    texts: TokenTexts,
    /// Tokens of paths, and of contents.
    tokens: [Vec<Token>; 2],
    records: Records,
}

impl Batch {
    fn note(&mut self, record: &FileRecord<'_>, millis: u64) {
        self.texts.push(record.path);
        let (event, content, size) = (record.event, record.content.copied(), record.size);
        self.files.push(Noted { event, content, size, millis });
    }

    fn is_full(&self) -> bool {
        self.files.len() >= BATCH_FILES || self.texts.len() >= BATCH_TEXTS_LEN
    }

    fn make(&mut self, tokens: &Tokens) -> &Records {
        let Self { files, texts, tokens: [paths, contents], records } = self;
        records.clear();
        texts.take_tokens(tokens, paths);
        contents.extend(files.iter().map(|noted| tokens.content(noted.content.as_ref())));
        for ((noted, file), content) in files.drain(..).zip(paths.drain(..)).zip(contents.drain(..)) {
            let Noted { event, size, millis, .. } = noted;
            StoredRecord { event, file, content, size, millis }.encode(&mut records.bytes);
            records.ends.push(records.bytes.len());
        }
        records.hash();
        records
    }
}

#[derive(Default)]
struct Notes {
    batch: Batch,
    /// Empty, with their memory: as many as threads have made records at once.
    spare: Vec<Batch>,
    under_way: usize,
}

/// Where files are noted.
#[derive(Default)]
pub(super) struct Intake {
    notes: Mutex<Notes>,
    /// Nothing is under way.
    idle: Condvar,
}

impl Intake {
    fn lock(&self) -> MutexGuard<'_, Notes> {
        // Files are noted whole.
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a file. A batch that is full with it comes back, for the caller to see to it.
    pub(super) fn note(&self, record: &FileRecord<'_>, millis: u64) -> Option<Taken<'_>> {
        let mut notes = self.lock();
        notes.batch.note(record, millis);
        notes.batch.is_full().then(|| self.taken(&mut notes))
    }

    /// What is noted so far, if anything is.
    pub(super) fn take(&self) -> Option<Taken<'_>> {
        let mut notes = self.lock();
        (!notes.batch.files.is_empty()).then(|| self.taken(&mut notes))
    }

    fn taken(&self, notes: &mut Notes) -> Taken<'_> {
        let next = notes.spare.pop().unwrap_or_default();
        notes.under_way += 1;
        Taken { intake: self, batch: std::mem::replace(&mut notes.batch, next) }
    }

    /// Whether no batch is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.lock().under_way == 0
    }

    /// Waits until that is so.
    pub(super) fn wait(&self) {
        let mut notes = self.lock();
        while notes.under_way > 0 {
            notes = self.idle.wait(notes).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// A batch that is under way until this is dropped.
pub(super) struct Taken<'a> {
    intake: &'a Intake,
    batch: Batch,
}

impl Taken<'_> {
    /// Makes the records of its files.
    pub(super) fn records(&mut self, tokens: &Tokens) -> &Records {
        self.batch.make(tokens)
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        let mut notes = self.intake.lock();
        notes.under_way -= 1;
        // If its records were never made, its files are given up with it.
        let batch = std::mem::take(&mut self.batch);
        if batch.files.is_empty() {
            notes.spare.push(batch);
        }
        if notes.under_way == 0 {
            self.intake.idle.notify_all();
        }
    }
}

/// Records of a run in their order, cut into parts.
#[derive(Default)]
pub(super) struct Spool {
    buffer: Vec<u8>,
    spare: Vec<u8>,
    tree: Frontier,
    parts: u64,
}

impl Spool {
    /// Adds records. A part that is full comes back with its number.
    pub(super) fn add(&mut self, records: &Records) -> Option<(u64, Vec<u8>)> {
        let count = records.leaves.len() as u64;
        if !records.root.is_some_and(|root| self.tree.push_complete(root, count)) {
            records.leaves.iter().for_each(|leaf| self.tree.push(*leaf));
        }
        if self.buffer.len() + records.bytes.len() < PART_LEN {
            self.buffer.extend_from_slice(&records.bytes);
            return None;
        }
        // A part ends with the record that fills it.
        let (mut full, mut start) = (None, 0);
        for end in &records.ends {
            self.buffer.extend_from_slice(&records.bytes[start..*end]);
            start = *end;
            if self.buffer.len() >= PART_LEN {
                full = self.flush();
            }
        }
        full
    }

    /// The last part, if something is left.
    pub(super) fn flush(&mut self) -> Option<(u64, Vec<u8>)> {
        if self.buffer.is_empty() {
            return None;
        }
        self.parts += 1;
        let spare = std::mem::take(&mut self.spare);
        Some((self.parts - 1, std::mem::replace(&mut self.buffer, spare)))
    }

    /// Takes the memory of a part back.
    pub(super) fn reuse(&mut self, mut part: Vec<u8>) {
        part.clear();
        self.spare = part;
    }

    /// Begins a new tree; parts go on being counted.
    pub(super) fn begin_tree(&mut self) {
        self.tree = Frontier::default();
    }

    /// Records of the tree, its root, and parts so far.
    pub(super) fn totals(&self) -> (u64, Hash, u64) {
        (self.tree.size(), self.tree.root(), self.parts)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::audit::merkle::root;
    use crate::audit::record::decode_part;
    use crate::crypto::secret::Secret;

    const EVENTS: [FileEvent; 4] =
        [FileEvent::Transmitted, FileEvent::TransmittedChanging, FileEvent::Recovered, FileEvent::NotRecovered];

    fn tokens() -> Tokens {
        Tokens::new(&Secret::new([5; 32]))
    }

    /// The path of a file: short ones, and one that fills a batch, so that those behind it are no complete subtrees of theirs.
    fn path(n: u64) -> Vec<u8> {
        let len = if n == 999 { BATCH_TEXTS_LEN } else { (n % 140) as usize };
        format!("/{n}/{}", "x".repeat(len)).into_bytes()
    }

    /// Notes a file of which everything follows from its number.
    fn note(intake: &Intake, n: u64) -> Option<Taken<'_>> {
        let (event, content) = (EVENTS[n as usize % 4], [n as u8; 32]);
        let content = (event != FileEvent::NotRecovered).then_some(&content);
        let record = FileRecord { event, path: &path(n), size: n * 977 % 300_000, content };
        intake.note(&record, 1_790_000_000_000 + n)
    }

    /// Its record, made by itself.
    fn expected(tokens: &Tokens, n: u64) -> StoredRecord {
        let (event, content) = (EVENTS[n as usize % 4], [n as u8; 32]);
        let content = tokens.content((event != FileEvent::NotRecovered).then_some(&content));
        let (file, size, millis) = (tokens.file(&path(n)), n * 977 % 300_000, 1_790_000_000_000 + n);
        StoredRecord { event, file, content, size, millis }
    }

    /// What batches make is what records are that are made one by one: the bytes, their order, where parts end, and the root.
    /// Trees of different sizes follow each other in one spool, as after checkpoints.
    #[test]
    fn batches_make_the_records_that_are_made_one_by_one() {
        let (tokens, intake, mut spool) = (tokens(), Intake::default(), Spool::default());
        let (mut n, mut number) = (0, 0);
        for count in [0, 1, 63, 64, 65, 130, 1500, 60_000, 7] {
            let (mut parts, mut buffer, mut leaves) = (Vec::new(), Vec::new(), Vec::new());
            let mut wanted = Vec::new();
            for _ in 0..count {
                let record = expected(&tokens, n);
                let start = buffer.len();
                record.encode(&mut buffer);
                leaves.push(leaf_hash(&buffer[start..]));
                if buffer.len() >= PART_LEN {
                    wanted.push(std::mem::take(&mut buffer));
                }
                let taken = note(&intake, n);
                parts.extend(taken.and_then(|mut batch| spool.add(batch.records(&tokens))));
                n += 1;
            }
            wanted.extend((!buffer.is_empty()).then_some(buffer));
            parts.extend(intake.take().and_then(|mut batch| spool.add(batch.records(&tokens))));
            parts.extend(spool.flush());
            assert!(intake.is_idle() && intake.take().is_none() && spool.flush().is_none());
            number += wanted.len() as u64;
            assert_eq!(spool.totals(), (count, root(&leaves), number), "{count}");
            let numbers: Vec<u64> = parts.iter().map(|part| part.0).collect();
            assert_eq!(numbers, (number - wanted.len() as u64..number).collect::<Vec<_>>(), "{count}");
            assert!(parts.iter().map(|part| &part.1).eq(&wanted), "{count}");
            spool.begin_tree();
            parts.into_iter().for_each(|part| spool.reuse(part.1));
        }
        assert_eq!(number, 9, "a part was to be full, and the others as long as their trees");
    }

    /// From several threads each file comes into a part once, and the tree is that of the parts.
    #[test]
    fn threads_bring_each_file_once() {
        const EACH: u64 = 2000;
        let (tokens, intake, spool) = (tokens(), Intake::default(), Mutex::new(Spool::default()));
        let add = |mut batch: Taken<'_>| {
            let records = batch.records(&tokens);
            assert!(spool.lock().unwrap().add(records).is_none(), "a part is full");
        };
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let (intake, add) = (&intake, &add);
                scope.spawn(move || {
                    for n in thread * EACH..(thread + 1) * EACH {
                        if let Some(batch) = note(intake, n) {
                            add(batch);
                        }
                    }
                });
            }
        });
        intake.take().into_iter().for_each(add);
        intake.wait();
        let mut spool = spool.into_inner().unwrap();
        let (_, part) = spool.flush().unwrap();
        let decoded = decode_part(&part).unwrap();
        let hashes: Vec<Hash> = decoded.iter().map(|(_, bytes)| leaf_hash(bytes)).collect();
        assert_eq!(spool.totals(), (4 * EACH, root(&hashes), 1));
        let mut found: Vec<StoredRecord> = decoded.into_iter().map(|(record, _)| record).collect();
        found.sort_by_key(|record| record.millis);
        let wanted: Vec<StoredRecord> = (0..4 * EACH).map(|n| expected(&tokens, n)).collect();
        assert!(found == wanted, "a file is missing, twice, or another");
    }

    #[test]
    fn a_batch_is_under_way_until_it_is_dropped() {
        let intake = Intake::default();
        assert!(note(&intake, 1).is_none());
        let batch = intake.take().unwrap();
        assert!(!intake.is_idle());
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| intake.wait());
            drop(batch);
            waiting.join().unwrap();
        });
        assert!(intake.is_idle());
        // It was given up: the next one does not have its file.
        assert!(note(&intake, 2).is_none());
        let tokens = tokens();
        let mut batch = intake.take().unwrap();
        let (records, mut wanted) = (batch.records(&tokens), Vec::new());
        expected(&tokens, 2).encode(&mut wanted);
        assert_eq!(records.bytes, wanted);
    }
}
