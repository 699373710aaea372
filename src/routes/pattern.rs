//! What a purge covers: keys, patterns and tags, bound to values that can never act as wildcards.

mod glob;

#[cfg(test)]
mod tests;

use std::fmt;

use super::{Key, Scope};

/// A glob over rendered keys or tags.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pattern {
    /// No two literals and no two wildcards follow each other.
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Part {
    /// Exactly this text; not empty.
    Literal(String),
    /// A value the write lacks: any run without `:`.
    AnyValue,
    /// `*`: any run at all.
    AnyRun,
}

impl Pattern {
    /// A pattern from the admin interface or the command line: `*` is the only wildcard.
    ///
    /// Keys hold `%2A` where a value has a star, so `%2A` here finds just that.
    pub fn parse(glob: &str) -> Pattern {
        let mut pattern = PatternBuilder::default();
        for (index, literal) in glob.split('*').enumerate() {
            if index > 0 {
                pattern.push_any_run();
            }
            pattern.push_literal(literal);
        }
        pattern.build()
    }

    /// The pattern that matches exactly `key`.
    pub fn literal(key: &str) -> Pattern {
        let mut pattern = PatternBuilder::default();
        pattern.push_literal(key);
        pattern.build()
    }

    /// The same in lower case, as keys and tags are to an app that ignores case ([`PathSpelling::ignore_case`]).
    ///
    /// [`PathSpelling::ignore_case`]: super::PathSpelling
    pub fn folded(mut self) -> Pattern {
        for part in &mut self.parts {
            if let Part::Literal(literal) = part {
                literal.make_ascii_lowercase();
            }
        }
        self
    }

    /// As what is rendered in this scope.
    pub(super) fn in_case_of(self, scope: &Scope<'_>) -> Pattern {
        match scope.ignores_case() {
            true => self.folded(),
            false => self,
        }
    }

    /// Whether `key` is covered; linear in the key for any pattern.
    pub fn matches(&self, key: &str) -> bool {
        glob::matches(&self.parts, key)
    }

    /// The only key it can match, if there is just one.
    pub fn exact(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [] => Some(""),
            [Part::Literal(key)] => Some(key),
            _ => None,
        }
    }

    /// Bytes of the shortest text that it can match.
    fn least_len(&self) -> usize {
        literals_len(&self.parts)
    }

    /// Whether no key or tag that is stored can be so long as all that it matches.
    pub fn is_too_long(&self) -> bool {
        self.least_len() > Key::MAX
    }

    /// Whether it matches every key that begins with its [`Pattern::prefix`].
    pub fn is_prefix(&self) -> bool {
        matches!(
            self.parts.as_slice(),
            [Part::AnyRun] | [Part::Literal(_), Part::AnyRun]
        )
    }

    /// The text before the first wildcard: every key it matches begins so.
    pub fn prefix(&self) -> &str {
        match self.parts.first() {
            Some(Part::Literal(literal)) => literal,
            _ => "",
        }
    }
}

/// As an admin would write it. A value left open shows as `*`, so reading it back never covers less.
impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts.iter().try_for_each(|part| match part {
            Part::Literal(literal) => f.write_str(literal),
            Part::AnyValue | Part::AnyRun => f.write_str("*"),
        })
    }
}

fn literals_len(parts: &[Part]) -> usize {
    let literals = parts.iter().map(|part| match part {
        Part::Literal(literal) => literal.len(),
        Part::AnyValue | Part::AnyRun => 0,
    });
    literals.sum()
}

/// Puts a pattern together from left to right.
#[derive(Clone, Debug, Default)]
pub(super) struct PatternBuilder {
    parts: Vec<Part>,
}

impl PatternBuilder {
    /// Adds text that stands for itself.
    pub(super) fn push_literal(&mut self, text: &str) {
        match self.parts.last_mut() {
            _ if text.is_empty() => {}
            Some(Part::Literal(last)) => last.push_str(text),
            _ => self.parts.push(Part::Literal(text.to_owned())),
        }
    }

    /// Adds any run without `:`.
    pub(super) fn push_any_value(&mut self) {
        match self.parts.last() {
            Some(Part::AnyValue | Part::AnyRun) => {}
            _ => self.parts.push(Part::AnyValue),
        }
    }

    /// Adds any run at all.
    pub(super) fn push_any_run(&mut self) {
        match self.parts.last_mut() {
            Some(last @ (Part::AnyValue | Part::AnyRun)) => *last = Part::AnyRun,
            _ => self.parts.push(Part::AnyRun),
        }
    }

    /// Bytes of the shortest text that it can match so far.
    pub(super) fn least_len(&self) -> usize {
        literals_len(&self.parts)
    }

    /// The pattern.
    pub(super) fn build(self) -> Pattern {
        Pattern { parts: self.parts }
    }
}

/// What a purge does with what it covers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PurgeKind {
    /// It is removed.
    #[default]
    Hard,
    /// It is stale from then on, and stays for whoever may be served what is stale.
    Soft,
}

impl PurgeKind {
    /// Both.
    pub const ALL: [PurgeKind; 2] = [PurgeKind::Hard, PurgeKind::Soft];

    /// The word in labels.
    pub fn as_str(self) -> &'static str {
        match self {
            PurgeKind::Hard => "hard",
            PurgeKind::Soft => "soft",
        }
    }
}

/// What one write purges, each in its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Purges {
    /// What is removed.
    pub hard: Purge,
    /// What becomes stale.
    pub soft: Purge,
}

impl Default for Purges {
    fn default() -> Purges {
        Purges {
            hard: Purge::default(),
            soft: Purge::default().into_soft(),
        }
    }
}

impl Purges {
    /// Takes in all that `purge` covers.
    pub fn absorb(&mut self, purge: Purge) {
        match purge.kind {
            PurgeKind::Hard => self.hard.absorb(purge),
            PurgeKind::Soft => self.soft.absorb(purge),
        }
    }

    /// What covers all that these cover, each pattern once.
    pub fn joined<'p>(purges: impl Iterator<Item = &'p Purge> + Clone) -> Purges {
        Purges {
            hard: Purge::joined(PurgeKind::Hard, purges.clone()),
            soft: Purge::joined(PurgeKind::Soft, purges),
        }
    }

    /// Whether they cover nothing.
    pub fn is_empty(&self) -> bool {
        self.hard.is_empty() && self.soft.is_empty()
    }
}

/// One purge: all that a write, or an admin, makes stale at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Purge {
    /// What it does.
    pub kind: PurgeKind,
    /// Everything in the namespace.
    pub everything: bool,
    /// Keys, as patterns.
    pub keys: Vec<Pattern>,
    /// Tags, as patterns.
    pub tags: Vec<Pattern>,
}

impl Purge {
    /// A purge of everything in the namespace.
    pub fn of_everything() -> Purge {
        Purge {
            everything: true,
            ..Purge::default()
        }
    }

    /// The same, softly. Of everything, each entry is to be found: only a hard purge can void them unseen.
    pub fn into_soft(mut self) -> Purge {
        if std::mem::take(&mut self.everything) {
            self.keys.push(Pattern::parse("*"));
        }
        Purge {
            kind: PurgeKind::Soft,
            ..self
        }
    }

    /// What covers all that these of one kind cover, each pattern once.
    pub fn joined<'p>(kind: PurgeKind, purges: impl Iterator<Item = &'p Purge>) -> Purge {
        let mut all = Purge {
            kind,
            ..Purge::default()
        };
        for purge in purges.filter(|purge| purge.kind == kind) {
            all.everything |= purge.everything;
            all.keys.extend(purge.keys.iter().cloned());
            all.tags.extend(purge.tags.iter().cloned());
        }
        for patterns in [&mut all.keys, &mut all.tags] {
            let mut seen = std::collections::HashSet::new();
            patterns.retain(|pattern| seen.insert(pattern.clone()));
        }
        all
    }

    /// Whether an entry under `key` with `tags` is covered.
    pub fn covers<T: AsRef<str>>(&self, key: &str, tags: &[T]) -> bool {
        self.everything
            || self.keys.iter().any(|pattern| pattern.matches(key))
            || tags.iter().any(|tag| {
                self.tags
                    .iter()
                    .any(|pattern| pattern.matches(tag.as_ref()))
            })
    }

    /// Whether it covers a tag that begins with `prefix`, or might.
    pub fn may_cover_tag_beginning(&self, prefix: &str) -> bool {
        self.everything
            || self.tags.iter().any(|pattern| match pattern.exact() {
                Some(tag) => tag.starts_with(prefix),
                None => {
                    pattern.prefix().starts_with(prefix) || prefix.starts_with(pattern.prefix())
                }
            })
    }

    /// Whether what it covers may be read while it is carried out: by a tag nobody knows of that before, and what a soft
    /// one covers stays.
    pub fn is_read_meanwhile(&self) -> bool {
        !self.tags.is_empty() || self.kind == PurgeKind::Soft
    }

    /// Whether it covers nothing.
    pub fn is_empty(&self) -> bool {
        !self.everything && self.keys.is_empty() && self.tags.is_empty()
    }

    /// About the bytes that it takes in memory.
    pub fn bytes(&self) -> usize {
        const OF_EACH: usize = size_of::<Pattern>() + 2 * size_of::<Part>();
        let patterns = self.keys.iter().chain(&self.tags);
        size_of::<Purge>()
            + patterns
                .map(|pattern| OF_EACH + pattern.least_len())
                .sum::<usize>()
    }

    /// Takes in all that `other` of the same kind covers.
    pub fn absorb(&mut self, other: Purge) {
        debug_assert_eq!(self.kind, other.kind);
        self.everything |= other.everything;
        self.keys.extend(other.keys);
        self.tags.extend(other.tags);
    }
}
