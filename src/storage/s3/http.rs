//! The SDK's HTTP client with the guard around it: every request and every answer passes here and nowhere else.

use crate::storage::s3::body::{Incoming, Outgoing, Progress, Stalled};
use crate::storage::s3::guard::{Answered, Asked, Guard};
use crate::storage::s3::limit::Limiter;
use crate::storage::s3::options::Timeouts;
use crate::storage::s3::traffic::TrafficLog;
use crate::storage::s3::xml;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::{RuntimeComponents, RuntimeComponentsBuilder};
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;
use aws_smithy_types::config_bag::ConfigBag;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use tokio::time::Instant;

/// Longest answer that is read here: errors, and answers about the bucket's settings.
const KEPT_MAX: usize = 1 << 20;

/// What every exchange needs.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) guard: Arc<Guard>,
    pub(super) traffic: TrafficLog,
    pub(super) timeouts: Timeouts,
    pub(super) upload: Option<Arc<Limiter>>,
    pub(super) download: Option<Arc<Limiter>>,
    pub(super) epoch: Instant,
}

/// The guarded client.
#[derive(Debug)]
pub(super) struct GuardedClient {
    pub(super) inner: SharedHttpClient,
    pub(super) wire: Arc<Wire>,
}

impl HttpClient for GuardedClient {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        let inner = self.inner.http_connector(settings, components);
        SharedHttpConnector::new(GuardedConnector { inner, wire: self.wire.clone() })
    }

    fn validate_base_client_config(
        &self,
        components: &RuntimeComponentsBuilder,
        config: &ConfigBag,
    ) -> Result<(), BoxError> {
        self.inner.validate_base_client_config(components, config)
    }

    fn validate_final_config(&self, components: &RuntimeComponents, config: &ConfigBag) -> Result<(), BoxError> {
        self.inner.validate_final_config(components, config)
    }
}

#[derive(Debug)]
struct GuardedConnector {
    inner: SharedHttpConnector,
    wire: Arc<Wire>,
}

impl HttpConnector for GuardedConnector {
    fn call(&self, mut request: HttpRequest) -> HttpConnectorFuture {
        let wire = self.wire.clone();
        let length = request.body().content_length();
        let asked = Asked {
            method: request.method(),
            uri: request.uri(),
            host: request.headers().get("host"),
            body_hash: request.headers().get("x-amz-content-sha256"),
            has_body: length != Some(0),
            has_range: request.headers().contains_key("range"),
        };
        let subject = match wire.guard.check_request(&asked) {
            Ok(subject) => subject,
            Err(stop) => return HttpConnectorFuture::ready(Err(ConnectorError::user(stop.into()))),
        };
        let (has_range, question) = (asked.has_range, wire.guard.question(asked.uri));
        // S3 may begin to answer a change with 200 before it knows whether it succeeds.
        let may_fail_late = ["PUT", "POST", "DELETE"].contains(&asked.method);
        let is_put = asked.method == "PUT";
        let meter = wire.traffic.request(authority(asked.uri));
        let progress = Arc::new(Progress::new(length.unwrap_or(0)));
        if asked.has_body {
            let body = std::mem::replace(request.body_mut(), SdkBody::taken());
            let body = Outgoing::new(body, meter.clone(), wire.upload.clone(), wire.epoch, progress.clone());
            *request.body_mut() = SdkBody::from_body_1_x(body);
        }
        let pending = self.inner.call(request);
        HttpConnectorFuture::new(async move {
            let mut answer = match race(pending, progress.stalled(&wire.timeouts)).await {
                Ok(answer) => answer?,
                Err(stalled) => return Err(ConnectorError::timeout(stalled.into())),
            };
            let status = answer.status().as_u16();
            let header = |name| answer.headers().get(name);
            let length = header("content-length").and_then(|text| text.parse().ok());
            let answered = Answered {
                status,
                region: header("x-amz-bucket-region"),
                location: header("location"),
                content_range: header("content-range"),
            };
            let checked = wire.guard.check_answer(subject, has_range, &answered);
            checked.map_err(|stop| ConnectorError::user(stop.into()))?;
            let body = std::mem::replace(answer.body_mut(), SdkBody::taken());
            let body = Incoming::new(body, length, meter, wire.download.clone(), wire.epoch, &wire.timeouts);
            let mut body = SdkBody::from_body_1_x(body);
            if status >= 300 || question.is_some() || may_fail_late {
                let bytes = collect(body).await?;
                if status < 300 && may_fail_late && xml::root(&bytes) == Some("Error") {
                    let failed =
                        StatusCode::try_from(500).map_err(|error| ConnectorError::other(error.into(), None))?;
                    *answer.status_mut() = failed;
                }
                // A store acknowledges an object with nothing but a head. A page is another server's, whatever tag it has: without
                // the tag the store is asked what it has.
                if status < 300 && is_put && !bytes.is_empty() {
                    answer.headers_mut().remove("etag");
                }
                if status >= 300 {
                    wire.guard.check_error(subject, status, &bytes);
                }
                if let Some(question) = question {
                    wire.guard.keep(question, bytes.clone());
                }
                body = SdkBody::from(bytes);
            }
            *answer.body_mut() = body;
            Ok::<HttpResponse, ConnectorError>(answer)
        })
    }
}

/// `HOST[:PORT]` of a URI that the guard let pass.
fn authority(uri: &str) -> &str {
    let rest = uri.split_once("://").map_or(uri, |(_, rest)| rest);
    rest.split(['/', '?', '#']).next().unwrap_or(rest)
}

/// A short answer, whole.
async fn collect(body: SdkBody) -> Result<Vec<u8>, ConnectorError> {
    let mut stream = ByteStream::new(body);
    let mut bytes = Vec::new();
    while let Some(piece) = stream.next().await {
        bytes.extend_from_slice(&piece.map_err(|error| ConnectorError::io(error.into()))?);
        if bytes.len() > KEPT_MAX {
            return Err(ConnectorError::other("an answer that should be short is longer than 1 MiB".into(), None));
        }
    }
    Ok(bytes)
}

/// The first to be done; both at once is a success.
async fn race<T>(work: impl Future<Output = T>, watch: impl Future<Output = Stalled>) -> Result<T, Stalled> {
    let (mut work, mut watch) = (pin!(work), pin!(watch));
    poll_fn(|cx| match work.as_mut().poll(cx) {
        Poll::Ready(done) => Poll::Ready(Ok(done)),
        Poll::Pending => watch.as_mut().poll(cx).map(Err),
    })
    .await
}
