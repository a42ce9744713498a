//! The Python interpreter for tests that check cairn with code that is not cairn's.

use std::path::PathBuf;

/// The interpreter of the environment that `scripts/test` made, with the packages of `tests/requirements.txt`.
///
/// # Panics
/// When there is none: such a test must fail, not pass without having looked.
#[expect(clippy::disallowed_methods, reason = "a test learns from scripts/test where its tools are")]
pub(crate) fn interpreter() -> PathBuf {
    let path = std::env::var_os("CAIRN_TEST_PYTHON").map(PathBuf::from);
    match path {
        Some(path) if path.is_file() => path,
        Some(path) => panic!("CAIRN_TEST_PYTHON is {}, which is no file: run scripts/test", path.display()),
        None => panic!("CAIRN_TEST_PYTHON is not set: run scripts/test, which installs what this test needs"),
    }
}
