use http::{Method, StatusCode};

use super::*;
use crate::http_cache::directives::RequestDirectives;
use crate::http_cache::tests::fixtures::*;

const CC: &str = "cache-control";
const ETAG: (&str, &str) = ("etag", "\"a\"");
const DATED: (&str, &str) = ("date", SENT);
const MODIFIED: (&str, &str) = ("last-modified", HOUR_EARLIER);

/// §4.3.1.
#[test]
fn conditions_sent() {
    let client: Lines<'_> = &[
        ("accept", "a"),
        ("if-none-match", "\"client\""),
        ("if-match", "\"client\""),
        ("x-a", "1"),
        ("range", "bytes=0-1"),
        ("if-range", "\"client\""),
        ("if-modified-since", SENT),
        ("x-a", "2"),
        ("if-unmodified-since", SENT),
        ("x-b", "1"),
    ];
    let plain = [("accept", "a"), ("x-a", "1"), ("x-a", "2"), ("x-b", "1")];
    #[rustfmt::skip]
    let rows: &[(&str, Lines<'_>, Lines<'_>)] = &[
        ("ETag", &[ETAG], &[("if-none-match", "\"a\"")]),
        ("weak ETag", &[("etag", "W/\"a\"")], &[("if-none-match", "W/\"a\"")]),
        ("Last-Modified", &[MODIFIED], &[("if-modified-since", HOUR_EARLIER)]),
        ("both", &[ETAG, MODIFIED], &[("if-none-match", "\"a\""), ("if-modified-since", HOUR_EARLIER)]),
        ("none", &[(CC, "max-age=60")], &[]),
    ];
    for (name, response, expected) in rows {
        let mut request = headers(client);
        add_conditions(&mut request, &stored(response));
        assert_eq!(lines(&request), [&plain[..], expected].concat(), "{name}");
    }
    let mut request = headers(client);
    strip_conditions(&mut request);
    assert_eq!(lines(&request), plain);
}

fn freshen(first: Lines<'_>, not_modified: Lines<'_>, policy: &Policy) -> Stored {
    let first = store(200, first, policy).unwrap();
    let (none, fields) = (HeaderMap::new(), headers(not_modified));
    let not_modified = Exchange {
        request_time: later(3598),
        response_time: later(3600),
        ..exchange(304, &fields)
    };
    freshened(&first, &get(&none), &not_modified, policy)
}

/// §3.2: which fields a 304 changes.
#[test]
fn updated_fields() {
    let late = ("date", HOUR_LATER);
    #[rustfmt::skip]
    let rows: &[(&str, Lines<'_>, Lines<'_>, Lines<'_>)] = &[
        ("Date when the 304 has none", &[DATED, ETAG], &[], &[late, ETAG]),
        ("Date of the 304", &[DATED, ETAG], &[late], &[late, ETAG]),
        ("replaced in place", &[("x-a", "1"), late, ETAG, ("x-b", "1")], &[late, ("x-a", "2")], &[("x-a", "2"), late, ETAG, ("x-b", "1")]),
        ("all lines replaced", &[late, ("x-a", "1"), ("x-a", "2"), ETAG], &[late, ("x-a", "3")], &[late, ("x-a", "3"), ETAG]),
        ("added", &[late, ETAG], &[late, ("x-a", "1"), ("x-a", "2")], &[late, ETAG, ("x-a", "1"), ("x-a", "2")]),
        ("Content-Length stays", &[late, ETAG, ("content-length", "5")], &[late, ("content-length", "0")], &[late, ETAG, ("content-length", "5")]),
        ("Content-Type", &[late, ETAG, ("content-type", "a/b")], &[late, ("content-type", "c/d")], &[late, ETAG, ("content-type", "c/d")]),
        ("Content-Language", &[late, ETAG, ("content-language", "de")], &[late, ("content-language", "en")], &[late, ETAG, ("content-language", "en")]),
        ("Content-Location", &[late, ETAG], &[late, ("content-location", "/x")], &[late, ETAG, ("content-location", "/x")]),
        ("Content-Security-Policy", &[late, ETAG, ("content-security-policy", "a")], &[late, ("content-security-policy", "b")], &[late, ETAG, ("content-security-policy", "b")]),
        ("Expires", &[late, ETAG, ("expires", SENT)], &[late, ("expires", HOUR_LATER)], &[late, ETAG, ("expires", HOUR_LATER)]),
        ("Content-Encoding stays", &[late, ETAG, ("content-encoding", "br")], &[late, ("content-encoding", "gzip")], &[late, ETAG, ("content-encoding", "br")]),
        ("Warning", &[late, ETAG, ("warning", "110 - \"old\"")], &[late], &[late, ETAG, ("warning", "110 - \"old\"")]),
        ("Content-Encoding is not added", &[late, ETAG], &[late, ("content-encoding", "gzip")], &[late, ETAG]),
        ("Content-Range is not added", &[late, ETAG], &[late, ("content-range", "x")], &[late, ETAG]),
        ("Set-Cookie is not added", &[late, ETAG], &[late, ("set-cookie", "a=b")], &[late, ETAG]),
        ("nor is a token", &[late, ETAG], &[late, ("x-auth-token", "t")], &[late, ETAG]),
        ("Vary stays", &[late, ETAG, ("vary", "a, b")], &[late, ("vary", "a")], &[late, ETAG, ("vary", "a, b")]),
        ("hop by hop", &[late, ETAG], &[late, ("connection", "x-a"), ("x-a", "1"), ("transfer-encoding", "chunked")], &[late, ETAG]),
        ("Age is not stored", &[late, ETAG], &[late, ("age", "1")], &[late, ETAG]),
        ("strong ETag of a weak one's name: nothing changes", &[late, ("etag", "W/\"a\"")], &[late, ETAG, ("x-a", "1")], &[late, ("etag", "W/\"a\"")]),
        ("weak ETag of the same name", &[late, ETAG], &[late, ("etag", "W/\"a\"")], &[late, ("etag", "W/\"a\"")]),
        ("another ETag: nothing changes", &[late, ETAG], &[late, ("etag", "\"b\""), ("x-a", "1")], &[late, ETAG]),
        ("another Last-Modified: nothing changes", &[late, MODIFIED], &[late, ("last-modified", SENT)], &[late, MODIFIED]),
        ("ETag decides before Last-Modified", &[late, ETAG, MODIFIED], &[late, ETAG, ("last-modified", SENT)], &[late, ETAG, ("last-modified", SENT)]),
        ("withheld by the 304", &[late, ETAG], &[late, (CC, "private=\"x-a\""), ("x-a", "1")], &[late, ETAG, (CC, "private=\"x-a\"")]),
        ("stored, and withheld by the 304", &[late, ETAG, ("x-a", "1")], &[late, (CC, "private=\"x-a\"")], &[late, ETAG, (CC, "private=\"x-a\"")]),
    ];
    for (name, first, not_modified, expected) in rows {
        let fresh = freshen(first, not_modified, &rfc());
        assert_eq!(lines(&fresh.headers), *expected, "{name}");
    }
}

/// §4.3.4: freshness afterwards.
#[test]
fn freshened_lifetime() {
    let late = ("date", HOUR_LATER);
    let rule = Policy {
        stale_if_error: Some(secs(9)),
        ..ruled(300)
    };
    let rfc = rfc();
    // name, policy, first Cache-Control, 304, lifetime, initial age, no-cache
    type Row<'a> = (&'a str, &'a Policy, &'a str, Lines<'a>, u64, u64, bool);
    #[rustfmt::skip]
    let rows: &[Row<'_>] = &[
        ("stored directives stay", &rfc, "max-age=60", &[late], 60, 2, false),
        ("without a Date", &rfc, "max-age=60", &[], 60, 2, false),
        ("new max-age", &rfc, "max-age=60", &[late, (CC, "max-age=5")], 5, 2, false),
        ("the 304's Age", &rfc, "max-age=60", &[late, ("age", "7")], 60, 9, false),
        ("the 304's old Date", &rfc, "max-age=60", &[DATED], 60, 3600, false),
        ("the rule's ttl", &rule, "foo", &[late], 300, 2, false),
        ("no-cache now", &rfc, "max-age=60", &[late, (CC, "no-cache, max-age=5")], 5, 2, true),
        ("no-cache no more", &rfc, "no-cache", &[late, (CC, "max-age=5")], 5, 2, false),
        ("no-store now", &rule, "max-age=60", &[late, (CC, "no-store, max-age=60")], 0, 2, true),
        ("private now", &rule, "max-age=60", &[late, (CC, "private, max-age=60")], 0, 2, true),
        ("varies on more", &rule, "max-age=60", &[late, ("vary", "x")], 0, 2, true),
        ("varies on all", &rule, "max-age=60", &[late, ("vary", "*")], 0, 2, true),
    ];
    for (name, policy, first, not_modified, lifetime, age, no_cache) in rows {
        let fresh = freshen(&[DATED, ETAG, (CC, first)], not_modified, policy);
        let found = (fresh.lifetime, fresh.initial_age, fresh.no_cache);
        assert_eq!(found, (secs(*lifetime), secs(*age), *no_cache), "{name}");
        assert_eq!(fresh.status, StatusCode::OK, "{name}");
        if fresh.lifetime.is_zero() {
            assert_eq!(fresh.stale_if_error, Duration::ZERO, "{name}");
        }
    }
}

/// §4.3.4, §3.
#[test]
fn what_a_304_forbids_is_not_keepable() {
    let none = HeaderMap::new();
    #[rustfmt::skip]
    let rows: &[(&str, Lines<'_>, Result<(), Reason>)] = &[
        ("nothing said", &[], Ok(())),
        ("no-store", &[(CC, "no-store")], Err(Reason::NoStore)),
        ("private", &[(CC, "private")], Err(Reason::Private)),
        ("Set-Cookie is left out", &[("set-cookie", "a=b")], Ok(())),
    ];
    for (name, not_modified, expected) in rows {
        let fresh = freshen(&[DATED, ETAG], not_modified, &rfc());
        for method in [Method::GET, Method::HEAD] {
            let found = keepable(&request(&method, &none), &fresh, &rfc());
            assert_eq!(found, *expected, "{name}, {method}");
        }
    }
}

/// §4.3.2, RFC 9110 §13.
#[test]
fn conditions_received() {
    let inm = "if-none-match";
    let ims = "if-modified-since";
    let etag: Lines<'_> = &[DATED, ETAG, MODIFIED];
    let weak: Lines<'_> = &[DATED, ("etag", "W/\"a\"")];
    let odd: Lines<'_> = &[DATED, ("etag", "\"a,b\"")];
    let modified: Lines<'_> = &[DATED, MODIFIED];
    let dated: Lines<'_> = &[DATED, (CC, "max-age=60")];
    #[rustfmt::skip]
    let rows: &[(&str, Lines<'_>, Lines<'_>, bool)] = &[
        ("no condition", etag, &[], false),
        ("same tag", etag, &[(inm, "\"a\"")], true),
        ("other tag", etag, &[(inm, "\"b\"")], false),
        ("case matters", etag, &[(inm, "\"A\"")], false),
        ("in a list", etag, &[(inm, "\"b\" , \"a\"")], true),
        ("in another line", etag, &[(inm, "\"b\""), (inm, "\"a\"")], true),
        ("not in the list", etag, &[(inm, "\"b\", \"c\"")], false),
        ("weak in the request", etag, &[(inm, "W/\"a\"")], true),
        ("weak in store", weak, &[(inm, "\"a\"")], true),
        ("weak twice", weak, &[(inm, "W/\"a\"")], true),
        ("lower-case w", etag, &[(inm, "w/\"a\"")], false),
        ("comma in a tag", odd, &[(inm, "\"x\", \"a,b\"")], true),
        ("half of a tag", odd, &[(inm, "\"a")], false),
        ("star", etag, &[(inm, "*")], true),
        ("star without a tag in store", dated, &[(inm, "*")], true),
        ("empty", etag, &[(inm, "")], false),
        ("no tag in store", modified, &[(inm, "\"a\"")], false),
        ("tag before date: no match", etag, &[(inm, "\"b\""), (ims, SENT)], false),
        ("tag before date: match", etag, &[(inm, "\"a\""), (ims, "Tue, 06 Nov 1984 08:49:37 GMT")], true),
        ("tag before date: no tag in store", modified, &[(inm, "\"a\""), (ims, SENT)], false),
        ("same date", modified, &[(ims, HOUR_EARLIER)], true),
        ("later date", modified, &[(ims, SENT)], true),
        ("earlier date", modified, &[(ims, "Sun, 06 Nov 1994 07:49:36 GMT")], false),
        ("RFC 850 date", modified, &[(ims, "Sunday, 06-Nov-94 07:49:37 GMT")], true),
        ("asctime date", modified, &[(ims, "Sun Nov  6 07:49:37 1994")], true),
        ("no date", modified, &[(ims, "yesterday")], false),
        ("two dates", modified, &[(ims, SENT), (ims, SENT)], false),
        ("by Date, same", dated, &[(ims, SENT)], true),
        ("by Date, earlier", dated, &[(ims, HOUR_EARLIER)], false),
    ];
    for (name, response, request_lines, expected) in rows {
        let (stored, fields) = (stored(response), headers(request_lines));
        assert_eq!(not_modified(&get(&fields), &stored), *expected, "{name}");
        let head = request(&Method::HEAD, &fields);
        assert_eq!(not_modified(&head, &stored), *expected, "{name} (HEAD)");
    }
    let fields = headers(&[(inm, "*"), (ims, SENT)]);
    assert!(
        !not_modified(&request(&Method::POST, &fields), &stored(etag)),
        "POST"
    );
    // RFC 9110 §13.2.1
    for (status, expected) in [
        (200, true),
        (203, true),
        (301, false),
        (404, false),
        (503, false),
    ] {
        let other = Stored {
            status: StatusCode::from_u16(status).unwrap(),
            ..stored(etag)
        };
        assert_eq!(not_modified(&get(&fields), &other), expected, "{status}");
    }
}

/// RFC 9110 §15.4.5.
#[test]
fn fields_of_a_304() {
    let all: Lines<'_> = &[
        DATED,
        ("content-type", "a/b"),
        ETAG,
        ("vary", "a"),
        ("vary", "b"),
        MODIFIED,
        (CC, "max-age=60"),
        ("content-length", "5"),
        ("expires", SENT),
        ("content-location", "/x"),
        ("cdn-cache-control", "max-age=5"),
        ("x-a", "1"),
    ];
    let found = not_modified_headers(&headers(all));
    let names: Vec<_> = found.keys().map(HeaderName::as_str).collect();
    assert_eq!(
        names,
        [
            "date",
            "etag",
            "vary",
            "cache-control",
            "expires",
            "content-location",
            "cdn-cache-control"
        ]
    );
    assert_eq!(found.get_all("vary").iter().count(), 2);
    let found = not_modified_headers(&headers(&[DATED, MODIFIED]));
    assert_eq!(lines(&found), [DATED, MODIFIED]);
}

/// §4.3.5: what an answer to HEAD makes of a stored 200.
#[test]
fn heads() {
    let length = ("content-length", "5");
    let both: Lines<'_> = &[DATED, (CC, "max-age=60"), ETAG, MODIFIED, length];
    let bare: Lines<'_> = &[DATED, (CC, "max-age=60")];
    let modified: Lines<'_> = &[DATED, (CC, "max-age=60"), MODIFIED, length];
    let (fresh, invalid, nothing) = (Some(true), Some(false), None);
    // name, stored, status of the answer to HEAD, its fields, what becomes of the stored response
    #[rustfmt::skip]
    let rows: &[(&str, Lines<'_>, u16, Lines<'_>, Option<bool>)] = &[
        ("all equal", both, 200, &[ETAG, MODIFIED, length], fresh),
        ("the ETag alone", both, 200, &[ETAG], fresh),
        ("the Last-Modified alone", both, 200, &[MODIFIED], fresh),
        ("no validator", both, 200, &[], nothing),
        ("no validator on either side", bare, 200, &[], nothing),
        ("no validator and the same length", both, 200, &[length], nothing),
        ("no validator and another lifetime", both, 200, &[(CC, "max-age=600"), ("x-a", "1")], nothing),
        ("no validator and another length", both, 200, &[("content-length", "6")], invalid),
        ("no validator and another coding", both, 200, &[("content-encoding", "gzip")], invalid),
        ("another ETag", both, 200, &[("etag", "\"b\""), MODIFIED, length], invalid),
        ("another Last-Modified", both, 200, &[ETAG, ("last-modified", SENT), length], invalid),
        ("another Content-Length", both, 200, &[ETAG, MODIFIED, ("content-length", "6")], invalid),
        ("an ETag where none was", modified, 200, &[ETAG, MODIFIED, length], invalid),
        ("a weak ETag of the same name", both, 200, &[("etag", "W/\"a\"")], fresh),
        ("a strong one of a weak one", &[(CC, "max-age=60"), ("etag", "W/\"a\"")], 200, &[ETAG], invalid),
        ("a length where none was stated", bare, 200, &[length], invalid),
        ("and a validator vouches for it", &[(CC, "max-age=60"), ETAG], 200, &[ETAG, length], fresh),
        ("no-store now", both, 200, &[(CC, "no-store")], invalid),
        ("varies on more", both, 200, &[("vary", "x")], invalid),
        ("varies on all", both, 200, &[("vary", "*")], invalid),
        ("404", both, 404, &[], invalid),
        ("410", both, 410, &[], invalid),
        ("301", both, 301, &[], invalid),
        ("204", both, 204, &[], invalid),
        ("103 is not final", both, 103, &[], nothing),
        ("206", both, 206, &[], nothing),
        ("304 answers the client's condition", both, 304, &[ETAG], nothing),
        ("405 is about HEAD", both, 405, &[], nothing),
        ("412 answers the client's condition", both, 412, &[], nothing),
        ("429 is about the client", both, 429, &[], nothing),
        ("500", both, 500, &[], nothing),
        ("503", both, 503, &[("etag", "\"b\"")], nothing),
    ];
    let none = HeaderMap::new();
    let method = Method::HEAD;
    for (name, first, status, answer, expected) in rows {
        let first = stored(first);
        let fields = headers(answer);
        let head = Exchange {
            request_time: later(3600),
            response_time: later(3600),
            ..exchange(*status, &fields)
        };
        let found = match by_head(&first, &request(&method, &none), &head, &rfc()) {
            ByHead::Freshened(stored) => {
                assert!(stored.is_fresh(later(3600)), "{name}");
                assert_eq!(stored.age(later(3601)), secs(1), "{name}");
                Some(true)
            }
            ByHead::Invalid(stored) => {
                assert!(stored.no_cache && !stored.is_fresh(later(0)), "{name}");
                Some(false)
            }
            ByHead::Nothing => None,
        };
        assert_eq!(found, *expected, "{name}");
    }
}

/// §4.3.5, §3.2: the fields of the answer to HEAD update those stored.
#[test]
fn fields_updated_by_a_head() {
    let first = stored(&[
        DATED,
        ETAG,
        ("content-length", "5"),
        ("x-a", "1"),
        (CC, "max-age=60"),
    ]);
    let news = headers(&[
        ("date", HOUR_LATER),
        ETAG,
        ("content-length", "5"),
        ("x-a", "2"),
        (CC, "max-age=5"),
    ]);
    let (none, method) = (HeaderMap::new(), Method::HEAD);
    let head = Exchange {
        request_time: later(3600),
        response_time: later(3600),
        ..exchange(200, &news)
    };
    let ByHead::Freshened(found) = by_head(&first, &request(&method, &none), &head, &rfc()) else {
        panic!("it is the same");
    };
    assert_eq!(
        lines(&found.headers),
        [
            ("date", HOUR_LATER),
            ETAG,
            ("content-length", "5"),
            ("x-a", "2"),
            (CC, "max-age=5")
        ]
    );
    assert_eq!(found.lifetime, secs(5));
}

/// §4.3.5, promise I8: what one person is told by HEAD says nothing of what others share.
#[test]
fn a_personal_head_says_nothing() {
    let first = stored(&[DATED, ETAG, (CC, "max-age=60")]);
    let (none, method, no_store) = (HeaderMap::new(), Method::HEAD, headers(&[(CC, "no-store")]));
    let fields = headers(&[ETAG]);
    let plain = request(&method, &none);
    let cookie = crate::http_cache::Identity {
        unkeyed_cookie: true,
        ..plain.identity
    };
    for (name, request) in [
        (
            "Cookie",
            RequestHead {
                identity: cookie,
                ..plain
            },
        ),
        (
            "request no-store",
            RequestHead {
                headers: &no_store,
                directives: RequestDirectives::of(&no_store),
                ..plain
            },
        ),
    ] {
        let found = by_head(&first, &request, &exchange(200, &fields), &rfc());
        assert_eq!(found, ByHead::Nothing, "{name}");
    }
}
