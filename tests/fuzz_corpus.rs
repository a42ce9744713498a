//! Every committed corpus file through the function that the fuzzer runs, with the ordinary toolchain.
//!
//! So an input that was once interesting, or once a crash, stays a test for ever; and a target without a corpus, a
//! corpus without a target or a function that nobody fuzzes is found.

#[expect(unreachable_pub, reason = "shared with the fuzz targets, where it is a library")]
#[path = "../fuzz/entries.rs"]
mod entries;

use entries::{ENTRIES, Entry};
use std::collections::BTreeSet;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let listing = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("cannot list {}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = listing.map(|entry| entry.expect("a corpus can be listed").path()).collect();
    files.sort();
    files
}

/// Runs every file through the entry; names those that made it panic.
fn failures((_, run): &Entry, files: &[PathBuf]) -> Vec<PathBuf> {
    let panics = |file: &&PathBuf| {
        let data = std::fs::read(file).expect("a corpus file can be read");
        catch_unwind(|| run(&data)).is_err()
    };
    files.iter().filter(panics).cloned().collect()
}

#[test]
#[expect(clippy::print_stdout, reason = "scripts/test shows what was covered")]
fn every_corpus_file_passes() {
    for entry in ENTRIES {
        let files = files(&fuzz().join("corpus").join(entry.0));
        assert!(!files.is_empty(), "fuzz/corpus/{} is empty", entry.0);
        assert_eq!(failures(entry, &files), Vec::<PathBuf>::new(), "target {}", entry.0);
        println!("counts: fuzz corpus {}: {} files", entry.0, files.len());
    }
}

#[test]
fn targets_entries_and_corpora_belong_together() {
    let entries: BTreeSet<String> = ENTRIES.iter().map(|(name, _)| (*name).to_owned()).collect();
    let stem = |path: PathBuf| path.file_stem().expect("a name").to_string_lossy().into_owned();
    let corpora: BTreeSet<String> = files(&fuzz().join("corpus")).into_iter().map(stem).collect();
    let sources: BTreeSet<String> = files(&fuzz().join("targets")).into_iter().map(stem).collect();
    let manifest = std::fs::read_to_string(fuzz().join("Cargo.toml")).expect("fuzz/Cargo.toml can be read");
    let sections = manifest.split("\n[[bin]]\n").skip(1);
    let names = sections.filter_map(|section| section.lines().find_map(|line| line.strip_prefix("name = ")));
    let targets: BTreeSet<String> = names.map(|name| name.trim_matches('"').to_owned()).collect();
    assert_eq!(entries, corpora, "ENTRIES against fuzz/corpus/");
    assert_eq!(entries, sources, "ENTRIES against fuzz/targets/");
    assert_eq!(entries, targets, "ENTRIES against fuzz/Cargo.toml");
}

#[test]
fn a_file_that_makes_an_entry_panic_is_named() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let (good, bad) = (folder.path().join("good"), folder.path().join("planted"));
    std::fs::write(&good, b"x").expect("a file can be written");
    std::fs::write(&bad, b"boom").expect("a file can be written");
    let entry: Entry = ("planted", |data| assert_ne!(data, b"boom"));
    assert_eq!(failures(&entry, &[good, bad.clone()]), [bad]);
}
