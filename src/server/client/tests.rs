use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{consume_budget, coop::has_budget_remaining};

use super::*;

#[tokio::test(start_paused = true)]
async fn the_drain_is_told_to_a_task_whose_turn_was_spent() {
    let (begin, draining) = watch::channel(false);
    let (_cut, cut) = watch::channel(false);
    let (alive, _ended) = mpsc::channel(1);
    let life = Life {
        alive,
        draining,
        cut,
    };
    let waiting = tokio::spawn(async move {
        let mut drain = Drain::new(&life);
        while has_budget_remaining() {
            consume_budget().await;
        }
        poll_fn(|cx| drain.poll(cx)).await;
    });
    // It waits before the drain begins.
    tokio::time::sleep(Duration::from_secs(1)).await;
    begin.send(true).unwrap();
    let told = tokio::time::timeout(Duration::from_secs(100), waiting).await;
    told.expect("it is told").unwrap();
}
