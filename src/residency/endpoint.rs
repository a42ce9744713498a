//! From a text to an endpoint that may be sent to, or one that may only be read from.
//!
//! [`EndpointCandidate`] is what somebody wrote. [`CanadianEndpoint::admit`] is the only way from there to an endpoint that
//! may be sent to; [`ReachableEndpoint::resolve`] lets data be read back from wherever it is.

use crate::residency::declaration::{self, Declaration};
use crate::residency::locate::{self, Located};
use crate::residency::origin::{Addressing, Origin};
use crate::residency::policy::Policy;
use crate::residency::refusal::{Refusal, RefusalKind};
use crate::residency::site::Site;

/// The region that requests are signed for where nobody knows better: most software that has one region takes it for any.
const REGION_UNKNOWN: &str = "us-east-1";

/// What somebody wrote as endpoint: recognised, not trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointCandidate {
    named: locate::Named,
    region: Option<String>,
}

impl EndpointCandidate {
    /// The SITE of `s3://SITE/BUCKET`: the id of a row of the table, a host with or without a port (https), or the name
    /// of a declared site. A word without a dot is such a name. Letters may be of either case.
    ///
    /// # Errors
    /// [`RefusalKind::NotAnEndpoint`] for a text that can be none of these.
    pub fn of_site(text: &str) -> Result<Self, Refusal> {
        if text.contains('/') {
            return Err(Refusal::new(
                RefusalKind::NotAnEndpoint,
                format!("site {text:?}"),
                "a site is written without scheme and path",
                "Write s3://SITE/BUCKET; a site that is reached through plain http has to be declared.",
            ));
        }
        let lower = text.to_ascii_lowercase();
        let named = if declaration::is_name(&lower) {
            locate::Named::Declared(lower)
        } else if is_row_id(&lower) {
            locate::Named::Row(lower)
        } else {
            locate::Named::Origin(Origin::parse(text)?)
        };
        Ok(Self { named, region: None })
    }

    /// An explicit URL. Plain http is then possible, for reading.
    pub fn of_origin(origin: Origin) -> Self {
        Self { named: locate::Named::Origin(origin), region: None }
    }

    /// The region that requests are signed for, if neither the table nor a declaration knows the endpoint. Without it
    /// that is `us-east-1`.
    #[must_use]
    pub fn with_signing_region(mut self, region: &str) -> Self {
        self.region = Some(region.to_owned());
        self
    }
}

/// `PROVIDER:REGION`; a region is not a number, so that no host with a port is meant.
fn is_row_id(text: &str) -> bool {
    let plain = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let parts = text.split_once(':');
    parts.is_some_and(|(provider, region)| {
        plain(provider) && plain(region) && !region.bytes().all(|b| b.is_ascii_digit())
    })
}

/// An endpoint that may be sent to, as far as that can be judged without asking the store.
///
/// Nothing outside makes one:
///
/// ```compile_fail,E0451
/// use cairn::residency::{CanadianEndpoint, Site};
/// fn forge(site: Site) -> CanadianEndpoint {
///     CanadianEndpoint { site }
/// }
/// ```
///
/// but the judgement does:
///
/// ```
/// use cairn::residency::{CanadianEndpoint, EndpointCandidate, Pin, Policy};
/// let candidate = EndpointCandidate::of_site("s3.ca-central-1.amazonaws.com").unwrap();
/// let endpoint = CanadianEndpoint::admit(&candidate, &[], &Policy::new(Pin::Canada)).unwrap();
/// assert_eq!(endpoint.site().id, "aws:ca-central-1");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CanadianEndpoint {
    site: Site,
}

impl CanadianEndpoint {
    /// Judges a candidate: refuse list first, then the table, then what was declared; what is in none is refused. Of several
    /// declarations of one name the last counts.
    ///
    /// # Errors
    /// A [`Refusal`] saying why, and what to do next.
    pub fn admit(candidate: &EndpointCandidate, declared: &[Declaration], policy: &Policy) -> Result<Self, Refusal> {
        match locate::locate(&candidate.named, declared) {
            Located::Site(site) => Self::of_site(*site, policy),
            Located::Closed { refusal, .. } | Located::Nowhere(refusal) => Err(refusal),
        }
    }

    fn of_site(site: Site, policy: &Policy) -> Result<Self, Refusal> {
        if !policy.pin.allows(site.place.province) {
            return Err(Refusal::new(
                RefusalKind::Pin,
                &site.id,
                format!("its place is {}, and data may only be in {}", site.place, policy.pin),
                "Choose a site inside the pin (cairn residency list), or let the owner widen the pin.",
            ));
        }
        if policy.deny_us_parent && site.operator.us_parent != Some(false) {
            let known = if site.operator.us_parent.is_some() { "is" } else { "may be" };
            return Err(Refusal::new(
                RefusalKind::Parent,
                &site.id,
                format!("the parent of its operator {known} in the United States, which the owner's policy excludes"),
                "Choose a site of another operator (cairn residency list), or let the owner change the policy.",
            ));
        }
        Ok(Self { site })
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
        match locate::locate(&candidate.named, declared) {
            Located::Nowhere(refusal) => Err(refusal),
            Located::Site(site) => Ok(Self {
                origin: site.origin.clone(),
                signing_region: site.signing_region.clone(),
                addressing: site.addressing,
                ca_pem: site.ca_pem().to_owned(),
                sending: CanadianEndpoint::of_site(*site, policy),
            }),
            Located::Closed { origin, region, ca_pem, refusal } => Ok(Self {
                origin,
                signing_region: region
                    .or_else(|| candidate.region.clone())
                    .unwrap_or_else(|| REGION_UNKNOWN.to_owned()),
                addressing: Addressing::Path,
                ca_pem,
                sending: Err(refusal),
            }),
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
