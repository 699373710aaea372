//! What of a requester a rule's key carries: whoever brings anything else that says who asks is answered
//! by the app (promise I8).

use http::header::{AUTHORIZATION, COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

use super::checked::CheckedCredentials;
use super::credentials::{cookie_names, is_credential, names_a_person, names_a_person_in_auth};
use super::json;
use super::template::{Source, Template};
use crate::http_cache::vary::CookieNames;

/// Where the token of verified claims was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenField<'a> {
    /// In `Authorization`.
    Authorization,
    /// In this cookie.
    Cookie(&'a str),
    /// In this field.
    Header(&'a HeaderName),
}

/// What is known to be true of whoever asks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Verified<'a> {
    /// The claims of a verified token.
    pub claims: Option<&'a Value>,
    /// Where that was.
    pub token: Option<TokenField<'a>>,
    /// What the check of `[auth]` said of the credentials that it was sent.
    pub auth: Option<&'a Value>,
}

/// Which credentials a key carries whole, and which do not matter to its rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyedCredentials {
    /// Header fields in the key.
    headers: Vec<HeaderName>,
    /// Of these, those that a trusted gateway sets: they vouch for `Authorization`.
    vouching: Vec<HeaderName>,
    /// Cookies in the key.
    cookies: Vec<String>,
    /// Claims in the key that name a person, or that the rule says its answers are shared by.
    claims: Vec<KeyedMember>,
    /// The same of what the check of `[auth]` says.
    auth: Vec<KeyedMember>,
    /// What the check is sent.
    checked: CheckedCredentials,
    /// Cookies that do not change the answer.
    irrelevant: CookieNames,
    /// Further fields that say who asks, beside those that do by their name.
    further: Vec<HeaderName>,
}

/// What of a document of a requester a key has.
#[derive(Clone, Debug, PartialEq, Eq)]
struct KeyedMember {
    names: Vec<String>,
    /// Or else many may have it, and share by a word of the rule.
    names_a_person: bool,
}

impl KeyedMember {
    /// Whether `document` really holds it, and it stands for somebody.
    fn is_held(&self, document: &Value) -> bool {
        let mut names = self.names.iter();
        let value = names.try_fold(document, |value, name| value.as_object()?.get(name));
        let is_one = |value: &Value| value.is_string() || value.is_i64() || value.is_u64();
        let is_absent = match self.names_a_person {
            true => json::is_nobody,
            false => json::is_nothing,
        };
        value.is_some_and(|value| is_one(value) && !is_absent(value))
    }
}

/// What a rule says of credentials.
#[derive(Clone, Copy, Debug)]
pub struct CredentialSettings<'s> {
    /// `shared_by`: claims, as `jwt.role` or `auth.role`, among whose bearers the answers are shared.
    pub shared_by: &'s [String],
    /// Cookies that do not change the answer.
    pub irrelevant: &'s CookieNames,
    /// `[defaults] trusted_identity`
    pub trusted: &'s [HeaderName],
    /// `[defaults] credential_headers`
    pub further: &'s [HeaderName],
    /// What the check of `[auth]` is sent.
    pub checked: &'s CheckedCredentials,
}

/// A credential of a request that the key lacks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unkeyed<'h> {
    /// The first such header field, `Cookie` left aside.
    pub header: Option<&'h HeaderName>,
    /// The first such cookie.
    pub cookie: Option<&'h [u8]>,
}

impl KeyedCredentials {
    /// Of a rule with this key.
    pub fn new(key: &Template, settings: CredentialSettings<'_>) -> KeyedCredentials {
        let headers: Vec<HeaderName> = key
            .sources()
            .filter_map(|source| match source {
                Source::Header(name) => name.parse().ok(),
                _ => None,
            })
            .collect();
        let is_trusted = |name: &&HeaderName| settings.trusted.contains(name);
        let claims = key.sources().filter_map(|source| match source {
            Source::Jwt(names) => Some(names),
            _ => None,
        });
        let shares = |kind: &str, names: &Vec<String>| {
            let claim = [kind, &names.join(".")].concat();
            settings.shared_by.contains(&claim)
        };
        let member = |kind: &str, names: &Vec<String>, names_a_person: bool| {
            let counts = names_a_person || shares(kind, names);
            counts.then(|| KeyedMember {
                names: names.clone(),
                names_a_person,
            })
        };
        let claims = claims.filter_map(|names| member("jwt.", names, names_a_person(names)));
        let auth = key.auth_names();
        let auth = auth.filter_map(|names| member("auth.", names, names_a_person_in_auth(names)));
        let cookies = key.sources().filter_map(|source| match source {
            Source::Cookie(name) => Some(name.clone()),
            _ => None,
        });
        KeyedCredentials {
            vouching: headers.iter().filter(is_trusted).cloned().collect(),
            claims: claims.collect(),
            auth: auth.collect(),
            checked: settings.checked.clone(),
            cookies: cookies.collect(),
            irrelevant: settings.irrelevant.clone(),
            further: settings
                .trusted
                .iter()
                .chain(settings.further)
                .cloned()
                .collect(),
            headers,
        }
    }

    /// Whether the key has this header field.
    pub fn has_header(&self, name: &HeaderName) -> bool {
        self.headers.contains(name)
    }

    /// Whether some of what the key has says who asks, so that its answers are not everyone's.
    pub fn name_a_person(&self) -> bool {
        let says_who =
            |name: &HeaderName| is_credential(name.as_str()) || self.further.contains(name);
        !self.cookies.is_empty()
            || !self.claims.is_empty()
            || !self.auth.is_empty()
            || self.headers.iter().any(says_who)
    }

    /// Whether the request may bring a credential that its name does not show.
    pub fn has_further(&self) -> bool {
        !self.further.is_empty()
    }

    /// What the request brings that says who asks and that the key lacks. A default in the key is nobody's
    /// identity: only what the request really has counts as carried.
    pub fn find_unkeyed<'h>(&self, headers: &'h HeaderMap, verified: Verified<'_>) -> Unkeyed<'h> {
        let carried = self.carried(verified);
        Unkeyed {
            header: self.unkeyed_headers(headers, carried).next(),
            cookie: self.unkeyed_cookies(headers, carried).next(),
        }
    }

    /// As [`KeyedCredentials::find_unkeyed`], all of them: header fields, and names of cookies.
    pub fn all_unkeyed<'h>(
        &self,
        headers: &'h HeaderMap,
        verified: Verified<'_>,
    ) -> (Vec<&'h HeaderName>, Vec<&'h [u8]>) {
        let carried = self.carried(verified);
        let fields = self.unkeyed_headers(headers, carried).collect();
        let mut cookies: Vec<&[u8]> = self.unkeyed_cookies(headers, carried).collect();
        let mut seen = std::collections::HashSet::new();
        cookies.retain(|name| seen.insert(*name));
        (fields, cookies)
    }

    fn unkeyed_headers<'h>(
        &self,
        headers: &'h HeaderMap,
        carried: Carried<'_>,
    ) -> impl Iterator<Item = &'h HeaderName> {
        let Carried { token, checked, .. } = carried;
        let alone = checked && self.checked.has_one_secret(headers);
        let vouched = self
            .vouching
            .iter()
            .any(|name| names_somebody(headers, name));
        let is_keyed = move |name: &HeaderName| {
            self.headers.contains(name)
                || *name == AUTHORIZATION
                    && (vouched || alone || token == Some(TokenField::Authorization))
                || matches!(token, Some(TokenField::Header(of_token)) if of_token == name)
                || alone && self.checked.has_secret_field(name)
        };
        let says_who = |name: &HeaderName| {
            *name != COOKIE && (is_credential(name.as_str()) || self.further.contains(name))
        };
        headers
            .keys()
            .filter(move |name| says_who(name) && !is_keyed(name))
    }

    fn unkeyed_cookies<'h>(
        &self,
        headers: &'h HeaderMap,
        carried: Carried<'_>,
    ) -> impl Iterator<Item = &'h [u8]> {
        let of_token = match carried.token {
            Some(TokenField::Cookie(name)) => Some(name),
            _ => None,
        };
        let is_keyed = move |name: &[u8]| {
            let is_checked = carried.cookies && self.checked.has_cookie(name);
            let mut keyed = self.cookies.iter().map(String::as_str).chain(of_token);
            is_checked || keyed.any(|keyed| keyed.as_bytes() == name)
        };
        let all = !self.headers.contains(&COOKIE);
        cookie_names(headers)
            .filter(move |name| all && !is_keyed(name) && !self.irrelevant.contain(name))
    }

    /// What the key carries by what is verified.
    fn carried<'v>(&self, verified: Verified<'v>) -> Carried<'v> {
        let holds_a_claim = verified
            .claims
            .is_some_and(|claims| self.claims.iter().any(|member| member.is_held(claims)));
        let mut held = self.auth.iter().filter(|member| {
            verified
                .auth
                .is_some_and(|document| member.is_held(document))
        });
        let are_named = self.checked.cookies.is_some();
        let first = held.next();
        let names_a_person = first
            .is_some_and(|first| first.names_a_person || held.any(|member| member.names_a_person));
        Carried {
            token: verified.token.filter(|_| holds_a_claim),
            checked: first.is_some(),
            cookies: first.is_some() && (are_named || names_a_person),
        }
    }

    /// In words, among whom answers under the key are shared.
    pub fn audience(&self) -> String {
        let headers = self.headers.iter().filter(|name| {
            is_credential(name.as_str()) || **name == COOKIE || self.further.contains(name)
        });
        let headers = headers.map(|name| format!("{{header.{name}}}"));
        let cookies = self.cookies.iter().map(|name| format!("{{cookie.{name}}}"));
        let claims = self
            .claims
            .iter()
            .map(|member| format!("{{jwt.{}}}", member.names.join(".")));
        let auth = self
            .auth
            .iter()
            .map(|member| format!("{{auth.{}}}", member.names.join(".")));
        let same: Vec<String> = headers.chain(cookies).chain(claims).chain(auth).collect();
        match same.is_empty() {
            true => "requests without credentials".to_owned(),
            false if self.leaves_cookies_out() => format!(
                "requests with the same {} and without cookies (those that say who asks belong into [auth] cookies)",
                same.join(", ")
            ),
            false => format!("requests with the same {}", same.join(", ")),
        }
    }

    /// Whether the key carries what the check says, and no cookie by it: any might tell apart those who have the same.
    fn leaves_cookies_out(&self) -> bool {
        let by_check =
            !self.auth.is_empty() && !self.auth.iter().any(|member| member.names_a_person);
        by_check && self.checked.cookies.is_none() && !self.headers.contains(&COOKIE)
    }
}

/// What stands in the key for credentials that are not in it themselves.
#[derive(Clone, Copy, Debug)]
struct Carried<'v> {
    /// The field or cookie whose token the key has a claim of.
    token: Option<TokenField<'v>>,
    /// Whether it has something that the check said of what it was sent.
    checked: bool,
    /// Whether that stands for the cookies: what many have does so for those alone that the config names, since others
    /// may tell apart what they get.
    cookies: bool,
}

/// Whether a gateway says by this field who asks, and not that it does not know.
fn names_somebody(headers: &HeaderMap, name: &HeaderName) -> bool {
    let mut lines = headers.get_all(name).iter().peekable();
    let is_one = |line: &HeaderValue| line.to_str().is_ok_and(|text| !json::names_nobody(text));
    lines.peek().is_some() && lines.all(is_one)
}

#[cfg(test)]
mod tests;
