//! Ceph: one for all tests of a run, since it takes long to start. `scripts/test-ceph` starts it.

use super::Access;
use std::path::PathBuf;

/// The Ceph that `scripts/test-ceph` has started. Its bucket is not there yet: every test makes its own.
///
/// # Panics
/// When it has not.
pub fn ceph() -> Access {
    let dir = std::env::var_os("CAIRN_TEST_CEPH").map(PathBuf::from);
    let dir = dir.expect("CAIRN_TEST_CEPH is not set: this test is run by scripts/test-ceph");
    let text = std::fs::read_to_string(dir.join("env")).expect("scripts/test-ceph has started Ceph");
    Access::new(&super::variables(&text))
}
