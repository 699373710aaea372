//! What stands for the credentials of a request: a digest of all that the check is sent.

use http::header::HOST;
use http::{HeaderMap, HeaderValue};
use sha2::{Digest as _, Sha256};

use crate::config::Auth;
use crate::routes::{CheckedCredentials, identities};

/// Half a SHA-256: no secret can be read from it, and no two of them are found that have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Digest([u8; Digest::BYTES]);

/// Makes digests under one `[auth]` table.
#[derive(Clone, Debug)]
pub struct Digester {
    /// Of what the table says: another check says other things of the same credentials.
    about: Sha256,
    checked: CheckedCredentials,
}

impl Digest {
    const BYTES: usize = 16;

    /// The name by which purges reach what is kept under it.
    pub fn name(&self) -> String {
        use std::fmt::Write;
        let mut digits = String::with_capacity(2 * Self::BYTES);
        for byte in self.0 {
            write!(digits, "{byte:02x}").expect("a String takes all");
        }
        identities::name_of(&digits)
    }

    /// The digest of such a name.
    pub fn of_name(name: &str) -> Option<Digest> {
        let digits = identities::digest_in(name)?;
        let mut bytes = [0; Self::BYTES];
        if digits.len() != 2 * Self::BYTES || !digits.is_ascii() {
            return None;
        }
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).ok()?;
        }
        Some(Digest(bytes))
    }

    /// One of `count` parts of all digests.
    pub fn part_of(&self, count: usize) -> usize {
        usize::from(self.0[0]) % count
    }
}

impl Digester {
    /// For the checks of this table.
    pub fn new(auth: &Auth) -> Digester {
        let mut about = Sha256::new();
        push(&mut about, auth.url.as_str().as_bytes());
        for status in &auth.allow {
            push(&mut about, status.as_str().as_bytes());
        }
        push(&mut about, b"");
        for names in &auth.names {
            push(&mut about, names.join(".").as_bytes());
        }
        push(&mut about, b"");
        Digester {
            about,
            checked: auth.credentials.clone(),
        }
    }

    /// Of a request for `host` by `scheme`; `None`: it brings nothing by which anybody could be known.
    pub fn digest(&self, scheme: &str, host: &str, headers: &HeaderMap) -> Option<Digest> {
        let mut hash = self.about.clone();
        push(&mut hash, scheme.as_bytes());
        push(&mut hash, host.as_bytes());
        let named = headers.get(HOST).map_or(&b""[..], HeaderValue::as_bytes);
        push(&mut hash, named);
        let mut is_anybody = false;
        for (name, value) in self.checked.of(headers) {
            push(&mut hash, name.as_str().as_bytes());
            push(&mut hash, &value);
            is_anybody = true;
        }
        let mut digest = [0; Digest::BYTES];
        digest.copy_from_slice(&hash.finalize()[..Digest::BYTES]);
        is_anybody.then_some(Digest(digest))
    }
}

/// With its length in front, so that no end of one piece is taken for the beginning of the next.
fn push(hash: &mut Sha256, piece: &[u8]) {
    hash.update((piece.len() as u64).to_le_bytes());
    hash.update(piece);
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::time::Duration;

    use http::uri::PathAndQuery;
    use http::{HeaderName, StatusCode};

    use super::*;

    /// Scheme, host, fields.
    type Row<'r> = (&'r str, &'r str, &'r [(&'static str, &'r str)]);

    fn auth() -> Auth {
        Auth {
            url: PathAndQuery::from_static("/session"),
            credentials: CheckedCredentials {
                fields: vec![HeaderName::from_static("x-tenant")],
                ..CheckedCredentials::default()
            },
            allow: vec![StatusCode::OK],
            ttl: Duration::from_secs(30),
            timeout: Duration::from_secs(2),
            max: 1,
            max_checks: 1,
            max_body: 1,
            names: Vec::new(),
        }
    }

    fn fields(lines: &[(&'static str, &str)]) -> HeaderMap {
        let lines = lines.iter().map(|(name, value)| {
            let value = HeaderValue::from_str(value).expect("a value");
            (HeaderName::from_static(name), value)
        });
        lines.collect()
    }

    #[test]
    fn no_two_askers_have_the_same() {
        let rows: [Row<'_>; 13] = [
            ("http", "a", &[("cookie", "sid=1")]),
            ("https", "a", &[("cookie", "sid=1")]),
            ("http", "b", &[("cookie", "sid=1")]),
            ("http", "a", &[("cookie", "sid=2")]),
            ("http", "a", &[("cookie", "sid=1; sid=2")]),
            ("http", "a", &[("cookie", "sid=2; sid=1")]),
            ("http", "a", &[("cookie", "sid=1"), ("cookie", "sid=2")]),
            ("http", "a", &[("cookie", "sid=1;sid=2")]),
            ("http", "a", &[("authorization", "sid=1")]),
            ("http", "a", &[("x-tenant", "sid=1")]),
            ("http", "a", &[("x-tenant", "x"), ("cookie", "sid=1")]),
            ("http", "a", &[("x-tenant", "xcookiesid=1")]),
            ("http", "acookie", &[("authorization", "")]),
        ];
        let digester = Digester::new(&auth());
        let digest =
            |(scheme, host, lines): &Row<'_>| digester.digest(scheme, host, &fields(lines));
        let digests: HashSet<_> = rows.iter().map(digest).collect();
        assert_eq!(digests.len(), rows.len());
        assert!(!digests.contains(&None));
        let again = digest(&rows[0]).expect("somebody");
        assert!(digests.contains(&Some(again)));
        assert_eq!(Digest::of_name(&again.name()), Some(again));
    }

    #[test]
    fn who_brings_nothing_has_none() {
        let digester = Digester::new(&auth());
        for lines in [&[("accept", "a")][..], &[("cookie", "_ga=1")], &[]] {
            assert_eq!(digester.digest("http", "a", &fields(lines)), None);
        }
    }

    #[test]
    fn another_check_says_something_else() {
        let headers = fields(&[("cookie", "sid=1")]);
        let of = |auth: &Auth| Digester::new(auth).digest("http", "a", &headers);
        let others = [
            Auth {
                url: PathAndQuery::from_static("/me"),
                ..auth()
            },
            Auth {
                allow: vec![StatusCode::OK, StatusCode::NO_CONTENT],
                ..auth()
            },
            Auth {
                names: vec![vec!["role".to_owned()]],
                ..auth()
            },
        ];
        for other in &others {
            assert_ne!(of(other), of(&auth()), "{other:?}");
        }
    }

    #[test]
    fn what_is_no_name_has_no_digest() {
        for name in [
            " auth:0",
            " auth:",
            "key",
            " auth:*",
            " auth:zz000000000000000000000000000000",
        ] {
            assert_eq!(Digest::of_name(name), None, "{name}");
        }
    }
}
