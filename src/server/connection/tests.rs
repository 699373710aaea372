use std::future::poll_fn;
use std::pin::pin;

use futures_util::poll;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{consume_budget, coop::has_budget_remaining};

use super::*;
use crate::server::idle::{Connections, Listing};

const SECOND: Duration = Duration::from_secs(1);

/// A client, its connection, and what asks that to make room. The clock stands still.
async fn connect() -> (TcpStream, Timed, Listing, Arc<Connections>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap());
    let (client, accepted) = tokio::join!(client, listener.accept());
    let limits = Limits {
        head: SECOND,
        idle: SECOND,
        min_rate: 0,
    };
    tokio::time::pause();
    let connections = Arc::new(Connections::default());
    let listing = connections.list();
    let timed = Timed::new(
        Transport::plain(accepted.unwrap().0),
        limits,
        listing.idleness().clone(),
        Arc::default(),
    );
    (client.unwrap(), timed, listing, connections)
}

#[tokio::test]
async fn a_deadline_passes_for_a_task_whose_turn_was_spent() {
    let (_client, mut timed, ..) = connect().await;
    let waiting = tokio::spawn(async move {
        while has_budget_remaining() {
            consume_budget().await;
        }
        poll_fn(|cx| timed.poll_deadline(cx, false)).await
    });
    let ended = tokio::time::timeout(100 * SECOND, waiting).await;
    let error = ended.expect("the deadline passes").unwrap();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
}

/// As after a stop of the process: the runtime tells of the time, or of a crowd, before it tells of the bytes.
#[tokio::test]
async fn what_came_before_a_connection_was_to_end_is_read() {
    for is_crowded in [false, true] {
        let (client, mut timed, _listing, connections) = connect().await;
        let mut read = async || {
            let mut bytes = [0; 8];
            let mut buffer = hyper::rt::ReadBuf::new(&mut bytes);
            let result = poll_fn(|cx| Pin::new(&mut timed).poll_read(cx, buffer.unfilled())).await;
            result.map(|()| buffer.filled().to_vec())
        };
        assert!(poll!(pin!(read())).is_pending());
        assert_eq!(client.try_write(b"GET").unwrap(), 3);
        match is_crowded {
            true => assert!(connections.ask_idlest_to_leave()),
            // Polled once, it changes the clock and lets the runtime do nothing else.
            false => assert!(poll!(pin!(tokio::time::advance(2 * SECOND))).is_pending()),
        }
        assert_eq!(read().await.unwrap(), b"GET", "{is_crowded}");
        tokio::time::resume();
    }
}
