//! How much memory the tier takes.

/// What the tier holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryUsage {
    /// Bytes, overhead counted, by [`crate::entry::Priority::ALL`].
    pub bytes: [u64; 3],
    /// Entries by [`crate::entry::Priority::ALL`].
    pub entries: [u64; 3],
    /// Evictions since the start by [`crate::entry::Priority::ALL`].
    pub evictions: [u64; 3],
    /// The limit.
    pub max: u64,
}
