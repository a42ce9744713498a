//! Bandwidth limits: how long whoever has just moved some bytes has to wait before moving more.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Bytes that may be moved at once after a pause, as time at the full rate.
const BURST: Duration = Duration::from_millis(100);

/// A token bucket that may go into debt: everybody takes what it needs and then waits until the debt is paid, so that
/// several connections share the rate without a queue of their own.
#[derive(Debug)]
pub(super) struct Limiter {
    bytes_per_second: u64,
    /// When the next byte is free, on the clock of the callers.
    free_at: Mutex<Duration>,
}

impl Limiter {
    /// A limiter; a rate of zero counts as one byte a second.
    pub(super) fn new(bytes_per_second: u64) -> Self {
        Self { bytes_per_second: bytes_per_second.max(1), free_at: Mutex::new(Duration::ZERO) }
    }

    /// Takes `bytes` at the moment `now` (of any clock that does not go back) and says how long to wait.
    pub(super) fn take(&self, bytes: usize, now: Duration) -> Duration {
        let nanos = u128::from(bytes as u64) * 1_000_000_000 / u128::from(self.bytes_per_second);
        let cost = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        // A number, whole at every moment.
        let mut free_at = self.free_at.lock().unwrap_or_else(PoisonError::into_inner);
        *free_at = (*free_at).max(now.saturating_sub(BURST)).saturating_add(cost);
        free_at.saturating_sub(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_kept_over_any_span_longer_than_the_burst() {
        let limiter = Limiter::new(1000);
        let mut now = Duration::from_secs(5);
        for _ in 0..100 {
            now += limiter.take(250, now);
        }
        let spent = now - Duration::from_secs(5);
        assert_eq!(spent, Duration::from_secs(25) - BURST);
    }

    #[test]
    fn what_was_not_used_is_not_saved_up() {
        let limiter = Limiter::new(1000);
        assert_eq!(limiter.take(1000, Duration::from_secs(100)), Duration::from_millis(900));
        assert_eq!(limiter.take(1000, Duration::from_secs(1000)), Duration::from_millis(900));
        assert_eq!(limiter.take(1000, Duration::from_secs(1000)), Duration::from_millis(1900), "two share it");
        assert_eq!(limiter.take(0, Duration::from_secs(2000)), Duration::ZERO);
    }
}
