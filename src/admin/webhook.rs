//! `[alerts] webhook`: alerts are posted when they begin and when they are over, and again until somebody takes them.

use std::sync::Arc;
use std::time::{Duration, Instant, UNIX_EPOCH};

use http::StatusCode;
use serde_json::json;

use super::Admin;
use super::notices::{Change, Notice, Notices};
use crate::clock;
use crate::config::RemoteUrl;
use crate::remote::{self, RemoteError};

/// From one look at the thresholds to the next.
const EVERY: Duration = Duration::from_secs(5);

/// For a post, connecting included.
const TIMEOUT: Duration = Duration::from_secs(5);

/// After the first failure; each further one doubles it.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(300);

/// Why nobody was told.
#[derive(Debug, thiserror::Error)]
enum PostError {
    #[error(transparent)]
    Remote(#[from] RemoteError),
    #[error("it answered {0}")]
    Status(StatusCode),
}

/// When it is tried again.
#[derive(Debug, Default)]
struct Backoff {
    /// What it is about: another URL is tried at once.
    url: Option<RemoteUrl>,
    /// In a row.
    failures: u32,
    /// Not before this.
    next: Option<Instant>,
}

/// Looks at the thresholds again and again, until the interface ends.
pub(super) async fn follow(admin: Arc<Admin>) {
    let (mut notices, mut backoff) = (Notices::default(), Backoff::default());
    loop {
        tokio::select! {
            () = admin.ending.cancelled() => return,
            () = tokio::time::sleep(backoff.pause(clock::monotonic())) => {}
        }
        let webhook = admin.live.load().config.alerts.webhook.clone();
        let Some(url) = webhook else {
            (notices, backoff) = Default::default();
            continue;
        };
        backoff.is_about(&url);
        let overview = admin.overview().await;
        notices.note(&overview.alerts, clock::monotonic());
        if backoff.left(clock::monotonic()).is_zero() {
            tell_all(&admin, &url, &mut notices, &mut backoff).await;
        }
    }
}

/// Tells what there is to tell, until it fails.
async fn tell_all(admin: &Admin, url: &RemoteUrl, notices: &mut Notices, backoff: &mut Backoff) {
    backoff.next = Some(clock::monotonic() + EVERY);
    while let Some(notice) = notices.next(clock::monotonic()) {
        match post(admin, url, &notice).await {
            Ok(()) => {
                notices.was_told(&notice);
                if backoff.failures > 0 {
                    tracing::info!(webhook = url.origin(), "alerts can be posted again");
                }
                backoff.failures = 0;
                admin.metrics.webhook_posts.with_label_values(&["ok"]).inc();
            }
            Err(error) => {
                if backoff.failures == 0 {
                    tracing::warn!(webhook = url.origin(), %error, "[alerts] webhook: not posted; it is tried again");
                }
                let errors = admin.metrics.webhook_posts.with_label_values(&["error"]);
                errors.inc();
                backoff.fail(clock::monotonic());
                return;
            }
        }
    }
}

impl Backoff {
    /// What came of another URL says nothing of this one.
    fn is_about(&mut self, url: &RemoteUrl) {
        if self.url.as_ref() != Some(url) {
            *self = Backoff {
                url: Some(url.clone()),
                ..Backoff::default()
            };
        }
    }

    fn fail(&mut self, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        let doubled = FIRST_RETRY * 2u32.pow((self.failures - 1).min(10));
        let pause = doubled.min(LONGEST_RETRY);
        // So that sidecars that failed together do not come again together.
        self.next = Some(now + pause - pause.mul_f64(fastrand::f64() / 10.0));
    }

    /// Until things are looked at again, which may be before anything is posted again.
    fn pause(&self, now: Instant) -> Duration {
        match self.next {
            Some(_) => self.left(now).min(EVERY),
            None => EVERY,
        }
    }

    fn left(&self, now: Instant) -> Duration {
        let left = |next: Instant| next.saturating_duration_since(now);
        self.next.map_or(Duration::ZERO, left)
    }
}

async fn post(admin: &Admin, url: &RemoteUrl, notice: &Notice) -> Result<(), PostError> {
    let json = write(&admin.fleet.name, notice).to_string();
    match remote::post(url, json, TIMEOUT, admin.store.in_flight()).await? {
        status if status.is_success() => Ok(()),
        status => Err(PostError::Status(status)),
    }
}

/// What is posted; `text` is what chats show.
fn write(sidecar: &str, notice: &Notice) -> serde_json::Value {
    let alert = &notice.alert;
    let words = alert.words.as_deref().unwrap_or(alert.name);
    let text = match notice.change {
        Change::Firing => format!("Pannier {sidecar}: {words}"),
        Change::Resolved => format!("Pannier {sidecar}: over: {words}"),
    };
    let at = clock::wall().duration_since(UNIX_EPOCH).unwrap_or_default();
    json!({
        "status": notice.change.as_str(),
        "alert": alert.name,
        "value": alert.value,
        "threshold": alert.threshold,
        "text": text,
        "sidecar": sidecar,
        "version": env!("CARGO_PKG_VERSION"),
        "at": at.as_secs(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Env};

    fn url(text: &str) -> RemoteUrl {
        let toml = format!("[upstream]\nurl = \"http://app\"\n[alerts]\nwebhook = \"{text}\"\n");
        let config = Config::parse(&toml, "p.toml", &Env::default());
        let alerts = config.expect("a right config").config.alerts;
        alerts.webhook.expect("given")
    }

    #[test]
    fn it_is_tried_again_later_and_later_and_another_url_at_once() {
        let (now, mut backoff) = (clock::monotonic(), Backoff::default());
        let wrong = url("https://hooks.example.com/wrong");
        for seconds in [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300] {
            backoff.is_about(&wrong);
            backoff.fail(now);
            let (left, most) = (backoff.left(now), Duration::from_secs(seconds));
            assert!(
                left <= most && left >= most.mul_f64(0.9),
                "{left:?} {most:?}"
            );
            assert_eq!(backoff.left(now + most), Duration::ZERO);
        }
        backoff.is_about(&wrong);
        assert!(backoff.left(now) > Duration::from_secs(200));
        assert_eq!(backoff.pause(now), EVERY, "the URL may change before");
        backoff.is_about(&url("https://hooks.example.com/right"));
        assert_eq!((backoff.left(now), backoff.failures), (Duration::ZERO, 0));
    }
}
