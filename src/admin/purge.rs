//! `POST /purge`: what the body says.

use serde::Deserialize;

use super::refusal::{MAX_SELECTORS, Refusal};
use crate::routes::{Pattern, Purge, PurgeKind, identities};

/// The body of `POST /purge`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PurgeRequest {
    /// Keys, letter by letter: `*` is no wildcard here.
    pub keys: Vec<String>,
    /// Keys, with `*` for any text.
    pub patterns: Vec<String>,
    /// Tags, letter by letter.
    pub tags: Vec<String>,
    /// All of it.
    pub everything: bool,
    /// What the check of `[auth]` has said of anybody.
    pub identity: bool,
    /// It stays, and is stale from then on.
    pub soft: bool,
}

impl PurgeRequest {
    /// What the store understands.
    pub fn into_purge(self) -> Purge {
        let literal = |text: &String| Pattern::literal(text);
        let keys = self.keys.iter().map(literal);
        let patterns = self.patterns.iter().map(|glob| Pattern::parse(glob));
        let mut purge = Purge {
            kind: PurgeKind::Hard,
            everything: self.everything,
            keys: keys.chain(patterns).collect(),
            tags: self.tags.iter().map(literal).collect(),
        };
        if self.identity {
            purge.absorb(identities::purge_of_all());
        }
        match self.soft {
            true => purge.into_soft(),
            false => purge,
        }
    }

    /// How many keys, patterns and tags it names.
    pub fn len(&self) -> usize {
        self.selectors().count()
    }

    /// Whether it asks for nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0 && !self.everything && !self.identity
    }

    fn selectors(&self) -> impl Iterator<Item = &String> {
        [&self.keys, &self.patterns, &self.tags]
            .into_iter()
            .flatten()
    }
}

/// What the body asks for.
pub fn parse(body: &[u8]) -> Result<PurgeRequest, Refusal> {
    let wanted: PurgeRequest =
        serde_json::from_slice(body).map_err(|error| Refusal::Malformed(error.to_string()))?;
    if wanted.len() > MAX_SELECTORS {
        return Err(Refusal::TooMany);
    }
    if wanted.is_empty() {
        return Err(Refusal::Empty);
    }
    if wanted.selectors().any(String::is_empty) {
        return Err(Refusal::EmptySelector);
    }
    Ok(wanted)
}

#[cfg(test)]
mod tests;
