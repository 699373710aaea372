//! An app that answers byte for byte, for answers no HTTP library would send: cut short, chunked
//! without an end, two lengths, silence.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use super::Gate;

/// One thing the app does on a connection after it has read a request's head.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Sends these bytes.
    Send(Vec<u8>),
    /// Waits for the gate.
    Pass(Gate),
    /// Closes the connection in order.
    Close,
    /// Resets it.
    Reset,
    /// Says nothing more and keeps it open.
    Hang,
}

impl Step {
    /// Sends this text, letter by letter.
    pub(crate) fn send(text: &str) -> Step {
        Step::Send(text.as_bytes().to_vec())
    }
}

/// The running app; dropping it stops it and its connections.
pub(crate) struct RawApp {
    addr: SocketAddr,
    requests: Arc<AtomicUsize>,
    accepting: JoinHandle<()>,
}

impl RawApp {
    /// On a free port; `script` gives the steps for the n-th request head. After the last step the
    /// connection takes its next request.
    pub(crate) async fn start(
        script: impl Fn(usize) -> Vec<Step> + Send + Sync + 'static,
    ) -> RawApp {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let addr = listener.local_addr().expect("it is bound");
        let requests = Arc::new(AtomicUsize::new(0));
        let counter = requests.clone();
        let script = Arc::new(script);
        let accepting = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (counter, script) = (counter.clone(), script.clone());
                connections.spawn(async move {
                    connection(stream, || script(counter.fetch_add(1, Ordering::Relaxed))).await
                });
            }
        });
        RawApp {
            addr,
            requests,
            accepting,
        }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// `http://host:port`
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// How many request heads came.
    pub(crate) fn count(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }
}

impl Drop for RawApp {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn connection(mut stream: TcpStream, next: impl Fn() -> Vec<Step>) {
    while read_head(&mut stream).await {
        for step in next() {
            match step {
                Step::Send(bytes) => {
                    if stream.write_all(&bytes).await.is_err() {
                        return;
                    }
                }
                Step::Pass(gate) => gate.pass().await,
                Step::Close => return,
                Step::Reset => {
                    // Lingering for no time makes the close a reset.
                    let _ = SockRef::from(&stream).set_linger(Some(std::time::Duration::ZERO));
                    return;
                }
                Step::Hang => std::future::pending().await,
            }
        }
    }
}

/// Reads to the end of a head; bodies are not told apart from the next head. False: the client left.
async fn read_head(stream: &mut TcpStream) -> bool {
    let mut head = Vec::new();
    let mut piece = [0; 4096];
    while !head.windows(4).any(|four| four == b"\r\n\r\n") {
        match stream.read(&mut piece).await {
            Ok(0) | Err(_) => return false,
            Ok(length) => head.extend_from_slice(&piece[..length]),
        }
    }
    true
}
