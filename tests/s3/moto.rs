//! What AWS can do to a bucket, and what that stops: sending, and never reading.

use crate::home::{Ended, Home};
use crate::servers::Moto;

fn objects(moto: &Moto, bucket: &str) -> usize {
    let code = "print(s3.list_objects_v2(Bucket=a[0]).get('KeyCount'))";
    moto.boto3("ca-central-1", code, &[bucket]).parse().unwrap()
}

/// Sending is refused with what to do, nothing arrives, and what is there can be restored and checked.
#[track_caller]
fn expect_read_only(home: &Home, moto: &Moto, bucket: &str) -> Ended {
    let repository = format!("s3://moto/{bucket}");
    let before = objects(moto, bucket);
    std::fs::write(home.path("src/new"), "new").unwrap();
    let refused = home.cairn(&format!("backup --repo {repository} src")).expect(20).says("hint: ");
    home.cairn(&format!("residency check --repo {repository}")).expect(20).says("failed");
    assert_eq!(objects(moto, bucket), before, "something was sent: {}", refused.report());
    std::fs::remove_file(home.path("src/new")).unwrap();
    home.expect_restore(&repository, home);
    home.cairn(&format!("check --repo {repository}")).expect(0);
    refused
}

fn home_with_backup(moto: &Moto, bucket: &str) -> Home {
    let home = Home::with_site(moto, "moto");
    home.cairn(&format!("backup -q --init --repo s3://moto/{bucket} src")).expect(0);
    home
}

/// As AWS does it over two runs: the name stays, the region does not.
fn move_bucket(moto: &Moto, bucket: &str, region: &str) {
    let code = "import boto3\n\
        kept = {o['Key']: s3.get_object(Bucket=a[0], Key=o['Key'])['Body'].read() \
                for o in s3.list_objects_v2(Bucket=a[0]).get('Contents', [])}\n\
        for key in kept: s3.delete_object(Bucket=a[0], Key=key)\n\
        s3.delete_bucket(Bucket=a[0])\n\
        there = boto3.client('s3', region_name=a[1], endpoint_url=endpoint)\n\
        place = {} if a[1] == 'us-east-1' else {'CreateBucketConfiguration': {'LocationConstraint': a[1]}}\n\
        there.create_bucket(Bucket=a[0], **place)\n\
        for key, body in kept.items(): there.put_object(Bucket=a[0], Key=key, Body=body)\n";
    moto.boto3("ca-central-1", code, &[bucket, region]);
}

#[test]
fn a_bucket_abroad_is_refused_and_leaves_nothing_behind() {
    let moto = Moto::start();
    for region in ["us-east-1", "eu-west-1"] {
        let bucket = format!("abroad-{region}");
        moto.create_bucket(&bucket, region);
        let home = Home::with_site(&moto, "moto");
        let refused = home.cairn(&format!("init --repo s3://moto/{bucket}")).expect(20).says("hint: ");
        assert!(refused.err.contains(region), "{}", refused.report());
        assert_eq!(objects(&moto, &bucket), 0);
        assert!(!home.path("state/keys").exists(), "a refusal left keys behind");
        home.cairn(&format!("backup --init --repo s3://moto/{bucket} src")).expect(20);
        assert_eq!(objects(&moto, &bucket), 0);
    }
}

#[test]
fn a_bucket_that_moves_between_two_runs() {
    let moto = Moto::start();
    let home = home_with_backup(&moto, moto.bucket());
    let repository = format!("s3://moto/{}", moto.bucket());
    home.cairn(&format!("backup --repo {repository} src")).expect(0);
    move_bucket(&moto, moto.bucket(), "us-east-1");
    expect_read_only(&home, &moto, moto.bucket());
    move_bucket(&moto, moto.bucket(), "ca-central-1");
    home.cairn(&format!("backup --repo {repository} src")).expect(0);
}

#[test]
fn copies_that_the_operator_makes_abroad() {
    let moto = Moto::start();
    moto.create_bucket("copies-abroad", "us-east-1");
    let home = home_with_backup(&moto, moto.bucket());
    moto.put_replication(moto.bucket(), "copies-abroad");
    let refused = expect_read_only(&home, &moto, moto.bucket());
    assert!(refused.err.contains("copies-abroad"), "{}", refused.report());
}

#[test]
fn acceleration_and_expiry() {
    let moto = Moto::start();
    let home = home_with_backup(&moto, moto.bucket());
    moto.set_acceleration(moto.bucket(), true);
    expect_read_only(&home, &moto, moto.bucket());
    moto.set_acceleration(moto.bucket(), false);
    home.cairn(&format!("backup --repo s3://moto/{} src", moto.bucket())).expect(0);
    moto.set_expiration(moto.bucket(), 30);
    expect_read_only(&home, &moto, moto.bucket());
}

/// The permissions that cairn prints are enough, and those for reading are not enough to write.
#[test]
fn the_printed_permissions_are_enough() {
    let moto = Moto::start();
    let repository = format!("s3://moto/{}", moto.bucket());
    let home = home_with_backup(&moto, moto.bucket());
    let policy = home.cairn(&format!("residency policy moto/{}", moto.bucket())).expect(0).out;
    let key = moto.enforce(&policy);
    let mut limited = Home::with_site(&moto, "moto");
    for (name, value) in key.variables() {
        limited.set(name, value);
    }
    let paper = home.take_recovery_key();
    limited.cairn(&format!("recover --recovery-key-file {} --repo {repository}", paper.display())).expect(0);
    limited.cairn(&format!("residency check --repo {repository}")).expect(0);
    limited.cairn(&format!("backup --repo {repository} src")).expect(0);
    limited.expect_restore(&repository, &limited);
}

/// A newer policy that was taken away from the store does not make the older one count again.
#[test]
fn a_policy_that_was_taken_away() {
    let moto = Moto::start();
    let repository = format!("s3://moto/{}", moto.bucket());
    let home = home_with_backup(&moto, moto.bucket());
    home.cairn(&format!("residency pin --narrow QC,ON --repo {repository}")).expect(0);
    home.cairn(&format!("backup --repo {repository} src")).expect(0);
    moto.boto3("ca-central-1", "s3.delete_object(Bucket=a[0], Key='policy/1')", &[moto.bucket()]);
    home.cairn(&format!("backup --repo {repository} src")).expect(20).says("policy 1 was there");
    home.expect_restore(&repository, &home);
}
