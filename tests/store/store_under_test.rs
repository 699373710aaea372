//! A store as a sidecar has it, and what the tests put in.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use pannier::clock::{self, Clock};
use pannier::config::Coherence::{Strict, Tracked};
use pannier::config::{self, Config, Env, EvictionOrder, Outage};
use pannier::entry::{Entry, Priority, Variant};
use pannier::http_cache::vary::Selector;
use pannier::http_cache::{Reason, Stored};
use pannier::metrics::Metrics;
use pannier::routes::{Pattern, Purge};
use pannier::store::{Status, Store};

use crate::support::eventually;
use crate::support::redis::RedisServer;

/// Long enough for anything that does happen.
pub(super) const SHORT: Duration = Duration::from_secs(30);

/// `[redis] timeout` where Redis always answers in the end: no busy machine reaches it.
const LONG_TIMEOUT: Duration = Duration::from_secs(20);

/// `[redis] timeout` where Redis hangs.
pub(super) const SHORT_TIMEOUT: Duration = Duration::from_secs(1);

/// One sidecar's store.
pub(super) struct Sidecar {
    pub(super) store: Store,
    metrics: Arc<Metrics>,
}

/// What the tests vary of a stored response.
#[derive(Clone, Default)]
pub(super) struct Variation {
    pub(super) host: Box<str>,
    pub(super) lifetime: Option<Duration>,
    pub(super) priority: Priority,
    /// Beside `t:<key>`.
    pub(super) tags: Vec<Box<str>>,
}

impl Variation {
    /// A variant of its own for `host`.
    pub(super) fn of(host: &str) -> Variation {
        Variation {
            host: host.into(),
            ..Variation::default()
        }
    }
}

impl Sidecar {
    /// Connected, with a budget that is never in the way.
    pub(super) async fn start(redis: &RedisServer) -> Sidecar {
        Sidecar::with_budget(redis, 100 << 20).await
    }

    /// Connected, with a budget of `max` bytes.
    pub(super) async fn with_budget(redis: &RedisServer, max: u64) -> Sidecar {
        let sidecar = Sidecar::with(&redis.url(), max, LONG_TIMEOUT, None);
        sidecar.connected().await;
        sidecar
    }

    /// Connected, with a budget of `max` bytes that makes room in this order.
    pub(super) async fn evicting(redis: &RedisServer, max: u64, order: EvictionOrder) -> Sidecar {
        let mut config = config(&redis.url(), max, LONG_TIMEOUT, None);
        config.budget.order = order;
        config.budget.check_every = Duration::from_millis(200);
        let sidecar = Sidecar::of(&config);
        sidecar.connected().await;
        sidecar
    }

    /// Connected, with a budget of `max` bytes that is looked at so seldom.
    pub(super) async fn checking_every(redis: &RedisServer, max: u64, every: Duration) -> Sidecar {
        Sidecar::checking_every_at(&redis.url(), max, every).await
    }

    /// The same, by the URL.
    pub(super) async fn checking_every_at(url: &str, max: u64, every: Duration) -> Sidecar {
        let mut config = config(url, max, LONG_TIMEOUT, None);
        config.budget.check_every = every;
        let sidecar = Sidecar::of(&config);
        sidecar.connected().await;
        sidecar
    }

    /// Connected to a Redis that will hang.
    pub(super) async fn with_short_timeout(redis: &RedisServer) -> Sidecar {
        let sidecar = Sidecar::detached(&redis.url(), 100 << 20);
        sidecar.connected().await;
        sidecar
    }

    /// Two sidecars of a fleet.
    pub(super) async fn pair(redis: &RedisServer) -> (Sidecar, Sidecar) {
        (Sidecar::start(redis).await, Sidecar::start(redis).await)
    }

    /// One that may never reach its Redis.
    pub(super) fn detached(url: &str, max: u64) -> Sidecar {
        Sidecar::with(url, max, SHORT_TIMEOUT, None)
    }

    /// One that may not have reached its Redis yet, and waits for it for long.
    pub(super) fn patient(url: &str) -> Sidecar {
        Sidecar::with(url, 100 << 20, LONG_TIMEOUT, None)
    }

    /// One of a version that stores by another layout; it may have to leave Redis alone.
    pub(super) fn of_layout(url: &str, layout: u32) -> Sidecar {
        Sidecar::with(url, 100 << 20, LONG_TIMEOUT, Some(layout))
    }

    /// A process of another layout that only looks.
    pub(super) fn looking_by_layout(url: &str, layout: u32) -> Sidecar {
        let metrics = Arc::new(Metrics::new());
        let config = config(url, 100 << 20, LONG_TIMEOUT, Some(layout));
        let store = Store::new(&config, Clock::default(), Arc::clone(&metrics));
        Sidecar {
            store: store.attach_silently(),
            metrics,
        }
    }

    /// Connected, with other settings of Redis.
    pub(super) async fn configured(
        redis: &RedisServer,
        change: impl FnOnce(&mut config::Redis),
    ) -> Sidecar {
        let mut config = config(&redis.url(), 100 << 20, SHORT_TIMEOUT, None);
        change(config.redis.as_mut().expect("it is configured"));
        let sidecar = Sidecar::of(&config);
        sidecar.connected().await;
        sidecar
    }

    fn with(url: &str, max: u64, timeout: Duration, layout: Option<u32>) -> Sidecar {
        Sidecar::of(&config(url, max, timeout, layout))
    }

    fn of(config: &Config) -> Sidecar {
        let metrics = Arc::new(Metrics::new());
        let store = Store::new(config, Clock::default(), Arc::clone(&metrics));
        Sidecar {
            store: store.attach(),
            metrics,
        }
    }

    /// This sidecar's store as another of its runtimes has it: with a connection of its own.
    pub(super) fn another_runtime(&self) -> Sidecar {
        Sidecar {
            store: self.store.attach(),
            metrics: Arc::clone(&self.metrics),
        }
    }

    /// This sidecar's store as a runtime has it that uses the connection of another thread, which has much else to do.
    /// That ends with what is returned beside it.
    pub(super) fn through_another_thread(&self) -> (Sidecar, std::sync::mpsc::Sender<()>) {
        let store = self.store.clone();
        let (attached, owner) = std::sync::mpsc::channel();
        let (end, ended) = std::sync::mpsc::channel::<()>();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                attached.send(store.attach()).expect("it is waited for");
                while ended.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
                    let since = clock::monotonic();
                    while clock::monotonic() - since < Duration::from_micros(500) {}
                    tokio::task::yield_now().await;
                }
            });
        });
        let owner = owner.recv().expect("it attaches");
        let sidecar = Sidecar {
            store: self.store.attach_through(&owner),
            metrics: Arc::clone(&self.metrics),
        };
        (sidecar, end)
    }

    /// Waits until Redis is in use.
    pub(super) async fn connected(&self) {
        eventually("Redis is in use", SHORT, || async {
            self.redis_status().await.up
        })
        .await;
    }

    /// Waits until Redis is given up.
    pub(super) async fn given_up(&self) {
        eventually("Redis is given up", SHORT, || async {
            self.store.fetch("probe", Strict).await;
            !self.redis_status().await.up
        })
        .await;
    }

    pub(super) async fn redis_status(&self) -> pannier::store::redis::RedisStatus {
        let Status { redis, .. } = self.store.status().await;
        redis.expect("configured")
    }

    /// A whole fill.
    pub(super) async fn fill(&self, key: &str, body: &str) -> Result<(), Reason> {
        self.fill_as(key, body, Variation::default()).await
    }

    /// A whole fill of something particular.
    pub(super) async fn fill_as(
        &self,
        key: &str,
        body: &str,
        variation: Variation,
    ) -> Result<(), Reason> {
        let ticket = self.store.begin(key, None).await;
        let variant = variant_as(key, body, variation);
        self.store.commit(ticket, variant, Tracked, None).await
    }

    /// What memory answers.
    pub(super) fn remembered(&self, key: &str) -> Option<String> {
        self.remembered_by(key, None)
    }

    /// What memory answers to a rule with this `outage`.
    pub(super) fn remembered_by(&self, key: &str, outage: Option<Outage>) -> Option<String> {
        let now = Clock::default().now();
        let entry = self.store.recall(key, Tracked, outage, now);
        entry.map(|entry| body(&entry))
    }

    /// What Redis answers.
    pub(super) async fn fetched(&self, key: &str) -> Option<String> {
        let entry = self.store.fetch(key, Tracked).await;
        entry.map(|entry| body(&entry))
    }

    /// What Redis answers to a strict rule, whose answers are never in memory.
    pub(super) async fn fetched_strictly(&self, key: &str) -> Option<String> {
        let entry = self.store.fetch(key, Strict).await;
        entry.map(|entry| body(&entry))
    }

    /// Whether Redis is in use, as a gauge has it; nobody is asked.
    pub(super) fn is_up(&self) -> bool {
        self.metrics.redis_up.get() == 1
    }

    /// Entries that it has had leave Redis.
    pub(super) fn evictions(&self, priority: Priority) -> u64 {
        let labels = ["redis", priority.as_str()];
        self.metrics.evictions.with_label_values(&labels).get()
    }

    /// Commands of a kind that were sent.
    pub(super) fn commands(&self, kind: &str) -> u64 {
        let durations = self.metrics.redis_seconds.with_label_values(&[kind]);
        durations.get_sample_count()
    }

    /// Failed commands of a kind.
    pub(super) fn errors(&self, kind: &str) -> u64 {
        self.metrics.redis_errors.with_label_values(&[kind]).get()
    }
}

/// A response with the tag `t:<key>`, of use for a minute.
pub(super) fn variant(key: &str, body: &str) -> Variant {
    variant_as(key, body, Variation::default())
}

fn variant_as(key: &str, body: &str, variation: Variation) -> Variant {
    let now = Clock::default().now();
    Variant {
        stored: Stored {
            selector: Selector {
                host: variation.host,
                ..Selector::default()
            },
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            request_time: now,
            response_time: now,
            initial_age: Duration::ZERO,
            lifetime: variation.lifetime.unwrap_or(Duration::from_secs(60)),
            stale_while_revalidate: Duration::ZERO,
            stale_if_error: Duration::ZERO,
            must_revalidate: false,
            no_cache: false,
            shareable: true,
            part: None,
            softened: None,
        },
        body: Bytes::copy_from_slice(body.as_bytes()).into(),
        tags: [variation.tags, vec![format!("t:{key}").into()]].concat(),
        priority: variation.priority,
        rule: "test".into(),
        max_variants: Entry::DEFAULT_VARIANTS,
        compress_over: usize::MAX,
    }
}

/// A purge of one key or pattern.
pub(super) fn purge_key(pattern: &str) -> Purge {
    Purge {
        keys: vec![Pattern::parse(pattern)],
        ..Purge::default()
    }
}

fn body(entry: &Entry) -> String {
    String::from_utf8_lossy(&entry.variants[0].body).into_owned()
}

fn config(url: &str, max: u64, timeout: Duration, layout: Option<u32>) -> Config {
    let timeout = timeout.as_millis();
    let evict_at = max * 9 / 10;
    let text = format!(
        r#"
[listen]
proxy = "127.0.0.1:0"
admin = "127.0.0.1:0"
workers = 1
[upstream]
url = "unix:/nonexistent"
max_fills = 8
[redis]
url = "{url}"
namespace = "test"
timeout = "{timeout}ms"
reconnect_max = "500ms"
breaker_failures = 3
breaker_probe = "50ms"
[budget]
max = "{max}B"
evict_at = "{evict_at}B"
[memory]
max = "8MiB"
in_flight = "64MiB"
"#
    );
    let loaded = Config::parse(&text, "store.toml", &Env::default());
    let mut config = loaded.expect("a right config").config;
    if let Some(redis) = &mut config.redis {
        redis.layout = layout;
    }
    config
}
