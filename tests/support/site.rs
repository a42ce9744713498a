//! A test server as a declared site, opened as the command opens one: through the gate, with a verdict made from what the
//! server states.
#![allow(dead_code, unreachable_pub, missing_docs, reason = "each test uses its part")]
#![allow(clippy::unwrap_used, reason = "tests")]

use crate::servers::Access;
use cairn::clock::{Clock, Timestamp};
use cairn::object::{Encoded, ObjectName};
use cairn::residency::{
    Addressing, BucketName, CanadianEndpoint, Declaration, EndpointCandidate, Observations, Origin, Pin, Policy,
    Province, ReachableEndpoint, ResidentBucket, Verdict,
};
use cairn::storage::error::Result;
use cairn::storage::s3::{AccessKey, CredentialSource};
use cairn::storage::{Fetch, Listed, Publish, Published, Remove, S3Options, S3Sender, S3Storage, Stage, Staged};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// A clock that stands still until it is moved.
#[derive(Debug, Default)]
pub struct Manual(pub AtomicI64);

impl Clock for Manual {
    fn now(&self) -> Timestamp {
        Timestamp { seconds: 1_800_000_000 + self.0.load(Ordering::SeqCst), nanoseconds: 0 }
    }

    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }
}

/// A server as a declared site.
pub struct Site {
    reachable: ReachableEndpoint,
    admitted: CanadianEndpoint,
    policy: Policy,
    pub options: S3Options,
    pub clock: Arc<Manual>,
}

impl Site {
    pub fn new(access: &Access) -> Self {
        Self::at(access, &access.endpoint())
    }

    /// The same server at another address.
    pub fn at(access: &Access, endpoint: &str) -> Self {
        let clock = Arc::new(Manual::default());
        let declaration = Declaration {
            name: "lab".into(),
            origin: Origin::parse(endpoint).unwrap(),
            signing_region: access.region().into(),
            addressing: Addressing::Path,
            operator: "The owner".into(),
            jurisdiction: "Canada".into(),
            us_parent: Some(false),
            address: "1 Main Street".into(),
            city: "Montréal".into(),
            province: Province::parse("QC").unwrap(),
            replicates_to: "nowhere".into(),
            ca_pem: String::new(),
            declared: clock.now(),
            signed_by: "The owner".into(),
        };
        let policy = Policy::new(Pin::Canada);
        let candidate = EndpointCandidate::of_site("lab").unwrap();
        let declared = [declaration];
        let key = access.credentials();
        let key = AccessKey { id: key.key_id.clone(), secret: key.secret_key.clone(), token: None };
        Self {
            reachable: ReachableEndpoint::resolve(&candidate, &declared, &policy).unwrap(),
            admitted: CanadianEndpoint::admit(&candidate, &declared, &policy).unwrap(),
            policy,
            options: S3Options { credentials: CredentialSource::Key(key), ..S3Options::default() },
            clock,
        }
    }

    pub fn reach(&self, bucket: &str, prefix: &str) -> S3Storage {
        let prefix = (!prefix.is_empty()).then(|| ObjectName::new(prefix).unwrap());
        let bucket = BucketName::parse(bucket).unwrap();
        S3Storage::reach(&self.reachable, &bucket, prefix.as_ref(), &self.options).unwrap()
    }

    pub fn judge(&self, bucket: &str, observed: &Observations) -> (Verdict, Option<ResidentBucket>) {
        let bucket = BucketName::parse(bucket).unwrap();
        ResidentBucket::judge(&self.admitted, &bucket, observed, &self.policy, self.clock.now())
    }

    pub fn sender(&self, storage: &S3Storage, bucket: &str) -> S3Sender {
        let (verdict, resident) = self.judge(bucket, &storage.observe());
        let resident = resident.unwrap_or_else(|| panic!("refused: {verdict:#?}"));
        storage.sender(resident, self.clock.clone()).unwrap()
    }

    pub fn open(&self, bucket: &str, prefix: &str) -> Both {
        let storage = self.reach(bucket, prefix);
        let sender = self.sender(&storage, bucket);
        Both { storage, sender }
    }
}

/// All three capabilities in one.
#[derive(Debug)]
pub struct Both {
    pub storage: S3Storage,
    pub sender: S3Sender,
}

impl Fetch for Both {
    fn read(&self, name: &ObjectName, len_max: u64) -> Result<Vec<u8>> {
        self.storage.read(name, len_max)
    }

    fn read_range(&self, name: &ObjectName, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.storage.read_range(name, offset, buf)
    }

    fn size(&self, name: &ObjectName) -> Result<u64> {
        self.storage.size(name)
    }

    fn list(&self, prefix: &ObjectName) -> Result<Vec<Listed>> {
        self.storage.list(prefix)
    }

    fn list_each(&self, prefixes: &[ObjectName]) -> Result<Vec<Vec<Listed>>> {
        self.storage.list_each(prefixes)
    }
}

impl Publish for Both {
    fn stage(&self) -> Result<Box<dyn Stage>> {
        self.sender.stage()
    }

    fn publish_batch(&self, staged: Vec<Staged>) -> Result<Vec<Published>> {
        self.sender.publish_batch(staged)
    }

    fn put_fresh(&self, name: &ObjectName, object: Encoded<'_>) -> Result<Published> {
        self.sender.put_fresh(name, object)
    }

    fn put_new(&self, name: &ObjectName, object: Encoded<'_>) -> Result<Published> {
        self.sender.put_new(name, object)
    }
}

impl Remove for Both {
    fn remove(&self, name: &ObjectName) -> Result<()> {
        self.storage.remove(name)
    }
}
