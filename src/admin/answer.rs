//! What goes out: JSON or text, whole, or events.

use std::convert::Infallible;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use http::header::{self, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::{Either, Full, StreamBody};
use hyper::body::Frame;
use serde::Serialize;
use serde_json::json;

use super::refusal::Refusal;

/// Events that go on.
pub(super) type EventStream = StreamBody<BoxStream<'static, Result<Frame<Bytes>, Infallible>>>;

pub(super) type Answer = Response<Either<Full<Bytes>, EventStream>>;

pub(super) fn answer_refusal(refusal: &Refusal) -> Answer {
    let mut answer = answer_json(refusal.status(), &json!({ "error": refusal.to_string() }));
    let headers = answer.headers_mut();
    match refusal {
        Refusal::Method { allow } => {
            headers.insert(header::ALLOW, HeaderValue::from_static(allow));
        }
        Refusal::Unauthorized => {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        // The rest of the body is not read, so the connection cannot go on.
        Refusal::TooLarge | Refusal::BodyTimeout => {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        _ => {}
    }
    answer
}

pub(super) fn answer_json(status: StatusCode, body: &impl Serialize) -> Answer {
    match serde_json::to_vec(body) {
        Ok(mut bytes) => {
            bytes.push(b'\n');
            answer(status, "application/json", bytes.into())
        }
        Err(error) => {
            tracing::error!(%error, "admin: an answer cannot be written as JSON");
            answer(
                StatusCode::INTERNAL_SERVER_ERROR,
                "text/plain",
                Bytes::new(),
            )
        }
    }
}

pub(super) fn answer(status: StatusCode, content_type: &'static str, body: Bytes) -> Answer {
    let mut answer = Response::new(Either::Left(Full::new(body)));
    *answer.status_mut() = status;
    answer
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_carry_what_the_client_needs() {
        let cases = [
            (Refusal::Method { allow: "POST" }, header::ALLOW, "POST"),
            (Refusal::Unauthorized, header::WWW_AUTHENTICATE, "Bearer"),
            (Refusal::TooLarge, header::CONNECTION, "close"),
        ];
        for (refusal, name, value) in cases {
            let answer = answer_refusal(&refusal);
            assert_eq!(answer.status(), refusal.status());
            assert_eq!(answer.headers()[&name], value, "{refusal:?}");
        }
    }
}
