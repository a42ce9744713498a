//! Which site a candidate names: refuse list, table, declarations, in this order, and nothing else.

use crate::residency::declaration::Declaration;
use crate::residency::origin::{Origin, Scheme};
use crate::residency::refusal::{Refusal, RefusalKind};
use crate::residency::site::Site;
use crate::residency::table::lookup::{self, Known};
use crate::residency::table::row::{Class, Row};

/// How a candidate names its endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Named {
    /// The id of a row, `PROVIDER:REGION`.
    Row(String),
    /// The name of a declared site.
    Declared(String),
    /// A host.
    Origin(Origin),
}

/// What was found.
#[derive(Debug)]
pub(crate) enum Located {
    /// A site that may be judged further.
    Site(Box<Site>),
    /// An endpoint that may only be read from.
    Closed {
        /// Where it is reached.
        origin: Origin,
        /// What requests are signed for, if known.
        region: Option<String>,
        /// Certificates to trust.
        ca_pem: String,
        /// Why nothing is sent.
        refusal: Refusal,
    },
    /// Nothing that could be reached.
    Nowhere(Refusal),
}

const LIST: &str = "Choose a site of the table (cairn residency list), or declare this one (cairn residency declare).";
const TABLE_ONLY: &str = "Choose a site of the table (cairn residency list).";

/// Finds the site.
pub(crate) fn locate(named: &Named, declared: &[Declaration]) -> Located {
    match named {
        Named::Row(id) => row(id, declared),
        Named::Declared(name) => match newest(declared).find(|declaration| declaration.name == *name) {
            Some(declaration) => site_of(declaration),
            None => Located::Nowhere(Refusal::new(
                RefusalKind::Unknown,
                format!("site {name:?}"),
                "nobody declared a site of this name, and a host has a dot in it",
                "Declare the site (cairn residency declare), or choose one of the table (cairn residency list).",
            )),
        },
        Named::Origin(origin) => host(origin, declared),
    }
}

/// The last declaration of every name.
fn newest(declared: &[Declaration]) -> impl Iterator<Item = &Declaration> {
    let counts = |(at, declaration): &(usize, &Declaration)| {
        !declared[at + 1..].iter().any(|later| later.name == declaration.name)
    };
    declared.iter().enumerate().filter(counts).map(|(_, declaration)| declaration)
}

fn site_of(declaration: &Declaration) -> Located {
    match declaration.check() {
        Ok(()) => Located::Site(Box::new(Site::of_declaration(declaration))),
        Err(refusal) => Located::Closed {
            origin: declaration.origin.clone(),
            region: Some(declaration.signing_region.clone()),
            ca_pem: declaration.ca_pem.clone(),
            refusal,
        },
    }
}

/// The site that is declared at exactly this origin.
fn declared_at<'a>(origin: &Origin, declared: &'a [Declaration]) -> Result<Option<&'a Declaration>, Refusal> {
    let mut found = newest(declared).filter(|declaration| declaration.origin == *origin);
    let (first, second) = (found.next(), found.next());
    match (first, second) {
        (Some(one), Some(other)) => Err(Refusal::new(
            RefusalKind::Unknown,
            origin.to_string(),
            format!("it is declared twice, as {} and as {}", one.name, other.name),
            "Write the name of the site instead of its host.",
        )),
        (found, _) => Ok(found),
    }
}

fn row(id: &str, declared: &[Declaration]) -> Located {
    let Some(row) = lookup::id(id) else {
        return Located::Nowhere(Refusal::new(
            RefusalKind::Unknown,
            format!("site {id:?}"),
            "the table has no row of this name",
            "cairn residency list shows the names.",
        ));
    };
    let origins: Vec<Origin> = row.hosts.iter().filter_map(|host| Origin::parse(host).ok()).collect();
    let Some(first) = origins.first() else {
        let form = row.patterns.first().map_or("the exact host, declared", |pattern| *pattern);
        return Located::Nowhere(Refusal::new(
            RefusalKind::NotAnEndpoint,
            format!("site {id:?}"),
            "every customer of this operator has a host of its own",
            format!("Write the host instead: s3://HOST/BUCKET, HOST being {form}."),
        ));
    };
    let declared_origin = origins.iter().find(|origin| matches!(declared_at(origin, declared), Ok(Some(_))));
    host(declared_origin.unwrap_or(first), declared)
}

fn host(origin: &Origin, declared: &[Declaration]) -> Located {
    let closed = |row: Option<&Row>, refusal| Located::Closed {
        origin: origin.clone(),
        region: row.map(|row| row.region.to_owned()),
        ca_pem: String::new(),
        refusal,
    };
    let refuse = |kind, why: &str, remedy: &str| Refusal::new(kind, origin.to_string(), why, remedy);
    match lookup::host(origin.host()) {
        Known::Refused(refused) => closed(None, refuse(RefusalKind::Refused, refused.reason, TABLE_ONLY)),
        Known::Row(row) => {
            if let Some(why) = row.off {
                return closed(
                    Some(row),
                    refuse(RefusalKind::Refused, &format!("{} is off: {why}", row.id()), TABLE_ONLY),
                );
            }
            if row.class == Class::Declare {
                return match declared_at(origin, declared) {
                    Ok(Some(declaration)) => site_of(declaration),
                    Ok(None) => closed(Some(row), refuse(RefusalKind::Unknown, UNDECLARED, LIST)),
                    Err(refusal) => closed(Some(row), refusal),
                };
            }
            if origin.scheme() != Scheme::Https || origin.port() != 443 {
                let remedy = format!("Write s3://{}/BUCKET.", origin.host());
                return closed(
                    Some(row),
                    refuse(RefusalKind::Unknown, "the table knows it through https on port 443", &remedy),
                );
            }
            match Site::of_row(row, origin.host()) {
                Some(site) => Located::Site(Box::new(site)),
                None => closed(Some(row), refuse(RefusalKind::Unknown, "it is no host", TABLE_ONLY)),
            }
        }
        Known::Bucket(row) => closed(
            Some(row),
            refuse(
                RefusalKind::NotAnEndpoint,
                "a bucket or an access point is part of the host, and a site is the host without it",
                &format!("Write s3://{}/BUCKET.", without_bucket(row, origin.host())),
            ),
        ),
        Known::Operator(domain) => {
            let why =
                format!("hosts below {domain} are used only if the table lists them, and it does not list this one");
            closed(None, refuse(RefusalKind::Unknown, &why, TABLE_ONLY))
        }
        Known::Nothing => match declared_at(origin, declared) {
            Ok(Some(declaration)) => site_of(declaration),
            Err(refusal) => closed(None, refusal),
            Ok(None) => closed(None, unknown(origin, declared)),
        },
    }
}

const UNDECLARED: &str = "nothing remote can prove where it is, so it has to be declared, and nobody did";

/// The site's part of a host that contains a bucket.
fn without_bucket(row: &Row, host: &str) -> String {
    let rest = host.split_once('.').map_or(host, |(_, rest)| rest);
    match lookup::host(rest) {
        Known::Row(_) => rest.to_owned(),
        _ => row.hosts.first().or(row.patterns.first()).map_or(rest, |host| *host).to_owned(),
    }
}

fn unknown(origin: &Origin, declared: &[Declaration]) -> Refusal {
    let near = newest(declared).find(|declaration| declaration.origin.host() == origin.host());
    let (why, remedy) = match near {
        Some(near) => (
            "it is declared with another scheme or port".to_owned(),
            format!("Write the site's name: s3://{}/BUCKET goes to {}.", near.name, near.origin),
        ),
        None if origin.is_address() || origin.is_loopback() => {
            ("an address or this host itself is used only as a declared site".to_owned(), LIST.to_owned())
        }
        None if origin.is_punycode() => (
            "it is an internationalised name, which can look like another, and no such name is used".to_owned(),
            TABLE_ONLY.to_owned(),
        ),
        None => ("it is neither in the table nor declared".to_owned(), LIST.to_owned()),
    };
    Refusal::new(RefusalKind::Unknown, origin.to_string(), why, remedy)
}
