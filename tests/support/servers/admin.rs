//! The owner of a bucket, or whoever has stolen his key: buckets with object lock, versions, delete markers. By the SDK
//! alone, for servers that come without tools of their own.

use super::Access;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_s3::error::ProvideErrorMetadata as _;
use aws_sdk_s3::primitives::{ByteStream, DateTime, DateTimeFormat};
use aws_sdk_s3::types::{
    BucketVersioningStatus, CreateBucketConfiguration, DefaultRetention, ObjectLockConfiguration, ObjectLockEnabled,
    ObjectLockRetentionMode, ObjectLockRule, VersioningConfiguration,
};
use aws_sdk_s3::{Client, Config};
use std::collections::BTreeSet;
use std::time::Duration;

/// A version of an object, or a delete marker.
#[derive(Debug, Clone)]
pub struct Version {
    pub key: String,
    pub id: String,
    pub time: DateTime,
    pub is_marker: bool,
}

/// Somebody who may do everything with a server's buckets.
pub struct Admin {
    client: Client,
    runtime: tokio::runtime::Runtime,
}

impl Admin {
    pub fn new(access: &Access) -> Self {
        let key = access.credentials();
        let config = Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .endpoint_url(access.endpoint())
            .region(Region::new(access.region().to_owned()))
            .credentials_provider(Credentials::new(&key.key_id, &key.secret_key, None, None, "test"))
            .force_path_style(true)
            .retry_config(RetryConfig::disabled())
            .build();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        Self { client: Client::from_conf(config), runtime }
    }

    /// A bucket in the server's region; with object lock, and so with versions, if wanted.
    pub fn create_bucket(&self, access: &Access, name: &str, has_lock: bool) {
        let place = CreateBucketConfiguration::builder().location_constraint(access.region().into()).build();
        let create = self.client.create_bucket().bucket(name).create_bucket_configuration(place);
        self.runtime.block_on(create.object_lock_enabled_for_bucket(has_lock).send()).unwrap();
    }

    /// Locks every new object of a bucket with object lock for so many days, for everybody without a permission of his own.
    pub fn set_default_retention(&self, bucket: &str, days: i32) {
        let retention = DefaultRetention::builder().mode(ObjectLockRetentionMode::Governance).days(days).build();
        let rule = ObjectLockRule::builder().default_retention(retention).build();
        let lock = ObjectLockConfiguration::builder().object_lock_enabled(ObjectLockEnabled::Enabled).rule(rule);
        let put = self.client.put_object_lock_configuration().bucket(bucket).object_lock_configuration(lock.build());
        self.runtime.block_on(put.send()).unwrap();
    }

    /// Switches versions on or, for what comes, off again.
    pub fn set_versions(&self, bucket: &str, are_on: bool) {
        let status = if are_on { BucketVersioningStatus::Enabled } else { BucketVersioningStatus::Suspended };
        let status = VersioningConfiguration::builder().status(status).build();
        let put = self.client.put_bucket_versioning().bucket(bucket).versioning_configuration(status);
        self.runtime.block_on(put.send()).unwrap();
    }

    pub fn put(&self, bucket: &str, key: &str, content: &[u8]) {
        let put = self.client.put_object().bucket(bucket).key(key).body(ByteStream::from(content.to_vec()));
        self.runtime.block_on(put.send()).unwrap();
    }

    /// Every version and every delete marker of keys that start so.
    pub fn versions(&self, bucket: &str, prefix: &str) -> Vec<Version> {
        let list = self.client.list_object_versions().bucket(bucket).prefix(prefix);
        let mut found = Vec::new();
        let (mut key, mut version) = (None, None);
        loop {
            let list = list.clone().set_key_marker(key).set_version_id_marker(version);
            let page = self.runtime.block_on(list.send()).unwrap();
            found.extend(page.versions().iter().map(|v| Version {
                key: v.key().unwrap().to_owned(),
                id: v.version_id().unwrap().to_owned(),
                time: *v.last_modified().unwrap(),
                is_marker: false,
            }));
            found.extend(page.delete_markers().iter().map(|m| Version {
                key: m.key().unwrap().to_owned(),
                id: m.version_id().unwrap().to_owned(),
                time: *m.last_modified().unwrap(),
                is_marker: true,
            }));
            (key, version) =
                (page.next_key_marker().map(str::to_owned), page.next_version_id_marker().map(str::to_owned));
            if page.is_truncated() != Some(true) {
                return found;
            }
        }
    }

    /// Deletes a key, or one version of it for good. The error is the server's code.
    pub fn delete(&self, bucket: &str, key: &str, version: Option<&str>) -> Result<(), String> {
        let delete = self.client.delete_object().bucket(bucket).key(key).set_version_id(version.map(str::to_owned));
        let result = self.runtime.block_on(delete.send());
        result.map(|_| ()).map_err(|error| error.code().unwrap_or_default().to_owned())
    }

    /// Deletes every key, as somebody with a stolen key does. Returns how many.
    pub fn delete_all(&self, bucket: &str) -> usize {
        let keys: BTreeSet<String> = self.versions(bucket, "").into_iter().map(|version| version.key).collect();
        for key in &keys {
            self.delete(bucket, key, None).unwrap();
        }
        keys.len()
    }

    /// The time of the newest entry by the server's clock; returns when whatever comes next is certainly younger.
    pub fn moment(&self, bucket: &str) -> String {
        let newest = |prefix| self.versions(bucket, prefix).into_iter().map(|version| version.time).max_by(earlier);
        let now = newest("").unwrap();
        // Servers give times to the second or finer; asking goes on until theirs has moved on.
        loop {
            self.put(bucket, "other/clock", b"x");
            if newest("other/clock").is_some_and(|time| earlier(&now, &time).is_lt()) {
                return now.fmt(DateTimeFormat::DateTime).unwrap();
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

fn earlier(a: &DateTime, b: &DateTime) -> std::cmp::Ordering {
    (a.secs(), a.subsec_nanos()).cmp(&(b.secs(), b.subsec_nanos()))
}
