//! Which of a key's stored responses a request selects (RFC 9111 §4.1).

use std::borrow::Cow;

use http::header::{
    ACCEPT_CHARSET, ACCEPT_ENCODING, ACCEPT_LANGUAGE, AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION,
    VARY,
};
use http::{HeaderMap, HeaderName};
use sha2::{Digest, Sha256};

use super::RequestHead;

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

/// The field's lines in the one form that all equal spellings share (§4.1): lines joined by `, `,
/// whitespace around commas made one space after, case folded where the field has none. Quoted
/// strings stay as they are. Borrowed when the request has that form already.
fn normalised<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<Cow<'a, [u8]>> {
    let mut lines = headers.get_all(name).iter();
    let first = lines.next()?.as_bytes().trim_ascii();
    let fold = [ACCEPT_ENCODING, ACCEPT_LANGUAGE, ACCEPT_CHARSET].contains(name);
    let mut rest = lines.peekable();
    if rest.peek().is_none() && is_normal(first, fold) {
        return Some(Cow::Borrowed(first));
    }
    let mut value = Vec::with_capacity(first.len() + 8);
    append_normalised(&mut value, first);
    for line in rest {
        value.extend_from_slice(b", ");
        append_normalised(&mut value, line.as_bytes().trim_ascii());
    }
    if fold {
        value.make_ascii_lowercase();
    }
    Some(Cow::Owned(value))
}

/// Whether normalising would change nothing; `false` when that is not plain to see.
fn is_normal(value: &[u8], fold: bool) -> bool {
    let mut before = b' ';
    for (at, &byte) in value.iter().enumerate() {
        let after = value.get(at + 1).copied();
        let spaced = after == Some(b' ') && !matches!(value.get(at + 2), Some(b' ' | b'\t'));
        let odd = match byte {
            b',' => matches!(before, b' ' | b'\t') || !spaced,
            b'"' => true,
            _ => fold && byte.is_ascii_uppercase(),
        };
        if odd {
            return false;
        }
        before = byte;
    }
    true
}

fn append_normalised(out: &mut Vec<u8>, line: &[u8]) {
    let (mut quoted, mut at) = (false, 0);
    while let Some(&byte) = line.get(at) {
        at += 1;
        match byte {
            b'\\' if quoted => {
                out.push(byte);
                out.extend(line.get(at));
                at += 1;
                continue;
            }
            b'"' => quoted = !quoted,
            b',' if !quoted => {
                while matches!(out.last(), Some(b' ' | b'\t')) {
                    out.pop();
                }
                out.extend_from_slice(b", ");
                let spaces = line[at..].iter().take_while(|b| matches!(b, b' ' | b'\t'));
                at += spaces.count();
                continue;
            }
            _ => {}
        }
        out.push(byte);
    }
}

#[cfg(test)]
mod tests;
