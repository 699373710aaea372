//! Which fields of requests change the answer: two requests that differ in one field alone either get the same or not.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

/// How many requests of late each new one is held against.
const RECENT: usize = 32;

/// The most fields of a rule that are told apart (promise I7).
const MAX_FIELDS: usize = 64;

/// The most fields of one request that are looked at.
const MAX_OF_REQUEST: usize = 16;

/// How often requests differed in one field alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldTally {
    /// And got the same answer.
    pub same: u64,
    /// And got another.
    pub other: u64,
}

/// Requests of a rule, held against each other.
#[derive(Clone, Debug, Default)]
pub struct Contrast {
    recent: VecDeque<Shot>,
    fields: BTreeMap<String, FieldTally>,
}

#[derive(Clone, Debug)]
struct Shot {
    path: u32,
    /// Name and digest of the value, by name.
    fields: Vec<(String, u32)>,
    answer: u32,
}

impl Contrast {
    /// Takes in a request for `path` with these fields, sorted or not, which got this answer.
    pub fn note(&mut self, path: u32, mut fields: Vec<(String, u32)>, answer: u32) {
        fields.sort();
        fields.dedup_by(|one, other| one.0 == other.0);
        fields.truncate(MAX_OF_REQUEST);
        let shot = Shot {
            path,
            fields,
            answer,
        };
        for other in &self.recent {
            let Some(name) = one_difference(&shot, other) else {
                continue;
            };
            if self.fields.len() >= MAX_FIELDS && !self.fields.contains_key(name) {
                continue;
            }
            let tally = self.fields.entry(name.to_owned()).or_default();
            match other.answer == shot.answer {
                true => tally.same += 1,
                false => tally.other += 1,
            }
        }
        if self.recent.len() >= RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(shot);
    }

    /// What is known of each field.
    pub fn fields(&self) -> &BTreeMap<String, FieldTally> {
        &self.fields
    }

    /// Counts half of what was seen.
    pub fn age(&mut self) {
        for tally in self.fields.values_mut() {
            tally.same /= 2;
            tally.other /= 2;
        }
        self.fields
            .retain(|_, tally| *tally != FieldTally::default());
    }
}

/// The one field in which two requests for one path differ; `None`: in none, or in several.
fn one_difference<'s>(one: &'s Shot, other: &'s Shot) -> Option<&'s str> {
    if one.path != other.path {
        return None;
    }
    let lacks = |shot: &Shot, field: &(String, u32)| !shot.fields.contains(field);
    let ours = one.fields.iter().filter(|field| lacks(other, field));
    let theirs = other.fields.iter().filter(|field| lacks(one, field));
    let mut names: Vec<&str> = ours.chain(theirs).map(|(name, _)| name.as_str()).collect();
    names.dedup();
    names.sort_unstable();
    names.dedup();
    match names.as_slice() {
        [name] => Some(name),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(contrast: &mut Contrast, fields: &[(&str, u32)], answer: u32) {
        let fields = fields
            .iter()
            .map(|(name, value)| ((*name).to_owned(), *value));
        contrast.note(1, fields.collect(), answer);
    }

    #[test]
    fn fields_that_change_the_answer_are_told_from_those_that_do_not() {
        let mut contrast = Contrast::default();
        for n in 0..10 {
            note(&mut contrast, &[("page", 1), ("utm", n)], 7);
        }
        note(&mut contrast, &[("page", 2), ("utm", 9)], 8);
        note(&mut contrast, &[("page", 1)], 7);
        let fields = contrast.fields();
        assert_eq!(
            (fields["utm"].same, fields["utm"].other),
            (55, 0),
            "absent is a value too"
        );
        assert_eq!((fields["page"].same, fields["page"].other), (0, 1));
    }

    #[test]
    fn it_is_bounded_and_forgets() {
        let mut contrast = Contrast::default();
        for n in 0..1000 {
            note(&mut contrast, &[], 1);
            note(&mut contrast, &[(&format!("f{n}"), 1)], 1);
        }
        assert_eq!(
            (contrast.fields.len(), contrast.recent.len()),
            (MAX_FIELDS, RECENT)
        );
        for _ in 0..64 {
            contrast.age();
        }
        assert!(contrast.fields.is_empty());
    }
}
