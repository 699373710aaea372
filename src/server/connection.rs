//! A client's connection with its deadlines: a slow head, a long silence, an answer nobody takes.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::sync::Notify;
use tokio::time::{Instant, Sleep};

use super::cut::Cut;
use super::http2::calm::FrameBudget;
use super::http2::frames::Passed;
use super::http2::streams::Streams;
use super::idle::{Activity, Idleness};
use super::poll_on_news::PollOnNews;
use super::transport::Transport;
use crate::metrics::Metrics;
use crate::pacing::{self, Window};
use crate::rate_timeout::RateTimeout;

/// `[listen] header_timeout`, `idle_timeout` and `min_rate`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// From the first byte of a head to its last.
    pub(super) head: Duration,
    /// Without a request, or without the client taking anything of its answer.
    pub(super) idle: Duration,
    /// Bytes a second that the client takes of an answer, in the long run; 0: any.
    pub(super) min_rate: u64,
}

impl Limits {
    /// For a client that is to take an answer.
    pub(super) fn taking(self) -> RateTimeout {
        RateTimeout::new(self.idle, self.min_rate)
    }
}

/// Codes of `GOAWAY` (RFC 9113 §7).
const NO_ERROR: u8 = 0;
const ENHANCE_YOUR_CALM: u8 = 0xb;

/// What an HTTP/1 connection is doing; the service sets it, and the deadlines go by it.
#[derive(Clone, Debug)]
pub(super) struct Phase(Arc<Idleness>);

impl Phase {
    /// A head is complete. To be said before anything is read behind it.
    pub(super) fn start_answer(&self, has_body: bool) {
        self.0.note_body(has_body);
        self.0.set(Activity::Answering);
    }

    /// Whether no request is being answered.
    pub(super) fn is_waiting(&self) -> bool {
        self.0.activity() == Activity::Waiting
    }

    /// The whole answer is at hand.
    pub(super) fn end_answer(&self) {
        self.0.set(Activity::Waiting);
    }

    /// The connection is handed over.
    pub(super) fn start_relay(&self) {
        self.0.set(Activity::Relaying);
    }

    /// The answer streams; drop the guard at its end.
    pub(super) fn end_answer_on_drop(&self) -> StreamingAnswer {
        StreamingAnswer(self.clone())
    }
}

/// Held while an answer streams.
#[derive(Debug)]
pub(super) struct StreamingAnswer(Phase);

impl Drop for StreamingAnswer {
    fn drop(&mut self) {
        self.0.0.note(Some(Instant::now()));
        self.0.end_answer();
    }
}

/// A client's connection that ends when a deadline passes.
pub(super) struct Timed {
    io: TokioIo<Transport>,
    limits: Limits,
    /// When a byte last went either way.
    moved: Instant,
    /// When the head under way began.
    head_since: Option<Instant>,
    /// Whether anything has come: a new connection owes its first head before that.
    touched: bool,
    /// What happened since the clock was last read; on HTTP/1 alone.
    since: Since,
    /// Runs while the client does not take what there is of an answer.
    taking: RateTimeout,
    sleep: PollOnNews<Sleep>,
    /// Of the answers that HTTP/1 sends over it.
    window: Window,
    /// On HTTP/2 alone, where the [`Activity`] says nothing.
    http2: Option<Http2>,
    idleness: Arc<Idleness>,
    metrics: Arc<Metrics>,
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
    /// Runs while no stream is open. What is left of answers by then still moves, as slowly as the client
    /// opens its windows.
    quiet: RateTimeout,
    /// A head is under way.
    head_open: bool,
    /// For frames that ask for nothing.
    budget: FrameBudget,
    /// Notified when the client has been idle too long, so that it is sent a `GOAWAY`.
    idle: Arc<Notify>,
}

impl Timed {
    pub(super) fn new(
        transport: Transport,
        limits: Limits,
        idleness: Arc<Idleness>,
        metrics: Arc<Metrics>,
    ) -> Timed {
        let now = Instant::now();
        Timed {
            io: TokioIo::new(transport),
            limits,
            moved: now,
            // A new connection owes its first head.
            head_since: Some(now),
            touched: false,
            since: Since::default(),
            taking: limits.taking(),
            sleep: PollOnNews::new(tokio::time::sleep_until(now + limits.head.min(limits.idle))),
            window: Window::default(),
            http2: None,
            idleness,
            metrics,
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
            quiet: self.limits.taking(),
            head_open: false,
            budget: FrameBudget::new(self.moved),
            idle: idle.clone(),
        });
        idle
    }

    /// For the answers that are sent over it.
    pub(super) fn window(&self) -> Window {
        self.window.clone()
    }

    pub(super) fn phase(&self) -> Phase {
        Phase(self.idleness.clone())
    }

    fn is_waiting(&self) -> bool {
        self.idleness.activity() == Activity::Waiting
    }

    /// Whether the deadline has passed; else arranges to be woken at it. `write`: the client is not
    /// taking its answer.
    fn poll_deadline(&mut self, cx: &mut Context<'_>, write: bool) -> Poll<io::Error> {
        loop {
            let now = Instant::now();
            self.catch_up(now);
            self.idleness.note(self.idle_since(write));
            if self.idleness.must_leave() && self.make_room(cx, write) {
                return Poll::Ready(Cut::Crowded.into());
            }
            let deadline = match self.http2.is_some() {
                true => self.deadline_of_http2(write),
                false => self.deadline(write),
            };
            let is_late = deadline.is_some_and(|deadline| deadline <= now);
            if is_late && !self.is_being_asked(write) && !self.send_away(write) {
                let cut = self.cut(write);
                cut.count(&self.metrics);
                return Poll::Ready(cut.into());
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
            self.touched = true;
        }
        if head {
            self.head_since.get_or_insert(now);
        }
    }

    /// Since when nothing has been asked for; `None`: something is, or is still on its way to the client. Of
    /// a request that is being answered the [`Activity`] tells, since hyper may not look for the next one when
    /// that is over.
    fn idle_since(&self, write: bool) -> Option<Instant> {
        if write || self.taking.waits_since().is_some() {
            return None;
        }
        match &self.http2 {
            Some(http2) => {
                let busy = http2.streams.any() || self.transport().has_open_streams();
                let idle = !busy && !http2.head_open;
                idle.then(|| http2.quiet.waits_since().unwrap_or(self.moved))
            }
            None => (!self.head_has_begun()).then_some(self.moved),
        }
    }

    /// Whether bytes of the client are there that nobody has read yet. A process that was stopped for a while, or a
    /// task that had to wait for its turn, may hear of its deadline before it hears of them.
    fn is_being_asked(&self, write: bool) -> bool {
        !write && self.transport().has_unread()
    }

    /// On HTTP/1, or before it is known to be HTTP/2.
    fn head_has_begun(&self) -> bool {
        self.head_since.is_some() && (self.touched || !self.transport().is_untouched())
    }

    /// Another client needs the place: true if the connection is to end now. One that is not idle stays.
    fn make_room(&mut self, cx: &mut Context<'_>, write: bool) -> bool {
        if !self.is_waiting() || self.idle_since(write).is_none() || self.is_being_asked(write) {
            self.idleness.stay();
            return false;
        }
        Cut::Crowded.count(&self.metrics);
        if self.http2.is_some() {
            // It then knows which requests it can safely send again.
            self.io.inner_mut().send_goaway(cx, NO_ERROR);
        }
        true
    }

    /// `None`: no deadline of ours holds.
    fn deadline(&mut self, write: bool) -> Option<Instant> {
        let counts = match self.idleness.activity() {
            Activity::Waiting => true,
            Activity::Answering => write,
            Activity::Relaying => false,
        };
        if !counts {
            return None;
        }
        Some(match self.head_since {
            _ if write => self.taking.wait(),
            Some(since) if self.is_waiting() => since + self.limits.head,
            _ => self.moved + self.limits.idle,
        })
    }

    fn deadline_of_http2(&mut self, write: bool) -> Option<Instant> {
        let http2 = self.http2.as_mut()?;
        match self.head_since {
            _ if write => Some(self.taking.wait()),
            Some(since) => Some(since + self.limits.head),
            None if http2.streams.any() => None,
            None => Some(http2.quiet.wait()),
        }
    }

    /// Why a deadline that has passed was set.
    fn cut(&self, write: bool) -> Cut {
        match self.head_since {
            _ if write => Cut::SlowAnswer,
            Some(_) if self.http2.is_some() || self.head_has_begun() => Cut::SlowHead,
            _ => Cut::Idle,
        }
    }

    /// Tells the client of HTTP/2 that has become idle to go (`GOAWAY`); false if that is not the case, or
    /// done already. It then has time to close in order.
    fn send_away(&mut self, write: bool) -> bool {
        let head_is_late = self.head_since.is_some();
        match &mut self.http2 {
            Some(http2) if !write && !head_is_late && !http2.streams.are_leaving() => {
                http2.streams.leave();
                // It has as long to answer the `GOAWAY` as for a head.
                let limit = self.limits.head.min(self.limits.idle);
                http2.quiet = RateTimeout::new(limit, self.limits.min_rate);
                http2.idle.notify_one();
                true
            }
            _ => false,
        }
    }

    fn note_read(&mut self) -> Result<(), Cut> {
        if self.http2.is_some() {
            self.moved = Instant::now();
            return self.note_frames();
        }
        self.since.moved = true;
        self.since.head = self.is_waiting();
        if !self.since.head {
            self.head_since = None;
        }
        Ok(())
    }

    fn note_written(&mut self, bytes: usize) {
        self.end_wait_for_taking(bytes);
        if self.http2.is_some() {
            self.moved = Instant::now();
            // What was read has been counted by then.
            let _ = self.note_frames();
            // The last of an answer may have gone, and nothing be read after it.
            self.idleness.note(self.idle_since(false));
            return;
        }
        self.since = Since {
            moved: true,
            head: false,
        };
        self.head_since = None;
    }

    /// The client has taken so much, and is not waited for until there is more than it takes.
    fn end_wait_for_taking(&mut self, bytes: usize) {
        let waited = self.taking.waits_since().is_some();
        self.taking.note_moved(bytes);
        if waited && self.http2.is_none() {
            self.idleness.note(Some(Instant::now()));
        }
    }

    fn note_frames(&mut self) -> Result<(), Cut> {
        let passed = self.io.inner_mut().passed();
        let Some(http2) = &mut self.http2 else {
            return Ok(());
        };
        if passed.head || passed.fields || http2.streams.any() {
            http2.quiet.reset();
        } else if passed.data > 0 {
            http2.quiet.note_moved(passed.data);
            // The next wait begins here, whether or not anything is read meanwhile.
            http2.quiet.wait();
        }
        http2.head_open = passed.head_open;
        if passed.head {
            self.head_since = None;
        }
        if passed.head_open {
            self.head_since.get_or_insert(self.moved);
        }
        let Passed {
            heads, idle_frames, ..
        } = passed;
        if heads + idle_frames > 0 {
            let earned = http2.streams.take_earned();
            let enough = http2.budget.take(idle_frames, heads, earned, self.moved);
            return if enough { Ok(()) } else { Err(Cut::Flood) };
        }
        Ok(())
    }

    /// Ends the connection of a client that floods it.
    fn end_flood(&mut self, cx: &mut Context<'_>, cut: Cut) -> io::Error {
        cut.count(&self.metrics);
        self.io.inner_mut().send_goaway(cx, ENHANCE_YOUR_CALM);
        cut.into()
    }
}

impl Read for Timed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if self.http2.is_none() {
            let awaits_head = self.idleness.awaits_head();
            self.io.inner_mut().read_head(awaits_head);
        }
        match pacing::read_little(Pin::new(&mut self.io), cx, buf, pacing::READ) {
            Poll::Ready(result) => Poll::Ready(match self.note_read() {
                Ok(()) => result,
                Err(cut) => Err(self.end_flood(cx, cut)),
            }),
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
                self.note_written(*result.as_ref().unwrap_or(&0));
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
                self.note_written(*result.as_ref().unwrap_or(&0));
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
            Poll::Ready(result) => {
                self.end_wait_for_taking(0);
                Poll::Ready(result)
            }
            Poll::Pending => self.poll_deadline(cx, true).map(Err),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
