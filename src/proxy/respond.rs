//! Answers made from stored responses.

use std::sync::Arc;
use std::time::Duration;

use http::header::{AGE, CONTENT_LENGTH};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};

use super::outcome::text;
use crate::body::Body;
use crate::entry::Variant;
use crate::http_cache::ranges::{self, Cut};
use crate::http_cache::{RequestHead, validation};

/// The stored response as an answer to `head`: 304 if its conditions are met, no body for HEAD.
pub(super) fn stored(
    head: &RequestHead<'_>,
    variant: &Arc<Variant>,
    age: Duration,
) -> Response<Body> {
    taken(head, Arc::clone(variant), age)
}

/// The same; fields that nobody else holds move into the answer.
pub(super) fn taken(
    head: &RequestHead<'_>,
    variant: Arc<Variant>,
    age: Duration,
) -> Response<Body> {
    let kept = &variant.stored;
    let mut response = if validation::not_modified(head, kept) {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        *response.headers_mut() = validation::not_modified_headers(&kept.headers);
        response
    } else {
        match ranges::cut(head, kept, variant.body.len() as u64) {
            Cut::Whole => whole(head, variant),
            // `reuse` has decided against it already; a piece must never look like the whole.
            Cut::Lacking => text(
                StatusCode::BAD_GATEWAY,
                "the stored part is not what was asked",
            ),
            cut => part(&cut, &variant),
        }
    };
    response
        .headers_mut()
        .insert(AGE, HeaderValue::from(age.as_secs()));
    response
}

/// The whole stored response under a head that was made before.
pub(super) fn under(fields: HeaderMap, variant: &Variant) -> Response<Body> {
    let mut response = Response::new(Body::whole(variant.body.clone()));
    *response.status_mut() = variant.stored.status;
    *response.headers_mut() = fields;
    response
}

fn whole(head: &RequestHead<'_>, variant: Arc<Variant>) -> Response<Body> {
    let status = variant.stored.status;
    let (fields, body) = match Arc::try_unwrap(variant) {
        Ok(variant) => (variant.stored.headers, variant.body),
        Err(shared) => (shared.stored.headers.clone(), shared.body.clone()),
    };
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    *response.headers_mut() = fields;
    if head.method != Method::HEAD {
        *response.body_mut() = Body::whole(body);
    } else if !response.headers().contains_key(CONTENT_LENGTH) && status != StatusCode::NO_CONTENT {
        let length = HeaderValue::from(body.len());
        response.headers_mut().insert(CONTENT_LENGTH, length);
    }
    response
}

/// RFC 9110 §15.3.7 and §15.5.17.
fn part(cut: &Cut, variant: &Variant) -> Response<Body> {
    // Long and random, so that it is not in the body (RFC 2046 §5.1.1).
    let boundary = format!("{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..));
    let (status, fields, body) = ranges::response(cut, &variant.stored, &variant.body, &boundary);
    let mut response = Response::new(Body::whole(body));
    *response.status_mut() = status;
    *response.headers_mut() = fields;
    response
}
