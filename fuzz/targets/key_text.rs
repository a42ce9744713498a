//! Fuzz target: [`entries::key_text`].
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| entries::key_text(data));
