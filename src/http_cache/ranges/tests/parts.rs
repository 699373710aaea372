//! Storing parts, and what they answer.

use http::{Method, StatusCode};

use super::*;
use crate::http_cache::{Policy, Reuse, reuse, storable, validation};
use Cut::{Lacking, One, Unsatisfiable};

/// RFC 9110 §14.4, §15.3.7: which 206 is a part that can be stored (RFC 9111 §3.3).
#[test]
fn content_ranges() {
    let of = |first, end, complete| {
        Ok(Part {
            first,
            end,
            complete,
        })
    };
    let no = Err(Reason::Partial);
    let length = |value| ("content-length", value);
    let multipart = ("content-type", "Multipart/ByteRanges; boundary=x");
    // name, Content-Range, further fields, part
    #[rustfmt::skip]
    let rows: &[(&str, &str, Lines<'_>, Result<Part, Reason>)] = &[
        ("first five", "bytes 0-4/10", &[], of(0, 5, Some(10))),
        ("last byte", "bytes 9-9/10", &[], of(9, 10, Some(10))),
        ("all", "bytes 0-9/10", &[], of(0, 10, Some(10))),
        ("length unknown", "bytes 0-4/*", &[], of(0, 5, None)),
        ("unit in capitals", "BYTES 0-4/10", &[], of(0, 5, Some(10))),
        ("leading zeros", "bytes 00-04/010", &[], of(0, 5, Some(10))),
        ("with its length", "bytes 0-4/10", &[length("5")], of(0, 5, Some(10))),
        ("near 2⁶⁴", "bytes 18446744073709551610-18446744073709551614/18446744073709551615", &[], of(u64::MAX - 5, u64::MAX, Some(u64::MAX))),
        ("last is 2⁶⁴ − 1", "bytes 0-18446744073709551615/*", &[], no),
        ("first is 2⁶⁴", "bytes 18446744073709551616-18446744073709551617/*", &[], no),
        ("length past 2⁶⁴", "bytes 0-4/99999999999999999999", &[], no),
        ("last before first", "bytes 4-3/10", &[], no),
        ("last at the length", "bytes 4-10/10", &[], no),
        ("of nothing", "bytes 0-0/0", &[], no),
        ("unsatisfied", "bytes */10", &[], no),
        ("another unit", "seconds 0-4/10", &[], no),
        ("no unit", "0-4/10", &[], no),
        ("no length", "bytes 0-4", &[], no),
        ("empty length", "bytes 0-4/", &[], no),
        ("no positions", "bytes /10", &[], no),
        ("no last", "bytes 0-/10", &[], no),
        ("no first", "bytes -4/10", &[], no),
        ("signs", "bytes +0-+4/+10", &[], no),
        ("= for the space", "bytes=0-4/10", &[], no),
        ("two spaces", "bytes  0-4/10", &[], no),
        ("words after", "bytes 0-4/10 x", &[], no),
        ("letters beyond ASCII", "bytes ０-４/10", &[], no),
        ("empty", "", &[], no),
        ("two lines", "bytes 0-4/10", &[("content-range", "bytes 0-4/10")], no),
        ("another length", "bytes 0-4/10", &[length("6")], no),
        ("the representation's length", "bytes 0-4/10", &[length("10")], no),
        ("two lengths", "bytes 0-4/10", &[length("5"), length("5")], no),
        ("no number for a length", "bytes 0-4/10", &[length("five")], no),
        ("several parts", "bytes 0-4/10", &[multipart], no),
    ];
    for (name, content_range, further, expected) in rows {
        let line = ("content-range", *content_range);
        let found = part(&[&[FRESH, TAG, line], *further].concat());
        assert_eq!(
            found.map(|stored| stored.part.unwrap()),
            *expected,
            "{name}"
        );
    }
    let silent = part(&[FRESH, TAG]);
    assert_eq!(silent, Err(Reason::Partial), "without Content-Range");
    let parts = part(&[
        FRESH,
        TAG,
        ("content-type", "multipart/byteranges; boundary=x"),
    ]);
    assert_eq!(parts, Err(Reason::Partial), "several parts");
}

/// RFC 9111 §3, §3.3: a part is stored as a 200 would be, if it was asked for.
#[test]
fn storing() {
    let asked: Lines<'_> = &[("range", "bytes=0-4")];
    let statuses = |codes: &[u16]| Policy {
        statuses: Some(
            codes
                .iter()
                .map(|code| StatusCode::from_u16(*code).unwrap())
                .collect(),
        ),
        ..ruled(300)
    };
    let rfc = rfc();
    // name, policy, request, response, verdict
    type Row<'a> = (
        &'a str,
        &'a Policy,
        Lines<'a>,
        Lines<'a>,
        Result<u64, Reason>,
    );
    #[rustfmt::skip]
    let rows: &[Row<'_>] = &[
        ("fresh", &rfc, asked, &[FRESH], Ok(60)),
        ("with If-Range", &rfc, &[("range", "bytes=0-4"), ("if-range", "\"a\"")], &[FRESH], Ok(60)),
        ("never asked for", &rfc, &[], &[FRESH], Err(Reason::Partial)),
        ("no-store", &rfc, asked, &[(CC, "no-store")], Err(Reason::NoStore)),
        ("private", &rfc, asked, &[(CC, "max-age=60, private")], Err(Reason::Private)),
        ("Set-Cookie", &rfc, asked, &[FRESH, ("set-cookie", "a=b")], Err(Reason::SetCookie)),
        ("Vary: *", &rfc, asked, &[FRESH, ("vary", "*")], Err(Reason::VaryAny)),
        ("request no-store", &rfc, &[("range", "bytes=0-4"), (CC, "no-store")], &[FRESH], Err(Reason::RequestNoStore)),
        ("must-understand", &rfc, asked, &[(CC, "must-understand, no-store, max-age=60")], Ok(60)),
        ("silent", &rfc, asked, &[], Err(Reason::NoFreshness)),
        ("a tenth of its age, as a 200", &rfc, asked, &[("date", SENT), CHANGED], Ok(360)),
        ("stale, to be made whole", &rfc, asked, &[(CC, "max-age=0"), TAG], Ok(0)),
        ("stale, with a weak tag", &rfc, asked, &[(CC, "max-age=0"), WEAK], Err(Reason::NoFreshness)),
        ("no-cache, to be made whole", &rfc, asked, &[(CC, "no-cache"), TAG], Ok(0)),
        ("no-cache, with a weak tag", &rfc, asked, &[(CC, "no-cache"), WEAK], Err(Reason::NoFreshness)),
        ("a rule's ttl", &ruled(300), asked, &[], Ok(300)),
        ("a rule lists 200", &statuses(&[200]), asked, &[], Ok(300)),
        ("a rule lists 206", &statuses(&[206]), asked, &[], Ok(300)),
        ("a rule lists both", &statuses(&[200, 206]), asked, &[], Ok(300)),
        ("a rule lists neither", &statuses(&[404]), asked, &[FRESH], Err(Reason::Status)),
    ];
    for (name, policy, request, response, expected) in rows {
        let request = headers(request);
        let response = headers(&[*response, &[("content-range", "bytes 0-4/10")]].concat());
        let found = storable(&get(&request), &exchange(206, &response), policy);
        let lifetime = found.as_ref().map(|stored| stored.lifetime.as_secs());
        assert_eq!(lifetime.map_err(|reason| *reason), *expected, "{name}");
    }
}

#[test]
fn fields_of_the_message_are_not_stored() {
    let whole = ("content-range", "bytes 0-4/10");
    let stored = part(&[
        ("x-a", "1"),
        whole,
        FRESH,
        ("content-length", "5"),
        ("content-type", "text/plain"),
        ("date", SENT),
    ]);
    let stored = stored.unwrap();
    assert_eq!(stored.status, StatusCode::OK, "what a request for all gets");
    assert_eq!(
        lines(&stored.headers),
        [
            ("x-a", "1"),
            FRESH,
            ("content-type", "text/plain"),
            ("date", SENT)
        ],
        "the others in their order"
    );
}

/// RFC 9111 §3.3: what it covers, and no more.
#[test]
fn cuts() {
    let middle = tagged("bytes 3-6/10");
    let open = tagged("bytes 3-6/*");
    let start = tagged("bytes 0-4/10");
    let end = tagged("bytes 5-9/10");
    let all = tagged("bytes 0-9/10");
    let last = tagged("bytes 18446744073709551610-18446744073709551614/*");
    let two = |first: Range<u64>, second: Range<u64>| many(&[first, second]);
    // name, what is stored, Range (empty: none), cut
    #[rustfmt::skip]
    let rows: &[(&str, &Stored, &str, Cut)] = &[
        ("no Range", &middle, "", Lacking),
        ("malformed", &middle, "bytes=6-3", Lacking),
        ("another unit", &middle, "seconds=3-6", Lacking),
        ("all of it", &middle, "bytes=3-6", One(3..7)),
        ("within", &middle, "bytes=4-5", One(4..6)),
        ("one byte before", &middle, "bytes=2-6", Lacking),
        ("one byte after", &middle, "bytes=3-7", Lacking),
        ("elsewhere", &middle, "bytes=0-1", Lacking),
        ("past the end of all", &middle, "bytes=10-", Unsatisfiable),
        ("open end", &middle, "bytes=3-", Lacking),
        ("suffix", &middle, "bytes=-7", Lacking),
        ("suffix of none", &middle, "bytes=-0", Unsatisfiable),
        ("two within", &middle, "bytes=3-3,5-6", two(3..4, 5..7)),
        ("one of two without", &middle, "bytes=3-3,8-9", Lacking),
        ("one of two past the end of all", &middle, "bytes=3-3,80-90", One(3..4)),
        ("start, from 0", &start, "bytes=0-4", One(0..5)),
        ("start, open end", &start, "bytes=0-", Lacking),
        ("end, open end", &end, "bytes=5-", One(5..10)),
        ("end, suffix", &end, "bytes=-5", One(5..10)),
        ("end, longer suffix", &end, "bytes=-6", Lacking),
        ("end, last past the end", &end, "bytes=7-99", One(7..10)),
        ("length unknown: within", &open, "bytes=4-6", One(4..7)),
        ("length unknown: last past what is held", &open, "bytes=4-7", Lacking),
        ("length unknown: open end", &open, "bytes=3-", Lacking),
        ("length unknown: suffix", &open, "bytes=-1", Lacking),
        ("length unknown: suffix of none", &open, "bytes=-0", Lacking),
        ("length unknown: far past", &open, "bytes=99-", Lacking),
        ("length unknown: last is 2⁶⁴ − 1", &last, "bytes=18446744073709551614-18446744073709551615", Lacking),
        ("length unknown: last is 2⁶⁴ − 2", &last, "bytes=18446744073709551614-18446744073709551614", One(u64::MAX - 1..u64::MAX)),
        ("a part that is all: no Range", &all, "", Cut::Whole),
        ("a part that is all: Range", &all, "bytes=-4", One(6..10)),
    ];
    for (name, stored, range, expected) in rows {
        let request: Lines<'_> = &[("range", *range)];
        let request = if range.is_empty() { &[] } else { request };
        let length = stored.part.unwrap().length();
        assert_eq!(cut_of(stored, length, request), *expected, "{name}");
    }
    let short = cut_of(&middle, 2, &[("range", "bytes=4-5")]);
    assert_eq!(short, Lacking, "a body shorter than its part");
    let long = cut_of(&middle, 9, &[("range", "bytes=6-7")]);
    assert_eq!(long, Lacking, "a body longer than its part");
    let range = ("range", "bytes=3-6");
    let holds = cut_of(&middle, 4, &[range, ("if-range", "\"a\"")]);
    assert_eq!(holds, One(3..7), "If-Range holds");
    let fails = cut_of(&middle, 4, &[range, ("if-range", "\"b\"")]);
    assert_eq!(fails, Lacking, "If-Range does not hold: all is asked for");
}

/// RFC 9111 §4: a part is served where it covers, never validated, and fetched anew when stale.
#[test]
fn decisions() {
    use Reason::{Hit, MaxStale, NoCache, Partial, RequestDirective, Stale};
    let serve = |age, ttl, reason| Reuse::Serve {
        age: secs(age),
        ttl,
        reason,
    };
    let fetch = Reuse::Fetch;
    let swr = "max-age=60, stale-while-revalidate=10";
    let sie = "max-age=60, stale-if-error=10";
    let excused = Reuse::Validate {
        reason: Stale,
        stale_on_error: true,
    };
    let covered = ("range", "bytes=0-4");
    let beyond = ("range", "bytes=0-5");
    let known = ("if-none-match", "\"a\"");
    let other = ("if-none-match", "\"b\"");
    let refresh = Reuse::ServeAndRefresh {
        age: secs(61),
        ttl: -1,
    };
    // name, stored Cache-Control, age, request, decision
    #[rustfmt::skip]
    let rows: &[(&str, &str, u64, Lines<'_>, Reuse)] = &[
        ("covered, fresh", "max-age=60", 5, &[covered], serve(5, 55, Hit)),
        ("covered, stale", "max-age=60", 61, &[covered], fetch(Stale)),
        ("covered, no-cache", "no-cache", 0, &[covered], fetch(NoCache)),
        ("covered, request no-cache", "max-age=60", 0, &[covered, (CC, "no-cache")], fetch(RequestDirective)),
        ("covered, request max-age", "max-age=60", 9, &[covered, (CC, "max-age=5")], fetch(RequestDirective)),
        ("covered, max-stale", "max-age=60", 61, &[covered, (CC, "max-stale")], serve(61, -1, MaxStale)),
        ("covered, swr", swr, 61, &[covered], refresh),
        ("covered, stale-if-error", sie, 61, &[covered], excused),
        ("covered, only-if-cached", "max-age=60", 5, &[covered, (CC, "only-if-cached")], serve(5, 55, Hit)),
        ("not covered, fresh", "max-age=60", 5, &[beyond], fetch(Partial)),
        ("not covered, stale", "max-age=60", 61, &[beyond], fetch(Partial)),
        ("not covered, no-cache", "no-cache", 0, &[beyond], fetch(Partial)),
        ("not covered, max-stale", "max-age=60", 61, &[beyond, (CC, "max-stale")], fetch(Partial)),
        ("not covered, swr", swr, 61, &[beyond], fetch(Partial)),
        ("not covered, only-if-cached", "max-age=60", 5, &[beyond, (CC, "only-if-cached")], Reuse::Unsatisfiable),
        ("all, fresh", "max-age=60", 5, &[], fetch(Partial)),
        ("all, If-Range", "max-age=60", 5, &[covered, ("if-range", "\"b\"")], fetch(Partial)),
        ("304 to a request for all", "max-age=60", 5, &[known], serve(5, 55, Hit)),
        ("304 to what is not covered", "max-age=60", 5, &[known, beyond], serve(5, 55, Hit)),
        ("no 304", "max-age=60", 5, &[other], fetch(Partial)),
        ("304, stale", "max-age=60", 61, &[known], fetch(Stale)),
    ];
    for (name, line, age, request, expected) in rows {
        let stored = part(&[(CC, line), TAG, ("content-range", "bytes 0-4/10")]).unwrap();
        let request = headers(request);
        let found = reuse(&get(&request), Some(&stored), false, &rfc(), later(*age));
        assert_eq!(found, *expected, "{name}");
    }
    let stored = tagged("bytes 0-4/10");
    let (head, range) = (Method::HEAD, headers(&[covered]));
    let found = reuse(&request(&head, &range), Some(&stored), false, &rfc(), now());
    assert_eq!(found, fetch(Partial), "HEAD tells of the whole");
    let all = tagged("bytes 0-9/10");
    let none = HeaderMap::new();
    let found = reuse(&get(&none), Some(&all), false, &rfc(), later(61));
    let validate = Reuse::Validate {
        reason: Stale,
        stale_on_error: false,
    };
    assert_eq!(found, validate, "a part that is all is a whole");
}

/// RFC 9111 §4.3.4: a 304 is about the representation, and the part of it stays what it is.
#[test]
fn freshened_parts() {
    let none = HeaderMap::new();
    let old = tagged("bytes 0-4/10");
    let newer = headers(&[
        ("date", HOUR_LATER),
        (CC, "max-age=90"),
        ("content-length", "10"),
    ]);
    let lists = Policy {
        statuses: Some(vec![StatusCode::PARTIAL_CONTENT]),
        ..ruled(300)
    };
    for (name, policy) in [
        ("RFC 9111 alone", &rfc()),
        ("a rule that lists 206", &lists),
    ] {
        let mut news = exchange(304, &newer);
        (news.request_time, news.response_time) = (later(3600), later(3600));
        let fresh = validation::freshened(&old, &get(&none), &news, policy);
        assert_eq!(fresh.part, old.part, "{name}");
        assert_eq!(fresh.lifetime, secs(90), "{name}");
        assert!(!fresh.headers.contains_key("content-length"), "{name}");
        let kept = validation::keepable(&get(&none), &fresh, policy);
        assert_eq!(kept, Ok(()), "{name}");
    }
}

/// RFC 9111 §3.3: how long a part is of use: as long as it is served, or may yet be made whole.
#[test]
fn keeping() {
    // name, fields, kept for
    #[rustfmt::skip]
    let rows: &[(&str, Lines<'_>, u64)] = &[
        ("no validator", &[FRESH], 60),
        ("a weak tag", &[FRESH, WEAK], 60),
        ("a strong tag", &[FRESH, TAG], 120),
        ("a strong date", &[FRESH, ("date", SENT), CHANGED], 120),
        ("a date that may be shared", &[FRESH, ("date", SENT), ("last-modified", SENT)], 60),
        ("a weak tag beside a strong date", &[FRESH, WEAK, ("date", SENT), CHANGED], 60),
    ];
    for (name, fields, expected) in rows {
        let line = ("content-range", "bytes 0-4/10");
        let stored = part(&[*fields, &[line]].concat()).unwrap();
        assert_eq!(stored.keep_for(), secs(*expected), "{name}");
    }
}
