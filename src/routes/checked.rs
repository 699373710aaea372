//! Which credentials of a request the check of `[auth]` is sent, and so speaks of.

use std::borrow::Cow;

use http::header::{AUTHORIZATION, COOKIE};
use http::{HeaderMap, HeaderName};

use super::credentials::{cookie_names, may_be_secret};
use crate::http_cache::vary::{CookieNames, names_in};

/// `Authorization`, the cookies that count, and further fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckedCredentials {
    /// `[auth] forward`
    pub fields: Vec<HeaderName>,
    /// `[auth] cookies`; `None`: all but the irrelevant ones.
    pub cookies: Option<CookieNames>,
    /// Cookies that no answer depends on.
    pub irrelevant: CookieNames,
}

impl CheckedCredentials {
    /// Whether the cookie of this name is sent.
    pub fn has_cookie(&self, name: &[u8]) -> bool {
        match &self.cookies {
            Some(named) => named.contain(name),
            None => !self.irrelevant.contain(name),
        }
    }

    /// Whether the field of this name, beside `Authorization`, is sent and may be what the check goes by. All else that is
    /// sent only chooses among what somebody sees, such as a tenant or whom an admin acts for.
    pub fn has_secret_field(&self, name: &HeaderName) -> bool {
        may_be_secret(name.as_str()) && self.fields.contains(name)
    }

    /// Whether the check was sent one line of a field that it may go by, and no cookie: which of two it went by is its own
    /// affair, and the route may go by the other.
    pub fn has_one_secret(&self, headers: &HeaderMap) -> bool {
        let further = self.fields.iter().filter(|name| **name != AUTHORIZATION);
        let further = further.filter(|name| self.has_secret_field(name));
        let names = [&AUTHORIZATION].into_iter().chain(further);
        let lines = names.map(|name| headers.get_all(name).iter().count());
        let is_one = lines.sum::<usize>() == 1;
        is_one && !cookie_names(headers).any(|name| self.has_cookie(name))
    }

    /// The fields of a request that are sent, each line as it was received; of `Cookie` the bytes of the cookies that
    /// count. Two requests that differ in any of them differ here.
    pub fn of<'h>(
        &'h self,
        headers: &'h HeaderMap,
    ) -> impl Iterator<Item = (&'h HeaderName, Cow<'h, [u8]>)> {
        let names = [&AUTHORIZATION].into_iter().chain(&self.fields);
        let plain = names.flat_map(|name| {
            let lines = headers.get_all(name).into_iter();
            lines.map(move |line| (name, Cow::Borrowed(line.as_bytes())))
        });
        let cookies = headers.get_all(COOKIE).into_iter();
        let cookies = cookies.filter_map(|line| Some((&COOKIE, self.cookies_in(line.as_bytes())?)));
        plain.chain(cookies)
    }

    /// The cookies of a line that count; `None`: none of them does.
    fn cookies_in<'h>(&self, line: &'h [u8]) -> Option<Cow<'h, [u8]>> {
        let counts = |pair: &&[u8]| names_in(pair).any(|name| self.has_cookie(name));
        let pairs = || line.split(|byte| *byte == b';');
        if pairs().all(|pair| counts(&pair)) {
            return Some(Cow::Borrowed(line));
        }
        let counting: Vec<&[u8]> = pairs().filter(counts).collect();
        let joined = counting.join(&b';');
        (!counting.is_empty()).then(|| Cow::Owned(joined.trim_ascii_start().to_vec()))
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    /// Case, fields, what is sent of them, and with the cookies named.
    type Row<'r> = (
        &'r str,
        &'r [(&'static str, &'r str)],
        &'r [&'r str],
        &'r [&'r str],
    );

    fn sent(checked: &CheckedCredentials, fields: &[(&'static str, &str)]) -> Vec<String> {
        let headers = fields.iter().map(|(name, value)| {
            let value = HeaderValue::from_str(value).expect("a value");
            (HeaderName::from_static(name), value)
        });
        let headers: HeaderMap = headers.collect();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        checked
            .of(&headers)
            .map(|(name, value)| format!("{name}: {}", text(&value)))
            .collect()
    }

    #[test]
    fn what_counts_is_sent_as_it_came() {
        let all = CheckedCredentials {
            fields: vec![HeaderName::from_static("x-tenant")],
            ..CheckedCredentials::default()
        };
        let named = CheckedCredentials {
            cookies: Some(CookieNames::only(["sid".to_owned()])),
            ..all.clone()
        };
        let rows: [Row<'_>; 6] = [
            ("nothing", &[("accept", "a")], &[], &[]),
            (
                "all kinds",
                &[
                    ("cookie", "sid=1"),
                    ("x-tenant", "t"),
                    ("authorization", "b"),
                ],
                &["authorization: b", "x-tenant: t", "cookie: sid=1"],
                &["authorization: b", "x-tenant: t", "cookie: sid=1"],
            ),
            (
                "irrelevant ones",
                &[("cookie", "_ga=1; sid=1;  theme=2; _gid=3")],
                &["cookie: sid=1;  theme=2"],
                &["cookie: sid=1"],
            ),
            (
                "only irrelevant ones",
                &[("cookie", "_ga=1; _gid=2")],
                &[],
                &[],
            ),
            (
                "doubled, and in another order",
                &[("cookie", "sid=2; sid=1"), ("cookie", "sid=1")],
                &["cookie: sid=2; sid=1", "cookie: sid=1"],
                &["cookie: sid=2; sid=1", "cookie: sid=1"],
            ),
            (
                "without a name",
                &[("cookie", "sid=1;; =x; sid = 2")],
                &["cookie: sid=1; =x; sid = 2"],
                &["cookie: sid=1; sid = 2"],
            ),
        ];
        for (case, fields, by_all, by_named) in rows {
            assert_eq!(sent(&all, fields), by_all, "{case}");
            assert_eq!(sent(&named, fields), by_named, "{case}, named");
        }
    }
}
