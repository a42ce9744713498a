//! Buckets with versions and object lock: what was there at a time is read as it was, whatever was deleted or overwritten
//! since; a listing is whole or an error; and objects go where they are locked with the digest that is asked for.

use crate::proxy::{Action, Answer, Proxy, When};
use crate::servers::{Access, Admin, Garage, Moto};
use crate::site::{Both, Site};
use crate::suite::{All, MOTO_PAGE, Subject, TESTS, name};
use cairn::clock::Timestamp;
use cairn::object::Encoded;
use cairn::residency::Observed;
use cairn::storage::s3::{BucketLock, CreateMode, S3AsOf, Versioning};
use cairn::storage::{ErrorKind, Fetch as _, Publish as _, Published, Remove as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A time of the server.
fn time(text: &str) -> Timestamp {
    let time = aws_sdk_s3::primitives::DateTime::from_str(text, aws_sdk_s3::primitives::DateTimeFormat::DateTime);
    let time = time.unwrap();
    Timestamp { seconds: time.secs(), nanoseconds: time.subsec_nanos() }
}

const FAR: Timestamp = Timestamp { seconds: 8_000_000_000, nanoseconds: 0 };

/// Names and lengths of all that is below `d`.
fn listed(past: &S3AsOf) -> Vec<(String, u64)> {
    past.list(&name("d")).unwrap().into_iter().map(|one| (one.name.to_string(), one.size)).collect()
}

/// What happens to a bucket over time, and what is seen of each time.
fn expect_the_past(access: &Access, bucket: &str) {
    let admin = Admin::new(access);
    let site = Site::new(access);
    let both = site.open(bucket, "web");
    let pack: Vec<u8> = (0..300_000u32).map(|i| (i % 251) as u8).collect();
    // From before there were versions.
    assert_eq!(both.put_new(&name("d/x/snapshots/1"), Encoded::new(b"first")).unwrap(), Published::Created);
    admin.set_versions(bucket, true);
    both.put_new(&name("d/x/packs/00/1"), Encoded::new(&pack)).unwrap();
    let full = time(&admin.moment(bucket));
    admin.put(bucket, "web/d/x/snapshots/1", b"overwritten");
    both.remove(&name("d/x/packs/00/1")).unwrap();
    both.put_new(&name("d/x/snapshots/2"), Encoded::new(b"second")).unwrap();
    admin.put(bucket, "web2/d/x/snapshots/3", b"somebody else's");
    admin.put(bucket, "web/d/x/UPPER", b"no name");
    let damaged = time(&admin.moment(bucket));
    both.remove(&name("d/x/snapshots/1")).unwrap();
    both.remove(&name("d/x/snapshots/2")).unwrap();
    let empty = time(&admin.moment(bucket));
    // A deleted object may come again.
    assert_eq!(both.put_new(&name("d/x/packs/00/1"), Encoded::new(&pack)).unwrap(), Published::Created);

    let at = |time| site.reach(bucket, "web").as_of(time).unwrap();
    let entry = |name: &str, size| (name.to_owned(), size);
    let pack_entry = || entry("d/x/packs/00/1", 300_000);
    assert_eq!(listed(&at(Timestamp::EPOCH)), []);
    assert_eq!(listed(&at(full)), [pack_entry(), entry("d/x/snapshots/1", 5)]);
    assert_eq!(listed(&at(damaged)), [entry("d/x/snapshots/1", 11), entry("d/x/snapshots/2", 6)]);
    assert_eq!(listed(&at(empty)), []);
    assert_eq!(listed(&at(FAR)), [pack_entry()]);
    let now: Vec<_> = both.list(&name("d")).unwrap().into_iter().map(|one| one.name).collect();
    assert_eq!(now, [name("d/x/packs/00/1")]);

    // Read without a listing before, and by name after one.
    let past = at(full);
    for _ in 0..2 {
        assert_eq!(past.read(&name("d/x/snapshots/1"), 5).unwrap(), b"first");
        assert_eq!(past.read(&name("d/x/snapshots/1"), 4).unwrap_err().kind, ErrorKind::TooLarge);
        assert!(past.read(&name("d/x/packs/00/1"), 1 << 20).unwrap() == pack);
        let mut part = [0; 1000];
        past.read_range(&name("d/x/packs/00/1"), 200_000, &mut part).unwrap();
        assert!(part[..] == pack[200_000..201_000]);
        let error = past.read_range(&name("d/x/packs/00/1"), 299_500, &mut part).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Truncated, "{error}");
        assert_eq!(past.size(&name("d/x/packs/00/1")).unwrap(), 300_000);
        for error in [
            past.read(&name("d/x/snapshots/2"), 100).unwrap_err(),
            past.read_range(&name("d/x/snapshots/2"), 0, &mut part).unwrap_err(),
            past.size(&name("d/x/snapshots")).unwrap_err(),
        ] {
            assert_eq!(error.kind, ErrorKind::NotFound, "{error}");
        }
        assert_eq!(past.list(&name("d/x/snap")).unwrap(), []);
        assert_eq!(listed(&past).len(), 2);
    }
    // A version that is removed for good in the meantime is missing, and nothing else comes in its place.
    let gone = admin.versions(bucket, "web/d/x/snapshots/1").into_iter().filter(|v| time_of(v) <= full);
    for version in gone.filter(|version| !version.is_marker) {
        admin.delete(bucket, &version.key, Some(&version.id)).unwrap();
    }
    assert_eq!(past.read(&name("d/x/snapshots/1"), 100).unwrap_err().kind, ErrorKind::NotFound);
}

fn time_of(version: &crate::servers::Version) -> Timestamp {
    Timestamp { seconds: version.time.secs(), nanoseconds: version.time.subsec_nanos() }
}

#[test]
fn moto_shows_the_past() {
    let moto = Moto::start();
    expect_the_past(&moto, moto.bucket());
}

#[test]
#[ignore = "needs Ceph: scripts/test-ceph"]
fn ceph_shows_the_past() {
    let ceph = crate::servers::ceph();
    let admin = Admin::new(&ceph);
    admin.create_bucket(&ceph, "past", false);
    expect_the_past(&ceph, "past");
    // When versions are suspended, what there was is there.
    admin.create_bucket(&ceph, "suspended", false);
    admin.set_versions("suspended", true);
    admin.put("suspended", "d/x/1", b"x");
    let before = time(&admin.moment("suspended"));
    admin.set_versions("suspended", false);
    admin.delete("suspended", "d/x/1", None).unwrap();
    let storage = Site::new(&ceph).reach("suspended", "");
    assert_eq!(storage.protection().versions, Observed::Stated(Versioning::Suspended));
    assert_eq!(storage.list(&name("d")).unwrap(), []);
    assert_eq!(listed(&storage.as_of(before).unwrap()), [("d/x/1".to_owned(), 1)]);
}

/// More than a page of keys, and of versions of one key, all of them hidden.
fn expect_whole_listings(access: &Access, bucket: &str, page: usize) {
    let (keys, versions) = (page * 7 / 10, page * 4 / 10);
    let admin = Admin::new(access);
    admin.set_versions(bucket, true);
    for number in 0..keys {
        admin.put(bucket, &format!("d/x/{number:04}"), b"x");
    }
    for number in 0..versions {
        admin.put(bucket, "d/x/0035", format!("{number}").as_bytes());
    }
    let moment = time(&admin.moment(bucket));
    assert_eq!(admin.delete_all(bucket), keys + 1);
    let site = Site::new(access);
    assert_eq!(site.reach(bucket, "").list(&name("d")).unwrap(), []);
    let past = site.reach(bucket, "").as_of(moment).unwrap();
    let all = listed(&past);
    assert_eq!(all.len(), keys);
    assert!(all.iter().enumerate().all(|(number, (name, _))| *name == format!("d/x/{number:04}")));
    assert_eq!(past.read(&name("d/x/0035"), 10).unwrap(), format!("{}", versions - 1).as_bytes(), "the newest");
}

#[test]
fn moto_lists_more_than_a_page() {
    let moto = Moto::start();
    expect_whole_listings(&moto, moto.bucket(), MOTO_PAGE);
}

#[test]
#[ignore = "needs Ceph: scripts/test-ceph"]
fn ceph_lists_more_than_a_page() {
    let ceph = crate::servers::ceph();
    Admin::new(&ceph).create_bucket(&ceph, "pages", false);
    expect_whole_listings(&ceph, "pages", 1000);
}

#[test]
fn a_bucket_without_versions_has_no_past() {
    let (moto, garage) = (Moto::start(), Garage::start("ca-central-1"));
    for access in [&*moto as &Access, &*garage] {
        let storage = Site::new(access).reach(access.bucket(), "");
        let error = storage.as_of(FAR).unwrap_err();
        assert_eq!(error.kind, ErrorKind::NoVersions, "{error}");
    }
}

/// A store that says that it has versions and cannot list them, and one that lists without end or from nowhere.
#[test]
fn a_listing_of_versions_is_whole_or_an_error() {
    let moto = Moto::start();
    let admin = Admin::new(&moto);
    admin.set_versions(moto.bucket(), true);
    for number in 0..20 {
        admin.put(moto.bucket(), &format!("d/x/{number}"), b"x");
    }
    let proxy = Proxy::start(moto.address());
    let site = Site::at(&moto, &proxy.endpoint());
    let past = || site.reach(moto.bucket(), "").as_of(FAR).unwrap();
    let listing = || When::any().method("GET").target("versions&");
    for fault in [
        Action::Reset,
        Action::DropAnswer,
        Action::Truncate(500),
        Action::Answer(Answer::error(500, "InternalError")),
        Action::Answer(Answer::error(503, "SlowDown")),
        Action::Answer(Answer::error_in_success("InternalError")),
        Action::Answer(Answer::new(200)),
        Action::Answer(Answer::new(200).body("<html>Sign in to the network</html>")),
    ] {
        let rule = proxy.add(listing().nth(0), fault.clone());
        assert_eq!(listed(&past()).len(), 20, "{fault:?}");
        assert_eq!(proxy.counts(rule).requests, 1, "{fault:?}");
        proxy.clear();
    }
    let page = |inner: &str| {
        let entry = "<Version><Key>d/x/1</Key><VersionId>v</VersionId><Size>1</Size>\
                     <LastModified>2026-01-01T00:00:00.000Z</LastModified></Version>";
        let text = format!("<ListVersionsResult><Name>b</Name>{inner}{entry}</ListVersionsResult>");
        Action::Answer(Answer::new(200).body(text))
    };
    for (inner, what) in [
        ("<IsTruncated>true</IsTruncated>", "does not say where"),
        (
            "<IsTruncated>true</IsTruncated><NextKeyMarker>d/x/1</NextKeyMarker>\
             <NextVersionIdMarker>v</NextVersionIdMarker>",
            "came twice",
        ),
        ("<Version><Key>other/x</Key></Version>", "contains"),
        ("<Version><Key>d/x/2</Key><VersionId>v</VersionId><Size>1</Size></Version>", "when"),
        ("<DeleteMarker><Key>d/x/2</Key><VersionId>v</VersionId></DeleteMarker>", "when"),
        ("<Version><Key>d/x/2</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified></Version>", "how long"),
    ] {
        proxy.add(listing(), page(inner));
        let error = past().list(&name("d")).unwrap_err();
        assert!(error.kind == ErrorKind::Other && error.detail.contains(what), "{what}: {error}");
        proxy.clear();
    }
    for (status, kind) in [(501, ErrorKind::NoVersions), (405, ErrorKind::NoVersions), (403, ErrorKind::Denied)] {
        proxy.add(listing(), Action::Answer(Answer::error(status, "No")));
        let error = past().list(&name("d")).unwrap_err();
        assert_eq!(error.kind, kind, "{error}");
        assert_eq!(error.detail.contains("s3:ListBucketVersions"), status == 403, "{error}");
        proxy.clear();
    }
}

/// Workers of a restore share it, and a folder is listed once.
#[test]
fn folders_are_listed_once_for_all_threads() {
    let moto = Moto::start();
    let admin = Admin::new(&moto);
    admin.set_versions(moto.bucket(), true);
    for number in 0..24 {
        admin.put(moto.bucket(), &format!("d/x/packs/{}/{number}", number % 3), b"content");
    }
    let proxy = Proxy::start(moto.address());
    let past = Site::at(&moto, &proxy.endpoint()).reach(moto.bucket(), "").as_of(FAR).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for number in 0..24 {
                    let at = name(&format!("d/x/packs/{}/{number}", number % 3));
                    assert_eq!(past.read(&at, 100).unwrap(), b"content");
                }
            });
        }
    });
    let listings = || proxy.requests().iter().filter(|seen| seen.line().contains("versions&")).count();
    assert_eq!(listings(), 3);
    assert_eq!(listed(&past).len(), 24);
    past.read(&name("d/x/packs/1/1"), 100).unwrap();
    assert_eq!(listings(), 4, "the whole was listed, its parts need not be");
    assert!(proxy.requests().iter().all(|seen| ["GET", "HEAD"].contains(&seen.head.method())));
}

#[test]
fn a_lock_is_stated_and_objects_come_with_a_digest() {
    let moto = Moto::start();
    let admin = Admin::new(&moto);
    moto.create_locking_bucket("locked", moto.region());
    admin.set_default_retention("locked", 30);
    let stated = |bucket: &str| Site::new(&moto).reach(bucket, "").protection();
    let locked = stated("locked");
    assert_eq!(locked.versions, Observed::Stated(Versioning::Enabled));
    let retention = BucketLock { mode: Some("GOVERNANCE".into()), days: 30, years: 0 };
    assert_eq!(locked.lock, Observed::Stated(Some(retention)));
    let plain = stated(moto.bucket());
    assert_eq!((plain.versions, plain.lock), (Observed::Stated(Versioning::Never), Observed::Stated(None)));
    let garage = Garage::start("ca-central-1");
    let garage = Site::new(&garage).reach(garage.bucket(), "").protection();
    assert_eq!(garage.versions, Observed::Stated(Versioning::Never));
    assert!(matches!(garage.lock, Observed::NotOffered(_)), "{garage:?}");

    // Where objects are locked, S3 answers so to one that comes without; here the proxy does.
    let proxy = Proxy::start(moto.address());
    let site = Site::at(&moto, &proxy.endpoint());
    for (bucket, has_digest) in [("locked", true), (moto.bucket(), false)] {
        let both = site.open(bucket, "");
        if has_digest {
            let refusal = Answer::error(400, "InvalidRequest");
            proxy.add(When::any().method("PUT").nth(0), Action::Answer(refusal));
        }
        both.put_new(&name("d/x/first"), Encoded::new(b"first")).unwrap();
        both.sender.probe(Some(&both.storage)).unwrap();
        both.put_new(&name("d/x/packs/00/1"), Encoded::new(b"abc")).unwrap();
        both.put_new(&name("d/x/sessions/1"), Encoded::new(b"abc")).unwrap();
        let puts = proxy.requests().into_iter().filter(|seen| seen.line().starts_with(&format!("PUT /{bucket}/")));
        let digests: Vec<Option<String>> = puts.map(|seen| seen.head.get("content-md5").map(str::to_owned)).collect();
        // The first object is sent without, and again with one as soon as that is asked for; from then on all have one.
        let with = digests.iter().skip(1).filter(|digest| digest.is_some()).count();
        assert!(digests.len() > 5 && digests[0].is_none(), "{digests:?}");
        assert_eq!(with, if has_digest { digests.len() - 1 } else { 0 }, "{digests:?}");
        let of_abc = digests.iter().flatten().filter(|digest| *digest == "kAFQmDzST7DWlj99KOF/cg==").count();
        assert_eq!(of_abc, if has_digest { 2 } else { 0 });
    }
    let mode = "print(s3.head_object(Bucket=a[0], Key=a[1])['ObjectLockMode'])";
    assert_eq!(moto.boto3(moto.region(), mode, &["locked", "d/x/packs/00/1"]), "GOVERNANCE", "by the bucket's default");
}

/// A part of a bucket of Ceph.
struct Part {
    site: Arc<Site>,
    bucket: String,
    prefix: String,
    both: Both,
}

impl Subject for Part {
    fn store(&self) -> &dyn All {
        &self.both
    }

    fn reopened(&self) -> Box<dyn All> {
        Box::new(self.site.open(&self.bucket, &self.prefix))
    }

    fn leftovers(&self) -> usize {
        self.both.storage.list(&name("tmp")).unwrap().len()
    }
}

/// A bucket with object lock, where nothing ever goes away, keeps the same contract as any other store, but for races: with
/// versions Ceph lets several create one name at the same moment. That is window mode, and a probe finds it out.
#[test]
#[ignore = "needs Ceph: scripts/test-ceph"]
fn ceph_keeps_the_contract_with_and_without_lock() {
    let ceph = crate::servers::ceph();
    let admin = Admin::new(&ceph);
    for (bucket, has_lock) in [("contract", false), ("contract-locked", true)] {
        admin.create_bucket(&ceph, bucket, has_lock);
        if has_lock {
            admin.set_default_retention(bucket, 1);
        }
        let (site, count) = (Arc::new(Site::new(&ceph)), AtomicUsize::new(0));
        let make = || -> Box<dyn Subject> {
            let prefix = format!("part-{}", count.fetch_add(1, Ordering::SeqCst));
            let both = site.open(bucket, &prefix);
            Box::new(Part { site: site.clone(), bucket: bucket.into(), prefix, both })
        };
        for (name, test) in TESTS {
            if !(has_lock && name == "s3_one_of_many_creates") {
                test(&make);
            }
        }
        let both = site.open(bucket, "probe");
        let stated = both.storage.protection();
        assert_eq!(matches!(stated.lock, Observed::Stated(Some(_))), has_lock, "{stated:?}");
        let probes: Vec<_> = (0..10).map(|_| both.sender.probe(Some(&both.storage)).unwrap()).collect();
        assert!(probes.iter().all(|probe| probe.left.is_empty()));
        let conditional = probes.iter().filter(|probe| probe.create == CreateMode::Conditional).count();
        println!("counts: Ceph: {bucket}: conditional creation found by {conditional} of 10 probes");
        // One of them at least sees what it is: whoever comes at the same moment makes a version of his own.
        assert!(if has_lock { conditional < 10 } else { conditional == 10 }, "{bucket}: {conditional}");
    }
}
