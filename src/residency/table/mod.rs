//! The table of endpoints, compiled in: which hosts belong to which place by their operator's own statement, which are
//! refused, and the anchored matching between them.

mod listing;
pub mod row;

pub use listing::{TableVersion, rows, sites, version};
