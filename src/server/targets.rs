//! Raw characters in the targets of HTTP/1 requests: UTF-8, quotes and angle brackets, as old clients and scripts send
//! them. hyper refuses some and an app may read others in two ways, so they are percent-encoded before anybody looks
//! (RFC 3986 §2.1): rules and app see the same plain target, which means what was sent.

/// The request lines among the bytes of a connection, as far as it is certain where they begin.
#[derive(Debug, Default)]
pub(super) struct Targets {
    place: Place,
    /// Whether the bytes go on behind something else than an empty line.
    is_amid: bool,
    /// Encoded, and not handed on yet.
    held: Vec<u8>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Elsewhere,
    Method,
    Path,
    Query,
}

impl Targets {
    /// Looks at the bytes of one read. `may_begin`: they begin with a head, if the ones before ended with one. What
    /// takes their place, if any of them is raw; [`Targets::held`] has it.
    ///
    /// Where a head begins in the midst of a read nobody can tell without reading bodies: its target stays as it is.
    pub(super) fn take(&mut self, bytes: &[u8], may_begin: bool) -> bool {
        if may_begin && !self.is_amid && self.place == Place::Elsewhere {
            self.place = Place::Method;
        }
        self.is_amid = !bytes.ends_with(b"\n\r\n") && !bytes.ends_with(b"\n\n");
        if self.place == Place::Elsewhere {
            return false;
        }
        let end = memchr::memchr(b'\n', bytes);
        let line = &bytes[..end.unwrap_or(bytes.len())];
        let is_raw = has_raw(line);
        if is_raw || end.is_none() {
            self.encode(line);
        }
        if end.is_some() {
            self.place = Place::Elsewhere;
        }
        if is_raw {
            self.held.extend_from_slice(&bytes[line.len()..]);
        } else {
            self.held.clear();
        }
        is_raw
    }

    /// What is still to be handed on.
    pub(super) fn held(&self) -> &[u8] {
        &self.held
    }

    /// So many of these have been.
    pub(super) fn handed_on(&mut self, bytes: usize) {
        self.held.drain(..bytes);
        if self.held.is_empty() {
            // Few connections ever have any.
            self.held = Vec::new();
        }
    }

    fn encode(&mut self, line: &[u8]) {
        const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
        for &byte in line {
            self.place = match (self.place, byte) {
                (Place::Method, b' ') => Place::Path,
                (Place::Path, b'?') => Place::Query,
                (place, _) => place,
            };
            if is_refused(self.place, byte) {
                let (high, low) = (usize::from(byte >> 4), usize::from(byte & 15));
                self.held.extend([b'%', DIGITS[high], DIGITS[low]]);
            } else {
                self.held.push(byte);
            }
        }
    }
}

/// Whether a target with this byte would be refused, here or by hyper. Others that are raw go through as they are.
fn is_refused(place: Place, byte: u8) -> bool {
    match place {
        Place::Elsewhere | Place::Method => false,
        Place::Path => byte >= 0x80 || matches!(byte, b'<' | b'>' | b'`'),
        Place::Query => byte >= 0x80 || matches!(byte, b'"' | b'<' | b'>'),
    }
}

/// Without a branch for each byte: nearly all lines have none.
fn has_raw(line: &[u8]) -> bool {
    line.iter().fold(false, |found, &byte| {
        found | (byte >= 0x80) | (byte == b'"') | (byte == b'<') | (byte == b'>') | (byte == b'`')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of reads, each at a time when a head may begin or not.
    fn handed_on(reads: &[(&str, bool)]) -> String {
        let (mut targets, mut all) = (Targets::default(), Vec::new());
        for (bytes, may_begin) in reads {
            if targets.take(bytes.as_bytes(), *may_begin) {
                all.extend_from_slice(targets.held());
                targets.handed_on(targets.held().len());
            } else {
                assert!(targets.held().is_empty());
                all.extend_from_slice(bytes.as_bytes());
            }
        }
        String::from_utf8(all).expect("no byte is split")
    }

    #[test]
    fn raw_targets_are_encoded() {
        let rows = [
            (
                "GET /caf\u{e9} HTTP/1.1\r\nA: \u{e9}\r\n\r\n",
                "GET /caf%C3%A9 HTTP/1.1\r\nA: \u{e9}\r\n\r\n",
            ),
            (
                "GET /?q=\"<x>\" HTTP/1.1\r\n\r\n",
                "GET /?q=%22%3Cx%3E%22 HTTP/1.1\r\n\r\n",
            ),
            (
                "GET /<\"`>?`|{^}\\ HTTP/1.1\r\n\r\n",
                "GET /%3C\"%60%3E?`|{^}\\ HTTP/1.1\r\n\r\n",
            ),
            ("G\"<T / HTTP/1.1\r\n\r\n", "G\"<T / HTTP/1.1\r\n\r\n"),
            (
                "GET /%C3%A9?a=1 HTTP/1.1\r\nA: \"<>\"\r\n\r\n",
                "GET /%C3%A9?a=1 HTTP/1.1\r\nA: \"<>\"\r\n\r\n",
            ),
        ];
        for (sent, expected) in rows {
            assert_eq!(handed_on(&[(sent, true)]), expected);
            for cut in (1..sent.len()).filter(|cut| sent.is_char_boundary(*cut)) {
                let (first, second) = sent.split_at(cut);
                let seen = handed_on(&[(first, true), (second, true)]);
                assert_eq!(seen, expected, "cut at {cut}");
            }
        }
    }

    /// A body that looks like a request is none.
    #[test]
    fn only_what_is_certainly_a_head_is_changed() {
        let (plain, raw) = ("GET / HTTP/1.1\r\n\r\n", "GET /\u{e9} HTTP/1.1\r\n\r\n");
        let encoded = "GET /%C3%A9 HTTP/1.1\r\n\r\n";
        let rows = [
            (
                "the next one",
                vec![(plain, true), (raw, true)],
                [plain, encoded],
            ),
            ("a body", vec![(plain, true), (raw, false)], [plain, raw]),
            (
                "the first bytes of a relay",
                vec![(raw, false), (raw, false)],
                [raw, raw],
            ),
            (
                "amid a head",
                vec![("GET / HTTP/1.1\r\n", true), (raw, true)],
                ["GET / HTTP/1.1\r\n", raw],
            ),
        ];
        for (name, reads, expected) in rows {
            assert_eq!(handed_on(&reads), expected.concat(), "{name}");
        }
        let pipelined = [plain, raw].concat();
        assert_eq!(handed_on(&[(&pipelined, true)]), pipelined, "pipelined");
    }
}
