//! What is no path under its own name: streams as files, and a directory or file under another name. They take the same way as
//! anything else, so equal content is stored once; a stream that breaks off leaves no snapshot and nothing to be sent again.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests say what they covered")]

mod support;

use cairn::engine::backup::{self, BackupOptions, BackupReport, Sources};
use cairn::engine::{Context, EngineError};
use cairn::fs::{SourceStream, StreamError, StreamSource};
use cairn::repository::Access;
use cairn::storage::MemoryStorage;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use support::tree::{self, Numbers};
use support::{backup_options, compare};

/// Bytes in pieces of random length; at the end all is well, or not.
#[derive(Debug)]
struct Pieces {
    bytes: Arc<Vec<u8>>,
    seed: u64,
    fails: bool,
    opened: Arc<Mutex<u32>>,
}

#[derive(Debug)]
struct Piece {
    bytes: Arc<Vec<u8>>,
    at: usize,
    numbers: Numbers,
    fails: bool,
}

impl StreamSource for Pieces {
    fn open(&self) -> Result<Box<dyn SourceStream>, StreamError> {
        *self.opened.lock().unwrap() += 1;
        let (bytes, numbers) = (self.bytes.clone(), Numbers(self.seed));
        Ok(Box::new(Piece { bytes, at: 0, numbers, fails: self.fails }))
    }
}

impl SourceStream for Piece {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, StreamError> {
        let most = buffer.len().min(self.bytes.len() - self.at);
        let count = if most == 0 { 0 } else { 1 + self.numbers.below(most.min(70_000) as u64) as usize };
        buffer[..count].copy_from_slice(&self.bytes[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }

    fn finish(&mut self) -> Result<(), StreamError> {
        assert_eq!(self.at, self.bytes.len(), "asked before the end");
        match self.fails {
            true => Err(StreamError::Failed { what: "the test".into(), how: "broke off".into() }),
            false => Ok(()),
        }
    }
}

fn stream(bytes: &[u8], fails: bool, stored: &str) -> BackupOptions {
    let stream = Pieces { bytes: Arc::new(bytes.to_vec()), seed: bytes.len() as u64, fails, opened: Arc::default() };
    let sources = Sources::Stream { stored: stored.into(), stream: Box::new(stream) };
    BackupOptions { sources, ..backup_options(&[]) }
}

fn path_as(path: &Path, stored: &str) -> BackupOptions {
    let sources = Sources::PathAs { path: path.to_owned(), stored: stored.into() };
    BackupOptions { sources, ..backup_options(&[]) }
}

struct Place(MemoryStorage, std::cell::Cell<u64>);

impl Place {
    fn new() -> Self {
        let place = Self(MemoryStorage::new(), std::cell::Cell::new(1));
        support::create(place.access(), 1).unwrap();
        place
    }

    fn access(&self) -> Access {
        let storage = Arc::new(self.0.clone());
        Access { fetch: storage.clone(), publish: Some(storage) }
    }

    fn context(&self, workers: usize) -> Context {
        self.1.set(self.1.get() + 1);
        support::context(support::reopen(self.access(), self.1.get()).unwrap(), workers)
    }

    fn run(&self, workers: usize, options: &BackupOptions) -> Result<BackupReport, EngineError> {
        backup::run(&self.context(workers), options)
    }

    /// The newest snapshot: a directory's content, or a file under its name.
    fn restored(&self) -> tempfile::TempDir {
        let target = tempfile::tempdir().unwrap();
        support::restore(&self.context(2), support::snapshots(&self.0).last().unwrap(), target.path()).unwrap();
        target
    }
}

#[test]
fn a_stream_is_a_file_and_is_stored_once() {
    let mut numbers = Numbers(support::seed("streams"));
    let lens = [0, 1, 64, 65, 8191, 8192, 8193, 1 << 20, (1 << 20) + 1, 5_000_000 + numbers.below(100_000) as usize];
    for (index, len) in lens.into_iter().enumerate() {
        let (bytes, workers) = (numbers.bytes(len), [0, 1, 3][index % 3]);
        let place = Place::new();
        let first = place.run(workers, &stream(&bytes, false, "/a/b/stdin")).unwrap();
        let s = first.statistics;
        assert_eq!((s.files_new, s.total_files, s.total_bytes), (1, 1, len as u64), "{len} bytes");
        assert_eq!(first.entries.unwrap().paths, [b"/a/b/stdin"]);
        let target = place.restored();
        assert_eq!(std::fs::read(target.path().join("stdin")).unwrap(), bytes, "{len} bytes, {workers} workers");

        let again = BackupOptions { skip_if_unchanged: true, ..stream(&bytes, false, "/a/b/stdin") };
        let again = place.run(workers, &again).unwrap();
        assert_eq!(again.snapshot, None, "{len} bytes: nothing changed");
        assert_eq!((again.statistics.files_unmodified, again.statistics.chunks_new), (1, 0), "{len} bytes");

        // A file of the same content is cut in the same places.
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("file"), &bytes).unwrap();
        let file = place.run(workers, &backup_options(&[dir.path()])).unwrap();
        assert_eq!(file.statistics.chunks_new, 0, "{len} bytes");
    }
    println!("counts: streams: {} lengths, each restored, repeated, and compared with a file", lens.len());
}

#[test]
fn a_stream_that_breaks_off_leaves_no_snapshot_and_is_taken_over() {
    let mut numbers = Numbers(support::seed("streams that break off"));
    let bytes = numbers.bytes(4_000_000);
    for workers in [0, 1, 3] {
        let place = Place::new();
        let broken = place.run(workers, &stream(&bytes, true, "/stdin"));
        assert!(matches!(broken, Err(EngineError::Stream(StreamError::Failed { .. }))), "{broken:?}");
        assert_eq!(support::snapshots(&place.0), Vec::<String>::new(), "a snapshot of half a stream");
        let whole = place.run(workers, &stream(&bytes, false, "/stdin")).unwrap();
        assert!(whole.adopted_packs > 0 && whole.statistics.chunks_known > 0, "{workers}: nothing was taken over");
        assert_eq!(std::fs::read(place.restored().path().join("stdin")).unwrap(), bytes);
    }
}

#[test]
fn a_stream_that_is_suddenly_empty_is_suspicious() {
    let place = Place::new();
    place.run(2, &stream(b"something", false, "/stdin")).unwrap();
    let empty = place.run(2, &stream(b"", false, "/stdin"));
    assert!(matches!(empty, Err(EngineError::SuspiciousSource { .. })), "{empty:?}");
    let allowed = BackupOptions { allow_empty_source: true, ..stream(b"", false, "/stdin") };
    assert_eq!(place.run(2, &allowed).unwrap().statistics.files_changed, 1);
    // It was empty before: nothing is suspicious any more.
    assert!(place.run(2, &stream(b"", false, "/stdin")).unwrap().snapshot.is_some());
}

#[test]
fn nothing_is_begun_that_cannot_be_stored() {
    let place = Place::new();
    for stored in ["/", "relative", "/a/../b", &format!("/{}", "x".repeat(256))] {
        let options = stream(b"something", false, stored);
        assert!(matches!(place.run(2, &options), Err(EngineError::Setting(_))), "{stored}");
        let Sources::Stream { stream, .. } = &options.sources else { unreachable!() };
        assert!(format!("{stream:?}").contains("Mutex { data: 0"), "{stored}: the stream was opened");
    }
}

#[test]
fn a_directory_under_another_name() {
    let source = tempfile::tempdir().unwrap();
    tree::make(source.path(), 60, &mut Numbers(support::seed("another name")));
    support::let_times_settle();
    let place = Place::new();
    for stored in ["/srv/data", "/other", "/"] {
        let first = place.run(3, &path_as(source.path(), stored)).unwrap();
        assert_eq!(first.statistics.failed, 0);
        assert_eq!(first.entries.unwrap().paths, [stored.as_bytes()]);
        let target = place.restored();
        assert_eq!(compare::differences(source.path(), target.path()), Vec::<String>::new(), "{stored}");
        let again = place.run(3, &path_as(source.path(), stored)).unwrap();
        let s = again.statistics;
        assert_eq!((s.files_new, s.files_changed, s.data_read_bytes), (0, 0, 0), "{stored}: nothing is read again");
        assert_eq!((again.tree, s.total_files), (first.tree, first.statistics.total_files), "{stored}");
    }
}

#[test]
fn a_file_under_another_name() {
    let dir = tempfile::tempdir().unwrap();
    let source: PathBuf = dir.path().join("file");
    std::fs::write(&source, "content").unwrap();
    support::let_times_settle();
    let place = Place::new();
    let first = place.run(2, &path_as(&source, "/made/up/name")).unwrap();
    assert_eq!((first.statistics.files_new, first.statistics.dirs_new), (1, 2));
    assert_eq!(std::fs::read(place.restored().path().join("name")).unwrap(), b"content");
    let again = place.run(2, &path_as(&source, "/made/up/name")).unwrap();
    assert_eq!((again.statistics.files_unmodified, again.statistics.dirs_unmodified), (1, 2));
    assert_eq!((again.tree, again.statistics.data_read_bytes), (first.tree, 0));
    for (source, stored) in [(&source, "/"), (&PathBuf::from("/dev/null"), "/null")] {
        assert!(matches!(place.run(2, &path_as(source, stored)), Err(EngineError::Setting(_))), "{source:?}");
    }
    let missing = place.run(2, &path_as(&dir.path().join("missing"), "/x"));
    assert!(matches!(missing, Err(EngineError::SuspiciousSource { what: "missing", .. })), "{missing:?}");
}
