//! `Max-Forwards` (RFC 9110 §7.6.2): how far a TRACE or OPTIONS goes, and the answer where it ends.

use http::header::{CONTENT_TYPE, MAX_FORWARDS};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response};

use super::trace;
use crate::body::Body;
use crate::proxy::request::context::RequestContext;

/// Whether the request goes no further than here.
pub(in crate::proxy) fn ends_here(parts: &Parts) -> bool {
    counts(&parts.method) && left(&parts.headers) == Some(0)
}

/// Counts one hop less for a request on its way.
pub(super) fn count_down(method: &Method, headers: &mut HeaderMap) {
    if counts(method)
        && let Some(left) = left(headers)
    {
        headers.insert(MAX_FORWARDS, HeaderValue::from(left.saturating_sub(1)));
    }
}

/// What the final recipient answers: for TRACE the request as it came (§9.3.8), for OPTIONS that it is
/// there. What the app offers is not known here.
pub(in crate::proxy) fn answer(context: &RequestContext) -> Response<Body> {
    let parts = &context.parts;
    if parts.method != Method::TRACE {
        return Response::new(Body::empty());
    }
    let mut response = Response::new(Body::whole(trace::echo(context).into()));
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("message/http"));
    response
}

fn counts(method: &Method) -> bool {
    *method == Method::TRACE || *method == Method::OPTIONS
}

/// `None`: absent, doubled, or no number; then it says nothing and passes as it is.
fn left(headers: &HeaderMap) -> Option<u64> {
    let mut lines = headers.get_all(MAX_FORWARDS).iter();
    let line = lines.next().filter(|_| lines.next().is_none())?;
    let digits = line.to_str().ok()?;
    // `parse` would take a sign.
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().ok())?
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    #[test]
    fn how_far_a_request_goes() {
        type Lines<'a> = &'a [&'a str];
        let rows: &[(&str, &str, Lines, bool, Lines)] = &[
            ("trace", "TRACE", &["2"], false, &["1"]),
            ("options", "OPTIONS", &["1"], false, &["0"]),
            ("the last hop", "OPTIONS", &["0"], true, &["0"]),
            ("other methods", "GET", &["0"], false, &["0"]),
            ("absent", "TRACE", &[], false, &[]),
            ("no number", "TRACE", &["x"], false, &["x"]),
            ("signed", "TRACE", &["+0"], false, &["+0"]),
            ("empty", "TRACE", &[""], false, &[""]),
            ("doubled", "TRACE", &["0", "0"], false, &["0", "0"]),
            (
                "beyond all numbers",
                "TRACE",
                &["99999999999999999999"],
                false,
                &["99999999999999999999"],
            ),
        ];
        for (name, method, values, ends, passed) in rows {
            let mut request = Request::builder().method(*method).uri("/");
            for value in *values {
                request = request.header(MAX_FORWARDS, *value);
            }
            let mut parts = request.body(()).unwrap().into_parts().0;
            assert_eq!(ends_here(&parts), *ends, "{name}");
            count_down(&parts.method, &mut parts.headers);
            let left: Vec<_> = parts.headers.get_all(MAX_FORWARDS).iter().collect();
            assert_eq!(left, *passed, "{name}");
        }
    }
}
