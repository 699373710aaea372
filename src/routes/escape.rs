//! The spelling of values: how requests encode them, and how keys do.
//!
//! In a key every byte of a value that could be taken for something else becomes `%XX`, so a raw
//! `:` or `*` in a key is always the template's. `%` is always followed by two hex digits, so `%,`
//! and `%-` are free to mean "next value" and "absent".

use sha2::{Digest, Sha256};

/// Between two values of one variable.
pub(super) const NEXT: &str = "%,";
/// In place of the spelling of a variable that the request lacks.
pub(super) const ABSENT: &str = "%-";

/// Where a raw value stands in the request target, which decides how the app decodes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UrlPart {
    /// A path segment: percent-encoding.
    Path,
    /// A query name or value: percent-encoding, and `+` is a space.
    Query,
}

/// Adds `bytes` as part of a key; bytes in `reserved` are escaped besides the usual ones.
pub(super) fn push(out: &mut String, bytes: impl IntoIterator<Item = u8>, reserved: &[u8]) {
    for byte in bytes {
        if is_plain(byte, reserved) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            push_hex(out, byte, b"0123456789ABCDEF");
        }
    }
}

/// Adds `text` as part of a key.
pub(super) fn push_text(out: &mut String, text: &str, reserved: &[u8]) {
    // As a rule nothing is to be escaped, and all of it is copied at once.
    match text.bytes().all(|byte| is_plain(byte, reserved)) {
        true => out.push_str(text),
        false => push(out, text.bytes(), reserved),
    }
}

/// Whether `raw` has one spelling only, which a key holds as it is.
pub(super) fn is_simple(raw: &str) -> bool {
    raw.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~'))
}

/// Whether `byte` stands in a key as it is.
fn is_plain(byte: u8, reserved: &[u8]) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b':' | b'*' | b'%') && !reserved.contains(&byte)
}

/// Adds the digest that stands for a secret: hex of the first 16 bytes of its SHA-256.
pub(super) fn push_digest(out: &mut String, secret: &[u8]) {
    for byte in &Sha256::digest(secret)[..16] {
        push_hex(out, *byte, b"0123456789abcdef");
    }
}

fn push_hex(out: &mut String, byte: u8, digits: &[u8; 16]) {
    out.push(char::from(digits[usize::from(byte >> 4)]));
    out.push(char::from(digits[usize::from(byte & 15)]));
}

/// The bytes an app reads from `raw`. Broken escapes stand for themselves.
pub(super) fn decode(raw: &str, part: UrlPart) -> impl Iterator<Item = u8> + '_ {
    units(raw.as_bytes()).map(move |unit| match unit {
        Unit::Plain(b'+') if part == UrlPart::Query => b' ',
        Unit::Plain(byte) | Unit::Escape { byte, .. } => byte,
    })
}

/// Whether `raw` is spelled as `encodeURIComponent` would; every byte string has exactly one such
/// spelling, so a usual spelling is known from the decoded bytes alone.
pub(super) fn is_usual(raw: &str, part: UrlPart) -> bool {
    units(raw.as_bytes()).all(|unit| match unit {
        Unit::Plain(byte) => is_unreserved(byte, part),
        Unit::Escape { byte, upper } => upper && !is_unreserved(byte, part),
    })
}

/// What `encodeURIComponent` leaves as it is, and in a path the separator.
fn is_unreserved(byte: u8, part: UrlPart) -> bool {
    byte.is_ascii_alphanumeric()
        || b"-_.!~*'()".contains(&byte)
        || (byte == b'/' && part == UrlPart::Path)
}

enum Unit {
    Plain(u8),
    /// A whole `%XX`; `upper` if its digits are written as encoders write them.
    Escape {
        byte: u8,
        upper: bool,
    },
}

fn units(mut raw: &[u8]) -> impl Iterator<Item = Unit> + '_ {
    std::iter::from_fn(move || {
        let (&first, rest) = raw.split_first()?;
        if let (b'%', &[high, low, ..]) = (first, rest)
            && let (Some(high_value), Some(low_value)) = (hex_value(high), hex_value(low))
        {
            raw = &rest[2..];
            let upper = !high.is_ascii_lowercase() && !low.is_ascii_lowercase();
            let byte = high_value << 4 | low_value;
            return Some(Unit::Escape { byte, upper });
        }
        raw = rest;
        Some(Unit::Plain(first))
    })
}

/// The value of a hex digit.
pub(super) fn hex_value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decoded(raw: &str, part: UrlPart) -> Vec<u8> {
        decode(raw, part).collect()
    }

    proptest! {
        #[test]
        fn the_short_ways_lead_to_the_same_key(raw in "[a-zA-Z0-9._~/?:%+*é -]{0,8}") {
            let mut whole = String::new();
            push_text(&mut whole, &raw, b"?");
            let mut bytewise = String::new();
            push(&mut bytewise, raw.bytes(), b"?");
            prop_assert_eq!(&whole, &bytewise);
            for part in [UrlPart::Path, UrlPart::Query] {
                if is_simple(&raw) {
                    let mut key = String::new();
                    push(&mut key, decode(&raw, part), b"");
                    prop_assert_eq!(&key, &raw);
                    prop_assert!(is_usual(&raw, part));
                }
            }
        }
    }

    #[test]
    fn decodes_as_the_app_would() {
        for (name, raw, part, expected) in [
            ("plain", "abc", UrlPart::Query, "abc"),
            ("escape", "a%20b", UrlPart::Query, "a b"),
            ("plus in a query", "a+b", UrlPart::Query, "a b"),
            ("plus in a path", "a+b", UrlPart::Path, "a+b"),
            ("escaped plus", "a%2Bb", UrlPart::Query, "a+b"),
            ("lower-case hex", "%2f", UrlPart::Path, "/"),
            ("broken escape", "%zz", UrlPart::Query, "%zz"),
            ("cut escape", "a%2", UrlPart::Query, "a%2"),
            ("escape behind a percent", "%%41", UrlPart::Query, "%A"),
            ("decoded once", "%2541", UrlPart::Query, "%41"),
        ] {
            assert_eq!(decoded(raw, part), expected.as_bytes(), "{name}");
        }
    }

    #[test]
    fn usual_is_encode_uri_component() {
        for (raw, part, expected) in [
            ("abc-_.!~*'()", UrlPart::Query, true),
            ("a%20b", UrlPart::Query, true),
            ("%C3%A9", UrlPart::Query, true),
            ("a+b", UrlPart::Query, false),
            ("%61", UrlPart::Query, false),
            ("%c3%a9", UrlPart::Query, false),
            ("a/b", UrlPart::Query, false),
            ("a/b", UrlPart::Path, true),
            ("%", UrlPart::Query, false),
        ] {
            assert_eq!(is_usual(raw, part), expected, "{raw}");
        }
    }

    #[test]
    fn digest_is_half_a_sha_256() {
        let mut out = String::new();
        push_digest(&mut out, b"abc");
        assert_eq!(out, "ba7816bf8f01cfea414140de5dae2223");
    }

    proptest! {
        #[test]
        fn escaping_is_injective_and_inert(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let mut out = String::new();
            push(&mut out, bytes.iter().copied(), b"&");
            prop_assert!(out.bytes().all(|byte| byte.is_ascii_graphic()));
            prop_assert!(!out.contains([':', '*', '&']));
            prop_assert!(!out.contains(NEXT) && !out.contains(ABSENT));
            prop_assert_eq!(decoded(&out, UrlPart::Path), bytes);
        }

        #[test]
        fn only_one_spelling_is_usual(a in "[a/+%2BbfF6 0-3é]{0,6}", b in "[a/+%2BbfF6 0-3é]{0,6}") {
            for part in [UrlPart::Path, UrlPart::Query] {
                if is_usual(&a, part) && is_usual(&b, part) && a != b {
                    prop_assert_ne!(decoded(&a, part), decoded(&b, part));
                }
            }
        }
    }
}
