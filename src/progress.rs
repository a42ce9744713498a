//! What an operation reports while it works: events out, never decisions in.
//!
//! [`Event`] is both what a progress bar draws from and where the log attaches: it says what happened, with counts and roots.

use std::fmt;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A run began.
    RunStarted {
        /// `backup`, `restore`, `check` …
        operation: &'static str,
        /// Repository id, hexadecimal.
        repository: String,
        /// Why, as given by whoever started it.
        purpose: &'a str,
    },
    /// A writer's session is on the store.
    SessionOpened {
        /// Session id, hexadecimal.
        session: String,
        /// Packs taken over from interrupted sessions of this host.
        adopted_packs: u64,
    },
    /// A path was taken up.
    EntryStarted {
        /// Absolute path.
        path: &'a [u8],
    },
    /// File content was read (backup, check) or written (restore).
    Bytes {
        /// How many bytes.
        count: u64,
    },
    /// An entry is done.
    EntryDone {
        /// Bytes of content it has, whether or not they had to be read.
        size: u64,
        /// Whether it was taken over unread.
        unchanged: bool,
    },
    /// How much there is to do became known.
    Total {
        /// Entries.
        entries: u64,
        /// Bytes.
        bytes: u64,
    },
    /// What a dry run would do about an entry.
    EntryPlanned {
        /// Absolute path.
        path: &'a [u8],
        /// Whether what is there would stay.
        unchanged: bool,
    },
    /// An entry was removed because the snapshot has none of that name.
    EntryRemoved {
        /// Absolute path in the snapshot.
        path: &'a [u8],
        /// It only would have been.
        dry_run: bool,
    },
    /// An entry could not be kept, read or written.
    EntryFailed {
        /// Absolute path.
        path: &'a [u8],
        /// What was tried and why it failed.
        message: &'a str,
    },
    /// An entry is there, but something of it could not be kept or set: an owner, an attribute, a time.
    AttributeLost {
        /// Path.
        path: &'a [u8],
        /// What was tried and why it failed.
        message: &'a str,
    },
    /// Worth saying, but nothing is missing.
    Warning {
        /// Absolute path, or empty.
        path: &'a [u8],
        /// What happened.
        message: &'a str,
    },
    /// Objects are durable on the store.
    ObjectsPublished {
        /// How many.
        count: u64,
        /// Their stored bytes.
        bytes: u64,
    },
    /// Everything a snapshot needs is on the store; its cell is about to be.
    SnapshotPrepared {
        /// Session id, hexadecimal.
        session: String,
        /// BLAKE3 over the names of all objects the session published, in order, each followed by a line feed.
        objects_root: [u8; 32],
        /// Number of those objects.
        objects: u64,
        /// Root tree.
        tree: [u8; 32],
    },
    /// A cell is on the store.
    SnapshotCommitted {
        /// Session id, hexadecimal.
        session: String,
        /// BLAKE3 of the cell as stored.
        cell: [u8; 32],
        /// Whether it is only a checkpoint.
        checkpoint: bool,
    },
    /// Content was recovered.
    ContentRecovered {
        /// Snapshot id, hexadecimal.
        snapshot: String,
        /// Files written.
        files: u64,
        /// Bytes written.
        bytes: u64,
        /// Entries that could not be written.
        failed: u64,
    },
    /// A run ended.
    RunEnded {
        /// As in [`Event::RunStarted`].
        operation: &'static str,
        /// Whether it did what it was asked to, wholly.
        complete: bool,
    },
}

/// Takes events, from any thread.
pub trait EventSink: Send + Sync + fmt::Debug {
    /// Takes one event. Must not block for long.
    fn event(&self, event: &Event<'_>);
}

/// Takes no notice.
#[derive(Debug, Clone, Copy)]
pub struct Silent;

impl EventSink for Silent {
    fn event(&self, _: &Event<'_>) {}
}
