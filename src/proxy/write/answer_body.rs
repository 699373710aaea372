//! The body of the answer to a write, read for the variables in it and handed on whole.

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::Response;
use http_body::Frame;
use http_body_util::{BodyExt, BodyStream, StreamBody};

use crate::body::{Body, BoxError, Room};

/// Reads the answer's body up to `cap` bytes, as far as there is room; `None` past it: the variables in it count as
/// absent. Either way the answer goes on whole.
pub(super) async fn read(
    response: Response<Body>,
    cap: usize,
    mut room: Room,
) -> (Response<Body>, Option<Bytes>) {
    let (head, mut body) = response.into_parts();
    let mut pieces: Vec<Bytes> = Vec::new();
    let mut trailers = None;
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        match frame.map(|frame| frame.into_data()) {
            Ok(Ok(piece)) => {
                length += piece.len();
                pieces.push(piece);
                if length > cap || !room.fits(length) {
                    return (Response::from_parts(head, prefixed(pieces, body)), None);
                }
            }
            Ok(Err(frame)) => trailers = frame.into_trailers().ok(),
            Err(error) => {
                let body = prefixed(pieces, ending(Err(error)));
                return (Response::from_parts(head, body), None);
            }
        }
    }
    let whole = room.hold(pieces.concat().into());
    let body = match trailers {
        Some(trailers) => prefixed(vec![whole.clone()], ending(Ok(Frame::trailers(trailers)))),
        None => Body::whole(whole.clone()),
    };
    (Response::from_parts(head, body), Some(whole))
}

/// What was read already, then the rest.
fn prefixed(pieces: Vec<Bytes>, rest: Body) -> Body {
    let read = stream::iter(pieces.into_iter().map(|piece| Ok(Frame::data(piece))));
    let rest = BodyStream::new(rest);
    Body::stream(StreamBody::new(read.chain(rest)))
}

/// How a body ends after what was read already.
fn ending(last: Result<Frame<Bytes>, BoxError>) -> Body {
    Body::stream(StreamBody::new(stream::iter([last])))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::in_flight::{InFlight, SHORT};

    /// What is read is counted until the client has it; where there is no room for it, it goes on unread.
    #[tokio::test]
    async fn an_answer_is_read_where_there_is_room() {
        let rows = [
            ("short", SHORT, 0, Some(0)),
            ("long", 2 * SHORT, 2 * SHORT, Some(2 * SHORT)),
            ("without room", 2 * SHORT, 2 * SHORT - 1, None),
        ];
        for (name, length, room, counted) in rows {
            let in_flight = InFlight::new(room as u64 * InFlight::GATHERED, 0);
            let sent = Bytes::from(vec![b'x'; length]);
            let pieces =
                [sent.slice(..SHORT), sent.slice(SHORT..)].map(|piece| Ok(Frame::data(piece)));
            let streamed = Body::stream(StreamBody::new(stream::iter::<[Result<_, BoxError>; 2]>(
                pieces,
            )));
            let (response, read) =
                read(Response::new(streamed), 4 * SHORT, Room::of(&in_flight)).await;
            assert_eq!(read.is_some(), counted.is_some(), "{name}");
            assert!(read.is_none_or(|read| read == sent), "{name}");
            assert_eq!(
                in_flight.held(),
                counted.unwrap_or_default() as u64,
                "{name}"
            );
            let body = response.into_body().collect().await.expect("it goes on");
            assert_eq!(body.to_bytes(), sent, "{name}");
            assert_eq!(in_flight.held(), 0, "{name}");
        }
    }
}
