//! How a request ended: the answer with one reason, counted, logged and named in `Cache-Status`.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::request::Parts;
use http::{HeaderMap, HeaderValue, Response, StatusCode, Version, header};

use super::access_log::{Line, REQUEST_ID};
use super::request::admit::Refusal;
use super::request::context::RequestContext;
use crate::body::Body;
use crate::http_cache::cache_status::{CacheStatus, WritePurge};
use crate::http_cache::directives::TARGETS;
use crate::http_cache::tag_fields::SOFT_PURGE;
use crate::http_cache::{self as cache, Reason, Source, remove};
use crate::live::{Live, Rule};

const CACHE_STATUS: header::HeaderName = header::HeaderName::from_static("cache-status");

/// An answer on its way out.
#[derive(Debug)]
pub(super) struct Outcome {
    rule: Option<usize>,
    response: Response<Body>,
    reason: Reason,
    because: Option<Reason>,
    key: Option<String>,
    ttl: Option<i64>,
    fwd_status: Option<StatusCode>,
    stored: Option<Result<(), Reason>>,
    collapsed: bool,
    /// Whether what was served is renewed before it expires.
    renewed: bool,
    /// What a write took from the store.
    purged: Option<Box<WritePurge>>,
    /// Whether `Cache-Status` is among the fields.
    has_cache_status: bool,
}

/// Requests since the last summary line, those of them that were hits, and those that the store was not for.
#[derive(Debug, Default)]
pub struct Tally {
    requests: AtomicU64,
    hits: AtomicU64,
    aside: AtomicU64,
}

impl Outcome {
    /// `response` is complete but for `Cache-Status`.
    pub(super) fn new(rule: Option<usize>, reason: Reason, response: Response<Body>) -> Outcome {
        Outcome {
            rule,
            response,
            reason,
            because: None,
            key: None,
            ttl: None,
            fwd_status: None,
            stored: None,
            collapsed: false,
            renewed: false,
            purged: None,
            has_cache_status: false,
        }
    }

    /// An answer whose head has its `Cache-Status` already.
    pub(super) fn with_cache_status(self) -> Outcome {
        Outcome {
            has_cache_status: true,
            ..self
        }
    }

    /// The answer as far as it is made.
    pub(super) fn response(&self) -> &Response<Body> {
        &self.response
    }

    /// Why it was answered so.
    pub(super) fn reason(&self) -> Reason {
        self.reason
    }

    /// Whether it comes from the app, which was asked for it.
    pub(super) fn has_asked_app(&self) -> bool {
        self.fwd_status.is_some()
    }

    /// Whether it is being stored, as far as that is known.
    pub(super) fn is_stored(&self) -> Option<Result<(), Reason>> {
        self.stored
    }

    /// With another body, or one in which it is wrapped.
    pub(super) fn map_body(self, map: impl FnOnce(Body) -> Body) -> Outcome {
        Outcome {
            response: self.response.map(map),
            ..self
        }
    }

    /// Why the app was asked, where the outcome's own reason tells how that ended.
    pub(super) fn because(self, reason: Reason) -> Outcome {
        Outcome {
            because: Some(reason),
            ..self
        }
    }

    /// The key it was looked up under, if `Cache-Status` is to show it.
    pub(super) fn key(self, key: Option<String>) -> Outcome {
        Outcome { key, ..self }
    }

    /// Adds fields to the answer.
    pub(super) fn with_fields(mut self, fields: HeaderMap) -> Outcome {
        self.response.headers_mut().extend(fields);
        self
    }

    /// Freshness left in seconds.
    pub(super) fn ttl(self, ttl: i64) -> Outcome {
        Outcome {
            ttl: Some(ttl),
            ..self
        }
    }

    /// The app was asked and answered so.
    pub(super) fn asked_app(self, status: StatusCode) -> Outcome {
        Outcome {
            fwd_status: Some(status),
            ..self
        }
    }

    /// Whether the answer is being stored.
    pub(super) fn stored(self, stored: Result<(), Reason>) -> Outcome {
        Outcome {
            stored: Some(stored),
            ..self
        }
    }

    /// What it took from the store, as a write.
    pub(super) fn purged(self, purged: WritePurge) -> Outcome {
        Outcome {
            purged: Some(Box::new(purged)),
            ..self
        }
    }

    /// The request waited for another one's fill.
    pub(super) fn collapsed(self) -> Outcome {
        Outcome {
            collapsed: true,
            ..self
        }
    }

    /// Whether what was served is being renewed before it expires.
    pub(super) fn renewed(self, renewed: bool) -> Outcome {
        Outcome { renewed, ..self }
    }

    /// Counts, logs, and adds `Cache-Status`: the answer to the request.
    pub(super) fn finish(mut self, tally: &Tally, context: &RequestContext) -> Response<Body> {
        let rule = context.live.rule(self.rule);
        let took = crate::clock::monotonic() - context.arrived;
        rule.metrics.answered(self.reason, took);
        tally.count(self.reason, context.live.config.log.summary_every);
        if let Some(value) = &rule.settings.downstream
            && self.may_be_kept(rule)
        {
            tell_downstream(self.response.headers_mut(), value.clone());
        }
        if rule.settings.strips_tag_fields {
            let named = &rule.policy.tag_fields;
            remove(self.response.headers_mut(), |name| named.contains(name));
        }
        let purge_fields = &context.live.config.defaults.purge_fields;
        if !purge_fields.is_empty() {
            remove(self.response.headers_mut(), |name| {
                purge_fields.contains(name) || SOFT_PURGE.contains(name)
            });
        }
        if !self.has_cache_status {
            self.add_cache_status(context);
        }
        tracing::debug!(
            target: "pannier::request",
            method = %context.parts.method,
            path = context.parts.uri.path(),
            status = self.response.status().as_u16(),
            rule = rule.name().unwrap_or("-"),
            reason = self.reason.as_str(),
            not_stored = self.stored.and_then(Result::err).map(Reason::as_str),
            // To the microsecond.
            ms = (took.as_secs_f64() * 1e6).round() / 1e3,
            client = %context.client(),
            peer = %context.peer,
        );
        if context.live.config.log.access {
            self.tell_access(context, took);
        }
        self.response
    }

    #[cold]
    fn tell_access(&mut self, context: &RequestContext, took: Duration) {
        if let Some(id) = context.parts.headers.get(REQUEST_ID) {
            self.response.headers_mut().insert(REQUEST_ID, id.clone());
        }
        let line = Line {
            parts: &context.parts,
            client: context.client(),
            status: self.response.status(),
            rule: context.live.rule(self.rule).name(),
            reason: self.reason.as_str(),
            took,
            now: crate::clock::wall(),
        };
        line.write(context.live.config.log.format);
    }

    /// Whether the answer is from the store or meant for it, whole and for everyone whom its key is for: not with a
    /// cookie for one of them, nor if only its body, which is yet to be read, can say so.
    fn may_be_kept(&self, rule: Rule<'_>) -> bool {
        let is_from_store = matches!(
            self.reason.source(),
            Source::Hit | Source::Stale | Source::Revalidated
        );
        let is_accepted = is_from_store || !rule.reads_answer() || self.stored == Some(Ok(()));
        self.ttl.is_some()
            && is_accepted
            && !self.response.headers().contains_key(header::SET_COOKIE)
    }

    /// Adds `Cache-Status`, the last word on how it was handled.
    pub(super) fn add_cache_status(&mut self, context: &RequestContext) {
        let status = CacheStatus {
            reason: self.reason,
            because: self.because,
            key: self.key.as_deref(),
            rule: context.live.rule(self.rule).name(),
            ttl: self.ttl,
            fwd_status: self.fwd_status,
            stored: self.stored,
            collapsed: self.collapsed,
            renewed: self.renewed,
            purged: self.purged.as_deref(),
        };
        let fields = self.response.headers_mut();
        fields.append(CACHE_STATUS, status.to_header());
        self.has_cache_status = true;
    }
}

/// Puts what the rule says in place of what the app says of caching; what only some caches read says nothing.
fn tell_downstream(fields: &mut HeaderMap, value: HeaderValue) {
    let others = [header::EXPIRES, header::PRAGMA]
        .into_iter()
        .chain(TARGETS)
        .chain([header::HeaderName::from_static("surrogate-control")]);
    let others: Vec<_> = others.collect();
    remove(fields, |name| others.contains(name));
    fields.insert(header::CACHE_CONTROL, value);
}

/// The answer to a request that is not forwarded because it is malformed; the connection ends.
pub(super) fn refuse(
    tally: &Tally,
    live: &Live,
    parts: &Parts,
    peer: IpAddr,
    refusal: &Refusal,
) -> Response<Body> {
    live.unmatched
        .answered(Reason::BadRequest, std::time::Duration::ZERO);
    tally.count(Reason::BadRequest, live.config.log.summary_every);
    tracing::debug!(target: "pannier::request", method = %parts.method, why = refusal.why, reason = "bad-request");
    let mut response = text(refusal.status, refusal.why);
    let status = CacheStatus::of(Reason::BadRequest);
    response
        .headers_mut()
        .insert(CACHE_STATUS, status.to_header());
    if parts.version != Version::HTTP_2 {
        // RFC 9113 §8.2.2: there the field is none.
        response
            .headers_mut()
            .insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    if live.config.log.access {
        let line = Line {
            parts,
            client: peer,
            status: refusal.status,
            rule: None,
            reason: Reason::BadRequest.as_str(),
            took: Duration::ZERO,
            now: crate::clock::wall(),
        };
        line.write(live.config.log.format);
    }
    response
}

/// An answer of Pannier's own, in words.
pub(super) fn text(status: StatusCode, words: &str) -> Response<Body> {
    let mut response = Response::new(Body::whole(format!("{words}\n").into()));
    *response.status_mut() = status;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

impl Tally {
    fn count(&self, reason: Reason, every: u64) {
        if every == 0 {
            return;
        }
        let outcome = reason.outcome();
        if outcome == cache::Outcome::Hit {
            self.hits.fetch_add(1, Ordering::Relaxed);
        } else if !outcome.counts_for_hit_rate() {
            self.aside.fetch_add(1, Ordering::Relaxed);
        }
        if self.requests.fetch_add(1, Ordering::Relaxed) + 1 >= every {
            let requests = self.requests.swap(0, Ordering::Relaxed);
            let hits = self.hits.swap(0, Ordering::Relaxed);
            let aside = self.aside.swap(0, Ordering::Relaxed);
            if requests > 0 {
                // As in /stats: of those that were looked up.
                let looked_up = requests.saturating_sub(aside).max(1);
                let hit_rate = (1e3 * hits as f64 / looked_up as f64).round() / 1e3;
                tracing::info!(requests, hits, hit_rate, "summary");
            }
        }
    }
}
