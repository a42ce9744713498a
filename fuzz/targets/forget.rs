//! Fuzz target: [`entries::forget`].
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| entries::forget(data));
