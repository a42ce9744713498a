//! Time as a parameter: the only file of the library that reads a clock.

use std::fmt;
use std::time::{Duration, Instant, SystemTime};

/// A point in time: seconds and nanoseconds since 1970-01-01T00:00:00Z, before it negative. Nanoseconds count forward
/// from the second, so -0.5 s is `{ seconds: -1, nanoseconds: 500_000_000 }`, as in `struct timespec`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    /// Whole seconds, rounded towards the past.
    pub seconds: i64,
    /// 0 to 999,999,999.
    pub nanoseconds: u32,
}

impl Timestamp {
    /// 1970-01-01T00:00:00Z.
    pub const EPOCH: Self = Self { seconds: 0, nanoseconds: 0 };

    /// The time `duration` earlier; saturates at the earliest representable time.
    pub fn saturating_sub(self, duration: Duration) -> Self {
        let total = i128::from(self.seconds) * 1_000_000_000 + i128::from(self.nanoseconds);
        let nanos = total.saturating_sub(i128::try_from(duration.as_nanos()).unwrap_or(i128::MAX));
        let seconds = nanos.div_euclid(1_000_000_000);
        Self {
            seconds: i64::try_from(seconds).unwrap_or(i64::MIN),
            nanoseconds: u32::try_from(nanos.rem_euclid(1_000_000_000)).unwrap_or(0),
        }
    }

    /// The same as a [`SystemTime`], where that can represent it.
    pub fn to_system_time(self) -> Option<SystemTime> {
        let sub = Duration::from_nanos(u64::from(self.nanoseconds));
        if self.seconds >= 0 {
            SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(self.seconds.unsigned_abs()))?.checked_add(sub)
        } else {
            SystemTime::UNIX_EPOCH.checked_sub(Duration::from_secs(self.seconds.unsigned_abs()))?.checked_add(sub)
        }
    }

    /// From a [`SystemTime`].
    pub fn from_system_time(time: SystemTime) -> Self {
        match time.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(after) => {
                Self { seconds: i64::try_from(after.as_secs()).unwrap_or(i64::MAX), nanoseconds: after.subsec_nanos() }
            }
            Err(before) => Self::EPOCH.saturating_sub(before.duration()),
        }
    }
}

/// Where the engine gets the time from.
pub trait Clock: Send + Sync + fmt::Debug {
    /// Wall-clock time, for records; never for safety.
    fn now(&self) -> Timestamp;
    /// Time since some fixed moment, never going back; for durations.
    fn elapsed(&self) -> Duration;
}

/// The machine's clocks.
#[derive(Debug)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// A clock whose [`Clock::elapsed`] counts from now.
    #[expect(clippy::disallowed_methods, reason = "the one reader of the clocks")]
    pub fn new() -> Self {
        Self { start: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one reader of the clocks")]
    fn now(&self) -> Timestamp {
        Timestamp::from_system_time(SystemTime::now())
    }

    fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn negative_times_round_towards_the_past() {
        let half_before = Timestamp::EPOCH.saturating_sub(Duration::from_millis(500));
        assert_eq!(half_before, Timestamp { seconds: -1, nanoseconds: 500_000_000 });
        assert_eq!(half_before.to_system_time().map(Timestamp::from_system_time), Some(half_before));
    }
}
