//! Which variables a template names, and what follows from that for a rule.

use super::super::query::Field;
use super::{Part, Source, Template};

impl Template {
    /// Every source the template names.
    pub fn sources(&self) -> impl Iterator<Item = &Source> {
        self.parts.iter().filter_map(|part| match part {
            Part::Variable { source, .. } => Some(source),
            Part::Literal(_) | Part::AnyRun => None,
        })
    }

    /// Whether any source is of the response's body.
    pub fn reads_response(&self) -> bool {
        self.sources()
            .any(|source| matches!(source, Source::Response(_)))
    }

    /// Whether any source is of what was stored before a write.
    pub fn reads_before(&self) -> bool {
        self.sources()
            .any(|source| matches!(source, Source::Before(_)))
    }

    /// Whether any source is of the request's body.
    pub fn reads_body(&self) -> bool {
        self.sources()
            .any(|source| matches!(source, Source::Body(_)))
    }

    /// Whether the whole of the request's body is in it.
    pub fn has_whole_body(&self) -> bool {
        self.sources().any(|source| *source == Source::WholeBody)
    }

    /// Whether any source is a JWT claim.
    pub fn reads_jwt(&self) -> bool {
        self.sources()
            .any(|source| matches!(source, Source::Jwt(_)))
    }

    /// Whether any source is what the check of `[auth]` says.
    pub fn reads_auth(&self) -> bool {
        self.auth_names().next().is_some()
    }

    /// The names that are read of what that check says.
    pub fn auth_names(&self) -> impl Iterator<Item = &Vec<String>> {
        self.sources().filter_map(|source| match source {
            Source::Auth(names) => Some(names),
            _ => None,
        })
    }

    /// Whether every query field enters the key, named or not.
    pub(in crate::routes) fn takes_whole_query(&self) -> bool {
        self.sources()
            .any(|source| matches!(source, Source::QueryRest | Source::Uri))
    }

    /// Whether a variable is of query fields.
    pub(super) fn reads_query_fields(&self) -> bool {
        self.sources()
            .any(|source| matches!(source, Source::Query(_) | Source::QueryRest))
    }

    /// Whether the template names this field.
    pub(in crate::routes) fn names_query_field(&self, field: &Field<'_>) -> bool {
        self.query_names
            .binary_search_by(|name| name.compare(field))
            .is_ok()
    }
}
