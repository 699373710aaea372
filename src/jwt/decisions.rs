//! Tokens whose signature was checked, so that it is not checked again for each request.
//!
//! Only what a key has signed is kept, so tokens that anyone can make up take no room; by a digest, so that no token
//! can be read out of this memory; and within bounds.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use ahash::RandomState;
use parking_lot::Mutex;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// Workers seldom wait for each other.
const SHARDS: usize = 16;

/// Bytes of one shard, as far as they can be told; some thousand tokens in all.
const SHARD_BYTES: usize = (16 << 20) / SHARDS;

/// Tokens of one shard.
const SHARD_TOKENS: usize = 1024;

/// What a kept token takes beside its claims, and claims beside their text.
const OVERHEAD: usize = 1024;

/// How many tokens that were asked for again one search passes over.
const MAX_LOOKS: usize = 8;

/// What stands for a token: nobody can make another with the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct TokenDigest([u8; 32]);

impl TokenDigest {
    pub(super) fn of(token: &[u8]) -> TokenDigest {
        TokenDigest(Sha256::digest(token).into())
    }
}

/// Claims by token.
#[derive(Debug)]
pub(super) struct Decisions(Box<[Mutex<Shard>; SHARDS]>);

#[derive(Debug, Default)]
struct Shard {
    kept: HashMap<TokenDigest, Decision, RandomState>,
    /// The oldest first; those that were asked for again go round once more. Some are kept no more.
    order: VecDeque<TokenDigest>,
    bytes: usize,
}

#[derive(Debug)]
struct Decision {
    claims: Arc<Value>,
    /// Seconds since 1970: from then on it says nothing.
    until: f64,
    bytes: usize,
    was_asked: bool,
}

impl Default for Decisions {
    fn default() -> Self {
        Decisions(Box::new(std::array::from_fn(|_| Mutex::default())))
    }
}

impl Decisions {
    /// The claims of a token that was kept and may still hold at `now` (seconds since 1970).
    pub(super) fn find(&self, token: &TokenDigest, now: f64) -> Option<Arc<Value>> {
        let mut shard = self.shard(token).lock();
        let decision = shard.kept.get_mut(token)?;
        if now < decision.until {
            decision.was_asked = true;
            return Some(decision.claims.clone());
        }
        shard.forget(token);
        None
    }

    /// Keeps the claims of a token of `length` bytes.
    pub(super) fn keep(
        &self,
        token: TokenDigest,
        length: usize,
        claims: &Arc<Value>,
        (now, until): (f64, f64),
    ) {
        let bytes = 2 * length + OVERHEAD;
        if bytes > SHARD_BYTES / 16 {
            return;
        }
        let decision = Decision {
            claims: claims.clone(),
            until,
            bytes,
            was_asked: false,
        };
        self.shard(&token).lock().keep(token, decision, now);
    }

    /// How many tokens are kept.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.iter().map(|shard| shard.lock().kept.len()).sum()
    }

    /// What they take.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.0.iter().map(|shard| shard.lock().bytes).sum()
    }

    fn shard(&self, token: &TokenDigest) -> &Mutex<Shard> {
        &self.0[usize::from(token.0[0]) % SHARDS]
    }
}

impl Shard {
    fn keep(&mut self, token: TokenDigest, decision: Decision, now: f64) {
        if self.kept.contains_key(&token) {
            return;
        }
        self.forget_expired(now);
        while self.kept.len() >= SHARD_TOKENS || self.bytes + decision.bytes > SHARD_BYTES {
            if !self.drop_one() {
                return;
            }
        }
        self.bytes += decision.bytes;
        self.order.push_back(token);
        self.kept.insert(token, decision);
    }

    /// From the oldest on, as far as they have expired: most tokens live equally long.
    fn forget_expired(&mut self, now: f64) {
        while let Some(oldest) = self.order.front().copied() {
            if self.kept.get(&oldest).is_some_and(|kept| now < kept.until) {
                break;
            }
            self.forget(&oldest);
            self.order.pop_front();
        }
        // What was forgotten when it was asked for stays in the order until its turn.
        if self.order.len() > 2 * self.kept.len() + SHARD_TOKENS {
            self.order.retain(|token| self.kept.contains_key(token));
        }
    }

    /// Drops the oldest that was not asked for again. False: there is none.
    fn drop_one(&mut self) -> bool {
        for look in 0.. {
            let Some(oldest) = self.order.pop_front() else {
                return false;
            };
            let Some(decision) = self.kept.get_mut(&oldest) else {
                continue;
            };
            if !std::mem::take(&mut decision.was_asked) || look == MAX_LOOKS {
                self.forget(&oldest);
                return true;
            }
            self.order.push_back(oldest);
        }
        false
    }

    fn forget(&mut self, token: &TokenDigest) {
        if let Some(decision) = self.kept.remove(token) {
            self.bytes -= decision.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: f64 = 1_000.0;

    /// Tokens of one shard.
    fn tokens() -> impl Iterator<Item = TokenDigest> {
        let all = (0u32..).map(|number| TokenDigest::of(&number.to_be_bytes()));
        all.filter(|token| usize::from(token.0[0]).is_multiple_of(SHARDS))
    }

    fn keep(decisions: &Decisions, token: TokenDigest, length: usize, until: f64) {
        decisions.keep(token, length, &Arc::default(), (NOW, until));
    }

    #[test]
    fn what_is_asked_for_again_outlasts_what_is_not() {
        let decisions = Decisions::default();
        let mut tokens = tokens();
        let [asked, other] = [(); 2].map(|()| tokens.next().expect("endless"));
        for token in [asked, other] {
            keep(&decisions, token, 0, NOW + 60.0);
        }
        assert!(decisions.find(&asked, NOW).is_some());
        for token in tokens.by_ref().take(SHARD_TOKENS) {
            keep(&decisions, token, 0, NOW + 60.0);
        }
        let found = [asked, other].map(|token| decisions.find(&token, NOW).is_some());
        assert_eq!(found, [true, false]);
        assert!(decisions.len() <= SHARD_TOKENS && decisions.bytes() <= SHARD_BYTES);
    }

    #[test]
    fn what_takes_too_much_is_not_kept() {
        let decisions = Decisions::default();
        let most = (SHARD_BYTES / 16 - OVERHEAD) / 2;
        for (token, (length, kept)) in tokens().zip([(most, 1), (most + 1, 1)]) {
            keep(&decisions, token, length, NOW + 60.0);
            assert_eq!(decisions.len(), kept, "{length}");
        }
    }

    /// Behind one that lives on, those that were forgotten when they were asked for leave no trace.
    #[test]
    fn the_order_is_bounded() {
        let decisions = Decisions::default();
        let mut tokens = tokens();
        let lasting = tokens.next().expect("endless");
        keep(&decisions, lasting, 0, f64::MAX);
        for token in tokens.take(10 * SHARD_TOKENS) {
            keep(&decisions, token, 0, NOW + 1.0);
            assert!(decisions.find(&token, NOW + 1.0).is_none());
        }
        assert_eq!(decisions.len(), 1);
        let order = decisions.shard(&lasting).lock().order.len();
        assert!(order <= SHARD_TOKENS + 8, "{order}");
    }
}
