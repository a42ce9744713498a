//! What a store states about keeping what somebody deletes: versions of objects, and object lock. It decides nothing about
//! where data may go, so it is no check of the gate; it is shown.

use crate::residency::Observed;
use crate::storage::s3::connection::Connection;
use crate::storage::s3::observe::{Answer, Question, map};
use crate::storage::s3::together::both;
use crate::storage::s3::xml;
use aws_sdk_s3::operation::get_object_lock_configuration::GetObjectLockConfigurationOutput;
use aws_sdk_s3::types::ObjectLockEnabled;

const VERSIONING: Question = Question {
    query: "versioning",
    // The second is what an emulation of AWS sends.
    roots: &["VersioningConfiguration", "GetBucketVersioningResponse"],
    is_read_raw: true,
    permission: "s3:GetBucketVersioning",
    none: &[],
};
const LOCK: Question = Question {
    query: "object-lock",
    roots: &["ObjectLockConfiguration"],
    is_read_raw: false,
    permission: "s3:GetBucketObjectLockConfiguration",
    // The second is what some stores of their own software say.
    none: &["ObjectLockConfigurationNotFoundError", "NoSuchObjectLockConfiguration"],
};

/// What a store states about keeping what is deleted. The default is that nobody asked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Protection {
    /// Whether deleted and overwritten objects stay as old versions.
    pub versions: Observed<Versioning>,
    /// Whether the bucket can lock objects; stated `None` if not.
    pub lock: Observed<Option<BucketLock>>,
}

/// Whether old versions are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Versioning {
    /// They are.
    Enabled,
    /// Only those from before versioning was suspended.
    Suspended,
    /// They never were.
    Never,
}

/// Object lock of a bucket. A retention counts from the upload of each object, and the store applies it by itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BucketLock {
    /// Retention that every new object gets, if there is a default one: its mode (`GOVERNANCE`, `COMPLIANCE`) as stated.
    pub mode: Option<String>,
    /// Its length in days; 0 if it is stated in years.
    pub days: u32,
    /// Its length in years; 0 if it is stated in days.
    pub years: u32,
}

/// Asks everything.
pub(super) async fn protection(connection: &Connection) -> Protection {
    let (versions, lock) = both(versions(connection), lock(connection)).await;
    Protection { versions, lock }
}

/// Whether old versions are kept.
pub(super) async fn versions(connection: &Connection) -> Observed<Versioning> {
    let request = || {
        let request = connection.client.get_bucket_versioning().bucket(connection.bucket.as_str());
        request.set_expected_bucket_owner(connection.owner()).send()
    };
    match connection.ask(&VERSIONING, request).await {
        Observed::Stated((_, body)) => stated_versions(body.as_deref().unwrap_or_default()),
        other => map(other, |_| Versioning::Never),
    }
}

/// A bucket whose owner never switched versions on has no status.
fn stated_versions(body: &[u8]) -> Observed<Versioning> {
    match xml::first(body, "Status") {
        None | Some("") => Observed::Stated(Versioning::Never),
        Some("Enabled") => Observed::Stated(Versioning::Enabled),
        Some("Suspended") => Observed::Stated(Versioning::Suspended),
        Some(other) => Observed::NotOffered(format!("the store states {other:?}")),
    }
}

/// Object lock.
async fn lock(connection: &Connection) -> Observed<Option<BucketLock>> {
    let request = || {
        let request = connection.client.get_object_lock_configuration().bucket(connection.bucket.as_str());
        request.set_expected_bucket_owner(connection.owner()).send()
    };
    stated_lock(connection.ask(&LOCK, request).await)
}

fn stated_lock(answer: Answer<GetObjectLockConfigurationOutput>) -> Observed<Option<BucketLock>> {
    map(answer, |(output, _)| {
        let stated = output.and_then(|output| output.object_lock_configuration);
        let stated = stated.filter(|stated| stated.object_lock_enabled() == Some(&ObjectLockEnabled::Enabled))?;
        let length = |number: Option<i32>| number.and_then(|number| u32::try_from(number).ok()).unwrap_or(0);
        let retention = stated.rule.and_then(|rule| rule.default_retention);
        Some(retention.map_or_else(BucketLock::default, |retention| BucketLock {
            mode: retention.mode().map(|mode| mode.as_str().to_owned()),
            days: length(retention.days()),
            years: length(retention.years()),
        }))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_s3::types::{DefaultRetention, ObjectLockConfiguration, ObjectLockRetentionMode, ObjectLockRule};

    fn answer(configuration: ObjectLockConfiguration) -> Answer<GetObjectLockConfigurationOutput> {
        let output = GetObjectLockConfigurationOutput::builder().object_lock_configuration(configuration).build();
        Observed::Stated((Some(output), None))
    }

    #[test]
    fn versions_are_what_the_store_states() {
        for (status, expected) in [
            ("", Versioning::Never),
            ("<MfaDelete>Disabled</MfaDelete>", Versioning::Never),
            ("<Status>Enabled</Status>", Versioning::Enabled),
            ("<Status>Suspended</Status>", Versioning::Suspended),
        ] {
            let body = format!("<VersioningConfiguration xmlns='x'>{status}</VersioningConfiguration>");
            assert_eq!(stated_versions(body.as_bytes()), Observed::Stated(expected), "{body}");
        }
        let other = stated_versions(b"<VersioningConfiguration><Status>Odd</Status></VersioningConfiguration>");
        assert!(matches!(other, Observed::NotOffered(_)), "{other:?}");
    }

    #[test]
    fn a_lock_is_what_the_store_states() {
        let on = || ObjectLockConfiguration::builder().object_lock_enabled(ObjectLockEnabled::Enabled);
        let kept = DefaultRetention::builder().mode(ObjectLockRetentionMode::Governance).days(30).years(0).build();
        let rule = ObjectLockRule::builder().default_retention(kept).build();
        let lock = BucketLock { mode: Some("GOVERNANCE".into()), days: 30, years: 0 };
        for (stated, expected) in [
            (Observed::Stated((None, None)), Observed::Stated(None)),
            (answer(ObjectLockConfiguration::builder().rule(rule.clone()).build()), Observed::Stated(None)),
            (answer(on().build()), Observed::Stated(Some(BucketLock::default()))),
            (answer(on().rule(rule).build()), Observed::Stated(Some(lock))),
            (Observed::Denied("p".into()), Observed::Denied("p".into())),
        ] {
            assert_eq!(stated_lock(stated), expected);
        }
    }
}
