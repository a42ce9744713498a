//! What bytes mean: every stored structure, its limits, its encoding and its total decoder. `docs/format.md` is the
//! specification; each file here names its section.

pub mod cell;
pub mod config;
pub mod dataset_root;
pub mod declaration;
pub mod envelope;
pub mod file_records;
pub mod forget;
mod inode_fields;
pub mod key_slot;
pub mod layout;
pub mod node;
pub mod pack;
pub mod padme;
pub mod policy;
pub mod sealed;
pub mod segment;
pub mod session;
pub mod tree;
pub mod wire;
