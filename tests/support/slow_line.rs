//! The way from a sidecar to Redis, that may take its time, or let nothing of Redis through.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

#[derive(Clone)]
pub(crate) struct SlowLine {
    port: u16,
    /// Each way, in milliseconds; drawn for each piece.
    delays: Arc<Mutex<Range<u64>>>,
    silence: watch::Sender<Silence>,
    /// The connection whose commands do not reach Redis for now.
    mute: watch::Sender<Option<u64>>,
    /// Connections so far.
    count: Arc<AtomicU64>,
    cuts: Arc<AtomicBool>,
}

/// Whose answers are held back. What is asked reaches Redis all the same, and the connections stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Silence {
    Nobody,
    /// Those of all connections, of new ones too.
    Everybody,
    /// Those of the connection that was made as this one.
    One(u64),
}

impl Silence {
    fn holds(self, connection: u64) -> bool {
        match self {
            Silence::Nobody => false,
            Silence::Everybody => true,
            Silence::One(held) => held == connection,
        }
    }
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
            silence: watch::Sender::new(Silence::Nobody),
            mute: watch::Sender::new(None),
            count: Arc::default(),
            cuts: Arc::default(),
        };
        let accepting = line.clone();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(accepting.clone().connect(near, redis));
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

    pub(crate) fn set_silence(&self, silence: Silence) {
        self.silence.send_replace(silence);
    }

    /// Holds back what this connection asks.
    pub(crate) fn set_mute(&self, connection: Option<u64>) {
        self.mute.send_replace(connection);
    }

    /// Whether each connection ends with the first answer.
    pub(crate) fn cut_after_first_answer(&self, cuts: bool) {
        self.cuts.store(cuts, Ordering::SeqCst);
    }

    /// How many connections were made so far; they are numbered from 0.
    pub(crate) fn connections(&self) -> u64 {
        self.count.load(Ordering::SeqCst)
    }

    async fn connect(self, near: TcpStream, redis: u16) {
        let number = self.count.fetch_add(1, Ordering::SeqCst);
        let Ok(far) = TcpStream::connect(("127.0.0.1", redis)).await else {
            return;
        };
        let _ = (near.set_nodelay(true), far.set_nodelay(true));
        let (near_reads, near_writes) = near.into_split();
        let (far_reads, far_writes) = far.into_split();
        tokio::join!(
            carry(near_reads, far_writes, &self, (number, Way::There)),
            carry(far_reads, near_writes, &self, (number, Way::Back)),
        );
    }
}

/// To Redis, or from there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    There,
    Back,
}

/// Each piece arrives its delay after it was sent, and none overtakes another.
async fn carry(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    line: &SlowLine,
    (connection, way): (u64, Way),
) {
    let mut silence = line.silence.subscribe();
    let mut mute = line.mute.subscribe();
    let (sender, mut pieces) = mpsc::unbounded_channel::<(Instant, Bytes)>();
    let reading = async move {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(length @ 1..) = from.read(&mut buffer).await {
            let delay = Duration::from_millis(fastrand::u64(line.delays.lock().clone()));
            let piece = Bytes::copy_from_slice(&buffer[..length]);
            if sender.send((Instant::now() + delay, piece)).is_err() {
                break;
            }
        }
    };
    let writing = async move {
        while let Some((due, piece)) = pieces.recv().await {
            if due > Instant::now() {
                tokio::time::sleep_until(due).await;
            }
            match way {
                Way::There => drop(mute.wait_for(|mute| *mute != Some(connection)).await),
                Way::Back => drop(silence.wait_for(|it| !it.holds(connection)).await),
            }
            let is_last = way == Way::Back && line.cuts.load(Ordering::SeqCst);
            if to.write_all(&piece).await.is_err() || is_last {
                break;
            }
        }
        let _ = to.shutdown().await;
    };
    tokio::join!(reading, writing);
}
