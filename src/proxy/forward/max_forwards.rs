//! `Max-Forwards` (RFC 9110 §7.6.2): how far a TRACE or OPTIONS goes, and the answer where it ends.

use http::header::{CONTENT_TYPE, HeaderName, MAX_FORWARDS};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response};

use crate::body::Body;
use crate::proxy::request::context::RequestContext;
use crate::routes::is_credential;

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
    let further = &context.live.config.defaults.credential_headers;
    let mut response = Response::new(Body::whole(trace(parts, further).into()));
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

/// §9.3.8: without the fields that are likely to hold secrets: cookies, credentials by their names, and
/// `further`.
fn trace(parts: &Parts, further: &[HeaderName]) -> Vec<u8> {
    const SECRET: [&str; 5] = ["authorization", "cookie", "token", "csrf", "xsrf"];
    let is_secret = |name: &HeaderName| {
        let text = name.as_str();
        let is_known = is_credential(text) || SECRET.iter().any(|word| text.contains(word));
        is_known || further.contains(name)
    };
    let line = format!("{} {} {:?}\r\n", parts.method, parts.uri, parts.version);
    let mut out = line.into_bytes();
    for (name, value) in &parts.headers {
        if !is_secret(name) {
            out.extend_from_slice(name.as_str().as_bytes());
            out.extend_from_slice(b": ");
            out.extend_from_slice(value.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
    }
    out.extend_from_slice(b"\r\n");
    out
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

    #[test]
    fn a_trace_shows_no_secrets() {
        let mut request = Request::builder()
            .method("TRACE")
            .uri("/a?b")
            .header("host", "a");
        for name in [
            "cookie",
            "cookie2",
            "authorization",
            "proxy-authorization",
            "x-api-key",
            "x-auth-token",
            "x-csrf-token",
            "x-company",
        ] {
            request = request.header(name, "secret");
        }
        let request = request.header("x-own", "1");
        let parts = request.body(()).unwrap().into_parts().0;
        let further = [HeaderName::from_static("x-company")];
        let text = String::from_utf8(trace(&parts, &further)).unwrap();
        assert_eq!(text, "TRACE /a?b HTTP/1.1\r\nhost: a\r\nx-own: 1\r\n\r\n");
    }
}
