//! Bytes to values; `None` for whatever an encoder would not have written.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::names::{self, SENSITIVE, SPELLED_OUT};
use super::{
    BOTH, COMPLETE_KNOWN, COMPRESSED, MUST_REVALIDATE, NO_CACHE, PARTIAL, PLAIN, SHAREABLE,
    SOFTENED,
};
use crate::content_coding::zstd;
use crate::entry::{Entry, Priority, StoredBody, Variant};
use crate::http_cache::vary::Selector;
use crate::http_cache::{Part, Stored};

/// Room for what an answer adds to the stored fields (`Age`, `Cache-Status`).
const ADDED_FIELDS: usize = 2;

/// What the tags of one variant may come to, in times of the content: more than any that says each once.
const TAGS_TO_CONTENT: usize = 8;

/// The entry whose content is all of `bytes` from `at` on; bodies and field values are slices of it.
pub(in crate::entry) fn entry(bytes: &Bytes, at: usize) -> Option<Entry> {
    let mut reader = Reader {
        content: bytes,
        tags: Vec::new(),
        at,
    };
    reader.tags = reader.texts()?;
    let count = reader.count(1)?;
    if count > Entry::MAX_VARIANTS {
        return None;
    }
    let mut variants = Vec::with_capacity(count);
    for _ in 0..count {
        variants.push(Arc::new(reader.variant()?));
    }
    reader.rest().is_empty().then_some(Entry { variants })
}

/// When an entry was purged softly, by its frame; the outer `None`: that is no time.
pub(super) fn softened_time(bytes: &[u8]) -> Option<Option<SystemTime>> {
    match u64::from_le_bytes(bytes.try_into().ok()?) {
        0 => Some(None),
        millis => time_of(Duration::from_millis(millis)).map(Some),
    }
}

/// The byte string that begins at `at`, which then stands behind it.
pub(in crate::entry) fn text<'a>(bytes: &'a [u8], at: &mut usize) -> Option<&'a [u8]> {
    let length = usize::try_from(number(bytes, at)?).ok()?;
    let end = at.checked_add(length)?;
    let text = bytes.get(*at..end)?;
    *at = end;
    Some(text)
}

/// The number that begins at `at`, which then stands behind it. Most take one byte.
#[inline]
pub(in crate::entry) fn number(bytes: &[u8], at: &mut usize) -> Option<u64> {
    match *bytes.get(*at)? {
        small @ 0..0x80 => {
            *at += 1;
            Some(u64::from(small))
        }
        _ => long_number(bytes, at),
    }
}

fn long_number(bytes: &[u8], at: &mut usize) -> Option<u64> {
    let mut number = 0;
    for shift in (0..u64::BITS).step_by(7) {
        let byte = *bytes.get(*at)?;
        *at += 1;
        let bits = u64::from(byte & 0x7f);
        // The tenth byte has room for one bit only.
        if bits << shift >> shift != bits {
            return None;
        }
        number |= bits << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

fn time_of(since_1970: Duration) -> Option<SystemTime> {
    SystemTime::UNIX_EPOCH.checked_add(since_1970)
}

struct Reader<'a> {
    content: &'a Bytes,
    /// The distinct tags of all variants.
    tags: Vec<&'a str>,
    at: usize,
}

impl<'a> Reader<'a> {
    fn variant(&mut self) -> Option<Variant> {
        let variant = Variant {
            stored: self.stored()?,
            priority: *Priority::ALL.get(usize::from(self.byte()?))?,
            rule: self.text()?,
            tags: self.tags()?,
            body: self.body()?,
            max_variants: Entry::DEFAULT_VARIANTS,
            compress_over: usize::MAX,
        };
        let length = variant.body.len() as u64;
        let fits = |part: Part| part.length() == length;
        variant.stored.part.is_none_or(fits).then_some(variant)
    }

    fn body(&mut self) -> Option<StoredBody> {
        match self.byte()? {
            PLAIN => self.shared().map(StoredBody::from),
            COMPRESSED => {
                let length = usize::try_from(self.number()?).ok()?;
                let compressed = self.shared()?;
                let plain = zstd::decompress(&compressed, length)?;
                Some(StoredBody::of_both(plain.into(), compressed))
            }
            BOTH => Some(StoredBody::of_both(self.shared()?, self.shared()?)),
            _ => None,
        }
    }

    fn stored(&mut self) -> Option<Stored> {
        let mut stored = Stored {
            selector: self.selector()?,
            status: StatusCode::from_u16(u16::try_from(self.number()?).ok()?).ok()?,
            headers: self.headers()?,
            request_time: self.time()?,
            response_time: self.time()?,
            initial_age: self.duration()?,
            lifetime: self.duration()?,
            stale_while_revalidate: self.duration()?,
            stale_if_error: self.duration()?,
            must_revalidate: false,
            no_cache: false,
            shareable: false,
            part: None,
            softened: None,
        };
        let flags = self.byte()?;
        stored.must_revalidate = flags & MUST_REVALIDATE != 0;
        stored.no_cache = flags & NO_CACHE != 0;
        stored.shareable = flags & SHAREABLE != 0;
        stored.part = self.part(flags)?;
        if flags & SOFTENED != 0 {
            stored.softened = Some(self.time()?);
        }
        let known = MUST_REVALIDATE | NO_CACHE | SHAREABLE | PARTIAL | COMPLETE_KNOWN | SOFTENED;
        (flags & !known == 0).then_some(stored)
    }

    /// The outer `None` is malformed.
    fn part(&mut self, flags: u8) -> Option<Option<Part>> {
        let complete_known = flags & COMPLETE_KNOWN != 0;
        if flags & PARTIAL == 0 {
            return (!complete_known).then_some(None);
        }
        let part = Part {
            first: self.number()?,
            end: self.number()?,
            complete: match complete_known {
                true => Some(self.number()?),
                false => None,
            },
        };
        part.is_possible().then_some(Some(part))
    }

    fn selector(&mut self) -> Option<Selector> {
        let host = self.text()?;
        let form = self.text()?;
        let count = self.count(2)?;
        let mut fields = Vec::with_capacity(count);
        for _ in 0..count {
            let (name, _) = self.name()?;
            let value = match self.byte()? {
                0 => None,
                1 => Some(Box::from(self.string()?)),
                _ => return None,
            };
            fields.push((name, value));
        }
        Some(Selector { host, form, fields })
    }

    fn headers(&mut self) -> Option<HeaderMap> {
        let count = self.count(2)?;
        let mut headers = HeaderMap::try_with_capacity(count + ADDED_FIELDS).ok()?;
        for _ in 0..count {
            let (name, sensitive) = self.name()?;
            let mut value = HeaderValue::from_maybe_shared(self.shared()?).ok()?;
            value.set_sensitive(sensitive);
            headers.try_append(name, value).ok()?;
        }
        Some(headers)
    }

    /// A variant's tags, by their places in the list.
    fn tags(&mut self) -> Option<Vec<Box<str>>> {
        let count = self.count(1)?;
        let mut tags = Vec::with_capacity(count);
        // One byte names a tag of any length: what they come to is bounded, before it is copied.
        let mut room = self.content.len().saturating_mul(TAGS_TO_CONTENT);
        for _ in 0..count {
            let place = usize::try_from(self.number()?).ok()?;
            let tag = *self.tags.get(place)?;
            room = room.checked_sub(tag.len())?;
            tags.push(Box::from(tag));
        }
        Some(tags)
    }

    fn texts(&mut self) -> Option<Vec<&'a str>> {
        let count = self.count(1)?;
        (0..count).map(|_| self.str()).collect()
    }

    /// A field's name, and whether its value is sensitive.
    fn name(&mut self) -> Option<(HeaderName, bool)> {
        let code = self.byte()?;
        let name = match code & !SENSITIVE {
            SPELLED_OUT => HeaderName::from_bytes(self.string()?).ok()?,
            code => names::name(code)?,
        };
        Some((name, code & SENSITIVE != 0))
    }

    fn time(&mut self) -> Option<SystemTime> {
        time_of(self.duration()?)
    }

    fn duration(&mut self) -> Option<Duration> {
        self.number().map(Duration::from_millis)
    }

    fn text(&mut self) -> Option<Box<str>> {
        self.str().map(Box::from)
    }

    fn str(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.string()?).ok()
    }

    fn string(&mut self) -> Option<&'a [u8]> {
        text(self.content, &mut self.at)
    }

    fn shared(&mut self) -> Option<Bytes> {
        let length = self.string()?.len();
        Some(self.content.slice(self.at - length..self.at))
    }

    /// A number of things of at least `size` bytes each; more than the rest can hold is refused
    /// before anything is allocated for them.
    fn count(&mut self, size: usize) -> Option<usize> {
        let count = usize::try_from(self.number()?).ok()?;
        (count <= self.rest().len() / size).then_some(count)
    }

    fn number(&mut self) -> Option<u64> {
        number(self.content, &mut self.at)
    }

    fn byte(&mut self) -> Option<u8> {
        let byte = *self.content.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    fn rest(&self) -> &'a [u8] {
        self.content.get(self.at..).unwrap_or_default()
    }
}
