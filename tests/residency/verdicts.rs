//! Verdicts: pins, parents, exceptions, their end, and that none of it stops reading.

use crate::cases::{NOW, assert_helpful, declaration, declarations, judge, observe, result};
use cairn::clock::Timestamp;
use cairn::residency::{
    BucketName, CanadianEndpoint, Check, EndpointCandidate, Exception, Observations, Observed, Origin, Outcome, Pin,
    Policy, ReachableEndpoint, RefusalKind, ResidentBucket, Sending,
};

fn seen(answers: &[(&str, &str)]) -> Observations {
    let mut seen = Observations::default();
    answers.iter().for_each(|(key, value)| observe(&mut seen, key, value));
    seen
}

fn later(seconds: i64) -> Timestamp {
    Timestamp { seconds: NOW.seconds + seconds, ..NOW }
}

fn excepting(site: &str, check: Check, expires: Timestamp) -> Policy {
    let exception = Exception {
        site: site.to_owned(),
        check,
        reason: "the operator confirmed it in writing".to_owned(),
        signed_by: "M. Singh".to_owned(),
        expires,
    };
    Policy { exceptions: vec![exception], ..Policy::new(Pin::Canada) }
}

#[test]
fn every_check_is_found_once_and_in_order() {
    let (verdict, _) = judge("aws:ca-central-1", &Policy::new(Pin::Canada), &Observations::default());
    assert!(verdict.findings.iter().map(|finding| finding.check).eq(Check::ALL));
    let required = |check| verdict.findings.iter().find(|finding| finding.check == check).unwrap().required;
    let all: Vec<Check> = Check::ALL.into_iter().filter(|check| required(*check)).collect();
    assert_eq!(all, [Check::Endpoint, Check::Pin, Check::Parent, Check::Tls, Check::Hint]);
    // Nothing was asked, so nothing about the bucket is more than unverified.
    let about_bucket = verdict.findings.iter().filter(|finding| finding.check.action().is_some());
    assert!(about_bucket.clone().count() == 7 && about_bucket.clone().all(|f| f.outcome == Outcome::Unverified));
}

#[test]
fn a_verdict_with_a_check_missing_allows_nothing() {
    let (mut verdict, _) = judge("aws:ca-central-1", &Policy::new(Pin::Canada), &Observations::default());
    assert_eq!(verdict.sending(), Sending::Allowed);
    let all = verdict.findings.clone();
    for at in 0..all.len() {
        verdict.findings = all.clone();
        verdict.findings.remove(at);
        assert_eq!(verdict.sending(), Sending::NotNow);
        assert_helpful(&verdict.refusal().unwrap());
    }
    verdict.findings.clear();
    assert_eq!(verdict.sending(), Sending::NotNow);
}

#[test]
fn the_pin_is_held_against_the_province_of_the_row() {
    for (site, pin, inside) in [
        ("aws:ca-central-1", "CA", true),
        ("aws:ca-central-1", "QC", true),
        ("aws:ca-central-1", "ON", false),
        ("wasabi:ca-central-1", "QC", false),
        ("wasabi:ca-central-1", "ON", true),
        ("aws:ca-west-1", "AB", true),
        ("aws:ca-west-1", "BC,QC", false),
        ("garage", "QC", true),
        ("garage", "ON", false),
        ("arbutus", "BC", true),
        ("ovhcloud:bhs", "QC,ON", true),
    ] {
        let policy = Policy::new(Pin::parse(pin).unwrap());
        let candidate = EndpointCandidate::of_site(site).unwrap();
        let admitted = CanadianEndpoint::admit(&candidate, &declarations(), &policy);
        assert_eq!(admitted.is_ok(), inside, "{site} {pin}");
        if let Err(refusal) = &admitted {
            assert_eq!(refusal.kind, RefusalKind::Pin);
            assert_helpful(refusal);
            // An endpoint that another policy admitted is judged by this one all the same.
            let anywhere = CanadianEndpoint::admit(&candidate, &declarations(), &Policy::new(Pin::Canada)).unwrap();
            let bucket = BucketName::parse("backups").unwrap();
            let (verdict, resident) = ResidentBucket::judge(&anywhere, &bucket, &Observations::default(), &policy, NOW);
            assert_eq!(result(&verdict), (Sending::Refused, Some(Check::Pin)));
            assert!(resident.is_none() && verdict.refusal().unwrap().kind == RefusalKind::Pin);
        }
    }
}

#[test]
fn an_unknown_parent_counts_as_one_in_the_united_states() {
    let policy = Policy { deny_us_parent: true, ..Policy::new(Pin::Canada) };
    let mut declared = declarations();
    declared.push(declaration("unknown", "https://unknown.example", "ca", "Regina", "SK"));
    declared[4].us_parent = None;
    for (site, allowed) in
        [("aws:ca-central-1", false), ("ovhcloud:bhs", true), ("garage", true), ("unknown", false), ("oci", false)]
    {
        let site = if site == "oci" { "ns.compat.objectstorage.ca-toronto-1.oraclecloud.com" } else { site };
        let candidate = EndpointCandidate::of_site(site).unwrap();
        let admitted = CanadianEndpoint::admit(&candidate, &declared, &policy);
        assert_eq!(admitted.is_ok(), allowed, "{site}");
        let open = CanadianEndpoint::admit(&candidate, &declared, &Policy::new(Pin::Canada)).unwrap();
        let bucket = BucketName::parse("backups").unwrap();
        let (verdict, _) = ResidentBucket::judge(&open, &bucket, &Observations::default(), &policy, NOW);
        assert_eq!(verdict.sending() == Sending::Allowed, allowed, "{site}");
        if let Err(refusal) = admitted {
            assert_eq!((refusal.kind, verdict.refusal().unwrap().kind), (RefusalKind::Parent, RefusalKind::Parent));
            assert_helpful(&refusal);
        }
    }
}

#[test]
fn an_exception_covers_what_is_not_known_and_then_ends() {
    let site = "gcs:northamerica-northeast1";
    let timeout = seen(&[("location", "!timeout")]);
    assert_eq!(result(&judge(site, &Policy::new(Pin::Canada), &timeout).0), (Sending::NotNow, Some(Check::Location)));
    let (verdict, resident) = judge(site, &excepting(site, Check::Location, later(60)), &timeout);
    assert_eq!(verdict.sending(), Sending::Allowed);
    let finding = verdict.findings.iter().find(|finding| finding.check == Check::Location).unwrap();
    assert_eq!(finding.outcome, Outcome::Unverified, "an exception does not turn a check into a good one");
    assert_eq!(finding.excepted.as_ref().unwrap().signed_by, "M. Singh");
    // The verdict ends with the exception, long before its own time.
    assert_eq!(verdict.expires, later(60));
    let resident = resident.unwrap();
    assert!(resident.is_fresh(later(59)) && !resident.is_fresh(later(60)));
    assert_eq!(resident.renew(&timeout, later(59)).0.sending(), Sending::Allowed);
    assert_eq!(resident.renew(&timeout, later(60)).0.sending(), Sending::NotNow);
    // At its end, for another check and for another site it covers nothing.
    for policy in [
        excepting(site, Check::Location, NOW),
        excepting(site, Check::RegionHeader, later(60)),
        excepting("gcs:northamerica-northeast2", Check::Location, later(60)),
    ] {
        assert_eq!(judge(site, &policy, &timeout).0.sending(), Sending::NotNow);
    }
}

#[test]
fn an_exception_never_covers_a_place() {
    let covers = |site: &str, check: Check, answers: &[(&str, &str)]| {
        let (verdict, resident) = judge(site, &excepting(site, check, later(3600)), &seen(answers));
        assert_eq!(resident.is_some(), verdict.sending() == Sending::Allowed);
        resident.is_some()
    };
    let aws = "aws:ca-central-1";
    assert!(!covers(aws, Check::Location, &[("location", "us-east-1")]));
    assert!(!covers(aws, Check::RegionHeader, &[("header", "us-east-1")]));
    assert!(!covers("gcs:northamerica-northeast1", Check::Location, &[("location", "US")]));
    assert!(!covers(aws, Check::Replication, &[("replication", "us-east-1")]));
    assert!(!covers(aws, Check::Replication, &[("replication", "?")]));
    assert!(!covers(aws, Check::Acceleration, &[("acceleration", "on")]));
    assert!(!covers(aws, Check::Owner, &[("owner", "no")]));
    assert!(!covers(aws, Check::Hint, &[("hint", "301")]));
    assert!(!covers("garage", Check::Location, &[("location", "us-east-1")]));
    // What is no place is the owner's to decide.
    assert!(covers(aws, Check::Lifecycle, &[("lifecycle", "deletes")]));
    assert!(covers(aws, Check::Logging, &[("logging", "us-east-1")]));
    assert!(covers(aws, Check::Owner, &[("owner", "!403")]));
    // Nor the pin, nor an endpoint.
    for (check, pin, site) in [(Check::Pin, "ON", aws), (Check::Endpoint, "CA", "s3.amazonaws.com")] {
        let policy = Policy { pin: Pin::parse(pin).unwrap(), ..excepting(site, check, later(3600)) };
        let candidate = EndpointCandidate::of_site(site).unwrap();
        assert!(CanadianEndpoint::admit(&candidate, &[], &policy).is_err());
        let open = CanadianEndpoint::admit(&EndpointCandidate::of_site(aws).unwrap(), &[], &Policy::new(Pin::Canada));
        let bucket = BucketName::parse("backups").unwrap();
        let (verdict, _) = ResidentBucket::judge(&open.unwrap(), &bucket, &Observations::default(), &policy, NOW);
        assert_eq!(verdict.sending() == Sending::Allowed, check == Check::Endpoint);
    }
    let policy = Policy { deny_us_parent: true, ..excepting(aws, Check::Parent, later(3600)) };
    assert!(CanadianEndpoint::admit(&EndpointCandidate::of_site(aws).unwrap(), &[], &policy).is_err());
}

#[test]
fn a_verdict_lasts_a_quarter_of_an_hour() {
    let (verdict, resident) = judge("aws:ca-central-1", &Policy::new(Pin::Canada), &Observations::default());
    let resident = resident.unwrap();
    assert_eq!((verdict.decided, verdict.expires), (NOW, later(900)));
    assert!(resident.is_fresh(NOW) && resident.is_fresh(later(899)));
    assert!(!resident.is_fresh(later(900)) && !resident.is_fresh(later(-1)));
    // A bucket whose location moved meanwhile is not renewed.
    let (verdict, moved) = resident.renew(&seen(&[("location", "us-east-1")]), later(600));
    assert!(moved.is_none());
    assert_eq!(result(&verdict), (Sending::Refused, Some(Check::Location)));
    let (verdict, renewed) = resident.renew(&seen(&[("location", "ca-central-1")]), later(600));
    assert_eq!((renewed.unwrap().verdict(), verdict.expires), (&verdict, later(1500)));
    let last = Timestamp { seconds: i64::MAX, ..NOW };
    assert_eq!(resident.renew(&Observations::default(), last).0.expires, last, "saturates");
}

#[test]
fn denials_name_the_permission() {
    let denied = Observations {
        region_header: Observed::Denied("403".into()),
        location: Observed::Denied("403".into()),
        replication: Observed::Denied("403".into()),
        acceleration: Observed::Denied("403".into()),
        lifecycle: Observed::Denied("403".into()),
        logging: Observed::Denied("403".into()),
        owner: Observed::Denied("403".into()),
        ..Observations::default()
    };
    let (verdict, _) = judge("aws:ca-central-1", &Policy::new(Pin::Canada), &denied);
    for finding in verdict.findings.iter().filter(|finding| finding.outcome == Outcome::Unverified) {
        let action = finding.check.action().unwrap();
        assert!(finding.remedy.contains(action), "{}: {}", finding.check, finding.remedy);
    }
}

#[test]
fn words_of_a_store_are_quoted() {
    let evil = "x\u{1b}]0;owned\u{7}\n".to_owned() + &"y".repeat(10_000);
    let nasty = Observations {
        location: Observed::Stated(evil.clone()),
        region_header: Observed::Denied(evil.clone()),
        lifecycle: Observed::Stated(vec![evil.clone()]),
        hints: vec![evil.clone()],
        ..Observations::default()
    };
    let (verdict, _) = judge("aws:ca-central-1", &Policy::new(Pin::Canada), &nasty);
    for finding in &verdict.findings {
        assert!(!finding.said.chars().any(char::is_control) && finding.said.len() < 1000, "{finding:?}");
    }
}

#[test]
fn any_https_host_can_be_read_from() {
    let policy = Policy { deny_us_parent: true, ..Policy::new(Pin::parse("QC").unwrap()) };
    for (site, url, region) in [
        ("aws:ca-west-1", "https://s3.ca-west-1.amazonaws.com", "ca-west-1"),
        ("wasabi:ca-central-1", "https://s3.ca-central-1.wasabisys.com", "ca-central-1"),
        ("s3.amazonaws.com", "https://s3.amazonaws.com", "us-east-1"),
        ("storage.googleapis.com", "https://storage.googleapis.com", "northamerica-northeast"),
        ("s3.us-west-2.amazonaws.com", "https://s3.us-west-2.amazonaws.com", "us-east-1"),
        ("unheard.of.example:9000", "https://unheard.of.example:9000", "us-east-1"),
        ("object-arbutus.cloud.computecanada.ca", "https://object-arbutus.cloud.computecanada.ca", "arbutus"),
        ("hoster", "https://s3.hoster.example", "us-east-1"),
        ("xn--bcher-kva.example", "https://xn--bcher-kva.example", "us-east-1"),
    ] {
        let candidate = EndpointCandidate::of_site(site).unwrap();
        let reachable = ReachableEndpoint::resolve(&candidate, &declarations(), &policy).unwrap();
        assert_eq!((reachable.origin().to_string().as_str(), reachable.signing_region()), (url, region), "{site}");
        assert_helpful(reachable.sending().unwrap_err());
    }
    let candidate = EndpointCandidate::of_site("unheard.of.example").unwrap().with_signing_region("garage");
    let reachable = ReachableEndpoint::resolve(&candidate, &[], &policy).unwrap();
    assert_eq!(reachable.signing_region(), "garage");
    // Plain http only where somebody wrote the URL.
    let url = Origin::parse("http://192.0.2.7:9000").unwrap();
    let reachable = ReachableEndpoint::resolve(&EndpointCandidate::of_origin(url.clone()), &[], &policy).unwrap();
    assert!(reachable.origin() == &url && reachable.sending().is_err());
    assert!(EndpointCandidate::of_site("http://192.0.2.7:9000").is_err());
    // What names no host cannot be reached.
    for site in ["nobody", "aws:us-east-1", "oci:ca-toronto-1"] {
        let candidate = EndpointCandidate::of_site(site).unwrap();
        assert_helpful(&ReachableEndpoint::resolve(&candidate, &[], &policy).unwrap_err());
    }
}

#[test]
fn requests_for_a_bucket_go_to_one_host() {
    for (site, bucket, authority) in [
        ("aws:ca-central-1", "backups", "backups.s3.ca-central-1.amazonaws.com"),
        ("aws:ca-central-1", "my.backups", "s3.ca-central-1.amazonaws.com"),
        ("wasabi:ca-central-1", "backups", "s3.ca-central-1.wasabisys.com"),
        ("garage", "backups", "127.0.0.1:3900"),
        ("sechs", "backups", "[2001:db8::5]:3900"),
    ] {
        let candidate = EndpointCandidate::of_site(site).unwrap();
        let endpoint = CanadianEndpoint::admit(&candidate, &declarations(), &Policy::new(Pin::Canada)).unwrap();
        assert_eq!(endpoint.site().authority_for(&BucketName::parse(bucket).unwrap()), authority);
    }
}
