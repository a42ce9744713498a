//! Fuzz target: [`entries::pack_end`].
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| entries::pack_end(data));
