//! Fuzz target: [`entries::envelope`].
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| entries::envelope(data));
