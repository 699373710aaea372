//! Zstandard (RFC 8878), for what the store keeps.

use std::cell::RefCell;

/// How hard it tries: the library's default, some 300 MB a second.
const LEVEL: i32 = 3;

/// The longest body that is made of compressed bytes, whatever they say.
const MAX_LENGTH: usize = 256 << 20;

thread_local! {
    // Making one costs as much as compressing some kilobytes.
    static COMPRESSOR: RefCell<Option<zstd::bulk::Compressor<'static>>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<zstd::bulk::Decompressor<'static>>> = const { RefCell::new(None) };
}

/// `bytes` in one frame that says its length. `None`: there is no memory for it, or nothing is left out.
pub fn compress(bytes: &[u8]) -> Option<Vec<u8>> {
    COMPRESSOR.with_borrow_mut(|compressor| {
        if compressor.is_none() {
            *compressor = zstd::bulk::Compressor::new(LEVEL).ok();
        }
        let mut compressed = compressor.as_mut()?.compress(bytes).ok()?;
        compressed.shrink_to_fit();
        (compressed.len() < bytes.len()).then_some(compressed)
    })
}

/// The `length` bytes that were compressed to `frame`; `None`: it is not such a frame.
pub fn decompress(frame: &[u8], length: usize) -> Option<Vec<u8>> {
    let said = zstd::zstd_safe::get_frame_content_size(frame).ok()??;
    // Before anything is allocated.
    if said != length as u64 || length > MAX_LENGTH {
        return None;
    }
    DECOMPRESSOR.with_borrow_mut(|decompressor| {
        if decompressor.is_none() {
            *decompressor = zstd::bulk::Decompressor::new().ok();
        }
        let bytes = decompressor.as_mut()?.decompress(frame, length).ok()?;
        (bytes.len() == length).then_some(bytes)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_frame_of_another_length_is_none() {
        let bytes = vec![b'a'; 10_000];
        let frame = compress(&bytes).expect("shorter");
        assert_eq!(decompress(&frame, bytes.len()), Some(bytes));
        for length in [0, 9_999, 10_001, usize::MAX] {
            assert_eq!(decompress(&frame, length), None, "{length}");
        }
        assert_eq!(decompress(&frame[..frame.len() - 1], 10_000), None, "cut");
        assert_eq!(decompress(b"no frame", 8), None);
    }

    proptest! {
        #[test]
        fn whatever_is_compressed_comes_back(piece: Vec<u8>, times in 1..200_usize) {
            let bytes = piece.repeat(times);
            if let Some(frame) = compress(&bytes) {
                prop_assert_eq!(decompress(&frame, bytes.len()), Some(bytes));
            }
        }
    }
}
