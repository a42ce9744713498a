//! Listings: complete, or an error. An error is never a shorter list.
//!
//! Folders that are neighbours are listed together, since a listing may begin and end anywhere in the order of keys. That order
//! is not relied on: such a listing counts only if the store says that it is at its end, or goes on within these folders.

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
        let mut pages = Pages::new(key.clone(), None);
        let mut found = Vec::new();
        while let Some(page) = self.next_page(&mut pages).await? {
            for object in page.contents() {
                found.extend(self.listed(&key, object)?);
            }
        }
        Ok(sorted(found))
    }

    /// Every object below each of several folders, none of which is in another: with one listing of all that is in them and
    /// between them, or each by itself if that has more between them than in them.
    pub(super) async fn list_each(&self, folders: &[ObjectName]) -> Attempt<Vec<Vec<Listed>>> {
        if let Some(together) = self.list_together(folders).await? {
            return Ok(together);
        }
        let mut each = Vec::with_capacity(folders.len());
        for folder in folders {
            each.push(self.list(folder).await?);
        }
        Ok(each)
    }

    /// One listing of all folders. `None` if that is not the way: something else was on a page that is not the last one.
    async fn list_together(&self, folders: &[ObjectName]) -> Attempt<Option<Vec<Vec<Listed>>>> {
        let keys: Vec<String> = folders.iter().map(|folder| self.key_prefix(Some(folder))).collect();
        let (Some(first), true) = (keys.iter().min(), keys.len() > 1) else { return Ok(None) };
        let prefix = keys.iter().fold(first.as_str(), |common, key| common_start(common, key));
        let mut pages = Pages::new(prefix.to_owned(), Some(first.clone()));
        let mut found = vec![Vec::new(); folders.len()];
        while let Some(page) = self.next_page(&mut pages).await? {
            let mut has_others = false;
            for object in page.contents() {
                match keys.iter().position(|key| object.key().is_some_and(|own| own.starts_with(key.as_str()))) {
                    Some(folder) => found[folder].extend(self.listed(prefix, object)?),
                    None => has_others = true,
                }
            }
            if has_others && !pages.is_over() {
                return Ok(None);
            }
        }
        Ok(Some(found.into_iter().map(sorted).collect()))
    }

    /// The next page of a listing, if there is one.
    async fn next_page(&self, pages: &mut Pages) -> Attempt<Option<ListObjectsV2Output>> {
        let token = match &pages.at {
            At::End => return Ok(None),
            At::Start => None,
            At::Token(token) => Some(token.clone()),
        };
        let page = self.retried(|_| {}, || self.page(pages, token.clone())).await?;
        let next = next_token(&page)?;
        if next.is_some() && next == token {
            return Err(bad("the same page of the listing came twice"));
        }
        pages.at = next.map_or(At::End, At::Token);
        Ok(Some(page))
    }

    async fn page(&self, pages: &Pages, token: Option<String>) -> Attempt<ListObjectsV2Output> {
        let request = self.client.list_objects_v2().bucket(self.bucket.as_str());
        let prefix = Some(pages.prefix.clone()).filter(|prefix| !prefix.is_empty());
        let after = pages.after.clone().filter(|_| token.is_none());
        let request = request.set_prefix(prefix).set_start_after(after);
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

/// A listing under way.
struct Pages {
    /// What its keys start with.
    prefix: String,
    /// The key that it begins after.
    after: Option<String>,
    at: At,
}

/// Which page of a listing comes next.
enum At {
    Start,
    Token(String),
    End,
}

impl Pages {
    fn new(prefix: String, after: Option<String>) -> Self {
        Self { prefix, after, at: At::Start }
    }

    /// Whether the store has said that no more comes.
    fn is_over(&self) -> bool {
        matches!(self.at, At::End)
    }
}

/// In name order, and each once: an object that is written while it is listed may come on two pages.
fn sorted(mut found: Vec<Listed>) -> Vec<Listed> {
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found.dedup_by(|a, b| a.name == b.name);
    found
}

/// What two texts have in common from their beginning on.
fn common_start<'a>(one: &'a str, other: &str) -> &'a str {
    let len: usize = one.chars().zip(other.chars()).take_while(|(a, b)| a == b).map(|(a, _)| a.len_utf8()).sum();
    &one[..len]
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
    fn neighbours_have_a_beginning_in_common() {
        for (one, other, expected) in [
            ("r/d/0a/sessions/", "r/d/0a/snapshots/", "r/d/0a/s"),
            ("policy/", "sites/", ""),
            ("a/", "a/b/", "a/"),
            ("é/", "è/", ""),
        ] {
            assert_eq!((common_start(one, other), common_start(other, one)), (expected, expected));
        }
    }

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
