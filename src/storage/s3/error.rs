//! What went wrong with one attempt, in our own terms: independent of the operation, so that one place decides what is
//! repeated and one place what the caller is told.

use crate::residency::RefusalKind;
use crate::storage::error::{ErrorKind, StorageError};
use crate::storage::s3::body::Stalled;
use crate::storage::s3::guard::GuardStop;
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use std::error::Error;
use std::time::Duration;

/// What to do about missing credentials.
pub(super) const NO_CREDENTIALS: &str = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or put them into \
                                         ~/.aws/credentials (AWS_PROFILE names the profile), or run where a role is attached";

/// Longest message of a server that is shown.
const MESSAGE_MAX: usize = 200;

/// Where an attempt failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Cause {
    /// The guard stopped it.
    Guard(Box<GuardStop>),
    /// The gate refused: why, and whether it may be otherwise later.
    Verdict(RefusalKind),
    /// There are no credentials.
    Credentials,
    /// The certificate, or the handshake.
    Tls,
    /// No connection, or it ended early.
    Connection,
    /// Nothing moved for too long.
    Timeout,
    /// The server answered with an error status.
    Status(u16),
    /// The answer is not what it has to be: cut off, or no such document.
    Garbage,
    /// Something in the object or the request, not in the exchange: decided by us.
    Own(ErrorKind),
}

/// A failed attempt.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    /// Where it failed.
    pub(super) cause: Cause,
    /// The server's error code, if it gave one.
    pub(super) code: Option<String>,
    /// What was said, for people.
    pub(super) text: String,
    /// When the server wants to be asked again.
    pub(super) retry_after: Option<Duration>,
    /// The server's clock, seconds since 1970.
    pub(super) server_time: Option<i64>,
    /// Region that the answer stated for the bucket.
    pub(super) region: Option<String>,
}

/// Result of an attempt.
pub(super) type Attempt<T> = Result<T, Failure>;

impl Failure {
    /// A failure without an answer from a server.
    pub(super) fn new(cause: Cause, text: impl Into<String>) -> Self {
        Self { cause, code: None, text: text.into(), retry_after: None, server_time: None, region: None }
    }

    /// An answer that is cut off or not what was asked for.
    pub(super) fn garbage(text: impl Into<String>) -> Self {
        Self::new(Cause::Garbage, text)
    }

    /// What the SDK reports.
    pub(super) fn of<E>(error: &SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        let Some(answer) = error.raw_response() else { return Self::unanswered(error) };
        let status = answer.status().as_u16();
        let header = |name| answer.headers().get(name);
        let code = error.code().map(str::to_owned);
        let is_error = matches!(error, SdkError::ServiceError(_)) && !answer.status().is_success();
        let (cause, text) = if is_error {
            let message = error.message().map(|m| format!(": {}", shortened(m))).unwrap_or_default();
            let code = code.as_deref().map(|code| format!(" {}", shortened(code))).unwrap_or_default();
            (Cause::Status(status), format!("the store answered {status}{code}{message}"))
        } else if let Some(stalled) = find::<Stalled>(error) {
            (Cause::Timeout, stalled.to_string())
        } else {
            (Cause::Garbage, format!("the store's answer ({status}) cannot be read: {}", innermost(error)))
        };
        Self {
            cause,
            code,
            text,
            retry_after: header("retry-after").and_then(|text| text.parse().ok()).map(Duration::from_secs),
            server_time: header("date").and_then(|t| DateTime::from_str(t, Format::HttpDate).ok()).map(|d| d.secs()),
            region: header("x-amz-bucket-region").map(str::to_owned),
        }
    }

    fn unanswered<E: Error + 'static>(error: &SdkError<E, HttpResponse>) -> Self {
        if let Some(stop) = find::<GuardStop>(error) {
            return Self::new(Cause::Guard(Box::new(stop.clone())), stop.to_string());
        }
        if let Some(error) = find::<CredentialsError>(error) {
            return Self::credentials(error);
        }
        if let Some(error) = find::<rustls::Error>(error) {
            return Self::new(Cause::Tls, format!("TLS with the endpoint failed: {error}{}", tls_remedy(error)));
        }
        if let Some(stalled) = find::<Stalled>(error) {
            return Self::new(Cause::Timeout, stalled.to_string());
        }
        let is_timeout = match error {
            SdkError::TimeoutError(_) => true,
            SdkError::DispatchFailure(failure) => failure.is_timeout(),
            _ => false,
        };
        let text = innermost(error);
        match error {
            _ if is_timeout => Self::new(Cause::Timeout, format!("no connection in time: {text}")),
            SdkError::ConstructionFailure(_) => Self::new(Cause::Own(ErrorKind::Other), text),
            _ => Self::new(Cause::Connection, format!("connection: {text}")),
        }
    }

    /// No credentials, with what to do about it.
    pub(super) fn credentials(error: &CredentialsError) -> Self {
        let why = match find::<GuardStop>(error) {
            Some(stop) => {
                format!("{stop}; an endpoint set in the environment or a profile is not used for credentials")
            }
            None => innermost(error),
        };
        Self::new(Cause::Credentials, format!("there are no credentials ({why}): {NO_CREDENTIALS}"))
    }

    /// Whether the server has this code.
    pub(super) fn has_code(&self, codes: &[&str]) -> bool {
        self.code.as_deref().is_some_and(|code| codes.contains(&code))
    }

    /// Whether the answer had this status.
    pub(super) fn is_status(&self, status: u16) -> bool {
        self.cause == Cause::Status(status)
    }

    /// Whether it says that the bucket is not there.
    pub(super) fn is_no_bucket(&self) -> bool {
        self.is_status(404) && self.has_code(&["NoSuchBucket"])
    }

    /// Whether it says that the object, or the version that was asked for, is not there. A 404 of anything else than an S3
    /// server is no such statement.
    pub(super) fn is_no_key(&self) -> bool {
        self.is_status(404) && self.has_code(&["NoSuchKey", "NoSuchVersion"])
    }

    /// Whether the request can have arrived and be carried out although this was the answer.
    pub(super) fn may_have_arrived(&self) -> bool {
        match self.cause {
            Cause::Timeout | Cause::Connection | Cause::Garbage => true,
            Cause::Status(status) => status >= 500 || status == 408,
            _ => false,
        }
    }

    /// What the caller is to decide by.
    pub(super) fn kind(&self) -> ErrorKind {
        match &self.cause {
            Cause::Guard(stop) => match **stop {
                GuardStop::Redirect { .. } | GuardStop::BadPart(_) => ErrorKind::Other,
                _ => ErrorKind::Refused,
            },
            Cause::Verdict(RefusalKind::NotNow) => ErrorKind::NotNow,
            Cause::Verdict(_) => ErrorKind::Refused,
            Cause::Credentials => ErrorKind::Denied,
            Cause::Connection | Cause::Timeout | Cause::Garbage => ErrorKind::Transient,
            Cause::Tls => ErrorKind::Other,
            Cause::Own(kind) => *kind,
            Cause::Status(_) if self.is_no_key() => ErrorKind::NotFound,
            Cause::Status(_) if self.is_no_bucket() => ErrorKind::StoreMissing,
            Cause::Status(_) if self.has_code(&["InvalidObjectState"]) => ErrorKind::Other,
            Cause::Status(_) if self.has_code(&["QuotaExceeded", "XMinioStorageFull", "InsufficientStorage"]) => {
                ErrorKind::NoSpace
            }
            Cause::Status(507) => ErrorKind::NoSpace,
            Cause::Status(401 | 403) => ErrorKind::Denied,
            Cause::Status(416) => ErrorKind::Truncated,
            Cause::Status(408 | 429 | 500..) => ErrorKind::Transient,
            Cause::Status(_) => ErrorKind::Other,
        }
    }

    /// The error for the caller of a store. A redirect ends a publication as a refusal, and is just an error to a reader.
    pub(super) fn into_error(self, operation: &'static str, subject: impl Into<String>) -> StorageError {
        let kind = match (self.kind(), &self.cause) {
            (_, Cause::Guard(_)) if operation == "publish" => ErrorKind::Refused,
            (kind, _) => kind,
        };
        let mut detail = self.text;
        if self.code.as_deref() == Some("InvalidObjectState") {
            detail.push_str("; it is archived and has to be restored to the bucket first");
        }
        StorageError { operation, subject: subject.into(), kind, detail }
    }
}

/// What to do about a certificate, where it may be right and only not known here.
fn tls_remedy(error: &rustls::Error) -> &'static str {
    use rustls::CertificateError as E;
    match error {
        // A bad signature is what an authority of the right name and another key comes to.
        rustls::Error::InvalidCertificate(E::UnknownIssuer | E::BadSignature) => {
            "; if it was issued by an authority of your own, name that one with --cacert or in the site's declaration"
        }
        _ => "",
    }
}

/// What a server says, made fit for one line.
fn shortened(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(MESSAGE_MAX).collect()
}

/// The errors below `error`, itself first. An `io::Error` hides what it was made from, so it is looked into.
fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| match error.downcast_ref::<std::io::Error>() {
        Some(io) => io.get_ref().map(|inner| inner as &(dyn Error + 'static)),
        None => error.source(),
    })
}

fn find<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    chain(error).find_map(|error| error.downcast_ref::<T>())
}

/// The text of the error that the others were made from: theirs only say that something failed.
fn innermost(error: &(dyn Error + 'static)) -> String {
    let last = chain(error).filter(|error| !error.to_string().is_empty()).last();
    last.map(|error| shortened(&error.to_string())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(status: u16, code: &str) -> Failure {
        Failure { code: (!code.is_empty()).then(|| code.to_owned()), ..Failure::new(Cause::Status(status), "x") }
    }

    #[test]
    fn only_a_real_absence_is_one() {
        for (failure, kind) in [
            (status(404, "NoSuchKey"), ErrorKind::NotFound),
            (status(404, "NoSuchVersion"), ErrorKind::NotFound),
            (status(404, "NoSuchBucket"), ErrorKind::StoreMissing),
            (status(404, ""), ErrorKind::Other),
            (status(404, "NotFound"), ErrorKind::Other),
            (status(410, "NoSuchKey"), ErrorKind::Other),
            (status(403, "AccessDenied"), ErrorKind::Denied),
            (status(403, "NoSuchKey"), ErrorKind::Denied),
            (status(403, "InvalidObjectState"), ErrorKind::Other),
            (status(500, "NoSuchKey"), ErrorKind::Transient),
            (status(503, "SlowDown"), ErrorKind::Transient),
            (status(507, ""), ErrorKind::NoSpace),
            (Failure::new(Cause::Timeout, "x"), ErrorKind::Transient),
            (Failure::new(Cause::Tls, "x"), ErrorKind::Other),
            (Failure::new(Cause::Verdict(RefusalKind::NotNow), "x"), ErrorKind::NotNow),
            (Failure::new(Cause::Verdict(RefusalKind::Check), "x"), ErrorKind::Refused),
            (Failure::new(Cause::Guard(Box::new(GuardStop::Unsigned)), "x"), ErrorKind::Refused),
        ] {
            assert_eq!(failure.kind(), kind, "{failure:?}");
        }
    }

    #[test]
    fn a_redirect_is_a_refusal_to_publish_and_an_error_of_a_read() {
        let stop = GuardStop::Redirect { status: 307, location: Some("https://b.example/".into()), region: None };
        let failure = Failure::new(Cause::Guard(Box::new(stop.clone())), stop.to_string());
        assert_eq!(failure.clone().into_error("read", "d/x").kind, ErrorKind::Other);
        let error = failure.into_error("publish", "d/x");
        assert_eq!(error.kind, ErrorKind::Refused);
        assert!(error.to_string().contains("307") && error.to_string().contains("b.example"), "{error}");
    }

    #[test]
    fn certificates_that_may_be_right_come_with_advice() {
        use rustls::{CertificateError as E, Error::InvalidCertificate};
        for (error, is_advised) in [(E::UnknownIssuer, true), (E::BadSignature, true), (E::Expired, false)] {
            assert_eq!(tls_remedy(&InvalidCertificate(error.clone())).contains("--cacert"), is_advised, "{error:?}");
        }
    }

    #[test]
    fn what_a_server_says_fits_one_line() {
        assert_eq!(shortened("a\r\n\u{1b}[31mb"), "a[31mb");
        assert_eq!(shortened(&"x".repeat(1000)).len(), MESSAGE_MAX);
    }

    #[test]
    fn errors_inside_io_errors_are_found() {
        let inner = std::io::Error::other(GuardStop::Unsigned);
        let outer = std::io::Error::other(inner);
        assert_eq!(find::<GuardStop>(&outer), Some(&GuardStop::Unsigned));
        assert_eq!(innermost(&outer), GuardStop::Unsigned.to_string());
    }
}
