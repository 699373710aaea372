//! A request as HTTP/2 has it, and whether the app has looked at it.

use http::header::{CONNECTION, HOST, TRANSFER_ENCODING};
use http::uri::Authority;
use http::{HeaderMap, Request, Uri};

use crate::body::Body;
use crate::upstream::build_uri;

/// What the app has not looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// This request alone.
    Stream,
    /// This and all later ones of the connection (`GOAWAY`).
    Connection,
}

/// RFC 9113 §8.7: these two say that a request was not processed. h2 reports a `GOAWAY` only to streams
/// above the last one that it names.
pub(super) fn find_refusal(error: &hyper::Error) -> Option<Refusal> {
    let error = std::error::Error::source(error)?.downcast_ref::<h2::Error>()?;
    if error.is_remote() && error.is_go_away() {
        return Some(Refusal::Connection);
    }
    let refused = error.is_remote() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
    refused.then_some(Refusal::Stream)
}

/// The request as HTTP/2 has it: `Host` becomes `:authority` (RFC 9113 §8.3.1), and no field belongs to
/// the connection (§8.2.2). The order of the others stays. `app` says how and where it is asked.
pub(super) fn to_http2(request: Request<Body>, app: &Uri) -> Request<Body> {
    let (mut head, body) = request.into_parts();
    let host = head.headers.get(HOST).map(|host| host.as_bytes());
    let authority = host
        .and_then(|host| Authority::try_from(host).ok())
        .or_else(|| app.authority().cloned());
    if let (Some(scheme), Some(authority), Some(path)) =
        (app.scheme(), authority, head.uri.path_and_query())
    {
        head.uri = build_uri(scheme.clone(), authority, path.clone());
    }
    let fields = std::mem::take(&mut head.headers);
    head.headers = HeaderMap::with_capacity(fields.len());
    for (name, value) in &fields {
        if ![HOST, CONNECTION, TRANSFER_ENCODING].contains(name) {
            head.headers.append(name, value.clone());
        }
    }
    Request::from_parts(head, body)
}

/// A copy of a request whose body, if any, is at hand.
pub(super) fn copy_if_whole(request: &Request<Body>) -> Option<Request<Body>> {
    let Body::Whole(bytes) = request.body() else {
        return None;
    };
    let mut copy = Request::new(Body::Whole(bytes.clone()));
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    Some(copy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_becomes_the_authority_and_the_order_stays() {
        let rows = [
            (
                "a host",
                "/a?b",
                Some("c.example:81"),
                "https://c.example:81/a?b",
            ),
            ("none", "/", None, "https://app:443/"),
            ("no host at all", "/", Some(""), "https://app:443/"),
            ("asterisk", "*", Some("c"), "*"),
        ];
        for (name, path, host, expected) in rows {
            let app = Uri::from_static("https://app:443/");
            let mut request = Request::builder().uri(path).header("x-first", "1");
            if let Some(host) = host {
                request = request.header("host", host);
            }
            let request = request
                .header("transfer-encoding", "chunked")
                .header("x-second", "1")
                .header("x-third", "1")
                .body(Body::empty())
                .unwrap();
            let request = to_http2(request, &app);
            let names: Vec<_> = request.headers().keys().map(|name| name.as_str()).collect();
            assert_eq!(names, ["x-first", "x-second", "x-third"], "{name}");
            if expected == "*" {
                assert_eq!(request.uri().path(), "*", "{name}");
                assert_eq!(request.uri().host(), Some("c"), "{name}");
            } else {
                assert_eq!(request.uri().to_string(), expected, "{name}");
            }
        }
    }
}
