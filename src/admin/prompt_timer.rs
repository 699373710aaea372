//! A timer for hyper that lets what has arrived by then be read first.
//!
//! A process that was stopped for a while hears that its time is over before it hears of the request that came
//! meanwhile: the wait for both is interrupted when it goes on, with nothing but the time to show.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use hyper::rt::{Sleep, Timer};

/// tokio's clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct PromptTimer;

struct PromptSleep(Pin<Box<dyn Future<Output = ()> + Send + Sync>>);

impl Timer for PromptTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(self.now() + duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        Box::pin(PromptSleep(Box::pin(async move {
            tokio::time::sleep_until(deadline.into()).await;
            // Goes on when the runtime has looked for what there is to read.
            tokio::task::yield_now().await;
        })))
    }

    fn now(&self) -> Instant {
        tokio::time::Instant::now().into()
    }
}

impl Future for PromptSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(cx)
    }
}

impl Sleep for PromptSleep {}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test]
    async fn what_came_before_the_time_was_over_can_be_read_then() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap());
        let (client, accepted) = tokio::join!(client, listener.accept());
        let (client, (server, _)) = (client.unwrap(), accepted.unwrap());
        tokio::time::pause();
        let mut sleep = PromptTimer.sleep(SECOND);
        assert!(futures_util::poll!(sleep.as_mut()).is_pending());
        tokio::time::advance(2 * SECOND).await;
        let mut bytes = [0; 3];
        assert!(server.try_read(&mut bytes).is_err(), "nothing is there");
        assert_eq!(client.try_write(b"GET").unwrap(), 3);
        assert!(server.try_read(&mut bytes).is_err(), "nobody has looked");
        sleep.await;
        assert_eq!(server.try_read(&mut bytes).unwrap(), 3);
    }
}
