//! Answers in zstd made of responses in no content coding (RFC 9110 §7.7, §8.4; RFC 8878).
//!
//! To caches downstream such an answer is another representation: it says that it varies, has no strong validator and
//! offers no ranges.

use http::header::{ACCEPT_RANGES, CONTENT_ENCODING, CONTENT_LENGTH, ETAG, IF_RANGE, VARY};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::directives::forbid_transforming;
use super::vary::{self, list_members, prefers_zstd};
use super::{RequestHead, Stored};

/// What is said of the very bytes that go out, or signed with them.
const ABOUT_BYTES: [&str; 6] = [
    "content-digest",
    "content-md5",
    "digest",
    "repr-digest",
    "signature",
    "signature-input",
];

/// Whether `request` wants zstd, and `stored`, which is in no coding, may go out in it: a strong entity tag would name
/// two representations (RFC 9110 §8.8.1).
pub fn may_recode(request: &RequestHead<'_>, stored: &Stored) -> bool {
    let fields = &stored.headers;
    let has_strong_tag = || {
        let tag = fields.get(ETAG);
        tag.is_some_and(|tag| !tag.as_bytes().starts_with(b"W/"))
    };
    prefers_zstd(request.headers)
        && stored.part.is_none()
        && !has_strong_tag()
        && !vary::is_coded(fields)
        && !ABOUT_BYTES.iter().any(|name| fields.contains_key(*name))
        && !forbid_transforming(request.headers)
        && !forbid_transforming(fields)
}

/// Whether a range that `request` asks for would be one of another representation than it has: of the one in zstd
/// there are no ranges.
pub fn ignores_range(request: &RequestHead<'_>) -> bool {
    request.headers.contains_key(IF_RANGE)
}

/// Makes the fields of a response those of the same in zstd.
pub fn recode(fields: &mut HeaderMap) {
    fields.remove(CONTENT_LENGTH);
    fields.remove(ACCEPT_RANGES);
    fields.insert(CONTENT_ENCODING, HeaderValue::from_static("zstd"));
    vary_on_coding(fields);
}

/// Says that the answer depends on what codings are accepted.
pub fn vary_on_coding(fields: &mut HeaderMap) {
    if !has_member(fields, &VARY, "accept-encoding") && !has_member(fields, &VARY, "*") {
        fields.append(VARY, HeaderValue::from_static("Accept-Encoding"));
    }
}

fn has_member(fields: &HeaderMap, name: &HeaderName, member: &str) -> bool {
    list_members(fields, name).any(|found| found.eq_ignore_ascii_case(member.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http_cache::tests::fixtures::{get, headers, stored};

    /// RFC 9110 §8.8.1, §12.5.3; RFC 9111 §5.2.1.6, §5.2.2.6.
    #[test]
    fn only_who_wants_zstd_gets_it_and_only_of_what_may_change() {
        const WANTED: (&str, &str) = ("accept-encoding", "gzip, zstd");
        #[rustfmt::skip]
        let rows = [
            ("wanted", &[WANTED][..], &[][..], true),
            ("says nothing", &[], &[], false),
            ("anything", &[("accept-encoding", "*")], &[], false),
            ("not wanted", &[("accept-encoding", "zstd;q=0, gzip")], &[], false),
            ("less than none", &[("accept-encoding", "identity, zstd;q=0.5")], &[], false),
            ("as much as none", &[("accept-encoding", "identity, ZSTD")], &[], true),
            ("a strong tag", &[WANTED], &[("etag", "\"a\"")], false),
            ("a weak tag", &[WANTED], &[("etag", "W/\"a\"")], true),
            ("not to be changed", &[WANTED], &[("cache-control", "max-age=9, No-Transform")], false),
            ("not to be changed, behind a blank", &[WANTED], &[("cache-control", "public no-transform")], false),
            ("not to be changed, behind a semicolon", &[WANTED], &[("cache-control", "public; no-transform")], false),
            ("within a quoted argument", &[WANTED], &[("cache-control", "a=\"no-transform\"")], true),
            ("asked not to, behind a blank", &[WANTED, ("cache-control", "no-cache no-transform")], &[], false),
            ("asked not to", &[WANTED, ("cache-control", "no-transform")], &[], false),
            ("in a coding", &[WANTED], &[("content-encoding", "br")], false),
            ("a digest", &[WANTED], &[("repr-digest", "sha-256=:AA==:")], false),
            ("signed", &[WANTED], &[("signature-input", "a=()")], false),
        ];
        for (name, request, response, expected) in rows {
            let fields = headers(request);
            let kept = Stored {
                headers: headers(response),
                ..stored(&[("cache-control", "max-age=9")])
            };
            assert_eq!(may_recode(&get(&fields), &kept), expected, "{name}");
        }
    }

    /// RFC 9110 §12.5.5.
    #[test]
    fn it_says_that_it_varies_once() {
        let rows = [
            ("", vec!["Accept-Encoding"]),
            ("Origin", vec!["Origin", "Accept-Encoding"]),
            ("accept-encoding, Origin", vec!["accept-encoding, Origin"]),
            ("*", vec!["*"]),
        ];
        for (vary, expected) in rows {
            let mut fields = match vary {
                "" => HeaderMap::new(),
                vary => headers(&[
                    ("vary", vary),
                    ("content-length", "9"),
                    ("accept-ranges", "bytes"),
                ]),
            };
            recode(&mut fields);
            let lines: Vec<_> = fields.get_all(VARY).iter().collect();
            assert_eq!(lines, expected, "{vary}");
            assert_eq!(fields[CONTENT_ENCODING], "zstd", "{vary}");
            assert!(!fields.contains_key(CONTENT_LENGTH), "{vary}");
            assert!(!fields.contains_key(ACCEPT_RANGES), "{vary}");
        }
    }
}
