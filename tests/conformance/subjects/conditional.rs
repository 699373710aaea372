//! Requests with conditions of their own (RFC 9111 §4.3.2, RFC 9110 §13).

use crate::conformance::case::{
    Case, Reply, confirming, fresh, ok, optimal, reply, required, stale,
};

const INM: &str = "if-none-match";
const IMS: &str = "if-modified-since";

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = on_fresh();
    cases.extend(fields_of_304());
    cases.extend(on_stale());
    cases.extend(on_nothing());
    cases
}

fn with_tag(tag: &str) -> Reply {
    fresh().f("etag", tag)
}

fn on_fresh() -> Vec<Case> {
    let matches = |name: &str, tag: &str, condition: &str| {
        let case = optimal("9110 §13.1.2", name).stored(with_tag(tag));
        case.get()
            .with(INM, condition)
            .unasked()
            .status(304)
            .body("")
    };
    let differs = |name: &str, tag: &str, condition: &str| {
        let case = required("9110 §13.1.2", name).stored(with_tag(tag));
        case.get().with(INM, condition).status(200).hit()
    };
    let dated = |name: &str, condition: &str| {
        let case = optimal("9110 §13.1.3", name);
        let case = case.stored(fresh().f("last-modified", "{now-10000}"));
        case.get().with(IMS, condition)
    };
    vec![
        matches("If-None-Match with the tag", "\"abc\"", "\"abc\""),
        matches("If-None-Match: *", "\"abc\"", "*"),
        matches("If-None-Match weak, stored strong", "\"abc\"", "W/\"abc\""),
        matches("If-None-Match strong, stored weak", "W/\"abc\"", "\"abc\""),
        matches("If-None-Match weak, stored weak", "W/\"abc\"", "W/\"abc\""),
        matches(
            "If-None-Match, the second of a list",
            "\"abc\"",
            "\"x\", \"abc\"",
        ),
        matches(
            "If-None-Match, a list without spaces",
            "\"abc\"",
            "\"x\",\"y\",\"abc\",\"z\"",
        ),
        matches(
            "If-None-Match, a list with empty members",
            "\"abc\"",
            ", \"x\",,\"abc\" ,",
        ),
        matches(
            "If-None-Match with a comma inside the tag",
            "\"a,b\"",
            "\"x\", \"a,b\"",
        ),
        matches("If-None-Match with the empty tag", "\"\"", "\"\""),
        matches("If-None-Match without quotes on both sides", "abc", "abc"),
        optimal("9110 §13.1.2", "If-None-Match on two lines")
            .stored(with_tag("\"abc\""))
            .get()
            .with(INM, "\"x\"")
            .with(INM, "\"abc\"")
            .unasked()
            .status(304),
        optimal("9110 §8.8.3", "If-None-Match with bytes beyond ASCII")
            .stored(fresh().bytes("etag", b"\"\xe4\xff\""))
            .get()
            .with_bytes(INM, b"\"\xe4\xff\"")
            .unasked()
            .status(304),
        differs("If-None-Match with another tag", "\"abc\"", "\"abd\""),
        differs(
            "If-None-Match with the tag in another case",
            "\"abc\"",
            "\"ABC\"",
        ),
        differs(
            "If-None-Match with the tag without quotes",
            "\"abc\"",
            "abc",
        ),
        differs("If-None-Match with a part of the tag", "\"a,b\"", "\"a\""),
        differs(
            "If-None-Match with the tag as a part",
            "\"abc\"",
            "\"abc,d\"",
        ),
        required("9110 §13.1.2", "If-None-Match with nothing to match")
            .stored(fresh())
            .get()
            .with(INM, "\"abc\"")
            .status(200)
            .hit(),
        dated("If-Modified-Since at the same time", "{now-10000}")
            .status(304)
            .unasked(),
        dated("If-Modified-Since later", "{now-5000}")
            .status(304)
            .unasked(),
        dated("If-Modified-Since in RFC 850's form", "{rfc850:now-5000}")
            .status(304)
            .unasked(),
        dated("If-Modified-Since in asctime's form", "{asctime:now-5000}")
            .status(304)
            .unasked(),
        dated("If-Modified-Since earlier", "{now-20000}")
            .status(200)
            .hit(),
        dated("If-Modified-Since that is no date", "yesterday")
            .status(200)
            .hit(),
        optimal("9111 §4.3.2", "If-Modified-Since compared with Date")
            .stored(fresh().f("date", "{now-100}"))
            .get()
            .with(IMS, "{now-50}")
            .unasked()
            .status(304),
        required(
            "9110 §13.1.3",
            "If-None-Match goes before a later If-Modified-Since",
        )
        .stored(with_tag("\"abc\"").f("last-modified", "{now-10000}"))
        .get()
        .with(INM, "\"x\"")
        .with(IMS, "{now-5000}")
        .status(200)
        .hit(),
        optimal(
            "9110 §13.1.3",
            "If-None-Match goes before an earlier If-Modified-Since",
        )
        .stored(with_tag("\"abc\"").f("last-modified", "{now-10000}"))
        .get()
        .with(INM, "\"abc\"")
        .with(IMS, "{now-20000}")
        .unasked()
        .status(304),
        required("9110 §13.2.1", "conditions do not apply to an error")
            .stored(reply(404).cc("max-age=3600").f("etag", "\"abc\""))
            .get()
            .with(INM, "\"abc\"")
            .status(404)
            .hit(),
        required("9111 §4.3.2", "If-Match is the app's to judge")
            .stored(with_tag("\"abc\""))
            .get()
            .with("if-match", "\"x\"")
            .see("no 412 of the cache's own", |seen| {
                seen.answer.head.status != 412 || !seen.received.is_empty()
            }),
        required("9111 §4.3.2", "If-Unmodified-Since is the app's to judge")
            .stored(fresh().f("last-modified", "{now-100}"))
            .get()
            .with("if-unmodified-since", "{now-1000}")
            .see("no 412 of the cache's own", |seen| {
                seen.answer.head.status != 412 || !seen.received.is_empty()
            }),
    ]
}

fn fields_of_304() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, value) in [
        ("cache-control", "max-age=3600"),
        ("content-location", "/elsewhere"),
        ("date", "Tue, 15 Nov 2044 08:12:31 GMT"),
        ("etag", "\"abc\""),
        ("expires", "Tue, 15 Nov 2044 09:12:31 GMT"),
        ("vary", "Foo"),
    ] {
        let mut stored = ok().f(name, value);
        for (other, usual) in [("cache-control", "max-age=3600"), ("etag", "\"abc\"")] {
            if name != other {
                stored = stored.f(other, usual);
            }
        }
        let case = required("9110 §15.4.5", format!("a 304 has {name}")).stored(stored);
        cases.push(
            case.get()
                .with(INM, "\"abc\"")
                .status(304)
                .sees(name, value),
        );
    }
    let asked = |case: Case| {
        let stored = with_tag("\"abc\"")
            .f("content-type", "text/plain")
            .f("age", "100");
        case.stored(stored).get().with(INM, "\"abc\"").status(304)
    };
    cases.push(asked(optimal("9110 §15.4.5", "a 304 has no content-type")).lacks("content-type"));
    cases.push(
        asked(required(
            "9110 §8.6",
            "a 304 has no Content-Length of its own emptiness",
        ))
        .see("no Content-Length: 0", |seen| {
            seen.answer.head.joined("content-length").as_deref() != Some("0")
        }),
    );
    cases.push(asked(required("9111 §5.1", "a 304 from the store has Age")).age(100));
    cases
}

fn on_stale() -> Vec<Case> {
    let stored = || stale().f("etag", "\"abc\"");
    let confirmed = || confirming(reply(304).f("etag", "\"abc\"").cc("max-age=3600"));
    vec![
        required("9111 §4.3.3", "validated for a client that has it: 304")
            .stored(stored())
            .get()
            .with(INM, "\"abc\"")
            .answers(confirmed())
            .asked()
            .status(304),
        required(
            "9111 §4.3.3",
            "validated for a client that has another: 200",
        )
        .stored(stored())
        .get()
        .with(INM, "\"old\"")
        .answers(confirmed())
        .see("the stored tag is offered", |seen| {
            let tags = seen.received.first();
            let tags = tags.and_then(|one| one.head.joined(INM));
            tags.is_some_and(|tags| tags.contains("\"abc\""))
        })
        .status(200)
        .see("the stored body", |seen| seen.is_body_of(0)),
        required(
            "9111 §4.3.3",
            "validated for a client with an older date: 200",
        )
        .stored(stored().f("last-modified", "{now-10000}"))
        .get()
        .with(IMS, "{now-20000}")
        .answers(confirmed())
        .status(200)
        .see("the stored body", |seen| seen.is_body_of(0)),
        required(
            "9111 §4.3.3",
            "replaced for a client that has the old one: 200",
        )
        .stored(stored())
        .get()
        .with(INM, "\"abc\"")
        .answers(ok().cc("max-age=3600").f("etag", "\"new\""))
        .status(200)
        .fetched()
        .get()
        .hit_of(1),
    ]
}

fn on_nothing() -> Vec<Case> {
    let passed = |case: Case, name: &'static str, value: &'static str| {
        let case = case.get().with(name, value);
        case.answers(confirming(
            reply(304).f("etag", "\"abc\"").cc("max-age=3600"),
        ))
    };
    let empty = |name: &str| optimal("9111 §4.3.2", name);
    vec![
        passed(
            empty("If-None-Match is forwarded with nothing stored"),
            INM,
            "\"abc\", \"x\"",
        )
        .app_saw(INM, "\"abc\", \"x\"")
        .status(304)
        .sees("etag", "\"abc\""),
        passed(
            empty("If-Modified-Since is forwarded with nothing stored"),
            IMS,
            "Sun, 06 Nov 1994 08:49:37 GMT",
        )
        .app_saw(IMS, "Sun, 06 Nov 1994 08:49:37 GMT")
        .status(304),
        passed(
            empty("If-None-Match: * is forwarded with nothing stored"),
            INM,
            "*",
        )
        .app_saw(INM, "*")
        .status(304),
        passed(
            required(
                "9111 §4.3.2",
                "the app's 304 to a forwarded condition is not stored",
            ),
            INM,
            "\"abc\"",
        )
        .get()
        .answers(fresh())
        .status(200)
        .fetched(),
        optimal(
            "9111 §4.3.2",
            "the app's 200 to a forwarded condition is stored",
        )
        .get()
        .with(INM, "\"old\"")
        .answers(with_tag("\"abc\""))
        .fetched()
        .get()
        .hit(),
        required("9111 §4.3.2", "If-Match is forwarded with nothing stored")
            .get()
            .with("if-match", "\"abc\"")
            .answers(reply(412))
            .app_saw("if-match", "\"abc\"")
            .status(412)
            .get()
            .answers(fresh())
            .fetched(),
        required(
            "9111 §4.3.2",
            "If-Unmodified-Since is forwarded with nothing stored",
        )
        .get()
        .with("if-unmodified-since", "Sun, 06 Nov 1994 08:49:37 GMT")
        .app_saw("if-unmodified-since", "Sun, 06 Nov 1994 08:49:37 GMT"),
    ]
}
