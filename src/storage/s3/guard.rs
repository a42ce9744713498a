//! The guard at the last place before the network: what may be sent where, and which answers end all sending.
//!
//! A request leaves only for the one scheme, host and port of the verified endpoint, and only about the one bucket. No
//! redirect is followed, no region is discovered: an answer that hints at another place stops sending for the rest of
//! the run, whatever the verdict said before. Reading goes on, object by object; what is read is sealed and checked
//! against its id anyway.

use crate::residency::{Addressing, BucketName, ReachableEndpoint};
use crate::storage::s3::xml;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// Why the guard let something not pass.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum GuardStop {
    /// A request for another place than the verified endpoint. Nothing was sent.
    #[error("a request to {asked} was stopped, only {allowed} is contacted")]
    ForeignHost {
        /// Where it wanted to go.
        asked: String,
        /// Where it may go.
        allowed: String,
    },
    /// A request that changes the store without a signed hash of its body. Nothing was sent.
    #[error("a request whose body is not signed was stopped")]
    Unsigned,
    /// Sending was stopped earlier in this run.
    #[error("sending was stopped in this run: {0}")]
    Stopped(String),
    /// The store answered with a redirect.
    #[error("the store answered {status}, a redirect{}; redirects are never followed", to(.location, .region))]
    Redirect {
        /// HTTP status.
        status: u16,
        /// Header `Location`, if any.
        location: Option<String>,
        /// Header `x-amz-bucket-region`, if any.
        region: Option<String>,
    },
    /// A part of an object that does not say which part it is, or one that nobody asked for.
    #[error("the store answered 206 {0}")]
    BadPart(&'static str),
}

fn to(location: &Option<String>, region: &Option<String>) -> String {
    match (location, region) {
        (Some(location), _) => format!(" to {location}"),
        (None, Some(region)) => format!(" to region {region}"),
        (None, None) => String::new(),
    }
}

/// Error codes that mean: the bucket, or the right to talk about it, is somewhere else.
const ELSEWHERE: [&str; 5] = [
    "AuthorizationHeaderMalformed",
    "IllegalLocationConstraintException",
    "PermanentRedirect",
    "Redirect",
    "TemporaryRedirect",
];

/// Questions about the bucket whose answers are kept as they came, since an empty one must not pass for "none".
const KEPT: [&str; 7] = ["accelerate", "lifecycle", "location", "logging", "object-lock", "replication", "versioning"];

/// Which bucket a request is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subject {
    /// The one that was verified.
    Own,
    /// Another one, only asked for its region, at the same endpoint.
    Other,
}

/// What the guard looks at of a request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) method: &'a str,
    pub(super) uri: &'a str,
    pub(super) host: Option<&'a str>,
    pub(super) body_hash: Option<&'a str>,
    pub(super) has_body: bool,
    pub(super) has_range: bool,
}

/// What the guard looks at of an answer, before its body.
#[derive(Debug, Clone, Copy)]
pub(super) struct Answered<'a> {
    pub(super) status: u16,
    pub(super) region: Option<&'a str>,
    pub(super) location: Option<&'a str>,
    pub(super) content_range: Option<&'a str>,
}

#[derive(Debug, Default)]
struct State {
    stopped: Option<String>,
    hints: Vec<String>,
    kept: HashMap<&'static str, Vec<u8>>,
}

/// The guard of one bucket at one endpoint.
#[derive(Debug)]
pub(super) struct Guard {
    scheme: &'static str,
    /// Where requests about the bucket go.
    authority: String,
    /// The endpoint itself, where another bucket may be asked about.
    endpoint: String,
    addressing: Addressing,
    bucket: String,
    /// What the store may state as location, in lower case.
    codes: Vec<String>,
    state: Mutex<State>,
    has_answered: AtomicBool,
}

impl Guard {
    /// The guard of this bucket at this endpoint.
    pub(super) fn new(endpoint: &ReachableEndpoint, bucket: &BucketName) -> Self {
        let addressing = addressing(endpoint, bucket);
        let bare = endpoint.origin().authority();
        let authority = match addressing {
            Addressing::Path => bare.clone(),
            Addressing::VirtualHost => format!("{bucket}.{bare}"),
        };
        let stated = endpoint.sending().map(|site| site.site().location_codes.clone()).unwrap_or_default();
        let codes = stated.iter().map(String::as_str).chain([endpoint.signing_region()]);
        Self {
            scheme: endpoint.origin().scheme().as_str(),
            authority,
            endpoint: bare,
            addressing,
            bucket: bucket.as_str().to_owned(),
            codes: codes.map(str::to_ascii_lowercase).collect(),
            state: Mutex::default(),
            has_answered: AtomicBool::new(false),
        }
    }

    /// Whether a request may go out, and which bucket it is about.
    pub(super) fn check_request(&self, asked: &Asked<'_>) -> Result<Subject, GuardStop> {
        let foreign = || GuardStop::ForeignHost {
            asked: place_of(asked.uri).to_owned(),
            allowed: format!("{}://{}", self.scheme, self.authority),
        };
        let (scheme, rest) = asked.uri.split_once("://").ok_or_else(foreign)?;
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        if scheme != self.scheme || asked.host.is_some_and(|host| host != authority) {
            return Err(foreign());
        }
        let is_own = match self.addressing {
            Addressing::VirtualHost => authority == self.authority,
            Addressing::Path => {
                let after = path.strip_prefix('/').and_then(|path| path.strip_prefix(self.bucket.as_str()));
                authority == self.authority && after.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?']))
            }
        };
        if !is_own {
            let is_question = asked.method == "HEAD" && !asked.has_body && authority == self.endpoint;
            return if is_question { Ok(Subject::Other) } else { Err(foreign()) };
        }
        if !["GET", "HEAD", "DELETE"].contains(&asked.method) {
            if let Some(why) = self.stopped() {
                return Err(GuardStop::Stopped(why));
            }
            let is_hash = |hash: &str| hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_hexdigit());
            if !asked.body_hash.is_some_and(is_hash) {
                return Err(GuardStop::Unsigned);
            }
        }
        Ok(Subject::Own)
    }

    /// Whether an answer may be read on. Stops sending when it hints at another place.
    pub(super) fn check_answer(
        &self,
        subject: Subject,
        asked_range: bool,
        answered: &Answered<'_>,
    ) -> Result<(), GuardStop> {
        self.has_answered.store(true, Ordering::Relaxed);
        if subject == Subject::Other {
            return Ok(());
        }
        if let Some(region) = answered.region.filter(|region| self.is_elsewhere(region)) {
            self.stop(format!(
                "the store stated region {region} for the bucket, in an answer of status {}",
                answered.status
            ));
        }
        if (300..400).contains(&answered.status) {
            let owned = |text: Option<&str>| text.map(str::to_owned);
            let stop = GuardStop::Redirect {
                status: answered.status,
                location: owned(answered.location),
                region: owned(answered.region),
            };
            self.stop(stop.to_string());
            return Err(stop);
        }
        match (answered.status, asked_range, answered.content_range) {
            (206, false, _) => Err(GuardStop::BadPart("to a request for the whole object")),
            (206, true, None) => Err(GuardStop::BadPart("without saying which part of the object it is")),
            _ => Ok(()),
        }
    }

    /// Looks at the text of an error. Stops sending when it hints at another place.
    pub(super) fn check_error(&self, subject: Subject, status: u16, body: &[u8]) {
        if subject == Subject::Other || xml::root(body) != Some("Error") {
            return;
        }
        let code = xml::first(body, "Code").unwrap_or_default();
        let region = xml::first(body, "Region").filter(|region| self.is_elsewhere(region));
        let endpoint = xml::first(body, "Endpoint").filter(|text| !self.is_ours(text));
        if ELSEWHERE.contains(&code) || region.is_some() || endpoint.is_some() {
            let hint = |name: &str, value: Option<&str>| value.map(|v| format!(", {name} {v}")).unwrap_or_default();
            let (region, endpoint) = (hint("region", xml::first(body, "Region")), hint("endpoint", endpoint));
            self.stop(format!("the store answered {status} {code}{region}{endpoint}"));
        }
    }

    fn is_elsewhere(&self, region: &str) -> bool {
        !region.is_empty() && !self.codes.contains(&region.to_ascii_lowercase())
    }

    fn is_ours(&self, endpoint: &str) -> bool {
        endpoint.is_empty() || endpoint == self.authority || endpoint == self.endpoint
    }

    /// Stops sending for the rest of the run. The first reason stays.
    pub(super) fn stop(&self, why: String) {
        let mut state = self.lock();
        if !state.hints.contains(&why) {
            state.hints.push(why.clone());
        }
        state.stopped.get_or_insert(why);
    }

    /// Why sending was stopped, if it was.
    pub(super) fn stopped(&self) -> Option<String> {
        self.lock().stopped.clone()
    }

    /// Everything that hinted at another place so far.
    pub(super) fn hints(&self) -> Vec<String> {
        self.lock().hints.clone()
    }

    /// Whether the endpoint has ever answered anything.
    pub(super) fn has_answered(&self) -> bool {
        self.has_answered.load(Ordering::Relaxed)
    }

    /// Which question about the bucket a request is, if its answer is to be kept.
    pub(super) fn question(&self, uri: &str) -> Option<&'static str> {
        let first = uri.split_once('?')?.1.split(['&', '=']).next()?;
        KEPT.into_iter().find(|question| *question == first)
    }

    /// Keeps an answer as it came.
    pub(super) fn keep(&self, question: &'static str, body: Vec<u8>) {
        self.lock().kept.insert(question, body);
    }

    /// The answer kept last; it is forgotten.
    pub(super) fn take_kept(&self, question: &str) -> Option<Vec<u8>> {
        self.lock().kept.remove(question)
    }

    /// Every change is one insertion, so the state is whole even if a thread died holding it.
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How this bucket is named in requests: in the path where the endpoint wants that, where it is an address, and where a
/// certificate for one label would not cover the name.
pub(super) fn addressing(endpoint: &ReachableEndpoint, bucket: &BucketName) -> Addressing {
    if bucket.as_str().contains('.') || endpoint.origin().is_address() {
        Addressing::Path
    } else {
        endpoint.addressing()
    }
}

/// Scheme and authority of a URI: nothing else of it belongs in a message.
fn place_of(uri: &str) -> &str {
    let start = uri.find("://").map_or(0, |at| at + 3);
    let end = uri[start..].find(['/', '?', '#']).map_or(uri.len(), |at| start + at);
    &uri[..end]
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::residency::{EndpointCandidate, Origin, Pin, Policy};

    const HASH: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn guard(origin: &str) -> Guard {
        let candidate = EndpointCandidate::of_origin(Origin::parse(origin).unwrap());
        let endpoint = ReachableEndpoint::resolve(&candidate, &[], &Policy::new(Pin::Canada)).unwrap();
        let mut guard = Guard::new(&endpoint, &BucketName::parse("backups").unwrap());
        guard.codes = vec!["ca-central-1".into()];
        guard
    }

    fn virtual_host() -> Guard {
        let mut guard = guard("https://s3.ca-central-1.amazonaws.com");
        guard.addressing = Addressing::VirtualHost;
        guard.authority = format!("backups.{}", guard.endpoint);
        guard
    }

    fn asked<'a>(method: &'a str, uri: &'a str) -> Asked<'a> {
        Asked { method, uri, host: None, body_hash: None, has_body: false, has_range: false }
    }

    fn answered(status: u16) -> Answered<'static> {
        Answered { status, region: None, location: None, content_range: None }
    }

    #[test]
    fn requests_go_to_one_place() {
        let path = guard("http://127.0.0.1:3900");
        for uri in ["backups/d/x", "backups", "backups/", "backups?location", "backups/?list-type=2"] {
            let uri = format!("http://127.0.0.1:3900/{uri}");
            assert_eq!(path.check_request(&asked("GET", &uri)), Ok(Subject::Own), "{uri}");
        }
        let host = virtual_host();
        let own = "https://backups.s3.ca-central-1.amazonaws.com/d/x?a=b";
        assert_eq!(host.check_request(&asked("GET", own)), Ok(Subject::Own));
        for (guard, uri) in [
            (&path, "https://127.0.0.1:3900/backups/x"),
            (&path, "http://127.0.0.1/backups/x"),
            (&path, "http://127.0.0.1:39000/backups/x"),
            (&path, "http://127.0.0.1:3900@evil.example/backups/x"),
            (&path, "http://127.0.0.1:3900.evil.example/backups/x"),
            (&path, "http://localhost:3900/backups/x"),
            (&path, "http://127.0.0.1:3900/backups2/x"),
            (&path, "http://127.0.0.1:3900/other/backups/x"),
            (&path, "http://127.0.0.1:3900/"),
            (&path, "/backups/x"),
            (&path, ""),
            (&host, "https://s3.ca-central-1.amazonaws.com/backups/x"),
            (&host, "https://other.s3.ca-central-1.amazonaws.com/x"),
            (&host, "https://backups.s3.us-east-1.amazonaws.com/x"),
            (&host, "https://backups.s3.ca-central-1.amazonaws.com:8443/x"),
            (&host, "https://backups.s3.ca-central-1.amazonaws.com.evil.example/x"),
            (&host, "http://backups.s3.ca-central-1.amazonaws.com/x"),
            (&host, "https://backups.s3-accelerate.amazonaws.com/x"),
        ] {
            let stop = guard.check_request(&asked("GET", uri)).unwrap_err();
            assert!(matches!(stop, GuardStop::ForeignHost { .. }), "{uri}: {stop}");
            let signed = Asked { body_hash: Some(HASH), has_body: true, ..asked("PUT", uri) };
            assert!(guard.check_request(&signed).is_err(), "{uri}");
        }
        let lied = Asked { host: Some("evil.example"), ..asked("GET", own) };
        assert!(host.check_request(&lied).is_err(), "another name in the header than in the address");
    }

    #[test]
    fn another_bucket_is_only_asked_about_at_the_same_endpoint() {
        for (guard, uri) in [
            (guard("http://127.0.0.1:3900"), "http://127.0.0.1:3900/copies"),
            (virtual_host(), "https://s3.ca-central-1.amazonaws.com/copies"),
        ] {
            assert_eq!(guard.check_request(&asked("HEAD", uri)), Ok(Subject::Other));
            assert!(guard.check_request(&asked("GET", uri)).is_err());
            assert!(guard.check_request(&Asked { has_body: true, ..asked("HEAD", uri) }).is_err());
            let away = Answered { region: Some("us-east-1"), ..answered(301) };
            assert_eq!(guard.check_answer(Subject::Other, false, &away), Ok(()));
            assert_eq!(guard.stopped(), None, "what another bucket is like says nothing about ours");
        }
    }

    #[test]
    fn a_body_leaves_only_signed() {
        let guard = guard("https://store.example");
        let put = |hash| Asked { body_hash: hash, has_body: true, ..asked("PUT", "https://store.example/backups/x") };
        assert_eq!(guard.check_request(&put(Some(HASH))), Ok(Subject::Own));
        for hash in [None, Some("UNSIGNED-PAYLOAD"), Some("STREAMING-UNSIGNED-PAYLOAD-TRAILER"), Some(&HASH[1..])] {
            assert_eq!(guard.check_request(&put(hash)), Err(GuardStop::Unsigned), "{hash:?}");
        }
    }

    #[test]
    fn hints_of_another_place_end_sending_and_not_reading() {
        type Case = (&'static str, fn(&Guard) -> Result<(), GuardStop>);
        let cases: [Case; 9] = [
            ("301", |g| g.check_answer(Subject::Own, false, &answered(301))),
            ("302", |g| g.check_answer(Subject::Own, false, &answered(302))),
            ("307", |g| {
                g.check_answer(Subject::Own, false, &Answered { location: Some("https://b/"), ..answered(307) })
            }),
            ("308", |g| g.check_answer(Subject::Own, false, &answered(308))),
            ("header", |g| {
                g.check_answer(Subject::Own, false, &Answered { region: Some("us-east-1"), ..answered(200) })
            }),
            ("malformed", |g| {
                let body = b"<Error><Code>AuthorizationHeaderMalformed</Code><Region>ca-central-1</Region></Error>";
                g.check_error(Subject::Own, 400, body);
                Ok(())
            }),
            ("region", |g| {
                let body = b"<Error><Code>AccessDenied</Code><Region>eu-west-1</Region></Error>";
                g.check_error(Subject::Own, 403, body);
                Ok(())
            }),
            ("endpoint", |g| {
                let body = b"<Error><Code>X</Code><Endpoint>backups.s3.us-east-2.amazonaws.com</Endpoint></Error>";
                g.check_error(Subject::Own, 400, body);
                Ok(())
            }),
            ("constraint", |g| {
                g.check_error(Subject::Own, 400, b"<Error><Code>IllegalLocationConstraintException</Code></Error>");
                Ok(())
            }),
        ];
        for (name, case) in cases {
            let guard = guard("https://store.example");
            let result = case(&guard);
            assert_eq!(result.is_err(), name.starts_with('3'), "{name}");
            assert!(guard.stopped().is_some() && guard.hints().len() == 1, "{name}");
            let put = Asked { body_hash: Some(HASH), ..asked("PUT", "https://store.example/backups/x") };
            assert!(matches!(guard.check_request(&put), Err(GuardStop::Stopped(_))), "{name}");
            for method in ["GET", "HEAD", "DELETE"] {
                let request = asked(method, "https://store.example/backups/x");
                assert_eq!(guard.check_request(&request), Ok(Subject::Own), "{name} {method}");
            }
        }
    }

    #[test]
    fn ordinary_answers_end_nothing() {
        let guard = guard("https://store.example");
        for status in [200, 204, 206, 400, 403, 404, 409, 412, 416, 429, 500, 503] {
            let answer =
                Answered { region: Some("CA-Central-1"), content_range: Some("bytes 0-1/2"), ..answered(status) };
            assert_eq!(guard.check_answer(Subject::Own, true, &answer), Ok(()), "{status}");
        }
        for body in [
            &b"<Error><Code>AccessDenied</Code><Region>ca-central-1</Region><Endpoint>store.example</Endpoint></Error>"
                [..],
            b"<html>PermanentRedirect</html>",
            b"",
            b"\xff",
        ] {
            guard.check_error(Subject::Own, 403, body);
        }
        assert_eq!(guard.stopped(), None);
    }

    #[test]
    fn a_part_says_which_part_it_is() {
        let guard = guard("https://store.example");
        let part = |range| Answered { content_range: range, ..answered(206) };
        assert_eq!(guard.check_answer(Subject::Own, true, &part(Some("bytes 0-1/2"))), Ok(()));
        assert!(guard.check_answer(Subject::Own, true, &part(None)).is_err());
        assert!(guard.check_answer(Subject::Own, false, &part(Some("bytes 0-1/2"))).is_err());
    }

    #[test]
    fn questions_about_settings_are_recognised() {
        let guard = guard("https://store.example");
        assert_eq!(guard.question("https://store.example/backups?location"), Some("location"));
        assert_eq!(guard.question("https://store.example/backups/?logging=&x-id=a"), Some("logging"));
        assert_eq!(guard.question("https://store.example/backups/logging"), None);
        assert_eq!(guard.question("https://store.example/backups?list-type=2&prefix=location"), None);
        guard.keep("location", b"x".to_vec());
        assert_eq!(guard.take_kept("location"), Some(b"x".to_vec()));
        assert_eq!(guard.take_kept("location"), None);
    }
}
