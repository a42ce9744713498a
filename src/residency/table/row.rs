//! What a row of the table says.

use crate::residency::check::Check;
use crate::residency::origin::Addressing;

/// When the facts of the table were read.
pub const COMPILED: &str = "2026-11-22";

/// What has to be true before data is sent to a site.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// The operator binds the host to one region.
    Pinned,
    /// The host is not enough: the store has to state the bucket's location in every run.
    Verify,
    /// Nothing remote can prove it: somebody has to declare the site by name.
    Declare,
}

impl Class {
    /// The class in one word, as written in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pinned => "pinned",
            Self::Verify => "verify",
            Self::Declare => "declare",
        }
    }
}

/// Where a fact about hosts was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Grade {
    /// The operator's own documentation or the data of its own client library.
    Primary,
    /// Two maintained clients of other makers agree.
    Tool,
    /// Several independent public configurations show it.
    Public,
}

impl Grade {
    /// The grade in one word, as written in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Tool => "tool",
            Self::Public => "public",
        }
    }

    /// What the grade means.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Primary => "the operator's own documentation or client data",
            Self::Tool => "two maintained client tables",
            Self::Public => "public configurations",
        }
    }
}

/// One region of one operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// The operator's short name, the first part of the site's id.
    pub provider: &'static str,
    /// The operator's name for the region, the second part of the id, and what requests are signed for.
    pub region: &'static str,
    /// City or area, as the operator states it; "unknown" if it does not.
    pub city: &'static str,
    /// Province, from the operator's statement about this row; never from the region's name. Empty if unknown.
    pub province: &'static str,
    /// What has to be true before data is sent.
    pub class: Class,
    /// Why the row is switched off, if it is: then nothing is sent there.
    pub off: Option<&'static str>,
    /// Hosts, exactly; the first one is what the id stands for.
    pub hosts: &'static [&'static str],
    /// Hosts with one free label.
    pub patterns: &'static [&'static str],
    /// Hosts that contain a bucket or an access point: recognised, and refused as a site.
    pub bucket_patterns: &'static [&'static str],
    /// What the store may state as location, letter case aside.
    pub location_codes: &'static [&'static str],
    /// Which of [`Check::RegionHeader`] and [`Check::Location`] the operator is known to answer.
    pub answers: &'static [Check],
    /// How buckets are named in requests.
    pub addressing: Addressing,
    /// Who operates it.
    pub operator: &'static str,
    /// Whose law the operator answers to.
    pub jurisdiction: &'static str,
    /// Whether its ultimate parent is in the United States. General knowledge, not confirmed; changes hands.
    pub us_parent: Option<bool>,
    /// What takes data elsewhere although the endpoint is right.
    pub breakers: &'static [&'static str],
    /// Where the hosts were read.
    pub grade: Grade,
    /// The source in words.
    pub evidence: &'static str,
}

impl Row {
    /// The site's id, such as `aws:ca-central-1`.
    pub fn id(&self) -> String {
        format!("{}:{}", self.provider, self.region)
    }
}
