//! Judges a history: which reads saw less than what was acknowledged before they began, for how long it had
//! been acknowledged, and whether that lies inside a bound. Values in, a verdict out.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::time::Duration;

/// Since the history began, by the monotonic clock of the process that made it.
pub(crate) type Moment = Duration;
pub(crate) type Item = u8;
pub(crate) type Version = u32;

/// Which sidecar, and which of its lives: one that was started again has forgotten what it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Origin {
    pub(crate) sidecar: usize,
    pub(crate) life: u32,
}

/// What a route promises of writes through other sidecars.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coherence {
    Tracked,
    Strict,
}

/// A write whose acknowledgement has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Write {
    pub(crate) item: Item,
    pub(crate) version: Version,
    pub(crate) by: Origin,
    pub(crate) acknowledged: Moment,
}

/// A whole answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Read {
    /// What was asked for, as far as reports go.
    pub(crate) target: String,
    pub(crate) coherence: Coherence,
    pub(crate) by: Origin,
    /// Before its first byte was sent.
    pub(crate) begun: Moment,
    /// Everything that the answer contains.
    pub(crate) seen: Vec<(Item, Version)>,
    /// Whether it came from the cache.
    pub(crate) is_hit: bool,
    /// What its `Cache-Status` says, as far as reports go.
    pub(crate) status: String,
}

/// How long a read may go on seeing what an acknowledged write made stale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// Of a write through the same sidecar.
    pub(crate) own: Duration,
    /// Of a write through another one, on a strict route.
    pub(crate) strict: Duration,
    /// The same on a tracked one.
    pub(crate) tracked: Duration,
}

/// Which of the bounds holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Promise {
    Own,
    Strict,
    Tracked,
}

impl Promise {
    pub(crate) const ALL: [Promise; 3] = [Promise::Own, Promise::Strict, Promise::Tracked];
}

impl Bounds {
    pub(crate) fn of(&self, promise: Promise) -> Duration {
        match promise {
            Promise::Own => self.own,
            Promise::Strict => self.strict,
            Promise::Tracked => self.tracked,
        }
    }
}

/// A read outside its bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) promise: Promise,
    pub(crate) staleness: Duration,
    pub(crate) read: Read,
    pub(crate) saw: Version,
    /// The write that had been acknowledged for longest, of those that the read missed.
    pub(crate) missed: Write,
}

/// Of a whole history.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// Of every stale read, inside its bound or not, in ascending order; by [`Promise`].
    staleness: [Vec<Duration>; 3],
    /// A read is here once at most, for the promise that it broke for longer.
    pub(crate) violations: Vec<Violation>,
}

impl Verdict {
    pub(crate) fn staleness(&self, promise: Promise) -> &[Duration] {
        &self.staleness[promise as usize]
    }
}

/// Judges all reads by all writes, in whatever order they come.
pub(crate) fn check(writes: &[Write], reads: &[Read], bounds: &Bounds) -> Verdict {
    let acknowledged = Acknowledged::new(writes);
    let mut verdict = Verdict::default();
    for read in reads {
        let elsewhere = match read.coherence {
            Coherence::Strict => Promise::Strict,
            Coherence::Tracked => Promise::Tracked,
        };
        let own = acknowledged.missed_longest(read, |by| by == read.by);
        let others = acknowledged.missed_longest(read, |by| by != read.by);
        let mut worst: Option<Violation> = None;
        for (promise, missed) in [(Promise::Own, own), (elsewhere, others)] {
            let Some((missed, saw)) = missed else {
                continue;
            };
            let staleness = read.begun - missed.acknowledged;
            verdict.staleness[promise as usize].push(staleness);
            let is_worse = worst
                .as_ref()
                .is_none_or(|worst| worst.staleness < staleness);
            if staleness > bounds.of(promise) && is_worse {
                worst = Some(Violation {
                    promise,
                    staleness,
                    read: read.clone(),
                    saw,
                    missed,
                });
            }
        }
        verdict.violations.extend(worst);
    }
    for staleness in &mut verdict.staleness {
        staleness.sort_unstable();
    }
    verdict
}

/// By item and sidecar, for each version the write that was acknowledged first of it and all later ones.
struct Acknowledged(HashMap<Item, HashMap<Origin, Vec<Write>>>);

impl Acknowledged {
    fn new(writes: &[Write]) -> Acknowledged {
        let mut all = HashMap::<Item, HashMap<Origin, Vec<Write>>>::new();
        for write in writes {
            let of_item = all.entry(write.item).or_default();
            of_item.entry(write.by).or_default().push(*write);
        }
        for writes in all.values_mut().flat_map(HashMap::values_mut) {
            writes.sort_unstable_by_key(|write| write.version);
            for nth in (1..writes.len()).rev() {
                // What sees less than the earlier version misses both.
                if writes[nth].acknowledged < writes[nth - 1].acknowledged {
                    let version = writes[nth - 1].version;
                    writes[nth - 1] = Write {
                        version,
                        ..writes[nth]
                    };
                }
            }
        }
        Acknowledged(all)
    }

    /// Of the writes that `read` misses, through a sidecar that counts, the one acknowledged first; with
    /// the version seen instead.
    fn missed_longest(
        &self,
        read: &Read,
        counts: impl Fn(Origin) -> bool,
    ) -> Option<(Write, Version)> {
        let missed = read.seen.iter().flat_map(|&(item, saw)| {
            let of_item = self.0.get(&item).into_iter().flatten();
            let counting = of_item.filter(|(by, _)| counts(**by));
            counting.filter_map(move |(_, writes)| {
                let later = writes.partition_point(|write| write.version <= saw);
                Some((*writes.get(later)?, saw))
            })
        });
        missed
            .filter(|(write, _)| write.acknowledged < read.begun)
            .min_by_key(|(write, _)| write.acknowledged)
    }
}

/// The value below which 99 of 100 lie; of none, zero. The values are in ascending order.
pub(crate) fn p99(ascending: &[Duration]) -> Duration {
    let at = (ascending.len() * 99).div_ceil(100).saturating_sub(1);
    ascending.get(at).copied().unwrap_or_default()
}
