//! Rows for which the host is not enough, and rows that are switched off.

use crate::residency::check::Check;
use crate::residency::origin::Addressing;
use crate::residency::table::row::{Class, Grade, Row};

const GCS: Row = Row {
    provider: "gcs",
    region: "",
    city: "",
    province: "",
    class: Class::Verify,
    off: None,
    hosts: &[],
    patterns: &[],
    bucket_patterns: &[],
    location_codes: &[],
    answers: &[Check::Location],
    addressing: Addressing::Path,
    operator: "Google",
    jurisdiction: "US",
    us_parent: Some(true),
    breakers: &[
        "the global host, which may process requests elsewhere",
        "buckets in several regions",
        "bucket relocation, which moves an existing bucket",
        "caches and content delivery networks in front of the bucket",
        "transfer jobs",
        "metadata such as object names, which the operator's statement excludes",
    ],
    grade: Grade::Primary,
    evidence: "the operator's documentation of regional endpoints; the exact host derived from the documented form, the S3 \
               interface on it not confirmed",
};

/// Rows whose store has to state the location in every run.
pub(crate) const VERIFY: &[Row] = &[
    Row {
        region: "northamerica-northeast1",
        city: "Montréal",
        province: "QC",
        hosts: &["storage.northamerica-northeast1.rep.googleapis.com"],
        bucket_patterns: &["{bucket}.storage.northamerica-northeast1.rep.googleapis.com"],
        location_codes: &["northamerica-northeast1"],
        ..GCS
    },
    Row {
        region: "northamerica-northeast2",
        city: "Toronto",
        province: "ON",
        hosts: &["storage.northamerica-northeast2.rep.googleapis.com"],
        bucket_patterns: &["{bucket}.storage.northamerica-northeast2.rep.googleapis.com"],
        location_codes: &["northamerica-northeast2"],
        ..GCS
    },
];

const UNPROVED: Row =
    Row { class: Class::Declare, answers: &[], us_parent: Some(false), breakers: &[], grade: Grade::Public, ..GCS };

/// Rows that a declaration has to stand behind.
pub(crate) const DECLARE: &[Row] = &[
    Row {
        provider: "alliance-arbutus",
        region: "arbutus",
        city: "Victoria",
        province: "BC",
        hosts: &["object-arbutus.alliancecan.ca", "object-arbutus.cloud.computecanada.ca"],
        operator: "Digital Research Alliance of Canada / University of Victoria",
        jurisdiction: "CA",
        breakers: &["project sharing and public containers"],
        evidence: "both hosts from many public configurations; place and operator not confirmed",
        ..UNPROVED
    },
    Row {
        provider: "hyperstack",
        region: "CANADA-1",
        city: "unknown",
        hosts: &["ca1.obj.nexgencloud.io"],
        location_codes: &["CANADA-1"],
        operator: "NexGen Cloud",
        jurisdiction: "UK",
        evidence: "the region's name from the operator's documentation, the host from public configurations; no city found",
        ..UNPROVED
    },
    Row {
        provider: "idrive-e2",
        region: "canada",
        city: "unknown",
        operator: "IDrive",
        jurisdiction: "US",
        us_parent: Some(true),
        breakers: &[
            "bucket replication",
            "a host of its own for every customer, with a code of the place that is not published",
        ],
        grade: Grade::Primary,
        evidence: "the operator's guide names Canada among its regions; neither code nor host found",
        ..UNPROVED
    },
];

/// Rows that are switched off.
pub(crate) const OFF: &[Row] = &[
    Row {
        provider: "gcs-global-host",
        region: "northamerica-northeast",
        city: "Montréal or Toronto (bucket), anywhere (front end)",
        off: Some("the global host may process requests outside Canada, even if the bucket is in Canada"),
        hosts: &["storage.googleapis.com"],
        bucket_patterns: &["{bucket}.storage.googleapis.com"],
        location_codes: &["northamerica-northeast1", "northamerica-northeast2"],
        evidence: "the operator's documentation of endpoints",
        ..GCS
    },
    Row {
        provider: "mega-s4",
        region: "ca-montreal",
        city: "Montréal",
        province: "QC",
        off: Some(
            "every bucket is reachable through the host of any region, so the host says nothing about the bucket",
        ),
        hosts: &["s3.ca-montreal-1.megas4.com", "s3.ca-montreal-2.megas4.com", "s3.ca-montreal.megas4.com"],
        location_codes: &["ca-montreal", "ca-montreal-1", "ca-montreal-2", "ca-central-1"],
        operator: "MEGA",
        jurisdiction: "NZ",
        us_parent: Some(false),
        breakers: &["every bucket is reachable from any region's endpoint"],
        grade: Grade::Tool,
        evidence: "two client tables, which differ in the form of the host",
        ..GCS
    },
    Row {
        provider: "mega-s4",
        region: "ca-vancouver",
        city: "Vancouver",
        province: "BC",
        off: Some(
            "every bucket is reachable through the host of any region, so the host says nothing about the bucket",
        ),
        hosts: &["s3.ca-vancouver-1.megas4.com", "s3.ca-vancouver-2.megas4.com", "s3.ca-vancouver.megas4.com"],
        location_codes: &["ca-vancouver", "ca-vancouver-1", "ca-vancouver-2", "ca-west-1"],
        operator: "MEGA",
        jurisdiction: "NZ",
        us_parent: Some(false),
        breakers: &["every bucket is reachable from any region's endpoint"],
        grade: Grade::Tool,
        evidence: "two client tables, which differ in the form of the host",
        ..GCS
    },
    Row {
        provider: "myqnapcloud-object",
        region: "ca-central-1",
        city: "Toronto",
        province: "ON",
        off: Some("a reseller of a storage operator that it does not name"),
        hosts: &["s3.ca-central-1.myqnapcloud.io"],
        location_codes: &["ca-central-1"],
        operator: "QNAP",
        jurisdiction: "TW",
        us_parent: None,
        breakers: &["the operator underneath is one more processor to name"],
        grade: Grade::Public,
        evidence: "one client profile",
        ..GCS
    },
];
