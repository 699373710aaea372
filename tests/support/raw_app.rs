//! An app that answers byte for byte, for answers no HTTP library would send: cut short, chunked
//! without an end, two lengths, silence.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

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
    /// Reads on until the request, head included, contains these bytes.
    Read(Vec<u8>),
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

    /// Reads on until the request, head included, contains this text.
    pub(crate) fn read(text: &str) -> Step {
        Step::Read(text.as_bytes().to_vec())
    }
}

/// The running app; dropping it stops it and its connections.
pub(crate) struct RawApp {
    addr: SocketAddr,
    requests: Requests,
    ended: Arc<AtomicUsize>,
    accepting: JoinHandle<()>,
}

/// Each with all that was read of it, in order of their heads.
type Requests = Arc<Mutex<Vec<Vec<u8>>>>;

impl RawApp {
    /// On a free port; `script` gives the steps for the n-th request head. After the last step the
    /// connection takes its next request.
    pub(crate) async fn start(
        script: impl Fn(usize) -> Vec<Step> + Send + Sync + 'static,
    ) -> RawApp {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let addr = listener.local_addr().expect("it is bound");
        let requests = Requests::default();
        let record = requests.clone();
        let ended = Arc::new(AtomicUsize::new(0));
        let ends = ended.clone();
        let script = Arc::new(script);
        let accepting = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (record, script, ends) = (record.clone(), script.clone(), ends.clone());
                connections.spawn(async move {
                    connection(stream, &record, &*script).await;
                    ends.fetch_add(1, Ordering::SeqCst);
                });
            }
        });
        RawApp {
            addr,
            requests,
            ended,
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
        self.requests.lock().expect("no test panics under it").len()
    }

    /// How many connections have ended.
    pub(crate) fn ended(&self) -> usize {
        self.ended.load(Ordering::SeqCst)
    }

    /// What was read of the n-th request: its head, and what [`Step::Read`] read after it.
    pub(crate) fn request(&self, nth: usize) -> String {
        let requests = self.requests.lock().expect("no test panics under it");
        String::from_utf8_lossy(&requests[nth]).into_owned()
    }
}

impl Drop for RawApp {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn connection(
    mut stream: TcpStream,
    record: &Requests,
    script: &(impl Fn(usize) -> Vec<Step> + ?Sized),
) {
    let lock = || record.lock().expect("no test panics under it");
    while let (head, true) = read_until(&mut stream, Vec::new(), b"\r\n\r\n").await {
        let nth = {
            let mut requests = lock();
            requests.push(head);
            requests.len() - 1
        };
        for step in script(nth) {
            match step {
                Step::Send(bytes) => {
                    if stream.write_all(&bytes).await.is_err() {
                        return;
                    }
                }
                Step::Read(bytes) => {
                    let so_far = lock()[nth].clone();
                    let (read, found) = read_until(&mut stream, so_far, &bytes).await;
                    lock()[nth] = read;
                    if !found {
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

/// Reads until what was read contains `end`, or the client leaves: then false. Bodies are not told
/// apart from the next head.
async fn read_until(stream: &mut TcpStream, mut read: Vec<u8>, end: &[u8]) -> (Vec<u8>, bool) {
    let mut piece = [0; 4096];
    while !read.windows(end.len()).any(|part| part == end) {
        match stream.read(&mut piece).await {
            Ok(0) | Err(_) => return (read, false),
            Ok(length) => read.extend_from_slice(&piece[..length]),
        }
    }
    (read, true)
}
