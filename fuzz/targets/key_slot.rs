//! Fuzz target: [`entries::key_slot`].
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| entries::key_slot(data));
