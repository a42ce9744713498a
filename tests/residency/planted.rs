//! That the table of endpoints can fail: matchers as they are often written, each of which has to get cases wrong that
//! the real one gets right.

use crate::cases::{admit, endpoint_cases};
use cairn::residency::{Pin, Policy, table};

/// A host is a table host in the eyes of a matcher.
type Weak = fn(text: &str, host: &str) -> bool;

/// Texts that must stay out and get in by this matcher.
fn let_in(weak: Weak) -> Vec<String> {
    let hosts: Vec<&str> = table::rows().filter(|row| row.off.is_none()).flat_map(|row| row.hosts).copied().collect();
    let cases = endpoint_cases().into_iter().filter(|(expected, _)| expected.is_err());
    cases.map(|(_, text)| text).filter(|text| hosts.iter().any(|host| weak(text, host))).collect()
}

#[test]
fn weak_matchers_are_caught_by_the_table() {
    let matchers: [(&str, Weak); 6] = [
        ("suffix", |text, host| text.ends_with(host)),
        ("prefix", |text, host| text.starts_with(host)),
        ("substring", |text, host| text.contains(host)),
        ("what stands before the first slash", |text, host| text.split(['/', '?', '#']).next() == Some(host)),
        ("what stands behind the last at sign", |text, host| text.rsplit('@').next() == Some(host)),
        ("trimmed", |text, host| text.trim() == host),
    ];
    let policy = Policy::new(Pin::Canada);
    for (name, weak) in matchers {
        let wrong = let_in(weak);
        assert!(!wrong.is_empty(), "no case tells the {name} matcher from the real one");
        assert!(wrong.iter().all(|text| admit(text, &policy).is_err()), "{name}");
        println!("counts: residency planted: a matcher by {name} lets {} cases in", wrong.len());
    }
}
