//! What each fuzz target does with its bytes, and what must hold. The test suite runs the same
//! functions over the seeds and random bytes (`tests/fuzzing.rs`).

use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use pannier::http_cache::directives::{MAX_DELTA, RequestDirectives, ResponseDirectives};
use pannier::http_cache::ranges::{self, Cut};
use pannier::http_cache::vary::{Selector, Variation};
use pannier::http_cache::{
    AppHeaders, CacheControlMode, Despite, Exchange, Identity, Policy, RequestHead, Reuse, Stored,
    invalidation, reuse, storable, validation,
};
use pannier::routes::template::Site;
use pannier::routes::{Pattern, Scope, Template};

/// A target.
type Target = fn(&[u8]);

/// Every target by its name, which is that of its folder in `seeds/`.
pub(crate) const ALL: [(&str, Target); 7] = [
    ("cache_control", cache_control),
    ("vary", vary),
    ("dates", dates),
    ("exchange", exchange),
    ("ranges", ranges),
    ("template", template),
    ("pattern", pattern),
];

/// Cache directives of requests and responses, targeted ones too: lines of fields.
pub(crate) fn cache_control(data: &[u8]) {
    let fields = fields(data);
    let response = ResponseDirectives::of(&fields);
    let request = RequestDirectives::of(&fields);
    for seconds in [
        response.max_age,
        response.s_maxage,
        request.max_age,
        request.min_fresh,
    ] {
        assert!(seconds.is_none_or(|seconds| seconds <= MAX_DELTA));
    }
    if !response.targeted {
        let says = |word: &str| {
            let lines = fields.get_all("cache-control").iter();
            lines
                .into_iter()
                .any(|line| line.as_bytes().eq_ignore_ascii_case(word.as_bytes()))
        };
        assert!(!says("no-store") || response.no_store);
        assert!(!says("must-revalidate") || response.forbid_stale());
    }
}

/// `Vary` and what it names: fields of a request, an empty line, fields of a response.
pub(crate) fn vary(data: &[u8]) {
    let (request, response) = heads(data);
    let (request, other) = (get(&request), get(&response));
    if let Some(selector) = Selector::of(&request, &response) {
        assert!(
            selector.selects(&request),
            "it answers the request that fetched it"
        );
        assert_eq!(
            selector.selects(&other),
            Selector::of(&other, &response).as_ref() == Some(&selector),
            "two requests that select the same have the same selector"
        );
    }
}

/// Dates and ages of a response: lines of fields.
pub(crate) fn dates(data: &[u8]) {
    let (none, response) = (HeaderMap::new(), fields(data));
    let Ok(stored) = storable(&get(&none), &answer(200, &response), &policy(data)) else {
        return;
    };
    let mut before = (Duration::ZERO, i64::MAX);
    for seconds in [0, 1, 60, 1 << 31, 1 << 40] {
        let now = moment() + Duration::from_secs(seconds);
        let (age, ttl) = (stored.age(now), stored.ttl(now));
        assert!(age >= before.0 && ttl <= before.1, "age never falls");
        assert_eq!(
            stored.is_fresh(now),
            stored.staleness(now).is_zero() && age < stored.lifetime
        );
        before = (age, ttl);
    }
    assert!(stored.headers.contains_key("date"));
}

/// Storing, serving, validating: fields of a request, an empty line, fields of a response.
pub(crate) fn exchange(data: &[u8]) {
    let (asked, answered) = heads(data);
    let (request, policy) = (get(&asked), policy(data));
    let status = 200 + data.get(1).copied().map_or(0, u16::from) * 2;
    reuse(&request, None, false, &policy, moment());
    invalidation::further_targets("http", "h", "/a/b?c", &answered);
    let Ok(stored) = storable(&request, &answer(status, &answered), &policy) else {
        return;
    };
    assert!(stored.selector.selects(&request));
    for seconds in [0, 59, 3600] {
        let now = moment() + Duration::from_secs(seconds);
        served(
            &stored,
            reuse(&request, Some(&stored), true, &policy, now),
            now,
        );
        validation::not_modified(&request, &stored);
    }
    validation::add_conditions(&mut asked.clone(), &stored);
    validation::not_modified_headers(&stored.headers);
    // The same fields as news of what is stored.
    let confirmed = validation::freshened(&stored, &request, &answer(304, &asked), &policy);
    let _ = validation::keepable(&request, &confirmed, &policy);
    confirmed.keep_for();
    validation::by_head(&stored, &request, &answer(200, &asked), &policy);
}

/// Cutting ranges and joining parts: fields of a request, an empty line, fields of a response, whose
/// body the same bytes are.
pub(crate) fn ranges(data: &[u8]) {
    let (asked, mut fresh) = heads(data);
    let request = get(&asked);
    let body = Bytes::copy_from_slice(&data[..data.len().min(64)]);
    fresh.insert("cache-control", HeaderValue::from_static("max-age=60"));
    for status in [200, 206] {
        let Ok(stored) = storable(&request, &answer(status, &fresh), &policy(&[])) else {
            continue;
        };
        let held = match stored.part {
            Some(part) if part.length() > body.len() as u64 => continue,
            Some(part) => body.slice(..part.length() as usize),
            None => body.clone(),
        };
        let first = stored.part.map_or(0, |part| part.first);
        let cut = ranges::cut(&request, &stored, held.len() as u64);
        if let Cut::One(range) = &cut {
            let (code, _, sent) = ranges::response(&cut, &stored, &held, "b");
            let (from, to) = (range.start - first, range.end - first);
            assert_eq!(code, StatusCode::PARTIAL_CONTENT);
            assert_eq!(sent, [held.slice(from as usize..to as usize)]);
        } else if !matches!(cut, Cut::Whole | Cut::Lacking) {
            let (_, _, sent) = ranges::response(&cut, &stored, &held, "b");
            assert!(
                sent.concat().len() <= held.len() + 100_000,
                "what is sent is bounded"
            );
        }
        if let Some(missing) = ranges::missing(&stored) {
            ranges::add_rest(&mut asked.clone(), &stored, &missing);
        }
        if let Some((joined, bytes)) = ranges::combined((&stored, &held), (&stored, &held)) {
            // A part that is all of it is a whole from then on.
            let part = stored.part.filter(|part| !part.is_all());
            assert_eq!((joined.part, &bytes), (part, &held), "joined with itself");
        }
    }
}

/// A key template and the key it renders: the template, a line end, path and query.
pub(crate) fn template(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (template, target) = text.split_once('\n').unwrap_or((&text, "/a"));
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    let headers = fields(data);
    let scope = Scope {
        host: "h",
        path,
        spelling: None,
        query,
        headers: &headers,
        params: &[("id", path)],
        claims: None,
        auth: None,
        body_digest: None,
        body: None,
        response: None,
        before: None,
    };
    for site in [Site::RouteKey, Site::TagWithBody, Site::Purge] {
        let Ok(template) = Template::parse(template, site, &["id".to_owned()]) else {
            continue;
        };
        let bound = template.bind(&scope);
        if let Ok(key) = template.render(&scope) {
            assert!(
                bound
                    .patterns
                    .iter()
                    .any(|pattern| pattern.matches(&key.text)),
                "a purge finds what the same values stored"
            );
        }
    }
}

/// A purge pattern and keys: the pattern, and a key on each line after it.
pub(crate) fn pattern(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut lines = text.lines();
    let glob = lines.next().unwrap_or_default();
    let pattern = Pattern::parse(glob);
    for key in lines.chain([glob]) {
        if pattern.matches(key) {
            assert!(key.starts_with(pattern.prefix()));
            assert!(pattern.exact().is_none_or(|exact| exact == key));
        }
        assert!(Pattern::literal(key).matches(key));
    }
}

/// A served stored response was fresh, or allowed stale.
fn served(stored: &Stored, decision: Reuse, now: SystemTime) {
    match decision {
        Reuse::Serve { ttl, .. } | Reuse::ServeAndRefresh { ttl, .. } => {
            assert!(!stored.no_cache);
            assert!(stored.is_fresh(now) || (!stored.must_revalidate && ttl <= 0));
        }
        _ => {}
    }
}

/// Lines `name: value`; what is no field is left out.
fn fields(data: &[u8]) -> HeaderMap {
    let mut fields = HeaderMap::new();
    for line in data.split(|&byte| byte == b'\n') {
        let Some(colon) = line.iter().position(|&byte| byte == b':') else {
            continue;
        };
        let name = HeaderName::from_bytes(line[..colon].trim_ascii());
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            fields.append(name, value);
        }
    }
    fields
}

/// The fields before and after the first empty line.
fn heads(data: &[u8]) -> (HeaderMap, HeaderMap) {
    let end = data.windows(2).position(|two| two == b"\n\n");
    let (first, second) = data.split_at(end.unwrap_or(data.len()));
    (fields(first), fields(second))
}

fn get(headers: &HeaderMap) -> RequestHead<'_> {
    static VARIATION: LazyLock<Variation> = LazyLock::new(Variation::default);
    RequestHead {
        method: &Method::GET,
        headers,
        directives: RequestDirectives::of(headers),
        identity: Identity::COVERED,
        host: "h",
        form: "",
        variation: &VARIATION,
    }
}

fn answer(status: u16, headers: &HeaderMap) -> Exchange<'_> {
    Exchange {
        status: StatusCode::from_u16(status).unwrap_or(StatusCode::OK),
        headers,
        request_time: moment(),
        response_time: moment(),
        clock_lead: Default::default(),
    }
}

/// 6 November 1994, 08:49:37.
fn moment() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777)
}

/// One of the rules that the first byte chooses among.
fn policy(data: &[u8]) -> Policy {
    let choice = data.first().copied().unwrap_or_default();
    let seconds = |bit: u8| (choice & bit != 0).then(|| Duration::from_secs(60));
    Policy {
        tag_fields: Vec::new(),
        error_ttl: Duration::from_secs(1),
        app_headers: match choice & 128 {
            0 => AppHeaders::Respect,
            _ => AppHeaders::Ignore,
        },
        variation: Variation::default(),
        cache_control: match choice & 1 {
            0 => CacheControlMode::Respect,
            _ => CacheControlMode::Override,
        },
        ttl: seconds(2),
        statuses: None,
        despite: Despite {
            no_cache: choice & 4 != 0,
            set_cookie: choice & 8 != 0,
            ..Despite::default()
        },
        shared: choice & 16 != 0,
        stale_while_revalidate: seconds(32),
        stale_if_error: seconds(64),
    }
}
