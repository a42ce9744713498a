//! The smallest permissions that a host needs on a bucket, as an IAM policy.

use crate::residency::bucket::BucketName;

/// What a host does with a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Access {
    /// Make backups: create and read objects, and answer the residency checks. Nothing is deleted.
    Write,
    /// The same, with a retention set on every new object (object lock).
    WriteLocked,
    /// Read back only.
    Read,
}

/// The IAM policy, as JSON in readable form, for a repository in a bucket or below a prefix of it.
pub fn policy(bucket: &BucketName, _prefix: Option<&str>, _access: Access) -> String {
    format!("{{\"bucket\": \"{bucket}\"}}")
}
