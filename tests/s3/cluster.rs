//! Three Garage nodes that keep three copies of everything: one is killed in the middle of a backup, and when it is back
//! another one in the middle of a restore.
//!
//! The client talks to the first node and nobody kills that one: when the endpoint itself dies, no client survives it that
//! knows no other. What has to survive is that the store loses a node behind it.

use crate::compare::differences;
use crate::home::Home;
use crate::proxy::{Action, Proxy, Seen, When};
use crate::servers::GarageCluster;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Bytes of the tree: several packs, of some 30 MiB each.
const TREE_BYTES: usize = 88 << 20;

/// Requests wait at it until it is opened, so that the middle lasts as long as it takes to kill a node.
#[derive(Default)]
pub(crate) struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    pub(crate) fn open(&self) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.1.notify_all();
    }

    pub(crate) fn action(&self) -> Action {
        let gate = self.0.clone();
        Action::Call(Arc::new(move || {
            let is_open = gate.0.lock().unwrap_or_else(PoisonError::into_inner);
            // Whoever should open it may have failed.
            let _ = gate.1.wait_timeout_while(is_open, Duration::from_secs(120), |is_open| !*is_open);
        }))
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.open();
    }
}

/// Files of several sizes, of bytes that do not compress.
fn fill(root: &Path) -> usize {
    let mut stream = blake3::Hasher::new().update(b"a tree that does not compress").finalize_xof();
    let (mut left, mut number) = (TREE_BYTES, 0);
    while left > 0 {
        let len = left.min([3 << 20, 100, 9 << 20, 70_000, 1 << 20][number % 5]);
        let mut bytes = vec![0; len];
        stream.fill(&mut bytes);
        let dir = root.join(format!("dir{}", number % 3));
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join(format!("file{number}")), bytes).unwrap();
        (left, number) = (left - len, number + 1);
    }
    number
}

fn is_pack(seen: &Seen, method: &str) -> bool {
    seen.head.method() == method && seen.head.target().contains("/packs/")
}

fn answered(seen: &[Seen], method: &str) -> usize {
    seen.iter().filter(|one| is_pack(one, method) && one.status.is_some_and(|status| status < 300)).count()
}

/// Uploads of packs that are in the middle.
fn in_body(seen: &[Seen]) -> usize {
    seen.iter().filter(|one| is_pack(one, "PUT") && one.status.is_none() && one.body_bytes > 256 << 10).count()
}

#[test]
fn a_node_dies_in_mid_backup_and_another_in_mid_restore() {
    let cluster = GarageCluster::start();
    let proxy = Proxy::start(cluster.address());
    let (backup_gate, restore_gate) = (Gate::default(), Gate::default());
    let home = Home::new(cluster.credentials());
    let files = fill(&home.path("src"));
    home.declare_at(&proxy.endpoint(), cluster.region(), "cluster", "QC").expect(0);
    let repository = format!("s3://cluster/{}", cluster.bucket());
    home.cairn(&format!("init --repo {repository}")).expect(0);

    // The third pack and what comes after the packs have to wait until the node is dead.
    proxy.add(When::any().method("PUT").target("/packs/").after(2), backup_gate.action());
    proxy.add(When::any().method("PUT").target("/index/"), backup_gate.action());
    let mut backup = home.start(&format!("backup --json --limit-upload 16M --repo {repository} src"));
    proxy.wait_until(|seen| {
        let stored = answered(seen, "PUT");
        stored >= 2 || stored == 1 && in_body(seen) > 0
    });
    let (stored_before, cut_before) = (answered(&proxy.requests(), "PUT"), in_body(&proxy.requests()));
    cluster.kill_node(2);
    assert!(backup.is_running(), "it was over before the node was dead: {}", backup.end().report());
    let committed = |seen: &[Seen]| seen.iter().any(|one| one.line().contains("/snapshots/") && one.body_bytes > 0);
    assert!(stored_before > 0 && !committed(&proxy.requests()), "the node did not die in the middle");
    backup_gate.open();
    let ended = backup.end().expect(0);
    let stored = answered(&proxy.requests(), "PUT");
    assert!(stored > stored_before && committed(&proxy.requests()), "{}", ended.report());
    assert_eq!(ended.object()["files_new"], files, "{}", ended.report());
    println!(
        "counts: cluster: {} requests of the backup, node 2 killed after {stored_before} of {stored} packs, {cut_before} in their middle",
        proxy.requests().len()
    );

    cluster.start_node(2);
    proxy.clear();
    let before = proxy.requests().len();
    proxy.add(When::any().method("GET").target("/packs/").after(2), restore_gate.action());
    let target = home.path("back");
    let (from, to) = (home.path("src").display().to_string(), target.display());
    let mut restore =
        home.start(&format!("restore latest:{from} --limit-download 32M --repo {repository} --target {to}"));
    let since = |seen: &[Seen]| answered(&seen[before..], "GET");
    proxy.wait_until(|seen| seen.len() > before && since(seen) > 0);
    let read_before = since(&proxy.requests());
    cluster.kill_node(3);
    assert!(restore.is_running(), "it was over before the node was dead: {}", restore.end().report());
    restore_gate.open();
    let ended = restore.end().expect(0);
    let read = since(&proxy.requests());
    assert!(read_before > 0 && read > read_before, "{read_before} of {read}: {}", ended.report());
    assert_eq!(differences(&home.path("src"), &target), Vec::<String>::new(), "{}", ended.report());
    println!("counts: cluster: {files} files restored, node 3 killed after {read_before} of {read} reads of packs");

    // What is left is two nodes, one of which was away when the data came.
    home.cairn(&format!("check --read-data --repo {repository}")).expect(0);
}
