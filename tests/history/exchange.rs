//! One request, and what is recorded of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pannier::clock;
use serde_json::json;

use super::app::{Content, FAILED, SLOWEST, Target, list_of, read_body, read_write, view_of};
use super::checker::{Coherence, Item, Origin, Read};
use super::clients::Shared;
use super::fleet::{Fate, Reached};
use crate::support::client::{ClientError, Outgoing, Reply};
use crate::support::sidecar::TOKEN;

/// How an exchange ended.
enum Outcome {
    Answered(Reply),
    AppFailed,
    Cut,
    Failed(String),
}

impl Shared {
    pub(crate) async fn read(
        self: Arc<Shared>,
        number: usize,
        target: Target,
        coherence: Coherence,
    ) {
        let Reached { origin, proxy, .. } = self.fleet.reached(number);
        let path = target.path(coherence == Coherence::Strict);
        let begun = clock::monotonic();
        let reply = proxy.request("GET", &path).try_send().await;
        let took = clock::monotonic() - begun;
        let fate = self.fleet.fate(origin, begun);
        let Some(reply) = self.record_failure("GET", &path, reply, begun, fate) else {
            return;
        };
        let begun = self.recorder.moment(begun);
        let is_hit = reply.is_hit();
        let mut recorded = self.recorder.lock();
        match read_body(&path, &reply.body) {
            Content::Versions(seen) => recorded.reads.push(Read {
                target: path.clone(),
                coherence,
                by: origin,
                begun,
                seen,
                is_hit,
                status: reply.cache_status().to_owned(),
            }),
            Content::Wrong(other) => recorded.torn.push(format!("{path} is of {other}")),
            Content::Torn => recorded.torn.push(format!("{path}: {:?}", reply.body)),
        }
        if fate == Fate::Ran {
            let allowed = if is_hit { Duration::ZERO } else { SLOWEST };
            recorded.added(took.saturating_sub(allowed), begun, || {
                let Origin { sidecar, life } = origin;
                format!("{path} through {sidecar}.{life}: {}", reply.cache_status())
            });
        }
        if is_hit && coherence == Coherence::Strict {
            recorded.redis_answered(origin, begun, begun + took);
        }
    }

    pub(crate) async fn write(self: Arc<Shared>, number: usize, path: String, body: String) {
        let Ok(_under_way) = self.fleet.writes(number).try_read() else {
            return;
        };
        let reached = self.fleet.reached(number);
        let request = reached.proxy.request("PUT", &path).body(body);
        let request = request.header("content-type", "application/json");
        if let Some(reply) = self.exchange(request, &reached, &path).await {
            let now = self.recorder.moment(clock::monotonic());
            self.note_pending(&reached, reply.cache_status().contains("purge-pending"));
            let mut recorded = self.recorder.lock();
            match read_write(&reply.body) {
                Some(made) => {
                    recorded.written(reached.origin, now, &made, reply.cache_status());
                }
                None => recorded.torn.push(format!("PUT {path}: {:?}", reply.body)),
            }
        }
    }

    /// A write that no sidecar sees, and the purge of what it made stale by way of one of them.
    pub(crate) async fn purge(
        self: Arc<Shared>,
        number: usize,
        item: Item,
        everything: bool,
        softly: bool,
    ) {
        let Ok(_under_way) = self.fleet.writes(number).try_read() else {
            return;
        };
        let reached = self.fleet.reached(number);
        let made = self.app.write_directly(item);
        let list = list_of(item);
        let what = match everything {
            true => json!({"everything": true, "soft": softly}),
            false => json!({
                "soft": softly,
                "keys": [format!("item:{list}:{item}"), format!("strict:item:{list}:{item}")],
                "patterns": [format!("list:{list}:*"), format!("strict:list:{list}:*")],
                "tags": [format!("view:{}", view_of(item))],
            }),
        };
        let request = reached.admin.request("POST", "/purge");
        let request = request.header("authorization", &format!("Bearer {TOKEN}"));
        let request = request.header("content-type", "application/json");
        let request = request.body(what.to_string());
        if let Some(reply) = self.exchange(request, &reached, "/purge").await {
            self.note_pending(&reached, reply.value()["pending"] == true);
            let now = self.recorder.moment(clock::monotonic());
            let mut recorded = self.recorder.lock();
            recorded.written(reached.origin, now, &made, "a purge");
        }
    }

    fn note_pending(&self, reached: &Reached, is_pending: bool) {
        if is_pending {
            let Origin { sidecar, life } = reached.origin;
            self.recorder
                .note(format!("a purge through {sidecar}.{life} has yet to land"));
        }
    }

    async fn exchange(&self, request: Outgoing, reached: &Reached, path: &str) -> Option<Reply> {
        let begun = clock::monotonic();
        let reply = request.try_send().await;
        let fate = self.fleet.fate(reached.origin, begun);
        self.record_failure("write", path, reply, begun, fate)
    }

    /// The answer, if it is as it should be.
    fn record_failure(
        &self,
        what: &str,
        path: &str,
        reply: Result<Reply, ClientError>,
        begun: Instant,
        fate: Fate,
    ) -> Option<Reply> {
        match self.judge(reply, begun, fate) {
            Outcome::Answered(reply) => return Some(reply),
            Outcome::AppFailed => self.recorder.lock().app_failed += 1,
            Outcome::Cut => self.recorder.lock().cut += 1,
            Outcome::Failed(how) => {
                let failed = format!("{what} {path}: {how}");
                self.recorder.lock().failed.push(failed);
            }
        }
        None
    }

    fn judge(&self, reply: Result<Reply, ClientError>, begun: Instant, fate: Fate) -> Outcome {
        match reply {
            Ok(reply) if reply.status == 200 => Outcome::Answered(reply),
            Ok(reply) if !reply.header(FAILED).is_empty() => Outcome::AppFailed,
            // The app broke the connection, for this request or for one that this one waited for.
            _ if self.app.has_failed_since(begun) => Outcome::AppFailed,
            Err(_) if fate == Fate::Ended => Outcome::Cut,
            Ok(reply) => Outcome::Failed(format!("{} ({})", reply.status, reply.cache_status())),
            Err(error) => Outcome::Failed(format!("{error:?}")),
        }
    }
}
