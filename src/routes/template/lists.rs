//! What a template makes of a write or of an answer, where a list stands for each of its members.

use super::super::pattern::PatternBuilder;
use super::super::query::Query;
use super::super::{Pattern, Scope};
use super::reading::Reading;
use super::{Key, Missing, Part, Template};

/// The most tags or patterns that one template makes of one request (promise I7).
pub const MAX_VALUES: usize = 1_000;

/// The most bytes of those with a list in them.
const MAX_BYTES: usize = 256 << 10;

/// What a purge template makes of a write.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bound {
    /// One for each combination of its values; none where a list has no members.
    pub patterns: Vec<Pattern>,
    /// Variables that match any value, so that too much is purged rather than too little (promise I2): the write
    /// lacks them, or they are in doubt.
    pub absent: usize,
    /// Those of them that have too many values.
    pub too_many: usize,
}

/// Why an answer cannot have the tags of a template: no purge by them would find it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Untagged {
    /// It lacks a variable, or one is in doubt.
    Missing(Missing),
    /// More than [`MAX_VALUES`], or of too many bytes, or one is longer than [`Key::MAX`].
    TooMany,
}

impl Template {
    /// The patterns that a purge template makes of a write. A value never acts as a wildcard. There is none of what would be
    /// longer than [`Key::MAX`]: no key or tag is.
    ///
    /// A doubled field counts as absent: which of its values the app obeyed is not known.
    pub fn bind(&self, scope: &Scope<'_>) -> Bound {
        let mut query = Query::default();
        let reading = Reading::of(self, scope, &mut query);
        let mut bound = Bound::default();
        let mut patterns = vec![PatternBuilder::default()];
        for part in &self.parts {
            match part {
                Part::Literal(literal) => {
                    for pattern in &mut patterns {
                        pattern.push_literal(literal);
                    }
                }
                Part::AnyRun => patterns.iter_mut().for_each(PatternBuilder::push_any_run),
                Part::Variable { source, default } => {
                    let values = reading.bind_each(source, default.as_deref());
                    match values {
                        Some(mut values) => {
                            values.retain(|value| value.len() <= Key::MAX);
                            match fits(&patterns, &values, PatternBuilder::length) {
                                true => {
                                    let push = PatternBuilder::push_literal;
                                    patterns = combine(&patterns, &values, push);
                                }
                                false => {
                                    bound.too_many += 1;
                                    leave_open(&mut patterns, &mut bound);
                                }
                            }
                        }
                        None => leave_open(&mut patterns, &mut bound),
                    }
                }
            }
            patterns.retain(|pattern| pattern.length() <= Key::MAX);
        }
        let patterns = patterns.into_iter().map(PatternBuilder::build);
        bound.patterns = patterns.map(|pattern| pattern.in_case_of(scope)).collect();
        bound
    }

    /// The tags that the template makes of an answer.
    pub fn tags(&self, scope: &Scope<'_>) -> Result<Vec<String>, Untagged> {
        let mut query = Query::default();
        let reading = Reading::of(self, scope, &mut query);
        let mut tags = vec![String::new()];
        for part in &self.parts {
            match part {
                Part::Literal(literal) => tags.iter_mut().for_each(|tag| tag.push_str(literal)),
                Part::AnyRun => tags.iter_mut().for_each(|tag| tag.push('*')),
                Part::Variable { source, default } => {
                    let values = reading
                        .render_each(source, default.as_deref())
                        .map_err(Untagged::Missing)?;
                    if !fits(&tags, &values, String::len) {
                        return Err(Untagged::TooMany);
                    }
                    tags = combine(&tags, &values, String::push_str);
                }
            }
        }
        if tags.iter().any(|tag| tag.len() > Key::MAX) {
            return Err(Untagged::TooMany);
        }
        if scope.ignores_case() {
            tags.iter_mut().for_each(|tag| tag.make_ascii_lowercase());
        }
        Ok(tags)
    }
}

/// The tags of an answer, each once and [`MAX_VALUES`] at most.
pub fn tags_of(templates: &[Template], scope: &Scope<'_>) -> Result<Vec<Box<str>>, Untagged> {
    let mut tags: Vec<Box<str>> = Vec::with_capacity(templates.len());
    for template in templates {
        tags.extend(template.tags(scope)?.into_iter().map(Box::from));
    }
    tags.sort_unstable();
    tags.dedup();
    match tags.len() > MAX_VALUES {
        true => Err(Untagged::TooMany),
        false => Ok(tags),
    }
}

/// Any value is meant.
fn leave_open(patterns: &mut [PatternBuilder], bound: &mut Bound) {
    bound.absent += 1;
    patterns.iter_mut().for_each(PatternBuilder::push_any_value);
}

/// Whether each of `heads` with each of `values` is no more than may be made of one request.
fn fits<T>(heads: &[T], values: &[String], length: impl Fn(&T) -> usize) -> bool {
    let of_heads: usize = heads.iter().map(length).sum();
    let of_values: usize = values.iter().map(String::len).sum();
    let bytes = (of_heads.saturating_mul(values.len()))
        .saturating_add(of_values.saturating_mul(heads.len()));
    let is_list = heads.len() > 1 || values.len() > 1;
    heads.len().saturating_mul(values.len()) <= MAX_VALUES && (bytes <= MAX_BYTES || !is_list)
}

/// Each of `heads` with each of `values` behind it.
fn combine<T: Clone>(heads: &[T], values: &[String], push: fn(&mut T, &str)) -> Vec<T> {
    let with = |head: &T, value: &String| {
        let mut head = head.clone();
        push(&mut head, value);
        head
    };
    heads
        .iter()
        .flat_map(|head| values.iter().map(move |value| with(head, value)))
        .collect()
}
