//! A site: one endpoint with everything that is known about it. Where it is, through what it is reached and under whose
//! law its operator stands are three facts, kept apart.

use crate::residency::bucket::BucketName;
use crate::residency::check::Check;
use crate::residency::declaration::Declaration;
use crate::residency::origin::{Addressing, Origin};
use crate::residency::place::Place;
use crate::residency::table::row::Class;
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
    /// Checks without which nothing is sent.
    pub required: Vec<Check>,
    /// The declaration, if it is a declared site.
    pub declaration: Option<Arc<Declaration>>,
    /// Where all this was read, with its grade and date.
    pub evidence: String,
}

impl Site {
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
}
