//! One connection: its deadlines, and the requests on it.

use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::Admin;
use super::places::Place;
use super::prompt_timer::PromptTimer;

/// From a connection's (or the previous answer's) end to a whole request head.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest that a client may take nothing of its answer.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// The largest request head.
const MAX_HEAD: usize = 16 * 1024;

/// Serves a client until it leaves, `place` is needed for another, or, once `stop` is cancelled, its answer
/// under way is finished.
pub(super) async fn serve(
    stream: TcpStream,
    admin: Arc<Admin>,
    place: Place,
    stop: CancellationToken,
) {
    let Ok(local) = stream.local_addr() else {
        return;
    };
    // The certificate is that of the config in force, so that a reload serves the next client.
    let tls = admin.live.load().config.admin.tls.clone();
    let finished = async {
        match tls {
            None => serve_open(stream, &admin, &place, local.ip(), &stop).await,
            Some(tls) => {
                let accepting = TlsAcceptor::from(tls.server).accept(stream);
                let accepted = tokio::select! {
                    () = stop.cancelled() => return,
                    accepted = tokio::time::timeout(HEADER_TIMEOUT, accepting) => accepted,
                };
                match accepted {
                    Ok(Ok(stream)) => serve_open(stream, &admin, &place, local.ip(), &stop).await,
                    Ok(Err(error)) => tracing::debug!(%error, "admin: no TLS"),
                    Err(_) => tracing::debug!("admin: the handshake took too long"),
                }
            }
        }
    };
    tokio::select! {
        () = finished => {}
        () = place.is_needed() => tracing::debug!("admin: the idlest connection made room"),
    }
}

/// Requests, and their answers.
async fn serve_open(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    admin: &Admin,
    place: &Place,
    local: IpAddr,
    stop: &CancellationToken,
) {
    let service = service_fn(|request| async {
        let answer = super::handle(admin, place, local, request).await;
        place.was_served();
        Ok::<_, Infallible>(answer)
    });
    let mut builder = http1::Builder::new();
    builder
        .timer(PromptTimer)
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(MAX_HEAD);
    let io = WriteTimeout::new(TokioIo::new(stream), WRITE_TIMEOUT);
    let mut serving = pin!(builder.serve_connection(io, service));
    let result = tokio::select! {
        result = serving.as_mut() => result,
        () = stop.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "admin: connection ended");
    }
}

/// A connection that fails when its client takes nothing for `timeout`.
struct WriteTimeout<T> {
    io: T,
    timeout: Duration,
    /// While the client takes nothing.
    waiting: Option<Pin<Box<Sleep>>>,
}

impl<T> WriteTimeout<T> {
    fn new(io: T, timeout: Duration) -> WriteTimeout<T> {
        WriteTimeout {
            io,
            timeout,
            waiting: None,
        }
    }

    /// `polled`, or an error if that has been "not yet" for too long.
    fn bounded<R>(
        &mut self,
        cx: &mut Context<'_>,
        polled: Poll<io::Result<R>>,
    ) -> Poll<io::Result<R>> {
        if polled.is_ready() {
            self.waiting = None;
            return polled;
        }
        let timeout = self.timeout;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep(timeout)));
        waiting
            .as_mut()
            .poll(cx)
            .map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<T: Read + Unpin> Read for WriteTimeout<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<T: Write + Unpin> Write for WriteTimeout<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write(cx, buf);
        self.bounded(cx, polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.bounded(cx, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.io).poll_flush(cx);
        self.bounded(cx, polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::AsyncReadExt;
    use tokio::time::Instant;

    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(10);

    async fn write<T: Write + Unpin>(io: &mut WriteTimeout<T>, text: &[u8]) -> io::Result<usize> {
        poll_fn(|cx| Pin::new(&mut *io).poll_write(cx, text)).await
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_nothing_is_left_and_who_takes_something_is_not() {
        let (ours, mut theirs) = tokio::io::duplex(4);
        let mut io = WriteTimeout::new(TokioIo::new(ours), TIMEOUT);
        assert_eq!(write(&mut io, b"1234").await.unwrap(), 4);
        let slow_reader = tokio::spawn(async move {
            for _ in 0..3 {
                tokio::time::sleep(TIMEOUT * 2 / 3).await;
                theirs.read_exact(&mut [0]).await.unwrap();
            }
            theirs
        });
        for _ in 0..3 {
            assert_eq!(write(&mut io, b"5").await.unwrap(), 1);
        }
        let _theirs = slow_reader.await.unwrap();
        let begun = Instant::now();
        let error = write(&mut io, b"6").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(begun.elapsed(), TIMEOUT);
    }
}
