//! `pannier check --connect`: tries the app and Redis as a sidecar would use them, and changes nothing in
//! either.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use tokio::time::Instant;

use crate::body::Body;
use crate::clock::{self, Clock};
use crate::config::{Config, Target};
use crate::in_flight::InFlight;
use crate::metrics::Metrics;
use crate::store::Store;
use crate::store::redis::RedisStatus;
use crate::upstream::Upstream;

/// The longest wait for Redis: more than an attempt to connect and one to prepare a session take.
const REDIS_TIMEOUT: Duration = Duration::from_secs(5);

/// The first trouble may be a loss on the way, and the next attempt tells more.
const REDIS_SETTLED: Duration = Duration::from_millis(1500);

const REDIS_POLL: Duration = Duration::from_millis(20);

/// Prints what it finds; whether both can be used.
pub(super) fn try_both(config: &Config, out: &mut dyn Write) -> anyhow::Result<bool> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    writeln!(out)?;
    let app = runtime.block_on(try_app(config, out))?;
    let redis = runtime.block_on(try_redis(config, out))?;
    Ok(app && redis)
}

/// Any answer is a good one.
async fn try_app(config: &Config, out: &mut dyn Write) -> anyhow::Result<bool> {
    let url = match &config.upstream.target {
        Target::Http(authority) => format!("http://{authority}"),
        Target::Https(authority) => format!("https://{authority}"),
        Target::Unix(path) => format!("unix:{}", path.display()),
    };
    let asked = clock::monotonic();
    let upstream = Upstream::new(&config.upstream, InFlight::new(0, 0))?;
    let request = Request::head("/").body(Body::empty())?;
    match upstream.send_once(request).await {
        Ok(response) => {
            let (status, took) = (response.status().as_u16(), clock::monotonic() - asked);
            let took = took.as_millis();
            writeln!(
                out,
                "app:   {url} answers HEAD / with {status}, in {took} ms"
            )?;
            Ok(true)
        }
        Err(error) => {
            writeln!(out, "app:   {url} cannot be used: {error}")?;
            Ok(false)
        }
    }
}

async fn try_redis(config: &Config, out: &mut dyn Write) -> anyhow::Result<bool> {
    if config.redis.is_none() {
        return Ok(true);
    }
    let metrics = Arc::new(Metrics::new());
    // It looks without a trace: no layout is announced, and nothing is stored.
    let store = Store::new(config, Clock::default(), metrics).attach_silently();
    let status = wait_for_redis(&store).await;
    store.close().await;
    let hosts = &status.hosts;
    if status.up {
        writeln!(
            out,
            "redis: {hosts} can be used; its user has every right that Pannier needs"
        )?;
        return Ok(true);
    }
    match status.diagnosis {
        Some(found) => {
            writeln!(out, "redis: {hosts} cannot be used: {}", found.cause)?;
            writeln!(out, "       what helps: {}", found.remedy)?;
        }
        None => writeln!(
            out,
            "redis: {hosts} cannot be used: no answer within {REDIS_TIMEOUT:?}"
        )?,
    }
    Ok(false)
}

/// Its status when it is up, or when it is clear that it will not be.
async fn wait_for_redis(store: &Store) -> RedisStatus {
    let begun = Instant::now();
    loop {
        let status = store.status().await.redis.unwrap_or_default();
        let waited = begun.elapsed();
        let is_clear = status.diagnosis.is_some() && waited >= REDIS_SETTLED;
        if status.up || is_clear || waited >= REDIS_TIMEOUT {
            return status;
        }
        tokio::time::sleep(REDIS_POLL).await;
    }
}
