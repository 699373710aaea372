//! Closing a connection on whose other end something is still being sent.
//!
//! A socket that is closed with unread bytes is reset, and a reset may throw away the answer that the client
//! has not read yet: an upload that the app refuses early would look like a broken connection. So what still
//! comes is read and dropped for a while.

use std::io::Read;
use std::net::Shutdown;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::runtime::Handle;

/// The longest that a client is read from after its answer.
const LIMIT: Duration = Duration::from_secs(2);

/// The most connections read from at a time (promise I7); further ones are closed at once.
static MOST: AtomicU64 = AtomicU64::new(256);

static LINGERING: AtomicU64 = AtomicU64::new(0);

/// Lets so many connections of the process be read from after their end.
pub fn limit_lingering(most: u64) {
    MOST.store(most, Ordering::Relaxed);
}

/// Reads on in the background what `stream`, which is about to be closed, is still being sent: at most `most`
/// bytes.
pub(super) fn linger(stream: &TcpStream, most: usize) {
    let socket = SockRef::from(stream);
    let mut first = [0; 1024];
    let is_sending = (&*socket).read(&mut first).is_ok_and(|length| length > 0);
    if !is_sending || LINGERING.load(Ordering::Relaxed) >= MOST.load(Ordering::Relaxed) {
        return;
    }
    let (Ok(runtime), Ok(copy)) = (Handle::try_current(), socket.try_clone()) else {
        return;
    };
    LINGERING.fetch_add(1, Ordering::Relaxed);
    runtime.spawn(async move {
        // The answer is whole; its end is told.
        let _ = copy.shutdown(Shutdown::Write);
        if let Ok(stream) = TcpStream::from_std(copy.into()) {
            let _ = tokio::time::timeout(LIMIT, discard(stream, most)).await;
        }
        LINGERING.fetch_sub(1, Ordering::Relaxed);
    });
}

async fn discard(mut stream: TcpStream, mut most: usize) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(length @ 1..) = stream.read(&mut buffer).await
        && length < most
    {
        most -= length;
    }
}
