//! Methods (RFC 9110 §9, RFC 9111 §3, §4).

use crate::conformance::case::{Case, fresh, ok, optimal, required};

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for method in [
        "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "FOO",
    ] {
        cases.push(
            required(
                "9111 §3",
                format!("{method} is never answered from the store"),
            )
            .ask(method)
            .answers(fresh())
            .fetched()
            .app_method(method)
            .ask(method)
            .answers(fresh())
            .fetched(),
        );
        cases.push(
            required("9111 §4", format!("an answer to {method} is none to GET"))
                .ask(method)
                .answers(fresh())
                .get()
                .fetched(),
        );
        cases.push(
            required("9111 §4", format!("a stored GET is no answer to {method}"))
                .stored(fresh())
                .ask(method)
                .fetched()
                .app_method(method),
        );
    }
    cases.push(
        required("9110 §9.3.3", "a body reaches the app")
            .ask("POST")
            .sending("a body")
            .see("the body", |seen| {
                seen.received
                    .last()
                    .is_some_and(|one| one.body == b"a body")
            }),
    );
    cases.push(
        required(
            "9110 §9.3.1",
            "a GET with a body is not answered from the store",
        )
        .stored(fresh())
        .get()
        .sending("a body")
        .answers(fresh())
        .fetched()
        .see("the body", |seen| {
            seen.received
                .last()
                .is_some_and(|one| one.body == b"a body")
        })
        .get()
        .hit_of(0),
    );
    cases.push(
        optimal("9110 §9.1", "a stored GET outlives what passes")
            .stored(fresh())
            .ask("OPTIONS")
            .answers(ok())
            .get()
            .hit_of(0),
    );
    cases
}
