//! `/events`: what `/stats` says, sent to every page that listens, by one task for all of them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use http::StatusCode;
use http_body_util::{Either, StreamBody};
use hyper::body::Frame;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::answer::{Answer, answer};
use super::history::{Reading, Step};
use super::{Admin, history};
use crate::clock;

/// From one event to the next.
const EVERY: Duration = Duration::from_secs(2);

/// The last event, for all who listen.
#[derive(Debug)]
pub(super) struct News(watch::Sender<Bytes>);

impl Default for News {
    fn default() -> News {
        News(watch::Sender::new(Bytes::new()))
    }
}

impl News {
    /// Server-sent events until `ending`.
    pub(super) fn answer(&self, ending: CancellationToken) -> Answer {
        let listener = self.0.subscribe();
        let events = stream::unfold((listener, ending), |(mut listener, ending)| async move {
            tokio::select! {
                () = ending.cancelled() => None,
                changed = listener.changed() => {
                    changed.ok()?;
                    let event = listener.borrow_and_update().clone();
                    Some((Ok(Frame::data(event)), (listener, ending)))
                }
            }
        });
        let body = StreamBody::new(Box::pin(events) as BoxStream<'static, _>);
        answer(StatusCode::OK, "text/event-stream", Bytes::new()).map(|_| Either::Right(body))
    }
}

/// Takes a step of the history when it is over, and sends events while anybody listens. Ends with the interface.
pub(super) async fn report(admin: Arc<Admin>) {
    let mut tick = tokio::time::interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut step_at = clock::monotonic();
    loop {
        tokio::select! {
            () = admin.ending.cancelled() => return,
            _ = tick.tick() => {}
        }
        let mut step = None;
        let now = clock::monotonic();
        if now >= step_at {
            step_at = history::next_due(step_at, now);
            step = take_step(&admin).await;
        }
        if admin.news.0.receiver_count() > 0 {
            let news = json!({ "stats": admin.overview_of_fleet().await, "step": step });
            admin
                .news
                .0
                .send_replace(format!("data: {news}\n\n").into());
        }
    }
}

async fn take_step(admin: &Admin) -> Option<Step> {
    // Sets the gauges.
    admin.status().await;
    let families = {
        let _turn = admin.wait_for_turn().await;
        admin.metrics.registry.gather()
    };
    let fetcher = &admin.controls.fetcher;
    admin.derived.update(&admin.metrics, &families, fetcher);
    let at = clock::wall().duration_since(std::time::UNIX_EPOCH);
    let at = at.unwrap_or_default().as_secs();
    let now = clock::monotonic();
    let live = admin.live.load();
    let routes = live.config.routes.iter();
    let names: BTreeSet<&str> = routes.map(|route| &*route.name).chain(["-"]).collect();
    let reading = Reading::take(&families, now, at).of_rules(|name| names.contains(name));
    admin.past.note(&families, now);
    admin.history.note(reading)
}
