//! The bare limit of a miss: hyper as in the limit `hyper`, and hyper-util's pooled client, which asks
//! the app anew for each request. Nothing is looked up and nothing is stored.

mod args;
mod serve;

use bytes::Bytes;
use http::uri::{Authority, Scheme};
use http::{Request, Response, StatusCode, Uri};
use http_body_util::{Either, Empty};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use args::Args;

fn main() -> anyhow::Result<()> {
    let Some(args) = Args::read() else {
        return Ok(());
    };
    serve::run(&args, || work(&args))
}

/// What one runtime does: its requests share a pool.
async fn work(args: &Args) -> anyhow::Result<()> {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let app = App {
        client: Client::builder(TokioExecutor::new()).build(connector),
        authority: format!("127.0.0.1:{}", args.app).parse()?,
    };
    serve::http(args.port, move |request| {
        let app = app.clone();
        async move { app.answer(request).await }
    })
    .await
}

#[derive(Clone)]
struct App {
    client: Client<HttpConnector, Empty<Bytes>>,
    authority: Authority,
}

impl App {
    async fn answer(&self, request: Request<Incoming>) -> Response<Either<Incoming, Empty<Bytes>>> {
        match self.client.request(self.asked(request)).await {
            Ok(answer) => answer.map(Either::Left),
            Err(_) => {
                let mut answer = Response::new(Either::Right(Empty::new()));
                *answer.status_mut() = StatusCode::BAD_GATEWAY;
                answer
            }
        }
    }

    /// The request as it goes to the app; the benchmark's have no body.
    fn asked(&self, request: Request<Incoming>) -> Request<Empty<Bytes>> {
        let (mut parts, _) = request.into_parts();
        let mut uri = parts.uri.into_parts();
        uri.scheme = Some(Scheme::HTTP);
        uri.authority = Some(self.authority.clone());
        parts.uri = Uri::from_parts(uri).unwrap_or_default();
        Request::from_parts(parts, Empty::new())
    }
}
