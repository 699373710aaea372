//! Uploads that the app does not read: given up with their clients, over both versions of HTTP on both sides, so that
//! neither clients' places nor windows that others need are held.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use http::{Request, Response, StatusCode, Version};
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::client::Client;
use crate::support::eventually;
use crate::support::sidecar::Sidecar;

const LONG: Duration = Duration::from_secs(20);
/// As many as there are places.
const CLIENTS: usize = 3;
const CONFIG: &str = "[listen]\nmax_connections = 3\nworkers = 1\n[upstream]\ntimeout = \"1s\"\n";
const EARLY: &str = "HTTP/1.1 413 Content Too Large\r\nContent-Length: 5\r\n\r\nlarge";
/// More than the buffers of all sockets on the way.
const LARGE: usize = 40_000_000;

#[tokio::test(flavor = "multi_thread")]
async fn give_their_places_back() {
    hold_no_places("", "504").await;
}

/// The answer is through, and the app neither reads on nor closes.
#[tokio::test(flavor = "multi_thread")]
async fn that_were_answered_early_give_their_places_back() {
    hold_no_places(EARLY, "413").await;
}

async fn hold_no_places(answer: &'static str, status: &str) {
    let app = HangingApp::start(answer).await;
    let sidecar = Sidecar::start(&app.url(), CONFIG);
    let uploads = (0..CLIENTS).map(|_| upload(sidecar.addr(), LARGE, Until::Closed));
    for head in join_all(uploads).await {
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
    }
    let admin = sidecar.admin();
    eventually("the clients have left", LONG, || async {
        let metrics = admin.get("/metrics").await;
        metrics.text().contains("pannier_connections 0\n")
    })
    .await;
    let page = sidecar.client().get("/page").await;
    assert_eq!((page.status, page.text()), (StatusCode::OK, "ok"));
    eventually("their connections to the app are reset", LONG, || async {
        app.resets() == CLIENTS
    })
    .await;
}

/// As long as it takes a piece within each timeout, however long all of it takes.
#[tokio::test(flavor = "multi_thread")]
async fn that_the_app_reads_slowly_behind_its_answer_go_on() {
    const LENGTH: usize = 16_000_000;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let reading = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        read_head(&mut stream).await.expect("a request");
        let sent = stream.write_all(EARLY.as_bytes()).await;
        sent.expect("an open connection");
        let mut piece = vec![0; 1 << 15];
        let mut length = 0;
        while length < LENGTH {
            match stream.read(&mut piece).await {
                Ok(read @ 1..) => length += read,
                _ => break,
            }
            // So slow that it takes several timeouts.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        length
    });
    let sidecar = Sidecar::start(&url, CONFIG);
    let mut client = TcpStream::connect(sidecar.addr())
        .await
        .expect("it listens");
    let (mut answers, mut upload) = client.split();
    let sending = async {
        let head = format!("POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: {LENGTH}\r\n\r\n");
        upload.write_all(head.as_bytes()).await?;
        upload.write_all(&vec![b'x'; LENGTH]).await
    };
    let (sent, answer) = tokio::join!(sending, read_head(&mut answers));
    sent.expect("all of it is taken");
    assert!(answer.expect("an answer").starts_with("HTTP/1.1 413 "));
    assert!(reading.await.expect("no panic") >= LENGTH - 1024);
}

#[tokio::test(flavor = "multi_thread")]
async fn are_reset_at_an_app_of_http2() {
    are_reset(None, "504").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn that_were_answered_early_are_reset_at_an_app_of_http2() {
    are_reset(Some(StatusCode::PAYLOAD_TOO_LARGE), "413").await;
}

/// They have used up the window of the connection, which the app gives back when they are reset.
async fn are_reset(answer: Option<StatusCode>, status: &str) {
    let (url, resets) = hanging_http2_app(answer).await;
    let sidecar = Sidecar::start(&url, &format!("{CONFIG}http2 = true\n"));
    let uploads = (0..CLIENTS).map(|_| upload(sidecar.addr(), 200_000, Until::Answered));
    for head in join_all(uploads).await {
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
    }
    another_passes(&sidecar.client()).await;
    // The first of them has given enough of the window back.
    eventually("all are reset", LONG, || async {
        resets.load(Ordering::SeqCst) == CLIENTS
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn give_back_the_window_of_a_client_of_http2() {
    let app = HangingApp::start("").await;
    let sidecar = Sidecar::start(&app.url(), CONFIG);
    let stream = TcpStream::connect(sidecar.addr()).await;
    let handshake = h2::client::handshake(stream.expect("it listens"));
    let (client, connection) = handshake.await.expect("HTTP/2");
    tokio::spawn(connection);
    let client = client.ready().await.expect("an open connection");
    // Each uses up the window of its stream, and all of them that of the connection.
    let uploads = (0..24).map(|_| async {
        let (answer, mut upload) = begin(&client, sidecar.addr(), "/upload");
        tokio::select! {
            answer = answer => assert_eq!(answer.expect("an answer").status(), 504),
            sent = send(&mut upload, LARGE) => panic!("all is taken: {sent:?}"),
        }
    });
    join_all(uploads).await;
    let (answer, mut upload) = begin(&client, sidecar.addr(), "/page");
    let sent = tokio::time::timeout(LONG, send(&mut upload, 1000)).await;
    sent.expect("the window is given back")
        .expect("an open stream");
    assert_eq!(answer.await.expect("an answer").status(), 200);
}

fn begin(
    client: &h2::client::SendRequest<Bytes>,
    addr: SocketAddr,
    path: &str,
) -> (h2::client::ResponseFuture, h2::SendStream<Bytes>) {
    let request = Request::post(format!("http://{addr}{path}")).version(Version::HTTP_2);
    let request = request.body(()).expect("a request");
    let sent = client.clone().send_request(request, false);
    sent.expect("an open connection")
}

async fn send(upload: &mut h2::SendStream<Bytes>, length: usize) -> Result<(), h2::Error> {
    let mut left = length;
    while left > 0 {
        upload.reserve_capacity(left.min(1 << 14));
        let capacity = poll_fn(|cx| upload.poll_capacity(cx)).await;
        let Some(capacity) = capacity.transpose()? else {
            return std::future::pending().await;
        };
        let piece = Bytes::from(vec![b'x'; capacity.min(left)]);
        left -= piece.len();
        upload.send_data(piece, left == 0)?;
    }
    Ok(())
}

async fn another_passes(client: &Client) {
    eventually("another upload passes", LONG, || async {
        let request = client.request("POST", "/page").body("x".repeat(1000));
        request.send().await.status == StatusCode::OK
    })
    .await;
}

/// When a client leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Until {
    Answered,
    Closed,
}

/// Sends until then; the head of its answer.
async fn upload(addr: SocketAddr, length: usize, until: Until) -> String {
    let mut client = TcpStream::connect(addr).await.expect("it listens");
    let (mut answers, mut upload) = client.split();
    let sending = async {
        let head = format!("POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
        let _ = upload.write_all(head.as_bytes()).await;
        let _ = upload.write_all(&vec![b'x'; length]).await;
        std::future::pending().await
    };
    let reading = async {
        let head = read_head(&mut answers).await.expect("an answer");
        if until == Until::Closed {
            let mut rest = Vec::new();
            let closed = tokio::time::timeout(LONG, answers.read_to_end(&mut rest));
            let _ = closed.await.expect("it is closed");
        }
        head
    };
    tokio::select! {
        head = reading => head,
        () = sending => unreachable!("it waits for the answer"),
    }
}

/// Byte by byte, so that nothing behind it is read; `None`: the connection ends before.
async fn read_head(stream: &mut (impl AsyncReadExt + Unpin)) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    Some(String::from_utf8_lossy(&head).into_owned())
}

/// Reads the head of an `/upload` and no more, and keeps the connection; other requests are answered.
struct HangingApp {
    addr: SocketAddr,
    held: Arc<Mutex<Vec<TcpStream>>>,
}

impl HangingApp {
    /// `answer` is what it sends to an upload.
    async fn start(answer: &'static str) -> HangingApp {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        // So that little fits into its sockets.
        let small = SockRef::from(&listener).set_recv_buffer_size(4096);
        small.expect("a socket");
        let addr = listener.local_addr().expect("bound");
        let held = Arc::new(Mutex::new(Vec::new()));
        let holding = held.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let holding = holding.clone();
                tokio::spawn(async move {
                    let head = read_head(&mut stream).await.unwrap_or_default();
                    if head.starts_with("POST /upload ") {
                        let _ = stream.write_all(answer.as_bytes()).await;
                        holding.lock().expect("no panic under it").push(stream);
                        return;
                    }
                    let ok = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok";
                    let _ = stream.write_all(ok.as_bytes()).await;
                    let _ = stream.read_to_end(&mut Vec::new()).await;
                });
            }
        });
        HangingApp { addr, held }
    }

    fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// How many of the connections that it keeps were reset.
    fn resets(&self) -> usize {
        let held = self.held.lock().expect("no panic under it");
        let was_reset = |stream: &&TcpStream| {
            let peer = SockRef::from(*stream).peer_addr();
            peer.is_err()
        };
        held.iter().filter(was_reset).count()
    }
}

/// Over HTTP/2: keeps an `/upload`, which it answers so or not at all, until that is reset, and gives the window back
/// then. How many were reset.
async fn hanging_http2_app(answer: Option<StatusCode>) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let resets = Arc::new(AtomicUsize::new(0));
    let counter = resets.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let counter = counter.clone();
            tokio::spawn(async move {
                let mut connection = h2::server::handshake(stream).await.expect("HTTP/2");
                while let Some(Ok((request, respond))) = connection.accept().await {
                    let counter = counter.clone();
                    tokio::spawn(hang_or_answer(request, respond, answer, counter));
                }
            });
        }
    });
    (url, resets)
}

async fn hang_or_answer(
    request: Request<h2::RecvStream>,
    mut respond: h2::server::SendResponse<Bytes>,
    early: Option<StatusCode>,
    resets: Arc<AtomicUsize>,
) {
    let is_upload = request.uri().path() == "/upload";
    let mut body = request.into_body();
    let mut answer = Response::new(());
    if !is_upload {
        while let Some(Ok(piece)) = body.data().await {
            let _ = body.flow_control().release_capacity(piece.len());
        }
        let _ = respond.send_response(answer, true);
        return;
    }
    let reset = match early {
        None => poll_fn(|cx| respond.poll_reset(cx)).await,
        Some(status) => {
            *answer.status_mut() = status;
            let sent = respond.send_response(answer, true);
            let mut answer = sent.expect("an open stream");
            poll_fn(|cx| answer.poll_reset(cx)).await
        }
    };
    if reset.is_ok() {
        resets.fetch_add(1, Ordering::SeqCst);
    }
}
