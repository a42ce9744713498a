//! Sending: the only thing here that creates objects, and only for a bucket that was judged to be where the owner allows.
//!
//! The verdict is asked before every attempt. When it is too old the store is asked again, and what it says then decides:
//! a refusal ends sending for the rest of the run.

use crate::clock::Clock;
use crate::object::{Encoded, ObjectName};
use crate::residency::{Refusal, RefusalKind, ResidentBucket, Verdict};
use crate::storage::contract::{Publish, Published, Remove, Stage, Staged};
use crate::storage::error::{ErrorKind, Result, StorageError};
use crate::storage::s3::connection::Connection;
use crate::storage::s3::error::{Attempt, Cause, Failure};
use crate::storage::s3::flow::Flow;
use crate::storage::s3::observe::observe;
use crate::storage::s3::options::CreateMode;
use crate::storage::s3::put::{Digests, Manner, content_md5};
use crate::storage::s3::stage::{Body, Memory, MemoryStage};
use std::collections::HashSet;
use std::sync::Arc;
use tokio::sync::Mutex;
use tokio::task::JoinSet;

/// How often each name of a probe is fought for.
const PROBE_ROUNDS: usize = 2;
/// By how many at once.
const PROBE_WRITERS: usize = 4;

/// Sends to one resident bucket.
#[derive(Debug)]
pub struct S3Sender {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    connection: Arc<Connection>,
    resident: Mutex<ResidentBucket>,
    clock: Arc<dyn Clock>,
    memory: Memory,
    flow: Flow,
    digests: Digests,
}

/// What a probe of conditional creation found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// Whether the store creates conditionally, also when several try at once.
    pub create: CreateMode,
    /// Probe objects that could not be removed again.
    pub left: Vec<ObjectName>,
}

/// A refusal as a failure of a request.
fn refused(refusal: &Refusal) -> Failure {
    Failure::new(Cause::Verdict(refusal.kind), refusal.to_string())
}

impl S3Sender {
    pub(super) fn new(connection: Arc<Connection>, resident: ResidentBucket, clock: Arc<dyn Clock>) -> Result<Self> {
        let refuse = |detail: &str| StorageError {
            operation: "publish",
            subject: connection.place(),
            kind: ErrorKind::Refused,
            detail: detail.to_owned(),
        };
        if connection.endpoint.sending().ok() != Some(resident.endpoint()) || connection.bucket != *resident.bucket() {
            return Err(refuse("the verdict is about another bucket"));
        }
        if let Some(why) = connection.guard.stopped() {
            return Err(refuse(&why));
        }
        let (memory, flow, digests) = (Memory::default(), Flow::new(), Digests::default());
        let shared = Shared { connection, resident: Mutex::new(resident), clock, memory, flow, digests };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The verdict that sending rests on now.
    pub fn verdict(&self) -> Verdict {
        self.shared.resident.blocking_lock().verdict().clone()
    }

    /// Finds out whether the store really creates conditionally: the same name twice in a row, and then by several at
    /// once. The probe objects, of one byte each, go under `tmp/`; they are removed if `remove` is given.
    ///
    /// # Errors
    /// What the store says. Nothing is known then.
    pub fn probe(&self, remove: Option<&dyn Remove>) -> Result<Probe> {
        let mut random = [0; 8];
        let no_random = |error: getrandom::Error| StorageError {
            operation: "probe",
            subject: self.shared.connection.place(),
            kind: ErrorKind::Other,
            detail: error.to_string(),
        };
        getrandom::fill(&mut random).map_err(no_random)?;
        let names: Vec<ObjectName> = (0..=PROBE_ROUNDS)
            .filter_map(|round| ObjectName::new(format!("tmp/probe-{:016x}-{round}", u64::from_le_bytes(random))).ok())
            .collect();
        let probed = self.shared.connection.block_on(self.shared.clone().probe(names.clone()));
        let left = names.into_iter().filter(|name| remove.is_none_or(|remove| remove.remove(name).is_err())).collect();
        let create = probed.map_err(|failure| failure.into_error("probe", self.shared.connection.place()))?;
        Ok(Probe { create, left })
    }
}

impl Shared {
    /// Whether sending is allowed now; asks the store again when the verdict is too old.
    async fn may_go(&self) -> Attempt<()> {
        if let Some(why) = self.connection.guard.stopped() {
            return Err(Failure::new(Cause::Verdict(RefusalKind::Check), format!("sending was stopped: {why}")));
        }
        let mut resident = self.resident.lock().await;
        if resident.is_fresh(self.clock.now()) {
            return Ok(());
        }
        let observed = observe(&self.connection).await;
        let (verdict, renewed) = resident.renew(&observed, self.clock.now());
        if let Some(renewed) = renewed {
            *resident = renewed;
            return Ok(());
        }
        let failure = match verdict.refusal() {
            Some(refusal) => refused(&refusal),
            None => Failure::new(Cause::Verdict(RefusalKind::NotNow), "the verdict could not be renewed"),
        };
        if failure.kind() == ErrorKind::Refused {
            self.connection.guard.stop(failure.text.clone());
        }
        Err(failure)
    }

    async fn upload(&self, name: &ObjectName, body: &Body, is_fresh: bool) -> Result<Published> {
        let manner = Manner { now: self.clock.now(), is_fresh, digests: &self.digests };
        let created = self.connection.create(name, body, manner, &self.flow, || self.may_go()).await;
        created.map_err(|failure| {
            match self.connection.guard.stopped() {
                // Whatever the store called it: it was the answer that ended sending.
                Some(why) if failure.kind() != ErrorKind::Refused => {
                    Failure::new(Cause::Verdict(RefusalKind::Check), format!("sending was stopped: {why}"))
                }
                _ => failure,
            }
            .into_error("publish", name.to_string())
        })
    }

    /// Uploads all at once, as many as the flow lets.
    async fn upload_all(self: Arc<Self>, bodies: Vec<(usize, ObjectName, Body)>) -> Result<Vec<(usize, Published)>> {
        let mut uploads = JoinSet::new();
        for (place, name, body) in bodies {
            let shared = self.clone();
            uploads.spawn(async move { shared.upload(&name, &body, false).await.map(|published| (place, published)) });
        }
        let mut done = Vec::with_capacity(uploads.len());
        while let Some(result) = uploads.join_next().await {
            // A failure drops the others: what of them arrives later is whole or not there.
            let lost = |error: tokio::task::JoinError| self.broken(&format!("an upload ended: {error}"));
            done.push(result.map_err(lost)??);
        }
        Ok(done)
    }

    fn broken(&self, detail: &str) -> StorageError {
        StorageError {
            operation: "publish",
            subject: self.connection.place(),
            kind: ErrorKind::Other,
            detail: detail.to_owned(),
        }
    }

    /// One after the other, then several at once: each name may be created once.
    async fn probe(self: Arc<Self>, names: Vec<ObjectName>) -> Attempt<CreateMode> {
        let mut is_conditional = true;
        for (round, name) in names.into_iter().enumerate() {
            let mut writers = JoinSet::new();
            let mut created = 0;
            for writer in 0..PROBE_WRITERS {
                let (shared, name) = (self.clone(), name.clone());
                writers.spawn(async move { shared.probe_once(&name, writer).await });
                // The first name is written in turn.
                while round == 0
                    && let Some(result) = writers.join_next().await
                {
                    created += usize::from(joined(result)?);
                }
            }
            while let Some(result) = writers.join_next().await {
                created += usize::from(joined(result)?);
            }
            is_conditional &= created == 1;
        }
        Ok(if is_conditional { CreateMode::Conditional } else { CreateMode::Window })
    }

    /// Tries to create the object and says whether the store says that it did. A repetition after a lost answer would
    /// blur that, so only an attempt that certainly did not arrive is repeated.
    async fn probe_once(&self, name: &ObjectName, writer: usize) -> Attempt<bool> {
        self.may_go().await?;
        let has_digest = self.digests.are_sent();
        match self.probe_with(name, writer, has_digest).await {
            Err(failure) if self.digests.are_wanted(&failure, has_digest) => self.probe_with(name, writer, true).await,
            tried => tried,
        }
    }

    async fn probe_with(&self, name: &ObjectName, writer: usize, has_digest: bool) -> Attempt<bool> {
        let key = self.connection.key(name);
        let request = || async {
            let body = vec![b'0' + u8::try_from(writer % 10).unwrap_or(0)];
            let digest = has_digest.then(|| content_md5(&body));
            let put = self.connection.client.put_object().bucket(self.connection.bucket.as_str()).key(&key);
            let put = put.if_none_match("*").set_content_md5(digest).body(body.into());
            let put = put.set_expected_bucket_owner(self.connection.owner());
            match put.send().await {
                Ok(_) => Ok(true),
                Err(error) => match Failure::of(&error) {
                    exists if exists.is_status(412) => Ok(false),
                    lost if lost.may_have_arrived() && !lost.is_status(503) => {
                        Err(Failure { cause: Cause::Own(ErrorKind::Transient), ..lost })
                    }
                    other => Err(other),
                },
            }
        };
        self.connection.retried(|_| {}, request).await
    }
}

fn joined(result: std::result::Result<Attempt<bool>, tokio::task::JoinError>) -> Attempt<bool> {
    result.map_err(|error| Failure::new(Cause::Own(ErrorKind::Other), format!("a probe ended: {error}")))?
}

impl Publish for S3Sender {
    fn stage(&self) -> Result<Box<dyn Stage>> {
        Ok(Box::new(MemoryStage::new(&self.shared.memory)))
    }

    fn publish_batch(&self, staged: Vec<Staged>) -> Result<Vec<Published>> {
        let count = staged.len();
        let mut names = HashSet::new();
        let (mut first, mut second) = (Vec::new(), Vec::new());
        for (place, one) in staged.into_iter().enumerate() {
            let (name, body) = Body::of(one, &self.shared.memory)?;
            // Of two with one name the first is created: they must not race.
            let wave = if names.insert(name.clone()) { &mut first } else { &mut second };
            wave.push((place, name, body));
        }
        let _uploading = self.shared.memory.uploading();
        let mut published = vec![Published::Existed; count];
        let waves = [first].into_iter().chain(second.into_iter().map(|one| vec![one]));
        for wave in waves.filter(|wave| !wave.is_empty()) {
            let uploads = self.shared.clone().upload_all(wave);
            let done = self.shared.connection.block_on(async { Ok(uploads.await) });
            let done = done.map_err(|failure| failure.into_error("publish", self.shared.connection.place()))??;
            for (place, one) in done {
                published[place] = one;
            }
        }
        Ok(published)
    }

    fn put_new(&self, name: &ObjectName, object: Encoded<'_>) -> Result<Published> {
        let staged = MemoryStage::whole(&self.shared.memory, name.clone(), object)?;
        Ok(self.publish_batch(vec![staged])?.pop().unwrap_or(Published::Existed))
    }

    fn put_fresh(&self, name: &ObjectName, object: Encoded<'_>) -> Result<Published> {
        let shared = &self.shared;
        let (name, body) = Body::of(MemoryStage::whole(&shared.memory, name.clone(), object)?, &shared.memory)?;
        let _uploading = shared.memory.uploading();
        let uploaded = shared.connection.block_on(async { Ok(shared.upload(&name, &body, true).await) });
        uploaded.map_err(|failure| failure.into_error("publish", name.to_string()))?
    }
}
