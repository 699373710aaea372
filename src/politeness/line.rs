//! Who of those who wait goes next: higher classes first, and nobody waits for ever.

use std::collections::BTreeMap;

/// Each so many turns one is for whoever has waited longest, of whatever class.
const TURNS_BY_CLASS: u64 = 3;

/// A place in a line; earlier ones are smaller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place(u64);

/// Those who wait, by class: 0 is the lowest.
#[derive(Debug)]
pub struct Line<T, const CLASSES: usize> {
    classes: [BTreeMap<Place, T>; CLASSES],
    /// Places that were given out.
    given: u64,
    /// Turns that were taken.
    turns: u64,
}

impl<T, const CLASSES: usize> Default for Line<T, CLASSES> {
    fn default() -> Self {
        Line {
            classes: std::array::from_fn(|_| BTreeMap::new()),
            given: 0,
            turns: 0,
        }
    }
}

impl<T, const CLASSES: usize> Line<T, CLASSES> {
    /// Joins the end of `class`; a class beyond the highest is the highest.
    pub fn join(&mut self, class: usize, waiter: T) -> Place {
        self.given += 1;
        let place = Place(self.given);
        self.classes[class.min(CLASSES - 1)].insert(place, waiter);
        place
    }

    /// Leaves without a turn. Whoever has had theirs is not in it any more.
    pub fn leave(&mut self, place: Place) {
        for class in &mut self.classes {
            class.remove(&place);
        }
    }

    /// Whose turn it is: it stays theirs until somebody of a higher class joins, they leave or take it.
    pub fn next(&self) -> Option<(Place, &T)> {
        let mut firsts = self.classes.iter().filter_map(BTreeMap::first_key_value);
        let first = match self.turns % (TURNS_BY_CLASS + 1) {
            // The last of them is of the highest class.
            turn if turn < TURNS_BY_CLASS => firsts.next_back(),
            _ => firsts.min_by_key(|(place, _)| **place),
        };
        first.map(|(place, waiter)| (*place, waiter))
    }

    /// Takes the turn of `place`.
    pub fn take(&mut self, place: Place) {
        self.leave(place);
        self.turns += 1;
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.classes.iter().map(BTreeMap::len).sum()
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(mut line: Line<&'static str, 3>) -> Vec<&'static str> {
        let mut order = Vec::new();
        while let Some((place, name)) = line.next().map(|(place, name)| (place, *name)) {
            order.push(name);
            line.take(place);
        }
        order
    }

    #[test]
    fn in_order_of_class_and_then_of_coming() {
        let mut line = Line::default();
        for (class, name) in [(1, "a"), (2, "b"), (1, "c"), (9, "d")] {
            line.join(class, name);
        }
        assert_eq!(order(line), ["b", "d", "a", "c"]);
    }

    #[test]
    fn the_lowest_has_a_turn_however_many_come_before_it() {
        let mut line = Line::<&str, 3>::default();
        line.join(0, "low");
        for turn in 0.. {
            line.join(2, "high");
            let (place, name) = line.next().map(|(place, name)| (place, *name)).unwrap();
            line.take(place);
            if name == "low" {
                assert_eq!(turn, TURNS_BY_CLASS);
                return;
            }
        }
    }

    #[test]
    fn who_leaves_is_not_called() {
        let mut line = Line::default();
        let place = line.join(2, "gone");
        line.join(0, "here");
        line.leave(place);
        line.leave(place);
        assert_eq!(line.len(), 1);
        assert_eq!(order(line), ["here"]);
    }
}
