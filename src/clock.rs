//! The only place that reads the wall clock. Durations within the process are measured by monotonic time,
//! here and by tokio.
//!
//! Wall-clock times that enter the store are *fleet time*: this machine's clock corrected by the
//! offset to the clock of the shared Redis, so that sidecars whose clocks disagree still agree on how
//! old an entry is. Without Redis the offset is zero.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime};

/// A cloneable clock; all clones share one offset.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    offset_ms: Arc<AtomicI64>,
}

impl Clock {
    /// Fleet time: the wall clock plus the offset to Redis, in whole milliseconds, as entries keep it.
    pub fn now(&self) -> SystemTime {
        let since = system_now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let offset = self.offset_ms.load(Ordering::Relaxed);
        let millis = (since.as_millis() as u64).saturating_add_signed(offset);
        SystemTime::UNIX_EPOCH + Duration::from_millis(millis)
    }

    /// How far fleet time is ahead of this machine's clock.
    pub fn lead(&self) -> Duration {
        let ahead = self.offset_ms.load(Ordering::Relaxed).max(0);
        Duration::from_millis(ahead.unsigned_abs())
    }

    /// How far both are apart.
    pub fn difference(&self) -> Duration {
        let offset = self.offset_ms.load(Ordering::Relaxed);
        Duration::from_millis(offset.unsigned_abs())
    }

    /// Sets the offset so that [`Clock::now`] agrees with `redis_time` as of this moment.
    pub fn agree_with(&self, redis_time: SystemTime) {
        let offset = match redis_time.duration_since(system_now()) {
            Ok(ahead) => ahead.as_millis() as i64,
            Err(behind) => -(behind.duration().as_millis() as i64),
        };
        self.offset_ms.store(offset, Ordering::Relaxed);
    }
}

/// This machine's wall clock, for what others stamped by their own (token expiry).
pub fn wall() -> SystemTime {
    system_now()
}

/// Monotonic time, for durations within this process.
#[allow(clippy::disallowed_methods, reason = "the clock itself")]
pub fn monotonic() -> Instant {
    Instant::now()
}

#[allow(clippy::disallowed_methods, reason = "the clock itself")]
fn system_now() -> SystemTime {
    SystemTime::now()
}
