//! Rows whose operator binds the host to one region.

use crate::residency::check::Check;
use crate::residency::origin::Addressing;
use crate::residency::table::row::{Class, Grade, Row};

const BOTH: &[Check] = &[Check::RegionHeader, Check::Location];
const LOCATION: &[Check] = &[Check::Location];

const AWS: Row = Row {
    provider: "aws",
    region: "",
    city: "",
    province: "",
    class: Class::Pinned,
    off: None,
    hosts: &[],
    patterns: &[],
    bucket_patterns: &[],
    location_codes: &[],
    answers: BOTH,
    addressing: Addressing::VirtualHost,
    operator: "Amazon Web Services",
    jurisdiction: "US",
    us_parent: Some(true),
    breakers: &[
        "cross-region replication, batch replication and batch copy",
        "multi-region access points",
        "transfer acceleration",
        "a content delivery network in front of the bucket",
        "inventory, analytics or access logs delivered to a bucket elsewhere",
        "event notifications to another region",
        "backup or transfer jobs set up outside cairn",
    ],
    grade: Grade::Primary,
    evidence: "hosts from the operator's client data; the city and the forms of private endpoints not confirmed",
};

const OVH: Row = Row {
    provider: "ovhcloud",
    answers: LOCATION,
    operator: "OVH Groupe (Hébergement OVH Inc. in Canada)",
    jurisdiction: "FR",
    us_parent: Some(false),
    breakers: &["asynchronous bucket replication to another region"],
    ..AWS
};

const IBM: Row = Row {
    provider: "ibm-cos",
    answers: LOCATION,
    addressing: Addressing::Path,
    operator: "IBM",
    breakers: &[
        "replication to a bucket in another region",
        "cross-region endpoints",
        "high-speed transfer through another operator's network",
        "linked services for keys and activity records, which may be elsewhere",
    ],
    evidence: "the operator's list of endpoints; the form with the bucket in the host not confirmed",
    ..AWS
};

const OCI: Row = Row {
    provider: "oci",
    answers: &[],
    addressing: Addressing::Path,
    operator: "Oracle",
    breakers: &[
        "a bucket replication policy to another region",
        "a namespace is the same in every region: the region in the host is all that differs",
    ],
    evidence: "the operator's documentation of the host's form; region codes also from public configurations",
    ..AWS
};

/// The rows.
pub(crate) const PINNED: &[Row] = &[
    Row {
        region: "ca-central-1",
        city: "Montréal area",
        province: "QC",
        hosts: &[
            "s3.ca-central-1.amazonaws.com",
            "s3.dualstack.ca-central-1.amazonaws.com",
            "s3-fips.ca-central-1.amazonaws.com",
            "s3-fips.dualstack.ca-central-1.amazonaws.com",
        ],
        patterns: &["bucket.vpce-{id}.s3.ca-central-1.vpce.amazonaws.com"],
        bucket_patterns: &[
            "{bucket}.s3.ca-central-1.amazonaws.com",
            "{bucket}.s3.dualstack.ca-central-1.amazonaws.com",
            "{bucket}.s3-fips.ca-central-1.amazonaws.com",
            "{bucket}.s3-fips.dualstack.ca-central-1.amazonaws.com",
            "{acct}.s3-accesspoint.ca-central-1.amazonaws.com",
            "{acct}.s3-accesspoint.dualstack.ca-central-1.amazonaws.com",
            "{acct}.s3-accesspoint-fips.ca-central-1.amazonaws.com",
            "{acct}.s3-accesspoint-fips.dualstack.ca-central-1.amazonaws.com",
            "{bucket}.bucket.vpce-{id}.s3.ca-central-1.vpce.amazonaws.com",
        ],
        location_codes: &["ca-central-1"],
        ..AWS
    },
    Row {
        region: "ca-west-1",
        city: "Calgary",
        province: "AB",
        hosts: &[
            "s3.ca-west-1.amazonaws.com",
            "s3.dualstack.ca-west-1.amazonaws.com",
            "s3-fips.ca-west-1.amazonaws.com",
            "s3-fips.dualstack.ca-west-1.amazonaws.com",
        ],
        patterns: &["bucket.vpce-{id}.s3.ca-west-1.vpce.amazonaws.com"],
        bucket_patterns: &[
            "{bucket}.s3.ca-west-1.amazonaws.com",
            "{bucket}.s3.dualstack.ca-west-1.amazonaws.com",
            "{bucket}.s3-fips.ca-west-1.amazonaws.com",
            "{bucket}.s3-fips.dualstack.ca-west-1.amazonaws.com",
            "{acct}.s3-accesspoint.ca-west-1.amazonaws.com",
            "{acct}.s3-accesspoint.dualstack.ca-west-1.amazonaws.com",
            "{acct}.s3-accesspoint-fips.ca-west-1.amazonaws.com",
            "{acct}.s3-accesspoint-fips.dualstack.ca-west-1.amazonaws.com",
            "{bucket}.bucket.vpce-{id}.s3.ca-west-1.vpce.amazonaws.com",
        ],
        location_codes: &["ca-west-1"],
        evidence: "hosts and city from the operator's client data; the forms of private endpoints not confirmed",
        ..AWS
    },
    Row {
        provider: "wasabi",
        region: "ca-central-1",
        // The same code as another operator's Montréal: the reason why no place is read off a code.
        city: "Toronto",
        province: "ON",
        hosts: &["s3.ca-central-1.wasabisys.com"],
        bucket_patterns: &["{bucket}.s3.ca-central-1.wasabisys.com"],
        location_codes: &["ca-central-1"],
        addressing: Addressing::Path,
        operator: "Wasabi Technologies",
        breakers: &[
            "object replication to another region",
            "renaming a bucket: a name can come to mean another bucket",
            "the operator's global host, which is in the United States",
            "a content delivery network with the bucket as origin",
        ],
        grade: Grade::Tool,
        evidence: "two client tables agree on host, code and city",
        ..AWS
    },
    Row {
        provider: "backblaze-b2",
        region: "ca-east-006",
        city: "Toronto",
        province: "ON",
        hosts: &["s3.ca-east-006.backblazeb2.com"],
        bucket_patterns: &["{bucket}.s3.ca-east-006.backblazeb2.com"],
        location_codes: &["ca-east-006"],
        // What it answers to GetBucketLocation is not confirmed, so an empty answer is no statement.
        answers: &[],
        addressing: Addressing::Path,
        operator: "Backblaze",
        breakers: &[
            "replication to a bucket of an account in another region",
            "download hosts of the operator's own interface, and content delivery partners",
            "an account's region is fixed when it is opened: a second account can be elsewhere",
        ],
        grade: Grade::Public,
        evidence: "the operator's announcement names Toronto; host and code from ten public configurations",
        ..AWS
    },
    Row {
        region: "bhs",
        city: "Beauharnois",
        province: "QC",
        hosts: &["s3.bhs.io.cloud.ovh.net", "s3.bhs.perf.cloud.ovh.net"],
        bucket_patterns: &["{bucket}.s3.bhs.io.cloud.ovh.net", "{bucket}.s3.bhs.perf.cloud.ovh.net"],
        location_codes: &["bhs"],
        evidence: "the operator's guide, and two client tables",
        ..OVH
    },
    Row {
        region: "ca-east-tor",
        city: "Toronto",
        province: "ON",
        hosts: &["s3.ca-east-tor.io.cloud.ovh.net"],
        bucket_patterns: &["{bucket}.s3.ca-east-tor.io.cloud.ovh.net"],
        location_codes: &["ca-east-tor"],
        grade: Grade::Tool,
        evidence: "two client tables agree",
        ..OVH
    },
    Row {
        provider: "digitalocean-spaces",
        region: "tor1",
        city: "Toronto",
        province: "ON",
        hosts: &["tor1.digitaloceanspaces.com"],
        bucket_patterns: &["{bucket}.tor1.digitaloceanspaces.com"],
        location_codes: &["tor1"],
        answers: LOCATION,
        operator: "DigitalOcean",
        breakers: &["the content delivery network of Spaces, with points of presence world-wide"],
        evidence: "the operator's matrix of availability; the host from a client table",
        ..AWS
    },
    Row {
        region: "ca-tor",
        city: "Toronto",
        province: "ON",
        hosts: &[
            "s3.ca-tor.cloud-object-storage.appdomain.cloud",
            "s3.private.ca-tor.cloud-object-storage.appdomain.cloud",
            "s3.direct.ca-tor.cloud-object-storage.appdomain.cloud",
        ],
        bucket_patterns: &[
            "{bucket}.s3.ca-tor.cloud-object-storage.appdomain.cloud",
            "{bucket}.s3.private.ca-tor.cloud-object-storage.appdomain.cloud",
            "{bucket}.s3.direct.ca-tor.cloud-object-storage.appdomain.cloud",
        ],
        location_codes: &["ca-tor-standard", "ca-tor-vault", "ca-tor-cold", "ca-tor-smart", "ca-tor-onerate_active"],
        ..IBM
    },
    Row {
        region: "ca-mon",
        city: "Montréal",
        province: "QC",
        hosts: &[
            "s3.ca-mon.cloud-object-storage.appdomain.cloud",
            "s3.private.ca-mon.cloud-object-storage.appdomain.cloud",
            "s3.direct.ca-mon.cloud-object-storage.appdomain.cloud",
        ],
        bucket_patterns: &[
            "{bucket}.s3.ca-mon.cloud-object-storage.appdomain.cloud",
            "{bucket}.s3.private.ca-mon.cloud-object-storage.appdomain.cloud",
            "{bucket}.s3.direct.ca-mon.cloud-object-storage.appdomain.cloud",
        ],
        location_codes: &["ca-mon-standard", "ca-mon-vault", "ca-mon-cold", "ca-mon-smart", "ca-mon-onerate_active"],
        evidence: "the operator's list of endpoints; the location codes by analogy, not confirmed",
        ..IBM
    },
    Row {
        region: "mon01",
        city: "Montréal",
        province: "QC",
        hosts: &[
            "s3.mon01.cloud-object-storage.appdomain.cloud",
            "s3.private.mon01.cloud-object-storage.appdomain.cloud",
        ],
        bucket_patterns: &["{bucket}.s3.mon01.cloud-object-storage.appdomain.cloud"],
        location_codes: &["mon01-standard", "mon01-vault", "mon01-cold", "mon01-smart", "mon01-onerate_active"],
        breakers: &[
            "replication to a bucket in another region",
            "cross-region endpoints",
            "services for keys and activity records of this place are in Ontario",
        ],
        evidence: "the operator's list of endpoints in a single data centre",
        ..IBM
    },
    Row {
        region: "ca-toronto-1",
        city: "Toronto",
        province: "ON",
        patterns: &[
            "{ns}.compat.objectstorage.ca-toronto-1.oraclecloud.com",
            "{ns}.compat.objectstorage.ca-toronto-1.oci.customer-oci.com",
        ],
        bucket_patterns: &["{bucket}.vhcompat.objectstorage.ca-toronto-1.oci.customer-oci.com"],
        location_codes: &["ca-toronto-1"],
        ..OCI
    },
    Row {
        region: "ca-montreal-1",
        city: "Montréal",
        province: "QC",
        patterns: &[
            "{ns}.compat.objectstorage.ca-montreal-1.oraclecloud.com",
            "{ns}.compat.objectstorage.ca-montreal-1.oci.customer-oci.com",
        ],
        bucket_patterns: &["{bucket}.vhcompat.objectstorage.ca-montreal-1.oci.customer-oci.com"],
        location_codes: &["ca-montreal-1"],
        ..OCI
    },
];
