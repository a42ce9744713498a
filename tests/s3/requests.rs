//! What a command asks of a store: each thing once, nothing that can be known without asking, and at the same time what does
//! not depend on each other. The store is Garage, which does not create conditionally: the dearest case.

use crate::cluster::Gate;
use crate::home::Home;
use crate::proxy::{Proxy, Seen, When};
use crate::servers::Garage;
use std::collections::BTreeMap;

/// A machine with a repository, reached through a proxy that sees every request.
struct Watched {
    garage: Garage,
    proxy: Proxy,
    home: Home,
    repository: String,
}

impl Watched {
    fn new() -> Self {
        let garage = Garage::start("ca-central-1");
        let proxy = Proxy::start(garage.address());
        let home = Home::with_site(&garage, "watched");
        home.declare_at(&proxy.endpoint(), garage.region(), "watched", "QC").expect(0);
        let repository = format!("s3://watched/{}/web", garage.bucket());
        home.cairn(&format!("init --repo {repository}")).expect(0);
        Self { garage, proxy, home, repository }
    }

    /// Runs a command and says how often it asked for what.
    fn requests(&self, command: &str) -> BTreeMap<String, usize> {
        let before = self.proxy.requests().len();
        self.home.cairn(&format!("{command} --repo {}", self.repository)).expect(0);
        let mut counts = BTreeMap::new();
        for seen in &self.proxy.requests()[before..] {
            *counts.entry(self.about(seen)).or_default() += 1;
        }
        println!("counts: requests of `{command}`: {}, {counts:?}", counts.values().sum::<usize>());
        counts
    }

    /// What a request is about: `METHOD object`, `LIST prefix, after key`, `ASK setting`; ids and numbers are left out.
    fn about(&self, seen: &Seen) -> String {
        let decoded = seen.head.target().replace("%2F", "/");
        let (path, query) = decoded.split_once('?').unwrap_or((&decoded, ""));
        let key = path.trim_start_matches('/').strip_prefix(self.garage.bucket()).unwrap().trim_start_matches('/');
        let field = |name: &str| query.split('&').find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
        if field("list-type").is_some() {
            let after = field("start-after").map(|after| format!(", after {}", plain(after))).unwrap_or_default();
            return format!("LIST {}{after}", plain(field("prefix").unwrap_or_default()));
        }
        match (key, seen.head.method()) {
            ("", "GET") => format!("ASK {}", query.split(['=', '&']).next().unwrap()),
            (key, method) => format!("{method} {}", plain(key)).trim_end().to_owned(),
        }
    }
}

/// A key below `web`, with `*` for every part that is an id or a number.
fn plain(key: &str) -> String {
    let key = key.strip_prefix("web/").unwrap_or(key);
    let is_number = |part: &str| part.len() >= 2 && part.bytes().all(|b| b.is_ascii_hexdigit());
    let parts = key.split('/').map(|part| {
        let part = part.split_once('-').filter(|(run, _)| is_number(run)).map_or(part, |(run, _)| run);
        if is_number(part) { "*" } else { part }
    });
    parts.collect::<Vec<_>>().join("/")
}

/// Requests as they are expected.
fn expected(list: &[(usize, &str)]) -> BTreeMap<String, usize> {
    list.iter().map(|(count, what)| ((*what).to_owned(), *count)).collect()
}

/// What the gate has to know.
const QUESTIONS: [(usize, &str); 6] = [
    (1, "HEAD"),
    (1, "ASK location"),
    (1, "ASK replication"),
    (1, "ASK accelerate"),
    (1, "ASK lifecycle"),
    (1, "ASK logging"),
];

/// What opens the repository, tells what holds for it, and how much of this host's log is there.
const OPENING: [(usize, &str); 4] =
    [(1, "GET config/*"), (1, "GET keys/slots/*"), (1, "LIST , after policy/"), (1, "LIST audit/logs/*/")];

/// What begins a session, and what ends it. A cell may have been fenced and a log been written by a copy of this machine: where
/// the store does not create conditionally, these two are asked for first.
const SESSION: [(usize, &str); 7] = [
    (1, "PUT d/*/sessions/*"),
    (1, "LIST d/*/gen/"),
    (1, "LIST d/*/s, after d/*/sessions/"),
    (2, "HEAD audit/logs/*/*"),
    (2, "PUT audit/logs/*/*"),
    (1, "HEAD d/*/snapshots/*"),
    (1, "PUT d/*/snapshots/*"),
];

#[test]
fn nothing_is_asked_twice_and_little_at_all() {
    let watched = Watched::new();
    let first = watched.requests("backup src");
    let content =
        [(1, "PUT d/*/packs/*/*"), (1, "PUT d/*/meta/*/*"), (1, "PUT d/*/index/*"), (1, "PUT audit/files/*/*")];
    assert_eq!(first, expected(&[&QUESTIONS[..], &OPENING, &SESSION, &content].concat()));

    // What the first one made is in the cache of this machine.
    let mut second = watched.requests("backup src");
    second.retain(|what, _| !content.iter().any(|(_, new)| what == new));
    let known = [(1, "LIST d/*/forget/"), (1, "GET d/*/snapshots/*")];
    assert_eq!(second, expected(&[&QUESTIONS[..], &OPENING, &SESSION, &known].concat()));

    let restored = watched.requests("restore latest --target back");
    let list = [
        (1, "GET config/*"),
        (1, "GET keys/slots/*"),
        (1, "LIST d/*/snapshots/"),
        (1, "LIST d/*/forget/"),
        (2, "GET d/*/snapshots/*"),
        (2, "GET d/*/packs/*/*"),
    ];
    assert_eq!(restored, expected(&list));

    // A check believes nothing that this machine has, and reads every object once.
    let mut checked = watched.requests("check --read-data");
    let objects = ["GET d/*/packs/*/*", "GET d/*/meta/*/*", "GET d/*/index/*"].map(|what| checked.remove(what));
    assert!(objects.iter().all(Option::is_some), "{objects:?}");
    let list = [
        (1, "GET config/*"),
        (2, "GET keys/slots/*"),
        (1, "LIST config/"),
        (1, "GET keys/datasets/*"),
        (1, "LIST , after keys/slots/"),
        (1, "GET sites/watched-1"),
        (1, "LIST d/*/s, after d/*/sessions/"),
        (2, "GET d/*/sessions/*"),
        (1, "LIST d/*/forget/"),
        (2, "GET d/*/snapshots/*"),
        (1, "LIST d/*/gen/"),
        (1, "LIST d/*/, after d/*/meta/"),
    ];
    assert_eq!(checked, expected(&list));
}

/// None of the answers that a backup begins with is needed for another of these questions: all are under way before the first is
/// answered, and nothing is sent before they are.
#[test]
fn questions_that_do_not_depend_on_each_other_are_asked_at_once() {
    let watched = Watched::new();
    let gate = Gate::default();
    watched.proxy.add(When::any(), gate.action());
    let before = watched.proxy.requests().len();
    let running = watched.home.start(&format!("backup --repo {} src", watched.repository));
    let all = QUESTIONS.len() + OPENING.len();
    watched.proxy.wait_until(|seen| seen.len() == before + all);
    let asked: BTreeMap<String, usize> =
        watched.proxy.requests()[before..].iter().map(|seen| (watched.about(seen), 1)).collect();
    assert_eq!(asked, expected(&[&QUESTIONS[..], &OPENING].concat()));
    gate.open();
    running.end().expect(0);
}

/// What a machine remembers is where it looks first and nothing more: a key that was removed opens nothing, and one that was
/// added since is found.
#[test]
fn what_is_remembered_is_not_believed() {
    let watched = Watched::new();
    let repository = &watched.repository;
    watched.home.cairn(&format!("backup --repo {repository} src")).expect(0);
    let added = watched.home.cairn(&format!("key add --output second.key --repo {repository} --json")).expect(0);
    let second = added.object()["slot_id"].as_str().unwrap().to_owned();
    // The one that was used last is remembered.
    watched.home.cairn(&format!("snapshots --key-file second.key --repo {repository}")).expect(0);
    watched.home.cairn(&format!("snapshots --repo {repository}")).expect(0);
    watched.home.cairn(&format!("snapshots --key-file second.key --repo {repository}")).expect(0);
    watched.home.cairn(&format!("key remove {second} --repo {repository}")).expect(0);
    watched.home.cairn(&format!("snapshots --key-file second.key --repo {repository}")).expect(12);
    watched.home.cairn(&format!("snapshots --repo {repository}")).expect(0).says("1 snapshot");
    let before = watched.proxy.requests().len();
    watched.home.cairn(&format!("snapshots --repo {repository}")).expect(0);
    let listed = watched.proxy.requests()[before..].iter().filter(|seen| watched.about(seen).contains("slots")).count();
    assert_eq!(listed, 1, "the slot that opened it is asked for, and no other");
}
