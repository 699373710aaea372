//! Values to bytes.

use std::time::{Duration, SystemTime};

use http::HeaderMap;

use super::{COMPLETE_KNOWN, HEAD, MUST_REVALIDATE, NO_CACHE, PARTIAL, SHAREABLE};
use crate::entry::{Entry, Variant};
use crate::http_cache::Stored;
use crate::http_cache::vary::Selector;

/// About how long the encoding is, so that it is written without growing.
pub(super) fn size_hint(entry: &Entry) -> usize {
    const PER_VARIANT: usize = 256;
    const PER_FIELD: usize = 4;
    let fields = |headers: &HeaderMap| -> usize {
        headers
            .iter()
            .map(|(name, value)| PER_FIELD + name.as_str().len() + value.len())
            .sum()
    };
    let variants = entry
        .variants
        .iter()
        .map(|variant| PER_VARIANT + variant.body.len() + fields(&variant.stored.headers));
    HEAD + 1 + variants.sum::<usize>()
}

pub(super) fn entry(out: &mut Vec<u8>, entry: &Entry) {
    let count = entry.variants.len().min(Entry::MAX_VARIANTS);
    length(out, count);
    for held in entry.variants.iter().take(count) {
        variant(out, held);
    }
}

fn variant(out: &mut Vec<u8>, variant: &Variant) {
    stored(out, &variant.stored);
    out.push(variant.priority as u8);
    string(out, variant.rule.as_bytes());
    length(out, variant.tags.len());
    for tag in &variant.tags {
        string(out, tag.as_bytes());
    }
    string(out, &variant.body);
}

fn stored(out: &mut Vec<u8>, stored: &Stored) {
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
            | flag(complete_known, COMPLETE_KNOWN),
    );
    if let Some(part) = stored.part {
        number(out, part.first);
        number(out, part.end);
        if let Some(complete) = part.complete {
            number(out, complete);
        }
    }
}

fn selector(out: &mut Vec<u8>, selector: &Selector) {
    string(out, selector.host.as_bytes());
    string(out, selector.form.as_bytes());
    length(out, selector.fields.len());
    for (name, value) in &selector.fields {
        string(out, name.as_str().as_bytes());
        out.push(u8::from(value.is_some()));
        if let Some(value) = value {
            string(out, value);
        }
    }
}

fn headers(out: &mut Vec<u8>, headers: &HeaderMap) {
    length(out, headers.len());
    for (name, value) in headers {
        string(out, name.as_str().as_bytes());
        string(out, value.as_bytes());
    }
}

fn time(out: &mut Vec<u8>, time: SystemTime) {
    let since = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    duration(out, since);
}

fn duration(out: &mut Vec<u8>, duration: Duration) {
    number(out, u64::try_from(duration.as_millis()).unwrap_or(u64::MAX));
}

fn string(out: &mut Vec<u8>, bytes: &[u8]) {
    length(out, bytes.len());
    out.extend_from_slice(bytes);
}

fn length(out: &mut Vec<u8>, length: usize) {
    number(out, length as u64);
}

/// LEB128: seven bits a byte, lowest first, the top bit says that more follow.
fn number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}
