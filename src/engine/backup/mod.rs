//! Backup: walk → scan → cut → dedup → seal → pack → publish → index → commit.

mod dir;
mod options;
mod parent;
mod placed;
mod queue;
mod reading;
mod run;
mod scan;
mod selection;
mod source;
pub(in crate::engine) mod store;
mod tally;
mod task;
mod walk;
mod workers;
pub(in crate::engine) mod writing;

pub use options::{BackupOptions, BackupReport};
pub use run::run;
pub use source::Sources;
