//! The bytes of bodies that the process holds outside the memory tier, and the budget for them (promise I7):
//! what fills have gathered, what clients have not taken yet, what is evicted while it is being sent.
//!
//! Bytes are counted as long as they are alive, whoever holds them: a [`Share`] of the budget goes with the
//! body that it is for. What is to be gathered asks for its share first ([`InFlight::try_take`]) and has a
//! quarter of the budget, so that the rest is there for what only passes. That takes its share in any case, since it has to
//! be answered; where much passes already its connections hold little of it ([`InFlight::is_tight`]). So the bytes of both
//! tiers and these come to no more than `memory.max` and `memory.in_flight`, but for short bodies, whose number
//! other limits bound.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use bytes::Bytes;

/// Bodies up to this length are not counted: a connection's buffers take as much.
pub const SHORT: usize = 16 << 10;

/// The budget and what is taken of it; clones share it.
#[derive(Clone, Debug)]
pub struct InFlight(Arc<Account>);

#[derive(Debug)]
struct Account {
    max: i64,
    per_body: u64,
    /// Less than nothing between two steps of a change at most.
    gathered: AtomicI64,
    passing: AtomicI64,
}

/// What bytes are held for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// For the store, or from there.
    Gathered,
    /// By connections that a body goes through.
    Passing,
}

/// Bytes taken of the budget, until this is dropped.
#[derive(Debug)]
pub struct Share {
    account: InFlight,
    purpose: Purpose,
    bytes: i64,
}

/// Bytes with their share.
struct Held {
    bytes: Bytes,
    _share: Share,
}

/// Bytes of an entry in memory: as long as they are in the tier, that counts them, and afterwards who still
/// sends them.
struct OfEntry {
    bytes: Vec<u8>,
    account: InFlight,
}

impl InFlight {
    /// Which part of the budget what is gathered may have: one of so many.
    pub const GATHERED: u64 = 4;

    /// A budget of `max` bytes, where connections hold `per_body` of a body that goes through.
    pub fn new(max: u64, per_body: u64) -> InFlight {
        InFlight(Arc::new(Account {
            max: signed(max),
            per_body,
            gathered: AtomicI64::new(0),
            passing: AtomicI64::new(0),
        }))
    }

    /// The budget.
    pub fn max(&self) -> u64 {
        self.0.max.unsigned_abs()
    }

    /// What connections hold of a longer body that goes through.
    pub fn per_body(&self) -> u64 {
        self.0.per_body
    }

    /// What is taken; more than [`InFlight::max`] by what could not be refused.
    pub fn held(&self) -> u64 {
        unsigned(self.of(Purpose::Gathered) + self.of(Purpose::Passing))
    }

    /// Whether so much passes that each body should hold little.
    pub fn is_tight(&self) -> bool {
        self.of(Purpose::Passing) >= self.0.max / 4
    }

    /// How much more may be gathered.
    pub fn room(&self) -> u64 {
        let gathered = self.of(Purpose::Gathered);
        let left = self.0.max - gathered - self.of(Purpose::Passing);
        unsigned(left.min(self.0.max / Self::GATHERED as i64 - gathered))
    }

    /// A share for what is to be gathered, if there is room.
    pub fn try_take(&self, bytes: u64) -> Option<Share> {
        let mut share = self.take(0);
        share.try_grow(bytes).then_some(share)
    }

    /// A share of what is gathered already.
    pub fn take(&self, bytes: u64) -> Share {
        self.share(Purpose::Gathered, bytes)
    }

    /// The share of a body that passes.
    pub fn pass(&self) -> Share {
        self.share(Purpose::Passing, self.per_body())
    }

    /// `bytes` that are there already, counted as long as any of them are.
    pub fn count(&self, bytes: Bytes) -> Bytes {
        match is_counted(bytes.len()) {
            true => self.take(bytes.len() as u64).hold(bytes),
            false => bytes,
        }
    }

    /// `bytes` for an entry that goes into the memory tier; call [`InFlight::enter_tier`] when it is there.
    pub fn for_entry(&self, bytes: Vec<u8>) -> Bytes {
        if !is_counted(bytes.len()) {
            return bytes.into();
        }
        self.add(Purpose::Gathered, length(&bytes));
        Bytes::from_owner(OfEntry {
            bytes,
            account: self.clone(),
        })
    }

    /// Bytes of [`InFlight::for_entry`] are in the tier now, which counts them itself.
    pub fn enter_tier(&self, bytes: &Bytes) {
        if is_counted(bytes.len()) {
            self.give_back(Purpose::Gathered, length(bytes));
        }
    }

    /// They leave the tier, and may be being sent.
    pub fn leave_tier(&self, bytes: &Bytes) {
        if is_counted(bytes.len()) {
            self.add(Purpose::Gathered, length(bytes));
        }
    }

    fn share(&self, purpose: Purpose, bytes: u64) -> Share {
        let bytes = signed(bytes);
        self.add(purpose, bytes);
        Share {
            account: self.clone(),
            purpose,
            bytes,
        }
    }

    fn add(&self, purpose: Purpose, bytes: i64) {
        self.counter(purpose).fetch_add(bytes, Ordering::Relaxed);
    }

    fn give_back(&self, purpose: Purpose, bytes: i64) {
        self.counter(purpose).fetch_sub(bytes, Ordering::Relaxed);
    }

    fn of(&self, purpose: Purpose) -> i64 {
        self.counter(purpose).load(Ordering::Relaxed)
    }

    fn counter(&self, purpose: Purpose) -> &AtomicI64 {
        match purpose {
            Purpose::Gathered => &self.0.gathered,
            Purpose::Passing => &self.0.passing,
        }
    }
}

impl Share {
    /// What is taken.
    pub fn bytes(&self) -> u64 {
        self.bytes.unsigned_abs()
    }

    /// Takes so many bytes more for what is gathered; `false` if there is no room.
    pub fn try_grow(&mut self, bytes: u64) -> bool {
        let fits = bytes <= self.account.room();
        if fits {
            self.account.add(self.purpose, signed(bytes));
            self.bytes += signed(bytes);
        }
        fits
    }

    /// `bytes`, for which this is the share: it is given back when all who hold any of them have let go.
    pub fn hold(self, bytes: Bytes) -> Bytes {
        if self.bytes == 0 {
            return bytes;
        }
        Bytes::from_owner(Held {
            bytes,
            _share: self,
        })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if self.bytes != 0 {
            self.account.give_back(self.purpose, self.bytes);
        }
    }
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl AsRef<[u8]> for OfEntry {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for OfEntry {
    fn drop(&mut self) {
        self.account
            .give_back(Purpose::Gathered, length(&self.bytes));
    }
}

/// Whether bytes of this length are counted.
pub fn is_counted(length: usize) -> bool {
    length > SHORT
}

fn length(bytes: &[u8]) -> i64 {
    signed(bytes.len() as u64)
}

fn unsigned(bytes: i64) -> u64 {
    u64::try_from(bytes).unwrap_or_default()
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: usize = SHORT + 1;

    #[test]
    fn what_is_gathered_has_a_quarter_and_what_passes_the_rest() {
        let budget = InFlight::new(400, 160);
        let mut first = budget.try_take(60).expect("there is room");
        assert!(budget.try_take(41).is_none());
        assert_eq!(budget.held(), 60, "a refused one takes nothing");
        assert!(first.try_grow(40));
        assert!(!first.try_grow(1));
        assert!(!budget.is_tight());
        let passing: Vec<Share> = (0..2).map(|_| budget.pass()).collect();
        assert_eq!((budget.held(), budget.is_tight()), (420, true));
        drop(first);
        assert_eq!(budget.room(), 80);
        assert!(
            budget.try_take(81).is_none(),
            "the whole is bounded as well"
        );
        drop(passing);
        assert_eq!((budget.held(), budget.room()), (0, 100));
    }

    #[test]
    fn bytes_count_until_the_last_slice_is_gone() {
        let budget = InFlight::new(100, 0);
        let share = budget.try_take(10).expect("there is room");
        let bytes = share.hold(Bytes::from_static(b"0123456789"));
        let slice = bytes.slice(2..4);
        drop(bytes);
        assert_eq!((&slice[..], budget.held()), (&b"23"[..], 10));
        drop(slice);
        assert_eq!(budget.held(), 0);
    }

    #[test]
    fn an_entry_counts_where_the_tier_does_not() {
        let budget = InFlight::new(100, 0);
        for (length, counted) in [(SHORT, 0), (LONG, LONG as u64)] {
            let bytes = budget.for_entry(vec![0; length]);
            assert_eq!(budget.held(), counted, "before it is there");
            budget.enter_tier(&bytes);
            assert_eq!(budget.held(), 0, "in the tier");
            let sent = bytes.slice(1..2);
            budget.leave_tier(&bytes);
            drop(bytes);
            assert_eq!(budget.held(), counted, "evicted while it is sent");
            drop(sent);
            assert_eq!(budget.held(), 0);
        }
    }
}
