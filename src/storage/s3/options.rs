//! Settings of an S3 store. None of them says where data goes: that is the verified endpoint's alone.

use std::fmt;
use std::time::Duration;

/// Settings of an S3 store.
#[derive(Debug, Clone, Default)]
pub struct S3Options {
    /// Where the credentials come from.
    pub credentials: CredentialSource,
    /// Certificates to trust, PEM, instead of the system's; empty for the endpoint's own or the system's.
    pub ca_pem: String,
    /// Bytes of objects sent in a second, at most, over all connections together.
    pub upload_limit: Option<u64>,
    /// Bytes received in a second, at most, over all connections together.
    pub download_limit: Option<u64>,
    /// The account that the bucket has to belong to, sent with every request (`x-amz-expected-bucket-owner`).
    pub expected_owner: Option<String>,
    /// Storage class of data packs; everything else stays in the bucket's standard class, because every run reads it.
    pub data_storage_class: Option<String>,
    /// Retention that new objects get, if the bucket has object lock.
    pub lock: Option<ObjectLock>,
    /// How long to wait for what.
    pub timeouts: Timeouts,
    /// What is known about conditional creation at this store, from a probe ([`super::S3Sender::probe`]).
    pub create: CreateMode,
}

/// How long to wait for what, before an attempt counts as lost and is repeated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeouts {
    /// For a connection, TLS included.
    pub connect: Duration,
    /// For the next piece of an answer, or for a piece of a request to be taken.
    pub idle: Duration,
    /// For one attempt, in addition to the time that its bytes take at `bytes_per_second_min`.
    pub attempt: Duration,
    /// The slowest useful transfer.
    pub bytes_per_second_min: u64,
    /// For one request with all its repetitions.
    pub total: Duration,
    /// The same while the store has never answered: a wrong port should not take a quarter of an hour to be noticed.
    pub first_contact: Duration,
}

impl Default for Timeouts {
    /// A minute and 64 KiB/s for each attempt, a quarter of an hour in all.
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            idle: Duration::from_secs(60),
            attempt: Duration::from_secs(60),
            bytes_per_second_min: 64 << 10,
            total: Duration::from_secs(15 * 60),
            first_contact: Duration::from_secs(30),
        }
    }
}

impl Timeouts {
    /// How long one attempt at moving this many bytes may take.
    pub fn attempt_for(&self, bytes: u64) -> Duration {
        self.attempt + Duration::from_millis(bytes.saturating_mul(1000) / self.bytes_per_second_min.max(1))
    }
}

/// Where credentials come from.
#[derive(Debug, Clone)]
pub enum CredentialSource {
    /// Environment, profile, web identity, container, instance, in this order; the first that has some.
    Chain {
        /// Name of a profile that is used instead of all these; `None` for the chain, with `AWS_PROFILE` or `default`.
        profile: Option<String>,
    },
    /// These.
    Key(AccessKey),
}

impl Default for CredentialSource {
    fn default() -> Self {
        Self::Chain { profile: None }
    }
}

/// An access key. Its secret cannot be printed.
#[derive(Clone)]
pub struct AccessKey {
    /// The public part.
    pub id: String,
    /// The secret part.
    pub secret: String,
    /// The session's token, for temporary keys.
    pub token: Option<String>,
}

impl fmt::Debug for AccessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Retention of new objects, counted from their upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObjectLock {
    /// Who may lift it.
    pub mode: LockMode,
    /// Days.
    pub days: u32,
}

/// Who may lift a retention.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockMode {
    /// Accounts with a permission of their own.
    Governance,
    /// Nobody.
    Compliance,
}

/// How objects are created so that an existing one is never changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CreateMode {
    /// Nobody has probed the store: asks first whether the object is there, and requests conditional creation too.
    #[default]
    Unknown,
    /// The store creates conditionally (`If-None-Match: *`), also when several try at once: that was probed.
    Conditional,
    /// The store ignores the condition. Asking first is all there is, and leaves a window between the two.
    Window,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_printed() {
        let key = AccessKey { id: "GKid".into(), secret: "s3cr3t".into(), token: Some("t0k3n".into()) };
        let options = S3Options { credentials: CredentialSource::Key(key), ..S3Options::default() };
        let text = format!("{options:?}");
        assert!(text.contains("GKid") && !text.contains("s3cr3t") && !text.contains("t0k3n"), "{text}");
    }

    #[test]
    fn an_attempt_gets_time_for_its_bytes() {
        let timeouts = Timeouts::default();
        assert_eq!(timeouts.attempt_for(0), Duration::from_secs(60));
        assert_eq!(timeouts.attempt_for(32 << 20), Duration::from_secs(60 + 512));
        assert!(timeouts.attempt_for(u64::MAX) > Duration::from_secs(60));
    }
}
