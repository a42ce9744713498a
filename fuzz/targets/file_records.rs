//! Fuzz target: [`entries::file_records`].
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| entries::file_records(data));
