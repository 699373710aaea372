//! The pool against an app that tells its connections apart.

use bytes::Bytes;
use http::uri::{PathAndQuery, Scheme};
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Notify, mpsc};

use super::*;
use crate::in_flight::InFlight;
use crate::turns::Turns;
use crate::upstream::{Upstream, build_uri};

const LONG: Duration = Duration::from_secs(20);

/// An app whose answers name their connection, and which tells of each that has ended.
struct App {
    settings: config::Upstream,
    pool: Http1,
    ended: mpsc::UnboundedReceiver<usize>,
    /// Ends the connection of `/last`.
    close: Arc<Notify>,
}

impl App {
    async fn start(settings: impl FnOnce(&mut config::Upstream)) -> App {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let settings = settings_for(&listener, settings);
        let pool = pool_for(&settings);
        let (tell, ended) = mpsc::unbounded_channel();
        let close = Arc::new(Notify::new());
        let closing = close.clone();
        tokio::spawn(async move {
            for number in 1.. {
                let (connection, _) = listener.accept().await.unwrap();
                let (tell, closing) = (tell.clone(), closing.clone());
                tokio::spawn(async move {
                    answer(connection, number, &closing).await;
                    let _ = tell.send(number);
                });
            }
        });
        App {
            settings,
            pool,
            ended,
            close,
        }
    }

    /// Asks and reads the answer; the connection that it came over.
    async fn ask(&self) -> usize {
        read(self.pool.send(request("/")).await.unwrap()).await
    }

    async fn ended(&mut self) -> usize {
        let ended = tokio::time::timeout(LONG, self.ended.recv());
        ended.await.expect("a connection ends").unwrap()
    }
}

fn settings_for(
    listener: &TcpListener,
    change: impl FnOnce(&mut config::Upstream),
) -> config::Upstream {
    let authority = listener.local_addr().unwrap().to_string().parse().unwrap();
    let mut settings = config::Upstream {
        target: config::Target::Http(authority),
        timeout: LONG,
        connect_timeout: LONG,
        body_timeout: LONG,
        idle_timeout: LONG,
        max_idle: 64,
        max_fills: 1,
        background: crate::config::BackgroundLimits::default(),
        limit: None,
        ca_file: None,
        preserve_host: true,
        http2: false,
        paths: Default::default(),
    };
    change(&mut settings);
    settings
}

fn pool_for(settings: &config::Upstream) -> Http1 {
    pool_within(settings, &Places::default())
}

fn pool_within(settings: &config::Upstream, places: &Places) -> Http1 {
    let config::Target::Http(authority) = settings.target.clone() else {
        panic!("it is an http target");
    };
    let path = PathAndQuery::from_static("/");
    Http1::new(
        settings,
        build_uri(Scheme::HTTP, authority, path),
        InFlight::new(0, 64 << 10),
        places.clone(),
        Turns::new(4),
    )
    .unwrap()
}

/// Answers each head that comes, that of `/long` with a part of its answer, that of `/none` without
/// a body. `/last` is the last one: the
/// connection ends when it is to `close`.
async fn answer(mut connection: TcpStream, number: usize, close: &Notify) {
    let mut heard = Vec::new();
    loop {
        while let Some(end) = heard.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            let last = heard.starts_with(b"GET /last");
            let more = if heard.starts_with(b"GET /long") {
                1000
            } else {
                0
            };
            let none = heard.starts_with(b"GET /none");
            heard.drain(..end + 4);
            let body = if none {
                String::new()
            } else {
                number.to_string()
            };
            let length = body.len() + more;
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
            connection.write_all(answer.as_bytes()).await.unwrap();
            connection.write_all(body.as_bytes()).await.unwrap();
            if last {
                return close.notified().await;
            }
        }
        match connection.read_buf(&mut heard).await {
            Ok(1..) => {}
            _ => return,
        }
    }
}

fn request(path: &str) -> Request<Body> {
    let request = Request::builder().uri(path).header("host", "app");
    request.body(Body::empty()).unwrap()
}

async fn read((response, connection): (Response<Incoming>, PooledConnection)) -> usize {
    let body = response.into_body().collect().await.unwrap().to_bytes();
    drop(connection);
    std::str::from_utf8(&body).unwrap().parse().unwrap()
}

async fn until(is_so: impl Fn() -> bool) {
    let turns = async {
        while !is_so() {
            tokio::task::yield_now().await;
        }
    };
    let it_is_so = tokio::time::timeout(LONG, turns);
    it_is_so.await.expect("it comes to that");
}

#[tokio::test]
async fn the_connection_used_last_is_taken_first() {
    let app = App::start(|_| {}).await;
    let first = app.pool.send(request("/")).await.unwrap();
    let second = app.pool.send(request("/")).await.unwrap();
    assert_eq!((read(second).await, read(first).await), (2, 1));
    for _ in 0..3 {
        assert_eq!(app.ask().await, 1);
    }
    let first = app.pool.send(request("/")).await.unwrap();
    assert_eq!((app.ask().await, read(first).await), (2, 1));
}

#[tokio::test]
async fn an_answer_that_is_not_read_to_its_end_ends_its_connection() {
    let mut app = App::start(|_| {}).await;
    drop(app.pool.send(request("/long")).await.unwrap());
    assert_eq!(app.ended().await, 1);
    assert_eq!(app.ask().await, 2);
}

#[tokio::test]
async fn an_answer_without_a_body_holds_no_connection() {
    let app = App::start(|_| {}).await;
    let upstream = Upstream::new(&app.settings, InFlight::new(0, 64 << 10)).unwrap();
    let _held = upstream.send_once(request("/none")).await.unwrap();
    let response = upstream.send_once(request("/")).await.unwrap();
    let body = response.into_body().within(None).collect().await.unwrap();
    assert_eq!(body.to_bytes(), "1");
}

/// A connection is there for the app as soon as it is being opened.
#[tokio::test]
async fn a_crowd_is_started_bit_by_bit() {
    const CROWD: usize = 40;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let settings = settings_for(&listener, |_| {});
    let upstream = Upstream::new(&settings, InFlight::new(0, 64 << 10)).unwrap();
    for _ in 0..CROWD {
        let upstream = upstream.clone();
        tokio::spawn(async move { upstream.send_once(request("/")).await });
    }
    let listener = listener.into_std().unwrap();
    let mut opened = Vec::new();
    while opened.len() < CROWD {
        tokio::task::yield_now().await;
        let before = opened.len();
        opened.extend(std::iter::from_fn(|| listener.accept().ok()));
        let now = opened.len() - before;
        assert!(now <= CROWD / 4, "{now} in one turn");
    }
}

#[tokio::test]
async fn who_is_handed_one_and_ends_gives_it_back() {
    let app = App::start(|_| {}).await;
    assert_eq!(app.ask().await, 1);
    let given = app.pool.0.wait_for_free();
    let connection = app.pool.0.take_idle().expect("it is idle");
    drop(connection);
    // Handed over, and never looked at.
    assert!(app.pool.0.state.lock().idle.is_empty());
    drop(given);
    assert_eq!(app.ask().await, 1);
}

#[tokio::test]
async fn no_more_are_kept_than_the_config_allows() {
    let mut app = App::start(|settings| settings.max_idle = 1).await;
    let first = app.pool.send(request("/")).await.unwrap();
    let second = app.pool.send(request("/")).await.unwrap();
    assert_eq!((read(first).await, read(second).await), (1, 2));
    assert_eq!(app.ended().await, 2);
    assert_eq!(app.ask().await, 1);
}

/// Each of them is an open file.
#[tokio::test]
async fn there_are_no_more_of_them_than_places() {
    let app = App::start(|settings| settings.connect_timeout = Duration::from_millis(20)).await;
    let places = Places::new(1);
    let [pool, another] = [0; 2].map(|_| pool_within(&app.settings, &places));
    let first = pool.send(request("/")).await.unwrap();
    for pool in [&pool, &another] {
        let refused = pool.send(request("/")).await;
        assert!(
            matches!(refused, Err(UpstreamError::Crowded(_))),
            "{refused:?}"
        );
    }
    assert_eq!(read(first).await, 1);
    let next = pool.send(request("/")).await.unwrap();
    assert_eq!(read(next).await, 1, "the idle one");
    drop(pool);
    until(|| places.free() == 1).await;
    let next = another.send(request("/")).await.unwrap();
    assert_eq!(read(next).await, 2);
}

#[tokio::test]
async fn an_idle_connection_is_ended_in_time() {
    let mut app = App::start(|settings| settings.idle_timeout = Duration::from_millis(20)).await;
    assert_eq!(app.ask().await, 1);
    assert_eq!(app.ended().await, 1);
    // The next ones are looked after as well.
    assert_eq!(app.ask().await, 2);
    assert_eq!(app.ended().await, 2);
}

#[tokio::test]
async fn one_idle_for_too_long_is_not_used_even_if_it_is_still_there() {
    let app = App::start(|settings| settings.idle_timeout = Duration::ZERO).await;
    let answers = (app.ask().await, app.ask().await);
    assert_eq!(answers, (1, 2));
}

#[tokio::test]
async fn a_connection_that_the_app_has_closed_is_passed_over() {
    let app = App::start(|_| {}).await;
    let first = app.pool.send(request("/")).await.unwrap();
    let second = app.pool.send(request("/last")).await.unwrap();
    assert_eq!((read(first).await, read(second).await), (1, 2));
    let (pool, closed) = (&app.pool.0, |idle: &Idle| idle.sender.hyper.is_closed());
    assert_eq!(pool.state.lock().idle.len(), 2);
    app.close.notify_one();
    until(|| pool.state.lock().idle.iter().any(closed)).await;
    assert_eq!(app.ask().await, 1);
}

/// A listener whose queue is full: connections to it stay half open.
async fn with_full_queue() -> (TcpListener, Vec<TcpStream>) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut queue = Vec::new();
    let short = Duration::from_millis(200);
    while let Ok(connection) = tokio::time::timeout(short, TcpStream::connect(address)).await {
        queue.push(connection.unwrap());
    }
    (listener, queue)
}

#[tokio::test]
async fn who_waits_for_a_new_connection_takes_one_that_gets_free() {
    let (listener, mut queue) = with_full_queue().await;
    let pool = pool_for(&settings_for(&listener, |_| {}));
    // Its own connection is taken from the queue's head, which makes room for it.
    let opening = tokio::spawn({
        let pool = pool.clone();
        async move { pool.send(request("/")).await.unwrap() }
    });
    let first = queue.len();
    for _ in 0..first {
        drop(listener.accept().await.unwrap());
    }
    queue.clear();
    let (connection, _) = listener.accept().await.unwrap();
    tokio::spawn(async move { answer(connection, 1, &Notify::new()).await });
    let held = opening.await.unwrap();

    // The queue is filled again.
    let address = listener.local_addr().unwrap();
    let short = Duration::from_millis(200);
    while let Ok(connection) = tokio::time::timeout(short, TcpStream::connect(address)).await {
        queue.push(connection.unwrap());
    }
    let waiting = tokio::spawn({
        let pool = pool.clone();
        async move { read(pool.send(request("/")).await.unwrap()).await }
    });
    until(|| {
        pool.0
            .state
            .lock()
            .waiting
            .iter()
            .any(|waiter| !waiter.is_closed())
    })
    .await;
    assert_eq!(read(held).await, 1);
    let connection = tokio::time::timeout(LONG, waiting);
    assert_eq!(
        connection.await.expect("it is given the free one").unwrap(),
        1
    );
}

#[tokio::test]
async fn who_gives_up_waits_no_longer() {
    let (listener, _queue) = with_full_queue().await;
    let pool = pool_for(&settings_for(&listener, |_| {}));
    for _ in 0..10 {
        let mut opening = Box::pin(pool.send(request("/")));
        assert!(futures_util::poll!(opening.as_mut()).is_pending());
        assert_eq!(pool.0.state.lock().waiting.len(), 1);
    }
}

#[tokio::test]
async fn a_connection_is_free_once_its_request_has_been_sent_too() {
    let app = App::start(|_| {}).await;
    let (pieces, body) = mpsc::unbounded_channel::<Bytes>();
    let stream = futures_util::stream::unfold(body, |mut body| async {
        let piece = body.recv().await?;
        Some((Ok::<_, BoxError>(http_body::Frame::data(piece)), body))
    });
    let body = Body::stream(http_body_util::StreamBody::new(stream));
    let request = Request::post("/").header("content-length", "5").body(body);
    // The app answers at the head, and the body is still to come.
    let early = app.pool.send(request.unwrap()).await.unwrap();
    assert_eq!(read(early).await, 1);
    let meanwhile = app.ask().await;
    assert_eq!(meanwhile, 2);
    let second = app.pool.send(self::request("/")).await.unwrap();
    pieces.send(Bytes::from_static(b"12345")).unwrap();
    drop(pieces);
    until(|| !app.pool.0.state.lock().idle.is_empty()).await;
    // It is read as the start of the next request, which this app answers all the same.
    let first = app.pool.send(self::request("/")).await.unwrap();
    assert_eq!((read(first).await, read(second).await), (1, 2));
}
