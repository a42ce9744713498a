//! Two sites: a repository, its replica at another store, and what a restore does when the first one is switched off.

use crate::home::Home;
use crate::servers::{Access, Garage, Moto};

#[test]
fn the_first_site_is_switched_off() {
    let (mut first, second) = (Garage::start("ca-central-1"), Garage::start("ca-west-1"));
    let repository = format!("s3://first/{}", first.bucket());
    let replica = format!("s3://second/{}/copy", second.bucket());
    let mut home = Home::with_site(&first, "first");
    home.declare(&second, "second", "AB").expect(0);
    home.cairn(&format!("backup -q --init --repo {repository} src")).expect(0);

    // Each store has a key of its own, in a profile.
    let profile = |name: &str, access: &Access| {
        let [(_, id), (_, secret)] = access.credentials().variables();
        format!("[{name}]\naws_access_key_id = {id}\naws_secret_access_key = {secret}\n")
    };
    std::fs::write(home.path("aws"), profile("first", &first) + &profile("second", &second)).unwrap();
    home.unset("AWS_SECRET_ACCESS_KEY");
    home.unset("AWS_ACCESS_KEY_ID");
    home.set("AWS_SHARED_CREDENTIALS_FILE", &home.path("aws").display().to_string());
    home.set("AWS_PROFILE", "second");
    let init = format!("init --replica-of {repository} --repo {replica}");
    let denied = home.cairn(&init);
    assert_ne!(denied.code, Some(0), "{}", denied.report());
    home.cairn(&format!("{init} --from-aws-profile first")).expect(0).says("data goes to").says("(AB)");
    home.set("AWS_PROFILE", "first");
    let replicate = format!("replicate --repo {repository} --to {replica} --to-aws-profile second");
    home.cairn(&replicate).expect(0).says("the replica is complete").says("1 snapshot or checkpoint new");
    home.cairn(&replicate).expect(0).says("0 objects copied");

    // A newer snapshot that the replica does not have yet.
    std::fs::write(home.path("src/c"), "newer").unwrap();
    let before = home.cairn(&format!("snapshots --json --repo {repository}")).expect(0).object();
    let id = before[0]["id"].as_str().unwrap().to_owned();
    home.cairn(&format!("backup -q --repo {repository} src")).expect(0);

    first.stop();
    let target = home.path("by-id").display().to_string();
    let restored = home.cairn(&format!("restore {id} --repo {repository} --target {target}")).expect(0);
    restored.says("reading snapshot").says(&replica);
    let latest = home.cairn(&format!("restore latest --repo {repository} --target {target}")).expect(1);
    let latest = latest.says("the last one that this machine has heard of").says("latest --site second");
    assert!(!latest.err.contains("reading snapshot"), "{}", latest.report());
    home.cairn(&format!("restore latest --site second --repo {repository} --target {target}")).expect(0);
    assert!(!home.path("by-id").join(home.path("src/c").strip_prefix("/").unwrap()).exists());
    home.cairn(&format!("check --repo {repository}")).expect(1);
    home.cairn(&format!("check --read-data --site second --repo {repository}")).expect(0);

    // With nothing but paper, from the replica alone.
    let paper = home.take_recovery_key();
    let bare = Home::new(&second.reader(second.bucket()));
    let place =
        format!("--endpoint {} --bucket {} --prefix copy --region ca-west-1", second.endpoint(), second.bucket());
    let recover = format!("recover --recovery-key-file {} {place}", paper.display());
    bare.cairn(&recover).expect(0).says("declaration of site second installed").says(&replica);
    std::fs::remove_file(home.path("src/c")).unwrap();
    bare.expect_restore(&replica, &home);
}

/// The gate stands before a replica as before a repository.
#[test]
fn a_replica_elsewhere_is_refused() {
    let (garage, moto) = (Garage::start("ca-central-1"), Moto::start());
    let repository = format!("s3://first/{}", garage.bucket());
    let home = Home::with_site(&garage, "first");
    home.cairn(&format!("backup -q --init --repo {repository} src")).expect(0);
    home.declare(&moto, "there", "QC").expect(0);
    moto.create_bucket("foreign", "us-east-1");
    for place in ["s3://there/foreign", "s3://aws:us-east-1/x", "s3://nowhere/x"] {
        home.cairn(&format!("init --replica-of {repository} --repo {place}")).expect(20).says("hint: ");
        home.cairn(&format!("replicate --repo {repository} --to {place}")).expect(20).says("hint: ");
    }
    let code = "print(s3.list_objects_v2(Bucket=a[0]).get('KeyCount'))";
    assert_eq!(moto.boto3("ca-central-1", code, &["foreign"]), "0");
    // At a place that would do, but not for this repository.
    home.cairn(&format!("residency pin --narrow QC --repo {repository}")).expect(0);
    let second = Garage::start("ca-west-1");
    home.declare(&second, "second", "AB").expect(0);
    let init = format!("init --replica-of {repository} --repo s3://second/{}", second.bucket());
    home.cairn(&init).expect(20).says("QC");
    home.cairn(&format!("{init} --pin AB")).expect(20).says("--widen-pin");
}
