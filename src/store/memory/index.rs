//! Texts in order, each with the slots it leads to: a pattern visits only what begins like it.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::routes::Pattern;

/// Where a visit stopped, or a text and a slot it leads to.
pub(super) type Place = (Arc<str>, usize);

/// An ordered index of keys or of tags.
#[derive(Debug, Default)]
pub(super) struct Index {
    places: BTreeSet<Place>,
}

/// What one bounded visit found.
#[derive(Debug)]
pub(super) struct Found {
    /// Slots with a matching text; one slot may appear under several texts.
    pub(super) slots: Vec<usize>,
    /// Where to go on; `None` at the end.
    pub(super) next: Option<Place>,
}

impl Index {
    /// Adds a place; returns the text it stands under, which places of the same text share.
    pub(super) fn insert(&mut self, text: Arc<str>, slot: usize) -> Arc<str> {
        let first = (text, 0);
        let text = match self.places.range(&first..).next() {
            Some((held, _)) if *held == first.0 => held.clone(),
            _ => first.0,
        };
        self.places.insert((text.clone(), slot));
        text
    }

    pub(super) fn remove(&mut self, text: &Arc<str>, slot: usize) {
        self.places.remove(&(text.clone(), slot));
    }

    /// Visits at most `limit` places, beginning at `from` or where `pattern` can first match.
    pub(super) fn find(&self, pattern: &Pattern, from: Option<Place>, limit: usize) -> Found {
        let from = from.unwrap_or_else(|| (Arc::from(pattern.prefix()), 0));
        let mut slots = Vec::new();
        for (visited, place) in self.places.range(from..).enumerate() {
            if !may_match(pattern, &place.0) {
                break;
            }
            if visited == limit {
                let next = Some(place.clone());
                return Found { slots, next };
            }
            if pattern.matches(&place.0) {
                slots.push(place.1);
            }
        }
        Found { slots, next: None }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }
}

/// Whether a text at or after the pattern's prefix lies where the pattern can match at all.
fn may_match(pattern: &Pattern, text: &str) -> bool {
    match pattern.exact() {
        Some(exact) => text == exact,
        None => text.starts_with(pattern.prefix()),
    }
}
