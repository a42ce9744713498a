//! A bucket as it was at a time, for reading only: what was deleted or overwritten since is there, and what was created
//! since is not. It has no way to create or remove anything.
//!
//! Folders are listed when they are needed, once each: the past does not change, and a version that is removed for good
//! meanwhile is missing when it is read, which is an error like that of any missing object.

use crate::clock::Timestamp;
use crate::object::ObjectName;
use crate::residency::Observed;
use crate::storage::contract::{Fetch, Listed, RequestCost};
use crate::storage::error::{ErrorKind, Result, StorageError};
use crate::storage::s3::connection::Connection;
use crate::storage::s3::error::Failure;
use crate::storage::s3::get::{REQUEST_COST, Source};
use crate::storage::s3::protection::{Versioning, versions};
use crate::storage::s3::stream::ObjectStream;
use crate::storage::s3::versions::{Objects, Version};
use std::collections::BTreeMap;
use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};

/// A folder's objects, once they are known. Whoever comes first lists them; the others wait for that.
type Folder = Arc<Mutex<Option<Arc<Objects>>>>;

/// A bucket, or the part of it below a prefix, as it was at a time.
#[derive(Debug)]
pub struct S3AsOf {
    connection: Arc<Connection>,
    time: Timestamp,
    /// By the folder's name; `None` is the whole.
    folders: Mutex<BTreeMap<Option<ObjectName>, Folder>>,
}

impl S3AsOf {
    pub(super) fn new(connection: Arc<Connection>, time: Timestamp) -> Result<Self> {
        let stated = connection.block_on(async { Ok(versions(&connection).await) });
        if matches!(stated, Ok(Observed::Stated(Versioning::Never))) {
            return Err(StorageError {
                operation: "read the past of",
                subject: connection.place(),
                kind: ErrorKind::NoVersions,
                detail: "the store states that this bucket keeps no old versions".to_owned(),
            });
        }
        Ok(Self { connection, time, folders: Mutex::default() })
    }

    /// The objects of a folder that holds all of `wanted`: one that is known already, or else `folder`.
    fn objects(&self, folder: Option<ObjectName>) -> std::result::Result<Arc<Objects>, Failure> {
        let place = {
            // Every change is one insertion: whole at every moment.
            let mut folders = self.folders.lock().unwrap_or_else(PoisonError::into_inner);
            let known = folders.iter().find(|(known, place)| {
                let is_listed = || place.try_lock().is_ok_and(|objects| objects.is_some());
                covers(known.as_ref(), folder.as_ref()) && (**known == folder || is_listed())
            });
            match known.map(|(_, place)| place.clone()) {
                Some(place) => place,
                None => folders.entry(folder.clone()).or_default().clone(),
            }
        };
        // Set as a whole, or not at all.
        let mut objects = place.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(objects) = &*objects {
            return Ok(objects.clone());
        }
        let listed = self.connection.block_on(self.connection.objects_at(folder.as_ref(), self.time))?;
        Ok(objects.insert(Arc::new(listed)).clone())
    }

    /// The version of an object that counts.
    fn find(&self, operation: &'static str, name: &ObjectName) -> Result<Version> {
        let folder = name.as_str().rsplit_once('/').and_then(|(folder, _)| ObjectName::new(folder).ok());
        let objects = self.objects(folder).map_err(|failure| said(failure, operation, name))?;
        objects
            .get(name)
            .cloned()
            .ok_or_else(|| StorageError::new(operation, name, ErrorKind::NotFound, "no such object at that time"))
    }
}

/// Whether all that is below `folder` is below `outer` too.
fn covers(outer: Option<&ObjectName>, folder: Option<&ObjectName>) -> bool {
    match (outer, folder) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(outer), Some(folder)) => {
            folder.as_str().strip_prefix(outer.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        }
    }
}

/// A failure as an error that says which permission the past needs.
fn said(failure: Failure, operation: &'static str, name: &ObjectName) -> StorageError {
    let mut error = failure.into_error(operation, name.to_string());
    if error.kind == ErrorKind::Denied {
        error.detail.push_str("; old versions need s3:ListBucketVersions and s3:GetObjectVersion");
    }
    error
}

impl Fetch for S3AsOf {
    fn request_cost(&self) -> RequestCost {
        REQUEST_COST
    }

    fn read(&self, name: &ObjectName, len_max: u64) -> Result<Vec<u8>> {
        let version = self.find("read", name)?;
        let source = Source::version(name, &version.id);
        let result = self.connection.block_on(self.connection.get(source, len_max));
        result.map_err(|failure| said(failure, "read", name))
    }

    fn read_range(&self, name: &ObjectName, offset: u64, buf: &mut [u8]) -> Result<()> {
        let version = self.find("read", name)?;
        let source = Source::version(name, &version.id);
        let result = self.connection.block_on(self.connection.get_range(source, offset, buf));
        result.map_err(|failure| said(failure, "read", name))
    }

    fn stream(&self, name: &ObjectName, offset: u64, len: u64) -> Option<Box<dyn Read + Send>> {
        let version = self.find("read", name).ok()?;
        let stream = ObjectStream::open(&self.connection, Source::version(name, &version.id), offset, len)?;
        Some(Box::new(stream))
    }

    fn size(&self, name: &ObjectName) -> Result<u64> {
        Ok(self.find("size", name)?.size)
    }

    fn list(&self, prefix: &ObjectName) -> Result<Vec<Listed>> {
        let objects = self.objects(Some(prefix.clone())).map_err(|failure| said(failure, "list", prefix))?;
        // What is known may be of a folder further up.
        let below = objects.iter().filter(|(name, _)| *name != prefix && covers(Some(prefix), Some(name)));
        Ok(below.map(|(name, version)| Listed { name: name.clone(), size: version.size }).collect())
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn folders_cover_what_is_below_them() {
        let folder = |text: &str| (!text.is_empty()).then(|| ObjectName::new(text).unwrap());
        for (outer, inner, expected) in [
            ("", "", true),
            ("", "d/a", true),
            ("d", "", false),
            ("d/a", "d/a", true),
            ("d/a", "d/a/b", true),
            ("d/a", "d/ab", false),
            ("d/a/b", "d/a", false),
        ] {
            assert_eq!(covers(folder(outer).as_ref(), folder(inner).as_ref()), expected, "{outer} {inner}");
        }
    }
}
