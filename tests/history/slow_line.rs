//! The way from the sidecars to Redis, that may take its time.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::Instant;

#[derive(Clone)]
pub(crate) struct SlowLine {
    port: u16,
    /// Each way, in milliseconds; drawn for each piece.
    delays: Arc<Mutex<Range<u64>>>,
}

/// As fast as can be.
pub(crate) const NEAR: Range<u64> = 0..1;

impl SlowLine {
    /// Not slow yet.
    pub(crate) async fn to(redis: u16) -> SlowLine {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let line = SlowLine {
            port: listener.local_addr().expect("it is bound").port(),
            delays: Arc::new(Mutex::new(NEAR)),
        };
        let delays = line.delays.clone();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(connect(near, redis, delays.clone()));
            }
        });
        line
    }

    /// For `[redis] url`.
    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub(crate) fn set_delays(&self, delays: Range<u64>) {
        *self.delays.lock() = delays;
    }
}

async fn connect(near: TcpStream, redis: u16, delays: Arc<Mutex<Range<u64>>>) {
    let Ok(far) = TcpStream::connect(("127.0.0.1", redis)).await else {
        return;
    };
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    let (near_reads, near_writes) = near.into_split();
    let (far_reads, far_writes) = far.into_split();
    tokio::join!(
        carry(near_reads, far_writes, delays.clone()),
        carry(far_reads, near_writes, delays),
    );
}

/// Each piece arrives its delay after it was sent, and none overtakes another.
async fn carry(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    delays: Arc<Mutex<Range<u64>>>,
) {
    let (sender, mut pieces) = mpsc::unbounded_channel::<(Instant, Bytes)>();
    let reading = async move {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(length @ 1..) = from.read(&mut buffer).await {
            let delay = Duration::from_millis(fastrand::u64(delays.lock().clone()));
            let piece = Bytes::copy_from_slice(&buffer[..length]);
            if sender.send((Instant::now() + delay, piece)).is_err() {
                break;
            }
        }
    };
    let writing = async move {
        while let Some((due, piece)) = pieces.recv().await {
            tokio::time::sleep_until(due).await;
            if to.write_all(&piece).await.is_err() {
                break;
            }
        }
        let _ = to.shutdown().await;
    };
    tokio::join!(reading, writing);
}
