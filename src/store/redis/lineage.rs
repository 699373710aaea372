//! Which data Redis holds: a flush, an eviction, a restart or a failover puts other data in place of those that the
//! sidecar knew, and may bring back what was purged.
//!
//! All that is stored in a shard belongs to its *generation*. Another one begins, by a script and so for all
//! sidecars at once, when bookkeeping was lost, and when a beat finds that purges are missing which its process
//! knows of: a generation that is earlier than the last known, a purge number below the highest seen, or one
//! below that of the process's own last purge. The own one is exact, whatever others have purged since. With
//! `[redis] journal` the next process knows what this one knew (`recorder`).

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

/// The length of a generation's text.
pub(super) const GENERATION_BYTES: usize = 16;

/// What all that is stored in a shard has in common; later ones are greater.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Generation(u64);

impl Generation {
    /// Reads the 16 hexadecimal digits that `text` begins with.
    pub(super) fn read(text: &[u8]) -> Option<Generation> {
        let digits = text.get(..GENERATION_BYTES)?;
        let number = digits.iter().try_fold(0, |number, byte| {
            let digit = char::from(*byte).to_digit(16)?;
            Some(number << 4 | u64::from(digit))
        });
        number.map(Generation)
    }

    /// When it began, in milliseconds of Redis's time (`account.lua`).
    pub(super) fn began(self) -> u64 {
        self.0 / 1000
    }

    /// What [`Generation::read`] reads.
    pub(super) fn text(self) -> [u8; GENERATION_BYTES] {
        let digit = |i| b"0123456789abcdef"[(self.0 >> (60 - 4 * i) & 15) as usize];
        std::array::from_fn(digit)
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.text()))
    }
}

/// Whether Redis is to tell a connection when another generation begins, in any shard.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// How often it was told so, or connected anew.
    news: AtomicU64,
    /// The number of news, and one more, when all generations were read last.
    read: AtomicU64,
}

/// What the watch has seen so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Watched(u64);

impl Watch {
    /// Another generation has begun, or nobody tells of it any more.
    pub(super) fn note_news(&self) {
        self.news.fetch_add(1, Ordering::AcqRel);
    }

    /// To be taken before the generations are read, and given to [`Watch::note_read`].
    pub(super) fn before_reading(&self) -> Watched {
        Watched(self.news.load(Ordering::Acquire))
    }

    /// All generations have been read since, and so will be told of.
    pub(super) fn note_read(&self, before: Watched) {
        self.read.store(before.0 + 1, Ordering::Release);
    }

    /// `None` if Redis may not tell of another generation; the same as before if none has begun since.
    pub(super) fn watched(&self) -> Option<Watched> {
        let news = self.news.load(Ordering::Acquire);
        (self.read.load(Ordering::Acquire) == news + 1).then_some(Watched(news))
    }
}

/// What a process knows of a shard's data.
#[derive(Debug, Default)]
pub(super) struct Lineage {
    /// The latest known; 0: none.
    generation: AtomicU64,
    known: Mutex<Known>,
    /// By which a server that has forgotten what it was to tell is known.
    history: Mutex<Option<String>>,
}

/// What is known of the latest generation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) generation: Generation,
    /// The highest purge number seen.
    pub(super) number: u64,
    /// The number of the process's own last purge.
    pub(super) own: u64,
    /// Another layout was in use beside it, or a script has ended in the middle.
    pub(super) is_void: bool,
}

/// How a generation that was found compares with the latest known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Same,
    /// None was known.
    First,
    /// All that was known before is void.
    Later,
    /// What was found is void.
    Earlier,
}

impl Lineage {
    /// Takes for known what was so before this process began.
    pub(super) fn restore(&self, before: Known) {
        *self.known.lock() = before;
        self.generation
            .store(before.generation.0, Ordering::Release);
    }

    /// Whether this process has asked for its data.
    pub(super) fn has_asked(&self) -> bool {
        self.history.lock().is_some()
    }

    /// The latest generation known.
    pub(super) fn generation(&self) -> Generation {
        Generation(self.generation.load(Ordering::Acquire))
    }

    /// What is known of it.
    pub(super) fn known(&self) -> Known {
        *self.known.lock()
    }

    /// Compares a generation that was found with the latest known, and remembers it if it is later.
    pub(super) fn compare(&self, found: Generation) -> Comparison {
        let latest = self.generation();
        if found == latest {
            return Comparison::Same;
        }
        let mut known = self.known.lock();
        let comparison = match known.generation {
            before if before == found => return Comparison::Same,
            before if before > found => return Comparison::Earlier,
            Generation(0) => Comparison::First,
            _ => Comparison::Later,
        };
        *known = Known {
            generation: found,
            ..Known::default()
        };
        self.generation.store(found.0, Ordering::Release);
        comparison
    }

    /// Whether the server has forgotten what it was to tell, since it was asked last.
    pub(super) fn has_forgotten(&self, history: String) -> bool {
        let before = self.history.lock().replace(history.clone());
        before.is_some_and(|before| before != history)
    }

    /// A purge number was seen.
    pub(super) fn note_number(&self, generation: Generation, number: u64) {
        self.change(generation, |known| {
            known.number = known.number.max(number);
        });
    }

    /// A purge of this process has been carried out as this number.
    pub(super) fn note_own(&self, generation: Generation, number: u64) {
        self.change(generation, |known| {
            known.own = known.own.max(number);
        });
    }

    /// Another layout is or was in use beside what is stored, or its indexes may lack some of it.
    pub(super) fn note_void(&self, generation: Generation) {
        self.change(generation, |known| known.is_void = true);
    }

    fn change(&self, generation: Generation, change: impl FnOnce(&mut Known)) {
        let mut known = self.known.lock();
        if known.generation == generation {
            change(&mut known);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generations_are_digits() {
        for (case, text, expected) in [
            ("digits", "0006443a5f00c0de", Some(0x0006_443a_5f00_c0de)),
            ("and an entry", "0000000000000001PANN", Some(1)),
            ("too few", "000000000000001", None),
            ("a sign", "+000000000000001", None),
            ("others", "000000000000000g", None),
            ("nothing", "", None),
        ] {
            let read = Generation::read(text.as_bytes());
            assert_eq!(read, expected.map(Generation), "{case}");
        }
        assert_eq!(Generation(0xabc).to_string(), "0000000000000abc");
    }

    #[test]
    fn what_was_told_is_read_again() {
        let watch = Watch::default();
        assert_eq!(watch.watched(), None);
        let before = watch.before_reading();
        watch.note_read(before);
        let watched = watch.watched();
        assert!(watched.is_some());
        watch.note_news();
        assert_eq!(watch.watched(), None);
        let before = watch.before_reading();
        watch.note_news();
        watch.note_read(before);
        assert_eq!(watch.watched(), None, "told while it was read");
        watch.note_read(watch.before_reading());
        assert!(watch.watched().is_some() && watch.watched() != watched);
    }

    #[test]
    fn what_is_found_is_compared_with_the_latest_known() {
        use Comparison::{Earlier, First, Later, Same};
        let lineage = Lineage::default();
        for (found, expected) in [
            (5, First),
            (5, Same),
            (7, Later),
            (5, Earlier),
            (7, Same),
            (8, Later),
        ] {
            assert_eq!(lineage.compare(Generation(found)), expected, "{found}");
        }
        assert_eq!(lineage.generation(), Generation(8));
    }

    #[test]
    fn what_is_known_is_of_one_generation() {
        let lineage = Lineage::default();
        lineage.compare(Generation(5));
        lineage.note_number(Generation(5), 9);
        lineage.note_number(Generation(5), 8);
        lineage.note_own(Generation(5), 4);
        lineage.note_own(Generation(4), 6);
        lineage.note_void(Generation(5));
        let known = lineage.known();
        assert_eq!((known.number, known.own, known.is_void), (9, 4, true));
        lineage.compare(Generation(6));
        lineage.note_number(Generation(5), 10);
        let renewed = Known {
            generation: Generation(6),
            ..Known::default()
        };
        assert_eq!(lineage.known(), renewed);
    }
}
