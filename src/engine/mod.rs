//! Operations: backup, restore, dump, mount, check, browse, find, diff, stats, forget, replicate, copy. They join the host's files and
//! the repository, and own order and concurrency.
//!
//! # What may run at the same time
//!
//! | | backup | restore, mount, ls, check | key add / remove |
//! |---|---|---|---|
//! | **backup** | yes: sessions are independent; a chunk may be stored twice | yes: readers see committed cells only | yes |
//! | **restore, mount, ls, check** | yes | yes | yes: keys are read once, at the start |
//! | **key add / remove** | yes | yes | yes: slots are independent objects |
//!
//! Dump, find, diff and stats read as a restore does. Replicate reads one store as a restore does and adds to another as a
//! backup does; beside a backup into its source it takes what was committed when it listed the cells. Copy is a restore of the
//! one repository and a backup into the other. Forget adds records that hide snapshots: a backup that has chosen its parent already
//! goes on with it, and a restore that has begun ends.
//!
//! Nothing is removed by any of these but key slots, so no two of them can take anything from one another. Pruning adds
//! generations, which this version refuses to work beside.

pub mod backup;
pub mod browse;
pub mod check;
pub mod context;
pub mod copy;
pub mod diff;
pub mod dump;
pub mod find;
pub mod forget;
pub mod mount;
mod pool;
pub mod replicate;
pub mod restore;
pub mod stats;
#[cfg(test)]
mod testing;

pub use context::{Context, EngineError};
