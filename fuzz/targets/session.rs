//! Fuzz target: [`entries::session`].
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| entries::session(data));
