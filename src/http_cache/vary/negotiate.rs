//! Many preferences made into the few that the app serves (RFC 9110 §12.5.3, §12.5.4; RFC 4647 §3.4).

use http::HeaderMap;
use http::header::{ACCEPT_ENCODING, ACCEPT_LANGUAGE, HeaderName};

use super::normal::{Weighed, weighed_members};

/// The one of `served` that the request's `Accept-Language` asks for: the first that a range of it names, its
/// ranges by weight; without any the first that is served.
pub(super) fn language<'s>(headers: &HeaderMap, served: &'s [Box<str>]) -> Option<&'s str> {
    let ranges = preferences(headers, &ACCEPT_LANGUAGE);
    let best = ranges
        .iter()
        .filter(|range| range.weight > 0)
        .find_map(|range| look_up(&range.text, served));
    best.or(served.first().map(|tag| &**tag))
}

/// RFC 4647 §3.4: the range, made shorter at its end until something is found. A range such as `de` also finds
/// `de-CH`, and so does `de-AT` where there is no `de`.
fn look_up<'s>(range: &[u8], served: &'s [Box<str>]) -> Option<&'s str> {
    if range == b"*" {
        return served.first().map(|tag| &**tag);
    }
    let mut rest = range;
    loop {
        let exact = served
            .iter()
            .find(|tag| tag.as_bytes().eq_ignore_ascii_case(rest));
        if let Some(tag) = exact {
            return Some(tag);
        }
        match rest.iter().rposition(|byte| *byte == b'-') {
            Some(end) => rest = &rest[..end],
            None => break,
        }
    }
    served.iter().map(|tag| &**tag).find(|tag| {
        tag.len() > rest.len()
            && tag.as_bytes()[rest.len()] == b'-'
            && tag.as_bytes()[..rest.len()].eq_ignore_ascii_case(rest)
    })
}

/// The first of `served` that the request's `Accept-Encoding` accepts; `identity` if it accepts none, or says
/// nothing.
pub(super) fn coding<'s>(headers: &HeaderMap, served: &'s [Box<str>]) -> &'s str {
    let accepted = preferences(headers, &ACCEPT_ENCODING);
    let best = served
        .iter()
        .find(|coding| weight(&accepted, coding.as_bytes()) > 0);
    best.map_or("identity", |coding| coding)
}

/// Whether the request accepts a body in this content coding (in lower case); who says nothing accepts any.
pub(super) fn accepts(headers: &HeaderMap, coding: &[u8]) -> bool {
    let coding = coding.strip_prefix(b"x-").unwrap_or(coding);
    !headers.contains_key(ACCEPT_ENCODING)
        || weight(&preferences(headers, &ACCEPT_ENCODING), coding) > 0
}

/// Whether the request names zstd as a coding that it likes at least as well as none.
pub(in crate::http_cache) fn prefers_zstd(headers: &HeaderMap) -> bool {
    let mut lines = headers.get_all(ACCEPT_ENCODING).iter();
    // Asked of each hit, and few clients name it.
    let names_it = |line: &[u8]| {
        line.windows(4)
            .any(|word| word.eq_ignore_ascii_case(b"zstd"))
    };
    if !lines.any(|line| names_it(line.as_bytes())) {
        return false;
    }
    let accepted = preferences(headers, &ACCEPT_ENCODING);
    let named = |name: &[u8]| {
        let member = accepted.iter().find(|member| member.text == name);
        member.map_or(0, |member| member.weight)
    };
    let zstd = named(b"zstd");
    zstd > 0 && zstd >= named(b"identity")
}

fn weight(accepted: &[Weighed], name: &[u8]) -> u16 {
    let is = |member: &&Weighed| member.text.strip_prefix(b"x-").unwrap_or(&member.text) == name;
    let named = accepted.iter().find(is);
    let any = accepted.iter().find(|member| member.text == b"*");
    named.or(any).map_or(0, |member| member.weight)
}

fn preferences(headers: &HeaderMap, name: &HeaderName) -> Vec<Weighed> {
    let lines = headers.get_all(name).iter();
    let mut members: Vec<Weighed> = lines
        .flat_map(|line| weighed_members(&line.as_bytes().to_ascii_lowercase()))
        .collect();
    members.sort_by_key(|member| std::cmp::Reverse(member.weight));
    members
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http_cache::tests::fixtures::headers;

    fn served(tags: &[&str]) -> Vec<Box<str>> {
        tags.iter().map(|tag| Box::from(*tag)).collect()
    }

    /// RFC 4647 §3.4.
    #[test]
    fn languages() {
        let served = served(&["en", "de", "pt-BR", "zh-Hant"]);
        #[rustfmt::skip]
        let rows = [
            ("named", "de", "de"),
            ("by weight", "en;q=0.5, de", "de"),
            ("in its order", "de, en", "de"),
            ("a region more", "de-AT, fr;q=0.9", "de"),
            ("a region less", "pt", "pt-BR"),
            ("another region", "pt-PT, de;q=0.1", "pt-BR"),
            ("two subtags more", "zh-Hant-TW", "zh-Hant"),
            ("case", "DE-at", "de"),
            ("not wished", "de;q=0, fr", "en"),
            ("none of them", "fr, it", "en"),
            ("any", "fr, *;q=0.1", "en"),
            ("not readable", "q=;;,", "en"),
            ("a part of a word", "d", "en"),
        ];
        for (name, line, expected) in rows {
            let headers = headers(&[("accept-language", line)]);
            assert_eq!(language(&headers, &served), Some(expected), "{name}");
        }
        assert_eq!(language(&headers(&[]), &served), Some("en"), "nothing said");
    }

    /// RFC 9110 §12.5.3.
    #[test]
    fn accepted_codings() {
        #[rustfmt::skip]
        let rows = [
            ("named", "gzip, br", "gzip", true),
            ("under its old name", "x-gzip", "gzip", true),
            ("the old name of it", "gzip", "x-gzip", true),
            ("not named", "br", "gzip", false),
            ("refused", "gzip;q=0, *", "gzip", false),
            ("any", "*", "gzip", true),
            ("any refused", "br, *;q=0", "gzip", false),
            ("nothing but itself", "identity", "gzip", false),
            ("an empty list", "", "gzip", false),
        ];
        for (name, line, coding, expected) in rows {
            let headers = headers(&[("accept-encoding", line)]);
            assert_eq!(accepts(&headers, coding.as_bytes()), expected, "{name}");
        }
        assert!(accepts(&headers(&[]), b"gzip"), "nothing said");
    }

    /// RFC 9110 §12.5.3.
    #[test]
    fn codings() {
        let served = served(&["br", "gzip"]);
        #[rustfmt::skip]
        let rows = [
            ("both", "gzip, deflate, br", "br"),
            ("one", "gzip, deflate", "gzip"),
            ("with weights", "gzip;q=1.0, br;q=0.1", "br"),
            ("one refused", "gzip, br;q=0", "gzip"),
            ("any", "*", "br"),
            ("any but one", "*, br;q=0", "gzip"),
            ("none of them", "zstd", "identity"),
            ("identity", "identity", "identity"),
            ("case", "GZIP", "gzip"),
        ];
        for (name, line, expected) in rows {
            let headers = headers(&[("accept-encoding", line)]);
            assert_eq!(coding(&headers, &served), expected, "{name}");
        }
        assert_eq!(coding(&headers(&[]), &served), "identity", "nothing said");
    }
}
