//! Invalidation (RFC 9111 §4.4).

use crate::conformance::case::{Case, Reply, fresh, ok, optimal, reply, required};

const LOCATIONS: [&str; 2] = ["location", "content-location"];

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = of_the_target();
    cases.extend(of_others());
    cases
}

fn after(case: Case, method: &'static str, answer: Reply) -> Case {
    let case = case.stored(fresh()).ask(method).answers(answer);
    case.asked().get()
}

fn of_the_target() -> Vec<Case> {
    let mut cases = Vec::new();
    for method in ["POST", "PUT", "DELETE", "PATCH", "MKCOL", "M-SEARCH", "FOO"] {
        let name = format!("{method} invalidates its target");
        cases.push(after(required("9111 §4.4", name), method, ok()).fetched());
    }
    for status in [200, 201, 202, 204, 206, 299, 301, 302, 303, 307, 308, 399] {
        let name = format!("POST answered by {status} invalidates");
        cases.push(after(required("9111 §4.4", name), "POST", reply(status)).fetched());
    }
    for status in [400, 401, 403, 404, 409, 412, 422, 500, 502, 503, 504] {
        let name = format!("POST answered by {status} does not invalidate");
        cases.push(after(optimal("9111 §4.4", name), "POST", reply(status)).hit_of(0));
    }
    for method in ["HEAD", "OPTIONS", "TRACE", "PROPFIND", "REPORT"] {
        let name = format!("{method} is safe and does not invalidate");
        let case = optimal("9111 §4.4", name).stored(fresh());
        let case = case.ask(method).answers(ok().body(""));
        cases.push(case.get().hit_of(0));
    }
    cases.push(
        required("9111 §4.4", "all variants are invalidated")
            .get()
            .with("foo", "1")
            .answers(fresh().f("vary", "Foo"))
            .get()
            .with("foo", "2")
            .answers(fresh().f("vary", "Foo"))
            .ask("POST")
            .get()
            .with("foo", "1")
            .fetched()
            .get()
            .with("foo", "2")
            .fetched(),
    );
    cases.push(
        required("9111 §4.4", "a HEAD after a write asks")
            .stored(fresh())
            .ask("DELETE")
            .answers(reply(204))
            .head()
            .asked(),
    );
    cases.push(
        optimal("9111 §4.4", "another query is another target")
            .stored(fresh())
            .ask("POST")
            .to("?a=b")
            .get()
            .hit_of(0),
    );
    cases.push(
        optimal("9111 §4.4", "another path is another target")
            .stored(fresh())
            .ask("POST")
            .to("y")
            .get()
            .hit_of(0),
    );
    cases.push(
        optimal("9111 §4.4", "another host is another target")
            .stored(fresh())
            .ask("POST")
            .with("host", "other.example")
            .see("asked", |seen| !seen.received.is_empty()),
    );
    cases.push(
        optimal("9111 §4.4", "what is fetched after a write is stored")
            .stored(fresh())
            .ask("PUT")
            .sending("new")
            .get()
            .answers(fresh())
            .fetched()
            .get()
            .hit_of(2),
    );
    cases
}

/// A write names another target.
fn of_others() -> Vec<Case> {
    let mut cases = Vec::new();
    let named = |case: Case, field: &str, value: &str, status| {
        let case = case.get().to("?b").answers(fresh());
        let case = case.ask("POST").answers(reply(status).f(field, value));
        case.get().to("?b")
    };
    for field in LOCATIONS {
        for (form, value) in [
            ("absolute", "http://conformance.example{path}?b"),
            (
                "with its default port",
                "http://conformance.example:80{path}?b",
            ),
            ("in capitals", "HTTP://Conformance.EXAMPLE{path}?b"),
            ("without its scheme", "//conformance.example{path}?b"),
            ("a path", "{path}?b"),
            ("relative", "x?b"),
            ("a query", "?b"),
            ("with a fragment", "{path}?b#c"),
            ("with dot segments", "/a/..{path}?b"),
        ] {
            let name = format!("{field} {form} is invalidated");
            cases.push(named(optimal("9111 §4.4", name), field, value, 201).fetched());
        }
        for (form, value) in [
            ("of another host", "http://other.example{path}?b"),
            ("of another port", "http://conformance.example:8080{path}?b"),
            ("of another scheme", "https://conformance.example{path}?b"),
            (
                "of another host without a scheme",
                "//other.example{path}?b",
            ),
            (
                "of a longer host",
                "http://conformance.example.evil.example{path}?b",
            ),
            (
                "behind userinfo",
                "http://conformance.example@other.example{path}?b",
            ),
        ] {
            let name = format!("{field} {form} is not invalidated");
            cases.push(named(required("9111 §4.4", name), field, value, 201).hit_of(0));
        }
        let name = format!("{field} of an error is not invalidated");
        cases.push(named(optimal("9111 §4.4", name), field, "{path}?b", 500).hit_of(0));
    }
    cases.push(
        required(
            "9111 §4.4",
            "Location in an answer to GET invalidates nothing",
        )
        .get()
        .to("?b")
        .answers(fresh())
        .get()
        .answers(reply(302).f("location", "{path}?b"))
        .get()
        .to("?b")
        .hit_of(0),
    );
    cases
}
