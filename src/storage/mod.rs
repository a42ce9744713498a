//! Storage: names and bytes, no meaning.
//!
//! [`Fetch`], [`Publish`] and [`Remove`] are the whole of what a store can do; [`local`] and [`memory`] do it.

pub mod contract;
pub mod error;

pub use contract::{Fetch, Listed, Publish, Published, Remove, Stage, Staged};
pub use error::{ErrorKind, StorageError};

/// What a store keeps of an object between staging and publishing.
#[derive(Debug)]
pub(in crate::storage) enum StagedBody {
    /// In memory.
    Bytes(#[allow(dead_code)] Vec<u8>),
}
