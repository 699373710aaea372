//! Threads, each with a single-threaded runtime of its own.

use std::thread::JoinHandle;

use anyhow::Context;
use tokio::runtime::Runtime;

/// Runs `body` on a thread of its own, within its runtime.
pub(super) fn spawn(
    name: &str,
    body: impl FnOnce(&Runtime) + Send + 'static,
) -> anyhow::Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot make a runtime")?;
    let thread = std::thread::Builder::new().name(name.to_owned());
    let handle = thread.spawn(move || {
        let entered = runtime.enter();
        body(&runtime);
        drop(entered);
    });
    handle.context("cannot start a thread")
}
