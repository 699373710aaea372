//! Answers made from stored responses.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AGE, CONTENT_LENGTH};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};

use crate::body::Body;
use crate::entry::{StoredBody, Variant};
use crate::http_cache::ranges::{self, Cut};
use crate::http_cache::{RequestHead, recoding, validation};
use crate::proxy::outcome::text;

/// In which form a stored body goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// As the app sent it.
    AsSent,
    /// As Redis keeps it.
    Compressed,
}

impl Form {
    pub(super) fn of(head: &RequestHead<'_>, variant: &Variant) -> Form {
        let is_there = variant.body.compressed().is_some();
        match is_there && recoding::may_recode(head, &variant.stored) {
            true => Form::Compressed,
            false => Form::AsSent,
        }
    }

    fn bytes_of(self, body: &StoredBody) -> Bytes {
        let compressed = body.compressed().filter(|_| self == Form::Compressed);
        Bytes::clone(compressed.unwrap_or(body))
    }
}

/// The stored response as an answer to `head`: 304 if its conditions are met, a part if that is asked
/// for, no body for HEAD. Fields that nobody else holds move into it.
pub(super) fn stored(
    head: &RequestHead<'_>,
    variant: Arc<Variant>,
    age: Duration,
) -> Response<Body> {
    let kept = &variant.stored;
    let form = Form::of(head, &variant);
    if validation::not_modified(head, kept) {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        *response.headers_mut() = validation::not_modified_headers(&kept.headers);
        if form == Form::Compressed {
            recoding::vary_on_coding(response.headers_mut());
        }
        return aged(response, age);
    }
    let length = form.bytes_of(&variant.body).len();
    match ranges::cut(head, kept, variant.body.len() as u64) {
        Cut::Whole if head.method == Method::HEAD => bodiless(whole(variant, age, form), length),
        Cut::Whole => whole(variant, age, form),
        _ if form == Form::Compressed && recoding::ignores_range(head) => whole(variant, age, form),
        // `reuse` has decided against it already; a piece must never look like the whole.
        Cut::Lacking => text(
            StatusCode::BAD_GATEWAY,
            "the stored part is not what was asked",
        ),
        cut => aged(part(&cut, &variant), age),
    }
}

/// The whole stored response as the answer; fields that nobody else holds move into it.
pub(super) fn whole(variant: Arc<Variant>, age: Duration, form: Form) -> Response<Body> {
    let status = variant.stored.status;
    let body = form.bytes_of(&variant.body);
    let fields = match Arc::try_unwrap(variant) {
        Ok(variant) => variant.stored.headers,
        Err(shared) => shared.stored.headers.clone(),
    };
    let mut response = Response::new(Body::whole(body));
    *response.status_mut() = status;
    *response.headers_mut() = fields;
    if form == Form::Compressed {
        recoding::recode(response.headers_mut());
    }
    aged(response, age)
}

/// The whole stored response under a head that was made before.
pub(super) fn under(fields: HeaderMap, variant: &Variant, form: Form) -> Response<Body> {
    let mut response = Response::new(Body::whole(form.bytes_of(&variant.body)));
    *response.status_mut() = variant.stored.status;
    *response.headers_mut() = fields;
    response
}

/// What answers HEAD instead of a response whose body is of this length.
fn bodiless(response: Response<Body>, length: usize) -> Response<Body> {
    let mut response = response.map(|_| Body::empty());
    let is_sized = response.status() != StatusCode::NO_CONTENT;
    if is_sized && !response.headers().contains_key(CONTENT_LENGTH) {
        let length = HeaderValue::from(length);
        response.headers_mut().insert(CONTENT_LENGTH, length);
    }
    response
}

fn aged(mut response: Response<Body>, age: Duration) -> Response<Body> {
    let age = HeaderValue::from(age.as_secs());
    response.headers_mut().insert(AGE, age);
    response
}

/// RFC 9110 §15.3.7 and §15.5.17.
fn part(cut: &Cut, variant: &Variant) -> Response<Body> {
    // Long and random, so that it is not in the body (RFC 2046 §5.1.1).
    let boundary = format!("{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..));
    let (status, fields, body) = ranges::response(cut, &variant.stored, &variant.body, &boundary);
    let mut response = Response::new(Body::of_pieces(body));
    *response.status_mut() = status;
    *response.headers_mut() = fields;
    response
}
