//! A strict reader of HTTP/1 requests (RFC 9112, RFC 9110, RFC 3986), small enough to be read beside them. What
//! the grammar does not have is refused, but for the [`Departure`]s: those are noted.

use std::collections::BTreeSet;
use std::fmt;

/// Where a request departs from the grammar and is read nevertheless: each is allowed to recipients, or is taken off
/// on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Departure {
    EmptyLines,
    LineFeed,
    RawTarget,
    Fragment,
    DoubledLength,
    BothFramings,
    ChunkBlanks,
    ChunkExtension,
    Trailers,
}

impl Departure {
    /// Why it does no harm.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Departure::EmptyLines => {
                "RFC 9112 §2.2: a server should ignore an empty line before a request line"
            }
            Departure::LineFeed => {
                "RFC 9112 §2.2: a recipient may take a single LF of a head for the line's end; what leaves has CRLF"
            }
            Departure::RawTarget => {
                "browsers and scripts send such characters raw; no line or word ends by them, and rules and app see the \
                 same bytes: raw, or encoded where hyper refuses them"
            }
            Departure::Fragment => "a fragment is cut off before rules and app see the target",
            Departure::DoubledLength => {
                "RFC 9110 §8.6: the same length twice may be replaced by one; hyper does so"
            }
            Departure::BothFramings => {
                "RFC 9112 §6.3: Transfer-Encoding overrides Content-Length, which hyper takes off; the app gets \
                 chunks alone, and the connection is closed"
            }
            Departure::ChunkBlanks => {
                "RFC 9112 §7.1.1 has blanks only before an extension; the size before them is plain, and the app \
                 gets chunks made anew"
            }
            Departure::ChunkExtension => {
                "extensions end with the line and are taken off (§7.1.1); the app gets chunks made anew"
            }
            Departure::Trailers => {
                "the body has ended before them; the connection is closed, so no request is read behind them"
            }
        }
    }
}

/// Bytes beyond ASCII as RFC 3986 §2.1 has them.
fn encoded(target: &[u8]) -> Vec<u8> {
    let byte = |byte: &u8| match byte.is_ascii() {
        true => vec![*byte],
        false => format!("%{byte:02X}").into_bytes(),
    };
    target.iter().flat_map(byte).collect()
}

/// A request, or the beginning of one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Message {
    pub(crate) method: String,
    /// As it was sent, but for bytes beyond ASCII: they are encoded.
    pub(crate) target: String,
    pub(crate) minor: u8,
    /// Names in lower case, in order.
    pub(crate) fields: Vec<(String, Vec<u8>)>,
    /// Without its framing, as far as it came.
    pub(crate) body: Vec<u8>,
    /// Whether its body ended.
    pub(crate) whole: bool,
    pub(crate) departures: BTreeSet<Departure>,
    /// Why it means nothing, though its end is known.
    pub(crate) fault: Option<&'static str>,
    /// How many bytes it took.
    pub(crate) length: usize,
}

impl Message {
    pub(crate) fn values<'m>(&'m self, name: &'m str) -> impl Iterator<Item = &'m [u8]> {
        let of_name = self.fields.iter().filter(move |(other, _)| other == name);
        of_name.map(|(_, value)| value.as_slice())
    }

    /// RFC 9112 §6.1 demands it for two framings.
    fn ends_its_connection(&self) -> bool {
        let ends = [Departure::BothFramings, Departure::Trailers];
        ends.iter()
            .any(|departure| self.departures.contains(departure))
    }

    /// Whom it is for, by `Host` or by the target.
    pub(crate) fn host(&self) -> Option<String> {
        let authority = self.target.split_once("://").map(|(_, rest)| rest);
        let authority = authority.filter(|_| !self.target.starts_with('/'));
        let authority = authority.and_then(|rest| rest.split(['/', '?', '#']).next());
        let host = self.values("host").next().map(text);
        host.or(authority.map(str::to_owned))
    }

    /// Path and query, without what only names the host.
    pub(crate) fn origin_form(&self) -> String {
        let target = self.target.split('#').next().unwrap_or_default();
        let Some((_, rest)) = target.split_once("://") else {
            return target.to_owned();
        };
        if target.starts_with('/') {
            return target.to_owned();
        }
        match rest.find(['/', '?']) {
            Some(at) if rest[at..].starts_with('/') => rest[at..].to_owned(),
            Some(at) => format!("/{}", &rest[at..]),
            None => "/".to_owned(),
        }
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} 1.{}", self.method, self.target, self.minor)?;
        for (name, value) in &self.fields {
            write!(f, ", {name}: {}", value.escape_ascii())?;
        }
        let end = if self.whole { "" } else { " (cut)" };
        let (body, departures) = (self.body.escape_ascii(), &self.departures);
        write!(f, ", body {body}{end} {departures:?} {:?}", self.fault)
    }
}

/// Why no more is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// All has been read.
    Clean,
    /// More was to come.
    Cut,
    /// It is no request, or nobody can say where it ends.
    Refused(&'static str),
}

/// All requests on one connection, in order; only the last may not be whole.
pub(crate) fn read_all(bytes: &[u8]) -> (Vec<Message>, End) {
    let (mut messages, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let (message, end) = read_one(&bytes[at..]);
        at += message.as_ref().map_or(0, |message| message.length);
        messages.extend(message);
        if end != End::Clean {
            return (messages, end);
        }
        if messages.last().is_some_and(Message::ends_its_connection) {
            return (messages, UNCLEAR);
        }
    }
    (messages, End::Clean)
}

/// The first request, if its head came; why it is not whole.
pub(crate) fn read_one(bytes: &[u8]) -> (Option<Message>, End) {
    let mut reader = Reader {
        bytes,
        at: 0,
        message: Message::default(),
    };
    let framing = match reader.head() {
        Ok(framing) => framing,
        Err(end) => return (None, end),
    };
    let end = match reader.body(framing) {
        Ok(()) => {
            reader.message.whole = true;
            End::Clean
        }
        Err(end) => end,
    };
    reader.message.length = reader.at;
    (Some(reader.message), end)
}

const UNCLEAR: End = End::Refused("nobody can say where the body ends");

#[derive(Clone, Copy)]
enum Framing {
    Length(usize),
    Chunked,
}

struct Reader<'b> {
    bytes: &'b [u8],
    at: usize,
    message: Message,
}

impl<'b> Reader<'b> {
    fn head(&mut self) -> Result<Framing, End> {
        let mut line = self.head_line()?;
        while line.is_empty() {
            self.note(Departure::EmptyLines);
            line = self.head_line()?;
        }
        self.request_line(line)?;
        loop {
            let line = self.head_line()?;
            if line.is_empty() {
                break;
            }
            let field = field(line)?;
            self.message.fields.push(field);
        }
        self.check_host();
        self.framing()
    }

    /// RFC 9112 §3
    fn request_line(&mut self, line: &[u8]) -> Result<(), End> {
        let words: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
        let [method, target, version] = words[..] else {
            return Err(End::Refused("not three words in the request line"));
        };
        if !is_token(method) {
            return Err(End::Refused("the method is no token"));
        }
        self.message.method = text(method);
        self.message.minor = match version {
            b"HTTP/1.1" => 1,
            b"HTTP/1.0" => 0,
            _ => return Err(End::Refused("another version")),
        };
        self.message.target = text(&encoded(target));
        self.check_target(target);
        Ok(())
    }

    /// RFC 9112 §3.2. A target that is none has a request line around it all the same.
    fn check_target(&mut self, target: &[u8]) {
        let is_visible = |byte: &u8| byte.is_ascii_graphic() || !byte.is_ascii();
        let fault = if !target.iter().all(is_visible) {
            Some("a target with a control character or a blank")
        } else if self.message.method == "CONNECT" {
            Some("CONNECT is for proxies")
        } else if target == b"*" {
            (self.message.method != "OPTIONS").then_some("* is for OPTIONS")
        } else if target.starts_with(b"/") {
            None
        } else {
            absolute_fault(&self.message.target)
        };
        self.message.fault = fault;
        if target.contains(&b'#') {
            self.note(Departure::Fragment);
        }
        if !is_rfc3986(target) {
            self.note(Departure::RawTarget);
        }
    }

    /// RFC 9112 §3.2, RFC 9110 §7.2
    fn check_host(&mut self) {
        let hosts: Vec<&[u8]> = self.message.values("host").collect();
        let fault = match hosts[..] {
            [] if self.message.minor == 0 => None,
            [] => Some("no Host"),
            [host] if is_host(&text(host)) => None,
            [_] => Some("Host is no host"),
            _ => Some("Host is doubled"),
        };
        self.message.fault = self.message.fault.or(fault);
    }

    /// RFC 9112 §6.1 to §6.3
    fn framing(&mut self) -> Result<Framing, End> {
        let codings: Vec<&[u8]> = self.message.values("transfer-encoding").collect();
        let lengths: Vec<&[u8]> = self.message.values("content-length").collect();
        let (in_chunks, count) = (!codings.is_empty(), lengths.len());
        if in_chunks {
            let [coding] = codings[..] else {
                return Err(UNCLEAR);
            };
            if !coding.eq_ignore_ascii_case(b"chunked") || self.message.minor == 0 {
                return Err(UNCLEAR);
            }
            if count > 0 {
                self.note(Departure::BothFramings);
            }
            return Ok(Framing::Chunked);
        }
        let lengths: Option<Vec<usize>> = lengths.into_iter().map(decimal).collect();
        let lengths = lengths.ok_or(UNCLEAR)?;
        let length = lengths.first().copied().unwrap_or(0);
        if lengths.iter().any(|other| *other != length) {
            return Err(UNCLEAR);
        }
        if count > 1 {
            self.note(Departure::DoubledLength);
        }
        Ok(Framing::Length(length))
    }

    fn body(&mut self, framing: Framing) -> Result<(), End> {
        match framing {
            Framing::Length(length) => self.data(length),
            Framing::Chunked => {
                loop {
                    let size = self.chunk_size()?;
                    if size == 0 {
                        break;
                    }
                    self.data(size)?;
                    if !self.crlf_line()?.is_empty() {
                        return Err(End::Refused("more behind a chunk"));
                    }
                }
                self.trailers()
            }
        }
    }

    fn data(&mut self, length: usize) -> Result<(), End> {
        let there = (self.bytes.len() - self.at).min(length);
        let data = &self.bytes[self.at..self.at + there];
        self.message.body.extend_from_slice(data);
        self.at += there;
        match there == length {
            true => Ok(()),
            false => Err(End::Cut),
        }
    }

    /// RFC 9112 §7.1 and §7.1.1
    fn chunk_size(&mut self) -> Result<usize, End> {
        let line = self.crlf_line()?;
        let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit());
        let (digits, rest) = line.split_at(digits.count());
        let size = usize::from_str_radix(&text(digits), 16)
            .map_err(|_| End::Refused("a chunk of no size"))?;
        let extension = rest.trim_ascii_start();
        if rest.is_empty() || is_extensions(extension) {
            return Ok(size);
        }
        let blanks = extension.is_empty() && !rest.contains(&b'\r');
        match (blanks, extension.first()) {
            (true, _) => self.note(Departure::ChunkBlanks),
            (_, Some(b';')) => self.note(Departure::ChunkExtension),
            _ => return Err(End::Refused("more behind a chunk's size")),
        }
        Ok(size)
    }

    /// RFC 9112 §7.1.2. Where it is none, its end is in doubt.
    fn trailers(&mut self) -> Result<(), End> {
        let rest = self.rest();
        if rest.starts_with(b"\r\n") {
            self.at += 2;
            return Ok(());
        }
        if rest.starts_with(b"\n") {
            return Err(End::Refused("a bare line feed for the end of a body"));
        }
        let end = rest.windows(4).position(|part| part == b"\r\n\r\n");
        let end = end.ok_or(End::Cut)?;
        self.at += end + 4;
        let lines = text(&rest[..end]);
        let is_field = |line: &str| !line.contains(['\r', '\n']) && field(line.as_bytes()).is_ok();
        if !lines.split("\r\n").all(is_field) {
            self.note(Departure::Trailers);
        }
        Ok(())
    }

    fn rest(&self) -> &'b [u8] {
        &self.bytes[self.at..]
    }

    /// Up to the next line feed, without the line's end.
    fn head_line(&mut self) -> Result<&'b [u8], End> {
        let line = self.line()?;
        let line = line.strip_suffix(b"\r").unwrap_or_else(|| {
            self.note(Departure::LineFeed);
            line
        });
        match line.contains(&b'\r') {
            true => Err(End::Refused("a bare carriage return")),
            false => Ok(line),
        }
    }

    fn crlf_line(&mut self) -> Result<&'b [u8], End> {
        let line = self.line()?;
        match line.strip_suffix(b"\r") {
            Some(line) if !line.contains(&b'\r') => Ok(line),
            _ => Err(End::Refused("a bare line feed or carriage return")),
        }
    }

    fn line(&mut self) -> Result<&'b [u8], End> {
        let rest = self.rest();
        let end = rest.iter().position(|byte| *byte == b'\n');
        let end = end.ok_or(End::Cut)?;
        self.at += end + 1;
        Ok(&rest[..end])
    }

    fn note(&mut self, departure: Departure) {
        self.message.departures.insert(departure);
    }
}

/// RFC 9110 §8.6
fn decimal(value: &[u8]) -> Option<usize> {
    let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    digits.then(|| text(value).parse().ok()).flatten()
}

/// RFC 9112 §5
fn field(line: &[u8]) -> Result<(String, Vec<u8>), End> {
    let colon = line.iter().position(|byte| *byte == b':');
    let (name, value) = line.split_at(colon.ok_or(End::Refused("a line without a colon"))?);
    if !is_token(name) {
        return Err(End::Refused("a name that is no token, or a folded line"));
    }
    let value = trim_blanks(&value[1..]);
    let allowed = |byte: &u8| *byte == b'\t' || *byte >= b' ' && *byte != 0x7f;
    match value.iter().all(allowed) {
        true => Ok((text(name).to_ascii_lowercase(), value.to_vec())),
        false => Err(End::Refused("a control character in a value")),
    }
}

/// RFC 9110 §5.6.2
fn is_token(word: &[u8]) -> bool {
    let of_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !word.is_empty() && word.iter().all(of_token)
}

/// RFC 9112 §3.2.2, RFC 9110 §4.2
fn absolute_fault(target: &str) -> Option<&'static str> {
    let Some((scheme, rest)) = target.split_once("://") else {
        return Some("a target of no form");
    };
    if !["http", "https"].contains(&scheme.to_ascii_lowercase().as_str()) {
        return Some("another scheme");
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    (!is_host(authority)).then_some("the target's host is none")
}

/// RFC 3986 §3.2.2 and §3.2.3, and not empty (RFC 9110 §4.2.1)
fn is_host(host: &str) -> bool {
    let (is_host, rest) = match host.strip_prefix('[') {
        Some(literal) => match literal.split_once(']') {
            Some((address, rest)) => (address.parse::<std::net::Ipv6Addr>().is_ok(), rest),
            None => (false, ""),
        },
        None => {
            let (name, rest) = host.split_at(host.find(':').unwrap_or(host.len()));
            let of_name =
                |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=%".contains(&byte);
            (!name.is_empty() && name.bytes().all(of_name), rest)
        }
    };
    let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    is_host && (rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port))
}

/// RFC 3986 §3.3 and §3.4, with whole escapes
fn is_rfc3986(target: &[u8]) -> bool {
    let plain =
        |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/?%#[]".contains(byte);
    let is_escape = |at: usize| {
        let digits = target.get(at + 1..at + 3);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    let bytes = target.iter().enumerate();
    target.iter().all(plain)
        && bytes
            .filter(|(_, byte)| **byte == b'%')
            .all(|(at, _)| is_escape(at))
}

/// RFC 9112 §7.1.1, each `; name` or `; name=value`
fn is_extensions(text: &[u8]) -> bool {
    let Some(rest) = text.strip_prefix(b";") else {
        return false;
    };
    rest.split(|byte| *byte == b';').all(|pair| {
        let mut parts = pair.splitn(2, |byte| *byte == b'=');
        let name = trim_blanks(parts.next().unwrap_or_default());
        let value = parts.next().map(trim_blanks);
        is_token(name) && value.is_none_or(|value| is_token(value) || is_quoted(value))
    })
}

/// RFC 9110 §5.6.4, without escapes
fn is_quoted(value: &[u8]) -> bool {
    let within = value
        .strip_prefix(b"\"")
        .and_then(|value| value.strip_suffix(b"\""));
    let plain = |byte: &u8| (b' '..=b'~').contains(byte) && !b"\"\\".contains(byte);
    within.is_some_and(|within| within.iter().all(plain))
}

fn trim_blanks(value: &[u8]) -> &[u8] {
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let begin = value.iter().take_while(|byte| is_blank(byte)).count();
    let value = &value[begin..];
    let blanks = value.iter().rev().take_while(|byte| is_blank(byte)).count();
    &value[..value.len() - blanks]
}

/// For what is ASCII where it matters.
fn text(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}
