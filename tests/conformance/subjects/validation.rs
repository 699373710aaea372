//! Validation (RFC 9111 §4.3) and updating what is stored (§3.2).

use crate::conformance::case::{
    Case, Framing, Reply, confirming, fresh, ok, optimal, reply, required, stale,
};

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = asking();
    cases.extend(updating());
    cases.extend(keeping());
    cases.extend(answered_otherwise());
    cases
}

fn tagged() -> Reply {
    stale().f("etag", "\"a\"")
}

fn confirmed(fields: &[(&str, &str)]) -> Reply {
    let confirmation = reply(304).cc("max-age=3600").f("etag", "\"a\"");
    confirming(confirmation.fs(fields))
}

fn asking() -> Vec<Case> {
    let sent = |name: &str, stored: &[(&str, &str)], condition, value| {
        let case = required("9111 §4.3.1", name).stored(stale().fs(stored));
        case.get().app_saw(condition, value)
    };
    let modified = "Sun, 06 Nov 1994 08:49:37 GMT";
    vec![
        sent(
            "ETag is offered",
            &[("etag", "\"a\"")],
            "if-none-match",
            "\"a\"",
        ),
        sent(
            "a weak ETag is offered as it is",
            &[("etag", "W/\"a\"")],
            "if-none-match",
            "W/\"a\"",
        ),
        sent(
            "an ETag without quotes is offered as it is",
            &[("etag", "a")],
            "if-none-match",
            "a",
        ),
        sent(
            "Last-Modified is offered",
            &[("last-modified", modified)],
            "if-modified-since",
            modified,
        ),
        sent(
            "both are offered: the tag",
            &[("last-modified", modified), ("etag", "\"a\"")],
            "if-none-match",
            "\"a\"",
        ),
        sent(
            "both are offered: the date",
            &[("last-modified", modified), ("etag", "\"a\"")],
            "if-modified-since",
            modified,
        ),
        required("9111 §4.3.1", "nothing is offered without a validator")
            .stored(stale())
            .get()
            .app_lacked("if-none-match")
            .app_lacked("if-modified-since")
            .fetched(),
        optimal("9111 §4.3.4", "a 304 by ETag serves what is stored")
            .stored(tagged())
            .get()
            .answers(confirmed(&[]))
            .validated(),
        optimal(
            "9111 §4.3.4",
            "a 304 by Last-Modified serves what is stored",
        )
        .stored(stale().f("last-modified", "{now-10000}"))
        .get()
        .answers(confirming(reply(304).cc("max-age=3600")))
        .validated()
        .get()
        .hit_of(0),
        optimal("9111 §4.3.4", "a 304 without the tag still confirms")
            .stored(tagged())
            .get()
            .answers(confirming(reply(304).cc("max-age=3600")))
            .validated()
            .get()
            .hit_of(0),
        optimal("9111 §4.3.4", "a weak tag is confirmed")
            .stored(stale().f("etag", "W/\"a\""))
            .get()
            .answers(confirming(
                reply(304).cc("max-age=3600").f("etag", "W/\"a\""),
            ))
            .validated()
            .get()
            .hit_of(0),
        optimal("9111 §4.3.4", "after a 304 it is fresh again")
            .stored(tagged())
            .get()
            .answers(confirmed(&[]))
            .validated()
            .age(0)
            .get()
            .hit_of(0)
            .age(0),
        optimal(
            "9111 §4.3.4",
            "a 304 with a new Date alone renews the old lifetime",
        )
        .stored(
            ok().cc("max-age=50")
                .f("date", "{now-100}")
                .f("etag", "\"a\""),
        )
        .get()
        .answers(confirming(reply(304).f("etag", "\"a\"")))
        .validated()
        .get()
        .hit_of(0),
        optimal("9111 §4.3", "time passes, then it is validated and fresh")
            .stored(ok().cc("max-age=1").f("etag", "\"a\""))
            .get()
            .later()
            .answers(confirmed(&[]))
            .validated()
            .get()
            .hit_of(0),
    ]
}

/// §3.2: what the 304 says goes into what is stored.
fn updating() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, old, new) in [
        ("cache-control", "max-age=10, foo", "max-age=1000, bar"),
        (
            "expires",
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Tue, 15 Nov 2044 09:12:31 GMT",
        ),
        (
            "last-modified",
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Mon, 07 Nov 1994 08:49:37 GMT",
        ),
        ("content-type", "text/plain", "text/html"),
        ("content-language", "en", "de"),
        ("content-location", "/old", "/new"),
        ("content-disposition", "inline", "attachment"),
        (
            "content-security-policy",
            "default-src 'none'",
            "default-src 'self'",
        ),
        ("x-frame-options", "DENY", "SAMEORIGIN"),
        ("x-content-type-options", "old", "nosniff"),
        ("access-control-allow-origin", "*", "https://a.example"),
        ("link", "</a>; rel=next", "</b>; rel=next"),
        ("server", "old/1", "new/2"),
        ("set-me", "old", "new"),
    ] {
        let mut stored = ok().f("date", "{now-100}").f("etag", "\"a\"");
        let mut confirmation = reply(304).f("etag", "\"a\"").f(name, new);
        if name != "cache-control" {
            stored = stored.cc("max-age=10");
            confirmation = confirmation.cc("max-age=1000");
        }
        let case = required("9111 §3.2", format!("a 304 updates {name}"));
        let case = case.stored(stored.f(name, old)).get();
        let case = case.answers(confirming(confirmation)).validated();
        cases.push(case.sees(name, new).get().hit_of(0).sees(name, new));
    }
    cases.push(
        required("9111 §3.2", "a 304 adds fields")
            .stored(tagged())
            .get()
            .answers(confirmed(&[("x-new", "1")]))
            .validated()
            .sees("x-new", "1")
            .get()
            .hit_of(0)
            .sees("x-new", "1"),
    );
    cases.push(
        required("9111 §3.2", "a 304 replaces all lines of a field")
            .stored(tagged().f("x-many", "1").f("x-many", "2"))
            .get()
            .answers(confirmed(&[("x-many", "3")]))
            .validated()
            .sees("x-many", "3")
            .get()
            .hit_of(0)
            .sees("x-many", "3"),
    );
    cases.push(
        required("9111 §3.2", "a 304's no-store ends the storing")
            .stored(tagged())
            .get()
            .answers(confirming(reply(304).cc("no-store").f("etag", "\"a\"")))
            .get()
            .asked(),
    );
    cases
}

/// What a 304 leaves as it was.
fn keeping() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, value) in [
        ("content-type", "text/plain"),
        ("content-language", "en"),
        ("link", "</a>; rel=next"),
        ("x-own", "kept"),
    ] {
        let case = required("9111 §3.2", format!("a 304 without {name} leaves it"));
        let case = case.stored(tagged().f(name, value)).get();
        let case = case.answers(confirmed(&[])).validated().sees(name, value);
        cases.push(case.get().hit_of(0).sees(name, value));
    }
    let unmoved = |name: &str, field, old, sent| {
        let case = required("9111 §3.2", name).stored(tagged().body("0123456789").f(field, old));
        let case = case.get().answers(confirmed(&[(field, sent)])).validated();
        case.sees(field, old).get().hit_of(0).sees(field, old)
    };
    cases.push(unmoved(
        "a 304's Content-Length stays out",
        "content-length",
        "10",
        "36",
    ));
    cases.push(unmoved(
        "a 304's Content-Encoding stays out",
        "content-encoding",
        "br",
        "gzip",
    ));
    for (name, value) in [
        ("content-range", "bytes 0-3/10"),
        ("set-cookie", "a=b"),
        ("keep-alive", "timeout=5"),
        ("proxy-authenticate", "Basic"),
    ] {
        let case = required("9111 §3.1", format!("a 304's {name} is not stored"));
        let case = case
            .stored(tagged())
            .get()
            .answers(confirmed(&[(name, value)]));
        cases.push(case.validated().get().hit_of(0).lacks(name));
    }
    cases.push(
        required("9111 §3.1", "what a 304's Connection names is not stored")
            .stored(tagged())
            .get()
            .answers(confirmed(&[("connection", "x-hop"), ("x-hop", "1")]))
            .validated()
            .lacks("x-hop")
            .get()
            .hit_of(0)
            .lacks("x-hop"),
    );
    cases
}

fn answered_otherwise() -> Vec<Case> {
    let failing = |status| reply(status).f("x-app", "failed");
    vec![
        optimal("9111 §4.3.3", "a whole answer replaces what is stored")
            .stored(tagged())
            .get()
            .answers(fresh().f("etag", "\"b\""))
            .fetched()
            .get()
            .hit_of(1),
        required(
            "9111 §4.3.3",
            "a whole answer with no-store leaves nothing fresh",
        )
        .stored(tagged())
        .get()
        .answers(ok().cc("no-store"))
        .fetched()
        .get()
        .asked(),
        required("9111 §4.3.3", "a 404 is the answer")
            .stored(tagged())
            .get()
            .answers(failing(404))
            .status(404)
            .get()
            .asked(),
        required(
            "9111 §4.3.3",
            "a 503 is the answer where stale is forbidden",
        )
        .stored(
            ok().cc("max-age=10, must-revalidate")
                .f("date", "{now-100}")
                .f("etag", "\"a\""),
        )
        .get()
        .answers(failing(503))
        .see("an error", |seen| seen.answer.head.status >= 500),
        optimal("9111 §4.3.3", "after a 503 it can still be validated")
            .stored(tagged())
            .get()
            .answers(failing(503))
            .get()
            .answers(confirmed(&[]))
            .status(200)
            .see("the stored body", |seen| seen.is_body_of(0))
            .see("asked with a condition", |seen| {
                seen.received.iter().any(|one| one.head.is_conditional())
            }),
        optimal(
            "9111 §4.3.3",
            "after a broken answer it can still be validated",
        )
        .stored(tagged())
        .get()
        .answers(fresh().framed(Framing::CutLength))
        .get()
        .answers(confirmed(&[]))
        .status(200)
        .see("the stored body", |seen| seen.is_body_of(0)),
        required(
            "9111 §4.3.4",
            "a 304 about another representation renews nothing",
        )
        .stored(tagged())
        .get()
        .answers(confirming(
            reply(304).cc("max-age=3600").f("etag", "\"other\""),
        ))
        .get()
        .asked(),
    ]
}
