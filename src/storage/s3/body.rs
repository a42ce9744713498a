//! Bodies on their way: counted, held to the bandwidth limit, and watched, so that a connection on which nothing moves is
//! an error after a while and never a wait without end.

use crate::storage::s3::limit::Limiter;
use crate::storage::s3::options::Timeouts;
use crate::storage::s3::traffic::Meter;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep, sleep_until};

/// Bytes handed to a connection at once.
const PIECE_LEN: usize = 64 << 10;
/// Bytes that buffers below us may hold when we have handed over the last: they need time too.
const BUFFERED_MAX: u64 = 8 << 20;

/// Nothing moved for too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stalled {
    /// What was waited for.
    what: &'static str,
    /// How long, in seconds.
    seconds: u64,
}

impl fmt::Display for Stalled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} within {} s", self.what, self.seconds)
    }
}

impl std::error::Error for Stalled {}

/// How far a request has come; shared between its body and whoever watches it.
#[derive(Debug)]
pub(super) struct Progress {
    begun: Instant,
    total: u64,
    /// When something last moved, or when the bandwidth limit lets the next piece go. Milliseconds since the beginning.
    moved_ms: AtomicU64,
    /// Time spent waiting for the bandwidth limit: nobody's fault.
    waited_ms: AtomicU64,
    is_sent: AtomicBool,
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Progress {
    /// Of a request whose body has this many bytes.
    pub(super) fn new(total: u64) -> Self {
        Self {
            begun: Instant::now(),
            total,
            moved_ms: AtomicU64::new(0),
            waited_ms: AtomicU64::new(0),
            is_sent: AtomicBool::new(total == 0),
        }
    }

    fn moved(&self, then_wait: Duration) {
        let now = self.begun.elapsed();
        self.moved_ms.store(millis(now + then_wait), Ordering::Relaxed);
        self.waited_ms.fetch_add(millis(then_wait), Ordering::Relaxed);
    }

    /// How long after its beginning the request counts as stalled unless something moves, and what to say then.
    fn due(&self, timeouts: &Timeouts) -> (Duration, Stalled) {
        let load = |value: &AtomicU64| Duration::from_millis(value.load(Ordering::Relaxed));
        let whole = timeouts.attempt_for(self.total) + load(&self.waited_ms);
        let (allowed, what) = if self.is_sent.load(Ordering::Relaxed) {
            let flushing = timeouts.attempt_for(self.total.min(BUFFERED_MAX)) - timeouts.attempt;
            (timeouts.idle + flushing, "no answer")
        } else {
            (timeouts.idle, "nothing could be sent")
        };
        let next = load(&self.moved_ms) + allowed;
        if next < whole {
            (next, Stalled { what, seconds: allowed.as_secs() })
        } else {
            (whole, Stalled { what: "the request was not done", seconds: whole.as_secs() })
        }
    }

    /// Returns when the request has stalled.
    pub(super) async fn stalled(&self, timeouts: &Timeouts) -> Stalled {
        loop {
            let (due, stalled) = self.due(timeouts);
            if self.begun.elapsed() >= due {
                return stalled;
            }
            sleep_until(self.begun + due).await;
        }
    }
}

/// A request's body.
pub(super) struct Outgoing {
    inner: SdkBody,
    piece: Bytes,
    length: SizeHint,
    meter: Meter,
    limiter: Option<Arc<Limiter>>,
    /// The clock of the limiter.
    epoch: Instant,
    progress: Arc<Progress>,
    pause: Option<Pin<Box<Sleep>>>,
}

impl Outgoing {
    /// Wraps a body.
    pub(super) fn new(
        inner: SdkBody,
        meter: Meter,
        limiter: Option<Arc<Limiter>>,
        epoch: Instant,
        progress: Arc<Progress>,
    ) -> Self {
        let length = Body::size_hint(&inner);
        Self { inner, piece: Bytes::new(), length, meter, limiter, epoch, progress, pause: None }
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        if let Some(pause) = &mut this.pause {
            ready!(pause.as_mut().poll(cx));
            this.pause = None;
        }
        while this.piece.is_empty() {
            match ready!(Pin::new(&mut this.inner).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => this.piece = data,
                    Err(frame) => return Poll::Ready(Some(Ok(frame))),
                },
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => {
                    this.progress.is_sent.store(true, Ordering::Relaxed);
                    return Poll::Ready(None);
                }
            }
        }
        let piece = this.piece.split_to(this.piece.len().min(PIECE_LEN));
        this.meter.sent(piece.len());
        let wait = this.limiter.as_ref().map_or(Duration::ZERO, |l| l.take(piece.len(), this.epoch.elapsed()));
        this.progress.moved(wait);
        if !wait.is_zero() {
            this.pause = Some(Box::pin(sleep(wait)));
        }
        if let Some(left) = this.length.exact() {
            let left = left.saturating_sub(piece.len() as u64);
            this.length = SizeHint::with_exact(left);
            this.progress.is_sent.store(left == 0, Ordering::Relaxed);
        }
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn size_hint(&self) -> SizeHint {
        self.length
    }

    fn is_end_stream(&self) -> bool {
        self.length.exact() == Some(0)
    }
}

/// An answer's body.
pub(super) struct Incoming {
    inner: SdkBody,
    meter: Meter,
    limiter: Option<Arc<Limiter>>,
    epoch: Instant,
    begun: Instant,
    idle: Duration,
    /// How long the whole may take, waits for the limit not counted; `None` if its length is not known.
    whole: Option<Duration>,
    waited: Duration,
    pause: Option<Pin<Box<Sleep>>>,
    timer: Pin<Box<Sleep>>,
}

impl Incoming {
    /// Wraps a body that is announced to have `length` bytes.
    pub(super) fn new(
        inner: SdkBody,
        length: Option<u64>,
        meter: Meter,
        limiter: Option<Arc<Limiter>>,
        epoch: Instant,
        timeouts: &Timeouts,
    ) -> Self {
        Self {
            inner,
            meter,
            limiter,
            epoch,
            begun: Instant::now(),
            idle: timeouts.idle,
            whole: length.map(|length| timeouts.attempt_for(length)),
            waited: Duration::ZERO,
            pause: None,
            timer: Box::pin(sleep(timeouts.idle)),
        }
    }
}

impl Body for Incoming {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        if let Some(pause) = &mut this.pause {
            ready!(pause.as_mut().poll(cx));
            this.pause = None;
            this.timer.as_mut().reset(Instant::now() + this.idle);
        }
        let frame = match Pin::new(&mut this.inner).poll_frame(cx) {
            Poll::Ready(frame) => frame,
            Poll::Pending => {
                ready!(this.timer.as_mut().poll(cx));
                let stalled = Stalled { what: "no more of the answer came", seconds: this.idle.as_secs() };
                return Poll::Ready(Some(Err(stalled.into())));
            }
        };
        let Some(Ok(frame)) = frame else { return Poll::Ready(frame) };
        if let Some(data) = frame.data_ref() {
            this.meter.received(data.len());
            let wait = this.limiter.as_ref().map_or(Duration::ZERO, |l| l.take(data.len(), this.epoch.elapsed()));
            if !wait.is_zero() {
                this.waited += wait;
                this.pause = Some(Box::pin(sleep(wait)));
            }
        }
        if let Some(whole) = this.whole
            && this.begun.elapsed() > whole + this.waited
        {
            let stalled = Stalled { what: "the answer did not end", seconds: whole.as_secs() };
            return Poll::Ready(Some(Err(stalled.into())));
        }
        this.timer.as_mut().reset(Instant::now() + this.idle);
        Poll::Ready(Some(Ok(frame)))
    }

    fn size_hint(&self) -> SizeHint {
        Body::size_hint(&self.inner)
    }

    fn is_end_stream(&self) -> bool {
        Body::is_end_stream(&self.inner)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::storage::s3::traffic::TrafficLog;
    use aws_smithy_types::byte_stream::ByteStream;
    use std::future::poll_fn;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
    }

    #[test]
    fn a_body_goes_out_in_pieces_and_is_counted() {
        runtime().block_on(async {
            let bytes: Vec<u8> = (0..200_000u32).map(|i| (i % 251) as u8).collect();
            let (log, progress) = (TrafficLog::default(), Arc::new(Progress::new(200_000)));
            let body = SdkBody::from(bytes.clone());
            let mut body = Outgoing::new(body, log.request("h"), None, Instant::now(), progress.clone());
            assert_eq!(Body::size_hint(&body).exact(), Some(200_000));
            let mut seen = Vec::new();
            while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
                let data = frame.unwrap().into_data().unwrap();
                assert!(data.len() <= PIECE_LEN);
                assert_eq!(progress.is_sent.load(Ordering::Relaxed), seen.len() + data.len() == bytes.len());
                seen.extend_from_slice(&data);
            }
            assert!(seen == bytes && body.is_end_stream());
            assert_eq!(log.snapshot().total().sent_bytes, 200_000);
        });
    }

    #[test]
    fn what_does_not_move_is_stalled_and_waiting_for_the_limit_is_not() {
        let _guard = runtime();
        let _enter = _guard.enter();
        let timeouts = Timeouts::default();
        let progress = Progress::new(32 << 20);
        assert_eq!(progress.due(&timeouts).0, timeouts.idle);
        progress.moved(Duration::from_secs(1000));
        let (due, stalled) = progress.due(&timeouts);
        assert!(due >= Duration::from_secs(1000) + timeouts.idle, "{due:?}");
        assert_eq!(stalled.what, "nothing could be sent");
        progress.is_sent.store(true, Ordering::Relaxed);
        assert_eq!(progress.due(&timeouts).1.what, "no answer");
        // Something moves all the time, and still it does not end.
        let slow = Progress::new(0);
        slow.moved_ms.store(millis(Duration::from_secs(3600)), Ordering::Relaxed);
        assert_eq!(slow.due(&timeouts).0, timeouts.attempt);
    }

    #[test]
    fn an_answer_that_stops_is_an_error() {
        runtime().block_on(async {
            struct Silent;
            impl Body for Silent {
                type Data = Bytes;
                type Error = BoxError;
                fn poll_frame(
                    self: Pin<&mut Self>,
                    _: &mut Context<'_>,
                ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
                    Poll::Pending
                }
            }
            let timeouts = Timeouts { idle: Duration::from_millis(1), ..Timeouts::default() };
            let meter = TrafficLog::default().request("h");
            let inner = SdkBody::from_body_1_x(Silent);
            let body = Incoming::new(inner, None, meter, None, Instant::now(), &timeouts);
            let error = ByteStream::new(SdkBody::from_body_1_x(body)).collect().await.unwrap_err();
            let found = std::error::Error::source(&error).map(ToString::to_string);
            assert!(found.is_some_and(|text| text.contains("no more of the answer")), "{error:?}");
        });
    }
}
