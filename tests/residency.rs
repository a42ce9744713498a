//! The gate from outside: which texts become an endpoint that may be sent to, what a store has to say before anything is
//! sent, and that nothing else opens sending. (What only the compiler can refuse stands in the documentation of
//! `CanadianEndpoint` and `ResidentBucket`.)

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests print what they covered")]

#[path = "residency/cases.rs"]
mod cases;
#[path = "residency/declared.rs"]
mod declared;
#[path = "residency/planted.rs"]
mod planted;
#[path = "residency/properties.rs"]
mod properties;
#[path = "support/random.rs"]
mod random;
#[path = "residency/table.rs"]
mod table;
#[path = "residency/texts.rs"]
mod texts;
#[path = "residency/verdicts.rs"]
mod verdicts;
