//! Freshness lifetime (RFC 9111 §4.2.1) and the syntax it is written in (§1.2.2, §5.2).

use crate::conformance::case::{Case, ok, optimal, required};

type Row = (
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
);

pub(crate) fn cases() -> Vec<Case> {
    let fresh = FRESH.iter().map(|(section, name, fields)| {
        let name = format!("fresh: {name}");
        optimal(section, name)
            .stored(ok().fs(fields))
            .get()
            .hit()
            .has("age")
    });
    let stale = STALE.iter().map(|(section, name, fields)| {
        let name = format!("stale: {name}");
        required(section, name)
            .stored(ok().fs(fields))
            .get()
            .fetched()
    });
    let unreadable = UNREADABLE.iter().map(|value| {
        let name = format!("unreadable, so stale: {value}");
        optimal("9111 §4.2.1", name)
            .stored(ok().cc(value))
            .get()
            .fetched()
    });
    fresh
        .chain(stale)
        .chain(unreadable)
        .chain(lived())
        .collect()
}

const CC: &str = "cache-control";

const FRESH: &[Row] = &[
    ("9111 §5.2.2.1", "max-age", &[(CC, "max-age=3600")]),
    ("9111 §5.2", "max-age in capitals", &[(CC, "MAX-AGE=3600")]),
    (
        "9111 §5.2",
        "max-age in both cases",
        &[(CC, "mAx-aGe=3600")],
    ),
    ("9111 §5.2", "max-age quoted", &[(CC, "max-age=\"3600\"")]),
    ("9111 §1.2.2", "leading zeros", &[(CC, "max-age=0003600")]),
    (
        "9110 §5.6.1",
        "whitespace and empty members around it",
        &[(CC, ",  ,\tmax-age=3600 \t,, ")],
    ),
    (
        "9110 §5.3",
        "on the second of two lines",
        &[(CC, "public"), (CC, "max-age=3600")],
    ),
    (
        "9110 §5.3",
        "after an empty line",
        &[(CC, ""), (CC, "max-age=3600")],
    ),
    (
        "9111 §5.2.3",
        "after an unknown directive",
        &[(CC, "foobar, max-age=3600")],
    ),
    (
        "9111 §5.2.3",
        "after an unknown directive with an argument",
        &[(CC, "foo=bar, max-age=3600")],
    ),
    (
        "9110 §5.6.4",
        "after a quoted comma and a quoted directive",
        &[(CC, "foo=\"a, max-age=0, no-store\", max-age=3600")],
    ),
    (
        "9110 §5.6.4",
        "after a quoted pair",
        &[(CC, "foo=\"a\\\", no-store\", max-age=3600")],
    ),
    ("9111 §1.2.2", "2^31 seconds", &[(CC, "max-age=2147483648")]),
    ("9111 §1.2.2", "2^32 seconds", &[(CC, "max-age=4294967296")]),
    (
        "9111 §1.2.2",
        "more seconds than 64 bits hold",
        &[(CC, "max-age=99999999999999999999999")],
    ),
    ("9111 §5.2.2.10", "s-maxage", &[(CC, "s-maxage=3600")]),
    (
        "9111 §5.2.2.10",
        "s-maxage in capitals",
        &[(CC, "S-MAXAGE=3600")],
    ),
    (
        "9111 §4.2.1",
        "s-maxage over max-age",
        &[(CC, "max-age=0, s-maxage=3600")],
    ),
    (
        "9111 §4.2.1",
        "s-maxage over Expires",
        &[(CC, "s-maxage=3600"), ("expires", "{now-60}")],
    ),
    (
        "9111 §5.3",
        "max-age over Expires",
        &[(CC, "max-age=3600"), ("expires", "{now-60}")],
    ),
    (
        "9111 §5.3",
        "max-age over an Expires that is no date",
        &[(CC, "max-age=3600"), ("expires", "0")],
    ),
    ("9111 §5.3", "Expires", &[("expires", "{now+3600}")]),
    (
        "9111 §5.3",
        "Expires beside directives without freshness",
        &[(CC, "public"), ("expires", "{now+3600}")],
    ),
    (
        "9110 §5.6.7",
        "Expires in RFC 850's form",
        &[("expires", "{rfc850:now+3600}")],
    ),
    (
        "9110 §5.6.7",
        "Expires in asctime's form",
        &[("expires", "{asctime:now+3600}")],
    ),
    (
        "9110 §5.6.7",
        "Expires in RFC 850's form, less than fifty years ahead",
        &[("expires", "{rfc850:now+1500000000}")],
    ),
    (
        "9111 §4.2",
        "Expires in lower case",
        &[("expires", "sat, 01 jan 2039 00:00:00 gmt")],
    ),
    (
        "9111 §4.2",
        "Expires in capitals",
        &[("expires", "SAT, 01 JAN 2039 00:00:00 GMT")],
    ),
    (
        "9111 §4.2.1",
        "Expires counts from Date",
        &[("date", "{now-100}"), ("expires", "{now+3600}")],
    ),
    (
        "9111 §4.2.3",
        "a Date ahead of time",
        &[("date", "{now+1000}"), (CC, "max-age=3600")],
    ),
    (
        "9111 §4.2.3",
        "a Date behind time",
        &[("date", "{now-1000}"), (CC, "max-age=3600")],
    ),
    (
        "9111 §4.2",
        "a Date that is no date",
        &[("date", "yesterday"), (CC, "max-age=3600")],
    ),
];

const STALE: &[Row] = &[
    ("9111 §5.2.2.1", "max-age=0", &[(CC, "max-age=0")]),
    (
        "9111 §4.2.3",
        "older by Date than max-age",
        &[(CC, "max-age=60"), ("date", "{now-100}")],
    ),
    (
        "9111 §5.2.2.10",
        "s-maxage=0 over max-age",
        &[(CC, "max-age=3600, s-maxage=0")],
    ),
    (
        "9111 §4.2.1",
        "older than s-maxage, whatever max-age says",
        &[(CC, "s-maxage=60, max-age=3600"), ("date", "{now-100}")],
    ),
    (
        "9111 §4.2.1",
        "older than s-maxage, whatever Expires says",
        &[
            (CC, "s-maxage=60"),
            ("date", "{now-100}"),
            ("expires", "{now+3600}"),
        ],
    ),
    (
        "9111 §5.3",
        "older than max-age, whatever Expires says",
        &[
            (CC, "max-age=60"),
            ("date", "{now-100}"),
            ("expires", "{now+3600}"),
        ],
    ),
    (
        "9111 §5.3",
        "Expires in the past",
        &[("expires", "{now-60}")],
    ),
    ("9111 §5.3", "Expires now", &[("expires", "{now}")]),
    ("9111 §5.3", "Expires: 0", &[("expires", "0")]),
    ("9111 §5.3", "Expires: -1", &[("expires", "-1")]),
    (
        "9111 §5.3",
        "Expires without a date",
        &[("expires", "soon")],
    ),
    (
        "9110 §5.6.7",
        "Expires in another time zone",
        &[("expires", "Sat, 01 Jan 2039 00:00:00 PST")],
    ),
    (
        "9111 §4.2",
        "Expires in UTC by that name",
        &[("expires", "Sat, 01 Jan 2039 00:00:00 UTC")],
    ),
    (
        "9111 §4.2",
        "Expires with an offset",
        &[("expires", "Sat, 01 Jan 2039 00:00:00 +0000")],
    ),
    (
        "9111 §4.2",
        "Expires without a zone",
        &[("expires", "Sat, 01 Jan 2039 00:00:00")],
    ),
    (
        "9111 §5.3",
        "Expires in another notation",
        &[("expires", "2039-01-01T00:00:00Z")],
    ),
    (
        "9111 §5.3",
        "Expires in RFC 850's form, in the past",
        &[("expires", "Sunday, 06-Nov-94 08:49:37 GMT")],
    ),
    ("9111 §5.3", "an empty Expires", &[("expires", "")]),
    (
        "9111 §4.2.1",
        "a past Expires leaves nothing to guess",
        &[("expires", "{now-60}"), ("last-modified", "{now-1000000}")],
    ),
    (
        "9111 §4.2.1",
        "an unreadable Expires leaves nothing to guess",
        &[("expires", "0"), ("last-modified", "{now-1000000}")],
    ),
    (
        "9111 §4.2.1",
        "max-age=0 leaves nothing to guess",
        &[(CC, "max-age=0"), ("last-modified", "{now-1000000}")],
    ),
    (
        "9111 §4.2.1",
        "a past Expires line before a future one",
        &[("expires", "{now-60}"), ("expires", "{now+3600}")],
    ),
    (
        "9111 §4.2.1",
        "max-age=0 before another max-age",
        &[(CC, "max-age=0, max-age=3600")],
    ),
    (
        "9111 §4.2.1",
        "max-age=0 on a line before another max-age",
        &[(CC, "max-age=0"), (CC, "max-age=3600")],
    ),
    (
        "9111 §4.2.1",
        "s-maxage=0 before another s-maxage",
        &[(CC, "s-maxage=0, s-maxage=3600")],
    ),
    (
        "9111 §4.2.3",
        "Expires reached since Date",
        &[("date", "{now-100}"), ("expires", "{now-50}")],
    ),
    (
        "9111 §5.2",
        "max-age in a longer name",
        &[(CC, "x-max-age=3600")],
    ),
    (
        "9111 §5.2",
        "max-age in a quoted string",
        &[(CC, "foo=\"max-age=3600\"")],
    ),
    (
        "9111 §5.2",
        "max-age in quotes itself",
        &[(CC, "\"max-age=3600\"")],
    ),
    ("9111 §5.2", "max-age with a colon", &[(CC, "max-age:3600")]),
    (
        "9111 §5.3",
        "nothing stated, nothing to guess from",
        &[("x-a", "b")],
    ),
];

const UNREADABLE: &[&str] = &[
    "max-age",
    "max-age=",
    "max-age=\"\"",
    "max-age=abc",
    "max-age=-3600",
    "max-age=+3600",
    "max-age=3600.5",
    "max-age=3600s",
    "max-age='3600'",
    "max-age=0x3600",
    "max-age= 3600",
    "max-age =3600",
    "max-age==3600",
    "max-age=3600;",
    "max-age=3600 60",
    "max-age=\"3600",
    "s-maxage=abc, max-age=3600",
];

/// Where time itself must pass.
fn lived() -> Vec<Case> {
    let passing = |section, name, fields: &[(&str, &str)]| {
        required(section, name)
            .stored(ok().fs(fields))
            .get()
            .later()
            .fetched()
    };
    vec![
        passing("9111 §4.2", "max-age passes", &[(CC, "max-age=1")]),
        passing(
            "9111 §4.2",
            "s-maxage passes",
            &[(CC, "s-maxage=1, max-age=3600")],
        ),
        passing("9111 §4.2", "Expires passes", &[("expires", "{now+1}")]),
        optimal("9111 §5.3", "Expires without Date counts from the arrival")
            .stored(ok().undated().f("expires", "{now+3600}"))
            .get()
            .hit(),
        optimal("9111 §4.2", "freshness lasts")
            .stored(ok().cc("max-age=3600"))
            .get()
            .later()
            .hit()
            .age(2),
    ]
}
