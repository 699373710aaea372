use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

/// Texts by slot number, each at the beginning of its slot.
struct Numbered(Vec<String>);

impl TextSource for Numbered {
    fn text(&self, position: TextPosition) -> &[u8] {
        self.0[position.slot as usize].as_bytes()
    }
}

fn position_of(slot: u32) -> TextPosition {
    TextPosition { slot, at: 0 }
}

fn found(index: &Index, pattern: &str, limit: usize, texts: &Numbered) -> Vec<u32> {
    let pattern = Pattern::parse(pattern);
    let (mut from, mut slots) = (None, Vec::new());
    loop {
        let found = index.find(&pattern, from, limit, texts);
        assert!(found.slots.len() <= limit);
        slots.extend(found.slots);
        from = found.next;
        if from.is_none() {
            return slots;
        }
    }
}

#[test]
fn texts_in_order_fill_their_blocks() {
    let texts = Numbered((0..10 * BLOCK).map(|n| format!("{n:06}")).collect());
    let mut index = Index::default();
    for slot in 0..texts.0.len() as u32 {
        index.insert(position_of(slot), &texts);
    }
    assert_eq!(index.blocks.len(), 10);
}

#[test]
fn what_is_taken_out_leaves_no_blocks_behind() {
    let texts = Numbered((0..20 * BLOCK).map(|n| format!("{n:06}")).collect());
    let mut index = Index::default();
    for slot in 0..texts.0.len() as u32 {
        index.insert(position_of(slot), &texts);
    }
    for slot in (0..texts.0.len() as u32).filter(|slot| slot % 20 != 0) {
        index.remove(position_of(slot), &texts);
    }
    index.check(&texts);
    assert_eq!(index.len(), BLOCK);
    assert!(index.blocks.len() <= 5, "{} blocks", index.blocks.len());
}

#[test]
fn a_visit_goes_on_where_it_stopped_though_that_is_gone() {
    let texts = Numbered((0..1_000).map(|n| format!("k{n:04}")).collect());
    let mut index = Index::default();
    (0..1_000).for_each(|slot| index.insert(position_of(slot), &texts));
    let pattern = Pattern::parse("k*");
    let first = index.find(&pattern, None, 300, &texts);
    assert!(first.slots.iter().copied().eq(0..300));
    (0..400).for_each(|slot| index.remove(position_of(slot), &texts));
    let second = index.find(&pattern, first.next, 300, &texts);
    assert!(second.slots.iter().copied().eq(400..700));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn it_holds_and_finds_what_an_ordered_set_does(
        texts in prop::collection::vec("[ab]{0,3}", 1..400),
        steps in prop::collection::vec(any::<(bool, prop::sample::Index)>(), 0..600),
        prefix in "[ab]{0,2}",
        limit in 1..50_usize,
    ) {
        let texts = Numbered(texts);
        let (mut index, mut model) = (Index::default(), BTreeSet::new());
        // All of them first, so that there are blocks to cut and to join.
        for slot in 0..texts.0.len() as u32 {
            index.insert(position_of(slot), &texts);
            model.insert((texts.0[slot as usize].as_str(), slot));
        }
        for (insert, which) in steps {
            let slot = which.index(texts.0.len()) as u32;
            let member = (texts.0[slot as usize].as_str(), slot);
            if !insert {
                index.remove(position_of(slot), &texts);
                model.remove(&member);
            } else if model.insert(member) {
                index.insert(position_of(slot), &texts);
            }
        }
        index.check(&texts);
        prop_assert_eq!(index.len(), model.len());
        for pattern in [format!("{prefix}*"), prefix.clone(), format!("*{prefix}")] {
            let parsed = Pattern::parse(&pattern);
            let expected: Vec<u32> = model
                .iter()
                .filter(|(text, _)| parsed.matches(text))
                .map(|(_, slot)| *slot)
                .collect();
            prop_assert_eq!(found(&index, &pattern, limit, &texts), expected, "{}", pattern);
        }
    }
}
