//! The `Cache-Status` field (RFC 9211).

use std::fmt::Write;

use http::{HeaderValue, StatusCode};
use sfv::TokenRef;

use super::Reason;

/// What one answer says of how the cache handled it.
#[derive(Clone, Copy, Debug)]
pub struct CacheStatus<'a> {
    /// Why; decides between `hit` and `fwd=…`.
    pub reason: Reason,
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
}

impl CacheStatus<'_> {
    /// The member for this cache, to be appended as one more field line. `detail` is the reason;
    /// `not-stored` the reason against storing, if there was one.
    pub fn to_header(&self) -> HeaderValue {
        let mut text = String::with_capacity(96);
        text.push_str("pannier");
        self.push_handling(&mut text);
        if let Some(ttl) = self.ttl {
            // A structured-field Integer has fifteen digits (RFC 9651 §3.3.1).
            let ttl = ttl.clamp(-999_999_999_999_999, 999_999_999_999_999);
            write!(text, "; ttl={ttl}").expect("a String takes all");
        }
        match self.stored {
            Some(Ok(())) => text.push_str("; stored"),
            Some(Err(_)) => text.push_str("; stored=?0"),
            None => {}
        }
        if self.collapsed || self.reason == Reason::Collapsed {
            text.push_str("; collapsed");
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
        HeaderValue::try_from(text).expect("structured fields are visible ASCII")
    }

    fn push_handling(&self, text: &mut String) {
        match handling(self.reason) {
            Handling::Hit => text.push_str("; hit"),
            Handling::Forward(why) => {
                text.push_str("; fwd=");
                text.push_str(why);
                if let Some(status) = self.fwd_status {
                    text.push_str("; fwd-status=");
                    text.push_str(status.as_str());
                }
            }
            Handling::Neither => {}
        }
    }
}

/// A Token if `name` is one, else a String (RFC 9651 §3.3); what neither can hold is percent-encoded.
fn push_name(text: &mut String, name: &str) {
    if TokenRef::from_str(name).is_ok() {
        return text.push_str(name);
    }
    text.push('"');
    for byte in name.bytes() {
        match byte {
            b'"' | b'\\' => text.extend(['\\', char::from(byte)]),
            b' '..=b'~' => text.push(char::from(byte)),
            _ => write!(text, "%{byte:02x}").expect("a String takes all"),
        }
    }
    text.push('"');
}

/// Who answered (RFC 9211 §2.1, §2.2).
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
        Reason::Stale | Reason::NoCache => STALE,
        Reason::Miss | Reason::Collapsed => URI_MISS,
        Reason::VaryMiss => VARY_MISS,
        Reason::Partial => PARTIAL,
        Reason::RequestDirective | Reason::RequestNoStore => REQUEST,
        Reason::OnlyIfCached | Reason::BadRequest | Reason::CoalesceTimeout => Handling::Neither,
        Reason::Method => METHOD,
        Reason::NoRule
        | Reason::Disabled
        | Reason::RequestBody
        | Reason::AmbiguousPath
        | Reason::UnkeyedQuery
        | Reason::UnkeyedHeader
        | Reason::MissingVariable
        | Reason::Identity
        | Reason::Upgrade
        | Reason::KeyTooLong
        | Reason::FillsFull => BYPASS,
        // Nothing stored could answer; whether that is the URI's or a field's doing is not told.
        Reason::Range
        | Reason::Status
        | Reason::NoStore
        | Reason::Private
        | Reason::SetCookie
        | Reason::VaryAny
        | Reason::Authorization
        | Reason::Cookie
        | Reason::NoFreshness
        | Reason::EventStream
        | Reason::TooLarge
        | Reason::Incomplete
        | Reason::CloseDelimited
        | Reason::Fenced
        | Reason::LeaseLost
        | Reason::BudgetFull
        | Reason::MissingTag
        | Reason::UpstreamError
        | Reason::UpstreamTimeout => MISS,
    }
}

#[cfg(test)]
mod tests;
