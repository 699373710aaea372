//! How long it is fresh, and what says so (RFC 9111 §4.2.1, RFC 9213).

use std::borrow::Cow;
use std::time::SystemTime;

use http::header::{DATE, EXPIRES, LAST_MODIFIED};
use http::{HeaderMap, HeaderName};

use super::Statement;
use super::words::{field, seconds};
use crate::http_cache::directives::{ResponseDirectives, TARGETS};
use crate::http_cache::{CacheControlMode, Exchange, Policy, Stored, freshness};

pub(super) fn statements(stored: &Stored, policy: &Policy, now: SystemTime) -> [Statement; 2] {
    [lifetime(stored, policy), freshness(stored, now)]
}

fn freshness(stored: &Stored, now: SystemTime) -> Statement {
    let (age, lifetime) = (stored.age(now), stored.lifetime);
    let text = if let Some(at) = stored.softened {
        let ago = seconds(now.duration_since(at).unwrap_or_default());
        let past = seconds(stored.staleness(now));
        format!("no, stale for {past}: it was purged softly {ago} ago")
    } else if stored.is_fresh(now) {
        let left = lifetime.saturating_sub(age);
        format!(
            "yes, for {} more: the lifetime exceeds the age",
            seconds(left)
        )
    } else {
        let past = seconds(stored.staleness(now));
        format!("no, stale for {past}: the age has reached the lifetime")
    };
    Statement::new("fresh", text, "RFC 9111 §4.2")
}

fn lifetime(stored: &Stored, policy: &Policy) -> Statement {
    let directives = ResponseDirectives::under(&stored.headers, policy);
    let response = exchange(stored);
    let today = freshness::lifetime(&response, &directives, policy).unwrap_or_default();
    if today != stored.lifetime {
        let text = format!(
            "{}, as decided when it was stored; its fields and the rule would give {} today",
            seconds(stored.lifetime),
            seconds(today)
        );
        return Statement::new("lifetime", text, "RFC 9111 §4.2.1");
    }
    let source = Source::of(&response, &directives, policy);
    let text = format!(
        "{}, {}",
        seconds(today),
        source.in_words(stored, &directives)
    );
    Statement::new("lifetime", text, source.clause(&directives))
}

/// The stored response as it came.
pub(super) fn exchange(stored: &Stored) -> Exchange<'_> {
    Exchange {
        status: stored.status,
        headers: &stored.headers,
        request_time: stored.request_time,
        response_time: stored.response_time,
        clock_lead: Default::default(),
    }
}

/// Where a lifetime comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Override,
    SMaxage,
    MaxAge,
    Expires,
    Ttl,
    Heuristic,
    Nothing,
}

impl Source {
    /// In the order in which [`freshness::lifetime`] asks.
    pub(super) fn of(
        response: &Exchange<'_>,
        directives: &ResponseDirectives,
        policy: &Policy,
    ) -> Source {
        let ruled =
            policy.ttl.is_some() && freshness::may_be_assigned(response.status, directives, policy);
        if ruled && policy.cache_control == CacheControlMode::Override {
            Source::Override
        } else if directives.s_maxage.is_some() {
            Source::SMaxage
        } else if directives.max_age.is_some() {
            Source::MaxAge
        } else if !directives.targeted && response.headers.contains_key(EXPIRES) {
            Source::Expires
        } else if ruled {
            Source::Ttl
        } else if freshness::lifetime(response, directives, policy).is_some() {
            Source::Heuristic
        } else {
            Source::Nothing
        }
    }

    /// The lifetime, where the source alone says it.
    #[cfg(test)]
    pub(super) fn value(
        self,
        directives: &ResponseDirectives,
        policy: &Policy,
    ) -> Option<std::time::Duration> {
        match self {
            Source::Override | Source::Ttl => policy.ttl,
            Source::SMaxage => directives.s_maxage,
            Source::MaxAge => directives.max_age,
            Source::Nothing => Some(std::time::Duration::ZERO),
            Source::Expires | Source::Heuristic => None,
        }
    }

    fn in_words(self, stored: &Stored, directives: &ResponseDirectives) -> String {
        let headers = &stored.headers;
        match self {
            Source::Override => "the rule's ttl, whatever the answer says".to_owned(),
            Source::Ttl => "the rule's ttl, as the answer states none".to_owned(),
            Source::SMaxage => format!("from s-maxage in {}", control_field(headers, directives)),
            Source::MaxAge => format!("from max-age in {}", control_field(headers, directives)),
            Source::Expires => format!(
                "from Expires ({}) minus Date ({})",
                field(headers, &EXPIRES),
                field(headers, &DATE)
            ),
            Source::Heuristic => format!(
                "guessed: a tenth of the time from Last-Modified ({}) to Date ({}), a day at most",
                field(headers, &LAST_MODIFIED),
                field(headers, &DATE)
            ),
            Source::Nothing => "as none is stated, and none may be guessed".to_owned(),
        }
    }

    fn clause(self, directives: &ResponseDirectives) -> Cow<'static, str> {
        let ResponseDirectives {
            targeted, ignored, ..
        } = *directives;
        let clause = match self {
            Source::Override if ignored => "rule: app_headers = \"ignore\"",
            Source::Override => "rule: cache_control = \"override\"",
            Source::Ttl => "rule: ttl",
            Source::SMaxage => "RFC 9111 §5.2.2.10",
            Source::MaxAge => "RFC 9111 §5.2.2.1",
            Source::Expires => "RFC 9111 §5.3",
            Source::Heuristic => "RFC 9111 §4.2.2",
            Source::Nothing => "RFC 9111 §4.2.1",
        };
        if targeted && matches!(self, Source::SMaxage | Source::MaxAge) {
            return format!("RFC 9213 §2.2, {clause}").into();
        }
        clause.into()
    }
}

/// The field whose directives are in force.
fn control_field(headers: &HeaderMap, directives: &ResponseDirectives) -> &'static str {
    let speaks = |name: &HeaderName| {
        let mut alone = HeaderMap::new();
        for line in headers.get_all(name) {
            alone.append(name.clone(), line.clone());
        }
        ResponseDirectives::of(&alone).targeted
    };
    match TARGETS
        .iter()
        .position(speaks)
        .filter(|_| directives.targeted)
    {
        Some(0) => "Pannier-Cache-Control (CDN-Cache-Control and Cache-Control give way)",
        Some(_) => "CDN-Cache-Control (Cache-Control gives way)",
        None => "Cache-Control",
    }
}
