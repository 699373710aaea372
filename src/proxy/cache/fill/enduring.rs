//! Work that is finished whether or not the client that caused it waits.
//!
//! A task of its own for each fill would cost more than the fill. So the client's task does the work as
//! long as it waits for its answer, and most fills have ended by then; what is left becomes a task.

use std::future::poll_fn;
use std::task::Poll;

use futures_util::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::sync::oneshot::Receiver;
use tokio::sync::oneshot::error::TryRecvError;

use crate::turns::Turns;

/// Work that a task goes on with when this is dropped before its end.
pub(super) struct Enduring {
    work: Option<BoxFuture<'static, ()>>,
    /// Of what goes on without a client few begin in a turn: a crowd's clients may all leave at once.
    turns: Turns,
}

impl Enduring {
    pub(super) fn new(work: BoxFuture<'static, ()>, turns: Turns) -> Enduring {
        Enduring {
            work: Some(work),
            turns,
        }
    }

    /// Works until it has given its `answer`; `None`: it ended without one.
    pub(super) async fn until<A>(mut self, mut answer: Receiver<A>) -> Option<A> {
        poll_fn(|cx| {
            if let Some(work) = &mut self.work
                && work.as_mut().poll(cx).is_ready()
            {
                self.work = None;
            }
            // The work alone gives it, so there is nothing else to be woken by.
            match answer.try_recv() {
                Ok(answer) => Poll::Ready(Some(answer)),
                Err(TryRecvError::Empty) => Poll::Pending,
                Err(TryRecvError::Closed) => Poll::Ready(None),
            }
        })
        .await
    }
}

impl Drop for Enduring {
    fn drop(&mut self) {
        // Without a runtime the process is ending.
        if let (Some(work), Ok(runtime)) = (self.work.take(), Handle::try_current()) {
            let turns = self.turns.clone();
            runtime.spawn(async move {
                turns.next().await;
                work.await;
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    fn enduring(work: impl Future<Output = ()> + Send + 'static) -> Enduring {
        Enduring::new(Box::pin(work), Turns::new(1))
    }

    #[tokio::test]
    async fn it_goes_on_when_nobody_waits_any_more() {
        let (go, gone) = oneshot::channel::<()>();
        let (reply, answer) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        let work = enduring(async move {
            let _ = reply.send("early");
            let _ = gone.await;
            let _ = end.send("whole");
        });
        assert_eq!(work.until(answer).await, Some("early"));
        drop(go);
        assert_eq!(ended.await, Ok("whole"));
    }

    #[tokio::test]
    async fn it_goes_on_when_it_is_dropped_before_its_answer() {
        let (end, ended) = oneshot::channel();
        drop(enduring(async move {
            let _ = end.send(());
        }));
        assert_eq!(ended.await, Ok(()));
    }

    #[tokio::test]
    async fn work_without_an_answer() {
        let (reply, answer) = oneshot::channel::<()>();
        assert_eq!(
            enduring(async move { drop(reply) }).until(answer).await,
            None
        );
    }
}
