//! Which of a key's stored responses a request selects (RFC 9111 §4.1).

mod cookies;
mod negotiate;
mod normal;

use std::borrow::Cow;

use http::header::{
    ACCEPT_ENCODING, ACCEPT_LANGUAGE, AUTHORIZATION, CONTENT_ENCODING, COOKIE, ORIGIN, VARY, VIA,
};
use http::{HeaderMap, HeaderName, HeaderValue};
use sha2::{Digest, Sha256};

use super::RequestHead;
pub use cookies::{CookieNames, names_in};
pub(super) use negotiate::prefers_zstd;
use normal::normalised;

/// What a rule says of the fields by which its answers vary.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Variation {
    /// `vary`: of what `Vary` names these alone count; `None`: all.
    pub only: Option<Vec<HeaderName>>,
    /// `app_headers = "ignore"`: `Vary: Cookie` is not meant, as the key says who shares (promise I8).
    pub without_identity: bool,
    /// Cookies that change no answer.
    pub irrelevant: CookieNames,
    /// `languages`: what the app serves, the default first; empty: whatever is asked for.
    pub languages: Vec<Box<str>>,
    /// `encodings`: content codings that the app is asked for, the best first; empty: as the client asks.
    pub encodings: Vec<Box<str>>,
    /// `cors = "vary"`: `Origin` changes the answer, though the app does not say so.
    pub by_origin: bool,
}

impl Variation {
    /// Puts what was made of the client's preferences into a request for the app: it must not choose by more
    /// than what selects its answer afterwards.
    pub fn put_preferences(&self, to_app: &mut HeaderMap) {
        if self.languages.is_empty() && self.encodings.is_empty() {
            return;
        }
        let language = negotiate::language(to_app, &self.languages).map(str::to_owned);
        let coding = (!self.encodings.is_empty())
            .then(|| negotiate::coding(to_app, &self.encodings).to_owned());
        for (name, value) in [(ACCEPT_LANGUAGE, language), (ACCEPT_ENCODING, coding)] {
            if let Some(value) = value.and_then(|value| HeaderValue::try_from(value).ok()) {
                to_app.insert(name, value);
            }
        }
    }

    /// Says in an answer what the rule knows and the app has not said, so that browsers and caches on the way keep
    /// apart what is kept apart here (RFC 9110 §12.5.5).
    pub fn say(&self, response: &mut HeaderMap) {
        let known = [
            (ORIGIN, self.by_origin),
            (ACCEPT_LANGUAGE, !self.languages.is_empty()),
            (ACCEPT_ENCODING, !self.encodings.is_empty()),
        ];
        for (name, _) in known.into_iter().filter(|(_, is_known)| *is_known) {
            let is_said = list_members(response, &VARY).any(|member| {
                member == b"*" || member.eq_ignore_ascii_case(name.as_str().as_bytes())
            });
            if !is_said {
                response.append(VARY, HeaderValue::from(name));
            }
        }
    }

    /// The fields by which an answer varies, sorted, each once; `None` if no request can select it.
    fn fields(&self, response: &HeaderMap) -> Option<Vec<HeaderName>> {
        let mut names = self.said_fields(response)?;
        // Not every app that compresses says by what it chose; who cannot read the coding would get it.
        if is_coded(response) {
            names.push(ACCEPT_ENCODING);
        }
        names.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
        names.dedup();
        Some(names)
    }

    /// Those by which the app or the rule says that it does.
    fn said_fields(&self, response: &HeaderMap) -> Option<Vec<HeaderName>> {
        let mut names = self.named_fields(response)?;
        if self.without_identity {
            names.retain(|name| ![COOKIE, AUTHORIZATION].contains(name));
        }
        if self.by_origin {
            names.push(ORIGIN);
        }
        // Whoever lists what the app serves says that it chooses, whether or not the app says so.
        for (name, listed) in [
            (ACCEPT_LANGUAGE, &self.languages),
            (ACCEPT_ENCODING, &self.encodings),
        ] {
            if !listed.is_empty() {
                names.push(name);
            }
        }
        Some(names)
    }

    /// The fields that all `Vary` lines name, as far as they count; `None` if `*` is among them, or a member
    /// that is no field name and so matches nothing.
    fn named_fields(&self, response: &HeaderMap) -> Option<Vec<HeaderName>> {
        let members = list_members(response, &VARY);
        // `*` is a token too. What this proxy adds to requests the app sees, and nobody can compare.
        let names = members.map(|member| {
            let name = HeaderName::from_bytes(member).ok();
            name.filter(|name| name != "*" && !ADDED.contains(name))
        });
        match &self.only {
            None => names.collect(),
            Some(only) => Some(names.flatten().filter(|name| only.contains(name)).collect()),
        }
    }
}

/// Whether the body is in a content coding.
pub fn is_coded(response: &HeaderMap) -> bool {
    codings(response).next().is_some()
}

/// Whether the requester, and with it all whose requests select the answer, can read its coding (RFC 9110 §12.5.3).
pub(super) fn accepts_coding(request: &RequestHead<'_>, response: &HeaderMap) -> bool {
    let served = &request.variation.encodings;
    codings(response).all(|coding| {
        let coding = coding.to_ascii_lowercase();
        match served.is_empty() {
            true => negotiate::accepts(request.headers, &coding),
            false => negotiate::coding(request.headers, served).as_bytes() == coding,
        }
    })
}

fn codings(response: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    list_members(response, &CONTENT_ENCODING)
        .filter(|coding| !coding.eq_ignore_ascii_case(b"identity"))
}

/// The members of all lines of a list field (RFC 9110 §5.6.1).
pub(super) fn list_members<'r>(
    response: &'r HeaderMap,
    name: &HeaderName,
) -> impl Iterator<Item = &'r [u8]> {
    let lines = response.get_all(name).into_iter();
    lines
        .flat_map(|line| line.as_bytes().split(|&byte| byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|member| !member.is_empty())
}

/// What a request must have in common with the one that fetched a stored response.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Selector {
    /// The host; empty for rules with `any_host`.
    pub host: Box<str>,
    /// The unusual spelling of key values; empty usually.
    pub form: Box<str>,
    /// Each field that `Vary` names, sorted by name, with the request's normalised value; `None`:
    /// absent. What may be a credential is hashed.
    pub fields: Vec<(HeaderName, Option<Box<[u8]>>)>,
}

impl Selector {
    /// The selector of a response fetched by `request`; `None` for `Vary: *`.
    pub fn of(request: &RequestHead<'_>, response: &HeaderMap) -> Option<Selector> {
        let fields = request
            .variation
            .fields(response)?
            .into_iter()
            .map(|name| {
                let value = nominated(request, &name).map(|value| value.into());
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
            && self
                .fields
                .iter()
                .all(|(name, value)| nominated(request, name).as_deref() == value.as_deref())
    }

    /// Whether the same requests select this response and a `part` of it; that may leave out its coding, and with
    /// it the field that coded responses vary by.
    pub(super) fn goes_with_part(&self, part: &Selector) -> bool {
        let named = |(name, _): &&(HeaderName, Option<Box<[u8]>>)| {
            *name != ACCEPT_ENCODING || part.fields.iter().any(|(other, _)| other == name)
        };
        self.host == part.host
            && self.form == part.form
            && self.fields.iter().filter(named).eq(part.fields.iter())
    }

    /// Whether every field that `response`, which may be a 304, varies on is among those compared.
    pub(super) fn covers(&self, response: &HeaderMap, variation: &Variation) -> bool {
        variation.said_fields(response).is_some_and(|names| {
            names
                .iter()
                .all(|name| self.fields.iter().any(|(known, _)| known == name))
        })
    }
}

/// Fields that each proxy on the way extends (RFC 9110 §7.6.3).
const ADDED: [HeaderName; 2] = [VIA, HeaderName::from_static("x-forwarded-for")];

/// A request field as it is compared; `None`: absent.
fn nominated<'a>(request: &RequestHead<'a>, name: &HeaderName) -> Option<Cow<'a, [u8]>> {
    let (headers, variation) = (request.headers, request.variation);
    // What is stored may be read by whoever reads the store; a credential need only be compared.
    if *name == COOKIE {
        let cookies = cookies::relevant(headers, &variation.irrelevant)?;
        return Some(Cow::Owned(Sha256::digest(cookies).to_vec()));
    }
    if *name == ACCEPT_LANGUAGE && !variation.languages.is_empty() {
        let language = negotiate::language(headers, &variation.languages)?;
        return Some(Cow::Borrowed(language.as_bytes()));
    }
    if *name == ACCEPT_ENCODING && !variation.encodings.is_empty() {
        let coding = negotiate::coding(headers, &variation.encodings);
        return Some(Cow::Borrowed(coding.as_bytes()));
    }
    let value = normalised(headers, name)?;
    Some(match is_harmless(name) {
        true => value,
        false => Cow::Owned(Sha256::digest(&value).to_vec()),
    })
}

/// Whether the values of a request field may be shown, and kept as they are. Others may be credentials, whatever they are
/// called.
pub(super) fn is_harmless(name: &HeaderName) -> bool {
    const PREFIXES: [&str; 3] = ["accept", "sec-ch-", "sec-fetch-"];
    const NAMES: [&str; 7] = [
        "content-language",
        "dnt",
        "origin",
        "save-data",
        "user-agent",
        "x-forwarded-proto",
        "x-requested-with",
    ];
    let name = name.as_str();
    PREFIXES.iter().any(|prefix| name.starts_with(prefix)) || NAMES.contains(&name)
}

#[cfg(test)]
mod tests;
