//! The table of endpoints, compiled in: which hosts belong to which place by their operator's own statement, which are
//! refused, and the anchored matching between them.
//!
//! Every fact has its grade and its date. What is known only by hearsay is not here: a declaration covers it.

mod listing;
pub(crate) mod lookup;
mod pattern;
mod pinned;
mod refused;
pub mod row;
mod special;

pub use listing::{TableVersion, refused, rows, sites, version};
pub use refused::RefusedHosts;
