//! Fuzz target: [`entries::log_part`].
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| entries::log_part(data));
