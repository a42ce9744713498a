//! S3 storage held to the contract by real servers, and what only a network store can do wrong: capabilities that are
//! claimed and not there, buckets that are elsewhere or move, listings of many pages.
//!
//! moto creates conditionally, as AWS does, and has buckets of every region; Garage has neither, so there the race of
//! several creators is left out: with it nobody else's object is overwritten only if nobody else creates it at that moment.

use crate::servers::{Access, Garage, Moto};
use crate::site::{Both, Site};
use crate::suite::{self, All, MOTO_PAGE, Subject, name};
use cairn::object::Encoded;
use cairn::residency::{Check, Observed, Outcome, Sending, Verdict};
use cairn::storage::s3::CreateMode;
use cairn::storage::{ErrorKind, Fetch as _, Publish as _, Published, Remove as _};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// A part of a bucket that nobody else uses.
struct Part {
    site: Arc<Site>,
    bucket: String,
    prefix: String,
    both: Both,
    page: usize,
}

impl Subject for Part {
    fn store(&self) -> &dyn All {
        &self.both
    }

    fn reopened(&self) -> Box<dyn All> {
        Box::new(self.site.open(&self.bucket, &self.prefix))
    }

    fn page(&self) -> usize {
        self.page
    }

    fn leftovers(&self) -> usize {
        self.both.storage.list(&name("tmp")).unwrap().len()
    }
}

/// Runs the suite, each test in parts of the bucket of its own. The first two are the bucket itself and one deep in it.
fn hold_to_contract(access: &Access, page: usize, without: &[&str]) -> usize {
    let count = AtomicUsize::new(0);
    let site = Arc::new(Site::new(access));
    let make = || -> Box<dyn Subject> {
        let prefix = match count.fetch_add(1, Ordering::SeqCst) {
            0 => "deep/in/the.bucket".to_owned(),
            number => format!("part-{number}"),
        };
        let both = site.open(access.bucket(), &prefix);
        Box::new(Part { site: site.clone(), bucket: access.bucket().into(), prefix, both, page })
    };
    let tests = suite::TESTS.into_iter().filter(|(name, _)| !without.contains(name));
    tests.map(|(_, test)| test(&make)).count()
}

#[test]
fn moto_keeps_the_contract() {
    assert_eq!(hold_to_contract(&Moto::start(), MOTO_PAGE, &[]), suite::TESTS.len());
}

#[test]
fn garage_keeps_the_contract_but_for_races() {
    let run = hold_to_contract(&Garage::start("ca-central-1"), 1000, &["s3_one_of_many_creates"]);
    assert_eq!(run, suite::TESTS.len() - 1);
}

#[test]
fn conditional_creation_is_probed_and_not_believed() {
    let (moto, garage) = (Moto::start(), Garage::start("ca-west-1"));
    let cases: [(&Access, CreateMode); 2] = [(&moto, CreateMode::Conditional), (&garage, CreateMode::Window)];
    for (access, expected) in cases {
        let site = Site::new(access);
        let both = site.open(access.bucket(), "p");
        let probe = both.sender.probe(Some(&both.storage)).unwrap();
        assert_eq!((probe.create, probe.left.len()), (expected, 0));
        assert_eq!(both.list(&name("tmp")).unwrap(), []);
        let probe = both.sender.probe(None).unwrap();
        assert_eq!((probe.create, probe.left.len()), (expected, 3), "without leave to remove they are named");
        assert_eq!(both.list(&name("tmp")).unwrap().len(), 3);
    }
}

/// Every mode keeps what is there, on a server that helps and on one that does not.
#[test]
fn what_is_there_stays_in_every_mode() {
    let (moto, garage) = (Moto::start(), Garage::start("ca-central-1"));
    let all: [(&Access, &[CreateMode]); 2] = [
        (&moto, &[CreateMode::Unknown, CreateMode::Conditional, CreateMode::Window]),
        (&garage, &[CreateMode::Unknown, CreateMode::Window]),
    ];
    for (access, modes) in all {
        for mode in modes {
            let mut site = Site::new(access);
            site.options.create = *mode;
            let both = site.open(access.bucket(), &format!("mode-{mode:?}").to_lowercase());
            let at = name("d/x/snapshots/1");
            assert_eq!(both.put_new(&at, Encoded::new(b"first")).unwrap(), Published::Created);
            assert_eq!(both.put_new(&at, Encoded::new(b"second")).unwrap(), Published::Existed, "{mode:?}");
            assert_eq!(both.read(&at, 100).unwrap(), b"first");
        }
    }
}

#[test]
fn a_bucket_that_is_not_there_is_not_an_empty_one() {
    for access in [&*Moto::start() as &Access, &*Garage::start("ca-central-1")] {
        let site = Site::new(access);
        let storage = site.reach("not-there", "p");
        let mut byte = [0];
        for error in [
            storage.check_bucket().unwrap_err(),
            storage.read(&name("d/x"), 10).unwrap_err(),
            storage.read_range(&name("d/x"), 0, &mut byte).unwrap_err(),
            storage.size(&name("d/x")).unwrap_err(),
            storage.list(&name("d")).unwrap_err(),
            storage.remove(&name("d/x")).unwrap_err(),
        ] {
            assert_eq!(error.kind, ErrorKind::StoreMissing, "{error}");
        }
        site.reach(access.bucket(), "").check_bucket().unwrap();
    }
}

#[test]
fn keys_of_others_are_skipped_and_stay() {
    let moto = Moto::start();
    let both = Site::new(&moto).open(moto.bucket(), "r");
    both.put_new(&name("d/x/1"), Encoded::new(b"x")).unwrap();
    let keys =
        ["r/d/x/UPPER", "r/d/x/with space", "r/d/x/folder/", "r/d/.hidden", "r/d//twice", "other/d/x/2", "r2/d/x/3"];
    for key in keys {
        moto.boto3(moto.region(), "s3.put_object(Bucket=a[0], Key=a[1], Body=b'x')", &[moto.bucket(), key]);
    }
    let listed: Vec<String> = both.list(&name("d")).unwrap().into_iter().map(|one| one.name.to_string()).collect();
    assert_eq!(listed, ["d/x/1"]);
}

fn outcome(verdict: &Verdict, check: Check) -> Outcome {
    verdict.findings.iter().find(|finding| finding.check == check).unwrap().outcome
}

#[test]
fn what_garage_states_is_enough_and_the_rest_is_not_offered() {
    let garage = Garage::start("ca-central-1");
    let site = Site::new(&garage);
    let observed = site.reach(garage.bucket(), "").observe();
    assert_eq!(observed.location, Observed::Stated("ca-central-1".into()));
    assert!(matches!(observed.region_header, Observed::NotOffered(_)), "{:?}", observed.region_header);
    assert!(matches!(observed.replication, Observed::NotOffered(_)), "{:?}", observed.replication);
    assert!(matches!(observed.acceleration, Observed::NotOffered(_)), "{:?}", observed.acceleration);
    assert!(matches!(observed.logging, Observed::NotOffered(_)), "{:?}", observed.logging);
    assert_eq!(observed.lifecycle, Observed::Stated(Vec::new()), "it says that there is none");
    assert_eq!(observed.hints, Vec::<String>::new());
    let (verdict, resident) = site.judge(garage.bucket(), &observed);
    assert_eq!(verdict.sending(), Sending::Allowed, "{verdict:#?}");
    assert!(resident.is_some());
    assert_eq!(outcome(&verdict, Check::Replication), Outcome::Unverified);
}

#[test]
fn buckets_that_are_or_lead_elsewhere_are_read_and_not_sent_to() {
    let moto = Moto::start();
    for (bucket, region) in [
        ("plain", "ca-central-1"),
        ("abroad", "us-east-1"),
        ("copied", "ca-central-1"),
        ("fast", "ca-central-1"),
        ("short-lived", "ca-central-1"),
        ("copies", "us-east-1"),
    ] {
        moto.create_bucket(bucket, region);
        let put = "s3.put_object(Bucket=a[0], Key='d/x/1', Body=b'kept')";
        moto.boto3(region, put, &[bucket]);
    }
    moto.put_replication("copied", "copies");
    moto.set_acceleration("fast", true);
    moto.set_expiration("short-lived", 30);
    let site = Site::new(&moto);
    for (bucket, failed) in [
        ("plain", None),
        ("abroad", Some(Check::Location)),
        ("copied", Some(Check::Replication)),
        ("fast", Some(Check::Acceleration)),
        ("short-lived", Some(Check::Lifecycle)),
    ] {
        let storage = site.reach(bucket, "");
        let observed = storage.observe();
        let (verdict, resident) = site.judge(bucket, &observed);
        assert_eq!(resident.is_none(), failed.is_some(), "{bucket}: {verdict:#?}");
        if let Some(check) = failed {
            assert_eq!((outcome(&verdict, check), verdict.sending()), (Outcome::Failed, Sending::Refused), "{bucket}");
        }
        assert_eq!(storage.read(&name("d/x/1"), 100).unwrap(), b"kept", "{bucket}");
        assert_eq!(storage.list(&name("d")).unwrap().len(), 1, "{bucket}");
        let hosts: Vec<String> = storage.traffic().hosts.into_keys().collect();
        assert_eq!(hosts, [moto.address().to_string()], "{bucket}: nobody else was asked");
    }
    let copied = site.reach("copied", "").observe();
    let Observed::Stated(destinations) = copied.replication else { panic!("{copied:?}") };
    assert_eq!(destinations[0].bucket, "arn:aws:s3:::copies");
    assert_eq!(destinations[0].region, Observed::Stated("us-east-1".into()));
    assert_eq!(copied.hints, Vec::<String>::new(), "where another bucket is says nothing about this one");
}

#[test]
fn a_verdict_that_is_too_old_is_renewed_or_ends_sending() {
    let moto = Moto::start();
    moto.create_bucket("moving", "ca-central-1");
    moto.create_bucket("copies", "us-east-1");
    let site = Site::new(&moto);
    let both = site.open("moving", "");
    both.put_new(&name("d/x/1"), Encoded::new(b"x")).unwrap();
    let first = both.sender.verdict().decided;
    site.clock.0.store(16 * 60, Ordering::SeqCst);
    both.put_new(&name("d/x/2"), Encoded::new(b"x")).unwrap();
    assert!(both.sender.verdict().decided > first, "it was asked again");

    moto.put_replication("moving", "copies");
    both.put_new(&name("d/x/3"), Encoded::new(b"x")).unwrap();
    site.clock.0.store(32 * 60, Ordering::SeqCst);
    let before = both.storage.traffic().total();
    let error = both.put_new(&name("d/x/4"), Encoded::new(b"x")).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Refused, "{error}");
    assert_eq!(both.storage.traffic().total().sent_bytes, before.sent_bytes, "not a byte of it was sent");
    // The clock does not bring it back, a new verdict would have to.
    site.clock.0.store(17 * 60, Ordering::SeqCst);
    assert_eq!(both.put_new(&name("d/x/4"), Encoded::new(b"x")).unwrap_err().kind, ErrorKind::Refused);
    assert_eq!(both.read(&name("d/x/3"), 10).unwrap(), b"x");
    both.remove(&name("d/x/3")).unwrap();
    assert_eq!(both.size(&name("d/x/3")).unwrap_err().kind, ErrorKind::NotFound);
}

#[test]
fn a_verdict_opens_its_own_bucket_only() {
    let moto = Moto::start();
    moto.create_bucket("other", "ca-central-1");
    let site = Site::new(&moto);
    let (_, resident) = site.judge(moto.bucket(), &site.reach(moto.bucket(), "").observe());
    let error = site.reach("other", "").sender(resident.unwrap(), site.clock.clone()).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Refused, "{error}");
}

#[test]
fn the_expected_owner_is_asked_for() {
    let moto = Moto::start();
    let mut site = Site::new(&moto);
    assert_eq!(site.reach(moto.bucket(), "").observe().owner, Observed::NotAsked);
    site.options.expected_owner = Some("123456789012".into());
    // moto accepts any account, so its consent says nothing.
    let owner = site.reach(moto.bucket(), "").observe().owner;
    assert!(matches!(owner, Observed::NotOffered(_)), "{owner:?}");
}

#[test]
fn one_after_the_other_when_the_limit_is_low() {
    let moto = Moto::start();
    let mut site = Site::new(&moto);
    site.options.upload_limit = Some(8 << 20);
    site.options.download_limit = Some(8 << 20);
    let both = site.open(moto.bucket(), "");
    let bytes: Vec<u8> = (0..1_000_000u32).map(|i| (i % 251) as u8).collect();
    let staged = (0..4).map(|i| suite::stage(&both, &format!("d/x/packs/{i}"), &bytes)).collect();
    assert_eq!(both.publish_batch(staged).unwrap(), [Published::Created; 4]);
    for i in 0..4 {
        assert!(both.read(&name(&format!("d/x/packs/{i}")), 1 << 20).unwrap() == bytes, "{i}");
    }
    let traffic = both.storage.traffic().total();
    assert!(traffic.sent_bytes >= 4_000_000 && traffic.received_bytes >= 4_000_000, "{traffic:?}");
}

/// What a boto3 client of today sees of objects that we have put.
#[test]
fn storage_classes_and_locks_are_set_by_name() {
    let moto = Moto::start();
    moto.create_locking_bucket("locked", "ca-central-1");
    let mut site = Site::new(&moto);
    site.options.data_storage_class = Some("GLACIER_IR".into());
    site.options.lock =
        Some(cairn::storage::s3::ObjectLock { mode: cairn::storage::s3::LockMode::Compliance, days: 30 });
    let both = site.open("locked", "");
    for at in ["d/a/packs/00/1", "d/a/meta/00/1", "d/a/sessions/1", "config/1"] {
        assert_eq!(both.put_new(&name(at), Encoded::new(b"x")).unwrap(), Published::Created, "{at}");
    }
    let head = "h = s3.head_object(Bucket=a[0], Key=a[1])\n\
                print(h.get('StorageClass', '-'), h.get('ObjectLockMode', '-'))";
    let seen = |at| moto.boto3("ca-central-1", head, &["locked", at]);
    assert_eq!(seen("d/a/packs/00/1"), "GLACIER_IR COMPLIANCE");
    assert_eq!(seen("d/a/meta/00/1"), "- COMPLIANCE");
    assert_eq!(seen("config/1"), "- COMPLIANCE");
    assert_eq!(seen("d/a/sessions/1"), "- -", "a session goes away when it is over");
}

/// Several threads use one store, as the workers of a restore do.
#[test]
fn many_threads_share_a_store() {
    let garage = Garage::start("ca-central-1");
    let both = Site::new(&garage).open(garage.bucket(), "");
    let staged = (0..40).map(|i| suite::stage(&both, &format!("d/x/packs/{i:02}"), &[i; 5000])).collect();
    assert_eq!(both.publish_batch(staged).unwrap(), [Published::Created; 40]);
    let seen = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for start in 0..8u8 {
            let (both, seen) = (&both, &seen);
            scope.spawn(move || {
                for i in (start..40).step_by(8) {
                    let mut buf = [0; 100];
                    both.read_range(&name(&format!("d/x/packs/{i:02}")), 4000, &mut buf).unwrap();
                    assert_eq!(buf, [i; 100]);
                    seen.lock().unwrap().push(i);
                }
            });
        }
    });
    assert_eq!(seen.into_inner().unwrap().len(), 40);
}
