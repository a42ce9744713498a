//! Storage: names and bytes, no meaning.
//!
//! [`Fetch`], [`Publish`] and [`Remove`] are the whole of what a store can do; [`local`] and [`memory`] do it.
//! [`Location`] says where a store is, [`connect()`] opens it, and a [`Store`] carries what its holder may do.

pub mod cache;
pub mod connect;
pub mod contract;
pub mod error;
pub mod local;
pub mod location;
pub mod memory;

pub use cache::CachedFetch;
pub use connect::{Store, connect, create};
pub use contract::{Fetch, Listed, Publish, Published, Remove, RequestCost, Stage, Staged};
pub use error::{ErrorKind, StorageError};
pub use local::LocalStorage;
pub use location::{Location, LocationError};
pub use memory::MemoryStorage;
