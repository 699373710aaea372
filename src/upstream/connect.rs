//! Connecting to the app: TCP, TLS or a unix socket.

use std::io;
use std::mem::MaybeUninit;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use socket2::SockRef;
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::Notify;
use tower_service::Service;

use super::PoolError;
use super::places::{self, Places};
use crate::body::BoxError;
use crate::config::{self, Target};
use crate::in_flight::InFlight;
use crate::pacing::{self, Window};
use crate::turns::{Place, Turns, Visitor};

/// The version of HTTP that a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HttpVersion {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
}

/// Opens connections to the one app.
#[derive(Clone, Debug)]
pub(super) struct Connector {
    dialer: Dialer,
    timeout: Duration,
    places: Places,
}

#[derive(Clone, Debug)]
enum Dialer {
    Tcp(HttpConnector),
    Tls(HttpsConnector<HttpConnector>),
    Unix(Arc<PathBuf>),
}

impl Connector {
    pub(super) fn new(
        settings: &config::Upstream,
        version: HttpVersion,
        places: Places,
    ) -> Result<Connector, PoolError> {
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        tcp.enforce_http(false);
        tcp.set_keepalive(Some(Duration::from_secs(60)));
        let dialer = match &settings.target {
            Target::Http(_) => Dialer::Tcp(tcp),
            Target::Https(_) => {
                Dialer::Tls(tls_connector(tcp, settings.ca_file.as_ref(), version)?)
            }
            Target::Unix(path) => Dialer::Unix(Arc::new(path.clone())),
        };
        Ok(Connector {
            dialer,
            timeout: settings.connect_timeout,
            places,
        })
    }

    /// A new connection; `address` is the app's, and means nothing for a unix socket.
    pub(super) async fn open(&self, address: &Uri, in_flight: &InFlight) -> Result<Io, BoxError> {
        let (dialer, timeout) = (self.dialer.clone(), self.timeout);
        let place = self.places.take(timeout).await?;
        let dialing = dial(dialer, address.clone());
        let transport = match tokio::time::timeout(timeout, dialing).await {
            Ok(Ok(transport)) => transport,
            Ok(Err(error)) => return Err(self.explain(address, in_words(&*error))),
            Err(_) => {
                let why = format!("no connection within {timeout:?}");
                return Err(self.explain(address, why));
            }
        };
        Ok(Io::new(transport, in_flight.clone(), place))
    }

    /// To where no connection could be made, and why not.
    fn explain(&self, address: &Uri, why: String) -> BoxError {
        match (&self.dialer, address.authority()) {
            (Dialer::Unix(path), _) => format!("{}: {why}", path.display()).into(),
            (_, Some(authority)) => format!("{authority}: {why}").into(),
            (_, None) => why.into(),
        }
    }
}

/// An error with what caused it: its own words are often `tcp connect error` and no more.
pub(super) fn in_words(error: &(dyn std::error::Error + 'static)) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let why = error.to_string();
        if !words.contains(&why) {
            words = format!("{words}: {why}");
        }
        cause = error.source();
    }
    words
}

/// The system's authorities, and those of `ca_file` besides.
fn tls_connector(
    tcp: HttpConnector,
    ca_file: Option<&PathBuf>,
    version: HttpVersion,
) -> Result<HttpsConnector<HttpConnector>, PoolError> {
    let mut roots = rustls::RootCertStore::empty();
    let system = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(system.certs);
    if let Some(path) = ca_file {
        let refuse = |reason: String| PoolError::CaFile {
            path: path.display().to_string(),
            reason,
        };
        let certificates = CertificateDer::pem_file_iter(path)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| refuse(error.to_string()))?;
        if roots.add_parsable_certificates(certificates).0 == 0 {
            return Err(refuse("holds no certificate".into()));
        }
    }
    if roots.is_empty() {
        return Err(PoolError::NoRoots);
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring serves the default protocol versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let builder = HttpsConnectorBuilder::new()
        .with_tls_config(config)
        .https_only();
    // Each offers its own version alone by ALPN (RFC 9113 §3.2).
    Ok(match version {
        HttpVersion::Http1 => builder.enable_http1().wrap_connector(tcp),
        HttpVersion::Http2 => builder.enable_http2().wrap_connector(tcp),
    })
}

async fn dial(dialer: Dialer, uri: Uri) -> Result<Box<dyn Transport>, BoxError> {
    Ok(match dialer {
        Dialer::Tcp(mut tcp) => Box::new(tcp.call(uri).await?),
        Dialer::Tls(mut tls) => Box::new(tls.call(uri).await?),
        Dialer::Unix(path) => Box::new(UnixIo(TokioIo::new(UnixStream::connect(&*path).await?))),
    })
}

/// An open connection of any kind.
pub(super) struct Io {
    transport: Box<dyn Transport>,
    in_flight: InFlight,
    _place: places::Place,
    /// Whose turns its reads and its end wait for; `None`: they do not.
    visitor: Option<Visitor>,
    /// Notified of each read; `None`: nobody waits for it.
    was_read: Option<Arc<Notify>>,
    /// Of the bodies that HTTP/1 sends over it.
    window: Window,
    /// What becomes of bytes that the app takes no more.
    unread_writes: UnreadWrites,
    begins_request: RequestStart,
    close_by_reset: CloseByReset,
}

/// Has a connection end by a reset when it is dropped: in order it would end only when the app has read what was
/// written, for which the system keeps it.
#[derive(Clone, Debug, Default)]
pub(super) struct CloseByReset(Arc<AtomicBool>);

impl CloseByReset {
    pub(super) fn announce(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Drop for Io {
    fn drop(&mut self) {
        if self.close_by_reset.0.load(Ordering::Relaxed) {
            // Lingering for no time makes the close a reset.
            let _ = self.transport.socket().set_linger(Some(Duration::ZERO));
        }
    }
}

/// Says that a connection's next write begins a request, on HTTP/1.
#[derive(Clone, Debug, Default)]
pub(super) struct RequestStart(Arc<AtomicBool>);

impl RequestStart {
    pub(super) fn announce(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn take(&self) -> bool {
        self.0.load(Ordering::Relaxed) && self.0.swap(false, Ordering::Relaxed)
    }
}

/// What the app sent before it was asked would be taken for the answer to what it is asked next, and every
/// later answer for that to the request after its own.
#[derive(Debug, thiserror::Error)]
#[error("the app sent an answer that nobody has asked for")]
struct Unasked;

/// Whether a connection ended for such an answer, seen here or by hyper (which has no method to tell).
pub(super) fn was_unasked(error: &hyper::Error) -> bool {
    let of_io =
        std::error::Error::source(error).and_then(|error| error.downcast_ref::<io::Error>());
    let seen_here = of_io
        .and_then(io::Error::get_ref)
        .is_some_and(|error| error.is::<Unasked>());
    seen_here || error.to_string().starts_with("received unexpected message")
}

/// What becomes of bytes for an app that has closed its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum UnreadWrites {
    /// They fail.
    Fail,
    /// They are dropped: an app that refuses a request before it has read all of it, and closes, has answered,
    /// and that answer is still to be read.
    Drop,
    /// They are, from now on.
    Dropping,
}

impl Io {
    fn new(transport: Box<dyn Transport>, in_flight: InFlight, place: places::Place) -> Io {
        Io {
            transport,
            in_flight,
            _place: place,
            visitor: None,
            was_read: None,
            window: Window::default(),
            unread_writes: UnreadWrites::Fail,
            begins_request: RequestStart::default(),
            close_by_reset: CloseByReset::default(),
        }
    }

    /// Where a request that goes over a used connection is announced: it is not sent if the app has sent
    /// something before it.
    pub(super) fn request_start(&self) -> RequestStart {
        self.begins_request.clone()
    }

    /// Where it is told to end by a reset.
    pub(super) fn close_by_reset(&self) -> CloseByReset {
        self.close_by_reset.clone()
    }

    fn check_start(&self) -> io::Result<()> {
        if self.begins_request.take() && self.transport.has_unread() {
            return Err(io::Error::new(io::ErrorKind::ConnectionReset, Unasked));
        }
        Ok(())
    }

    /// Reads and ends in `turns`: of connections that many requests have one each.
    pub(super) fn take_turns(&mut self, turns: &Turns) {
        self.visitor = Some(turns.visitor());
    }

    /// Goes on reading when the app takes no more bytes: an early answer to a request of HTTP/1.
    pub(super) fn read_early_answers(&mut self) {
        self.unread_writes = UnreadWrites::Drop;
    }

    /// The result of writing `length` bytes, or as if they had been written.
    fn written(
        &mut self,
        polled: Poll<io::Result<usize>>,
        length: usize,
    ) -> Poll<io::Result<usize>> {
        use io::ErrorKind::{BrokenPipe, ConnectionReset};
        match polled {
            Poll::Ready(Err(error))
                if self.unread_writes == UnreadWrites::Drop
                    && matches!(error.kind(), BrokenPipe | ConnectionReset) =>
            {
                self.unread_writes = UnreadWrites::Dropping;
                Poll::Ready(Ok(length))
            }
            polled => polled,
        }
    }

    /// For the bodies that are sent over it.
    pub(super) fn window(&self) -> Window {
        self.window.clone()
    }

    /// What is notified whenever something was read.
    pub(super) fn notify_on_read(&mut self) -> Arc<Notify> {
        self.was_read.get_or_insert_default().clone()
    }
}

trait Transport: Read + Write + Connection + Socket + Unpin + Send {}
impl<T: Read + Write + Connection + Socket + Unpin + Send> Transport for T {}

/// What goes through a socket.
trait Socket {
    fn socket(&self) -> SockRef<'_>;

    /// Whether anything has arrived and was not read, as the system knows it at this moment.
    fn has_unread(&self) -> bool {
        let mut byte = [MaybeUninit::uninit()];
        let peeked = self.socket().peek(&mut byte);
        peeked.is_ok_and(|length| length > 0)
    }
}

impl Socket for TokioIo<TcpStream> {
    fn socket(&self) -> SockRef<'_> {
        SockRef::from(self.inner())
    }
}

impl Socket for MaybeHttpsStream<TokioIo<TcpStream>> {
    fn socket(&self) -> SockRef<'_> {
        match self {
            MaybeHttpsStream::Http(tcp) => tcp.socket(),
            MaybeHttpsStream::Https(tls) => tls.inner().get_ref().0.inner().socket(),
        }
    }
}

impl Socket for UnixIo {
    fn socket(&self) -> SockRef<'_> {
        SockRef::from(self.0.inner())
    }
}

impl Connection for Io {
    fn connected(&self) -> Connected {
        self.transport.connected()
    }
}

impl Read for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let place = match &mut this.visitor {
            None => None,
            Some(visitor) => match visitor.poll_place(cx) {
                Poll::Ready(place) => Some(place),
                Poll::Pending if this.transport.has_unread() => return Poll::Pending,
                // To find nothing costs little, and an end is to be known before the next request is sent.
                Poll::Pending => None,
            },
        };
        let most = pacing::read_at_a_time(this.in_flight.is_tight());
        let polled = pacing::read_little(Pin::new(&mut *this.transport), cx, buf, most);
        if polled.is_ready() {
            place.into_iter().for_each(Place::take);
            if let Some(was_read) = &this.was_read {
                was_read.notify_one();
            }
        }
        polled
    }
}

impl Write for Io {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.unread_writes == UnreadWrites::Dropping {
            return Poll::Ready(Ok(buf.len()));
        }
        self.check_start()?;
        let polled = Pin::new(&mut *self.transport).poll_write(cx, buf);
        self.written(polled, buf.len())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.unread_writes == UnreadWrites::Dropping {
            return Poll::Ready(Ok(()));
        }
        // hyper flushes when it has nothing left to write.
        self.window.open();
        Pin::new(&mut *self.transport).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        // Closing what the app still writes to costs as much as opening.
        if let Some(visitor) = &mut this.visitor {
            ready!(visitor.poll_place(cx)).take();
        }
        Pin::new(&mut *this.transport).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.transport.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let length = bufs.iter().map(|buf| buf.len()).sum();
        if self.unread_writes == UnreadWrites::Dropping {
            return Poll::Ready(Ok(length));
        }
        self.check_start()?;
        let polled = Pin::new(&mut *self.transport).poll_write_vectored(cx, bufs);
        self.written(polled, length)
    }
}

struct UnixIo(TokioIo<UnixStream>);

impl Connection for UnixIo {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Read for UnixIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl Write for UnixIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    use super::*;

    async fn write(io: &mut Io) -> io::Result<usize> {
        poll_fn(|cx| Pin::new(&mut *io).poll_write(cx, b"GET")).await
    }

    /// The read side is asked of the system: nobody has polled it since the bytes came.
    #[tokio::test]
    async fn a_request_is_not_sent_behind_an_unasked_answer() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap());
        let (stream, accepted) = tokio::join!(stream, listener.accept());
        let place = Places::default().take(Duration::ZERO).await.unwrap();
        let transport = Box::new(TokioIo::new(stream.unwrap()));
        let mut io = Io::new(transport, InFlight::new(0, 0), place);
        io.read_early_answers();
        let (mut app, _) = accepted.unwrap();
        let start = io.request_start();
        start.announce();
        assert_eq!(write(&mut io).await.unwrap(), 3, "nothing has come");
        app.write_all(b"HTTP/1.1 200 OK\r\n").await.unwrap();
        while !io.transport.has_unread() {
            tokio::task::yield_now().await;
        }
        assert_eq!(write(&mut io).await.unwrap(), 3, "an answer in its time");
        start.announce();
        let error = write(&mut io).await.unwrap_err();
        assert!(error.to_string().contains("nobody has asked"), "{error}");
    }

    #[tokio::test]
    async fn what_cannot_be_reached_is_named_with_the_reason() {
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = free.local_addr().unwrap().to_string();
        drop(free);
        let tcp = Target::Http(addr.parse().unwrap());
        let unix = Target::Unix("/nonexistent/app.sock".into());
        for (target, place, why) in [
            (tcp, addr.as_str(), "Connection refused"),
            (unix, "/nonexistent/app.sock", "No such file"),
        ] {
            let settings = config::Upstream {
                target,
                timeout: Duration::from_secs(5),
                connect_timeout: Duration::from_secs(5),
                body_timeout: Duration::from_secs(5),
                idle_timeout: Duration::from_secs(5),
                max_idle: 1,
                max_fills: 1,
                background: crate::config::BackgroundLimits::default(),
                limit: None,
                ca_file: None,
                preserve_host: true,
                http2: false,
                paths: Default::default(),
            };
            let connector =
                Connector::new(&settings, HttpVersion::Http1, Places::default()).unwrap();
            let address = format!("http://{addr}/").parse().unwrap();
            let opened = connector.open(&address, &InFlight::new(0, 0)).await;
            let error = opened.err().expect("nobody listens").to_string();
            assert!(error.starts_with(place) && error.contains(why), "{error}");
        }
    }
}
