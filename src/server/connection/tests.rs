use std::future::poll_fn;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::{consume_budget, coop::has_budget_remaining};

use super::*;
use crate::server::idle::Connections;

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn a_deadline_passes_for_a_task_whose_turn_was_spent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap());
    let (_client, accepted) = tokio::join!(client, listener.accept());
    let limits = Limits {
        head: SECOND,
        idle: SECOND,
        min_rate: 0,
    };
    tokio::time::pause();
    let mut timed = Timed::new(
        Transport::plain(accepted.unwrap().0),
        limits,
        Arc::new(Connections::default()).list().idleness().clone(),
        Arc::default(),
    );
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
