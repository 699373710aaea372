//! Keys with `Vary` (RFC 9111 §4.1).

use crate::conformance::case::{Case, confirming, fresh, optimal, reply, required, stale};

type Request = &'static [(&'static str, &'static str)];

pub(crate) fn cases() -> Vec<Case> {
    let same = SAME.iter().map(|(name, vary, first, second)| {
        let name = format!("selected: {name}");
        two(optimal("9111 §4.1", name), vary, first, second).hit()
    });
    let other = OTHER.iter().map(|(name, vary, first, second)| {
        let name = format!("not selected: {name}");
        two(required("9111 §4.1", name), vary, first, second).fetched()
    });
    same.chain(other).chain(several()).collect()
}

/// Stored by a request with the first fields, asked for with the second.
fn two(case: Case, vary: &[&str], first: Request, second: Request) -> Case {
    let vary: Vec<_> = vary.iter().map(|line| ("vary", *line)).collect();
    let case = with(case.get(), first).answers(fresh().fs(&vary));
    with(case.get(), second)
}

fn with(case: Case, fields: &[(&str, &str)]) -> Case {
    fields
        .iter()
        .fold(case, |case, (name, value)| case.with(name, value))
}

type Row = (&'static str, &'static [&'static str], Request, Request);

const SAME: &[Row] = &[
    ("the same value", &["Foo"], &[("foo", "1")], &[("foo", "1")]),
    ("absent both times", &["Foo"], &[], &[]),
    (
        "a field that is not named",
        &["Foo"],
        &[("foo", "1"), ("bar", "1")],
        &[("foo", "1"), ("bar", "2")],
    ),
    ("no Vary at all", &[], &[("foo", "1")], &[("foo", "2")]),
    ("an empty Vary", &[""], &[("foo", "1")], &[("foo", "2")]),
    (
        "the name in another case",
        &["fOO"],
        &[("Foo", "1")],
        &[("foo", "1")],
    ),
    (
        "two fields",
        &["Foo, Bar"],
        &[("foo", "1"), ("bar", "2")],
        &[("bar", "2"), ("foo", "1")],
    ),
    (
        "two Vary lines",
        &["Foo", "Bar"],
        &[("foo", "1"), ("bar", "2")],
        &[("foo", "1"), ("bar", "2")],
    ),
    (
        "whitespace after commas",
        &["Foo"],
        &[("foo", "1,2")],
        &[("foo", "1, 2")],
    ),
    (
        "whitespace before commas",
        &["Foo"],
        &[("foo", "1 ,2")],
        &[("foo", "1,\t2")],
    ),
    (
        "one line or two",
        &["Foo"],
        &[("foo", "1, 2")],
        &[("foo", "1"), ("foo", "2")],
    ),
    (
        "two lines or one",
        &["Foo"],
        &[("foo", "1"), ("foo", "2")],
        &[("foo", "1,2")],
    ),
    (
        "the case of a language",
        &["Accept-Language"],
        &[("accept-language", "en-US")],
        &[("accept-language", "EN-us")],
    ),
    (
        "the case of a coding",
        &["Accept-Encoding"],
        &[("accept-encoding", "gzip")],
        &[("accept-encoding", "GZIP")],
    ),
    (
        "languages in another order of the same weights",
        &["Accept-Language"],
        &[("accept-language", "de;q=0.5, en;q=0.9")],
        &[("accept-language", "en;q=0.9, de;q=0.5")],
    ),
    (
        "whitespace around weights",
        &["Accept-Language"],
        &[("accept-language", "de;q=0.5, en;q=0.9")],
        &[("accept-language", "de; q=0.5,en ;q=0.9")],
    ),
];

const OTHER: &[Row] = &[
    ("another value", &["Foo"], &[("foo", "1")], &[("foo", "2")]),
    ("absent the second time", &["Foo"], &[("foo", "1")], &[]),
    ("absent the first time", &["Foo"], &[], &[("foo", "1")]),
    (
        "empty the second time",
        &["Foo"],
        &[("foo", "1")],
        &[("foo", "")],
    ),
    (
        "the value in another case",
        &["Foo"],
        &[("foo", "a")],
        &[("foo", "A")],
    ),
    (
        "one value more",
        &["Foo"],
        &[("foo", "1")],
        &[("foo", "1, 2")],
    ),
    (
        "a second line more",
        &["Foo"],
        &[("foo", "1")],
        &[("foo", "1"), ("foo", "2")],
    ),
    (
        "values of an unknown field in another order",
        &["Foo"],
        &[("foo", "1, 2")],
        &[("foo", "2, 1")],
    ),
    (
        "the second of two fields differs",
        &["Foo, Bar"],
        &[("foo", "1"), ("bar", "1")],
        &[("foo", "1"), ("bar", "2")],
    ),
    (
        "the first of two fields differs",
        &["Foo, Bar"],
        &[("foo", "1"), ("bar", "1")],
        &[("foo", "2"), ("bar", "1")],
    ),
    (
        "the field of a second Vary line differs",
        &["Foo", "Bar"],
        &[("foo", "1"), ("bar", "1")],
        &[("foo", "1"), ("bar", "2")],
    ),
    (
        "the third of three differs",
        &["Foo, Bar, Baz"],
        &[("baz", "1")],
        &[("baz", "2")],
    ),
    (
        "Vary in capitals",
        &["FOO"],
        &[("foo", "1")],
        &[("foo", "2")],
    ),
    (
        "User-Agent",
        &["User-Agent"],
        &[("user-agent", "a")],
        &[("user-agent", "b")],
    ),
    (
        "Accept-Encoding",
        &["Accept-Encoding"],
        &[("accept-encoding", "gzip")],
        &[("accept-encoding", "br")],
    ),
    (
        "no Accept-Encoding",
        &["Accept-Encoding"],
        &[("accept-encoding", "gzip")],
        &[],
    ),
    (
        "Origin",
        &["Origin"],
        &[("origin", "https://a.example")],
        &[("origin", "https://b.example")],
    ),
    (
        "another weight",
        &["Accept-Language"],
        &[("accept-language", "de;q=0.5, en")],
        &[("accept-language", "de;q=0.9, en")],
    ),
    ("*", &["*"], &[("foo", "1")], &[("foo", "1")]),
    (
        "* after a field",
        &["Foo, *"],
        &[("foo", "1")],
        &[("foo", "1")],
    ),
    (
        "* before a field",
        &["*, Foo"],
        &[("foo", "1")],
        &[("foo", "1")],
    ),
    (
        "* on a second line",
        &["Foo", "*"],
        &[("foo", "1")],
        &[("foo", "1")],
    ),
];

fn several() -> Vec<Case> {
    let varied = || fresh().f("vary", "Foo");
    vec![
        optimal("9111 §4.1", "two variants are kept")
            .get()
            .with("foo", "1")
            .answers(varied())
            .get()
            .with("foo", "2")
            .answers(varied())
            .fetched()
            .get()
            .with("foo", "1")
            .hit_of(0)
            .get()
            .with("foo", "2")
            .hit_of(1),
        optimal("9111 §4.1", "four variants are kept")
            .get()
            .with("foo", "1")
            .answers(varied())
            .get()
            .with("foo", "2")
            .answers(varied())
            .get()
            .answers(varied())
            .get()
            .with("foo", "4")
            .answers(varied())
            .get()
            .with("foo", "1")
            .hit_of(0)
            .get()
            .hit_of(2)
            .get()
            .with("foo", "4")
            .hit_of(3),
        required(
            "9111 §4",
            "the most recent of those that match, stored last",
        )
        .get()
        .with("foo", "1")
        .answers(varied().f("date", "{now-50}"))
        .get()
        .with("foo", "2")
        .answers(fresh())
        .get()
        .with("foo", "1")
        .see("the newer body", |seen| !seen.is_body_of(0)),
        required(
            "9111 §4",
            "the most recent of those that match, stored first",
        )
        .get()
        .with("foo", "1")
        .answers(varied())
        .get()
        .with("foo", "2")
        .answers(fresh().f("date", "{now-50}"))
        .get()
        .with("foo", "1")
        .see("the newer body", |seen| !seen.is_body_of(1)),
        required("9111 §4.1", "a Vary that comes later keeps requests apart")
            .get()
            .with("foo", "1")
            .answers(stale().f("etag", "\"a\""))
            .get()
            .with("foo", "1")
            .answers(varied())
            .fetched()
            .get()
            .with("foo", "2")
            .fetched(),
        optimal("9111 §4.3.1", "each variant is validated by its own tag")
            .get()
            .with("foo", "1")
            .answers(stale().f("vary", "Foo").f("etag", "\"a\""))
            .get()
            .with("foo", "2")
            .answers(stale().f("vary", "Foo").f("etag", "\"b\""))
            .get()
            .with("foo", "1")
            .answers(reply(304).f("etag", "\"a\""))
            .see("its own tag is sent", |seen| {
                let tags = seen.received.first();
                let tags = tags.and_then(|one| one.head.joined("if-none-match"));
                tags.is_some_and(|tags| tags.contains("\"a\""))
            })
            .see("its own body", |seen| seen.is_body_of(0)),
        optimal("9111 §4.3.1", "the tags of other variants are offered")
            .get()
            .with("foo", "1")
            .answers(varied().f("etag", "\"a\""))
            .get()
            .with("foo", "2")
            .answers(confirming(reply(304).f("vary", "Foo").f("etag", "\"a\"")))
            .app_saw("if-none-match", "\"a\"")
            .see("the confirmed body", |seen| seen.is_body_of(0)),
        required("9111 §2", "another host is another key")
            .stored(fresh())
            .get()
            .with("host", "other.example")
            .fetched(),
        optimal("9110 §7.2", "the host in another case is the same key")
            .stored(fresh())
            .get()
            .with("host", "CONFORMANCE.example")
            .hit(),
    ]
}
