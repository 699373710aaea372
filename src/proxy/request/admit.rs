//! Requests that hyper lets through and a proxy must not (reliability.md, Facts and R1–R3).

use std::net::Ipv6Addr;

use http::header::{CONTENT_LENGTH, COOKIE, HOST, TRANSFER_ENCODING};
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode, Version};

use super::override_names::has_odd_sign;
use super::present::Present;
use crate::http_cache::directives::RequestDirectives;
use crate::http_cache::remove;

/// Most fields of a request; more are answered 431.
pub const MAX_FIELDS: usize = 256;

/// Why a request is refused before anything is forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// 400, 431 for too many fields, or 501 for CONNECT.
    pub status: StatusCode,
    /// In words, for the client and the log.
    pub why: &'static str,
}

/// What was found out about a request on the way in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// `Host`, lower-cased.
    pub host: String,
    /// Its fields.
    pub present: Present,
    /// What they say by `Cache-Control` or `Pragma`.
    pub directives: RequestDirectives,
}

/// Checks the framing and the target. Afterwards the fields are as HTTP/1.1 would have them: there is
/// a `Host` if there is any host, in lower case as the key has it, and one `Cookie`.
pub fn admit(parts: &mut Parts) -> Result<Admitted, Refusal> {
    check_method(&parts.method)?;
    // hyper counts on HTTP/1 alone.
    if parts.headers.len() > MAX_FIELDS {
        return Err(Refusal {
            status: StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            why: "too many fields",
        });
    }
    let present = Present::among(&parts.headers);
    if present.has(Present::FRAMING) {
        check_framing(parts)?;
    }
    check_target(parts)?;
    let host = host(parts)?;
    put_host(parts, &host);
    if parts.version == Version::HTTP_2 && present.has(Present::COOKIE) {
        join_cookies(parts);
    }
    let directives = if present.has(Present::DIRECTIVES) {
        RequestDirectives::of(&parts.headers)
    } else {
        RequestDirectives::default()
    };
    Ok(Admitted {
        host,
        present,
        directives,
    })
}

/// Takes fields with `_`, or another sign than `-`, in their names out of the request: an app that reads them as those with
/// `-` would obey what nobody here has looked at (`X_Forwarded_Host`, `X.Forwarded.Host`).
pub fn drop_underscores(parts: &mut Parts, admitted: &mut Admitted) {
    if admitted.present.has(Present::UNDERSCORES) {
        remove(&mut parts.headers, |name| has_odd_sign(name.as_str()));
        admitted.present = Present::among(&parts.headers);
    }
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
    if !matches!(parts.uri.scheme_str(), None | Some("http" | "https")) {
        return Err(bad("the target's scheme is neither http nor https"));
    }
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

/// RFC 9112 §3.2: exactly one `Host`, and a target in absolute form agrees with it. RFC 9113 §8.3.1: so
/// does `:authority`, which may stand for it.
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

/// RFC 9113 §8.3.1: who passes a request on over HTTP/1.1 makes `Host` of `:authority`. In one case: an app that looks it up
/// letter by letter would answer `API.example` otherwise than `api.example`, and the two share a key.
fn put_host(parts: &mut Parts, host: &str) {
    let line = parts.headers.get(HOST).map(HeaderValue::as_bytes);
    if host.is_empty() || line == Some(host.as_bytes()) {
        return;
    }
    if let Ok(host) = HeaderValue::from_str(host) {
        parts.headers.insert(HOST, host);
    }
}

/// RFC 9113 §8.2.3: a client may split its cookies for the sake of compression; they are one field.
fn join_cookies(parts: &mut Parts) {
    let pieces: Vec<&[u8]> = parts
        .headers
        .get_all(COOKIE)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    if pieces.len() < 2 {
        return;
    }
    if let Ok(cookies) = HeaderValue::from_bytes(&pieces.join(&b"; "[..])) {
        parts.headers.insert(COOKIE, cookies);
    }
}

/// The host, lower-cased, if it is one.
pub(super) fn checked(host: &str) -> Result<String, Refusal> {
    if is_plain(host) {
        return Ok(host.to_owned());
    }
    if is_host(host) {
        Ok(host.to_ascii_lowercase())
    } else {
        Err(bad("Host is not a host"))
    }
}

/// Whether it is `uri-host [ ":" port ]` (RFC 9110 §7.2), the host an address or a name (RFC 3986 §3.2.2). The
/// parser of URIs lets more through, such as `a:x` and `[::1]x`.
fn is_host(host: &str) -> bool {
    let (is_host, rest) = match host.strip_prefix('[') {
        Some(literal) => {
            let (address, rest) = literal.split_once(']').unwrap_or(("", ""));
            (address.parse::<Ipv6Addr>().is_ok(), rest)
        }
        None => {
            let (name, rest) = host.split_at(host.find(':').unwrap_or(host.len()));
            (is_name(name), rest)
        }
    };
    let is_port = |port: &str| {
        let digits = port.bytes().all(|byte| byte.is_ascii_digit());
        digits && (port.is_empty() || port.parse::<u16>().is_ok())
    };
    is_host && (rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port))
}

/// `reg-name`, not empty, and without `%`: nobody names a host so.
fn is_name(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(&byte);
    !name.is_empty() && name.bytes().all(is_plain)
}

/// Whether it is a name in lower case, perhaps with a port, as clients write it: no parser is needed.
fn is_plain(host: &str) -> bool {
    let of_name = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-');
    let name = host
        .as_bytes()
        .iter()
        .take_while(|byte| of_name(byte))
        .count();
    match &host.as_bytes()[name..] {
        [] => name > 0,
        [b':', port @ ..] => {
            // Of five digits the largest is the largest text.
            let is_port = matches!(port.len(), 1..=4) || port.len() == 5 && port <= &b"65535"[..];
            name > 0 && is_port && port.iter().all(u8::is_ascii_digit)
        }
        _ => false,
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

    fn parts(version: Version, method: &str, target: &str, headers: Fields) -> Parts {
        let mut request = Request::builder()
            .version(version)
            .method(method)
            .uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn admitted(method: &str, target: &str, headers: Fields) -> Result<String, Refusal> {
        host_of(&mut parts(Version::HTTP_11, method, target, headers))
    }

    fn host_of(parts: &mut Parts) -> Result<String, Refusal> {
        admit(parts).map(|admitted| admitted.host)
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
            ("another scheme", "GET", "ftp://a.example/", &[host]),
        ];
        for (name, method, target, headers) in rows {
            assert!(admitted(method, target, headers).is_err(), "{name}");
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
                admitted(method, target, headers).as_deref(),
                Ok(*host),
                "{name}"
            );
        }
    }

    /// What hyper makes of HTTP/2's pseudo-fields: `:authority` and `:scheme` are in the target.
    #[test]
    fn requests_of_http2() {
        let refused: &[(&str, &str, &str, Fields)] = &[
            ("no authority and no host", "GET", "/", &[]),
            (
                "authority and host differ",
                "GET",
                "http://a/",
                &[("host", "b")],
            ),
            ("ports differ", "GET", "http://a/", &[("host", "a:80")]),
            ("userinfo in authority", "GET", "http://u@a/", &[]),
            ("userinfo in both", "GET", "http://u@a/", &[("host", "u@a")]),
            ("connect", "CONNECT", "a:443", &[]),
            ("extended connect", "CONNECT", "https://a/chat", &[]),
            ("path *", "GET", "*", &[("host", "a")]),
            ("another scheme", "GET", "ftp://a/", &[]),
        ];
        for (name, method, target, headers) in refused {
            let parts = &mut parts(Version::HTTP_2, method, target, headers);
            assert!(admit(parts).is_err(), "{name}");
        }
        let hosts: &[(&str, &str, &str, Fields)] = &[
            ("authority", "GET", "https://A.example/", &[]),
            (
                "both",
                "GET",
                "https://a.example/",
                &[("host", "A.example")],
            ),
            ("host alone", "GET", "/", &[("host", "a.example")]),
            ("options *", "OPTIONS", "*", &[("host", "a.example")]),
        ];
        for (name, method, target, headers) in hosts {
            let mut parts = parts(Version::HTTP_2, method, target, headers);
            assert_eq!(host_of(&mut parts).as_deref(), Ok("a.example"), "{name}");
            let host = parts.headers[HOST].to_str().unwrap();
            assert!(host.eq_ignore_ascii_case("a.example"), "{name}: {host}");
        }
    }

    #[test]
    fn cookies_split_by_http2_are_joined() {
        let split: Fields = &[("host", "a"), ("cookie", "a=1"), ("cookie", "b=2; c=3")];
        let rows = [
            ("HTTP/2", Version::HTTP_2, vec!["a=1; b=2; c=3"]),
            // RFC 6265 §5.4: one line is all a client may send; which one counts is not ours to say.
            ("HTTP/1.1", Version::HTTP_11, vec!["a=1", "b=2; c=3"]),
        ];
        for (name, version, expected) in rows {
            let mut parts = parts(version, "GET", "/", split);
            admit(&mut parts).unwrap();
            let cookies: Vec<_> = parts.headers.get_all(COOKIE).iter().collect();
            assert_eq!(cookies, expected, "{name}");
        }
    }

    #[test]
    fn the_app_gets_the_host_in_the_case_of_the_key() {
        let rows: [(Version, &str, Fields); 3] = [
            (Version::HTTP_11, "/", &[("host", "API.Example:80")]),
            (
                Version::HTTP_11,
                "http://Api.Example:80/",
                &[("host", "api.EXAMPLE:80")],
            ),
            (Version::HTTP_2, "http://API.example:80/", &[]),
        ];
        for (version, target, fields) in rows {
            let mut parts = parts(version, "GET", target, fields);
            let admitted = admit(&mut parts).unwrap();
            assert_eq!(admitted.host, "api.example:80");
            assert_eq!(parts.headers[HOST], "api.example:80", "{target}");
        }
    }

    #[test]
    fn fields_are_counted() {
        for (fields, status) in [(MAX_FIELDS, None), (MAX_FIELDS + 1, Some(431))] {
            let mut parts = parts(Version::HTTP_2, "GET", "/", &[("host", "a")]);
            for _ in 1..fields {
                parts.headers.append("x", HeaderValue::from_static("1"));
            }
            let refused = admit(&mut parts)
                .err()
                .map(|refusal| refusal.status.as_u16());
            assert_eq!(refused, status, "{fields}");
        }
    }

    #[test]
    fn what_is_a_host() {
        let rows = [
            ("a", true),
            ("A_b.example", true),
            ("a:", true),
            ("a:65535", true),
            ("127.0.0.1:80", true),
            ("[::1]", true),
            ("[::1]:8080", true),
            ("", false),
            (":80", false),
            ("::1", false),
            ("a:x", false),
            ("a:-1", false),
            ("a:+1", false),
            ("a:65536", false),
            ("a:80:80", false),
            ("a:80 ", false),
            ("a/b", false),
            ("a?b", false),
            ("a\\b", false),
            ("u@a", false),
            ("a%", false),
            ("%61", false),
            ("[::1]x", false),
            ("[::1]:x", false),
            ("[::1", false),
            ("[]", false),
            ("[a]", false),
            ("[v1.a]", false),
            ("[::1%25lo]", false),
            ("x[::1]", false),
        ];
        for (host, expected) in rows {
            let of_field = admitted("GET", "/", &[("host", host)]);
            assert_eq!(of_field.is_ok(), expected, "{host:?}");
            // Some are no URI to begin with.
            let Ok(uri) = format!("https://{host}/").parse() else {
                continue;
            };
            let mut http2 = parts(Version::HTTP_2, "GET", "/", &[]);
            http2.uri = uri;
            let is_authority =
                http2.uri.authority().map(|authority| authority.as_str()) == Some(host);
            assert_eq!(
                host_of(&mut http2).is_ok(),
                expected || !is_authority,
                "{host:?}"
            );
        }
    }

    proptest::proptest! {
        #[test]
        fn a_plain_host_is_a_host(host in "[a-zA-Z0-9.:@ \\[\\]_-]{0,12}") {
            if is_plain(&host) {
                proptest::prop_assert!(is_host(&host));
                proptest::prop_assert_eq!(host.to_ascii_lowercase(), host);
            }
        }

        #[test]
        fn a_host_is_one_to_the_parser_of_uris(host in "[a-zA-Z0-9.:@ \\[\\]_%!-]{0,12}") {
            if is_host(&host) {
                let parsed: http::uri::Authority = host.parse().expect("a host");
                proptest::prop_assert!(!parsed.host().is_empty());
            }
        }
    }
}
