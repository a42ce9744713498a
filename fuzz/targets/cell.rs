//! Fuzz target: [`entries::cell`].
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| entries::cell(data));
