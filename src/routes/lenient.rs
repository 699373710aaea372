//! Paths as apps may read them: decoded, in any case, trimmed, without a suffix.
//!
//! A rule is chosen by the path as it was received. Where an app that reads it more leniently would answer
//! what another rule is about (`/users/ME` or `/users/me.json` for `/users/me`), the answer must not be
//! stored under the rule of the strict reading: that rule may share what the other keeps to one person.

mod confusable;
mod readings;

#[cfg(test)]
mod tests;

use std::cmp::Ordering;

use smallvec::SmallVec;

use super::matcher::{Matcher, Rank, ranks_of};
pub(super) use confusable::find_confusable;
pub use confusable::{Confusable, ConfusablePaths};
pub use readings::pattern_of_writes;
pub(super) use readings::readings_of_write;
use readings::{fold_pattern, plain_reading, readings, segments};

/// Among whom the answers of a rule are shared; the narrowest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Audience {
    /// Its key names a person, or its answers are never kept.
    Person,
    /// Requests without credentials.
    #[default]
    Nobody,
    /// `shared = true`
    Everyone,
}

/// The rules of a config by what lenient apps take their paths for.
#[derive(Clone, Debug, Default)]
pub(super) struct LenientMatcher {
    rules: Vec<Rule>,
    /// Positions in `rules`. Two rules whose paths are one when folded are in two of these.
    layers: Vec<Matcher<usize>>,
    /// Whether a rule's own path is one that others may be read as, such as one in upper case.
    has_odd_rule: bool,
    /// Whether a rule is for one person.
    has_person: bool,
}

#[derive(Clone, Debug)]
struct Rule {
    /// In the config.
    index: usize,
    /// The path as [`fold_pattern`] has it.
    path: String,
    /// Of its segments.
    ranks: Vec<Rank>,
    audience: Audience,
    /// Whether it [has paths below](Rule::has_paths_below) a rule for one person.
    is_below_person: bool,
}

impl LenientMatcher {
    /// Of the paths of all rules, in their order.
    #[cfg(test)]
    fn new<'p>(paths: impl Iterator<Item = (&'p str, Audience)>) -> LenientMatcher {
        let mut matcher = LenientMatcher::default();
        for (index, (path, audience)) in paths.enumerate() {
            matcher.insert(path, index);
            matcher.set_audience(index, audience);
        }
        matcher
    }

    /// Adds the path of a rule.
    pub(super) fn insert(&mut self, path: &str, index: usize) {
        let folded = fold_pattern(path);
        self.has_odd_rule |= folded != path;
        let position = self.rules.len();
        let is_in = |layer: &mut Matcher<usize>| layer.insert(&folded, position).is_ok();
        if !self.layers.iter_mut().any(is_in) {
            let mut layer = Matcher::default();
            let _ = layer.insert(&folded, position);
            self.layers.push(layer);
        }
        self.rules.push(Rule {
            index,
            ranks: ranks_of(&folded),
            path: folded,
            audience: Audience::default(),
            is_below_person: false,
        });
    }

    /// Says among whom the answers of rule `index` are shared, if it is one of these.
    pub(super) fn set_audience(&mut self, index: usize, audience: Audience) {
        let Ok(position) = self.position(index) else {
            return;
        };
        self.rules[position].audience = audience;
        self.has_person |= audience == Audience::Person;
        for other in 0..self.rules.len() {
            for (lower, upper) in [(position, other), (other, position)] {
                let is_below = self.rules[lower].has_paths_below(&self.rules[upper]);
                self.rules[lower].is_below_person |= is_below;
            }
        }
    }

    /// A rule other than `strict`, the one of the path as received, that the path falls under in a more lenient
    /// reading, or one for a person that is for the beginning of the path; `None`: there is no doubt.
    pub(super) fn find_other(&self, path: &str, strict: Option<usize>) -> Option<usize> {
        // One alone is mistaken for no other, but what no rule is for may be meant for it.
        let least = if strict.is_some() { 2 } else { 1 };
        if self.rules.len() < least {
            return None;
        }
        let strict = strict.and_then(|index| self.position(index).ok());
        let strict = strict.map(|position| &self.rules[position]);
        let Some(reading) = plain_reading(path) else {
            return readings(path).find_map(|reading| {
                let other = self.find_read(&reading, strict);
                other.or_else(|| self.find_above(&reading, strict))
            });
        };
        let is_itself = reading.len() == path.len() && !self.has_odd_rule;
        let other = if is_itself {
            None
        } else {
            self.find_read(reading, strict)
        };
        let may_be_below = strict.map_or(self.has_person, |strict| strict.is_below_person);
        other.or_else(|| may_be_below.then(|| self.find_above(reading, strict))?)
    }

    fn position(&self, index: usize) -> Result<usize, usize> {
        // They come in the order of the file.
        self.rules.binary_search_by_key(&index, |rule| rule.index)
    }

    /// The most specific rules of a reading; more than one where their paths are one when folded.
    fn at(&self, reading: &str) -> SmallVec<[&Rule; 2]> {
        let mut best = SmallVec::new();
        for matched in self.layers.iter().filter_map(|layer| layer.at(reading)) {
            let rule = &self.rules[*matched.value];
            match best.first().map(|best: &&Rule| rule.ranks.cmp(&best.ranks)) {
                Some(Ordering::Less) => continue,
                Some(Ordering::Greater) => best.clear(),
                Some(Ordering::Equal) | None => {}
            }
            best.push(rule);
        }
        best
    }

    /// The rule that the whole reading falls under, if it is not `strict`. Of rules that are one in this reading
    /// the strict one is meant, unless another keeps its answers among fewer people.
    fn find_read(&self, reading: &str, strict: Option<&Rule>) -> Option<usize> {
        let rules = self.at(reading);
        let meant = strict.filter(|strict| rules.iter().any(|rule| rule.index == strict.index));
        let mut others = rules
            .iter()
            .filter(|rule| meant.is_none_or(|meant| rule.audience < meant.audience));
        others.next().map(|rule| rule.index)
    }

    /// A rule for one person that is for the beginning of the reading, which an app may take for the whole: it
    /// answers `/me/x.css` as it does `/me`.
    fn find_above(&self, reading: &str, strict: Option<&Rule>) -> Option<usize> {
        if !self.has_person {
            return None;
        }
        let ends = reading.match_indices('/').skip(1).map(|(end, _)| end);
        let above = |upper: &&Rule| match strict {
            Some(strict) => strict.may_be_taken_for(upper),
            None => upper.is_person_alone(),
        };
        let mut rules = ends.flat_map(|end| self.at(&reading[..end]));
        rules.find(above).map(|rule| rule.index)
    }

    /// Pairs of rules, by their indexes: what is below the path of the second, which is for one person, falls under
    /// the first.
    fn below_persons(&self) -> impl Iterator<Item = (usize, usize)> {
        let lowers = self.rules.iter().filter(|rule| rule.is_below_person);
        lowers.flat_map(|lower| {
            let uppers = self.rules.iter();
            let uppers = uppers.filter(|upper| lower.has_paths_below(upper));
            uppers.map(|upper| (lower.index, upper.index))
        })
    }
}

impl Rule {
    /// Whether it is for one person and does not name by itself what is below its path.
    fn is_person_alone(&self) -> bool {
        self.audience == Audience::Person && self.ranks.last() != Some(&Rank::CatchAll)
    }

    /// Whether an app may answer what is `upper`'s, of one person, for a path of this rule that begins as `upper`'s do. Not
    /// if it is for one person, too, or if the config names what is below: `/me/{*rest}` and `/{id}/{part}` do not,
    /// `/me/avatar` does.
    fn may_be_taken_for(&self, upper: &Rule) -> bool {
        if self.audience == Audience::Person || !upper.is_person_alone() {
            return false;
        }
        let length = upper.ranks.len();
        let own = &self.ranks[..length.min(self.ranks.len())];
        match own.cmp(&upper.ranks) {
            Ordering::Less => true,
            Ordering::Equal => self.ranks.get(length) != Some(&Rank::Static),
            Ordering::Greater => false,
        }
    }

    /// Whether some of its paths begin as paths of `upper` do, and may be taken for those.
    fn has_paths_below(&self, upper: &Rule) -> bool {
        let own: Vec<&str> = segments(&self.path).collect();
        let uppers: Vec<&str> = segments(&upper.path).collect();
        let (own, is_long) = match own.split_last() {
            Some((last, own)) if last.starts_with("{*") => (own, true),
            _ => (&own[..], own.len() > uppers.len()),
        };
        let overlap = |(a, b): (&&str, &&str)| a == b || a.contains('{') || b.contains('{');
        is_long && own.iter().zip(&uppers).all(overlap) && self.may_be_taken_for(upper)
    }
}
