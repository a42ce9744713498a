//! Why nothing is sent somewhere, in a form that a person can act on: what was refused, why, and what to do next.

/// What kind of refusal it is; the binary turns this into an exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RefusalKind {
    /// The text names no place on a network, or no bucket.
    NotAnEndpoint,
    /// Neither in the table of endpoints nor declared.
    Unknown,
    /// On the list of endpoints that are always refused, or switched off, or a declaration that must not be.
    Refused,
    /// Outside the places that the owner allows.
    Pin,
    /// The operator's parent is, or may be, subject to United States law, and the owner's policy excludes that.
    Parent,
    /// A check failed: the store stated something that must not be.
    Check,
    /// A required check could not be made now; the same command may succeed later.
    NotNow,
}

/// A refusal. Its text is "WHAT: WHY"; what to do is apart, in [`Refusal::remedy`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {why}")]
pub struct Refusal {
    /// What kind it is.
    pub kind: RefusalKind,
    /// What was refused, as it was written.
    pub what: String,
    /// The reason, a fragment without full stop.
    pub why: String,
    /// What to do next, a sentence.
    pub remedy: String,
}

impl Refusal {
    pub(crate) fn new(
        kind: RefusalKind,
        what: impl Into<String>,
        why: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { kind, what: what.into(), why: why.into(), remedy: remedy.into() }
    }
}
