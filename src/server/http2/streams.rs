//! The streams of one HTTP/2 connection: how many are open, and whose turn it is in each.
//!
//! hyper asks a body for its next piece only when the client has taken enough of the one before. So a
//! stream in which we have given a piece and are not asked for the next is waiting for its client; if
//! that lasts, the stream is reset and its neighbours go on.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::rt::Executor;
use tokio::time::Sleep;

use super::calm;
use crate::body::{Body, BoxError};
use crate::metrics::Metrics;
use crate::rate_timeout::RateTimeout;
use crate::server::cut::Cut;

/// The most that is given at a time: what is taken is known no more finely.
const PIECE: usize = 16 << 10;

tokio::task_local! {
    /// Of the stream whose task runs.
    static TURN: Turn;
}

/// Counts the open streams of a connection; clones count together.
#[derive(Clone, Debug, Default)]
pub(in crate::server) struct Streams(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    open: AtomicUsize,
    leaving: AtomicBool,
    /// What pieces of answers have given to the budget of frames.
    earned: AtomicUsize,
}

/// Runs a connection's streams, each in a task of its own.
#[derive(Clone, Debug)]
pub(in crate::server) struct Spawner {
    streams: Streams,
    /// How long a client may take nothing of an answer, or too little.
    timeout: RateTimeout,
    metrics: Arc<Metrics>,
}

/// Who is waited for in one stream: the client, to take the piece it was given, or we, to make the next.
#[derive(Clone, Debug)]
struct Turn(Arc<TurnState>);

#[derive(Debug, Default)]
struct TurnState {
    streams: Streams,
    awaits_client: AtomicBool,
    /// Bytes of the piece that was given last.
    given: AtomicUsize,
    /// Bytes of those before it, which the client has taken: else the last one had not been asked for.
    taken: AtomicUsize,
}

impl Streams {
    /// Whether any request is being answered.
    pub(in crate::server) fn any(&self) -> bool {
        self.0.open.load(Ordering::Relaxed) > 0
    }

    /// Whether the client was sent a `GOAWAY`.
    pub(in crate::server) fn are_leaving(&self) -> bool {
        self.0.leaving.load(Ordering::Relaxed)
    }

    /// The client is being sent a `GOAWAY`.
    pub(in crate::server) fn leave(&self) {
        self.0.leaving.store(true, Ordering::Relaxed);
    }

    /// What pieces of answers have earned the client since this was asked last.
    pub(in crate::server) fn take_earned(&self) -> usize {
        self.0.earned.swap(0, Ordering::Relaxed)
    }

    fn open(&self) -> Open {
        self.0.open.fetch_add(1, Ordering::Relaxed);
        Open(self.clone())
    }
}

/// Counts as a stream until it is dropped.
#[derive(Debug)]
struct Open(Streams);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Spawner {
    pub(in crate::server) fn new(
        streams: Streams,
        timeout: RateTimeout,
        metrics: Arc<Metrics>,
    ) -> Spawner {
        Spawner {
            streams,
            timeout,
            metrics,
        }
    }
}

impl<F> Executor<F> for Spawner
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, future: F) {
        tokio::spawn(Stream {
            future: Box::pin(future),
            turn: Turn::new(self.streams.clone()),
            timeout: self.timeout,
            metrics: self.metrics.clone(),
            seen: 0,
            sleep: None,
            _open: self.streams.open(),
        });
    }
}

/// hyper's work on one stream. Dropped before its end it resets the stream, once nobody reads the request's body any more
/// ([`crate::body::Upload`]).
struct Stream<F> {
    future: Pin<Box<F>>,
    turn: Turn,
    timeout: RateTimeout,
    metrics: Arc<Metrics>,
    /// Bytes taken when this was looked at last.
    seen: usize,
    sleep: Option<Pin<Box<Sleep>>>,
    _open: Open,
}

impl<F> Stream<F> {
    /// The client is waited for no longer, and has taken what it has.
    fn note_taken(&mut self) {
        let taken = self.turn.taken();
        self.timeout.note_moved(taken.wrapping_sub(self.seen));
        self.seen = taken;
    }
}

impl<F: Future<Output = ()>> Future for Stream<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let polled = TURN.sync_scope(this.turn.clone(), || this.future.as_mut().poll(cx));
        if polled.is_ready() {
            return Poll::Ready(());
        }
        if !this.turn.awaits_client() {
            // Not from the start: the app is waited for after each piece that the client makes room for.
            this.note_taken();
            this.sleep = None;
            return Poll::Pending;
        }
        if this.seen != this.turn.taken() {
            this.note_taken();
        }
        let deadline = this.timeout.wait();
        let sleep = this
            .sleep
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if sleep.deadline() != deadline {
            sleep.as_mut().reset(deadline);
        }
        ready!(sleep.as_mut().poll(cx));
        Cut::SlowAnswer.count(&this.metrics);
        tracing::debug!("stream reset: {}", Cut::SlowAnswer);
        Poll::Ready(())
    }
}

impl Turn {
    fn new(streams: Streams) -> Turn {
        Turn(Arc::new(TurnState {
            streams,
            ..TurnState::default()
        }))
    }

    fn note_given(&self, bytes: usize) {
        let earned = &self.0.streams.0.earned;
        earned.fetch_add(calm::earned_by_piece(bytes), Ordering::Relaxed);
        let before = self.0.given.swap(bytes, Ordering::Relaxed);
        self.0.taken.fetch_add(before, Ordering::Relaxed);
        self.0.awaits_client.store(true, Ordering::Relaxed);
    }

    fn note_awaited(&self) {
        self.0.awaits_client.store(false, Ordering::Relaxed);
    }

    fn awaits_client(&self) -> bool {
        self.0.awaits_client.load(Ordering::Relaxed)
    }

    fn taken(&self) -> usize {
        self.0.taken.load(Ordering::Relaxed)
    }
}

/// An answer's body, given in pieces small enough to see whether the client takes them.
#[derive(Debug)]
pub(in crate::server) struct PacedBody {
    body: Body,
    rest: Bytes,
}

impl PacedBody {
    pub(in crate::server) fn new(body: Body) -> PacedBody {
        PacedBody {
            body,
            rest: Bytes::new(),
        }
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.rest.is_empty() {
            let frame = match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => frame,
                other => return Poll::Ready(other),
            };
            match frame.into_data() {
                Ok(data) => self.rest = data,
                Err(other) => return Poll::Ready(Some(Ok(other))),
            }
        }
        let piece = self.rest.split_to(self.rest.len().min(PIECE));
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }
}

impl HttpBody for PacedBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let polled = self.poll_next(cx);
        // Outside of a `Stream`'s task nobody waits.
        let _ = TURN.try_with(|turn| match &polled {
            Poll::Ready(Some(Ok(frame))) => turn.note_given(frame.data_ref().map_or(0, Bytes::len)),
            _ => turn.note_awaited(),
        });
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.rest.len() as u64;
        let body = self.body.size_hint();
        let mut hint = SizeHint::new();
        if let Some(upper) = body.upper() {
            hint.set_upper(upper + rest);
        }
        hint.set_lower(body.lower() + rest);
        hint
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn pieces_are_small_and_whole() {
        for length in [0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE + 5] {
            let bytes = Bytes::from((0..length).map(|n| n as u8).collect::<Vec<_>>());
            let mut body = PacedBody::new(Body::whole(bytes.clone()));
            assert_eq!(body.size_hint().exact(), Some(length as u64), "{length}");
            let mut gathered = Vec::new();
            while let Some(frame) = body.frame().await {
                let piece = frame.unwrap().into_data().unwrap();
                assert!(!piece.is_empty() && piece.len() <= PIECE, "{length}");
                gathered.extend_from_slice(&piece);
                let left = (length - gathered.len()) as u64;
                assert_eq!(body.size_hint().exact(), Some(left), "{length}");
                assert_eq!(body.is_end_stream(), left == 0, "{length}");
            }
            assert_eq!(gathered, bytes, "{length}");
        }
    }

    /// A body that has given a piece and is not asked again: its client takes nothing.
    #[tokio::test(start_paused = true)]
    async fn a_stream_waits_so_long_for_its_client_and_for_us_without_end() {
        let idle_timeout = Duration::from_secs(5);
        let rows = [("client", true, true), ("app", false, false)];
        for (name, given, ends) in rows {
            let streams = Streams::default();
            let timeout = RateTimeout::new(idle_timeout, 0);
            let spawner = Spawner::new(streams.clone(), timeout, Arc::default());
            spawner.execute(async move {
                if given {
                    let mut body = PacedBody::new(Body::whole("x".into()));
                    body.frame().await;
                }
                std::future::pending::<()>().await;
            });
            assert!(streams.any(), "{name}");
            tokio::time::sleep(idle_timeout - Duration::from_millis(1)).await;
            assert!(streams.any(), "{name}");
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert_eq!(!streams.any(), ends, "{name}");
        }
    }
}
