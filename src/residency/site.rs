//! A site: one endpoint with everything that is known about it. Where it is, through what it is reached and under whose
//! law its operator stands are three facts, kept apart.

use crate::residency::bucket::BucketName;
use crate::residency::check::Check;
use crate::residency::date;
use crate::residency::declaration::Declaration;
use crate::residency::origin::{Addressing, Origin, Scheme};
use crate::residency::place::{Place, Province};
use crate::residency::table::row::{COMPILED, Class, Row};
use std::sync::Arc;

/// Who operates a site, and whose law that brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    /// Name.
    pub name: String,
    /// Whose law it answers to.
    pub jurisdiction: String,
    /// Whether its ultimate parent is in the United States. Unknown counts as such where a policy excludes them.
    pub us_parent: Option<bool>,
}

/// One endpoint and what is known about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// `aws:ca-central-1`, or the declared name.
    pub id: String,
    /// Where it is reached.
    pub origin: Origin,
    /// The region that requests are signed for.
    pub signing_region: String,
    /// How buckets are named in requests.
    pub addressing: Addressing,
    /// Where it is.
    pub place: Place,
    /// Who operates it.
    pub operator: Operator,
    /// What has to be true before data is sent.
    pub class: Class,
    /// What the store may state as location, letter case aside.
    pub location_codes: Vec<String>,
    /// Which of [`Check::RegionHeader`] and [`Check::Location`] the store is known to answer: there an empty answer is a
    /// statement too.
    pub answers: Vec<Check>,
    /// Checks without which nothing is sent.
    pub required: Vec<Check>,
    /// The declaration, if it is a declared site.
    pub declaration: Option<Arc<Declaration>>,
    /// Where all this was read, with its grade and date.
    pub evidence: String,
}

impl Site {
    /// The site of a row at one of its hosts.
    pub(crate) fn of_row(row: &Row, host: &str) -> Option<Self> {
        let mut location_codes: Vec<String> = row.location_codes.iter().map(|code| (*code).to_owned()).collect();
        if !location_codes.iter().any(|code| code == row.region) {
            location_codes.push(row.region.to_owned());
        }
        Some(Self {
            id: row.id(),
            origin: Origin::parse(host).ok()?,
            signing_region: row.region.to_owned(),
            addressing: row.addressing,
            place: Place { city: row.city.to_owned(), province: Province::parse(row.province) },
            operator: Operator {
                name: row.operator.to_owned(),
                jurisdiction: row.jurisdiction.to_owned(),
                us_parent: row.us_parent,
            },
            class: row.class,
            location_codes,
            answers: row.answers.to_vec(),
            required: required(row.class, Scheme::Https),
            declaration: None,
            evidence: format!(
                "hosts and place: {}, read {COMPILED} ({}); the operator's parent: general knowledge, not confirmed",
                row.grade.meaning(),
                row.evidence
            ),
        })
    }

    /// The site that somebody declared.
    pub(crate) fn of_declaration(declaration: &Declaration) -> Self {
        Self {
            id: declaration.name.clone(),
            origin: declaration.origin.clone(),
            signing_region: declaration.signing_region.clone(),
            addressing: declaration.addressing,
            place: Place { city: declaration.city.clone(), province: Some(declaration.province) },
            operator: Operator {
                name: declaration.operator.clone(),
                jurisdiction: declaration.jurisdiction.clone(),
                us_parent: declaration.us_parent,
            },
            class: Class::Declare,
            location_codes: vec![declaration.signing_region.clone()],
            answers: vec![Check::RegionHeader, Check::Location],
            required: required(Class::Declare, declaration.origin.scheme()),
            evidence: format!("declared by {} on {}", declaration.signed_by, date::day(declaration.declared)),
            declaration: Some(Arc::new(declaration.clone())),
        }
    }

    /// The one `HOST[:PORT]` that requests for this bucket go to.
    pub fn authority_for(&self, bucket: &BucketName) -> String {
        match self.addressing_for(bucket) {
            Addressing::Path => self.origin.authority(),
            Addressing::VirtualHost => format!("{bucket}.{}", self.origin.authority()),
        }
    }

    /// How this bucket is named in requests. A certificate for `*.HOST` covers one label, so a name with dots stands in
    /// the path.
    pub fn addressing_for(&self, bucket: &BucketName) -> Addressing {
        if bucket.as_str().contains('.') { Addressing::Path } else { self.addressing }
    }

    /// Certificates to trust for this site alone, PEM; empty for the usual ones.
    pub fn ca_pem(&self) -> &str {
        self.declaration.as_ref().map_or("", |declaration| &declaration.ca_pem)
    }
}

/// Checks without which nothing is sent. Those about the bucket are evidence elsewhere: what a store does not offer
/// cannot be required of it, and what it states counts in every class.
fn required(class: Class, scheme: Scheme) -> Vec<Check> {
    let mut checks = vec![Check::Endpoint, Check::Pin, Check::Parent, Check::Hint];
    if scheme == Scheme::Https {
        checks.push(Check::Tls);
    }
    if class == Class::Verify {
        checks.push(Check::Location);
    }
    checks.sort_unstable();
    checks
}
