//! A request as the app gets it: its target, its fields, its body, and who hears of interim answers.

use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version};

use super::expect::Expectation;
use super::{headers, max_forwards, trace};
use crate::body::{Body, Copy, Progress, Received, Timed, Upload, Watched};
use crate::http_cache::remove;
use crate::proxy::hop_by_hop::strip_hop_by_hop;
use crate::proxy::interim::Sink;
use crate::proxy::request::context::{REFRESH, RequestContext, TOKEN};

/// The client's request as the app gets it. Interim answers to it are handed on to the client.
pub(in crate::proxy) fn request(
    context: &RequestContext,
    body: Body,
    expectation: &Expectation,
) -> Request<Body> {
    let mut request = Request::new(body);
    *request.method_mut() = context.parts.method.clone();
    *request.uri_mut() = origin_form(&context.parts.uri);
    *request.headers_mut() = fields(context, expectation);
    if context.parts.method == Method::TRACE {
        trace::strip_secrets(context, request.headers_mut());
    }
    max_forwards::count_down(&context.parts.method, request.headers_mut());
    if streams_without_length(&request) {
        // hyper would take a GET's body for absent.
        request
            .headers_mut()
            .insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    hand_on_interim(&mut request, context.interim.clone(), expectation.clone());
    request
}

/// The client's fields as the app gets them.
pub(in crate::proxy) fn fields(context: &RequestContext, expectation: &Expectation) -> HeaderMap {
    let mut fields = context.parts.headers.clone();
    strip_hop_by_hop(&mut fields);
    remove(&mut fields, |name| *name == TOKEN || *name == REFRESH);
    if expectation.is_none() {
        // RFC 9110 §10.1.1: not without a body to wait for, nor from HTTP/1.0.
        remove(&mut fields, |name| *name == EXPECT);
    }
    if headers::takes_trailers(&context.parts) {
        headers::ask_for_trailers(&mut fields);
    }
    headers::add_forwarding(
        &mut fields,
        context.peer,
        &context.host,
        context.parts.version,
        context.scheme(),
    );
    fields
}

/// The target as the app is sent it: the client's bytes, without scheme and authority.
pub(in crate::proxy) fn origin_form(uri: &Uri) -> Uri {
    match uri.path_and_query() {
        // Of `http://a#b` it is empty, says `/`, and would be written as nothing.
        Some(target) if target.as_str() != "/" => Uri::from(target.clone()),
        _ => Uri::from_static("/"),
    }
}

/// The client's body on its way to the app, with the deadline of `[listen] body_timeout` and `min_rate`. `progress` is
/// told of each piece, and `copy` gets it.
pub(in crate::proxy) fn body(
    context: &RequestContext,
    body: Received,
    progress: &Progress,
    copy: Option<Copy>,
) -> Body {
    if body.is_end_stream() {
        return Body::empty();
    }
    match body {
        Received::Unread(body) => {
            let timed = timed(context, body);
            Body::stream(Watched::new(timed, progress.clone(), copy))
        }
        Received::Begun(body) => Body::stream(Watched::new(body, progress.clone(), copy)),
        Received::Whole(bytes) => {
            copy.iter().for_each(|copy| copy.push(&bytes));
            Body::whole(bytes)
        }
    }
}

/// The client's body within the time that it has.
pub(in crate::proxy) fn timed(context: &RequestContext, body: Upload) -> Timed<Upload> {
    let listen = &context.live.config.listen;
    let timed = Timed::new(body, Some(listen.body_timeout)).at_least(listen.min_rate);
    timed.of(context.parts.version)
}

/// The answer to a request whose body `progress` has watched. On HTTP/1 it is the last of its connection if
/// that body had trailers, or still may: hyper reads bare line feeds among them, after which the next request may
/// have been taken for a part of them.
pub(in crate::proxy) fn end_after_trailers(
    context: &RequestContext,
    progress: &Progress,
    response: Response<Body>,
) -> Response<Body> {
    let in_chunks = context.parts.headers.contains_key(TRANSFER_ENCODING);
    match progress.has_trailers() || in_chunks && !progress.is_whole() {
        true => end_connection(context, response),
        false => response,
    }
}

/// The answer to a request whose body nobody has read.
pub(in crate::proxy) fn end_if_unread(
    context: &RequestContext,
    response: Response<Body>,
) -> Response<Body> {
    match context.has_body {
        true => end_connection(context, response),
        false => response,
    }
}

fn end_connection(context: &RequestContext, mut response: Response<Body>) -> Response<Body> {
    // RFC 9113 §8.2.2: there the field is none, and frames tell where a body ends.
    if context.parts.version != Version::HTTP_2 {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, close);
    }
    response
}

/// Hands the app's interim answers to `request` on to the client as they come. A 100 that `expectation`
/// waits for lets the body go instead.
pub(in crate::proxy) fn hand_on_interim(
    request: &mut Request<Body>,
    sink: Option<Sink>,
    expectation: Expectation,
) {
    if sink.is_none() && expectation.is_none() {
        return;
    }
    hyper::ext::on_informational(request, move |answer| {
        if answer.status() == StatusCode::CONTINUE && expectation.meet() {
            // hyper's server says it to the client when the body is asked for.
            return;
        }
        if let Some(sink) = &sink {
            sink.push(answer.status(), answer.headers());
        }
    });
}

fn streams_without_length(request: &Request<Body>) -> bool {
    request.body().is_streamed() && !request.headers().contains_key(CONTENT_LENGTH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_app_is_sent_a_target_that_begins_with_a_slash() {
        for (uri, expected) in [
            ("/a?b", "/a?b"),
            ("http://a/b?c", "/b?c"),
            ("http://a", "/"),
            ("http://a/", "/"),
            ("http://a/#b", "/"),
            ("http://a#b", "/"),
            ("http://a#/b?c", "/"),
            ("http://a?b", "/?b"),
            ("*", "*"),
        ] {
            let uri = uri.parse().unwrap();
            assert_eq!(origin_form(&uri).to_string(), expected, "{uri}");
        }
    }
}
