use std::sync::Arc;
use std::time::SystemTime;

use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode};
use proptest::prelude::*;

use super::*;
use crate::config::{Config, Env};
use crate::http_cache::Exchange;
use crate::http_cache::Reason;
use crate::in_flight::InFlight;
use crate::live::Live;
use crate::metrics::Metrics;
use crate::proxy::request::admit;
use crate::proxy::request::context::RequestContext;
use crate::proxy::request::plan::{self, Plan};

type Fields<'a> = &'a [(&'a str, &'a str)];

type Words<'a> = &'a [&'a str];

const PRODUCT: &str =
    "[[route]]\nname = \"p\"\npath = \"/p/{id}\"\nkey = \"p:{path.id}\"\nttl = \"5m\"\n";

fn live(tables: &str) -> Arc<Live> {
    let text = format!("[upstream]\nurl = \"http://a\"\n{tables}");
    let loaded = Config::parse(&text, "test.toml", &Env::default());
    let config = loaded.unwrap_or_else(|errors| panic!("{errors}")).config;
    let live = Live::new(config, None, &Metrics::new(), &InFlight::new(0, 0));
    Arc::new(live.expect("a config to run"))
}

fn asked(live: &Arc<Live>, method: &str, target: &str, fields: Fields<'_>) -> RequestContext {
    let mut request = Request::builder()
        .method(method)
        .uri(target)
        .header("host", "a");
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let mut parts = request.body(()).expect("a request").into_parts().0;
    let admitted = admit::admit(&mut parts).unwrap_or_else(|refusal| panic!("{}", refusal.why));
    RequestContext::unsent(live.clone(), parts, admitted)
}

fn told(obstacles: &[Obstacle]) -> (Vec<&'static str>, Vec<String>) {
    let reasons = obstacles.iter().map(|obstacle| obstacle.reason.as_str());
    let edits = edits(obstacles).into_iter();
    let lines = edits.map(|edit| format!("{} {}", edit.table, edit.line));
    (reasons.collect(), lines.collect())
}

#[test]
fn all_of_a_request_is_named_with_the_lines_that_lift_it() {
    let keyed = "[[route]]\nname = \"k\"\npath = \"/k\"\nkey = \"k:{query.a}:{header.x}\"\n";
    let newly_off = "[[route]]\nname = \"o\"\npath = \"/o\"\nmode = \"off\"\n";
    let in_shadow = "[[route]]\nname = \"o\"\npath = \"/o\"\nmode = \"shadow\"\n";
    let in_part =
        "[[route]]\nname = \"o\"\npath = \"/o\"\nkey = \"user:1\"\nshared = true\npercent = 1\n";
    let off = "[[route]]\nname = \"o\"\npath = \"/o\"\nenabled = false\n";
    #[rustfmt::skip]
    let rows: &[(&str, &str, &str, Fields, Words, Words)] = &[
        ("nothing", PRODUCT, "GET /p/7", &[], &[], &[]),
        ("query", PRODUCT, "GET /p/7?ref=a&q=1&ref=b", &[], &["unkeyed-query"],
            &["[[route]] p ignore_query = [\"ref\", \"q\"]"]),
        ("cookies", PRODUCT, "GET /p/7", &[("cookie", "session=1; _ga=2; theme=dark")], &["identity"],
            &["[[route]] p key = \"p:{path.id}:{cookie.session}:{cookie.theme}\""]),
        ("credentials", PRODUCT, "GET /p/7", &[("authorization", "Bearer x")], &["identity"],
            &["[[route]] p key = \"p:{path.id}:{header.authorization}\""]),
        ("all at once", PRODUCT, "GET /p/7?ref=a",
            &[("cookie", "session=1"), ("x-original-url", "/q"), ("content-length", "3")],
            &["request-body", "unkeyed-query", "unkeyed-header", "identity"],
            &["[[route]] p ignore_query = [\"ref\"]",
              "[[route]] p key = \"p:{path.id}:{header.x-original-url|}:{cookie.session}\""]),
        ("two fields", PRODUCT, "GET /p/7", &[("x-original-url", "/q"), ("x-rewrite-url", "/r")], &["unkeyed-header"],
            &["[[route]] p key = \"p:{path.id}:{header.x-original-url|}:{header.x-rewrite-url|}\""]),
        ("missing", keyed, "GET /k", &[], &["missing-variable"],
            &["[[route]] k key = \"k:{query.a|none}:{header.x|none}\""]),
        ("switched off", off, "GET /o?x=1", &[], &["disabled"], &["[[route]] o enabled = true"]),
        ("off by the newer word", newly_off, "GET /o?x=1", &[], &["disabled"], &["[[route]] o mode = \"on\""]),
        ("in shadow", in_shadow, "GET /o", &[], &["shadow"], &["[[route]] o mode = \"on\""]),
        ("not in the share", in_part, "GET /o", &[], &["not-in-share"], &["[[route]] o percent = 100"]),
        ("no rule", PRODUCT, "GET /q", &[], &["no-rule"], &["[[route]] path = \"/q\""]),
        ("no tier", "[memory]\nmax = \"0B\"\n[[route]]\npath = \"/m\"\n", "GET /m", &[], &["budget-full"],
            &["[memory] max = \"64MiB\""]),
        ("a gateway", PRODUCT, "GET /p/7", &[("x-forwarded-host", "b")], &["unkeyed-header"],
            &["[listen] trusted_proxies = [\"127.0.0.1\"]"]),
        ("a slash", PRODUCT, "GET /p/a%2Fb", &[], &["ambiguous-path"], &["[[route]] p encoded_slash = \"data\""]),
        ("a reload", PRODUCT, "GET /p/7", &[("pragma", "no-cache")], &["request-directive"],
            &["[[route]] p client_cache_control = \"ignore\""]),
        ("an odd slash", PRODUCT, "GET /p/a%2F..", &[], &["ambiguous-path"], &[]),
        ("a write", PRODUCT, "POST /p/7?a=1", &[], &["method", "unkeyed-query"],
            &["[[route]] p ignore_query = [\"a\"]"]),
    ];
    for (name, tables, line, fields, reasons, lines) in rows {
        let live = live(tables);
        let (method, target) = line.split_once(' ').expect("a request line");
        let all = of_request(&asked(&live, method, target, fields));
        let (found, edits) = told(&all);
        assert_eq!(found, *reasons, "{name}");
        assert_eq!(edits, *lines, "{name}");
    }
}

#[test]
fn all_of_an_answer_is_named_with_the_lines_that_lift_it() {
    let ignore = "[defaults] app_headers = \"ignore\"";
    #[rustfmt::skip]
    let rows: &[(&str, u16, Fields, Words, Words)] = &[
        ("nothing", 200, &[], &[], &[]),
        ("Next.js", 200, &[("cache-control", "private, no-cache, no-store, max-age=0, must-revalidate")],
            &["no-store", "private", "no-freshness"], &[ignore]),
        ("Rails", 200, &[("cache-control", "max-age=0, private, must-revalidate"), ("etag", "W/\"x\"")],
            &["private", "stale"], &[ignore]),
        ("no-cache", 200, &[("cache-control", "no-cache, max-age=60"), ("etag", "\"x\"")], &["no-cache"], &[ignore]),
        ("a cookie", 200, &[("set-cookie", "sid=secret")], &["set-cookie"], &[ignore]),
        ("any", 200, &[("vary", "*")], &["vary-any"], &["[[route]] p vary = []"]),
        ("status", 404, &[], &["status"], &["[[route]] p statuses = [200, 404]"]),
        ("long", 200, &[("content-length", "2000000")], &["too-large"], &["[[route]] p max_body = \"2MiB\""]),
        ("endless", 200, &[("content-type", "text/event-stream")], &["event-stream"], &[]),
    ];
    for (name, status, fields, reasons, lines) in rows {
        let live = live(PRODUCT);
        let asked = asked(&live, "GET", "/p/7", &[]);
        let Plan::Cache(lookup) = plan::plan(&asked) else {
            panic!("{name}");
        };
        let mut headers = HeaderMap::new();
        for (name, value) in *fields {
            let value = HeaderValue::from_static(value);
            headers.append(HeaderName::from_static(name), value);
        }
        let response = Exchange {
            status: StatusCode::from_u16(*status).expect("a status"),
            headers: &headers,
            request_time: SystemTime::UNIX_EPOCH,
            response_time: SystemTime::UNIX_EPOCH,
            clock_lead: Default::default(),
        };
        let all = of_answer(&asked, &lookup, &response, None);
        let (found, edits) = told(&all);
        assert_eq!(found, *reasons, "{name}");
        assert_eq!(edits, *lines, "{name}");
        let shown = all.iter().map(|obstacle| obstacle.what.as_str());
        assert!(!shown.collect::<String>().contains("secret"), "{name}");
    }
}

/// Where no route matches, one will have to be written, and it has a lifetime.
#[test]
fn an_answer_without_a_route_is_judged_as_if_there_were_one() {
    let live = live(PRODUCT);
    let asked = asked(&live, "GET", "/q", &[]);
    let lookup = plan::look_up_anyway(&asked, None);
    for (cache_control, expected) in [("public", ""), ("max-age=0", "no-freshness")] {
        let mut headers = HeaderMap::new();
        headers.insert("cache-control", HeaderValue::from_static(cache_control));
        let response = Exchange {
            status: StatusCode::OK,
            headers: &headers,
            request_time: SystemTime::UNIX_EPOCH,
            response_time: SystemTime::UNIX_EPOCH,
            clock_lead: Default::default(),
        };
        let (found, _) = told(&of_answer(&asked, &lookup, &response, None));
        assert_eq!(found.join(" "), expected, "{cache_control}");
    }
}

#[test]
fn a_tag_that_cannot_be_made_is_named() {
    let tagged = "[[route]]\nname = \"p\"\npath = \"/p/{id}\"\nkey = \"p:{path.id}\"\nttl = \"5m\"\n\
                  tags = [\"p:{path.id}\", \"shop:{response.shop.id}\"]\n";
    let live = live(tagged);
    let asked = asked(&live, "GET", "/p/7", &[]);
    let Plan::Cache(lookup) = plan::plan(&asked) else {
        panic!("it is looked up");
    };
    let headers = HeaderMap::new();
    let response = Exchange {
        status: StatusCode::OK,
        headers: &headers,
        request_time: SystemTime::UNIX_EPOCH,
        response_time: SystemTime::UNIX_EPOCH,
        clock_lead: Default::default(),
    };
    for (body, expected) in [("{}", "missing-tag"), ("{\"shop\": {\"id\": 1}}", "")] {
        let body = serde_json::from_str(body).expect("JSON");
        let all = of_answer(&asked, &lookup, &response, Some(&body));
        let (found, _) = told(&all);
        assert_eq!(found.join(" "), expected, "{body}");
        let named = all
            .iter()
            .all(|obstacle| obstacle.what.contains("{response.shop.id}"));
        assert!(named, "{all:?}");
    }
}

proptest! {
    /// The words cannot disagree with the decision: what is told first is what decides.
    #[test]
    fn the_first_obstacle_decides(
        method in prop::sample::select(vec!["GET", "HEAD", "POST", "OPTIONS"]),
        target in prop::sample::select(vec![
            "/p/7", "/p/7?a=1", "/p/7?b=1&a=2", "/p/a%2Fb", "/p/7/", "/q", "/o", "/o?a=1", "/P/7", "/k", "/k?a=1",
        ]),
        fields in prop::sample::subsequence(vec![
            ("cookie", "session=1"), ("authorization", "Bearer x"), ("x-original-url", "/q"),
            ("content-length", "3"), ("upgrade", "websocket"), ("connection", "upgrade, x"), ("x", "1"),
        ], 0..7),
    ) {
        let tables = format!(
            "{PRODUCT}[[route]]\npath = \"/o\"\nenabled = false\n\
             [[route]]\npath = \"/k\"\nkey = \"k:{{query.a}}\"\n\
             [[route]]\npath = \"/p/me\"\nkey = \"me:{{cookie.session}}\"\n"
        );
        let live = live(&tables);
        let asked = asked(&live, method, target, &fields);
        let reasons: Vec<Reason> = of_request(&asked).iter().map(|obstacle| obstacle.reason).collect();
        let expected = match plan::plan(&asked) {
            Plan::Cache(lookup) if lookup.identity.covered() => None,
            Plan::Cache(_) => Some(Reason::Identity),
            Plan::Shadow(_) => Some(Reason::Shadow),
            Plan::Pass { reason, .. } => Some(reason),
            Plan::Write(_) => Some(Reason::Method),
            Plan::Purge => Some(Reason::PurgeMethod),
            Plan::Upgrade { .. } => Some(Reason::Upgrade),
        };
        prop_assert_eq!(reasons.first().copied(), expected);
    }
}

/// Whoever wonders why a token does not count is told whose keys it is checked by.
#[test]
fn the_keys_that_verify_no_token_are_named() {
    let secret = "[jwt]\nsecret = \"0123456789abcdef0123456789abcdef\"\n";
    let url = "[jwt]\njwks_url = \"https://login.example.com/keys\"\n";
    let route = "[[route]]\nname = \"m\"\npath = \"/m\"\nkey = \"m:{jwt.sub}\"\n";
    for (jwt, expected) in [
        (secret, "valid now by the keys from config (1)"),
        (url, "no key from https://login.example.com/keys is here"),
    ] {
        let live = live(&format!("{jwt}{route}"));
        let fields = [("authorization", "Bearer a.b.c")];
        let context = asked(&live, "GET", "/m", &fields);
        let obstacles = of_request(&context);
        let missing = obstacles.first().expect("the key lacks its claim");
        assert_eq!(missing.reason, Reason::MissingVariable);
        assert!(missing.what.contains(expected), "{}", missing.what);
    }
}
