//! An app that reads what reaches it by the strict reader, byte for byte, and notes what it finds.

use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use super::strict::{End, Message, read_one};

/// What has come since it was asked last.
#[derive(Debug, Default)]
pub(crate) struct Arrivals {
    pub(crate) messages: Vec<Message>,
    /// Bytes that are no request, and why.
    pub(crate) refused: Vec<(&'static str, Vec<u8>)>,
}

/// The running app; dropping it stops it.
pub(crate) struct StrictApp {
    addr: SocketAddr,
    arrivals: Arc<Mutex<Arrivals>>,
    accepting: JoinHandle<()>,
}

impl StrictApp {
    pub(crate) async fn start() -> StrictApp {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let addr = listener.local_addr().expect("it is bound");
        let arrivals = Arc::new(Mutex::new(Arrivals::default()));
        let noted = arrivals.clone();
        let accepting = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, noted.clone()));
                while connections.try_join_next().is_some() {}
            }
        });
        StrictApp {
            addr,
            arrivals,
            accepting,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    pub(crate) fn take_arrivals(&self) -> Arrivals {
        std::mem::take(&mut self.arrivals.lock())
    }
}

impl Drop for StrictApp {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// How far the answer to the request at hand is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Answered {
    Nothing,
    Continue,
    Early,
}

async fn serve(mut stream: TcpStream, arrivals: Arc<Mutex<Arrivals>>) {
    let (mut read, mut answered) = (Vec::new(), Answered::Nothing);
    let mut piece = [0; 16 * 1024];
    loop {
        let (message, end) = read_one(&read);
        match (message, end) {
            (Some(message), End::Clean) => {
                read.drain(..message.length);
                let relays = is_upgrade(&message);
                let answer = match (answered, relays) {
                    (Answered::Early, _) => String::new(),
                    (_, true) => SWITCHING.to_owned(),
                    _ => answer(&message),
                };
                arrivals.lock().messages.push(message);
                answered = Answered::Nothing;
                if stream.write_all(answer.as_bytes()).await.is_err() {
                    return;
                }
                if relays {
                    // What follows is not HTTP any more.
                    let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
                    return;
                }
                continue;
            }
            (_, End::Refused(why)) => {
                arrivals.lock().refused.push((why, read));
                return;
            }
            (Some(message), _) if answered == Answered::Nothing => {
                let (next, words) = before_the_body(&message);
                answered = next;
                if stream.write_all(words.as_bytes()).await.is_err() {
                    return arrivals.lock().messages.push(message);
                }
            }
            _ => {}
        }
        match stream.read(&mut piece).await {
            Ok(length @ 1..) => read.extend_from_slice(&piece[..length]),
            _ => {
                arrivals.lock().messages.extend(read_one(&read).0);
                return;
            }
        }
    }
}

const SWITCHING: &str =
    "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";

fn before_the_body(message: &Message) -> (Answered, String) {
    if message.target.starts_with("/early") {
        return (Answered::Early, answer(message));
    }
    match message.values("expect").next() {
        Some(_) => (
            Answered::Continue,
            "HTTP/1.1 100 Continue\r\n\r\n".to_owned(),
        ),
        None => (Answered::Nothing, String::new()),
    }
}

fn answer(message: &Message) -> String {
    let cache = match message.target.starts_with("/c/") {
        true => "max-age=600",
        false => "no-store",
    };
    let body = match message.method.as_str() {
        "HEAD" => "",
        _ => "ok",
    };
    format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nCache-Control: {cache}\r\n\r\n{body}")
}

fn is_upgrade(message: &Message) -> bool {
    message.target == "/ws" && message.values("upgrade").next().is_some()
}
