//! From a text to an endpoint that may be sent to, or one that may only be read from.
//!
//! [`EndpointCandidate`] is what somebody wrote. [`CanadianEndpoint::admit`] is the only way from there to an endpoint that
//! may be sent to; [`ReachableEndpoint::resolve`] lets data be read back from wherever it is.

use crate::residency::declaration::Declaration;
use crate::residency::origin::{Addressing, Origin};
use crate::residency::policy::Policy;
use crate::residency::refusal::{Refusal, RefusalKind};
use crate::residency::site::Site;

/// What somebody wrote as endpoint: recognised, not trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointCandidate {
    text: String,
    named: Named,
    region: Option<String>,
}

/// How a candidate names its endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Named {
    /// The id of a row, `PROVIDER:REGION`.
    Row(String),
    /// The name of a declared site.
    Declared(String),
    /// A host.
    Origin(Origin),
}

impl EndpointCandidate {
    /// The SITE of `s3://SITE/BUCKET`: the id of a row of the table, a host with or without a port (https), or the name
    /// of a declared site. A word without a dot is such a name.
    ///
    /// # Errors
    /// [`RefusalKind::NotAnEndpoint`] for a text that can be none of these.
    pub fn of_site(text: &str) -> Result<Self, Refusal> {
        let origin = Origin::parse(text)?;
        Ok(Self { text: text.to_owned(), named: Named::Origin(origin), region: None })
    }

    /// An explicit URL. Plain http is then possible, for reading.
    pub fn of_origin(origin: Origin) -> Self {
        Self { text: origin.to_string(), named: Named::Origin(origin), region: None }
    }

    /// The region that requests are signed for, if neither the table nor a declaration knows the endpoint. Without it
    /// that is `us-east-1`, which most software takes for "any".
    #[must_use]
    pub fn with_signing_region(mut self, region: &str) -> Self {
        self.region = Some(region.to_owned());
        self
    }
}

/// An endpoint that may be sent to, as far as that can be judged without asking the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CanadianEndpoint {
    site: Site,
}

impl CanadianEndpoint {
    /// Judges a candidate: refuse list first, then the table, then what was declared; what is in none is refused.
    ///
    /// # Errors
    /// A [`Refusal`] saying why, and what to do next.
    pub fn admit(candidate: &EndpointCandidate, _declared: &[Declaration], _policy: &Policy) -> Result<Self, Refusal> {
        Err(Refusal::new(RefusalKind::Unknown, &candidate.text, "the table is empty", ""))
    }

    /// What is known about the endpoint.
    pub fn site(&self) -> &Site {
        &self.site
    }
}

/// An endpoint that data may be read from. No verdict is needed for that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReachableEndpoint {
    origin: Origin,
    signing_region: String,
    addressing: Addressing,
    ca_pem: String,
    sending: Result<CanadianEndpoint, Refusal>,
}

impl ReachableEndpoint {
    /// Finds out where the candidate is reached, and whether data may be sent there too.
    ///
    /// # Errors
    /// Only for a text that names no host: the id of no row, or a name that nobody declared.
    pub fn resolve(candidate: &EndpointCandidate, declared: &[Declaration], policy: &Policy) -> Result<Self, Refusal> {
        let sending = CanadianEndpoint::admit(candidate, declared, policy);
        match &candidate.named {
            Named::Origin(origin) => Ok(Self {
                origin: origin.clone(),
                signing_region: candidate.region.clone().unwrap_or_else(|| "us-east-1".to_owned()),
                addressing: Addressing::Path,
                ca_pem: String::new(),
                sending,
            }),
            Named::Row(name) | Named::Declared(name) => {
                Err(Refusal::new(RefusalKind::Unknown, name, "there is no such site", ""))
            }
        }
    }

    /// Where it is reached.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The region that requests are signed for.
    pub fn signing_region(&self) -> &str {
        &self.signing_region
    }

    /// How buckets are named in requests.
    pub fn addressing(&self) -> Addressing {
        self.addressing
    }

    /// Certificates to trust for this endpoint alone, PEM; empty for the usual ones.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// The endpoint to send to, or why nothing is sent.
    ///
    /// # Errors
    /// The refusal, if data may only be read.
    pub fn sending(&self) -> Result<&CanadianEndpoint, &Refusal> {
        self.sending.as_ref()
    }
}
