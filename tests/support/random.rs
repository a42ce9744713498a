//! Random tests that can be run again: the seed is printed, and `CAIRN_TEST_SEED` (64 hexadecimal digits) sets it.

use super::hex;
use cairn::crypto::random::{OsRandom, Randomness};
use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// The seed of this run.
///
/// # Panics
/// When `CAIRN_TEST_SEED` is not a seed.
#[allow(clippy::disallowed_methods, reason = "how a failed run is repeated")]
pub(crate) fn seed() -> [u8; 32] {
    match std::env::var("CAIRN_TEST_SEED") {
        Ok(text) => hex::array(&text),
        Err(_) => {
            let mut seed = [0; 32];
            OsRandom.fill(&mut seed).expect("the system gives random bytes");
            seed
        }
    }
}

/// As many cases, or a hundred times as many in a full run.
#[allow(clippy::disallowed_methods, reason = "scripts/test --full asks for more in this way")]
pub(crate) fn cases(sampled: u32) -> u32 {
    if std::env::var_os("CAIRN_TEST_FULL").is_some() { sampled * 100 } else { sampled }
}

/// Runs `test` on `sampled` values (more in a full run) of the strategy; what fails is made small before it is shown.
///
/// # Panics
/// When the test fails for a value.
pub(crate) fn check<S: Strategy>(name: &str, sampled: u32, strategy: &S, test: impl Fn(S::Value)) {
    let (seed, cases) = (seed(), cases(sampled));
    let shown = blake3::Hash::from_bytes(seed).to_hex();
    println!("counts: {name}: {cases} cases, CAIRN_TEST_SEED={shown}");
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
    let result = TestRunner::new_with_rng(config, rng).run(strategy, |value| {
        test(value);
        Ok(())
    });
    if let Err(failure) = result {
        panic!("{name}: {failure}\nCAIRN_TEST_SEED={shown}");
    }
}
