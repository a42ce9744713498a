//! A member of an archive, or the one file that is dumped.

use crate::format::node::Node;

/// Something that is given out.
#[derive(Debug)]
pub(super) struct Member {
    /// Its absolute path in the snapshot.
    pub(super) path: Vec<u8>,
    /// Its name in the archive: relative, without a slash at either end.
    pub(super) name: Vec<u8>,
    /// What it is. The body of a regular file is taken out of it: it comes by itself.
    pub(super) node: Node,
    /// What stands for the content of a regular file in the record.
    pub(super) content: [u8; 32],
    /// The name of the member that this is another name of.
    pub(super) link: Option<Vec<u8>>,
}
