//! What the log costs for each file of a backup, on this machine, one thread: `cargo bench --bench log`. Bounds: 48 stored bytes
//! a file, and 5 % of the time of a first backup of many small files (compare with what such a backup takes for each file).
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::disallowed_methods, reason = "a bench measures and prints")]

use cairn::audit::record::{Spool, StoredRecord, Tokens};
use cairn::crypto::keyring::DatasetRoot;
use cairn::crypto::random::OsRandom;
use cairn::crypto::secret::Secret;
use cairn::format::envelope::Place;
use cairn::format::file_records;
use cairn::id::{DatasetId, RepositoryId};
use cairn::journal::FileEvent;
use std::hint::black_box;
use std::time::Instant;

const FILES: u64 = 200_000;
const ROUNDS: usize = 7;
const BYTES_MAX: f64 = 48.0;

/// Records, tokens, tree and sealing of that many files; returns the stored bytes.
fn run(tokens: &Tokens, seal: &dyn Fn(&[u8]) -> Vec<u8>) -> usize {
    let (mut spool, mut stored) = (Spool::default(), 0);
    let mut path = Vec::new();
    for n in 0..FILES {
        path.clear();
        path.extend_from_slice(format!("/srv/data/customers/{:04}/documents/file-{n:08}.txt", n % 1000).as_bytes());
        let mut content = [0; 32];
        content[..8].copy_from_slice(&n.to_le_bytes());
        let record = StoredRecord {
            event: FileEvent::Transmitted,
            file: tokens.file(&path),
            content: tokens.content(Some(&content)),
            size: n * 977 % 65_536,
            millis: 1_790_000_000_000 + n,
        };
        if let Some((_, part)) = spool.push(&record) {
            stored += seal(&part).len();
        }
    }
    stored += spool.flush().map_or(0, |(_, part)| seal(&part).len());
    black_box(spool.totals());
    stored
}

fn main() {
    let root = DatasetRoot::new(DatasetId::from_bytes([1; 16]), 1, Secret::new([2; 32]));
    let keys = root.keys();
    let place = Place { repository: RepositoryId::from_bytes([3; 16]), dataset: root.dataset, epoch: root.epoch };
    let tokens = Tokens::new(&keys.tokens);
    let seal = |part: &[u8]| file_records::encode(part, &place, &keys.entries, &OsRandom).unwrap();
    let mut seconds = Vec::new();
    let mut stored = 0;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        stored = run(&tokens, &seal);
        seconds.push(start.elapsed().as_secs_f64());
    }
    seconds.sort_by(f64::total_cmp);
    let bytes = stored as f64 / FILES as f64;
    println!(
        "record of a file             {:>8.0} ns, {bytes:.1} stored bytes",
        seconds[ROUNDS / 2] * 1e9 / FILES as f64
    );
    assert!(bytes <= BYTES_MAX, "{bytes} stored bytes a file, and {BYTES_MAX} are the bound");
}
