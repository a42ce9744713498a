//! The command against real S3 servers: a declared site from `init` to `restore`, a bare machine, and what must stop sending
//! while reading goes on; what hostile settings do not change, and what the death of a server's node does not.
//!
//! Garage is what somebody runs in his own rooms; moto has the regions and settings of AWS, which Garage has not. Both are
//! reached as declared sites: there is no other way to a server on this machine, for tests neither.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::disallowed_methods, reason = "tests")]

#[path = "s3/cluster.rs"]
mod cluster;
#[allow(dead_code, unreachable_pub, reason = "shared; each test needs a part")]
#[path = "support/compare.rs"]
mod compare;
#[path = "s3/garage.rs"]
mod garage;
#[path = "s3/home.rs"]
mod home;
#[path = "s3/hostile.rs"]
mod hostile;
#[path = "s3/moto.rs"]
mod moto;
#[path = "s3/past.rs"]
mod past;
#[allow(unused_imports, reason = "each test uses its part")]
#[path = "support/proxy/mod.rs"]
mod proxy;
#[path = "s3/readme.rs"]
mod readme;
#[path = "s3/replica.rs"]
mod replica;
#[path = "s3/requests.rs"]
mod requests;
#[path = "support/servers/mod.rs"]
mod servers;
#[path = "s3/tls.rs"]
mod tls;
#[path = "s3/trace.rs"]
mod trace;
#[allow(dead_code, unreachable_pub, reason = "shared; each test needs a part")]
#[path = "support/tree.rs"]
mod tree;
