//! Files on their way from the walker to the workers.

use crate::engine::backup::dir::Dir;
use crate::engine::backup::store::LARGE_GROUP_LEN;
use crate::format::node::Node;
use crate::fs::Stat;
use std::sync::Arc;

/// Files of one batch at most.
pub(super) const BATCH_FILES_MAX: usize = 256;
/// Directories of one batch at most; each is held open until its files are read.
pub(super) const BATCH_DIRS_MAX: usize = 64;
/// Bytes of one batch at most, but for a single larger file.
pub(super) const BATCH_BYTES_MAX: u64 = LARGE_GROUP_LEN as u64;
/// A file to be read.
#[derive(Debug)]
pub(super) struct FileTask {
    pub(super) dir: Arc<Dir>,
    pub(super) slot: usize,
    pub(super) name: Vec<u8>,
    pub(super) stat: Stat,
    /// What the parent had there.
    pub(super) known: Option<Node>,
}

/// Files to be read one after the other.
pub(super) type Batch = Vec<FileTask>;
