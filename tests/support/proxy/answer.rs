//! Answers that a store might give, or another machine in its place.

use super::http::{Framing, Head};
use std::io::{self, Write};

/// An answer that is not the server's.
#[derive(Debug, Clone)]
pub struct Answer {
    head: Head,
    body: Vec<u8>,
}

impl Answer {
    pub fn new(status: u16) -> Self {
        let reason = match status {
            200 => "OK",
            301 => "Moved Permanently",
            302 => "Found",
            307 => "Temporary Redirect",
            308 => "Permanent Redirect",
            400 => "Bad Request",
            403 => "Forbidden",
            404 => "Not Found",
            429 => "Too Many Requests",
            500 => "Internal Server Error",
            503 => "Service Unavailable",
            _ => "Made Up",
        };
        Self { head: Head::new(format!("HTTP/1.1 {status} {reason}")), body: Vec::new() }
    }

    pub fn field(mut self, name: &str, value: &str) -> Self {
        self.head.set(name, value);
        self
    }

    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    fn xml(self, document: &str) -> Self {
        let text = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{document}");
        self.field("Content-Type", "application/xml").body(text)
    }

    fn error_with(status: u16, code: &str, inner: &str) -> Self {
        Self::new(status).xml(&format!(
            "<Error><Code>{code}</Code><Message>made up by the test's proxy</Message>{inner}<RequestId>TEST</RequestId></Error>"
        ))
    }

    /// An S3 error: `(503, "SlowDown")`, `(500, "InternalError")`, `(429, "TooManyRequests")`, `(403, "AccessDenied")`.
    pub fn error(status: u16, code: &str) -> Self {
        Self::error_with(status, code, "")
    }

    /// With a wish when to come again.
    pub fn retry_after(self, seconds: u64) -> Self {
        self.field("Retry-After", &seconds.to_string())
    }

    /// A redirect (301, 302, 307, 308) to another server's URL. The body is the one that S3 sends along.
    pub fn redirect(status: u16, location: &str) -> Self {
        let code = if matches!(status, 301 | 308) { "PermanentRedirect" } else { "TemporaryRedirect" };
        let host = location.split("//").last().unwrap_or_default().split('/').next().unwrap_or_default();
        Self::error_with(status, code, &format!("<Endpoint>{host}</Endpoint>")).field("Location", location)
    }

    /// What S3 answers when a bucket is in another region: 301 without `Location`, with the place in header and body.
    pub fn other_region(endpoint: &str, region: &str) -> Self {
        let inner = format!("<Endpoint>{endpoint}</Endpoint><Region>{region}</Region>");
        Self::error_with(301, "PermanentRedirect", &inner).field("x-amz-bucket-region", region)
    }

    /// What S3 answers when a request was signed for another region than `region`.
    pub fn malformed_authorization(region: &str) -> Self {
        Self::error_with(400, "AuthorizationHeaderMalformed", &format!("<Region>{region}</Region>"))
            .field("x-amz-bucket-region", region)
    }

    /// Success by its status, an error by its body: S3 may do so where it sends the status before it knows.
    pub fn error_in_success(code: &str) -> Self {
        let mut answer = Self::error_with(500, code, "");
        answer.head.start = "HTTP/1.1 200 OK".into();
        answer
    }

    /// The answer of `GetBucketLocation`.
    pub fn location(region: &str) -> Self {
        let space = "http://s3.amazonaws.com/doc/2006-03-01/";
        Self::new(200).xml(&format!("<LocationConstraint xmlns=\"{space}\">{region}</LocationConstraint>"))
    }

    pub fn status(&self) -> u16 {
        self.head.status()
    }

    /// Writes the answer to a request of that method.
    pub(super) fn write(&self, writer: &mut impl Write, method: &str, close: bool) -> io::Result<()> {
        let mut head = self.head.clone();
        if head.get("content-length").is_none() {
            head.set("Content-Length", &self.body.len().to_string());
        }
        if close {
            head.set("Connection", "close");
        }
        let has_body = head.answer_framing(method) != Framing::Length(0);
        let mut bytes = head.bytes();
        bytes.extend_from_slice(if has_body { &self.body } else { &[] });
        writer.write_all(&bytes)
    }
}
