//! A client's connection with its deadlines: a slow head, a long silence, an answer nobody takes.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::sync::Notify;
use tokio::time::{Instant, Sleep};

use super::http2::streams::Streams;
use super::poll_on_news::PollOnNews;
use super::transport::Transport;
use crate::pacing::{self, Window};

/// `[listen] header_timeout` and `idle_timeout`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// From the first byte of a head to its last.
    pub(super) head: Duration,
    /// Without a request, or without the client taking anything of its answer.
    pub(super) idle: Duration,
}

/// What an HTTP/1 connection is doing; the service sets it, and the deadlines go by it.
#[derive(Clone, Debug)]
pub(super) struct Phase(Arc<AtomicU8>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Activity {
    /// Nothing is asked: silence counts against `idle`, and the first byte starts a head.
    Waiting,
    /// A request is being answered: its own deadlines hold.
    Answering,
    /// Handed over after a 101: the two ends have their own ideas of silence.
    Relaying,
}

impl Phase {
    /// A head is complete.
    pub(super) fn start_answer(&self) {
        self.set(Activity::Answering);
    }

    /// The whole answer is at hand.
    pub(super) fn end_answer(&self) {
        self.set(Activity::Waiting);
    }

    /// The connection is handed over.
    pub(super) fn start_relay(&self) {
        self.set(Activity::Relaying);
    }

    /// The answer streams; drop the guard at its end.
    pub(super) fn end_answer_on_drop(&self) -> StreamingAnswer {
        StreamingAnswer(self.clone())
    }

    fn set(&self, activity: Activity) {
        self.0.store(activity as u8, Ordering::Relaxed);
    }

    fn activity(&self) -> Activity {
        const WAITING: u8 = Activity::Waiting as u8;
        const ANSWERING: u8 = Activity::Answering as u8;
        match self.0.load(Ordering::Relaxed) {
            WAITING => Activity::Waiting,
            ANSWERING => Activity::Answering,
            _ => Activity::Relaying,
        }
    }
}

/// Held while an answer streams.
#[derive(Debug)]
pub(super) struct StreamingAnswer(Phase);

impl Drop for StreamingAnswer {
    fn drop(&mut self) {
        self.0.end_answer();
    }
}

/// A client's connection that ends when a deadline passes.
pub(super) struct Timed {
    io: TokioIo<Transport>,
    limits: Limits,
    phase: Phase,
    /// When a byte last went either way.
    moved: Instant,
    /// When the head under way began.
    head_since: Option<Instant>,
    /// What happened since the clock was last read; on HTTP/1 alone.
    since: Since,
    sleep: PollOnNews<Sleep>,
    /// Of the answers that HTTP/1 sends over it.
    window: Window,
    /// On HTTP/2 alone, where `phase` says nothing.
    http2: Option<Http2>,
}

/// What happened on an HTTP/1 connection since it last waited.
#[derive(Default)]
struct Since {
    /// A byte went either way.
    moved: bool,
    /// A head began, or went on.
    head: bool,
}

/// What the deadlines of an HTTP/2 connection go by.
struct Http2 {
    streams: Streams,
    /// When the socket last took a byte.
    wrote: Instant,
    /// When a stream was last open, a head complete or something of an answer sent.
    busy: Instant,
    /// Notified when the client has been idle too long, so that it is sent a `GOAWAY`.
    idle: Arc<Notify>,
}

impl Timed {
    pub(super) fn new(transport: Transport, limits: Limits) -> Timed {
        let now = Instant::now();
        Timed {
            io: TokioIo::new(transport),
            limits,
            phase: Phase(Arc::new(AtomicU8::new(Activity::Waiting as u8))),
            moved: now,
            // A new connection owes its first head.
            head_since: Some(now),
            since: Since::default(),
            sleep: PollOnNews::new(tokio::time::sleep_until(now + limits.head.min(limits.idle))),
            window: Window::default(),
            http2: None,
        }
    }

    /// Whether the client begins an HTTP/2 connection without TLS (RFC 9113 §3.3); fails when its first
    /// bytes do not come within `header_timeout`.
    pub(super) async fn begins_http2(&mut self) -> io::Result<bool> {
        std::future::poll_fn(|cx| match self.io.inner_mut().poll_preface(cx) {
            Poll::Ready(result) => Poll::Ready(result),
            Poll::Pending => self.poll_deadline(cx, false).map(Err),
        })
        .await
    }

    pub(super) fn transport(&self) -> &Transport {
        self.io.inner()
    }

    /// From now on the deadlines are those of HTTP/2. Returns what is notified when the client has been idle
    /// for `idle_timeout`.
    pub(super) fn speak_http2(&mut self, streams: Streams) -> Arc<Notify> {
        let idle = Arc::new(Notify::new());
        self.io.inner_mut().watch_frames();
        self.http2 = Some(Http2 {
            streams,
            wrote: self.moved,
            busy: self.moved,
            idle: idle.clone(),
        });
        idle
    }

    /// For the answers that are sent over it.
    pub(super) fn window(&self) -> Window {
        self.window.clone()
    }

    pub(super) fn phase(&self) -> Phase {
        self.phase.clone()
    }

    fn is_waiting(&self) -> bool {
        self.phase.activity() == Activity::Waiting
    }

    /// Whether the deadline has passed; else arranges to be woken at it. `write`: the client is not
    /// taking its answer.
    fn poll_deadline(&mut self, cx: &mut Context<'_>, write: bool) -> Poll<io::Error> {
        loop {
            let now = Instant::now();
            self.catch_up(now);
            let deadline = match &self.http2 {
                Some(http2) => self.deadline_of_http2(http2, write),
                None => self.deadline(write),
            };
            if deadline.is_some_and(|deadline| deadline <= now) && !self.send_away(write, now) {
                return Poll::Ready(io::ErrorKind::TimedOut.into());
            }
            let wake = deadline.filter(|deadline| *deadline > now);
            let wake = wake.unwrap_or(now + self.limits.idle);
            // A timer that is early only looks again; re-arming it per request would cost more.
            let serves = !self.sleep.get().is_elapsed() && self.sleep.get().deadline() <= wake;
            if !serves {
                self.sleep.get_mut().reset(wake);
            }
            if self.sleep.poll(cx, !serves).is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// What happened since the last wait counts as of now: nothing was waited for in between.
    fn catch_up(&mut self, now: Instant) {
        let Since { moved, head } = std::mem::take(&mut self.since);
        if moved {
            self.moved = now;
        }
        if head {
            self.head_since.get_or_insert(now);
        }
    }

    /// `None`: no deadline of ours holds.
    fn deadline(&self, write: bool) -> Option<Instant> {
        let counts = match self.phase.activity() {
            Activity::Waiting => true,
            Activity::Answering => write,
            Activity::Relaying => false,
        };
        let deadline = match self.head_since {
            Some(since) if self.is_waiting() && !write => since + self.limits.head,
            _ => self.moved + self.limits.idle,
        };
        counts.then_some(deadline)
    }

    fn deadline_of_http2(&self, http2: &Http2, write: bool) -> Option<Instant> {
        let Limits { head, idle } = self.limits;
        match self.head_since {
            _ if write => Some(http2.wrote + idle),
            Some(since) => Some(since + head),
            None if http2.streams.any() => None,
            // It has had its `GOAWAY`, and has as long to answer that as for a head.
            None if http2.streams.are_leaving() => Some(http2.busy + head.min(idle)),
            None => Some(http2.busy + idle),
        }
    }

    /// Tells the client of HTTP/2 that has become idle to go (`GOAWAY`); false if that is not the case, or
    /// done already. It then has time to close in order.
    fn send_away(&mut self, write: bool, now: Instant) -> bool {
        let head_is_late = self.head_since.is_some();
        match &mut self.http2 {
            Some(http2) if !write && !head_is_late && !http2.streams.are_leaving() => {
                http2.streams.leave();
                http2.busy = now;
                http2.idle.notify_one();
                true
            }
            _ => false,
        }
    }

    fn note_read(&mut self) {
        if self.http2.is_some() {
            self.moved = Instant::now();
            return self.note_frames();
        }
        self.since.moved = true;
        self.since.head = self.is_waiting();
        if !self.since.head {
            self.head_since = None;
        }
    }

    fn note_written(&mut self) {
        if let Some(http2) = &mut self.http2 {
            self.moved = Instant::now();
            http2.wrote = self.moved;
            return self.note_frames();
        }
        self.since = Since {
            moved: true,
            head: false,
        };
        self.head_since = None;
    }

    fn note_frames(&mut self) {
        let passed = self.io.inner_mut().passed();
        let Some(http2) = &mut self.http2 else {
            return;
        };
        if passed.head || passed.answer || http2.streams.any() {
            http2.busy = self.moved;
        }
        if passed.head {
            self.head_since = None;
        }
        if passed.head_open {
            self.head_since.get_or_insert(self.moved);
        }
    }
}

impl Read for Timed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        match pacing::read_little(Pin::new(&mut self.io), cx, buf, pacing::READ) {
            Poll::Ready(result) => {
                self.note_read();
                Poll::Ready(result)
            }
            Poll::Pending => self.poll_deadline(cx, false).map(Err),
        }
    }
}

impl Write for Timed {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.io).poll_write(cx, buf) {
            Poll::Ready(result) => {
                self.note_written();
                Poll::Ready(result)
            }
            Poll::Pending => self.poll_deadline(cx, true).map(Err),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.io).poll_write_vectored(cx, bufs) {
            Poll::Ready(result) => {
                self.note_written();
                Poll::Ready(result)
            }
            Poll::Pending => self.poll_deadline(cx, true).map(Err),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // hyper flushes when it has nothing left to write.
        self.window.open();
        match Pin::new(&mut self.io).poll_flush(cx) {
            Poll::Ready(result) => Poll::Ready(result),
            Poll::Pending => self.poll_deadline(cx, true).map(Err),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
