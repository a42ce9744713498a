//! Fuzz target: [`entries::config`].
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| entries::config(data));
