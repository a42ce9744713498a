//! What a bucket held at a time: a listing of all versions and delete markers, and which one of a key counts.
//!
//! For each key it is the newest entry that is not younger than that time, by the store's clock. If it is a delete marker,
//! there was no object; markers and versions that came later are as if they were not there. S3 gives times to the
//! second: of a version and a marker of the same second the version counts, since an object too many harms nobody who has
//! come to get back what was deleted. What is read is checked against its id anyway, as always.

use crate::clock::Timestamp;
use crate::object::ObjectName;
use crate::storage::error::ErrorKind;
use crate::storage::s3::connection::Connection;
use crate::storage::s3::error::{Attempt, Cause, Failure};
use aws_sdk_s3::operation::list_object_versions::ListObjectVersionsOutput;
use aws_sdk_s3::primitives::DateTime;
use std::collections::BTreeMap;

/// Most pages of one listing, of a thousand entries each: a store that goes round in circles has an end.
const PAGES_MAX: usize = 100_000;
/// The id of a version that was made while none were kept.
const NULL: &str = "null";

/// A version of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Version {
    /// Its id.
    pub(super) id: String,
    /// Its length in bytes.
    pub(super) size: u64,
}

/// The objects of a time, by name.
pub(super) type Objects = BTreeMap<ObjectName, Version>;

/// An entry of a listing: a version, or a delete marker.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    time: Timestamp,
    version: Option<Version>,
}

impl Entry {
    /// Whether it counts instead of one that came earlier in the listing, where newer ones come first.
    fn replaces(&self, known: &Self) -> bool {
        (self.time, self.version.is_some()) > (known.time, known.version.is_some())
    }
}

/// What is known of a time while the listing goes on: one entry for each key, however many versions it has.
#[derive(Debug)]
struct Past {
    time: Timestamp,
    newest: BTreeMap<ObjectName, Entry>,
}

impl Past {
    fn new(time: Timestamp) -> Self {
        Self { time, newest: BTreeMap::new() }
    }

    fn add(&mut self, name: ObjectName, entry: Entry) {
        if entry.time <= self.time && self.newest.get(&name).is_none_or(|known| entry.replaces(known)) {
            self.newest.insert(name, entry);
        }
    }

    fn into_objects(self) -> Objects {
        self.newest.into_iter().filter_map(|(name, entry)| Some((name, entry.version?))).collect()
    }
}

/// Where a page of a listing begins.
type Marker = (String, Option<String>);

impl Connection {
    /// Every object that was below `folder` at a time, or in the whole part of the bucket. Keys that are no object names
    /// belong to somebody else and are skipped.
    pub(super) async fn objects_at(&self, folder: Option<&ObjectName>, time: Timestamp) -> Attempt<Objects> {
        let prefix = self.key_prefix(folder);
        let mut past = Past::new(time);
        let mut marker: Option<Marker> = None;
        for _ in 0..PAGES_MAX {
            let page = self.retried(|_| {}, || self.page_of_versions(&prefix, marker.clone())).await?;
            self.add_page(&mut past, &prefix, &page)?;
            let next = next_marker(&page)?;
            if next.is_none() {
                return Ok(past.into_objects());
            }
            if next == marker {
                return Err(bad("the same page of the listing of versions came twice"));
            }
            marker = next;
        }
        Err(bad(format!("the listing of versions has more than {PAGES_MAX} pages")))
    }

    async fn page_of_versions(&self, prefix: &str, marker: Option<Marker>) -> Attempt<ListObjectVersionsOutput> {
        let (key, version) = marker.map_or((None, None), |(key, version)| (Some(key), version));
        let request = self.client.list_object_versions().bucket(self.bucket.as_str()).prefix(prefix);
        let request = request.set_key_marker(key).set_version_id_marker(version);
        request.set_expected_bucket_owner(self.owner()).send().await.map_err(|error| match Failure::of(&error) {
            failure if failure.is_status(501) || failure.is_status(405) => {
                Failure { cause: Cause::Own(ErrorKind::NoVersions), ..failure }
            }
            failure => failure,
        })
    }

    fn add_page(&self, past: &mut Past, prefix: &str, page: &ListObjectVersionsOutput) -> Attempt<()> {
        for version in page.versions() {
            let Some(name) = self.name_of(prefix, version.key())? else { continue };
            let time = time_of(&name, version.last_modified())?;
            let size = version.size().and_then(|size| u64::try_from(size).ok());
            let size = size.ok_or_else(|| bad(format!("the listing does not say how long {name} is")))?;
            let id = version.version_id().filter(|id| !id.is_empty()).unwrap_or(NULL).to_owned();
            past.add(name, Entry { time, version: Some(Version { id, size }) });
        }
        for marker in page.delete_markers() {
            let Some(name) = self.name_of(prefix, marker.key())? else { continue };
            let time = time_of(&name, marker.last_modified())?;
            past.add(name, Entry { time, version: None });
        }
        Ok(())
    }

    /// The object that an entry is about; `None` if it is not one of ours.
    fn name_of(&self, prefix: &str, key: Option<&str>) -> Attempt<Option<ObjectName>> {
        let key = key.ok_or_else(|| bad("an entry of the listing has no key"))?;
        if !key.starts_with(prefix) {
            return Err(bad(format!("the listing of {prefix} contains {key:?}")));
        }
        Ok(self.rest_of(key).and_then(|rest| ObjectName::new(rest).ok()))
    }
}

fn time_of(name: &ObjectName, time: Option<&DateTime>) -> Attempt<Timestamp> {
    let time = time.ok_or_else(|| bad(format!("the listing does not say when a version of {name} was made")))?;
    Ok(Timestamp { seconds: time.secs(), nanoseconds: time.subsec_nanos() })
}

/// Where the next page begins; `None` after the last one.
fn next_marker(page: &ListObjectVersionsOutput) -> Attempt<Option<Marker>> {
    let key = page.next_key_marker().filter(|key| !key.is_empty()).map(str::to_owned);
    let version = page.next_version_id_marker().filter(|id| !id.is_empty()).map(str::to_owned);
    match (page.is_truncated(), key) {
        (Some(false), _) | (None, None) => Ok(None),
        (_, Some(key)) => Ok(Some((key, version))),
        (Some(true), None) => Err(bad("the listing of versions goes on and does not say where")),
    }
}

fn bad(text: impl Into<String>) -> Failure {
    Failure::new(Cause::Own(ErrorKind::Other), text)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp { seconds, nanoseconds: 0 }
    }

    fn name(number: usize) -> ObjectName {
        ObjectName::new(format!("d/x/{number}")).unwrap()
    }

    fn version(seconds: i64, id: &str) -> Entry {
        Entry { time: at(seconds), version: Some(Version { id: id.into(), size: 1 }) }
    }

    fn marker(seconds: i64) -> Entry {
        Entry { time: at(seconds), version: None }
    }

    /// The id that counts at a time.
    fn chosen(entries: &[Entry], time: i64) -> Option<String> {
        let mut past = Past::new(at(time));
        entries.iter().for_each(|entry| past.add(name(0), entry.clone()));
        past.into_objects().remove(&name(0)).map(|version| version.id)
    }

    #[test]
    fn the_newest_that_is_not_younger_counts() {
        let simple = [version(10, "a")];
        let deleted = [marker(20), version(10, "a")];
        let again = [version(30, "b"), marker(20), version(10, "a")];
        let overwritten = [version(20, "b"), version(10, NULL)];
        let twice = [marker(30), marker(20), version(10, "a")];
        let cases: [(&[Entry], i64, Option<&str>); 17] = [
            (&[], 10, None),
            (&simple, 9, None),
            (&simple, 10, Some("a")),
            (&simple, 99, Some("a")),
            (&deleted, 19, Some("a")),
            (&deleted, 20, None),
            (&again, 25, None),
            (&again, 30, Some("b")),
            (&again, 15, Some("a")),
            (&overwritten, 15, Some("null")),
            (&overwritten, 20, Some("b")),
            (&twice, 25, None),
            (&twice, 10, Some("a")),
            // Of the same second: data before markers, and of data what the store lists first.
            (&[marker(10), version(10, "a")], 10, Some("a")),
            (&[version(10, "a"), marker(10)], 10, Some("a")),
            (&[version(10, "b"), version(10, "a")], 10, Some("b")),
            (&[marker(5)], 10, None),
        ];
        for (entries, time, expected) in cases {
            assert_eq!(chosen(entries, time).as_deref(), expected, "{entries:?} at {time}");
        }
        // A part of a second counts.
        let late = Entry { time: Timestamp { seconds: 10, nanoseconds: 1 }, ..version(10, "a") };
        assert_eq!(chosen(&[late], 10), None);
    }

    proptest! {
        /// Whatever was put and deleted, and in whatever order it is listed: what counts at a time is what a reader of that
        /// time would have seen.
        #[test]
        fn the_past_is_what_a_reader_of_then_saw(
            history in prop::collection::vec((0..4usize, any::<bool>()), 0..40),
            order in prop::collection::vec(any::<u64>(), 40),
            time in 0..45i64,
        ) {
            let mut seen: BTreeMap<ObjectName, String> = BTreeMap::new();
            let mut entries = Vec::new();
            for (second, (key, is_put)) in history.iter().enumerate() {
                let (second, name) = (second as i64, name(*key));
                let entry = if *is_put { version(second, &format!("v{second}")) } else { marker(second) };
                if second <= time {
                    match &entry.version {
                        Some(version) => seen.insert(name.clone(), version.id.clone()),
                        None => seen.remove(&name),
                    };
                }
                entries.push((order[entries.len()], name, entry));
            }
            entries.sort_by_key(|(order, ..)| *order);
            let mut past = Past::new(at(time));
            for (_, name, entry) in entries {
                // A page may repeat the last entry of the one before.
                past.add(name.clone(), entry.clone());
                past.add(name, entry);
            }
            let found: BTreeMap<ObjectName, String> =
                past.into_objects().into_iter().map(|(name, version)| (name, version.id)).collect();
            prop_assert_eq!(found, seen);
        }
    }

    #[test]
    fn a_listing_that_goes_on_says_where() {
        let page = |truncated: Option<bool>, key: Option<&str>, version: Option<&str>| {
            ListObjectVersionsOutput::builder()
                .set_is_truncated(truncated)
                .set_next_key_marker(key.map(str::to_owned))
                .set_next_version_id_marker(version.map(str::to_owned))
                .build()
        };
        let marker = |version: Option<&str>| Some(("k".to_owned(), version.map(str::to_owned)));
        assert_eq!(next_marker(&page(Some(true), Some("k"), Some("v"))).unwrap(), marker(Some("v")));
        assert_eq!(next_marker(&page(Some(true), Some("k"), None)).unwrap(), marker(None));
        assert_eq!(next_marker(&page(None, Some("k"), Some(""))).unwrap(), marker(None));
        for (truncated, key) in [(Some(false), None), (Some(false), Some("k")), (None, None), (None, Some(""))] {
            assert_eq!(next_marker(&page(truncated, key, None)).unwrap(), None);
        }
        for key in [None, Some("")] {
            let error = next_marker(&page(Some(true), key, Some("v"))).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Other);
        }
    }
}
