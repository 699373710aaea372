//! `Cache-Control` as values (RFC 9111 §5.2, RFC 5861, RFC 8246, RFC 9213).
//!
//! Parsing never fails. A directive that restricts counts even when its syntax is odd, one that
//! permits counts only when it is right, and freshness that cannot be read counts as zero
//! (§4.2.1: "considered stale").

mod members;
mod targeted;

use std::time::Duration;

use http::header::{CACHE_CONTROL, PRAGMA};
use http::{HeaderMap, HeaderName};

use super::{AppHeaders, Despite, Policy};
use members::{Member, Room, lowered, members};

pub use targeted::TARGETS;

/// The largest delta-seconds taken (RFC 9111 §1.2.2): 2³¹ seconds.
pub const MAX_DELTA: Duration = Duration::from_secs(1 << 31);

/// What `no-cache` or `private` applies to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Reach {
    /// The directive is absent.
    #[default]
    Nothing,
    /// Qualified: only the named fields (RFC 9111 §5.2.2.4, §5.2.2.7).
    Fields(Vec<HeaderName>),
    /// The whole response.
    Whole,
}

/// The directives of a response that concern a shared cache.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResponseDirectives {
    /// They come from a targeted field (RFC 9213), so that `Expires` says nothing.
    pub targeted: bool,
    /// `max-age` (§5.2.2.1); zero when invalid.
    pub max_age: Option<Duration>,
    /// `s-maxage` (§5.2.2.10); zero when invalid.
    pub s_maxage: Option<Duration>,
    /// `must-revalidate` (§5.2.2.2).
    pub must_revalidate: bool,
    /// `must-understand` (§5.2.2.3).
    pub must_understand: bool,
    /// `no-cache` (§5.2.2.4).
    pub no_cache: Reach,
    /// `no-store` (§5.2.2.5).
    pub no_store: bool,
    /// `private` (§5.2.2.7).
    pub private: Reach,
    /// `proxy-revalidate` (§5.2.2.8).
    pub proxy_revalidate: bool,
    /// `public` (§5.2.2.9).
    pub public: bool,
    /// `immutable` (RFC 8246).
    pub immutable: bool,
    /// `stale-while-revalidate` (RFC 5861 §3); zero when invalid.
    pub stale_while_revalidate: Option<Duration>,
    /// `stale-if-error` (RFC 5861 §4); zero when invalid.
    pub stale_if_error: Option<Duration>,
    /// The rule ignores all that the response says; `Expires` too says nothing.
    pub ignored: bool,
    s_maxage_is_valid: bool,
    s_maxage_allows_stale: bool,
}

impl ResponseDirectives {
    /// The directives in force for this cache: those of the first targeted field that is valid and
    /// not empty (RFC 9213 §2.2), else those of every `Cache-Control` line.
    pub fn of(headers: &HeaderMap) -> ResponseDirectives {
        if let Some(directives) = targeted::directives(headers) {
            return directives;
        }
        let mut directives = ResponseDirectives::default();
        for member in members(headers, &CACHE_CONTROL) {
            directives.take(&member);
        }
        directives
    }

    /// Those that count under a rule, without what it lifts.
    pub fn under(headers: &HeaderMap, policy: &Policy) -> ResponseDirectives {
        if policy.app_headers == AppHeaders::Ignore {
            return ResponseDirectives {
                ignored: true,
                ..ResponseDirectives::default()
            };
        }
        let mut directives = ResponseDirectives::of(headers);
        directives.lift(policy.despite);
        directives
    }

    fn lift(&mut self, despite: Despite) {
        if despite.private {
            self.private = Reach::Nothing;
        }
        if despite.no_cache {
            self.no_cache = Reach::Nothing;
        }
        self.no_store &= !despite.no_store;
        self.must_revalidate &= !despite.must_revalidate;
        self.proxy_revalidate &= !despite.proxy_revalidate;
        self.s_maxage_allows_stale = despite.proxy_revalidate;
    }

    /// Whether a word of the response lets everyone have it: `public` or a valid `s-maxage` (§3.5).
    pub(super) fn name_everyone(&self) -> bool {
        self.public || self.s_maxage_is_valid
    }

    /// Whether a shared cache must not use the response unasked, or not keep it (§5.2.2.4, §5.2.2.5, §5.2.2.7).
    pub(super) fn forbid_reuse(&self) -> bool {
        self.no_store || self.no_cache == Reach::Whole || self.private == Reach::Whole
    }

    /// Whether staleness is never excused (§5.2.2.2, §5.2.2.8, §5.2.2.10).
    pub fn forbid_stale(&self) -> bool {
        let by_s_maxage = self.s_maxage.is_some() && !self.s_maxage_allows_stale;
        self.must_revalidate || self.proxy_revalidate || by_s_maxage
    }

    fn take(&mut self, member: &Member<'_>) {
        // Permission takes the exact form; restriction takes any (see the module's comment).
        let plain = member.is_plain();
        match lowered(member.name, &mut Room::default()) {
            b"max-age" => least(&mut self.max_age, delta(member)),
            b"s-maxage" => {
                self.s_maxage_is_valid |= delta(member).is_some() && !member.is_doubtful;
                least(&mut self.s_maxage, delta(member));
            }
            b"must-revalidate" => self.must_revalidate = true,
            b"must-understand" => self.must_understand |= plain,
            b"no-cache" => widen(&mut self.no_cache, member),
            b"no-store" => self.no_store = true,
            b"private" => widen(&mut self.private, member),
            b"proxy-revalidate" => self.proxy_revalidate = true,
            b"public" => self.public |= plain,
            b"immutable" => self.immutable |= plain,
            b"stale-while-revalidate" => least(&mut self.stale_while_revalidate, delta(member)),
            b"stale-if-error" => least(&mut self.stale_if_error, delta(member)),
            // §5.2.3: unknown directives are ignored.
            _ => {}
        }
        // Whoever takes a blank or a semicolon for a comma means to forbid all the same.
        for word in member.further_words() {
            self.restrict(word);
        }
    }

    /// Takes what a word forbids, in its strongest form; what it permits needs to be a member of its own.
    fn restrict(&mut self, word: &[u8]) {
        match lowered(word, &mut Room::default()) {
            b"must-revalidate" => self.must_revalidate = true,
            b"no-cache" => self.no_cache = Reach::Whole,
            b"no-store" => self.no_store = true,
            b"private" => self.private = Reach::Whole,
            b"proxy-revalidate" => self.proxy_revalidate = true,
            _ => {}
        }
    }
}

/// The directives of a request (RFC 9111 §5.2.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestDirectives {
    /// `max-age` (§5.2.1.1); zero when invalid.
    pub max_age: Option<Duration>,
    /// `max-stale` (§5.2.1.2); [`Duration::MAX`] without an argument.
    pub max_stale: Option<Duration>,
    /// `min-fresh` (§5.2.1.3).
    pub min_fresh: Option<Duration>,
    /// `no-cache` (§5.2.1.4), or `Pragma: no-cache` without any `Cache-Control` (§5.4).
    pub no_cache: bool,
    /// `no-store` (§5.2.1.5).
    pub no_store: bool,
    /// `only-if-cached` (§5.2.1.7).
    pub only_if_cached: bool,
    /// `stale-if-error` (RFC 5861 §4); zero when invalid.
    pub stale_if_error: Option<Duration>,
}

impl RequestDirectives {
    /// The directives of every `Cache-Control` line, or of `Pragma`.
    pub fn of(headers: &HeaderMap) -> RequestDirectives {
        let mut directives = RequestDirectives::default();
        if headers.contains_key(CACHE_CONTROL) {
            members(headers, &CACHE_CONTROL).for_each(|member| directives.take(&member));
        } else if headers.contains_key(PRAGMA) {
            // §5.4: `Pragma` speaks only where `Cache-Control` is silent.
            directives.no_cache =
                members(headers, &PRAGMA).any(|member| member.is_named(b"no-cache"));
        }
        directives
    }

    /// Without what makes the app be asked where something stored would do.
    pub fn undemanding(self) -> RequestDirectives {
        RequestDirectives {
            max_age: None,
            min_fresh: None,
            no_cache: false,
            no_store: false,
            ..self
        }
    }

    fn take(&mut self, member: &Member<'_>) {
        match lowered(member.name, &mut Room::default()) {
            b"max-age" => least(&mut self.max_age, delta(member)),
            b"max-stale" if member.argument.is_none() => {
                self.max_stale.get_or_insert(Duration::MAX);
            }
            // An allowance that cannot be read allows nothing.
            b"max-stale" => least(&mut self.max_stale, delta(member)),
            b"min-fresh" => self.min_fresh = self.min_fresh.max(delta(member)),
            b"no-cache" => self.no_cache = true,
            b"no-store" => self.no_store = true,
            b"only-if-cached" => self.only_if_cached = true,
            b"stale-if-error" => least(&mut self.stale_if_error, delta(member)),
            _ => {}
        }
        for word in member.further_words() {
            match lowered(word, &mut Room::default()) {
                b"no-cache" => self.no_cache = true,
                b"no-store" => self.no_store = true,
                _ => {}
            }
        }
    }
}

/// Whether a message is not to be transformed (`no-transform`, §5.2.1.6, §5.2.2.6), in whatever form.
pub fn forbid_transforming(headers: &HeaderMap) -> bool {
    let is_meant = |word: &[u8]| word.eq_ignore_ascii_case(b"no-transform");
    members(headers, &CACHE_CONTROL)
        .any(|member| is_meant(member.name) || member.further_words().any(is_meant))
}

/// Delta-seconds (§1.2.2): digits only, capped at 2³¹; quoted ones are read alike (§5.2).
pub(super) fn parse_delta(bytes: &[u8]) -> Option<Duration> {
    if bytes.is_empty() || !bytes.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let seconds = bytes.iter().fold(0u64, |sum, digit| {
        sum.saturating_mul(10)
            .saturating_add(u64::from(digit - b'0'))
    });
    Some(Duration::from_secs(seconds).min(MAX_DELTA))
}

fn delta(member: &Member<'_>) -> Option<Duration> {
    parse_delta(member.argument.as_deref()?)
}

/// §4.2.1 leaves repeated values the choice between the first and staleness; the smallest is one of
/// the two at every moment. Invalid ones are zero.
fn least(slot: &mut Option<Duration>, value: Option<Duration>) {
    let value = value.unwrap_or_default();
    *slot = Some(slot.map_or(value, |earlier| earlier.min(value)));
}

fn widen(reach: &mut Reach, member: &Member<'_>) {
    // What names fields is a quoted list (§5.2.2.4); nobody means the field `True` by `private=True`.
    let quoted = member.argument.as_deref().filter(|_| member.is_quoted);
    let named = quoted.and_then(field_names);
    *reach = match (std::mem::take(reach), named) {
        (Reach::Whole, _) | (_, None) => Reach::Whole,
        (Reach::Nothing, Some(names)) => Reach::Fields(names),
        (Reach::Fields(mut earlier), Some(names)) => {
            earlier.extend(names);
            Reach::Fields(earlier)
        }
    };
}

/// The field names of a qualified directive; `None` if any is not one, which reads as unqualified.
fn field_names(argument: &[u8]) -> Option<Vec<HeaderName>> {
    let names = argument
        .split(|&byte| byte == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|name| !name.is_empty())
        .map(|name| HeaderName::from_bytes(name).ok())
        .collect::<Option<Vec<_>>>()?;
    (!names.is_empty()).then_some(names)
}

#[cfg(test)]
mod tests;
