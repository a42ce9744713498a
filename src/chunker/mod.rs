//! Content-defined chunking: cuts depend on the bytes around them, so an insertion changes one or two chunks and not all
//! that follow (FastCDC, Xia et al., USENIX ATC 2016; the two-bytes-at-a-time form of 2020).
//!
//! The gear table is derived from a key of the dataset, all 256 entries of it, since a seed mixed into a public table is
//! recovered from a handful of known cuts. A keyed gear table is better than that and still not a proof against an
//! observer who sees exact cut positions of data he chose (Truong et al., CCS 2025); therefore the format shows no chunk
//! lengths, and `docs/threat-model.md` says what is left.

pub mod gear;
pub mod params;

pub use gear::Chunker;
pub use params::{ChunkerParams, ParamsError};
