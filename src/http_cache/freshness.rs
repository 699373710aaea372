//! Freshness lifetime and age (RFC 9111 §4.2).

use std::time::{Duration, SystemTime};

use http::header::{AGE, DATE, EXPIRES, LAST_MODIFIED};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::directives::{MAX_DELTA, Reach, ResponseDirectives, parse_delta};
use super::{CacheControlMode, Exchange, Policy, Reason, Stored};

/// The longest lifetime guessed from `Last-Modified`.
const MAX_HEURISTIC: Duration = Duration::from_secs(24 * 3600);

impl Stored {
    /// When the app made it, as far as it says (RFC 9110 §6.6.1).
    pub(crate) fn date(&self) -> SystemTime {
        date(&self.headers).unwrap_or(self.response_time)
    }

    /// Whether it is fresh (§4.2): its lifetime exceeds its age, and it was not purged softly.
    pub fn is_fresh(&self, now: SystemTime) -> bool {
        self.softened.is_none() && self.lifetime > self.age(now)
    }

    /// How long past its lifetime it is, or past the soft purge that ended it sooner; zero while fresh.
    pub fn staleness(&self, now: SystemTime) -> Duration {
        let past = self.age(now).saturating_sub(self.fresh_for());
        match self.softened {
            // The clock that the purge was stamped by may be a little ahead of this one.
            Some(_) => past.max(Duration::from_millis(1)),
            None => past,
        }
    }

    /// The age at which it ceases to be fresh: at its lifetime, or sooner if it was purged softly.
    pub(crate) fn fresh_for(&self) -> Duration {
        let softened = self.softened.map(|at| {
            let resident = at.duration_since(self.response_time).unwrap_or_default();
            self.initial_age.saturating_add(resident)
        });
        self.lifetime.min(softened.unwrap_or(Duration::MAX))
    }

    /// Ends its freshness at `at`, unless a soft purge has done so before.
    pub fn soften(&mut self, at: SystemTime) {
        self.softened = Some(self.softened.map_or(at, |before| before.min(at)));
    }

    /// Why it is not fresh, as far as that is its own doing or a soft purge's.
    pub(crate) fn why_stale(&self, now: SystemTime) -> Reason {
        match self.softened {
            Some(_) if self.lifetime > self.age(now) => Reason::SoftPurged,
            _ => Reason::Stale,
        }
    }

    /// Freshness left in whole seconds, negative when stale.
    pub fn ttl(&self, now: SystemTime) -> i64 {
        let left = self.fresh_for().saturating_sub(self.age(now));
        let past = self.staleness(now);
        // Both are rounded down in time: half a second past the end is −1, not 0.
        let past = past.as_secs() + u64::from(past.subsec_nanos() > 0);
        clamp(left.as_secs()) - clamp(past)
    }
}

/// How much longer a response that has just arrived says it is fresh; `None`: it does not say.
pub fn stated_rest(response: &Exchange<'_>) -> Option<Duration> {
    let directives = ResponseDirectives::of(response.headers);
    // §5.2.2.4, §5.2.2.5: each time it is to be asked for anew.
    if directives.no_store || directives.no_cache == Reach::Whole {
        return Some(Duration::ZERO);
    }
    let stated = stated(response, &directives)?;
    let age = age_at_arrival(response, date(response.headers));
    Some(stated.saturating_sub(age))
}

/// Whether the response itself lets everyone have it (§3.5): it says so, and that a shared cache may use it for some time
/// without asking. `public, max-age=0`, as frameworks have it with files for one person, and `public, no-cache` leave it to
/// the app who gets it, whatever lifetime a rule gives instead.
pub(super) fn permits_sharing(response: &Exchange<'_>, directives: &ResponseDirectives) -> bool {
    if !directives.name_everyone() {
        return false;
    }
    // What a rule lifts was said all the same.
    let own = ResponseDirectives::of(response.headers);
    !own.forbid_reuse() && stated(response, &own) != Some(Duration::ZERO)
}

fn clamp(seconds: u64) -> i64 {
    i64::try_from(seconds).unwrap_or(i64::MAX)
}

/// The freshness lifetime (§4.2.1) after the rule's word; `None`: neither stated nor to be guessed.
pub(super) fn lifetime(
    response: &Exchange<'_>,
    directives: &ResponseDirectives,
    policy: &Policy,
) -> Option<Duration> {
    let stated = stated(response, directives);
    let may_be_assigned = may_be_assigned(response.status, directives, policy);
    let ruled = policy.ttl.filter(|_| may_be_assigned);
    let first = match policy.cache_control {
        CacheControlMode::Respect => stated.or(ruled),
        CacheControlMode::Override => ruled.or(stated),
    };
    // §4.2.2: a rule's `ttl` leaves nothing to guess; a listed status does not license a guess.
    let may_be_guessed =
        policy.ttl.is_none() && (directives.public || is_heuristically_cacheable(response.status));
    let lifetime = first.or_else(|| heuristic(response).filter(|_| may_be_guessed));
    let longest = error_bound(response.status, policy);
    lifetime.map(|lifetime| lifetime.min(longest))
}

/// How long an answer with this status may be fresh at most. An error that a client can provoke (a request
/// that the app refuses, one too many) is kept for a moment only, whatever the app says, unless the rule
/// lists its status (reliability.md R8).
pub(super) fn error_bound(status: StatusCode, policy: &Policy) -> Duration {
    let is_listed = policy
        .statuses
        .as_ref()
        .is_some_and(|listed| listed.contains(&status));
    match status.as_u16() {
        400..=431 | 500..=504 if !is_listed => policy.error_ttl,
        _ => Duration::MAX,
    }
}

/// Whether a response without stated freshness may be given some, or be kept to be validated.
pub(super) fn may_be_assigned(
    status: StatusCode,
    directives: &ResponseDirectives,
    policy: &Policy,
) -> bool {
    match (&policy.statuses, policy.ttl) {
        (Some(statuses), _) => statuses.contains(&status),
        // An error outlives its request only where the rule lists it or the app states how long.
        (None, Some(_)) => matches!(status.as_u16(), 200 | 203 | 204 | 300 | 301 | 308),
        (None, None) => directives.public || is_heuristically_cacheable(status),
    }
}

/// RFC 9110 §15.1, without 206.
fn is_heuristically_cacheable(status: StatusCode) -> bool {
    matches!(
        status.as_u16(),
        200 | 203 | 204 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 501
    )
}

/// §4.2.1, in its order.
fn stated(response: &Exchange<'_>, directives: &ResponseDirectives) -> Option<Duration> {
    directives
        .s_maxage
        .or(directives.max_age)
        .or_else(|| expires(response).filter(|_| !directives.targeted && !directives.ignored))
}

/// §5.3: `Expires` counts from `Date`; what cannot be read, `0` above all, is in the past. Of several
/// the earliest counts (§4.2.1).
fn expires(response: &Exchange<'_>) -> Option<Duration> {
    let from = date(response.headers).unwrap_or(response.response_time);
    let lines = response.headers.get_all(EXPIRES).into_iter();
    let ends = lines.map(|line| {
        parsed(line)
            .and_then(|end| end.duration_since(from).ok())
            .unwrap_or_default()
    });
    ends.min().map(|lifetime| lifetime.min(MAX_DELTA))
}

/// §4.2.2: a tenth of the time since the last change.
fn heuristic(response: &Exchange<'_>) -> Option<Duration> {
    let modified = date_field(response.headers, &LAST_MODIFIED)?;
    let sent = date(response.headers).unwrap_or(response.response_time);
    let unchanged = sent.duration_since(modified).unwrap_or_default();
    Some((unchanged / 10).min(MAX_HEURISTIC))
}

/// `corrected_initial_age` (§4.2.3); `date` is what the response's `Date` says. A rule's lifetime that goes before
/// all that the response says counts from its receipt: neither its `Age` nor a slow clock of the app shortens it.
pub(super) fn initial_age(
    response: &Exchange<'_>,
    date: Option<SystemTime>,
    directives: &ResponseDirectives,
    policy: &Policy,
) -> Duration {
    if policy.cache_control == CacheControlMode::Override
        && policy.ttl.is_some()
        && may_be_assigned(response.status, directives, policy)
    {
        return Duration::ZERO;
    }
    age_at_arrival(response, date)
}

fn age_at_arrival(response: &Exchange<'_>, date: Option<SystemTime>) -> Duration {
    // By the one of both clocks that the app seems to go by.
    let apparent = date
        .and_then(|date| response.response_time.duration_since(date).ok())
        .map(|age| age.saturating_sub(response.clock_lead))
        // `Date` has whole seconds; a fraction of one is not age.
        .map(|age| Duration::from_secs(age.as_secs()))
        .unwrap_or_default();
    let delay = response
        .response_time
        .duration_since(response.request_time)
        .unwrap_or_default();
    apparent.max(age_value(response.headers).saturating_add(delay))
}

/// §5.1: the first member of `Age`; zero if it is no number.
fn age_value(headers: &HeaderMap) -> Duration {
    headers
        .get(AGE)
        .and_then(|line| line.as_bytes().split(|&byte| byte == b',').next())
        .and_then(|member| parse_delta(member.trim_ascii()))
        .unwrap_or_default()
}

/// `Date`, if it can be read.
pub(super) fn date(headers: &HeaderMap) -> Option<SystemTime> {
    date_field(headers, &DATE)
}

/// The first line of a date field, if it can be read.
pub(super) fn date_field(headers: &HeaderMap, name: &HeaderName) -> Option<SystemTime> {
    parsed(headers.get(name)?)
}

/// An HTTP date in any of its forms; §4.2: in any case too.
fn parsed(value: &HeaderValue) -> Option<SystemTime> {
    let text = value.to_str().ok()?;
    httpdate::parse_http_date(text)
        .or_else(|_| httpdate::parse_http_date(&in_usual_case(text)))
        .ok()
        .or_else(|| with_another_day(&in_usual_case(text)))
}

/// A date in asctime's form whose weekday is wrong, as by a program that counts them itself: the rest says all that
/// there is to know.
fn with_another_day(date: &str) -> Option<SystemTime> {
    const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
    let (day, rest) = date.split_once(' ').filter(|_| !date.contains(','))?;
    let with = |day: &&str| httpdate::parse_http_date(&format!("{day} {rest}")).ok();
    DAYS.iter().filter(|_| DAYS.contains(&day)).find_map(with)
}

/// Days and months with one capital, as they are defined; the zone in capitals.
fn in_usual_case(date: &str) -> String {
    let mut usual = date.to_ascii_lowercase();
    let mut after_letter = false;
    for at in 0..usual.len() {
        let is_letter = usual.as_bytes()[at].is_ascii_lowercase();
        if is_letter && !after_letter {
            usual[at..=at].make_ascii_uppercase();
        }
        after_letter = is_letter;
    }
    usual.replace("Gmt", "GMT")
}

#[cfg(test)]
mod tests;
