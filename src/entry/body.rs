//! The body of a stored response, and the same bytes compressed.
//!
//! What is compressed here is for the store: Redis keeps it so, and who accepts zstd may get it so. It is not what the
//! app calls its content coding: a body that came in one is not compressed again.

use std::ops::Deref;

use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_TYPE;

use crate::content_coding::zstd;
use crate::http_cache::vary;

/// A body as the app sent it, and compressed if that is worth it. Both stand for the same, whichever is used.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StoredBody {
    plain: Bytes,
    compressed: Option<Bytes>,
}

/// What is compressed already, whatever its sender says of a coding: by the beginning of its media type.
const COMPRESSED_TYPES: [&str; 12] = [
    "image/",
    "video/",
    "audio/",
    "font/woff",
    "application/zip",
    "application/gzip",
    "application/x-gzip",
    "application/zstd",
    "application/x-7z",
    "application/x-rar",
    "application/vnd.openxmlformats",
    "application/pdf",
];

/// Pictures that are text or bare pixels.
const PLAIN_IMAGES: [&str; 4] = [
    "image/svg",
    "image/bmp",
    "image/x-icon",
    "image/vnd.microsoft.icon",
];

impl StoredBody {
    /// Both forms of one body.
    pub(super) fn of_both(plain: Bytes, compressed: Bytes) -> StoredBody {
        StoredBody {
            plain,
            compressed: Some(compressed),
        }
    }

    /// It in zstd, if it is kept so.
    pub fn compressed(&self) -> Option<&Bytes> {
        self.compressed.as_ref()
    }

    /// The bytes that Redis keeps of it.
    pub fn stored_length(&self) -> usize {
        self.compressed.as_ref().unwrap_or(&self.plain).len()
    }

    /// Compresses it, and keeps that if it saves a fifth.
    pub fn compress(&mut self, count: impl FnOnce(Bytes) -> Bytes) {
        let limit = self.plain.len() / 5 * 4;
        let compressed = zstd::compress(&self.plain).filter(|bytes| bytes.len() <= limit);
        self.compressed = compressed.map(|bytes| count(bytes.into()));
    }

    /// Has `count` replace bytes that are a buffer of their own, apart from that of the entry.
    pub(super) fn count_apart(&mut self, count: impl FnOnce(Bytes) -> Bytes) {
        if self.compressed.is_some() {
            self.plain = count(std::mem::take(&mut self.plain));
        }
    }
}

/// Whether a body under these fields may get smaller.
pub fn is_compressible(fields: &HeaderMap) -> bool {
    let media_type = fields.get(CONTENT_TYPE).map(|value| value.as_bytes());
    let begins = |prefix: &&str| {
        let begin = media_type.and_then(|media_type| media_type.get(..prefix.len()));
        begin.is_some_and(|begin| begin.eq_ignore_ascii_case(prefix.as_bytes()))
    };
    let is_compressed = COMPRESSED_TYPES.iter().any(&begins) && !PLAIN_IMAGES.iter().any(begins);
    !is_compressed && !vary::is_coded(fields)
}

impl From<Bytes> for StoredBody {
    fn from(plain: Bytes) -> StoredBody {
        StoredBody {
            plain,
            compressed: None,
        }
    }
}

/// As the app sent it.
impl Deref for StoredBody {
    type Target = Bytes;

    fn deref(&self) -> &Bytes {
        &self.plain
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};

    #[test]
    fn what_is_compressed_already_is_left_alone() {
        #[rustfmt::skip]
        let rows = [
            ("json", "content-type", "application/json", true),
            ("says nothing", "x-other", "image/png", true),
            ("a picture", "content-type", "Image/PNG", false),
            ("a picture of words", "content-type", "image/svg+xml", true),
            ("a font", "content-type", "font/woff2", false),
            ("an archive", "content-type", "application/zip", false),
            ("in a coding", "content-encoding", "gzip", false),
            ("in no coding", "content-encoding", "identity", true),
            ("shorter than any type", "content-type", "a", true),
        ];
        for (name, field, value, expected) in rows {
            let fields = [(
                HeaderName::from_static(field),
                HeaderValue::from_static(value),
            )];
            let fields = HeaderMap::from_iter(fields);
            assert_eq!(is_compressible(&fields), expected, "{name}");
        }
    }

    #[test]
    fn what_saves_less_than_a_fifth_is_kept_plain() {
        let noise: Vec<u8> = (0..8192).map(|_| fastrand::u8(..)).collect();
        let mut half = noise.clone();
        half.extend([b'a'; 8192]);
        let rows = [
            ("words", Bytes::from("word ".repeat(1000)), true),
            ("noise", Bytes::from(noise), false),
            ("half of it noise", Bytes::from(half), true),
            ("nothing", Bytes::new(), false),
        ];
        for (name, plain, expected) in rows {
            let mut body = StoredBody::from(plain.clone());
            body.compress(|bytes| bytes);
            assert_eq!(body.compressed().is_some(), expected, "{name}");
            assert_eq!(*body, plain, "{name}");
            if let Some(compressed) = body.compressed() {
                assert!(compressed.len() * 5 <= plain.len() * 4, "{name}");
                let read = zstd::decompress(compressed, plain.len());
                assert_eq!(read.as_deref(), Some(&plain[..]), "{name}");
            }
        }
    }
}
