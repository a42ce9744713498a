//! The real servers: they start, say what they should, and end.

use crate::proxy::{Action, Answer, Proxy, Sink, Tls, When};
use crate::servers::{Access, Credentials, Garage, GarageCluster, Moto};
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::{BehaviorVersion, Region};
use aws_sdk_s3::error::{DisplayErrorContext, ProvideErrorMetadata as _};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::{Client, Config};
use aws_smithy_http_client::tls;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// A client that tries once, with the runtime it needs.
struct S3 {
    client: Client,
    runtime: tokio::runtime::Runtime,
}

impl S3 {
    fn new(endpoint: &str, region: &str, key: &Credentials, authority: Option<&str>) -> Self {
        let provider = tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring);
        let trust = tls::TrustStore::empty();
        let trust = authority.into_iter().fold(trust, |trust, pem| trust.with_pem_certificate(pem.as_bytes()));
        let context = tls::TlsContext::builder().with_trust_store(trust).build().unwrap();
        let http = aws_smithy_http_client::Builder::new().tls_provider(provider).tls_context(context).build_https();
        let credentials = aws_sdk_s3::config::Credentials::new(&key.key_id, &key.secret_key, None, None, "test");
        let config = Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .http_client(http)
            .endpoint_url(endpoint)
            .region(Region::new(region.to_owned()))
            .credentials_provider(credentials)
            .force_path_style(true)
            .retry_config(RetryConfig::disabled());
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        Self { client: Client::from_conf(config.build()), runtime }
    }

    fn of(access: &Access) -> Self {
        Self::new(&access.endpoint(), access.region(), access.credentials(), None)
    }

    /// The error is the server's code, or what went wrong on the way.
    fn put(&self, bucket: &str, key: &str, content: &[u8]) -> Result<(), String> {
        let request = self.client.put_object().bucket(bucket).key(key).body(ByteStream::from(content.to_vec()));
        let result = self.runtime.block_on(request.send());
        result.map(|_| ()).map_err(|e| e.code().map_or_else(|| DisplayErrorContext(&e).to_string(), str::to_owned))
    }

    fn get(&self, bucket: &str, key: &str) -> Result<Vec<u8>, String> {
        self.runtime.block_on(async {
            let result = self.client.get_object().bucket(bucket).key(key).send().await;
            let answer = result.map_err(|e| e.code().map_or_else(|| format!("{e:?}"), str::to_owned))?;
            let content = answer.body.collect().await.map_err(|e| e.to_string())?;
            Ok(content.into_bytes().to_vec())
        })
    }
}

/// Whether a process runs. One that has ended stays in the list until its parent looks, which is not the test's business.
fn runs(process: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"));
    stat.is_ok_and(|stat| stat.rsplit(") ").next().is_some_and(|rest| !rest.starts_with(['Z', 'X'])))
}

fn script(args: &[&str], variables: &[(&str, &str)]) -> Output {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new("bash");
    command.arg(root.join("scripts/servers").join(args[0])).args(&args[1..]).envs(variables.iter().copied());
    command.env_remove("CAIRN_TEST_BUCKET").stdin(Stdio::null()).output().unwrap()
}

#[test]
fn garage_starts_answers_and_ends() {
    let mut west = Garage::start("ca-west-1");
    let central = Garage::start("ca-central-1");
    assert_ne!(west.address(), central.address());
    let s3 = S3::of(&west);
    s3.put(west.bucket(), "a/b", &[5; 3_000_000]).unwrap();
    assert_eq!(s3.get(west.bucket(), "a/b").unwrap(), [5; 3_000_000]);
    assert_eq!(S3::of(&central).get(central.bucket(), "a/b").unwrap_err(), "NoSuchKey");
    // It knows where it is.
    let elsewhere = S3::new(&west.endpoint(), "us-east-1", west.credentials(), None);
    assert_eq!(elsewhere.put(west.bucket(), "c", b"x").unwrap_err(), "AuthorizationHeaderMalformed");
    west.create_bucket("second");
    s3.put("second", "c", b"x").unwrap();
    // A key that reads one bucket.
    let reader = S3::new(&west.endpoint(), "ca-west-1", &west.reader("second"), None);
    assert_eq!(reader.get("second", "c").unwrap(), b"x");
    assert_eq!(reader.put("second", "d", b"x").unwrap_err(), "AccessDenied");
    assert_eq!(reader.get(west.bucket(), "a/b").unwrap_err(), "AccessDenied");
    // Its end loses nothing, and it comes back where it was.
    let process = west.process();
    assert!(runs(process));
    west.stop();
    assert!(!runs(process));
    TcpStream::connect(west.address()).unwrap_err();
    west.start_again();
    assert_eq!(s3.get(west.bucket(), "a/b").unwrap(), [5; 3_000_000]);
    let processes = [west.process(), central.process()];
    assert!(processes.iter().all(|p| runs(*p)));
    drop((west, central));
    assert!(!processes.iter().any(|p| runs(*p)));
    println!("counts: Garage: 2 regions, 3 starts, 3 ends");
}

/// The commands of the quick start.
#[test]
fn garage_as_people_start_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_str().unwrap();
    let output = script(&["garage", "start", path], &[]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let endpoint = text.lines().find_map(|line| line.strip_prefix("export CAIRN_TEST_ENDPOINT=http://")).unwrap();
    for part in
        ["export AWS_ACCESS_KEY_ID=GK", "cairn residency declare garage --endpoint http://", "s3://garage/cairn"]
    {
        assert!(text.contains(part), "{part}");
    }
    TcpStream::connect(endpoint).unwrap();
    assert!(!script(&["garage", "start", path], &[]).status.success());
    for _ in 0..2 {
        assert!(script(&["garage", "stop", path], &[]).status.success());
        TcpStream::connect(endpoint).unwrap_err();
    }
}

/// One node of three is killed while writing, comes back, and then another is killed: nothing is missed.
#[test]
fn a_cluster_bears_the_loss_of_a_node() {
    let cluster = GarageCluster::start();
    let s3 = S3::of(&cluster);
    let put = |range: std::ops::Range<u32>| {
        for n in range {
            let content = vec![n as u8; 400_000];
            s3.put(cluster.bucket(), &format!("object-{n}"), &content).unwrap();
        }
    };
    put(0..4);
    let before = cluster.processes();
    cluster.kill_node(3);
    assert!(!runs(before[2]) && runs(before[0]));
    put(4..8);
    cluster.start_node(3);
    put(8..10);
    assert_eq!(cluster.addresses().len(), 3);
    let third = format!("http://{}", cluster.addresses()[2]);
    let third = S3::new(&third, cluster.region(), cluster.credentials(), None);
    assert_eq!(third.get(cluster.bucket(), "object-9").unwrap(), vec![9; 400_000]);
    cluster.kill_node(2);
    for n in 0..10 {
        assert_eq!(s3.get(cluster.bucket(), &format!("object-{n}")).unwrap(), vec![n as u8; 400_000]);
    }
    cluster.start_node(2);
    let processes = cluster.processes();
    drop(cluster);
    assert!(!processes.iter().any(|p| runs(*p)));
    println!("counts: Garage cluster: 10 objects written and read, 2 nodes lost in turn");
}

#[test]
fn moto_has_regions_and_settings() {
    let moto = Moto::start();
    let s3 = S3::of(&moto);
    s3.put(moto.bucket(), "a", b"content").unwrap();
    assert_eq!(s3.get(moto.bucket(), "a").unwrap(), b"content");
    moto.create_bucket("foreign", "us-east-1");
    moto.create_bucket("copy", "ca-west-1");
    let location = "print(s3.get_bucket_location(Bucket=a[0])['LocationConstraint'])";
    let locations: Vec<String> =
        [moto.bucket(), "foreign", "copy"].iter().map(|name| moto.boto3(moto.region(), location, &[name])).collect();
    assert_eq!(locations, ["ca-central-1", "None", "ca-west-1"]);
    moto.put_replication(moto.bucket(), "foreign");
    let rule = "r = s3.get_bucket_replication(Bucket=a[0])['ReplicationConfiguration']['Rules'][0]\n\
                print(r['Status'], r['Destination']['Bucket'])";
    assert_eq!(moto.boto3(moto.region(), rule, &[moto.bucket()]), "Enabled arn:aws:s3:::foreign");
    let status = "print(s3.get_bucket_accelerate_configuration(Bucket=a[0]).get('Status'))";
    assert_eq!(moto.boto3(moto.region(), status, &["copy"]), "None");
    for (is_on, said) in [(true, "Enabled"), (false, "Suspended")] {
        moto.set_acceleration("copy", is_on);
        assert_eq!(moto.boto3(moto.region(), status, &["copy"]), said);
    }
    moto.set_expiration("copy", 3);
    let days = "r = s3.get_bucket_lifecycle_configuration(Bucket=a[0])['Rules']\nprint(r[0]['Expiration']['Days'])";
    assert_eq!(moto.boto3(moto.region(), days, &["copy"]), "3");
    moto.create_locking_bucket("locked", "ca-central-1");
    let lock = "print(s3.get_object_lock_configuration(Bucket=a[0])['ObjectLockConfiguration']['ObjectLockEnabled'])";
    assert_eq!(moto.boto3(moto.region(), lock, &["locked"]), "Enabled");
    // Created once, and only once.
    let conditional = |key: &str| {
        let request = s3.client.put_object().bucket(moto.bucket()).key(key).if_none_match("*");
        let result = s3.runtime.block_on(request.body(ByteStream::from_static(b"x")).send());
        result.map(|_| ()).map_err(|e| e.code().unwrap_or_default().to_owned())
    };
    assert_eq!([conditional("once"), conditional("once")], [Ok(()), Err("PreconditionFailed".to_owned())]);
    drop(moto);
    println!("counts: moto: 4 buckets in 3 regions, 5 settings read back");
}

#[test]
fn moto_enforces_a_policy() {
    let moto = Moto::start();
    let statement = format!(
        r#"{{"Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject"], "Resource": "arn:aws:s3:::{}/good/*"}}"#,
        moto.bucket()
    );
    let key = moto.enforce(&format!(r#"{{"Version": "2012-10-17", "Statement": [{statement}]}}"#));
    let s3 = S3::new(&moto.endpoint(), moto.region(), &key, None);
    s3.put(moto.bucket(), "good/a", b"x").unwrap();
    assert_eq!(s3.get(moto.bucket(), "good/a").unwrap(), b"x");
    assert_eq!(s3.put(moto.bucket(), "bad/a", b"x").unwrap_err(), "AccessDenied");
    assert!(S3::of(&moto).get(moto.bucket(), "good/a").is_err());
}

/// A real client and a real store with the proxy between them, and with TLS in front of both.
#[test]
fn the_proxy_stands_between_a_client_and_a_store() {
    let garage = Garage::start("ca-central-1");
    let proxy = Proxy::start(garage.address());
    let foreign = Sink::start();
    let tls = Tls::in_front_of(proxy.address(), "localhost");
    for (endpoint, authority) in [(proxy.endpoint(), None), (tls.endpoint(), Some(tls.ca_pem()))] {
        let s3 = S3::new(&endpoint, garage.region(), garage.credentials(), authority);
        let content = vec![9; 2_000_000];
        s3.put(garage.bucket(), "a", &content).unwrap();
        assert_eq!(s3.get(garage.bucket(), "a").unwrap(), content);
        let rule = |action| proxy.add(When::any().times(1), action);
        rule(Action::Answer(Answer::error(503, "SlowDown")));
        assert_eq!(s3.put(garage.bucket(), "a", b"x").unwrap_err(), "SlowDown");
        rule(Action::DropAnswer);
        s3.put(garage.bucket(), "dropped", b"x").unwrap_err();
        assert_eq!(s3.get(garage.bucket(), "dropped").unwrap(), b"x");
        rule(Action::FlipRequest(5));
        s3.put(garage.bucket(), "flipped", &content).unwrap_err();
        rule(Action::Answer(Answer::redirect(307, &format!("{}/b/c", foreign.endpoint()))));
        s3.put(garage.bucket(), "b", &content).unwrap_err();
        proxy.clear();
        assert_eq!(s3.get(garage.bucket(), "flipped").unwrap_err(), "NoSuchKey");
    }
    let careless = S3::new(&tls.endpoint(), garage.region(), garage.credentials(), None);
    careless.put(garage.bucket(), "a", b"x").unwrap_err();
    assert_eq!(foreign.bytes(), 0);
    let bytes: u64 = proxy.connections().iter().map(|c| c.body_bytes).sum();
    println!("counts: proxy: {} requests of the real client, {bytes} content bytes", proxy.requests().len());
}

/// Object lock as the store enforces it: a version cannot be deleted before its time, a deletion without version only hides.
#[test]
#[ignore = "needs Ceph: scripts/test-ceph"]
fn ceph_keeps_what_is_locked() {
    let ceph = crate::servers::ceph();
    let s3 = S3::of(&ceph);
    let until = aws_sdk_s3::primitives::DateTime::from_secs(4_000_000_000);
    let mode = aws_sdk_s3::types::ObjectLockMode::Governance;
    s3.runtime.block_on(async {
        let place = aws_sdk_s3::types::CreateBucketConfiguration::builder().location_constraint(ceph.region().into());
        let create = s3.client.create_bucket().bucket("locked").create_bucket_configuration(place.build());
        create.object_lock_enabled_for_bucket(true).send().await.unwrap();
        let put = s3.client.put_object().bucket("locked").key("a").body(ByteStream::from_static(b"kept"));
        let put = put.object_lock_mode(mode).object_lock_retain_until_date(until).send().await.unwrap();
        let version = put.version_id().unwrap();
        let delete = s3.client.delete_object().bucket("locked").key("a");
        let refused = delete.clone().version_id(version).send().await.unwrap_err();
        assert_eq!(refused.code(), Some("AccessDenied"));
        delete.send().await.unwrap();
        let get = s3.client.get_object().bucket("locked").key("a");
        assert_eq!(get.clone().send().await.unwrap_err().code(), Some("NoSuchKey"));
        let kept = get.version_id(version).send().await.unwrap().body.collect().await.unwrap();
        assert_eq!(kept.into_bytes(), &b"kept"[..]);
    });
}

/// Whoever has not run `scripts/test` learns that, and what is missing.
#[test]
fn missing_servers_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let (path, nowhere) = (dir.path().to_str().unwrap(), dir.path().join("nowhere"));
    let nowhere = nowhere.to_str().unwrap();
    for (name, variable) in
        [("garage", "CAIRN_TEST_GARAGE"), ("garage-cluster", "CAIRN_TEST_GARAGE"), ("moto", "CAIRN_TEST_MOTO")]
    {
        let output = script(&[name, "run", path], &[(variable, nowhere)]);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && text.contains("run scripts/test") && text.contains(nowhere), "{text}");
        // Not installed at all: a test does not install.
        let output = Command::new("bash")
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/servers").join(name))
            .args(["run", path])
            .env_remove("CAIRN_TEST_GARAGE")
            .env_remove("CAIRN_TEST_MOTO")
            .env("XDG_CACHE_HOME", nowhere)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && text.contains("run scripts/test, which installs it"), "{text}");
    }
}
