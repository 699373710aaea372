//! What a template makes of a write or of an answer, where a list stands for each of its members.

use super::super::pattern::PatternBuilder;
use super::super::query::Query;
use super::super::{Key, Pattern, Scope};
use super::reading::Reading;
use super::{Missing, Part, Template};

/// The most tags or patterns that one template makes of one request (promise I7).
pub const MAX_VALUES: usize = 1_000;

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
    /// More than [`MAX_VALUES`], or a longer one than [`Key::MAX`].
    TooMany,
}

impl Template {
    /// The patterns that a purge template makes of a write. A value never acts as a wildcard.
    ///
    /// A doubled field counts as absent: which of its values the app obeyed is not known. What would match only texts that
    /// are longer than any key or tag matches nothing, and is left out.
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
                        Some(values) if fits(&patterns, &values) => {
                            patterns = combine(&patterns, &values, PatternBuilder::least_len);
                            continue;
                        }
                        Some(_) => bound.too_many += 1,
                        None => {}
                    }
                    bound.absent += 1;
                    patterns.iter_mut().for_each(PatternBuilder::push_any_value);
                }
            }
        }
        let patterns = patterns.into_iter().map(PatternBuilder::build);
        let patterns = patterns.filter(|pattern| !pattern.is_too_long());
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
                    if !fits(&tags, &values) {
                        return Err(Untagged::TooMany);
                    }
                    let count = tags.len() * values.len();
                    tags = combine(&tags, &values, String::len);
                    // A purge could not name it.
                    if tags.len() < count {
                        return Err(Untagged::TooMany);
                    }
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

fn fits<T>(heads: &[T], values: &[String]) -> bool {
    heads.len().saturating_mul(values.len()) <= MAX_VALUES
}

/// What is put together from left to right.
trait Head: Clone {
    /// Adds text that stands for itself.
    fn push(&mut self, text: &str);
}

impl Head for PatternBuilder {
    fn push(&mut self, text: &str) {
        self.push_literal(text);
    }
}

impl Head for String {
    fn push(&mut self, text: &str) {
        self.push_str(text);
    }
}

/// Each of `heads` with each of `values` behind it, but those that are longer than [`Key::MAX`] by then: a path in front of
/// a long list would take megabytes.
fn combine<T: Head>(heads: &[T], values: &[String], len: fn(&T) -> usize) -> Vec<T> {
    let with = |head: &T, value: &String| {
        let fits = len(head) + value.len() <= Key::MAX;
        fits.then(|| {
            let mut head = head.clone();
            head.push(value);
            head
        })
    };
    heads
        .iter()
        .flat_map(|head| values.iter().filter_map(move |value| with(head, value)))
        .collect()
}
