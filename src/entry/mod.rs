//! What is stored under one key: the variants, newest first, and their bytes.

pub mod body;
pub mod codec;
pub(crate) mod packed;
pub(crate) mod weight;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;

pub use self::body::StoredBody;
use crate::http_cache::{RequestHead, Stored, ranges};

/// How much an entry is worth when the budget runs out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// First to go.
    Low,
    /// The default.
    #[default]
    Medium,
    /// Last to go.
    High,
}

impl Priority {
    /// All, lowest first.
    pub const ALL: [Priority; 3] = [Priority::Low, Priority::Medium, Priority::High];

    /// The word in the config, in labels and in stats.
    pub fn as_str(self) -> &'static str {
        match self {
            Priority::Low => "low",
            Priority::Medium => "medium",
            Priority::High => "high",
        }
    }

    /// Its place in [`Priority::ALL`], for arrays by priority.
    pub fn index(self) -> usize {
        self as usize
    }
}

/// One stored response with its body.
#[derive(Clone, Debug, PartialEq)]
pub struct Variant {
    /// Head and times.
    pub stored: Stored,
    /// The body, as the app sent it (its content coding untouched): all of it, or the part that
    /// `stored` says.
    pub body: StoredBody,
    /// Rendered tags.
    pub tags: Vec<Box<str>>,
    /// From the rule.
    pub priority: Priority,
    /// The rule that stored it; empty for unmatched requests.
    pub rule: Box<str>,
    /// From the rule: the most variants that its key may hold once it is added. It is not kept with it.
    pub max_variants: u8,
    /// From the rule: a longer body is compressed for Redis; `usize::MAX`: none. It is not kept with it.
    pub compress_over: usize,
}

impl Variant {
    /// How long after `now` it is of use: fresh, servable stale, or worth validating.
    pub fn keep_for(&self, now: SystemTime) -> Duration {
        let since = now
            .duration_since(self.stored.response_time)
            .unwrap_or_default();
        self.stored.keep_for().saturating_sub(since)
    }

    /// Whether its body is to be compressed, and is not yet.
    pub fn wants_compression(&self) -> bool {
        self.body.len() > self.compress_over
            && self.body.compressed().is_none()
            && self.stored.part.is_none()
            && body::is_compressible(&self.stored.headers)
    }
}

/// All that is stored under one key.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Entry {
    /// Newest `response_time` first.
    pub variants: Vec<Arc<Variant>>,
}

impl Entry {
    /// The most variants that a rule may let one key hold (reliability.md K6).
    pub const MAX_VARIANTS: usize = 64;
    /// What a rule lets one hold if it says nothing.
    pub const DEFAULT_VARIANTS: u8 = 8;

    /// The variant that `request` selects (RFC 9111 §4.1); of several the most recent by its `Date` (§4).
    /// Whether it may be used is for [`reuse`](crate::http_cache::reuse()) to decide.
    pub fn select(&self, request: &RequestHead<'_>) -> Option<&Arc<Variant>> {
        let mut selected = self
            .variants
            .iter()
            .filter(|variant| variant.stored.selector.selects(request));
        let newest = selected.next()?;
        Some(selected.fold(newest, |best, other| {
            if other.stored.date() > best.stored.date() {
                other
            } else {
                best
            }
        }))
    }

    /// A copy with `variant` at its place by age, instead of those with the same selector or of no
    /// further use at `now`. It always stays, even where others are newer: a clock that was set back
    /// must not keep a key from being refreshed. Only a part gives way, to a whole response of the
    /// same representation.
    pub fn with(&self, variant: Arc<Variant>, now: SystemTime) -> Entry {
        if self.outweighs(&variant.stored, now) {
            let useful = |held: &Variant| !held.keep_for(now).is_zero();
            return self.retain(useful).unwrap_or_default();
        }
        let max = usize::from(variant.max_variants).clamp(1, Self::MAX_VARIANTS);
        let mut variants = Vec::with_capacity((self.variants.len() + 1).min(max));
        variants.extend(self.beside(&variant, now).take(max - 1).cloned());
        let newer = variants
            .partition_point(|held| held.stored.response_time > variant.stored.response_time);
        variants.insert(newer, variant);
        Entry { variants }
    }

    /// Whether `variant`, added to it, takes the place of the oldest that is still of use.
    pub fn turns_out(&self, variant: &Variant, now: SystemTime) -> bool {
        self.beside(variant, now).count() >= usize::from(variant.max_variants)
    }

    fn beside(&self, variant: &Variant, now: SystemTime) -> impl Iterator<Item = &Arc<Variant>> {
        self.variants
            .iter()
            .filter(|held| held.stored.selector != variant.stored.selector)
            .filter(move |held| !held.keep_for(now).is_zero())
    }

    /// Whether a whole response that is still of use answers all that a new part does, and more.
    fn outweighs(&self, part: &Stored, now: SystemTime) -> bool {
        part.is_partial()
            && self.variants.iter().any(|held| {
                held.stored.selector == part.selector
                    && !held.stored.is_partial()
                    && !held.keep_for(now).is_zero()
                    && !ranges::another_representation(&held.stored, part)
            })
    }

    /// Ends the freshness of all of its variants at `at`, where no soft purge has done so before.
    pub fn soften(&mut self, at: SystemTime) {
        for variant in &mut self.variants {
            Arc::make_mut(variant).stored.soften(at);
        }
    }

    /// The longest body that is no slice of what it was decoded from.
    pub fn bytes_apart(&self) -> usize {
        let apart = self.variants.iter().map(|variant| &variant.body);
        let apart = apart.filter(|body| body.compressed().is_some());
        apart.map(|body| body.len()).max().unwrap_or_default()
    }

    /// Has `count` replace the bodies that are no slices of what it was decoded from.
    pub fn count_apart(&mut self, count: impl Fn(Bytes) -> Bytes) {
        for variant in &mut self.variants {
            if variant.body.compressed().is_some() {
                Arc::make_mut(variant).body.count_apart(&count);
            }
        }
    }

    /// A copy without the variants that `keep` refuses; `None` if none is left.
    pub fn retain(&self, keep: impl Fn(&Variant) -> bool) -> Option<Entry> {
        let variants: Vec<_> = self
            .variants
            .iter()
            .filter(|variant| keep(variant))
            .cloned()
            .collect();
        (!variants.is_empty()).then_some(Entry { variants })
    }

    /// How long after `now` any of its variants is of use; zero: drop it.
    pub fn keep_for(&self, now: SystemTime) -> Duration {
        self.variants
            .iter()
            .map(|variant| variant.keep_for(now))
            .max()
            .unwrap_or_default()
    }

    /// The tags of all variants, each once.
    pub fn tags(&self) -> Vec<Box<str>> {
        let all = self.variants.iter().flat_map(|variant| &variant.tags);
        let mut tags: Vec<Box<str>> = all.cloned().collect();
        tags.sort_unstable();
        tags.dedup();
        tags
    }

    /// The highest priority of its variants.
    pub fn priority(&self) -> Priority {
        self.variants
            .iter()
            .map(|variant| variant.priority)
            .max()
            .unwrap_or_default()
    }

    /// The bytes it takes in memory beside those that its bodies and field values are slices of, all
    /// overhead counted; exact for one that was decoded.
    pub fn weight(&self) -> usize {
        weight::entry(self)
    }
}

#[cfg(test)]
pub(crate) mod tests;
