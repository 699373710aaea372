//! Texts in order, each with the slots it leads to: a pattern visits only what begins like it.
//!
//! A text is told by where it stands in what a slot holds ([`Texts`]), so a place takes eight bytes. They
//! are kept in sorted blocks: an insert moves the rest of one block, and a full block is cut in two.

use crate::routes::Pattern;

/// The most places in a block.
const BLOCK: usize = 128;

/// A text: which slot holds it, and where it begins there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) slot: u32,
    pub(super) at: u32,
}

/// Where the texts of places are read.
pub(super) trait Texts {
    /// The text of `place`; empty for a slot that holds nothing.
    fn text(&self, place: Place) -> &[u8];
}

/// An ordered index of keys or of tags: by text, then by slot.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// None is empty.
    blocks: Vec<Vec<Place>>,
}

/// A text and a slot at which a visit goes on, whether or not they are still there.
#[derive(Debug)]
pub(super) struct Stop {
    text: Box<[u8]>,
    slot: u32,
}

impl Stop {
    /// Goes on at the first slot of the text, if `pattern` matches that: what it led to before has been
    /// removed, and who left its slot since may stand in an earlier one. Texts do not change.
    pub(super) fn or_earlier(self, pattern: &Pattern) -> Stop {
        let matches = std::str::from_utf8(&self.text).is_ok_and(|text| pattern.matches(text));
        let slot = if matches { 0 } else { self.slot };
        Stop { slot, ..self }
    }
}

/// What one bounded visit found.
#[derive(Debug)]
pub(super) struct Found {
    /// Slots with a matching text; one slot may appear under several texts.
    pub(super) slots: Vec<u32>,
    /// Where to go on; `None` at the end.
    pub(super) next: Option<Stop>,
}

impl Index {
    /// Takes in `place`, whose slot is filled already.
    pub(super) fn insert(&mut self, place: Place, texts: &impl Texts) {
        let (number, at) = self.position(texts.text(place), place.slot, texts);
        let last = number + 1 >= self.blocks.len();
        match self.blocks.get_mut(number) {
            None => self.blocks.push(vec![place]),
            // Texts that come in order leave full blocks behind them.
            Some(full) if full.len() >= BLOCK && last && at == full.len() => {
                self.blocks.push(vec![place]);
            }
            Some(full) if full.len() >= BLOCK => {
                let half = full.len() / 2;
                let mut upper = full.split_off(half);
                match at.checked_sub(half) {
                    Some(at) => upper.insert(at, place),
                    None => full.insert(at, place),
                }
                self.blocks.insert(number + 1, upper);
            }
            Some(open) => open.insert(at, place),
        }
    }

    /// Takes out `place`, whose slot is still filled.
    pub(super) fn remove(&mut self, place: Place, texts: &impl Texts) {
        let (number, at) = self.position(texts.text(place), place.slot, texts);
        let Some(block) = self.blocks.get_mut(number) else {
            return;
        };
        if block.get(at) == Some(&place) {
            block.remove(at);
            self.tidy(number);
        }
    }

    /// Visits at most `limit` places, beginning at `from` or where `pattern` can first match.
    pub(super) fn find(
        &self,
        pattern: &Pattern,
        from: Option<Stop>,
        limit: usize,
        texts: &impl Texts,
    ) -> Found {
        let (number, at) = match &from {
            Some(stop) => self.position(&stop.text, stop.slot, texts),
            None => self.position(pattern.prefix().as_bytes(), 0, texts),
        };
        let blocks = self.blocks.get(number..).unwrap_or_default();
        let mut slots = Vec::new();
        for (visited, place) in blocks.iter().flatten().skip(at).enumerate() {
            let text = texts.text(*place);
            if !may_match(pattern, text) {
                break;
            }
            if visited == limit {
                let (text, slot) = (text.into(), place.slot);
                let next = Some(Stop { text, slot });
                return Found { slots, next };
            }
            if std::str::from_utf8(text).is_ok_and(|text| pattern.matches(text)) {
                slots.push(place.slot);
            }
        }
        Found { slots, next: None }
    }

    /// The block, and the place in it, where `text` of `slot` stands or would stand; the place may be
    /// behind the block's last.
    fn position(&self, text: &[u8], slot: u32, texts: &impl Texts) -> (usize, usize) {
        let compare = |place: &Place| (texts.text(*place), place.slot).cmp(&(text, slot));
        let before = |place: &Place| compare(place).is_lt();
        let begins = |block: &Vec<Place>| block.first().is_some_and(|first| compare(first).is_le());
        let number = self.blocks.partition_point(begins).saturating_sub(1);
        let block = self.blocks.get(number);
        let at = block.map_or(0, |block| block.partition_point(before));
        (number, at)
    }

    /// Drops the block if it is empty, and joins it with its neighbours as far as they have become small.
    fn tidy(&mut self, number: usize) {
        if self.blocks.get(number).is_some_and(Vec::is_empty) {
            self.blocks.remove(number);
            return;
        }
        self.join(number);
        if let Some(previous) = number.checked_sub(1) {
            self.join(previous);
        }
    }

    /// Joins the block with the next if they fill half of one.
    fn join(&mut self, number: usize) {
        let length = |number: usize| self.blocks.get(number).map(Vec::len);
        let both = length(number).zip(length(number + 1));
        if both.is_some_and(|(here, next)| here + next <= BLOCK / 2) {
            let next = self.blocks.remove(number + 1);
            self.blocks[number].extend(next);
        }
    }
}

/// Whether a text at or after the pattern's prefix lies where the pattern can match at all.
fn may_match(pattern: &Pattern, text: &[u8]) -> bool {
    match pattern.exact() {
        Some(exact) => text == exact.as_bytes(),
        None => text.starts_with(pattern.prefix().as_bytes()),
    }
}

#[cfg(test)]
impl Index {
    pub(super) fn len(&self) -> usize {
        self.blocks.iter().map(Vec::len).sum()
    }

    pub(super) fn check(&self, texts: &impl Texts) {
        let sizes = self.blocks.iter().map(Vec::len);
        assert!(sizes.clone().all(|size| (1..=BLOCK).contains(&size)));
        let places: Vec<&Place> = self.blocks.iter().flatten().collect();
        let entries = places.iter().map(|place| (texts.text(**place), place.slot));
        assert!(entries.is_sorted_by(|a, b| a < b));
    }
}

#[cfg(test)]
mod tests;
