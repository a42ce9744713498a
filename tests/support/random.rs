//! Random tests that can be run again: the seed is printed, and `CAIRN_TEST_SEED` (a number) sets it.

use cairn::crypto::random::{OsRandom, Randomness, SeededRandom};
use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// Says what is run how often, and from which seed; returns the seed's stream.
///
/// # Panics
/// When `CAIRN_TEST_SEED` is not a number.
#[allow(clippy::disallowed_methods, reason = "how a failed run is repeated")]
pub(crate) fn stream(test: &str, cases: u32) -> SeededRandom {
    let seed = match std::env::var("CAIRN_TEST_SEED") {
        Ok(text) => text.parse().expect("CAIRN_TEST_SEED is a number"),
        Err(_) => u64::from_le_bytes(<dyn Randomness>::bytes(&OsRandom).expect("the system gives random bytes")),
    };
    println!("counts: {test}: {cases} cases, CAIRN_TEST_SEED={seed}");
    SeededRandom::new(seed)
}

/// As many cases, or ten times as many in a full run.
#[allow(clippy::disallowed_methods, reason = "scripts/test --full asks for more in this way")]
pub(crate) fn cases(sampled: u32) -> u32 {
    if std::env::var_os("CAIRN_TEST_FULL").is_some() { sampled * 10 } else { sampled }
}

/// Runs `test` on `sampled` values (more in a full run) of the strategy; what fails is made small before it is shown.
///
/// # Panics
/// When the test fails for a value.
pub(crate) fn check<S: Strategy>(name: &str, sampled: u32, strategy: &S, test: impl Fn(S::Value)) {
    let cases = cases(sampled);
    let seed = <dyn Randomness>::bytes::<32>(&stream(name, cases)).expect("a seeded stream does not end");
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
    let result = TestRunner::new_with_rng(config, rng).run(strategy, |value| {
        test(value);
        Ok(())
    });
    if let Err(failure) = result {
        panic!("{name}: {failure}");
    }
}
