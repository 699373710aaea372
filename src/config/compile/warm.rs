//! `[jobs]` and the `[[warm]]` tables: what is fetched without a client.

use std::collections::BTreeSet;

use http::header::{
    CONNECTION, CONTENT_LENGTH, COOKIE, HOST, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE,
    IF_UNMODIFIED_SINCE, PROXY_AUTHORIZATION, RANGE, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderName, HeaderValue, Method};

use super::Input;
use super::names::check_name;
use super::rules::Written;
use super::settings::parse_priority;
use crate::agenda::{
    Each, EachError, GraphError, MAX_URLS, Source, Timing, TimingError, UrlError, Warm,
    check_graph, check_path, expand,
};
use crate::config::problem::{Position, Problems, did_you_mean};
use crate::config::read::Reader;
use crate::config::{Defaults, Jobs, Listen, Route, Target, Unmatched, Upstream};
use crate::routes::RouteMatcher;
use crate::routes::template::Source as TemplateSource;

/// The most jobs (promise I7).
const MAX_JOBS: usize = 64;

/// The name of the job of `[jobs] hot`.
const HOT: &str = "hot";

/// 1 January 2026: a pattern that has no time after that never has.
const SOME_TIME: u64 = 1_767_225_600_000;

const EXAMPLE_URL: &str = "write such as \"/api/settings\" or \"/api/projects/{1..50}\"";

/// Fields that are not a job's to send: of the connection, or such that the answer is no whole one.
const NOT_A_JOBS: [HeaderName; 14] = [
    CONNECTION,
    CONTENT_LENGTH,
    HOST,
    IF_MATCH,
    IF_MODIFIED_SINCE,
    IF_NONE_MATCH,
    IF_RANGE,
    IF_UNMODIFIED_SINCE,
    RANGE,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("pannier-refresh"),
];

/// A job, and where what the rules say of it stands.
pub(super) struct WrittenWarm {
    pub(super) warm: Warm,
    /// One URL of each that is written, where it stands, and by which key.
    samples: Vec<Sample>,
    names_host: bool,
}

struct Sample {
    url: String,
    position: Position,
    key: &'static str,
}

pub(super) fn read_jobs(reader: &mut Reader<'_>) -> Jobs {
    let hot = reader.count("hot").unwrap_or_default();
    Jobs {
        hot: usize::try_from(hot).unwrap_or_default(),
        ready_within: reader.duration("ready_within"),
    }
}

/// The jobs in file order.
pub(super) fn read_warms(
    input: &Input<'_>,
    listen: &Listen,
    upstream: Option<&Upstream>,
    defaults: &Defaults,
    problems: &mut Problems,
) -> Vec<WrittenWarm> {
    let tables = input.document.list("warm");
    let mut taken = BTreeSet::new();
    let mut warms = Vec::new();
    for (place, table) in tables.iter().enumerate() {
        let reader = &mut input.rule_reader("warm", table, problems);
        let name = read_name(reader, &mut taken);
        if place == MAX_JOBS {
            let what = format!("there are more than {MAX_JOBS} jobs");
            reader.reject("name", what, "put URLs of one schedule into one job");
        }
        let mut warm = read_warm(reader, defaults, name);
        warm.warm.origin = read_origin(reader, listen, upstream);
        warms.push(warm);
    }
    check_after(input, &warms, problems);
    warms
}

fn read_name(reader: &mut Reader<'_>, taken: &mut BTreeSet<String>) -> String {
    let name = reader.required("name", "write such as \"boards\"");
    let name = name.unwrap_or_default();
    if name == HOT {
        let what = "\"hot\" is the job of [jobs] hot";
        reader.reject("name", what, "write another name");
    } else if !name.is_empty() {
        check_name(reader, &name, "job", !taken.insert(name.clone()));
    }
    name
}

fn read_warm(reader: &mut Reader<'_>, defaults: &Defaults, name: String) -> WrittenWarm {
    let (source, samples) = read_source(reader);
    let timing = read_timing(reader, &name);
    let texts = reader.texts("after").into_iter();
    let warm = Warm {
        headers: read_headers(reader, defaults),
        origin: String::new(),
        on_start: reader.flag("on_start"),
        priority: parse_priority(&reader.word("priority")),
        retries: reader.count("retries").unwrap_or_default() as u32,
        timeout: reader.duration("timeout"),
        after: texts.map(|(_, text)| text).collect(),
        ready: reader.flag("ready"),
        name,
        source,
        timing,
    };
    if warm.ready && !warm.on_start {
        let what = "it does not run at the start, so that nothing could be waited for";
        reader.reject("ready", what, "add on_start = true, or leave this out");
    }
    if warm.waits_for_orders() {
        reader.warn(
            "name",
            "it runs only when it is asked for, by POST /jobs/NAME/run",
            "add on_start = true, every, cron or after, if it is to run by itself",
        );
    }
    WrittenWarm {
        names_host: reader.gives("host"),
        warm,
        samples,
    }
}

fn read_source(reader: &mut Reader<'_>) -> (Source, Vec<Sample>) {
    let (gives_urls, gives_from) = (reader.gives("urls"), reader.gives("from"));
    match (gives_urls, gives_from) {
        (true, true) => {
            let remedy = "keep one of the two, and make two jobs if both are meant";
            reader.reject("from", "urls is there as well", remedy);
        }
        (false, false) => reader.reject(
            "urls",
            "it is missing",
            format!("{EXAMPLE_URL}, or from and each"),
        ),
        _ => {}
    }
    if !gives_from && reader.text("each").is_some() {
        let what = "it makes URLs of what from answers, and there is no from";
        reader.reject("each", what, "write from, or leave it out");
    }
    match gives_from {
        true => read_from(reader),
        false => read_urls(reader),
    }
}

fn read_urls(reader: &mut Reader<'_>) -> (Source, Vec<Sample>) {
    let (mut urls, mut samples) = (Vec::new(), Vec::new());
    let written = reader.texts("urls");
    if reader.gives("urls") && written.is_empty() && reader.is_clean() {
        reader.reject(
            "urls",
            "it is empty, so that nothing would be fetched",
            EXAMPLE_URL,
        );
    }
    for (position, url) in written {
        match expand(&url, MAX_URLS.saturating_sub(urls.len())) {
            Ok(expanded) => {
                samples.extend(expanded.first().map(|url| Sample {
                    url: url.clone(),
                    position,
                    key: "urls",
                }));
                urls.extend(expanded);
            }
            Err(error) => {
                reader.reject_at(position, "urls", error.to_string(), error.remedy());
                if error == UrlError::TooMany {
                    break;
                }
            }
        }
    }
    let mut seen = BTreeSet::new();
    urls.retain(|url| seen.insert(url.clone()));
    (Source::Listed(urls), samples)
}

fn read_from(reader: &mut Reader<'_>) -> (Source, Vec<Sample>) {
    let list = reader.word("from");
    if let Err(error) = check_path(&list) {
        reader.reject("from", error.to_string(), error.remedy());
    }
    let remedy = "write such as \"/api/projects/{items[].id}/board\"";
    let text = reader.required("each", remedy).unwrap_or_default();
    let each = Each::parse(&text);
    let samples = each.iter().map(|each| Sample {
        url: each.sample(),
        position: reader.position("each"),
        key: "each",
    });
    let samples = samples.collect();
    match each {
        Ok(each) => (Source::From { list, each }, samples),
        Err(error) => {
            let remedy = match &error {
                EachError::Url(error) => error.remedy(),
                _ => remedy.to_owned(),
            };
            if !text.is_empty() {
                reader.reject("each", error.to_string(), remedy);
            }
            (Source::Listed(Vec::new()), samples)
        }
    }
}

fn read_timing(reader: &mut Reader<'_>, name: &str) -> Option<Timing> {
    let (every, cron) = (reader.maybe_duration("every"), reader.text("cron"));
    if every.is_some() && cron.is_some() {
        reader.reject("every", "cron is there as well", "keep one of the two");
    }
    if reader.gives("timezone") && cron.is_none() {
        let what = "without cron no clock is read";
        reader.reject("timezone", what, "leave it out, or write cron");
    }
    if let Some(every) = every {
        if every.as_millis() < 1000 {
            let what = "it is under a second";
            reader.reject(
                "every",
                what,
                "write \"1s\" or more; a longer ttl is the gentler way",
            );
        }
        return Some(Timing::every(every, name));
    }
    let zone = reader.word("timezone");
    match Timing::cron(&cron?, &zone, SOME_TIME) {
        Ok(timing) => Some(timing),
        Err(error) => {
            let (key, remedy) = match error {
                TimingError::Zone(_) => (
                    "timezone",
                    "write a name of the IANA database, such as \"Europe/Berlin\" or \"UTC\"",
                ),
                TimingError::Never(_) => ("cron", "write a day that there is"),
                TimingError::Cron { .. } => (
                    "cron",
                    "write minute, hour, day, month and weekday, such as \"*/30 7-19 * * mon-fri\"",
                ),
            };
            reader.reject(key, error.to_string(), remedy);
            None
        }
    }
}

fn read_headers(reader: &mut Reader<'_>, defaults: &Defaults) -> Vec<(HeaderName, HeaderValue)> {
    let mut headers = Vec::new();
    for (position, name, value) in reader.conditions("headers") {
        let parsed = name
            .parse::<HeaderName>()
            .ok()
            .zip(HeaderValue::from_str(&value).ok());
        let Some((name, value)) = parsed else {
            let what = format!("\"{name}: {value}\" is no header field");
            reader.reject_at(
                position,
                "headers",
                what,
                "write such as { accept-language = \"de\" }",
            );
            continue;
        };
        if [COOKIE, PROXY_AUTHORIZATION].contains(&name) || defaults.says_who_asks(&name) {
            let what = format!("{name} says who asks, and a job is nobody");
            let remedy =
                "leave it out: what a person sees is fetched by that person's request alone";
            reader.reject_at(position, "headers", what, remedy);
        } else if NOT_A_JOBS.contains(&name) {
            let remedy = match name == HOST {
                true => "write host = \"…\" in its place",
                false => "leave it out",
            };
            reader.reject_at(
                position,
                "headers",
                format!("{name} is not a job's to send"),
                remedy,
            );
        } else {
            headers.push((name, value));
        }
    }
    headers
}

/// Scheme and host that clients ask for: neither is ever connected to.
fn read_origin(reader: &mut Reader<'_>, listen: &Listen, upstream: Option<&Upstream>) -> String {
    let usual = if listen.tls.is_some() {
        "https"
    } else {
        "http"
    };
    let Some(host) = reader.text("host") else {
        let target = upstream.map(|upstream| &upstream.target);
        let host = match target {
            Some(Target::Http(host) | Target::Https(host)) => host.as_str(),
            _ => "localhost",
        };
        return format!("{usual}://{host}");
    };
    let (scheme, name) = host.split_once("://").unwrap_or((usual, &host));
    let authority = name.parse::<http::uri::Authority>();
    let is_host = authority
        .is_ok_and(|authority| !authority.as_str().contains('@') && !authority.host().is_empty());
    if !is_host || !["http", "https"].contains(&scheme) {
        let what = format!("\"{host}\" is no host");
        reader.reject(
            "host",
            what,
            "write such as \"shop.example\" or \"https://shop.example\"",
        );
    }
    format!("{scheme}://{}", name.to_ascii_lowercase())
}

fn check_after(input: &Input<'_>, warms: &[WrittenWarm], problems: &mut Problems) {
    let names = warms
        .iter()
        .map(|written| (written.warm.name.as_str(), written.warm.after.as_slice()));
    let names: Vec<_> = names.collect();
    for (place, error) in check_graph(&names) {
        let table = &input.document.list("warm")[place];
        let reader = &mut input.rule_reader("warm", table, problems);
        let all = names
            .iter()
            .map(|(name, _)| *name)
            .filter(|name| *name != names[place].0);
        let remedy = match &error {
            GraphError::Unknown(name) => match did_you_mean(name, all.clone()) {
                Some(near) => format!("did you mean \"{near}\"?"),
                None if names.len() == 1 => "leave it out: there is no other job".to_owned(),
                None => format!("the others are {}", all.collect::<Vec<_>>().join(", ")),
            },
            GraphError::Circle(_) => "leave one of them out".to_owned(),
        };
        reader.reject("after", error.to_string(), remedy);
    }
}

/// Whether what the jobs fetch would be stored, and for whom.
pub(super) fn compare_with_rules(
    warms: &[WrittenWarm],
    routes: &[Written<Route>],
    matcher: &RouteMatcher,
    defaults: &Defaults,
    problems: &mut Problems,
) {
    for warm in warms {
        for sample in &warm.samples {
            let path = sample.url.split('?').next().unwrap_or_default();
            let found = matcher.at(&Method::GET, path);
            let route = found.and_then(|found| routes.get(*found.value));
            compare(
                warm,
                sample,
                route.map(|route| &route.rule),
                defaults,
                problems,
            );
        }
    }
}

fn compare(
    warm: &WrittenWarm,
    sample: &Sample,
    route: Option<&Route>,
    defaults: &Defaults,
    problems: &mut Problems,
) {
    let (position, key) = (sample.position.clone(), format!("warm.{}", sample.key));
    let url = &sample.url;
    let Some(route) = route else {
        if defaults.unmatched == Unmatched::Pass {
            let what = format!("no route matches {url}, so that nothing of it would be stored");
            problems.warning(
                position,
                key,
                what,
                "add a [[route]] of that path, or leave it out",
            );
        }
        return;
    };
    let name = &route.name;
    if route.credentials.name_a_person() || route.settings.require.is_some() {
        let what = format!("{name} keeps an answer for each person, and a job is nobody");
        let remedy = "leave it out: what a person sees is fetched by that person's request alone";
        problems.error(position, key, what, remedy);
    } else if !warm.names_host && is_by_host(route) {
        let what = format!(
            "it would be stored for {}, and {name} keeps an answer for each host",
            warm.warm.origin
        );
        let remedy = "write host = \"…\" as clients ask for it, or a key without {host} and any_host = true in that route";
        problems.warning(position, key, what, remedy);
    }
}

/// Whether what is stored for one host answers no other.
fn is_by_host(route: &Route) -> bool {
    let is_keyed = route
        .key
        .sources()
        .any(|source| *source == TemplateSource::Host);
    is_keyed || !route.settings.any_host
}
