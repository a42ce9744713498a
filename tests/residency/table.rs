//! The table itself: complete, without contradictions, and held against the cases.

use crate::cases::endpoint_cases;
use cairn::residency::table::row::Class;
use cairn::residency::{CanadianEndpoint, EndpointCandidate, Pin, Policy, Province, table};
use std::collections::BTreeSet;

#[test]
fn every_host_and_every_pattern_has_a_case_that_gets_in() {
    let cases = endpoint_cases();
    let on = || table::rows().filter(|row| row.off.is_none() && row.class != Class::Declare);
    for row in on() {
        let id = row.id();
        let texts: BTreeSet<&str> =
            cases.iter().filter(|(expected, _)| *expected == Ok(id.as_str())).map(|(_, text)| text.as_str()).collect();
        for host in row.hosts {
            assert!(texts.contains(host), "{id}: {host} has no case");
        }
        for pattern in row.patterns {
            let (before, after) = (pattern.split('{').next().unwrap(), pattern.rsplit('}').next().unwrap());
            assert!(texts.iter().any(|text| text.starts_with(before) && text.ends_with(after)), "{id}: {pattern}");
        }
    }
    assert_eq!(on().filter(|row| row.class == Class::Pinned).count(), 12);
    assert_eq!(on().filter(|row| row.class == Class::Verify).count(), 2);
    assert_eq!(table::rows().filter(|row| row.off.is_some()).count(), 4);
}

#[test]
fn no_host_stands_twice_and_none_is_refused() {
    let hosts: Vec<&str> = table::rows().flat_map(|row| row.hosts).copied().collect();
    assert_eq!(hosts.iter().collect::<BTreeSet<_>>().len(), hosts.len());
    let ids: Vec<String> = table::rows().map(|row| row.id()).collect();
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());
    let policy = Policy::new(Pin::Canada);
    for row in table::rows().filter(|row| row.off.is_none() && row.class != Class::Declare) {
        for host in row.hosts {
            let candidate = EndpointCandidate::of_site(host).unwrap();
            assert_eq!(CanadianEndpoint::admit(&candidate, &[], &policy).unwrap().site().id, row.id(), "{host}");
        }
    }
}

#[test]
fn rows_are_well_formed() {
    for row in table::rows() {
        let id = row.id();
        assert!(row.province.is_empty() || Province::parse(row.province).is_some(), "{id}");
        assert!(!row.province.is_empty() || row.class == Class::Declare || row.off.is_some(), "{id}: no province");
        assert!([row.city, row.operator, row.jurisdiction, row.evidence].iter().all(|text| !text.is_empty()), "{id}");
        for host in row.hosts.iter().chain(row.patterns).chain(row.bucket_patterns) {
            assert_eq!(*host, host.to_lowercase(), "{id}");
            assert!(!host.contains("..") && !host.starts_with('.') && !host.ends_with('.'), "{id}: {host}");
            assert_eq!(host.matches('{').count(), host.matches('}').count(), "{id}: {host}");
        }
        assert!(row.hosts.iter().all(|host| !host.contains('{')), "{id}: a pattern among the hosts");
        assert!(row.location_codes.iter().all(|code| !code.is_empty() && *code != "us-east-1"), "{id}");
    }
}

#[test]
fn one_code_two_provinces() {
    let province = |id: &str| {
        let candidate = EndpointCandidate::of_site(id).unwrap();
        let endpoint = CanadianEndpoint::admit(&candidate, &[], &Policy::new(Pin::Canada)).unwrap();
        (endpoint.site().signing_region.clone(), endpoint.site().place.province.map(|province| province.as_str()))
    };
    assert_eq!(province("aws:ca-central-1"), ("ca-central-1".to_owned(), Some("QC")));
    assert_eq!(province("wasabi:ca-central-1"), ("ca-central-1".to_owned(), Some("ON")));
}

#[test]
fn sites_are_the_exact_hosts() {
    let sites = table::sites();
    let hosts: usize = table::rows().filter(|row| row.off.is_none()).map(|row| row.hosts.len()).sum();
    assert_eq!(sites.len(), hosts);
    let first = sites.iter().find(|site| site.id == "aws:ca-central-1").unwrap();
    assert_eq!(first.origin.to_string(), "https://s3.ca-central-1.amazonaws.com");
    assert!(sites.iter().all(|site| site.evidence.contains(table::version().compiled)));
}

#[test]
fn the_version_is_the_same_in_every_call() {
    assert_eq!(table::version(), table::version());
    assert_ne!(table::version().hash, [0; 32]);
}

#[test]
fn the_documentation_lists_every_row() {
    let document = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/residency.md")).unwrap();
    for row in table::rows() {
        let id = row.id();
        if row.off.is_some() {
            assert!(document.contains(&format!("`{id}`")), "{id}");
            continue;
        }
        let line =
            document.lines().find(|line| line.starts_with(&format!("| `{id}` |"))).unwrap_or_else(|| panic!("{id}"));
        let answers: Vec<&str> = row.answers.iter().map(|check| check.name()).collect();
        let answers = if answers.is_empty() { "none confirmed".to_owned() } else { answers.join(", ") };
        let place =
            if row.province.is_empty() { row.city.to_owned() } else { format!("{}, {}", row.city, row.province) };
        let us_parent = row.us_parent.map_or("unknown", |yes| if yes { "yes" } else { "no" });
        let cells = [place.as_str(), row.class.name(), &answers, row.jurisdiction, us_parent, row.grade.name()];
        let found: Vec<&str> = line.split('|').map(str::trim).skip(2).take(cells.len()).collect();
        assert_eq!(found, cells, "{id}");
    }
    assert!(document.contains(table::version().compiled));
}
