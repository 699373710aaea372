//! Content codings undone (RFC 9110 §8.4.1), to read what a compressed body says; and the one of the store.

pub mod zstd;

use std::io::Read;

use http::header::CONTENT_ENCODING;
use http::{HeaderMap, HeaderValue};

/// The codings that the app is asked for where its answer is read; those that take little memory.
const READABLE: [&str; 4] = ["gzip", "x-gzip", "deflate", "br"];

/// The bytes that `body` stands for under its `Content-Encoding`, if they are `cap` at most; `None`: they are more,
/// are broken, or are in a coding that is not known here. What is not coded is returned as it is.
pub fn decode(headers: &HeaderMap, body: &[u8], cap: usize) -> Option<Vec<u8>> {
    let mut decoded = body.to_vec();
    // §8.4: listed in the order in which they were applied.
    for coding in codings(headers).iter().rev() {
        decoded = undo(coding, &decoded, cap)?;
    }
    (decoded.len() <= cap).then_some(decoded)
}

/// `Accept-Encoding` without what could not be read here.
pub fn restrict_to_readable(accepted: &HeaderValue) -> HeaderValue {
    let readable = accepted.to_str().map(|accepted| {
        let members = accepted.split(',').filter(|member| {
            let name = member.split(';').next().unwrap_or_default().trim();
            let name = name.to_ascii_lowercase();
            name == "identity" || READABLE.contains(&name.as_str())
        });
        let members: Vec<&str> = members.map(str::trim).collect();
        members.join(", ")
    });
    match readable.ok().filter(|readable| !readable.is_empty()) {
        Some(readable) => {
            HeaderValue::try_from(readable).unwrap_or(HeaderValue::from_static("identity"))
        }
        // An empty list and one that is not there would mean something else (§12.5.3).
        None => HeaderValue::from_static("identity"),
    }
}

fn codings(headers: &HeaderMap) -> Vec<String> {
    let lines = headers.get_all(CONTENT_ENCODING).into_iter();
    lines
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .map(|coding| String::from_utf8_lossy(coding.trim_ascii()).to_ascii_lowercase())
        .filter(|coding| !coding.is_empty() && coding != "identity")
        .collect()
}

fn undo(coding: &str, body: &[u8], cap: usize) -> Option<Vec<u8>> {
    match coding {
        "gzip" | "x-gzip" => read(flate2::read::MultiGzDecoder::new(body), cap),
        // Some send it without the zlib frame that the name stands for.
        "deflate" => read(flate2::read::ZlibDecoder::new(body), cap)
            .or_else(|| read(flate2::read::DeflateDecoder::new(body), cap)),
        "zstd" => read(unzstd(body)?, cap),
        "br" => read(brotli_decompressor::Decompressor::new(body, 4096), cap),
        _ => None,
    }
}

/// RFC 9659: in a window of 8 MB at most.
fn unzstd(body: &[u8]) -> Option<impl Read> {
    let mut decoder = ::zstd::stream::read::Decoder::new(body).ok()?;
    decoder.window_log_max(23).ok()?;
    Some(decoder)
}

/// All of it, if that is `cap` bytes at most: no short body makes many.
fn read(decoder: impl Read, cap: usize) -> Option<Vec<u8>> {
    let mut decoded = Vec::new();
    let limit = u64::try_from(cap).ok()?.saturating_add(1);
    decoder.take(limit).read_to_end(&mut decoded).ok()?;
    (decoded.len() <= cap).then_some(decoded)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;

    use super::*;

    const TEXT: &[u8] = br#"{"id": "a"}"#;

    fn coded(coding: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_ENCODING, HeaderValue::try_from(coding).unwrap());
        headers
    }

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn zlib(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn what_can_be_read() {
        // RFC 7932 §9.2: `TEXT` in one uncompressed meta-block, and the empty last one.
        let brotli = [b"\x0b\x05\x80".as_slice(), TEXT, b"\x03"].concat();
        #[rustfmt::skip]
        let rows = [
            ("gzip", gzip(TEXT), true),
            ("X-GZIP", gzip(TEXT), true),
            ("deflate", zlib(TEXT), true),
            ("br", brotli, true),
            ("gzip, deflate", zlib(&gzip(TEXT)), true),
            ("identity", TEXT.to_vec(), true),
            ("gzip", gzip(TEXT)[..20].to_vec(), false),
            ("gzip", TEXT.to_vec(), false),
            ("zstd", ::zstd::bulk::compress(TEXT, 3).unwrap(), true),
            ("zstd", TEXT.to_vec(), false),
        ];
        for (coding, body, expected) in rows {
            let decoded = decode(&coded(coding), &body, 100);
            assert_eq!(decoded.as_deref() == Some(TEXT), expected, "{coding}");
        }
    }

    #[test]
    fn no_more_than_the_cap() {
        let zeros = gzip(&vec![0; 10_000_000]);
        assert!(zeros.len() < 10_000);
        assert_eq!(decode(&coded("gzip"), &zeros, 1000), None);
        assert_eq!(
            decode(&coded("gzip"), &gzip(TEXT), TEXT.len()).as_deref(),
            Some(TEXT)
        );
        assert_eq!(decode(&coded("gzip"), &gzip(TEXT), TEXT.len() - 1), None);
        assert_eq!(decode(&HeaderMap::new(), TEXT, TEXT.len() - 1), None);
    }

    #[test]
    fn codings_that_the_app_is_offered() {
        for (accepted, expected) in [
            ("gzip, deflate, br, zstd", "gzip, deflate, br"),
            ("zstd;q=1, gzip;q=0.5", "gzip;q=0.5"),
            ("identity", "identity"),
            ("zstd", "identity"),
            ("*", "identity"),
            ("", "identity"),
        ] {
            let restricted = restrict_to_readable(&HeaderValue::from_static(accepted));
            assert_eq!(restricted, expected, "{accepted}");
        }
    }
}
