//! A request with what was found out about it once.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use http::HeaderName;
use http::request::Parts;
use serde_json::Value;

use super::admit::Admitted;
use super::forwarded;
use super::present::Present;
use super::sent_body::SentBody;
use crate::auth::{Digest, Verdict};
use crate::body::Body;
use crate::entry::Priority;
use crate::http_cache::directives::RequestDirectives;
use crate::http_cache::origin::Origin;
use crate::live::Live;
use crate::politeness::FetchOrigin;
use crate::proxy::interim::Sink;
use crate::secret::is_same_secret;
use crate::store::Mark;
use crate::upstream::Upstream;

/// Where the admin token stands in a request to the proxy; the app never sees it.
pub(in crate::proxy) const TOKEN: HeaderName = HeaderName::from_static("pannier-token");

/// By it the holder of the token has the answer fetched anew; the app never sees it.
pub(in crate::proxy) const REFRESH: HeaderName = HeaderName::from_static("pannier-refresh");

/// A request and all that stays the same while it is being answered.
#[derive(Debug)]
pub struct RequestContext {
    /// The config this request lives under from beginning to end.
    pub live: Arc<Live>,
    /// Which of the config's connection pools is its worker's.
    pub pool: usize,
    /// Head as received.
    pub parts: Parts,
    /// `Host`, or what a trusted gateway says instead (`[listen] forwarded_host`); checked and lower-cased.
    pub host: String,
    /// Whether what the sender says by `X-Forwarded-*` and `Forwarded` is believed.
    pub is_believed: bool,
    /// Which of the fields that decide something there are.
    pub present: Present,
    /// What it says by `Cache-Control` or `Pragma`.
    pub directives: RequestDirectives,
    /// The address of whoever sent it: the client, or the last gateway.
    pub peer: IpAddr,
    /// Whether the client's connection is TLS.
    pub secure: bool,
    /// Whether there is a body, which HTTP/2 need not announce in a field.
    pub has_body: bool,
    /// That body, where a rule needs to know it.
    pub sent: SentBody,
    /// When the head had arrived.
    pub arrived: Instant,
    /// Where interim answers go; `None`: nowhere.
    pub interim: Option<Sink>,
    /// Who asks, by the check of `[auth]`; `None`: nothing needs to know, or it is not known yet.
    pub asker: Option<Asker>,
    /// Whether it has waited for Redis in vain.
    pub redis_was_late: AtomicBool,
    /// For whom the app is asked, if it is.
    pub fetch_origin: FetchOrigin,
    /// How soon, of what no client waits for; `None`: as its rule's priority is.
    pub urgency: Option<Priority>,
}

/// Who asks, by the check of `[auth]`.
#[derive(Clone, Debug)]
pub struct Asker {
    /// What it said.
    pub verdict: Verdict,
    /// What stands for the credentials that it was about; `None`: there were none.
    pub digest: Option<Digest>,
    /// A purge of identities since then may have changed it.
    pub since: Mark,
}

impl RequestContext {
    /// A request that nobody sent: for `explain`, and for whatever is fetched without a client. It has
    /// no body, comes from this machine, and no interim answer to it goes anywhere.
    ///
    /// It is only as much of a person as `parts` are: whoever makes one gives it no other person's
    /// credentials. Where there are trusted gateways, it is as one of them would send it.
    pub fn unsent(live: Arc<Live>, parts: Parts, mut admitted: Admitted) -> RequestContext {
        let is_believed = !live.config.listen.trusted_proxies.is_empty();
        if is_believed {
            forwarded::adopt_host(&live.config.listen, &parts, &mut admitted);
        }
        RequestContext {
            is_believed,
            secure: live.config.listen.tls.is_some(),
            pool: 0,
            has_body: false,
            sent: SentBody::Unreadable,
            live,
            parts,
            host: admitted.host,
            present: admitted.present,
            directives: admitted.directives,
            peer: IpAddr::from([127, 0, 0, 1]),
            arrived: crate::clock::monotonic(),
            interim: None,
            asker: None,
            redis_was_late: AtomicBool::default(),
            fetch_origin: FetchOrigin::Refresh,
            urgency: None,
        }
    }

    /// The same request again, in the background: of the same person, and no client hears of it.
    pub(in crate::proxy) fn unheard(&self, fetch_origin: FetchOrigin) -> RequestContext {
        RequestContext {
            live: self.live.clone(),
            pool: self.pool,
            parts: self.parts.clone(),
            host: self.host.clone(),
            is_believed: self.is_believed,
            present: self.present,
            directives: self.directives,
            peer: self.peer,
            secure: self.secure,
            has_body: self.has_body,
            sent: match &self.sent {
                SentBody::Whole(body) => SentBody::Whole(body.clone()),
                SentBody::Unread | SentBody::Unreadable => SentBody::Unreadable,
            },
            arrived: crate::clock::monotonic(),
            interim: None,
            asker: self.asker.clone(),
            redis_was_late: AtomicBool::default(),
            fetch_origin,
            urgency: None,
        }
    }

    /// Whether this request has waited for Redis in vain, so that it is not to wait a second time (promise I4).
    pub(in crate::proxy) fn redis_is_late(&self) -> bool {
        self.redis_was_late.load(Ordering::Relaxed)
    }

    /// It has.
    pub(in crate::proxy) fn note_redis_is_late(&self) {
        self.redis_was_late.store(true, Ordering::Relaxed);
    }

    /// The body as the app gets it, of a request that has none or whose body was read.
    pub(in crate::proxy) fn body_at_hand(&self) -> Body {
        let body = self.sent.as_whole().map(|body| body.bytes.clone());
        body.map_or_else(Body::empty, Body::whole)
    }

    /// `https` or `http`: what the gateway in front says, or else the client's connection.
    pub fn scheme(&self) -> &str {
        let of_connection = if self.secure { "https" } else { "http" };
        if self.is_believed && self.present.has(Present::SCHEME.or(Present::TARGET)) {
            return forwarded::scheme(&self.parts.headers).unwrap_or(of_connection);
        }
        if !self.present.has(Present::SCHEME) {
            return of_connection;
        }
        let forwarded = self.parts.headers.get("x-forwarded-proto");
        let first = forwarded
            .and_then(|schemes| schemes.to_str().ok())
            .and_then(|schemes| schemes.split(',').next());
        first.map_or(of_connection, str::trim)
    }

    /// The client's address, as far as anybody trusted says it.
    pub(in crate::proxy) fn client(&self) -> IpAddr {
        if !self.is_believed {
            return self.peer;
        }
        let trusted = &self.live.config.listen.trusted_proxies;
        forwarded::client(&self.parts.headers, trusted, self.peer)
    }

    /// What templates read of whoever asks, as far as it is known.
    pub fn auth_document(&self) -> Option<&Value> {
        self.asker.as_ref()?.verdict.document()
    }

    /// Whether it brings something beside cookies that says who asks: by its name, or by what the file says of it.
    pub(in crate::proxy) fn brings_credential(&self) -> bool {
        let defaults = &self.live.config.defaults;
        let mut named = defaults.named_credentials();
        self.present.has(Present::CREDENTIALS)
            || named.any(|name| self.parts.headers.contains_key(name))
    }

    /// What stands for the credentials that the check of `[auth]` is sent; `None`: there is no such check, or nothing by
    /// which anybody could be known.
    pub fn credentials_digest(&self) -> Option<Digest> {
        let digester = self.live.digester.as_ref()?;
        digester.digest(self.scheme(), &self.host, &self.parts.headers)
    }

    /// Whether it brings the admin token in `Pannier-Token`.
    pub(in crate::proxy) fn holds_token(&self) -> bool {
        let token = self.live.config.admin.token.as_ref();
        let given = self.parts.headers.get(TOKEN);
        token
            .zip(given)
            .is_some_and(|(token, given)| is_same_secret(given.as_bytes(), token.as_bytes()))
    }

    /// Whether it is to be fetched anew, whatever is stored.
    pub(in crate::proxy) fn is_refresh(&self) -> bool {
        self.present.has(Present::REFRESH) && self.holds_token()
    }

    /// The origin of the target (RFC 9110 §4.3.1), as text.
    pub(in crate::proxy) fn origin(&self) -> String {
        match Origin::of(self.scheme(), &self.host) {
            Some(origin) => origin.to_string(),
            // HTTP/1.0 need not name a host.
            None => format!("{}://{}", self.scheme(), self.host),
        }
    }

    /// How soon the app is asked for it, where its rule's is this: of what no client waits for.
    pub(in crate::proxy) fn urgency(&self, of_rule: Priority) -> Priority {
        self.urgency.unwrap_or(of_rule)
    }

    /// The connections to the app of this request's worker.
    pub(in crate::proxy) fn upstream(&self) -> &Upstream {
        self.live.upstream_of(self.pool)
    }
}
