use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use super::*;
use crate::config::{Config, Env};
use crate::entry::{Entry, Priority, Variant};
use crate::http_cache::Stored;
use crate::http_cache::directives::RequestDirectives;
use crate::http_cache::vary::Selector;
use crate::in_flight::InFlight;
use crate::metrics::Metrics;
use crate::proxy::request::admit::Admitted;
use crate::proxy::request::plan::Lookup;
use crate::proxy::request::present::Present;
use crate::store::{Holding, Inspection};

const RULES: &str = "[upstream]\nurl = \"http://a\"\n[[route]]\nname = \"board\"\npath = \"/board\"\n\
                     key = \"board:{query.id}\"\nttl = \"5m\"\n";

pub(super) fn live(toml: &str) -> Arc<Live> {
    let loaded = Config::parse(toml, "test.toml", &Env::default());
    let config = loaded.unwrap_or_else(|errors| panic!("{errors}")).config;
    Arc::new(
        Live::new(config, None, &Metrics::new(), &InFlight::new(0, 0)).expect("a config to run"),
    )
}

fn get(live: &Arc<Live>, target: &str) -> RequestContext {
    let wanted = Wanted {
        method: "GET".to_owned(),
        target: target.to_owned(),
        headers: vec![("host".to_owned(), "a".to_owned())],
        body: None,
    };
    RequestContext::unsent(
        live.clone(),
        wanted.parts().expect("a head"),
        Admitted {
            directives: RequestDirectives::default(),
            host: "a".to_owned(),
            present: Present::default(),
        },
    )
}

fn lookup(asked: &RequestContext) -> Lookup {
    match plan::plan(asked) {
        Plan::Cache(lookup) => lookup,
        other => panic!("{other:?}"),
    }
}

/// A response stored for `lookup`, so many seconds before [`now`], fresh for a minute.
fn entry(lookup: &Lookup, ago: u64) -> Holding {
    let came = now() - Duration::from_secs(ago);
    let stored = Stored {
        selector: Selector {
            host: lookup.selector.as_str().into(),
            ..Selector::default()
        },
        status: StatusCode::OK,
        part: None,
        softened: None,
        headers: HeaderMap::new(),
        request_time: came,
        response_time: came,
        initial_age: Duration::ZERO,
        lifetime: Duration::from_secs(60),
        stale_while_revalidate: Duration::ZERO,
        stale_if_error: Duration::ZERO,
        must_revalidate: false,
        no_cache: false,
        shareable: false,
    };
    let variant = Variant {
        stored,
        body: Bytes::from_static(b"secret body").into(),
        tags: Vec::new(),
        priority: Priority::Medium,
        rule: "board".into(),
        max_variants: Entry::DEFAULT_VARIANTS,
        compress_over: usize::MAX,
    };
    Holding::Entry(Arc::new(Entry {
        variants: vec![Arc::new(variant)],
    }))
}

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000)
}

#[test]
fn the_tier_that_decides_is_the_one_a_request_would_be_served_from() {
    let live = live(RULES);
    let asked = get(&live, "/board?id=1");
    let lookup = lookup(&asked);
    let (fresh, fresher, stale) = (entry(&lookup, 9), entry(&lookup, 1), entry(&lookup, 99));
    #[rustfmt::skip]
    let rows = [
        ("neither", Holding::Nothing, Holding::Nothing, "miss", None),
        ("memory", fresh.clone(), Holding::Nothing, "hit", Some((true, false))),
        ("memory, though Redis has a newer one", fresh.clone(), fresher.clone(), "hit", Some((true, false))),
        ("both the same", fresh.clone(), fresh.clone(), "hit", Some((true, true))),
        ("Redis, where memory is stale", stale.clone(), fresh.clone(), "hit", Some((false, true))),
        ("memory's stale one, where Redis is away", stale.clone(), Holding::Unreachable, "stale", Some((true, false))),
        ("Redis, where memory is not looked into", Holding::Unused, fresh.clone(), "hit", Some((false, true))),
        ("nothing that a purge covers", Holding::Nothing, Holding::Purged, "miss", None),
    ];
    for (name, memory, redis, reason, held_in) in rows {
        let found = Inspection {
            memory,
            redis,
            now: now(),
        };
        let held = HeldAccount::of(&asked, &lookup, &found);
        assert_eq!(held.reason, reason, "{name}");
        let variant = held.variants.first();
        let found = variant.map(|variant| (variant.in_memory, variant.in_redis));
        assert_eq!(found, held_in, "{name}");
    }
}

#[test]
fn an_account_survives_its_journey_without_the_body() {
    let live = live(RULES);
    let asked = get(&live, "/board?id=1");
    let lookup = lookup(&asked);
    let found = Inspection {
        memory: entry(&lookup, 9),
        redis: Holding::Absent,
        now: now(),
    };
    let account = Account {
        plan: Planned::of(&asked, &Plan::Cache(lookup.clone())),
        in_the_way: obstacles::of_request(&get(&live, "/board?x=1"))
            .iter()
            .map(Obstacle::tell)
            .collect(),
        held: Some(HeldAccount::of(&asked, &lookup, &found)),
    };
    let json = serde_json::to_string(&account).expect("JSON");
    assert!(!json.contains("secret"), "{json}");
    let read: Account = serde_json::from_str(&json).expect("what was written");
    assert_eq!(read, account);
}

#[test]
fn another_config_shows() {
    let here = live(RULES);
    #[rustfmt::skip]
    let rows: &[(&str, &str, &str, &[&str])] = &[
        ("the same", "5m", "5m", &[]),
        ("ttl", "5m", "1m", &["ttl"]),
        ("key", "board:", "b:", &["key"]),
        ("name", "\"board\"", "\"boards\"", &["rule"]),
        ("path", "\"/board\"", "\"/boards\"", &["rule", "key", "selects", "reason"]),
        ("a further setting", "ttl", "shared = true\nttl", &["shared"]),
    ];
    for (name, old, new, expected) in rows {
        let there = live(&RULES.replace(old, new));
        let planned = |live| {
            let asked = get(live, "/board?id=1");
            Planned::of(&asked, &plan::plan(&asked))
        };
        let (here, there) = (planned(&here), planned(&there));
        let differences = here.differences(&there);
        let named: Vec<&str> = differences.iter().map(|(what, ..)| *what).collect();
        let named: Vec<&str> = match named.contains(&"reason") {
            true => named.into_iter().take(4).collect(),
            false => named,
        };
        assert_eq!(named, *expected, "{name}");
    }
}

#[test]
fn requests_that_are_none_are_told_why() {
    let live = live(RULES);
    #[rustfmt::skip]
    let rows = [
        ("no JSON", "nonsense", "expected"),
        ("unknown key", r#"{"method":"GET","target":"/","headers":[],"x":1}"#, "unknown field"),
        ("method", r#"{"method":"G T","target":"/","headers":[]}"#, "not a method"),
        ("target", r#"{"method":"GET","target":"/ x","headers":[]}"#, "target"),
        ("field name", r#"{"method":"GET","target":"/","headers":[["a b","c"]]}"#, "not a field name"),
        ("field value", r#"{"method":"GET","target":"/","headers":[["a","secret\n"]]}"#, "the value of a is not"),
        ("no host", r#"{"method":"GET","target":"/","headers":[]}"#, "Host is missing"),
        ("CONNECT", r#"{"method":"CONNECT","target":"a:1","headers":[["host","a"]]}"#, "CONNECT"),
    ];
    for (name, body, expected) in rows {
        match parse(body.as_bytes(), live.clone()) {
            Err(Refusal::Malformed(why)) => {
                assert!(why.contains(expected), "{name}: {why}");
                assert!(!why.contains("secret"), "{name}: {why}");
            }
            other => panic!("{name}: {other:?}"),
        }
    }
    let body = r#"{"method":"GET","target":"/board?id=1","headers":[["Host","A"]]}"#;
    assert_eq!(parse(body.as_bytes(), live).expect("a head").host, "a");
}

/// What is stored for one host and scheme is not for another.
#[test]
fn a_whole_url_says_its_host_and_scheme() {
    let live = live(RULES);
    for (target, headers, host, scheme) in [
        ("http://a:81/board?id=1", "[]", "a:81", "http"),
        ("https://a/board?id=1", "[]", "a", "https"),
        ("https://a/board?id=1", r#"[["host","b"]]"#, "b", "https"),
        ("/board?id=1", r#"[["host","b"]]"#, "b", "http"),
    ] {
        let body = format!(r#"{{"method":"GET","target":"{target}","headers":{headers}}}"#);
        let asked = parse(body.as_bytes(), live.clone()).expect("a request");
        assert_eq!((&*asked.host, asked.scheme()), (host, scheme), "{target}");
        assert_eq!(lookup(&asked).key.text, "board:1", "{target}");
    }
}
