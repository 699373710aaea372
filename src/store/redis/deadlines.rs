//! Deadlines that cost a request next to nothing.
//!
//! A timer that is registered takes the lock of the runtime's timers and, if it is the first to end,
//! wakes the runtime by a system call. Moving a registered one to a later moment does neither. So the
//! timer of a command that was answered in time is kept for the next command.

use std::pin::Pin;
use std::task::{Context, Waker};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, Sleep, sleep_until};

/// The most timers kept (promise I7); more commands at a time make their own.
const SPARE: usize = 256;

/// A timer may come as late as this without its process having been stopped.
const NOTICED: Duration = Duration::from_millis(50);

/// The timers of one runtime's commands.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    spare: Mutex<Vec<Timer>>,
}

type Timer = Pin<Box<Sleep>>;

impl Deadlines {
    /// Runs `work`; `None` if it takes longer than `timeout`. A process that was stopped meanwhile, as by its supervisor or a
    /// machine that moves, has not waited: where the end is noticed late, what has come by now counts, and it waits for as
    /// long as that was, but no longer than `timeout`.
    pub(super) async fn within<T>(
        &self,
        timeout: Duration,
        work: impl Future<Output = T>,
    ) -> Option<T> {
        let deadline = Instant::now() + timeout;
        let mut timer = self.start_timer(deadline);
        tokio::pin!(work);
        let mut was_stopped = false;
        let done = loop {
            tokio::select! {
                biased;
                done = &mut work => break Some(done),
                () = &mut timer => {}
            }
            let now = Instant::now();
            let late = now.saturating_duration_since(deadline);
            if was_stopped || late < NOTICED {
                break None;
            }
            was_stopped = true;
            timer.as_mut().reset(now + late.min(timeout));
        };
        if done.is_some() {
            self.keep_for_reuse(timer);
        }
        done
    }

    fn start_timer(&self, deadline: Instant) -> Timer {
        let spare = self.spare.lock().pop();
        match spare {
            Some(mut timer) => {
                timer.as_mut().reset(deadline);
                timer
            }
            None => Box::pin(sleep_until(deadline)),
        }
    }

    fn keep_for_reuse(&self, mut timer: Timer) {
        // Else it would wake, and keep in memory, the task of a command that is long done.
        let _ = timer.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        let mut spare = self.spare.lock();
        if spare.len() < SPARE {
            spare.push(timer);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;
    use tokio::time::sleep;

    use super::*;

    const TIMEOUT: Duration = Duration::from_millis(50);

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[tokio::test(start_paused = true)]
    async fn each_command_has_all_of_its_time() {
        let deadlines = Deadlines::default();
        for (case, takes, in_time) in [
            ("the first", 40, true),
            (
                "by the timer of the first, which would have ended",
                40,
                true,
            ),
            ("too late", 60, false),
            ("by a new timer", 49, true),
            ("at once", 0, true),
            ("after that", 49, true),
            ("too late again", 51, false),
        ] {
            let began = Instant::now();
            let done = deadlines.within(TIMEOUT, sleep(millis(takes))).await;
            assert_eq!(done.is_some(), in_time, "{case}");
            let waited = Instant::now() - began;
            assert!(waited <= millis(takes.min(50) + 1), "{case}: {waited:?}");
        }
    }

    /// Time passes at once, and nothing that waits is looked at before it has.
    #[tokio::test(start_paused = true)]
    async fn a_process_that_was_stopped_has_not_waited() {
        let deadlines = Deadlines::default();
        for (timeout, stopped, takes, in_time) in [
            (50, 200, 220, true),
            (50, 200, 260, false),
            (50, 90, 95, false),
            (2000, 2500, 2600, true),
            (2000, 2500, 3010, false),
        ] {
            let began = Instant::now();
            let stop = async {
                tokio::time::advance(millis(stopped)).await;
                std::future::pending::<()>().await;
            };
            let work = async {
                tokio::select! {
                    () = stop => {}
                    () = tokio::time::sleep_until(began + millis(takes)) => {}
                }
            };
            let done = deadlines.within(millis(timeout), work).await;
            assert_eq!(done.is_some(), in_time, "{timeout} {stopped} {takes}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_timer_that_ended_unused_is_used_again() {
        let deadlines = Deadlines::default();
        deadlines.within(TIMEOUT, async {}).await;
        sleep(millis(500)).await;
        let done = deadlines.within(TIMEOUT, sleep(millis(40))).await;
        assert!(done.is_some());
        let late = deadlines.within(TIMEOUT, std::future::pending::<()>());
        assert!(late.await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_than_the_cap_are_kept() {
        let deadlines = Deadlines::default();
        let crowd = (0..2 * SPARE).map(|_| deadlines.within(TIMEOUT, sleep(millis(1))));
        assert!(join_all(crowd).await.iter().all(Option::is_some));
        assert_eq!(deadlines.spare.lock().len(), SPARE);
    }
}
