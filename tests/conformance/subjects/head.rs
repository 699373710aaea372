//! HEAD (RFC 9110 §9.3.2) and what it says of a stored GET (RFC 9111 §4.3.5).

use crate::conformance::case::{Case, Reply, fresh, ok, optimal, reply, required, stale};

const LENGTH: &str = "10";

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = answered();
    cases.extend(freshening());
    cases
}

fn whole() -> Reply {
    fresh().body("0123456789").f("etag", "\"a\"")
}

fn answered() -> Vec<Case> {
    vec![
        optimal("9111 §4", "a stored GET answers HEAD")
            .stored(whole().f("x-own", "1"))
            .head()
            .unasked()
            .status(200)
            .body("")
            .sees("content-length", LENGTH)
            .sees("etag", "\"a\"")
            .sees("x-own", "1"),
        optimal("9111 §5.1", "a HEAD from the store has Age")
            .stored(whole().f("age", "100"))
            .head()
            .unasked()
            .age(100),
        optimal("9111 §4", "a stored 404 answers HEAD")
            .stored(reply(404).cc("max-age=3600"))
            .head()
            .unasked()
            .status(404)
            .body(""),
        optimal("9110 §13.1.2", "HEAD with If-None-Match from the store")
            .stored(whole())
            .head()
            .with("if-none-match", "\"a\"")
            .unasked()
            .status(304),
        required("9110 §14.2", "HEAD with Range has no part")
            .stored(whole())
            .head()
            .with("range", "bytes=0-3")
            .status(200),
        required("9111 §4.1", "HEAD heeds Vary")
            .get()
            .with("foo", "1")
            .answers(whole().f("vary", "Foo"))
            .head()
            .with("foo", "2")
            .asked(),
        optimal("9110 §9.3.2", "HEAD with nothing stored goes on as HEAD")
            .head()
            .answers(whole())
            .app_method("HEAD")
            .status(200)
            .body("")
            .sees("content-length", LENGTH)
            .sees("etag", "\"a\""),
        required("9111 §4", "an answer to HEAD is no answer to GET")
            .head()
            .answers(whole())
            .status(200)
            .get()
            .answers(whole())
            .fetched(),
        required("9111 §4.2", "HEAD on what is stale asks")
            .stored(stale().f("etag", "\"a\""))
            .head()
            .asked(),
        required("9110 §9.3.2", "HEAD of an error")
            .head()
            .answers(reply(404))
            .status(404)
            .body(""),
    ]
}

/// A GET is stored; a HEAD that asks brings other news of it.
fn freshening() -> Vec<Case> {
    let stored_stale = || stale().body("0123456789").f("etag", "\"a\"");
    let news = |reply: Reply| reply.body("0123456789");
    let outdated = |name: &str, stored: Reply, told: Reply| {
        let case = optimal("9111 §4.3.5", name).stored(stored.body("0123456789"));
        let case = case.head().with("cache-control", "no-cache");
        case.answers(told).asked().get().answers(fresh()).asked()
    };
    vec![
        optimal("9111 §4.3.5", "HEAD with the same tag and length freshens")
            .stored(stored_stale())
            .head()
            .answers(news(fresh().f("etag", "\"a\"")))
            .asked()
            .get()
            .hit_of(0),
        optimal(
            "9111 §4.3.5",
            "HEAD with the same Last-Modified and length freshens",
        )
        .stored(
            stale()
                .body("0123456789")
                .f("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT"),
        )
        .head()
        .answers(news(
            fresh().f("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT"),
        ))
        .asked()
        .get()
        .hit_of(0),
        optimal("9111 §4.3.5", "HEAD brings new fields to what it freshens")
            .stored(stored_stale().f("x-own", "old"))
            .head()
            .answers(news(fresh().f("etag", "\"a\"").f("x-own", "new")))
            .get()
            .hit_of(0)
            .sees("x-own", "new"),
        outdated(
            "HEAD with another tag ends the freshness",
            fresh().f("etag", "\"a\""),
            news(fresh().f("etag", "\"b\"")),
        ),
        outdated(
            "HEAD with another length ends the freshness",
            fresh(),
            fresh().body("01234567890123456789"),
        ),
        outdated(
            "HEAD with another Last-Modified ends the freshness",
            fresh().f("last-modified", "{now-10000}"),
            news(fresh().f("last-modified", "{now-100}")),
        ),
        optimal("9111 §4.3.5", "HEAD that fails ends nothing")
            .stored(fresh().f("etag", "\"a\""))
            .head()
            .with("cache-control", "no-cache")
            .answers(reply(503))
            .asked()
            .get()
            .hit_of(0),
        required("9111 §4", "HEAD that freshens keeps the body whole")
            .stored(stored_stale())
            .head()
            .answers(
                ok().cc("max-age=3600")
                    .f("etag", "\"a\"")
                    .body("0123456789"),
            )
            .get()
            .answers(ok().body("0123456789"))
            .body("0123456789")
            .sees("content-length", LENGTH),
    ]
}
