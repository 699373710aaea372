//! Entry to bytes and back: versioned, checksummed; what does not decode is an error, never a guess.
//!
//! The format: `PANN`, a version byte, when the entry was purged softly (milliseconds since 1970, eight bytes,
//! little-endian; zero: it was not), the CRC-32 of the rest (little-endian), then the content: the
//! distinct tags of all variants, sorted, and the variants, which name their tags by their place in that
//! list, and have their body behind a byte that says in which forms. Numbers are LEB128, texts and byte strings follow their length, times are milliseconds since
//! 1970, durations milliseconds, well-known field names one byte. [`VERSION`] rises with any change, so
//! an older entry is a miss and no migration is needed.
//!
//! The memory tier keeps the content too, behind its key and without the frame ([`super::packed`]).

mod names;
mod read;
mod write;

use std::time::SystemTime;

use bytes::Bytes;

pub(super) use self::names::is_well_known;
pub(super) use self::read::{entry as read_content, number as read_number, text as read_text};
pub(super) use self::write::{Bodies, Content, string as write_string};
use super::Entry;

/// The version of the format.
pub const VERSION: u8 = 5;

const MAGIC: [u8; 5] = [b'P', b'A', b'N', b'N', VERSION];
const SOFTENED_AT: usize = MAGIC.len();
const CHECKSUM_AT: usize = SOFTENED_AT + size_of::<u64>();
const HEAD: usize = CHECKSUM_AT + size_of::<u32>();

const MUST_REVALIDATE: u8 = 1;
const NO_CACHE: u8 = 1 << 1;
const SHAREABLE: u8 = 1 << 2;
const PARTIAL: u8 = 1 << 3;
const COMPLETE_KNOWN: u8 = 1 << 4;
const SOFTENED: u8 = 1 << 5;

/// The forms of a body: as it is; its length, and compressed; as it is and compressed.
const PLAIN: u8 = 0;
const COMPRESSED: u8 = 1;
const BOTH: u8 = 2;

/// Why bytes are no entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Another format version, or not an entry at all.
    #[error("not an entry of this version")]
    Version,
    /// The checksum does not match.
    #[error("checksum mismatch")]
    Checksum,
    /// The checksum matches and the content is impossible.
    #[error("malformed entry")]
    Malformed,
}

/// How an encoded entry begins that was purged softly at `at`, and not before: whoever cannot read the rest may write it
/// over another beginning of this version.
pub fn beginning_of_softened(at: SystemTime) -> [u8; CHECKSUM_AT] {
    let since = at.duration_since(SystemTime::UNIX_EPOCH);
    let millis = u64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(u64::MAX);
    let mut beginning = [0; CHECKSUM_AT];
    beginning[..SOFTENED_AT].copy_from_slice(&MAGIC);
    // Zero stands for none.
    beginning[SOFTENED_AT..].copy_from_slice(&millis.max(1).to_le_bytes());
    beginning
}

/// The bytes of `entry`, its bodies compressed where they are; of more than [`Entry::MAX_VARIANTS`] variants the newest.
pub fn encode(entry: &Entry) -> Vec<u8> {
    let content = Content::of(entry, Bodies::Short);
    let mut out = Vec::with_capacity(HEAD + content.size());
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&[0; HEAD - MAGIC.len()]);
    content.write(&mut out);
    let checksum = crc32fast::hash(&out[HEAD..]);
    out[CHECKSUM_AT..HEAD].copy_from_slice(&checksum.to_le_bytes());
    out
}

/// The entry in `bytes`; bodies that are not compressed and field values are slices of it, not copies.
pub fn decode(bytes: &Bytes) -> Result<Entry, DecodeError> {
    if !bytes.starts_with(&MAGIC) {
        return Err(DecodeError::Version);
    }
    let (head, content) = bytes.split_at_checked(HEAD).ok_or(DecodeError::Malformed)?;
    if head[CHECKSUM_AT..] != crc32fast::hash(content).to_le_bytes() {
        return Err(DecodeError::Checksum);
    }
    let mut entry = read::entry(bytes, HEAD).ok_or(DecodeError::Malformed)?;
    if let Some(at) =
        read::softened_time(&head[SOFTENED_AT..CHECKSUM_AT]).ok_or(DecodeError::Malformed)?
    {
        entry.soften(at);
    }
    Ok(entry)
}

#[cfg(test)]
mod tests;
