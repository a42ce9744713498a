//! What the owner allows: places, parents, and exceptions with a name and an end.

use crate::clock::Timestamp;
use crate::residency::check::Check;
use crate::residency::place::Pin;

/// Leave to go on although one check of one site could not be made, or found something that is not a place.
///
/// It never covers an endpoint that is refused or unknown, the pin, the operator's parent, a redirect or region hint, or
/// a check that succeeded and showed another place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exception {
    /// Id of the site.
    pub site: String,
    /// The check.
    pub check: Check,
    /// Why it is acceptable, in the owner's words.
    pub reason: String,
    /// Who says so.
    pub signed_by: String,
    /// When it ends; at this moment it no longer counts.
    pub expires: Timestamp,
}

/// What the owner allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Where data may be.
    pub pin: Pin,
    /// Whether operators with a parent in the United States are excluded. One whose parent is unknown counts as such.
    pub deny_us_parent: bool,
    /// Exceptions, also those that have ended.
    pub exceptions: Vec<Exception>,
}

impl Policy {
    /// A policy with a pin and nothing else.
    pub fn new(pin: Pin) -> Self {
        Self { pin, deny_us_parent: false, exceptions: Vec::new() }
    }
}
