//! The settings that a route, its groups and the defaults have in common.

use std::time::Duration;

use http::{HeaderValue, StatusCode};

use super::redis::parse_outage;
use super::words::{names_cookies, read_header_names};
use crate::config::problem::Position;
use crate::config::read::Reader;
use crate::config::{
    Abandoned, Advice, ClientCacheControl, Coherence, EncodedSlash, Require, Settings,
};
use crate::entry::{Entry, Priority};
use crate::http_cache::vary::{CookieNames, Variation};
use crate::http_cache::{AppHeaders, CacheControlMode, Despite, Policy};
use crate::politeness::RefreshAhead;
use crate::rollout::{Compared, Mode, Pointer, Rate, Rollout};
use crate::routes::{IgnoreQuery, StoreCondition, StoreWhen};

const MODE: &str = "mode";
const ENABLED: &str = "enabled";

/// Those of the reader's table, and of what it inherits.
pub(super) fn read_settings(reader: &mut Reader<'_>) -> Settings {
    let ignore_cookies = read_cookie_names(reader);
    let (rollout, switched_by) = read_rollout(reader);
    Settings {
        policy: read_policy(reader, &ignore_cookies),
        priority: parse_priority(&reader.word("priority")),
        max_body: reader.length("max_body").unwrap_or_default(),
        compress: reader.flag("compress"),
        ignore_query: read_ignore_query(reader),
        ignore_cookies,
        require: match reader.text("require").as_deref() {
            Some("auth") => Some(Require::Auth),
            Some("jwt") => Some(Require::Jwt),
            _ => None,
        },
        any_host: reader.flag("any_host"),
        coherence: match reader.word("coherence").as_str() {
            "strict" => Coherence::Strict,
            _ => Coherence::Tracked,
        },
        outage: reader.text("outage").map(|word| parse_outage(&word)),
        max_fills: reader
            .count("max_fills")
            .and_then(|count| usize::try_from(count).ok()),
        abandoned: match reader.word("abandoned").as_str() {
            "end" => Abandoned::End,
            _ => Abandoned::Finish,
        },
        rollout,
        switched_by,
        audit: read_audit(reader),
        refresh_ahead: read_refresh_ahead(reader),
        compared: read_compared(reader),
        max_variants: reader
            .count("max_variants")
            .and_then(|count| u8::try_from(count).ok())
            .unwrap_or(Entry::DEFAULT_VARIANTS),
        client_cache_control: match reader.word("client_cache_control").as_str() {
            "ignore" => ClientCacheControl::Ignore,
            "token" => ClientCacheControl::Token,
            _ => ClientCacheControl::Obey,
        },
        downstream: read_downstream(reader),
        store_when: read_store_when(reader),
        strips_tag_fields: reader.flag("strip_tag_fields"),
        close_delimited: reader.flag("close_delimited"),
        encoded_slash: match reader.word("encoded_slash").as_str() {
            "data" => EncodedSlash::Data,
            _ => EncodedSlash::Pass,
        },
        acknowledge: read_acknowledged(reader),
        origins: reader.origins(),
    }
}

/// `mode` and `percent`, and by which key the mode is said.
fn read_rollout(reader: &mut Reader<'_>) -> (Rollout, &'static str) {
    let (mode, key) = mode_of(reader);
    if let Some((_, true)) = reader.nearest(MODE, ENABLED) {
        let remedy = "leave enabled out: mode = \"off\" says the same as enabled = false";
        reader.reject(ENABLED, "mode stands beside it and says it too", remedy);
    }
    let percent = reader
        .count("percent")
        .and_then(|count| u8::try_from(count).ok());
    let percent = percent.unwrap_or(Rollout::FULL.percent);
    if percent < Rollout::FULL.percent && mode == Mode::Off && reader.gives("percent") {
        let what = "it changes nothing where the mode is off";
        reader.warn(
            "percent",
            what,
            "write mode = \"on\" or \"shadow\" for so many keys",
        );
    }
    (Rollout { mode, percent }, key)
}

fn read_audit(reader: &mut Reader<'_>) -> Rate {
    let text = reader.word("audit");
    Rate::parse(&text).unwrap_or_else(|remedy| {
        reader.reject("audit", format!("\"{text}\" is no share"), remedy);
        Rate::NONE
    })
}

fn read_refresh_ahead(reader: &mut Reader<'_>) -> RefreshAhead {
    let text = reader.word("refresh_ahead");
    RefreshAhead::parse(&text).unwrap_or_else(|remedy| {
        reader.reject(
            "refresh_ahead",
            format!("\"{text}\" is no part of a life"),
            remedy,
        );
        RefreshAhead::NEVER
    })
}

/// What answers are compared by, in shadow and by audits.
fn read_compared(reader: &mut Reader<'_>) -> Compared {
    let mut ignored = Vec::new();
    for (position, text) in reader.all_texts("ignore_fields") {
        match Pointer::parse(&text) {
            Some(pointer) => ignored.push(pointer),
            None => {
                let what = format!("\"{text}\" is no JSON pointer");
                let remedy = "write such as \"/generatedAt\" or \"/items/*/views\"";
                reader.reject_at(position, "ignore_fields", what, remedy);
            }
        }
    }
    Compared {
        ignored,
        fields: read_header_names(reader, "compare_fields"),
    }
}

/// The mode, and the key that says it.
fn mode_of(reader: &mut Reader<'_>) -> (Mode, &'static str) {
    match reader.nearest(MODE, ENABLED) {
        Some((ENABLED, _)) if reader.flag(ENABLED) => (Mode::On, ENABLED),
        Some((ENABLED, _)) => (Mode::Off, ENABLED),
        _ => (Mode::parse(&reader.word(MODE)).unwrap_or_default(), MODE),
    }
}

fn read_downstream(reader: &mut Reader<'_>) -> Option<HeaderValue> {
    let text = reader.text("downstream")?;
    let value = HeaderValue::try_from(&text).ok();
    if value.is_none() {
        let what = format!("{text:?} is no value of a header field");
        reader.reject("downstream", what, "write such as \"private, max-age=0\"");
    }
    value
}

fn read_store_when(reader: &mut Reader<'_>) -> StoreWhen {
    let mut conditions = Vec::new();
    for (position, name, expected) in reader.conditions("store_when") {
        match StoreCondition::parse(&name, &expected) {
            Some(condition) => conditions.push(condition),
            None => reader.reject_at(
                position,
                "store_when",
                format!("\"{name}\" names nothing in the answer's JSON body"),
                "write such as \"response.error\" or \"response.data.id\"",
            ),
        }
    }
    StoreWhen(conditions)
}

fn read_policy(reader: &mut Reader<'_>, ignore_cookies: &[String]) -> Policy {
    let ttl = reader.duration("ttl");
    let cache_control = match reader.word("cache_control").as_str() {
        "override" => CacheControlMode::Override,
        _ => CacheControlMode::Respect,
    };
    let app_headers = match reader.word("app_headers").as_str() {
        "ignore" => AppHeaders::Ignore,
        _ => AppHeaders::Respect,
    };
    let despite = read_despite(reader);
    let is_ignored = app_headers == AppHeaders::Ignore;
    if is_ignored && reader.gives("cache_control") && cache_control == CacheControlMode::Respect {
        reader.warn(
            "cache_control",
            "\"respect\" changes nothing where app_headers = \"ignore\" holds",
            "leave it out, or write app_headers = \"respect\" beside it",
        );
    }
    if ttl == Duration::ZERO && mode_of(reader).0 != Mode::Off {
        judge_no_lifetime(reader, app_headers, cache_control);
    }
    let (cache_control, despite) = match app_headers {
        AppHeaders::Ignore => (CacheControlMode::Override, Despite::ALL),
        AppHeaders::Respect => (cache_control, despite),
    };
    Policy {
        app_headers,
        variation: read_variation(reader, app_headers, ignore_cookies),
        cache_control,
        ttl: Some(ttl),
        statuses: read_statuses(reader),
        despite,
        shared: reader.flag("shared"),
        stale_while_revalidate: reader.maybe_duration("stale_while_revalidate"),
        stale_if_error: reader.maybe_duration("stale_if_error"),
        error_ttl: reader.duration("error_ttl"),
        tag_fields: read_header_names(reader, "tag_fields"),
    }
}

/// Of a `ttl` of nothing: an error where nothing else counts, and otherwise nearly always a slip.
fn judge_no_lifetime(
    reader: &mut Reader<'_>,
    app_headers: AppHeaders,
    cache_control: CacheControlMode,
) {
    let remedy = "write how long it may be kept, such as \"30s\", or mode = \"off\" to pass the path to the app";
    let alone = match (app_headers, cache_control) {
        (AppHeaders::Ignore, _) => "app_headers = \"ignore\"",
        (_, CacheControlMode::Override) => "cache_control = \"override\"",
        _ => {
            let what = "an answer that states no lifetime itself is asked for each time";
            return reader.warn("ttl", what, remedy);
        }
    };
    let what = format!("with {alone} and no lifetime, nothing would be served");
    reader.reject("ttl", what, remedy);
}

fn read_statuses(reader: &mut Reader<'_>) -> Option<Vec<StatusCode>> {
    // A part of an answer (206) and an answer about another (304) do not stand on their own.
    let statuses = read_status_list(reader, "nothing could be stored")?;
    if let Some(bad) = statuses
        .iter()
        .find(|status| [206, 304].contains(&status.as_u16()))
    {
        let what = format!("{} cannot be stored", bad.as_str());
        reader.reject("statuses", what, "leave it out");
    }
    Some(statuses)
}

/// `statuses`; a list of none is an error, since then `nothing_else`.
pub(super) fn read_status_list(
    reader: &mut Reader<'_>,
    nothing_else: &str,
) -> Option<Vec<StatusCode>> {
    let counts = reader.counts("statuses")?;
    if counts.is_empty() {
        let remedy = "name one, such as [200], or leave the line out";
        reader.reject("statuses", nothing_else, remedy);
    }
    let status = |count: u64| StatusCode::from_u16(u16::try_from(count).ok()?).ok();
    Some(counts.into_iter().filter_map(status).collect())
}

fn read_despite(reader: &mut Reader<'_>) -> Despite {
    let words = reader.texts("store_despite");
    let lifted = |word: &str| words.iter().any(|(_, text)| text == word);
    Despite {
        private: lifted("private"),
        no_store: lifted("no-store"),
        set_cookie: lifted("set-cookie"),
        no_cache: lifted("no-cache"),
        must_revalidate: lifted("must-revalidate"),
        proxy_revalidate: lifted("proxy-revalidate"),
    }
}

fn read_variation(
    reader: &mut Reader<'_>,
    app_headers: AppHeaders,
    ignore_cookies: &[String],
) -> Variation {
    let texts = |texts: Vec<(Position, String)>| {
        let texts = texts.into_iter();
        texts.map(|(_, text)| text.into_boxed_str()).collect()
    };
    Variation {
        only: reader
            .gives("vary")
            .then(|| read_header_names(reader, "vary")),
        without_identity: app_headers == AppHeaders::Ignore,
        irrelevant: CookieNames::default().with(ignore_cookies.iter().cloned()),
        languages: texts(read_languages(reader)),
        encodings: texts(reader.texts("encodings")),
        by_origin: reader.word("cors") == "vary",
    }
}

fn read_languages(reader: &mut Reader<'_>) -> Vec<(Position, String)> {
    let languages = reader.texts("languages");
    for (position, tag) in &languages {
        // RFC 5646 §2.1, as far as it matters here.
        let is_subtag = |subtag: &str| {
            (1..=8).contains(&subtag.len())
                && subtag.bytes().all(|byte| byte.is_ascii_alphanumeric())
        };
        if !tag.split('-').all(is_subtag) {
            let what = format!("\"{tag}\" is not a language");
            let remedy = "write tags such as \"en\" or \"pt-BR\"";
            reader.reject_at(position.clone(), "languages", what, remedy);
        }
    }
    languages
}

fn read_ignore_query(reader: &mut Reader<'_>) -> IgnoreQuery {
    let mut names = Vec::new();
    for (position, name) in reader.all_texts("ignore_query") {
        // A star elsewhere than at the end would be taken for a letter of the name.
        if name.find('*').is_some_and(|star| star + 1 < name.len()) {
            let what = format!("\"{name}\" has a * that is not at its end");
            reader.reject_at(
                position,
                "ignore_query",
                what,
                "write whole names, \"utm_*\" or \"*\"",
            );
        }
        names.push(name);
    }
    IgnoreQuery::parse(&names)
}

/// `ignore_cookies`: names of cookies, with a `*` at the end at most.
fn read_cookie_names(reader: &mut Reader<'_>) -> Vec<String> {
    let mut names = Vec::new();
    for (place, name) in reader.all_texts("ignore_cookies") {
        if !names_cookies(&name) {
            let what = format!("\"{name}\" is not the name of a cookie");
            let remedy = "write whole names, \"exp_*\" or \"*\"";
            reader.reject_at(place, "ignore_cookies", what, remedy);
        }
        names.push(name);
    }
    names
}

/// `acknowledge`: which advice is known and meant.
pub(super) fn read_acknowledged(reader: &mut Reader<'_>) -> Vec<(Position, Advice)> {
    let words = reader.all_texts("acknowledge").into_iter();
    let advice = words.filter_map(|(place, word)| Some((place, Advice::parse(&word)?)));
    advice.collect()
}

/// What a checked word stands for.
pub(super) fn parse_priority(word: &str) -> Priority {
    Priority::ALL
        .into_iter()
        .find(|priority| priority.as_str() == word)
        .unwrap_or_default()
}
