//! What a condition expects of a value, and whether one is so.

use std::borrow::Cow;

use super::json::{self, Member};

/// What is expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Expected<T> {
    /// Not there, or null.
    Absent,
    /// Anything but that.
    Present,
    /// A text that is so.
    Text(T),
}

/// What there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found<'a> {
    /// Nothing, or null.
    Absent,
    /// A text, or the text of a number or flag.
    Text(Cow<'a, str>),
    /// Something that is no text.
    Composite,
    /// It may be anything.
    Unknown,
}

impl<'a> From<Member<'a>> for Found<'a> {
    fn from(member: Member<'a>) -> Found<'a> {
        match member {
            Member::Absent => Found::Absent,
            Member::One(value) => Found::Text(json::text(value)),
            Member::Composite => Found::Composite,
            Member::Unknown => Found::Unknown,
        }
    }
}

impl<T> Expected<T> {
    /// Of `absent`, `present`, or what `read` makes of another word.
    pub(super) fn parse<E>(
        word: &str,
        read: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<Expected<T>, E> {
        Ok(match word {
            "absent" => Expected::Absent,
            "present" => Expected::Present,
            word => Expected::Text(read(word)?),
        })
    }

    /// Whether it is so; `None`: that is not known.
    pub(super) fn is_met(
        &self,
        found: &Found<'_>,
        is_so: impl FnOnce(&T, &str) -> bool,
    ) -> Option<bool> {
        match (found, self) {
            (Found::Unknown, _) => None,
            (Found::Absent, expected) => Some(matches!(expected, Expected::Absent)),
            (_, Expected::Absent) => Some(false),
            (_, Expected::Present) => Some(true),
            (Found::Text(text), Expected::Text(expected)) => Some(is_so(expected, text)),
            (Found::Composite, Expected::Text(_)) => None,
        }
    }
}
