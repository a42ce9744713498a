//! What is to be kept.

use crate::clock::Timestamp;
use crate::engine::forget::calendar::{self, Span};
use std::fmt;

/// How many of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    /// So many; 0 is as if nothing had been said.
    Number(u32),
    /// All.
    Unlimited,
}

impl Count {
    /// Whether another one may be kept.
    pub(super) fn is_left(self) -> bool {
        self != Self::Number(0)
    }

    /// Counts one.
    pub(super) fn take_one(&mut self) {
        if let Self::Number(number) = self {
            *number = number.saturating_sub(1);
        }
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Unlimited => f.write_str("unlimited"),
        }
    }
}

/// Of which time one snapshot is kept, the newest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Period {
    /// An hour.
    Hour,
    /// A day.
    Day,
    /// A week, from Monday.
    Week,
    /// A month.
    Month,
    /// A year.
    Year,
}

impl Period {
    /// All, in the order in which a [`Policy`] has them.
    pub const ALL: [Self; 5] = [Self::Hour, Self::Day, Self::Week, Self::Month, Self::Year];

    /// `hourly` …
    pub fn word(self) -> &'static str {
        match self {
            Self::Hour => "hourly",
            Self::Day => "daily",
            Self::Week => "weekly",
            Self::Month => "monthly",
            Self::Year => "yearly",
        }
    }

    /// The number of the period that a time is in.
    pub(super) fn number(self, time: Timestamp) -> i64 {
        match self {
            Self::Hour => calendar::hour(time),
            Self::Day => calendar::day(time),
            Self::Week => calendar::week(time),
            Self::Month => calendar::month(time),
            Self::Year => calendar::year(time),
        }
    }
}

/// What is to be kept of each group. A snapshot that no rule keeps is forgotten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// The newest.
    pub last: Count,
    /// The newest of each of the newest periods that have one, in the order of [`Period::ALL`].
    pub periods: [Count; 5],
    /// Everything younger than this, counted from the newest of the group.
    pub within: Option<Span>,
    /// The newest of each period within this.
    pub periods_within: [Option<Span>; 5],
    /// Those with all tags of one of these lists.
    pub tags: Vec<Vec<Vec<u8>>>,
}

impl Default for Policy {
    /// Keeps nothing.
    fn default() -> Self {
        let none = Count::Number(0);
        Self { last: none, periods: [none; 5], within: None, periods_within: [None; 5], tags: Vec::new() }
    }
}

impl Policy {
    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for Policy {
    /// `keep-last 3, keep-daily 7`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if self.last.is_left() {
            parts.push(format!("keep-last {}", self.last));
        }
        for (period, count) in Period::ALL.iter().zip(self.periods).filter(|(_, count)| count.is_left()) {
            parts.push(format!("keep-{} {count}", period.word()));
        }
        parts.extend(self.within.map(|span| format!("keep-within {span}")));
        for (period, span) in Period::ALL.iter().zip(self.periods_within) {
            parts.extend(span.map(|span| format!("keep-within-{} {span}", period.word())));
        }
        for tags in &self.tags {
            let tags: Vec<_> = tags.iter().map(|tag| String::from_utf8_lossy(tag)).collect();
            parts.push(format!("keep-tag {}", tags.join(",")));
        }
        f.write_str(&parts.join(", "))
    }
}

/// What the snapshots of one group have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupBy {
    /// The host's name.
    pub host: bool,
    /// The paths, in whatever order.
    pub paths: bool,
    /// The tags, in whatever order.
    pub tags: bool,
}

impl Default for GroupBy {
    fn default() -> Self {
        Self { host: true, paths: true, tags: false }
    }
}
