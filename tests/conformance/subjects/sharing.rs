//! What one person's answer may be to another (RFC 9111 §3.5, §7.3, and Pannier's own promise I8).

use crate::conformance::case::{Case, Level, fresh, ok, optimal, required};

const AUTH: (&str, &str) = ("authorization", "Basic YTpi");
const COOKIE: (&str, &str) = ("cookie", "session=1");

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (field, section, (name, value)) in [
        ("Authorization", "9111 §3.5", AUTH),
        ("Cookie", "promise I8", COOKIE),
    ] {
        let first = |level: Level, what: &str, directives: &str| {
            let words = format!("{field}: {what}");
            let case = match level {
                Level::Required => required(section, words),
                Level::Optimal => optimal(section, words),
            };
            let case = case.get().with(name, value);
            case.answers(ok().cc(directives)).asked()
        };
        cases.push(
            first(Level::Required, "not shared with the same", "max-age=3600")
                .get()
                .with(name, value)
                .fetched(),
        );
        cases.push(
            first(Level::Required, "not shared with nobody", "max-age=3600")
                .get()
                .fetched(),
        );
        cases.push(
            first(Level::Required, "not shared with another", "max-age=3600")
                .get()
                .with(name, "x")
                .fetched(),
        );
        cases.push(
            first(Level::Required, "private", "private, max-age=3600")
                .get()
                .with(name, value)
                .fetched(),
        );
        cases.push(
            first(Level::Optimal, "public is shared", "public, max-age=3600")
                .get()
                .with(name, value)
                .hit(),
        );
        cases.push(
            first(
                Level::Optimal,
                "public is shared with nobody",
                "public, max-age=3600",
            )
            .get()
            .hit(),
        );
        cases.push(
            first(Level::Optimal, "s-maxage is shared", "s-maxage=3600")
                .get()
                .with(name, "x")
                .hit(),
        );
        cases.push(
            first(
                Level::Required,
                "public with an argument is none",
                "public=\"x\", max-age=3600",
            )
            .get()
            .with(name, value)
            .fetched(),
        );
        cases.push(
            required("promise I8", format!("{field}: nobody's answer is not his"))
                .stored(fresh())
                .get()
                .with(name, value)
                .fetched(),
        );
        cases.push(
            optimal(
                "promise I8",
                format!("{field}: nobody's public answer is his"),
            )
            .stored(ok().cc("public, max-age=3600"))
            .get()
            .with(name, value)
            .hit(),
        );
    }
    cases.push(
        required(
            "promise I8",
            "Authorization: must-revalidate is not shared with nobody",
        )
        .get()
        .with(AUTH.0, AUTH.1)
        .answers(ok().cc("must-revalidate, max-age=3600"))
        .get()
        .fetched(),
    );
    cases.push(
        required(
            "promise I8",
            "Authorization: must-revalidate is not shared with another",
        )
        .get()
        .with(AUTH.0, AUTH.1)
        .answers(ok().cc("must-revalidate, max-age=3600"))
        .get()
        .with(AUTH.0, "Basic eDp5")
        .fetched(),
    );
    cases.extend(set_cookie());
    cases
}

fn set_cookie() -> Vec<Case> {
    let cookie = |directives: &str| {
        ok().cc(directives)
            .f("set-cookie", "a=b")
            .f("set-cookie", "c=d")
    };
    vec![
        required("promise I8", "Set-Cookie is not stored")
            .stored(cookie("max-age=3600"))
            .see("two lines", |seen| {
                seen.answer.head.lines("set-cookie") == [b"a=b", b"c=d"]
            })
            .get()
            .fetched(),
        required("promise I8", "Set-Cookie is not stored, public or not")
            .stored(cookie("public, s-maxage=3600"))
            .get()
            .see("no cookie from the store", |seen| {
                !seen.received.is_empty() || seen.answer.head.lines("set-cookie").is_empty()
            }),
        optimal(
            "9111 §5.2.2.7",
            "Set-Cookie kept out by private is no obstacle",
        )
        .stored(cookie("private=\"set-cookie\", max-age=3600"))
        .get()
        .hit()
        .lacks("set-cookie"),
        optimal(
            "9111 §5.2.2.4",
            "Set-Cookie kept out by no-cache is no obstacle",
        )
        .stored(cookie("no-cache=\"Set-Cookie\", max-age=3600"))
        .get()
        .hit()
        .lacks("set-cookie"),
    ]
}
