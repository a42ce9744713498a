//! Fuzz target: [`entries::tree`].
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| entries::tree(data));
