//! What an answer that is stored ought to have said and did not: lawful by the RFC, and browsers break on it.

use http::HeaderMap;
use http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, VARY};

use super::Policy;
use super::vary::is_coded;

/// A mistake of the app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forgotten {
    /// The body is compressed, and `Vary` does not say by what that was chosen.
    VaryEncoding,
    /// One origin is allowed, and `Vary` does not say that another one gets another answer.
    VaryOrigin,
}

impl Forgotten {
    /// In words.
    pub fn as_str(self) -> &'static str {
        match self {
            Forgotten::VaryEncoding => {
                "the answer is compressed and does not say Vary: Accept-Encoding, as which it is taken; caches \
                 between here and the client may hand it to one that cannot read it"
            }
            Forgotten::VaryOrigin => {
                "the answer allows one origin (Access-Control-Allow-Origin) and does not say Vary: Origin, so other \
                 origins get it from the cache and are refused by browsers"
            }
        }
    }

    /// What the app should say, or the config.
    pub fn remedy(self) -> &'static str {
        match self {
            Forgotten::VaryEncoding => "let the app send Vary: Accept-Encoding",
            Forgotten::VaryOrigin => "let the app send Vary: Origin, or write cors = \"vary\"",
        }
    }
}

/// All that a response with these fields forgets under `policy`.
pub fn forgotten(response: &HeaderMap, policy: &Policy) -> Vec<Forgotten> {
    let mut all = Vec::new();
    if is_coded(response) && !varies_on(response, "accept-encoding") {
        all.push(Forgotten::VaryEncoding);
    }
    let mut origins = response.get_all(ACCESS_CONTROL_ALLOW_ORIGIN).iter();
    let is_one = origins.any(|origin| origin.as_bytes().trim_ascii() != b"*");
    if is_one && !policy.variation.by_origin && !varies_on(response, "origin") {
        all.push(Forgotten::VaryOrigin);
    }
    all
}

fn varies_on(response: &HeaderMap, name: &str) -> bool {
    let lines = response.get_all(VARY).into_iter();
    let mut members = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    members.any(|member| {
        let member = member.trim_ascii();
        member == b"*" || member.eq_ignore_ascii_case(name.as_bytes())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http_cache::tests::fixtures::{Lines, headers, rfc};

    /// RFC 9110 §12.5.5: what `Vary` is for.
    #[test]
    fn what_is_forgotten() {
        use Forgotten::{VaryEncoding, VaryOrigin};
        let (gzip, one) = (
            ("content-encoding", "gzip"),
            ("access-control-allow-origin", "https://a"),
        );
        #[rustfmt::skip]
        let rows: &[(&str, Lines, &[Forgotten])] = &[
            ("nothing", &[], &[]),
            ("compressed", &[gzip], &[VaryEncoding]),
            ("compressed, and says so", &[gzip, ("vary", "Origin, accept-Encoding")], &[]),
            ("not compressed", &[("content-encoding", "identity")], &[]),
            ("one origin", &[one], &[VaryOrigin]),
            ("one origin, and says so", &[one, ("vary", "x"), ("vary", "ORIGIN")], &[]),
            ("all origins", &[("access-control-allow-origin", "*")], &[]),
            ("both", &[one, gzip], &[VaryEncoding, VaryOrigin]),
            ("any", &[one, gzip, ("vary", "*")], &[]),
        ];
        for (name, lines, expected) in rows {
            assert_eq!(forgotten(&headers(lines), &rfc()), *expected, "{name}");
        }
        let mut policy = rfc();
        policy.variation.by_origin = true;
        assert_eq!(forgotten(&headers(&[one]), &policy), []);
    }
}
