//! Which fields of requests change the answer: two requests that differ in one field alone either get the same or not.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

/// How many requests of late each new one is held against.
const RECENT: usize = 32;

/// The most fields of a rule that are told apart (promise I7).
const MAX_FIELDS: usize = 64;

/// The most fields of one request that are looked at.
const MAX_OF_REQUEST: usize = 16;

/// How many values of a field, and answers beside them, are told apart: more are not asked for.
const MAX_TOLD_APART: usize = 32;

/// How often requests differed in one field alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FieldTally {
    /// And got the same answer.
    pub same: u64,
    /// And got another.
    pub other: u64,
    /// How many values it had where the answer was the same; absent is one, too.
    pub values: u64,
    /// How many answers were the same: one that all get, such as that nothing was found, says little.
    pub answers: u64,
}

/// Requests of a rule, held against each other.
#[derive(Clone, Debug, Default)]
pub struct Contrast {
    recent: VecDeque<Shot>,
    fields: BTreeMap<String, FieldSeen>,
}

#[derive(Clone, Debug, Default)]
struct FieldSeen {
    same: u64,
    other: u64,
    values: BTreeSet<Option<u32>>,
    answers: BTreeSet<u32>,
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
            let seen = self.fields.entry(name.to_owned()).or_default();
            match other.answer == shot.answer {
                true => seen.note_same(name, &shot, other),
                false => seen.other += 1,
            }
        }
        if self.recent.len() >= RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(shot);
    }

    /// What is known of each field.
    pub fn fields(&self) -> BTreeMap<String, FieldTally> {
        let fields = self.fields.iter();
        fields
            .map(|(name, seen)| (name.clone(), seen.tally()))
            .collect()
    }

    /// Counts half of what was seen. That a field has changed an answer is not forgotten while it is seen at all.
    pub fn age(&mut self) {
        for seen in self.fields.values_mut() {
            seen.same /= 2;
            seen.other = seen.other.div_ceil(2);
        }
        self.fields
            .retain(|_, seen| seen.same > 0 || seen.other > 1);
    }
}

impl FieldSeen {
    /// Two requests differed in the field `name` alone and got the same answer.
    fn note_same(&mut self, name: &str, one: &Shot, other: &Shot) {
        self.same += 1;
        for shot in [one, other] {
            if self.values.len() < MAX_TOLD_APART {
                self.values.insert(shot.value(name));
            }
        }
        if self.answers.len() < MAX_TOLD_APART {
            self.answers.insert(one.answer);
        }
    }

    fn tally(&self) -> FieldTally {
        FieldTally {
            same: self.same,
            other: self.other,
            values: self.values.len() as u64,
            answers: self.answers.len() as u64,
        }
    }
}

impl Shot {
    /// The digest of its first value.
    fn value(&self, name: &str) -> Option<u32> {
        let mut fields = self.fields.iter();
        fields
            .find(|(other, _)| other == name)
            .map(|(_, value)| *value)
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
        assert_eq!((fields["utm"].values, fields["utm"].answers), (11, 1));
        assert_eq!((fields["page"].same, fields["page"].other), (0, 1));
        note(&mut contrast, &[("page", 3), ("utm", 1)], 9);
        note(&mut contrast, &[("page", 3), ("utm", 2)], 9);
        assert_eq!(contrast.fields()["utm"].answers, 2);
    }

    /// While it is seen at all.
    #[test]
    fn that_a_field_has_changed_an_answer_is_not_forgotten() {
        let mut contrast = Contrast::default();
        for n in 0..12 {
            let answer = if n == 11 { 8 } else { 7 };
            note(&mut contrast, &[("utm", n)], answer);
        }
        for _ in 0..5 {
            contrast.age();
        }
        let utm = contrast.fields()["utm"];
        assert_eq!((utm.same, utm.other), (1, 1));
        contrast.age();
        assert!(contrast.fields().is_empty());
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
