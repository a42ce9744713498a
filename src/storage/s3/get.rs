//! Reading objects, whole or in part. What comes is held to the length that was announced, and to what was asked for.

use crate::object::ObjectName;
use crate::storage::contract::RequestCost;
use crate::storage::error::ErrorKind;
use crate::storage::s3::body::Stalled;
use crate::storage::s3::connection::Connection;
use crate::storage::s3::error::{Attempt, Cause, Failure};
use crate::storage::s3::retry::{Next, Retry};
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;
use std::error::Error;

/// A request takes as long as some 100 KiB; long ones are read while they arrive, so that one brings a whole pack.
pub(super) const REQUEST_COST: RequestCost = RequestCost { gap: 128 << 10, span: 64 << 20, parallel: 4 };
/// Bytes that are reserved on the word of a server alone.
const RESERVED_MAX: u64 = 64 << 20;

/// What is read: an object as it is now, or one version of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) name: &'a ObjectName,
    pub(super) version: Option<&'a str>,
}

impl<'a> Source<'a> {
    /// The version with this id.
    pub(super) fn version(name: &'a ObjectName, id: &'a str) -> Self {
        Self { name, version: Some(id) }
    }

    fn version_id(&self) -> Option<String> {
        self.version.map(str::to_owned)
    }
}

impl<'a> From<&'a ObjectName> for Source<'a> {
    fn from(name: &'a ObjectName) -> Self {
        Self { name, version: None }
    }
}

impl Connection {
    /// The whole object, at most `len_max` bytes. Repeated until it comes whole.
    pub(super) async fn get(&self, source: impl Into<Source<'_>>, len_max: u64) -> Attempt<Vec<u8>> {
        let source = source.into();
        self.retried(|_| {}, || self.get_once(source, len_max)).await
    }

    async fn get_once(&self, source: Source<'_>, len_max: u64) -> Attempt<Vec<u8>> {
        let answer = self.request(source, None).await?;
        let announced = length_of(&answer)?;
        let too_large = |len: u64| {
            let detail = format!("at least {len} bytes, at most {len_max} are expected");
            Failure::new(Cause::Own(ErrorKind::TooLarge), detail)
        };
        if let Some(len) = announced.filter(|len| *len > len_max) {
            return Err(too_large(len));
        }
        let reserved = announced.unwrap_or(0).min(RESERVED_MAX);
        let mut bytes = Vec::with_capacity(usize::try_from(reserved).unwrap_or(0));
        let mut body = answer.body;
        while let Some(piece) = next(&mut body).await? {
            let len = bytes.len() as u64 + piece.len() as u64;
            if len > len_max {
                return Err(too_large(len));
            }
            bytes.extend_from_slice(&piece);
        }
        let expected = match announced {
            Some(len) => len,
            // An answer without a length may have been cut off; what the object has is asked for then.
            None => self.size_once(source).await?,
        };
        if bytes.len() as u64 == expected {
            return Ok(bytes);
        }
        Err(Failure::garbage(format!("{} bytes came of {expected}", bytes.len())))
    }

    /// Fills `buf` from byte `offset` on.
    pub(super) async fn get_range(&self, source: impl Into<Source<'_>>, offset: u64, buf: &mut [u8]) -> Attempt<()> {
        let source = source.into();
        let Some(wanted) = Wanted::new(offset, buf.len() as u64) else {
            // No byte, or bytes that no object has: only its length is of interest.
            let size = self.size(source).await?;
            return if buf.is_empty() && offset <= size { Ok(()) } else { Err(ends_at(size)) };
        };
        // Not a closure: each attempt needs the buffer for itself.
        let mut retry = Retry::new();
        loop {
            let failure = match self.get_range_once(source, wanted, buf).await {
                Ok(()) => return Ok(()),
                Err(failure) => failure,
            };
            let server_time = failure.server_time;
            match retry.after(failure, &self.options.timeouts, self.guard.has_answered()) {
                Next::GiveUp(failure) => return Err(failure),
                Next::After(pause, decision) => {
                    self.note(decision, server_time);
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }

    async fn get_range_once(&self, source: Source<'_>, wanted: Wanted, buf: &mut [u8]) -> Attempt<()> {
        let mut body = self.open_range(source, wanted).await?;
        let mut filled = 0;
        while filled < buf.len() {
            let Some(piece) = body.next().await? else {
                return Err(Failure::garbage(format!("{filled} bytes came of {}", buf.len())));
            };
            let len = piece.len().min(buf.len() - filled);
            buf[filled..filled + len].copy_from_slice(&piece[..len]);
            filled += len;
        }
        Ok(())
    }

    /// Asks for a part of an object, and holds the answer's head to it.
    pub(super) async fn open_range(&self, source: Source<'_>, wanted: Wanted) -> Attempt<Body> {
        let answer = self.request(source, Some(wanted)).await?;
        let skip = match answer.content_range() {
            Some(text) => wanted.check(text)?,
            // A server that does not know ranges sends everything.
            None => wanted.start,
        };
        if let Some(len) = length_of(&answer)?
            && len < skip + wanted.len()
        {
            return Err(if answer.content_range().is_some() {
                Failure::garbage(format!("the part that was sent has {len} bytes instead of {}", wanted.len()))
            } else {
                ends_at(len)
            });
        }
        Ok(Body { inner: answer.body, skip })
    }

    async fn request(&self, source: Source<'_>, part: Option<Wanted>) -> Attempt<GetObjectOutput> {
        let request = self.client.get_object().bucket(self.bucket.as_str()).key(self.key(source.name));
        let request = request.set_version_id(source.version_id());
        let range = part.map(|part| format!("bytes={}-{}", part.start, part.end - 1));
        let request = request.set_range(range).set_expected_bucket_owner(self.owner());
        let answer = request.send().await.map_err(|error| Failure::of(&error))?;
        if answer.e_tag().is_none() {
            return Err(no_object());
        }
        Ok(answer)
    }

    /// Length of an object in bytes.
    pub(super) async fn size(&self, source: impl Into<Source<'_>>) -> Attempt<u64> {
        let source = source.into();
        self.retried(|_| {}, || self.size_once(source)).await
    }

    /// Whether an object may be there to be overwritten, by the word of HEAD. Where there is no bucket, there is none.
    pub(super) async fn may_be_there(&self, name: &ObjectName) -> Attempt<bool> {
        let head = || async {
            let request = self.client.head_object().bucket(self.bucket.as_str()).key(self.key(name));
            match request.set_expected_bucket_owner(self.owner()).send().await {
                Ok(answer) if answer.e_tag().is_none() => Err(no_object()),
                Ok(_) => Ok(true),
                Err(error) => match Failure::of(&error) {
                    missing if missing.is_status(404) => Ok(false),
                    failure => Err(failure),
                },
            }
        };
        self.retried(|_| {}, head).await
    }

    async fn size_once(&self, source: Source<'_>) -> Attempt<u64> {
        let request = self.client.head_object().bucket(self.bucket.as_str()).key(self.key(source.name));
        let request = request.set_version_id(source.version_id());
        match request.set_expected_bucket_owner(self.owner()).send().await {
            Ok(answer) if answer.e_tag().is_none() => Err(no_object()),
            Ok(answer) => answer
                .content_length()
                .and_then(|len| u64::try_from(len).ok())
                .ok_or_else(|| Failure::new(Cause::Own(ErrorKind::Other), "the store does not say its length")),
            Err(error) => {
                let failure = Failure::of(&error);
                // The answer to HEAD has no body that could say what is missing, the object or the bucket.
                if failure.is_status(404) { Err(self.what_is_missing(failure).await) } else { Err(failure) }
            }
        }
    }

    /// Finds out what a 404 without a code means.
    async fn what_is_missing(&self, failure: Failure) -> Failure {
        let request = self.client.head_bucket().bucket(self.bucket.as_str());
        let code = match request.set_expected_bucket_owner(self.owner()).send().await {
            Ok(_) => "NoSuchKey",
            Err(error) => match Failure::of(&error) {
                // The bucket may not be looked at, so it is there.
                denied if denied.is_status(403) => "NoSuchKey",
                missing if missing.is_status(404) => "NoSuchBucket",
                other => return other,
            },
        };
        let what = if code == "NoSuchKey" { "no such object" } else { "there is no such bucket" };
        Failure { code: Some(code.to_owned()), text: what.to_owned(), ..failure }
    }
}

/// Every S3 store sends an ETag with an object. What has none is no object: an error with the status of a success, or the
/// page of a proxy, and must not count as one that exists.
fn no_object() -> Failure {
    Failure::garbage("the answer is no object's: it has no ETag")
}

/// The announced length, if there is one.
fn length_of(answer: &GetObjectOutput) -> Attempt<Option<u64>> {
    let negative = |_| Failure::garbage("the announced length is negative");
    answer.content_length().map(u64::try_from).transpose().map_err(negative)
}

async fn next(body: &mut ByteStream) -> Attempt<Option<Bytes>> {
    match body.next().await {
        None => Ok(None),
        Some(Ok(piece)) => Ok(Some(piece)),
        Some(Err(error)) => Err(cut_off(&error)),
    }
}

fn cut_off(error: &(dyn Error + 'static)) -> Failure {
    let chain = std::iter::successors(Some(error), |&error| error.source());
    let last = chain.last().unwrap_or(error);
    let cause = if last.is::<Stalled>() { Cause::Timeout } else { Cause::Garbage };
    Failure::new(cause, format!("the answer was cut off: {last}"))
}

fn ends_at(len: u64) -> Failure {
    Failure::new(Cause::Own(ErrorKind::Truncated), format!("it ends at byte {len}"))
}

/// An answer's body from the first byte that was asked for on. It may have more than that.
#[derive(Debug)]
pub(super) struct Body {
    inner: ByteStream,
    /// Bytes before what was asked for.
    skip: u64,
}

impl Body {
    /// The next bytes; `None` at its end.
    pub(super) async fn next(&mut self) -> Attempt<Option<Bytes>> {
        while let Some(mut piece) = next(&mut self.inner).await? {
            let over = usize::try_from(self.skip).unwrap_or(usize::MAX).min(piece.len());
            self.skip -= over as u64;
            let piece = piece.split_off(over);
            if !piece.is_empty() {
                return Ok(Some(piece));
            }
        }
        Ok(None)
    }
}

/// The bytes of an object from `start` up to `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wanted {
    start: u64,
    end: u64,
}

impl Wanted {
    /// `len` bytes from `offset` on; `None` for none, and for what no object has.
    pub(super) fn new(offset: u64, len: u64) -> Option<Self> {
        let end = offset.checked_add(len).filter(|end| *end > offset && i64::try_from(*end).is_ok())?;
        Some(Self { start: offset, end })
    }

    /// How many bytes.
    pub(super) fn len(self) -> u64 {
        self.end - self.start
    }

    /// Whether nothing is left.
    pub(super) fn is_empty(self) -> bool {
        self.start == self.end
    }

    /// Takes what came: as much of it as is wanted.
    pub(super) fn take(&mut self, mut piece: Bytes) -> Bytes {
        piece.truncate(usize::try_from(self.len()).unwrap_or(usize::MAX));
        self.start += piece.len() as u64;
        piece
    }

    /// Reads a `Content-Range` and says how many bytes to skip: none, if it is what was asked for.
    fn check(self, text: &str) -> Attempt<u64> {
        let garbage = || Failure::garbage(format!("the store says that it sent {text:?}"));
        let (first, last, total) = parse_content_range(text).ok_or_else(garbage)?;
        if first != self.start || last >= self.end {
            return Err(garbage());
        }
        match total {
            _ if last + 1 == self.end => Ok(0),
            // It sent all there is, and that is not enough.
            Some(total) if last + 1 == total => Err(ends_at(total)),
            _ => Err(garbage()),
        }
    }
}

/// `bytes FIRST-LAST/TOTAL`, where the total may be `*`.
fn parse_content_range(text: &str) -> Option<(u64, u64, Option<u64>)> {
    let number = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<u64>().ok())?;
    let (range, total) = text.trim().strip_prefix("bytes")?.trim_start_matches([' ', '=']).split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last) = (number(first)?, number(last)?);
    let total = if total == "*" { None } else { Some(number(total)?) };
    (first <= last && last < u64::MAX && total.is_none_or(|total| last < total)).then_some((first, last, total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_what_was_asked_for_or_an_error() {
        let wanted = Wanted { start: 100, end: 150 };
        assert_eq!(wanted.check("bytes 100-149/1000").ok(), Some(0));
        assert_eq!(wanted.check("bytes 100-149/*").ok(), Some(0));
        assert_eq!((Wanted::new(100, 50), Wanted::new(100, 0), Wanted::new(1, u64::MAX)), (Some(wanted), None, None));
        let mut rest = wanted;
        assert_eq!((rest.take(Bytes::from_static(&[1; 20])).len(), rest.len()), (20, 30));
        assert_eq!((rest.take(Bytes::from_static(&[1; 60])).len(), rest.is_empty()), (30, true));
        for (text, kind) in [
            ("bytes 100-119/120", ErrorKind::Truncated),
            ("bytes 100-119/1000", ErrorKind::Transient),
            ("bytes 100-119/*", ErrorKind::Transient),
            ("bytes 0-49/1000", ErrorKind::Transient),
            ("bytes 100-150/1000", ErrorKind::Transient),
            ("bytes 99-149/1000", ErrorKind::Transient),
            ("bytes 100-149/149", ErrorKind::Transient),
            ("bytes */1000", ErrorKind::Transient),
            ("bytes 100-18446744073709551615/*", ErrorKind::Transient),
            ("bytes -100-149/1000", ErrorKind::Transient),
            ("bytes +100-149/1000", ErrorKind::Transient),
            ("items 100-149/1000", ErrorKind::Transient),
            ("", ErrorKind::Transient),
        ] {
            assert_eq!(wanted.check(text).map_err(|failure| failure.kind()), Err(kind), "{text}");
        }
    }
}
