//! Tasks of the process that go on for as long as it does: one that dies is started again.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

/// Before it is started again, so that one which dies at once takes no core.
const PAUSE: Duration = Duration::from_secs(1);

/// Runs what `start` makes until it ends. Should it panic, that is logged, and `start` makes another after a pause, which knows
/// nothing of the first.
pub async fn keep_running<F: Future<Output = ()>>(name: &'static str, start: impl Fn() -> F) {
    while let Err(panic) = until_panic(start()).await {
        let why = in_words(&*panic);
        tracing::error!(
            task = name,
            why,
            "a fault of Pannier has ended a task of its own; it is started again"
        );
        tokio::time::sleep(PAUSE).await;
    }
}

async fn until_panic(future: impl Future<Output = ()>) -> Result<(), Box<dyn Any + Send>> {
    let mut future = pin!(future);
    // After a panic it is dropped, and not polled again.
    std::future::poll_fn(|context| {
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
            Ok(poll) => poll.map(Ok),
            Err(panic) => Poll::Ready(Err(panic)),
        }
    })
    .await
}

fn in_words(panic: &(dyn Any + Send)) -> &str {
    let owned = panic.downcast_ref::<String>().map(String::as_str);
    let words = panic.downcast_ref::<&str>().copied().or(owned);
    words.unwrap_or("it does not say why")
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_dies_is_started_again_and_what_ends_is_not() {
        let started = Cell::new(0);
        let start = || {
            started.set(started.get() + 1);
            let number = started.get();
            async move {
                tokio::task::yield_now().await;
                assert!(number > 2, "it dies twice");
            }
        };
        keep_running("a test's", start).await;
        assert_eq!(started.get(), 3);
    }

    #[test]
    fn a_panic_says_why() {
        for (panic, words) in [
            (catch_unwind::<_, ()>(|| panic!("in letters")), "in letters"),
            (catch_unwind::<_, ()>(|| panic!("in {}", 5)), "in 5"),
            (
                catch_unwind::<_, ()>(|| std::panic::panic_any(5)),
                "it does not say why",
            ),
        ] {
            assert_eq!(in_words(&*panic.unwrap_err()), words);
        }
    }
}
