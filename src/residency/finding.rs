//! What one check came to, in words that claim no more than was stated.

use crate::residency::check::{Check, Outcome};
use crate::residency::observe::Observed;
use crate::residency::policy::Exception;

/// Most characters of a store's own words that are repeated.
const QUOTED_MAX: usize = 200;

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

impl Finding {
    /// Whether it stops sending because of what was found.
    pub(crate) fn refuses(&self) -> bool {
        self.outcome == Outcome::Failed && self.excepted.is_none()
    }

    /// Whether it stops sending because something required is not known.
    pub(crate) fn waits(&self) -> bool {
        self.outcome == Outcome::Unverified && self.required && self.excepted.is_none()
    }
}

/// A check's outcome with its words, before it is known whether it is required.
#[derive(Debug)]
pub(crate) struct Judged {
    pub(crate) outcome: Outcome,
    pub(crate) said: String,
    pub(crate) remedy: String,
}

impl Judged {
    pub(crate) fn passed(said: impl Into<String>) -> Self {
        Self { outcome: Outcome::Passed, said: said.into(), remedy: String::new() }
    }

    pub(crate) fn unverified(said: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { outcome: Outcome::Unverified, said: said.into(), remedy: remedy.into() }
    }

    pub(crate) fn failed(said: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { outcome: Outcome::Failed, said: said.into(), remedy: remedy.into() }
    }

    /// What follows from a question that was not answered: never more than "unverified".
    pub(crate) fn unanswered<T>(check: Check, observed: &Observed<T>) -> Self {
        let (said, remedy) = match observed {
            Observed::Stated(_) => ("the answer was not judged".to_owned(), "Run it again.".to_owned()),
            Observed::NotOffered(answer) => (
                format!("the store does not answer this question: {}", quoted(answer)),
                "The store cannot state it; ask its operator.".to_owned(),
            ),
            Observed::Denied(answer) => {
                let remedy = match check.action() {
                    Some(action) => {
                        format!(
                            "Allow these credentials {action} on the bucket (cairn residency policy prints all they need)."
                        )
                    }
                    None => "Ask the store's operator what these credentials lack.".to_owned(),
                };
                (format!("the store denied these credentials an answer: {}", quoted(answer)), remedy)
            }
            Observed::Failed(answer) => (
                format!("the store gave no answer: {}", quoted(answer)),
                "Run it again when the store answers.".to_owned(),
            ),
            Observed::NotAsked => ("the store was not asked".to_owned(), "Ask it (cairn residency check).".to_owned()),
        };
        Self::unverified(said, remedy)
    }
}

/// A store's own words, fit to be shown: shortened, with control characters escaped.
pub(crate) fn quoted(text: &str) -> String {
    let shown: String = text.chars().take(QUOTED_MAX).flat_map(char::escape_debug).collect();
    if text.chars().nth(QUOTED_MAX).is_some() { format!("\"{shown}…\"") } else { format!("\"{shown}\"") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_store_cannot_write_to_the_terminal() {
        assert_eq!(quoted("a\u{1b}[2J\n"), "\"a\\u{1b}[2J\\n\"");
        assert_eq!(quoted(&"é".repeat(1000)).chars().count(), QUOTED_MAX + 3);
    }

    #[test]
    fn a_denial_names_the_missing_action() {
        let denied = Judged::unanswered(Check::Location, &Observed::<()>::Denied("403".into()));
        assert_eq!(denied.outcome, Outcome::Unverified);
        assert!(denied.remedy.contains("s3:GetBucketLocation"), "{}", denied.remedy);
    }
}
