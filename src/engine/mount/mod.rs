//! A file system of snapshots, as whoever mounts it needs one: names are looked up, directories listed with offsets, contents
//! read at offsets. What carries it to the kernel is elsewhere; nothing here knows of FUSE.
//!
//! ```text
//! layout  ids/ snapshots/ hosts/ tags/ and what is in them       fixed when mounted
//! inodes  what the kernel holds a reference to                   until it forgets, or is asked to
//! trees   decoded directories        ┐
//! content which chunks a file has    ├ caches, each with a limit in bytes
//! blobs   expanded blobs             ┘
//! reads   threads for contents; directories never wait for them
//! ```
//!
//! Whatever is given out was checked against its id. What cannot be read is an error of that file or directory alone, with one
//! event that says why; the rest goes on. Every file that is opened is recorded once.
//!
//! # Memory
//!
//! Of [`MountOptions::memory_bytes`] 7/16 are for blobs, 4/16 for directories, 1/16 for lists of chunks, 2/16 for inodes and
//! 2/16 for the buffers of reading threads, of which there are as many as fit. Two of the repository's longest chunks fit in
//! any case. An inode is small and stays until the kernel forgets it; where there are too many, [`Names::crowd`] says which
//! names the kernel should let go of. Beside that are the index, the 12 MiB that `PackReader` keeps, and the numbers of what
//! was recorded and reported, at most 20 MiB.

mod blobs;
mod cache;
mod content;
mod files;
mod inodes;
mod layout;
mod names;
mod reads;
mod report;
#[cfg(test)]
mod tests;
mod trees;
mod view;

pub use files::{Files, Handle};
pub use inodes::Ino;
pub use names::{Attributes, FileKind, Listed, Names};
pub use report::{MountError, Totals};
pub use view::{MountOptions, MountView};
