//! Which of a key's stored responses a request selects (RFC 9111 §4.1).

mod normal;

use std::borrow::Cow;

use http::header::{AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION, VARY, VIA};
use http::{HeaderMap, HeaderName};
use sha2::{Digest, Sha256};

use super::RequestHead;
use normal::normalised;

/// What a request must have in common with the one that fetched a stored response.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Selector {
    /// The host; empty for rules with `any_host`.
    pub host: Box<str>,
    /// The unusual spelling of key values; empty usually.
    pub form: Box<str>,
    /// Each field that `Vary` names, sorted by name, with the request's normalised value; `None`:
    /// absent. Credentials are hashed.
    pub fields: Vec<(HeaderName, Option<Box<[u8]>>)>,
}

impl Selector {
    /// The selector of a response fetched by `request`; `None` for `Vary: *`.
    pub fn of(request: &RequestHead<'_>, response: &HeaderMap) -> Option<Selector> {
        let fields = named_fields(response)?
            .into_iter()
            .map(|name| {
                let value = nominated(request.headers, &name).map(|value| value.into());
                (name, value)
            })
            .collect();
        Some(Selector {
            host: request.host.into(),
            form: request.form.into(),
            fields,
        })
    }

    /// Whether `request` selects the response this selector stands before.
    pub fn selects(&self, request: &RequestHead<'_>) -> bool {
        *self.host == *request.host
            && *self.form == *request.form
            && self.fields.iter().all(|(name, value)| {
                nominated(request.headers, name).as_deref() == value.as_deref()
            })
    }

    /// Whether every field that `response` varies on is among those compared.
    pub(super) fn covers(&self, response: &HeaderMap) -> bool {
        named_fields(response).is_some_and(|names| {
            names
                .iter()
                .all(|name| self.fields.iter().any(|(known, _)| known == name))
        })
    }
}

/// Fields that each proxy on the way extends (RFC 9110 §7.6.3).
const ADDED: [HeaderName; 2] = [VIA, HeaderName::from_static("x-forwarded-for")];

/// The fields that all `Vary` lines name, sorted, each once; `None` if `*` is among them, or a member
/// that is no field name and so matches nothing.
fn named_fields(response: &HeaderMap) -> Option<Vec<HeaderName>> {
    let mut names = response
        .get_all(VARY)
        .into_iter()
        .flat_map(|line| line.as_bytes().split(|&byte| byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|member| !member.is_empty())
        // `*` is a token too.
        .map(|member| {
            HeaderName::from_bytes(member)
                .ok()
                .filter(|name| name != "*")
        })
        .collect::<Option<Vec<_>>>()?;
    // What this proxy adds to requests the app sees, and nobody can compare.
    if names.iter().any(|name| ADDED.contains(name)) {
        return None;
    }
    names.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
    names.dedup();
    Some(names)
}

/// A request field as it is compared; `None`: absent.
fn nominated<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<Cow<'a, [u8]>> {
    let value = normalised(headers, name)?;
    // What is stored may be read by whoever reads the store; a credential need only be compared.
    if [AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION].contains(name) {
        return Some(Cow::Owned(Sha256::digest(&value).to_vec()));
    }
    Some(value)
}

#[cfg(test)]
mod tests;
