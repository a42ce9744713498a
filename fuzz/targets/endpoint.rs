//! Fuzz target: [`entries::endpoint`].
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| entries::endpoint(data));
