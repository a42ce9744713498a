//! What holds for every text: no panic, one reading, and no way in from near a good host.

use crate::cases::{admit, declarations, endpoint_cases};
use crate::random;
use cairn::residency::{
    BucketName, CanadianEndpoint, EndpointCandidate, Origin, Pin, Policy, ReachableEndpoint, Scheme, table,
};
use proptest::collection::vec;
use proptest::prelude::any;
use proptest::sample::select;
use std::collections::BTreeMap;

/// Exact hosts of the rows that are on and need no declaration, with their ids.
fn hosts() -> BTreeMap<String, String> {
    let policy = Policy::new(Pin::Canada);
    let sites = table::sites().into_iter().map(|site| (site.origin.host().to_owned(), site.id));
    sites.filter(|(host, _)| admit(host, &policy).is_ok()).collect()
}

/// What has to hold for a text, whatever it is.
fn check(text: &str) {
    let _ = BucketName::parse(text);
    if let Ok(origin) = Origin::parse(text) {
        assert_eq!(Origin::parse(&origin.to_string()).as_ref(), Ok(&origin), "{text:?}");
        assert!(text.to_ascii_lowercase().contains(origin.host()) || origin.host().starts_with('['), "{text:?}");
        assert!(!origin.host().contains(['/', '@', '%', '?', '#', '\\', ' ']) && origin.port() != 0, "{text:?}");
    }
    let Ok(candidate) = EndpointCandidate::of_site(text) else { return };
    let policy = Policy::new(Pin::Canada);
    let reachable = ReachableEndpoint::resolve(&candidate, &declarations(), &policy);
    let Ok(endpoint) = CanadianEndpoint::admit(&candidate, &declarations(), &policy) else { return };
    // Whatever gets in is a host of the table or exactly what was declared.
    let site = endpoint.site();
    assert_eq!(reachable.unwrap().origin(), &site.origin, "{text:?}");
    match &site.declaration {
        Some(declared) => assert!(declarations().contains(declared), "{text:?}"),
        None => {
            assert_eq!((site.origin.scheme(), site.origin.port()), (Scheme::Https, 443), "{text:?}");
            let row = table::rows().find(|row| row.id() == site.id).unwrap();
            let labels = |text: &str| text.split('.').map(str::to_owned).collect::<Vec<_>>();
            let like = |pattern: &&str| {
                let (pattern, host) = (labels(pattern), labels(site.origin.host()));
                pattern.len() == host.len() && pattern.iter().zip(&host).all(|(p, h)| p.contains('{') || p == h)
            };
            assert!(row.hosts.contains(&site.origin.host()) || row.patterns.iter().any(like), "{text:?}");
        }
    }
}

#[test]
fn one_byte_away_is_another_host_of_the_table_or_out() {
    let hosts = hosts();
    let policy = Policy::new(Pin::Canada);
    let full = random::cases(1) > 1;
    let (mut tried, mut admitted) = (0, 0);
    for host in hosts.keys() {
        for at in 0..=host.len() {
            // Every seventh, and all of them in a full run.
            for byte in (0..=127_u8).filter(|byte| full || (at + usize::from(*byte)) % 7 == 0) {
                let c = char::from(byte);
                let replaced = host.get(at + 1..).map(|rest| format!("{}{c}{rest}", &host[..at]));
                let inserted = Some(format!("{}{c}{}", &host[..at], &host[at..]));
                let removed = host.get(at + 1..).map(|rest| format!("{}{rest}", &host[..at]));
                for text in [replaced, inserted, removed].into_iter().flatten() {
                    tried += 1;
                    let Ok(candidate) = EndpointCandidate::of_site(&text) else { continue };
                    let Ok(found) = CanadianEndpoint::admit(&candidate, &[], &policy) else { continue };
                    let found = &found.site().id;
                    admitted += 1;
                    // Spellings of the host itself: letter case, and the one dot at the end.
                    let plain = text.to_ascii_lowercase();
                    let plain = plain.strip_suffix('.').unwrap_or(&plain);
                    assert_eq!(hosts.get(plain), Some(found), "{text:?} became {found}");
                }
            }
        }
    }
    assert!(admitted > 0 && hosts.len() >= 20);
    println!(
        "counts: residency neighbours: {tried} texts one byte away from {} hosts, none leads elsewhere",
        hosts.len()
    );
}

#[test]
fn every_case_and_what_surrounds_it() {
    for (_, text) in endpoint_cases() {
        check(&text);
        for around in ["x", ".", "/", "@", ":", " ", "\0", "http://", "https://", "é"] {
            check(&format!("{around}{text}"));
            check(&format!("{text}{around}"));
        }
    }
}

#[test]
fn any_text() {
    random::check("residency any text", 2000, &any::<String>(), |text| check(&text));
}

#[test]
fn any_text_like_a_host() {
    let texts = "(https?://)?[a-zA-Z0-9.:@%/_\\[\\]-]{0,80}(:[0-9]{0,6})?/?";
    random::check("residency texts like hosts", 2000, &texts, |text| check(&text));
}

#[test]
fn any_chain_of_known_labels() {
    let chains = vec(select(labels()), 1..9);
    random::check("residency chains of labels", 5000, &chains, |labels| check(&labels.join(".")));
}

/// Every label that occurs in the table, and some that an attacker would add.
fn labels() -> Vec<String> {
    let rows: Vec<_> = table::rows().collect();
    let hosts = rows.iter().flat_map(|row| row.hosts.iter().chain(row.patterns).chain(row.bucket_patterns));
    let mut labels: Vec<String> = hosts.flat_map(|host| host.split('.')).map(str::to_owned).collect();
    labels.extend(["evil", "us-east-1", "bucket", "vpce-1", "xn--a", "example", ""].map(str::to_owned));
    labels.sort();
    labels.dedup();
    labels
}
