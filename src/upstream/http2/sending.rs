//! The sending of a request's body, and its end where the app takes nothing more of it.
//!
//! hyper resets the stream of a request that is dropped before its answer. Of one that was answered early it goes on
//! sending the body in a task of its own, without end where the app gives no window for it; and since it asks the
//! body for nothing meanwhile, that cannot fail. So the task is ended: with it the stream is reset, and what the app has
//! not read is taken off the connection's window (RFC 9113 §6.9).

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::rt::Executor;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use crate::body::{Body, BoxError};
use crate::pacing::Uptake;

tokio::task_local! {
    /// The one under way, if it is one of [`Tasks`].
    static TASK: Task;
}

/// A task of hyper's. Set as soon as it is spawned.
type Task = Arc<OnceLock<AbortHandle>>;

/// Runs the tasks of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tasks;

impl<F> Executor<F> for Tasks
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, future: F) {
        let task = Task::default();
        let running = tokio::spawn(TASK.scope(task.clone(), future));
        let _ = task.set(running.abort_handle());
    }
}

/// How a body is sent, and by which task.
#[derive(Clone, Debug, Default)]
pub(super) struct Sending {
    uptake: Uptake,
    task: Arc<OnceLock<Task>>,
}

/// The request with its body watched; `None`: it has none, or one at hand.
pub(super) fn track(request: Request<Body>) -> (Request<Body>, Option<Sending>) {
    if !request.body().is_streamed() {
        return (request, None);
    }
    let sending = Sending::default();
    let tracked = request.map(|body| {
        Body::stream(Tracked {
            body: body.taken(&sending.uptake),
            sending: sending.clone(),
            was_looked_at: false,
        })
    });
    (tracked, Some(sending))
}

impl Sending {
    /// The answer is through: goes on for as long as the app takes a piece within each `timeout`.
    pub(super) fn end_when_stalled(self, timeout: Duration) {
        if self.uptake.is_over() {
            return;
        }
        // Without a runtime the process is ending.
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        self.uptake.note_answered();
        runtime.spawn(async move {
            self.uptake.stalled(timeout).await;
            if let Some(task) = self.task.get().and_then(|task| task.get()) {
                task.abort();
            }
        });
    }
}

/// A body that finds out which task sends it.
#[derive(Debug)]
struct Tracked {
    body: Body,
    sending: Sending,
    was_looked_at: bool,
}

impl HttpBody for Tracked {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.sending.task.get().is_none() {
            match TASK.try_with(Task::clone) {
                Ok(task) => {
                    let _ = self.sending.task.set(task);
                }
                // hyper looks once before it spawns a task, and then that might wait before it looks again.
                Err(_) if !std::mem::replace(&mut self.was_looked_at, true) => {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Err(_) => {}
            }
        }
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
