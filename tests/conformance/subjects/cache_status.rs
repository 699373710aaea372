//! `Cache-Status` (RFC 9211).

use crate::conformance::case::{
    Case, Framing, confirming, fresh, ok, optimal, reply, required, stale,
};

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = forwarded();
    cases.extend(vec![
        required("9211 §2.1", "a hit")
            .stored(fresh())
            .get()
            .cache_status("hit")
            .see("no fwd", |seen| !own(seen).contains("fwd")),
        required("9211 §2.4", "a hit's ttl")
            .stored(ok().cc("max-age=3600").f("age", "600"))
            .get()
            .see("between 2900 and 3000", |seen| {
                let member = own(seen);
                let ttl = member.split("ttl=").nth(1).unwrap_or_default();
                let ttl = ttl.split([';', ' ']).next().unwrap_or_default();
                ttl.parse::<i64>()
                    .is_ok_and(|ttl| (2900..=3000).contains(&ttl))
            }),
        required("9211 §2.4", "a stale hit's ttl is negative")
            .stored(
                ok().cc("max-age=10, stale-while-revalidate=1000")
                    .f("date", "{now-100}"),
            )
            .get()
            .see("below zero", |seen| own(seen).contains("ttl=-")),
        required("9211 §2.3", "the app's status")
            .stored(reply(404))
            .cache_status("fwd-status=404"),
        required("9211 §2.5", "stored")
            .stored(fresh())
            .cache_status("stored"),
        required("9211 §2.5", "not stored")
            .stored(ok().cc("no-store"))
            .see("no stored", |seen| {
                let member = own(seen);
                let mut parameters = member.split(';').map(str::trim);
                parameters.all(|own| own != "stored" && own != "stored=?1")
            }),
        required("9211 §2", "ours comes after those of caches before")
            .stored(fresh().f("cache-status", "edge; hit"))
            .see("edge, then ours", |seen| {
                let lines = seen.answer.head.joined("cache-status").unwrap_or_default();
                lines.starts_with("edge; hit, pannier;")
            })
            .get()
            .hit()
            .see("edge, then ours once", |seen| {
                let lines = seen.answer.head.joined("cache-status").unwrap_or_default();
                lines.starts_with("edge; hit, pannier;") && lines.matches("pannier").count() == 1
            }),
        optimal("9211 §2", "an answer of Pannier's own has one too")
            .get()
            .answers(ok().framed(Framing::Nothing))
            .see("ours", |seen| own(seen).starts_with("pannier;")),
        optimal("9211 §2.1", "only-if-cached that fails is no hit")
            .get()
            .with("cache-control", "only-if-cached")
            .status(504)
            .see("no hit", |seen| !own(seen).contains("; hit")),
    ]);
    cases
}

/// Why it was forwarded (§2.2).
fn forwarded() -> Vec<Case> {
    vec![
        required("9211 §2.2", "fwd=uri-miss")
            .stored(fresh())
            .cache_status("fwd=uri-miss"),
        required("9211 §2.2", "fwd=vary-miss")
            .stored(fresh().f("vary", "Foo"))
            .get()
            .with("foo", "1")
            .cache_status("fwd=vary-miss"),
        required("9211 §2.2", "fwd=stale")
            .stored(stale().f("etag", "\"a\""))
            .get()
            .cache_status("fwd=stale"),
        required("9211 §2.2", "fwd=stale for what is confirmed")
            .stored(stale().f("etag", "\"a\""))
            .get()
            .answers(confirming(reply(304).f("etag", "\"a\"")))
            .cache_status("fwd=stale")
            .cache_status("fwd-status=304"),
        required("9211 §2.2", "fwd=request")
            .stored(fresh())
            .get()
            .with("cache-control", "no-cache")
            .cache_status("fwd=request"),
        required("9211 §2.2", "fwd=method")
            .ask("POST")
            .cache_status("fwd=method"),
        optimal("9211 §2.2", "fwd=bypass for a GET with a body")
            .get()
            .sending("x")
            .cache_status("fwd=bypass"),
    ]
}

/// Our member, which is the last.
fn own(seen: &crate::conformance::case::Seen<'_>) -> String {
    let lines = seen.answer.head.joined("cache-status").unwrap_or_default();
    let member = lines.rsplit(',').next().unwrap_or_default();
    member.trim().to_owned()
}
