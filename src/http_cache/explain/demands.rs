//! What the request's own directives demand, and whether what is stored meets it (RFC 9111 §5.2.1).

use std::time::{Duration, SystemTime};

use super::Statement;
use super::words::seconds;
use crate::http_cache::directives::RequestDirectives;
use crate::http_cache::{RequestHead, Stored};

pub(super) fn statements(
    request: &RequestHead<'_>,
    chosen: Option<&Stored>,
    now: SystemTime,
) -> Vec<Statement> {
    let directives = request.directives;
    let mut statements = Vec::new();
    let mut say = |text: String, clause: &'static str| {
        statements.push(Statement::new("request", text, clause));
    };
    if let Some(limit) = directives.max_age {
        say(max_age(limit, directives, chosen, now), "RFC 9111 §5.2.1.1");
    }
    if let Some(limit) = directives.max_stale {
        say(max_stale(limit, chosen, now), "RFC 9111 §5.2.1.2");
    }
    if let Some(needed) = directives.min_fresh {
        say(min_fresh(needed, chosen, now), "RFC 9111 §5.2.1.3");
    }
    if directives.no_cache {
        let text = "no-cache: refuses whatever is not validated for it";
        say(text.to_owned(), "RFC 9111 §5.2.1.4, §5.4");
    }
    if directives.no_store {
        let text = "no-store: the answer to it is not stored; what is stored may answer it";
        say(text.to_owned(), "RFC 9111 §5.2.1.5");
    }
    if directives.only_if_cached {
        let text = "only-if-cached: 504 rather than asking the app";
        say(text.to_owned(), "RFC 9111 §5.2.1.7");
    }
    statements
}

fn max_age(
    limit: Duration,
    directives: RequestDirectives,
    chosen: Option<&Stored>,
    now: SystemTime,
) -> String {
    let says = format!("max-age={}", limit.as_secs());
    let Some(stored) = chosen else { return says };
    let age = seconds(stored.age(now));
    if limit.is_zero() {
        format!("{says}: a reload, which refuses whatever is not validated for it")
    } else if stored.age(now) > limit {
        format!("{says}: refuses an age of {age}")
    } else if directives.max_stale.is_none() {
        format!("{says}: takes an age of {age}, as long as it is fresh")
    } else {
        format!("{says}: takes an age of {age}")
    }
}

fn max_stale(limit: Duration, chosen: Option<&Stored>, now: SystemTime) -> String {
    let says = if limit == Duration::MAX {
        "max-stale".to_owned()
    } else {
        format!("max-stale={}", limit.as_secs())
    };
    let verdict = match chosen {
        None => return says,
        Some(stored) if stored.is_fresh(now) => "not needed, it is fresh",
        Some(stored) if stored.must_revalidate => "the answer forbids it",
        Some(stored) if stored.staleness(now) <= limit => "allows this staleness",
        Some(_) => "does not reach as far",
    };
    format!("{says}: {verdict}")
}

fn min_fresh(needed: Duration, chosen: Option<&Stored>, now: SystemTime) -> String {
    let says = format!("min-fresh={}", needed.as_secs());
    let Some(stored) = chosen else { return says };
    let left = stored.fresh_for().saturating_sub(stored.age(now));
    let verdict = if stored.fresh_for() < stored.age(now).saturating_add(needed) {
        "refuses"
    } else {
        "takes"
    };
    format!("{says}: {verdict} what is fresh for {} more", seconds(left))
}
