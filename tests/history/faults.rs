//! The faults, and what is promised under each.

use std::time::Duration;

use super::checker::{Bounds, Promise};
use super::clients::Writes;

/// One thing that goes wrong; `trouble.rs` does it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Calm,
    Distant,
    BookkeepingDeleted,
    BookkeepingOfTheWrongType,
    Eviction,
    Flush,
    OlderData,
    OlderDataInTheSameRun,
    RestartedEmpty,
    KilledAndBack,
    Hung,
    TooFewReplicas,
    CannotSave,
    ReadOnly,
    WritesPaused,
    ConnectionsKilled,
    TooManyClients,
    Slow,
    Silent,
    SidecarFrozen,
    SidecarKilled,
    OlderDataAndSidecarKilled,
    AppFails,
    RudeClients,
    ClusterPrimaryKilled,
    ClusterFailover,
    ClusterSlotMoves,
    SentinelPrimaryKilled,
}

/// What kind of Redis a fault is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Single,
    Cluster,
    Sentinel,
}

/// A line of the table.
pub(crate) struct Promised {
    pub(crate) fault: Fault,
    pub(crate) name: &'static str,
    /// In milliseconds; a sidecar's own writes, strict routes, tracked ones.
    bounds: [u64; 3],
    /// Where the bounds come from.
    pub(crate) why: &'static str,
}

/// `redis.staleness`: memory answers only while Redis was heard from within it.
const STALENESS: u64 = 1000;
/// A quarter of it: how often each connection asks whether there is news. Within that time, one that has to begin anew has.
const HEARD_EVERY: u64 = STALENESS / 4;
/// Between two beats.
const BEAT: u64 = 1000;
/// How late a beat may be.
const TICK: u64 = 250;
/// A beat, and as long as it may wait for its answer.
const REFUSAL: u64 = BEAT + TICK + 1000;
/// `redis.timeout` where Redis does not answer.
const TIMEOUT: u64 = 50;
/// `redis.outage_ttl`: the longest from its last confirmation that memory answers for while Redis is away.
pub(crate) const OUTAGE_TTL: u64 = 1500;
/// `redis.reconnect_max` and `redis.breaker_probe`, and a second for what a session needs, which takes a debug build some 0.4 s
/// on a busy machine: how long after the others a sidecar may have Redis again.
const RECONNECTION: u64 = 2250;
/// `ttl` of the routes where it is the bound.
const TTL: u64 = 4000;

const HEARD: &str = "memory answers only within redis.staleness of hearing from Redis";
const TOLD_BY_BEAT: &str = "Redis cannot tell at once: a beat, and then redis.staleness";
const REFUSES: &str =
    "Redis answers reads and refuses purges: known by a beat, or by none within a second";
const AWAY: &str = "nobody can be told: memory answers for outage_ttl, and Redis until who took the write has it again";
const CUT_OFF: &str = "nobody can be told until who took the write has Redis again";

/// What the README promises, fault by fault.
pub(crate) const PROMISED: &[Promised] = &[
    promise(Fault::Calm, "calm", [0, 0, STALENESS], HEARD),
    promise(
        Fault::Distant,
        "calm, Redis some ms away",
        [0, 0, STALENESS],
        HEARD,
    ),
    promise(
        Fault::BookkeepingDeleted,
        "bookkeeping deleted",
        [0, 0, STALENESS + BEAT],
        TOLD_BY_BEAT,
    ),
    promise(
        Fault::BookkeepingOfTheWrongType,
        "bookkeeping of the wrong type",
        [0, 0, STALENESS + BEAT],
        TOLD_BY_BEAT,
    ),
    promise(
        Fault::Eviction,
        "eviction (allkeys-random)",
        [0, HEARD_EVERY, STALENESS + BEAT],
        TOLD_BY_BEAT,
    ),
    promise(
        Fault::Flush,
        "FLUSHALL",
        [0, 0, STALENESS + BEAT],
        TOLD_BY_BEAT,
    ),
    promise(
        Fault::OlderData,
        "restarted with older data",
        [0, RECONNECTION, RECONNECTION + OUTAGE_TTL],
        AWAY,
    ),
    promise(
        Fault::OlderDataInTheSameRun,
        "older data in the same run",
        [BEAT + TICK, BEAT + TICK, STALENESS + BEAT + TICK],
        TOLD_BY_BEAT,
    ),
    promise(
        Fault::RestartedEmpty,
        "restarted empty",
        [0, RECONNECTION, RECONNECTION + OUTAGE_TTL],
        AWAY,
    ),
    promise(
        Fault::KilledAndBack,
        "killed and back",
        [0, RECONNECTION, RECONNECTION + OUTAGE_TTL],
        AWAY,
    ),
    promise(
        Fault::Hung,
        "hung and back",
        [0, RECONNECTION, RECONNECTION + OUTAGE_TTL],
        AWAY,
    ),
    promise(
        Fault::TooFewReplicas,
        "NOREPLICAS",
        [0, REFUSAL, REFUSAL + OUTAGE_TTL],
        REFUSES,
    ),
    promise(
        Fault::CannotSave,
        "MISCONF",
        [0, REFUSAL, REFUSAL + OUTAGE_TTL],
        REFUSES,
    ),
    promise(
        Fault::ReadOnly,
        "READONLY",
        [0, REFUSAL, REFUSAL + OUTAGE_TTL],
        REFUSES,
    ),
    promise(
        Fault::WritesPaused,
        "CLIENT PAUSE WRITE",
        [0, REFUSAL, REFUSAL + OUTAGE_TTL],
        REFUSES,
    ),
    promise(
        Fault::ConnectionsKilled,
        "connections killed",
        [0, RECONNECTION, STALENESS + RECONNECTION],
        CUT_OFF,
    ),
    promise(
        Fault::TooManyClients,
        "maxclients",
        [0, RECONNECTION, RECONNECTION + OUTAGE_TTL],
        AWAY,
    ),
    promise(
        Fault::Slow,
        "slower than redis.timeout",
        [0, RECONNECTION, RECONNECTION + OUTAGE_TTL],
        AWAY,
    ),
    promise(
        Fault::Silent,
        "no answers, outage = pass",
        [0, 0, STALENESS],
        HEARD,
    ),
    promise(
        Fault::SidecarFrozen,
        "a sidecar frozen",
        [0, 0, STALENESS],
        HEARD,
    ),
    promise(
        Fault::SidecarKilled,
        "a sidecar killed",
        [0, 0, STALENESS],
        HEARD,
    ),
    promise(
        Fault::OlderDataAndSidecarKilled,
        "older data and a sidecar killed",
        [0, TTL, TTL],
        "who purged is gone, and so is the purge: the TTL of the route",
    ),
    promise(Fault::AppFails, "the app fails", [0, 0, STALENESS], HEARD),
    promise(
        Fault::RudeClients,
        "clients hang up",
        [0, 0, STALENESS],
        HEARD,
    ),
    promise(
        Fault::ClusterPrimaryKilled,
        "cluster: a primary killed",
        [0, RECONNECTION, RECONNECTION + OUTAGE_TTL],
        AWAY,
    ),
    promise(
        Fault::ClusterFailover,
        "cluster: replicas take over",
        [0, RECONNECTION, RECONNECTION + OUTAGE_TTL],
        AWAY,
    ),
    promise(
        Fault::ClusterSlotMoves,
        "cluster: slots move",
        [0, REFUSAL, REFUSAL + OUTAGE_TTL],
        "what has moved half is refused, reads and purges alike: known by a beat",
    ),
    promise(
        Fault::SentinelPrimaryKilled,
        "sentinel: the primary killed",
        [0, RECONNECTION, RECONNECTION + OUTAGE_TTL],
        AWAY,
    ),
];

const fn promise(
    fault: Fault,
    name: &'static str,
    bounds: [u64; 3],
    why: &'static str,
) -> Promised {
    Promised {
        fault,
        name,
        bounds,
        why,
    }
}

impl Fault {
    pub(crate) fn promised(self) -> &'static Promised {
        let promised = PROMISED.iter().find(|promised| promised.fault == self);
        promised.expect("each fault has its line")
    }

    pub(crate) fn kind(self) -> Kind {
        match self {
            Fault::ClusterPrimaryKilled | Fault::ClusterFailover | Fault::ClusterSlotMoves => {
                Kind::Cluster
            }
            Fault::SentinelPrimaryKilled => Kind::Sentinel,
            _ => Kind::Single,
        }
    }

    /// `redis.timeout`: where Redis is well, a machine that is busy is not to look like one that is slow.
    pub(crate) fn timeout(self) -> Duration {
        let waits = matches!(
            self,
            Fault::Hung
                | Fault::KilledAndBack
                | Fault::TooFewReplicas
                | Fault::CannotSave
                | Fault::ReadOnly
                | Fault::WritesPaused
        ) || self.kind() == Kind::Sentinel;
        Duration::from_millis(match self {
            // Its requests wait so long, and a purge of the others is to land in it.
            Fault::Silent => 500,
            // The line itself takes its time where this machine is busy.
            Fault::Slow => 250,
            // A purge visits sixteen shards, while seven servers and three sidecars share this machine.
            _ if self.kind() == Kind::Cluster => 500,
            _ if waits => TIMEOUT,
            _ => 2000,
        })
    }

    /// `redis.outage`: what memory answers while Redis is away is bounded by `outage_ttl`; where it is to answer
    /// nothing, the lease alone says how long it may.
    pub(crate) fn outage(self) -> &'static str {
        match self {
            Fault::Silent => "pass",
            _ => "serve",
        }
    }

    /// Whether sidecars reach Redis by a line that can be disturbed.
    pub(crate) fn is_of_the_line(self) -> bool {
        matches!(self, Fault::Slow | Fault::Distant | Fault::Silent)
    }

    pub(crate) fn writes(self) -> Writes {
        match self {
            Fault::Calm | Fault::Distant | Fault::AppFails | Fault::RudeClients => Writes::InBursts,
            _ => Writes::AtAllTimes,
        }
    }

    pub(crate) fn ttl(self) -> Duration {
        match self {
            Fault::OlderDataAndSidecarKilled => Duration::from_millis(TTL),
            _ => Duration::from_secs(60),
        }
    }
}

impl Promised {
    /// As the README has it.
    pub(crate) fn milliseconds(&self, promise: Promise) -> u64 {
        self.bounds[promise as usize]
    }

    /// As a machine keeps them that lets a thread wait for `lag` before it runs.
    pub(crate) fn bounds(&self, lag: Duration) -> Bounds {
        let [own, strict, tracked] = self.bounds.map(|bound| match bound {
            0 => Duration::ZERO,
            bound => Duration::from_millis(bound) + lag,
        });
        Bounds {
            own,
            strict,
            tracked,
        }
    }
}
