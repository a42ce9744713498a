//! The test servers themselves: what the proxy does to requests, that real servers start, answer and end, and that the
//! second server would notice content if any came to it. Other tests rely on all of it without looking again.
#![expect(clippy::unwrap_used, reason = "tests")]
#![expect(clippy::print_stdout, reason = "what was covered is printed")]

mod client;
mod faults;
mod stores;
mod traffic;

#[path = "../support/proxy/mod.rs"]
mod proxy;
#[path = "../support/servers/mod.rs"]
mod servers;
