//! Fuzz target: [`entries::sealed`].
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| entries::sealed(data));
