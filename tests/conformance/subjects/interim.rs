//! Interim answers (RFC 9110 §15.2, RFC 8297).

use crate::conformance::case::{Case, Seen, fresh, required};

const LINK: [(&str, &str); 1] = [("link", "</style.css>; rel=preload")];

pub(crate) fn cases() -> Vec<Case> {
    let interim = |expected: &'static [u16]| {
        move |seen: &Seen<'_>| {
            let interim = seen.answer.interim.iter().map(|head| head.status);
            interim.collect::<Vec<_>>() == expected
        }
    };
    vec![
        required("9110 §15.2", "a 103 is forwarded")
            .stored(fresh().interim(103, &LINK))
            .see("103 first", interim(&[103]))
            .see("its Link", |seen| {
                seen.answer.interim[0].joined("link").is_some()
            })
            .fetched(),
        required("9110 §15.2", "a 102 is forwarded")
            .stored(fresh().interim(102, &[]))
            .see("102 first", interim(&[102]))
            .fetched(),
        required("9110 §15.2", "several are forwarded in order")
            .stored(
                fresh()
                    .interim(102, &[])
                    .interim(103, &LINK)
                    .interim(103, &LINK),
            )
            .see("all three", interim(&[102, 103, 103]))
            .fetched(),
        required("9110 §15.2", "an unknown one is forwarded")
            .stored(fresh().interim(199, &LINK))
            .see("199 first", interim(&[199]))
            .fetched(),
        required("8297 §2", "a 103's fields are not the final answer's")
            .stored(fresh().interim(103, &LINK))
            .lacks("link")
            .get()
            .hit()
            .lacks("link"),
        required("9111 §3", "a 103 is not stored in the final answer's place")
            .stored(fresh().interim(103, &[("cache-control", "no-store")]))
            .status(200)
            .get()
            .hit()
            .see("no interim answer", interim(&[])),
        required("9111 §3", "a 103's freshness is not the final answer's")
            .stored(
                crate::conformance::case::ok().interim(103, &[("cache-control", "max-age=3600")]),
            )
            .get()
            .fetched(),
    ]
}
