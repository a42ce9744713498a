//! Storage: names and bytes, no meaning.
//!
//! [`Fetch`], [`Publish`] and [`Remove`] are the whole of what a store can do; [`local`], [`memory`] and [`s3`] do it.
//! [`Location`] says where a store is, [`connect()`] opens a local one, [`S3Storage::reach`] one at a verified endpoint,
//! and a [`Store`] carries what its holder may do.

pub mod cache;
pub mod connect;
pub mod contract;
pub mod error;
pub mod local;
pub mod location;
pub mod memory;
#[cfg(feature = "s3")]
pub mod s3;

pub use cache::CachedFetch;
pub use connect::{Store, connect, create};
pub use contract::{Fetch, Listed, Publish, Published, Remove, RequestCost, Stage, Staged};
pub use error::{ErrorKind, StorageError};
pub use local::LocalStorage;
pub use location::{Location, LocationError};
pub use memory::MemoryStorage;
#[cfg(feature = "s3")]
pub use s3::{S3Options, S3Sender, S3Storage};
