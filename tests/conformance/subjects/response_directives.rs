//! Directives of responses (RFC 9111 §5.2.2).

use crate::conformance::case::{Case, Framing, confirming, fresh, ok, optimal, reply, required};

const CC: &str = "cache-control";

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = storing();
    cases.extend(qualified());
    cases.extend(validating());
    cases.extend(understanding());
    cases
}

fn storing() -> Vec<Case> {
    let forbidden = |section, name: &str, lines: &[&str]| {
        let fields: Vec<_> = lines.iter().map(|line| (CC, *line)).collect();
        let case = required(section, name).stored(ok().fs(&fields));
        case.get().fetched()
    };
    let allowed = |section, name: &str, line: &str| {
        let case = optimal(section, name).stored(ok().cc(line));
        case.get().hit()
    };
    vec![
        forbidden("9111 §5.2.2.5", "no-store", &["no-store, max-age=3600"]),
        forbidden(
            "9111 §5.2.2.5",
            "no-store after freshness",
            &["max-age=3600, no-store"],
        ),
        forbidden("9111 §5.2.2.5", "NO-STORE", &["max-age=3600, NO-STORE"]),
        forbidden("9111 §5.2.2.5", "No-StOrE", &["No-StOrE, max-age=3600"]),
        forbidden(
            "9110 §5.3",
            "no-store on a second line",
            &["max-age=3600", "no-store"],
        ),
        forbidden(
            "9111 §5.2.2.5",
            "no-store with s-maxage",
            &["no-store, s-maxage=3600"],
        ),
        forbidden(
            "9111 §5.2.2.5",
            "no-store with public",
            &["no-store, public, max-age=3600"],
        ),
        forbidden(
            "9111 §5.2.2.5",
            "no-store after a quoted string",
            &["foo=\"a,b\", no-store, max-age=3600"],
        ),
        forbidden(
            "9111 §5.2.2.5",
            "no-store after a quoted pair",
            &["foo=\"a\\\"\", no-store, max-age=3600"],
        ),
        forbidden("9111 §5.2.2.7", "private", &["private, max-age=3600"]),
        forbidden("9111 §5.2.2.7", "PRIVATE", &["max-age=3600, PRIVATE"]),
        forbidden(
            "9111 §5.2.2.7",
            "private on a second line",
            &["max-age=3600", "private"],
        ),
        forbidden(
            "9111 §5.2.2.7",
            "private with s-maxage",
            &["private, s-maxage=3600"],
        ),
        forbidden(
            "9111 §5.2.2.7",
            "private with public",
            &["public, private, max-age=3600"],
        ),
        required("9111 §5.2.2.5", "no-store with Expires")
            .stored(ok().cc("no-store").f("expires", "{now+3600}"))
            .get()
            .fetched(),
        required("9111 §5.2.2.5", "no-store with something to guess from")
            .stored(ok().cc("no-store").f("last-modified", "{now-1000000}"))
            .get()
            .fetched(),
        required("9111 §5.2.2.7", "private with something to guess from")
            .stored(ok().cc("private").f("last-modified", "{now-1000000}"))
            .get()
            .fetched(),
        allowed(
            "9111 §5.2.3",
            "no-store as part of a longer name",
            "no-storex, max-age=3600",
        ),
        allowed(
            "9111 §5.2",
            "no-store in a quoted string",
            "foo=\"no-store\", max-age=3600",
        ),
        allowed(
            "9111 §5.2",
            "private in a quoted string",
            "foo=\"private\", max-age=3600",
        ),
        allowed("9111 §5.2.2.9", "public", "public, max-age=3600"),
        allowed(
            "9111 §5.2.2.6",
            "no-transform",
            "no-transform, max-age=3600",
        ),
        allowed("8246 §2", "immutable", "immutable, max-age=3600"),
        allowed(
            "9111 §5.2.2.2",
            "must-revalidate while fresh",
            "must-revalidate, max-age=3600",
        ),
        allowed(
            "9111 §5.2.2.8",
            "proxy-revalidate while fresh",
            "proxy-revalidate, max-age=3600",
        ),
    ]
}

fn qualified() -> Vec<Case> {
    // Whoever serves it again leaves the named field out, or has asked.
    let withheld = |name: &str, directive: &str| {
        let stored = ok().cc(directive).f("x-one", "1").f("x-two", "2");
        let case = required("9111 §5.2.2", name)
            .stored(stored)
            .sees("x-one", "1");
        case.get().see("asked, or without the field", |seen| {
            !seen.received.is_empty() || seen.answer.head.joined("x-one").is_none()
        })
    };
    let served = |name: &str, directive: &str| {
        let stored = ok().cc(directive).f("x-one", "1").f("x-two", "2");
        let case = optimal("9111 §5.2.2", name).stored(stored);
        case.get().hit().lacks("x-one").sees("x-two", "2")
    };
    vec![
        withheld(
            "private with a field withholds it",
            "private=\"x-one\", max-age=3600",
        ),
        withheld(
            "private with a field in capitals",
            "private=\"X-One\", max-age=3600",
        ),
        withheld(
            "private with two fields",
            "private=\"foo, x-one\", max-age=3600",
        ),
        withheld(
            "private with a field as a token",
            "private=x-one, max-age=3600",
        ),
        withheld(
            "no-cache with a field withholds it",
            "no-cache=\"x-one\", max-age=3600",
        ),
        withheld(
            "no-cache with two fields",
            "no-cache=\"x-one , foo\", max-age=3600",
        ),
        served(
            "private with a field stores the rest",
            "private=\"x-one\", max-age=3600",
        ),
        served(
            "no-cache with a field serves the rest",
            "no-cache=\"x-one\", max-age=3600",
        ),
        required("9111 §5.2.2.7", "private with and without a field")
            .stored(ok().cc("private=\"x-one\", private, max-age=3600"))
            .get()
            .fetched(),
    ]
}

fn validating() -> Vec<Case> {
    let dead = || ok().framed(Framing::Nothing);
    let past = |directives: &str| {
        ok().cc(directives)
            .f("date", "{now-100}")
            .f("etag", "\"a\"")
    };
    let mut cases = vec![
        required("9111 §5.2.2.4", "no-cache asks every time")
            .stored(ok().cc("no-cache, max-age=3600"))
            .get()
            .fetched(),
        required("9111 §5.2.2.4", "NO-CACHE asks every time")
            .stored(ok().cc("max-age=3600, NO-CACHE"))
            .get()
            .fetched(),
        required("9111 §5.2.2.4", "no-cache with Expires asks every time")
            .stored(ok().cc("no-cache").f("expires", "{now+3600}"))
            .get()
            .fetched(),
        optimal("9111 §5.2.2.4", "no-cache is stored and validated")
            .stored(ok().cc("no-cache").f("etag", "\"a\""))
            .get()
            .answers(confirming(reply(304).f("etag", "\"a\"")))
            .validated()
            .get()
            .answers(confirming(reply(304).f("etag", "\"a\"")))
            .validated(),
        required("9111 §5.2.2.4", "no-cache with a dead app is an error")
            .stored(fresh().cc("no-cache").f("etag", "\"a\""))
            .get()
            .answers(dead())
            .see("an error", |seen| seen.answer.head.status >= 500),
        optimal("9111 §5.2.2.2", "must-revalidate validates")
            .stored(past("max-age=10, must-revalidate"))
            .get()
            .answers(confirming(reply(304).f("etag", "\"a\"")))
            .validated(),
    ];
    for directives in [
        "max-age=10, must-revalidate",
        "max-age=10, MUST-REVALIDATE",
        "max-age=10, proxy-revalidate",
        "s-maxage=10",
        "s-maxage=10, stale-if-error=1000",
    ] {
        let name = format!("a dead app and {directives}: an error");
        cases.push(
            required("9111 §5.2.2.2", name)
                .stored(past(directives))
                .get()
                .answers(dead())
                .see("an error", |seen| seen.answer.head.status >= 500),
        );
        let name = format!("a dead app and {directives}: 504");
        cases.push(
            optimal("9111 §5.2.2.2", name)
                .stored(past(directives))
                .get()
                .answers(dead())
                .status(504),
        );
    }
    cases
}

fn understanding() -> Vec<Case> {
    vec![
        optimal("9111 §5.2.2.3", "must-understand stands above no-store")
            .stored(ok().cc("must-understand, no-store, max-age=3600"))
            .get()
            .hit(),
        optimal("9111 §5.2.2.3", "must-understand with a known status")
            .stored(reply(404).cc("must-understand, max-age=3600"))
            .get()
            .hit(),
        required("9111 §5.2.2.3", "must-understand with an unknown status")
            .stored(reply(599).cc("must-understand, max-age=3600"))
            .get()
            .fetched(),
        required(
            "9111 §5.2.2.3",
            "must-understand and no-store with an unknown status",
        )
        .stored(reply(299).cc("no-store, must-understand, max-age=3600"))
        .get()
        .fetched(),
    ]
}
