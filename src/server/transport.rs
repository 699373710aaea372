//! A client's bytes: plain TCP or TLS, with the first of them looked at to tell HTTP/2 from HTTP/1.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::http2::frames::{Frames, OpenStreams, PREFACE, Passed, goaway};
use super::linger::linger;
use super::targets::Targets;

/// The most that is written for one client before others have their turn.
const TURN: usize = 256 << 10;
/// What a client of HTTP/2 may have sent when its connection ends: the connection's window, and frames.
const MAX_IN_FLIGHT: usize = 2 << 20;

/// An accepted connection.
pub(super) struct Transport {
    io: Io,
    replay: Replay,
    /// Bytes written since others had their turn.
    turn: usize,
    /// On HTTP/1 alone.
    targets: Targets,
    /// Whether what is read next may begin a head of HTTP/1.
    may_begin_head: bool,
    /// Only on HTTP/2 connections.
    watch: Option<Box<FrameWatch>>,
}

enum Io {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Bytes that were looked at and are still to be read.
#[derive(Default)]
struct Replay {
    bytes: [u8; PREFACE.len()],
    filled: usize,
    taken: usize,
}

struct FrameWatch {
    read: Frames,
    written: Frames,
    passed: Passed,
    streams: OpenStreams,
}

impl Transport {
    pub(super) fn plain(stream: TcpStream) -> Transport {
        Transport::new(Io::Plain(stream))
    }

    pub(super) fn tls(stream: TlsStream<TcpStream>) -> Transport {
        Transport::new(Io::Tls(Box::new(stream)))
    }

    fn new(io: Io) -> Transport {
        Transport {
            io,
            replay: Replay::default(),
            turn: 0,
            targets: Targets::default(),
            may_begin_head: false,
            watch: None,
        }
    }

    /// What the TLS handshake agreed on; `None`: nothing, or no TLS.
    pub(super) fn alpn(&self) -> Option<&[u8]> {
        match &self.io {
            Io::Plain(_) => None,
            Io::Tls(stream) => stream.get_ref().1.alpn_protocol(),
        }
    }

    /// Whether TLS protects it.
    pub(super) fn is_tls(&self) -> bool {
        matches!(self.io, Io::Tls(_))
    }

    /// Whether nothing has been read of it.
    pub(super) fn is_untouched(&self) -> bool {
        self.replay.filled == 0
    }

    /// Whether the kernel holds bytes of the client, whatever the runtime has heard of.
    pub(super) fn has_unread(&self) -> bool {
        let mut first = [MaybeUninit::uninit()];
        let peeked = SockRef::from(self.io.stream()).peek(&mut first);
        peeked.is_ok_and(|length| length > 0)
    }

    /// Whether the client begins with the preface of HTTP/2 (RFC 9113 §3.4). What is read to see it is
    /// read again later.
    pub(super) fn poll_preface(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        loop {
            let filled = self.replay.filled;
            if filled == PREFACE.len() {
                return Poll::Ready(Ok(true));
            }
            let mut buf = ReadBuf::new(&mut self.replay.bytes[filled..]);
            std::task::ready!(self.io.poll_read(cx, &mut buf))?;
            let read = buf.filled().len();
            self.replay.filled += read;
            let end = self.replay.filled;
            if read == 0 || self.replay.bytes[filled..end] != PREFACE[filled..end] {
                return Poll::Ready(Ok(false));
            }
        }
    }

    /// From now on frames are watched in both directions.
    pub(super) fn watch_frames(&mut self) {
        self.watch = Some(Box::new(FrameWatch {
            read: Frames::of_client(),
            written: Frames::of_server(),
            passed: Passed::default(),
            streams: OpenStreams::default(),
        }));
    }

    /// Whether what is read next begins a head of HTTP/1, if what was read before ended with one.
    pub(super) fn read_head(&mut self, may_begin: bool) {
        self.may_begin_head = may_begin;
    }

    /// Pending, to be called again at once, after each [`TURN`]: a client of something long must not hold up
    /// those whose answers are short.
    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.turn < TURN {
            return Poll::Ready(());
        }
        self.turn = 0;
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// What has passed since this was asked last: heads and idle frames of the client, fields and data of
    /// answers.
    pub(super) fn passed(&mut self) -> Passed {
        self.watch.as_mut().map_or_else(Passed::default, |watch| {
            let head_open = watch.read.head_is_open();
            Passed {
                head_open,
                ..std::mem::take(&mut watch.passed)
            }
        })
    }

    /// Whether a client of HTTP/2 waits for an answer, or for the rest of one.
    pub(super) fn has_open_streams(&self) -> bool {
        let watch = self.watch.as_ref();
        watch.is_some_and(|watch| !watch.streams.is_empty())
    }

    /// Tells the client of HTTP/2 why its connection is about to end, by a code of RFC 9113 §7, unless that
    /// would be in the midst of a frame which it does not take.
    pub(super) fn send_goaway(&mut self, cx: &mut Context<'_>, code: u8) {
        let Some(watch) = &self.watch else { return };
        if watch.written.is_between_frames() {
            let frame = goaway(watch.streams.last(), code);
            let _ = Pin::new(&mut *self).poll_write(cx, &frame);
            let _ = Pin::new(self).poll_flush(cx);
        }
    }
}

impl Transport {
    /// As much of what is held as there is room for.
    fn hand_on(&mut self, buf: &mut ReadBuf<'_>) {
        let held = self.targets.held();
        let length = held.len().min(buf.remaining());
        buf.put_slice(&held[..length]);
        self.targets.handed_on(length);
    }
}

impl Drop for Transport {
    fn drop(&mut self) {
        // On HTTP/2 no more is on its way than the windows allow; further bytes are a flood.
        let most = match self.watch {
            Some(_) => MAX_IN_FLIGHT,
            None => usize::MAX,
        };
        linger(self.io.stream(), most);
    }
}

impl Io {
    fn stream(&self) -> &TcpStream {
        match self {
            Io::Plain(stream) => stream,
            Io::Tls(stream) => stream.get_ref().0,
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Io::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Io::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl FrameWatch {
    fn note_written(&mut self, bufs: &[io::IoSlice<'_>], mut length: usize) {
        for buf in bufs {
            let part = &buf[..buf.len().min(length)];
            let Passed { fields, data, .. } = self.written.feed_written(part, &mut self.streams);
            self.passed.fields |= fields;
            self.passed.data += data;
            length -= part.len();
        }
    }
}

impl AsyncRead for Transport {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buf.filled().len();
        if !this.targets.held().is_empty() {
            this.hand_on(buf);
            return Poll::Ready(Ok(()));
        }
        let waiting = &this.replay.bytes[this.replay.taken..this.replay.filled];
        if waiting.is_empty() {
            std::task::ready!(this.io.poll_read(cx, buf))?;
        } else {
            let part = &waiting[..waiting.len().min(buf.remaining())];
            buf.put_slice(part);
            this.replay.taken += part.len();
        }
        if let Some(watch) = &mut this.watch {
            let passed = watch
                .read
                .feed_read(&buf.filled()[before..], &mut watch.streams);
            watch.passed.head |= passed.head;
            watch.passed.heads += passed.heads;
            watch.passed.idle_frames += passed.idle_frames;
        } else if buf.filled().len() > before {
            let fresh = &buf.filled()[before..];
            if this.targets.take(fresh, this.may_begin_head) {
                buf.set_filled(before);
                this.hand_on(buf);
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Transport {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        std::task::ready!(this.poll_turn(cx));
        let written = std::task::ready!(match &mut this.io {
            Io::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Io::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        })?;
        this.turn += written;
        if let Some(watch) = &mut this.watch {
            watch.note_written(&[io::IoSlice::new(buf)], written);
        }
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        std::task::ready!(this.poll_turn(cx));
        let written = std::task::ready!(match &mut this.io {
            Io::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Io::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        })?;
        this.turn += written;
        if let Some(watch) = &mut this.watch {
            watch.note_written(bufs, written);
        }
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        match &self.io {
            Io::Plain(stream) => stream.is_write_vectored(),
            Io::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.io {
            Io::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Io::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.io {
            Io::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Io::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
