//! The `Cache-Status` field (RFC 9211).
//!
//! One member a response, appended after those of the caches nearer to the app (§2). Interim answers
//! (1xx, but for the 101 that ends HTTP on a connection) carry none. What Pannier itself answers does
//! carry one, against the SHOULD NOT of §2, with neither `hit` nor `fwd`: who is refused may know why
//! (promise I9).
//!
//! | parameter | section | told |
//! | --- | --- | --- |
//! | `hit` | §2.1 | answered from the store without asking the app |
//! | `fwd` | §2.2 | the app was asked, and the most specific reason known |
//! | `fwd-status` | §2.3 | the app's status, with `fwd`; absent where the app gave none to this request |
//! | `ttl` | §2.4 | freshness left, negative when stale: of what was served from the store, confirmed, or is being stored |
//! | `stored` | §2.5 | with `fwd`: `stored` when the answer is stored or nothing that is known speaks against it, `stored=?0` when it was considered and refused, neither while that depends on what is still to come |
//! | `collapsed` | §2.6 | with `fwd`: it waited for another request's answer |
//! | `key` | §2.7 | only with `[defaults] cache_status_key = true`: keys may hold what identifies a person (§6) |
//! | `detail` | §2.8 | the [`Reason`] |
//! | `rule` | | the route's name |
//! | `not-stored` | | the [`Reason`] against storing |
//! | `refresh-ahead` | | of a hit: what it was served is renewed before it expires |
//! | `purged` | | of a write: how many entries it took from the store |
//! | `rules` | | of a write: the purge rules that did, with commas between them |
//! | `purge-pending` | | of a write: Redis could not be reached, so its part is yet to be done |
//!
//! What each reason says of `hit` and `fwd`. Where a reason tells how a forward ended, and not why there
//! was one ([`CacheStatus::because`]), that reason's own `fwd` goes first:
//!
//! | handling | reasons |
//! | --- | --- |
//! | `hit` (§2.1) | `hit`, `stale-while-revalidate`, `max-stale` |
//! | `fwd=bypass` (§2.2) | passed by config or by promise, never looked up: `no-rule`, `disabled`, `not-in-share`, `shadow`, `request-body`, `ambiguous-path`, `ambiguous-rule`, `unkeyed-query`, `unkeyed-header`, `missing-variable`, `identity`, `unauthenticated`, `auth-failed`, `upgrade`, `key-too-long` |
//! | `fwd=method` | `method` |
//! | `fwd=uri-miss` | `miss`; `collapsed` and `coalesce-timeout` without a because |
//! | `fwd=vary-miss` | `vary-miss` |
//! | `fwd=miss` | `range`, `upstream-error`, `upstream-timeout`, `upstream-busy`, without a because; what was not stored: `status`, `no-store`, `private`, `set-cookie`, `token`, `vary-any`, `authorization`, `cookie`, `unaccepted-coding`, `no-freshness`, `event-stream`, `too-large`, `in-flight-full`, `fills-full`, `unwanted`, `incomplete`, `close-delimited`, `fenced`, `lease-lost`, `budget-full`, `cannot-fit`, `missing-tag`, `too-many-tags`, `store-when`, `too-many-variants`, `too-many-groups` |
//! | `fwd=request` | `request-directive`, `request-no-store`, `refresh` |
//! | `fwd=stale` | `stale`, `soft-purged`, `no-cache`; `revalidated` and `stale-if-error` without a because |
//! | `fwd=partial` | `partial` |
//! | neither | answered here: `only-if-cached`, `bad-request`, `max-forwards`, `purge-method`, `ready-path` |

use std::fmt::Write;

use http::{HeaderValue, StatusCode};
use sfv::TokenRef;

use super::Reason;

/// What one answer says of how the cache handled it.
#[derive(Clone, Copy, Debug)]
pub struct CacheStatus<'a> {
    /// Why; decides between `hit` and `fwd=…`.
    pub reason: Reason,
    /// Why the request went forward, where `reason` tells how that ended.
    pub because: Option<Reason>,
    /// The rule's name; `None`: no rule matched.
    pub rule: Option<&'a str>,
    /// Freshness left in seconds, if a stored response was involved.
    pub ttl: Option<i64>,
    /// The app's status, if it was asked.
    pub fwd_status: Option<StatusCode>,
    /// Whether the answer is being stored; `Err` says why not.
    pub stored: Option<Result<(), Reason>>,
    /// Whether the request waited for another one's fill.
    pub collapsed: bool,
    /// The key, if `[defaults] cache_status_key` has it shown.
    pub key: Option<&'a str>,
    /// Whether this hit has what it was served renewed before it expires.
    pub renewed: bool,
    /// What a write took from the store.
    pub purged: Option<&'a WritePurge>,
}

/// What a write took from the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WritePurge {
    /// How many entries, of the tier that lost more; `None`: that is not known yet.
    pub entries: Option<usize>,
    /// The purge rules that were carried out, with commas between them.
    pub rules: String,
    /// Whether Redis could not be reached, so that its part is yet to be done.
    pub is_pending: bool,
}

impl<'a> CacheStatus<'a> {
    /// Nothing known but the reason.
    pub fn of(reason: Reason) -> CacheStatus<'a> {
        CacheStatus {
            reason,
            because: None,
            rule: None,
            ttl: None,
            fwd_status: None,
            stored: None,
            collapsed: false,
            key: None,
            renewed: false,
            purged: None,
        }
    }

    /// The member for this cache, to be appended as one more field line.
    pub fn to_header(&self) -> HeaderValue {
        let mut text = String::with_capacity(96);
        text.push_str("pannier");
        match self.handling() {
            Handling::Hit => text.push_str("; hit"),
            Handling::Forward(why) => self.push_forward(&mut text, why),
            Handling::Neither => {}
        }
        if let Some(ttl) = self.ttl {
            // A structured-field Integer has fifteen digits (RFC 9651 §3.3.1).
            let ttl = ttl.clamp(-999_999_999_999_999, 999_999_999_999_999);
            text.push_str("; ttl=");
            text.push_str(itoa::Buffer::new().format(ttl));
        }
        if let Handling::Forward(_) = self.handling() {
            self.push_outcome(&mut text);
        }
        if let Some(key) = self.key {
            text.push_str("; key=");
            push_string(&mut text, key);
        }
        if let Some(rule) = self.rule {
            text.push_str("; rule=");
            push_name(&mut text, rule);
        }
        text.push_str("; detail=");
        text.push_str(self.reason.as_str());
        if let Some(Err(reason)) = self.stored {
            text.push_str("; not-stored=");
            text.push_str(reason.as_str());
        }
        if self.renewed {
            text.push_str("; refresh-ahead");
        }
        if let Some(purged) = self.purged {
            push_purged(&mut text, purged);
        }
        HeaderValue::try_from(text).expect("structured fields are visible ASCII")
    }

    fn handling(&self) -> Handling {
        match (handling(self.reason), self.because.map(handling)) {
            (Handling::Forward(_), Some(Handling::Forward(why))) => Handling::Forward(why),
            (own, _) => own,
        }
    }

    fn push_forward(&self, text: &mut String, why: &str) {
        text.push_str("; fwd=");
        text.push_str(why);
        if let Some(status) = self.fwd_status {
            text.push_str("; fwd-status=");
            text.push_str(status.as_str());
        }
    }

    /// §2.5 and §2.6: only meaningful with `fwd`.
    fn push_outcome(&self, text: &mut String) {
        match self.stored {
            Some(Ok(())) => text.push_str("; stored"),
            Some(Err(_)) => text.push_str("; stored=?0"),
            None => {}
        }
        if self.collapsed || self.reason == Reason::Collapsed {
            text.push_str("; collapsed");
        }
    }
}

fn push_purged(text: &mut String, purged: &WritePurge) {
    if let Some(entries) = purged.entries {
        text.push_str("; purged=");
        text.push_str(itoa::Buffer::new().format(entries));
    }
    if !purged.rules.is_empty() {
        text.push_str("; rules=");
        push_string(text, &purged.rules);
    }
    if purged.is_pending {
        text.push_str("; purge-pending");
    }
}

/// A Token if `name` is one, else a String (RFC 9651 §3.3).
fn push_name(text: &mut String, name: &str) {
    if TokenRef::from_str(name).is_ok() {
        text.push_str(name);
    } else {
        push_string(text, name);
    }
}

/// A String (RFC 9651 §3.3.3); what it cannot hold is percent-encoded.
fn push_string(text: &mut String, value: &str) {
    text.push('"');
    for byte in value.bytes() {
        match byte {
            b'"' | b'\\' => text.extend(['\\', char::from(byte)]),
            b' '..=b'~' => text.push(char::from(byte)),
            _ => write!(text, "%{byte:02x}").expect("a String takes all"),
        }
    }
    text.push('"');
}

/// Who answered (RFC 9211 §2.1, §2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Handling {
    Hit,
    Forward(&'static str),
    /// This proxy itself made the answer.
    Neither,
}

fn handling(reason: Reason) -> Handling {
    const BYPASS: Handling = Handling::Forward("bypass");
    const METHOD: Handling = Handling::Forward("method");
    const MISS: Handling = Handling::Forward("miss");
    const PARTIAL: Handling = Handling::Forward("partial");
    const REQUEST: Handling = Handling::Forward("request");
    const STALE: Handling = Handling::Forward("stale");
    const URI_MISS: Handling = Handling::Forward("uri-miss");
    const VARY_MISS: Handling = Handling::Forward("vary-miss");
    match reason {
        Reason::Hit | Reason::StaleWhileRevalidate | Reason::MaxStale => Handling::Hit,
        // These went forward first; only what never does is a hit.
        Reason::StaleIfError | Reason::Revalidated => STALE,
        Reason::Stale | Reason::SoftPurged | Reason::NoCache => STALE,
        Reason::Miss | Reason::Collapsed | Reason::CoalesceTimeout => URI_MISS,
        Reason::VaryMiss => VARY_MISS,
        Reason::Partial => PARTIAL,
        Reason::RequestDirective | Reason::RequestNoStore | Reason::Refresh => REQUEST,
        Reason::OnlyIfCached
        | Reason::BadRequest
        | Reason::MaxForwards
        | Reason::PurgeMethod
        | Reason::ReadyPath => Handling::Neither,
        Reason::Method => METHOD,
        Reason::NoRule
        | Reason::Disabled
        | Reason::NotInShare
        | Reason::Shadow
        | Reason::RequestBody
        | Reason::AmbiguousPath
        | Reason::AmbiguousRule
        | Reason::UnkeyedQuery
        | Reason::UnkeyedHeader
        | Reason::MissingVariable
        | Reason::Identity
        | Reason::Unauthenticated
        | Reason::AuthFailed
        | Reason::Upgrade
        | Reason::KeyTooLong => BYPASS,
        // Nothing stored could answer; whether that is the URI's or a field's doing is not known.
        Reason::Range
        | Reason::Status
        | Reason::NoStore
        | Reason::Private
        | Reason::SetCookie
        | Reason::Token
        | Reason::VaryAny
        | Reason::Authorization
        | Reason::Cookie
        | Reason::UnacceptedCoding
        | Reason::NoFreshness
        | Reason::EventStream
        | Reason::TooLarge
        | Reason::InFlightFull
        | Reason::FillsFull
        | Reason::Unwanted
        | Reason::Incomplete
        | Reason::CloseDelimited
        | Reason::Fenced
        | Reason::LeaseLost
        | Reason::BudgetFull
        | Reason::CannotFit
        | Reason::MissingTag
        | Reason::TooManyTags
        | Reason::StoreWhen
        | Reason::TooManyVariants
        | Reason::TooManyGroups
        | Reason::UpstreamError
        | Reason::UpstreamTimeout
        | Reason::UpstreamBusy => MISS,
    }
}

#[cfg(test)]
mod tests;
