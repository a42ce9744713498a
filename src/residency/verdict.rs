//! The verdict about one bucket, and the one value that opens sending.

use crate::clock::Timestamp;
use crate::residency::bucket::BucketName;
use crate::residency::check::Check;
use crate::residency::endpoint::CanadianEndpoint;
use crate::residency::finding::Finding;
use crate::residency::inspect::inspect;
use crate::residency::observe::Observations;
use crate::residency::place::Pin;
use crate::residency::policy::Policy;
use crate::residency::refusal::{Refusal, RefusalKind};
use crate::residency::table::{self, TableVersion};

/// How long a verdict may be relied on, in seconds. Then the store has to be asked again.
pub const VERDICT_SECONDS: i64 = 15 * 60;

/// Whether data may be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Sending {
    /// Yes.
    Allowed,
    /// No: a check failed.
    Refused,
    /// Not now: a required check could not be made.
    NotNow,
}

impl Sending {
    /// The answer in one or two words, as written in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Refused => "refused",
            Self::NotNow => "not now",
        }
    }
}

/// What was found out about one bucket at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Id of the site.
    pub site: String,
    /// The bucket.
    pub bucket: BucketName,
    /// The pin it was held against.
    pub pin: Pin,
    /// One for each check, in order.
    pub findings: Vec<Finding>,
    /// When it was decided.
    pub decided: Timestamp,
    /// From when on it no longer counts.
    pub expires: Timestamp,
    /// The table it was decided with.
    pub table: TableVersion,
}

impl Verdict {
    /// Whether data may be sent. A check that is missing was not made.
    pub fn sending(&self) -> Sending {
        let complete = self.findings.iter().map(|finding| finding.check).eq(Check::ALL);
        if self.findings.iter().any(Finding::refuses) {
            Sending::Refused
        } else if !complete || self.findings.iter().any(Finding::waits) {
            Sending::NotNow
        } else {
            Sending::Allowed
        }
    }

    /// Why data may not be sent, if it may not: what failed, or else what is not known.
    pub fn refusal(&self) -> Option<Refusal> {
        let what = format!("s3://{}/{}", self.site, self.bucket);
        let of = |kind, finding: &Finding| Refusal::new(kind, &what, &finding.said, &finding.remedy);
        match self.sending() {
            Sending::Allowed => None,
            Sending::Refused => self.findings.iter().find(|finding| finding.refuses()).map(|finding| {
                let kind = match finding.check {
                    Check::Endpoint => RefusalKind::Unknown,
                    Check::Pin => RefusalKind::Pin,
                    Check::Parent => RefusalKind::Parent,
                    _ => RefusalKind::Check,
                };
                of(kind, finding)
            }),
            Sending::NotNow => {
                let first = self.findings.iter().find(|finding| finding.waits());
                Some(
                    first.map(|finding| of(RefusalKind::NotNow, finding)).unwrap_or_else(|| {
                        Refusal::new(RefusalKind::NotNow, &what, "a check is missing", "Run it again.")
                    }),
                )
            }
        }
    }
}

/// A bucket that data may be sent to now. Only [`ResidentBucket::judge`] and [`ResidentBucket::renew`] make one, and it cannot be
/// copied.
///
/// Nothing outside makes one, not even from a verdict that allows it:
///
/// ```compile_fail,E0451
/// use cairn::residency::{CanadianEndpoint, Policy, ResidentBucket, Verdict};
/// fn forge(endpoint: CanadianEndpoint, policy: Policy, verdict: Verdict) -> ResidentBucket {
///     ResidentBucket { endpoint, policy, verdict }
/// }
/// ```
///
/// but the judgement does:
///
/// ```
/// use cairn::clock::Timestamp;
/// use cairn::residency::*;
/// let policy = Policy::new(Pin::Canada);
/// let candidate = EndpointCandidate::of_site("aws:ca-central-1").unwrap();
/// let endpoint = CanadianEndpoint::admit(&candidate, &[], &policy).unwrap();
/// let bucket = BucketName::parse("backups").unwrap();
/// let seen = Observations { location: Observed::Stated("ca-central-1".into()), ..Observations::default() };
/// let (verdict, resident) = ResidentBucket::judge(&endpoint, &bucket, &seen, &policy, Timestamp::EPOCH);
/// assert_eq!(verdict.sending(), Sending::Allowed);
/// let resident: ResidentBucket = resident.unwrap();
/// ```
///
/// and it cannot be copied to be used when it is stale:
///
/// ```compile_fail,E0599
/// fn copy(resident: cairn::residency::ResidentBucket) -> cairn::residency::ResidentBucket {
///     resident.clone()
/// }
/// ```
#[derive(Debug)]
pub struct ResidentBucket {
    endpoint: CanadianEndpoint,
    policy: Policy,
    verdict: Verdict,
}

impl ResidentBucket {
    /// Judges what a store said about a bucket. The second value is there if and only if the verdict allows sending.
    pub fn judge(
        endpoint: &CanadianEndpoint,
        bucket: &BucketName,
        observations: &Observations,
        policy: &Policy,
        now: Timestamp,
    ) -> (Verdict, Option<Self>) {
        let findings = inspect(endpoint.site(), observations, policy, now);
        let end = Timestamp { seconds: now.seconds.saturating_add(VERDICT_SECONDS), ..now };
        // What an exception allows ends with it.
        let used = findings.iter().filter_map(|finding| finding.excepted.as_ref());
        let expires = used.map(|exception| exception.expires).fold(end, Timestamp::min);
        let verdict = Verdict {
            site: endpoint.site().id.clone(),
            bucket: bucket.clone(),
            pin: policy.pin.clone(),
            findings,
            decided: now,
            expires,
            table: table::version(),
        };
        let resident = (verdict.sending() == Sending::Allowed).then(|| Self {
            endpoint: endpoint.clone(),
            policy: policy.clone(),
            verdict: verdict.clone(),
        });
        (verdict, resident)
    }

    /// The endpoint.
    pub fn endpoint(&self) -> &CanadianEndpoint {
        &self.endpoint
    }

    /// The bucket.
    pub fn bucket(&self) -> &BucketName {
        &self.verdict.bucket
    }

    /// The verdict that allows sending.
    pub fn verdict(&self) -> &Verdict {
        &self.verdict
    }

    /// The policy it was judged under.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Whether the verdict still counts. A clock that went back behind the verdict ends it too.
    pub fn is_fresh(&self, now: Timestamp) -> bool {
        self.verdict.decided <= now && now < self.verdict.expires
    }

    /// Judges again with what the store says now.
    pub fn renew(&self, observations: &Observations, now: Timestamp) -> (Verdict, Option<Self>) {
        Self::judge(&self.endpoint, self.bucket(), observations, &self.policy, now)
    }
}
