use super::*;
use crate::http_cache::tests::fixtures::*;
use crate::http_cache::vary::Variation;
use crate::http_cache::{AppHeaders, CacheControlMode, Despite, Identity};

const CC: &str = "cache-control";
const FRESH: (&str, &str) = (CC, "max-age=60");
const ETAG: (&str, &str) = ("etag", "\"a\"");

fn verdict(status: u16, response: Lines<'_>, policy: &Policy) -> Result<(), Reason> {
    store(status, response, policy).map(|_| ())
}

/// §3: statuses, with and without a word on freshness.
#[test]
fn statuses() {
    let rfc = rfc();
    let rule = ruled(300);
    let lists = Policy {
        statuses: Some(vec![StatusCode::OK, StatusCode::NOT_FOUND]),
        ..ruled(300)
    };
    let no = Err(Reason::Status);
    type Row<'a> = (&'a str, &'a Policy, u16, Lines<'a>, Result<(), Reason>);
    #[rustfmt::skip]
    let rows: &[Row<'_>] = &[
        ("200 with freshness", &rfc, 200, &[FRESH], Ok(())),
        ("201", &rfc, 201, &[FRESH], Ok(())),
        ("202", &rfc, 202, &[FRESH], Ok(())),
        ("203", &rfc, 203, &[FRESH], Ok(())),
        ("204", &rfc, 204, &[FRESH], Ok(())),
        ("299, unknown", &rfc, 299, &[FRESH], Ok(())),
        ("301", &rfc, 301, &[FRESH], Ok(())),
        ("302", &rfc, 302, &[FRESH], Ok(())),
        ("303", &rfc, 303, &[FRESH], Ok(())),
        ("307", &rfc, 307, &[FRESH], Ok(())),
        ("308", &rfc, 308, &[FRESH], Ok(())),
        ("400", &rfc, 400, &[FRESH], Ok(())),
        ("403", &rfc, 403, &[FRESH], Ok(())),
        ("404", &rfc, 404, &[FRESH], Ok(())),
        ("410", &rfc, 410, &[FRESH], Ok(())),
        ("451", &rfc, 451, &[FRESH], Ok(())),
        ("499, unknown", &rfc, 499, &[FRESH], Ok(())),
        ("500", &rfc, 500, &[FRESH], Ok(())),
        ("502", &rfc, 502, &[FRESH], Ok(())),
        ("503", &rfc, 503, &[FRESH], Ok(())),
        ("504", &rfc, 504, &[FRESH], Ok(())),
        ("200 marked public alone", &rfc, 200, &[(CC, "public"), ETAG], Ok(())),
        ("302 marked public", &rfc, 302, &[(CC, "public"), ETAG], Ok(())),
        ("599 marked public", &rfc, 599, &[(CC, "public"), ETAG], Ok(())),
        ("302 with s-maxage", &rfc, 302, &[(CC, "s-maxage=60")], Ok(())),
        ("302 with Expires", &rfc, 302, &[("date", SENT), ("expires", HOUR_LATER)], Ok(())),
        ("599, unknown", &rfc, 599, &[FRESH], Ok(())),
        ("600 is no status", &rfc, 600, &[FRESH], no),
        ("100 is not final", &rfc, 100, &[FRESH], no),
        ("101 is not final", &rfc, 101, &[FRESH], no),
        ("206", &rfc, 206, &[FRESH], Err(Reason::Partial)),
        ("226", &rfc, 226, &[FRESH], no),
        ("304", &rfc, 304, &[FRESH], no),
        ("412", &rfc, 412, &[FRESH], no),
        ("416", &rfc, 416, &[FRESH], no),
        ("428", &rfc, 428, &[FRESH], no),
        ("429", &rfc, 429, &[FRESH], no),
        ("431", &rfc, 431, &[FRESH], no),
        ("511", &rfc, 511, &[FRESH], no),
        ("302 without freshness", &rfc, 302, &[ETAG], no),
        ("500 without freshness", &rfc, 500, &[ETAG], no),
        ("404 with a validator", &rfc, 404, &[ETAG], Ok(())),
        ("rule: 200", &rule, 200, &[], Ok(())),
        ("rule: 404", &rule, 404, &[], no),
        ("rule: 404 with a validator", &rule, 404, &[ETAG], no),
        ("rule: 404 marked public", &rule, 404, &[(CC, "public")], no),
        ("rule: 404 with freshness", &rule, 404, &[FRESH], Ok(())),
        ("rule: 500", &rule, 500, &[], no),
        ("list: 404", &lists, 404, &[], Ok(())),
        ("list: 301 is not in it", &lists, 301, &[FRESH], no),
        ("list: 206 never", &Policy { statuses: Some(vec![StatusCode::PARTIAL_CONTENT]), ..ruled(9) }, 206, &[], Err(Reason::Partial)),
        ("list: 304 never", &Policy { statuses: Some(vec![StatusCode::NOT_MODIFIED]), ..ruled(9) }, 304, &[], no),
        // §5.2.2.3
        ("must-understand: known", &rfc, 404, &[(CC, "must-understand, max-age=60")], Ok(())),
        ("must-understand: unknown", &rfc, 299, &[(CC, "must-understand, max-age=60")], no),
        ("must-understand lifts no-store", &rfc, 200, &[(CC, "must-understand, no-store, max-age=60")], Ok(())),
        ("but not of an unknown status", &rfc, 299, &[(CC, "must-understand, no-store, max-age=60")], no),
    ];
    for (name, policy, status, response, expected) in rows {
        assert_eq!(verdict(*status, response, policy), *expected, "{name}");
    }
}

/// §3, §5.2.2: what the response says, and which word of the rule lifts it.
#[test]
fn response_directives() {
    let cookie = ("set-cookie", "a=b");
    let with = |despite| Policy { despite, ..rfc() };
    let rfc = rfc();
    let none = Despite::default();
    let private = with(Despite {
        private: true,
        ..none
    });
    let no_store = with(Despite {
        no_store: true,
        ..none
    });
    let set_cookie = with(Despite {
        set_cookie: true,
        ..none
    });
    let over = Policy {
        cache_control: CacheControlMode::Override,
        ..ruled(300)
    };
    #[rustfmt::skip]
    let rows: &[(&str, &Policy, Lines<'_>, Result<(), Reason>)] = &[
        // §5.2.2.5
        ("no-store", &rfc, &[(CC, "no-store, max-age=60")], Err(Reason::NoStore)),
        ("no-store on another line", &rfc, &[FRESH, (CC, "no-store")], Err(Reason::NoStore)),
        ("no-store lifted", &no_store, &[(CC, "no-store, max-age=60")], Ok(())),
        ("no-store under override", &over, &[(CC, "no-store")], Err(Reason::NoStore)),
        // §5.2.2.7
        ("private", &rfc, &[(CC, "private, max-age=60")], Err(Reason::Private)),
        ("private lifted", &private, &[(CC, "private, max-age=60")], Ok(())),
        ("private under override", &over, &[(CC, "private")], Err(Reason::Private)),
        ("private and public", &rfc, &[(CC, "public, private, max-age=60")], Err(Reason::Private)),
        ("private and s-maxage", &rfc, &[(CC, "private, s-maxage=60")], Err(Reason::Private)),
        ("the wrong word", &private, &[(CC, "no-store, max-age=60")], Err(Reason::NoStore)),
        ("private field", &rfc, &[(CC, "private=\"x-a\", max-age=60")], Ok(())),
        // §7.3
        ("Set-Cookie", &rfc, &[FRESH, cookie], Err(Reason::SetCookie)),
        ("Set-Cookie and public", &rfc, &[(CC, "public, max-age=60"), cookie], Err(Reason::SetCookie)),
        ("Set-Cookie lifted", &set_cookie, &[FRESH, cookie], Ok(())),
        ("a token", &rfc, &[(CC, "public, max-age=60"), ("x-auth-token", "t")], Err(Reason::Token)),
        ("the end of a negotiation", &rfc, &[FRESH, ("www-authenticate", "Negotiate oYG2MIGz")], Err(Reason::Token)),
        ("the same in a list", &rfc, &[FRESH, ("www-authenticate", "Basic realm=a,  ntlm  TlRMTQ==")], Err(Reason::Token)),
        ("a challenge to negotiate", &rfc, &[FRESH, ("www-authenticate", "Negotiate, NTLM")], Ok(())),
        ("another challenge", &rfc, &[FRESH, ("www-authenticate", "Basic realm=\"negotiate x\"")], Ok(())),
        ("a token under override", &over, &[("access-token", "t")], Err(Reason::Token)),
        ("a token lifted", &set_cookie, &[FRESH, ("x-auth-token", "t")], Ok(())),
        ("a token withheld", &rfc, &[(CC, "max-age=60, private=\"X-Auth-Token\""), ("x-auth-token", "t")], Ok(())),
        ("Set-Cookie under override", &over, &[cookie], Err(Reason::SetCookie)),
        ("Set-Cookie withheld by private", &rfc, &[(CC, "max-age=60, private=\"set-cookie\""), cookie], Ok(())),
        ("Set-Cookie withheld by no-cache", &rfc, &[(CC, "max-age=60, no-cache=\"Set-Cookie\""), cookie], Ok(())),
        // §4.1
        ("Vary: *", &rfc, &[FRESH, ("vary", "*")], Err(Reason::VaryAny)),
        ("Vary: * in a list", &rfc, &[FRESH, ("vary", "accept, *")], Err(Reason::VaryAny)),
        ("Vary: * on another line", &rfc, &[FRESH, ("vary", "accept"), ("vary", "*")], Err(Reason::VaryAny)),
        ("Vary with a bad member", &rfc, &[FRESH, ("vary", "a b")], Err(Reason::VaryAny)),
        ("Vary", &rfc, &[FRESH, ("vary", "accept")], Ok(())),
        // §3
        ("silent", &rfc, &[], Err(Reason::NoFreshness)),
        ("only ETag", &rfc, &[ETAG], Ok(())),
        ("only Last-Modified", &rfc, &[("last-modified", SENT)], Ok(())),
        ("already stale", &rfc, &[(CC, "max-age=0")], Err(Reason::NoFreshness)),
        ("older than it lives", &rfc, &[FRESH, ("age", "61")], Err(Reason::NoFreshness)),
        ("stale with a validator", &rfc, &[(CC, "max-age=0"), ETAG], Ok(())),
        ("stale with a window", &rfc, &[(CC, "max-age=0, stale-if-error=9")], Ok(())),
        ("stale with a void window", &rfc, &[(CC, "s-maxage=0, stale-if-error=9")], Err(Reason::NoFreshness)),
        ("no-cache alone", &rfc, &[(CC, "no-cache, max-age=60")], Err(Reason::NoFreshness)),
        ("no-cache with a validator", &rfc, &[(CC, "no-cache"), ETAG], Ok(())),
        ("Expires alone", &rfc, &[("date", SENT), ("expires", HOUR_LATER)], Ok(())),
    ];
    for (name, policy, response, expected) in rows {
        assert_eq!(verdict(200, response, policy), *expected, "{name}");
    }
}

/// §3, §3.5, §5.2.1.5 and promise I8: what the request says.
#[test]
fn requests() {
    let rfc = rfc();
    let shared = Policy {
        shared: true,
        ..ruled(300)
    };
    let ttl = ruled(300);
    let overriding = Policy {
        cache_control: CacheControlMode::Override,
        ..ruled(300)
    };
    let lifting = Policy {
        despite: Despite::ALL,
        ..ruled(300)
    };
    let keyed = Identity::COVERED;
    let authorization = Identity {
        unkeyed_authorization: true,
        ..keyed
    };
    let cookie = Identity {
        unkeyed_cookie: true,
        ..keyed
    };
    let both = Identity {
        unkeyed_authorization: true,
        unkeyed_cookie: true,
    };
    type Row<'a> = (&'a str, &'a Policy, Identity, &'a str, Result<(), Reason>);
    #[rustfmt::skip]
    let rows: &[Row<'_>] = &[
        // §3.5
        ("keyed identity", &rfc, keyed, "max-age=60", Ok(())),
        ("Authorization", &rfc, authorization, "max-age=60", Err(Reason::Authorization)),
        ("Authorization, public", &rfc, authorization, "max-age=60, public", Ok(())),
        ("Authorization, s-maxage", &rfc, authorization, "s-maxage=60", Ok(())),
        ("Authorization, broken s-maxage", &rfc, authorization, "s-maxage=x", Err(Reason::Authorization)),
        // Pannier asks for more than §3.5, which has `must-revalidate` do as well.
        ("Authorization, must-revalidate", &rfc, authorization, "max-age=60, must-revalidate", Err(Reason::Authorization)),
        ("Authorization, must-revalidate, operator's ttl", &ttl, authorization, "must-revalidate", Err(Reason::Authorization)),
        ("Authorization, must-revalidate, overridden", &overriding, authorization, "max-age=0, must-revalidate", Err(Reason::Authorization)),
        ("Authorization, public must-revalidate", &rfc, authorization, "max-age=60, public, must-revalidate", Ok(())),
        ("Authorization, proxy-revalidate", &rfc, authorization, "max-age=60, proxy-revalidate", Err(Reason::Authorization)),
        // What the app would have to be asked for each time is left to it, whatever the rule says of that.
        ("Authorization, public max-age=0", &rfc, authorization, "public, max-age=0", Err(Reason::Authorization)),
        ("Cookie, public max-age=0, overridden", &overriding, cookie, "public, max-age=0", Err(Reason::Cookie)),
        ("Cookie, s-maxage=0, overridden", &overriding, cookie, "s-maxage=0", Err(Reason::Cookie)),
        ("Cookie, max-age and s-maxage=0, overridden", &overriding, cookie, "public, max-age=60, s-maxage=0", Err(Reason::Cookie)),
        ("Cookie, max-age=0 and s-maxage, overridden", &overriding, cookie, "max-age=0, s-maxage=60", Ok(())),
        ("Cookie, broken max-age, overridden", &overriding, cookie, "public, max-age=x", Err(Reason::Cookie)),
        ("Cookie, public no-cache", &rfc, cookie, "public, no-cache", Err(Reason::Cookie)),
        ("Cookie, public no-cache, lifted", &lifting, cookie, "public, no-cache", Err(Reason::Cookie)),
        ("Cookie, public no-store, lifted", &lifting, cookie, "public, no-store", Err(Reason::Cookie)),
        ("Cookie, public private, lifted", &lifting, cookie, "public, private", Err(Reason::Cookie)),
        ("Cookie, s-maxage and no-cache, lifted", &lifting, cookie, "s-maxage=60, no-cache", Err(Reason::Cookie)),
        ("Cookie, public, fields kept back", &rfc, cookie, "public, max-age=60, no-cache=\"x-a\"", Ok(())),
        ("Cookie, public alone, ruled", &ttl, cookie, "public", Ok(())),
        ("Cookie, public, shared rule", &shared, cookie, "public, max-age=0, stale-while-revalidate=9", Ok(())),
        ("Authorization, shared rule", &shared, authorization, "max-age=60", Ok(())),
        ("Cookie", &rfc, cookie, "max-age=60", Err(Reason::Cookie)),
        ("Cookie, public", &rfc, cookie, "max-age=60, public", Ok(())),
        ("Cookie, s-maxage", &rfc, cookie, "s-maxage=60", Ok(())),
        ("Cookie, must-revalidate", &rfc, cookie, "max-age=60, must-revalidate", Err(Reason::Cookie)),
        ("Cookie, shared rule", &shared, cookie, "max-age=60", Ok(())),
        ("both, must-revalidate", &rfc, both, "max-age=60, must-revalidate", Err(Reason::Authorization)),
        ("Authorization, immutable", &rfc, authorization, "max-age=60, immutable", Err(Reason::Authorization)),
        ("Authorization, must-understand", &rfc, authorization, "max-age=60, must-understand", Err(Reason::Authorization)),
        ("shared rule, private answer", &shared, both, "private", Err(Reason::Private)),
    ];
    let none = HeaderMap::new();
    for (name, policy, identity, line, expected) in rows {
        let response = headers(&[(CC, line)]);
        let request = RequestHead {
            identity: *identity,
            ..get(&none)
        };
        let found = storable(&request, &exchange(200, &response), policy).map(|_| ());
        assert_eq!(found, *expected, "{name}");
    }
    // §5.3: `Expires` says as much as `max-age=0`.
    for (expires, expected) in [
        ("0", Err(Reason::Cookie)),
        ("Fri, 31 Dec 9999 23:59:59 GMT", Ok(())),
    ] {
        let response = headers(&[(CC, "public"), ("expires", expires)]);
        let request = RequestHead {
            identity: cookie,
            ..get(&none)
        };
        let found = storable(&request, &exchange(200, &response), &overriding).map(|_| ());
        assert_eq!(found, expected, "Expires: {expires}");
    }
    let response = headers(&[FRESH]);
    for method in ["HEAD", "POST", "PUT", "DELETE", "OPTIONS", "QUERY", "X"] {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let found = storable(&request(&method, &none), &exchange(200, &response), &rfc);
        assert_eq!(found, Err(Reason::Method), "{method}");
    }
    let no_store = headers(&[(CC, "no-store")]);
    let found = storable(&get(&no_store), &exchange(200, &response), &rfc);
    assert_eq!(found, Err(Reason::RequestNoStore));
}

/// §3.1: fields.
#[test]
fn stored_fields() {
    let none = Despite::default();
    let rfc = rfc();
    let set_cookie = Policy {
        despite: Despite {
            set_cookie: true,
            ..none
        },
        ..rfc.clone()
    };
    let private = Policy {
        despite: Despite {
            private: true,
            ..none
        },
        ..rfc.clone()
    };
    let date = ("date", SENT);
    #[rustfmt::skip]
    let rows: &[(&str, &Policy, Lines<'_>, Lines<'_>)] = &[
        ("order and repetition", &rfc, &[("x-b", "1"), date, ("x-a", "1"), ("x-b", "2"), ("x-a", "")], &[("x-b", "1"), ("x-b", "2"), date, ("x-a", "1"), ("x-a", "")]),
        ("Age is left out", &rfc, &[date, ("age", "3")], &[date]),
        ("hop by hop", &rfc, &[("connection", "close"), date, ("keep-alive", "x"), ("te", "x"), ("transfer-encoding", "chunked"), ("upgrade", "x"), ("trailer", "x"), ("proxy-connection", "x")], &[date]),
        ("for proxies", &rfc, &[date, ("proxy-authenticate", "x"), ("proxy-authentication-info", "x"), ("proxy-authorization", "x")], &[date]),
        ("named by Connection", &rfc, &[("connection", "X-Hop , close,,"), ("connection", "x-two"), date, ("x-hop", "1"), ("x-two", "1"), ("x-end", "1")], &[date, ("x-end", "1")]),
        ("Date is added", &rfc, &[("x-a", "1")], &[("x-a", "1"), date]),
        ("unreadable Date is replaced", &rfc, &[("date", "x"), ("x-a", "1")], &[("x-a", "1"), date]),
        ("an old Date stays", &rfc, &[("date", HOUR_EARLIER)], &[("date", HOUR_EARLIER)]),
        ("private field", &rfc, &[date, ("x-a", "1"), ("x-b", "1"), (CC, "private=\"X-A\"")], &[date, ("x-b", "1"), (CC, "private=\"X-A\"")]),
        ("private field, lifted", &private, &[date, ("x-a", "1"), (CC, "private=\"X-A\"")], &[date, ("x-a", "1"), (CC, "private=\"X-A\"")]),
        ("no-cache field", &rfc, &[date, ("x-a", "1"), (CC, "no-cache=\"x-a\"")], &[date, (CC, "no-cache=\"x-a\"")]),
        ("lifted Set-Cookie", &set_cookie, &[date, ("set-cookie", "a=b"), ("set-cookie", "c=d")], &[date]),
        ("a lifted token", &set_cookie, &[date, ("x-auth-token", "t"), ("x-next-page-token", "p")], &[date, ("x-next-page-token", "p")]),
        ("a lifted step of a negotiation", &set_cookie, &[date, ("www-authenticate", "NTLM TlRM"), ("x-a", "1")], &[date, ("x-a", "1")]),
        ("upstream Cache-Status", &rfc, &[date, ("cache-status", "x; hit")], &[date, ("cache-status", "x; hit")]),
        ("Warning is a field like others", &rfc, &[date, ("warning", "110 - \"old\"")], &[date, ("warning", "110 - \"old\"")]),
        ("unknown ones", &rfc, &[date, ("x-unheard-of", "")], &[date, ("x-unheard-of", "")]),
        ("Content-Length", &rfc, &[date, ("content-length", "5")], &[date, ("content-length", "5")]),
    ];
    for (name, policy, response, expected) in rows {
        let response = [*response, &[ETAG]].concat();
        let expected = [*expected, &[ETAG]].concat();
        let stored = store(200, &response, policy).unwrap();
        let (mut found, mut expected) = (lines(&stored.headers), expected);
        // `ETag` only makes the response worth storing; where `Date` is appended it comes last.
        found.retain(|line| *line != ETAG);
        expected.retain(|line| *line != ETAG);
        assert_eq!(found, expected, "{name}");
    }
}

/// §4.2.4, RFC 5861: windows and flags.
#[test]
fn stored_flags() {
    let rule = Policy {
        stale_while_revalidate: Some(secs(7)),
        stale_if_error: Some(secs(8)),
        ..ruled(300)
    };
    let lifted = Policy {
        despite: Despite {
            no_cache: true,
            ..Despite::default()
        },
        ..rule.clone()
    };
    let shared = Policy {
        shared: true,
        ..rfc()
    };
    let rfc = rfc();
    // name, policy, Cache-Control, (revalidate, error) windows, must-revalidate, no-cache, shareable
    type Row<'a> = (&'a str, &'a Policy, &'a str, (u64, u64), bool, bool, bool);
    #[rustfmt::skip]
    let rows: &[Row<'_>] = &[
        ("nothing", &rfc, "max-age=9", (0, 0), false, false, false),
        ("the response's windows", &rfc, "max-age=9, stale-while-revalidate=1, stale-if-error=2", (1, 2), false, false, false),
        ("the rule's windows", &rule, "max-age=9", (7, 8), false, false, false),
        ("the response's own win", &rule, "max-age=9, stale-if-error=0", (7, 0), false, false, false),
        ("an invalid one is none", &rule, "max-age=9, stale-while-revalidate=x", (0, 8), false, false, false),
        ("must-revalidate", &rule, "max-age=9, must-revalidate", (0, 0), true, false, false),
        ("proxy-revalidate", &rule, "max-age=9, proxy-revalidate", (0, 0), true, false, false),
        ("s-maxage", &rule, "s-maxage=9, stale-while-revalidate=5", (0, 0), true, false, true),
        ("no-cache", &rule, "no-cache", (0, 0), false, true, false),
        ("no-cache lifted", &lifted, "no-cache", (7, 8), false, false, false),
        ("no-cache of a field", &rule, "no-cache=\"x\"", (7, 8), false, false, false),
        ("public", &rfc, "max-age=9, public", (0, 0), false, false, true),
        ("shared rule, which may be withdrawn", &shared, "max-age=9", (0, 0), false, false, false),
    ];
    for (name, policy, line, windows, must_revalidate, no_cache, shareable) in rows {
        let stored = store(200, &[(CC, line), ETAG], policy).unwrap();
        let found = (stored.stale_while_revalidate, stored.stale_if_error);
        assert_eq!(found, (secs(windows.0), secs(windows.1)), "{name}: windows");
        let found = (stored.must_revalidate, stored.no_cache, stored.shareable);
        assert_eq!(
            found,
            (*must_revalidate, *no_cache, *shareable),
            "{name}: flags"
        );
    }
}

/// §5.2.2, §7.3: what frameworks say of everything.
#[test]
fn headers_that_are_not_meant() {
    let ignores = Policy {
        app_headers: AppHeaders::Ignore,
        cache_control: CacheControlMode::Override,
        despite: Despite::ALL,
        stale_while_revalidate: Some(secs(5)),
        stale_if_error: Some(secs(6)),
        variation: Variation {
            without_identity: true,
            ..Variation::default()
        },
        ..ruled(60)
    };
    #[rustfmt::skip]
    let rows: &[(&str, Lines<'_>)] = &[
        ("Next.js", &[("cache-control", "private, no-cache, no-store, max-age=0, must-revalidate")]),
        ("its host", &[("cache-control", "public, max-age=0, must-revalidate"), ("cdn-cache-control", "no-store")]),
        ("Express with sessions", &[("set-cookie", "connect.sid=s"), ("etag", "\"x\"")]),
        ("Rails", &[("cache-control", "max-age=0, private, must-revalidate")]),
        ("Laravel", &[("cache-control", "no-cache, private"), ("set-cookie", "laravel_session=x")]),
        ("Django", &[("vary", "Accept, Cookie"), ("expires", "0")]),
        ("Spring", &[("cache-control", "no-store"), ("pragma", "no-cache"), ("expires", "0")]),
        ("proxies", &[("cache-control", "s-maxage=0, proxy-revalidate, must-understand, stale-while-revalidate=0")]),
        ("a slow clock", &[("date", HOUR_EARLIER), ("age", "7200")]),
        ("a withheld field", &[("cache-control", "no-cache=\"etag\""), ("etag", "\"x\"")]),
    ];
    for (name, response) in rows {
        let stored = store(200, response, &ignores).unwrap_or_else(|why| panic!("{name}: {why:?}"));
        assert_eq!(stored.lifetime, secs(60), "{name}");
        assert_eq!(stored.initial_age, secs(0), "{name}");
        assert_eq!(stored.stale_while_revalidate, secs(5), "{name}");
        assert_eq!(stored.stale_if_error, secs(6), "{name}");
        assert!(!stored.no_cache && !stored.must_revalidate, "{name}");
        assert!(!stored.headers.contains_key(SET_COOKIE), "{name}");
    }
    // Who may share is decided without them too, and what the rule does not list is not stored for its ttl.
    let shared = store(200, &[("cache-control", "public, s-maxage=9")], &ignores).unwrap();
    assert!(!shared.shareable);
    let none = HeaderMap::new();
    let anonymous = get(&none);
    let stranger = RequestHead {
        identity: Identity {
            unkeyed_authorization: true,
            unkeyed_cookie: true,
        },
        ..anonymous
    };
    let public = headers(&[("cache-control", "public, must-revalidate")]);
    let refused = storable(&stranger, &exchange(200, &public), &ignores);
    assert_eq!(refused, Err(Reason::Authorization));
    for status in [302, 404, 500] {
        let response = [("cache-control", "public, max-age=60")];
        assert_eq!(
            store(status, &response, &ignores),
            Err(Reason::Status),
            "{status}"
        );
    }
    assert_eq!(store(200, &[("vary", "*")], &ignores), Err(Reason::VaryAny));
}

/// §4.2.4, §5.2.2.2, §5.2.2.8, §5.2.2.10.
#[test]
fn what_forbids_stale_serving_can_be_lifted() {
    let windows = |despite| Policy {
        despite,
        stale_while_revalidate: Some(secs(5)),
        ..rfc()
    };
    let must = Despite {
        must_revalidate: true,
        ..Despite::default()
    };
    let proxy = Despite {
        proxy_revalidate: true,
        ..Despite::default()
    };
    #[rustfmt::skip]
    let rows = [
        ("must-revalidate, lifted", "max-age=1, must-revalidate", must, 5),
        ("must-revalidate, another lifted", "max-age=1, must-revalidate", proxy, 0),
        ("proxy-revalidate, lifted", "max-age=1, proxy-revalidate", proxy, 5),
        ("proxy-revalidate, another lifted", "max-age=1, proxy-revalidate", must, 0),
        ("s-maxage implies it", "s-maxage=1", proxy, 5),
        ("s-maxage, another lifted", "s-maxage=1", must, 0),
        ("the answer's own word", "max-age=1, must-revalidate, stale-while-revalidate=3", must, 3),
    ];
    for (name, line, despite, expected) in rows {
        let stored = store(200, &[("cache-control", line)], &windows(despite)).unwrap();
        assert_eq!(stored.stale_while_revalidate, secs(expected), "{name}");
        assert_eq!(stored.must_revalidate, expected == 0, "{name}");
    }
}
