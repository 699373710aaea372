//! Which fields of a response are stored (RFC 9111 §3.1), and how some of a message are left out.

use std::time::{Duration, SystemTime};

use http::header::{AGE, CONNECTION, DATE, SET_COOKIE, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::Policy;
use super::directives::{Reach, ResponseDirectives};
use super::tokens::is_token;

/// Fields that concern one connection or one proxy (RFC 9110 §7.6.1, RFC 9111 §3.1), and `Trailer`,
/// since trailers are not part of what is stored.
const HOP_BY_HOP: [&str; 10] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authentication-info",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Decides field by field what of one response may be stored.
pub(super) struct Storing {
    connection_options: Vec<HeaderName>,
    /// Named by a qualified `private` or `no-cache` (§5.2.2.7, §5.2.2.4).
    withheld: Vec<HeaderName>,
    cookies: bool,
    tokens: bool,
    /// Whether `WWW-Authenticate` is a step of one client's negotiation.
    negotiates: bool,
}

impl Storing {
    /// For a response with these fields and directives.
    pub(super) fn of(
        headers: &HeaderMap,
        directives: &ResponseDirectives,
        policy: &Policy,
    ) -> Storing {
        let mut withheld = Vec::new();
        for reach in [&directives.private, &directives.no_cache] {
            if let Reach::Fields(names) = reach {
                withheld.extend_from_slice(names);
            }
        }
        Storing {
            connection_options: connection_options(headers),
            cookies: !policy.despite.set_cookie && !withheld.contains(&SET_COOKIE),
            tokens: !policy.despite.set_cookie,
            negotiates: negotiates(headers),
            withheld,
        }
    }

    /// Whether a `Set-Cookie` would end up in the copy, which the rule or the app must have lifted.
    pub(super) fn keeps_cookies(&self) -> bool {
        self.cookies
    }

    /// Whether a step of one client's negotiation would end up in the copy, were it made.
    pub(super) fn keeps_negotiation(&self) -> bool {
        self.negotiates && self.tokens
    }

    /// Whether the field may be stored.
    pub(super) fn keeps(&self, name: &HeaderName) -> bool {
        !HOP_BY_HOP.contains(&name.as_str())
            && *name != AGE
            && (self.cookies || *name != SET_COOKIE)
            && (self.tokens || !is_token(name))
            && !(self.negotiates && *name == WWW_AUTHENTICATE)
            && !self.connection_options.contains(name)
            && !self.withholds(name)
    }

    /// Whether the field goes to the requester and to nobody else: a cookie, a token, or what the response
    /// keeps from shared caches.
    pub(super) fn is_personal(&self, name: &HeaderName) -> bool {
        let is_step = self.negotiates && *name == WWW_AUTHENTICATE;
        (*name == SET_COOKIE || is_token(name) || is_step || self.withholds(name))
            && !HOP_BY_HOP.contains(&name.as_str())
            && !self.connection_options.contains(name)
    }

    /// Whether the response keeps the field from shared caches (§5.2.2.4, §5.2.2.7).
    pub(super) fn withholds(&self, name: &HeaderName) -> bool {
        self.withheld.contains(name)
    }

    /// A copy of what may be stored, order and repetition kept. `date` is what their `Date` says; without
    /// one that can be read it is when they were `received` (RFC 9110 §6.6.1).
    pub(super) fn copy(
        &self,
        headers: &HeaderMap,
        date: Option<SystemTime>,
        received: SystemTime,
    ) -> HeaderMap {
        let mut copy = HeaderMap::with_capacity(headers.keys_len() + 1);
        let mut dated = false;
        for (name, value) in headers {
            let is_date = *name == DATE;
            if self.keeps(name) && (date.is_some() || !is_date) {
                dated |= is_date;
                copy.append(name.clone(), value.clone());
            }
        }
        if !dated {
            copy.append(DATE, http_date(received));
        }
        copy
    }
}

/// Whether the response has a step of a negotiation with its client (RFC 4559 §4.2, NTLM), a token behind the scheme,
/// and not only a challenge to begin one.
fn negotiates(headers: &HeaderMap) -> bool {
    const SCHEMES: [&[u8]; 3] = [b"negotiate", b"ntlm", b"kerberos"];
    let is_step = |challenge: &[u8]| {
        let mut words = challenge.split(|byte| matches!(byte, b' ' | b'\t'));
        let mut words = words.by_ref().filter(|word| !word.is_empty());
        let scheme = words.next().unwrap_or_default();
        SCHEMES
            .iter()
            .any(|known| known.eq_ignore_ascii_case(scheme))
            && words.next().is_some()
    };
    let lines = headers.get_all(WWW_AUTHENTICATE).into_iter();
    lines
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .any(is_step)
}

/// A copy of the fields that `keeps` takes, order and repetition kept: `HeaderMap::remove` would move
/// the last field into the gap.
pub(super) fn picked(headers: &HeaderMap, keeps: impl Fn(&HeaderName) -> bool) -> HeaderMap {
    let mut copy = HeaderMap::with_capacity(headers.keys_len() + 1);
    for (name, value) in headers.iter().filter(|(name, _)| keeps(name)) {
        copy.append(name.clone(), value.clone());
    }
    copy
}

fn connection_options(headers: &HeaderMap) -> Vec<HeaderName> {
    headers
        .get_all(CONNECTION)
        .into_iter()
        .flat_map(|line| line.as_bytes().split(|&byte| byte == b','))
        .filter_map(|option| HeaderName::from_bytes(option.trim_ascii()).ok())
        .collect()
}

fn http_date(time: SystemTime) -> HeaderValue {
    // The last second that an HTTP date can name: 31 Dec 9999.
    const LAST: Duration = Duration::from_secs(253_402_300_799);
    let since = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .min(LAST);
    let text = httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + since);
    HeaderValue::try_from(text).expect("an HTTP date is visible ASCII")
}

/// Removes the fields that `goes` names and keeps the order of the rest.
///
/// `HeaderMap::remove` moves the last field into the gap.
pub fn remove(headers: &mut HeaderMap, goes: impl Fn(&HeaderName) -> bool) {
    if !headers.keys().any(&goes) {
        return;
    }
    let mut kept = HeaderMap::with_capacity(headers.keys_len());
    let mut current = None;
    for (name, value) in std::mem::take(headers) {
        // A repeated field's name comes once, with its first value.
        current = name.or(current);
        if let Some(name) = current.as_ref().filter(|name| !goes(name)) {
            kept.append(name.clone(), value);
        }
    }
    *headers = kept;
}
