//! The bare limit of a hit from Redis: hyper as in the limit `hyper`, and one `GET` by fred for each
//! request, on the same thread. What Redis answers becomes the body; nothing is decoded.

#[path = "args.rs"]
mod args;
#[path = "../object.rs"]
mod object;

use std::convert::Infallible;

use bytes::Bytes;
use fred::prelude::{Builder, Client, ClientLike, Config, KeysInterface, ServerConfig};
use http::{HeaderMap, Response};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;

const KEY: &str = "limit:object";

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let Some(args) = args::Args::read() else {
        return Ok(());
    };
    let redis = connect(args.redis).await?;
    let body = object::body("1", 1, args.bytes);
    redis.set::<(), _, _>(KEY, body, None, None, false).await?;
    let fields = object::hit_fields(args.bytes);
    let listener = TcpListener::bind(("127.0.0.1", args.port)).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (redis, fields) = (redis.clone(), fields.clone());
        tokio::spawn(async move {
            let service = service_fn(|_| answer(&redis, &fields));
            let mut builder = http1::Builder::new();
            builder
                .timer(TokioTimer::new())
                .header_read_timeout(None)
                .max_buf_size(64 << 10)
                .max_headers(256);
            let _ = builder
                .serve_connection(TokioIo::new(stream), service)
                .with_upgrades()
                .await;
        });
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

async fn answer(redis: &Client, fields: &HeaderMap) -> Result<Response<Full<Bytes>>, Infallible> {
    let found = redis.get::<Option<Bytes>, _>(KEY).await;
    let body = found.ok().flatten();
    let mut answer = Response::new(Full::new(body.clone().unwrap_or_default()));
    if body.is_none() {
        // The harness rejects a round with answers other than 2xx.
        *answer.status_mut() = http::StatusCode::BAD_GATEWAY;
    }
    *answer.headers_mut() = fields.clone();
    Ok(answer)
}
