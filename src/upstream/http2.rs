//! HTTP/2 to the app: few connections, many requests on each.
//!
//! A request takes a place on the first connection that has one; another connection is opened when all
//! are full by the app's own limit (`SETTINGS_MAX_CONCURRENT_STREAMS`). A place is held until the
//! answer's body has ended.

mod request;

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use http::uri::Scheme;
use http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, Connection, SendRequest};
use hyper_util::client::legacy::connect::Connection as _;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::connect::{Connector, Io, Speaks};
use super::{PoolError, UpstreamError};
use crate::body::{Body, BoxError};
use crate::config;
use request::{Refusal, copied, refusal, translated};

/// How often a request is sent that the app has not looked at.
const ATTEMPTS: usize = 3;
/// A silent connection with requests on it is asked whether it lives, and given up if it does not say so
/// in the same time: else a dead one would take every request to its timeout.
const PING: Duration = Duration::from_secs(10);
/// How many requests an app takes at a time before it has said so. No app says so much.
const UNKNOWN: usize = usize::MAX - 1;
/// The largest head of an answer, as for HTTP/1.
const MAX_HEAD: u32 = 400 << 10;

/// The connections of one worker.
#[derive(Clone, Debug)]
pub(super) struct Http2 {
    connector: Connector,
    address: Uri,
    connect_timeout: Duration,
    idle_timeout: Duration,
    links: Links,
    /// Held by whoever is connecting.
    connecting: Arc<tokio::sync::Mutex<Option<Failure>>>,
}

type Links = Arc<Mutex<Vec<Arc<Link>>>>;

/// The last attempt to connect, which failed.
#[derive(Debug)]
struct Failure {
    at: Instant,
    why: String,
}

/// An open connection.
#[derive(Debug)]
struct Link {
    sender: SendRequest<Body>,
    /// Places, by the app's settings.
    limit: watch::Receiver<usize>,
    /// Places taken.
    taken: AtomicUsize,
    /// When a place last became free.
    freed: Mutex<Instant>,
}

/// A request's place on a connection.
#[derive(Debug)]
pub(super) struct Taken(Arc<Link>);

impl Http2 {
    pub(super) fn new(settings: &config::Upstream, address: Uri) -> Result<Http2, PoolError> {
        Ok(Http2 {
            connector: Connector::new(settings, Speaks::Http2)?,
            address,
            connect_timeout: settings.connect_timeout,
            idle_timeout: settings.idle_timeout,
            links: Links::default(),
            connecting: Arc::default(),
        })
    }

    /// Sends `request` and waits for the answer's head. What the app has not looked at is sent again,
    /// whatever its method (RFC 9113 §8.7).
    pub(super) async fn send(
        &self,
        request: Request<Body>,
    ) -> Result<(Response<Incoming>, Taken), UpstreamError> {
        let mut request = translated(request, &self.address);
        let mut attempt = 1;
        loop {
            let taken = self.place().await?;
            let copy = copied(&request);
            let mut sender = taken.0.sender.clone();
            let mut error = match sender.try_send_request(request).await {
                Ok(response) => return Ok((response, taken)),
                Err(error) => error,
            };
            let never_left = error.take_message();
            let error = error.into_error();
            let refused = refusal(&error);
            if never_left.is_none() && refused.is_none() {
                return Err(UpstreamError::Broken(error.into()));
            }
            if never_left.is_some() || refused == Some(Refusal::Connection) {
                self.discard(&taken.0);
            }
            match never_left.or(copy) {
                Some(again) if attempt < ATTEMPTS => request = again,
                _ => return Err(UpstreamError::Refused(error.into())),
            }
            attempt += 1;
        }
    }

    /// A place on an open connection, or on a new one.
    async fn place(&self) -> Result<Taken, UpstreamError> {
        let asked = Instant::now();
        if let Some(taken) = self.free_place() {
            return Ok(taken);
        }
        let mut failure = self.connecting.lock().await;
        // Another request may have connected meanwhile, or failed to: then all who waited fail with it,
        // rather than one after another.
        if let Some(taken) = self.free_place() {
            return Ok(taken);
        }
        if let Some(failure) = failure.as_ref().filter(|failure| failure.at >= asked) {
            return Err(UpstreamError::Connect(failure.why.clone().into()));
        }
        match self.connect().await {
            Ok(taken) => Ok(taken),
            Err(error) => {
                *failure = Some(Failure {
                    at: Instant::now(),
                    why: error.to_string(),
                });
                Err(UpstreamError::Connect(error))
            }
        }
    }

    fn free_place(&self) -> Option<Taken> {
        let mut links = self.links.lock();
        links.retain(|link| !link.sender.is_closed());
        // The first that has one, so that those opened for a peak fall idle after it.
        let free = links
            .iter()
            .find(|link| link.taken.load(Ordering::Relaxed) < *link.limit.borrow());
        free.map(Taken::of)
    }

    async fn connect(&self) -> Result<Taken, BoxError> {
        let mut io = self.connector.open(&self.address).await?;
        if self.address.scheme() == Some(&Scheme::HTTPS) && !io.connected().is_negotiated_h2() {
            return Err("the app does not offer HTTP/2 (ALPN); leave out [upstream] http2".into());
        }
        let heard = io.heard();
        let (sender, connection) = Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(PING)
            .keep_alive_timeout(PING)
            .max_header_list_size(MAX_HEAD)
            .initial_max_send_streams(UNKNOWN)
            .handshake(io)
            .await?;
        let (told, limit) = watch::channel(UNKNOWN);
        let link = Arc::new(Link {
            sender,
            limit,
            taken: AtomicUsize::new(0),
            freed: Mutex::new(Instant::now()),
        });
        let (held, links) = (Arc::downgrade(&link), Arc::downgrade(&self.links));
        let connection = observed(connection, heard, told);
        tokio::spawn(run(connection, held, links, self.idle_timeout));
        self.settled(&link).await?;
        let taken = Taken::of(&link);
        self.links.lock().push(link);
        Ok(taken)
    }

    /// Waits for the app's `SETTINGS`, which come first (RFC 9113 §3.4): nothing is sent to an app that
    /// turns out to speak no HTTP/2, nor more at a time than it takes.
    async fn settled(&self, link: &Link) -> Result<(), BoxError> {
        let mut limit = link.limit.clone();
        let told = limit.wait_for(|limit| *limit != UNKNOWN);
        match tokio::time::timeout(self.connect_timeout, told).await {
            Ok(Ok(_)) => Ok(()),
            _ => Err("the app does not speak HTTP/2; leave out [upstream] http2".into()),
        }
    }

    /// Takes no further request to a connection; those on it go on.
    fn discard(&self, link: &Arc<Link>) {
        self.links.lock().retain(|held| !Arc::ptr_eq(held, link));
    }
}

/// Drives a connection, and notes what the app allows on it.
///
/// hyper reads in a task of its own and does not say when settings come; `heard` does. All tasks of a
/// worker share a thread, so what was heard has been read to its end when this runs.
async fn observed(
    connection: Connection<Io, Body, TokioExecutor>,
    heard: Arc<Notify>,
    limit: watch::Sender<usize>,
) -> hyper::Result<()> {
    tokio::pin!(connection);
    loop {
        let polled = std::future::poll_fn(|cx| {
            let polled = connection.as_mut().poll(cx);
            let now = connection.current_max_send_streams();
            limit.send_if_modified(|limit| std::mem::replace(limit, now) != now);
            polled
        });
        if *limit.borrow() != UNKNOWN {
            return polled.await;
        }
        tokio::select! {
            result = polled => return result,
            () = heard.notified() => {}
        }
    }
}

/// Drives a connection, and takes it out of the pool when it has been idle too long. It ends when nobody
/// holds its sender any more.
async fn run(
    connection: impl Future<Output = hyper::Result<()>>,
    link: Weak<Link>,
    links: Weak<Mutex<Vec<Arc<Link>>>>,
    idle_timeout: Duration,
) {
    tokio::pin!(connection);
    let mut wake = Instant::now() + idle_timeout;
    let result = loop {
        tokio::select! {
            result = connection.as_mut() => break result,
            () = tokio::time::sleep_until(wake) => {}
        }
        let (Some(link), Some(links)) = (link.upgrade(), links.upgrade()) else {
            break connection.await;
        };
        // Locked before it is looked at: nobody takes a place in between.
        let mut links = links.lock();
        wake = Instant::now() + idle_timeout;
        if link.taken.load(Ordering::Relaxed) == 0 {
            let idle_until = *link.freed.lock() + idle_timeout;
            if idle_until <= Instant::now() {
                links.retain(|held| !Arc::ptr_eq(held, &link));
            } else {
                wake = idle_until;
            }
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "connection to the app ended");
    }
}

impl Taken {
    fn of(link: &Arc<Link>) -> Taken {
        link.taken.fetch_add(1, Ordering::Relaxed);
        Taken(link.clone())
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        *self.0.freed.lock() = Instant::now();
        self.0.taken.fetch_sub(1, Ordering::Relaxed);
    }
}
