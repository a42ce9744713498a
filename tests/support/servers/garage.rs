//! Garage: one node, or three that keep three copies of everything.

use super::{Access, Credentials, Running, call};
use std::net::SocketAddr;
use std::ops::Deref;
use std::path::Path;
use tempfile::TempDir;

fn process(file: &Path) -> u32 {
    std::fs::read_to_string(file).unwrap().split(' ').next().unwrap().parse().unwrap()
}

/// One Garage node.
pub struct Garage {
    running: Option<Running>,
    access: Access,
    dir: TempDir,
}

impl Garage {
    /// Starts a node that calls its place `region`, with a bucket and a key that owns it.
    pub fn start(region: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let running = Running::start("garage", dir.path(), &["0", region]);
        let access = Access::new(&running.variables);
        Self { running: Some(running), access, dir }
    }

    /// Garage's own command line.
    pub fn cli(&self, args: &[&str]) -> String {
        call("garage", "cli", self.dir.path(), args)
    }

    /// A further bucket for the key.
    pub fn create_bucket(&self, name: &str) {
        self.cli(&["bucket", "create", name]);
        let key = &self.credentials().key_id;
        self.cli(&["bucket", "allow", "--read", "--write", "--owner", name, "--key", key]);
    }

    /// A key that can read a bucket and no more. Once for each bucket.
    pub fn reader(&self, bucket: &str) -> Credentials {
        // Whatever it is: it opens nothing but this server's bucket. Different for each bucket, as a key has one name.
        let hash = blake3::hash(bucket.as_bytes()).to_hex();
        let key = Credentials { key_id: format!("GK{}", &hash[..24]), secret_key: hash.to_string() };
        self.cli(&["key", "import", "--yes", "-n", "reader", &key.key_id, &key.secret_key]);
        self.cli(&["bucket", "allow", "--read", bucket, "--key", &key.key_id]);
        key
    }

    /// The id of its process.
    pub fn process(&self) -> u32 {
        process(&self.dir.path().join("pid"))
    }

    /// Ends the node as a loss of power would. What it acknowledged is still there when it starts again.
    pub fn stop(&mut self) {
        self.running = None;
    }

    /// Starts it again, with the same address, key and data.
    pub fn start_again(&mut self) {
        assert!(self.running.is_none(), "Garage runs");
        let running = Running::start("garage", self.dir.path(), &["0", self.access.region()]);
        assert_eq!(Access::new(&running.variables).address(), self.access.address());
        self.running = Some(running);
    }
}

impl Deref for Garage {
    type Target = Access;

    fn deref(&self) -> &Access {
        &self.access
    }
}

/// Three Garage nodes. What it derefs to is the first one's address.
pub struct GarageCluster {
    _running: Running,
    access: Access,
    addresses: Vec<SocketAddr>,
    dir: TempDir,
}

impl GarageCluster {
    /// Starts them in `ca-central-1`, with a bucket and a key that owns it.
    pub fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let running = Running::start("garage-cluster", dir.path(), &["ca-central-1"]);
        let access = Access::new(&running.variables);
        let all = running.variables["CAIRN_TEST_ENDPOINTS"].split(',');
        let addresses = all.map(|endpoint| endpoint.trim_start_matches("http://").parse().unwrap()).collect();
        Self { _running: running, access, addresses, dir }
    }

    /// The addresses of all nodes.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Garage's own command line, at the first node that runs.
    pub fn cli(&self, args: &[&str]) -> String {
        call("garage-cluster", "cli", self.dir.path(), args)
    }

    /// Ends a node (1, 2 or 3) as a loss of power would.
    pub fn kill_node(&self, number: usize) {
        call("garage-cluster", "kill-node", self.dir.path(), &[&number.to_string()]);
    }

    /// The ids of all processes, of nodes that run.
    pub fn processes(&self) -> Vec<u32> {
        (1..=3).map(|number| process(&self.dir.path().join(format!("node{number}/pid")))).collect()
    }

    /// Starts a node again, and waits until the others know of it. What it missed it learns later, or when it is asked.
    pub fn start_node(&self, number: usize) {
        call("garage-cluster", "start-node", self.dir.path(), &[&number.to_string()]);
    }
}

impl Deref for GarageCluster {
    type Target = Access;

    fn deref(&self) -> &Access {
        &self.access
    }
}
