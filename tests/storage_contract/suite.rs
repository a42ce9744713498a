//! The suite itself: what every store has to do, whatever it is made of.

use cairn::object::{Encoded, ObjectName};
use cairn::storage::{ErrorKind, Fetch, Publish, Published, Remove, Staged};
use std::collections::BTreeSet;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// All three capabilities.
pub(crate) trait All: Fetch + Publish + Remove {}
impl<T: Fetch + Publish + Remove> All for T {}

/// A fresh store to be held to the contract.
pub(crate) trait Subject: Sync {
    /// The store.
    fn store(&self) -> &dyn All;
    /// The same store as another process would open it.
    fn reopened(&self) -> Box<dyn All>;
    /// How many temporary files and the like it holds at present.
    fn leftovers(&self) -> usize;
    /// Most names that it lists with one answer.
    fn page(&self) -> usize {
        1000
    }
}

/// Most names that moto lists with one answer (`scripts/servers/moto-server.py`).
pub(crate) const MOTO_PAGE: usize = 100;

/// Makes a fresh store.
pub(crate) type Make<'a> = &'a dyn Fn() -> Box<dyn Subject>;

/// One test of the suite and its name.
pub(crate) type Test = (&'static str, fn(Make<'_>));

/// Every test, in the order of the contract.
pub(crate) const TESTS: [Test; 12] = [
    ("s1_atomic", s1_atomic),
    ("s2_durable", s2_durable),
    ("s3_create_only", s3_create_only),
    ("s3_fresh_names", s3_fresh_names),
    ("s3_one_of_many_creates", s3_one_of_many_creates),
    ("s4_read_after_write", s4_read_after_write),
    ("s5_complete_listing", s5_complete_listing),
    ("s5_listing_together", s5_listing_together),
    ("s5_listing_while_written", s5_listing_while_written),
    ("s6_classified_errors", s6_classified_errors),
    ("s7_exact_ranges", s7_exact_ranges),
    ("s8_no_leftovers", s8_no_leftovers),
];

const ENOUGH: u64 = 1 << 30;

pub(crate) fn name(text: &str) -> ObjectName {
    ObjectName::new(text).unwrap()
}

/// Stages an object in two pieces.
pub(crate) fn stage(store: &dyn All, at: &str, bytes: &[u8]) -> Staged {
    let mut stage = store.stage().unwrap();
    let (first, second) = bytes.split_at(bytes.len() / 2);
    stage.append(Encoded::new(first)).unwrap();
    stage.append(Encoded::new(second)).unwrap();
    stage.finish(name(at), bytes.len() as u64).unwrap()
}

fn put(store: &dyn All, at: &str, bytes: &[u8]) -> Published {
    store.put_new(&name(at), Encoded::new(bytes)).unwrap()
}

fn names(store: &dyn All, prefix: &str) -> Vec<String> {
    store.list(&name(prefix)).unwrap().iter().map(|listed| listed.name.to_string()).collect()
}

/// Writes 0, 1, 2, … in one thread and looks in another, at least `times` each; `look` is told the number being written.
/// A panic in either ends both.
fn beside(times: usize, write: impl Fn(usize) + Sync, look: impl Fn(usize)) {
    struct SetOnDrop<'a>(&'a AtomicBool);
    impl Drop for SetOnDrop<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    let (stop, current) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            while !stop.load(Ordering::SeqCst) {
                write(current.load(Ordering::SeqCst));
                current.fetch_add(1, Ordering::SeqCst);
            }
        });
        let _stop = SetOnDrop(&stop);
        let mut looks = 0;
        while !writer.is_finished() && (looks < times || current.load(Ordering::SeqCst) < times) {
            look(current.load(Ordering::SeqCst));
            looks += 1;
        }
    });
}

fn assert_absent(store: &dyn All, at: &str) {
    assert_eq!(store.read(&name(at), ENOUGH).unwrap_err().kind, ErrorKind::NotFound, "read {at}");
    assert_eq!(store.read_range(&name(at), 0, &mut [0]).unwrap_err().kind, ErrorKind::NotFound, "read part of {at}");
    assert_eq!(store.size(&name(at)).unwrap_err().kind, ErrorKind::NotFound, "size of {at}");
    let (above, _) = at.rsplit_once('/').unwrap();
    assert!(!names(store, above).contains(&at.to_owned()), "{at} is listed");
}

fn assert_is(store: &dyn All, at: &str, bytes: &[u8]) {
    // Not `assert_eq`: nobody wants a megabyte in a message.
    assert!(store.read(&name(at), ENOUGH).unwrap() == bytes, "{at} has other bytes");
    assert_eq!(store.size(&name(at)).unwrap(), bytes.len() as u64, "size of {at}");
    let (above, _) = at.rsplit_once('/').unwrap();
    let listed = store.list(&name(above)).unwrap();
    assert!(listed.iter().any(|l| l.name.as_str() == at && l.size == bytes.len() as u64), "{at} is not listed");
}

/// An object is seen whole or not at all, at every moment up to its publication and whatever its length.
pub(crate) fn s1_atomic(make: Make<'_>) {
    let subject = make();
    let store = subject.store();
    for len in [0, 1, 5000, 3 << 20] {
        let bytes: Vec<u8> = (0..len).map(|i| (i % 251) as u8).collect();
        let at = format!("d/x/{len}");
        let mut stage = store.stage().unwrap();
        stage.append(Encoded::new(&bytes[..bytes.len() / 2])).unwrap();
        assert_absent(store, &at);
        stage.append(Encoded::new(&bytes[bytes.len() / 2..])).unwrap();
        assert_absent(store, &at);
        let staged = stage.finish(name(&at), bytes.len() as u64).unwrap();
        assert_eq!((staged.name().as_str(), staged.len()), (at.as_str(), bytes.len() as u64));
        assert_absent(store, &at);
        assert_eq!(store.publish_batch(vec![staged]).unwrap(), [Published::Created]);
        assert_is(store, &at, &bytes);
    }
    // A caller that lost bytes on the way, or counted some twice, publishes nothing.
    for wrong in [4, 6] {
        let mut stage = store.stage().unwrap();
        stage.append(Encoded::new(b"12345")).unwrap();
        assert_eq!(stage.finish(name("d/x/wrong"), wrong).unwrap_err().kind, ErrorKind::Truncated);
        assert_absent(store, "d/x/wrong");
    }
    // Whoever reads while it is published sees nothing or all of it.
    let big = vec![7; 1 << 20];
    let at = |i: usize| format!("d/y/{i}");
    let write = |i: usize| {
        put(store, &at(i), &big);
        if let Some(old) = i.checked_sub(3) {
            store.remove(&name(&at(old))).unwrap();
        }
    };
    beside(20, write, |_| {
        for listed in store.list(&name("d/y")).unwrap() {
            assert_eq!(listed.size, big.len() as u64, "{} seen in part", listed.name);
            match store.read(&listed.name, ENOUGH) {
                Ok(bytes) => assert!(bytes == big, "{} seen in part", listed.name),
                Err(error) => assert!(error.is_not_found(), "{error}"),
            }
        }
    });
}

/// What a call has published is there for every other process as soon as it returns, so nothing of a later call is seen
/// without it. Within a call, objects may become visible in any order. (That they survive a power cut is shown where the
/// store's steps can be seen: `src/storage/local/tests.rs`.)
pub(crate) fn s2_durable(make: Make<'_>) {
    let subject = make();
    let store = subject.store();
    let batch = |round: usize| (0..8).map(move |i| format!("d/{}/{round:02}-{i}", if i % 2 == 0 { "b" } else { "a" }));
    let seen_from_outside = subject.reopened();
    for round in 0..10 {
        let staged = batch(round).map(|at| stage(store, &at, at.as_bytes())).collect();
        assert_eq!(store.publish_batch(staged).unwrap(), [Published::Created; 8]);
        for at in batch(round) {
            assert_eq!(seen_from_outside.size(&name(&at)).unwrap(), at.len() as u64, "{at} is not there on return");
        }
    }
    let reopened = subject.reopened();
    for at in (0..10).flat_map(batch) {
        assert_is(&*reopened, &at, at.as_bytes());
    }
    assert_eq!(store.publish_batch(Vec::new()).unwrap(), []);
}

/// An object that exists is never changed.
pub(crate) fn s3_create_only(make: Make<'_>) {
    let subject = make();
    let store = subject.store();
    assert_eq!(put(store, "d/x/1", b"first"), Published::Created);
    for second in [&b"second"[..], b"first", b"", b"a longer one than the first"] {
        assert_eq!(put(store, "d/x/1", second), Published::Existed);
        assert_is(store, "d/x/1", b"first");
    }
    // In a batch, too: the others are published, and of two with one name the first.
    let batch = [("d/x/0", "zero"), ("d/x/1", "again"), ("d/x/2", "two"), ("d/x/2", "not this")];
    let staged = batch.map(|(at, text)| stage(store, at, text.as_bytes()));
    let expected = [Published::Created, Published::Existed, Published::Created, Published::Existed];
    assert_eq!(store.publish_batch(staged.into()).unwrap(), expected);
    for (at, text) in [("d/x/0", "zero"), ("d/x/1", "first"), ("d/x/2", "two")] {
        assert_is(store, at, text.as_bytes());
    }
    // A removed name is free again.
    store.remove(&name("d/x/1")).unwrap();
    assert_eq!(put(store, "d/x/1", b"new"), Published::Created);
    assert_is(&*subject.reopened(), "d/x/1", b"new");
}

/// An object whose name was drawn for it is created like any other.
pub(crate) fn s3_fresh_names(make: Make<'_>) {
    let subject = make();
    let store = subject.store();
    for (at, bytes) in [("d/x/sessions/1", &b"first"[..]), ("audit/files/a/b-0", b"records"), ("keys/slots/1", b"slot")]
    {
        assert_eq!(store.put_fresh(&name(at), Encoded::new(bytes)).unwrap(), Published::Created, "{at}");
        assert_is(&*subject.reopened(), at, bytes);
        assert_eq!(put(store, at, b"another"), Published::Existed, "{at}");
        assert_is(store, at, bytes);
    }
}

/// Of many that create one name at once, exactly one does, and its bytes are the object's.
pub(crate) fn s3_one_of_many_creates(make: Make<'_>) {
    const THREADS: usize = 16;
    let subject = make();
    for round in 0..20 {
        // A directory that is not there yet, so that making it is part of the race.
        let at = format!("d/{round}/race/x");
        let barrier = Barrier::new(THREADS);
        let created: Vec<usize> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS)
                .map(|i| {
                    let (subject, at, barrier) = (&subject, &at, &barrier);
                    scope.spawn(move || {
                        // Half of them as another process.
                        let other = subject.reopened();
                        let store = if i % 2 == 0 { subject.store() } else { &*other };
                        let staged = stage(store, at, &vec![i as u8; 100 + i]);
                        barrier.wait();
                        (store.publish_batch(vec![staged]).unwrap() == [Published::Created]).then_some(i)
                    })
                })
                .collect();
            threads.into_iter().filter_map(|thread| thread.join().unwrap()).collect()
        });
        let [winner] = created[..] else { panic!("round {round}: created by {created:?}") };
        assert_is(subject.store(), &at, &vec![winner as u8; 100 + winner]);
    }
}

/// Whatever is published or removed is so for every later request, from everywhere.
pub(crate) fn s4_read_after_write(make: Make<'_>) {
    let subject = make();
    let other = subject.reopened();
    for i in 0..100 {
        let at = format!("d/{}/{i}", i % 7);
        put(subject.store(), &at, at.as_bytes());
        assert_is(subject.store(), &at, at.as_bytes());
        assert_is(&*other, &at, at.as_bytes());
        if i % 3 == 0 {
            other.remove(&name(&at)).unwrap();
            assert_absent(subject.store(), &at);
            assert_absent(&*other, &at);
        }
    }
}

/// A listing is complete, sorted and by whole components.
pub(crate) fn s5_complete_listing(make: Make<'_>) {
    let subject = make();
    let store = subject.store();
    // Two full pages, and one that is not.
    let objects = 2 * subject.page() + 100;
    let mut expected = BTreeSet::new();
    for start in (0..objects).step_by(100) {
        let at = |i: usize| format!("d/ab/packs/{:02x}/{:08x}", i % 5, i.wrapping_mul(2_654_435_761) as u32);
        let staged = (start..start + 100).map(|i| stage(store, &at(i), &vec![0; i % 50])).collect();
        assert_eq!(store.publish_batch(staged).unwrap(), vec![Published::Created; 100]);
        expected.extend((start..start + 100).map(|i| (at(i), (i % 50) as u64)));
    }
    assert_eq!(expected.len(), objects);
    // Neighbours that a comparison of plain text takes for parts of it, and names that sort around the slash.
    for at in ["d/abc/1", "d/ab-c/1", "d/ab.c", "d/a/1", "d/ab/packs-x/1", "d/ab/packs.x", "d/ab/packs0", "config/1"] {
        put(store, at, b"x");
    }
    let listed = |prefix: &str| -> Vec<(String, u64)> {
        store.list(&name(prefix)).unwrap().into_iter().map(|l| (l.name.to_string(), l.size)).collect()
    };
    assert_eq!(listed("d/ab/packs"), expected.iter().cloned().collect::<Vec<_>>());
    let in_03: Vec<_> = expected.iter().filter(|(at, _)| at.starts_with("d/ab/packs/03/")).cloned().collect();
    assert_eq!(listed("d/ab/packs/03"), in_03);
    expected.extend(["d/ab/packs-x/1", "d/ab/packs.x", "d/ab/packs0"].map(|at| (at.to_owned(), 1)));
    assert_eq!(listed("d/ab"), expected.iter().cloned().collect::<Vec<_>>());
    expected.extend(["d/abc/1", "d/ab-c/1", "d/ab.c", "d/a/1"].map(|at| (at.to_owned(), 1)));
    assert_eq!(listed("d"), expected.into_iter().collect::<Vec<_>>());
    for nothing in ["e", "d/ab/pack", "d/ab/packs/0", "d/b", "z/y/x"] {
        assert_eq!(listed(nothing), [], "{nothing}");
    }
}

/// Several folders are listed as each is by itself, whatever is between them, in them and behind them.
pub(crate) fn s5_listing_together(make: Make<'_>) {
    let subject = make();
    let store = subject.store();
    let folders =
        ["d/ab/sessions", "d/ab/snapshots", "d/ab/meta", "d/ab/packs", "keys/slots", "policy", "sites", "gone"];
    let compare = |when: &str| {
        let alone = folders.map(|folder| store.list(&name(folder)).unwrap());
        for together in [&[0, 1][..], &[1, 0], &[2, 3], &[4, 5, 6], &[6, 4], &[5, 7], &[7], &[], &[0, 3, 5, 7], &[2, 1]]
        {
            let prefixes: Vec<_> = together.iter().map(|folder| name(folders[*folder])).collect();
            let listed = store.list_each(&prefixes).unwrap();
            let expected: Vec<_> = together.iter().map(|folder| alone[*folder].clone()).collect();
            assert!(listed == expected, "{when}: {prefixes:?}");
        }
    };
    compare("empty");
    for folder in &folders[..7] {
        for i in 0..3 {
            put(store, &format!("{folder}/{i:02}"), &vec![0; i]);
        }
    }
    // What a comparison of plain text takes for a part of a folder, and what lies around and between them.
    for at in
        ["d/ab/s", "d/ab/sessions-x/1", "d/ab/snapshots.x", "d/ab/seven/1", "d/ab/z/1", "k/1", "photos/1", "zzz/1"]
    {
        put(store, at, b"x");
    }
    compare("a few");
    // More than a page, first between folders, then in one of them as well.
    let many = |folder: &str| {
        let staged = (0..subject.page() + 10).map(|i| stage(store, &format!("{folder}/many-{i:05}"), b"x"));
        store.publish_batch(staged.collect()).unwrap();
    };
    many("photos");
    compare("many between");
    many("d/ab/snapshots");
    compare("many in one");
}

/// What exists throughout is listed, while others come and go beside it.
pub(crate) fn s5_listing_while_written(make: Make<'_>) {
    let subject = make();
    let store = subject.store();
    let lasting: BTreeSet<String> = (0..200).map(|i| format!("d/{}/lasting-{i}", i % 3)).collect();
    for at in &lasting {
        put(store, at, b"x");
    }
    let write = |i: usize| {
        let at = format!("d/{}/passing-{i}", i % 4);
        put(store, &at, b"y");
        store.remove(&name(&at)).unwrap();
    };
    beside(150, write, |_| {
        let seen = names(store, "d");
        assert!(seen.is_sorted_by(|a, b| a < b), "not sorted, or one twice");
        let seen: BTreeSet<String> = seen.into_iter().filter(|at| at.contains("lasting")).collect();
        assert!(seen == lasting, "missing: {:?}", lasting.difference(&seen).collect::<Vec<_>>());
    });
}

/// Absence has its own kind, and so have the other things a caller decides by.
pub(crate) fn s6_classified_errors(make: Make<'_>) {
    let subject = make();
    let store = subject.store();
    put(store, "d/x/1", b"12345");
    for at in ["d/x/2", "d/y/1", "e/1/2/3", "d/x1/1"] {
        assert_absent(store, at);
        store.remove(&name(at)).unwrap();
    }
    for (len_max, is_ok) in [(0, false), (4, false), (5, true), (6, true), (u64::MAX, true)] {
        match store.read(&name("d/x/1"), len_max) {
            Ok(bytes) => assert!(is_ok && bytes == b"12345", "at most {len_max}"),
            Err(error) => assert!(!is_ok && error.kind == ErrorKind::TooLarge, "at most {len_max}: {error}"),
        }
    }
    let error = store.read(&name("d/x/2"), 1).unwrap_err();
    assert!(error.is_not_found() && error.to_string().contains("d/x/2"), "{error}");
}

/// A range is filled exactly or is an error.
pub(crate) fn s7_exact_ranges(make: Make<'_>) {
    let subject = make();
    let store = subject.store();
    let bytes: Vec<u8> = (0..=255).collect();
    put(store, "d/x/1", &bytes);
    for (offset, len) in [(0, 256), (0, 1), (255, 1), (100, 50), (0, 0), (256, 0)] {
        let mut buf = vec![0xee; len];
        store.read_range(&name("d/x/1"), offset as u64, &mut buf).unwrap();
        assert_eq!(buf, bytes[offset..offset + len], "{len} from {offset}");
    }
    for (offset, len) in [(0, 257), (256, 1), (255, 2), (1000, 1), (257, 0), (u64::MAX, 1), (u64::MAX - 1, 300)] {
        let error = store.read_range(&name("d/x/1"), offset, &mut vec![0; len]).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Truncated, "{len} from {offset}");
    }
}

/// What was not published leaves nothing, wherever it was dropped.
pub(crate) fn s8_no_leftovers(make: Make<'_>) {
    let subject = make();
    let store = subject.store();
    put(store, "d/x/0", b"x");
    assert_eq!(subject.leftovers(), 0, "after publishing");

    drop(store.stage().unwrap());
    let mut stage_with_bytes = store.stage().unwrap();
    stage_with_bytes.append(Encoded::new(b"bytes")).unwrap();
    drop(stage_with_bytes);
    drop(stage(store, "d/x/1", b"finished"));
    assert_eq!(subject.leftovers(), 0, "after dropping");

    let mut wrong = store.stage().unwrap();
    wrong.append(Encoded::new(b"bytes")).unwrap();
    wrong.finish(name("d/x/2"), 1).unwrap_err();
    put(store, "d/x/0", b"existed");
    assert_eq!(subject.leftovers(), 0, "after an error");

    for store in [store, &*subject.reopened()] {
        assert_eq!(names(store, "d"), ["d/x/0"]);
        // Wherever a store keeps what is on its way.
        for place in ["tmp", "d", "config"] {
            let staged = stage(store, "d/x/3", b"on its way");
            assert!(names(store, place).iter().all(|at| at == "d/x/0"), "{place}");
            drop(staged);
        }
    }
    assert_eq!(subject.leftovers(), 0, "at the end");
}
