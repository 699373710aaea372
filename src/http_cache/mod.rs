//! RFC 9111 as pure decisions, in RFC order: values and `now` in, an answer with a [`Reason`] out.

pub mod cache_status;
pub mod directives;
pub mod explain;
mod fields;
pub mod forgotten;
pub mod freshness;
pub mod groups;
pub mod invalidation;
pub mod origin;
pub mod ranges;
pub mod reason;
pub mod recoding;
pub mod reuse;
pub mod secret_names;
pub mod storable;
pub mod tag_fields;
pub mod tokens;
pub mod validation;
pub mod vary;

pub use fields::remove;
pub use ranges::Part;
pub use reason::{Outcome, Reason, Source};
pub use reuse::{Reuse, reuse};
pub use storable::{Exchange, obstacles, storable};

use std::time::{Duration, SystemTime};

use http::header::{CACHE_CONTROL, EXPIRES};
use http::{HeaderMap, HeaderName, Method, StatusCode};

use directives::RequestDirectives;
use vary::Variation;

/// What a rule (or the defaults) says about storing and serving.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// Whether the response's own freshness or the rule's `ttl` goes first.
    pub cache_control: CacheControlMode,
    /// Whether what the response says of storing, freshness and stale serving counts.
    pub app_headers: AppHeaders,
    /// By which fields its responses vary.
    pub variation: Variation,
    /// The rule's lifetime; `None` leaves freshness to the response alone (`unmatched = "rfc9111"`).
    pub ttl: Option<Duration>,
    /// Final statuses that may be stored; `None`: what RFC 9111 §3 allows.
    pub statuses: Option<Vec<StatusCode>>,
    /// Which reasons not to store the rule lifts.
    pub despite: Despite,
    /// `shared = true`: the rule vouches that the answer is the same for everyone.
    pub shared: bool,
    /// Served stale this long past freshness while a refresh runs; a response's own directive wins.
    pub stale_while_revalidate: Option<Duration>,
    /// Served stale this long past freshness when the app fails; a response's own directive wins.
    pub stale_if_error: Option<Duration>,
    /// Fields of a response that name its tags.
    pub tag_fields: Vec<HeaderName>,
    /// The longest that an error which a client can provoke is fresh, if its status is not listed.
    pub error_ttl: Duration,
}

/// The `app_headers` setting of a rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AppHeaders {
    /// They count, but for what `store_despite` and `cache_control` lift.
    #[default]
    Respect,
    /// The framework says them of everything and does not mean them: only the rule counts. Who may share an
    /// answer is decided without them as well.
    Ignore,
}

/// The `cache_control` setting of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheControlMode {
    /// `ttl` serves where the response states no freshness.
    Respect,
    /// `ttl` wins over stated freshness; what forbids storing still forbids it.
    Override,
}

/// The `store_despite` list of a rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Despite {
    /// Store although the response says `private`.
    pub private: bool,
    /// Store although the response says `no-store`.
    pub no_store: bool,
    /// Store although the response sets a cookie, or hands over a token; these fields are left out of the copy.
    pub set_cookie: bool,
    /// Serve without validation although the response says `no-cache`.
    pub no_cache: bool,
    /// Serve stale although the response says `must-revalidate`.
    pub must_revalidate: bool,
    /// Serve stale although the response says `proxy-revalidate`, or `s-maxage`, which implies it.
    pub proxy_revalidate: bool,
}

impl Despite {
    /// Of what is lifted, the words of the config.
    pub fn words(self) -> Vec<&'static str> {
        let despite = [
            (self.private, "private"),
            (self.no_store, "no-store"),
            (self.set_cookie, "set-cookie"),
            (self.no_cache, "no-cache"),
            (self.must_revalidate, "must-revalidate"),
            (self.proxy_revalidate, "proxy-revalidate"),
        ];
        let lifted = despite.into_iter().filter(|(lifted, _)| *lifted);
        lifted.map(|(_, word)| word).collect()
    }

    /// Nothing that the response says forbids anything.
    pub const ALL: Despite = Despite {
        private: true,
        no_store: true,
        set_cookie: true,
        no_cache: true,
        must_revalidate: true,
        proxy_revalidate: true,
    };
}

/// The request, as far as RFC 9111 cares.
#[derive(Clone, Copy, Debug)]
pub struct RequestHead<'a> {
    /// The method as received.
    pub method: &'a Method,
    /// All fields as received, before hop-by-hop fields are removed.
    pub headers: &'a HeaderMap,
    /// What `headers` say by `Cache-Control`, or by `Pragma` in its place.
    pub directives: RequestDirectives,
    /// What the selected key carries of the requester's identity.
    pub identity: Identity,
    /// The host the request is for, lower-cased; empty when the rule says `any_host`.
    pub host: &'a str,
    /// How the request spelled the values in its key where the spelling is unusual; empty otherwise.
    pub form: &'a str,
    /// What the rule says of the fields by which its answers vary.
    pub variation: &'a Variation,
}

/// Whether a request that identifies a person is told apart by its key (promise I8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The request has `Authorization`, or a field that says who asks as it does, and the key lacks it.
    pub unkeyed_authorization: bool,
    /// The request has a cookie that may change the answer, and the key lacks it.
    pub unkeyed_cookie: bool,
}

impl Identity {
    /// Nothing about the requester that the key does not carry.
    pub const COVERED: Identity = Identity {
        unkeyed_authorization: false,
        unkeyed_cookie: false,
    };

    /// Whether the key tells this requester apart from every other.
    pub fn covered(self) -> bool {
        self == Identity::COVERED
    }
}

/// The shortest time that a stale response is kept for what may yet be made of it.
const LINGER: Duration = Duration::from_secs(60);

/// A stored response without its body: what decisions read.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    /// Which requests it answers.
    pub selector: vary::Selector,
    /// The final status.
    pub status: StatusCode,
    /// End-to-end fields as the app sent them, in order; `Age` removed (it is in `initial_age`),
    /// `Date` added if the app sent none.
    pub headers: HeaderMap,
    /// When the request that fetched it was sent (fleet time).
    pub request_time: SystemTime,
    /// When its head arrived (fleet time).
    pub response_time: SystemTime,
    /// `corrected_initial_age` of RFC 9111 §4.2.3.
    pub initial_age: Duration,
    /// How long it is fresh, counted from age zero (RFC 9111 §4.2.1).
    pub lifetime: Duration,
    /// May be served stale this long past `lifetime` while a refresh runs.
    pub stale_while_revalidate: Duration,
    /// May be served stale this long past `lifetime` when the app fails.
    pub stale_if_error: Duration,
    /// `must-revalidate`, `proxy-revalidate` or `s-maxage`: never served stale (RFC 9111 §5.2.2.2).
    pub must_revalidate: bool,
    /// `no-cache`: validated before each use (RFC 9111 §5.2.2.4).
    pub no_cache: bool,
    /// The response itself lets requests with unkeyed identity have it.
    pub shareable: bool,
    /// Which part of the representation the body is; `None`: it is the whole (RFC 9111 §3.3).
    pub part: Option<Part>,
    /// When it was purged softly (fleet time): it is stale since then, whatever its lifetime.
    pub softened: Option<SystemTime>,
}

/// How far the clocks of a fleet may be apart, or one be set back, without harm to what is stored.
pub const CLOCKS_APART: Duration = Duration::from_secs(5);

/// More than any lifetime.
const UNKNOWN_AGE: Duration = Duration::from_secs(1 << 31);

impl Stored {
    /// `current_age` of RFC 9111 §4.2.3.
    pub fn age(&self, now: SystemTime) -> Duration {
        // A clock that is set back makes nothing younger than it was when it came; by more than a little, nobody knows how
        // long ago that was.
        match now.duration_since(self.response_time) {
            Ok(resident) => self.initial_age.saturating_add(resident),
            Err(ahead) if ahead.duration() <= CLOCKS_APART => self.initial_age,
            Err(_) => self.initial_age.max(UNKNOWN_AGE),
        }
    }

    /// Ends it at `end`, also for those who would take it stale; the app may confirm it then.
    pub fn end_by(&mut self, end: SystemTime) {
        let left = end.duration_since(self.response_time).unwrap_or_default();
        self.lifetime = self.lifetime.min(self.initial_age.saturating_add(left));
        self.stale_while_revalidate = Duration::ZERO;
        self.stale_if_error = Duration::ZERO;
        self.must_revalidate = true;
    }

    /// How long after `response_time` it is of any use: fresh, servable stale, or worth validating. A soft purge
    /// makes it no longer and no shorter, since it does not reach what says so in the tiers.
    pub fn keep_for(&self) -> Duration {
        let asked_for = if self.can_be_renewed() {
            self.lifetime.clamp(LINGER, 60 * LINGER)
        } else if self.part.is_none()
            && self.speaks_of_freshness()
            && !self.must_revalidate
            && !self.no_cache
        {
            // For a request that takes a stale one (`max-stale`, §5.2.1.2).
            LINGER
        } else {
            // A rule's `ttl` ends when it says.
            Duration::ZERO
        };
        let stale = self.stale_while_revalidate.max(self.stale_if_error);
        let fresh = self.lifetime.saturating_sub(self.initial_age);
        fresh.saturating_add(stale.max(asked_for))
    }

    fn speaks_of_freshness(&self) -> bool {
        [CACHE_CONTROL, EXPIRES]
            .iter()
            .chain(&directives::TARGETS)
            .any(|name| self.headers.contains_key(name))
    }

    /// Whether it can answer anyone who does not ask for a stale response: fresh, or within a window.
    fn is_servable(&self) -> bool {
        let windows = self.stale_while_revalidate.max(self.stale_if_error);
        let excused = self.lifetime.saturating_add(windows);
        !self.no_cache && excused > self.initial_age
    }

    /// Whether some of the representation is missing.
    pub fn is_partial(&self) -> bool {
        self.part.is_some_and(|part| !part.is_all())
    }

    /// Whether what is stored can save a body when the app is asked again: with 304, or, if it is a
    /// part, with the rest of the same representation (RFC 9111 §3.4).
    pub(crate) fn can_be_renewed(&self) -> bool {
        if self.is_partial() {
            ranges::has_strong_validator(self)
        } else {
            self.has_validator()
        }
    }

    /// Whether a 304 would make it an answer to a request for all (RFC 9111 §4.3.3).
    pub fn can_be_validated(&self) -> bool {
        self.has_validator() && !self.is_partial()
    }

    /// Whether a conditional request can be made of it (RFC 9111 §4.3.1).
    pub fn has_validator(&self) -> bool {
        self.headers.contains_key(http::header::ETAG)
            || self.headers.contains_key(http::header::LAST_MODIFIED)
    }
}

#[cfg(test)]
mod tests;
