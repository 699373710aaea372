//! An ordered index of texts, each with the slots that hold it: a pattern visits only what begins like it.
//!
//! The index holds no text, only where it stands ([`TextPosition`], eight bytes) in what a slot holds
//! ([`TextSource`]). Positions are kept in sorted blocks: an insert moves the rest of one block, and a full
//! block is cut in two.

use crate::routes::Pattern;

/// The most positions in a block.
const BLOCK: usize = 128;

/// Where a text is: the slot that holds it, and the offset at which it begins there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TextPosition {
    pub(super) slot: u32,
    pub(super) at: u32,
}

/// Reads the texts that an index refers to.
pub(super) trait TextSource {
    /// The text at `position`; empty for a slot that holds nothing.
    fn text(&self, position: TextPosition) -> &[u8];
}

/// An ordered index of keys or of tags: by text, then by slot.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// None is empty.
    blocks: Vec<Vec<TextPosition>>,
}

/// The text and the slot at which the next visit begins, whether or not they are still there.
#[derive(Debug)]
pub(super) struct IndexCursor {
    text: Box<[u8]>,
    slot: u32,
}

impl IndexCursor {
    /// The cursor for the visit after one whose matches were removed. If `pattern` matches the cursor's
    /// text, it goes back to the text's first slot: an entry may since have come back under that text in
    /// an earlier slot, one that the removal left free.
    pub(super) fn rewind_if_matched(self, pattern: &Pattern) -> IndexCursor {
        let matches = std::str::from_utf8(&self.text).is_ok_and(|text| pattern.matches(text));
        let slot = if matches { 0 } else { self.slot };
        IndexCursor { slot, ..self }
    }
}

/// The result of one bounded visit.
#[derive(Debug)]
pub(super) struct IndexPage {
    /// Slots with a matching text; one slot may appear under several texts.
    pub(super) slots: Vec<u32>,
    /// Where to go on; `None` at the end.
    pub(super) next: Option<IndexCursor>,
}

impl Index {
    /// Adds `position`, whose slot is filled already.
    pub(super) fn insert(&mut self, position: TextPosition, texts: &impl TextSource) {
        let (number, at) = self.find_position(texts.text(position), position.slot, texts);
        let last = number + 1 >= self.blocks.len();
        match self.blocks.get_mut(number) {
            None => self.blocks.push(vec![position]),
            // Texts that come in order leave full blocks behind them.
            Some(full) if full.len() >= BLOCK && last && at == full.len() => {
                self.blocks.push(vec![position]);
            }
            Some(full) if full.len() >= BLOCK => {
                let half = full.len() / 2;
                let mut upper = full.split_off(half);
                match at.checked_sub(half) {
                    Some(at) => upper.insert(at, position),
                    None => full.insert(at, position),
                }
                self.blocks.insert(number + 1, upper);
            }
            Some(open) => open.insert(at, position),
        }
    }

    /// Removes `position`, whose slot is still filled.
    pub(super) fn remove(&mut self, position: TextPosition, texts: &impl TextSource) {
        let (number, at) = self.find_position(texts.text(position), position.slot, texts);
        let Some(block) = self.blocks.get_mut(number) else {
            return;
        };
        if block.get(at) == Some(&position) {
            block.remove(at);
            self.merge_small_blocks(number);
        }
    }

    /// Visits at most `limit` positions, beginning at `from` or where `pattern` can first match.
    pub(super) fn find(
        &self,
        pattern: &Pattern,
        from: Option<IndexCursor>,
        limit: usize,
        texts: &impl TextSource,
    ) -> IndexPage {
        let (number, at) = match &from {
            Some(cursor) => self.find_position(&cursor.text, cursor.slot, texts),
            None => self.find_position(pattern.prefix().as_bytes(), 0, texts),
        };
        let blocks = self.blocks.get(number..).unwrap_or_default();
        let mut slots = Vec::new();
        for (visited, position) in blocks.iter().flatten().skip(at).enumerate() {
            let text = texts.text(*position);
            if !may_match(pattern, text) {
                break;
            }
            if visited == limit {
                let (text, slot) = (text.into(), position.slot);
                let next = Some(IndexCursor { text, slot });
                return IndexPage { slots, next };
            }
            if std::str::from_utf8(text).is_ok_and(|text| pattern.matches(text)) {
                slots.push(position.slot);
            }
        }
        IndexPage { slots, next: None }
    }

    /// The block, and the offset in it, where `text` of `slot` stands or would stand; the offset may be
    /// one past the block's last.
    fn find_position(&self, text: &[u8], slot: u32, texts: &impl TextSource) -> (usize, usize) {
        let compare = |held: &TextPosition| (texts.text(*held), held.slot).cmp(&(text, slot));
        let before = |held: &TextPosition| compare(held).is_lt();
        let begins =
            |block: &Vec<TextPosition>| block.first().is_some_and(|first| compare(first).is_le());
        let number = self.blocks.partition_point(begins).saturating_sub(1);
        let block = self.blocks.get(number);
        let at = block.map_or(0, |block| block.partition_point(before));
        (number, at)
    }

    /// Drops the block if it is empty, and joins it with its neighbours as far as they have become small.
    fn merge_small_blocks(&mut self, number: usize) {
        if self.blocks.get(number).is_some_and(Vec::is_empty) {
            self.blocks.remove(number);
            return;
        }
        self.join_with_next(number);
        if let Some(previous) = number.checked_sub(1) {
            self.join_with_next(previous);
        }
    }

    /// Joins the block with the next if they fill half of one.
    fn join_with_next(&mut self, number: usize) {
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

    pub(super) fn check(&self, texts: &impl TextSource) {
        let sizes = self.blocks.iter().map(Vec::len);
        assert!(sizes.clone().all(|size| (1..=BLOCK).contains(&size)));
        let positions: Vec<&TextPosition> = self.blocks.iter().flatten().collect();
        let entries = positions.iter().map(|held| (texts.text(**held), held.slot));
        assert!(entries.is_sorted_by(|a, b| a < b));
    }
}

#[cfg(test)]
mod tests;
