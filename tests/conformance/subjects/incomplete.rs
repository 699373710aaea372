//! Answers that break off (RFC 9111 §3.3, RFC 9112 §8).

use crate::conformance::case::{Case, Framing, fresh, required};

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (what, framing) in [
        ("shorter than its length", Framing::CutLength),
        ("without its last chunk", Framing::CutChunked),
    ] {
        cases.push(
            required(
                "9112 §8",
                format!("an answer {what} breaks off for the client"),
            )
            .stored(fresh().framed(framing))
            .broken(),
        );
        cases.push(
            required("9111 §3.3", format!("an answer {what} is not stored"))
                .stored(fresh().framed(framing))
                .get()
                .answers(fresh())
                .fetched()
                .get()
                .hit_of(1),
        );
    }
    cases.push(
        required(
            "9112 §6.3",
            "an answer that ends with the connection comes whole",
        )
        .stored(fresh().framed(Framing::Close))
        .fetched(),
    );
    cases.push(
        required(
            "promise A2",
            "an answer that ends with the connection may be cut, and is not stored",
        )
        .stored(fresh().framed(Framing::Close))
        .get()
        .fetched(),
    );
    cases.push(
        required("9111 §3.3", "no answer is not stored")
            .stored(fresh().framed(Framing::Nothing))
            .get()
            .answers(fresh())
            .fetched(),
    );
    cases.push(
        required(
            "9111 §3.3",
            "a broken answer leaves what was stored before unharmed",
        )
        .stored(fresh())
        .get()
        .with("cache-control", "no-cache")
        .answers(fresh().framed(Framing::CutLength))
        .broken()
        .get()
        .answers(fresh())
        .see("a whole answer", |seen| {
            seen.answer.complete && !seen.answer.body.is_empty()
        }),
    );
    cases
}
