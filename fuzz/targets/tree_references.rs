//! Fuzz target: [`entries::tree_references`].
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| entries::tree_references(data));
