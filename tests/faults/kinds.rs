//! What can happen to a request, and what an operation may come to because of it.

use crate::proxy::{Action, Answer};
use std::time::Duration;

/// What a fault is to an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sort {
    /// It costs time only, however often it happens.
    Harmless,
    /// It goes away when the request is repeated: once is nothing, always is an error.
    Passing,
    /// As `Passing`, and the client waits for it: its time-outs are made short for the test.
    Silent,
    /// As `Silent`, where there is a body that can stall.
    Stalling,
    /// The answer is whole and not what the store said. Without TLS nobody else notices: damage that is named, or nothing.
    Altered,
    /// The store says no.
    Denied,
    /// The answer leads somewhere else: nothing is sent any more.
    Elsewhere,
}

/// A kind of fault.
#[derive(Debug, Clone)]
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) action: Action,
    pub(crate) sort: Sort,
}

/// Every kind. `byte` is where bits are flipped; `elsewhere` is the second server's address.
pub(crate) fn kinds(byte: u64, elsewhere: &str) -> Vec<Kind> {
    use Sort::{Altered, Denied, Elsewhere, Harmless, Passing, Silent, Stalling};
    let mut kinds = Vec::new();
    let mut add = |name, sort, action| kinds.push(Kind { name, action, sort });
    let error = |status, code| Action::Answer(Answer::error(status, code));

    add("latency", Harmless, Action::Latency(Duration::from_millis(30)));
    add("slow answer", Harmless, Action::SlowAnswer(1 << 20));
    add("slow request", Harmless, Action::SlowRequest(1 << 20));

    add("reset", Passing, Action::Reset);
    add("reset in the body", Passing, Action::ResetInBody(1000));
    add("answer dropped", Passing, Action::DropAnswer);
    add("answer cut at its beginning", Passing, Action::Truncate(0));
    add("answer cut", Passing, Action::Truncate(1 + byte % 300));
    add("length too long", Passing, Action::WrongLength(7));
    add("bit of the request", Passing, Action::FlipRequest(byte));
    add("500", Passing, error(500, "InternalError"));
    add("502", Passing, error(502, "BadGateway"));
    add("503", Passing, error(503, "SlowDown"));
    add("503, to come again", Passing, Action::Answer(Answer::error(503, "SlowDown").retry_after(1)));
    add("429", Passing, error(429, "TooManyRequests"));
    add("success with an error in it", Passing, Action::Answer(Answer::error_in_success("InternalError")));
    // A network that wants somebody to log in.
    let page = "<html><body>Sign in to the network</body></html>";
    add("another server's page", Passing, Action::Answer(Answer::new(200).body(page)));

    add("no answer", Silent, Action::Hang);
    add("answer that stalls", Stalling, Action::SlowAnswer(1));
    add("request that stalls", Stalling, Action::SlowRequest(1));

    add("bit of the answer", Altered, Action::FlipAnswer(byte));
    add("length too short", Altered, Action::WrongLength(-7));
    let tagged = Answer::new(200).field("ETag", "\"5f-abc\"").body(page);
    add("another server's page with a tag", Altered, Action::Answer(tagged));

    add("403", Denied, error(403, "AccessDenied"));
    add("400", Denied, error(400, "InvalidRequest"));
    add("404 of no store", Denied, Action::Answer(Answer::new(404)));

    let away = format!("http://{elsewhere}/elsewhere");
    for (name, status) in [("301", 301), ("302", 302), ("307", 307), ("308", 308)] {
        add(name, Elsewhere, Action::Answer(Answer::redirect(status, &away)));
    }
    add("301 to a region", Elsewhere, Action::Answer(Answer::other_region(elsewhere, "us-east-1")));
    add("signed for the wrong region", Elsewhere, Action::Answer(Answer::malformed_authorization("us-east-1")));
    add("another region's header", Elsewhere, Action::Header("x-amz-bucket-region".into(), "us-east-1".into()));
    kinds
}
