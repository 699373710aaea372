//! The app: one connection pool a worker, deadlines, errors.

mod connect;
mod http1;
mod http2;
mod places;

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING, UPGRADE};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri, Version};
use hyper::body::{Body as _, Incoming};
use tokio::time::Instant;

use crate::body::{Body, BodyFault, BoxError, Progress, Timed};
use crate::config;
use crate::in_flight::{self, InFlight, Share};
use crate::turns::Turns;
use http1::Http1;
use http2::Http2;

pub use places::Places;

/// Requests that begin in one turn of the runtime: to open a connection costs ten hits.
const STARTS_IN_A_TURN: usize = 4;
/// Reads of answers, and connections that end, in one.
const READS_IN_A_TURN: usize = 8;

/// A pool of connections to the app, used by one runtime.
#[derive(Clone, Debug)]
pub struct Upstream {
    http1: Http1,
    /// If the config says so; upgrades go over `http1` even then, since HTTP/2 has none.
    http2: Option<Http2>,
    /// The app's host, for where the client's is not preserved.
    host: HeaderValue,
    starts: Turns,
    in_flight: InFlight,
    settings: config::Upstream,
}

/// The body of an answer that is arriving, with its share of the connection.
#[derive(Debug)]
pub struct Arriving {
    body: Incoming,
    version: Version,
    /// `None`: there is no body, and the connection is free already.
    permit: Option<ConnectionPermit>,
    /// What its buffers hold; `None`: little.
    share: Option<Share>,
}

/// A request's share of a connection; held until the answer's body has ended.
#[derive(Debug)]
enum ConnectionPermit {
    Http1(http1::PooledConnection),
    Http2(#[expect(dead_code, reason = "kept until it is dropped")] http2::StreamPermit),
}

impl ConnectionPermit {
    /// Takes no further request to a connection of HTTP/1: where one message ends and the next begins is in
    /// doubt (RFC 9112 §6.1, §6.3). In HTTP/2 frames tell.
    fn close(self) {
        if let ConnectionPermit::Http1(connection) = self {
            connection.close();
        }
    }
}

impl Arriving {
    /// The body, which fails when nothing arrives for `timeout`; `None` waits without end.
    pub fn within(self, timeout: Option<Duration>) -> Timed {
        Timed::new(self.body, timeout)
            .of(self.version)
            .holding(self.permit.map(|permit| (permit, self.share)))
    }
}

/// Why the app gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// No connection: the request was not sent.
    #[error("cannot connect to the app: {0}")]
    Connect(#[source] BoxError),
    /// The app has not processed the request, by its own `GOAWAY` or `REFUSED_STREAM` (RFC 9113 §8.7).
    #[error("the app refused the request unseen: {0}")]
    Refused(#[source] BoxError),
    /// The connection broke, or what came is not HTTP; the app may have acted on the request.
    #[error("the app's connection failed: {0}")]
    Broken(#[source] BoxError),
    /// The answer is not one that may be passed on; the app may have acted on the request.
    #[error("the app's answer is malformed: {0}")]
    Malformed(&'static str),
    /// The client's body did not come whole, so that half a request was sent.
    #[error("the client's body did not come whole: {0}")]
    RequestBody(BodyFault),
    /// It is asked as often as it may be: the request was not sent.
    #[error("the app is asked as often as [upstream] rate allows")]
    Busy,
    /// All connections that there may be were busy: the request was not sent.
    #[error("{0}")]
    Crowded(#[source] BoxError),
    /// No answer's head in time; the app may have acted on the request.
    #[error("the app did not answer within {0:?}")]
    Timeout(Duration),
}

impl UpstreamError {
    /// Whether the app cannot have seen the request.
    pub fn unsent(&self) -> bool {
        matches!(
            self,
            UpstreamError::Connect(_)
                | UpstreamError::Refused(_)
                | UpstreamError::Busy
                | UpstreamError::Crowded(_)
        )
    }

    /// Of a connection that was not made.
    fn of_connecting(error: BoxError) -> UpstreamError {
        match error.is::<places::NoPlace>() {
            true => UpstreamError::Crowded(error),
            false => UpstreamError::Connect(error),
        }
    }

    /// Whether the connection ended before an answer began; false where bytes came that are not HTTP. The
    /// app may have closed an idle connection just then, so a safe request may be sent once more
    /// (RFC 9110 §9.2.2).
    pub fn was_lost(&self) -> bool {
        matches!(self, UpstreamError::Broken(error) if has_ended(&**error))
    }
}

/// Why a pool cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    /// `ca_file` cannot be read or holds no certificate.
    #[error("ca_file {path}: {reason}")]
    CaFile {
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The system has no certificate authorities.
    #[error("no certificate authorities on this system: install ca-certificates or set a ca_file")]
    NoRoots,
}

impl Upstream {
    /// A pool for `settings`; connects when first used.
    pub fn new(settings: &config::Upstream, in_flight: InFlight) -> Result<Upstream, PoolError> {
        Upstream::within(settings, in_flight, &Places::default())
    }

    /// As [`Upstream::new`], with no more connections than there are `places`.
    pub fn within(
        settings: &config::Upstream,
        in_flight: InFlight,
        places: &Places,
    ) -> Result<Upstream, PoolError> {
        let (scheme, authority) = match &settings.target {
            config::Target::Http(authority) => (Scheme::HTTP, authority.clone()),
            config::Target::Https(authority) => (Scheme::HTTPS, authority.clone()),
            config::Target::Unix(_) => (Scheme::HTTP, Authority::from_static("localhost")),
        };
        let host = HeaderValue::from_str(authority.as_str())
            .expect("an authority holds visible ASCII only");
        let address = build_uri(scheme, authority, PathAndQuery::from_static("/"));
        let reads = Turns::new(READS_IN_A_TURN);
        let http2 = settings
            .http2
            .then(|| Http2::new(settings, address.clone(), in_flight.clone(), places.clone()));
        Ok(Upstream {
            http1: Http1::new(settings, address, in_flight.clone(), places.clone(), reads)?,
            http2: http2.transpose()?,
            host,
            starts: Turns::new(STARTS_IN_A_TURN),
            in_flight,
            settings: settings.clone(),
        })
    }

    /// Sends `request` (its URI in origin form) and waits for the answer's head.
    ///
    /// A safe request without a body is sent once more if its connection was lost (RFC 9110 §9.2.2). Each
    /// attempt has `[upstream] timeout`, from the last piece of the request's body that `progress` saw
    /// taken.
    pub async fn send_with_retry(
        &self,
        request: Request<Body>,
        progress: &Progress,
    ) -> Result<Response<Arriving>, UpstreamError> {
        let again = copy_if_repeatable(&request);
        match (self.attempt(request, progress).await, again) {
            (Err(error), Some(again)) if error.was_lost() => self.attempt(again, progress).await,
            (result, _) => result,
        }
    }

    async fn attempt(
        &self,
        request: Request<Body>,
        progress: &Progress,
    ) -> Result<Response<Arriving>, UpstreamError> {
        let mut sending = Box::pin(self.start(request));
        self.wait_for_head(&mut sending, progress).await
    }

    /// Sends a request without a body, or with one at hand, once, and waits for the answer's head at most `[upstream] timeout`.
    pub async fn send_once(
        &self,
        request: Request<Body>,
    ) -> Result<Response<Arriving>, UpstreamError> {
        let timeout = self.settings.timeout;
        // Pinned here, so that the timeout does not move it.
        let sending = pin!(self.start(request));
        match tokio::time::timeout(timeout, sending).await {
            Ok(result) => result,
            Err(_) => Err(UpstreamError::Timeout(timeout)),
        }
    }

    /// Sends `request`, and resolves with the answer's head however long it takes: the caller has a
    /// deadline of its own, such as [`Upstream::wait_for_head`].
    ///
    /// An `async fn` would hold its argument twice.
    pub fn start(
        &self,
        mut request: Request<Body>,
    ) -> impl Future<Output = Result<Response<Arriving>, UpstreamError>> {
        self.set_host(&mut request);
        let upgrades = request.headers().contains_key(UPGRADE);
        async move {
            self.starts.next().await;
            let (response, permit) = match &self.http2 {
                // Boxed, so that the many requests over HTTP/1 do not carry its size.
                Some(http2) if !upgrades => {
                    let (response, permit) = Box::pin(http2.send(request)).await?;
                    (response, ConnectionPermit::Http2(permit))
                }
                _ => {
                    let (response, permit) = self.http1.send(request).await?;
                    (response, ConnectionPermit::Http1(permit))
                }
            };
            let mut response = response;
            let status = response.status();
            if let Err(error) = check_head(status, response.headers_mut(), upgrades) {
                permit.close();
                return Err(error);
            }
            let version = response.version();
            Ok(response.map(|body| Arriving {
                permit: (!body.is_end_stream()).then_some(permit),
                share: self.share_for(&body),
                version,
                body,
            }))
        }
    }

    /// Waits for `sending` as long as `[upstream] timeout` allows from the last piece of the request's
    /// body that `progress` saw taken. After a timeout `sending` is still under way. Where that body did not
    /// come whole, no error is the app's.
    pub async fn wait_for_head<F>(&self, sending: &mut F, progress: &Progress) -> F::Output
    where
        F: Future<Output = Result<Response<Arriving>, UpstreamError>> + Unpin,
    {
        let mut deadline = Instant::now() + self.settings.timeout;
        loop {
            match tokio::time::timeout_at(deadline, &mut *sending).await {
                Ok(result) => {
                    return result.map_err(|error| match progress.fault() {
                        Some(fault) => UpstreamError::RequestBody(fault),
                        None => error,
                    });
                }
                Err(_) => {
                    let extended = progress.last() + self.settings.timeout;
                    if extended <= deadline {
                        return Err(UpstreamError::Timeout(self.settings.timeout));
                    }
                    deadline = extended;
                }
            }
        }
    }

    fn share_for(&self, body: &Incoming) -> Option<Share> {
        let longest = body.size_hint().upper();
        let is_short = longest.is_some_and(|longest| longest <= in_flight::SHORT as u64);
        (!is_short).then(|| self.in_flight.pass())
    }

    /// The longest pause between two pieces of an answer.
    pub fn body_timeout(&self) -> Duration {
        self.settings.body_timeout
    }

    /// The longest wait for an answer's head.
    pub fn timeout(&self) -> Duration {
        self.settings.timeout
    }

    /// The app's host comes from the config, unless that says to keep the client's (reliability.md R2).
    fn set_host(&self, request: &mut Request<Body>) {
        let fields = request.headers_mut();
        if !self.settings.preserve_host || !fields.contains_key(HOST) {
            fields.insert(HOST, self.host.clone());
        }
    }
}

/// A URI of these.
fn build_uri(scheme: Scheme, authority: Authority, path: PathAndQuery) -> Uri {
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(scheme);
    parts.authority = Some(authority);
    parts.path_and_query = Some(path);
    Uri::from_parts(parts).expect("scheme, authority and path are all set")
}

/// Refuses what hyper takes for an answer and must not be passed on (reliability.md A3): a body framed in
/// two ways or in an unknown one (RFC 9112 §6.3), and a 101 that was not asked for. Its length is one number
/// afterwards.
fn check_head(
    status: StatusCode,
    fields: &mut HeaderMap,
    upgrades: bool,
) -> Result<(), UpstreamError> {
    unite_lengths(fields)?;
    let mut codings = fields.get_all(TRANSFER_ENCODING).iter();
    if let Some(coding) = codings.next() {
        if fields.contains_key(CONTENT_LENGTH) {
            return Err(UpstreamError::Malformed(
                "both Transfer-Encoding and Content-Length",
            ));
        }
        if codings.next().is_some() || !coding.as_bytes().eq_ignore_ascii_case(b"chunked") {
            return Err(UpstreamError::Malformed(
                "a Transfer-Encoding other than chunked",
            ));
        }
    }
    if status == StatusCode::SWITCHING_PROTOCOLS && !upgrades {
        return Err(UpstreamError::Malformed("101 without an Upgrade"));
    }
    Ok(())
}

/// RFC 9110 §8.6: `5, 5` is said again as `5`, and lengths that differ are refused. hyper looks at none where
/// there is no body, as for a HEAD.
fn unite_lengths(fields: &mut HeaderMap) -> Result<(), UpstreamError> {
    const MALFORMED: UpstreamError = UpstreamError::Malformed("a Content-Length that is no number");
    let mut lines = fields.get_all(CONTENT_LENGTH).iter();
    let Some(first) = lines.next() else {
        return Ok(());
    };
    let is_number = |text: &[u8]| !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let is_one = lines.next().is_none();
    if is_one && is_number(first.as_bytes()) {
        return Ok(());
    }
    let numbers = fields.get_all(CONTENT_LENGTH).iter();
    let mut numbers = numbers
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii);
    let number = numbers.next().filter(|number| is_number(number));
    let number = number.ok_or(MALFORMED)?;
    if numbers.any(|other| other != number) {
        return Err(MALFORMED);
    }
    let number = HeaderValue::from_bytes(number).map_err(|_| MALFORMED)?;
    fields.insert(CONTENT_LENGTH, number);
    Ok(())
}

/// A copy of the request, if it is safe and has no body.
fn copy_if_repeatable(request: &Request<Body>) -> Option<Request<Body>> {
    if !request.method().is_safe() || !request.body().is_end_stream() {
        return None;
    }
    let mut copy = Request::new(Body::empty());
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    // Who listens for interim answers is among them.
    *copy.extensions_mut() = request.extensions().clone();
    Some(copy)
}

fn has_ended(error: &(dyn std::error::Error + 'static)) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<hyper::Error>()
            && (error.is_incomplete_message() || error.is_closed() || error.is_canceled())
        {
            return true;
        }
        let of_http2 = error
            .downcast_ref::<h2::Error>()
            .and_then(h2::Error::get_io);
        if let Some(error) = of_http2.or_else(|| error.downcast_ref::<std::io::Error>()) {
            return matches!(error.kind(), ConnectionReset | BrokenPipe | UnexpectedEof);
        }
        cause = error.source();
    }
    false
}
