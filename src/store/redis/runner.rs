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
        let Runner::Elsewhere(errands) = self else {
            return Some(work.await);
        };
        let (reply, done) = oneshot::channel();
        let errand = async move {
            let _ = reply.send(work.await);
        };
        errands.send(Box::pin(errand)).ok()?;
        done.await.ok()
    }
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

    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime")
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
