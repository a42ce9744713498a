//! The repository: sealed objects and the order they are written in.
//!
//! Packs are durable before the segment that lists them, segments before the cell that names them; readers look at cells
//! before segments. So whatever is visible is complete, and what an interrupted run left is either adopted or garbage,
//! never half of something.

pub mod cells;
pub mod claims;
pub mod error;
pub mod handle;
pub mod index;
pub mod key_store;
pub mod open;
pub mod pack_reader;
pub mod pack_writer;
pub(crate) mod parallel;
pub mod publisher;
pub mod session;
pub mod sites;
pub mod view;

pub use error::RepositoryError;
pub use handle::{Access, Repository};
