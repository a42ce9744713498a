//! The rules that the compiler cannot hold: layers, imports, words, sizes, and documents that keep up with the code.
//!
//! Text only, no build. Every rule lives in a function beside a test that plants a violation and must find it. A rule
//! that turns out wrong is changed here and in `docs/CONTRIBUTING.md`, in one commit.

#[path = "tidy/documents.rs"]
mod documents;
#[path = "tidy/layers.rs"]
mod layers;
#[path = "tidy/source.rs"]
mod source;
#[path = "tidy/words.rs"]
mod words;

use layers::Crate;
use source::{File, read, root, rust_files};

/// Every stored structure that is decoded: file, heading of its section in `docs/format.md`, fuzz target.
const FORMATS: &[documents::Format<'static>] = &[
    ("src/format/cell.rs", "Commit cells", "cell"),
    ("src/format/config.rs", "Configuration", "config"),
    ("src/format/dataset_root.rs", "Dataset roots", "sealed"),
    ("src/format/declaration.rs", "Declarations", "declaration"),
    ("src/format/envelope.rs", "Object header", "envelope"),
    ("src/format/file_records.rs", "Records of files", "sealed"),
    ("src/format/forget.rs", "Forget records", "forget"),
    ("src/format/inode_fields.rs", "Trees and lists", "tree"),
    ("src/format/key_slot.rs", "Key slots", "key_slot"),
    ("src/format/pack.rs", "Packs", "pack_end"),
    ("src/format/policy.rs", "Policies", "policy"),
    ("src/format/sealed.rs", "Small objects", "sealed"),
    ("src/format/segment.rs", "Index segments", "segment"),
    ("src/format/session.rs", "Sessions", "session"),
    ("src/format/tree.rs", "Trees and lists", "tree"),
];

/// Documents whose paths are checked.
const DOCUMENTS: &[&str] = &[
    "docs/architecture.md",
    "docs/audit-log.md",
    "docs/CONTRIBUTING.md",
    "docs/first-night.md",
    "docs/operations.md",
    "docs/residency.md",
    "docs/threat-model.md",
    "CHANGELOG.md",
];

fn all() -> Vec<File> {
    let files = rust_files(&["src", "tests", "benches", "fuzz"]);
    assert!(files.iter().any(|file| file.path == "src/lib.rs"), "the sources were not found");
    files
}

fn layer_table() -> Vec<layers::Layer> {
    let layers = layers::table(&read("docs/architecture.md"));
    assert!(layers.iter().any(|layer| layer.pure) && layers.iter().any(|layer| !layer.pure), "no layer table");
    layers
}

fn each(files: &[File], rule: impl Fn(&File) -> Vec<String>) {
    none(&files.iter().flat_map(rule).collect::<Vec<_>>());
}

fn none(found: &[String]) {
    assert!(found.is_empty(), "{} found:\n{}\n", found.len(), found.join("\n"));
}

#[test]
fn imports_go_down() {
    let files = rust_files(&["src"]);
    none(&Crate::new(&files, "src/").imports_upwards(&layer_table()));
}

#[test]
fn imports_are_explicit() {
    let files = rust_files(&["src"]);
    none(&Crate::new(&files, "src/").imports_unclear());
    none(&Crate::new(&files, "src/bin/cairn/").imports_unclear());
}

#[test]
fn no_import_circles() {
    let files = rust_files(&["src"]);
    none(&Crate::new(&files, "src/").cycles());
    none(&Crate::new(&files, "src/bin/cairn/").cycles());
}

#[test]
fn every_file_is_compiled() {
    let files = all();
    none(&Crate::new(&files, "src/").undeclared());
    none(&Crate::new(&files, "src/bin/cairn/").undeclared());
    none(&documents::undeclared_tests(&files));
}

#[test]
fn pure_layers_are_pure() {
    let layers = layer_table();
    each(&all(), |file| words::impure(file, &layers));
}

#[test]
fn reserved_paths_stay_where_they_belong() {
    each(&all(), |file| words::reserved(file, words::RESERVED));
    each(&all(), words::tests_in_product);
}

#[test]
fn files_say_what_they_are_for_and_are_short() {
    each(&all(), words::shape);
}

#[test]
fn nothing_is_left_over() {
    each(&all(), words::leftovers);
}

#[test]
fn unsafe_stands_only_where_it_is_listed() {
    let files = all();
    each(&files, |file| words::unsafe_code(file, words::UNSAFE_ALLOWED));
    for (path, reason) in words::UNSAFE_ALLOWED {
        assert!(files.iter().any(|file| file.path == *path), "{path} is on the list and does not exist");
        assert!(!reason.is_empty(), "{path} is on the list without a reason");
    }
}

#[test]
fn every_ignored_test_is_run_by_the_script() {
    let scripts = read("scripts/test") + &read("scripts/test-ceph");
    each(&all(), |file| words::ignored(file, &scripts));
}

#[test]
fn every_decoder_is_specified_and_fuzzed() {
    none(&documents::formats(&all(), FORMATS, &read("docs/format.md"), &read("fuzz/Cargo.toml")));
}

#[test]
fn every_exit_code_is_explained() {
    // The rule begins with the file.
    if root().join("src/bin/cairn/exit.rs").exists() {
        let file = File::new("src/bin/cairn/exit.rs", &read("src/bin/cairn/exit.rs"));
        none(&documents::exit_codes(&file, &read("docs/operations.md")));
    }
}

#[test]
fn documents_name_files_that_exist() {
    let exists = |path: &str| root().join(path).exists();
    none(&DOCUMENTS.iter().flat_map(|name| documents::dead_paths(name, &read(name), exists)).collect::<Vec<_>>());
}
