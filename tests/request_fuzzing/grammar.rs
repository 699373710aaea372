//! Requests by the grammar of HTTP/1 with something wrong now and then: in a word, a line's end, the framing, or
//! anywhere.

use fastrand::Rng;

/// A request that must never be one, where it is another's body.
const INNER: &str = "GET /inner HTTP/1.1\r\nHost: inner.example\r\nX-Inner: 1\r\n\r\n";

const METHODS: &[&str] = &[
    "GET", "GET", "GET", "GET", "HEAD", "POST", "POST", "POST", "PUT", "PATCH", "DELETE",
    "OPTIONS", "TRACE",
];
const ODD_METHODS: &[&str] = &[
    "CONNECT", "get", "Get", "GE T", "", "GE\0T", "PRI", "M-SEARCH", "G\tET", "GET\u{b}", "(GET)",
    "QUERY",
];
const TARGETS: &[&str] = &[
    "/r/1",
    "/r/2",
    "/r/3?a=b",
    "/c/1",
    "/c/2?x=1&y=2",
    "/w/1",
    "/w/2",
    "/early/1",
    "/ws",
    "/",
    "/?q",
    "http://a.example/r/1",
    "https://a.example/c/1",
    "HTTP://A.Example/w/1",
    "http://a.example",
    "http://a.example?x",
    "*",
    "/a/%2e%2e/b",
    "//a",
    "/r/1;x=y",
];
const ODD_TARGETS: &[&str] = &[
    "",
    "a.example:80",
    "a.example",
    "ftp://a.example/",
    "http://",
    "http:///x",
    "http://u@a.example/",
    "http://b.example/r/1",
    "http://a.example:99999/",
    "http://[::1]/",
    "http://[::1/",
    "/a#b",
    "http://a.example#b",
    "#",
    "/#/r/1",
    "/a b",
    "/a\tb",
    "/\u{e9}",
    "/a\\b",
    "/a\u{1}b",
    "/a\0",
    "/{a}|\"<b>^`",
    "/%zz",
    "/%",
    "?x",
    "r/1",
    "http:/a",
    "http:a",
    "://a/",
    "/\u{7f}",
    "/r/1 HTTP/1.1",
    "/r/1\rHost: b",
];
const ODD_VERSIONS: &[&str] = &[
    "HTTP/1.2",
    "HTTP/2.0",
    "http/1.1",
    "HTTP/1.1 ",
    "HTTP/01.1",
    "HTTP/1",
    "",
    "HTTP/1.1\t",
    "HTTP/1.1\0",
    "HTTPS/1.1",
    "HTTP/0.9",
    "HTTP/1.1 x",
];
const LINE_ENDS: &[&str] = &[
    "\n", "\r", "\r\r\n", "\n\r", " \r\n", "\r\n\r\n", "\0\r\n", "",
];
const HOSTS: &[&str] = &[
    "a.example",
    "a.example:80",
    "A.EXAMPLE",
    "[::1]:80",
    "127.0.0.1",
    "a.example:",
    "b.example",
    "a b",
    "",
    "a.example, b.example",
    "u@a.example",
    "a.example/x",
    "a%2eexample",
    "[::1]x",
    "a.example:x",
    "a.example#",
    "a.example\0",
    "\"a\"",
    "[v1.a]",
    "a_b",
    ".",
    "a.example:99999",
];
const FIELDS: &[&str] = &[
    "Accept: */*",
    "Accept-Encoding: gzip, br",
    "User-Agent: x",
    "Cookie: a=b",
    "Cache-Control: no-cache",
    "Cache-Control: only-if-cached",
    "Pragma: no-cache",
    "If-None-Match: \"1\"",
    "Range: bytes=0-0",
    "Connection: close",
    "Connection: keep-alive",
    "Connection: close, Host",
    "Connection: content-length",
    "Connection: transfer-encoding, te",
    "Keep-Alive: timeout=5",
    "TE: trailers",
    "TE: gzip, trailers",
    "Trailer: X-Sum",
    "Max-Forwards: 0",
    "Max-Forwards: 1",
    "Upgrade: websocket\r\nConnection: Upgrade",
    "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABk",
    "Upgrade: foo",
    "Expect: 100-continue",
    "Expect: 100-Continue, 100-continue",
    "Expect: x",
    "Via: 1.1 before",
    "X-Forwarded-For: 192.0.2.1",
    "X-Forwarded-Proto: https",
    "X-HTTP-Method-Override: PUT",
    "X_Odd: 1",
    "X-Empty:",
    "X-Blank: \t ",
    "X-Latin: \u{e9}",
    "Proxy-Connection: keep-alive",
    "Authorization: Bearer x",
];
const ODD_FIELDS: &[&str] = &[
    "X : 1",
    "X\t: 1",
    " X: 1",
    "\tX: 1",
    ": 1",
    "X",
    "X-\0: 1",
    "X: \0",
    "X: a\u{1}b",
    "X: a\rb",
    "X: a\r\n b",
    "X: a\r\n\tb",
    "X: a\nInner: b",
    "X(: 1",
    "\u{e9}: 1",
    "X: \u{7f}",
    "X\r\n: 1",
    "X: 1\n",
    "Host : b.example",
    "Transfer-Encoding : chunked",
    "Content-Length : 5",
    "Content_Length: 5",
    "Transfer_Encoding: chunked",
    "GET /inner HTTP/1.1",
];
const CODINGS: &[&str] = &[
    "Chunked",
    "chunked ",
    "\tchunked",
    "gzip, chunked",
    "chunked, gzip",
    "chunked, chunked",
    "xchunked",
    "chunked;q=1",
    "\"chunked\"",
    "identity",
    "",
    "chunked,",
    ", chunked",
    "chunked\0",
    "chunked\r\n ",
    "chun\r\n ked",
    "\u{b}chunked",
    "chunke\u{1e9e}",
];
const TELLING: &[u8] = b"\r\n\r\n\0 \t:;,\"=#%/0159aAfFxX\x0b\x7f\x80\xff";

/// What one client sends: some requests, one behind the other.
pub(crate) fn input(random: &mut Rng) -> Vec<u8> {
    let mut bytes = Vec::new();
    let count = [1, 1, 1, 2, 2, 3][random.usize(..6)];
    for nth in 0..count {
        if one_in(random, 20) {
            bytes.extend(
                pick(
                    random,
                    &["\r\n", "\n", "\r\n\r\n", "\r", " ", "\0", "0\r\n\r\n"],
                )
                .bytes(),
            );
        }
        bytes.extend(request(random, nth + 1 == count));
    }
    if one_in(random, 4) {
        spoil(random, &mut bytes);
    }
    bytes
}

fn request(random: &mut Rng, last: bool) -> Vec<u8> {
    let mut lines = vec![request_line(random)];
    let mut fields = Vec::new();
    hosts(random, &mut fields);
    let body = framed_body(random, &mut fields);
    for _ in 0..random.usize(..4) {
        fields.push(pick(random, FIELDS).to_owned());
    }
    if one_in(random, 20) {
        fields.push(pick(random, ODD_FIELDS).to_owned());
    }
    if one_in(random, 150) {
        fields.push(too_much(random));
    }
    if last && !one_in(random, 4) {
        fields.push("Connection: close".to_owned());
    }
    random.shuffle(&mut fields);
    lines.append(&mut fields);
    lines.push(String::new());
    let mut bytes = Vec::new();
    for line in lines {
        // One byte a character: what is not ASCII is not UTF-8 either.
        bytes.extend(line.chars().map(|character| character as u32 as u8));
        bytes.extend(line_end(random).bytes());
    }
    bytes.extend(body);
    bytes
}

fn request_line(random: &mut Rng) -> String {
    let method = odd(random, 25, METHODS, ODD_METHODS);
    let target = match one_in(random, 300) {
        true => format!("/r/{}", "x".repeat(random.usize(1_000..20_000))),
        false => odd(random, 12, TARGETS, ODD_TARGETS).to_owned(),
    };
    let version = odd(
        random,
        30,
        &["HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0"],
        ODD_VERSIONS,
    );
    let blank = odd(random, 60, &[" "], &["  ", "\t", "", "\u{b}", " \t", "\r"]);
    format!("{method}{blank}{target} {version}")
}

fn hosts(random: &mut Rng, fields: &mut Vec<String>) {
    let count = match random.u8(..40) {
        0 => 0,
        1 => 2,
        _ => 1,
    };
    for _ in 0..count {
        let host = odd(random, 10, &["a.example"], HOSTS);
        let name = odd(random, 20, &["Host"], &["host", "HOST", "hOst"]);
        fields.push(format!("{name}: {host}"));
    }
}

/// A body, and the fields that say where it ends: rightly most times.
fn framed_body(random: &mut Rng, fields: &mut Vec<String>) -> Vec<u8> {
    let content = match random.u8(..5) {
        0 => String::new(),
        1 | 2 => INNER.to_owned(),
        3 => format!("abc\r\n{INNER}"),
        _ => "x".repeat(random.usize(1..300)),
    };
    match random.u8(..20) {
        0..6 => Vec::new(),
        6..11 => {
            fields.push(format!("Content-Length: {}", length(random, content.len())));
            content.into_bytes()
        }
        11..17 => {
            let coding = odd(random, 8, &["chunked"], CODINGS);
            fields.push(format!("Transfer-Encoding: {coding}"));
            chunks(random, &content)
        }
        17 => {
            fields.push(format!("Content-Length: {}", length(random, content.len())));
            fields.push(format!(
                "Transfer-Encoding: {}",
                odd(random, 2, &["chunked"], CODINGS)
            ));
            chunks(random, &content)
        }
        18 => {
            let name = odd(random, 2, &["Content-Length"], &["Transfer-Encoding"]);
            for _ in 0..2 {
                let value = match name {
                    "Content-Length" => length(random, content.len()),
                    _ => odd(random, 2, &["chunked"], CODINGS).to_owned(),
                };
                fields.push(format!("{name}: {value}"));
            }
            content.into_bytes()
        }
        _ => content.into_bytes(),
    }
}

fn length(random: &mut Rng, length: usize) -> String {
    if !one_in(random, 6) {
        return length.to_string();
    }
    match random.u8(..12) {
        0 => format!("0{length}"),
        1 => format!("+{length}"),
        2 => format!("-{length}"),
        3 => format!("{length}, {length}"),
        4 => format!("{length} "),
        5 => format!("0x{length:x}"),
        6 => "18446744073709551616".to_owned(),
        7 => length.saturating_sub(1).to_string(),
        8 => (length + 1).to_string(),
        9 => format!("{length}.0"),
        10 => String::new(),
        _ => format!("{length}\u{b}"),
    }
}

fn chunks(random: &mut Rng, content: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = content.as_bytes();
    while !rest.is_empty() {
        let (chunk, others) = rest.split_at(random.usize(1..=rest.len()));
        rest = others;
        let size = chunk.len();
        let size = match one_in(random, 40) {
            true => match random.u8(..8) {
                0 => format!("{size:X} "),
                1 => format!("000{size:x}"),
                2 => format!("0x{size:x}"),
                3 => format!("+{size:x}"),
                4 => format!("{:x}", size + 1),
                5 => "ffffffffffffffff1".to_owned(),
                6 => format!(" {size:x}"),
                _ => format!("{size:x}\t"),
            },
            false => format!("{size:x}"),
        };
        bytes.extend(size.bytes());
        bytes.extend(extension(random).bytes());
        bytes.extend(line_end(random).bytes());
        bytes.extend(chunk);
        bytes.extend(line_end(random).bytes());
    }
    if !one_in(random, 25) {
        bytes.extend(odd(random, 15, &["0"], &["00", "0 ", "0;a", "-0", "", "0x0"]).bytes());
        bytes.extend(line_end(random).bytes());
        for _ in 0..random.usize(..6).saturating_sub(3) {
            let trailer = odd(
                random,
                4,
                &["X-Sum: 1", "X-Other: a"],
                &[
                    "Host: b",
                    "Content-Length: 5",
                    "Transfer-Encoding: chunked",
                    "X : 1",
                    " x",
                    "X",
                    "X: a\rb",
                    "X: \0",
                    "GET /inner HTTP/1.1",
                    "X: 1\n",
                    "X: 1\n\nGET /inner HTTP/1.1",
                ],
            );
            bytes.extend(trailer.bytes());
            bytes.extend(line_end(random).bytes());
        }
        bytes.extend(line_end(random).bytes());
    }
    bytes
}

fn extension(random: &mut Rng) -> &'static str {
    odd(
        random,
        25,
        &[""],
        &[
            ";a",
            ";a=b",
            "; a = b",
            ";a=\"b c\"",
            ";a;b=c",
            ";",
            ";=",
            ";a=\"\r\n",
            ";\r",
            ";\n",
            " ;a",
            ";\0",
            ";a=\"b;c\"",
        ],
    )
}

fn too_much(random: &mut Rng) -> String {
    match random.bool() {
        true => format!("X-Long: {}", "x".repeat(random.usize(5_000..40_000))),
        false => {
            let fields = (0..random.usize(200..400)).map(|nth| format!("X-{nth}: 1"));
            fields.collect::<Vec<_>>().join("\r\n")
        }
    }
}

fn line_end(random: &mut Rng) -> &'static str {
    odd(random, 350, &["\r\n"], LINE_ENDS)
}

/// Some bytes changed, dropped, added, doubled or cut off.
fn spoil(random: &mut Rng, bytes: &mut Vec<u8>) {
    for _ in 0..=random.usize(..3) {
        let at = random.usize(..=bytes.len());
        let byte = match random.u8(..4) {
            0 => random.u8(..),
            _ => TELLING[random.usize(..TELLING.len())],
        };
        match random.u8(..10) {
            0..4 => bytes.insert(at, byte),
            _ if at == bytes.len() => {}
            4..7 => bytes[at] = byte,
            7 | 8 => drop(bytes.remove(at)),
            _ => {
                let end = random.usize(at..=bytes.len());
                match random.bool() {
                    true => bytes.truncate(end),
                    false => bytes.extend_from_within(at..end),
                }
            }
        }
    }
}

fn odd<'t>(random: &mut Rng, one_in_so_many: usize, usual: &[&'t str], odd: &[&'t str]) -> &'t str {
    match one_in(random, one_in_so_many) {
        true => pick(random, odd),
        false => pick(random, usual),
    }
}

fn pick<'t>(random: &mut Rng, words: &[&'t str]) -> &'t str {
    words[random.usize(..words.len())]
}

fn one_in(random: &mut Rng, many: usize) -> bool {
    random.usize(..many) == 0
}
