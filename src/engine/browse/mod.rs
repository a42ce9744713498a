//! Looking at what is there, without changing anything: snapshots and how they are named, and the tree of one.

mod snapshots;
#[cfg(test)]
mod tests;
mod tree;

pub use snapshots::{Snapshot, SnapshotFilter, Snapshots};
pub use tree::{DEPTH_MAX, DirReader, Found, SnapshotTree, Step, TreeWalk};
