//! Targeted cache control (RFC 9213): `Pannier-Cache-Control` and `CDN-Cache-Control`.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName};
use sfv::{BareItem, Dictionary, ListEntry, Parser};

use super::ResponseDirectives;
use super::members::Member;

/// This cache's target list, most specific first (RFC 9213 §2.2).
pub const TARGETS: [HeaderName; 2] = [
    HeaderName::from_static("pannier-cache-control"),
    HeaderName::from_static("cdn-cache-control"),
];

/// The directives of the first targeted field that parses and is not empty.
pub(super) fn directives(headers: &HeaderMap) -> Option<ResponseDirectives> {
    // A walk over the names is less work than to look long ones up, and most responses have neither.
    if !headers.keys().any(|name| TARGETS.contains(name)) {
        return None;
    }
    TARGETS
        .iter()
        .filter(|target| headers.contains_key(*target))
        .find_map(|target| dictionary(headers, target))
        .map(|dictionary| read(&dictionary))
}

fn dictionary(headers: &HeaderMap, target: &HeaderName) -> Option<Dictionary> {
    // RFC 9651 §4.2: several lines are one list, joined with a comma.
    let lines: Vec<&[u8]> = headers
        .get_all(target)
        .into_iter()
        .map(|line| line.as_bytes())
        .collect();
    let dictionary: Dictionary = Parser::new(&lines.join(&b", "[..])).parse().ok()?;
    // RFC 9213 §2.1: an empty field, or one that does not parse, is as if it were absent.
    (!dictionary.is_empty()).then_some(dictionary)
}

fn read(dictionary: &Dictionary) -> ResponseDirectives {
    let mut directives = ResponseDirectives {
        targeted: true,
        ..ResponseDirectives::default()
    };
    for (name, value) in dictionary {
        let is_quoted =
            matches!(value, ListEntry::Item(item) if matches!(item.bare_item, BareItem::String(_)));
        if let Some(argument) = argument(value) {
            directives.take(&Member {
                name: name.as_str().as_bytes(),
                argument,
                is_quoted,
                is_doubtful: false,
            });
        }
        // RFC 9213 §2.1 ignores parameters: one that forbids (`max-age=60;no-store`) was meant to.
        if let ListEntry::Item(item) = value {
            let said = item.params.iter();
            let said = said.filter(|(_, value)| **value != BareItem::Boolean(false));
            said.for_each(|(name, _)| directives.restrict(name.as_str().as_bytes()));
        }
    }
    directives
}

/// The directive's argument (`Some(None)`: none), or `None` for `?0`. RFC 9213 §2.1 gives each
/// directive one type; another type is no valid argument, and is passed on as such.
fn argument(value: &ListEntry) -> Option<Option<Cow<'_, [u8]>>> {
    const INVALID: Option<Cow<'static, [u8]>> = Some(Cow::Borrowed(b"?"));
    let ListEntry::Item(item) = value else {
        return Some(INVALID);
    };
    match &item.bare_item {
        BareItem::Boolean(true) => Some(None),
        BareItem::Boolean(false) => None,
        BareItem::Integer(number) => Some(Some(Cow::Owned(number.to_string().into_bytes()))),
        BareItem::String(text) if is_number(text.as_str()) => Some(INVALID),
        BareItem::String(text) => Some(Some(Cow::Borrowed(text.as_str().as_bytes()))),
        BareItem::Token(text) => Some(Some(Cow::Borrowed(text.as_str().as_bytes()))),
        _ => Some(INVALID),
    }
}

/// Delta-seconds as a String is the wrong type.
fn is_number(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}
