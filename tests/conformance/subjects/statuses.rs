//! Which statuses may be stored (RFC 9111 §3, RFC 9110 §15), with and without stated freshness.

use crate::conformance::case::{Case, Reply, optimal, reply, required};

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for status in [
        200, 201, 202, 203, 204, 205, 207, 208, 250, 299, 300, 301, 302, 303, 305, 307, 308, 350,
        399, 400, 401, 402, 403, 404, 405, 406, 408, 409, 410, 411, 413, 414, 415, 417, 418, 421,
        422, 423, 424, 425, 426, 450, 451, 499, 500, 501, 502, 503, 504, 505, 507, 508, 550, 599,
    ] {
        let name = format!("{status} with explicit freshness is stored");
        let fresh = reply(status).cc("max-age=3600");
        cases.push(replayed(optimal("9111 §3", name), status, fresh));
    }
    // RFC 9110 §15.1.
    for status in [200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501] {
        let name = format!("{status} is fresh by guess");
        let old = reply(status).f("last-modified", "{now-1000000}");
        cases.push(replayed(optimal("9111 §4.2.2", name), status, old));
    }
    for status in [
        201, 202, 205, 299, 302, 303, 307, 399, 400, 401, 403, 406, 408, 409, 411, 413, 415, 417,
        418, 422, 425, 451, 499, 500, 502, 503, 504, 505, 599,
    ] {
        let name = format!("{status} is never fresh by guess");
        let old = reply(status).f("last-modified", "{now-1000000}");
        let case = required("9111 §4.2.2", name).stored(old).status(status);
        cases.push(case.get().asked());
    }
    for status in [226, 412, 416, 428, 429, 431, 511] {
        let name = format!("{status} is bound to its request");
        let fresh = reply(status).cc("max-age=3600");
        let case = required("9110 §15", name).stored(fresh).status(status);
        cases.push(case.get().fetched());
    }
    cases.extend(guesses());
    cases
}

/// Stored, and served again as it was.
fn replayed(case: Case, status: u16, reply: Reply) -> Case {
    let mut reply = reply.f("x-own", "kept");
    if status == 205 {
        reply = reply.body("");
    }
    let case = case.stored(reply).status(status).sees("x-own", "kept");
    let case = case.get().unasked().status(status).sees("x-own", "kept");
    match status {
        204 | 205 => case,
        _ => case.hit(),
    }
}

/// What a guess rests on.
fn guesses() -> Vec<Case> {
    let plain = || reply(200);
    vec![
        required("9111 §4.2.2", "no guess from a Last-Modified in the future")
            .stored(plain().f("last-modified", "{now+1000}"))
            .get()
            .fetched(),
        required("9111 §4.2.2", "no guess from an unreadable Last-Modified")
            .stored(plain().f("last-modified", "long ago"))
            .get()
            .fetched(),
        optimal("9111 §4.2.2", "a guess is a fraction of the time unchanged")
            .stored(
                plain()
                    .f("last-modified", "{now-1000}")
                    .f("date", "{now-200}"),
            )
            .get()
            .asked(),
        optimal("9111 §4.2.2", "public lets a 302 be fresh by guess")
            .stored(
                reply(302)
                    .cc("public")
                    .f("last-modified", "{now-1000000}")
                    .f("location", "/elsewhere"),
            )
            .get()
            .hit(),
        optimal("9111 §4.2.2", "a guess for a target with a query")
            .get()
            .to("?a=b")
            .answers(plain().f("last-modified", "{now-1000000}"))
            .get()
            .to("?a=b")
            .hit(),
        required("9111 §2", "the query is part of the key")
            .get()
            .to("?a=b")
            .answers(plain().cc("max-age=3600"))
            .get()
            .to("?a=c")
            .fetched(),
        optimal("9111 §3", "explicit freshness for a target with a query")
            .get()
            .to("?a=b")
            .answers(plain().cc("max-age=3600"))
            .get()
            .to("?a=b")
            .hit(),
        required("9111 §3", "an unasked 304 is not stored")
            .stored(reply(304).cc("max-age=3600").f("etag", "\"a\""))
            .get()
            .answers(plain())
            .fetched(),
        required("9110 §15.4.5", "an unasked 304 is no answer to a plain GET")
            .stored(reply(304).cc("max-age=3600").f("etag", "\"a\""))
            .see("no 304", |seen| seen.answer.head.status != 304),
    ]
}
