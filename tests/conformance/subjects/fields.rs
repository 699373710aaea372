//! Fields: end to end unchanged, those of a connection left behind (RFC 9110 §7.6, RFC 9111 §3.1).

use crate::conformance::case::{Case, Framing, Reply, fresh, ok, optimal, required};

pub(crate) fn cases() -> Vec<Case> {
    let replayed = REPLAYED.iter().map(|(name, value)| {
        let case = required("9111 §3.1", format!("{name} is stored and replayed"));
        let case = case
            .stored(with_freshness(name).f(name, value))
            .sees(name, value);
        case.get().hit().sees(name, value)
    });
    let dropped = DROPPED.iter().map(|(name, value)| {
        let case = required("9111 §3.1", format!("{name} is not stored"));
        case.stored(fresh().f(name, value)).get().hit().lacks(name)
    });
    let mut cases: Vec<Case> = replayed.chain(dropped).collect();
    cases.extend(connection());
    cases.extend(faithful());
    cases.extend(dates());
    cases.extend(requests());
    cases
}

fn with_freshness(name: &str) -> Reply {
    if name == "cache-control" {
        ok()
    } else {
        fresh()
    }
}

const REPLAYED: &[(&str, &str)] = &[
    ("accept-ranges", "bytes"),
    ("access-control-allow-origin", "*"),
    ("allow", "GET, HEAD"),
    ("alt-svc", "h3=\":443\""),
    ("cache-control", "max-age=3600, foo=\"bar, baz\""),
    ("cdn-cache-control", "max-age=3600"),
    ("clear-site-data", "\"cache\""),
    ("content-disposition", "attachment; filename=\"a.txt\""),
    ("content-encoding", "br"),
    ("content-language", "de, en"),
    ("content-location", "/elsewhere"),
    ("content-security-policy", "default-src 'self'"),
    ("content-type", "text/plain; charset=utf-8"),
    ("date", "Tue, 15 Nov 2044 08:12:31 GMT"),
    ("etag", "W/\"abc\""),
    ("expires", "Tue, 15 Nov 2044 09:12:31 GMT"),
    ("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT"),
    ("link", "</a>; rel=\"next\""),
    ("location", "/elsewhere"),
    ("p3p", "CP=\"x\""),
    ("pragma", "foo"),
    ("repr-digest", "sha-256=:AAAA:"),
    ("retry-after", "120"),
    ("server", "app/1"),
    ("strict-transport-security", "max-age=1"),
    ("timing-allow-origin", "*"),
    ("vary", "Foo"),
    ("warning", "199 - \"x\""),
    ("www-authenticate", "Basic realm=\"x\""),
    ("x-frame-options", "DENY"),
    ("x-unknown", "a \"b, c\" ; d=(e)"),
];

const DROPPED: &[(&str, &str)] = &[
    ("keep-alive", "timeout=5"),
    ("proxy-authenticate", "Basic"),
    ("proxy-authentication-info", "a=b"),
    ("proxy-authorization", "Basic YTpi"),
    ("proxy-connection", "keep-alive"),
    ("te", "trailers"),
    ("upgrade", "foo"),
];

fn connection() -> Vec<Case> {
    let named = || {
        fresh()
            .f("connection", "x-hop, X-Other")
            .f("x-hop", "1")
            .f("x-other", "2")
    };
    vec![
        required("9110 §7.6.1", "what Connection names is not passed on")
            .stored(named())
            .lacks("x-hop")
            .lacks("x-other"),
        required("9111 §3.1", "what Connection names is not stored")
            .stored(named().f("x-end", "3"))
            .get()
            .hit()
            .lacks("x-hop")
            .lacks("x-other")
            .sees("x-end", "3"),
        required(
            "9110 §7.6.1",
            "what a second Connection line names is not stored",
        )
        .stored(
            fresh()
                .f("connection", "foo")
                .f("connection", "x-hop")
                .f("x-hop", "1"),
        )
        .lacks("x-hop")
        .get()
        .hit()
        .lacks("x-hop"),
        required("9110 §7.6.1", "fields of the connection are not passed on")
            .stored(
                fresh()
                    .f("keep-alive", "timeout=5")
                    .f("proxy-connection", "x"),
            )
            .lacks("keep-alive")
            .lacks("proxy-connection"),
    ]
}

fn faithful() -> Vec<Case> {
    let in_order = |seen: &crate::conformance::case::Seen<'_>| {
        seen.answer.head.order(&["x-a", "x-b", "x-c", "x-d"]) == ["x-c", "x-a", "x-d", "x-b"]
    };
    let ordered = || {
        fresh()
            .f("x-c", "1")
            .f("keep-alive", "timeout=5")
            .f("x-a", "2")
            .f("x-d", "3")
            .f("x-b", "4")
    };
    let repeated = |seen: &crate::conformance::case::Seen<'_>| {
        seen.answer.head.lines("x-many") == [b"2".as_slice(), b"1", b"2, 3"]
    };
    let many = || {
        fresh()
            .f("x-many", "2")
            .f("x-many", "1")
            .f("x-many", "2, 3")
    };
    let large = "x".repeat(60_000);
    let length = large.len();
    let long_value = move |seen: &crate::conformance::case::Seen<'_>| {
        let lines = seen.answer.head.lines("x-long");
        lines.len() == 1 && lines[0].len() == length
    };
    let mut forty = fresh();
    for number in 0..40 {
        forty = forty.f(&format!("x-{number}"), "v");
    }
    let all_forty = |seen: &crate::conformance::case::Seen<'_>| {
        (0..40).all(|number| seen.answer.head.joined(&format!("x-{number}")).is_some())
    };
    vec![
        optimal("9110 §5.3", "fields keep their order on the way")
            .stored(ordered())
            .see("the order", in_order),
        optimal("9110 §5.3", "fields keep their order in the store")
            .stored(ordered())
            .get()
            .hit()
            .see("the order", in_order),
        required(
            "9110 §5.3",
            "lines of one field keep their order on the way",
        )
        .stored(many())
        .see("three lines", repeated),
        required(
            "9110 §5.3",
            "lines of one field keep their order in the store",
        )
        .stored(many())
        .get()
        .hit()
        .see("three lines", repeated),
        required("9110 §5.5", "bytes beyond ASCII are kept")
            .stored(fresh().bytes("x-bytes", b"\xe4\xf6 \xff"))
            .get()
            .hit()
            .see("the bytes", |seen| {
                seen.answer.head.lines("x-bytes") == [b"\xe4\xf6 \xff"]
            }),
        required("9110 §5.5", "an empty value is kept")
            .stored(fresh().f("x-empty", ""))
            .get()
            .hit()
            .sees("x-empty", ""),
        required("9110 §5.4", "a value of 60,000 bytes is kept")
            .stored(fresh().f("x-long", &large))
            .see("on the way", long_value)
            .get()
            .hit()
            .see("in the store", long_value),
        required("9110 §5.4", "forty fields are kept")
            .stored(forty)
            .see("on the way", all_forty)
            .get()
            .hit()
            .see("in the store", all_forty),
        required("9110 §8.6", "the length is the body's")
            .stored(fresh().body("0123456789"))
            .sees("content-length", "10")
            .get()
            .hit()
            .sees("content-length", "10"),
        required("9112 §7.1", "a chunked body is kept whole")
            .stored(fresh().framed(Framing::Chunked))
            .fetched()
            .get()
            .hit(),
        optimal("9111 §3", "an empty body is kept")
            .stored(fresh().body("").f("x-own", "1"))
            .get()
            .unasked()
            .status(200)
            .body("")
            .sees("x-own", "1"),
    ]
}

fn dates() -> Vec<Case> {
    vec![
        required("9110 §6.6.1", "a missing Date is added to what is stored")
            .stored(fresh().undated())
            .get()
            .hit()
            .has("date"),
        required("9110 §6.6.1", "a missing Date is added on the way")
            .stored(fresh().undated())
            .has("date"),
        required(
            "9110 §6.6.1",
            "a missing Date is added to what is not stored",
        )
        .stored(ok().cc("no-store").undated())
        .has("date"),
        required("9110 §6.6.1", "a Date is not replaced on the way")
            .stored(fresh().f("date", "Sun, 06 Nov 2044 08:49:37 GMT"))
            .sees("date", "Sun, 06 Nov 2044 08:49:37 GMT"),
        optimal(
            "9111 §4.2.3",
            "what came without a Date ages from its arrival",
        )
        .stored(fresh().undated())
        .get()
        .later()
        .hit()
        .age(2),
    ]
}

fn requests() -> Vec<Case> {
    vec![
        required(
            "9110 §7.6.1",
            "what the client's Connection names stays behind",
        )
        .get()
        .with("connection", "close, x-hop")
        .with("x-hop", "1")
        .app_lacked("x-hop"),
        required(
            "9110 §7.6.1",
            "fields of the client's connection stay behind",
        )
        .get()
        .with("keep-alive", "timeout=5")
        .with("proxy-connection", "keep-alive")
        .app_lacked("keep-alive")
        .app_lacked("proxy-connection"),
        required("9110 §7.6.3", "Via is added")
            .get()
            .see("Via", |seen| {
                let via = seen.received.last().and_then(|one| one.head.joined("via"));
                via.is_some_and(|via| via.starts_with("1.1 "))
            }),
        required("9110 §7.6.3", "Via is added after those before")
            .get()
            .with("via", "1.0 first")
            .see("Via", |seen| {
                let via = seen.received.last().and_then(|one| one.head.joined("via"));
                via.is_some_and(|via| via.starts_with("1.0 first, 1.1 "))
            }),
        required("9110 §7.6", "other fields reach the app as they are")
            .get()
            .with("x-own", "a \"b, c\"")
            .with("x-own", "d")
            .with("user-agent", "e")
            .app_saw("x-own", "a \"b, c\", d")
            .app_saw("user-agent", "e"),
        required("9110 §7.2", "the host reaches the app")
            .get()
            .app_saw("host", "conformance.example"),
        optimal("9110 §5.3", "fields keep their order to the app")
            .get()
            .with("x-c", "1")
            .with("keep-alive", "timeout=5")
            .with("x-a", "2")
            .with("x-b", "3")
            .see("the order", |seen| {
                let first = seen.received.first();
                first.is_some_and(|one| {
                    one.head.order(&["x-a", "x-b", "x-c"]) == ["x-c", "x-a", "x-b"]
                })
            }),
    ]
}
