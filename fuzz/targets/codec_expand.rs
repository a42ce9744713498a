//! Fuzz target: [`entries::codec_expand`].
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| entries::codec_expand(data));
