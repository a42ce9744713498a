//! A store of one's own, as a declared site.

use crate::home::Home;
use crate::servers::Garage;

/// From the declaration to a restore on a machine that has nothing but paper and a key that can only read.
#[test]
fn a_declared_site_from_init_to_recovery() {
    let garage = Garage::start("ca-central-1");
    let repository = format!("s3://garage/{}/web", garage.bucket());
    let mut home = Home::with_site(&garage, "garage");
    home.cairn(&format!("snapshots --repo {repository}")).expect(10);

    let made = home.cairn(&format!("init --repo {repository}")).expect(0);
    let made = made.says("data goes to").says("declared by A.Roy on").says("checks: ").says("0 failed");
    assert!(!made.err.contains("window mode") || made.out.contains("created"), "{}", made.report());
    home.cairn(&format!("init --repo {repository}")).expect(1).says("a repository is there already");
    home.cairn(&format!("backup --repo {repository} src")).expect(0).says("2 new");
    home.cairn(&format!("backup --repo {repository} src")).expect(0).says("2 unmodified");
    home.expect_restore(&repository, &home);
    home.cairn(&format!("check --read-data --repo {repository}")).expect(0);
    home.cairn(&format!("snapshots --repo {repository}")).expect(0).says("2 snapshots");

    // What was found out is shown.
    home.cairn(&format!("residency check --repo {repository}")).expect(0).says("verdict: data would be sent");
    let here = format!("garage/{}", garage.bucket());
    home.cairn(&format!("residency check {here}")).expect(0).says("location");
    let object = home.cairn(&format!("residency check {here} --json")).expect(0).object();
    assert_eq!(object["sending"], "allowed");
    let english = home.cairn(&format!("residency show --repo {repository}")).expect(0);
    let english = english.says("verdict before this one: allowed").says("set in the environment and ignored: none");
    let french = home.cairn(&format!("residency show --repo {repository} --language fr")).expect(0);
    assert_ne!(english.out, french.out);

    // The machine is gone. What is left: paper, and a key that reads.
    let paper = home.take_recovery_key();
    let mut other = Home::new(&garage.reader(garage.bucket()));
    let place = format!("--endpoint {} --bucket {} --prefix web", garage.endpoint(), garage.bucket());
    let recover = format!("recover --recovery-key-file {} {place}", paper.display());
    let signed_elsewhere = format!("{recover} --region ca-central-1");
    other.cairn(&signed_elsewhere).expect(0).says("declaration of site garage installed").says(&repository);
    let ended = other.expect_restore(&repository, &home);
    assert!(ended.err.is_empty(), "{}", ended.report());
    other.cairn(&format!("check --repo {repository}")).expect(0);
    // With a key that can write it can go on where the other one was.
    for (name, value) in garage.credentials().variables() {
        other.set(name, value);
    }
    std::fs::create_dir(other.path("src")).unwrap();
    std::fs::write(other.path("src/c"), "more").unwrap();
    other.cairn(&format!("backup --repo {repository} src")).expect(0).says("1 new");

    // Settings of other programs move nothing.
    for (name, value) in [
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:1"),
        ("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1"),
        ("AWS_REGION", "us-east-1"),
        ("HTTP_PROXY", "http://127.0.0.1:1"),
        ("http_proxy", "http://127.0.0.1:1"),
    ] {
        home.set(name, value);
    }
    let first = home.cairn(&format!("backup --repo {repository} src")).expect(0);
    let first = first.says("AWS_ENDPOINT_URL, AWS_ENDPOINT_URL_S3, AWS_REGION, HTTP_PROXY, http_proxy set and ignored");
    let second = home.cairn(&format!("backup --repo {repository} src")).expect(0);
    assert!(!second.err.contains("ignored"), "said twice: {} {}", first.report(), second.report());
}

/// The pin is the repository's: a narrower one stops sending from the next run on, and never a restore.
#[test]
fn a_pin_that_no_longer_covers_the_site() {
    let garage = Garage::start("garage");
    let repository = format!("s3://garage/{}", garage.bucket());
    let home = Home::with_site(&garage, "garage");
    home.cairn(&format!("init --pin ON --repo {repository}")).expect(20).says("ON");
    assert!(!home.path("state/keys").exists(), "a refusal left keys behind");
    home.cairn(&format!("backup -q --init --repo {repository} src")).expect(0);
    home.cairn(&format!("residency pin --narrow ON --repo {repository}")).expect(0).says("nothing more will be sent");
    home.cairn(&format!("backup --repo {repository} src")).expect(20).says("hint: ");
    home.cairn(&format!("backup --json --repo {repository} src")).expect(20).says("residency-refused");
    home.expect_restore(&repository, &home);
    home.cairn(&format!("check --repo {repository}")).expect(0);
    home.cairn(&format!("residency pin --widen QC --signed-by B --repo {repository}")).expect(0);
    home.cairn(&format!("backup --repo {repository} src")).expect(0);

    // Declared anew for another province, without a word to the repository: the pin holds.
    home.declare(&garage, "garage", "AB").expect(0);
    home.cairn(&format!("backup --repo {repository} src")).expect(20);
    home.declare(&garage, "garage", "QC").expect(0);
    home.cairn(&format!("backup --repo {repository} src")).expect(0);
}

/// A wrong key for the store, a bucket that is not there, a server that does not answer: said, and no verdict of any kind.
#[test]
fn what_cannot_be_asked_is_not_sent_to() {
    let mut garage = Garage::start("garage");
    let home = Home::with_site(&garage, "garage");
    home.cairn("init --repo s3://garage/nowhere").expect(10);
    let repository = format!("s3://garage/{}", garage.bucket());
    home.cairn(&format!("backup -q --init --repo {repository} src")).expect(0);
    let mut stranger = Home::with_site(&garage, "garage");
    stranger.set("AWS_SECRET_ACCESS_KEY", "wrong");
    let refused = stranger.cairn(&format!("snapshots --repo {repository}"));
    assert_ne!(refused.code, Some(0), "{}", refused.report());
    garage.stop();
    let silent = home.cairn(&format!("backup --repo {repository} src"));
    assert!(matches!(silent.code, Some(1 | 23)), "{}", silent.report());
}
