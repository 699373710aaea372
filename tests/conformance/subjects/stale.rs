//! Serving stale (RFC 9111 §4.2.4, RFC 5861).

use crate::conformance::case::{
    Case, Framing, Reply, confirming, fresh, ok, optimal, reply, required,
};

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = while_revalidating();
    cases.extend(on_error());
    cases.extend(disconnected());
    cases
}

/// A hundred seconds old.
fn aged(directives: &str) -> Reply {
    ok().cc(directives).f("date", "{now-100}")
}

fn dead() -> Reply {
    ok().framed(Framing::Nothing)
}

fn while_revalidating() -> Vec<Case> {
    let outside = |name: &str, directives: &str| {
        let case = required("5861 §3", name).stored(aged(directives));
        case.get().answers(fresh()).fetched()
    };
    vec![
        optimal("5861 §3", "stale-while-revalidate serves and refreshes")
            .stored(aged("max-age=10, stale-while-revalidate=1000"))
            .get()
            .answers(fresh())
            .stale()
            .get()
            .hit_of(1),
        optimal("5861 §3", "stale-while-revalidate tells the age")
            .stored(aged("max-age=10, stale-while-revalidate=1000"))
            .get()
            .answers(fresh())
            .stale()
            .age(100),
        optimal("5861 §3", "the refresh is conditional")
            .stored(aged("max-age=10, stale-while-revalidate=1000").f("etag", "\"a\""))
            .get()
            .answers(confirming(reply(304).cc("max-age=3600").f("etag", "\"a\"")))
            .stale()
            .app_saw("if-none-match", "\"a\"")
            .get()
            .hit_of(0),
        optimal("5861 §3", "a refresh that fails leaves it stale")
            .stored(aged("max-age=10, stale-while-revalidate=1000"))
            .get()
            .answers(dead())
            .stale()
            .get()
            .answers(fresh())
            .stale()
            .get()
            .hit_of(2),
        optimal("5861 §3", "stale-while-revalidate after time has passed")
            .stored(ok().cc("max-age=1, stale-while-revalidate=1000"))
            .get()
            .later()
            .answers(fresh())
            .stale()
            .get()
            .hit_of(1),
        outside(
            "past stale-while-revalidate",
            "max-age=10, stale-while-revalidate=20",
        ),
        outside(
            "stale-while-revalidate=0",
            "max-age=10, stale-while-revalidate=0",
        ),
        outside(
            "stale-while-revalidate that is no number",
            "max-age=10, stale-while-revalidate=abc",
        ),
        outside(
            "stale-while-revalidate without an argument",
            "max-age=10, stale-while-revalidate",
        ),
        outside(
            "stale-while-revalidate with must-revalidate",
            "max-age=10, stale-while-revalidate=1000, must-revalidate",
        ),
        outside(
            "stale-while-revalidate with proxy-revalidate",
            "max-age=10, stale-while-revalidate=1000, proxy-revalidate",
        ),
        outside(
            "stale-while-revalidate with no-cache",
            "max-age=10, stale-while-revalidate=1000, no-cache",
        ),
        required(
            "9111 §5.2.1.4",
            "stale-while-revalidate against request no-cache",
        )
        .stored(aged("max-age=10, stale-while-revalidate=1000"))
        .get()
        .with("cache-control", "no-cache")
        .answers(fresh())
        .fetched(),
    ]
}

fn on_error() -> Vec<Case> {
    let mut cases = Vec::new();
    for status in [500, 502, 503, 504] {
        let name = format!("stale-if-error and {status}");
        let case = optimal("5861 §4", name).stored(aged("max-age=10, stale-if-error=1000"));
        cases.push(
            case.get()
                .answers(reply(status))
                .status(200)
                .stale()
                .age(100),
        );
    }
    for status in [400, 403, 404, 410, 501] {
        let name = format!("stale-if-error is not for {status}");
        let case = required("5861 §4", name).stored(aged("max-age=10, stale-if-error=1000"));
        cases.push(case.get().answers(reply(status)).status(status).fetched());
    }
    for (name, directives) in [
        ("past stale-if-error", "max-age=10, stale-if-error=20"),
        (
            "stale-if-error that is no number",
            "max-age=10, stale-if-error=abc",
        ),
        (
            "stale-if-error with must-revalidate",
            "max-age=10, stale-if-error=1000, must-revalidate",
        ),
        (
            "stale-if-error with no-cache",
            "max-age=10, stale-if-error=1000, no-cache",
        ),
    ] {
        let case = required("5861 §4", name).stored(aged(directives).f("etag", "\"a\""));
        let error = |seen: &crate::conformance::case::Seen<'_>| seen.answer.head.status >= 500;
        cases.push(case.get().answers(reply(503)).see("an error", error));
    }
    cases.push(
        optimal("5861 §4", "stale-if-error and a dead app")
            .stored(aged("max-age=10, stale-if-error=1000"))
            .get()
            .answers(dead())
            .status(200)
            .stale(),
    );
    cases.push(
        optimal("5861 §4", "stale-if-error serves, then the app is back")
            .stored(aged("max-age=10, stale-if-error=1000").f("etag", "\"a\""))
            .get()
            .answers(reply(503))
            .stale()
            .get()
            .answers(fresh())
            .fetched(),
    );
    cases
}

/// §4.2.4: a cache that cannot reach the app may serve what is stale, if nothing forbids it.
fn disconnected() -> Vec<Case> {
    vec![
        optimal(
            "9111 §4.2.4",
            "a dead app, and something stale with a validator",
        )
        .stored(aged("max-age=10").f("etag", "\"a\""))
        .get()
        .answers(dead())
        .status(200)
        .stale()
        .age(100),
        optimal(
            "9111 §4.2.4",
            "a dead app, and something stale without a validator",
        )
        // Not of one second: an app's `Date` may lag that much, and what comes stale is not stored.
        .stored(ok().cc("max-age=2"))
        .get()
        .later()
        .answers(dead())
        .status(200)
        .stale(),
        required("9111 §4.2.4", "stale is not served while the app answers")
            .stored(ok().cc("max-age=1"))
            .get()
            .later()
            .fetched(),
        required("9110 §15.6.3", "a dead app, and nothing stored")
            .get()
            .answers(dead())
            .see("502 or 504", |seen| {
                matches!(seen.answer.head.status, 502 | 504)
            }),
    ]
}
