//! An HTTP client for tests, of either version, with or without TLS: keeps nothing from them that a real client would smooth over.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, Version};
use http_body_util::{BodyExt, Full};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// No answer may take longer.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Talks to one server; clones share the connection pool.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    /// Scheme and authority.
    origin: String,
    pool: Pool,
}

type HyperClient<C> = hyper_util::client::legacy::Client<C, Full<Bytes>>;

#[derive(Clone, Debug)]
enum Pool {
    Plain(HyperClient<HttpConnector>),
    Tls(HyperClient<HttpsConnector<HttpConnector>>),
}

/// An answer.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) version: Version,
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// Why there is none, or not all of it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    #[error("no answer: {0}")]
    NoAnswer(#[from] hyper_util::client::legacy::Error),
    #[error("the body broke off: {0}")]
    Body(#[from] hyper::Error),
    #[error("no answer within {TIMEOUT:?}")]
    Timeout(#[from] tokio::time::error::Elapsed),
}

impl Client {
    pub(crate) fn new(addr: SocketAddr) -> Client {
        let pool = Pool::Plain(builder().build_http());
        let origin = format!("http://{addr}");
        Client { origin, pool }
    }

    /// Speaks HTTP/2 with prior knowledge.
    pub(crate) fn http2(addr: SocketAddr) -> Client {
        let pool = Pool::Plain(builder().http2_only(true).build_http());
        let origin = format!("http://{addr}");
        Client { origin, pool }
    }

    /// Speaks TLS to `localhost`, and the version of HTTP that the handshake agrees on.
    pub(crate) fn tls(addr: SocketAddr, config: rustls::ClientConfig, offers: Offers) -> Client {
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(config)
            .https_only();
        let connector = match offers {
            Offers::Http1 => connector.enable_http1().build(),
            Offers::Http2 => connector.enable_http2().build(),
            Offers::Both => connector.enable_all_versions().build(),
        };
        Client {
            origin: format!("https://localhost:{}", addr.port()),
            pool: Pool::Tls(builder().build(connector)),
        }
    }

    /// The answer to `GET path`.
    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.request("GET", path).send().await
    }

    /// The answer to `GET path` with these fields.
    pub(crate) async fn get_with(&self, path: &str, fields: Fields<'_>) -> Reply {
        let request = self.request("GET", path);
        let add = |request: Outgoing, (name, value): &(&str, &str)| request.header(name, value);
        fields.iter().fold(request, add).send().await
    }

    /// The answer to `method path` with a JSON body.
    pub(crate) async fn json(&self, method: &str, path: &str, body: &str) -> Reply {
        self.request(method, path)
            .header("content-type", "application/json")
            .body(body)
            .send()
            .await
    }

    /// A request to add to, then to send.
    pub(crate) fn request(&self, method: &str, path: &str) -> Outgoing {
        let method: Method = method.parse().expect("a method");
        Outgoing {
            client: self.clone(),
            head: Request::builder()
                .method(method)
                .uri(format!("{}{path}", self.origin)),
            body: Bytes::new(),
        }
    }
}

fn builder() -> hyper_util::client::legacy::Builder {
    let mut builder = hyper_util::client::legacy::Client::builder(TokioExecutor::new());
    // A repeated request would spoil the counts.
    builder
        .retry_canceled_requests(false)
        // Before a server ends it, which for the admin interface is after ten seconds.
        .pool_idle_timeout(Duration::from_secs(5))
        .http2_max_header_list_size(1 << 20);
    builder
}

/// What a client of TLS offers by ALPN.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Offers {
    Http1,
    Http2,
    Both,
}

/// Names and values of fields.
pub(crate) type Fields<'a> = &'a [(&'a str, &'a str)];

/// A request that is not sent yet.
#[must_use]
pub(crate) struct Outgoing {
    client: Client,
    head: http::request::Builder,
    body: Bytes,
}

impl Outgoing {
    /// Adds a field; `host` takes the place of the usual one.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Outgoing {
        self.head = self.head.header(name, value);
        self
    }

    pub(crate) fn body(mut self, body: impl Into<String>) -> Outgoing {
        self.body = body.into().into();
        self
    }

    /// The whole answer; fails the test if there is none.
    pub(crate) async fn send(self) -> Reply {
        self.try_send().await.expect("an answer")
    }

    /// The whole answer, or why it did not come whole.
    pub(crate) async fn try_send(self) -> Result<Reply, ClientError> {
        let request = self
            .head
            .body(Full::new(self.body))
            .expect("a well-formed request");
        let exchange = async {
            let response = match self.client.pool {
                Pool::Plain(pool) => pool.request(request).await?,
                Pool::Tls(pool) => pool.request(request).await?,
            };
            let (head, body) = response.into_parts();
            Ok(Reply {
                version: head.version,
                status: head.status,
                headers: head.headers,
                body: body.collect().await?.to_bytes(),
            })
        };
        tokio::time::timeout(TIMEOUT, exchange).await?
    }
}

impl Reply {
    /// The body as text.
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("tests send text")
    }

    /// The body as JSON.
    pub(crate) fn value(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("a JSON body")
    }

    /// A field's value; empty if absent.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().expect("tests send text"))
    }

    /// Pannier's member of `Cache-Status` (RFC 9211): the last one, as caches append theirs.
    pub(crate) fn cache_status(&self) -> &str {
        self.headers
            .get_all("cache-status")
            .iter()
            .next_back()
            .map_or("", |value| value.to_str().expect("RFC 9211 is ASCII"))
    }

    /// Whether `Cache-Status` says `hit`.
    pub(crate) fn is_hit(&self) -> bool {
        let mut parameters = self.cache_status().split(';').skip(1);
        parameters.any(|parameter| parameter.trim() == "hit")
    }
}

/// Sends these bytes and returns all that comes back until the server closes, or is silent for
/// `silence`: for requests that no HTTP library would send.
pub(crate) async fn exchange_raw(addr: SocketAddr, request: &[u8], silence: Duration) -> Vec<u8> {
    let mut stream = TcpStream::connect(addr).await.expect("it listens");
    stream.write_all(request).await.expect("it reads");
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    loop {
        match tokio::time::timeout(silence, stream.read(&mut piece)).await {
            Ok(Ok(length)) if length > 0 => answer.extend_from_slice(&piece[..length]),
            _ => return answer,
        }
    }
}
