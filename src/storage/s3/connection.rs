//! One connection to one bucket: the SDK's client built from the verified endpoint and nothing else, the runtime it runs
//! on, and the names of objects in the bucket.

use crate::object::ObjectName;
use crate::residency::{Addressing, BucketName, ReachableEndpoint, Scheme};
use crate::storage::error::{ErrorKind, Result, StorageError};
use crate::storage::s3::credentials;
use crate::storage::s3::error::{Attempt, Cause, Failure};
use crate::storage::s3::guard::{Guard, addressing};
use crate::storage::s3::http::{GuardedClient, Wire};
use crate::storage::s3::limit::Limiter;
use crate::storage::s3::options::S3Options;
use crate::storage::s3::retry::{Decision, until_done};
use crate::storage::s3::tls;
use crate::storage::s3::traffic::TrafficLog;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    BehaviorVersion, Region, RequestChecksumCalculation, ResponseChecksumValidation, SharedCredentialsProvider,
    StalledStreamProtectionConfig,
};
use aws_smithy_async::time::{SystemTimeSource, TimeSource};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};
use tokio::runtime::Runtime;

/// Threads that move bytes; hashing and signing happen there too.
const THREADS: usize = 2;

/// The time that requests are signed with: this machine's, moved by what the server's is found to be.
#[derive(Debug, Clone, Default)]
struct SigningClock {
    ahead_seconds: Arc<AtomicI64>,
}

impl SigningClock {
    fn set(&self, server_seconds: i64) {
        let own = SystemTimeSource::new().now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let own = i64::try_from(own.as_secs()).unwrap_or(i64::MAX);
        self.ahead_seconds.store(server_seconds.saturating_sub(own), Ordering::Relaxed);
    }
}

impl TimeSource for SigningClock {
    fn now(&self) -> SystemTime {
        moved(SystemTimeSource::new().now(), self.ahead_seconds.load(Ordering::Relaxed))
    }
}

/// A time moved by some seconds, or itself where that cannot be represented.
fn moved(time: SystemTime, by_seconds: i64) -> SystemTime {
    let by = Duration::from_secs(by_seconds.unsigned_abs());
    let moved = if by_seconds < 0 { time.checked_sub(by) } else { time.checked_add(by) };
    moved.unwrap_or(time)
}

/// A bucket within reach.
#[derive(Debug)]
pub(super) struct Connection {
    /// `None` only while it is dropped.
    runtime: Option<Runtime>,
    pub(super) client: Client,
    pub(super) guard: Arc<Guard>,
    pub(super) traffic: TrafficLog,
    pub(super) endpoint: ReachableEndpoint,
    pub(super) bucket: BucketName,
    prefix: Option<ObjectName>,
    pub(super) options: S3Options,
    clock: SigningClock,
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Does not wait for a name server that does not answer.
            runtime.shutdown_background();
        }
    }
}

impl Connection {
    /// Prepares everything and gets the credentials. Nothing is asked of the bucket yet.
    pub(super) fn open(
        endpoint: &ReachableEndpoint,
        bucket: &BucketName,
        prefix: Option<&ObjectName>,
        options: &S3Options,
    ) -> Result<Self> {
        let place = format!("{}/{bucket}", endpoint.origin());
        let other = |detail: String| StorageError {
            operation: "reach",
            subject: place.clone(),
            kind: ErrorKind::Other,
            detail,
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("s3")
            .enable_all()
            .build()
            .map_err(|error| other(format!("no threads for the network: {error}")))?;
        let ca_pem = if options.ca_pem.is_empty() { endpoint.ca_pem() } else { &options.ca_pem };
        let inner = match endpoint.origin().scheme() {
            Scheme::Https => tls::encrypted(ca_pem).map_err(|why| other(format!("certificates to trust: {why}")))?,
            Scheme::Http => tls::plain(),
        };
        let (guard, traffic) = (Arc::new(Guard::new(endpoint, bucket)), TrafficLog::default());
        let limiter = |limit: Option<u64>| limit.map(|rate| Arc::new(Limiter::new(rate)));
        let wire = Wire {
            guard: guard.clone(),
            traffic: traffic.clone(),
            timeouts: options.timeouts.clone(),
            upload: limiter(options.upload_limit),
            download: limiter(options.download_limit),
            epoch: tokio::time::Instant::now(),
        };
        let credentials = runtime
            .block_on(credentials::load(&options.credentials, endpoint, &traffic))
            .map_err(|failure| failure.into_error("reach", place.clone()))?;
        let http = GuardedClient { inner, wire: Arc::new(wire) };
        let clock = SigningClock::default();
        let client = client(endpoint, bucket, http, credentials, options, &clock);
        Ok(Self {
            runtime: Some(runtime),
            client,
            guard,
            traffic,
            endpoint: endpoint.clone(),
            bucket: bucket.clone(),
            prefix: prefix.cloned(),
            options: options.clone(),
            clock,
        })
    }

    /// The bucket's place, for messages.
    pub(super) fn place(&self) -> String {
        let prefix = self.prefix.as_ref().map(|prefix| format!("/{prefix}")).unwrap_or_default();
        format!("{}/{}{prefix}", self.endpoint.origin(), self.bucket)
    }

    /// The key of an object.
    pub(super) fn key(&self, name: &ObjectName) -> String {
        match &self.prefix {
            Some(prefix) => format!("{prefix}/{name}"),
            None => name.to_string(),
        }
    }

    /// What the keys below a folder start with; `None` is the whole part of the bucket.
    pub(super) fn key_prefix(&self, folder: Option<&ObjectName>) -> String {
        match (folder, &self.prefix) {
            (Some(folder), _) => format!("{}/", self.key(folder)),
            (None, Some(prefix)) => format!("{prefix}/"),
            (None, None) => String::new(),
        }
    }

    /// What of a key is the object's name, if the key is in the repository's part of the bucket.
    pub(super) fn rest_of<'k>(&self, key: &'k str) -> Option<&'k str> {
        match &self.prefix {
            Some(prefix) => key.strip_prefix(prefix.as_str())?.strip_prefix('/'),
            None => Some(key),
        }
    }

    /// The account that has to own the bucket, if that was said.
    pub(super) fn owner(&self) -> Option<String> {
        self.options.expected_owner.clone()
    }

    /// Runs a future to its end, from a thread that is not one of ours.
    ///
    /// # Errors
    /// [`Cause::Own`] if there is no runtime any more.
    pub(super) fn block_on<T>(&self, future: impl Future<Output = Attempt<T>>) -> Attempt<T> {
        let gone = || Failure::new(Cause::Own(ErrorKind::Other), "the store was closed");
        self.runtime.as_ref().ok_or_else(gone)?.block_on(future)
    }

    /// Runs a future beside everything else; `None` if there is no runtime any more.
    pub(super) fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) -> Option<()> {
        self.runtime.as_ref().map(|runtime| drop(runtime.spawn(future)))
    }

    /// Tries until it succeeds, cannot, or took too long. `note` is told of every decision to go on.
    pub(super) async fn retried<T, F>(&self, mut note: impl FnMut(Decision), attempt: impl FnMut() -> F) -> Attempt<T>
    where
        F: Future<Output = Attempt<T>>,
    {
        let set_clock = |decision, server_time: Option<i64>| {
            self.note(decision, server_time);
            note(decision);
        };
        until_done(&self.options.timeouts, || self.guard.has_answered(), set_clock, attempt).await
    }

    /// Sets the clock if that was decided.
    pub(super) fn note(&self, decision: Decision, server_time: Option<i64>) {
        if let (Decision::SetClock, Some(seconds)) = (decision, server_time) {
            self.clock.set(seconds);
        }
    }
}

/// The SDK's client. Everything that could send it elsewhere is given or switched off here.
fn client(
    endpoint: &ReachableEndpoint,
    bucket: &BucketName,
    http: GuardedClient,
    credentials: SharedCredentialsProvider,
    options: &S3Options,
    clock: &SigningClock,
) -> Client {
    let timeouts = TimeoutConfig::builder().connect_timeout(options.timeouts.connect).build();
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .http_client(http)
        .endpoint_url(endpoint.origin().to_string())
        .region(Region::new(endpoint.signing_region().to_owned()))
        .force_path_style(addressing(endpoint, bucket) == Addressing::Path)
        .credentials_provider(credentials)
        .time_source(clock.clone())
        // Two that put one clock right would move it twice as far.
        .disable_clock_skew_correction(true)
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeouts)
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        .use_fips(false)
        .use_dual_stack(false)
        .use_arn_region(false)
        .accelerate(false)
        .disable_multi_region_access_points(true)
        .disable_s3_express_session_auth(true)
        .build();
    Client::from_conf(config)
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn the_signing_clock_follows_the_server() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        assert_eq!(moved(at(10_000), 3600), at(13_600));
        assert_eq!(moved(at(10_000), -3600), at(6_400));
        for extreme in [i64::MIN, i64::MAX] {
            // Wherever that ends, it is no panic.
            let _ = moved(at(10_000), extreme);
        }
        let clock = SigningClock::default();
        assert_eq!(clock.ahead_seconds.load(Ordering::Relaxed), 0);
        clock.set(0);
        assert!(clock.ahead_seconds.load(Ordering::Relaxed) < 0, "the server lives in 1970");
    }
}
