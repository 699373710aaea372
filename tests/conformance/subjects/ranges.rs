//! Ranges (RFC 9110 §14, RFC 9111 §3.3, §3.4).

use crate::conformance::case::{Case, Reply, fresh, optimal, reply, required, stale};

const WHOLE: &str = "0123456789";

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = from_whole();
    cases.extend(if_range());
    cases.extend(from_the_app());
    cases.extend(combined());
    cases
}

fn whole() -> Reply {
    fresh().body(WHOLE).f("etag", "\"a\"")
}

fn part(range: &str, body: &str) -> Reply {
    let reply = reply(206).cc("max-age=3600").f("etag", "\"a\"");
    reply.f("content-range", range).body(body)
}

fn from_whole() -> Vec<Case> {
    let cut = |name: &str, range, content_range, body: &'static str| {
        let case = optimal("9110 §14.2", name).stored(whole());
        let case = case.get().with("range", range).unasked().status(206);
        case.sees("content-range", content_range).body(body)
    };
    let ignored = |name: &str, range| {
        let case = optimal("9110 §14.2", name).stored(whole());
        case.get().with("range", range).status(200).hit()
    };
    let none = |name: &str, range| {
        let case = optimal("9110 §15.5.17", name).stored(whole());
        let case = case.get().with("range", range).unasked().status(416);
        case.sees("content-range", "bytes */10")
    };
    vec![
        cut(
            "a range from the store",
            "bytes=2-5",
            "bytes 2-5/10",
            "2345",
        ),
        cut("one byte", "bytes=0-0", "bytes 0-0/10", "0"),
        cut("an open range", "bytes=4-", "bytes 4-9/10", "456789"),
        cut("the last bytes", "bytes=-3", "bytes 7-9/10", "789"),
        cut(
            "a range past the end",
            "bytes=5-100",
            "bytes 5-9/10",
            "56789",
        ),
        cut(
            "more last bytes than there are",
            "bytes=-100",
            "bytes 0-9/10",
            WHOLE,
        ),
        cut(
            "a range past 64 bits",
            "bytes=5-99999999999999999999",
            "bytes 5-9/10",
            "56789",
        ),
        cut("the unit in capitals", "BYTES=2-5", "bytes 2-5/10", "2345"),
        none("a range beyond the end", "bytes=10-"),
        none("a range far beyond the end", "bytes=20-30"),
        none("no last bytes", "bytes=-0"),
        ignored("a range backwards is ignored", "bytes=5-3"),
        ignored("another unit is ignored", "items=0-3"),
        ignored("no range at all is ignored", "bytes=abc"),
        optimal("9110 §14.6", "two ranges from the store")
            .stored(whole().f("content-type", "text/plain"))
            .get()
            .with("range", "bytes=0-1,7-8")
            .unasked()
            .status(206)
            .see("multipart/byteranges with both parts", |seen| {
                let kind = seen.answer.head.joined("content-type").unwrap_or_default();
                let body = String::from_utf8_lossy(&seen.answer.body);
                kind.starts_with("multipart/byteranges")
                    && body.contains("bytes 0-1/10")
                    && body.contains("bytes 7-8/10")
            }),
        optimal("9110 §15.3.7", "a part has the whole's fields")
            .stored(whole().f("x-own", "1").f("vary", "Foo"))
            .get()
            .with("range", "bytes=0-3")
            .status(206)
            .sees("content-length", "4")
            .sees("etag", "\"a\"")
            .sees("cache-control", "max-age=3600")
            .sees("vary", "Foo")
            .has("date")
            .has("age"),
        optimal("9111 §4.3", "a range of what is stale is validated")
            .stored(stale().body(WHOLE).f("etag", "\"a\""))
            .get()
            .with("range", "bytes=0-3")
            .answers(reply(304).cc("max-age=3600").f("etag", "\"a\""))
            .app_saw("if-none-match", "\"a\"")
            .status(206)
            .body("0123"),
        optimal("9110 §13.2.2", "If-None-Match goes before Range")
            .stored(whole())
            .get()
            .with("range", "bytes=0-3")
            .with("if-none-match", "\"a\"")
            .unasked()
            .status(304),
        required("9110 §14.2", "the whole stays whole after a range")
            .stored(whole())
            .get()
            .with("range", "bytes=0-3")
            .answers(part("bytes 0-3/10", "0123"))
            .get()
            .status(200)
            .body(WHOLE)
            .sees("content-length", "10"),
    ]
}

fn if_range() -> Vec<Case> {
    let dated = "Sun, 06 Nov 1994 08:49:37 GMT";
    let asked = |case: Case, stored: Reply, condition: &str| {
        let case = case.stored(stored).get().with("range", "bytes=0-3");
        case.with("if-range", condition)
    };
    let matched = |name: &str, stored, condition| {
        let case = asked(optimal("9110 §13.1.5", name), stored, condition);
        case.unasked().status(206).body("0123")
    };
    let differs = |name: &str, stored: Reply, condition| {
        let case = asked(required("9110 §13.1.5", name), stored, condition);
        case.answers(whole()).status(200).body(WHOLE)
    };
    vec![
        matched("If-Range with the tag", whole(), "\"a\""),
        matched(
            "If-Range with the date",
            fresh().body(WHOLE).f("last-modified", dated),
            dated,
        ),
        differs("If-Range with another tag", whole(), "\"b\""),
        differs("If-Range with a weak tag", whole(), "W/\"a\""),
        differs(
            "If-Range weak, stored weak",
            fresh().body(WHOLE).f("etag", "W/\"a\""),
            "W/\"a\"",
        ),
        differs(
            "If-Range with an earlier date",
            fresh().body(WHOLE).f("last-modified", dated),
            "Sun, 06 Nov 1994 08:49:36 GMT",
        ),
        differs(
            "If-Range with a later date",
            fresh().body(WHOLE).f("last-modified", dated),
            "Sun, 06 Nov 1994 08:49:38 GMT",
        ),
        differs("If-Range with a date and no date stored", whole(), dated),
    ]
}

fn from_the_app() -> Vec<Case> {
    let first = |case: Case| {
        let case = case.get().with("range", "bytes=0-4");
        case.answers(part("bytes 0-4/10", "01234")).asked()
    };
    vec![
        optimal("9110 §14.2", "a range with nothing stored goes to the app")
            .get()
            .with("range", "bytes=0-4")
            .answers(part("bytes 0-4/10", "01234"))
            .app_saw("range", "bytes=0-4")
            .status(206)
            .sees("content-range", "bytes 0-4/10")
            .body("01234"),
        optimal(
            "9110 §13.1.5",
            "If-Range with nothing stored goes to the app",
        )
        .get()
        .with("range", "bytes=0-4")
        .with("if-range", "\"a\"")
        .answers(part("bytes 0-4/10", "01234"))
        .app_saw("if-range", "\"a\"")
        .status(206),
        required("9111 §3.3", "a part is no answer to a GET of the whole")
            .get()
            .with("range", "bytes=0-4")
            .answers(part("bytes 0-4/10", "01234"))
            .get()
            .answers(whole())
            .see("no part for the whole", |seen| {
                seen.answer.head.status != 206 && seen.answer.body != b"01234"
            }),
        first(optimal("9111 §3.3", "a part answers for itself"))
            .get()
            .with("range", "bytes=0-4")
            .unasked()
            .status(206)
            .body("01234")
            .sees("content-range", "bytes 0-4/10"),
        first(optimal("9111 §3.3", "a part answers for a part of itself"))
            .get()
            .with("range", "bytes=1-3")
            .unasked()
            .status(206)
            .body("123")
            .sees("content-range", "bytes 1-3/10"),
        first(required("9111 §3.3", "a part does not answer for more"))
            .get()
            .with("range", "bytes=3-7")
            .answers(part("bytes 3-7/10", "34567"))
            .asked()
            .body("34567")
            .sees("content-range", "bytes 3-7/10"),
        first(required("9111 §4.2", "a part grows stale"))
            .get()
            .with("range", "bytes=0-4")
            .with("cache-control", "max-age=0")
            .answers(part("bytes 0-4/10", "01234"))
            .asked(),
        required("9111 §5.2.2.5", "a part with no-store is not stored")
            .get()
            .with("range", "bytes=0-4")
            .answers(
                reply(206)
                    .cc("no-store")
                    .f("etag", "\"a\"")
                    .f("content-range", "bytes 0-4/10")
                    .body("01234"),
            )
            .get()
            .with("range", "bytes=0-4")
            .answers(part("bytes 0-4/10", "01234"))
            .asked(),
        required("9110 §15.5.17", "the app's 416 is passed and not stored")
            .get()
            .with("range", "bytes=20-")
            .answers(
                reply(416)
                    .cc("max-age=3600")
                    .f("content-range", "bytes */10"),
            )
            .status(416)
            .sees("content-range", "bytes */10")
            .get()
            .answers(whole())
            .status(200)
            .fetched(),
        optimal("9110 §14.2", "a whole answer to a range is stored")
            .get()
            .with("range", "bytes=0-4")
            .answers(whole())
            .get()
            .hit_of(0),
    ]
}

/// §3.4
fn combined() -> Vec<Case> {
    let ask =
        |case: Case, range: &str, reply: Reply| case.get().with("range", range).answers(reply);
    let two = |case: Case, second: Reply| {
        let case = ask(case, "bytes=0-4", part("bytes 0-4/10", "01234"));
        ask(case, "bytes=5-9", second)
    };
    let other_tag = reply(206)
        .cc("max-age=3600")
        .f("etag", "\"b\"")
        .f("content-range", "bytes 5-9/10")
        .body("fghij");
    let weak = |range: &str, body: &str| {
        let reply = reply(206).cc("max-age=3600").f("etag", "W/\"a\"");
        reply.f("content-range", range).body(body)
    };
    vec![
        two(
            optimal("9111 §3.4", "two parts make a whole"),
            part("bytes 5-9/10", "56789"),
        )
        .get()
        .unasked()
        .status(200)
        .body(WHOLE),
        two(
            optimal("9111 §3.4", "two parts answer for a range across"),
            part("bytes 5-9/10", "56789"),
        )
        .get()
        .with("range", "bytes=3-6")
        .unasked()
        .status(206)
        .body("3456"),
        optimal("9111 §3.4", "the rest is asked for by a range")
            .get()
            .with("range", "bytes=0-4")
            .answers(part("bytes 0-4/10", "01234"))
            .get()
            .answers(part("bytes 5-9/10", "56789"))
            .app_saw("range", "bytes=5-9")
            .app_saw("if-range", "\"a\"")
            .status(200)
            .body(WHOLE),
        two(
            required("9111 §3.4", "parts of two representations stay apart"),
            other_tag,
        )
        .get()
        .answers(fresh().body("abcdefghij").f("etag", "\"b\""))
        .body("abcdefghij"),
        ask(
            ask(
                required("9111 §3.4", "parts with weak tags stay apart"),
                "bytes=0-4",
                weak("bytes 0-4/10", "01234"),
            ),
            "bytes=5-9",
            weak("bytes 5-9/10", "fghij"),
        )
        .get()
        .answers(fresh().body("abcdefghij").f("etag", "\"b\""))
        .body("abcdefghij"),
    ]
}
