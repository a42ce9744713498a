//! What the fuzzer runs: one function for each kind of untrusted bytes.
//!
//! The functions are shared: `targets/` runs them under libFuzzer, `tests/fuzz_corpus.rs` runs them over every committed
//! corpus file with the ordinary toolchain. A function panics when a promise is broken, and only then; refusing the
//! bytes is fine. Where a value is accepted, encoding it again must give the same bytes (one encoding for each value).

use cairn::object::{NAME_LEN_MAX, ObjectName};

/// A target: its name, which is also that of its corpus folder, and its function.
pub type Entry = (&'static str, fn(&[u8]));

/// Every target.
pub const ENTRIES: &[Entry] = &[("object_name", object_name)];

/// Texts as object names: whatever is accepted stays below its root and keeps its spelling.
pub fn object_name(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(name) = ObjectName::new(text) else { return };
    assert_eq!(name.as_str(), text, "changed");
    assert!(text.len() <= NAME_LEN_MAX, "too long");
    let mut parts = std::path::Path::new(text).components();
    assert!(parts.all(|part| matches!(part, std::path::Component::Normal(_))), "leaves its root: {text:?}");
    assert!(text.ends_with(name.last_part()) && !name.last_part().contains('/'), "wrong last part: {text:?}");
}
