//! Every fault, seen from both sides: what the client gets, and what the server got.

use crate::client::{Client, follow, once};
use crate::proxy::{Action, Answer, Proxy, Sink, When};
use std::io::ErrorKind;
use std::time::Duration;

const CONTENT: usize = 200_000;

/// A server whose answers have `CONTENT` bytes, and a proxy that does something to the second request and no other.
fn second(action: Action) -> (Sink, Proxy) {
    let origin = Sink::answering(|received| match received.head.method() {
        "GET" => Answer::new(200).body(vec![7; CONTENT]),
        _ => Answer::new(200),
    });
    let proxy = Proxy::start(origin.address());
    let rule = proxy.add(When::any().nth(1), action);
    assert_eq!(once(proxy.address(), "GET /", b"").unwrap().body, vec![7; CONTENT]);
    assert_eq!(proxy.counts(rule).requests, 0);
    (origin, proxy)
}

/// The third request is as good as the first.
fn recovered(proxy: &Proxy) {
    assert_eq!(once(proxy.address(), "GET /", b"").unwrap().body, vec![7; CONTENT]);
    assert_eq!(proxy.requests().len(), 3);
}

/// The bodies that reached the server with its second request.
fn got(origin: &Sink) -> Option<(Vec<u8>, bool)> {
    origin.requests().into_iter().find(|r| r.head.method() == "PUT").map(|r| (r.body, r.is_whole))
}

#[test]
fn a_reset_before_the_answer_reaches_no_server() {
    for body in [&[][..], &vec![1; CONTENT][..]] {
        let (origin, proxy) = second(Action::Reset);
        let error = once(proxy.address(), "PUT /", body).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        assert_eq!(got(&origin), None);
        assert_eq!(proxy.requests()[1].body_bytes, body.len() as u64);
        assert_eq!(proxy.requests()[1].status, None);
        recovered(&proxy);
    }
}

#[test]
fn a_reset_in_the_body_leaves_the_server_a_part() {
    // At the latest before the last byte: a whole request would be another fault.
    for at in [0, 1, 100_000, u64::MAX] {
        let (origin, proxy) = second(Action::ResetInBody(at));
        let mut client = Client::connect(proxy.address());
        // Sending may fail already.
        let result = client.send_request("PUT /", "", &vec![1; CONTENT]);
        let error = result.and_then(|()| client.reply("PUT").map(|_| ())).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{error}");
        recovered(&proxy);
        assert!(origin.content_bytes() < CONTENT as u64);
        assert!(got(&origin).is_none_or(|(_, is_whole)| !is_whole));
    }
}

#[test]
fn a_dropped_acknowledgement_has_happened() {
    let (origin, proxy) = second(Action::DropAnswer);
    let error = once(proxy.address(), "PUT /", &[3; CONTENT]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert_eq!(got(&origin), Some((vec![3; CONTENT], true)));
    recovered(&proxy);
}

#[test]
fn a_truncated_answer_ends_early() {
    for at in [0, 1, 65_536, CONTENT as u64 - 1] {
        let (_origin, proxy) = second(Action::Truncate(at));
        let mut client = Client::connect(proxy.address());
        let error = client.request("GET /", b"").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
        recovered(&proxy);
    }
    // Nothing to cut but the head.
    let (origin, proxy) = second(Action::Truncate(0));
    assert_eq!(once(proxy.address(), "PUT /", b"abc").unwrap_err().kind(), ErrorKind::UnexpectedEof);
    assert_eq!(got(&origin), Some((b"abc".to_vec(), true)));
    recovered(&proxy);
}

#[test]
fn a_flipped_bit_is_one_bit() {
    for (at, index) in [(0, 0), (150_000, 150_000), (CONTENT as u64 + 5, 5)] {
        let mut expected = vec![7; CONTENT];
        expected[index] ^= 1;
        let (_origin, proxy) = second(Action::FlipAnswer(at));
        assert_eq!(once(proxy.address(), "GET /", b"").unwrap().body, expected);
        recovered(&proxy);
        let (origin, proxy) = second(Action::FlipRequest(at));
        assert_eq!(once(proxy.address(), "PUT /", &[7; CONTENT]).unwrap().head.status(), 200);
        assert_eq!(got(&origin), Some((expected, true)));
        recovered(&proxy);
    }
}

#[test]
fn errors_that_the_server_never_made() {
    let cases = [
        (Answer::error(500, "InternalError"), 500, "<Code>InternalError</Code>", ""),
        (Answer::error(503, "SlowDown"), 503, "<Code>SlowDown</Code>", ""),
        (Answer::error(503, "SlowDown").retry_after(2), 503, "<Code>SlowDown</Code>", "retry-after"),
        (Answer::error(429, "TooManyRequests"), 429, "<Code>TooManyRequests</Code>", ""),
        (Answer::error(429, "TooManyRequests").retry_after(1), 429, "<Code>TooManyRequests</Code>", "retry-after"),
        (Answer::error_in_success("InternalError"), 200, "<Code>InternalError</Code>", ""),
        (Answer::malformed_authorization("us-east-1"), 400, "<Region>us-east-1</Region>", "x-amz-bucket-region"),
        (Answer::other_region("b.s3.example", "us-east-1"), 301, "<Endpoint>b.s3.example<", "x-amz-bucket-region"),
        (Answer::location("us-west-2"), 200, ">us-west-2</LocationConstraint>", ""),
    ];
    for (answer, status, text, field) in cases.clone() {
        let (origin, proxy) = second(Action::Answer(answer));
        // The connection is still good, whatever the answer.
        let mut client = Client::connect(proxy.address());
        let reply = client.request("PUT /", &[1; CONTENT]).unwrap();
        assert_eq!(reply.head.status(), status);
        assert!(String::from_utf8_lossy(&reply.body).contains(text), "{text}");
        assert!(field.is_empty() || reply.head.get(field).is_some(), "{field}");
        assert_eq!(reply.head.get("location"), None);
        assert_eq!(got(&origin), None);
        assert_eq!(client.request("GET /", b"").unwrap().body.len(), CONTENT);
        let (_origin, proxy) = second(Action::Answer(Answer::error(status, "X")));
        assert_eq!(once(proxy.address(), "HEAD /", b"").unwrap().body, b"");
    }
    println!("counts: proxy: {} made-up answers", cases.len());
}

/// The positive control of every test that asks for zero bytes at a second server: a client that follows redirects does
/// send its content there, and the server counts it.
#[test]
fn redirects_lead_careless_clients_to_the_second_server() {
    let mut sent = 0;
    for status in [301, 302, 307, 308] {
        let foreign = Sink::start();
        let location = format!("{}/elsewhere", foreign.endpoint());
        let (origin, proxy) = second(Action::Answer(Answer::redirect(status, &location)));
        let reply = once(proxy.address(), "PUT /x", &[1; CONTENT]).unwrap();
        assert_eq!((reply.head.status(), reply.head.get("location")), (status, Some(location.as_str())));
        assert_eq!((foreign.connections(), foreign.bytes(), foreign.content_bytes()), (0, 0, 0));
        assert_eq!(got(&origin), None);
        recovered(&proxy);
        let (_origin, proxy) = second(Action::Answer(Answer::redirect(status, &location)));
        assert_eq!(follow(proxy.address(), "PUT /x", &[1; CONTENT]).unwrap().head.status(), 200);
        assert_eq!(foreign.content_bytes(), CONTENT as u64);
        assert_eq!(foreign.requests()[0].head.target(), "/elsewhere");
        sent += foreign.content_bytes();
    }
    // What is no HTTP counts as well.
    let foreign = Sink::start();
    let mut client = Client::connect(foreign.address());
    client.send(b"\x16\x03\x01\x02\x00\x01\n").unwrap();
    foreign.wait_for_bytes(7);
    drop(client);
    assert_eq!((foreign.bytes(), foreign.content_bytes()), (7, 0));
    println!("counts: second server: 0 content bytes from 4 careful clients, {sent} from 4 careless ones");
}

#[test]
fn answers_with_a_foreign_region() {
    let (origin, proxy) = second(Action::Header("x-amz-bucket-region".into(), "us-east-1".into()));
    let reply = once(proxy.address(), "PUT /", b"abc").unwrap();
    assert_eq!((reply.head.status(), reply.head.get("x-amz-bucket-region")), (200, Some("us-east-1")));
    assert_eq!(got(&origin), Some((b"abc".to_vec(), true)));
    recovered(&proxy);
}

#[test]
fn a_wrong_length_is_noticed_by_those_who_look() {
    let (_origin, proxy) = second(Action::WrongLength(5));
    assert_eq!(once(proxy.address(), "GET /", b"").unwrap_err().kind(), ErrorKind::UnexpectedEof);
    recovered(&proxy);
    let (_origin, proxy) = second(Action::WrongLength(-5));
    let mut client = Client::connect(proxy.address());
    assert_eq!(client.request("GET /", b"").unwrap().body.len(), CONTENT - 5);
    recovered(&proxy);
}

/// Slow ways change nothing but the time. That it took some is seen by what had arrived in between, not by a clock.
#[test]
fn slow_and_late_is_complete() {
    for action in [
        Action::Latency(Duration::from_millis(50)),
        Action::SlowAnswer(2_000_000),
        Action::SlowRequest(2_000_000),
        Action::Forward,
    ] {
        let (origin, proxy) = second(action);
        proxy.set_latency(Duration::from_millis(1));
        let mut client = Client::connect(proxy.address());
        assert_eq!(client.request("PUT /", &[1; CONTENT]).unwrap().head.status(), 200);
        assert_eq!(got(&origin), Some((vec![1; CONTENT], true)));
        assert_eq!(client.request("GET /", b"").unwrap().body, vec![7; CONTENT]);
    }
    let (_origin, proxy) = second(Action::SlowAnswer(20_000));
    let mut client = Client::connect(proxy.address());
    client.send_request("GET /", "", b"").unwrap();
    proxy.wait_until(|seen| seen.len() == 2 && seen[1].status == Some(200));
    // Ten seconds' worth is under way; its owner's end does not wait for them.
    drop(proxy);
    assert!(client.reply("GET").is_err());
}

#[test]
fn a_hanging_request_ends_with_its_client_or_its_proxy() {
    let (origin, proxy) = second(Action::Hang);
    let mut client = Client::connect(proxy.address());
    client.send_request("PUT /", "", b"abc").unwrap();
    proxy.wait_until(|seen| seen.len() == 2 && seen[1].body_bytes == 3);
    drop(client);
    recovered(&proxy);
    proxy.add(When::any().target("/hang"), Action::Hang);
    let mut client = Client::connect(proxy.address());
    client.send_request("GET /hang", "", b"").unwrap();
    proxy.wait_until(|seen| seen.len() == 4);
    drop(proxy);
    assert!(client.reply("GET").is_err());
    assert_eq!(got(&origin), None);
}

#[test]
fn a_cut_ends_all_connections_and_no_more() {
    let (_origin, proxy) = second(Action::Forward);
    let mut client = Client::connect(proxy.address());
    client.request("GET /", b"").unwrap();
    proxy.cut();
    assert!(client.request("GET /", b"").is_err());
    recovered(&proxy);
}
