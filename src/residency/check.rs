//! The checks by name, and what one of them came to.

use std::fmt;

/// What is checked about a bucket, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Check {
    /// The host stands in the table of endpoints, or is declared.
    Endpoint,
    /// The site is in a place that the owner allows.
    Pin,
    /// The operator's parent is acceptable to the owner's policy.
    Parent,
    /// The connection is encrypted and the host's certificate is checked.
    Tls,
    /// The region that the store states in a header (HeadBucket).
    RegionHeader,
    /// The location that the store states (GetBucketLocation).
    Location,
    /// The bucket belongs to the expected account.
    Owner,
    /// Replication rules that the store states.
    Replication,
    /// Transfer acceleration, which enters at the nearest edge of the operator's network.
    Acceleration,
    /// Rules that move or delete objects.
    Lifecycle,
    /// Where access logs go.
    Logging,
    /// Redirects, region hints and foreign hosts seen meanwhile.
    Hint,
}

impl Check {
    /// Every check, in order.
    pub const ALL: [Self; 12] = [
        Self::Endpoint,
        Self::Pin,
        Self::Parent,
        Self::Tls,
        Self::RegionHeader,
        Self::Location,
        Self::Owner,
        Self::Replication,
        Self::Acceleration,
        Self::Lifecycle,
        Self::Logging,
        Self::Hint,
    ];

    /// The check's name, as written in commands, reports and exceptions.
    pub fn name(self) -> &'static str {
        match self {
            Self::Endpoint => "endpoint",
            Self::Pin => "pin",
            Self::Parent => "parent",
            Self::Tls => "tls",
            Self::RegionHeader => "region-header",
            Self::Location => "location",
            Self::Owner => "owner",
            Self::Replication => "replication",
            Self::Acceleration => "acceleration",
            Self::Lifecycle => "lifecycle",
            Self::Logging => "logging",
            Self::Hint => "hint",
        }
    }

    /// The permission that the credentials need for it, if it is asked of the store: an action of S3's permission model.
    pub fn action(self) -> Option<&'static str> {
        match self {
            Self::RegionHeader | Self::Owner => Some("s3:ListBucket"),
            Self::Location => Some("s3:GetBucketLocation"),
            Self::Replication => Some("s3:GetReplicationConfiguration"),
            Self::Acceleration => Some("s3:GetAccelerateConfiguration"),
            Self::Lifecycle => Some("s3:GetLifecycleConfiguration"),
            Self::Logging => Some("s3:GetBucketLogging"),
            Self::Endpoint | Self::Pin | Self::Parent | Self::Tls | Self::Hint => None,
        }
    }

    /// The check with this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|check| check.name() == name)
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a check came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It was made, and what was stated is acceptable.
    Passed,
    /// It was not made, or the answer says nothing. Never the same as passed.
    Unverified,
    /// It was made, and what was stated is not acceptable.
    Failed,
}

impl Outcome {
    /// The outcome in one word, as written in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Unverified => "unverified",
            Self::Failed => "failed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for check in Check::ALL {
            assert_eq!(Check::parse(check.name()), Some(check));
        }
        assert_eq!(Check::parse("Endpoint"), None);
    }
}
