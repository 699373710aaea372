//! A config made into running parts: worker threads, the admin interface; reload; drain.

mod redis_threads;
mod thread;

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context;
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::runtime::Runtime;
use tokio_util::sync::{CancellationToken, DropGuard};

use self::redis_threads::RedisThreads;
use self::thread::spawn;
use crate::admin::{self, Admin, Controls, Fetcher};
use crate::clock::Clock;
use crate::config::{Config, Listen};
use crate::control::{Reloader, Switchboard, WriteExchange};
use crate::descriptors::{Descriptors, fit};
use crate::jobs::Jobs;
use crate::keep_running::keep_running;
use crate::key_refresh;
use crate::live::Live;
use crate::metrics::Metrics;
use crate::observe::{HotKeys, Observations, ReadMarks};
use crate::proxy::{
    Audits, Cache, Checks, Examinations, Flights, HeadCache, LateWrites, Refetches, Sources, Tally,
    Worker,
};
use crate::rollout::Evidence;
use crate::server::{self, Shared};
use crate::store::Store;
use crate::turns::Turns;

/// How long the first requests may wait for the first word of Redis.
const LONGEST_START: Duration = Duration::from_secs(1);

/// Streams of HTTP/2, and fills that go on without a client, that a worker begins in one turn of its
/// runtime. With fewer a hit over HTTP/2 costs more: at 4 a third.
const BEGUN_IN_A_TURN: usize = 8;

/// The worker that answers no client: its connections to the app are its own, behind those of all others.
const BACKGROUND: usize = usize::MAX;

/// A running sidecar.
pub struct App {
    proxy_addr: SocketAddr,
    admin_addr: SocketAddr,
    live: Arc<ArcSwap<Live>>,
    reloader: Arc<Reloader>,
    metrics: Arc<Metrics>,
    /// Says that the process is about to end.
    leaving: CancellationToken,
    /// Begins the drain when it is dropped, so that a start which fails leaves no thread behind.
    stop_workers: DropGuard,
    /// Ends the admin interface when it is dropped, for the same reason.
    stop_admin: DropGuard,
    workers: Vec<JoinHandle<()>>,
    redis: RedisThreads,
    admin_thread: JoinHandle<()>,
}

/// What the workers and the admin interface are made of.
#[derive(Clone)]
struct Parts {
    live: Arc<ArcSwap<Live>>,
    store: Store,
    flights: Arc<Flights>,
    metrics: Arc<Metrics>,
    clock: Clock,
    checks: Arc<Checks>,
    late_writes: LateWrites,
    tally: Arc<Tally>,
    evidence: Arc<Mutex<Evidence>>,
    observations: Arc<Mutex<Observations>>,
    hot_keys: Arc<Mutex<HotKeys>>,
    read_marks: Arc<ReadMarks>,
    renewal_marks: Arc<ReadMarks>,
    refetches: Arc<Refetches>,
    audits: Arc<Audits>,
    examinations: Arc<Examinations>,
    leaving: CancellationToken,
    warmed: CancellationToken,
    switchboard: Arc<Switchboard>,
    reloader: Arc<Reloader>,
}

impl App {
    /// Starts everything; returns when both addresses accept connections.
    pub fn start(mut config: Config, source: Option<PathBuf>) -> anyhow::Result<App> {
        let descriptors = Descriptors::raise_for(&config);
        fit(&mut config, descriptors);
        server::limit_lingering(descriptors.lingering());
        let metrics = Arc::new(Metrics::new());
        metrics.start_time.set(unix_seconds());
        metrics.config_hash.set(config.hash as f64);
        let clock = Clock::default();
        let (listen, redis) = (config.listen.clone(), config.redis.clone());
        let max_fills = config.upstream.max_fills;
        let store = Store::new(&config, clock.clone(), metrics.clone()).keeping_journal()?;
        let live = Live::new(config, source, &metrics, store.in_flight())?;
        let live = Arc::new(ArcSwap::from_pointee(live));
        let switchboard = Arc::new(Switchboard::new(live.clone(), clock.clone()));
        let evidence = Arc::new(Mutex::new(Evidence::default()));
        let reloader = Reloader::new(
            live.clone(),
            store.clone(),
            metrics.clone(),
            descriptors,
            switchboard.clone(),
            evidence.clone(),
        );
        let parts = Parts {
            store,
            live,
            switchboard,
            reloader: Arc::new(reloader),
            flights: Arc::new(Flights::new(max_fills)),
            checks: Arc::default(),
            late_writes: LateWrites::default(),
            tally: Arc::new(Tally::default()),
            evidence,
            observations: Arc::default(),
            hot_keys: Arc::default(),
            read_marks: Arc::default(),
            renewal_marks: Arc::default(),
            refetches: Arc::default(),
            audits: Arc::default(),
            examinations: Arc::default(),
            leaving: CancellationToken::new(),
            warmed: CancellationToken::new(),
            metrics,
            clock,
        };
        let (stop, admin_stop) = (CancellationToken::new(), CancellationToken::new());
        let stop_workers = stop.clone().drop_guard();
        let stop_admin = admin_stop.clone().drop_guard();
        let redis = RedisThreads::start(&parts.store, redis.as_ref(), listen.workers)?;
        let (proxy_addr, workers) = parts.start_workers(&listen, &redis, &stop)?;
        let (admin_addr, admin_thread) = parts.start_admin(listen.admin, proxy_addr, admin_stop)?;
        Ok(App {
            proxy_addr,
            admin_addr,
            live: parts.live,
            reloader: parts.reloader,
            metrics: parts.metrics,
            leaving: parts.leaving,
            stop_workers,
            stop_admin,
            workers,
            redis,
            admin_thread,
        })
    }

    /// Where clients connect.
    pub fn proxy_addr(&self) -> SocketAddr {
        self.proxy_addr
    }

    /// Where the admin interface is.
    pub fn admin_addr(&self) -> SocketAddr {
        self.admin_addr
    }

    /// Puts `config` in force for all later requests. Returns the settings that differ and only take
    /// effect at a restart.
    pub fn reload(&self, config: Config) -> anyhow::Result<Vec<&'static str>> {
        Ok(self.reloader.reload(config)?)
    }

    /// Counts a reload, for `pannier_config_reloads_total`.
    pub fn count_reload(&self, ok: bool) {
        self.metrics
            .config_reloads
            .with_label_values(&[if ok { "ok" } else { "error" }])
            .inc();
    }

    /// Says by `/readyz` that the process is about to end, and goes on accepting: for how long is the caller's
    /// to decide (`[listen] drain_delay`).
    pub fn leave(&self) -> Duration {
        self.leaving.cancel();
        self.live.load().config.listen.drain_delay
    }

    /// Stops accepting, finishes what is in flight, closes Redis; the admin interface goes last.
    pub fn shutdown(self) {
        self.leaving.cancel();
        drop(self.stop_workers);
        for worker in self.workers {
            let _ = worker.join();
        }
        self.redis.end();
        drop(self.stop_admin);
        let _ = self.admin_thread.join();
    }
}

impl Parts {
    /// One listener and thread a worker; the address they share.
    fn start_workers(
        &self,
        listen: &Listen,
        redis: &RedisThreads,
        stop: &CancellationToken,
    ) -> anyhow::Result<(SocketAddr, Vec<JoinHandle<()>>)> {
        let shared = Shared::new(listen.max_connections, stop.clone());
        let mut address = listen.proxy;
        let mut workers = Vec::with_capacity(listen.workers);
        let (attached, all_attached) = mpsc::channel();
        for index in 0..listen.workers {
            let listener = match index {
                0 => server::listen_alone(address),
                _ => server::listen_beside(address),
            };
            let listener = listener.with_context(|| refuse_address("proxy", address))?;
            // Port 0 is settled by the first listener.
            address = listener.local_addr()?;
            let (parts, shared, attached) = (self.clone(), shared.clone(), attached.clone());
            let attachment = redis.attachment(&self.store, index);
            workers.push(spawn(&format!("pannier-{index}"), move |runtime| {
                let store = attachment.attach();
                let settled = store.clone();
                let worker = Arc::new(parts.worker(index, store.clone()));
                let _ = attached.send(());
                // Else a write could be answered before its purge can be sent.
                runtime.block_on(settled.settle(LONGEST_START));
                // What the fleet has switched off is off from the first request on.
                let is_told = runtime.block_on(parts.switchboard.agree(&settled));
                if index == 0 && !is_told && settled.is_shared() {
                    tracing::warn!(
                        "Redis has not said in time what is switched: until it does, the file holds"
                    );
                }
                serve(runtime, listener, worker, shared);
                runtime.block_on(store.close());
            })?);
        }
        drop(attached);
        // Redis is reported as up only if all connections are, so all of them are attached before the report.
        if all_attached.iter().take(listen.workers).count() < listen.workers {
            anyhow::bail!("a worker thread did not start");
        }
        Ok((address, workers))
    }

    /// Worker `index`; `store` is attached to its runtime.
    fn worker(&self, index: usize, store: Store) -> Worker {
        Worker {
            index,
            live: self.live.clone(),
            cache: Arc::new(Cache {
                sources: Arc::new(Sources {
                    store: store.clone(),
                    checks: self.checks.clone(),
                    metrics: self.metrics.clone(),
                }),
                store,
                turns: Turns::new(BEGUN_IN_A_TURN),
                flights: self.flights.clone(),
                heads: HeadCache::default(),
                evidence: self.evidence.clone(),
                observations: self.observations.clone(),
                hot_keys: self.hot_keys.clone(),
                read_marks: self.read_marks.clone(),
                renewal_marks: self.renewal_marks.clone(),
                refetches: self.refetches.clone(),
                audits: self.audits.clone(),
                examinations: self.examinations.clone(),
                metrics: self.metrics.clone(),
                clock: self.clock.clone(),
            }),
            late_writes: self.late_writes.clone(),
            leaving: self.leaving.clone(),
            warmed: self.warmed.clone(),
            metrics: self.metrics.clone(),
            tally: self.tally.clone(),
        }
    }

    /// The admin interface, once its store is attached; its address.
    fn start_admin(
        &self,
        address: SocketAddr,
        proxy: SocketAddr,
        stop: CancellationToken,
    ) -> anyhow::Result<(SocketAddr, JoinHandle<()>)> {
        let listener =
            TcpListener::bind(address).with_context(|| refuse_address("admin", address))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let (metrics, store, live) = (self.metrics.clone(), self.store.clone(), self.live.clone());
        let draining = self.leaving.clone();
        let (switchboard, reloader) = (self.switchboard.clone(), self.reloader.clone());
        let (evidence, parts) = (self.evidence.clone(), self.clone());
        let parts_of_keys = self.clone();
        let keys = keep_running("keys of [jwt]", move || {
            let Parts {
                live,
                store,
                metrics,
                ..
            } = parts_of_keys.clone();
            key_refresh::keep_fresh(live, store.in_flight().clone(), metrics)
        });
        let (attached, is_attached) = mpsc::channel();
        let thread = spawn("pannier-admin", move |runtime| {
            let store = store.attach_for_upkeep();
            let _ = attached.send(());
            let heeding = reloader.clone();
            let exchange = WriteExchange::new(live.clone(), evidence.clone());
            let of_jobs = parts.worker(BACKGROUND, store.clone());
            let jobs = Arc::new(Jobs::new(of_jobs, parts.warmed.clone()));
            let controls = Controls {
                jobs: jobs.clone(),
                switchboard: switchboard.clone(),
                reloader,
                evidence,
                fetcher: Fetcher::of(parts.worker(BACKGROUND, store.clone())),
            };
            let admin = Admin::new(
                name_of_sidecar(proxy),
                metrics,
                store.clone(),
                live,
                controls,
                draining,
            );
            let admin = Arc::new(admin);
            runtime.block_on(async {
                // One a process, and with the runtime it ends.
                tokio::spawn(keys);
                match tokio::net::TcpListener::from_std(listener) {
                    // One task of the process does what has to be done later.
                    Ok(listener) => tokio::select! {
                        () = admin::serve(listener, admin, stop) => {}
                        () = store.carry_out_later() => {}
                        () = switchboard.follow(&store, || heeding.heed_rollbacks()) => {}
                        () = exchange.follow(&store) => {}
                        () = jobs.follow(&store) => {}
                    },
                    Err(error) => tracing::error!(%error, "admin interface ended"),
                }
                store.close().await;
            });
        })?;
        is_attached
            .recv()
            .context("the admin thread did not start")?;
        Ok((address, thread))
    }
}

fn refuse_address(key: &str, address: SocketAddr) -> String {
    format!(
        "[listen] {key} = \"{address}\": cannot listen; end what listens there (another sidecar?), or write another \
         address"
    )
}

/// One worker's life on its thread.
fn serve(runtime: &Runtime, listener: TcpListener, worker: Arc<Worker>, shared: Shared) {
    let index = worker.index;
    if let Err(error) = runtime.block_on(server::serve(listener, worker, shared)) {
        tracing::error!(%error, "worker {index} ended");
    }
}

/// As people know it: the machine or container, and the port of the proxy.
fn name_of_sidecar(proxy: SocketAddr) -> String {
    let system = rustix::system::uname();
    format!("{}:{}", system.nodename().to_string_lossy(), proxy.port())
}

fn unix_seconds() -> f64 {
    crate::clock::wall()
        .duration_since(std::time::UNIX_EPOCH)
        .map(|since| since.as_secs_f64())
        .unwrap_or_default()
}
