//! A body that a fill gathers and its client reads at the same time, each at its own pace.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body as HttpBody, Frame, SizeHint};
use parking_lot::Mutex;

use crate::body::{BoxError, Timed};
use crate::in_flight::{self, Share};

/// The most that a reader is given of a body that is still growing, since that is copied.
const PIECE: usize = 32 << 10;

/// The fill's end.
pub(super) struct SharedBody {
    state: Arc<Mutex<State>>,
    length: Option<u64>,
}

#[derive(Debug)]
struct State {
    /// What has come.
    whole: Whole,
    /// The newest piece of it.
    newest: Bytes,
    trailers: Option<HeaderMap>,
    share: Option<Share>,
    ending: Option<Ending>,
    reader: Option<Waker>,
}

/// How it ended for the reader.
#[derive(Debug)]
pub(super) enum Ending {
    /// All of it has come.
    Whole(Bytes),
    /// The fill has given up its copy: the reader takes the rest from the app itself, at its own pace.
    Rest(Timed),
    /// The app's answer broke.
    Broken(BoxError),
}

/// The pieces put together; one that comes alone is not copied.
#[derive(Debug, Default)]
struct Whole {
    first: Bytes,
    /// All of them, where there are several.
    joined: BytesMut,
}

impl Whole {
    fn len(&self) -> usize {
        self.first.len().max(self.joined.len())
    }

    /// `length`: what all of them will come to, as far as it is known.
    fn push(&mut self, piece: &Bytes, length: Option<u64>) {
        if self.len() == 0 {
            self.first = piece.clone();
            return;
        }
        if self.joined.is_empty() {
            let length = length.map_or(0, |length| length as usize);
            self.joined
                .reserve(length.max(self.first.len() + piece.len()));
            self.joined
                .extend_from_slice(&std::mem::take(&mut self.first));
        }
        self.joined.extend_from_slice(piece);
    }

    /// A copy of what comes behind `from`, of at most `max` bytes.
    fn copy(&self, from: usize, max: usize) -> Bytes {
        if self.joined.is_empty() {
            return self.first.slice(from..);
        }
        let end = self.len().min(from + max);
        Bytes::copy_from_slice(&self.joined[from..end])
    }

    fn take(&mut self) -> Bytes {
        let Whole { first, joined } = std::mem::take(self);
        if joined.is_empty() {
            first
        } else {
            joined.freeze()
        }
    }
}

impl SharedBody {
    /// `share`: what is taken for it; `length`: what it will come to, as far as that is known.
    pub(super) fn new(share: Share, length: Option<u64>) -> SharedBody {
        let state = State {
            whole: Whole::default(),
            newest: Bytes::new(),
            trailers: None,
            share: Some(share),
            ending: None,
            reader: None,
        };
        SharedBody {
            state: Arc::new(Mutex::new(state)),
            length,
        }
    }

    /// The client's end.
    pub(super) fn reader(&self, length: Option<u64>) -> Reader {
        Reader {
            source: Source::Growing(self.state.clone(), 0),
            length,
        }
    }

    /// How much has come.
    pub(super) fn len(&self) -> usize {
        self.state.lock().whole.len()
    }

    pub(super) fn has_trailers(&self) -> bool {
        self.state.lock().trailers.is_some()
    }

    /// Adds a piece; `false` if there is no room for more of them.
    pub(super) fn push(&self, piece: &Bytes) -> bool {
        let mut state = self.state.lock();
        state.whole.push(piece, self.length);
        state.newest = piece.clone();
        let fits = match (self.length, state.whole.len()) {
            // Taken before.
            (Some(_), _) => true,
            (None, length) => !in_flight::is_counted(length) || state.grow(length),
        };
        state.wake();
        fits
    }

    pub(super) fn add_trailers(&self, trailers: HeaderMap) {
        self.state.lock().trailers = Some(trailers);
    }

    /// All of it has come.
    pub(super) fn complete(&self) -> Bytes {
        let mut state = self.state.lock();
        let whole = state.take_whole();
        state.end(Ending::Whole(whole.clone()));
        whole
    }

    pub(super) fn end(&self, ending: Ending) {
        self.state.lock().end(ending);
    }
}

impl Drop for SharedBody {
    fn drop(&mut self) {
        let mut state = self.state.lock();
        if state.ending.is_none() {
            state.end(Ending::Broken(FillDropped.into()));
        }
    }
}

impl State {
    /// Takes as much of the budget as `length` bytes are.
    fn grow(&mut self, length: usize) -> bool {
        let Some(share) = &mut self.share else {
            return false;
        };
        let lacking = (length as u64).saturating_sub(share.bytes());
        share.try_grow(lacking)
    }

    fn take_whole(&mut self) -> Bytes {
        let whole = self.whole.take();
        match self.share.take() {
            Some(share) => share.hold(whole),
            None => whole,
        }
    }

    fn end(&mut self, ending: Ending) {
        self.newest = Bytes::new();
        self.ending = Some(ending);
        self.wake();
    }

    fn wake(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

/// The client's end: what has come, then the rest.
#[derive(Debug)]
pub(super) struct Reader {
    source: Source,
    length: Option<u64>,
}

#[derive(Debug)]
enum Source {
    /// The fill goes on; so many bytes have been read.
    Growing(Arc<Mutex<State>>, usize),
    /// The fill has ended: what is left of what it gathered, and what follows.
    Left(Bytes, Option<Next>),
    /// From the app itself.
    Rest(Timed),
    Ended,
}

/// What follows what was gathered.
#[derive(Debug)]
enum Next {
    Trailers(HeaderMap),
    Rest(Timed),
    Broken(BoxError),
}

/// The fill ended without saying so.
#[derive(Debug, thiserror::Error)]
#[error("the fill of this answer was dropped")]
struct FillDropped;

/// The next bytes of a body that grows, or where it goes on once it has ended.
fn read_growing(
    state: &Mutex<State>,
    read: &mut usize,
    cx: &mut Context<'_>,
) -> Poll<Result<Bytes, Source>> {
    let mut state = state.lock();
    let Some(ending) = state.ending.take() else {
        let left = state.whole.len() - *read;
        if left == 0 {
            state.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let piece = match left == state.newest.len() {
            true => state.newest.clone(),
            false => state.whole.copy(*read, PIECE),
        };
        *read += piece.len();
        return Poll::Ready(Ok(piece));
    };
    let trailers = state.trailers.take().map(Next::Trailers);
    let (gathered, next) = match ending {
        Ending::Whole(whole) => (whole, trailers),
        Ending::Rest(body) => (state.take_whole(), Some(Next::Rest(body))),
        Ending::Broken(error) => (state.take_whole(), Some(Next::Broken(error))),
    };
    Poll::Ready(Err(Source::Left(gathered.slice(*read..), next)))
}

impl HttpBody for Reader {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        loop {
            match &mut self.source {
                Source::Growing(state, read) => match ready!(read_growing(state, read, cx)) {
                    Ok(piece) => return Poll::Ready(Some(Ok(Frame::data(piece)))),
                    Err(left) => self.source = left,
                },
                Source::Left(bytes, next) if bytes.is_empty() => {
                    let next = next.take();
                    self.source = Source::Ended;
                    match next {
                        Some(Next::Rest(body)) => self.source = Source::Rest(body),
                        Some(Next::Trailers(trailers)) => {
                            return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
                        }
                        Some(Next::Broken(error)) => return Poll::Ready(Some(Err(error))),
                        None => {}
                    }
                }
                Source::Left(bytes, _) => {
                    let bytes = std::mem::take(bytes);
                    return Poll::Ready(Some(Ok(Frame::data(bytes))));
                }
                Source::Rest(body) => return Pin::new(body).poll_frame(cx),
                Source::Ended => return Poll::Ready(None),
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        self.length
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
