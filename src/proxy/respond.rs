//! Answers made from stored responses.

use std::sync::Arc;
use std::time::Duration;

use http::header::{AGE, CONTENT_LENGTH};
use http::{HeaderValue, Method, Response, StatusCode};

use crate::body::Body;
use crate::entry::Variant;
use crate::http_cache::{RequestHead, validation};

/// The stored response as an answer to `head`: 304 if its conditions are met, no body for HEAD.
pub(super) fn stored(
    head: &RequestHead<'_>,
    variant: &Arc<Variant>,
    age: Duration,
    now: std::time::SystemTime,
) -> Response<Body> {
    let kept = &variant.stored;
    let mut response = if validation::not_modified(head, kept, now) {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        *response.headers_mut() = validation::not_modified_headers(&kept.headers);
        response
    } else {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = kept.status;
        *response.headers_mut() = kept.headers.clone();
        if head.method == Method::HEAD {
            if !kept.headers.contains_key(CONTENT_LENGTH) {
                response
                    .headers_mut()
                    .insert(CONTENT_LENGTH, HeaderValue::from(variant.body.len()));
            }
        } else {
            *response.body_mut() = Body::whole(variant.body.clone());
        }
        response
    };
    response
        .headers_mut()
        .insert(AGE, HeaderValue::from(age.as_secs()));
    response
}
