//! The members of a `Cache-Control` or `Pragma` list: `token [ "=" ( token / quoted-string ) ]`.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName};

/// One directive as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Member<'a> {
    /// The leading token, in the case received.
    pub(super) name: &'a [u8],
    /// What follows `=`, unquoted. Whatever else follows the name (`max-age =1`, `private;`) is kept
    /// as it is: it is no valid argument, and it shows that the directive is not plain.
    pub(super) argument: Option<Cow<'a, [u8]>>,
}

/// Room for any name that says something.
pub(super) type Room = [u8; 24];

impl Member<'_> {
    /// The name in lower case; empty if it is longer than any that is known.
    pub(super) fn lowered<'k>(&self, room: &'k mut Room) -> &'k [u8] {
        let Some(name) = room.get_mut(..self.name.len()) else {
            return b"";
        };
        name.copy_from_slice(self.name);
        name.make_ascii_lowercase();
        name
    }

    pub(super) fn is_named(&self, name: &[u8]) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }
}

/// The members of all lines called `field`, in order. A quoted string ends with its line.
pub(super) fn members<'a>(
    headers: &'a HeaderMap,
    field: &HeaderName,
) -> impl Iterator<Item = Member<'a>> {
    headers.get_all(field).into_iter().flat_map(|line| Members {
        rest: line.as_bytes(),
    })
}

struct Members<'a> {
    rest: &'a [u8],
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
        let (argument, after) = argument(after);
        self.rest = after;
        Some(Member { name, argument })
    }
}

/// The argument at the start of `rest`, and what follows the member.
fn argument(rest: &[u8]) -> (Option<Cow<'_, [u8]>>, &[u8]) {
    if let Some(quoted) = rest.strip_prefix(b"=\"")
        && let Some((text, after)) = quoted_string(quoted)
        && count(after, is_space) == count(after, |byte| byte != b',')
    {
        return (Some(text), after);
    }
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
