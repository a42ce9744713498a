//! cairn: encrypted, deduplicating backup for servers whose data has to stay in Canada.
#![deny(unsafe_code)]

pub mod clock;
pub mod format;
pub mod fs;
pub mod id;
pub mod object;
pub mod storage;
