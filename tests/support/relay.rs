//! A way to a server that can be led elsewhere, and of which a connection can go dead: nobody ends it, and nothing comes any more.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Dropping it ends all its connections.
pub(crate) struct Relay {
    addr: SocketAddr,
    target: watch::Sender<SocketAddr>,
    dead: watch::Sender<usize>,
    _accepting: JoinSet<()>,
}

impl Relay {
    /// To `target`; of its connections those over which a request begins with `marked` can go dead.
    pub(crate) async fn start(target: SocketAddr, marked: &'static [u8]) -> Relay {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let addr = listener.local_addr().expect("it has one");
        let (target, dead) = (watch::Sender::new(target), watch::Sender::new(0));
        let (to, deaths) = (target.subscribe(), dead.subscribe());
        let mut accepting = JoinSet::new();
        accepting.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let (to, mut deaths) = (*to.borrow(), deaths.clone());
                deaths.mark_unchanged();
                connections.spawn(relay(client, to, deaths, marked));
            }
        });
        Relay {
            addr,
            target,
            dead,
            _accepting: accepting,
        }
    }

    /// Where it listens.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// New connections lead to `target`.
    pub(crate) fn lead_to(&self, target: SocketAddr) {
        self.target.send_replace(target);
    }

    /// The marked connections that stand go dead.
    pub(crate) fn let_die(&self) {
        self.dead.send_modify(|count| *count += 1);
    }
}

async fn relay(
    client: TcpStream,
    to: SocketAddr,
    mut deaths: watch::Receiver<usize>,
    marked: &'static [u8],
) {
    let Ok(server) = TcpStream::connect(to).await else {
        return;
    };
    let is_marked = Arc::new(AtomicBool::new(false));
    let ((from_client, to_client), (from_server, to_server)) =
        (client.into_split(), server.into_split());
    let (mark, none) = (is_marked.clone(), Arc::default());
    let both = async {
        tokio::select! {
            () = copy(from_client, to_server, marked, mark) => {}
            () = copy(from_server, to_client, marked, none) => {}
        }
    };
    let dead = async {
        while deaths.changed().await.is_ok() {
            if is_marked.load(Ordering::Relaxed) {
                return;
            }
        }
        std::future::pending::<()>().await;
    };
    tokio::pin!(both);
    tokio::select! {
        () = &mut both => {}
        // Both ends stay open.
        () = dead => std::future::pending::<()>().await,
    }
}

async fn copy(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    marked: &'static [u8],
    mark: Arc<AtomicBool>,
) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        if buffer[..length].starts_with(marked) {
            mark.store(true, Ordering::Relaxed);
        }
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}
