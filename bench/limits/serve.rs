//! How the bare limits serve: on threads of one shape or another, and by hyper with the settings of a
//! Pannier worker.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;

use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{Domain, Socket, Type};
use tokio::net::TcpListener;
use tokio::runtime::Builder;

use crate::args::{Args, Shape};

/// Runs `work` until it fails: on every thread with a runtime of its own, or once on one runtime that
/// has all threads.
pub(crate) fn run<W, F>(args: &Args, work: W) -> anyhow::Result<()>
where
    W: Fn() -> F + Sync,
    F: Future<Output = anyhow::Result<()>>,
{
    match args.shape {
        Shape::Own => std::thread::scope(|scope| {
            let worker = || {
                Builder::new_current_thread()
                    .enable_all()
                    .build()?
                    .block_on(work())
            };
            let threads: Vec<_> = (1..args.threads).map(|_| scope.spawn(worker)).collect();
            worker()?;
            for thread in threads {
                thread
                    .join()
                    .map_err(|_| anyhow::anyhow!("a thread panicked"))??;
            }
            Ok(())
        }),
        Shape::Shared | Shape::Pooled => Builder::new_multi_thread()
            .worker_threads(args.threads)
            .enable_all()
            .build()?
            .block_on(work()),
    }
}

/// Accepts for ever and answers each request by `answer`.
pub(crate) async fn http<A, F, B>(port: u16, answer: A) -> anyhow::Result<()>
where
    A: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let listener = listen(port)?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let answer = answer.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let answered = answer(request);
                async move { Ok::<_, Infallible>(answered.await) }
            });
            let mut builder = http1::Builder::new();
            builder
                .timer(TokioTimer::new())
                .header_read_timeout(None)
                .max_buf_size(64 << 10)
                .max_headers(256);
            let _ = builder
                .serve_connection(TokioIo::new(stream), service)
                .with_upgrades()
                .await;
        });
    }
}

/// One thread's listener, beside those of the others (`SO_REUSEPORT`).
fn listen(port: u16) -> anyhow::Result<TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], port)).into())?;
    socket.listen(4096)?;
    Ok(TcpListener::from_std(socket.into())?)
}
