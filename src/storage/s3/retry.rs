//! What is tried again, when, and for how long. The SDK's own retries are off: only here is it known that a request may
//! have arrived although its answer was lost.

use crate::storage::s3::error::{Attempt, Cause, Failure};
use crate::storage::s3::options::Timeouts;
use std::time::Duration;

/// Longest first pause.
const FIRST: Duration = Duration::from_millis(200);
/// Longest pause.
const LONGEST: Duration = Duration::from_secs(30);
/// Longest pause that a server may ask for.
const ASKED_MAX: Duration = Duration::from_secs(120);

/// What to do about a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    /// Nothing: it would fail again.
    GiveUp,
    /// Try again.
    Again,
    /// Try again, with fewer at once: the store is overloaded, or the line is.
    Slower,
    /// Set the clock by the server's and try again at once.
    SetClock,
}

/// Codes that go away by themselves, whatever the status.
const PASSING: [&str; 9] = [
    "BadDigest",
    "ConditionalRequestConflict",
    "IncompleteBody",
    "InternalError",
    "InvalidDigest",
    "OperationAborted",
    "RequestTimeout",
    "ServiceUnavailable",
    "XAmzContentSHA256Mismatch",
];

/// Decides by the failure alone.
pub(super) fn decide(failure: &Failure) -> Decision {
    match failure.cause {
        Cause::Connection | Cause::Garbage => Decision::Again,
        Cause::Timeout => Decision::Slower,
        Cause::Status(429 | 503) => Decision::Slower,
        Cause::Status(_) if failure.has_code(&["SlowDown", "TooManyRequests", "ThrottlingException"]) => {
            Decision::Slower
        }
        Cause::Status(_) if failure.has_code(&["RequestTimeTooSkewed"]) => Decision::SetClock,
        Cause::Status(408 | 500 | 502 | 504) => Decision::Again,
        // A body that does not match its hash was damaged on the way: it is sent again from memory, where it is whole.
        Cause::Status(_) if failure.has_code(&PASSING) => Decision::Again,
        _ => Decision::GiveUp,
    }
}

/// How long a pause may be, at most, before attempt number `next` (from 1).
fn longest_pause(next: u32) -> Duration {
    FIRST.saturating_mul(1u32.checked_shl(next.saturating_sub(1)).unwrap_or(u32::MAX)).min(LONGEST)
}

/// The pause before attempt number `next` (from 1): anything up to the longest, so that many clients do not come back at
/// the same moment. `random` is evenly distributed.
fn pause(next: u32, asked: Option<Duration>, random: u64) -> Duration {
    let longest = longest_pause(next);
    let nanos = u64::try_from(longest.as_nanos()).unwrap_or(u64::MAX);
    let jittered = Duration::from_nanos(((u128::from(nanos) * u128::from(random)) >> 64) as u64);
    jittered.max(asked.unwrap_or_default().min(ASKED_MAX))
}

/// Keeps count of the attempts at one request.
#[derive(Debug)]
pub(super) struct Retry {
    begun: tokio::time::Instant,
    failed: u32,
    has_set_clock: bool,
}

/// What may be tried again how, decided for one failure.
#[derive(Debug)]
pub(super) enum Next {
    /// Give the failure to the caller.
    GiveUp(Failure),
    /// Wait so long, then try again.
    After(Duration, Decision),
}

impl Retry {
    /// The first attempt begins now.
    pub(super) fn new() -> Self {
        Self { begun: tokio::time::Instant::now(), failed: 0, has_set_clock: false }
    }

    /// Decides what follows a failure. `has_answered`: whether the endpoint has ever answered anything.
    pub(super) fn after(&mut self, failure: Failure, timeouts: &Timeouts, has_answered: bool) -> Next {
        let decision = decide(&failure);
        self.failed = self.failed.saturating_add(1);
        let total = if has_answered { timeouts.total } else { timeouts.total.min(timeouts.first_contact) };
        if decision == Decision::SetClock && !self.has_set_clock {
            self.has_set_clock = true;
            return Next::After(Duration::ZERO, decision);
        }
        let pause = pause(self.failed, failure.retry_after, getrandom::u64().unwrap_or(u64::MAX));
        let is_over = self.begun.elapsed().saturating_add(pause) >= total;
        if matches!(decision, Decision::GiveUp | Decision::SetClock) || is_over {
            return Next::GiveUp(self.counted(failure));
        }
        Next::After(pause, decision)
    }

    /// Says how often it was tried, if more than once.
    fn counted(&self, mut failure: Failure) -> Failure {
        if self.failed > 1 {
            failure.text = format!("{} ({} attempts)", failure.text, self.failed);
        }
        failure
    }
}

/// Tries until it succeeds, cannot, or took too long. `note` sees every decision to go on.
pub(super) async fn until_done<T, F>(
    timeouts: &Timeouts,
    has_answered: impl Fn() -> bool,
    mut note: impl FnMut(Decision, Option<i64>),
    mut attempt: impl FnMut() -> F,
) -> Attempt<T>
where
    F: Future<Output = Attempt<T>>,
{
    let mut retry = Retry::new();
    loop {
        let failure = match attempt().await {
            Ok(done) => return Ok(done),
            Err(failure) => failure,
        };
        let server_time = failure.server_time;
        match retry.after(failure, timeouts, has_answered()) {
            Next::GiveUp(failure) => return Err(failure),
            Next::After(pause, decision) => {
                note(decision, server_time);
                tokio::time::sleep(pause).await;
            }
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::storage::error::ErrorKind;
    use crate::storage::s3::guard::GuardStop;

    fn status(status: u16, code: &str) -> Failure {
        Failure { code: Some(code.to_owned()), ..Failure::new(Cause::Status(status), "x") }
    }

    #[test]
    fn only_what_passes_is_tried_again() {
        for (failure, decision) in [
            (Failure::new(Cause::Connection, ""), Decision::Again),
            (Failure::new(Cause::Garbage, ""), Decision::Again),
            (Failure::new(Cause::Timeout, ""), Decision::Slower),
            (status(500, "InternalError"), Decision::Again),
            (status(502, ""), Decision::Again),
            (status(504, ""), Decision::Again),
            (status(503, "SlowDown"), Decision::Slower),
            (status(429, ""), Decision::Slower),
            (status(400, "SlowDown"), Decision::Slower),
            (status(400, "RequestTimeout"), Decision::Again),
            (status(400, "BadDigest"), Decision::Again),
            (status(400, "InvalidDigest"), Decision::Again),
            (status(400, "XAmzContentSHA256Mismatch"), Decision::Again),
            (status(409, "ConditionalRequestConflict"), Decision::Again),
            (status(403, "RequestTimeTooSkewed"), Decision::SetClock),
            (status(412, "PreconditionFailed"), Decision::GiveUp),
            (status(403, "AccessDenied"), Decision::GiveUp),
            (status(404, "NoSuchKey"), Decision::GiveUp),
            (status(404, "NoSuchBucket"), Decision::GiveUp),
            (status(400, "InvalidRequest"), Decision::GiveUp),
            (status(501, "NotImplemented"), Decision::GiveUp),
            (Failure::new(Cause::Tls, ""), Decision::GiveUp),
            (Failure::new(Cause::Credentials, ""), Decision::GiveUp),
            (Failure::new(Cause::Own(ErrorKind::TooLarge), ""), Decision::GiveUp),
            (Failure::new(Cause::Guard(Box::new(GuardStop::Unsigned)), ""), Decision::GiveUp),
        ] {
            assert_eq!(decide(&failure), decision, "{failure:?}");
        }
    }

    #[test]
    fn pauses_grow_and_have_an_end() {
        for next in 1..100 {
            assert_eq!(pause(next, None, 0), Duration::ZERO);
            assert!(pause(next, None, u64::MAX) <= longest_pause(next) && longest_pause(next) <= LONGEST);
        }
        assert_eq!(longest_pause(1), FIRST);
        assert_eq!(longest_pause(3), FIRST * 4);
        assert_eq!(pause(1, Some(Duration::from_secs(7)), 0), Duration::from_secs(7));
        assert_eq!(pause(1, Some(Duration::from_secs(1_000_000)), 0), ASKED_MAX);
    }

    #[test]
    fn it_ends_when_the_time_is_over_and_says_how_often_it_was_tried() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let timeouts = Timeouts { total: Duration::ZERO, ..Timeouts::default() };
            let mut tried = 0;
            let fail = || {
                tried += 1;
                std::future::ready(Err::<(), _>(status(500, "InternalError")))
            };
            until_done(&timeouts, || true, |_, _| {}, fail).await.unwrap_err();
            assert_eq!(tried, 1);
            let mut left = 3;
            let succeed = || {
                left -= 1;
                std::future::ready(if left == 0 { Ok(7) } else { Err(status(500, "InternalError")) })
            };
            assert_eq!(until_done(&Timeouts::default(), || true, |_, _| {}, succeed).await.unwrap(), 7);
            // Once by the clock; a second time it is no better.
            let mut notes = Vec::new();
            let skewed = || {
                let failure = Failure { server_time: Some(5), ..status(403, "RequestTimeTooSkewed") };
                std::future::ready(Err::<(), _>(failure))
            };
            let error = until_done(&Timeouts::default(), || true, |d, t| notes.push((d, t)), skewed).await.unwrap_err();
            assert_eq!(notes, [(Decision::SetClock, Some(5))]);
            assert!(error.text.ends_with("(2 attempts)"), "{}", error.text);
        });
    }

    #[test]
    fn an_endpoint_that_never_answered_is_given_up_sooner() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let timeouts = Timeouts { first_contact: Duration::ZERO, ..Timeouts::default() };
            let lost = || Failure::new(Cause::Connection, "refused");
            assert!(matches!(Retry::new().after(lost(), &timeouts, false), Next::GiveUp(_)));
            assert!(matches!(Retry::new().after(lost(), &timeouts, true), Next::After(..)));
        });
    }
}
