//! HTTP/2 towards clients: its limits, and what hyper leaves to the server about slow clients.
//!
//! hyper bounds what one peer can make it hold: streams at a time, bytes and `CONTINUATION` frames of a
//! head, streams reset before they were looked at (rapid reset) or for an error of the client. Time is
//! ours: by [`frames`] the connection's deadlines know what moves, [`streams`] ends a single stream whose
//! answer the client does not take. So are frames that ask for nothing, which [`calm`] counts.

pub(super) mod calm;
pub(super) mod frames;
pub(super) mod streams;

use std::time::Duration;

use http::header::CONTENT_LENGTH;
use http::{HeaderValue, Method, Response, StatusCode};
use http_body::Body as _;
use hyper::server::conn::http2;
use hyper_util::rt::TokioTimer;

use crate::body::Body;
use crate::config::Listen;
use streams::{PacedBody, Spawner};

/// Requests at a time on one connection; browsers open fewer (RFC 9113 §6.5.2 advises at least 100).
const MAX_STREAMS: u32 = 128;
/// Bytes of bodies that one client may have sent and no app has taken.
const CONNECTION_WINDOW: u32 = 1 << 20;
/// The widest window (RFC 9113 §6.9.1).
const MAX_WINDOW: u32 = (1 << 31) - 1;
/// Streams that came and went before they were looked at (CVE-2023-44487); more end the connection.
const MAX_RESETS_UNSEEN: usize = 20;
/// Streams reset for an error of the client; more end the connection.
const MAX_RESETS_FOR_ERRORS: usize = 256;
/// The longest wait for a client to answer a ping.
const PONG: Duration = Duration::from_secs(20);

/// A builder of connections with the limits of `listen`; a stream holds at most `per_body` bytes of a body that
/// the client does not take, and as many of one that the app does not.
pub(super) fn builder(listen: &Listen, per_body: u64, spawner: Spawner) -> http2::Builder<Spawner> {
    let window = u32::try_from(per_body)
        .unwrap_or(MAX_WINDOW)
        .min(MAX_WINDOW);
    let mut builder = http2::Builder::new(spawner);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(u32::try_from(listen.max_head).unwrap_or(u32::MAX))
        .max_send_buf_size(window as usize)
        .initial_stream_window_size(window)
        .initial_connection_window_size(
            window
                .saturating_mul(2)
                .clamp(CONNECTION_WINDOW, MAX_WINDOW),
        )
        .max_pending_accept_reset_streams(MAX_RESETS_UNSEEN)
        .max_local_error_reset_streams(MAX_RESETS_FOR_ERRORS)
        // A client that vanished during a long silence of its answer (an event stream) is found so.
        .keep_alive_interval(listen.idle_timeout)
        .keep_alive_timeout(PONG);
    builder
}

/// The answer as it may go out over HTTP/2. hyper leaves the body away on HTTP/1 where there must be
/// none (RFC 9110 §6.4.1); on HTTP/2 that is left to us.
pub(super) fn frame(method: &Method, response: Response<Body>) -> Response<PacedBody> {
    let (mut head, mut body) = response.into_parts();
    let bodiless = *method == Method::HEAD
        || matches!(
            head.status,
            StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
        );
    if bodiless {
        let length = body.size_hint().exact().filter(|length| *length > 0);
        if let (Some(length), true) = (length, *method == Method::HEAD) {
            let fields = head.headers.entry(CONTENT_LENGTH);
            fields.or_insert_with(|| HeaderValue::from(length));
        }
        body = Body::empty();
    }
    Response::from_parts(head, PacedBody::new(body))
}
