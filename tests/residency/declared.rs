//! Declared sites: what may be declared, and that a declaration never loosens a refusal.

use crate::cases::{assert_helpful, declaration, declarations};
use cairn::clock::Timestamp;
use cairn::residency::{
    Addressing, CanadianEndpoint, Class, Declaration, EndpointCandidate, Origin, Pin, Policy, ReachableEndpoint,
    Refusal, RefusalKind,
};

fn admit(site: &str, declared: &[Declaration]) -> Result<CanadianEndpoint, Refusal> {
    CanadianEndpoint::admit(&EndpointCandidate::of_site(site).unwrap(), declared, &Policy::new(Pin::Canada))
}

#[test]
fn what_is_declared_is_what_the_site_says() {
    let endpoint = admit("garage", &declarations()).unwrap();
    let site = endpoint.site();
    assert_eq!((site.id.as_str(), site.class), ("garage", Class::Declare));
    assert_eq!(site.origin.to_string(), "http://127.0.0.1:3900");
    assert_eq!((site.signing_region.as_str(), site.addressing), ("ca-central-1", Addressing::Path));
    assert_eq!(site.place.to_string(), "Montréal (QC)");
    assert_eq!(site.evidence, "declared by A. Tremblay on 2026-05-28");
    assert_eq!(site.declaration.as_deref(), Some(&declarations()[0]));
}

#[test]
fn the_last_declaration_of_a_name_counts() {
    let mut declared = declarations();
    declared.push(declaration("garage", "https://garage.example", "ca-central-1", "Laval", "QC"));
    assert_eq!(admit("garage", &declared).unwrap().site().place.city, "Laval");
    // The host of the one that no longer counts is unknown again, although it is still in the list.
    let old = EndpointCandidate::of_origin(Origin::parse("http://127.0.0.1:3900").unwrap());
    let refusal = CanadianEndpoint::admit(&old, &declared, &Policy::new(Pin::Canada)).unwrap_err();
    assert_eq!(refusal.kind, RefusalKind::Unknown);
}

#[test]
fn one_origin_with_two_names_is_reached_by_name_only() {
    let mut declared = declarations();
    declared.push(declaration("other", "https://s3.hoster.example", "us-east-1", "Gatineau", "QC"));
    assert_eq!(admit("hoster", &declared).unwrap().site().place.city, "Toronto");
    assert_eq!(admit("other", &declared).unwrap().site().place.city, "Gatineau");
    let refusal = admit("s3.hoster.example", &declared).unwrap_err();
    assert!(refusal.why.contains("declared twice"), "{refusal:?}");
    assert_helpful(&refusal);
}

#[test]
fn nobody_can_declare_what_the_table_knows_or_refuses() {
    for (host, why) in [
        ("https://s3.amazonaws.com", "always refused"),
        ("https://mybucket.s3-accelerate.amazonaws.com", "always refused"),
        ("https://0123abcd.r2.cloudflarestorage.com", "always refused"),
        ("https://s3.ca-central-1.amazonaws.com", "the table knows its host"),
        ("http://s3.ca-central-1.amazonaws.com:8080", "the table knows its host"),
        ("https://axabcdefghij.compat.objectstorage.ca-toronto-1.oraclecloud.com", "the table knows its host"),
        ("https://storage.googleapis.com", "the table knows its host"),
        ("https://s3.ca-montreal.megas4.com", "the table knows its host"),
        ("https://backups.s3.ca-central-1.amazonaws.com", "contains a bucket"),
        ("https://s3.us-east-1.amazonaws.com", "hosts below amazonaws.com"),
        ("https://s3.us-east-1.wasabisys.com", "hosts below wasabisys.com"),
        ("https://s3.eu-central-003.backblazeb2.com", "hosts below backblazeb2.com"),
        ("https://wasabisys.com", "hosts below wasabisys.com"),
        ("https://xn--s3-0fa.example", "internationalised"),
    ] {
        let mut declared = declarations();
        declared.push(declaration("mine", host, "ca-central-1", "Montréal", "QC"));
        let refusal = declared[4].check().unwrap_err();
        assert_eq!(refusal.kind, RefusalKind::Refused, "{host}");
        assert!(refusal.why.contains(why), "{host}: {refusal}");
        assert_helpful(&refusal);
        assert!(admit("mine", &declared).is_err(), "{host}");
        // What is admitted without the declaration is admitted as the table's site, not as the declared one.
        let candidate = EndpointCandidate::of_origin(declared[4].origin.clone());
        let by_host = CanadianEndpoint::admit(&candidate, &declared, &Policy::new(Pin::Canada));
        assert!(by_host.is_err() || by_host.unwrap().site().declaration.is_none(), "{host}");
        // It can still be read from.
        let named = EndpointCandidate::of_site("mine").unwrap();
        let reachable = ReachableEndpoint::resolve(&named, &declared, &Policy::new(Pin::Canada)).unwrap();
        assert!(reachable.sending().is_err() && reachable.origin() == &declared[4].origin, "{host}");
    }
    // A name that only ends like an operator's is nobody's.
    let near = declaration("mine", "https://s3.notamazonaws.com", "ca-central-1", "Montréal", "QC");
    assert_eq!(near.check(), Ok(()));
}

#[test]
fn a_row_that_needs_a_declaration_cannot_be_declared_elsewhere() {
    let url = "https://object-arbutus.alliancecan.ca";
    assert_eq!(declaration("arbutus", url, "arbutus", "Victoria", "BC").check(), Ok(()));
    let refusal = declaration("arbutus", url, "arbutus", "Toronto", "ON").check().unwrap_err();
    assert!(refusal.why.contains("Victoria (BC)"), "{refusal}");
    // Without a province in the table any is believed.
    let hyperstack = "https://ca1.obj.nexgencloud.io";
    assert_eq!(declaration("hyperstack", hyperstack, "CANADA-1", "Montréal", "QC").check(), Ok(()));
}

#[test]
fn every_field_has_its_limits() {
    let good = &declarations()[1];
    assert_eq!(good.check(), Ok(()));
    let long = |len: usize| "x".repeat(len);
    type Change<'a> = &'a dyn Fn(&mut Declaration);
    let changes: &[(&str, Change<'_>)] = &[
        ("name", &|d| d.name = String::new()),
        ("name", &|d| d.name = "Hoster".into()),
        ("name", &|d| d.name = "1hoster".into()),
        ("name", &|d| d.name = "ho.ster".into()),
        ("name", &|d| d.name = "ho:ster".into()),
        ("name", &|d| d.name = long(64)),
        ("signing region", &|d| d.signing_region = String::new()),
        ("signing region", &|d| d.signing_region = "ca central".into()),
        ("signing region", &|d| d.signing_region = long(65)),
        ("operator", &|d| d.operator = String::new()),
        ("operator", &|d| d.operator = long(257)),
        ("operator", &|d| d.operator = "a\u{1b}[2Jb".into()),
        ("jurisdiction", &|d| d.jurisdiction = " CA".into()),
        ("address", &|d| d.address = String::new()),
        ("city", &|d| d.city = "Montréal\n".into()),
        ("signer", &|d| d.signed_by = String::new()),
        ("copies", &|d| d.replicates_to = long(1025)),
        ("certificates", &|d| d.ca_pem = "not PEM".into()),
        ("certificates", &|d| d.ca_pem = format!("-----BEGIN CERTIFICATE-----{}", long(65_536))),
        ("private key", &|d| d.ca_pem = "-----BEGIN CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----".into()),
        ("address", &|d| {
            d.origin = Origin::parse("https://192.0.2.1").unwrap();
            d.addressing = Addressing::VirtualHost;
        }),
    ];
    for (field, change) in changes {
        let mut declared = good.clone();
        change(&mut declared);
        let refusal = declared.check().unwrap_err();
        assert!(refusal.why.contains(field), "{field}: {refusal}");
        assert_helpful(&refusal);
    }
    let mut longest = good.clone();
    longest.name = long(63);
    longest.signing_region = long(64);
    longest.operator = long(256);
    longest.replicates_to = long(1024);
    longest.declared = Timestamp { seconds: i64::MIN, nanoseconds: 0 };
    assert_eq!(longest.check(), Ok(()));
}
