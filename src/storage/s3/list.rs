//! Listings: complete, or an error. An error is never a shorter list.

use crate::object::ObjectName;
use crate::storage::contract::Listed;
use crate::storage::error::ErrorKind;
use crate::storage::s3::connection::Connection;
use crate::storage::s3::error::{Attempt, Cause, Failure};
use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output;
use aws_sdk_s3::types::Object;

impl Connection {
    /// Every object below `prefix`, in name order. Keys that are no object names belong to somebody else and are skipped.
    pub(super) async fn list(&self, prefix: &ObjectName) -> Attempt<Vec<Listed>> {
        let key = self.key_prefix(Some(prefix));
        let mut found = Vec::new();
        let mut token: Option<String> = None;
        loop {
            let page = self.retried(|_| {}, || self.page(&key, token.clone())).await?;
            for object in page.contents() {
                found.extend(self.listed(&key, object)?);
            }
            let next = next_token(&page)?;
            if next.is_some() && next == token {
                return Err(bad("the same page of the listing came twice"));
            }
            token = next;
            if token.is_none() {
                break;
            }
        }
        found.sort_by(|a, b| a.name.cmp(&b.name));
        // An object that is written while it is listed may come on two pages.
        found.dedup_by(|a, b| a.name == b.name);
        Ok(found)
    }

    async fn page(&self, prefix: &str, token: Option<String>) -> Attempt<ListObjectsV2Output> {
        let request = self.client.list_objects_v2().bucket(self.bucket.as_str()).prefix(prefix);
        let request = request.set_continuation_token(token).set_expected_bucket_owner(self.owner());
        let page = request.send().await.map_err(|error| Failure::of(&error))?;
        let counted = page.contents().len() + page.common_prefixes().len();
        match page.key_count() {
            Some(count) if usize::try_from(count) != Ok(counted) => {
                Err(Failure::garbage(format!("a page of the listing has {counted} keys and says {count}")))
            }
            _ => Ok(page),
        }
    }

    /// An entry of a listing; `None` if it is not one of ours.
    fn listed(&self, prefix: &str, object: &Object) -> Attempt<Option<Listed>> {
        let key = object.key().ok_or_else(|| bad("an entry of the listing has no key"))?;
        if !key.starts_with(prefix) {
            return Err(bad(format!("the listing of {prefix} contains {key:?}")));
        }
        let Some(name) = self.rest_of(key).and_then(|rest| ObjectName::new(rest).ok()) else { return Ok(None) };
        let size = object.size().and_then(|size| u64::try_from(size).ok());
        let size = size.ok_or_else(|| bad(format!("the listing does not say how long {name} is")))?;
        Ok(Some(Listed { name, size }))
    }
}

/// Where the next page begins; `None` after the last one.
fn next_token(page: &ListObjectsV2Output) -> Attempt<Option<String>> {
    match (page.is_truncated(), page.next_continuation_token()) {
        (Some(true), Some(token)) if !token.is_empty() => Ok(Some(token.to_owned())),
        (Some(true), _) => Err(bad("the listing goes on and does not say where")),
        // A server that says nothing and still gives a token has more.
        (None, Some(token)) if !token.is_empty() => Ok(Some(token.to_owned())),
        _ => Ok(None),
    }
}

fn bad(text: impl Into<String>) -> Failure {
    Failure::new(Cause::Own(ErrorKind::Other), text)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_listing_that_goes_on_says_where() {
        let page = |truncated: Option<bool>, token: Option<&str>| {
            ListObjectsV2Output::builder()
                .set_is_truncated(truncated)
                .set_next_continuation_token(token.map(str::to_owned))
                .build()
        };
        assert_eq!(next_token(&page(Some(true), Some("t"))).unwrap().as_deref(), Some("t"));
        assert_eq!(next_token(&page(None, Some("t"))).unwrap().as_deref(), Some("t"));
        assert_eq!(next_token(&page(Some(false), Some("t"))).unwrap(), None);
        assert_eq!(next_token(&page(Some(false), None)).unwrap(), None);
        assert_eq!(next_token(&page(None, None)).unwrap(), None);
        for token in [None, Some("")] {
            assert_eq!(next_token(&page(Some(true), token)).unwrap_err().kind(), ErrorKind::Other);
        }
    }
}
