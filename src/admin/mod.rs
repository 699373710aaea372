//! The admin interface: health, readiness, metrics, stats and the page that shows them, purge, explain; on an address of
//! its own.
//!
//! It is for operators and scrapers, so it is small: HTTP/1.1, few connections, short bodies.
//! Whatever is asked by POST or DELETE wants the token: purges, switches, a rollback, jobs, and what is stored for a request. It goes on answering
//! through a drain, so that `/readyz` can tell the load balancer; the caller stops it last.

mod advice;
mod alerts;
mod answer;
mod connection;
mod dashboard;
mod derived;
mod endpoint;
mod events;
pub mod explain;
pub mod fleet;
pub mod guard;
mod history;
mod host;
mod jobs;
mod notices;
pub mod overview;
mod places;
mod prompt_timer;
pub mod purge;
mod refresh;
pub mod refusal;
mod shadow;
mod state;
pub mod stats;
mod under_way;
mod webhook;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{HeaderMap, Method, Request, StatusCode};
use hyper::body::Incoming;
use prometheus::TextEncoder;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, MutexGuard};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::control::{Reloader, RolledBack, Switchboard, Thrown};
use crate::entry::Priority;
use crate::jobs::Jobs;
use crate::keep_running::keep_running;
use crate::live::Live;
use crate::metrics::Metrics;
use crate::rollout::{Evidence, Order};
use crate::store::{Status, Store};
use advice::Past;
use answer::{Answer, answer, answer_json, answer_refusal};
use derived::Derived;
use endpoint::Endpoint;
use events::News;
use fleet::Fleet;
use history::History;
use overview::{Overview, Surroundings};
use places::{Place, Places, Trusted};
pub use refresh::Fetcher;
use refusal::Refusal;
use under_way::PurgesUnderWay;

/// Connections at a time; for a further one the idlest goes.
const MAX_CONNECTIONS: usize = 64;

/// After the end is called, the longest wait for answers under way.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// How old a [`Status`] may be before the store is asked again: scrapers must not load Redis.
const STATUS_MAX_AGE: Duration = Duration::from_secs(1);

/// What the endpoints show and act on.
pub struct Admin {
    /// Gathered by `/metrics` and `/stats`.
    pub metrics: Arc<Metrics>,
    /// Asked for its status, and purged; attached to the runtime that runs [`serve`].
    pub store: Store,
    /// The config in force; with it the token of `POST /purge` and `POST /explain`.
    pub live: Arc<ArcSwap<Live>>,
    /// What `POST /switch` and `POST /rollback` change.
    pub controls: Controls,
    /// Cancelled when the workers drain: `/readyz` then answers 503.
    pub draining: CancellationToken,
    /// Cancelled when the interface ends: events then end, too.
    ending: CancellationToken,
    history: History,
    past: Past,
    purges: PurgesUnderWay,
    derived: Derived,
    fleet: Fleet,
    news: News,
    started: Instant,
    status: Mutex<Option<(Instant, Status)>>,
    gathering: Mutex<()>,
}

/// What operators change at run time, and what they go by.
pub struct Controls {
    /// What is switched.
    pub switchboard: Arc<Switchboard>,
    /// The config in force.
    pub reloader: Arc<Reloader>,
    /// What comparing with the app has shown.
    pub evidence: Arc<parking_lot::Mutex<Evidence>>,
    /// What `POST /refresh` fetches with.
    pub fetcher: Fetcher,
    /// What is fetched without a client.
    pub jobs: Arc<Jobs>,
}

impl Admin {
    /// The interface of a process that starts now, which the fleet knows by `name`: host and port.
    pub fn new(
        name: String,
        metrics: Arc<Metrics>,
        store: Store,
        live: Arc<ArcSwap<Live>>,
        controls: Controls,
        draining: CancellationToken,
    ) -> Admin {
        Admin {
            metrics,
            store,
            live,
            controls,
            draining,
            ending: CancellationToken::new(),
            history: History::default(),
            past: Past::default(),
            purges: PurgesUnderWay::default(),
            derived: Derived::default(),
            fleet: Fleet::new(name),
            news: News::default(),
            started: clock::monotonic(),
            status: Mutex::new(None),
            gathering: Mutex::new(()),
        }
    }

    /// The store's status, at most [`STATUS_MAX_AGE`] old; asking for it also sets the gauges.
    async fn status(&self) -> Status {
        let mut last = self.status.lock().await;
        if let Some((asked, status)) = &*last
            && clock::monotonic().duration_since(*asked) < STATUS_MAX_AGE
        {
            return status.clone();
        }
        let status = self.store.status().await;
        *last = Some((clock::monotonic(), status.clone()));
        status
    }

    /// What `/stats` says.
    async fn overview(&self) -> Overview {
        let status = self.status().await;
        let _turn = self.wait_for_turn().await;
        let uptime = clock::monotonic().duration_since(self.started);
        let live = self.live.load();
        let tokens = stats::Tokens::of(&live);
        let families = self.metrics.registry.gather();
        let stats = stats::summarize(
            &families,
            &status,
            tokens,
            live.gates.background.state(),
            uptime,
        );
        let observed = self.controls.fetcher.report();
        let hour = self.past.last_hour(&families);
        let details = advice::Details::new(hour, &live.config, observed, clock::wall());
        let around = Surroundings {
            draining: self.draining.is_cancelled(),
            history: &self.history,
            fleet: &self.fleet.warnings(),
            evicted_by_others: self.fleet.evicted_by_others(),
            jobs: self.controls.jobs.summary(),
            purges: self.purges.list(self.count_keys(), clock::monotonic()),
        };
        overview::look_over(&live, stats, &details, &around)
    }

    /// The same, with what is known of the fleet.
    async fn overview_of_fleet(&self) -> Overview {
        let mut overview = self.overview().await;
        let own = overview.report(&self.fleet.name, &self.history);
        overview.fleet = Some(self.fleet.summarize(own, clock::monotonic()));
        overview
    }

    /// Keys in Redis, or in memory without it, as they were counted last; nobody is asked.
    fn count_keys(&self) -> u64 {
        let tier = match self.store.is_shared() {
            true => "redis",
            false => "memory",
        };
        let counts = Priority::ALL.map(|priority| {
            let labels = [tier, priority.as_str()];
            self.metrics.store_entries.with_label_values(&labels).get()
        });
        counts.iter().sum::<i64>().max(0).unsigned_abs()
    }

    /// The turn of one who gathers metrics. That takes a while in which nobody else is served, so all others
    /// are served in between.
    async fn wait_for_turn(&self) -> MutexGuard<'_, ()> {
        let turn = self.gathering.lock().await;
        tokio::task::yield_now().await;
        turn
    }

    /// A purge changes what the status says at once.
    async fn forget_status(&self) {
        *self.status.lock().await = None;
    }
}

/// Serves the interface until `stop` is cancelled, then lets answers under way finish.
pub async fn serve(listener: TcpListener, admin: Arc<Admin>, stop: CancellationToken) {
    let places = Places::new(MAX_CONNECTIONS);
    let mut connections = JoinSet::new();
    let of = Arc::clone(&admin);
    let report = move || events::report(Arc::clone(&of));
    let reporter = tokio::spawn(keep_running("events of the page", report));
    let of = Arc::clone(&admin);
    let meet = move || fleet::follow(Arc::clone(&of));
    let meetings = tokio::spawn(keep_running("word with other sidecars", meet));
    let of = Arc::clone(&admin);
    let post = move || webhook::follow(Arc::clone(&of));
    tokio::spawn(keep_running("webhook of alerts", post));
    loop {
        let stream = tokio::select! {
            () = stop.cancelled() => break,
            stream = accept(&listener) => stream,
        };
        let place = places.take();
        connections.spawn(connection::serve(
            stream,
            admin.clone(),
            place,
            stop.clone(),
        ));
        // Each has its first turn before the next one comes, which may take its place.
        tokio::task::yield_now().await;
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    admin.ending.cancel();
    reporter.abort();
    let finished = async {
        while connections.join_next().await.is_some() {}
        let _ = meetings.await;
    };
    if tokio::time::timeout(CLOSE_TIMEOUT, finished).await.is_err() {
        tracing::warn!("admin: connections cut at the end");
    }
}

async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            Err(error) => {
                // Usually the descriptor limit: waiting frees some, and ending would be worse.
                tracing::warn!(%error, "admin: accept failed");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// One request: find the endpoint, let it answer, add what every answer carries.
async fn handle(admin: &Admin, place: &Place, local: IpAddr, request: Request<Incoming>) -> Answer {
    let answer = match find_endpoint(admin, local, &request) {
        Ok(Endpoint::Health) => Ok(answer_json(StatusCode::OK, &json!({ "status": "ok" }))),
        Ok(Endpoint::Ready) => Ok(answer_ready(admin).await),
        Ok(Endpoint::Metrics) => Ok(answer_metrics(admin).await),
        Ok(Endpoint::Stats) => Ok(answer_stats(admin, request.uri().query()).await),
        Ok(Endpoint::History) => Ok(answer_json(StatusCode::OK, &admin.history.show())),
        Ok(Endpoint::Dashboard(part)) => Ok(dashboard::answer_part(part)),
        Ok(Endpoint::Events) => Ok(admin.news.answer(admin.ending.clone())),
        Ok(Endpoint::Shadow) => {
            let accounts = shadow::accounts(&admin.live.load(), &admin.controls.evidence.lock());
            Ok(answer_json(StatusCode::OK, &json!({ "rules": accounts })))
        }
        Ok(Endpoint::Purge) => purge(admin, place, request).await,
        Ok(Endpoint::Switch) if request.method() == Method::POST => {
            switch(admin, place, request).await
        }
        Ok(Endpoint::Switch) => {
            let listing = admin.controls.switchboard.list();
            Ok(answer_json(StatusCode::OK, &listing))
        }
        Ok(Endpoint::Rollback) => roll_back(admin, request).await,
        Ok(Endpoint::Jobs) => Ok(jobs::list(admin)),
        Ok(Endpoint::Job) if request.method() == Method::DELETE => {
            jobs::cancel(admin, request).await
        }
        Ok(Endpoint::Job) => jobs::show(admin, &request),
        Ok(Endpoint::RunJob) => jobs::run(admin, request),
        Ok(Endpoint::Refresh) => refresh(admin, place, request).await,
        Ok(Endpoint::Observations) => Ok(answer_observations(admin).await),
        Ok(Endpoint::Explain) => explain(admin, place, request).await,
        Err(refusal) => Err(refusal),
    };
    let mut answer = answer.unwrap_or_else(|refusal| answer_refusal(&refusal));
    let headers = answer.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    answer
}

fn find_endpoint(
    admin: &Admin,
    local: IpAddr,
    request: &Request<Incoming>,
) -> Result<Endpoint, Refusal> {
    let live = admin.live.load();
    host::check(request, &live.config.admin.hosts, local)?;
    let endpoint = endpoint::find(request.method(), request.uri().path())?;
    if endpoint.shows_figures() {
        let tokens = &live.config.admin;
        let (read_token, token) = (tokens.read_token.as_deref(), tokens.token.as_deref());
        guard::authorize_reading(request.headers(), read_token, token)?;
    }
    Ok(endpoint)
}

/// Redis being down is reported but is no reason to take the sidecar out: memory and the app still serve.
async fn answer_ready(admin: &Admin) -> Answer {
    let redis = stats::RedisState::of(&admin.status().await);
    if admin.draining.is_cancelled() {
        let body = json!({ "ready": false, "reason": "draining", "redis": redis });
        return answer_json(StatusCode::SERVICE_UNAVAILABLE, &body);
    }
    let awaited = admin.controls.jobs.awaited();
    if !awaited.is_empty() {
        let body = json!({ "ready": false, "reason": "warming", "jobs": awaited, "redis": redis });
        return answer_json(StatusCode::SERVICE_UNAVAILABLE, &body);
    }
    answer_json(StatusCode::OK, &json!({ "ready": true, "redis": redis }))
}

/// `?fleet=true`: with all sidecars, which are asked for then.
async fn answer_stats(admin: &Admin, query: Option<&str>) -> Answer {
    let mut fields = query.unwrap_or_default().split('&');
    let overview = match fields.any(|field| field == "fleet=true") {
        true => {
            fleet::meet(admin).await;
            admin.overview_of_fleet().await
        }
        false => admin.overview().await,
    };
    answer_json(StatusCode::OK, &overview)
}

async fn answer_metrics(admin: &Admin) -> Answer {
    admin.status().await;
    let turn = admin.wait_for_turn().await;
    let text = TextEncoder::new().encode_to_string(&admin.metrics.registry.gather());
    drop(turn);
    match text {
        Ok(text) => answer(
            StatusCode::OK,
            "text/plain; version=0.0.4; charset=utf-8",
            text.into(),
        ),
        Err(error) => {
            tracing::error!(%error, "admin: metrics cannot be written");
            let body = json!({ "error": "metrics cannot be written; the log says why" });
            answer_json(StatusCode::INTERNAL_SERVER_ERROR, &body)
        }
    }
}

/// By the token of the config in force.
fn authorize(admin: &Admin, fields: &HeaderMap) -> Result<(), Refusal> {
    guard::authorize(fields, admin.live.load().config.admin.token.as_deref())
}

/// What the holder of the token sends, whose connection goes last while it is being answered.
struct SentOrder<'p> {
    body: Bytes,
    _trusted: Trusted<'p>,
}

async fn read_order<'p>(
    admin: &Admin,
    place: &'p Place,
    request: Request<Incoming>,
) -> Result<SentOrder<'p>, Refusal> {
    let (head, body) = request.into_parts();
    authorize(admin, &head.headers)?;
    let trusted = place.trust();
    Ok(SentOrder {
        body: guard::read_body(&head.headers, body).await?,
        _trusted: trusted,
    })
}

async fn purge(
    admin: &Admin,
    place: &Place,
    request: Request<Incoming>,
) -> Result<Answer, Refusal> {
    let order = read_order(admin, place, request).await?;
    let wanted = purge::parse(&order.body)?;
    tracing::info!(
        selectors = wanted.len(),
        everything = wanted.everything,
        soft = wanted.soft,
        "admin: purge"
    );
    let is_of_all = wanted.everything && !wanted.soft;
    let under_way = admin
        .purges
        .begin(&wanted, admin.count_keys(), clock::monotonic());
    let purge = admin
        .live
        .load()
        .config
        .upstream
        .paths
        .purge(wanted.into_purge());
    let purged = admin.store.purge(purge).await;
    drop(under_way);
    if is_of_all {
        admin.controls.jobs.note_flush();
    }
    admin.metrics.purges.with_label_values(&["admin"]).inc();
    admin.forget_status().await;
    Ok(answer_json(StatusCode::OK, &purged.to_json()))
}

/// Answers with what is switched then.
async fn switch(
    admin: &Admin,
    place: &Place,
    request: Request<Incoming>,
) -> Result<Answer, Refusal> {
    let sent = read_order(admin, place, request).await?;
    let order: Order = serde_json::from_slice(&sent.body)
        .map_err(|error| Refusal::Malformed(error.to_string()))?;
    let switchboard = &admin.controls.switchboard;
    let thrown = switchboard.throw(&order, &admin.store).await;
    let thrown = thrown.map_err(|error| Refusal::Malformed(error.to_string()))?;
    let answer =
        json!({ "holds": holds(thrown), "fleet": thrown.by_fleet, "now": switchboard.list() });
    Ok(answer_json(StatusCode::OK, &answer))
}

/// For whom it holds.
fn holds(thrown: Thrown) -> &'static str {
    match thrown {
        Thrown { by_fleet: true, .. } => "over the fleet, within a second",
        Thrown {
            has_fleet: false, ..
        } => "here: there is no [redis] to tell others by",
        Thrown { .. } => {
            "here alone: Redis cannot be asked now, or has as many as it keeps; the others hear of it as soon as it can"
        }
    }
}

async fn refresh(
    admin: &Admin,
    place: &Place,
    request: Request<Incoming>,
) -> Result<Answer, Refusal> {
    let order = read_order(admin, place, request).await?;
    let wanted = refresh::parse(&order.body)?;
    let fetcher = &admin.controls.fetcher;
    let answer = refresh::carry_out(wanted, &admin.live.load_full(), fetcher).await?;
    Ok(answer_json(StatusCode::OK, &answer))
}

async fn answer_observations(admin: &Admin) -> Answer {
    let _turn = admin.wait_for_turn().await;
    let families = admin.metrics.registry.gather();
    let fetcher = &admin.controls.fetcher;
    admin.derived.update(&admin.metrics, &families, fetcher);
    let mut report = fetcher.report();
    report.evicted = stats::sum_evicted(&families);
    answer_json(StatusCode::OK, &report)
}

/// The config before the last reload is in force again, on each sidecar that has the one which is taken back.
async fn roll_back(admin: &Admin, request: Request<Incoming>) -> Result<Answer, Refusal> {
    authorize(admin, request.headers())?;
    let rolled_back = admin.controls.reloader.roll_back();
    let RolledBack { from, waiting } =
        rolled_back.map_err(|error| Refusal::NoRollback(error.to_string()))?;
    tracing::warn!("admin: the config before the last reload is in force again, until the next");
    let switchboard = &admin.controls.switchboard;
    let thrown = switchboard.take_back(from, &admin.store).await;
    let answer = json!({
        "rolled_back": true, "restart_needed_for": waiting, "holds": holds(thrown), "fleet": thrown.by_fleet,
    });
    Ok(answer_json(StatusCode::OK, &answer))
}

async fn explain(
    admin: &Admin,
    place: &Place,
    request: Request<Incoming>,
) -> Result<Answer, Refusal> {
    let order = read_order(admin, place, request).await?;
    let mut asked = explain::parse(&order.body, admin.live.load_full())?;
    explain::recognize(&mut asked, &admin.store);
    let account = explain::explain(&asked, &admin.store).await;
    Ok(answer_json(StatusCode::OK, &account))
}
