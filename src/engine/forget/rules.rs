//! The rules: which snapshots of a group a policy keeps. They are restic's, but for times, which are in UTC, and for snapshots of
//! the future, which are kept and counted by no rule: one that a wrong clock made must not push out all the others.

use crate::clock::Timestamp;
use crate::engine::browse::Snapshot;
use crate::engine::forget::calendar::Span;
use crate::engine::forget::policy::{Count, GroupBy, Period, Policy};
use std::collections::BTreeMap;

/// What the rules ask of a snapshot.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// When it was made.
    pub time: Timestamp,
    /// Its tags.
    pub tags: &'a [Vec<u8>],
}

/// A snapshot that is kept, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept<T> {
    /// It.
    pub snapshot: T,
    /// Rules that keep it, `daily snapshot` and so on; at least one.
    pub reasons: Vec<String>,
}

/// Snapshots that are judged together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Their host, if they were grouped by that.
    pub host: Option<Vec<u8>>,
    /// Their paths in order, if they were grouped by that.
    pub paths: Option<Vec<Vec<u8>>>,
    /// Their tags in order, if they were grouped by that.
    pub tags: Option<Vec<Vec<u8>>>,
    /// What is kept, the oldest first.
    pub keep: Vec<Kept<Snapshot>>,
    /// What is not, the oldest first.
    pub remove: Vec<Snapshot>,
}

/// One rule that keeps the newest of each period, while it counts.
struct Bucket {
    /// `None` takes every snapshot for a period of its own.
    period: Option<Period>,
    left: Count,
    /// What is not younger than this is not kept by it.
    after: Option<(Timestamp, Span)>,
    newest: Option<i64>,
}

impl Bucket {
    /// Why the next older snapshot is kept, if it is. The oldest of all is, too, while the rule has counts left: so the history
    /// grows as long as it may.
    fn judge(&mut self, time: Timestamp, is_oldest: bool) -> Option<String> {
        if !self.left.is_left() || self.after.is_some_and(|(after, _)| time <= after) {
            return None;
        }
        let number = self.period.map(|period| period.number(time));
        let is_new = number.is_none() || number != self.newest;
        if !is_new && !is_oldest {
            return None;
        }
        self.newest = number;
        self.left.take_one();
        let oldest = if is_new { "" } else { "oldest " };
        let word = self.period.map_or("last", Period::word);
        Some(match &self.after {
            None => format!("{oldest}{word} snapshot"),
            Some((_, span)) => format!("{oldest}{word} within {span}"),
        })
    }
}

fn buckets(policy: &Policy, newest: Timestamp) -> Vec<Bucket> {
    let counted = |period, left| Bucket { period, left, after: None, newest: None };
    let mut buckets = vec![counted(None, policy.last)];
    buckets.extend(Period::ALL.into_iter().zip(policy.periods).map(|(period, left)| counted(Some(period), left)));
    buckets.extend(Period::ALL.into_iter().zip(policy.periods_within).filter_map(|(period, span)| {
        let after = span.map(|span| (span.before(newest), span))?;
        Some(Bucket { period: Some(period), left: Count::Unlimited, after: Some(after), newest: None })
    }));
    buckets
}

/// Why each of these snapshots, which are in order from the newest to the oldest, is kept: nothing for those that are not.
pub fn apply(policy: &Policy, subjects: &[Subject<'_>], now: Timestamp) -> Vec<Vec<String>> {
    let is_future = |subject: &Subject<'_>| subject.time > now;
    let newest = subjects.iter().find(|subject| !is_future(subject)).map_or(now, |subject| subject.time);
    let mut buckets = buckets(policy, newest);
    let within = policy.within.map(|span| (span.before(newest), span));
    let judge = |(number, subject): (usize, &Subject<'_>)| {
        let mut reasons = Vec::new();
        for tags in policy.tags.iter().filter(|tags| tags.iter().all(|tag| subject.tags.contains(tag))) {
            let tags: Vec<_> = tags.iter().map(|tag| String::from_utf8_lossy(tag)).collect();
            reasons.push(format!("has tags {}", tags.join(",")));
        }
        if is_future(subject) {
            if !policy.is_empty() {
                reasons.push("of the future".to_owned());
            }
            return reasons;
        }
        reasons.extend(within.filter(|(after, _)| subject.time > *after).map(|(_, span)| format!("within {span}")));
        let is_oldest = number + 1 == subjects.len();
        reasons.extend(buckets.iter_mut().filter_map(|bucket| bucket.judge(subject.time, is_oldest)));
        reasons
    };
    subjects.iter().enumerate().map(judge).collect()
}

type Key = (Option<Vec<u8>>, Option<Vec<Vec<u8>>>, Option<Vec<Vec<u8>>>);

fn sorted(list: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut list = list.to_vec();
    list.sort();
    list
}

fn key(snapshot: &Snapshot, by: GroupBy) -> Key {
    let entries = &snapshot.entries;
    (
        by.host.then(|| entries.host_name.clone()),
        by.paths.then(|| sorted(&entries.paths)),
        by.tags.then(|| sorted(&entries.tags)),
    )
}

/// Groups snapshots and applies the policy to each group; the groups are in order of what they have in common.
pub fn apply_to_snapshots(
    policy: &Policy,
    by: GroupBy,
    snapshots: impl IntoIterator<Item = Snapshot>,
    now: Timestamp,
) -> Vec<Group> {
    let mut groups: BTreeMap<Key, Vec<Snapshot>> = BTreeMap::new();
    for snapshot in snapshots {
        groups.entry(key(&snapshot, by)).or_default().push(snapshot);
    }
    groups.into_iter().map(|(key, snapshots)| judge_group(policy, key, snapshots, now)).collect()
}

fn judge_group(policy: &Policy, (host, paths, tags): Key, mut snapshots: Vec<Snapshot>, now: Timestamp) -> Group {
    snapshots.sort_by_key(|snapshot| std::cmp::Reverse((snapshot.entries.time, snapshot.id)));
    let subjects: Vec<Subject<'_>> =
        snapshots.iter().map(|s| Subject { time: s.entries.time, tags: &s.entries.tags }).collect();
    let judged = apply(policy, &subjects, now);
    let mut group = Group { host, paths, tags, keep: Vec::new(), remove: Vec::new() };
    for (snapshot, reasons) in snapshots.into_iter().zip(judged).rev() {
        if reasons.is_empty() {
            group.remove.push(snapshot);
        } else {
            group.keep.push(Kept { snapshot, reasons });
        }
    }
    group
}

impl Group {
    /// When its newest snapshot was made.
    pub fn newest(&self) -> Option<Timestamp> {
        let kept = self.keep.iter().map(|kept| kept.snapshot.entries.time);
        kept.chain(self.remove.iter().map(|snapshot| snapshot.entries.time)).max()
    }

    /// Number of its snapshots.
    pub fn len(&self) -> usize {
        self.keep.len() + self.remove.len()
    }

    /// Whether it has none, which no group of [`apply_to_snapshots`] has.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
