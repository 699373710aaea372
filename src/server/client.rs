//! One client's connection from its first byte to its last: TLS, which HTTP it speaks, its requests.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::task::Poll;

use http::{Request, Response, StatusCode};
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioTimer;
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::connection::{Limits, Phase, Timed};
use super::cut::Cut;
use super::http2;
use super::http2::streams::{Spawner, Streams};
use super::idle::Listing;
use super::poll_on_news::PollOnNews;
use super::proxy_protocol::{self, Fault, Source};
use super::transport::Transport;
use crate::body::{Body, BoxError, Droppable, Upload};
use crate::config::Listen;
use crate::drain::Drain;
use crate::in_flight::InFlight;
use crate::pacing::Window;
use crate::proxy::interim::{self, Interims};
use crate::proxy::request::admit::MAX_FIELDS;
use crate::proxy::request::client::Client;
use crate::proxy::{self, Worker};

/// What a connection may have in the kernel that is not on its way yet.
const UNSENT: u32 = 128 << 10;

/// An accepted connection and what it occupies.
pub(super) struct Connection {
    pub(super) worker: Arc<Worker>,
    pub(super) peer: IpAddr,
    pub(super) connection_guard: Arc<dyn Droppable>,
    pub(super) drain: Drain,
    pub(super) listing: Listing,
}

/// What the client speaks.
enum Protocol {
    Http1,
    Http2,
}

impl Connection {
    /// Serves it until it ends.
    pub(super) async fn serve(self, stream: TcpStream) {
        let peer = self.peer;
        if let Err(error) = self.converse(stream).await {
            tracing::debug!(%peer, %error, "connection ended");
        }
    }

    async fn converse(mut self, mut stream: TcpStream) -> Result<(), BoxError> {
        let listen = self.worker.live.load().config.listen.clone();
        let idleness = self.listing.idleness().clone();
        idleness.belongs_to_this_task().await;
        let _ = stream.set_nodelay(true);
        // What a client takes slowly waits here, where it is counted, and not in the kernel.
        let _ = SockRef::from(&stream).set_tcp_notsent_lowat(UNSENT);
        if listen.proxy_protocol {
            match self.read_source(&mut stream, &listen).await? {
                Some(peer) => self.peer = peer,
                None => return Ok(()),
            }
        }
        let Some(transport) = self.open(stream, &listen).await? else {
            return Ok(());
        };
        let limits = Limits {
            head: listen.header_timeout,
            idle: listen.idle_timeout,
            min_rate: listen.min_rate,
        };
        let mut io = Timed::new(transport, limits, idleness, self.worker.metrics.clone());
        let mut client = Client {
            peer: self.peer,
            secure: io.transport().is_tls(),
            connection_guard: self.connection_guard,
            drain: self.drain,
            interims: None,
        };
        match detect_protocol(&mut io, &client.drain).await? {
            Some(Protocol::Http1) => {
                let interims = client.interims.insert(Interims::default()).clone();
                let (phase, window) = (io.phase(), io.window());
                let io = interim::Transport::new(io, interims);
                let answers = Answers {
                    phase,
                    window,
                    in_flight: self.worker.cache.store.in_flight().clone(),
                };
                serve_http1(&self.worker, &client, io, &answers, &listen).await
            }
            // Boxed, so that the many connections of HTTP/1 do not carry its size.
            Some(Protocol::Http2) => {
                Box::pin(serve_http2(self.worker, client, io, limits, &listen)).await
            }
            None => Ok(()),
        }
    }

    /// The client's address, as the balancer says it by the PROXY protocol; `None`: the drain came first.
    async fn read_source(
        &self,
        stream: &mut TcpStream,
        listen: &Listen,
    ) -> io::Result<Option<IpAddr>> {
        let trusted = &listen.trusted_proxies;
        if !trusted.is_empty() && !trusted.contain(self.peer) {
            return Err(self.refuse(Fault::Untrusted));
        }
        match self.opening(listen, proxy_protocol::read(stream)).await? {
            None => Ok(None),
            Some(Ok(Source::Client(address))) => Ok(Some(address.to_canonical())),
            Some(Ok(Source::Unknown)) => Ok(Some(self.peer)),
            Some(Err(fault)) => Err(self.refuse(fault)),
        }
    }

    fn refuse(&self, fault: Fault) -> io::Error {
        let peer = self.peer;
        // A place in the code each: lines are limited by place, and one kind is not to hide another.
        match fault {
            Fault::Missing => tracing::warn!(%peer, "connection closed: {fault}"),
            Fault::Malformed => tracing::warn!(%peer, "connection closed: {fault}"),
            Fault::TooLong => tracing::warn!(%peer, "connection closed: {fault}"),
            Fault::Untrusted => tracing::warn!(%peer, "connection closed: {fault}"),
        }
        Cut::NoSource.count(&self.worker.metrics);
        io::Error::new(io::ErrorKind::InvalidData, fault)
    }

    /// The TLS handshake, if there is to be one; `None`: the drain came first. The certificate is that of
    /// the config in force, so a reload serves the next client.
    async fn open(&self, stream: TcpStream, listen: &Listen) -> io::Result<Option<Transport>> {
        let Some(tls) = &listen.tls else {
            return Ok(Some(Transport::plain(stream)));
        };
        let accepting = TlsAcceptor::from(tls.server.clone()).accept(stream);
        let accepted = self.opening(listen, accepting).await?;
        Ok(accepted.map(Transport::tls))
    }

    /// What comes before the first request, within `header_timeout`; `None`: the drain came first.
    async fn opening<T>(
        &self,
        listen: &Listen,
        step: impl Future<Output = io::Result<T>>,
    ) -> io::Result<Option<T>> {
        tokio::select! {
            biased;
            () = self.drain.started() => Ok(None),
            () = self.must_make_room() => {
                Cut::Crowded.count(&self.worker.metrics);
                Err(Cut::Crowded.into())
            }
            done = tokio::time::timeout(listen.header_timeout, step) => {
                let done = done.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
                Ok(Some(done))
            }
        }
    }

    /// Returns when another client needs the place.
    async fn must_make_room(&self) {
        let idleness = self.listing.idleness();
        poll_fn(|_| match idleness.must_leave() {
            true => Poll::Ready(()),
            // Its task is woken.
            false => Poll::Pending,
        })
        .await;
    }
}

/// With TLS what ALPN agreed on (RFC 9113 §3.2), else what the client begins with (§3.3). `None`: the
/// drain came before its first byte.
async fn detect_protocol(io: &mut Timed, drain: &Drain) -> io::Result<Option<Protocol>> {
    if io.transport().is_tls() {
        let http2 = io.transport().alpn() == Some(b"h2");
        return Ok(Some(if http2 {
            Protocol::Http2
        } else {
            Protocol::Http1
        }));
    }
    let begun = tokio::select! {
        // A client that was accepted with its request already there is answered.
        biased;
        begun = io.begins_http2() => Some(begun),
        () = drain.started() => None,
    };
    let http2 = match begun {
        Some(begun) => begun?,
        None if io.transport().is_untouched() => return Ok(None),
        None => io.begins_http2().await?,
    };
    Ok(Some(if http2 {
        Protocol::Http2
    } else {
        Protocol::Http1
    }))
}

async fn serve_http1(
    worker: &Arc<Worker>,
    client: &Client,
    io: interim::Transport<Timed>,
    answers: &Answers,
    listen: &Listen,
) -> Result<(), BoxError> {
    let service = service_fn(|request: Request<Incoming>| {
        // Not in the future: hyper may read of the body before it polls that.
        answers.phase.start_answer(!request.body().is_end_stream());
        let request = request.map(Upload::over_http1);
        async move {
            let response = proxy::handle(worker, request, client).await;
            Ok::<_, Infallible>(answers.follow(response))
        }
    });
    let mut builder = http1::Builder::new();
    // Timeouts are the connection's own (see `Timed`); hyper's would count idle time as a slow head.
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .max_buf_size(listen.max_head)
        .max_headers(MAX_FIELDS);
    let connection = builder.serve_connection(io, service).with_upgrades();
    tokio::pin!(connection);
    let mut drain_started = PollOnNews::new(client.drain.started());
    // What Redis has told by now is heard before a request that came with it is read: whoever hears it was woken before.
    let is_patient = worker.cache.store.hears_news();
    let mut has_let_others_go = false;
    let served = poll_fn(|cx| {
        if is_patient && !has_let_others_go && answers.phase.is_waiting() {
            has_let_others_go = true;
            // To the end of the queue, and not behind a look for further news as tokio's own way of yielding.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        has_let_others_go = false;
        match connection.as_mut().poll(cx) {
            Poll::Ready(result) => Poll::Ready(Some(result)),
            Poll::Pending => {
                let news = client.drain.has_started();
                drain_started.poll(cx, news).map(|()| None)
            }
        }
    });
    if let Some(result) = served.await {
        return Ok(result?);
    }
    connection.as_mut().graceful_shutdown();
    Ok(connection.await?)
}

/// What a connection of HTTP/1 and its answers know of each other.
struct Answers {
    phase: Phase,
    window: Window,
    in_flight: InFlight,
}

impl Answers {
    /// Keeps the phase at how far the answer is, and the answer at the client's pace.
    fn follow(&self, response: Response<Body>) -> Response<Body> {
        let Answers {
            phase,
            window,
            in_flight,
        } = self;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            phase.start_relay();
        } else if response.body().is_streamed() {
            return response.map(|body| {
                let body = body.guarded(phase.end_answer_on_drop());
                body.paced(window, in_flight)
            });
        } else {
            phase.end_answer();
        }
        response
    }
}

async fn serve_http2(
    worker: Arc<Worker>,
    client: Client,
    mut io: Timed,
    limits: Limits,
    listen: &Listen,
) -> Result<(), BoxError> {
    let per_body = worker.cache.store.in_flight().per_body();
    let streams = Streams::default();
    let spawner = Spawner::new(streams.clone(), limits.taking(), worker.metrics.clone());
    let idle = io.speak_http2(streams.clone());
    let drain = client.drain.clone();
    let client = Arc::new(client);
    let service = service_fn(move |request: Request<Incoming>| {
        let (worker, client) = (worker.clone(), client.clone());
        let request = request.map(Upload::over_http2);
        async move {
            // Here and not around the stream: hyper sees meanwhile if the client resets it.
            worker.cache.turns.next().await;
            let method = request.method().clone();
            let response = proxy::handle(&worker, request, &client).await;
            Ok::<_, Infallible>(http2::frame(&method, response))
        }
    });
    let connection = http2::builder(listen, per_body, spawner).serve_connection(io, service);
    tokio::pin!(connection);
    // Requests that are being answered are finished after either.
    tokio::select! {
        result = connection.as_mut() => return Ok(result?),
        () = drain.started() => {}
        () = idle.notified() => {}
    }
    connection.as_mut().graceful_shutdown();
    Ok(connection.await?)
}
