//! Where a connection's commands are sent and their answers looked at: on the runtime that has the connection.
//!
//! Redis tells a connection of changes before it answers what it is asked next. The tasks that hear of changes and of
//! losses (`tracking`, `supervisor`) are woken before whoever waits for that answer, and on the same runtime they also run
//! before. On another one an answer might be used that they would have refused. So a runtime that uses the connection of
//! another sends its errands there, and gets what has become of them.

use std::pin::Pin;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// Boxed: they are of all kinds.
type Errand = Pin<Box<dyn Future<Output = ()> + Send>>;

/// How many errands are taken from the queue at a time.
const AT_A_TIME: usize = 64;

/// How a runtime has the work of a connection done.
#[derive(Clone, Debug)]
pub(super) enum Runner {
    /// It has the connection.
    Here,
    /// Another one has it. No more errands wait than requests are under way.
    Elsewhere(mpsc::UnboundedSender<Errand>),
}

/// The queue of a connection, for the runtimes that do not have it.
#[derive(Debug)]
pub(super) struct Errands {
    sender: mpsc::UnboundedSender<Errand>,
    task: JoinHandle<()>,
}

impl Runner {
    /// What comes of `work`; `None`: the runtime of the connection has ended. If the caller goes away, `work` is done all
    /// the same where it is sent elsewhere.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        match self {
            Runner::Here => Some(work.await),
            Runner::Elsewhere(errands) => {
                let errand = |reply: oneshot::Sender<T>| async move {
                    let _ = reply.send(work.await);
                };
                send(errands, errand).await
            }
        }
    }

    /// As [`Runner::run`]; if the caller has gone away, `work` is not begun elsewhere, and what comes of it if it was is undone.
    pub(super) async fn run_or_undo<T: Send + 'static, U: Future<Output = ()> + Send>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
        undo: impl FnOnce(T) -> U + Send + 'static,
    ) -> Option<T> {
        match self {
            Runner::Here => Some(work.await),
            Runner::Elsewhere(errands) => {
                let errand = |reply: oneshot::Sender<T>| async move {
                    if !reply.is_closed()
                        && let Err(unwanted) = reply.send(work.await)
                    {
                        undo(unwanted).await;
                    }
                };
                send(errands, errand).await
            }
        }
    }
}

/// What the errand replies; `None`: it does not.
async fn send<T, E: Future<Output = ()> + Send + 'static>(
    errands: &mpsc::UnboundedSender<Errand>,
    errand: impl FnOnce(oneshot::Sender<T>) -> E,
) -> Option<T> {
    let (reply, done) = oneshot::channel();
    errands.send(Box::pin(errand(reply))).ok()?;
    done.await.ok()
}

impl Errands {
    /// Has errands done on this runtime.
    pub(super) fn start() -> Errands {
        let (sender, receiver) = mpsc::unbounded_channel();
        let task = tokio::spawn(do_all(receiver));
        Errands { sender, task }
    }

    /// How another runtime has work done here.
    pub(super) fn runner(&self) -> Runner {
        Runner::Elsewhere(self.sender.clone())
    }

    /// Takes no more.
    pub(super) fn stop(&self) {
        self.task.abort();
    }
}

async fn do_all(mut errands: mpsc::UnboundedReceiver<Errand>) {
    let mut some = Vec::with_capacity(AT_A_TIME);
    while errands.recv_many(&mut some, AT_A_TIME).await > 0 {
        for errand in some.drain(..) {
            tokio::spawn(errand);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use futures_util::future::poll_immediate;

    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime")
    }

    #[test]
    fn what_nobody_waits_for_any_more_is_undone_or_not_begun() {
        runtime().block_on(async {
            let errands = Errands::start();
            let runner = errands.runner();
            let (begin, begun) = oneshot::channel::<()>();
            let (undone, is_undone) = oneshot::channel();
            let work = async move {
                begun.await.expect("it is begun");
                7
            };
            let undo = |what| async move { undone.send(what).expect("it is waited for") };
            let mut waiting = Box::pin(runner.run_or_undo(work, undo));
            assert_eq!(poll_immediate(waiting.as_mut()).await, None);
            tokio::task::yield_now().await;
            drop(waiting);
            begin.send(()).expect("it has begun");
            assert_eq!(is_undone.await, Ok(7));
            let (never, is_begun) = oneshot::channel();
            let work = async move { never.send(()).expect("nobody waits") };
            let mut waiting = Box::pin(runner.run_or_undo(work, |()| async {}));
            assert_eq!(poll_immediate(waiting.as_mut()).await, None);
            drop(waiting);
            assert!(is_begun.await.is_err());
            let kept = runner.run_or_undo(async { 8 }, |_| async { unreachable!("it is taken") });
            assert_eq!(kept.await, Some(8));
        });
    }

    #[test]
    fn work_is_done_where_the_connection_is_until_that_ends() {
        let (sender, runner) = std::sync::mpsc::channel();
        let (end, ended) = oneshot::channel::<()>();
        let home = thread::spawn(move || {
            runtime().block_on(async {
                let errands = Errands::start();
                sender.send(errands.runner()).expect("it is waited for");
                ended.await.expect("it is ended");
                errands.stop();
            });
        });
        let (here, there) = (Runner::Here, runner.recv().expect("it starts"));
        let whose = || async { thread::current().id() };
        runtime().block_on(async {
            assert_eq!(here.run(whose()).await, Some(thread::current().id()));
            assert_eq!(there.run(whose()).await, Some(home.thread().id()));
            end.send(()).expect("it waits");
            home.join().expect("it ends well");
            assert_eq!(there.run(whose()).await, None);
        });
    }
}
