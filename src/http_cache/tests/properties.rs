//! What holds for every input.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use proptest::prelude::*;

use super::fixtures::{at, rfc, secs, store};
use crate::http_cache::cache_status::CacheStatus;
use crate::http_cache::directives::RequestDirectives;
use crate::http_cache::vary::Variation;
use crate::http_cache::{
    AppHeaders, CacheControlMode, Despite, Exchange, Identity, Policy, Reason, RequestHead, Reuse,
    Stored, invalidation, obstacles, reuse, storable, validation,
};

/// Values that mean something to a cache, broken ones, and bytes.
fn value() -> impl Strategy<Value = Vec<u8>> {
    let directive = prop_oneof![
        Just("max-age=60".to_owned()),
        Just("s-maxage=5".to_owned()),
        Just("public".to_owned()),
        Just("private=\"x\"".to_owned()),
        Just("no-cache".to_owned()),
        Just("no-cache=\"etag, x\"".to_owned()),
        Just("must-revalidate".to_owned()),
        Just("must-understand".to_owned()),
        Just("max-stale".to_owned()),
        Just("stale-while-revalidate=30".to_owned()),
        Just("stale-if-error=99999999999999999999".to_owned()),
        Just("\"".to_owned()),
        "[a-z-]{1,8}(=[\"0-9a-z\\\\]{0,6})?",
    ];
    let list = prop::collection::vec(directive, 0..5).prop_map(|all| all.join(", ").into_bytes());
    let date = prop_oneof![near(), (0u64..4_000_000_000).prop_map(at)]
        .prop_map(|time| httpdate::fmt_http_date(time).into_bytes());
    let bytes = prop::collection::vec(any::<u8>(), 0..24);
    prop_oneof![
        4 => list,
        2 => date,
        1 => Just(b"Fri, 31 Dec 9999 23:59:59 GMT".to_vec()),
        1 => "(W/)?\"[a-c,]{0,3}\"".prop_map(String::into_bytes),
        1 => "[0-9]{0,22}".prop_map(String::into_bytes),
        1 => "(http:)?(//[a-c:@.]{0,6})?[/a-c.?#%]{0,12}".prop_map(String::into_bytes),
        1 => Just(b"*".to_vec()),
        2 => bytes,
    ]
}

fn fields() -> impl Strategy<Value = HeaderMap> {
    let name = prop::sample::select(vec![
        "cache-control",
        "cache-control",
        "cache-control",
        "cdn-cache-control",
        "pragma",
        "age",
        "date",
        "expires",
        "last-modified",
        "etag",
        "vary",
        "set-cookie",
        "connection",
        "location",
        "content-location",
        "if-none-match",
        "if-modified-since",
        "range",
        "x",
        "accept-encoding",
    ]);
    prop::collection::vec((name, value()), 0..10).prop_map(|lines| {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                headers.append(HeaderName::from_static(name), value);
            }
        }
        headers
    })
}

/// Times so close together that ages, lifetimes and windows meet.
fn near() -> impl Strategy<Value = SystemTime> {
    (0u64..200).prop_map(|seconds| at(1_000_000_000 + seconds))
}

fn time() -> impl Strategy<Value = SystemTime> {
    prop_oneof![
        6 => near(),
        1 => (0u64..4_000_000_000).prop_map(at),
        1 => (0u64..1_000_000_000_000).prop_map(at),
        1 => (0u64..4_000_000_000).prop_map(|past| SystemTime::UNIX_EPOCH - secs(past)),
    ]
}

fn policy() -> impl Strategy<Value = Policy> {
    let window = || prop::option::of(prop_oneof![0u64..100, Just(u64::MAX)].prop_map(secs));
    let statuses = prop::option::of(Just(vec![StatusCode::OK, StatusCode::PARTIAL_CONTENT]));
    let flags = any::<[bool; 8]>();
    (flags, window(), statuses, window(), window(), any::<bool>()).prop_map(
        |(flags, ttl, statuses, stale_while_revalidate, stale_if_error, respect)| Policy {
            tag_fields: Vec::new(),
            error_ttl: Duration::MAX,
            app_headers: match flags[7] {
                true => AppHeaders::Ignore,
                false => AppHeaders::Respect,
            },
            variation: Variation::default(),
            cache_control: if respect {
                CacheControlMode::Respect
            } else {
                CacheControlMode::Override
            },
            ttl,
            statuses,
            despite: Despite {
                private: flags[0],
                no_store: flags[1],
                set_cookie: flags[2],
                no_cache: flags[3],
                must_revalidate: flags[5],
                proxy_revalidate: flags[6],
            },
            shared: flags[4],
            stale_while_revalidate,
            stale_if_error,
        },
    )
}

#[derive(Debug)]
pub(in crate::http_cache) struct Case {
    request: HeaderMap,
    response: HeaderMap,
    pub(in crate::http_cache) policy: Policy,
    identity: Identity,
    status: StatusCode,
    request_time: SystemTime,
    response_time: SystemTime,
    pub(in crate::http_cache) now: SystemTime,
}

impl Case {
    pub(in crate::http_cache) fn request(&self) -> RequestHead<'_> {
        RequestHead {
            method: &Method::GET,
            headers: &self.request,
            directives: RequestDirectives::of(&self.request),
            identity: self.identity,
            host: "h",
            form: "",
            variation: &self.policy.variation,
        }
    }

    pub(in crate::http_cache) fn exchange(&self) -> Exchange<'_> {
        Exchange {
            status: self.status,
            headers: &self.response,
            request_time: self.request_time,
            response_time: self.response_time,
            clock_lead: Duration::ZERO,
        }
    }

    pub(in crate::http_cache) fn stored(&self) -> Result<Stored, Reason> {
        storable(&self.request(), &self.exchange(), &self.policy)
    }
}

pub(in crate::http_cache) fn case() -> impl Strategy<Value = Case> {
    let identity = any::<(bool, bool)>();
    let status = prop_oneof![3 => Just(200u16), 1 => 100u16..1000];
    let times = (time(), time(), time());
    (fields(), fields(), policy(), identity, status, times).prop_map(
        |(request, response, policy, identity, status, times)| Case {
            request,
            response,
            policy,
            identity: Identity {
                unkeyed_authorization: identity.0,
                unkeyed_cookie: identity.1,
            },
            status: StatusCode::from_u16(status).unwrap(),
            request_time: times.0,
            response_time: times.1,
            now: times.2,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_input_panics(case in case(), other in fields()) {
        let (request, policy) = (case.request(), &case.policy);
        if let Ok(stored) = case.stored() {
            stored.keep_for();
            stored.selector.selects(&request);
            reuse(&request, Some(&stored), true, policy, case.now);
            validation::not_modified(&request, &stored);
            validation::add_conditions(&mut other.clone(), &stored);
            validation::not_modified_headers(&stored.headers);
            let not_modified = Exchange { headers: &other, ..case.exchange() };
            let fresh = validation::freshened(&stored, &request, &not_modified, policy);
            fresh.keep_for();
            let _ = validation::keepable(&request, &fresh, policy);
            validation::by_head(&stored, &request, &not_modified, policy);
            reuse(&request, Some(&fresh), false, policy, case.now);
        }
        reuse(&request, None, false, policy, case.now);
        invalidation::further_targets("http", "h", "/a/b?c", &other);
    }

    #[test]
    fn obstacles_begin_with_what_decides(case in case()) {
        let all = obstacles(&case.request(), &case.exchange(), &case.policy);
        match case.stored() {
            Err(reason) => prop_assert_eq!(all.first(), Some(&reason)),
            Ok(stored) if stored.is_partial() => {}
            Ok(stored) => {
                let none = HeaderMap::new();
                let next = RequestHead {
                    headers: &none,
                    directives: RequestDirectives::default(),
                    identity: Identity::COVERED,
                    ..case.request()
                };
                let decided = reuse(&next, Some(&stored), true, &case.policy, stored.response_time);
                let against = match decided {
                    Reuse::Serve { .. } => vec![],
                    Reuse::ServeAndRefresh { .. } => vec![Reason::Stale],
                    Reuse::Validate { reason, .. } | Reuse::Fetch(reason) => vec![reason],
                    other => panic!("{other:?}"),
                };
                prop_assert_eq!(all, against);
            }
        }
    }

    #[test]
    fn age_never_falls(case in case(), a in time(), b in time()) {
        if let Ok(stored) = case.stored() {
            // Before it came the clock was set back.
            let (earlier, later) = (a.min(b).max(stored.response_time), a.max(b).max(stored.response_time));
            prop_assert!(stored.age(earlier) <= stored.age(later));
            prop_assert!(stored.ttl(earlier) >= stored.ttl(later));
            prop_assert!(stored.age(a) >= stored.initial_age);
        }
    }

    #[test]
    fn no_store_is_never_stored(mut case in case(), odd in "[nN][oO]-[sS][tT][oO][rR][eE]") {
        // `must-understand` stands above it (RFC 9111 §5.2.2.3), and RFC 9213 fields in its place.
        let understood = case.response.get_all("cache-control").iter()
            .any(|line| line.as_bytes().windows(15).any(|part| part.eq_ignore_ascii_case(b"must-understand")));
        prop_assume!(!understood);
        case.policy.despite.no_store = false;
        case.policy.app_headers = AppHeaders::Respect;
        case.response.remove("cdn-cache-control");
        case.response.append("cache-control", HeaderValue::try_from(odd).unwrap());
        prop_assert!(case.stored().is_err());
    }

    #[test]
    fn private_is_never_stored(mut case in case()) {
        case.policy.despite.private = false;
        case.policy.app_headers = AppHeaders::Respect;
        case.response.remove("cdn-cache-control");
        case.response.append("cache-control", HeaderValue::from_static("private"));
        prop_assert!(case.stored().is_err());
    }

    #[test]
    fn what_is_served_is_fresh_or_allowed_stale(case in case(), wait in 0u64..200) {
        if let Ok(stored) = case.stored() {
            let now = case.response_time + secs(wait);
            match reuse(&case.request(), Some(&stored), false, &case.policy, now) {
                Reuse::Serve { reason: Reason::Hit, ttl, .. } => {
                    prop_assert!(stored.is_fresh(now) && !stored.no_cache && ttl >= 0);
                }
                Reuse::Serve { ttl, .. } | Reuse::ServeAndRefresh { ttl, .. } => {
                    prop_assert!(!stored.no_cache && !stored.must_revalidate && ttl <= 0);
                }
                _ => {}
            }
        }
    }

    #[test]
    fn whoever_is_not_covered_gets_only_what_is_shareable(case in case(), wait in 0u64..200) {
        if let Ok(stored) = case.stored() {
            let now = case.response_time + secs(wait);
            let found = reuse(&case.request(), Some(&stored), false, &case.policy, now);
            let served = matches!(found, Reuse::Serve { .. } | Reuse::ServeAndRefresh { .. });
            prop_assert!(
                !served || case.identity.covered() || stored.shareable || case.policy.shared
            );
        }
    }

    #[test]
    fn a_stored_response_answers_the_request_that_fetched_it(case in case()) {
        if let Ok(stored) = case.stored() {
            prop_assert!(stored.selector.selects(&case.request()));
        }
    }

    #[test]
    fn every_cache_status_parses(
        rule in prop::option::of(any::<String>()),
        key in prop::option::of(any::<String>()),
        ttl in prop::option::of(any::<i64>()),
        collapsed in any::<bool>(),
    ) {
        let status = CacheStatus {
            rule: rule.as_deref(),
            key: key.as_deref(),
            ttl,
            fwd_status: Some(StatusCode::OK),
            stored: Some(Err(Reason::NoStore)),
            collapsed,
            ..CacheStatus::of(Reason::Miss)
        };
        let header = status.to_header();
        prop_assert!(sfv::Parser::new(header.as_bytes()).parse::<sfv::List>().is_ok());
    }
}

#[test]
fn lifetimes_beyond_reason_do_not_overflow() {
    let policy = Policy {
        ttl: Some(Duration::MAX),
        stale_if_error: Some(Duration::MAX),
        ..rfc()
    };
    let stored = store(200, &[], &policy).unwrap();
    assert_eq!(stored.keep_for(), Duration::MAX);
    assert!(stored.is_fresh(at(1 << 40)));
}
