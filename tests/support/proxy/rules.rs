//! What is to happen to which requests, and what has happened.

use super::answer::Answer;
use super::http::Head;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What happens to a request.
#[derive(Clone)]
pub enum Action {
    /// Nothing; it is counted.
    Forward,
    /// It waits before it is passed on.
    Latency(Duration),
    /// It is read, the connection breaks, and the server never hears of it.
    Reset,
    /// The connection breaks after so many bytes of its body, at the latest before the last: the server gets a part.
    /// Without a body: as [`Action::Reset`].
    ResetInBody(u64),
    /// The server gets it and does it; the connection breaks in place of the answer.
    DropAnswer,
    /// The answer ends after so many bytes of its body. An answer without body ends in the middle of its head.
    Truncate(u64),
    /// A bit of the answer's body is another one, in the byte of this number (counted round if the body is shorter).
    FlipAnswer(u64),
    /// A bit of the request's body is another one.
    FlipRequest(u64),
    /// The proxy answers; the server never hears of it. The request's body is read first, unless the client waits for a
    /// leave to send it.
    Answer(Answer),
    /// The server's answer gets a field, or another value of it.
    Header(String, String),
    /// The answer's body comes at so many bytes a second.
    SlowAnswer(u64),
    /// The request's body goes on at so many bytes a second.
    SlowRequest(u64),
    /// Nothing is ever answered; ends when the client or the proxy does.
    Hang,
    /// The answer's `Content-Length` is off by so much.
    WrongLength(i64),
    /// Something is done, then the request is passed on.
    Call(Arc<dyn Fn() + Send + Sync>),
}

impl fmt::Debug for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forward => write!(f, "forward"),
            Self::Latency(wait) => write!(f, "latency {wait:?}"),
            Self::Reset => write!(f, "reset"),
            Self::ResetInBody(at) => write!(f, "reset after {at} bytes"),
            Self::DropAnswer => write!(f, "answer dropped"),
            Self::Truncate(at) => write!(f, "answer cut after {at} bytes"),
            Self::FlipAnswer(at) => write!(f, "bit flipped in byte {at} of the answer"),
            Self::FlipRequest(at) => write!(f, "bit flipped in byte {at} of the request"),
            Self::Answer(answer) => write!(f, "answered {}", answer.status()),
            Self::Header(name, value) => write!(f, "{name}: {value}"),
            Self::SlowAnswer(rate) => write!(f, "answer at {rate} bytes/s"),
            Self::SlowRequest(rate) => write!(f, "request at {rate} bytes/s"),
            Self::Hang => write!(f, "hang"),
            Self::WrongLength(off) => write!(f, "length off by {off}"),
            Self::Call(_) => write!(f, "call"),
        }
    }
}

/// Which requests a rule is for.
#[derive(Debug, Clone, Default)]
pub struct When {
    method: Option<String>,
    target: Option<String>,
    field: Option<(String, String)>,
    skip: usize,
    times: Option<usize>,
}

impl When {
    pub fn any() -> Self {
        Self::default()
    }

    pub fn method(mut self, method: &str) -> Self {
        self.method = Some(method.into());
        self
    }

    /// Whose path and query contain this.
    pub fn target(mut self, part: &str) -> Self {
        self.target = Some(part.into());
        self
    }

    /// With a header field whose value contains `part`.
    pub fn field(mut self, name: &str, part: &str) -> Self {
        self.field = Some((name.into(), part.into()));
        self
    }

    /// Only the one of this number among those that fit (from 0).
    pub fn nth(self, number: usize) -> Self {
        self.after(number).times(1)
    }

    /// Not the first so many.
    pub fn after(mut self, count: usize) -> Self {
        self.skip = count;
        self
    }

    /// At most so many.
    pub fn times(mut self, count: usize) -> Self {
        self.times = Some(count);
        self
    }

    fn fits(&self, head: &Head) -> bool {
        self.method.as_ref().is_none_or(|method| head.method() == method)
            && self.target.as_ref().is_none_or(|part| head.target().contains(part.as_str()))
            && self.field.as_ref().is_none_or(|(name, part)| head.get(name).is_some_and(|value| value.contains(part)))
    }
}

/// A rule's name in the proxy that it was given to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuleId(usize);

/// Requests, and bytes of their bodies as far as they were read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub requests: u64,
    pub body_bytes: u64,
}

/// A request as it was seen.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Which connection it came over, from 0.
    pub connection: usize,
    pub head: Head,
    /// The rule that was applied.
    pub rule: Option<RuleId>,
    /// Bytes of its body that were read so far.
    pub body_bytes: u64,
    /// The status that the client was answered, as soon as it was.
    pub status: Option<u16>,
}

impl Seen {
    /// The first line.
    pub fn line(&self) -> &str {
        &self.head.start
    }
}

struct Rule {
    when: When,
    action: Action,
    /// How many requests fitted so far.
    seen: usize,
    counts: Counts,
    is_active: bool,
}

#[derive(Default)]
struct Inner {
    rules: Vec<Rule>,
    requests: Vec<Seen>,
    connections: Vec<Counts>,
    latency: Duration,
}

/// Rules and requests of one proxy.
#[derive(Default)]
pub struct Log {
    inner: Mutex<Inner>,
    changed: Condvar,
}

/// A request that has arrived: its number, and what is to be done.
pub struct Arrival {
    pub number: usize,
    pub action: Action,
    pub latency: Duration,
}

impl Log {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn add(&self, when: When, action: Action) -> RuleId {
        let mut inner = self.lock();
        inner.rules.push(Rule { when, action, seen: 0, counts: Counts::default(), is_active: true });
        RuleId(inner.rules.len() - 1)
    }

    pub fn clear(&self) {
        self.lock().rules.iter_mut().for_each(|rule| rule.is_active = false);
    }

    pub fn set_latency(&self, latency: Duration) {
        self.lock().latency = latency;
    }

    pub fn requests(&self) -> Vec<Seen> {
        self.lock().requests.clone()
    }

    pub fn counts(&self, rule: RuleId) -> Counts {
        self.lock().rules[rule.0].counts
    }

    pub fn connections(&self) -> Vec<Counts> {
        self.lock().connections.clone()
    }

    pub fn wait_until(&self, condition: impl Fn(&[Seen]) -> bool) {
        let (inner, timeout) = self
            .changed
            .wait_timeout_while(self.lock(), Duration::from_secs(120), |inner| !condition(&inner.requests))
            .unwrap_or_else(PoisonError::into_inner);
        let count = inner.requests.len();
        drop(inner);
        assert!(!timeout.timed_out(), "what was waited for did not come; {count} requests did");
    }

    /// A connection was made; returns how long it takes.
    pub fn connected(&self, connection: usize) -> Duration {
        let mut inner = self.lock();
        if inner.connections.len() <= connection {
            inner.connections.resize(connection + 1, Counts::default());
        }
        inner.latency
    }

    /// Takes a request down and finds what is to be done with it.
    pub fn arrive(&self, connection: usize, head: &Head) -> Arrival {
        let mut inner = self.lock();
        let mut found = None;
        for (index, rule) in inner.rules.iter_mut().enumerate().filter(|(_, rule)| rule.is_active) {
            if !rule.when.fits(head) {
                continue;
            }
            rule.seen += 1;
            let number = rule.seen - 1;
            let applies =
                number >= rule.when.skip && rule.when.times.is_none_or(|times| number < rule.when.skip + times);
            if applies && found.is_none() {
                rule.counts.requests += 1;
                found = Some((RuleId(index), rule.action.clone()));
            }
        }
        let (rule, action) = found.map_or((None, Action::Forward), |(id, action)| (Some(id), action));
        inner.connections[connection].requests += 1;
        inner.requests.push(Seen { connection, head: head.clone(), rule, body_bytes: 0, status: None });
        let arrival = Arrival { number: inner.requests.len() - 1, action, latency: inner.latency };
        drop(inner);
        self.changed.notify_all();
        arrival
    }

    /// Bytes of a request's body were read.
    pub fn add_body(&self, request: usize, bytes: u64) {
        let mut guard = self.lock();
        let inner = &mut *guard;
        let seen = &mut inner.requests[request];
        seen.body_bytes += bytes;
        inner.connections[seen.connection].body_bytes += bytes;
        if let Some(rule) = seen.rule {
            inner.rules[rule.0].counts.body_bytes += bytes;
        }
        drop(guard);
        self.changed.notify_all();
    }

    /// The client was answered.
    pub fn answered(&self, request: usize, status: u16) {
        self.lock().requests[request].status = Some(status);
        self.changed.notify_all();
    }
}
