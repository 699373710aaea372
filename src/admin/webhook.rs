//! `[alerts] webhook`: alerts are posted when they begin and when they are over, and again until somebody takes them.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

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

/// Looks at the thresholds again and again, until the interface ends.
pub(super) async fn follow(admin: Arc<Admin>) {
    let mut notices = Notices::default();
    let mut failures = 0;
    loop {
        let pause = match failures {
            0 => EVERY,
            _ => pause_after(failures),
        };
        tokio::select! {
            () = admin.ending.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        let webhook = admin.live.load().config.alerts.webhook.clone();
        let Some(url) = webhook else {
            (notices, failures) = Default::default();
            continue;
        };
        let overview = admin.overview().await;
        notices.note(&overview.alerts, clock::monotonic());
        failures = tell_all(&admin, &url, &mut notices, failures).await;
    }
}

/// Tells what there is to tell; how often it has failed in a row.
async fn tell_all(admin: &Admin, url: &RemoteUrl, notices: &mut Notices, mut failures: u32) -> u32 {
    while let Some(notice) = notices.next(clock::monotonic()) {
        match post(admin, url, &notice).await {
            Ok(()) => {
                notices.was_told(&notice);
                if failures > 0 {
                    tracing::info!(webhook = url.origin(), "alerts can be posted again");
                }
                failures = 0;
                admin.metrics.webhook_posts.with_label_values(&["ok"]).inc();
            }
            Err(error) => {
                if failures == 0 {
                    tracing::warn!(webhook = url.origin(), %error, "[alerts] webhook: not posted; it is tried again");
                }
                admin
                    .metrics
                    .webhook_posts
                    .with_label_values(&["error"])
                    .inc();
                return failures.saturating_add(1);
            }
        }
    }
    failures
}

fn pause_after(failures: u32) -> Duration {
    let doubled = FIRST_RETRY * 2u32.pow((failures - 1).min(10));
    let pause = doubled.min(LONGEST_RETRY);
    // So that sidecars that failed together do not come again together.
    pause - pause.mul_f64(fastrand::f64() / 10.0)
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
