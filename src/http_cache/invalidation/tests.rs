use super::*;
use crate::http_cache::tests::fixtures::headers;

/// §4.4.
#[test]
fn unsafe_methods_that_did_not_fail() {
    #[rustfmt::skip]
    let rows = [
        ("GET", 200, false),
        ("HEAD", 200, false),
        ("OPTIONS", 200, false),
        ("TRACE", 200, false),
        ("PROPFIND", 207, false),
        ("REPORT", 207, false),
        ("SEARCH", 200, false),
        ("POST", 200, true),
        ("POST", 204, true),
        ("POST", 303, true),
        ("POST", 304, true),
        ("PUT", 301, true),
        ("DELETE", 202, true),
        ("POST", 299, true),
        ("POST", 399, true),
        ("POST", 100, false),
        ("POST", 101, false),
        ("POST", 400, false),
        ("DELETE", 404, false),
        ("POST", 499, false),
        ("POST", 600, false),
        ("POST", 500, false),
        ("PUT", 201, true),
        ("PATCH", 200, true),
        ("DELETE", 204, true),
        ("M-SEARCH", 200, true),
        ("LINK", 200, true),
        ("FROBNICATE", 200, true),
        ("get", 200, true),
    ];
    for (name, status, expected) in rows {
        let method = Method::from_bytes(name.as_bytes()).unwrap();
        let status = StatusCode::from_u16(status).unwrap();
        assert_eq!(invalidates(&method, status), expected, "{name} {status}");
    }
}

/// §4.4: the same origin only; RFC 3986 §5: references.
#[test]
fn locations_of_the_same_origin() {
    #[rustfmt::skip]
    let rows: &[(&str, &str, Option<&str>)] = &[
        ("path", "/x", Some("/x")),
        ("path and query", "/x?a=1&b", Some("/x?a=1&b")),
        ("fragment", "/x?a#f", Some("/x?a")),
        ("root", "/", Some("/")),
        ("absolute", "http://example.com/x", Some("/x")),
        ("absolute without a path", "http://example.com", Some("/")),
        ("absolute, only a query", "http://example.com?a", Some("/?a")),
        ("capitals in the host", "HTTP://Example.COM/X", Some("/X")),
        ("the scheme's own port", "http://example.com:80/x", Some("/x")),
        ("another port", "http://example.com:8080/x", None),
        ("another host", "http://example.org/x", None),
        ("a longer host", "http://example.com.evil/x", None),
        ("another scheme", "https://example.com/x", None),
        ("no web scheme", "mailto:x@example.com", None),
        ("userinfo", "http://u@example.com/x", None),
        ("network path", "//example.com/x", Some("/x")),
        ("network path elsewhere", "//example.org/x", None),
        ("relative", "x", Some("/a/x")),
        ("relative with a query", "x?y", Some("/a/x?y")),
        ("deeper", "x/y", Some("/a/x/y")),
        ("a colon later", "./x:y", Some("/a/x:y")),
        ("only a query", "?y", Some("/a/b?y")),
        ("same document", "#f", None),
        ("empty", "", None),
        ("here", "./", Some("/a/")),
        ("up", "../x", Some("/x")),
        ("up too far", "../../../x", Some("/x")),
        ("dots in an absolute path", "/x/./y/../z", Some("/x/z")),
        ("dots at the end", "/x/y/..", Some("/x/")),
        ("up to the root", "/..", Some("/")),
        ("empty segments", "/x//y", Some("/x//y")),
        ("the target itself", "/a/b?q=1", None),
        ("the target's path", "/a/b", Some("/a/b")),
        ("a space", "/a b", None),
        ("whitespace around", " /x\t", Some("/x")),
        ("beyond ASCII", "/é?ü", Some("/%C3%A9?%C3%BC")),
        ("beyond ASCII, absolute", "http://example.com/é", Some("/%C3%A9")),
        ("percent-encoded", "/%c3%a9", Some("/%c3%a9")),
        ("an empty query", "/a/b?", Some("/a/b?")),
        ("absolute, the target itself", "http://example.com/a/b?q=1", Some("/a/b?q=1")),
        ("absolute with dots", "http://example.com/x/../y", Some("/y")),
        ("absolute with a fragment", "http://example.com/x#f", Some("/x")),
        ("absolute, empty port", "http://example.com:/x", Some("/x")),
        ("a port that is none", "http://example.com:65616/x", None),
        ("userinfo on a network path", "//u@example.com/x", None),
        ("user and password", "http://u:p@example.com/x", None),
        ("three slashes", "///x", None),
        ("a scheme alone", "http:", None),
        ("a scheme and a path", "http:/x", None),
        ("asterisk", "*", Some("/a/*")),
    ];
    for (name, reference, expected) in rows {
        for field in ["location", "content-location"] {
            let response = headers(&[(field, reference)]);
            let found = further_targets("http", "example.com", "/a/b?q=1", &response);
            let expected: Vec<&str> = expected.iter().copied().collect();
            assert_eq!(found, expected, "{name} ({field})");
        }
    }
}

/// §4.4.
#[test]
fn ports_and_unknown_hosts() {
    #[rustfmt::skip]
    let rows = [
        ("same port", "http", "example.com:8080", "http://example.com:8080/x", true),
        ("port missing", "http", "example.com:8080", "http://example.com/x", false),
        ("own port given", "https", "example.com:443", "https://example.com/x", true),
        ("IPv6", "http", "[::1]:80", "http://[::1]/x", true),
        ("unknown host", "http", "", "http://example.com/x", false),
        ("unknown host, path", "http", "", "/x", true),
        ("own port in Host alone", "http", "example.com:80", "http://example.com/x", true),
        ("own port of the other scheme", "http", "example.com", "http://example.com:443/x", false),
        ("TLS ends in front", "https", "example.com", "https://example.com/x", true),
        ("TLS ends in front, plain reference", "https", "example.com", "http://example.com/x", false),
        ("TLS ends in front, network path", "https", "example.com", "//example.com:443/x", true),
        ("capitals in the scheme", "HTTPS", "example.com", "https://example.com/x", true),
        ("capitals in Host", "http", "Example.com", "http://example.COM/x", true),
        ("trailing dot", "http", "example.com", "http://example.com./x", false),
        ("a scheme of no web", "ftp", "example.com", "http://example.com/x", false),
    ];
    for (name, scheme, host, reference, expected) in rows {
        let response = headers(&[("location", reference)]);
        let found = further_targets(scheme, host, "/", &response);
        assert_eq!(found == ["/x"], expected, "{name}");
    }
}

#[test]
fn each_target_once() {
    let response = headers(&[
        ("location", "/x"),
        ("content-location", "/x"),
        ("content-location", "/y"),
    ]);
    assert_eq!(further_targets("http", "h", "/", &response), ["/x", "/y"]);
}

/// A reference is compared with the target letter by letter: `/a?` and `/a` are two.
#[test]
fn an_empty_query_is_a_query() {
    let response = headers(&[("location", "/a")]);
    assert_eq!(further_targets("http", "h", "/a?", &response), ["/a"]);
    let response = headers(&[("location", "?")]);
    assert_eq!(further_targets("http", "h", "/a", &response), ["/a?"]);
}

/// Bytes that are no text are percent-encoded as clients would.
#[test]
fn odd_bytes_are_encoded() {
    let mut response = headers(&[("location", "/y")]);
    let odd = http::HeaderValue::from_bytes(b"/\xff").unwrap();
    response.append("location", odd);
    let found = further_targets("http", "h", "/", &response);
    assert_eq!(found, ["/y", "/%FF"]);
}

proptest::proptest! {
    /// Whatever a reference holds, what is made of it is a target that a GET can name.
    #[test]
    fn references_resolve_to_targets(reference in "[\\x20-\\x7eé]{0,30}", base in "/[a-z/.?]{0,10}") {
        let response = headers(&[("location", &reference)]);
        for found in further_targets("http", "example.com", &base, &response) {
            proptest::prop_assert!(found.starts_with('/'));
            proptest::prop_assert!(found.parse::<Uri>().is_ok());
            let path = found.split('?').next().unwrap_or_default();
            proptest::prop_assert!(!path.split('/').any(|segment| matches!(segment, "." | "..")));
        }
    }
}
