//! The body of a client's request, and what still comes of it once nobody reads it any more.
//!
//! Over HTTP/2 a stream whose body is let go is reset (RFC 9113 §8.1). Clients that are still sending take that for the
//! end of all, also of the answer that they have not read yet: an upload that the app refuses early would look like a
//! broken one. So what comes is read and dropped for a while. Over HTTP/1 that is done where the connection is closed.

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::runtime::Handle;

/// The longest that a body is read after it was let go.
const LIMIT: Duration = Duration::from_secs(2);

/// The most bodies that are read so at a time (promise I7); further ones are reset at once.
const MOST: usize = 256;

static LINGERING: AtomicUsize = AtomicUsize::new(0);

/// The body of a client's request.
#[derive(Debug)]
pub struct Upload {
    /// There until it is dropped.
    body: Option<Incoming>,
    lingers: bool,
}

impl Upload {
    /// What is unread of it ends with its connection.
    pub fn over_http1(body: Incoming) -> Upload {
        Upload {
            body: Some(body),
            lingers: false,
        }
    }

    /// What is unread of it is read for a while.
    pub fn over_http2(body: Incoming) -> Upload {
        Upload {
            body: Some(body),
            lingers: true,
        }
    }
}

impl HttpBody for Upload {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut self.body {
            Some(body) => Pin::new(body).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let body = self.body.as_ref();
        body.map_or_else(SizeHint::default, Incoming::size_hint)
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let body = self.body.take();
        if let Some(body) = body.filter(|body| self.lingers && !body.is_end_stream()) {
            linger(body);
        }
    }
}

/// Reads on in the background.
fn linger(body: Incoming) {
    let Ok(runtime) = Handle::try_current() else {
        return;
    };
    let Some(counted) = Counted::one_more(&LINGERING) else {
        return;
    };
    runtime.spawn(async move {
        let _counted = counted;
        let _ = tokio::time::timeout(LIMIT, discard(body)).await;
    });
}

async fn discard(mut body: Incoming) {
    while let Some(Ok(_)) = body.frame().await {}
}

/// One of the bodies that are read so.
struct Counted(&'static AtomicUsize);

impl Counted {
    fn one_more(all: &'static AtomicUsize) -> Option<Counted> {
        let before = all.fetch_add(1, Ordering::Relaxed);
        let counted = Counted(all);
        (before < MOST).then_some(counted)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_are_read_at_a_time() {
        static ALL: AtomicUsize = AtomicUsize::new(0);
        let mut counted: Vec<Counted> = (0..MOST).map_while(|_| Counted::one_more(&ALL)).collect();
        assert_eq!(counted.len(), MOST);
        for _ in 0..3 {
            assert!(Counted::one_more(&ALL).is_none());
        }
        counted.pop();
        assert!(Counted::one_more(&ALL).is_some());
        drop(counted);
        assert_eq!(ALL.load(Ordering::Relaxed), 0);
    }
}
