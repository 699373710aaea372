//! HTTP/2 to the app: few connections, many requests on each.
//!
//! A request takes a stream on the first connection that has one free; another connection is opened when
//! all are full by the app's own limit (`SETTINGS_MAX_CONCURRENT_STREAMS`). A stream counts until the
//! answer's body has ended.

mod request;
mod sending;

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use http::uri::Scheme;
use http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, Connection, SendRequest};
use hyper_util::client::legacy::connect::Connection as _;
use hyper_util::rt::TokioTimer;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::connect::{Connector, HttpVersion, Io};
use super::places::Places;
use super::{PoolError, UpstreamError};
use crate::body::{Body, BoxError};
use crate::config;
use crate::in_flight::InFlight;
use request::{Refusal, copy_if_whole, find_refusal, to_http2};
use sending::{Sending, Tasks};

/// How often a request is sent that the app has not looked at.
const ATTEMPTS: usize = 3;
/// A silent connection with requests on it is sent a `PING` after this time, and closed when none comes back
/// within the same: else a dead one would take every request to its timeout.
const PING: Duration = Duration::from_secs(10);
/// Streams that an app allows before its `SETTINGS` have come. No app allows so many.
const UNKNOWN: usize = usize::MAX - 1;
/// The largest head of an answer, as for HTTP/1.
const MAX_HEAD: u32 = 400 << 10;

/// How many streams of a connection may have their window full before the others are held up.
const STREAMS: u32 = 256;
/// The widest window (RFC 9113 §6.9.1).
const MAX_WINDOW: u32 = (1 << 31) - 1;

/// The connections of one worker.
#[derive(Clone, Debug)]
pub(super) struct Http2 {
    connector: Connector,
    address: Uri,
    in_flight: InFlight,
    connect_timeout: Duration,
    idle_timeout: Duration,
    /// How long the app may take nothing of a request that was given up.
    timeout: Duration,
    open: SharedConnections,
    /// Held by whoever is connecting.
    connecting: Arc<tokio::sync::Mutex<Option<Failure>>>,
}

type SharedConnections = Arc<Mutex<Vec<Arc<SharedConnection>>>>;

/// The last attempt to connect, which failed.
#[derive(Debug)]
struct Failure {
    at: Instant,
    why: String,
}

/// An open connection.
#[derive(Debug)]
struct SharedConnection {
    sender: SendRequest<Body>,
    /// Streams at a time, by the app's settings; [`UNKNOWN`] until these have come.
    limit: watch::Receiver<usize>,
    /// Streams that requests have.
    in_use: AtomicUsize,
    /// When a stream last ended.
    freed: Mutex<Instant>,
}

/// A request's stream on a connection.
#[derive(Debug)]
pub(super) struct StreamPermit {
    connection: Arc<SharedConnection>,
    /// The request's body, which may not be sent whole when the answer is; and how long the app may take nothing
    /// of it then.
    upload: Option<(Sending, Duration)>,
}

impl Http2 {
    pub(super) fn new(
        settings: &config::Upstream,
        address: Uri,
        in_flight: InFlight,
        places: Places,
    ) -> Result<Http2, PoolError> {
        Ok(Http2 {
            connector: Connector::new(settings, HttpVersion::Http2, places)?,
            address,
            in_flight,
            connect_timeout: settings.connect_timeout,
            idle_timeout: settings.idle_timeout,
            timeout: settings.timeout,
            open: SharedConnections::default(),
            connecting: Arc::default(),
        })
    }

    /// Sends `request` and waits for the answer's head. What the app has not looked at is sent again,
    /// whatever its method (RFC 9113 §8.7).
    pub(super) async fn send(
        &self,
        request: Request<Body>,
    ) -> Result<(Response<Incoming>, StreamPermit), UpstreamError> {
        let (mut request, sending) = sending::track(to_http2(request, &self.address));
        let mut attempt = 1;
        loop {
            let mut permit = self.acquire().await?;
            let copy = copy_if_whole(&request);
            let mut sender = permit.connection.sender.clone();
            let mut error = match sender.try_send_request(request).await {
                Ok(response) => {
                    permit.upload = sending.map(|sending| (sending, self.timeout));
                    return Ok((response, permit));
                }
                Err(error) => error,
            };
            let never_left = error.take_message();
            let error = error.into_error();
            let refused = find_refusal(&error);
            if never_left.is_none() && refused.is_none() {
                return Err(UpstreamError::Broken(error.into()));
            }
            if never_left.is_some() || refused == Some(Refusal::Connection) {
                self.discard(&permit.connection);
            }
            match never_left.or(copy) {
                Some(again) if attempt < ATTEMPTS => request = again,
                _ => return Err(UpstreamError::Refused(error.into())),
            }
            attempt += 1;
        }
    }

    /// A stream on an open connection, or on a new one.
    async fn acquire(&self) -> Result<StreamPermit, UpstreamError> {
        let asked = Instant::now();
        if let Some(permit) = self.try_acquire() {
            return Ok(permit);
        }
        let mut failure = self.connecting.lock().await;
        // Another request may have connected meanwhile, or failed to: then all who waited fail with it,
        // rather than one after another.
        if let Some(permit) = self.try_acquire() {
            return Ok(permit);
        }
        if let Some(failure) = failure.as_ref().filter(|failure| failure.at >= asked) {
            return Err(UpstreamError::Connect(failure.why.clone().into()));
        }
        match self.connect().await {
            Ok(permit) => Ok(permit),
            Err(error) => {
                *failure = Some(Failure {
                    at: Instant::now(),
                    why: error.to_string(),
                });
                Err(UpstreamError::of_connecting(error))
            }
        }
    }

    fn try_acquire(&self) -> Option<StreamPermit> {
        let mut open = self.open.lock();
        open.retain(|shared| !shared.sender.is_closed());
        // The first that has one, so that those opened for a peak fall idle after it.
        let free = open
            .iter()
            .find(|shared| shared.in_use.load(Ordering::Relaxed) < *shared.limit.borrow());
        free.map(StreamPermit::of)
    }

    async fn connect(&self) -> Result<StreamPermit, BoxError> {
        let mut io = self.connector.open(&self.address, &self.in_flight).await?;
        if self.address.scheme() == Some(&Scheme::HTTPS) && !io.connected().is_negotiated_h2() {
            return Err("the app does not offer HTTP/2 (ALPN); leave out [upstream] http2".into());
        }
        let was_read = io.notify_on_read();
        let window = u32::try_from(self.in_flight.per_body())
            .unwrap_or(MAX_WINDOW)
            .min(MAX_WINDOW);
        let (sender, connection) = Builder::new(Tasks)
            .timer(TokioTimer::new())
            .keep_alive_interval(PING)
            .keep_alive_timeout(PING)
            .max_header_list_size(MAX_HEAD)
            .initial_stream_window_size(window)
            // So wide that streams which are read slowly do not hold up the others.
            .initial_connection_window_size(window.saturating_mul(STREAMS).min(MAX_WINDOW))
            .max_send_buf_size(window as usize)
            .initial_max_send_streams(UNKNOWN)
            .handshake(io)
            .await?;
        let (set_limit, limit) = watch::channel(UNKNOWN);
        let shared = Arc::new(SharedConnection {
            sender,
            limit,
            in_use: AtomicUsize::new(0),
            freed: Mutex::new(Instant::now()),
        });
        let (held, open) = (Arc::downgrade(&shared), Arc::downgrade(&self.open));
        let connection = drive_and_note_limit(connection, was_read, set_limit);
        tokio::spawn(drive_until_idle(connection, held, open, self.idle_timeout));
        self.wait_for_settings(&shared).await?;
        let permit = StreamPermit::of(&shared);
        self.open.lock().push(shared);
        Ok(permit)
    }

    /// Waits for the app's `SETTINGS`, which come first (RFC 9113 §3.4): nothing is sent to an app that
    /// turns out to speak no HTTP/2, nor more at a time than it takes.
    async fn wait_for_settings(&self, shared: &SharedConnection) -> Result<(), BoxError> {
        let mut limit = shared.limit.clone();
        let settled = limit.wait_for(|limit| *limit != UNKNOWN);
        match tokio::time::timeout(self.connect_timeout, settled).await {
            Ok(Ok(_)) => Ok(()),
            _ => Err("the app does not speak HTTP/2; leave out [upstream] http2".into()),
        }
    }

    /// Takes no further request to a connection; those on it go on.
    fn discard(&self, shared: &Arc<SharedConnection>) {
        self.open.lock().retain(|other| !Arc::ptr_eq(other, shared));
    }
}

/// Drives a connection, and notes what the app allows on it.
///
/// hyper reads in a task of its own and does not tell when settings come; `was_read` does. All tasks of
/// a worker share a thread, so what was read has been taken apart when this runs.
async fn drive_and_note_limit(
    connection: Connection<Io, Body, Tasks>,
    was_read: Arc<Notify>,
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
            () = was_read.notified() => {}
        }
    }
}

/// Drives a connection, and takes it out of the pool when it has been idle too long. It ends when nobody
/// holds its sender any more.
async fn drive_until_idle(
    connection: impl Future<Output = hyper::Result<()>>,
    shared: Weak<SharedConnection>,
    open: Weak<Mutex<Vec<Arc<SharedConnection>>>>,
    idle_timeout: Duration,
) {
    tokio::pin!(connection);
    let mut wake = Instant::now() + idle_timeout;
    let result = loop {
        tokio::select! {
            result = connection.as_mut() => break result,
            () = tokio::time::sleep_until(wake) => {}
        }
        let (Some(shared), Some(open)) = (shared.upgrade(), open.upgrade()) else {
            break connection.await;
        };
        // Locked before it is looked at: nobody takes a stream in between.
        let mut open = open.lock();
        wake = Instant::now() + idle_timeout;
        if shared.in_use.load(Ordering::Relaxed) == 0 {
            let idle_until = *shared.freed.lock() + idle_timeout;
            if idle_until <= Instant::now() {
                open.retain(|other| !Arc::ptr_eq(other, &shared));
            } else {
                wake = idle_until;
            }
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "connection to the app ended");
    }
}

impl StreamPermit {
    fn of(shared: &Arc<SharedConnection>) -> StreamPermit {
        shared.in_use.fetch_add(1, Ordering::Relaxed);
        StreamPermit {
            connection: shared.clone(),
            upload: None,
        }
    }
}

impl Drop for StreamPermit {
    fn drop(&mut self) {
        *self.connection.freed.lock() = Instant::now();
        self.connection.in_use.fetch_sub(1, Ordering::Relaxed);
        if let Some((sending, timeout)) = self.upload.take() {
            sending.end_when_stalled(timeout);
        }
    }
}
