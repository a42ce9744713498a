//! S3 storage with a proxy between it and a real server that breaks one request: what is acknowledged is there, what was
//! done and not acknowledged is known for our own, and no answer leads anywhere else.

use crate::proxy::{Action, Answer, Proxy, Sink, When};
use crate::servers::{Garage, Moto};
use crate::site::Site;
use crate::suite::{self, name};
use cairn::object::Encoded;
use cairn::storage::s3::{CreateMode, Timeouts};
use cairn::storage::{ErrorKind, Fetch as _, Publish as _, Published, Remove as _};
use std::time::Duration;

/// Whose idle time is short, because a request that hangs has to be waited for. Nothing here measures it.
fn impatient() -> Timeouts {
    Timeouts { idle: Duration::from_secs(2), ..Timeouts::default() }
}

/// What a network or an overloaded store does to a request, and what passes.
fn passing() -> Vec<Action> {
    vec![
        Action::Reset,
        Action::ResetInBody(1000),
        Action::DropAnswer,
        Action::Answer(Answer::error(500, "InternalError")),
        Action::Answer(Answer::error(502, "BadGateway")),
        Action::Answer(Answer::error(503, "SlowDown").retry_after(1)),
        Action::Answer(Answer::error(429, "TooManyRequests")),
        Action::Answer(Answer::error_in_success("InternalError")),
        Action::Answer(Answer::new(200).body("<html>Sign in to the network</html>")),
        Action::Hang,
    ]
}

#[test]
fn an_object_is_created_once_whatever_happens_to_the_request() {
    let garage = Garage::start("ca-central-1");
    let proxy = Proxy::start(garage.address());
    let mut site = Site::at(&garage, &proxy.endpoint());
    site.options.timeouts = impatient();
    let bytes: Vec<u8> = (0..300_000u32).map(|i| (i % 251) as u8).collect();
    let mut faults = passing();
    faults.push(Action::FlipRequest(100_000));
    // A pack, which nobody looks for first, and an object that somebody else might have made.
    for at in ["d/x/packs/00", "d/x/snapshots"] {
        for (number, fault) in faults.iter().enumerate() {
            let both = site.open(garage.bucket(), "");
            let at = name(&format!("{at}/{number}"));
            let broken = proxy.add(When::any().method("PUT").nth(0), fault.clone());
            assert_eq!(both.put_new(&at, Encoded::new(&bytes)).unwrap(), Published::Created, "{fault:?}");
            assert_eq!(proxy.counts(broken).requests, 1, "{fault:?}");
            assert!(both.read(&at, 1 << 20).unwrap() == bytes, "{fault:?}");
            proxy.clear();
        }
    }
    let listed = site.reach(garage.bucket(), "").list(&name("d")).unwrap();
    assert_eq!(listed.len(), 2 * faults.len());
    assert!(listed.iter().all(|one| one.size == 300_000), "{listed:?}");
}

/// A name that was drawn for its object is not asked for first, where every other one is. What became of a request that was
/// lost is found out all the same.
#[test]
fn a_fresh_name_is_not_asked_for_and_a_lost_answer_still_is() {
    let garage = Garage::start("ca-central-1");
    let proxy = Proxy::start(garage.address());
    for mode in [CreateMode::Window, CreateMode::Unknown] {
        let mut site = Site::at(&garage, &proxy.endpoint());
        site.options.create = mode;
        site.options.timeouts = impatient();
        let both = site.open(garage.bucket(), &format!("{mode:?}").to_lowercase());
        let since = |before: usize| -> Vec<String> {
            proxy.requests()[before..].iter().map(|seen| seen.head.method().to_owned()).collect()
        };
        let before = proxy.requests().len();
        assert_eq!(both.put_fresh(&name("d/x/sessions/1"), Encoded::new(b"mine")).unwrap(), Published::Created);
        assert_eq!(since(before), ["PUT"], "{mode:?}");
        let before = proxy.requests().len();
        assert_eq!(both.put_new(&name("d/x/snapshots/1"), Encoded::new(b"mine")).unwrap(), Published::Created);
        assert_eq!(since(before), ["HEAD", "PUT"], "{mode:?}");

        for (number, fault) in passing().into_iter().enumerate() {
            let at = name(&format!("d/x/sessions/lost-{number}"));
            proxy.add(When::any().method("PUT").nth(0), fault.clone());
            let before = proxy.requests().len();
            assert_eq!(both.put_fresh(&at, Encoded::new(b"mine")).unwrap(), Published::Created, "{mode:?} {fault:?}");
            assert_eq!(both.read(&at, 100).unwrap(), b"mine", "{mode:?} {fault:?}");
            let puts = since(before).iter().filter(|method| *method == "PUT").count();
            let was_done = matches!(fault, Action::DropAnswer);
            assert_eq!(puts, if was_done { 1 } else { 2 }, "{mode:?} {fault:?}: what was done is not done again");
            proxy.clear();
        }
    }
}

/// The story of many a backup tool: the answer to a conditional PUT is lost, the repetition is told that the object is
/// there, and the run ends with "somebody else has written it".
#[test]
fn an_own_success_is_known_and_that_of_somebody_else_too() {
    let moto = Moto::start();
    let proxy = Proxy::start(moto.address());
    for (mode, mine) in [(CreateMode::Conditional, "mine"), (CreateMode::Unknown, "also mine")] {
        let mut site = Site::at(&moto, &proxy.endpoint());
        site.options.create = mode;
        let both = site.open(moto.bucket(), &format!("{mode:?}").to_lowercase());
        proxy.add(When::any().method("PUT").nth(0), Action::DropAnswer);
        let at = name("d/x/snapshots/1");
        assert_eq!(both.put_new(&at, Encoded::new(mine.as_bytes())).unwrap(), Published::Created, "{mode:?}");
        proxy.clear();

        let other = Site::new(&moto).open(moto.bucket(), &format!("{mode:?}").to_lowercase());
        let at = name("d/x/snapshots/2");
        assert_eq!(other.put_new(&at, Encoded::new(b"theirs")).unwrap(), Published::Created);
        // Nothing of it is known when the request goes, so the first attempt cannot tell whose object answers the second.
        proxy.add(When::any().method("HEAD").target("snapshots/2").nth(0), Action::Answer(not_found()));
        proxy.add(When::any().method("PUT").nth(0), Action::Reset);
        assert_eq!(both.put_new(&at, Encoded::new(mine.as_bytes())).unwrap(), Published::Existed, "{mode:?}");
        assert_eq!(both.read(&at, 100).unwrap(), b"theirs");
        proxy.clear();
    }
}

fn not_found() -> Answer {
    Answer::new(404)
}

#[test]
fn reads_are_repeated_until_they_are_whole() {
    let garage = Garage::start("ca-central-1");
    let proxy = Proxy::start(garage.address());
    let mut site = Site::at(&garage, &proxy.endpoint());
    site.options.timeouts = impatient();
    let both = site.open(garage.bucket(), "");
    let bytes: Vec<u8> = (0..300_000u32).map(|i| (i % 251) as u8).collect();
    let staged = (0..20).map(|i| suite::stage(&both, &format!("d/x/packs/{i:02}"), &bytes)).collect();
    both.publish_batch(staged).unwrap();
    let at = name("d/x/packs/07");
    let mut faults = passing();
    faults.extend([0, 1, 500].map(Action::Truncate));
    faults.extend([1, 1000].map(Action::WrongLength));
    for fault in faults {
        let broken = proxy.add(When::any().nth(0), fault.clone());
        assert!(both.read(&at, 1 << 20).unwrap() == bytes, "{fault:?}");
        let mut part = vec![0; 1000];
        let again = proxy.add(When::any().nth(0), fault.clone());
        both.read_range(&at, 100_000, &mut part).unwrap();
        assert!(part == bytes[100_000..101_000], "{fault:?}");
        let listing = proxy.add(When::any().nth(0), fault.clone());
        assert_eq!(both.list(&name("d")).unwrap().len(), 20, "{fault:?}");
        for rule in [broken, again, listing] {
            assert_eq!(proxy.counts(rule).requests, 1, "{fault:?}");
        }
        proxy.clear();
    }
}

#[test]
fn no_answer_leads_anywhere_else() {
    let garage = Garage::start("ca-central-1");
    let proxy = Proxy::start(garage.address());
    let sink = Sink::start();
    let away = format!("{}/{}/d/x", sink.endpoint(), garage.bucket());
    let mut hints: Vec<(String, Action)> = [301, 302, 307, 308]
        .map(|status| (status.to_string(), Action::Answer(Answer::redirect(status, &away))))
        .to_vec();
    let elsewhere = sink.address().to_string();
    hints.push(("other region".into(), Action::Answer(Answer::other_region(&elsewhere, "us-east-1"))));
    hints.push(("malformed".into(), Action::Answer(Answer::malformed_authorization("us-east-1"))));
    hints.push(("header".into(), Action::Header("x-amz-bucket-region".into(), "us-east-1".into())));
    let before = Site::new(&garage).open(garage.bucket(), "");
    before.put_new(&name("d/x/old"), Encoded::new(b"old")).unwrap();
    let content = vec![7; 100_000];
    for (number, (what, hint)) in hints.into_iter().enumerate() {
        // In an answer to something that is sent, and in one to something that is read.
        for method in ["PUT", "GET"] {
            let both = Site::at(&garage, &proxy.endpoint()).open(garage.bucket(), "");
            proxy.add(When::any().method(method).nth(0), hint.clone());
            let at = name(&format!("d/x/packs/{number}-{}", method.to_lowercase()));
            if method == "GET" {
                let read = both.read(&name("d/x/old"), 10);
                assert_eq!(read.is_ok(), what == "header", "{what}");
                assert!(read.is_ok_and(|bytes| bytes == b"old") || what != "header", "{what}");
            } else {
                let published = both.put_new(&at, Encoded::new(&content));
                // The header comes with the acknowledgement: that object is there, and it is the last.
                assert_eq!(published.is_ok(), what == "header", "{what}: {published:?}");
                if let Err(error) = published {
                    assert_eq!(error.kind, ErrorKind::Refused, "{what}: {error}");
                }
            }
            proxy.clear();
            let sent = proxy.requests().iter().filter(|seen| seen.head.method() == "PUT").count();
            let error = both.put_new(&name("d/x/packs/next"), Encoded::new(&content)).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Refused, "{what} {method}: {error}");
            let after = proxy.requests().iter().filter(|seen| seen.head.method() == "PUT").count();
            assert_eq!(after, sent, "{what} {method}: nothing more is sent");
            assert!(!both.storage.hints().is_empty());
            assert_eq!(both.read(&name("d/x/old"), 10).unwrap(), b"old", "{what} {method}: reading goes on");
            both.remove(&at).unwrap();
        }
    }
    assert_eq!((sink.connections(), sink.bytes()), (0, 0));
    // The sink does count what reaches it.
    let to_sink = Site::at(&garage, &sink.endpoint()).reach(garage.bucket(), "");
    to_sink.check_bucket().unwrap();
    assert!(sink.connections() > 0);
}

/// A server whose clock is elsewhere gets requests with its own time.
#[test]
fn a_skewed_clock_is_put_right() {
    let garage = Garage::start("ca-central-1");
    let proxy = Proxy::start(garage.address());
    let both = Site::at(&garage, &proxy.endpoint()).open(garage.bucket(), "");
    let skewed = Answer::error(403, "RequestTimeTooSkewed").field("Date", "Sun, 22 Nov 2026 05:00:00 GMT");
    proxy.add(When::any().method("PUT").nth(0), Action::Answer(skewed));
    // Whether Garage likes the time that it was told is its business; it is the one that was asked for.
    let _ = both.put_new(&name("d/x/packs/1"), Encoded::new(b"x"));
    let puts: Vec<String> = proxy
        .requests()
        .iter()
        .filter(|seen| seen.head.method() == "PUT")
        .map(|seen| seen.head.get("x-amz-date").unwrap_or_default().to_owned())
        .collect();
    // It may be asked once more, as after any 400, with the digest that locked buckets want.
    assert!(puts.len() == 2 || puts.len() == 3, "{puts:?}");
    assert!(puts[1..].iter().all(|time| time.starts_with("20261122T05")), "{puts:?}");
}

/// What is signed is the body that is sent, also over plain HTTP.
#[test]
fn every_body_is_signed() {
    let garage = Garage::start("ca-central-1");
    let proxy = Proxy::start(garage.address());
    let both = Site::at(&garage, &proxy.endpoint()).open(garage.bucket(), "");
    both.put_new(&name("d/x/packs/1"), Encoded::new(b"x")).unwrap();
    let requests = proxy.requests();
    let put = requests.iter().find(|seen| seen.head.method() == "PUT").unwrap();
    // sha256 of "x".
    let expected = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881";
    assert_eq!(put.head.get("x-amz-content-sha256"), Some(expected));
    assert_eq!(put.head.get("if-none-match"), Some("*"));
    let names: Vec<&str> = requests.iter().filter_map(|seen| seen.head.get("x-amz-checksum-crc32")).collect();
    assert!(names.is_empty() && put.head.get("x-amz-trailer").is_none(), "no checksums beside it");
}
