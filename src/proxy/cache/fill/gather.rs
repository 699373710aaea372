//! The body of an answer on its way to the client and into the store.
//!
//! There is one copy of it: the client is handed pieces of what is gathered for the store, at its own pace, and
//! the fill never waits for it. What a fill has gathered is counted ([`InFlight`]) until the last who was given
//! any of it has let go.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{Response, StatusCode, Version};
use http_body::{Body as _, Frame};

use super::shared_body::{Ending, SharedBody};
use crate::body::{Body, Timed};
use crate::config::Settings;
use crate::http_cache::{Reason, Stored};
use crate::in_flight::{InFlight, SHORT, Share};
use crate::proxy::forward::exchange::is_event_stream;
use crate::upstream::Arriving;

/// What the head already tells of the body: endless, too long, or without a sure end (A2).
pub(super) fn check_body(response: &Response<Arriving>, settings: &Settings) -> Result<(), Reason> {
    let max_body = settings.max_body;
    let fields = response.headers();
    if is_event_stream(fields) {
        return Err(Reason::EventStream);
    }
    if let Some(length) = fields.get(CONTENT_LENGTH) {
        let length = length
            .to_str()
            .ok()
            .and_then(|length| length.parse::<u64>().ok());
        return if length.is_some_and(|length| length <= max_body as u64) {
            Ok(())
        } else {
            Err(Reason::TooLarge)
        };
    }
    let bodiless = matches!(
        response.status(),
        StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
    );
    // RFC 9113 §8.1: every message of HTTP/2 has a marked end.
    let ends = response.version() == Version::HTTP_2 || fields.contains_key(TRANSFER_ENCODING);
    if bodiless || ends || settings.close_delimited {
        Ok(())
    } else {
        Err(Reason::CloseDelimited)
    }
}

/// Room for a body, as far as it is known how long it is.
pub(super) struct Room {
    share: Share,
    /// The length that the message states.
    length: Option<u64>,
}

impl Room {
    /// For a body that states `length`, if it does; `Err`: it would not fit beside what else is in flight.
    pub(super) fn take(in_flight: &InFlight, length: Option<u64>) -> Result<Room, Reason> {
        let counted = length.filter(|length| *length > SHORT as u64);
        let share = in_flight.try_take(counted.unwrap_or_default());
        let share = match (share, counted) {
            (Some(share), _) => share,
            // Short, or of a length that is still to be seen.
            (None, None) => in_flight.take(0),
            (None, Some(_)) => return Err(Reason::InFlightFull),
        };
        Ok(Room { share, length })
    }
}

/// A body that is read whole. Its client is handed what has come as well, and never waited for.
pub(super) struct Gathering {
    /// `None`: at its end, or handed on.
    body: Option<Timed>,
    max: usize,
    /// The length that the message states, and that of its range.
    stated: [Option<u64>; 2],
    shared: SharedBody,
    gathered: Option<Result<Bytes, Reason>>,
    /// Why it did, until that has been told.
    broke_off: Option<String>,
}

impl Gathering {
    /// Over `max`, or over what there is room for, the client is handed the body itself and goes on without
    /// the fill.
    pub(super) fn new(body: Timed, max: usize, room: Room, stored: &Stored) -> Gathering {
        let Room { share, length } = room;
        Gathering {
            body: Some(body),
            max,
            stated: [length, stored.part.map(|part| part.end - part.first)],
            shared: SharedBody::new(share, length),
            gathered: None,
            broke_off: None,
        }
    }

    /// The body as the client gets it: at once if all of it came with the head, as short ones do, and
    /// otherwise as it comes.
    pub(super) async fn for_client(&mut self) -> Body {
        if let Poll::Ready(gathered) = poll_fn(|cx| Poll::Ready(self.poll(cx))).await {
            let whole = gathered.clone().ok();
            self.gathered = Some(gathered);
            if let Some(whole) = whole
                && !self.shared.has_trailers()
            {
                return Body::whole(whole);
            }
        }
        Body::stream(self.shared.reader(self.stated[0]))
    }

    /// Whether all there is of it has come.
    pub(super) fn is_at_hand(&self) -> bool {
        self.gathered.is_some()
    }

    /// The whole body, which is as long as its message says (RFC 9110 §8.6), and a part as its range
    /// (§14.4). That it broke off is told with the `path`.
    pub(super) async fn whole(&mut self, path: &str) -> Result<Bytes, Reason> {
        let gathered = match self.gathered.take() {
            Some(gathered) => gathered,
            None => poll_fn(|cx| self.poll(cx)).await,
        };
        if let Some(error) = self.broke_off.take() {
            tracing::warn!(%error, path, "the app's answer broke off");
        }
        gathered
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, Reason>> {
        while let Some(body) = &mut self.body {
            match ready!(Pin::new(body).poll_frame(cx)) {
                Some(Ok(frame)) => self.take(frame)?,
                Some(Err(error)) => {
                    self.broke_off = Some(error.to_string());
                    self.shared.end(Ending::Broken(error));
                    return Poll::Ready(Err(Reason::Incomplete));
                }
                None => self.body = None,
            }
        }
        let length = self.shared.len() as u64;
        if !self.stated.iter().flatten().all(|stated| *stated == length) {
            return Poll::Ready(Err(Reason::Incomplete));
        }
        Poll::Ready(Ok(self.shared.complete()))
    }

    fn take(&mut self, frame: Frame<Bytes>) -> Result<(), Reason> {
        let frame = match frame.into_data() {
            Ok(piece) => {
                let fits = self.shared.push(&piece);
                return match self.shared.len() {
                    length if length > self.max => self.give_up(Reason::TooLarge),
                    _ if !fits => self.give_up(Reason::InFlightFull),
                    _ => Ok(()),
                };
            }
            Err(frame) => frame,
        };
        if let Ok(trailers) = frame.into_trailers() {
            self.shared.add_trailers(trailers);
        }
        Ok(())
    }

    /// The client goes on by itself.
    fn give_up(&mut self, reason: Reason) -> Result<(), Reason> {
        if let Some(body) = self.body.take() {
            self.shared.end(Ending::Rest(body));
        }
        Err(reason)
    }
}
