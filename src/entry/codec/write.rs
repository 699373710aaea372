//! Values to bytes.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName};

use super::names::{self, SENSITIVE, SPELLED_OUT};
use super::{
    BOTH, COMPLETE_KNOWN, COMPRESSED, MUST_REVALIDATE, NO_CACHE, PARTIAL, PLAIN, SHAREABLE,
    SOFTENED,
};
use crate::entry::{Entry, StoredBody, Variant};
use crate::http_cache::Stored;
use crate::http_cache::vary::Selector;

/// What is written to: bytes, or just their number.
pub(in crate::entry) trait Sink {
    fn push(&mut self, byte: u8);
    fn extend(&mut self, bytes: &[u8]);
}

impl Sink for Vec<u8> {
    fn push(&mut self, byte: u8) {
        self.push(byte);
    }

    fn extend(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// Counts, so that a buffer is made of just the size.
impl Sink for usize {
    fn push(&mut self, _: u8) {
        *self += 1;
    }

    fn extend(&mut self, bytes: &[u8]) {
        *self += bytes.len();
    }
}

/// Which forms of a body are written that is there in two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::entry) enum Bodies {
    /// The compressed one.
    Short,
    /// Both, so that nothing has to be made of the other.
    Both,
}

/// An entry about to be written.
pub(in crate::entry) struct Content<'a> {
    bodies: Bodies,
    variants: &'a [Arc<Variant>],
    /// The distinct tags, sorted.
    tags: Vec<&'a str>,
}

impl<'a> Content<'a> {
    pub(in crate::entry) fn of(entry: &'a Entry, bodies: Bodies) -> Content<'a> {
        let count = entry.variants.len().min(Entry::MAX_VARIANTS);
        let variants = &entry.variants[..count];
        let all = variants.iter().flat_map(|variant| &variant.tags);
        let mut tags: Vec<&str> = all.map(|tag| &**tag).collect();
        tags.sort_unstable();
        tags.dedup();
        Content {
            bodies,
            variants,
            tags,
        }
    }

    pub(in crate::entry) fn size(&self) -> usize {
        let mut size = 0;
        self.write(&mut size);
        size
    }

    pub(in crate::entry) fn write(&self, out: &mut impl Sink) {
        length(out, self.tags.len());
        for tag in &self.tags {
            string(out, tag.as_bytes());
        }
        length(out, self.variants.len());
        for held in self.variants {
            self.variant(out, held);
        }
    }

    fn variant(&self, out: &mut impl Sink, variant: &Variant) {
        stored(out, &variant.stored);
        out.push(variant.priority as u8);
        string(out, variant.rule.as_bytes());
        length(out, variant.tags.len());
        for tag in &variant.tags {
            length(out, self.tags.partition_point(|held| *held < &**tag));
        }
        self.body(out, &variant.body);
    }

    fn body(&self, out: &mut impl Sink, body: &StoredBody) {
        match (body.compressed(), self.bodies) {
            (None, _) => {
                out.push(PLAIN);
                string(out, body);
            }
            (Some(compressed), Bodies::Short) => {
                out.push(COMPRESSED);
                length(out, body.len());
                string(out, compressed);
            }
            (Some(compressed), Bodies::Both) => {
                out.push(BOTH);
                string(out, body);
                string(out, compressed);
            }
        }
    }
}

fn stored(out: &mut impl Sink, stored: &Stored) {
    selector(out, &stored.selector);
    number(out, u64::from(stored.status.as_u16()));
    headers(out, &stored.headers);
    time(out, stored.request_time);
    time(out, stored.response_time);
    duration(out, stored.initial_age);
    duration(out, stored.lifetime);
    duration(out, stored.stale_while_revalidate);
    duration(out, stored.stale_if_error);
    let complete_known = stored.part.is_some_and(|part| part.complete.is_some());
    let flag = |set: bool, bit: u8| if set { bit } else { 0 };
    out.push(
        flag(stored.must_revalidate, MUST_REVALIDATE)
            | flag(stored.no_cache, NO_CACHE)
            | flag(stored.shareable, SHAREABLE)
            | flag(stored.part.is_some(), PARTIAL)
            | flag(complete_known, COMPLETE_KNOWN)
            | flag(stored.softened.is_some(), SOFTENED),
    );
    if let Some(part) = stored.part {
        number(out, part.first);
        number(out, part.end);
        if let Some(complete) = part.complete {
            number(out, complete);
        }
    }
    if let Some(at) = stored.softened {
        time(out, at);
    }
}

fn selector(out: &mut impl Sink, selector: &Selector) {
    string(out, selector.host.as_bytes());
    string(out, selector.form.as_bytes());
    length(out, selector.fields.len());
    for (name, value) in &selector.fields {
        field_name(out, name, 0);
        out.push(u8::from(value.is_some()));
        if let Some(value) = value {
            string(out, value);
        }
    }
}

fn headers(out: &mut impl Sink, headers: &HeaderMap) {
    length(out, headers.len());
    for (name, value) in headers {
        let sensitive = if value.is_sensitive() { SENSITIVE } else { 0 };
        field_name(out, name, sensitive);
        string(out, value.as_bytes());
    }
}

fn field_name(out: &mut impl Sink, name: &HeaderName, sensitive: u8) {
    match names::code(name) {
        Some(code) => out.push(code | sensitive),
        None => {
            out.push(SPELLED_OUT | sensitive);
            string(out, name.as_str().as_bytes());
        }
    }
}

fn time(out: &mut impl Sink, time: SystemTime) {
    let since = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    duration(out, since);
}

fn duration(out: &mut impl Sink, duration: Duration) {
    number(out, u64::try_from(duration.as_millis()).unwrap_or(u64::MAX));
}

pub(in crate::entry) fn string(out: &mut impl Sink, bytes: &[u8]) {
    length(out, bytes.len());
    out.extend(bytes);
}

fn length(out: &mut impl Sink, length: usize) {
    number(out, length as u64);
}

/// LEB128: seven bits a byte, lowest first, the top bit says that more follow.
fn number(out: &mut impl Sink, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}
