//! The app behind all caches of the benchmark.
//!
//! | request | answer |
//! | --- | --- |
//! | `GET /b/{bytes}/{id}` | the object `id` in its present version, cacheable for an hour |
//! | `PUT /b/{bytes}/{id}` | makes a new version; 200 with it |
//! | `GET /stream/{bytes}` | that many bytes, not cacheable |
//! | `GET /count` | how many reads and writes have come, as JSON |
//!
//! `--delay-ms` holds back every read and write. A read answers the version it saw when it came, as an
//! app does that queries first and computes then: a cache that does not fence its fills is caught.

#[path = "../object.rs"]
mod object;

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use clap::Parser;
use futures_util::stream;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, ETAG, HeaderName, IF_NONE_MATCH};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// The app behind all caches of the benchmark.
#[derive(Debug, Parser)]
struct Args {
    /// Where to listen on 127.0.0.1.
    #[arg(long)]
    port: Option<u16>,
    /// How long each answer is held back.
    #[arg(long, default_value_t = 0)]
    delay_ms: u64,
    /// Further header fields of each object.
    #[arg(long, default_value_t = 0)]
    fields: usize,
    /// What `cargo bench` says to each target.
    #[arg(long, hide = true)]
    bench: bool,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let Some(port) = args.port else {
        eprintln!("the app of bench/run; it needs --port");
        return Ok(());
    };
    let app = Arc::new(App {
        delay: Duration::from_millis(args.delay_ms),
        extra: args.fields,
        ..App::default()
    });
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let app = app.clone();
        tokio::spawn(async move {
            let service = service_fn(|request| app.answer(request));
            let builder = http1::Builder::new();
            let _ = builder
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

#[derive(Default)]
struct App {
    delay: Duration,
    extra: usize,
    /// By path; what is not in it is in version 1.
    versions: Mutex<HashMap<String, u64>>,
    reads: AtomicU64,
    writes: AtomicU64,
}

impl App {
    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        let path = request.uri().path().to_owned();
        let parts: Vec<&str> = path.split('/').skip(1).collect();
        let size = |text: &str| text.parse::<usize>().unwrap_or_default();
        Ok(match (request.method(), parts.as_slice()) {
            (&Method::GET, ["b", bytes, id]) => {
                self.reads.fetch_add(1, Ordering::Relaxed);
                let version = self.version(&path);
                self.work().await;
                self.object(&request, id, version, size(bytes))
            }
            (&Method::PUT, ["b", bytes, id]) => {
                self.writes.fetch_add(1, Ordering::Relaxed);
                self.work().await;
                let version = self.bump(&path);
                whole(object::body(id, version, size(bytes)))
            }
            (&Method::GET, ["stream", bytes]) => streamed(size(bytes)),
            (&Method::GET, ["count"]) => whole(self.count().into()),
            _ => status(StatusCode::NOT_FOUND),
        })
    }

    async fn work(&self) {
        if !self.delay.is_zero() {
            tokio::time::sleep(self.delay).await;
        }
    }

    fn object(
        &self,
        request: &Request<Incoming>,
        id: &str,
        version: u64,
        bytes: usize,
    ) -> Response<Body> {
        let fields = object::fields(version, bytes);
        if request.headers().get(IF_NONE_MATCH) == fields.get(ETAG) {
            let mut answer = status(StatusCode::NOT_MODIFIED);
            *answer.headers_mut() = fields;
            return answer;
        }
        let mut answer = whole(object::body(id, version, bytes));
        *answer.headers_mut() = fields;
        for number in 0..self.extra {
            if let Ok(name) = HeaderName::try_from(format!("x-bench-field-{number}")) {
                let value = HeaderValue::from_static("a value of thirty-two characters");
                answer.headers_mut().insert(name, value);
            }
        }
        answer
    }

    fn version(&self, path: &str) -> u64 {
        let versions = self.versions.lock().unwrap_or_else(PoisonError::into_inner);
        versions.get(path).copied().unwrap_or(1)
    }

    fn bump(&self, path: &str) -> u64 {
        let mut versions = self.versions.lock().unwrap_or_else(PoisonError::into_inner);
        let version = versions.entry(path.to_owned()).or_insert(1);
        *version += 1;
        *version
    }

    fn count(&self) -> String {
        let (reads, writes) = (&self.reads, &self.writes);
        format!("{{\"reads\":{reads:?},\"writes\":{writes:?}}}")
    }
}

fn whole(body: Bytes) -> Response<Body> {
    Response::new(Full::new(body).boxed_unsync())
}

fn status(status: StatusCode) -> Response<Body> {
    let mut answer = whole(Bytes::new());
    *answer.status_mut() = status;
    answer
}

fn streamed(bytes: usize) -> Response<Body> {
    const PIECE: usize = 64 << 10;
    let piece = Bytes::from(vec![b'x'; PIECE]);
    let pieces = (0..bytes.div_ceil(PIECE)).map(move |number| {
        let length = PIECE.min(bytes - number * PIECE);
        Ok(Frame::data(piece.slice(..length)))
    });
    let mut answer = Response::new(StreamBody::new(stream::iter(pieces)).boxed_unsync());
    let fields = answer.headers_mut();
    fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    fields.insert(CONTENT_LENGTH, HeaderValue::from(bytes));
    answer
}
