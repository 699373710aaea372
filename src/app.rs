//! A config made into running parts: worker threads, the admin interface; reload; drain.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;

use anyhow::Context;
use arc_swap::ArcSwap;
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::admin::{self, Admin};
use crate::clock::Clock;
use crate::config::Config;
use crate::live::Live;
use crate::metrics::Metrics;
use crate::proxy::{Flights, Heads, Tally, Worker};
use crate::server::{self, Shared};
use crate::store::Store;

/// A running sidecar.
pub struct App {
    proxy_addr: SocketAddr,
    admin_addr: SocketAddr,
    live: Arc<ArcSwap<Live>>,
    metrics: Arc<Metrics>,
    admin: Arc<Admin>,
    /// Begins the drain when it is dropped, so that a start which fails leaves no thread behind.
    stop_workers: DropGuard,
    /// As for the workers, once these are gone.
    stop_admin: DropGuard,
    workers: Vec<JoinHandle<()>>,
    admin_thread: JoinHandle<()>,
}

impl App {
    /// Starts everything; returns when both addresses accept connections.
    pub fn start(config: Config, source: Option<PathBuf>) -> anyhow::Result<App> {
        let metrics = Arc::new(Metrics::new());
        metrics.start_time.set(unix_seconds());
        let clock = Clock::default();
        let listen = config.listen.clone();
        let max_fills = config.upstream.max_fills;
        let store = Store::new(&config, clock.clone(), metrics.clone());
        let token = config.admin.token.clone();
        let live = Arc::new(ArcSwap::from_pointee(Live::new(config, source, &metrics)?));
        let (stop, admin_stop) = (CancellationToken::new(), CancellationToken::new());
        let (stop_workers, stop_admin) =
            (stop.clone().drop_guard(), admin_stop.clone().drop_guard());
        let shared = Shared {
            places: Arc::new(Semaphore::new(listen.max_connections)),
            stop: stop.clone(),
        };
        let (flights, tally) = (
            Arc::new(Flights::new(max_fills)),
            Arc::new(Tally::default()),
        );

        let mut proxy_addr = listen.proxy;
        let mut workers = Vec::with_capacity(listen.workers);
        let (attached, all_attached) = std::sync::mpsc::channel();
        for index in 0..listen.workers {
            let listener = server::listen(proxy_addr)
                .with_context(|| format!("[listen] proxy = \"{proxy_addr}\": cannot listen"))?;
            // Port 0 is settled by the first listener.
            proxy_addr = listener.local_addr()?;
            let worker = Worker {
                index,
                live: live.clone(),
                store: store.clone(),
                flights: flights.clone(),
                metrics: metrics.clone(),
                clock: clock.clone(),
                tally: tally.clone(),
                heads: Heads::default(),
            };
            let (shared, attached) = (shared.clone(), attached.clone());
            workers.push(spawn(&format!("pannier-{index}"), move |runtime| {
                let worker = Arc::new(Worker {
                    store: worker.store.attach(),
                    ..worker
                });
                let _ = attached.send(());
                let store = worker.store.clone();
                if let Err(error) = runtime.block_on(server::serve(listener, worker, shared)) {
                    tracing::error!(%error, "worker {index} ended");
                }
                runtime.block_on(store.close());
            })?);
        }
        drop(attached);
        // That Redis is up is said of all connections, so all are known before anything is said.
        if all_attached.iter().take(listen.workers).count() < listen.workers {
            anyhow::bail!("a worker thread did not start");
        }

        let listener = std::net::TcpListener::bind(listen.admin)
            .with_context(|| format!("[listen] admin = \"{}\": cannot listen", listen.admin))?;
        listener.set_nonblocking(true)?;
        let admin_addr = listener.local_addr()?;
        let (hand_over, handed_over) = std::sync::mpsc::channel();
        let (admin_metrics, admin_live) = (metrics.clone(), live.clone());
        let admin_thread = spawn("pannier-admin", move |runtime| {
            let store = store.attach();
            let admin = Admin::new(admin_metrics, store.clone(), admin_live, token, stop);
            let admin = Arc::new(admin);
            let _ = hand_over.send(admin.clone());
            runtime.block_on(async {
                match tokio::net::TcpListener::from_std(listener) {
                    Ok(listener) => admin::serve(listener, admin, admin_stop).await,
                    Err(error) => tracing::error!(%error, "admin interface ended"),
                }
                store.close().await;
            });
        })?;
        let admin = handed_over
            .recv()
            .context("the admin thread did not start")?;
        Ok(App {
            proxy_addr,
            admin_addr,
            live,
            metrics,
            admin,
            stop_workers,
            stop_admin,
            workers,
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
        let old = self.live.load_full();
        let waiting = old.config.needs_restart(&config);
        let token = config.admin.token.clone();
        let live = Live::new(config, old.source.clone(), &self.metrics)?;
        self.live.store(Arc::new(live));
        self.admin.token.store(token.map(Arc::new));
        Ok(waiting)
    }

    /// Counts a reload, for `pannier_config_reloads_total`.
    pub fn count_reload(&self, ok: bool) {
        self.metrics
            .config_reloads
            .with_label_values(&[if ok { "ok" } else { "error" }])
            .inc();
    }

    /// Stops accepting, finishes what is in flight, closes Redis; the admin interface goes last.
    pub fn shutdown(self) {
        drop(self.stop_workers);
        for worker in self.workers {
            let _ = worker.join();
        }
        drop(self.stop_admin);
        let _ = self.admin_thread.join();
    }
}

/// A thread with a single-threaded runtime of its own.
fn spawn(
    name: &str,
    body: impl FnOnce(&Runtime) + Send + 'static,
) -> anyhow::Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot make a runtime")?;
    let thread = std::thread::Builder::new().name(name.to_owned());
    let handle = thread.spawn(move || {
        let entered = runtime.enter();
        body(&runtime);
        drop(entered);
    });
    handle.context("cannot start a thread")
}

fn unix_seconds() -> f64 {
    crate::clock::wall()
        .duration_since(std::time::UNIX_EPOCH)
        .map(|since| since.as_secs_f64())
        .unwrap_or_default()
}
