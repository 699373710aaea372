//! How far a model goes, and what may be wrong with it.

/// How often each thing happens at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Bounds {
    /// By sidecar.
    pub(crate) writes: [u8; 2],
    /// Purges of another key, by sidecar.
    pub(crate) others: [u8; 2],
    pub(crate) fills: [u8; 2],
    pub(crate) reads: [u8; 2],
    /// By sidecar; those at the end are not counted.
    pub(crate) beats: [u8; 2],
    /// Something is lost in Redis.
    pub(crate) losses: u8,
    /// Redis goes back to what it has saved, in the same run or in another one, for which all connections break.
    pub(crate) returns: Returns,
    /// Connections that break, by sidecar.
    pub(crate) breaks: [u8; 2],
    /// Purges that Redis does not answer in time, though the connection stands.
    pub(crate) timeouts: u8,
}

/// Whether Redis goes back to an older state, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Returns {
    Never,
    InTheSameRun,
    /// As before, between two commands of one purge as well.
    InTheSameRunAmidPurges,
    InAnotherRun,
}

/// What a write's purge names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum PurgeBy {
    Key,
    Pattern,
    Tag,
}

/// One thing that is wrong, each to be found by a property.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Flaw {
    /// A put does not ask whether its lease still stands.
    PutIgnoresToken,
    /// A put takes a lease of another generation for its own, and marks what it stores with the present one.
    PutIgnoresGeneration,
    /// A put does not ask whether the tag was purged since the lease.
    PutIgnoresTagFence,
    /// A read takes what is stored for valid, whatever the generation.
    ReadIgnoresGeneration,
    /// A purge takes an index that is missing for an empty one.
    PurgeTrustsMissingIndex,
    BeatDoesNotCompareOwnNumbers,
    /// A purge does not ask whether the process's own last one is still there. So the code is today: a process that
    /// purges again before its beat reaches the number it had, and the beat finds nothing amiss.
    PurgeDoesNotCompareNumbers,
    /// What was read or stored enters memory, whatever was invalidated meanwhile.
    MemoryIgnoresInvalidations,
    /// A session begins with what memory held before.
    MemoryOutlivesConnection,
    /// What was read in one session enters memory in the next.
    MemoryIgnoresSession,
    /// A purge does not fence the fills and reads of its own sidecar.
    PurgeDoesNotFence,
    /// What a purge that has not landed covers is read and stored as if there was none.
    PendingPurgeDoesNotCover,
    /// A soft purge does not tell those who hold what it makes stale.
    SoftPurgeTellsNobody,
    /// A soft purge leaves the lease of a fill that asked before.
    SoftPurgeLeavesLease,
    /// A soft purge leaves the memory of its own sidecar as it is.
    SoftPurgeForgetsMemory,
    /// That Redis has dropped all it tracked is not noticed. So the code is today: fred hands on no invalidation of
    /// everything, which a `FLUSHDB` of any database is, or a resynchronisation.
    FlushIsNotHeard,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Settings {
    pub(crate) bounds: Bounds,
    pub(crate) purge_by: PurgeBy,
    /// Whether purges leave what they find, and make it stale.
    pub(crate) softly: bool,
    pub(crate) flaw: Option<Flaw>,
}
