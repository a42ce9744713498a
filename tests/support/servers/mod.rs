//! Real S3 servers for tests: Garage, a cluster of three, moto, and for extended tests Ceph. Each listens on free ports of loopback, keeps its data in
//! a temporary folder, and ends with the value that stands for it, or with the test's process.
//!
//! The scripts in `scripts/servers` start and configure them; `scripts/test` installs them. A test that finds them missing
//! fails and says so.
#![allow(dead_code, unused_imports, unreachable_pub, missing_docs, reason = "each test uses its part")]
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod admin;
mod ceph;
mod garage;
mod moto;

pub use admin::{Admin, Version};
pub use ceph::ceph;
pub use garage::{Garage, GarageCluster};
pub use moto::Moto;

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A key of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    pub key_id: String,
    pub secret_key: String,
}

impl Credentials {
    /// As the variables that every S3 client reads.
    pub fn variables(&self) -> [(&'static str, &str); 2] {
        [("AWS_ACCESS_KEY_ID", &self.key_id), ("AWS_SECRET_ACCESS_KEY", &self.secret_key)]
    }
}

/// How to reach a server.
#[derive(Debug, Clone)]
pub struct Access {
    address: SocketAddr,
    region: String,
    bucket: String,
    credentials: Credentials,
}

impl Access {
    fn new(variables: &HashMap<String, String>) -> Self {
        let address = variables["CAIRN_TEST_ENDPOINT"].trim_start_matches("http://").parse().unwrap();
        Self {
            address,
            region: variables["CAIRN_TEST_REGION"].clone(),
            bucket: variables["CAIRN_TEST_BUCKET"].clone(),
            credentials: Credentials {
                key_id: variables["AWS_ACCESS_KEY_ID"].clone(),
                secret_key: variables["AWS_SECRET_ACCESS_KEY"].clone(),
            },
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// As a URL.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The region that requests are signed for.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// A bucket that is there from the beginning.
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }
}

/// A server script that runs for as long as this does.
struct Running {
    script: Child,
    variables: HashMap<String, String>,
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/servers").join(name)
}

/// The lines `export NAME=VALUE` of a text.
fn variables(text: &str) -> HashMap<String, String> {
    let found = text.lines().filter_map(|line| line.strip_prefix("export ")?.split_once('='));
    found.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// A script's call; what the surroundings say about buckets is not meant for it.
fn command(name: &str, verb: &str, dir: &Path) -> Command {
    let mut command = Command::new("bash");
    command.arg(script(name)).arg(verb).arg(dir);
    command.env_remove("CAIRN_TEST_BUCKET");
    command
}

/// Runs a script to its end and returns what it printed.
///
/// # Panics
/// When it fails.
fn call(name: &str, verb: &str, dir: &Path, args: &[&str]) -> String {
    let output = command(name, verb, dir).args(args).stdin(Stdio::null()).output().expect("bash runs");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "scripts/servers/{name} {verb} {args:?}: {}\n{out}{err}", output.status);
    out.into_owned()
}

impl Running {
    /// Starts a script's `run` and waits until its server is ready.
    ///
    /// # Panics
    /// When it does not start.
    fn start(name: &str, dir: &Path, args: &[&str]) -> Self {
        let errors = dir.join("errors");
        let mut command = command(name, "run", dir);
        command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(File::create(&errors).unwrap());
        let mut script = command.spawn().expect("bash runs");
        let out = BufReader::new(script.stdout.take().expect("it is piped"));
        if !out.lines().any(|line| line.is_ok_and(|line| line == "ready")) {
            let status = script.wait();
            let text = std::fs::read_to_string(&errors).unwrap_or_default();
            panic!("scripts/servers/{name} did not start its server ({status:?}):\n{text}");
        }
        let text = std::fs::read_to_string(dir.join("env")).unwrap();
        Self { script, variables: variables(&text) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The script's input ends; it stops what it started, and itself.
        drop(self.script.stdin.take());
        let _ = self.script.wait();
    }
}
