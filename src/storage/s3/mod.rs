//! S3 storage: one bucket, or a part of it, at one verified endpoint.
//!
//! [`S3Storage`] reads and removes at any [`ReachableEndpoint`]; [`S3Sender`], the only thing that creates objects, exists
//! for a [`ResidentBucket`] alone; [`S3AsOf`] reads what a bucket with versions held at an earlier time. The SDK signs, encodes and parses; where requests go, what is tried again and what is
//! believed is decided here: every request and answer passes the guard, the SDK's own retries, redirects, endpoint
//! discovery and proxies are off, and nothing of the environment or a profile is used but credentials.
//!
//! The runtime is inside: the traits are synchronous and may be called from any thread that is not itself a runtime's.

mod as_of;
mod body;
mod connection;
mod credentials;
mod error;
mod flow;
mod get;
mod guard;
mod http;
mod limit;
mod list;
mod observe;
mod options;
mod protection;
mod put;
mod retry;
mod sender;
mod stage;
mod stream;
mod tls;
mod together;
mod traffic;
mod versions;
mod xml;

pub use as_of::S3AsOf;
pub use credentials::{CANNOT_BE_IGNORED, ignored_settings};
pub use options::{AccessKey, CreateMode, CredentialSource, LockMode, ObjectLock, S3Options, Timeouts};
pub use protection::{BucketLock, Protection, Versioning};
pub use sender::{Probe, S3Sender};
pub use traffic::{HostTraffic, Traffic};

use crate::clock::{Clock, Timestamp};
use crate::object::ObjectName;
use crate::residency::{BucketName, Observations, ReachableEndpoint, ResidentBucket};
use crate::storage::contract::{Fetch, Listed, Remove, RequestCost};
use crate::storage::error::Result;
use connection::Connection;
use error::Failure;
use get::REQUEST_COST;
use std::io::Read;
use std::sync::Arc;
use stream::ObjectStream;

/// A bucket, or the part of it below a prefix. Clones share connections, credentials and counts.
///
/// It reads and removes, and is no way to create anything:
///
/// ```compile_fail,E0277
/// use cairn::storage::{Publish, s3::S3Storage};
/// use std::sync::Arc;
/// fn publish(storage: S3Storage) -> Arc<dyn Publish> {
///     Arc::new(storage)
/// }
/// ```
///
/// which takes a bucket that was judged in this run:
///
/// ```
/// use cairn::clock::Clock;
/// use cairn::residency::ResidentBucket;
/// use cairn::storage::{Publish, StorageError, s3::S3Storage};
/// use std::sync::Arc;
/// fn publish(
///     storage: &S3Storage,
///     resident: ResidentBucket,
///     clock: Arc<dyn Clock>,
/// ) -> Result<Arc<dyn Publish>, StorageError> {
///     Ok(Arc::new(storage.sender(resident, clock)?))
/// }
/// ```
///
/// Nor is there another way to a sender:
///
/// ```compile_fail,E0624
/// use cairn::storage::s3::S3Sender;
/// let new = S3Sender::new;
/// ```
#[derive(Debug, Clone)]
pub struct S3Storage {
    connection: Arc<Connection>,
}

impl S3Storage {
    /// Prepares access to a bucket and gets the credentials; the bucket itself is not asked yet.
    ///
    /// # Errors
    /// `Denied` without credentials, saying where they are looked for; `Other` for certificates that are none.
    pub fn reach(
        endpoint: &ReachableEndpoint,
        bucket: &BucketName,
        prefix: Option<&ObjectName>,
        options: &S3Options,
    ) -> Result<Self> {
        Ok(Self { connection: Arc::new(Connection::open(endpoint, bucket, prefix, options)?) })
    }

    /// Asks the store what it states about the bucket: location, owner, replication, acceleration, lifecycle, logging.
    /// Only this endpoint is asked, all questions at once. Never fails: what could not be asked is said in the answer.
    pub fn observe(&self) -> Observations {
        let connection = &self.connection;
        connection.block_on(async { Ok(observe::observe(connection).await) }).unwrap_or_default()
    }

    /// Asks the store what it states about keeping what is deleted: versions and object lock. Never fails: what could not
    /// be asked is said in the answer.
    pub fn protection(&self) -> Protection {
        let connection = &self.connection;
        connection.block_on(async { Ok(protection::protection(connection).await) }).unwrap_or_default()
    }

    /// The bucket as it was at a time, by the store's clock, for reading only.
    ///
    /// # Errors
    /// `NoVersions` if the store states that it keeps none.
    pub fn as_of(&self, time: Timestamp) -> Result<S3AsOf> {
        S3AsOf::new(self.connection.clone(), time)
    }

    /// Sending to this bucket, which has to be the one that was judged.
    ///
    /// # Errors
    /// `Refused` if it is another one, or if an answer has hinted at another place already.
    pub fn sender(&self, resident: ResidentBucket, clock: Arc<dyn Clock>) -> Result<S3Sender> {
        S3Sender::new(self.connection.clone(), resident, clock)
    }

    /// Who was contacted so far, and how much went each way.
    pub fn traffic(&self) -> Traffic {
        self.connection.traffic.snapshot()
    }

    /// Redirects, region hints and foreign hosts in the answers so far, in words. Not empty means that sending has ended.
    pub fn hints(&self) -> Vec<String> {
        self.connection.guard.hints()
    }

    /// Whether the bucket is there and may be looked at.
    ///
    /// # Errors
    /// `StoreMissing`, `Denied`, or what the store says.
    pub fn check_bucket(&self) -> Result<()> {
        let connection = &self.connection;
        let head = || async {
            let request = connection.client.head_bucket().bucket(connection.bucket.as_str());
            match request.set_expected_bucket_owner(connection.owner()).send().await {
                Ok(_) => Ok(()),
                Err(error) => {
                    let failure = Failure::of(&error);
                    let code =
                        if failure.is_status(404) { Some("NoSuchBucket".to_owned()) } else { failure.code.clone() };
                    Err(Failure { code, ..failure })
                }
            }
        };
        let result = connection.block_on(connection.retried(|_| {}, head));
        result.map_err(|failure| failure.into_error("open", connection.place()))
    }
}

impl Fetch for S3Storage {
    fn request_cost(&self) -> RequestCost {
        REQUEST_COST
    }

    fn read(&self, name: &ObjectName, len_max: u64) -> Result<Vec<u8>> {
        let result = self.connection.block_on(self.connection.get(name, len_max));
        result.map_err(|failure| failure.into_error("read", name.to_string()))
    }

    fn read_range(&self, name: &ObjectName, offset: u64, buf: &mut [u8]) -> Result<()> {
        let result = self.connection.block_on(self.connection.get_range(name, offset, buf));
        result.map_err(|failure| failure.into_error("read", name.to_string()))
    }

    fn size(&self, name: &ObjectName) -> Result<u64> {
        let result = self.connection.block_on(self.connection.size(name));
        result.map_err(|failure| failure.into_error("size", name.to_string()))
    }

    fn stream(&self, name: &ObjectName, offset: u64, len: u64) -> Option<Box<dyn Read + Send>> {
        ObjectStream::open(&self.connection, name.into(), offset, len).map(|stream| Box::new(stream) as _)
    }

    fn list(&self, prefix: &ObjectName) -> Result<Vec<Listed>> {
        let result = self.connection.block_on(self.connection.list(prefix));
        result.map_err(|failure| failure.into_error("list", prefix.to_string()))
    }

    fn list_each(&self, prefixes: &[ObjectName]) -> Result<Vec<Vec<Listed>>> {
        let result = self.connection.block_on(self.connection.list_each(prefixes));
        let names = || prefixes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        result.map_err(|failure| failure.into_error("list", names()))
    }
}

impl Remove for S3Storage {
    fn remove(&self, name: &ObjectName) -> Result<()> {
        let connection = &self.connection;
        let delete = || async {
            let request = connection.client.delete_object().bucket(connection.bucket.as_str());
            let request = request.key(connection.key(name)).set_expected_bucket_owner(connection.owner());
            match request.send().await {
                Ok(_) => Ok(()),
                Err(error) => match Failure::of(&error) {
                    gone if gone.is_no_key() => Ok(()),
                    failure => Err(failure),
                },
            }
        };
        let result = connection.block_on(connection.retried(|_| {}, delete));
        result.map_err(|failure| failure.into_error("remove", name.to_string()))
    }
}
