//! The verdict about one bucket, and the one value that opens sending.

use crate::clock::Timestamp;
use crate::residency::bucket::BucketName;
use crate::residency::check::{Check, Outcome};
use crate::residency::endpoint::CanadianEndpoint;
use crate::residency::observe::Observations;
use crate::residency::place::Pin;
use crate::residency::policy::{Exception, Policy};
use crate::residency::refusal::Refusal;
use crate::residency::table::TableVersion;

/// How long a verdict may be relied on, in seconds. Then the store has to be asked again.
pub const VERDICT_SECONDS: i64 = 15 * 60;

/// What one check came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The check.
    pub check: Check,
    /// What it came to.
    pub outcome: Outcome,
    /// Whether nothing is sent without it.
    pub required: bool,
    /// Who stated what, a fragment without full stop.
    pub said: String,
    /// What to do if it did not pass, a sentence; names the missing permission after a denial. Else empty.
    pub remedy: String,
    /// The exception that covers it, if it did not pass and one does.
    pub excepted: Option<Exception>,
}

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
    /// Whether data may be sent.
    pub fn sending(&self) -> Sending {
        Sending::NotNow
    }

    /// Why data may not be sent, if it may not: the first finding that stops it.
    pub fn refusal(&self) -> Option<Refusal> {
        None
    }
}

/// A bucket that data may be sent to now. Only [`ResidentBucket::judge`] and [`ResidentBucket::renew`] make one.
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
        _observations: &Observations,
        policy: &Policy,
        now: Timestamp,
    ) -> (Verdict, Option<Self>) {
        let verdict = Verdict {
            site: endpoint.site().id.clone(),
            bucket: bucket.clone(),
            pin: policy.pin.clone(),
            findings: Vec::new(),
            decided: now,
            expires: now,
            table: crate::residency::table::version(),
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
