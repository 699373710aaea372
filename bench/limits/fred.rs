//! The bare limit of a hit from Redis: hyper as in the limit `hyper`, and one `GET` by fred for each
//! request. What Redis answers becomes the body; nothing is decoded.

mod args;
#[path = "../object.rs"]
mod object;
mod serve;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use fred::prelude::{Builder, Client, ClientLike, Config, KeysInterface, ServerConfig};
use http::{HeaderMap, Response, StatusCode};
use http_body_util::Full;

use args::{Args, Shape};

const KEY: &str = "limit:object";

fn main() -> anyhow::Result<()> {
    let Some(args) = Args::read() else {
        return Ok(());
    };
    serve::run(&args, || work(&args))
}

/// What one runtime does.
async fn work(args: &Args) -> anyhow::Result<()> {
    let limit = Arc::new(Limit::new(args).await?);
    let body = object::body("1", 1, args.bytes);
    let redis = &limit.connections[0];
    redis.set::<(), _, _>(KEY, body, None, None, false).await?;
    serve::http(args.port, move |_| {
        let limit = limit.clone();
        async move { limit.answer().await }
    })
    .await
}

struct Limit {
    /// At least one.
    connections: Vec<Client>,
    turn: AtomicUsize,
    fields: HeaderMap,
}

impl Limit {
    async fn new(args: &Args) -> anyhow::Result<Limit> {
        let count = match args.shape {
            Shape::Own | Shape::Shared => 1,
            Shape::Pooled => args.threads,
        };
        let mut connections = Vec::new();
        for _ in 0..count.max(1) {
            connections.push(connect(args.redis).await?);
        }
        Ok(Limit {
            connections,
            turn: AtomicUsize::new(0),
            fields: object::hit_fields(args.bytes),
        })
    }

    async fn answer(&self) -> Response<Full<Bytes>> {
        let found = self.redis().get::<Option<Bytes>, _>(KEY).await;
        let body = found.ok().flatten();
        let mut answer = Response::new(Full::new(body.clone().unwrap_or_default()));
        if body.is_none() {
            // The harness rejects a round with answers other than 2xx.
            *answer.status_mut() = StatusCode::BAD_GATEWAY;
        }
        *answer.headers_mut() = self.fields.clone();
        answer
    }

    fn redis(&self) -> &Client {
        match self.connections.as_slice() {
            [only] => only,
            many => &many[self.turn.fetch_add(1, Ordering::Relaxed) % many.len()],
        }
    }
}

async fn connect(port: u16) -> anyhow::Result<Client> {
    let config = Config {
        server: ServerConfig::new_centralized("127.0.0.1", port),
        ..Config::default()
    };
    let client = Builder::from_config(config).build()?;
    client.init().await?;
    Ok(client)
}
