//! HTTP/1 to the app: a connection for each request under way, kept for those to come.
//!
//! The one used last is taken first, so that those opened for a peak fall idle after it. A request that
//! finds none opens one, and takes whichever is free first: that, or one that another has done with.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::Duration;

use http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, SendRequest};
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::connect::{CloseByReset, Connector, HttpVersion, RequestStart, was_unasked};
use super::places::Places;
use super::{PoolError, UpstreamError};
use crate::body::{Body, BoxError};
use crate::config;
use crate::in_flight::InFlight;
use crate::pacing::{Uptake, Window};
use crate::turns::Turns;

/// The most fields that an answer may have.
const MAX_FIELDS: usize = 512;

/// How long connections are not used again after the app has sent an answer that nobody asked for: one that does
/// so does it again, and not always early enough to be seen.
const DISTRUST: Duration = Duration::from_secs(60);

/// The connections of one worker.
#[derive(Clone, Debug)]
pub(super) struct Http1(Arc<Pool>);

#[derive(Debug)]
struct Pool {
    connector: Connector,
    address: Uri,
    in_flight: InFlight,
    /// What its connections read and end in.
    turns: Turns,
    max_idle: usize,
    idle_timeout: Duration,
    /// How long the app may take nothing of a request that was given up.
    timeout: Duration,
    state: Mutex<PoolState>,
}

#[derive(Debug, Default)]
struct PoolState {
    /// The one that has been idle for longest comes first.
    idle: Vec<Idle>,
    /// Requests that open a connection, and would take another.
    waiting: VecDeque<oneshot::Sender<PooledConnection>>,
    /// Whether a task looks after `idle`.
    has_sweeper: bool,
    /// Until then each request has a connection of its own.
    distrusted_until: Option<Instant>,
}

#[derive(Debug)]
struct Idle {
    sender: Sender,
    since: Instant,
}

/// Where a connection takes its requests.
#[derive(Debug)]
struct Sender {
    hyper: SendRequest<Body>,
    start: RequestStart,
    /// Of the bodies that are sent over it.
    window: Window,
    /// How it takes them.
    uptake: Uptake,
    /// Its task; the connection is closed when that ends.
    task: JoinHandle<()>,
    close_by_reset: CloseByReset,
}

/// A connection that one request has to itself. Dropped when the answer's body has been read, it goes back
/// to the pool; dropped sooner, it is closed.
#[derive(Debug)]
pub(super) struct PooledConnection {
    /// `None`: dropped.
    sender: Option<Sender>,
    /// Whether it had been opened for another request.
    reused: bool,
    /// Whether the head of an answer has come.
    answered: bool,
    pool: Arc<Pool>,
}

impl Http1 {
    pub(super) fn new(
        settings: &config::Upstream,
        address: Uri,
        in_flight: InFlight,
        places: Places,
        turns: Turns,
    ) -> Result<Http1, PoolError> {
        Ok(Http1(Arc::new(Pool {
            connector: Connector::new(settings, HttpVersion::Http1, places)?,
            address,
            in_flight,
            turns,
            max_idle: settings.max_idle,
            idle_timeout: settings.idle_timeout,
            timeout: settings.timeout,
            state: Mutex::default(),
        })))
    }

    /// Sends `request` and waits for the answer's head. What a connection that the app had closed did not
    /// take goes over another one, whatever its method: the app has seen nothing of it.
    #[expect(
        clippy::manual_async_fn,
        reason = "an async fn would hold its argument twice"
    )]
    pub(super) fn send(
        &self,
        mut unsent: Request<Body>,
    ) -> impl Future<Output = Result<(Response<Incoming>, PooledConnection), UpstreamError>> {
        async move {
            let mut may_open_again = true;
            loop {
                let mut connection = match self.0.take_idle() {
                    Some(connection) => connection,
                    // Boxed, so that the many requests that find one do not carry its size.
                    None => Box::pin(self.0.open_or_wait())
                        .await
                        .map_err(UpstreamError::of_connecting)?,
                };
                let may_try_again = connection.reused || std::mem::take(&mut may_open_again);
                let Some(sender) = &mut connection.sender else {
                    continue;
                };
                if connection.reused {
                    sender.start.announce();
                }
                let request = unsent.map(|body| {
                    let body = body.paced(&sender.window, &self.0.in_flight);
                    body.taken(&sender.uptake)
                });
                let mut error = match sender.hyper.try_send_request(request).await {
                    Ok(response) => {
                        connection.answered = true;
                        return Ok((response, connection));
                    }
                    Err(error) => error,
                };
                if was_unasked(error.error()) {
                    self.0.distrust();
                }
                match error.take_message() {
                    Some(again) if may_try_again => unsent = again,
                    Some(_) => return Err(UpstreamError::Connect(error.into_error().into())),
                    None => return Err(UpstreamError::Broken(error.into_error().into())),
                }
            }
        }
    }
}

impl PooledConnection {
    /// Closes it: what comes on it next cannot be told from what came last.
    pub(super) fn close(mut self) {
        if let Some(sender) = self.sender.take() {
            // hyper would first send what it has been given.
            sender.task.abort();
        }
    }
}

impl Pool {
    fn take_idle(self: &Arc<Self>) -> Option<PooledConnection> {
        let mut state = self.state.lock();
        let mut now = None;
        while let Some(idle) = state.idle.pop() {
            let now = *now.get_or_insert_with(Instant::now);
            if idle.since + self.idle_timeout > now && !idle.sender.hyper.is_closed() {
                return Some(self.lend(idle.sender, true));
            }
        }
        None
    }

    /// A new connection, or one that another request is done with meanwhile.
    async fn open_or_wait(self: &Arc<Self>) -> Result<PooledConnection, BoxError> {
        let given = self.wait_for_free();
        let mut opening = Box::pin(open(self.clone()));
        tokio::select! {
            biased;
            Ok(connection) = given => {
                // Half open, it would be thrown away; the next request can have it.
                tokio::spawn(async move {
                    if let Ok(connection) = opening.await {
                        drop(connection);
                    }
                });
                Ok(connection)
            }
            opened = &mut opening => opened,
        }
    }

    /// Is given the next connection that is free.
    fn wait_for_free(&self) -> oneshot::Receiver<PooledConnection> {
        let (waiter, given) = oneshot::channel();
        let mut state = self.state.lock();
        state.waiting.retain(|waiter| !waiter.is_closed());
        state.waiting.push_back(waiter);
        given
    }

    fn lend(self: &Arc<Self>, sender: Sender, reused: bool) -> PooledConnection {
        PooledConnection {
            sender: Some(sender),
            reused,
            answered: false,
            pool: self.clone(),
        }
    }

    /// Takes a free connection back.
    fn take_back(self: &Arc<Self>, sender: Sender) {
        // A request that is handed it and ends before it looks gives it back by dropping it.
        let mut connection = self.lend(sender, true);
        let mut state = self.state.lock();
        if state
            .distrusted_until
            .is_some_and(|until| until > Instant::now())
        {
            connection.sender = None;
            return;
        }
        while let Some(waiter) = state.waiting.pop_front() {
            match waiter.send(connection) {
                Ok(()) => return,
                Err(unwanted) => connection = unwanted,
            }
        }
        let Some(sender) = connection.sender.take() else {
            return;
        };
        if state.idle.len() >= self.max_idle {
            state.idle.retain(|idle| !idle.sender.hyper.is_closed());
        }
        if state.idle.len() >= self.max_idle {
            return;
        }
        let since = Instant::now();
        state.idle.push(Idle { sender, since });
        // Without a runtime the process is ending.
        if !state.has_sweeper
            && let Ok(runtime) = Handle::try_current()
        {
            state.has_sweeper = true;
            runtime.spawn(sweep(Arc::downgrade(self), since + self.idle_timeout));
        }
    }

    /// Waits until the connection of a request that was given up is free, as long as the app takes the rest of it.
    async fn settle(self: Arc<Self>, mut sender: Sender, answered: bool) {
        match answered {
            true => sender.uptake.note_answered(),
            false => sender.uptake.note_given_up(),
        }
        tokio::select! {
            biased;
            Ok(()) = sender.hyper.ready() => self.take_back(sender),
            _ = &mut sender.task => {}
            () = sender.uptake.stalled(self.timeout) => {
                tracing::debug!("the app takes nothing of a request that was given up: its connection is closed");
                sender.close_by_reset.announce();
                sender.task.abort();
            }
        }
    }

    /// The app has sent an answer that nobody asked for.
    fn distrust(&self) {
        let now = Instant::now();
        let mut state = self.state.lock();
        let was_trusted = state.distrusted_until.is_none_or(|until| until <= now);
        state.distrusted_until = Some(now + DISTRUST);
        state.idle.clear();
        drop(state);
        if was_trusted {
            tracing::warn!(
                "the app sent an answer that nobody asked for: each request has a connection of its own for {DISTRUST:?}"
            );
        }
    }

    /// Ends what has been idle too long; the time to look again, if anything is left.
    fn expire(&self) -> Option<Instant> {
        let now = Instant::now();
        let mut state = self.state.lock();
        state
            .idle
            .retain(|idle| idle.since + self.idle_timeout > now && !idle.sender.hyper.is_closed());
        let next = state
            .idle
            .first()
            .map(|idle| idle.since + self.idle_timeout);
        state.has_sweeper = next.is_some();
        next
    }
}

async fn open(pool: Arc<Pool>) -> Result<PooledConnection, BoxError> {
    let mut io = pool.connector.open(&pool.address, &pool.in_flight).await?;
    io.read_early_answers();
    io.take_turns(&pool.turns);
    let (start, window) = (io.request_start(), io.window());
    let close_by_reset = io.close_by_reset();
    let (hyper, connection) = Builder::new().max_headers(MAX_FIELDS).handshake(io).await?;
    let owner = Arc::downgrade(&pool);
    let task = tokio::spawn(async move {
        if let Err(error) = connection.with_upgrades().await {
            if was_unasked(&error)
                && let Some(pool) = owner.upgrade()
            {
                pool.distrust();
            }
            tracing::debug!(%error, "connection to the app ended");
        }
    });
    let sender = Sender {
        hyper,
        start,
        window,
        uptake: Uptake::default(),
        task,
        close_by_reset,
    };
    Ok(pool.lend(sender, false))
}

async fn sweep(pool: Weak<Pool>, mut next: Instant) {
    loop {
        tokio::time::sleep_until(next).await;
        match pool.upgrade().and_then(|pool| pool.expire()) {
            Some(later) => next = later,
            None => return,
        }
    }
}

impl Drop for PooledConnection {
    fn drop(&mut self) {
        let Some(sender) = self.sender.take() else {
            return;
        };
        if sender.hyper.is_ready() {
            self.pool.take_back(sender);
        } else if !sender.task.is_finished()
            && let Ok(runtime) = Handle::try_current()
        {
            // Still sending its request, or about to end.
            runtime.spawn(self.pool.clone().settle(sender, self.answered));
        }
    }
}

#[cfg(test)]
mod tests;
