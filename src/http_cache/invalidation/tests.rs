use super::*;
use crate::http_cache::fixtures::headers;

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
        ("POST", 200, true),
        ("POST", 204, true),
        ("POST", 303, true),
        ("POST", 304, true),
        ("POST", 100, false),
        ("POST", 400, false),
        ("POST", 500, false),
        ("PUT", 201, true),
        ("PATCH", 200, true),
        ("DELETE", 204, true),
        ("M-SEARCH", 200, true),
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
