//! Bodies: whole from the store, or streamed; never gathered here.

mod upload;

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Version};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use parking_lot::Mutex;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::in_flight::{InFlight, Share, is_counted};
use crate::pacing::{Uptake, Window};
use crate::rate_timeout::RateTimeout;

pub use self::upload::Upload;

/// An error of any body.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What goes out, to a client or to the app.
#[derive(Debug)]
pub enum Body {
    /// All of it at once; `None`: empty.
    Whole(Option<Bytes>),
    /// Piece by piece.
    Stream(Streamed),
}

/// A body that comes piece by piece.
#[derive(Debug)]
pub struct Streamed {
    pieces: UnsyncBoxBody<Bytes, BoxError>,
    /// Dropped when the stream ends.
    guard: Option<Guard>,
    /// The window of the connection that it goes to, and how much that may hold.
    pace: Option<(Window, InFlight)>,
    /// Told how the connection takes it.
    uptake: Option<Taking>,
}

/// Tells of the end of a body as well.
#[derive(Debug)]
struct Taking(Uptake);

impl Drop for Taking {
    fn drop(&mut self) {
        self.0.note_over();
    }
}

/// Something to drop at the end of a stream.
pub type Guard = Box<dyn Droppable>;

/// Anything that can be kept until a stream ends.
pub trait Droppable: Send + Sync + std::fmt::Debug {}
impl<T: Send + Sync + std::fmt::Debug> Droppable for T {}

impl Body {
    /// No bytes.
    pub fn empty() -> Body {
        Body::Whole(None)
    }

    /// All of `bytes`.
    pub fn whole(bytes: Bytes) -> Body {
        Body::Whole((!bytes.is_empty()).then_some(bytes))
    }

    /// All of `pieces`, one after the other; nothing is copied.
    pub fn of_pieces(mut pieces: Vec<Bytes>) -> Body {
        match pieces.len() {
            0 | 1 => Body::whole(pieces.pop().unwrap_or_default()),
            _ => Body::stream(Pieces(pieces.into())),
        }
    }

    /// A stream.
    pub fn stream<B>(body: B) -> Body
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        Body::Stream(Streamed {
            pieces: body.map_err(Into::into).boxed_unsync(),
            guard: None,
            pace: None,
            uptake: None,
        })
    }

    /// Keeps `guard` until the stream ends; drops it now when there is no stream.
    pub fn guarded(self, guard: impl Droppable + 'static) -> Body {
        match self {
            Body::Whole(bytes) => Body::Whole(bytes),
            Body::Stream(stream) => Body::Stream(Streamed {
                guard: Some(match stream.guard {
                    None => Box::new(guard),
                    Some(first) => Box::new((first, guard)),
                }),
                ..stream
            }),
        }
    }

    /// Gives `window`'s connection, and no other, only as much at a time as that may hold.
    pub fn paced(self, window: &Window, in_flight: &InFlight) -> Body {
        match self {
            Body::Whole(bytes) => Body::Whole(bytes),
            Body::Stream(stream) => Body::Stream(Streamed {
                pace: Some((window.clone(), in_flight.clone())),
                ..stream
            }),
        }
    }

    /// Tells `uptake` how it is taken.
    pub fn taken(self, uptake: &Uptake) -> Body {
        match self {
            Body::Whole(bytes) => Body::Whole(bytes),
            Body::Stream(stream) => {
                uptake.note_asked();
                Body::Stream(Streamed {
                    uptake: Some(Taking(uptake.clone())),
                    ..stream
                })
            }
        }
    }

    /// Whether it comes piece by piece, so that its end is not at hand.
    pub fn is_streamed(&self) -> bool {
        matches!(self, Body::Stream(..))
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut *self {
            Body::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Body::Stream(stream) => stream.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Body::Whole(bytes) => bytes.is_none(),
            Body::Stream(stream) => stream.pieces.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Body::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64))
            }
            Body::Stream(stream) => stream.pieces.size_hint(),
        }
    }
}

/// Pieces that are there already.
struct Pieces(VecDeque<Bytes>);

impl HttpBody for Pieces {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Poll::Ready(self.0.pop_front().map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.iter().map(|piece| piece.len() as u64).sum())
    }
}

impl Streamed {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Some((window, in_flight)) = &self.pace {
            ready!(window.poll_open(cx, in_flight.per_body(), in_flight.is_tight()));
        }
        if let Some(Taking(uptake)) = &self.uptake {
            uptake.note_asked();
        }
        let frame = ready!(Pin::new(&mut self.pieces).poll_frame(cx));
        match &frame {
            None => self.guard = None,
            Some(Ok(frame)) => {
                let length = frame.data_ref().map_or(0, Bytes::len);
                self.pace.iter().for_each(|(window, _)| window.give(length));
                let uptake = self.uptake.iter();
                uptake.for_each(|Taking(uptake)| uptake.note_given());
            }
            Some(Err(_)) => {}
        }
        Poll::Ready(frame)
    }
}

/// The body of a message that has arrived, as far as it was read.
#[derive(Debug)]
pub enum Received {
    /// Nothing of it.
    Unread(Upload),
    /// All of it, which had no trailers.
    Whole(Bytes),
    /// Its beginning.
    Begun(Begun),
}

/// A body whose beginning was read: that again, and then the rest.
#[derive(Debug)]
pub struct Begun {
    read: VecDeque<Result<Frame<Bytes>, BoxError>>,
    rest: Timed<Upload>,
}

impl Received {
    /// Whether there is none, or nothing of it left.
    pub fn is_end_stream(&self) -> bool {
        match self {
            Received::Unread(body) => body.is_end_stream(),
            Received::Whole(bytes) => bytes.is_empty(),
            Received::Begun(_) => false,
        }
    }
}

impl Begun {
    /// Reads all of `body`, unless it breaks, has trailers, or is longer than `fits` says of the length so far.
    pub async fn read_whole(
        mut body: Timed<Upload>,
        mut fits: impl FnMut(usize) -> bool,
    ) -> Result<Bytes, Begun> {
        let mut gathered = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let piece = frame.as_ref().ok().and_then(Frame::data_ref);
            match piece {
                Some(piece) if fits(gathered.len() + piece.len()) => {
                    gathered.extend_from_slice(piece);
                }
                _ => {
                    return Err(Begun {
                        read: VecDeque::from([Ok(Frame::data(gathered.freeze())), frame]),
                        rest: body,
                    });
                }
            }
        }
        Ok(gathered.freeze())
    }
}

impl HttpBody for Begun {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.read.pop_front() {
            Some(frame) => Poll::Ready(Some(frame)),
            None => Pin::new(&mut self.rest).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.read.is_empty() && self.rest.is_end_stream()
    }
}

/// The other side sent nothing, or too little, for too long.
#[derive(Debug, thiserror::Error)]
#[error("nothing, or next to nothing, received for {0:?}")]
pub struct Stalled(pub Duration);

/// The stream ended before its body did.
#[derive(Debug, thiserror::Error)]
#[error("the stream was reset within the body")]
pub struct CutShort;

/// hyper takes a bare line feed behind the last chunk for the beginning of a trailer section, and reads on for
/// its end into whatever follows. What it finds then has no fields.
#[derive(Debug, thiserror::Error)]
#[error("the trailer section has no fields")]
pub struct EmptyTrailers;

/// A received body that fails when nothing arrives for `timeout`.
#[derive(Debug)]
pub struct Timed<B = Incoming> {
    body: B,
    timeout: Option<RateTimeout>,
    /// Kept from wait to wait, since to set a timer for each piece costs more than to look again when an
    /// old one ends too early.
    sleep: Option<Pin<Box<Sleep>>>,
    /// Whether the end of the body is marked as such.
    marked: bool,
    _guard: Option<Guard>,
}

impl<B> Timed<B> {
    /// `timeout = None` waits without end (event streams).
    pub fn new(body: B, timeout: Option<Duration>) -> Self {
        Timed {
            body,
            timeout: timeout.map(|timeout| RateTimeout::new(timeout, 0)),
            sleep: None,
            marked: false,
            _guard: None,
        }
    }

    /// Of a message of `version`. In HTTP/2 every body has a marked end, and hyper takes a stream reset
    /// without an error for one (RFC 9113 §8.1 does so only after the end).
    pub fn of(self, version: Version) -> Self {
        Timed {
            marked: version == Version::HTTP_2,
            ..self
        }
    }

    /// Fails as well when less than `min_rate` bytes a second arrive in the long run; 0: never.
    pub fn at_least(self, min_rate: u64) -> Self {
        let timeout = self.timeout.map(|timeout| timeout.timeout());
        Timed {
            timeout: timeout.map(|timeout| RateTimeout::new(timeout, min_rate)),
            ..self
        }
    }

    /// Keeps `guard`, if there is one, as long as the body lives.
    pub fn holding(self, guard: Option<impl Droppable + 'static>) -> Self {
        Timed {
            _guard: guard.map(|guard| Box::new(guard) as Guard),
            ..self
        }
    }
}

impl<B: HttpBody<Data = Bytes, Error = hyper::Error> + Unpin> HttpBody for Timed<B> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) {
            if let Some(timeout) = &mut this.timeout {
                let data = frame
                    .as_ref()
                    .and_then(|frame| frame.as_ref().ok()?.data_ref());
                timeout.note_moved(data.map_or(0, Bytes::len));
            }
            if frame.is_none() && this.marked && !this.body.is_end_stream() {
                this.marked = false;
                return Poll::Ready(Some(Err(CutShort.into())));
            }
            if !this.marked && has_empty_trailers(&frame) {
                return Poll::Ready(Some(Err(EmptyTrailers.into())));
            }
            return Poll::Ready(frame.map(|result| result.map_err(Into::into)));
        }
        let Some(timeout) = &mut this.timeout else {
            return Poll::Pending;
        };
        let deadline = timeout.wait();
        let sleep = this
            .sleep
            .get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        ready!(sleep.as_mut().poll(cx));
        if Instant::now() < deadline {
            sleep.as_mut().reset(deadline);
            ready!(sleep.as_mut().poll(cx));
        }
        Poll::Ready(Some(Err(Stalled(timeout.timeout()).into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

fn has_empty_trailers(frame: &Option<Result<Frame<Bytes>, hyper::Error>>) -> bool {
    matches!(frame, Some(Ok(frame)) if frame.trailers_ref().is_some_and(HeaderMap::is_empty))
}

/// Why a body did not come whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyFault {
    /// Its sender fell silent.
    #[error("it stopped")]
    Stalled,
    /// It broke off, or is not one.
    #[error("it broke off")]
    Broken,
}

impl BodyFault {
    fn of(error: &BoxError) -> BodyFault {
        match error.is::<Stalled>() {
            true => BodyFault::Stalled,
            false => BodyFault::Broken,
        }
    }
}

/// How the sending of a body goes, so that a deadline can run from its last piece.
#[derive(Clone, Debug)]
pub struct Progress(Arc<Mutex<Sent>>);

#[derive(Debug)]
struct Sent {
    last: Instant,
    fault: Option<BodyFault>,
    whole: bool,
    trailers: bool,
}

impl Default for Progress {
    fn default() -> Self {
        Progress(Arc::new(Mutex::new(Sent {
            last: Instant::now(),
            fault: None,
            // Of no body until one is watched.
            whole: true,
            trailers: false,
        })))
    }
}

impl Progress {
    /// The last moment a piece was taken.
    pub fn last(&self) -> Instant {
        self.0.lock().last
    }

    /// Whether the body ended before it was whole.
    pub fn broke(&self) -> bool {
        self.fault().is_some()
    }

    /// Why the body ended before it was whole.
    pub fn fault(&self) -> Option<BodyFault> {
        self.0.lock().fault
    }

    /// Whether all of the body was taken, up to its end.
    pub fn is_whole(&self) -> bool {
        self.0.lock().whole
    }

    /// Whether the body ended with a trailer section.
    pub fn has_trailers(&self) -> bool {
        self.0.lock().trailers
    }

    fn begin(&self) {
        self.0.lock().whole = false;
    }

    fn note(&self, fault: Option<BodyFault>, at_end: bool) {
        let mut sent = self.0.lock();
        sent.last = Instant::now();
        sent.fault = sent.fault.or(fault);
        sent.whole |= at_end && sent.fault.is_none();
    }
}

/// A body that notes its progress and keeps a capped copy of its first bytes.
#[derive(Debug)]
pub struct Watched<B> {
    body: B,
    progress: Progress,
    copy: Option<Copy>,
}

/// The capped copy: filled while the body streams.
#[derive(Clone, Debug)]
pub struct Copy {
    cap: usize,
    copied: Arc<Mutex<Option<Copied>>>,
}

#[derive(Debug)]
struct Copied {
    bytes: Vec<u8>,
    room: Room,
}

impl Copy {
    /// An empty copy that is given up once it would pass `cap`, or `in_flight` has no room for it.
    pub fn new(cap: usize, in_flight: &InFlight) -> Copy {
        let copied = Copied {
            bytes: Vec::new(),
            room: Room::of(in_flight),
        };
        Copy {
            cap,
            copied: Arc::new(Mutex::new(Some(copied))),
        }
    }

    /// What was copied; `None` if it was given up.
    pub fn copied(&self) -> Option<Vec<u8>> {
        let copied = self.copied.lock();
        copied.as_ref().map(|copied| copied.bytes.clone())
    }

    /// Adds a piece.
    pub fn push(&self, piece: &[u8]) {
        let mut copied = self.copied.lock();
        let Some(Copied { bytes, room }) = copied.as_mut() else {
            return;
        };
        let length = bytes.len() + piece.len();
        match length <= self.cap && room.fits(length) {
            true => bytes.extend_from_slice(piece),
            false => *copied = None,
        }
    }
}

/// The room in a budget for something that grows.
#[derive(Debug)]
pub struct Room(Share);

impl Room {
    /// Nothing of it is taken yet.
    pub fn of(in_flight: &InFlight) -> Room {
        Room(in_flight.take(0))
    }

    /// Whether there is room for `length` bytes in all, which are taken then. What is short is not counted.
    pub fn fits(&mut self, length: usize) -> bool {
        let more = (length as u64).saturating_sub(self.0.bytes());
        !is_counted(length) || self.0.try_grow(more)
    }

    /// `bytes`, for which it is taken as long as any of them are there.
    pub fn hold(self, bytes: Bytes) -> Bytes {
        self.0.hold(bytes)
    }
}

impl<B> Watched<B> {
    /// Watches `body`; `copy` receives its pieces.
    pub fn new(body: B, progress: Progress, copy: Option<Copy>) -> Watched<B> {
        progress.begin();
        Watched {
            body,
            progress,
            copy,
        }
    }
}

impl<B> HttpBody for Watched<B>
where
    B: HttpBody<Data = Bytes, Error = BoxError> + Unpin,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        // Who knows the length does not ask for the end.
        let at_end = frame.is_none() || self.body.is_end_stream();
        let error = frame.as_ref().and_then(|frame| frame.as_ref().err());
        self.progress.note(error.map(BodyFault::of), at_end);
        if matches!(&frame, Some(Ok(frame)) if frame.is_trailers()) {
            self.progress.0.lock().trailers = true;
        }
        if let (Some(copy), Some(Ok(frame))) = (&self.copy, &frame)
            && let Some(piece) = frame.data_ref()
        {
            copy.push(piece);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::in_flight::SHORT;

    #[test]
    fn a_copy_is_kept_up_to_its_cap_where_there_is_room() {
        let rows = [
            ("short", SHORT, 0, true),
            ("long", 2 * SHORT, 2 * SHORT, true),
            ("without room", 2 * SHORT, 2 * SHORT - 1, false),
            ("over the cap", 5 * SHORT, 8 * SHORT, false),
        ];
        for (name, length, room, is_kept) in rows {
            let in_flight = InFlight::new(room as u64 * InFlight::GATHERED, 0);
            let (copy, sent) = (Copy::new(4 * SHORT, &in_flight), vec![b'x'; length]);
            sent.chunks(1000).for_each(|piece| copy.push(piece));
            assert_eq!(copy.copied(), is_kept.then(|| sent.clone()), "{name}");
            let counted = if is_kept && length > SHORT { length } else { 0 };
            assert_eq!(in_flight.held(), counted as u64, "{name}");
            drop(copy);
            assert_eq!(in_flight.held(), 0, "{name}");
        }
    }
}
