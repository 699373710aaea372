use http::{HeaderMap, HeaderValue, Method};
use proptest::prelude::*;

use super::lifetime::{Source, exchange};
use super::*;
use crate::http_cache::directives::ResponseDirectives;
use crate::http_cache::tests::fixtures::{
    HOUR_LATER, Lines, SENT, exchange as came, get, headers, later, now, request, rfc, ruled, secs,
    store,
};
use crate::http_cache::tests::properties::case;
use crate::http_cache::{CacheControlMode, Despite, Identity, freshness};

/// All that is said: `topic: text (clause)`, decision first.
fn said(explained: &Explained) -> Vec<String> {
    let standings = explained.standings.iter();
    let all = standings.flat_map(|standing| &standing.statements);
    explained.decision.iter().chain(all).map(line).collect()
}

fn line(statement: &Statement) -> String {
    let Statement {
        topic,
        text,
        clause,
    } = statement;
    format!("{topic}: {text} ({clause})")
}

/// Explains a GET with `fields` so many seconds after a response with `lines` was stored.
fn explained(lines: Lines<'_>, policy: &Policy, fields: Lines<'_>, after: u64) -> Explained {
    let stored = store(200, lines, policy).expect("it is stored");
    let fields = headers(fields);
    explain(&get(&fields), &[&stored], Some(0), policy, later(after))
}

/// A named case: the stored response's fields, the request's, seconds since, and what is said.
type Row<'a> = (
    &'a str,
    Lines<'a>,
    Lines<'a>,
    u64,
    Reason,
    State,
    &'a [&'a str],
);

#[test]
fn what_is_said_of_a_stored_response_by_rfc_9111() {
    const CC: &str = "cache-control";
    #[rustfmt::skip]
    let rows: &[Row] = &[
        ("fresh by max-age", &[(CC, "max-age=60")], &[], 42, Reason::Hit, State::Fresh, &[
            "decision: served from the store (ttl=18): it is fresh, and the request takes it (RFC 9111 §4.2)",
            "age: 42 s = 0 s at arrival + 42 s stored (RFC 9111 §4.2.3)",
            "lifetime: 60 s, from max-age in Cache-Control (RFC 9111 §5.2.2.1)",
            "fresh: yes, for 18 s more: the lifetime exceeds the age (RFC 9111 §4.2)",
            "stale-while-revalidate: no: neither the answer nor the rule allows any (RFC 5861 §3)",
            "validator: none: it cannot be validated, only fetched anew (RFC 9111 §4.3.1)",
            "selected: yes: it varies on no field (RFC 9111 §4.1)",
        ]),
        ("stale with a validator", &[(CC, "max-age=60"), ("etag", "\"a\"")], &[], 72, Reason::Stale, State::Stale, &[
            "decision: the app is asked whether it still holds: it is stale (RFC 9111 §4.2)",
            "fresh: no, stale for 12 s: the age has reached the lifetime (RFC 9111 §4.2)",
            "validator: would be asked with If-None-Match: \"a\" (RFC 9111 §4.3.1)",
        ]),
        ("stale without one", &[(CC, "max-age=60")], &[], 60, Reason::Stale, State::Stale, &[
            "decision: the app is asked anew: it is stale (RFC 9111 §4.2)",
            "fresh: no, stale for 0 s",
        ]),
        ("s-maxage wins and forbids staleness", &[(CC, "max-age=60, s-maxage=10, stale-if-error=9")], &[], 1, Reason::Hit, State::Fresh, &[
            "lifetime: 10 s, from s-maxage in Cache-Control (RFC 9111 §5.2.2.10)",
            "stale use: never served stale: s-maxage, which implies proxy-revalidate (RFC 9111 §5.2.2.10)",
        ]),
        ("must-revalidate", &[(CC, "max-age=60, must-revalidate")], &[(CC, "max-stale")], 61, Reason::Stale, State::Stale, &[
            "stale use: never served stale: must-revalidate (RFC 9111 §5.2.2.2)",
            "request: max-stale: the answer forbids it (RFC 9111 §5.2.1.2)",
        ]),
        ("proxy-revalidate", &[(CC, "max-age=60, proxy-revalidate")], &[], 1, Reason::Hit, State::Fresh, &[
            "stale use: never served stale: proxy-revalidate (RFC 9111 §5.2.2.8)",
        ]),
        ("Expires", &[("date", SENT), ("expires", HOUR_LATER)], &[], 1, Reason::Hit, State::Fresh, &[
            "lifetime: 3600 s, from Expires (Sun, 06 Nov 1994 09:49:37 GMT) minus Date (Sun, 06 Nov 1994 08:49:37 GMT) (RFC 9111 §5.3)",
        ]),
        ("heuristic", &[("date", HOUR_LATER), ("last-modified", SENT)], &[], 1, Reason::Hit, State::Fresh, &[
            "lifetime: 360 s, guessed: a tenth of the time from Last-Modified (Sun, 06 Nov 1994 08:49:37 GMT) to Date (Sun, 06 Nov 1994 09:49:37 GMT), a day at most (RFC 9111 §4.2.2)",
        ]),
        ("nothing states a lifetime", &[("etag", "\"a\"")], &[], 0, Reason::Stale, State::Stale, &[
            "lifetime: 0 s, as none is stated, and none may be guessed (RFC 9111 §4.2.1)",
        ]),
        ("targeted at CDNs", &[("cdn-cache-control", "max-age=9"), (CC, "no-store")], &[], 1, Reason::Hit, State::Fresh, &[
            "lifetime: 9 s, from max-age in CDN-Cache-Control (Cache-Control gives way) (RFC 9213 §2.2, RFC 9111 §5.2.2.1)",
        ]),
        ("targeted at Pannier", &[("cdn-cache-control", "max-age=9"), ("pannier-cache-control", "max-age=8")], &[], 1, Reason::Hit, State::Fresh, &[
            "lifetime: 8 s, from max-age in Pannier-Cache-Control",
        ]),
        ("no-cache", &[(CC, "no-cache, max-age=60"), ("etag", "\"a\"")], &[], 1, Reason::NoCache, State::Unvalidated, &[
            "decision: the app is asked whether it still holds: it says no-cache (RFC 9111 §5.2.2.4)",
            "no-cache: yes: validated before each use (RFC 9111 §5.2.2.4)",
            "stale use: never served stale: it is validated before each use (RFC 9111 §4.2.4)",
        ]),
        ("qualified no-cache", &[(CC, "no-cache=\"x\", max-age=60")], &[], 1, Reason::Hit, State::Fresh, &[
            "no-cache: only for the fields it names, which are not stored (RFC 9111 §5.2.2.4)",
        ]),
        ("within stale-while-revalidate", &[(CC, "max-age=60, stale-while-revalidate=30")], &[], 70, Reason::StaleWhileRevalidate, State::Stale, &[
            "decision: served stale from the store (ttl=-10) while a refresh runs: it is stale, within its window (RFC 5861 §3)",
            "stale-while-revalidate: 30 s past the lifetime, said by the answer: 20 s of it left (RFC 5861 §3)",
        ]),
        ("before it", &[(CC, "max-age=60, stale-while-revalidate=30")], &[], 50, Reason::Hit, State::Fresh, &[
            "stale-while-revalidate: 30 s past the lifetime, said by the answer: begins in 10 s (RFC 5861 §3)",
        ]),
        ("past it", &[(CC, "max-age=60, stale-while-revalidate=30")], &[], 95, Reason::Stale, State::Stale, &[
            "stale-while-revalidate: 30 s past the lifetime, said by the answer: over for 5 s (RFC 5861 §3)",
        ]),
        ("stale-if-error", &[(CC, "max-age=60, stale-if-error=30")], &[], 70, Reason::Stale, State::Stale, &[
            "decision: the app is asked anew: it is stale",
            "; should the app fail, it is served stale (RFC 9111 §4.2)",
            "stale-if-error: 30 s past the lifetime, said by the answer: 20 s of it left (RFC 5861 §4)",
        ]),
        ("age received", &[(CC, "max-age=60"), ("age", "7")], &[], 2, Reason::Hit, State::Fresh, &[
            "age: 9 s = 7 s at arrival + 2 s stored (RFC 9111 §4.2.3)",
            "at arrival: 7 s = Age 7 s + 0 s the app took; by its Date (Sun, 06 Nov 1994 08:49:37 GMT) 0 s (RFC 9111 §4.2.3)",
        ]),
        ("age by Date", &[(CC, "max-age=7200"), ("date", "Sun, 06 Nov 1994 07:49:37 GMT"), ("age", "7")], &[], 2, Reason::Hit, State::Fresh, &[
            "at arrival: 3600 s, its arrival minus its Date (Sun, 06 Nov 1994 07:49:37 GMT); its Age and the 0 s the app took gave no more (RFC 9111 §4.2.3)",
        ]),
        ("the request wants it younger", &[(CC, "max-age=60")], &[(CC, "max-age=5")], 6, Reason::RequestDirective, State::Fresh, &[
            "request: max-age=5: refuses an age of 6 s (RFC 9111 §5.2.1.1)",
        ]),
        ("a reload", &[(CC, "max-age=60")], &[(CC, "max-age=0")], 0, Reason::RequestDirective, State::Fresh, &[
            "request: max-age=0: a reload",
        ]),
        ("young enough", &[(CC, "max-age=60")], &[(CC, "max-age=7")], 6, Reason::Hit, State::Fresh, &[
            "request: max-age=7: takes an age of 6 s, as long as it is fresh (RFC 9111 §5.2.1.1)",
        ]),
        ("min-fresh refuses", &[(CC, "max-age=60")], &[(CC, "min-fresh=30")], 31, Reason::RequestDirective, State::Fresh, &[
            "request: min-fresh=30: refuses what is fresh for 29 s more (RFC 9111 §5.2.1.3)",
        ]),
        ("min-fresh takes", &[(CC, "max-age=60")], &[(CC, "min-fresh=30")], 30, Reason::Hit, State::Fresh, &[
            "request: min-fresh=30: takes what is fresh for 30 s more (RFC 9111 §5.2.1.3)",
        ]),
        ("max-stale allows", &[(CC, "max-age=60")], &[(CC, "max-stale=9")], 61, Reason::MaxStale, State::Stale, &[
            "decision: served from the store (ttl=-1): it is stale, and the request takes that (RFC 9111 §5.2.1.2)",
            "request: max-stale=9: allows this staleness (RFC 9111 §5.2.1.2)",
        ]),
        ("max-stale falls short", &[(CC, "max-age=60")], &[(CC, "max-stale=9")], 90, Reason::Stale, State::Stale, &[
            "request: max-stale=9: does not reach as far (RFC 9111 §5.2.1.2)",
        ]),
        ("request no-cache", &[(CC, "max-age=60")], &[("pragma", "no-cache")], 1, Reason::RequestDirective, State::Fresh, &[
            "request: no-cache: refuses whatever is not validated for it (RFC 9111 §5.2.1.4, §5.4)",
        ]),
        ("only-if-cached", &[(CC, "max-age=60")], &[(CC, "only-if-cached")], 61, Reason::OnlyIfCached, State::Stale, &[
            "decision: 504, without asking the app: the request says only-if-cached, and nothing can be served (RFC 9111 §5.2.1.7)",
            "request: only-if-cached: 504 rather than asking the app (RFC 9111 §5.2.1.7)",
        ]),
        ("request no-store", &[(CC, "max-age=60")], &[(CC, "no-store")], 1, Reason::Hit, State::Fresh, &[
            "request: no-store: the answer to it is not stored; what is stored may answer it (RFC 9111 §5.2.1.5)",
        ]),
        ("conditions met", &[(CC, "max-age=60"), ("etag", "\"a\"")], &[("if-none-match", "\"a\"")], 1, Reason::Hit, State::Fresh, &[
            "conditions: they are met by what is stored, so the answer is 304 (RFC 9111 §4.3.2)",
        ]),
        ("conditions not met", &[(CC, "max-age=60"), ("etag", "\"a\"")], &[("if-none-match", "\"b\"")], 1, Reason::Hit, State::Fresh, &[
            "conditions: they are not met by what is stored, so it is sent whole (RFC 9111 §4.3.2)",
        ]),
    ];
    for (name, stored, request, after, reason, state, expected) in rows {
        let found = explained(stored, &rfc(), request, *after);
        assert_eq!(found.reason, *reason, "{name}");
        assert_eq!(found.standings[0].state, *state, "{name}");
        let said = said(&found).join("\n");
        for expected in *expected {
            assert!(said.contains(*expected), "{name}: {expected:?} in\n{said}");
        }
    }
}

#[test]
fn what_a_rule_adds() {
    let shared = Policy {
        shared: true,
        ..ruled(30)
    };
    let windows = Policy {
        stale_while_revalidate: Some(secs(5)),
        ..ruled(30)
    };
    let over = Policy {
        cache_control: CacheControlMode::Override,
        ..ruled(30)
    };
    let despite = Policy {
        despite: Despite {
            no_cache: true,
            ..Despite::default()
        },
        ..ruled(30)
    };
    #[rustfmt::skip]
    let rows: &[(&str, &Policy, Lines, &str)] = &[
        ("ttl", &shared, &[], "lifetime: 30 s, the rule's ttl, as the answer states none (rule: ttl)"),
        ("the answer first", &shared, &[("cache-control", "max-age=7")], "lifetime: 7 s, from max-age"),
        ("override", &over, &[("cache-control", "max-age=7")], "lifetime: 30 s, the rule's ttl, whatever the answer says (rule: cache_control = \"override\")"),
        ("window", &windows, &[], "stale-while-revalidate: 5 s past the lifetime, said by the rule: begins in 29 s (RFC 5861 §3)"),
        ("no-cache lifted", &despite, &[("cache-control", "no-cache")], "no-cache: said by the answer, and lifted (rule: store_despite)"),
    ];
    for (name, policy, lines, expected) in rows {
        let said = said(&explained(lines, policy, &[], 1)).join("\n");
        assert!(said.contains(expected), "{name}: {expected:?} in\n{said}");
    }
}

#[test]
fn a_rule_changed_since_is_told_by_the_numbers() {
    let stored = store(200, &[], &ruled(30)).unwrap();
    let none = HeaderMap::new();
    let found = explain(&get(&none), &[&stored], Some(0), &ruled(60), later(1));
    let said = said(&found).join("\n");
    let expected = "lifetime: 30 s, as decided when it was stored; its fields and the rule would give 60 s today";
    assert!(said.contains(expected), "{said}");
}

#[test]
fn whom_it_may_be_shown_to() {
    let unkeyed = Identity {
        unkeyed_authorization: true,
        unkeyed_cookie: false,
    };
    let shared = Policy {
        shared: true,
        ..ruled(30)
    };
    #[rustfmt::skip]
    let rows: &[(&str, &Policy, Lines, Reason, &str)] = &[
        ("nobody says so", &ruled(30), &[], Reason::Identity, "does not say that it may be shared (promise I8, RFC 9111 §3.5)"),
        ("the rule", &shared, &[], Reason::Hit, "the rule shares its answers (rule: shared = true)"),
        ("the answer", &ruled(30), &[("cache-control", "public")], Reason::Hit, "says public or s-maxage, with a lifetime (RFC 9111 §3.5)"),
    ];
    for (name, policy, lines, reason, expected) in rows {
        let stored = store(200, lines, policy).unwrap();
        let fields = headers(&[("authorization", "Bearer secret")]);
        let asks = RequestHead {
            identity: unkeyed,
            ..get(&fields)
        };
        let found = explain(&asks, &[&stored], Some(0), policy, later(1));
        let said = said(&found).join("\n");
        assert_eq!(found.reason, *reason, "{name}");
        assert!(said.contains(expected), "{name}: {expected:?} in\n{said}");
        assert!(!said.contains("secret"), "{name}: {said}");
    }
}

#[test]
fn what_differs_is_named_and_no_credential_is_shown() {
    #[rustfmt::skip]
    let rows: &[(&str, &str, Lines, Lines, &str)] = &[
        ("language", "accept-language", &[("accept-language", "DE")], &[("accept-language", "en")],
            "no: Vary: accept-language: `de` when stored, `en` now (RFC 9111 §4.1)"),
        ("absent", "accept-language", &[], &[("accept-language", "en")], "absent when stored, `en` now"),
        ("gone", "accept-language", &[("accept-language", "de")], &[], "`de` when stored, absent now"),
        ("a hostile value", "user-agent", &[], &[("user-agent", "\u{9b}2J")], "`\\xc2\\x9b2J` now"),
        ("hashed", "authorization", &[("authorization", "secret-a")], &[("authorization", "secret-b")],
            "Vary: authorization: another value (values of this field are not shown)"),
        ("perhaps a credential", "x-key", &[("x-key", "secret-a")], &[("x-key", "secret-b")], "Vary: x-key: another value"),
        ("a credential gone", "x-key", &[("x-key", "secret-a")], &[], "Vary: x-key: present when stored, absent now"),
        ("a credential new", "x-key", &[], &[("x-key", "secret-b")], "Vary: x-key: absent when stored, present now"),
    ];
    for (name, vary, stored_for, asked_with, expected) in rows {
        let stored_for = headers(stored_for);
        let response = headers(&[("cache-control", "public, max-age=60"), ("vary", vary)]);
        let stored =
            crate::http_cache::storable(&get(&stored_for), &came(200, &response), &rfc()).unwrap();
        let mut asked = HeaderMap::new();
        for (field, value) in *asked_with {
            let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
            asked.append(*field, value);
        }
        let found = explain(&get(&asked), &[&stored], None, &rfc(), later(1));
        let said = said(&found).join("\n");
        assert_eq!(found.reason, Reason::VaryMiss, "{name}");
        assert_eq!(found.standings[0].state, State::Unselected, "{name}");
        assert!(said.contains(expected), "{name}: {expected:?} in\n{said}");
        assert!(!said.contains("secret"), "{name}: {said}");
    }
}

#[test]
fn host_and_spelling_select_too() {
    let stored = store(200, &[("cache-control", "max-age=60")], &rfc()).unwrap();
    let none = HeaderMap::new();
    let elsewhere = RequestHead {
        host: "other.example",
        form: "%61",
        ..get(&none)
    };
    let found = explain(&elsewhere, &[&stored], None, &rfc(), later(1));
    let said = said(&found).join("\n");
    for expected in [
        "it was stored for example.com, this request is for other.example",
        "spelled otherwise",
    ] {
        assert!(said.contains(expected), "{expected:?} in\n{said}");
    }
}

#[test]
fn an_older_one_that_is_selected_too_gives_way() {
    let stored = store(200, &[("cache-control", "max-age=60")], &rfc()).unwrap();
    let none = HeaderMap::new();
    let found = explain(&get(&none), &[&stored, &stored], Some(0), &rfc(), later(1));
    assert_eq!(found.standings[1].state, State::Unselected);
    let selected = line(&found.standings[1].statements[0]);
    assert!(selected.contains("a newer one"), "{selected}");
}

#[test]
fn nothing_stored() {
    let none = HeaderMap::new();
    let found = explain(&get(&none), &[], None, &rfc(), now());
    assert_eq!(found.reason, Reason::Miss);
    assert_eq!(
        said(&found),
        ["decision: the app is asked anew: nothing is stored under the key (RFC 9111 §4)"]
    );
}

#[test]
fn answers_that_would_not_be_stored() {
    let none = HeaderMap::new();
    #[rustfmt::skip]
    let rows: &[(&str, u16, Lines, &str)] = &[
        ("no-store", 200, &[("cache-control", "no-store")], "stored: no (no-store): the answer says no-store (RFC 9111 §5.2.2.5)"),
        ("private", 200, &[("cache-control", "private")], "(RFC 9111 §5.2.2.7)"),
        ("cookie", 200, &[("set-cookie", "a=secret")], "stored: no (set-cookie)"),
        ("vary", 200, &[("vary", "*")], "(RFC 9111 §4.1)"),
        ("partial", 206, &[], "(RFC 9111 §3.3)"),
        ("status", 500, &[], "stored: no (status)"),
        ("no freshness", 200, &[], "stored: no (no-freshness)"),
        ("stored", 200, &[("cache-control", "max-age=5")], "stored: yes, if its body is whole and not too large (RFC 9111 §3)"),
        ("its lifetime", 404, &[("cache-control", "max-age=5")], "lifetime: 5 s, from max-age"),
    ];
    for (name, status, lines, expected) in rows {
        let response = headers(lines);
        let response = came(*status, &response);
        let foreseen = foresee(&get(&none), &response, &rfc());
        let said: Vec<String> = foreseen.statements.iter().map(line).collect();
        let said = said.join("\n");
        assert!(said.contains(expected), "{name}: {expected:?} in\n{said}");
        assert!(!said.contains("secret"), "{name}: {said}");
    }
    let post = foresee(&request(&Method::POST, &none), &came(200, &none), &rfc());
    assert_eq!(post.verdict, Err(Reason::Method));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_verdict_is_what_reuse_decides(
        case in case(),
        other in case(),
        method in prop::sample::select(vec![Method::GET, Method::HEAD, Method::POST]),
        flags in any::<[bool; 3]>(),
        place in prop::option::of(0usize..3),
        wait in 0u64..200,
    ) {
        let mut variants: Vec<Stored> = [case.stored(), other.stored()].into_iter().flatten().collect();
        for stored in &mut variants {
            stored.must_revalidate ^= flags[0];
            stored.no_cache ^= flags[1];
            stored.shareable ^= flags[2];
        }
        let variants: Vec<&Stored> = variants.iter().collect();
        let asks = RequestHead { method: &method, ..case.request() };
        for now in [case.now, case.exchange().response_time + secs(wait)] {
            let found = explain(&asks, &variants, place, &case.policy, now);
            let chosen = place.and_then(|place| variants.get(place)).copied();
            let decided = reuse(&asks, chosen, !variants.is_empty(), &case.policy, now);
            prop_assert_eq!(found.verdict, decided);
            prop_assert_eq!(found.standings.len(), variants.len());
            // What is said of freshness is what was decided by.
            if let (Some(stored), Some(standing)) = (chosen, place.and_then(|place| found.standings.get(place))) {
                let fresh = standing.statements.iter().any(|said| said.topic == "fresh" && said.text.starts_with("yes"));
                prop_assert_eq!(fresh, stored.is_fresh(now));
                if found.reason == Reason::Hit {
                    prop_assert_eq!(standing.state, State::Fresh);
                }
            }
        }
    }

    #[test]
    fn what_would_be_stored_is_what_storable_decides(case in case()) {
        let foreseen = foresee(&case.request(), &case.exchange(), &case.policy);
        prop_assert_eq!(foreseen.verdict, case.stored());
    }

    /// The source that is named is the one that was asked: where it says the lifetime by itself, it
    /// says the one decided.
    #[test]
    fn the_source_named_gives_the_lifetime(case in case()) {
        if let Ok(stored) = case.stored() {
            let directives = ResponseDirectives::under(&stored.headers, &case.policy);
            let response = exchange(&stored);
            let lifetime = freshness::lifetime(&response, &directives, &case.policy);
            let source = Source::of(&response, &directives, &case.policy);
            if let Some(value) = source.value(&directives, &case.policy) {
                prop_assert_eq!(value, lifetime.unwrap_or_default(), "{:?}", source);
            }
            let read = match source {
                Source::Expires => Some("expires"),
                Source::Heuristic => Some("last-modified"),
                _ => None,
            };
            prop_assert!(read.is_none_or(|name| stored.headers.contains_key(name)));
        }
    }

    #[test]
    fn all_that_is_said_is_short_and_harmless(case in case(), other in case()) {
        let variants: Vec<Stored> = [case.stored(), other.stored()].into_iter().flatten().collect();
        let variants: Vec<&Stored> = variants.iter().collect();
        let found = explain(&other.request(), &variants, None, &case.policy, case.now);
        for line in said(&found) {
            prop_assert!(line.len() < 4096 && !line.contains(char::is_control), "{}", line);
        }
    }
}
