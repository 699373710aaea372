//! The members of a `Cache-Control` or `Pragma` list: `token [ "=" ( token / quoted-string ) ]`.

use std::borrow::Cow;
use std::iter;

use http::{HeaderMap, HeaderName};

/// One directive as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Member<'a> {
    /// The leading token, in the case received.
    pub(super) name: &'a [u8],
    /// What follows `=`, unquoted. Whatever else follows the name (`max-age =1`, `private;`) is kept
    /// as it is: it is no valid argument, and it shows that the directive is not plain.
    pub(super) argument: Option<Cow<'a, [u8]>>,
    /// Whether the argument was a quoted string, and nothing else.
    pub(super) is_quoted: bool,
    /// Whether it stands behind a quote that closes nowhere or oddly, and so may be part of a quoted string.
    pub(super) is_doubtful: bool,
}

/// Room for any name that says something.
pub(super) type Room = [u8; 24];

/// A name in lower case; empty if it is longer than any that is known.
pub(super) fn lowered<'k>(name: &[u8], room: &'k mut Room) -> &'k [u8] {
    let Some(lower) = room.get_mut(..name.len()) else {
        return b"";
    };
    lower.copy_from_slice(name);
    lower.make_ascii_lowercase();
    lower
}

impl Member<'_> {
    pub(super) fn is_named(&self, name: &[u8]) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// Whether it is that name alone, and really a member of the list.
    pub(super) fn is_plain(&self) -> bool {
        self.argument.is_none() && !self.is_doubtful
    }

    /// The words behind the name that no quoted string holds: `no-store` of `no-cache no-store`, or of `foo=no-store`. No name
    /// is quoted, so of what begins with a quote all are.
    pub(super) fn further_words(&self) -> impl Iterator<Item = &[u8]> {
        let raw = match &self.argument {
            Some(raw) if !self.is_quoted => raw,
            _ => &[][..],
        };
        Words {
            rest: raw,
            has_open_quote: self.name.is_empty(),
        }
    }
}

struct Words<'a> {
    rest: &'a [u8],
    /// A quote was met that never closes: it hides nothing, and neither does any behind it.
    has_open_quote: bool,
}

impl<'a> Iterator for Words<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        loop {
            let (&first, after) = self.rest.split_first()?;
            if is_token(first) {
                let (word, rest) = self.rest.split_at(count(self.rest, is_token));
                self.rest = rest;
                return Some(word);
            }
            self.rest = after;
            if first == b'"' && !self.has_open_quote {
                match quoted_string(after) {
                    Some((_, behind)) => self.rest = behind,
                    None => self.has_open_quote = true,
                }
            }
        }
    }
}

/// The members of all lines called `field`, in order. A quoted string ends with its line.
pub(super) fn members<'a>(
    headers: &'a HeaderMap,
    field: &HeaderName,
) -> impl Iterator<Item = Member<'a>> {
    let mut lines = headers.get_all(field).into_iter();
    let mut list = Members {
        rest: &[],
        is_doubtful: false,
    };
    iter::from_fn(move || {
        loop {
            if let Some(member) = list.next() {
                return Some(member);
            }
            list.rest = lines.next()?.as_bytes();
        }
    })
}

struct Members<'a> {
    rest: &'a [u8],
    is_doubtful: bool,
}

impl<'a> Iterator for Members<'a> {
    type Item = Member<'a>;

    fn next(&mut self) -> Option<Member<'a>> {
        let start = self
            .rest
            .iter()
            .position(|&byte| byte != b',' && !is_space(byte))?;
        let rest = &self.rest[start..];
        let (name, after) = rest.split_at(count(rest, is_token));
        let quoted = quoted_argument(after);
        let is_quoted = quoted.is_some();
        let (argument, after) = quoted.unwrap_or_else(|| raw_argument(after));
        self.rest = after;
        let member = Member {
            name,
            argument,
            is_quoted,
            is_doubtful: self.is_doubtful,
        };
        let raw = member.argument.as_deref().filter(|_| !is_quoted);
        self.is_doubtful |= raw.is_some_and(|raw| raw.contains(&b'"'));
        Some(member)
    }
}

/// An argument, and what follows the member.
type Split<'a> = (Option<Cow<'a, [u8]>>, &'a [u8]);

/// The quoted string that is the whole argument at the start of `rest`.
fn quoted_argument(rest: &[u8]) -> Option<Split<'_>> {
    let (text, after) = quoted_string(rest.strip_prefix(b"=\"")?)?;
    let ends = count(after, is_space) == count(after, |byte| byte != b',');
    ends.then_some((Some(text), after))
}

/// The argument at the start of `rest`, of any other form.
fn raw_argument(rest: &[u8]) -> Split<'_> {
    // A quote that never closes hides nothing: the text up to the next comma is the argument.
    let (raw, after) = rest.split_at(count(rest, |byte| byte != b','));
    let raw = raw.trim_ascii_end();
    let argument = raw.strip_prefix(b"=").unwrap_or(raw);
    ((!raw.is_empty()).then_some(Cow::Borrowed(argument)), after)
}

/// The content of a quoted-string whose opening quote is already read, and what follows it.
fn quoted_string(input: &[u8]) -> Option<(Cow<'_, [u8]>, &[u8])> {
    let mut at = 0;
    let mut text = Cow::Borrowed(&input[..0]);
    loop {
        match *input.get(at)? {
            b'"' => break,
            b'\\' => {
                text.to_mut().push(*input.get(at + 1)?);
                at += 2;
            }
            byte => {
                match &mut text {
                    Cow::Borrowed(plain) => *plain = &input[..=at],
                    Cow::Owned(unescaped) => unescaped.push(byte),
                }
                at += 1;
            }
        }
    }
    Some((text, &input[at + 1..]))
}

fn count(bytes: &[u8], accept: impl Fn(u8) -> bool) -> usize {
    bytes.iter().take_while(|&&byte| accept(byte)).count()
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
