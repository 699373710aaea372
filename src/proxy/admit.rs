//! Requests that hyper lets through and a proxy must not (reliability.md, Facts and R1–R3).

use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::request::Parts;
use http::uri::Authority;
use http::{Method, StatusCode, Version};

/// Why a request is refused before anything is forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// 400, or 501 for CONNECT.
    pub status: StatusCode,
    /// In words, for the client and the log.
    pub why: &'static str,
}

/// Checks the framing and the target; returns `Host` lower-cased.
pub fn admit(parts: &Parts) -> Result<String, Refusal> {
    check_method(&parts.method)?;
    check_framing(parts)?;
    check_target(parts)?;
    host(parts)
}

fn check_method(method: &Method) -> Result<(), Refusal> {
    if method == Method::CONNECT {
        return Err(Refusal {
            status: StatusCode::NOT_IMPLEMENTED,
            why: "CONNECT is not offered",
        });
    }
    // RFC 9110 §9.1: methods are case-sensitive; an app that folds case would see another method
    // than the rules do.
    if method
        .as_str()
        .bytes()
        .any(|byte| byte.is_ascii_lowercase())
    {
        return Err(bad("the method is not in upper case"));
    }
    Ok(())
}

fn check_framing(parts: &Parts) -> Result<(), Refusal> {
    let mut codings = parts.headers.get_all(TRANSFER_ENCODING).iter();
    if let Some(coding) = codings.next() {
        // RFC 9112 §6.1
        if parts.headers.contains_key(CONTENT_LENGTH) {
            return Err(bad("both Transfer-Encoding and Content-Length"));
        }
        if codings.next().is_some() || !coding.as_bytes().eq_ignore_ascii_case(b"chunked") {
            return Err(bad("a Transfer-Encoding other than chunked"));
        }
    }
    let mut lengths = parts.headers.get_all(CONTENT_LENGTH).iter();
    if let Some(length) = lengths.next() {
        let digits = length.as_bytes();
        let canonical = !digits.is_empty()
            && digits.iter().all(u8::is_ascii_digit)
            && (digits.len() == 1 || digits[0] != b'0');
        if lengths.next().is_some() || !canonical {
            return Err(bad("Content-Length is doubled or not a plain number"));
        }
    }
    Ok(())
}

fn check_target(parts: &Parts) -> Result<(), Refusal> {
    let asterisk = parts.uri.path() == "*";
    if asterisk && parts.method != Method::OPTIONS {
        return Err(bad("the target * is for OPTIONS"));
    }
    if !asterisk && !parts.uri.path().starts_with('/') {
        return Err(bad("the path does not begin with /"));
    }
    let target = parts
        .uri
        .path_and_query()
        .map_or("", |target| target.as_str());
    if target
        .bytes()
        .any(|byte| byte <= b' ' || byte >= 0x7f || byte == b'\\')
    {
        return Err(bad("raw non-ASCII, control or backslash in the target"));
    }
    Ok(())
}

/// RFC 9112 §3.2: exactly one `Host`, and a target in absolute form agrees with it.
fn host(parts: &Parts) -> Result<String, Refusal> {
    let mut lines = parts.headers.get_all(HOST).iter();
    let authority = parts.uri.authority();
    let Some(line) = lines.next() else {
        return match (parts.version, authority) {
            (Version::HTTP_10, None) => Ok(String::new()),
            (Version::HTTP_10 | Version::HTTP_2, Some(authority)) => checked(authority.as_str()),
            _ => Err(bad("Host is missing")),
        };
    };
    if lines.next().is_some() {
        return Err(bad("Host is doubled"));
    }
    let host = checked(line.to_str().map_err(|_| bad("Host is not a host"))?)?;
    if authority.is_some_and(|authority| !authority.as_str().eq_ignore_ascii_case(&host)) {
        return Err(bad("the target and Host disagree"));
    }
    Ok(host)
}

fn checked(host: &str) -> Result<String, Refusal> {
    let valid = !host.contains('@')
        && host
            .parse::<Authority>()
            .is_ok_and(|authority| !authority.host().is_empty());
    if valid {
        Ok(host.to_ascii_lowercase())
    } else {
        Err(bad("Host is not a host"))
    }
}

fn bad(why: &'static str) -> Refusal {
    Refusal {
        status: StatusCode::BAD_REQUEST,
        why,
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    type Fields<'a> = &'a [(&'a str, &'a str)];

    fn parts(method: &str, target: &str, headers: Fields) -> Parts {
        let mut request = Request::builder().method(method).uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn what_is_refused() {
        let host = ("host", "a.example");
        let rows: &[(&str, &str, &str, Fields)] = &[
            ("no host", "GET", "/", &[]),
            ("two hosts", "GET", "/", &[host, ("host", "a.example")]),
            ("space in host", "GET", "/", &[("host", "a b")]),
            ("userinfo in host", "GET", "/", &[("host", "u@a.example")]),
            ("empty host", "GET", "/", &[("host", "")]),
            (
                "target and host disagree",
                "GET",
                "http://b.example/",
                &[host],
            ),
            (
                "both framings",
                "POST",
                "/",
                &[
                    host,
                    ("transfer-encoding", "chunked"),
                    ("content-length", "3"),
                ],
            ),
            (
                "two codings",
                "POST",
                "/",
                &[
                    host,
                    ("transfer-encoding", "chunked"),
                    ("transfer-encoding", "chunked"),
                ],
            ),
            (
                "a list of codings",
                "POST",
                "/",
                &[host, ("transfer-encoding", "gzip, chunked")],
            ),
            (
                "another coding",
                "POST",
                "/",
                &[host, ("transfer-encoding", "xchunked")],
            ),
            (
                "leading zero",
                "POST",
                "/",
                &[host, ("content-length", "010")],
            ),
            (
                "signed length",
                "POST",
                "/",
                &[host, ("content-length", "+3")],
            ),
            (
                "two lengths",
                "POST",
                "/",
                &[host, ("content-length", "3"), ("content-length", "3")],
            ),
            ("lower-case method", "get", "/", &[host]),
            ("connect", "CONNECT", "a.example:443", &[host]),
            ("asterisk for GET", "GET", "*", &[host]),
        ];
        for (name, method, target, headers) in rows {
            assert!(admit(&parts(method, target, headers)).is_err(), "{name}");
        }
    }

    #[test]
    fn what_is_admitted() {
        let rows: &[(&str, &str, &str, Fields, &str)] = &[
            (
                "plain",
                "GET",
                "/a?b=c",
                &[("host", "A.example:8080")],
                "a.example:8080",
            ),
            (
                "absolute form",
                "GET",
                "http://a.example/",
                &[("host", "a.example")],
                "a.example",
            ),
            (
                "chunked",
                "POST",
                "/",
                &[("host", "a"), ("transfer-encoding", "chunked")],
                "a",
            ),
            (
                "length zero",
                "POST",
                "/",
                &[("host", "a"), ("content-length", "0")],
                "a",
            ),
            ("options asterisk", "OPTIONS", "*", &[("host", "a")], "a"),
            ("ipv6", "GET", "/", &[("host", "[::1]:80")], "[::1]:80"),
        ];
        for (name, method, target, headers, host) in rows {
            assert_eq!(
                admit(&parts(method, target, headers)).as_deref(),
                Ok(*host),
                "{name}"
            );
        }
    }
}
