//! What bytes mean: every stored structure, its limits, its encoding and its total decoder. `docs/format.md` is the
//! specification; each file here names its section.

pub mod node;
