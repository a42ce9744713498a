//! The rules, by expectations worked out by hand and by what must hold for all sets of snapshots.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::{Count, Forgetting, GroupBy, Policy, Span, Subject, apply, apply_to_snapshots, run};
use crate::clock::Timestamp;
use crate::crypto::secret::Secret;
use crate::crypto::sign::Identity;
use crate::engine::browse::Snapshots;
use crate::engine::check::{self, CheckOptions};
use crate::engine::testing::{back_up, create};
use crate::storage::MemoryStorage;
use proptest::prelude::*;

const NOW: i64 = 1_800_000_000;

fn at(text: &str) -> Timestamp {
    Timestamp::from_system_time(humantime::parse_rfc3339_weak(text).unwrap())
}

fn seconds(seconds: i64) -> Timestamp {
    Timestamp { seconds, nanoseconds: 0 }
}

fn kept(policy: &Policy, times: &[Timestamp], now: Timestamp) -> Vec<Vec<String>> {
    let subjects: Vec<Subject<'_>> = times.iter().map(|time| Subject { time: *time, tags: &[] }).collect();
    apply(policy, &subjects, now)
}

fn number(n: u32) -> Count {
    Count::Number(n)
}

fn periods(of: [u32; 5]) -> Policy {
    Policy { periods: of.map(Count::Number), ..Policy::default() }
}

/// Eight snapshots from the newest to the oldest, and the numbers of those that stay.
#[test]
fn rules_by_hand() {
    let times = [
        "2026-03-10 18:30:00", // a Tuesday
        "2026-03-10 18:05:00",
        "2026-03-10 06:00:00",
        "2026-03-09 23:00:00", // the Monday of the same week
        "2026-03-08 12:00:00", // the Sunday before
        "2026-02-28 12:00:00",
        "2026-02-01 12:00:00",
        "2025-12-31 12:00:00",
    ]
    .map(at);
    let span = |text: &str| Some(Span::parse(text).unwrap());
    let within = |text| Policy { within: span(text), ..Policy::default() };
    let periods_within = |place: usize, text| {
        let mut all = [None; 5];
        all[place] = span(text);
        Policy { periods_within: all, ..Policy::default() }
    };
    let last = |count| Policy { last: count, ..Policy::default() };
    let cases: Vec<(Policy, &[usize])> = vec![
        (last(number(3)), &[0, 1, 2]),
        (last(Count::Unlimited), &[0, 1, 2, 3, 4, 5, 6, 7]),
        (periods([2, 0, 0, 0, 0]), &[0, 2]),
        (periods([0, 3, 0, 0, 0]), &[0, 3, 4]),
        (periods([0, 0, 2, 0, 0]), &[0, 4]),
        // Weeks of 9 March, 2 March, 23 February, 26 January, 29 December.
        (periods([0, 0, 5, 0, 0]), &[0, 4, 5, 6, 7]),
        (periods([0, 0, 0, 2, 0]), &[0, 5]),
        (periods([0, 0, 0, 9, 0]), &[0, 5, 7]),
        (periods([0, 0, 0, 0, 1]), &[0]),
        (periods([0, 0, 0, 0, 9]), &[0, 7]),
        (periods([0, 1, 0, 1, 0]), &[0]),
        (within("1d"), &[0, 1, 2, 3]),
        (within("9d"), &[0, 1, 2, 3, 4]),
        (within("3m"), &[0, 1, 2, 3, 4, 5, 6, 7]),
        (periods_within(1, "3d"), &[0, 3, 4]),
        (periods_within(3, "1m"), &[0, 5]),
        (periods_within(4, "5y"), &[0, 7]),
    ];
    for (policy, expected) in cases {
        let judged = kept(&policy, &times, seconds(NOW));
        let stays: Vec<usize> = (0..times.len()).filter(|n| !judged[*n].is_empty()).collect();
        assert_eq!(stays, expected, "{policy}: {judged:?}");
    }
}

#[test]
fn the_oldest_stays_while_there_are_counts_left() {
    let times = ["2026-03-10 18:00:00", "2026-03-10 12:00:00", "2026-03-10 06:00:00"].map(at);
    let judged = kept(&periods([0, 2, 0, 0, 0]), &times, seconds(NOW));
    assert_eq!(judged, [vec!["daily snapshot".to_owned()], vec![], vec!["oldest daily snapshot".to_owned()]]);
    let judged = kept(&periods([0, 1, 0, 0, 0]), &times, seconds(NOW));
    assert!(judged[1].is_empty() && judged[2].is_empty());
}

#[test]
fn the_future_is_kept_and_counts_for_nothing() {
    let times = ["2090-01-01 00:00:00", "2026-03-10 18:00:00", "2026-03-09 18:00:00"].map(at);
    let judged = kept(&Policy { last: number(1), ..Policy::default() }, &times, seconds(NOW));
    assert_eq!(judged[0], ["of the future"]);
    assert_eq!(judged[1], ["last snapshot"]);
    assert!(judged[2].is_empty());
    let exactly = Policy { within: Some(Span::parse("1d").unwrap()), ..Policy::default() };
    assert!(kept(&exactly, &times, seconds(NOW))[2].is_empty(), "what is exactly as old is not within");
    let within = Policy { within: Some(Span::parse("1d1h").unwrap()), ..Policy::default() };
    assert!(kept(&within, &times, seconds(NOW)).iter().all(|reasons| !reasons.is_empty()));
}

#[test]
fn tags_keep_all_that_have_them() {
    let tags = |text: &str| text.split(',').map(|tag| tag.as_bytes().to_vec()).collect::<Vec<_>>();
    let lists = ["a,b", "a", "c", "b,a,d"].map(tags);
    let subjects: Vec<_> = lists.iter().map(|tags| Subject { time: seconds(5), tags }).collect();
    let policy = Policy { tags: vec![tags("a,b"), tags("c")], ..Policy::default() };
    let stays: Vec<bool> = apply(&policy, &subjects, seconds(NOW)).iter().map(|r| !r.is_empty()).collect();
    assert_eq!(stays, [true, false, true, true]);
    assert_eq!(policy.to_string(), "keep-tag a,b, keep-tag c");
}

fn count() -> impl Strategy<Value = Count> {
    prop_oneof![8 => (0..6_u32).prop_map(Count::Number), 1 => Just(Count::Unlimited)]
}

fn span() -> impl Strategy<Value = Option<Span>> {
    let text = (1..400_u32, prop_oneof![Just('h'), Just('d'), Just('m')]);
    prop::option::of(text.prop_map(|(number, unit)| Span::parse(&format!("{number}{unit}")).unwrap()))
}

fn policy() -> impl Strategy<Value = Policy> {
    (count(), [count(), count(), count(), count(), count()], span(), [span(), span(), span(), span(), span()]).prop_map(
        |(last, periods, within, periods_within)| Policy { last, periods, within, periods_within, tags: Vec::new() },
    )
}

fn times() -> impl Strategy<Value = Vec<Timestamp>> {
    prop::collection::vec(NOW - 80_000_000..NOW + 100_000, 1..60).prop_map(|mut all| {
        all.sort_unstable_by(|a, b| b.cmp(a));
        all.into_iter().map(seconds).collect()
    })
}

proptest! {
    #[test]
    fn a_higher_count_keeps_no_less(policy in policy(), times in times(), rule in 0..6_usize) {
        let mut more = policy.clone();
        let count = if rule == 0 { &mut more.last } else { &mut more.periods[rule - 1] };
        if let Count::Number(number) = count {
            *number += 1;
        }
        let [before, after] = [&policy, &more].map(|policy| kept(policy, &times, seconds(NOW)));
        prop_assert!(before.iter().zip(&after).all(|(before, after)| before.is_empty() || !after.is_empty()));
    }

    #[test]
    fn the_newest_stays_if_any_rule_keeps(policy in policy(), times in times()) {
        let judged = kept(&policy, &times, seconds(NOW));
        prop_assert_eq!(judged.len(), times.len());
        if let Some(newest) = times.iter().position(|time| *time <= seconds(NOW)) {
            prop_assert_eq!(judged[newest].is_empty(), policy.is_empty());
        }
        if let Count::Number(last) = policy.last {
            let stay = judged.iter().filter(|reasons| reasons.iter().any(|reason| reason == "last snapshot")).count();
            let past = times.iter().filter(|time| **time <= seconds(NOW)).count();
            prop_assert_eq!(stay, past.min(last as usize));
        }
    }
}

#[test]
fn records_hide_snapshots_and_nothing_is_deleted() {
    let source = tempfile::tempdir().unwrap();
    std::fs::write(source.path().join("file"), "content").unwrap();
    let cx = create(&MemoryStorage::new(), 0);
    let ids: Vec<_> = (0..3).map(|_| back_up(&cx, source.path()).snapshot.unwrap()).collect();
    let all = Snapshots::load(&cx.repository).unwrap();
    let policy = Policy { last: number(1), ..Policy::default() };
    let groups = apply_to_snapshots(&policy, GroupBy::default(), all.all().iter().cloned(), cx.clock.now());
    assert_eq!((groups.len(), groups[0].keep.len(), groups[0].len()), (1, 1, 3));
    let remove: Vec<_> = groups[0].remove.iter().map(|snapshot| snapshot.id).collect();
    assert_eq!(remove, ids[..2]);

    let identity = Identity::from_seed(&Secret::new([9; 32]));
    let reason = "é".repeat(2000);
    let forgetting = Forgetting { snapshots: &remove, reason: &reason, host_name: "host", identity: &identity };
    assert_eq!(run(&cx, &forgetting).unwrap(), 2);
    assert_eq!(run(&cx, &forgetting).unwrap(), 0, "they are there already");
    let left = Snapshots::load(&cx.repository).unwrap();
    assert_eq!(left.all().iter().map(|snapshot| snapshot.id).collect::<Vec<_>>(), ids[2..]);
    assert!(left.is_forgotten(&ids[0]) && left.is_forgotten(&ids[1]) && !left.is_forgotten(&ids[2]));
    let report = check::run(&cx, &CheckOptions::default()).unwrap();
    assert_eq!((report.problem_count, report.counts.snapshots), (0, 1));
}
