//! `--from-curl`: the request of a command that a browser's "Copy as cURL (bash)" makes. Nothing is sent.

use anyhow::{Context, bail};

/// What such a command asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct CurlRequest {
    pub(super) method: String,
    pub(super) url: String,
    /// Name and value of each field.
    pub(super) headers: Vec<(String, String)>,
    /// The body, unless it is a form of several parts.
    pub(super) body: Option<String>,
}

/// Flags without an argument that change nothing of a request.
const IGNORED: &[&str] = &[
    "compressed",
    "location",
    "insecure",
    "silent",
    "show-error",
    "include",
    "verbose",
    "fail",
    "globoff",
    "http1.1",
    "http2",
    "http2-prior-knowledge",
    "http1.0",
    "http3",
    "path-as-is",
    "no-progress-meter",
];

/// Flags with an argument that change nothing of a request.
const IGNORED_WITH_ARGUMENT: &[&str] = &[
    "output",
    "max-time",
    "connect-timeout",
    "cacert",
    "resolve",
    "write-out",
    "retry",
    "proxy",
];

/// What each short flag is for short.
const SHORT: &[(char, &str)] = &[
    ('H', "header"),
    ('X', "request"),
    ('d', "data"),
    ('b', "cookie"),
    ('A', "user-agent"),
    ('e', "referer"),
    ('u', "user"),
    ('I', "head"),
    ('G', "get"),
    ('L', "location"),
    ('k', "insecure"),
    ('s', "silent"),
    ('S', "show-error"),
    ('i', "include"),
    ('v', "verbose"),
    ('f', "fail"),
    ('g', "globoff"),
    ('o', "output"),
    ('m', "max-time"),
    ('w', "write-out"),
    ('x', "proxy"),
];

/// Reads a command.
pub(super) fn parse(command: &str) -> anyhow::Result<CurlRequest> {
    let words = split_words(command)?;
    let mut words = words.into_iter();
    match words.next() {
        Some(program) if program == "curl" || program.ends_with("/curl") => {}
        _ => bail!("--from-curl: the command does not begin with curl; copy it as \"cURL (bash)\""),
    }
    let mut read = Read::default();
    while let Some(word) = words.next() {
        if word == "--" {
            words.by_ref().for_each(|url| read.urls.push(url));
        } else if let Some(flag) = word.strip_prefix("--") {
            let (flag, glued) = match flag.split_once('=') {
                Some((flag, value)) => (flag, Some(value.to_owned())),
                None => (flag, None),
            };
            read.take(flag, glued, &mut words)?;
        } else if word.len() > 1 && word.starts_with('-') {
            read.take_short(&word[1..], &mut words)?;
        } else {
            read.urls.push(word);
        }
    }
    read.finish()
}

/// What was read so far.
#[derive(Debug, Default)]
struct Read {
    method: Option<String>,
    urls: Vec<String>,
    headers: Vec<(String, String)>,
    data: Vec<String>,
    is_head: bool,
    is_get: bool,
    is_json: bool,
    is_form: bool,
    cookies: Vec<String>,
}

impl Read {
    /// A word of short flags: the last of them may have its argument glued on.
    fn take_short(
        &mut self,
        flags: &str,
        words: &mut impl Iterator<Item = String>,
    ) -> anyhow::Result<()> {
        for (at, letter) in flags.char_indices() {
            let known = SHORT.iter().find(|(short, _)| *short == letter);
            let Some((_, flag)) = known else {
                return Err(unknown(&format!("-{letter}")));
            };
            let rest = &flags[at + letter.len_utf8()..];
            if takes_argument(flag) {
                let glued = (!rest.is_empty()).then(|| rest.to_owned());
                return self.take(flag, glued, words);
            }
            self.take(flag, None, words)?;
        }
        Ok(())
    }

    fn take(
        &mut self,
        flag: &str,
        glued: Option<String>,
        words: &mut impl Iterator<Item = String>,
    ) -> anyhow::Result<()> {
        if IGNORED.contains(&flag) {
            return Ok(());
        }
        if !takes_argument(flag) {
            match flag {
                "head" => self.is_head = true,
                "get" => self.is_get = true,
                _ => return Err(unknown(&format!("--{flag}"))),
            }
            return Ok(());
        }
        let value = glued.or_else(|| words.next());
        let value = value.with_context(|| format!("--from-curl: --{flag} has no value"))?;
        self.take_value(flag, value)
    }

    fn take_value(&mut self, flag: &str, value: String) -> anyhow::Result<()> {
        match flag {
            "url" => self.urls.push(value),
            "request" => self.method = Some(value),
            "header" => self.take_header(&value)?,
            "user-agent" => self.headers.push(("User-Agent".to_owned(), value)),
            "referer" => self.headers.push(("Referer".to_owned(), value)),
            "user" => {
                let value = format!("Basic {}", base64(value.as_bytes()));
                self.headers.push(("Authorization".to_owned(), value));
            }
            "cookie" if !value.contains('=') => bail!(
                "--from-curl: --cookie {value:?} names a file, which is not read; write name=value"
            ),
            "cookie" => self.cookies.push(value),
            "json" => {
                self.is_json = true;
                self.data.push(value);
            }
            "form" | "form-string" => {
                self.is_form = true;
                self.data.push(value);
            }
            _ if flag.starts_with("data") => self.data.push(value),
            _ => {}
        }
        Ok(())
    }

    /// `Name: value`; `Name;` has no value, and `Name:` takes the field away.
    fn take_header(&mut self, field: &str) -> anyhow::Result<()> {
        if let Some(name) = field.strip_suffix(';').filter(|name| !name.contains(':')) {
            self.headers.push((name.trim().to_owned(), String::new()));
            return Ok(());
        }
        let Some((name, value)) = field.split_once(':') else {
            bail!("--from-curl: the field {field:?} has no colon");
        };
        // HTTP/2's own, which the URL and the method say.
        if !name.is_empty() && !value.trim().is_empty() {
            let field = (name.trim().to_owned(), value.trim().to_owned());
            self.headers.push(field);
        }
        Ok(())
    }

    fn finish(mut self) -> anyhow::Result<CurlRequest> {
        let [url] = self.urls.as_slice() else {
            bail!(
                "--from-curl: {} URLs, where one is expected",
                self.urls.len()
            );
        };
        let mut url = match url.contains("://") || url.starts_with('/') {
            true => url.clone(),
            false => format!("http://{url}"),
        };
        // What a browser shows beside the address reaches no server.
        if let Some(fragment) = url.find('#') {
            url.truncate(fragment);
        }
        if self.is_get && !self.data.is_empty() {
            url.push(if url.contains('?') { '&' } else { '?' });
            url.push_str(&self.data.join("&"));
        }
        let has_body = !self.data.is_empty() && !self.is_get;
        let method = match self.method {
            Some(method) => method,
            None if self.is_head => "HEAD".to_owned(),
            None if has_body => "POST".to_owned(),
            None => "GET".to_owned(),
        };
        if !self.cookies.is_empty() {
            self.headers
                .push(("Cookie".to_owned(), self.cookies.join("; ")));
        }
        if has_body {
            let kind = match (self.is_json, self.is_form) {
                (true, _) => "application/json",
                (_, true) => "multipart/form-data",
                _ => "application/x-www-form-urlencoded",
            };
            let length = self.data.join("&").len().to_string();
            for (name, value) in [("Content-Type", kind), ("Content-Length", &length)] {
                let is_named = |(other, _): &(String, String)| other.eq_ignore_ascii_case(name);
                if !self.headers.iter().any(is_named) {
                    self.headers.push((name.to_owned(), value.to_owned()));
                }
            }
        }
        let body = (has_body && !self.is_form).then(|| self.data.join("&"));
        Ok(CurlRequest {
            method,
            url,
            headers: self.headers,
            body,
        })
    }
}

fn takes_argument(flag: &str) -> bool {
    const OF_REQUESTS: &[&str] = &[
        "url",
        "request",
        "header",
        "user-agent",
        "referer",
        "user",
        "cookie",
        "json",
        "form",
        "form-string",
        "data",
        "data-raw",
        "data-binary",
        "data-ascii",
        "data-urlencode",
    ];
    OF_REQUESTS.contains(&flag) || IGNORED_WITH_ARGUMENT.contains(&flag)
}

fn unknown(flag: &str) -> anyhow::Error {
    anyhow::anyhow!(
        "--from-curl: {flag} is not known here; leave it out if it changes nothing of the request"
    )
}

/// The words of a command as bash takes it apart, without any expansion.
fn split_words(command: &str) -> anyhow::Result<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = command.trim().chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            c if c.is_whitespace() => words.extend(word.take()),
            '\\' => match chars.next() {
                Some('\n') | None => {}
                Some('\r') if chars.next_if_eq(&'\n').is_some() => {}
                Some(c) => word.get_or_insert_default().push(c),
            },
            '\'' => {
                let word = word.get_or_insert_default();
                take_until(&mut chars, '\'', |c, _| {
                    word.push(c);
                    Ok(())
                })?;
            }
            '"' => {
                let word = word.get_or_insert_default();
                take_until(&mut chars, '"', |c, chars| {
                    match c {
                        '\\' => match chars.next_if(|c| "\"\\$`\n".contains(*c)) {
                            Some('\n') => {}
                            Some(c) => word.push(c),
                            None => word.push('\\'),
                        },
                        c => word.push(c),
                    }
                    Ok(())
                })?;
            }
            '$' if chars.next_if_eq(&'\'').is_some() => {
                let word = word.get_or_insert_default();
                take_until(&mut chars, '\'', |c, chars| {
                    match c {
                        '\\' => word.push(unescape(chars)?),
                        c => word.push(c),
                    }
                    Ok(())
                })?;
            }
            '|' | ';' | '&' | '>' | '<' => {
                bail!("--from-curl: {c:?} outside of quotes: give the curl command alone")
            }
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Ok(words)
}

type Chars<'c> = std::iter::Peekable<std::str::Chars<'c>>;

fn take_until(
    chars: &mut Chars<'_>,
    end: char,
    mut take: impl FnMut(char, &mut Chars<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    loop {
        match chars.next() {
            Some(c) if c == end => return Ok(()),
            Some(c) => take(c, chars)?,
            None => bail!("--from-curl: a quote {end} is not closed"),
        }
    }
}

/// An escape of `$'…'`.
fn unescape(chars: &mut Chars<'_>) -> anyhow::Result<char> {
    let numeric = |chars: &mut Chars<'_>, most: usize, radix: u32| {
        let mut number = 0;
        for _ in 0..most {
            match chars.next_if(|c| c.is_digit(radix)) {
                Some(digit) => number = number * radix + digit.to_digit(radix).unwrap_or_default(),
                None => break,
            }
        }
        char::from_u32(number).context("--from-curl: an escape that is no character")
    };
    match chars.next() {
        Some('n') => Ok('\n'),
        Some('r') => Ok('\r'),
        Some('t') => Ok('\t'),
        Some('x') => numeric(chars, 2, 16),
        Some('u') => numeric(chars, 4, 16),
        Some('U') => numeric(chars, 8, 16),
        Some(first @ '0'..='7') => {
            let mut number = first.to_digit(8).unwrap_or_default();
            for _ in 0..2 {
                let Some(digit) = chars.next_if(|c| c.is_digit(8)) else {
                    break;
                };
                number = number * 8 + digit.to_digit(8).unwrap_or_default();
            }
            char::from_u32(number).context("--from-curl: an escape that is no character")
        }
        Some(c) => Ok(c),
        None => bail!("--from-curl: it ends within an escape"),
    }
}

/// RFC 4648 §4.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or_default());
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * place) & 63) as usize];
            text.push(if place <= chunk.len() {
                char::from(letter)
            } else {
                '='
            });
        }
    }
    text
}

#[cfg(test)]
mod tests;
