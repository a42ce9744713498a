//! A bucket from which somebody with a stolen key deleted everything: what is seen then, and how all of it comes back. With
//! object lock he cannot delete for good, and with versions alone he can hide.

use crate::compare;
use crate::home::Home;
use crate::servers::{Access, Admin, Credentials, Garage, Moto};
use crate::tree;
use std::path::Path;

/// The newest snapshot as of a time is exactly this tree, which was at `source` then.
#[track_caller]
fn expect_exact(home: &Home, restore: &str, source: &Path, original: &Path) {
    let target = home.path("back");
    let _ = std::fs::remove_dir_all(&target);
    home.cairn(&format!("restore latest {restore} --target {}", target.display())).expect(0);
    let restored = target.join(source.strip_prefix("/").unwrap());
    assert_eq!(compare::differences(original, &restored), Vec::<String>::new(), "{restore}");
    assert!(compare::describe(original).len() > 30);
}

/// From a backup into a locked bucket, through the deletion of every key, to an exact restore. Returns a count line.
fn everything_comes_back(access: &Access, bucket: &str) -> String {
    let admin = Admin::new(access);
    admin.create_bucket(access, bucket, true);
    admin.set_default_retention(bucket, 1);
    let repository = format!("--repo s3://lab/{bucket}/web");
    let home = Home::with_site(access, "lab");
    let (source, first) = (home.path("src"), home.path("first"));
    tree::make(&source, 60, &mut tree::Numbers(8));
    home.cairn(&format!("init {repository}")).expect(0);
    home.cairn(&format!("backup {repository} src")).expect(0);
    home.sh("cp -a src first", &[]).expect(0);
    let one = admin.moment(bucket);
    tree::change(&source, &mut tree::Numbers(9));
    home.cairn(&format!("backup {repository} src")).expect(0);
    let two = admin.moment(bucket);
    assert_ne!(compare::differences(&first, &source), Vec::<String>::new());
    expect_exact(&home, &repository, &source, &source);

    // What is said of it.
    home.cairn(&format!("residency check {repository}")).expect(0).says("verdict: data would be sent");
    let shown = home.cairn(&format!("residency show {repository}")).expect(0);
    shown.says("old versions: kept, as the store states").says("locks new objects for 1 day").says("GOVERNANCE");
    let shown = home.cairn(&format!("residency show --json {repository}")).expect(0).object();
    assert_eq!(shown["protection"]["default_retention"]["days"], 1, "{shown}");

    // If it is the snapshots alone that are hidden, or their trees, that is said too.
    for (folder, exit) in [("/snapshots/", 1), ("/index/", 22)] {
        let part: Vec<_> = admin.versions(bucket, "web/d/").into_iter().filter(|v| v.key.contains(folder)).collect();
        part.iter().for_each(|version| admin.delete(bucket, &version.key, None).unwrap());
        let ended = home.cairn(&format!("restore latest --target back --no-cache {repository}")).expect(exit);
        ended.says("--at TIME");
        let markers = admin.versions(bucket, "web/d/").into_iter().filter(|version| version.is_marker);
        markers.for_each(|marker| admin.delete(bucket, &marker.key, Some(&marker.id)).unwrap());
    }
    expect_exact(&home, &repository, &source, &source);

    // Nothing can be deleted for good, and all of it can be hidden.
    let versions = admin.versions(bucket, "web/");
    let data: Vec<_> = versions.iter().filter(|version| !version.is_marker).collect();
    for version in &data {
        let refused = admin.delete(bucket, &version.key, Some(&version.id));
        assert_eq!(refused, Err("AccessDenied".to_owned()), "{version:?}");
    }
    let hidden = admin.delete_all(bucket);
    let before = admin.versions(bucket, "").len();
    for command in ["restore latest --target back", "snapshots", "backup src"] {
        let gone = home.cairn(&format!("{command} {repository}")).expect(10);
        gone.says("the repository that was here is gone").says("hint: was it deleted?").says("--at TIME");
    }
    let other = Home::with_site(access, "lab");
    other.cairn(&format!("snapshots {repository}")).expect(10).says("no repository").says("--at TIME");

    // It is all there as of a time.
    home.cairn(&format!("snapshots {repository} --at {one}")).expect(0).says("1 snapshot in").says(" as of ");
    home.cairn(&format!("snapshots {repository} --at {two}")).expect(0).says("2 snapshots in");
    expect_exact(&home, &format!("{repository} --at {two}"), &source, &source);
    expect_exact(&home, &format!("{repository} --at {one}"), &source, &first);
    expect_exact(&home, &format!("{repository} --at {two} --no-cache"), &source, &source);
    home.cairn(&format!("ls latest --recursive {repository} --at {one}")).expect(0).says("dir/b");
    home.cairn(&format!("check --read-data {repository} --at {two}")).expect(0).says("no damage found");
    let early = home.cairn(&format!("snapshots {repository} --at 2001-01-01")).expect(10);
    early.says("as of 2001-01-01T00:00:00Z").says("it was not there at that time");

    // On a machine that has nothing but paper.
    let paper = home.take_recovery_key();
    let bare = Home::new(access.credentials());
    let place = format!("--endpoint {} --region {} --bucket {bucket} --prefix web", access.endpoint(), access.region());
    let recover = format!("recover --recovery-key-file {} {place}", paper.display());
    bare.cairn(&recover).expect(10).says("--at TIME");
    let next = bare.cairn(&format!("{recover} --at {two}")).expect(0);
    next.says(&format!("s3://lab/{bucket}/web --at {}", two.trim_end_matches('Z')));
    expect_exact(&bare, &format!("{repository} --at {two}"), &source, &source);

    assert_eq!(admin.versions(bucket, "").len(), before, "reading the past has changed nothing");
    let entries = compare::describe(&source).len();
    format!(
        "{} versions not deleted, {hidden} keys hidden, {entries} entries restored exactly, 4 times as of a time",
        data.len()
    )
}

#[test]
fn moto_gives_back_what_was_deleted() {
    let moto = Moto::start();
    println!("counts: moto: {}", everything_comes_back(&moto, "locked"));
}

#[test]
#[ignore = "needs Ceph: scripts/test-ceph"]
fn ceph_gives_back_what_was_deleted() {
    let ceph = crate::servers::ceph();
    println!("counts: Ceph: {}", everything_comes_back(&ceph, "locked-site"));
}

/// What Ceph states about a bucket is read as what it is: a location is a code that was declared, and empty answers about
/// copies, acceleration and logs are no statements but where the software is known to mean none.
#[test]
#[ignore = "needs Ceph: scripts/test-ceph"]
fn ceph_states_what_it_knows() {
    let ceph = crate::servers::ceph();
    Admin::new(&ceph).create_bucket(&ceph, "stated", false);
    let home = Home::with_site(&ceph, "lab");
    let object = home.cairn("residency check lab/stated --json").expect(0).object();
    let outcome = |check: &str| {
        let finding = object["findings"].as_array().unwrap().iter().find(|finding| finding["check"] == check);
        finding.unwrap()["outcome"].as_str().unwrap().to_owned()
    };
    assert_eq!((outcome("location"), object["sending"].as_str()), ("passed".into(), Some("allowed")), "{object:#}");
    assert_eq!((outcome("replication"), outcome("lifecycle")), ("passed".into(), "passed".into()), "{object:#}");
    // Another region than the declared one.
    home.cairn(&format!(
        "residency declare lab --endpoint {} --region us-east-1 --province QC --operator Coop --address Rue --city \
         Here --signed-by A.Roy --replace",
        ceph.endpoint()
    ))
    .expect(0);
    home.cairn("residency check lab/stated").expect(20).says("ca-central-1");
}

/// The printed permissions for reading are enough for the past, those for a backup are not, and then it is said.
#[test]
fn the_past_needs_permissions_of_its_own() {
    let moto = Moto::start();
    let admin = Admin::new(&moto);
    admin.set_versions(moto.bucket(), true);
    let repository = format!("--repo s3://lab/{}", moto.bucket());
    let home = Home::with_site(&moto, "lab");
    home.cairn(&format!("backup -q --init {repository} src")).expect(0);
    let moment = admin.moment(moto.bucket());
    admin.delete_all(moto.bucket());
    let printed = |flags: &str| home.cairn(&format!("residency policy lab/{} {flags}", moto.bucket())).expect(0).out;
    let (writer, reader) =
        (moto.create_user("writer", &printed("")), moto.create_user("reader", &printed("--read-only")));
    moto.enforce_policies();
    let mut limited = Home::with_site(&moto, "lab");
    let use_key =
        |home: &mut Home, key: &Credentials| key.variables().iter().for_each(|(name, value)| home.set(name, value));
    use_key(&mut limited, &writer);
    let paper = home.take_recovery_key();
    let recover = format!("recover --recovery-key-file {} {repository} --at {moment}", paper.display());
    let denied = limited.cairn(&recover).expect(1).says("s3:ListBucketVersions");
    denied.says("hint: `cairn residency policy SITE/BUCKET --read-only`");
    use_key(&mut limited, &reader);
    limited.cairn(&recover).expect(0);
    let target = limited.path("back");
    limited.cairn(&format!("restore latest {repository} --at {moment} --target {}", target.display())).expect(0);
    let source = home.path("src");
    let restored = target.join(source.strip_prefix("/").unwrap());
    assert_eq!(compare::differences(&source, &restored), Vec::<String>::new());
}

#[test]
fn where_there_is_no_past_that_is_said() {
    let garage = Garage::start("ca-central-1");
    let repository = format!("--repo s3://garage/{}", garage.bucket());
    let home = Home::with_site(&garage, "garage");
    home.cairn(&format!("backup -q --init {repository} src")).expect(0);
    for command in ["snapshots", "ls latest", "check", "restore latest --target back"] {
        let none = home.cairn(&format!("{command} {repository} --at 2026-01-01")).expect(1);
        none.says("keeps no old versions").says("hint: ").says("as of 2026-01-01T00:00:00Z");
    }
    home.cairn(&format!("residency show {repository}")).expect(0).says("old versions: none, as the store states");
    home.expect_restore(&repository["--repo ".len()..], &home);
}
