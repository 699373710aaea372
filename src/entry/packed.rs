//! An entry behind its key in one buffer of just their size: what the memory tier holds of it.
//!
//! Texts in it, the key and each distinct tag, are named by where they begin, so that an index of
//! them needs no copies.

use std::time::SystemTime;

use bytes::Bytes;

use super::codec::{self, Bodies, Content};
use super::{Entry, weight};

/// A key and its entry as bytes; clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Packed {
    bytes: Bytes,
    /// When the entry was purged softly since it was packed.
    softened: Option<SystemTime>,
}

impl Packed {
    /// Where the key stands.
    pub(crate) const KEY: u32 = 0;

    /// `entry` as it is kept under `key`; of times what a millisecond holds.
    /// `share` makes bytes of them that can be shared.
    pub(crate) fn new(key: &str, entry: &Entry, share: impl FnOnce(Vec<u8>) -> Bytes) -> Packed {
        let content = Content::of(entry, Bodies::Both);
        let mut size = content.size();
        codec::write_string(&mut size, key.as_bytes());
        let mut out = Vec::with_capacity(size);
        codec::write_string(&mut out, key.as_bytes());
        content.write(&mut out);
        Packed {
            bytes: share(out),
            softened: None,
        }
    }

    /// The entry; its bodies and field values are slices of these bytes. `None` never happens to what
    /// [`Packed::new`] made.
    pub(crate) fn entry(&self) -> Option<Entry> {
        let mut entry = codec::read_content(&self.bytes, self.behind_key())?;
        if let Some(at) = self.softened {
            entry.soften(at);
        }
        Some(entry)
    }

    /// The same bytes, purged softly at `at`; `None`: they have been before.
    pub(crate) fn softened(&self, at: SystemTime) -> Option<Packed> {
        self.softened.is_none().then(|| Packed {
            bytes: self.bytes.clone(),
            softened: Some(at),
        })
    }

    /// The text that begins at `at`.
    pub(crate) fn text(&self, at: u32) -> &[u8] {
        codec::read_text(&self.bytes, &mut (at as usize)).unwrap_or_default()
    }

    /// Where its distinct tags begin.
    pub(crate) fn tags(&self) -> impl Iterator<Item = u32> {
        let mut at = self.behind_key();
        let count = codec::read_number(&self.bytes, &mut at).unwrap_or_default();
        (0..count).map_while(move |_| {
            let begin = u32::try_from(at).ok()?;
            codec::read_text(&self.bytes, &mut at).map(|_| begin)
        })
    }

    /// All of it.
    pub(crate) fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Whether these are the same bytes in memory, not only equal ones, and no soft purge came between.
    pub(crate) fn is(&self, other: &Packed) -> bool {
        self.bytes.as_ptr() == other.bytes.as_ptr()
            && self.bytes.len() == other.bytes.len()
            && self.softened == other.softened
    }

    /// The memory it takes beside itself.
    pub(crate) fn weight(&self) -> usize {
        weight::buffer(self.bytes.len())
    }

    fn behind_key(&self) -> usize {
        let mut at = Self::KEY as usize;
        codec::read_text(&self.bytes, &mut at);
        at
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::entry::tests::samples::{any_entry, entry, variant};

    fn tags(packed: &Packed) -> Vec<&str> {
        let texts = packed.tags().map(|at| packed.text(at));
        texts.map(|tag| std::str::from_utf8(tag).unwrap()).collect()
    }

    #[test]
    fn tags_are_told_once_and_sorted() {
        let rows: [(&str, &[&str], &[&str]); 4] = [
            ("none", &[], &[]),
            ("one", &["b"], &["b"]),
            ("out of order", &["b", "a"], &["a", "b"]),
            ("twice, and an empty one", &["b", "", "b"], &["", "b"]),
        ];
        for (name, given, expected) in rows {
            let mut variant = variant("body");
            variant.tags = given.iter().map(|tag| Box::from(*tag)).collect();
            let entry = entry(variant);
            let packed = Packed::new("the key", &entry, Bytes::from);
            assert_eq!(tags(&packed), expected, "{name}");
            assert_eq!(packed.entry(), Some(entry), "{name}");
        }
    }

    #[test]
    fn equal_bytes_elsewhere_are_not_the_same() {
        let packed = Packed::new("key", &entry(variant("body")), Bytes::from);
        assert!(packed.is(&packed.clone()));
        let equal = Packed::new("key", &entry(variant("body")), Bytes::from);
        assert!(!packed.is(&equal));
    }

    proptest! {
        #[test]
        fn any_entry_comes_back_whole_behind_any_key(key: String, held in any_entry()) {
            let packed = Packed::new(&key, &held, Bytes::from);
            prop_assert_eq!(packed.text(Packed::KEY), key.as_bytes());
            let mut distinct: Vec<&str> =
                held.variants.iter().flat_map(|v| &v.tags).map(|tag| &**tag).collect();
            distinct.sort_unstable();
            distinct.dedup();
            prop_assert_eq!(tags(&packed), distinct);
            prop_assert_eq!(packed.entry(), Some(held));
        }

        #[test]
        fn it_takes_just_its_size(held in any_entry()) {
            let packed = Packed::new("key", &held, Bytes::from);
            let bytes = Vec::from(packed.bytes);
            prop_assert_eq!(bytes.capacity(), bytes.len());
        }
    }
}
