//! `{body}`: what stands for the whole body of a request in a key.
//!
//! JSON counts by what it says: the order of members and the blanks between tokens are left out, numbers and
//! strings stay as they are spelled, since what an app makes of two spellings is its own affair. Every other body
//! counts byte by byte, as does JSON with a doubled member, whose members stand in no order for every parser.

use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use sha2::{Digest, Sha256};

use super::escape::push_digest;
use super::json;

/// What stands in the key of a request that has no body by its method, where others under the same rule have one.
pub const NONE: &str = "-";

/// The digest of a body, with all that its `Content-*` fields say of how to read it: two readings of the same
/// bytes never share one. The length says nothing that the body does not, and differs between spellings.
pub fn digest(fields: &HeaderMap, body: &[u8]) -> String {
    let mut lines: Vec<(&str, &[u8])> = fields
        .iter()
        .filter(|(name, _)| name.as_str().starts_with("content-") && *name != CONTENT_LENGTH)
        .map(|(name, value)| (name.as_str(), value.as_bytes()))
        .collect();
    // Stable: the lines of one field keep their order.
    lines.sort_by_key(|(name, _)| *name);
    let mut hash = Sha256::new();
    for (name, value) in lines {
        for text in [name.as_bytes(), value] {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text);
        }
    }
    let canonical = is_plain_json(fields)
        .then(|| canonical_json(body))
        .flatten();
    hash.update([u8::from(canonical.is_some())]);
    hash.update(canonical.as_deref().unwrap_or(body));
    let mut digest = String::new();
    push_digest(&mut digest, &hash.finalize());
    digest
}

/// Whether the fields say JSON in UTF-8, in no content coding.
fn is_plain_json(fields: &HeaderMap) -> bool {
    let mut kinds = fields.get_all(CONTENT_TYPE).iter();
    let (Some(kind), None) = (kinds.next(), kinds.next()) else {
        return false;
    };
    let Ok(kind) = kind.to_str().map(str::to_ascii_lowercase) else {
        return false;
    };
    let (kind, parameters) = kind.split_once(';').unwrap_or((&kind, ""));
    let kind = kind.trim();
    let is_json = kind == "application/json" || kind.ends_with("+json");
    let is_utf8 = ["", "charset=utf-8", "charset=\"utf-8\""].contains(&parameters.trim());
    is_json && is_utf8 && !fields.contains_key(CONTENT_ENCODING)
}

/// The same document without blanks and with its members in order; `None`: it is none, or says two things.
fn canonical_json(text: &[u8]) -> Option<Vec<u8>> {
    // Also bounds how deep it is.
    let document = json::parse(text)?;
    if document.is_ambiguous {
        return None;
    }
    let mut scanner = Scanner { rest: text };
    let mut out = Vec::with_capacity(text.len());
    scanner.write_value(&mut out);
    Some(out)
}

/// Goes through a document that is known to be JSON.
struct Scanner<'t> {
    rest: &'t [u8],
}

impl<'t> Scanner<'t> {
    fn write_value(&mut self, out: &mut Vec<u8>) {
        match self.peek() {
            Some(b'{') => self.write_object(out),
            Some(b'[') => self.write_list(out),
            _ => out.extend_from_slice(self.take_scalar()),
        }
    }

    fn write_object(&mut self, out: &mut Vec<u8>) {
        let mut members: Vec<(&'t [u8], Vec<u8>)> = Vec::new();
        self.skip(b'{');
        while self.peek().is_some_and(|next| next != b'}') {
            let name = self.take_scalar();
            self.skip(b':');
            let mut member = Vec::new();
            self.write_value(&mut member);
            members.push((name, member));
            self.skip(b',');
        }
        self.skip(b'}');
        // Two spellings of one name would be a doubled member, which is not canonical.
        members.sort_by_key(|(name, _)| *name);
        out.push(b'{');
        for (index, (name, member)) in members.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            out.extend_from_slice(name);
            out.push(b':');
            out.extend_from_slice(member);
        }
        out.push(b'}');
    }

    fn write_list(&mut self, out: &mut Vec<u8>) {
        self.skip(b'[');
        out.push(b'[');
        let mut is_first = true;
        while self.peek().is_some_and(|next| next != b']') {
            if !std::mem::take(&mut is_first) {
                out.push(b',');
            }
            self.write_value(out);
            self.skip(b',');
        }
        self.skip(b']');
        out.push(b']');
    }

    /// A string with its quotes, a number or a word, as it is spelled.
    fn take_scalar(&mut self) -> &'t [u8] {
        let is_string = self.peek() == Some(b'"');
        let end = match is_string {
            true => end_of_string(self.rest),
            false => {
                let ends = |byte: &u8| byte.is_ascii_whitespace() || b",]}:".contains(byte);
                self.rest.iter().position(ends)
            }
        };
        let (scalar, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        scalar
    }

    fn peek(&mut self) -> Option<u8> {
        self.rest = self.rest.trim_ascii_start();
        self.rest.first().copied()
    }

    fn skip(&mut self, byte: u8) {
        if self.peek() == Some(byte) {
            self.rest = &self.rest[1..];
        }
    }
}

/// Behind the closing quote.
fn end_of_string(text: &[u8]) -> Option<usize> {
    let mut is_escaped = false;
    let closes = |byte: &u8| {
        let closes = *byte == b'"' && !is_escaped;
        is_escaped = *byte == b'\\' && !is_escaped;
        closes
    };
    let closing = text.iter().skip(1).position(closes)?;
    Some(closing + 2)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const JSON: &[(&str, &str)] = &[("content-type", "application/json")];

    fn of(fields: &[(&'static str, &str)], body: &[u8]) -> String {
        let mut all = HeaderMap::new();
        for (name, value) in fields {
            all.append(*name, HeaderValue::from_str(value).expect("a value"));
        }
        digest(&all, body)
    }

    #[test]
    fn json_counts_by_what_it_says() {
        #[rustfmt::skip]
        let rows = [
            ("blanks", r#"{"a":[1,2],"b":"x"}"#, "{ \"a\" : [1 ,\n2]\t, \"b\":\"x\" }\r\n", true),
            ("members", r#"{"a":1,"b":{"c":[],"d":{}}}"#, r#"{"b":{"d":{},"c":[]},"a":1}"#, true),
            ("in a list", r#"[{"a":1,"b":2}]"#, r#"[{"b":2,"a":1}]"#, true),
            ("a scalar", "1", " 1 ", true),
            ("another value", r#"{"a":1}"#, r#"{"a":2}"#, false),
            ("items in another order", "[1,2]", "[2,1]", false),
            ("blanks in a string", r#"{"a":"b c"}"#, r#"{"a":"bc"}"#, false),
            ("an escaped quote", r#"{"a":"\" b","c":1}"#, r#"{"a":"\"b","c":1}"#, false),
            ("a backslash at the end", r#"{"a":"\\","b":" "}"#, r#"{"b":" ","a":"\\"}"#, true),
            ("another number", "[1]", "[1.0]", false),
            ("large numbers", "[12345678901234567890123]", "[12345678901234567890124]", false),
            ("a string for a number", "[1]", r#"["1"]"#, false),
            ("a string in another spelling", r#"["a"]"#, r#"["\u0061"]"#, false),
            ("nested otherwise", "[[],[]]", "[[[]]]", false),
            ("doubled members", r#"{"a":1,"a":2}"#, r#"{"a":2,"a":1}"#, false),
            ("doubled, and blanks", r#"{"a":1,"a":2}"#, r#"{"a":1, "a":2}"#, false),
            ("doubled in another spelling", r#"{"a":1,"\u0061":2}"#, r#"{"\u0061":2,"a":1}"#, false),
            ("no JSON", "{a: 1}", "{a:1}", false),
            ("nothing", "", " ", false),
        ];
        for (name, one, other, same) in rows {
            let (one, other) = (of(JSON, one.as_bytes()), of(JSON, other.as_bytes()));
            assert_eq!(one == other, same, "{name}");
            assert_eq!(one.len(), 32, "{name}");
        }
    }

    #[test]
    fn two_readings_of_the_same_bytes_share_nothing() {
        let (body, spaced) = (br#"{"a":1}"#, br#"{"a": 1}"#);
        let readings: [&[(&str, &str)]; 8] = [
            &[],
            JSON,
            &[("content-type", "application/json; charset=utf-16")],
            &[("content-type", "text/plain")],
            &[
                ("content-type", "application/json"),
                ("content-encoding", "gzip"),
            ],
            &[
                ("content-type", "application/json"),
                ("content-type", "text/plain"),
            ],
            &[
                ("content-type", "text/plain"),
                ("content-type", "application/json"),
            ],
            &[
                ("content-type", "application/json"),
                ("content-language", "de"),
            ],
        ];
        let mut seen = std::collections::HashSet::new();
        for fields in readings {
            assert!(seen.insert(of(fields, body)), "{fields:?}");
            let by_meaning =
                fields == JSON || fields.iter().any(|(name, _)| *name == "content-language");
            assert_eq!(
                of(fields, body) == of(fields, spaced),
                by_meaning,
                "{fields:?}"
            );
        }
        let lengths = ["7", "8"].map(|length| of(&[("content-length", length)], body));
        assert_eq!(lengths[0], lengths[1]);
    }

    #[test]
    fn kinds_of_json() {
        #[rustfmt::skip]
        let rows = [
            ("application/json", true),
            ("Application/JSON; Charset=UTF-8", true),
            ("application/vnd.api+json", true),
            ("application/json;charset=\"utf-8\"", true),
            ("application/json; charset=latin1", false),
            ("application/x-ndjson", false),
            ("application/x-www-form-urlencoded", false),
        ];
        for (kind, expected) in rows {
            let kind = HeaderValue::from_static(kind);
            let fields = HeaderMap::from_iter([(CONTENT_TYPE, kind.clone())]);
            assert_eq!(is_plain_json(&fields), expected, "{kind:?}");
        }
    }
}
