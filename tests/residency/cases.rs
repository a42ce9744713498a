//! The tables of cases beside this file, each line of which is a test. They are data, so that whoever finds a new trick
//! adds a line.

use cairn::clock::Timestamp;
use cairn::residency::{
    Addressing, BucketName, CanadianEndpoint, Check, Declaration, Destination, EndpointCandidate, Finding,
    Observations, Observed, Origin, Outcome, Pin, Policy, Province, ReachableEndpoint, Refusal, RefusalKind,
    ResidentBucket, Sending, Verdict,
};

pub(crate) const ENDPOINTS: &str = include_str!("endpoints.txt");
const BUCKETS: &str = include_str!("buckets.txt");
const ANSWERS: &str = include_str!("answers.txt");

/// A moment.
pub(crate) const NOW: Timestamp = Timestamp { seconds: 1_790_000_000, nanoseconds: 5 };

/// A site as somebody might declare it.
pub(crate) fn declaration(name: &str, url: &str, region: &str, city: &str, province: &str) -> Declaration {
    Declaration {
        name: name.to_owned(),
        origin: Origin::parse(url).unwrap(),
        signing_region: region.to_owned(),
        addressing: Addressing::Path,
        operator: "Bibliothèque de la Ville".to_owned(),
        jurisdiction: "CA".to_owned(),
        us_parent: Some(false),
        address: "1, rue Principale".to_owned(),
        city: city.to_owned(),
        province: Province::parse(province).unwrap(),
        replicates_to: String::new(),
        ca_pem: String::new(),
        declared: Timestamp { seconds: 1_780_000_000, nanoseconds: 0 },
        signed_by: "A. Tremblay".to_owned(),
    }
}

/// The declared sites of the tables.
pub(crate) fn declarations() -> Vec<Declaration> {
    vec![
        declaration("garage", "http://127.0.0.1:3900", "ca-central-1", "Montréal", "QC"),
        declaration("hoster", "https://s3.hoster.example", "us-east-1", "Toronto", "ON"),
        declaration("sechs", "https://[2001:db8::5]:3900", "garage", "Halifax", "NS"),
        declaration("arbutus", "https://object-arbutus.alliancecan.ca", "arbutus", "Victoria", "BC"),
    ]
}

/// The lines of a table that are cases.
pub(crate) fn lines(table: &str) -> impl Iterator<Item = &str> {
    table.lines().filter(|line| !line.is_empty() && !line.starts_with('#'))
}

/// A text with its escapes resolved.
pub(crate) fn unescape(text: &str) -> String {
    let mut result = String::new();
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            result.push(c);
            continue;
        }
        result.push(match rest.next().unwrap() {
            's' => ' ',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            '0' => '\0',
            '\\' => '\\',
            'u' => {
                assert_eq!(rest.next(), Some('{'));
                let hex: String = rest.by_ref().take_while(|c| *c != '}').collect();
                char::from_u32(u32::from_str_radix(&hex, 16).unwrap()).unwrap()
            }
            other => panic!("no such escape: {other}"),
        });
    }
    result
}

/// What becomes of a text: the id of its site, or the refusal. A URL comes from `recover --endpoint`, the rest from `s3://SITE/…`.
pub(crate) fn admit(text: &str, policy: &Policy) -> Result<String, Refusal> {
    let candidate = if text.contains("://") {
        assert!(EndpointCandidate::of_site(text).is_err(), "a URL is no site: {text:?}");
        EndpointCandidate::of_origin(Origin::parse(text)?)
    } else {
        EndpointCandidate::of_site(text)?
    };
    let declared = declarations();
    let admitted = CanadianEndpoint::admit(&candidate, &declared, policy);
    // What may be read from is judged by the same code and has to come to the same.
    match ReachableEndpoint::resolve(&candidate, &declared, policy) {
        Ok(reachable) => {
            assert_eq!(reachable.sending().map(CanadianEndpoint::site), admitted.as_ref().map(CanadianEndpoint::site));
        }
        Err(refusal) => assert_eq!(Err(&refusal), admitted.as_ref()),
    }
    admitted.map(|endpoint| endpoint.site().id.clone())
}

fn kind(name: &str) -> RefusalKind {
    match name {
        "not-an-endpoint" => RefusalKind::NotAnEndpoint,
        "unknown" => RefusalKind::Unknown,
        "refused" => RefusalKind::Refused,
        other => panic!("no such kind: {other}"),
    }
}

/// A case of the endpoint table: the site's id or the kind of refusal, and the text.
pub(crate) fn endpoint_cases() -> Vec<(Result<&'static str, RefusalKind>, String)> {
    let parse = |line: &'static str| {
        let (verb, rest) = line.split_once(' ').unwrap();
        let (expected, text) = rest.split_once(' ').unwrap_or((rest, ""));
        let expected = if verb == "in" { Ok(expected) } else { Err(kind(expected)) };
        (expected, unescape(text))
    };
    lines(ENDPOINTS).map(parse).collect()
}

/// A refusal says what, why and what to do; with nothing that could write to a terminal.
pub(crate) fn assert_helpful(refusal: &Refusal) {
    for part in [&refusal.what, &refusal.why, &refusal.remedy] {
        assert!(!part.trim().is_empty(), "{refusal:?}");
        assert!(!part.chars().any(char::is_control), "{refusal:?}");
    }
    assert!(!refusal.why.ends_with('.') && refusal.remedy.ends_with('.'), "{refusal:?}");
}

#[test]
fn endpoints() {
    let policy = Policy::new(Pin::Canada);
    let cases = endpoint_cases();
    let (mut admitted, mut wrong) = (0, Vec::new());
    for (expected, text) in &cases {
        let found = admit(text, &policy);
        if let Err(refusal) = &found {
            assert_helpful(refusal);
        }
        admitted += usize::from(found.is_ok());
        let found = found.as_deref().map_err(|refusal| refusal.kind);
        if found != *expected {
            wrong.push(format!("{text:?}: expected {expected:?}, got {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    let mut texts: Vec<_> = cases.iter().map(|(_, text)| text).collect();
    texts.sort();
    texts.dedup();
    assert_eq!(texts.len(), cases.len(), "a case stands twice");
    assert!(cases.len() >= 200);
    println!("counts: residency endpoints: {} cases, {admitted} in, {} out", cases.len(), cases.len() - admitted);
}

#[test]
fn buckets() {
    let mut count = 0;
    for line in lines(BUCKETS) {
        let (verb, name) = line.split_once(' ').unwrap_or((line, ""));
        let name = unescape(name);
        let parsed = BucketName::parse(&name);
        assert_eq!(parsed.is_ok(), verb == "in", "{name:?}: {parsed:?}");
        match parsed {
            Ok(bucket) => assert_eq!(bucket.as_str(), name),
            Err(refusal) => assert_helpful(&refusal),
        }
        count += 1;
    }
    println!("counts: residency buckets: {count} cases");
}

#[test]
fn over_long_names_are_refused() {
    let policy = Policy::new(Pin::Canada);
    let label = "a".repeat(63);
    let longest = [label.as_str(), &label, &label, &"a".repeat(61)].join(".");
    assert_eq!(longest.len(), 253);
    assert_eq!(admit(&longest, &policy).unwrap_err().kind, RefusalKind::Unknown);
    assert_eq!(admit(&format!("{longest}."), &policy).unwrap_err().kind, RefusalKind::Unknown);
    for text in [format!("{longest}a"), format!("{label}a.example"), format!("a.{longest}"), "a.".repeat(100_000)] {
        assert_eq!(admit(&text, &policy).unwrap_err().kind, RefusalKind::NotAnEndpoint);
    }
}

/// An answer as the table writes it.
fn observed<T>(text: &str, stated: impl Fn(&str) -> T) -> Observed<T> {
    match text {
        "-" => Observed::NotAsked,
        "!501" => Observed::NotOffered("501 NotImplemented".into()),
        "!403" => Observed::Denied("403 AccessDenied".into()),
        "!timeout" => Observed::Failed("no answer in time".into()),
        "\"\"" => Observed::Stated(stated("")),
        text => Observed::Stated(stated(text)),
    }
}

fn destination(region: &str) -> Destination {
    let region = match region {
        "?" => Observed::Denied("403 AccessDenied".into()),
        region => observed(region, str::to_owned),
    };
    Destination { bucket: "arn:aws:s3:::copies".into(), region }
}

/// One `KEY=VALUE`.
pub(crate) fn observe(seen: &mut Observations, key: &str, value: &str) {
    match key {
        "header" => seen.region_header = observed(value, unescape),
        "location" => seen.location = observed(value, unescape),
        "owner" => seen.owner = observed(value, |text| text == "yes"),
        "replication" => {
            seen.replication = observed(value, |text| match text {
                "none" => Vec::new(),
                regions => {
                    let regions = if regions.is_empty() { "\"\"" } else { regions };
                    regions.split(',').map(destination).collect()
                }
            });
        }
        "acceleration" => seen.acceleration = observed(value, |text| text == "on"),
        "lifecycle" => {
            seen.lifecycle = observed(value, |text| match text {
                "none" => Vec::new(),
                text => vec![format!("{text} after 30 days")],
            });
            seen.expiration = match value {
                "deletes" => Some(true),
                "moves" | "none" => Some(false),
                _ => None,
            };
        }
        "logging" => seen.logging = observed(value, |text| (text != "none").then(|| destination(text))),
        "hint" => seen.hints.push(value.to_owned()),
        other => panic!("no such key: {other}"),
    }
}

/// Judges a bucket at a site.
pub(crate) fn judge(site: &str, policy: &Policy, seen: &Observations) -> (Verdict, Option<ResidentBucket>) {
    let candidate = EndpointCandidate::of_site(site).unwrap();
    let endpoint = CanadianEndpoint::admit(&candidate, &declarations(), policy).unwrap();
    ResidentBucket::judge(&endpoint, &BucketName::parse("backups").unwrap(), seen, policy, NOW)
}

/// Sending, and the check that stops it.
pub(crate) fn result(verdict: &Verdict) -> (Sending, Option<Check>) {
    let refusal = verdict.refusal();
    assert_eq!(refusal.is_none(), verdict.sending() == Sending::Allowed);
    let stops = refusal.map(|refusal| {
        assert_helpful(&refusal);
        assert_eq!(refusal.kind == RefusalKind::NotNow, verdict.sending() == Sending::NotNow);
        let stops = |finding: &&Finding| match verdict.sending() {
            Sending::Refused => finding.outcome == Outcome::Failed,
            _ => finding.outcome == Outcome::Unverified && finding.required,
        };
        let found = verdict.findings.iter().filter(stops).find(|finding| finding.excepted.is_none()).unwrap();
        assert_eq!((&found.said, &found.remedy), (&refusal.why, &refusal.remedy));
        found.check
    });
    (verdict.sending(), stops)
}

#[test]
fn answers() {
    let mut counts = [0; 3];
    let mut wrong = Vec::new();
    for line in lines(ANSWERS) {
        let (case, expected) = line.split_once(" => ").unwrap();
        let mut words = case.split(' ');
        let (site, pin) = (words.next().unwrap(), Pin::parse(words.next().unwrap()).unwrap());
        let mut seen = Observations::default();
        for word in words {
            let (key, value) = word.split_once('=').unwrap();
            observe(&mut seen, key, value);
        }
        let (verdict, resident) = judge(site, &Policy::new(pin), &seen);
        let (sending, stops) = result(&verdict);
        assert_eq!(resident.is_some(), sending == Sending::Allowed, "{line}");
        let mut words = expected.split(' ');
        let expected = match words.next().unwrap() {
            "allowed" => Sending::Allowed,
            "refused" => Sending::Refused,
            "not-now" => Sending::NotNow,
            other => panic!("no such end: {other}"),
        };
        let expected = (expected, words.next().map(|name| Check::parse(name).unwrap()));
        counts[expected.0 as usize] += 1;
        if (sending, stops) != expected {
            wrong.push(format!("{line}: got {sending:?} {stops:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    let [allowed, refused, not_now] = counts;
    println!("counts: residency answers: {allowed} allowed, {refused} refused, {not_now} not now");
}
