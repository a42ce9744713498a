//! Forgetting snapshots: which ones a policy keeps, and the records that say which it does not.
//!
//! ```text
//! Policy + Snapshot… → groups, each with what is kept (and why) and what is not → a forget record for each of these
//! ```
//!
//! A forget record hides a snapshot; nothing that it needs is removed here.

mod calendar;
mod policy;
mod rules;
mod run;
#[cfg(test)]
mod tests;

pub use calendar::{Span, SpanError};
pub use policy::{Count, GroupBy, Period, Policy};
pub use rules::{Group, Kept, Subject, apply, apply_to_snapshots};
pub use run::{Forgetting, run};
