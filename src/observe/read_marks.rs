//! Which keys were answered from the store since they were stored: a bit each, by a hash of the key. Two keys may share a
//! bit; then one counts as read that was not, which is the safe side.

use std::sync::atomic::{AtomicU64, Ordering};

/// Bits: 64 KiB of memory.
const BITS: usize = 1 << 19;

/// One bit a key.
#[derive(Debug)]
pub struct ReadMarks(Box<[AtomicU64]>);

impl Default for ReadMarks {
    fn default() -> ReadMarks {
        ReadMarks((0..BITS / 64).map(|_| AtomicU64::new(0)).collect())
    }
}

impl ReadMarks {
    /// The key was answered from the store. Written only where it is news, which is returned: the same keys are read all
    /// the time.
    pub fn set(&self, key: &str) -> bool {
        let (word, bit) = self.place(key);
        word.load(Ordering::Relaxed) & bit == 0 && word.fetch_or(bit, Ordering::Relaxed) & bit == 0
    }

    /// Whether it was, since this was asked last.
    pub fn take(&self, key: &str) -> bool {
        let (word, bit) = self.place(key);
        word.fetch_and(!bit, Ordering::Relaxed) & bit != 0
    }

    /// Whether it was.
    pub fn has(&self, key: &str) -> bool {
        let (word, bit) = self.place(key);
        word.load(Ordering::Relaxed) & bit != 0
    }

    fn place(&self, key: &str) -> (&AtomicU64, u64) {
        let bit = crc32fast::hash(key.as_bytes()) as usize % BITS;
        (&self.0[bit / 64], 1 << (bit % 64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_taken_once() {
        let marks = ReadMarks::default();
        assert!(!marks.has("a"));
        assert!(marks.set("a") && !marks.set("a"));
        assert!(marks.has("a") && !marks.has("b"));
        assert!(marks.take("a") && !marks.take("a") && !marks.has("a"));
    }
}
