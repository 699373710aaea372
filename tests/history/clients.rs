//! Clients that read and write through random sidecars, and record it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use pannier::clock;
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::app::{
    Content, FAILED, ITEMS, SLOWEST, Target, VersionedApp, list_of, read_body, read_write, view_of,
};
use super::checker::{Coherence, Item, Read};
use super::fleet::{Fate, Fleet, Reached, SIDECARS, State};
use super::recorder::Recorder;
use crate::support::client::{ClientError, Outgoing, Reply};
use crate::support::sidecar::TOKEN;

const CLIENTS: u64 = 12;
/// Between two requests of a client at most, so that there is time for all else.
const PAUSE: Duration = Duration::from_millis(6);
/// Reads of what was just written.
const READ_BACK: usize = 4;
/// Requests that wait for frozen sidecars at most.
const WAITING: usize = 200;
/// One of so many of the requests for a frozen sidecar is sent, so that some are as long as it is frozen.
const SENT_TO_FROZEN: u8 = 6;

/// The load, until it is stopped.
pub(crate) struct Clients {
    shared: Arc<Shared>,
    tasks: Vec<JoinHandle<()>>,
}

/// What requests need.
pub(crate) struct Shared {
    pub(crate) app: VersionedApp,
    pub(crate) fleet: Arc<Fleet>,
    pub(crate) recorder: Recorder,
    /// Whether clients hang up before they have their answers.
    pub(crate) rude: AtomicBool,
    waiting: Arc<Semaphore>,
    stop: AtomicBool,
}

/// How an exchange ended.
enum Outcome {
    Answered(Reply),
    AppFailed,
    Cut,
    Failed(String),
}

impl Clients {
    pub(crate) fn start(app: VersionedApp, fleet: Arc<Fleet>, seed: u64) -> Clients {
        let shared = Arc::new(Shared {
            app,
            fleet,
            recorder: Recorder::new(),
            rude: AtomicBool::new(false),
            waiting: Arc::new(Semaphore::new(WAITING)),
            stop: AtomicBool::new(false),
        });
        let tasks = (0..CLIENTS).map(|nth| {
            let random = fastrand::Rng::with_seed(seed.wrapping_mul(1000) + nth);
            tokio::spawn(read_and_write(shared.clone(), random))
        });
        let tasks = tasks.collect();
        Clients { shared, tasks }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Returns when nothing is under way.
    pub(crate) async fn stop(self) -> Arc<Shared> {
        self.shared.stop.store(true, Ordering::SeqCst);
        for task in self.tasks {
            task.await.expect("no panic");
        }
        let all = self.shared.waiting.acquire_many(WAITING as u32).await;
        drop(all.expect("it is never closed"));
        self.shared
    }
}

async fn read_and_write(shared: Arc<Shared>, mut random: fastrand::Rng) {
    while !shared.stop.load(Ordering::SeqCst) {
        if random.u8(0..100) < 5 {
            let item = rarely_the_last(&mut random);
            write(&shared, item, &mut random).await;
            for _ in 0..READ_BACK {
                read(&shared, item, &mut random).await;
            }
        } else {
            let item = random.u8(0..ITEMS);
            read(&shared, item, &mut random).await;
        }
        tokio::time::sleep(PAUSE.mul_f64(random.f64())).await;
    }
}

/// An item to write. What one purge leaves behind is soon gone if others follow: so some are written a hundred
/// times as often as others.
fn rarely_the_last(random: &mut fastrand::Rng) -> Item {
    (random.f64().powi(6) * f64::from(ITEMS)) as Item
}

/// Anything with `item`, by either kind of route.
async fn read(shared: &Arc<Shared>, item: Item, random: &mut fastrand::Rng) {
    let Some(number) = choose(shared, random) else {
        return;
    };
    let target = Target::with(item, random);
    let coherence = [Coherence::Tracked, Coherence::Strict][random.usize(0..2)];
    let rest = shared.clone().read(number, target, coherence);
    shared.send(number, rest, random).await;
}

async fn write(shared: &Arc<Shared>, item: Item, random: &mut fastrand::Rng) {
    let Some(number) = choose(shared, random) else {
        return;
    };
    let this = shared.clone();
    match random.u8(0..40) {
        0..24 => {
            let path = Target::Item(item).path(false);
            let body = json!({"view": view_of(item)});
            let rest = this.write(number, path, body.to_string());
            shared.send(number, rest, random).await;
        }
        24..32 => {
            let path = format!("/lists/{}", list_of(item));
            let rest = this.write(number, path, String::new());
            shared.send(number, rest, random).await;
        }
        kind => {
            let rest = this.purge(number, item, kind == 39);
            shared.send(number, rest, random).await;
        }
    }
}

fn choose(shared: &Shared, random: &mut fastrand::Rng) -> Option<usize> {
    let number = random.usize(0..SIDECARS);
    (shared.fleet.state(number) != State::Ended).then_some(number)
}

impl Shared {
    /// Waits for it, unless the sidecar is frozen: then others are to go on.
    async fn send(
        &self,
        number: usize,
        exchange: impl Future<Output = ()> + Send + 'static,
        random: &mut fastrand::Rng,
    ) {
        if self.fleet.state(number) == State::Frozen {
            if random.u8(0..SENT_TO_FROZEN) > 0 {
                return;
            }
            if let Ok(permit) = self.waiting.clone().try_acquire_owned() {
                tokio::spawn(async move {
                    exchange.await;
                    drop(permit);
                });
            }
        } else if self.rude.load(Ordering::SeqCst) && random.bool() {
            let patience = SLOWEST.mul_f64(random.f64());
            let _ = tokio::time::timeout(patience, exchange).await;
        } else {
            exchange.await;
        }
    }

    async fn read(self: Arc<Shared>, number: usize, target: Target, coherence: Coherence) {
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
                target: path,
                coherence,
                by: origin,
                begun,
                seen,
                is_hit,
            }),
            Content::Wrong(other) => recorded.torn.push(format!("{path} is of {other}")),
            Content::Torn => recorded.torn.push(format!("{path}: {:?}", reply.body)),
        }
        if fate == Fate::Ran {
            let allowed = if is_hit { Duration::ZERO } else { SLOWEST };
            recorded.added.push(took.saturating_sub(allowed));
        }
        if is_hit && coherence == Coherence::Strict {
            recorded.redis_answered(origin, begun, begun + took);
        }
    }

    async fn write(self: Arc<Shared>, number: usize, path: String, body: String) {
        let reached = self.fleet.reached(number);
        let request = reached.proxy.request("PUT", &path).body(body);
        let request = request.header("content-type", "application/json");
        if let Some(reply) = self.exchange(request, &reached, &path).await {
            let now = self.recorder.moment(clock::monotonic());
            let mut recorded = self.recorder.lock();
            match read_write(&reply.body) {
                Some(made) => recorded.written(reached.origin, now, &made),
                None => recorded.torn.push(format!("PUT {path}: {:?}", reply.body)),
            }
        }
    }

    /// A write that no sidecar sees, and the purge of what it made stale by way of one of them.
    async fn purge(self: Arc<Shared>, number: usize, item: Item, everything: bool) {
        let reached = self.fleet.reached(number);
        let made = self.app.write_directly(item);
        let list = list_of(item);
        let what = match everything {
            true => json!({"everything": true}),
            false => json!({
                "keys": [format!("item:{list}:{item}"), format!("strict:item:{list}:{item}")],
                "patterns": [format!("list:{list}:*"), format!("strict:list:{list}:*")],
                "tags": [format!("view:{}", view_of(item))],
            }),
        };
        let request = reached.admin.request("POST", "/purge");
        let request = request.header("authorization", &format!("Bearer {TOKEN}"));
        let request = request.header("content-type", "application/json");
        let request = request.body(what.to_string());
        if self.exchange(request, &reached, "/purge").await.is_some() {
            let now = self.recorder.moment(clock::monotonic());
            self.recorder.lock().written(reached.origin, now, &made);
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
