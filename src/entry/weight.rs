//! What an entry costs in memory: every allocation it keeps alive, rounded as an allocator does.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::{Entry, Variant, codec};
use crate::http_cache::vary::Selector;

/// The two counters in front of what an `Arc` points to.
const ARC: usize = 2 * size_of::<usize>();

/// What `Bytes` allocates beside the buffer once it is shared: pointer, capacity, counter.
const SHARED: usize = 3 * size_of::<usize>();

/// What `Bytes` takes that are a buffer of their own, of just `length`.
pub(super) fn buffer(length: usize) -> usize {
    allocation(length) + allocation(SHARED)
}

/// The bytes behind an `Arc<Entry>`.
pub(super) fn entry(entry: &Entry) -> usize {
    allocation(ARC + size_of::<Entry>())
        + allocation(entry.variants.capacity() * size_of::<Arc<Variant>>())
        + entry
            .variants
            .iter()
            .map(|held| variant(held))
            .sum::<usize>()
}

/// An allocation of `bytes` as malloc makes it: a word in front, in steps of two words, at least
/// four.
fn allocation(bytes: usize) -> usize {
    const WORD: usize = size_of::<usize>();
    match bytes {
        0 => 0,
        _ => (bytes + WORD).next_multiple_of(2 * WORD).max(4 * WORD),
    }
}

fn variant(variant: &Variant) -> usize {
    let headers = &variant.stored.headers;
    allocation(ARC + size_of::<Variant>())
        + header_map(headers)
        + selector(&variant.stored.selector)
        + allocation(variant.tags.capacity() * size_of::<Box<str>>())
        + texts(&variant.tags)
        + allocation(variant.rule.len())
}

/// The table of a `HeaderMap`, after the layout of http 1: a position table with a fourth to spare,
/// one bucket a name, one more for each further value of a name.
fn header_map(headers: &HeaderMap) -> usize {
    const POSITION: usize = 2 * size_of::<u16>();
    const BUCKET: usize = size_of::<(u64, HeaderName, HeaderValue, Option<(usize, usize)>)>();
    const EXTRA: usize = size_of::<(HeaderValue, [usize; 4])>();
    let room = headers.capacity();
    let extra = headers.len() - headers.keys_len();
    let extra_room = match extra {
        0 => 0,
        _ => extra.next_power_of_two().max(4),
    };
    allocation(room * 4 / 3 * POSITION)
        + allocation(room * BUCKET)
        + allocation(extra_room * EXTRA)
        + headers.keys().map(header_name).sum::<usize>()
}

/// A name that neither http nor the codec knows is a shared buffer of its own; a known one costs nothing.
fn header_name(name: &HeaderName) -> usize {
    let known = codec::is_well_known(name)
        || HeaderName::from_bytes(name.as_str().as_bytes())
            .is_ok_and(|again| std::ptr::eq(again.as_str(), name.as_str()));
    if known {
        0
    } else {
        buffer(name.as_str().len())
    }
}

fn selector(selector: &Selector) -> usize {
    let fields: usize = selector
        .fields
        .iter()
        .map(|(name, value)| {
            header_name(name) + value.as_deref().map_or(0, |value| allocation(value.len()))
        })
        .sum();
    allocation(selector.host.len())
        + allocation(selector.form.len())
        + allocation(selector.fields.capacity() * size_of::<(HeaderName, Option<Box<[u8]>>)>())
        + fields
}

fn texts(texts: &[Box<str>]) -> usize {
    texts.iter().map(|text| allocation(text.len())).sum()
}
