//! moto: buckets of all regions at one address, with the settings that AWS has and Garage has not.
//!
//! Settings are made with boto3, so that a wrong idea of the protocol here cannot make a test pass.

use super::{Access, Credentials, Running};
use std::ops::Deref;
use std::process::Command;
use tempfile::TempDir;

/// A moto server.
pub struct Moto {
    running: Running,
    access: Access,
    dir: TempDir,
}

impl Moto {
    /// Starts it with a bucket in `ca-central-1`.
    pub fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let running = Running::start("moto", dir.path(), &["0", "ca-central-1"]);
        let access = Access::new(&running.variables);
        Self { running, access, dir }
    }

    /// Runs Python with `s3`, boto3's client for `region`, `client(SERVICE)` for others, and `a`, the arguments. Returns what it
    /// printed, without the last end of line.
    ///
    /// # Panics
    /// When it fails.
    pub fn boto3(&self, region: &str, code: &str, args: &[&str]) -> String {
        let before = "import boto3, json, sys\nregion, endpoint, *a = sys.argv[1:]\n\
                      def client(service): return boto3.client(service, region_name=region, endpoint_url=endpoint)\n\
                      s3 = client('s3')\n";
        let mut command = Command::new(&self.running.variables["CAIRN_TEST_MOTO_PYTHON"]);
        command.args(["-c", &format!("{before}{code}"), region, &self.endpoint()]).args(args).env_clear();
        command.envs(self.credentials().variables()).env("HOME", self.dir.path());
        command.env("AWS_EC2_METADATA_DISABLED", "true");
        let output = command.output().expect("Python runs");
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{code} {args:?}: {}\n{out}{err}", output.status);
        out.trim_end_matches('\n').to_owned()
    }

    /// A bucket in a region.
    pub fn create_bucket(&self, name: &str, region: &str) {
        let place = "{} if region == 'us-east-1' else {'CreateBucketConfiguration': {'LocationConstraint': region}}";
        self.boto3(region, &format!("s3.create_bucket(Bucket=a[0], **({place}))"), &[name]);
    }

    /// A bucket in a region with object lock, and so with versions.
    pub fn create_locking_bucket(&self, name: &str, region: &str) {
        let place = "CreateBucketConfiguration={'LocationConstraint': region}";
        self.boto3(
            region,
            &format!("s3.create_bucket(Bucket=a[0], ObjectLockEnabledForBucket=True, {place})"),
            &[name],
        );
    }

    pub fn enable_versions(&self, bucket: &str) {
        let call = "s3.put_bucket_versioning(Bucket=a[0], VersioningConfiguration={'Status': 'Enabled'})";
        self.boto3(self.region(), call, &[bucket]);
    }

    /// Replicates a bucket to another one, which is there already. Both get versions, without which there is no replication.
    pub fn put_replication(&self, bucket: &str, destination: &str) {
        self.enable_versions(bucket);
        self.enable_versions(destination);
        let rule = "{'ID': 'all', 'Priority': 1, 'Filter': {'Prefix': ''}, 'Status': 'Enabled', \
                    'DeleteMarkerReplication': {'Status': 'Disabled'}, \
                    'Destination': {'Bucket': 'arn:aws:s3:::' + a[1]}}";
        let settings = format!("{{'Role': 'arn:aws:iam::123456789012:role/copy', 'Rules': [{rule}]}}");
        let call = format!("s3.put_bucket_replication(Bucket=a[0], ReplicationConfiguration={settings})");
        self.boto3(self.region(), &call, &[bucket, destination]);
    }

    /// Switches transfer acceleration on or off.
    pub fn set_acceleration(&self, bucket: &str, is_on: bool) {
        let call = "s3.put_bucket_accelerate_configuration(Bucket=a[0], AccelerateConfiguration={'Status': a[1]})";
        self.boto3(self.region(), call, &[bucket, if is_on { "Enabled" } else { "Suspended" }]);
    }

    /// Lets current objects expire after so many days.
    pub fn set_expiration(&self, bucket: &str, days: u32) {
        let rule = "{'ID': 'all', 'Status': 'Enabled', 'Filter': {'Prefix': ''}, 'Expiration': {'Days': int(a[1])}}";
        let call =
            format!("s3.put_bucket_lifecycle_configuration(Bucket=a[0], LifecycleConfiguration={{'Rules': [{rule}]}})");
        self.boto3(self.region(), &call, &[bucket, &days.to_string()]);
    }

    /// The key of a new user who has a policy (JSON). What it forbids he may do until policies are enforced.
    pub fn create_user(&self, name: &str, policy: &str) -> Credentials {
        let code = "iam = client('iam')\n\
                    iam.create_user(UserName=a[0])\n\
                    iam.put_user_policy(UserName=a[0], PolicyName='only', PolicyDocument=a[1])\n\
                    key = iam.create_access_key(UserName=a[0])['AccessKey']\n\
                    print(key['AccessKeyId'], key['SecretAccessKey'])";
        let out = self.boto3(self.region(), code, &[name, policy]);
        let (key_id, secret_key) = out.split_once(' ').expect("two words");
        Credentials { key_id: key_id.to_owned(), secret_key: secret_key.to_owned() }
    }

    /// From now on only what policies allow. For the server's own key that is nothing, so everything else has to be set
    /// before.
    pub fn enforce_policies(&self) {
        let code = "from urllib.request import Request, urlopen\n\
                    plain = {'Content-Type': 'text/plain'}\n\
                    urlopen(Request(endpoint + '/moto-api/reset-auth', data=b'0', headers=plain))";
        self.boto3(self.region(), code, &[]);
    }

    /// From now on only what a policy (JSON) allows: returns the key of a user who has it.
    pub fn enforce(&self, policy: &str) -> Credentials {
        let key = self.create_user("backup", policy);
        self.enforce_policies();
        key
    }
}

impl Deref for Moto {
    type Target = Access;

    fn deref(&self) -> &Access {
        &self.access
    }
}
