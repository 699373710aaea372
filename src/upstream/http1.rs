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
use tokio::time::Instant;

use super::connect::{Connector, Speaks};
use super::{PoolError, UpstreamError};
use crate::body::{Body, BoxError};
use crate::config;

/// The most fields that an answer may have.
const MAX_FIELDS: usize = 512;

/// The connections of one worker.
#[derive(Clone, Debug)]
pub(super) struct Http1(Arc<Pool>);

#[derive(Debug)]
struct Pool {
    connector: Connector,
    address: Uri,
    max_idle: usize,
    idle_timeout: Duration,
    places: Mutex<Places>,
}

#[derive(Debug, Default)]
struct Places {
    /// The one that has been idle for longest comes first.
    idle: Vec<Idle>,
    /// Requests that open a connection, and would take another.
    waiting: VecDeque<oneshot::Sender<Taken>>,
    /// Whether a task looks after `idle`.
    swept: bool,
}

#[derive(Debug)]
struct Idle {
    sender: SendRequest<Body>,
    since: Instant,
}

/// A connection that a request has to itself. Dropped when the answer's body has been read, it is there
/// for the next one; dropped sooner, it ends.
#[derive(Debug)]
pub(super) struct Taken {
    /// `None`: dropped.
    sender: Option<SendRequest<Body>>,
    /// Whether it had been opened for another request.
    reused: bool,
    pool: Arc<Pool>,
}

impl Http1 {
    pub(super) fn new(settings: &config::Upstream, address: Uri) -> Result<Http1, PoolError> {
        Ok(Http1(Arc::new(Pool {
            connector: Connector::new(settings, Speaks::Http1)?,
            address,
            max_idle: settings.max_idle,
            idle_timeout: settings.idle_timeout,
            places: Mutex::default(),
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
        mut request: Request<Body>,
    ) -> impl Future<Output = Result<(Response<Incoming>, Taken), UpstreamError>> {
        async move {
            let mut may_open_again = true;
            loop {
                let mut taken = match self.0.idle() {
                    Some(taken) => taken,
                    // Boxed, so that the many requests that find one do not carry its size.
                    None => Box::pin(self.0.opened())
                        .await
                        .map_err(UpstreamError::Connect)?,
                };
                let may_try_again = taken.reused || std::mem::take(&mut may_open_again);
                let Some(sender) = &mut taken.sender else {
                    continue;
                };
                let mut error = match sender.try_send_request(request).await {
                    Ok(response) => return Ok((response, taken)),
                    Err(error) => error,
                };
                match error.take_message() {
                    Some(unsent) if may_try_again => request = unsent,
                    Some(_) => return Err(UpstreamError::Connect(error.into_error().into())),
                    None => return Err(UpstreamError::Broken(error.into_error().into())),
                }
            }
        }
    }
}

impl Pool {
    fn idle(self: &Arc<Self>) -> Option<Taken> {
        let mut places = self.places.lock();
        let mut now = None;
        while let Some(idle) = places.idle.pop() {
            let now = *now.get_or_insert_with(Instant::now);
            if idle.since + self.idle_timeout > now && !idle.sender.is_closed() {
                return Some(self.taken(idle.sender, true));
            }
        }
        None
    }

    /// A new connection, or one that another request is done with meanwhile.
    async fn opened(self: &Arc<Self>) -> Result<Taken, BoxError> {
        let given = self.wait();
        let mut opening = Box::pin(open(self.clone()));
        tokio::select! {
            biased;
            Ok(taken) = given => {
                // Half open, it would be thrown away; the next request can have it.
                tokio::spawn(async move {
                    if let Ok(taken) = opening.await {
                        drop(taken);
                    }
                });
                Ok(taken)
            }
            opened = &mut opening => opened,
        }
    }

    /// Is given the next connection that is free.
    fn wait(&self) -> oneshot::Receiver<Taken> {
        let (waiter, given) = oneshot::channel();
        let mut places = self.places.lock();
        places.waiting.retain(|waiter| !waiter.is_closed());
        places.waiting.push_back(waiter);
        given
    }

    fn taken(self: &Arc<Self>, sender: SendRequest<Body>, reused: bool) -> Taken {
        Taken {
            sender: Some(sender),
            reused,
            pool: self.clone(),
        }
    }

    /// Takes a free connection back.
    fn give(self: &Arc<Self>, sender: SendRequest<Body>) {
        // A request that is handed it and ends before it looks gives it back by dropping it.
        let mut taken = self.taken(sender, true);
        let mut places = self.places.lock();
        while let Some(waiter) = places.waiting.pop_front() {
            match waiter.send(taken) {
                Ok(()) => return,
                Err(unwanted) => taken = unwanted,
            }
        }
        let Some(sender) = taken.sender.take() else {
            return;
        };
        if places.idle.len() >= self.max_idle {
            places.idle.retain(|idle| !idle.sender.is_closed());
        }
        if places.idle.len() >= self.max_idle {
            return;
        }
        let since = Instant::now();
        places.idle.push(Idle { sender, since });
        // Without a runtime the process is ending.
        if !places.swept
            && let Ok(runtime) = Handle::try_current()
        {
            places.swept = true;
            runtime.spawn(sweep(Arc::downgrade(self), since + self.idle_timeout));
        }
    }

    /// Ends what has been idle too long; the time to look again, if anything is left.
    fn expire(&self) -> Option<Instant> {
        let now = Instant::now();
        let mut places = self.places.lock();
        places
            .idle
            .retain(|idle| idle.since + self.idle_timeout > now && !idle.sender.is_closed());
        let next = places
            .idle
            .first()
            .map(|idle| idle.since + self.idle_timeout);
        places.swept = next.is_some();
        next
    }
}

async fn open(pool: Arc<Pool>) -> Result<Taken, BoxError> {
    let io = pool.connector.open(&pool.address).await?;
    let (sender, connection) = Builder::new().max_headers(MAX_FIELDS).handshake(io).await?;
    tokio::spawn(async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "connection to the app ended");
        }
    });
    Ok(pool.taken(sender, false))
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

impl Drop for Taken {
    fn drop(&mut self) {
        let Some(mut sender) = self.sender.take() else {
            return;
        };
        if sender.is_ready() {
            self.pool.give(sender);
        } else if !sender.is_closed()
            && let Ok(runtime) = Handle::try_current()
        {
            // Still sending its request, or about to end.
            let pool = self.pool.clone();
            runtime.spawn(async move {
                if sender.ready().await.is_ok() {
                    pool.give(sender);
                }
            });
        }
    }
}

#[cfg(test)]
mod tests;
