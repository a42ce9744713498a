//! Fuzz target: [`entries::object_name`].
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| entries::object_name(data));
