//! Durations in buckets of 1.6 % width, so that a long run takes no memory and sorts nothing.

use std::time::Duration;

/// Buckets per power of two.
const FINE: u64 = 64;

/// Counts of durations, to a nanosecond below 64 ns and to 1.6 % above.
#[derive(Default)]
pub(crate) struct Histogram {
    counts: Vec<u64>,
    total: u64,
    max: Duration,
}

impl Histogram {
    pub(crate) fn add(&mut self, duration: Duration) {
        let bucket = bucket(duration.as_nanos().try_into().unwrap_or(u64::MAX));
        if self.counts.len() <= bucket {
            self.counts.resize(bucket + 1, 0);
        }
        self.counts[bucket] += 1;
        self.total += 1;
        self.max = self.max.max(duration);
    }

    pub(crate) fn merge(&mut self, other: &Histogram) {
        if self.counts.len() < other.counts.len() {
            self.counts.resize(other.counts.len(), 0);
        }
        for (sum, count) in self.counts.iter_mut().zip(&other.counts) {
            *sum += count;
        }
        self.total += other.total;
        self.max = self.max.max(other.max);
    }

    /// How many durations.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// In microseconds; 0 when it is empty.
    pub(crate) fn quantile(&self, part: f64) -> f64 {
        let rank = (part * self.total as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return middle(bucket) / 1e3;
            }
        }
        0.0
    }

    /// The quantiles that the report shows, as members of a JSON object.
    pub(crate) fn members(&self) -> String {
        format!(
            "\"p50_us\":{:.1},\"p99_us\":{:.1},\"p999_us\":{:.1},\"max_us\":{:.1}",
            self.quantile(0.5),
            self.quantile(0.99),
            self.quantile(0.999),
            self.max.as_secs_f64() * 1e6,
        )
    }
}

fn bucket(nanos: u64) -> usize {
    if nanos < FINE {
        return nanos as usize;
    }
    // The first bit picks the power of two, the next six the bucket within it.
    let power = u64::from(nanos.ilog2()) - u64::from(FINE.ilog2());
    ((power + 1) * FINE + (nanos >> power) - FINE) as usize
}

fn middle(bucket: usize) -> f64 {
    let bucket = bucket as u64;
    if bucket < FINE {
        return bucket as f64;
    }
    let (power, step) = (bucket / FINE - 1, bucket % FINE);
    ((FINE + step) as f64 + 0.5) * (1u64 << power) as f64
}
