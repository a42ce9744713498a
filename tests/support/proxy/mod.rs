//! A proxy on loopback that stands between a client and a server and does to chosen requests what networks, overloaded
//! stores and foreign machines do; and a second server, which counts what reaches it although nothing should.
//!
//! Plain HTTP/1.1 with kept connections, bodies by length or in chunks, and `Expect: 100-continue`. Every request gets a
//! connection of its own to the server, so what is broken for one request is not broken for the next. Requests are
//! numbered in the order in which their heads arrive.
#![allow(dead_code, unreachable_pub, missing_docs, reason = "each test uses its part")]
#![allow(clippy::unwrap_used, reason = "tests")]

mod answer;
mod exchange;
mod http;
mod listener;
mod rules;
mod sink;
mod tls;

pub use answer::Answer;
pub use http::Head;
pub use rules::{Action, Counts, RuleId, Seen, When};
pub use sink::{Received, Sink};
pub use tls::Tls;

use exchange::Exchange;
use listener::Listener;
use rules::Log;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// A proxy in front of a server.
pub struct Proxy {
    listener: Listener,
    log: Arc<Log>,
}

impl Proxy {
    /// Starts a proxy in front of `server` that passes everything on until it has rules.
    pub fn start(server: SocketAddr) -> Self {
        let log = Arc::new(Log::default());
        let exchange = Exchange { server, log: Arc::clone(&log) };
        let listener = Listener::start(move |client, number| exchange.serve(&client, number)).expect("a free port");
        Self { listener, log }
    }

    pub fn address(&self) -> SocketAddr {
        self.listener.address()
    }

    /// As a URL.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address())
    }

    /// Adds a rule. The first rule that fits a request counts; each counts the requests that fit it by itself.
    pub fn add(&self, when: When, action: Action) -> RuleId {
        self.log.add(when, action)
    }

    /// Passes everything on again; counts stay.
    pub fn clear(&self) {
        self.log.clear();
    }

    /// Makes every request, and every new connection, wait: as long as a round trip takes.
    pub fn set_latency(&self, latency: Duration) {
        self.log.set_latency(latency);
    }

    /// Answers from now on as if the bucket were in `region`: its location, and a header in every answer.
    pub fn pretend_region(&self, region: &str) {
        self.add(When::any().method("GET").target("?location"), Action::Answer(Answer::location(region)));
        self.add(When::any(), Action::Header("x-amz-bucket-region".into(), region.into()));
    }

    /// Ends every connection, as when the network goes away for a moment.
    pub fn cut(&self) {
        self.listener.sockets().cut();
    }

    /// All requests so far, in the order of their arrival.
    pub fn requests(&self) -> Vec<Seen> {
        self.log.requests()
    }

    /// What a rule was applied to.
    pub fn counts(&self, rule: RuleId) -> Counts {
        self.log.counts(rule)
    }

    /// What came over each connection, in the order in which they were made.
    pub fn connections(&self) -> Vec<Counts> {
        self.log.connections()
    }

    /// Waits until the requests so far fulfil a condition.
    ///
    /// # Panics
    /// After two minutes.
    pub fn wait_until(&self, condition: impl Fn(&[Seen]) -> bool) {
        self.log.wait_until(condition);
    }
}
