//! An app to script: answers by path, a record of every request, gates that decide when.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version, header,
};
use http_body::Frame;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::Gate;

/// Why an answer's body breaks off.
pub(crate) type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// A request as the app received it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    /// Without the query.
    pub(crate) path: String,
    pub(crate) query: Option<String>,
    pub(crate) version: Version,
    /// `:authority`
    pub(crate) authority: Option<String>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// How many requests for this method and path came before it.
    pub(crate) nth: usize,
}

impl Seen {
    /// A field's value; empty if absent.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().expect("tests send text"))
    }
}

/// What the app answers.
pub(crate) struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: BoxBody<Bytes, BodyError>,
    after: Duration,
    gate: Option<Gate>,
}

impl Answer {
    /// 200 with `text`.
    pub(crate) fn text(text: impl Into<String>) -> Answer {
        let body = Full::new(Bytes::from(text.into()));
        Answer::with_body(body.map_err(|never| match never {}).boxed())
    }

    /// 200 with these bytes.
    pub(crate) fn bytes(bytes: Vec<u8>) -> Answer {
        let body = Full::new(Bytes::from(bytes));
        Answer::with_body(body.map_err(|never| match never {}).boxed())
    }

    /// 200 with JSON.
    pub(crate) fn json(value: &serde_json::Value) -> Answer {
        Answer::text(value.to_string()).header("content-type", "application/json")
    }

    /// 206 with `text`; the test adds `Content-Range`.
    pub(crate) fn partial(text: &str) -> Answer {
        let mut answer = Answer::text(text);
        answer.status = StatusCode::PARTIAL_CONTENT;
        answer
    }

    /// No body.
    pub(crate) fn status(status: u16) -> Answer {
        let mut answer = Answer::text("");
        answer.status = StatusCode::from_u16(status).expect("a status");
        answer
    }

    /// The same with another status.
    pub(crate) fn with_status(mut self, status: u16) -> Answer {
        self.status = StatusCode::from_u16(status).expect("a status");
        self
    }

    /// 200 with a body that the test sends piece by piece: dropping the sender ends it, sending an
    /// error breaks it off.
    pub(crate) fn piecewise() -> (Answer, mpsc::UnboundedSender<Result<Bytes, BodyError>>) {
        let (sender, receiver) = mpsc::unbounded_channel::<Result<Bytes, BodyError>>();
        let frames = stream::unfold(receiver, |mut receiver| async {
            // hyper sends what it has when a body pauses; without that a break could swallow the head.
            tokio::task::yield_now().await;
            let piece = receiver.recv().await?;
            Some((piece.map(Frame::data), receiver))
        });
        let body = BodyExt::boxed(StreamBody::new(frames));
        (Answer::with_body(body), sender)
    }

    fn with_body(body: BoxBody<Bytes, BodyError>) -> Answer {
        Answer {
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            body,
            after: Duration::ZERO,
            gate: None,
        }
    }

    /// Adds a field.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Answer {
        self.headers.append(
            HeaderName::try_from(name).expect("a field name"),
            HeaderValue::try_from(value).expect("a field value"),
        );
        self
    }

    /// Adds a field whose value need not be text.
    pub(crate) fn field(mut self, name: &'static str, value: HeaderValue) -> Answer {
        self.headers.append(HeaderName::from_static(name), value);
        self
    }

    /// Adds `Cache-Control`.
    pub(crate) fn cache_control(self, value: &str) -> Answer {
        self.header(header::CACHE_CONTROL.as_str(), value)
    }

    /// Waits before it answers.
    pub(crate) fn after(mut self, after: Duration) -> Answer {
        self.after = after;
        self
    }

    /// Answers only once `gate` is open.
    pub(crate) fn behind(mut self, gate: &Gate) -> Answer {
        self.gate = Some(gate.clone());
        self
    }
}

type Handler = Arc<dyn Fn(&Seen) -> Answer + Send + Sync>;

/// The running app; dropping it stops it and its connections.
pub(crate) struct TestApp {
    addr: SocketAddr,
    scheme: &'static str,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    handlers: Mutex<HashMap<(Method, String), Handler>>,
    seen: Mutex<Vec<Seen>>,
    /// Of each method and path.
    counts: Mutex<HashMap<(Method, String), usize>>,
    connections: AtomicUsize,
}

/// How the app is spoken to.
#[derive(Clone)]
pub(crate) enum Speaks {
    Http1,
    /// With prior knowledge, and at most so many requests at a time.
    Http2(u32),
    /// Whatever ALPN agrees on.
    Tls(Arc<rustls::ServerConfig>),
}

impl TestApp {
    /// On a free port; everything is 404 until [`TestApp::on`] says otherwise.
    pub(crate) async fn start() -> TestApp {
        TestApp::speaking(Speaks::Http1).await
    }

    /// The same, over another protocol.
    pub(crate) async fn speaking(speaks: Speaks) -> TestApp {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let addr = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Shared::default());
        let scheme = match speaks {
            Speaks::Tls(_) => "https",
            _ => "http",
        };
        let accepting = tokio::spawn(accept(listener, shared.clone(), speaks));
        TestApp {
            addr,
            scheme,
            shared,
            accepting,
        }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// `http://host:port`; with TLS `https://localhost:port`.
    pub(crate) fn url(&self) -> String {
        match self.scheme {
            "https" => format!("https://localhost:{}", self.addr.port()),
            scheme => format!("{scheme}://{}", self.addr),
        }
    }

    /// How many connections came.
    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// Answers `method path` so, in place of what was said before. The query does not matter.
    pub(crate) fn on(
        &self,
        method: &str,
        path: &str,
        handler: impl Fn(&Seen) -> Answer + Send + Sync + 'static,
    ) {
        let method = method.parse().expect("a method");
        self.shared
            .handlers
            .lock()
            .expect("no test panics under it")
            .insert((method, path.to_owned()), Arc::new(handler));
    }

    /// Every request so far, in order of arrival.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.shared.seen()
    }

    /// How many requests for `path` came, of any method.
    pub(crate) fn count(&self, path: &str) -> usize {
        let seen = self.shared.seen();
        seen.iter().filter(|seen| seen.path == path).count()
    }

    /// The latest request for `path`.
    pub(crate) fn last(&self, path: &str) -> Seen {
        let seen = self.shared.seen().into_iter().rev();
        let mut seen = seen.filter(|seen| seen.path == path);
        seen.next()
            .unwrap_or_else(|| panic!("no request for {path}"))
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, speaks: Speaks) {
    // Held here, so that connections end with the app.
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        shared.connections.fetch_add(1, Ordering::Relaxed);
        // A body that follows its head is not to wait for an acknowledgement.
        let _ = stream.set_nodelay(true);
        connections.spawn(connection(stream, shared.clone(), speaks.clone()));
    }
}

async fn connection(stream: TcpStream, shared: Arc<Shared>, speaks: Speaks) {
    match speaks {
        Speaks::Http1 => http1(stream, shared).await,
        Speaks::Http2(streams) => http2(stream, shared, streams).await,
        Speaks::Tls(config) => {
            let Ok(stream) = tokio_rustls::TlsAcceptor::from(config).accept(stream).await else {
                return;
            };
            match stream.get_ref().1.alpn_protocol() {
                Some(b"h2") => http2(stream, shared, 100).await,
                _ => http1(stream, shared).await,
            }
        }
    }
}

// Clients that hang up are part of many tests, so errors are not looked at.

async fn http1<S: AsyncRead + AsyncWrite + Unpin>(stream: S, shared: Arc<Shared>) {
    let service = service_fn(|request| {
        let shared = shared.clone();
        async move { Ok::<_, Infallible>(shared.handle(request).await) }
    });
    let mut builder = hyper::server::conn::http1::Builder::new();
    let _ = builder
        .max_headers(1_000)
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn http2<S: AsyncRead + AsyncWrite + Unpin>(stream: S, shared: Arc<Shared>, streams: u32) {
    let service = service_fn(move |request| {
        let shared = shared.clone();
        async move { Ok::<_, Infallible>(shared.handle(request).await) }
    });
    let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    builder
        .max_concurrent_streams(streams)
        .max_header_list_size(1 << 20);
    let _ = builder
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

impl Shared {
    async fn handle(&self, request: Request<Incoming>) -> Response<BoxBody<Bytes, BodyError>> {
        let (head, body) = request.into_parts();
        let body = match body.collect().await {
            Ok(body) => body.to_bytes(),
            Err(_) => Bytes::new(),
        };
        let seen = self.record(Seen {
            method: head.method,
            path: head.uri.path().to_owned(),
            query: head.uri.query().map(str::to_owned),
            version: head.version,
            authority: head.uri.authority().map(ToString::to_string),
            headers: head.headers,
            body,
            nth: 0,
        });
        let answer = match self.handler(&seen) {
            Some(handler) => handler(&seen),
            None => Answer::status(404),
        };
        tokio::time::sleep(answer.after).await;
        if let Some(gate) = &answer.gate {
            gate.pass().await;
        }
        let mut response = Response::new(answer.body);
        *response.status_mut() = answer.status;
        *response.headers_mut() = answer.headers;
        response
    }

    fn record(&self, mut new: Seen) -> Seen {
        let mut all = self.seen.lock().expect("no test panics under it");
        let mut counts = self.counts.lock().expect("no test panics under it");
        let count = counts.entry((new.method.clone(), new.path.clone()));
        let count = count.or_default();
        new.nth = *count;
        *count += 1;
        all.push(new.clone());
        new
    }

    fn handler(&self, seen: &Seen) -> Option<Handler> {
        let handlers = self.handlers.lock().expect("no test panics under it");
        let key = (seen.method.clone(), seen.path.clone());
        handlers.get(&key).cloned()
    }

    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("no test panics under it").clone()
    }
}
