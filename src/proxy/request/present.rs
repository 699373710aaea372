//! Which of the fields that decide something a request has.

use http::{HeaderMap, HeaderName};

use super::override_names::{has_odd_sign, kind_of};
use super::switches::is_switch;
use crate::routes::is_credential;

/// Sets of fields, found in one walk over a request: each search of a `HeaderMap` hashes a name, and
/// most requests have none of what is searched for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Present(u16);

impl Present {
    /// `Content-Length` or `Transfer-Encoding`.
    pub const FRAMING: Present = Present(1);
    /// `Expect`
    pub const EXPECT: Present = Present(1 << 1);
    /// `Upgrade`
    pub const UPGRADE: Present = Present(1 << 2);
    /// `Connection`
    pub const CONNECTION: Present = Present(1 << 3);
    /// `Authorization`, and fields whose names show that they say who asks
    pub const CREDENTIALS: Present = Present(1 << 4);
    /// `Cookie`
    pub const COOKIE: Present = Present(1 << 5);
    /// `X-Forwarded-Proto`
    pub const SCHEME: Present = Present(1 << 6);
    /// Those with which gateways and frameworks say another target than the request line.
    pub const TARGET: Present = Present(1 << 7);
    /// Conditions and ranges: the answer may be another than the whole response.
    pub const SELECTING: Present = Present(1 << 8);
    /// `Cache-Control` or `Pragma`
    pub const DIRECTIVES: Present = Present(1 << 9);
    /// Names with an underscore or another odd sign, which some apps read as `-`.
    pub const UNDERSCORES: Present = Present(1 << 10);
    /// `X-Forwarded-For`
    pub const FORWARDED_FOR: Present = Present(1 << 11);

    /// `Pannier-Refresh`
    pub const REFRESH: Present = Present(1 << 12);
    /// Those with which clients ask for another form of a page.
    pub const SWITCHES: Present = Present(1 << 13);

    /// What is among `fields`.
    pub fn among(fields: &HeaderMap) -> Present {
        Present(fields.keys().fold(0, |sum, name| sum | set_of(name).0))
    }

    /// Both sets.
    pub const fn or(self, other: Present) -> Present {
        Present(self.0 | other.0)
    }

    /// Whether any field of `set` is there.
    pub fn has(self, set: Present) -> bool {
        self.0 & set.0 != 0
    }
}

fn set_of(name: &HeaderName) -> Present {
    match name.as_str() {
        "content-length" | "transfer-encoding" => Present::FRAMING,
        "expect" => Present::EXPECT,
        "upgrade" => Present::UPGRADE,
        "connection" => Present::CONNECTION,
        // Known to be none of these; most requests have them.
        "host"
        | "accept"
        | "accept-encoding"
        | "accept-language"
        | "user-agent"
        | "referer"
        | "origin"
        | "x-request-id"
        | "content-type"
        | "dnt"
        | "priority"
        | "save-data"
        | "sec-ch-ua"
        | "sec-ch-ua-mobile"
        | "sec-ch-ua-platform"
        | "sec-fetch-dest"
        | "sec-fetch-mode"
        | "sec-fetch-site"
        | "sec-fetch-user"
        | "sec-gpc"
        | "te"
        | "traceparent"
        | "tracestate"
        | "upgrade-insecure-requests"
        | "x-real-ip" => Present::default(),
        "x-forwarded-for" => Present::FORWARDED_FOR,
        "authorization" => Present::CREDENTIALS,
        "pannier-refresh" => Present::REFRESH,
        "cookie" => Present::COOKIE,
        "x-forwarded-proto" => Present::SCHEME,
        "cache-control" | "pragma" => Present::DIRECTIVES,
        "if-match" | "if-none-match" | "if-modified-since" | "if-unmodified-since" | "range" => {
            Present::SELECTING
        }
        name => {
            let mut set = Present::default();
            for (is_in, members) in [
                (kind_of(name).is_some(), Present::TARGET),
                (is_credential(name), Present::CREDENTIALS),
                (has_odd_sign(name), Present::UNDERSCORES),
                (is_switch(name), Present::SWITCHES),
            ] {
                if is_in {
                    set = set.or(members);
                }
            }
            set
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn each_field_is_found_among_others() {
        let rows = [
            ("content-length", Present::FRAMING),
            ("transfer-encoding", Present::FRAMING),
            ("expect", Present::EXPECT),
            ("upgrade", Present::UPGRADE),
            ("connection", Present::CONNECTION),
            ("authorization", Present::CREDENTIALS),
            ("x-api-key", Present::CREDENTIALS),
            ("cookie", Present::COOKIE),
            ("pannier-refresh", Present::REFRESH),
            ("x-forwarded-proto", Present::SCHEME),
            ("x-forwarded-for", Present::FORWARDED_FOR),
            ("cache-control", Present::DIRECTIVES),
            ("pragma", Present::DIRECTIVES),
            ("x-forwarded-host", Present::TARGET),
            ("forwarded", Present::TARGET),
            ("if-match", Present::SELECTING),
            ("if-none-match", Present::SELECTING),
            ("if-unmodified-since", Present::SELECTING),
            ("if-modified-since", Present::SELECTING),
            ("range", Present::SELECTING),
            ("x_a", Present::UNDERSCORES),
            ("x.a", Present::UNDERSCORES),
            ("hx-request", Present::SWITCHES),
            ("x-http-method-override", Present::TARGET),
        ];
        let mut fields = HeaderMap::new();
        for name in ["host", "accept", "x-own"] {
            fields.insert(name, HeaderValue::from_static("1"));
        }
        assert_eq!(Present::among(&fields), Present::default());
        for (name, set) in rows {
            let mut fields = fields.clone();
            fields.append(name, HeaderValue::from_static("1"));
            let found = Present::among(&fields);
            assert!(found.has(set) && found.0 == set.0, "{name}");
        }
    }
}
