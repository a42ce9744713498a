//! Creating one object so that an existing one is never changed, whatever gets lost on the way.
//!
//! A request may arrive although its answer does not. What then answers the repetition, "exists", is our own success; so
//! after a lost answer the object is read and compared before anything is believed.
//!
//! Where a store does not create conditionally, it is asked first whether the object is there. Two kinds of names need no such
//! question before their first attempt. What is named by the hash of its bytes is the same whoever writes it. And a name with
//! an id that was drawn at random for this object is nobody else's: who asked would be told "no" each time. Names that others
//! can have taken are asked for always: a commit cell, in which a session may have been fenced; a part of a log, which a copy
//! of this machine may have written; whatever is numbered.

use crate::clock::Timestamp;
use crate::object::ObjectName;
use crate::storage::contract::Published;
use crate::storage::error::ErrorKind;
use crate::storage::s3::connection::Connection;
use crate::storage::s3::error::{Attempt, Failure};
use crate::storage::s3::flow::Flow;
use crate::storage::s3::options::{CreateMode, LockMode, ObjectLock};
use crate::storage::s3::retry::{Decision, Next, Retry, decide};
use crate::storage::s3::stage::Body;
use aws_sdk_s3::primitives::{ByteStream, DateTime};
use aws_sdk_s3::types::{ObjectLockMode, StorageClass};
use aws_smithy_types::base64;
use md5::{Digest as _, Md5};
use std::sync::atomic::{AtomicBool, Ordering};

const DAY_SECONDS: i64 = 24 * 60 * 60;

/// What of an object's name decides how it is stored. Names have no other meaning here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Part {
    /// A pack of contents: large, seldom read, may be in a colder class.
    is_data_pack: bool,
    /// A pack or a segment: its name is the hash of its bytes, so whoever writes it again writes the same.
    is_named_by_content: bool,
    /// Something that must not outlive its purpose.
    is_passing: bool,
}

impl Part {
    fn of(name: &ObjectName) -> Self {
        let mut parts = name.as_str().split('/');
        match (parts.next(), parts.next(), parts.next()) {
            (Some("d"), Some(_), Some(kind)) => Self {
                is_data_pack: kind == "packs",
                is_named_by_content: matches!(kind, "packs" | "meta" | "index"),
                is_passing: kind == "sessions",
            },
            (first, ..) => Self { is_data_pack: false, is_named_by_content: false, is_passing: first == Some("tmp") },
        }
    }
}

/// How an object is sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manner<'a> {
    /// From when on a retention counts.
    pub(super) now: Timestamp,
    /// Whether its name was drawn at random for it.
    pub(super) is_fresh: bool,
    /// Whether objects go with a digest.
    pub(super) digests: &'a Digests,
}

/// Whether objects go with a digest of the body in a header of its own. S3 insists on that where objects are locked by
/// default: one without is answered 400, and not taken. From then on all have one, beginning with that one. To make it for every
/// store would cost as much as hashing does; to ask each store in each run whether it has locks, a request.
#[derive(Debug, Default)]
pub(super) struct Digests(AtomicBool);

impl Digests {
    /// Whether they do now.
    pub(super) fn are_sent(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Whether a failure is to be answered by the same with a digest. `had_one`: whether the request had. What passes by
    /// itself is no such answer.
    pub(super) fn are_wanted(&self, failure: &Failure, had_one: bool) -> bool {
        let are_wanted = failure.is_status(400) && !had_one && decide(failure) == Decision::GiveUp;
        if are_wanted {
            self.0.store(true, Ordering::Relaxed);
        }
        are_wanted
    }
}

/// How one attempt is made.
#[derive(Clone, Copy)]
struct Sent<'a> {
    manner: Manner<'a>,
    has_digest: bool,
    /// Whether the store has to be asked whether the object is there.
    asks_first: bool,
    /// Whether an attempt before this one may have arrived.
    was_lost: bool,
}

/// The header `Content-MD5` of a body. Nothing is proved by it: it is the one checksum that every store has always taken
/// where objects are locked, and the body is signed by its SHA-256 in any case.
pub(super) fn content_md5(body: &[u8]) -> String {
    base64::encode(Md5::digest(body))
}

impl Connection {
    /// Creates an object. `may_go` is asked before every attempt.
    pub(super) async fn create<F>(
        &self,
        name: &ObjectName,
        body: &Body,
        manner: Manner<'_>,
        flow: &Flow,
        may_go: impl Fn() -> F,
    ) -> Attempt<Published>
    where
        F: Future<Output = Attempt<()>>,
    {
        let asks_first = match self.options.create {
            CreateMode::Conditional => false,
            CreateMode::Unknown | CreateMode::Window => !manner.is_fresh && !Part::of(name).is_named_by_content,
        };
        let mut retry = Retry::new();
        let mut was_lost = false;
        loop {
            may_go().await?;
            let turn = flow.turn().await;
            let has_digest = manner.digests.are_sent() || self.lock_for(name).is_some();
            let sent = Sent { manner, has_digest, asks_first, was_lost };
            let failure = match self.create_once(name, body, sent).await {
                Ok(published) => {
                    turn.went_well();
                    return Ok(published);
                }
                Err(failure) => failure,
            };
            if manner.digests.are_wanted(&failure, has_digest) {
                continue;
            }
            was_lost |= failure.may_have_arrived();
            if decide(&failure) == Decision::Slower {
                turn.was_too_much();
            }
            drop(turn);
            let server_time = failure.server_time;
            match retry.after(failure, &self.options.timeouts, self.guard.has_answered()) {
                Next::GiveUp(failure) => return Err(failure),
                Next::After(pause, decision) => {
                    self.note(decision, server_time);
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }

    async fn create_once(&self, name: &ObjectName, body: &Body, sent: Sent<'_>) -> Attempt<Published> {
        let Sent { asks_first, was_lost, .. } = sent;
        // Without conditional creation a repetition would overwrite what somebody else has created meanwhile.
        let overwrites = self.options.create != CreateMode::Conditional && !Part::of(name).is_named_by_content;
        if was_lost && overwrites {
            match self.is_same(name, body).await? {
                Some(true) => return Ok(Published::Created),
                Some(false) => return Ok(Published::Existed),
                None => {}
            }
        } else if asks_first && self.may_be_there(name).await? && self.is_there(name).await? {
            return Ok(Published::Existed);
        }
        match self.put(name, body, sent).await {
            Ok(()) => Ok(Published::Created),
            Err(failure) if failure.is_status(412) && was_lost => match self.is_same(name, body).await? {
                Some(true) => Ok(Published::Created),
                Some(false) => Ok(Published::Existed),
                // Removed in between: the next attempt creates it.
                None => Err(Failure::garbage("the object exists and is not there")),
            },
            Err(failure) if failure.is_status(412) => Ok(Published::Existed),
            Err(failure) => Err(failure),
        }
    }

    /// The retention that an object of this name gets.
    fn lock_for(&self, name: &ObjectName) -> Option<ObjectLock> {
        self.options.lock.filter(|_| !Part::of(name).is_passing)
    }

    /// One PUT, on the condition that nothing is there.
    async fn put(&self, name: &ObjectName, body: &Body, sent: Sent<'_>) -> Attempt<()> {
        let part = Part::of(name);
        let len = body.bytes().len() as u64;
        let mut request = self
            .client
            .put_object()
            .bucket(self.bucket.as_str())
            .key(self.key(name))
            .if_none_match("*")
            .content_length(i64::try_from(len).unwrap_or(i64::MAX))
            .set_expected_bucket_owner(self.owner())
            .body(ByteStream::new(body.to_send()));
        if let Some(class) = self.options.data_storage_class.as_deref().filter(|_| part.is_data_pack) {
            request = request.storage_class(StorageClass::from(class));
        }
        if sent.has_digest {
            request = request.content_md5(content_md5(body.bytes()));
        }
        if let Some(lock) = self.lock_for(name) {
            let mode = match lock.mode {
                LockMode::Governance => ObjectLockMode::Governance,
                LockMode::Compliance => ObjectLockMode::Compliance,
            };
            let until = sent.manner.now.seconds.saturating_add(i64::from(lock.days).saturating_mul(DAY_SECONDS));
            request = request.object_lock_mode(mode).object_lock_retain_until_date(DateTime::from_secs(until));
        }
        let answer = request.send().await.map_err(|error| Failure::of(&error))?;
        // A store that took the object says so with an ETag. Anything else that says 200 is asked what it has.
        if answer.e_tag().is_some_and(|tag| !tag.is_empty()) {
            return Ok(());
        }
        match self.size(name).await {
            Ok(size) if size == len => Ok(()),
            Ok(size) => Err(Failure::garbage(format!("the store has {size} bytes of {len}"))),
            Err(failure) if failure.is_no_key() => {
                Err(Failure::garbage("the store said that it has the object and does not have it"))
            }
            Err(failure) => Err(failure),
        }
    }

    /// Asks a second time, in another way, whether an object is there that is said to be: the answer to HEAD is a status and
    /// little more, and whoever believes a wrong one does not send what is missing then.
    async fn is_there(&self, name: &ObjectName) -> Attempt<bool> {
        match self.get_range(name, 0, &mut [0]).await {
            Ok(()) => Ok(true),
            Err(failure) if failure.is_no_key() => Ok(false),
            // It is empty.
            Err(failure) if failure.kind() == ErrorKind::Truncated => Ok(true),
            Err(failure) => Err(failure),
        }
    }

    /// Whether the object there has our bytes; `None` if there is none.
    async fn is_same(&self, name: &ObjectName, body: &Body) -> Attempt<Option<bool>> {
        let bytes = body.bytes();
        match self.size(name).await {
            Ok(size) if size != bytes.len() as u64 => return Ok(self.is_there(name).await?.then_some(false)),
            Ok(_) => {}
            Err(failure) if failure.is_no_key() => return Ok(None),
            Err(failure) => return Err(failure),
        }
        match self.get(name, bytes.len() as u64).await {
            Ok(there) => Ok(Some(there == bytes)),
            Err(failure) if failure.is_no_key() => Ok(None),
            Err(failure) => Err(failure),
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn names_decide_how_objects_are_stored() {
        let part = |text: &str| {
            let part = Part::of(&ObjectName::new(text).unwrap());
            (part.is_data_pack, part.is_named_by_content, part.is_passing)
        };
        assert_eq!(part("d/0a/packs/0f/0f12"), (true, true, false));
        assert_eq!(part("d/0a/meta/0f/0f12"), (false, true, false));
        assert_eq!(part("d/0a/sessions/11"), (false, false, true));
        assert_eq!(part("d/0a/index/1"), (false, true, false));
        for text in ["config/00", "keys/slots/1", "d/0a/snapshots/1", "d/0a/gen/1", "packs/0f/1", "d"] {
            assert_eq!(part(text), (false, false, false), "{text}");
        }
        assert_eq!(part("tmp/probe-1"), (false, false, true));
    }

    #[test]
    fn a_digest_is_sent_once_it_is_asked_for() {
        let failure = |status, code: &str| Failure {
            code: Some(code.to_owned()),
            ..Failure::new(crate::storage::s3::error::Cause::Status(status), "x")
        };
        let digests = Digests::default();
        for other in [failure(400, "BadDigest"), failure(400, "IncompleteBody"), failure(403, "InvalidRequest")] {
            assert!(!digests.are_wanted(&other, false) && !digests.are_sent(), "{other:?}");
        }
        let refused = failure(400, "InvalidRequest");
        assert!(!digests.are_wanted(&refused, true) && !digests.are_sent(), "it had one");
        assert!(digests.are_wanted(&refused, false) && digests.are_sent());
        // Of two that went without at the same time each is sent again, once.
        assert!(digests.are_wanted(&refused, false) && !digests.are_wanted(&refused, true));
    }

    /// The examples of RFC 1321, in base64.
    #[test]
    fn digests_are_those_of_the_standard() {
        assert_eq!(content_md5(b""), "1B2M2Y8AsgTpgAmY7PhCfg==");
        assert_eq!(content_md5(b"abc"), "kAFQmDzST7DWlj99KOF/cg==");
    }
}
