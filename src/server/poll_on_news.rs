//! A future beside another one that wakes the same task all the time.

use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use tokio::task::unconstrained;

/// A future that is polled only when it may be ready.
pub(super) struct PollOnNews<F> {
    future: Pin<Box<F>>,
    /// The waker it has been given.
    waker: Option<Waker>,
}

impl<F: Future> PollOnNews<F> {
    pub(super) fn new(future: F) -> PollOnNews<F> {
        PollOnNews {
            future: Box::pin(future),
            waker: None,
        }
    }

    /// Polls it if there is `news`, which says that it may be ready, or if it would wake another task than
    /// this one; pending otherwise.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, news: bool) -> Poll<F::Output> {
        // A task's waker stays the same.
        let waker = self.waker.as_ref();
        if !news && waker.is_some_and(|waker| waker.will_wake(cx.waker())) {
            return Poll::Pending;
        }
        self.waker = Some(cx.waker().clone());
        // To a task that has spent its turn tokio's futures say "pending" without taking its waker.
        pin!(unconstrained(self.future.as_mut())).poll(cx)
    }

    pub(super) fn get(&self) -> &F {
        &self.future
    }

    pub(super) fn get_mut(&mut self) -> Pin<&mut F> {
        self.future.as_mut()
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use tokio::sync::watch;
    use tokio::task::{consume_budget, coop::has_budget_remaining};

    use super::*;

    const LONG: Duration = Duration::from_secs(100);

    #[tokio::test(start_paused = true)]
    async fn a_task_that_had_spent_its_turn_is_woken() {
        let (sender, receiver) = watch::channel(false);
        let news = receiver.clone();
        let waiting = tokio::spawn(async move {
            let mut receiver = receiver;
            let mut wait = PollOnNews::new(async move { receiver.changed().await });
            while has_budget_remaining() {
                consume_budget().await;
            }
            poll_fn(|cx| wait.poll(cx, !matches!(news.has_changed(), Ok(false)))).await
        });
        // It waits before there is any news.
        tokio::time::sleep(LONG).await;
        sender.send(true).unwrap();
        let woken = tokio::time::timeout(LONG, waiting).await;
        woken.expect("it is woken").unwrap().unwrap();
    }

    #[tokio::test]
    async fn it_is_polled_at_first_and_for_news() {
        let mut polled = 0;
        let mut wait = PollOnNews::new(poll_fn(|_| {
            polled += 1;
            Poll::<()>::Pending
        }));
        poll_fn(|cx| {
            for news in [false, false, true, false] {
                assert!(wait.poll(cx, news).is_pending());
            }
            Poll::Ready(())
        })
        .await;
        drop(wait);
        assert_eq!(polled, 2);
    }
}
