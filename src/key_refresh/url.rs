//! A JWKS document that is fetched.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, ACCEPT_ENCODING};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Limited};

use super::News;
use super::schedule::Schedule;
use crate::body::{Body, BoxError};
use crate::clock;
use crate::config::jwt_key::{KeyFault, MAX_KEY_TEXT};
use crate::config::{self, JwksUrl, JwtKey, KeyForm};
use crate::http_cache::Exchange;
use crate::http_cache::freshness::stated_rest;
use crate::in_flight::InFlight;
use crate::remote::{self, RemoteError};

/// For a fetch, connecting included.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The URL and when it is fetched.
#[derive(Debug)]
pub(super) struct KeyUrl {
    url: JwksUrl,
    in_flight: InFlight,
    schedule: Schedule,
    /// A token has named a key that is unknown.
    missed: bool,
}

/// Why a fetch brought no keys.
#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error(transparent)]
    Remote(#[from] RemoteError),
    #[error("no whole answer within {0:?}")]
    Timeout(Duration),
    #[error("it answered {0}{hint}", hint = hint_at(*_0))]
    Status(StatusCode),
    #[error("its answer did not come whole, or has over {most} KiB ({error})", most = MAX_KEY_TEXT >> 10)]
    Body { error: BoxError },
    #[error(transparent)]
    Keys(#[from] KeyFault),
}

fn hint_at(status: StatusCode) -> &'static str {
    match status.is_redirection() {
        true => " (write the URL that this leads to: no other is asked)",
        false => "",
    }
}

impl KeyUrl {
    pub(super) fn new(url: JwksUrl, in_flight: InFlight) -> KeyUrl {
        KeyUrl {
            schedule: Schedule::new(url.stale, url.least),
            url,
            in_flight,
            missed: false,
        }
    }

    /// Fetches it if it is time; `missed`: a token has named a key that is unknown.
    pub(super) async fn look(&mut self, missed: bool) -> Option<News> {
        self.missed |= missed;
        let now = clock::monotonic();
        if self.schedule.take_expired(now) {
            let stale = config::show_duration(self.url.stale);
            let why = format!(
                "{}: not renewed for jwks_stale ({stale}) past its life",
                self.url
            );
            return Some(News::Expired(why));
        }
        if !self.schedule.is_due(now, self.missed) {
            return None;
        }
        self.missed = false;
        let left = self.schedule.start(now);
        let timeout = left.map_or(TIMEOUT, |left| left.min(TIMEOUT));
        let fetched = tokio::time::timeout(timeout, self.fetch()).await;
        let fetched = fetched.unwrap_or(Err(FetchError::Timeout(timeout)));
        let (now, share) = (clock::monotonic(), fastrand::f64());
        Some(match fetched {
            Ok((key, life)) => {
                self.schedule.succeed(now, life, share);
                News::Key(key)
            }
            Err(error) => {
                self.schedule.fail(now, share);
                News::Refused(format!("{}: {error}", self.url))
            }
        })
    }

    /// The document, and how long it says it lives.
    async fn fetch(&self) -> Result<(JwtKey, Option<Duration>), FetchError> {
        let request_time = clock::wall();
        let response =
            remote::send(&self.url.url, self.request(), TIMEOUT, &self.in_flight).await?;
        let (head, body) = response.into_parts();
        if head.status != StatusCode::OK {
            return Err(FetchError::Status(head.status));
        }
        let life = stated_rest(&Exchange {
            status: head.status,
            headers: &head.headers,
            request_time,
            response_time: clock::wall(),
            clock_lead: Duration::ZERO,
        });
        let body = Limited::new(body.within(None), MAX_KEY_TEXT);
        let text: Bytes = body
            .collect()
            .await
            .map_err(|error| FetchError::Body { error })?
            .to_bytes();
        let key = JwtKey::parse(KeyForm::Jwks, text.to_vec())?;
        Ok((key, life))
    }

    fn request(&self) -> Request<Body> {
        remote::request(&self.url.url, Method::GET)
            .header(ACCEPT, "application/json")
            .header(ACCEPT_ENCODING, "identity")
            .body(Body::empty())
            .expect("host and path were parsed with the URL")
    }
}
