//! What stands for the credentials of a request: a digest of all that the check is sent.

use std::ops::RangeInclusive;

use http::header::{AUTHORIZATION, COOKIE, HOST};
use http::{HeaderMap, HeaderName, HeaderValue};
use sha2::{Digest as _, Sha256};

use crate::config::Auth;
use crate::routes::{CheckedCredentials, identities};

/// Who asks, and where: no secret can be read from it, and no two requests are found that have the same. Ordered by who.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest {
    credentials: Credentials,
    /// Of all that the check is sent.
    whole: Half,
}

/// Of what a person brings to every host, by every scheme: the cookies and the authorization that the check is sent; of who
/// has neither, all fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Credentials(Half);

/// Half a SHA-256.
type Half = [u8; 16];

/// Makes digests under one `[auth]` table.
#[derive(Clone, Debug)]
pub struct Digester {
    /// Of what the table says: another check says other things of the same credentials.
    about: Sha256,
    checked: CheckedCredentials,
}

impl Digest {
    /// The name by which purges reach what is kept under it, and under all others of the same credentials.
    pub fn name(&self) -> String {
        self.credentials.name()
    }

    /// Who asks.
    pub fn credentials(&self) -> Credentials {
        self.credentials
    }

    /// One of `count` parts of all digests; the same for all of the same credentials.
    pub fn part_of(&self, count: usize) -> usize {
        self.credentials.part_of(count)
    }
}

impl Credentials {
    /// Their name.
    pub fn name(&self) -> String {
        use std::fmt::Write;
        let mut digits = String::with_capacity(2 * self.0.len());
        for byte in self.0 {
            write!(digits, "{byte:02x}").expect("a String takes all");
        }
        identities::name_of(&digits)
    }

    /// Those of such a name.
    pub fn of_name(name: &str) -> Option<Credentials> {
        let digits = identities::digest_in(name)?;
        let mut bytes = Half::default();
        if digits.len() != 2 * bytes.len() || !digits.is_ascii() {
            return None;
        }
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).ok()?;
        }
        Some(Credentials(bytes))
    }

    /// One of `count` parts.
    pub fn part_of(&self, count: usize) -> usize {
        usize::from(self.0[0]) % count
    }

    /// From the first to the last digest of theirs.
    pub fn digests(self) -> RangeInclusive<Digest> {
        let with = |whole| Digest {
            credentials: self,
            whole,
        };
        with([0; 16])..=with([u8::MAX; 16])
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
        let mut whole = self.about.clone();
        push(&mut whole, scheme.as_bytes());
        push(&mut whole, host.as_bytes());
        let named = headers.get(HOST).map_or(&b""[..], HeaderValue::as_bytes);
        push(&mut whole, named);
        let mut everywhere = Sha256::new();
        let (mut is_anybody, mut is_known_everywhere) = (false, false);
        for (name, value) in self.checked.of(headers) {
            for piece in [name.as_str().as_bytes(), &value] {
                push(&mut whole, piece);
                if is_of_person(name) {
                    push(&mut everywhere, piece);
                }
            }
            is_anybody = true;
            is_known_everywhere |= is_of_person(name);
        }
        let credentials = match is_known_everywhere {
            true => everywhere,
            false => self.fields(headers),
        };
        is_anybody.then(|| Digest {
            credentials: Credentials(half(credentials)),
            whole: half(whole),
        })
    }

    /// All that is sent of a request, whatever it is to.
    fn fields(&self, headers: &HeaderMap) -> Sha256 {
        let mut hash = Sha256::new();
        for (name, value) in self.checked.of(headers) {
            push(&mut hash, name.as_str().as_bytes());
            push(&mut hash, &value);
        }
        hash
    }
}

/// What further fields say, such as a tenant, may differ between two requests of one person.
fn is_of_person(name: &HeaderName) -> bool {
    *name == COOKIE || *name == AUTHORIZATION
}

fn half(hash: Sha256) -> Half {
    let mut half = Half::default();
    let len = half.len();
    half.copy_from_slice(&hash.finalize()[..len]);
    half
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

    use http::StatusCode;
    use http::uri::PathAndQuery;

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
        let name = again.name();
        assert_eq!(Credentials::of_name(&name), Some(again.credentials()));
    }

    #[test]
    fn a_person_is_the_same_at_every_host() {
        let digester = Digester::new(&auth());
        let of = |(scheme, host, lines): Row<'_>| {
            let digest = digester.digest(scheme, host, &fields(lines));
            digest.expect("somebody")
        };
        let one = of(("http", "a", &[("cookie", "sid=1")]));
        let rows: [(&str, Row<'_>, bool); 8] = [
            ("a scheme", ("https", "a", &[("cookie", "sid=1")]), true),
            ("a host", ("http", "b", &[("cookie", "sid=1")]), true),
            (
                "Host",
                ("http", "a", &[("cookie", "sid=1"), ("host", "c")]),
                true,
            ),
            (
                "a tenant",
                ("http", "a", &[("cookie", "sid=1"), ("x-tenant", "x")]),
                true,
            ),
            ("another", ("http", "a", &[("cookie", "sid=2")]), false),
            (
                "two",
                ("http", "a", &[("cookie", "sid=1"), ("authorization", "x")]),
                false,
            ),
            ("a field", ("http", "a", &[("x-tenant", "sid=1")]), false),
            (
                "a token",
                ("http", "a", &[("authorization", "sid=1")]),
                false,
            ),
        ];
        for (case, row, is_one) in rows {
            let other = of(row);
            assert_ne!(other, one, "{case}: decisions stay apart");
            assert_eq!(other.credentials() == one.credentials(), is_one, "{case}");
            assert_eq!(
                one.credentials().digests().contains(&other),
                is_one,
                "{case}"
            );
        }
        let tenants = ["x", "y"].map(|tenant| of(("http", "a", &[("x-tenant", tenant)])));
        assert_ne!(tenants[0].credentials(), tenants[1].credentials());
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
            assert_eq!(Credentials::of_name(name), None, "{name}");
        }
    }
}
