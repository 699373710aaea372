//! The bare limit of the HTTP library: hyper with the settings of a Pannier worker, one runtime on one
//! thread, answering a constant with the header fields of a Pannier hit.

#[path = "args.rs"]
mod args;
#[path = "../object.rs"]
mod object;

use std::convert::Infallible;

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let Some(args) = args::Args::read() else {
        return Ok(());
    };
    let constant = Constant::new(args.status, args.bytes)?;
    let listener = TcpListener::bind(("127.0.0.1", args.port)).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let constant = constant.clone();
        tokio::spawn(async move {
            let service = service_fn(|_| {
                let answer = constant.answer();
                async move { Ok::<_, Infallible>(answer) }
            });
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

#[derive(Clone)]
struct Constant {
    status: StatusCode,
    fields: HeaderMap,
    body: Bytes,
}

impl Constant {
    fn new(status: u16, bytes: usize) -> anyhow::Result<Constant> {
        let status = StatusCode::from_u16(status)?;
        let body = match status {
            StatusCode::NOT_MODIFIED => Bytes::new(),
            _ => object::body("1", 1, bytes),
        };
        let fields = object::hit_fields(bytes);
        Ok(Constant {
            status,
            fields,
            body,
        })
    }

    fn answer(&self) -> Response<Full<Bytes>> {
        let mut answer = Response::new(Full::new(self.body.clone()));
        *answer.status_mut() = self.status;
        *answer.headers_mut() = self.fields.clone();
        answer
    }
}
