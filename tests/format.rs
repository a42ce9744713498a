//! What is stored, from outside: random values come back, damage is noticed, and no bytes make a decoder panic.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests print what they covered")]

#[path = "format/contents.rs"]
mod contents;
#[path = "../fuzz/fixtures.rs"]
#[allow(dead_code, unreachable_pub, reason = "shared; each test needs a part")]
mod fixtures;
#[path = "format/objects.rs"]
mod objects;
#[path = "format/packs.rs"]
mod packs;
#[path = "support/random.rs"]
mod random;
#[path = "../fuzz/samples.rs"]
#[allow(dead_code, unreachable_pub, reason = "shared; each test needs a part")]
mod samples;
#[path = "format/slots.rs"]
mod slots;
#[path = "format/strategies.rs"]
mod strategies;
#[path = "format/trees.rs"]
mod trees;
