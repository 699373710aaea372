//! Directives of requests (RFC 9111 §5.2.1) and `Pragma` (§5.4).

use crate::conformance::case::{
    Case, Framing, confirming, fresh, ok, optimal, reply, required, stale,
};

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = on_fresh();
    cases.extend(on_stale());
    cases.extend(without_the_app());
    cases
}

fn on_fresh() -> Vec<Case> {
    // A stored response of this age with a lifetime of an hour, asked for with this field.
    let asked_with = |name: &str, age: &str, field: &str, value: &str| {
        let case = optimal("9111 §5.2.1", name).stored(fresh().f("age", age));
        case.get().with(field, value)
    };
    let cc = "cache-control";
    vec![
        asked_with("request no-cache asks", "0", cc, "no-cache").fetched(),
        asked_with("request NO-CACHE asks", "0", cc, "NO-CACHE").fetched(),
        asked_with(
            "request no-cache among others asks",
            "0",
            cc,
            "foo, no-cache, bar=1",
        )
        .fetched(),
        asked_with("request no-cache on a second line asks", "0", cc, "foo")
            .with(cc, "no-cache")
            .fetched(),
        asked_with(
            "request no-cache in quotes says nothing",
            "0",
            cc,
            "foo=\"no-cache\"",
        )
        .hit(),
        asked_with("request max-age=0 asks", "0", cc, "max-age=0").fetched(),
        asked_with("request max-age above the age", "50", cc, "max-age=1000").hit(),
        asked_with("request max-age below the age", "500", cc, "max-age=100").fetched(),
        asked_with(
            "request max-age quoted, below the age",
            "500",
            cc,
            "max-age=\"100\"",
        )
        .fetched(),
        asked_with(
            "request max-age past 64 bits",
            "50",
            cc,
            "max-age=99999999999999999999999",
        )
        .hit(),
        asked_with(
            "request min-fresh within what remains",
            "100",
            cc,
            "min-fresh=1000",
        )
        .hit(),
        asked_with(
            "request min-fresh beyond what remains",
            "3000",
            cc,
            "min-fresh=1000",
        )
        .fetched(),
        asked_with(
            "request max-stale on what is fresh",
            "0",
            cc,
            "max-stale=10",
        )
        .hit(),
        asked_with(
            "request with an unknown directive",
            "0",
            cc,
            "foo, bar=\"baz\"",
        )
        .hit(),
        asked_with("request no-transform", "0", cc, "no-transform").hit(),
        asked_with(
            "request only-if-cached with something fresh",
            "0",
            cc,
            "only-if-cached",
        )
        .hit(),
        asked_with("request Pragma: no-cache asks", "0", "pragma", "no-cache").fetched(),
        asked_with(
            "request Pragma gives way to Cache-Control",
            "0",
            "pragma",
            "no-cache",
        )
        .with(cc, "max-age=1000")
        .hit(),
        asked_with("request Pragma with another word", "0", "pragma", "foo").hit(),
        optimal("9111 §5.4", "Pragma means nothing in a response")
            .stored(fresh().f("pragma", "no-cache"))
            .get()
            .hit(),
        optimal("9111 §5.2.1.4", "request no-cache validates")
            .stored(fresh().f("etag", "\"a\""))
            .get()
            .with(cc, "no-cache")
            .answers(confirming(reply(304).f("etag", "\"a\"")))
            .validated(),
        optimal("9111 §5.2.1.1", "request max-age=0 validates")
            .stored(fresh().f("etag", "\"a\""))
            .get()
            .with(cc, "max-age=0")
            .answers(confirming(reply(304).f("etag", "\"a\"")))
            .validated(),
        optimal("9111 §5.2.1", "request directives reach the app")
            .get()
            .with(cc, "no-cache, foo=bar")
            .app_saw(cc, "no-cache, foo=bar"),
        optimal(
            "9111 §5.2.1.4",
            "what no-cache fetched replaces what was stored",
        )
        .stored(fresh())
        .get()
        .with(cc, "no-cache")
        .answers(fresh())
        .fetched()
        .get()
        .hit_of(1),
        required("9111 §5.2.1.5", "request no-store stores nothing")
            .get()
            .with(cc, "no-store")
            .answers(fresh())
            .fetched()
            .get()
            .fetched(),
        required("9111 §5.2.1.5", "request NO-STORE stores nothing")
            .get()
            .with(cc, "foo=1,NO-STORE")
            .answers(fresh())
            .fetched()
            .get()
            .fetched(),
    ]
}

fn on_stale() -> Vec<Case> {
    let cc = "cache-control";
    // Stale by ninety seconds.
    let asked_with = |name: &str, value: &str| {
        let case = optimal("9111 §5.2.1.2", name).stored(stale().f("etag", "\"a\""));
        case.get().with(cc, value)
    };
    let forbidden = |name: &str, stored: &str| {
        let aged = ok().cc(stored).f("date", "{now-100}").f("etag", "\"a\"");
        let case = required("9111 §4.2.4", name).stored(aged);
        case.get().with(cc, "max-stale").fetched()
    };
    vec![
        asked_with("max-stale without a limit", "max-stale")
            .unasked()
            .hit(),
        asked_with("max-stale above the staleness", "max-stale=1000").hit(),
        asked_with(
            "max-stale above the staleness is told by Age",
            "max-stale=1000",
        )
        .age(100),
        asked_with("max-stale below the staleness", "max-stale=50").fetched(),
        asked_with(
            "max-stale that is no number allows nothing",
            "max-stale=abc",
        )
        .fetched(),
        forbidden(
            "max-stale against must-revalidate",
            "max-age=10, must-revalidate",
        ),
        forbidden(
            "max-stale against proxy-revalidate",
            "max-age=10, proxy-revalidate",
        ),
        forbidden("max-stale against s-maxage", "s-maxage=10"),
        forbidden("max-stale against no-cache", "max-age=10, no-cache"),
        // Not of one second: an app's `Date` may lag that much, and what comes stale is not stored.
        optimal("9111 §5.2.1.2", "max-stale for what has no validator")
            .stored(ok().cc("max-age=2"))
            .get()
            .later()
            .with(cc, "max-stale=1000")
            .hit(),
        optimal("5861 §4", "stale-if-error of a request")
            .stored(stale().f("etag", "\"a\""))
            .get()
            .with(cc, "stale-if-error=1000")
            .answers(reply(503))
            .status(200)
            .stale(),
    ]
}

fn without_the_app() -> Vec<Case> {
    let cc = "cache-control";
    vec![
        optimal("9111 §5.2.1.7", "only-if-cached with nothing stored is 504")
            .get()
            .with(cc, "only-if-cached")
            .unasked()
            .status(504),
        optimal(
            "9111 §5.2.1.7",
            "only-if-cached with something stale is 504",
        )
        .stored(stale().f("etag", "\"a\""))
        .get()
        .with(cc, "only-if-cached")
        .unasked()
        .status(504),
        optimal(
            "9111 §5.2.1.7",
            "only-if-cached with max-stale takes what is stale",
        )
        .stored(stale().f("etag", "\"a\""))
        .get()
        .with(cc, "only-if-cached, max-stale=1000")
        .hit(),
        required(
            "9111 §5.2.1.4",
            "request no-cache with a dead app is no hit",
        )
        .stored(fresh())
        .get()
        .with(cc, "no-cache")
        .answers(ok().framed(Framing::Nothing))
        .see("an error", |seen| seen.answer.head.status >= 500),
    ]
}
