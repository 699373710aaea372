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
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::rt::Executor;
use tokio::time::{Instant, Sleep};

use crate::body::{Body, BoxError};

/// The most that is given at a time: the client must take so much within the idle timeout.
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
}

/// Runs a connection's streams, each in a task of its own.
#[derive(Clone, Debug)]
pub(in crate::server) struct Spawner {
    streams: Streams,
    /// How long a client may take nothing of an answer.
    idle_timeout: Duration,
}

/// Who is waited for in one stream: the client, to take the piece it was given, or we, to make the next.
#[derive(Clone, Debug, Default)]
struct Turn(Arc<TurnState>);

#[derive(Debug, Default)]
struct TurnState {
    awaits_client: AtomicBool,
    given: AtomicUsize,
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
    pub(in crate::server) fn new(streams: Streams, idle_timeout: Duration) -> Spawner {
        Spawner {
            streams,
            idle_timeout,
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
            turn: Turn::default(),
            idle_timeout: self.idle_timeout,
            seen: 0,
            sleep: None,
            _open: self.streams.open(),
        });
    }
}

/// hyper's work on one stream. Dropped before its end it resets the stream.
struct Stream<F> {
    future: Pin<Box<F>>,
    turn: Turn,
    idle_timeout: Duration,
    /// Pieces given when the wait for the client began.
    seen: usize,
    sleep: Option<Pin<Box<Sleep>>>,
    _open: Open,
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
            this.sleep = None;
            return Poll::Pending;
        }
        let given = this.turn.given();
        let until = Instant::now() + this.idle_timeout;
        match &mut this.sleep {
            Some(sleep) if this.seen != given => sleep.as_mut().reset(until),
            Some(_) => {}
            None => this.sleep = Some(Box::pin(tokio::time::sleep_until(until))),
        }
        this.seen = given;
        if let Some(sleep) = &mut this.sleep {
            ready!(sleep.as_mut().poll(cx));
        }
        tracing::debug!(after = ?this.idle_timeout, "stream reset: the client takes nothing of its answer");
        Poll::Ready(())
    }
}

impl Turn {
    fn note_given(&self) {
        self.0.given.fetch_add(1, Ordering::Relaxed);
        self.0.awaits_client.store(true, Ordering::Relaxed);
    }

    fn note_awaited(&self) {
        self.0.awaits_client.store(false, Ordering::Relaxed);
    }

    fn awaits_client(&self) -> bool {
        self.0.awaits_client.load(Ordering::Relaxed)
    }

    fn given(&self) -> usize {
        self.0.given.load(Ordering::Relaxed)
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
        let _ = TURN.try_with(|turn| match polled {
            Poll::Ready(Some(Ok(_))) => turn.note_given(),
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
            let spawner = Spawner::new(streams.clone(), idle_timeout);
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
