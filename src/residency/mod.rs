//! Where data may be: the gate before every network.
//!
//! Text becomes an [`EndpointCandidate`], that a [`CanadianEndpoint`] if the table or a declaration knows it, and that a
//! [`ResidentBucket`] if what the store says about the bucket in this run does not contradict it. Only the last one opens
//! sending. Reading back needs a [`ReachableEndpoint`] alone: no verdict ever stops a restore.
//!
//! Everything here is pure: what a store says is asked by `storage` and handed in as [`Observations`].
//! (`docs/residency.md` says what is proved by this and what cannot be.)

pub mod bucket;
pub mod check;
mod date;
pub mod declaration;
pub mod endpoint;
mod finding;
pub mod iam;
mod inspect;
mod locate;
pub mod notice;
pub mod observe;
pub mod origin;
pub mod place;
pub mod policy;
pub mod refusal;
pub mod site;
pub mod table;
pub mod verdict;

pub use bucket::BucketName;
pub use check::{Check, Outcome};
pub use declaration::Declaration;
pub use endpoint::{CanadianEndpoint, EndpointCandidate, ReachableEndpoint};
pub use finding::Finding;
pub use observe::{Destination, Observations, Observed};
pub use origin::{Addressing, Origin, Scheme};
pub use place::{Pin, Place, Province};
pub use policy::{Exception, Policy};
pub use refusal::{Refusal, RefusalKind};
pub use site::{Operator, Site};
pub use table::TableVersion;
pub use table::row::Class;
pub use verdict::{ResidentBucket, Sending, Verdict};
