//! What the file of `[redis] journal` says: which purges this process knows of, in a text with a checksum.
//!
//! A text that was cut, torn or changed is none: whoever reads it then purges everything, which is always safe.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::lineage::{Generation, Known};
use crate::routes::{Pattern, Purge, PurgeKind};

/// The longest text; failed purges that do not fit become one of everything.
pub(super) const MAX_BYTES: usize = 64 << 10;

/// Begins each text. The number is that of the form: another one cannot be read.
const MAGIC: &str = "pannier journal 1";

/// A length and a checksum in hexadecimal digits behind it, and the end of the line.
const HEAD_BYTES: usize = MAGIC.len() + 2 * (1 + 8) + 1;

/// What is to be known after a restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// Which data it is about: of another server or namespace it says nothing.
    pub(super) about: String,
    /// The process, as Redis knows its last purge by.
    pub(super) process: String,
    /// What is known of each shard.
    pub(super) shards: Vec<Known>,
    /// The purges that Redis has not taken.
    pub(super) failed: Vec<Arc<Purge>>,
}

#[derive(Serialize, Deserialize)]
struct RecordText {
    about: String,
    process: String,
    shards: Vec<ShardText>,
    failed: Vec<PurgeText>,
}

#[derive(Serialize, Deserialize)]
struct ShardText {
    generation: String,
    number: u64,
    own: u64,
}

/// A value that the write lacked is written as `*`, and so covers more when it is read.
#[derive(Serialize, Deserialize)]
pub(super) struct PurgeText {
    /// Absent from a text that knows hard ones alone; who does not know it reads a hard one, which covers more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    soft: bool,
    everything: bool,
    keys: Vec<String>,
    tags: Vec<String>,
}

impl Record {
    /// What [`Record::decode`] reads, of [`MAX_BYTES`] at most.
    pub(super) fn encode(&self) -> Vec<u8> {
        let text = self.text_of(&self.failed);
        match HEAD_BYTES + text.len() <= MAX_BYTES {
            true => with_head(text),
            false => with_head(self.text_of(&[Arc::new(Purge::of_everything())])),
        }
    }

    /// Reads the text that `bytes` begin with; `None` if any of it is not as it was written.
    pub(super) fn decode(bytes: &[u8]) -> Option<Record> {
        let digits = bytes.get(MAGIC.len() + 1..MAGIC.len() + 1 + 8)?;
        let length = usize::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        let text = bytes.get(HEAD_BYTES..HEAD_BYTES.checked_add(length)?)?;
        if bytes.get(..HEAD_BYTES)? != head(text).as_bytes() {
            return None;
        }
        let text: RecordText = serde_json::from_slice(text).ok()?;
        Some(Record {
            about: text.about,
            process: text.process,
            shards: text
                .shards
                .iter()
                .map(ShardText::read)
                .collect::<Option<_>>()?,
            failed: text
                .failed
                .iter()
                .map(|purge| Arc::new(purge.read_purge()))
                .collect(),
        })
    }

    fn text_of(&self, failed: &[Arc<Purge>]) -> Vec<u8> {
        let text = RecordText {
            about: self.about.clone(),
            process: self.process.clone(),
            shards: self.shards.iter().map(ShardText::new).collect(),
            failed: failed.iter().map(|purge| PurgeText::new(purge)).collect(),
        };
        serde_json::to_vec(&text).expect("texts and numbers always have a form in JSON")
    }
}

impl ShardText {
    fn new(known: &Known) -> ShardText {
        ShardText {
            generation: known.generation.to_string(),
            number: known.number,
            own: known.own,
        }
    }

    fn read(&self) -> Option<Known> {
        Some(Known {
            generation: Generation::read(self.generation.as_bytes())?,
            number: self.number,
            own: self.own,
            // A beat finds other layouts by what is in Redis.
            is_void: false,
        })
    }
}

impl PurgeText {
    pub(super) fn new(purge: &Purge) -> PurgeText {
        let texts = |patterns: &[Pattern]| patterns.iter().map(Pattern::to_string).collect();
        PurgeText {
            soft: purge.kind == PurgeKind::Soft,
            everything: purge.everything,
            keys: texts(&purge.keys),
            tags: texts(&purge.tags),
        }
    }

    pub(super) fn read_purge(&self) -> Purge {
        let patterns = |texts: &[String]| texts.iter().map(|text| Pattern::parse(text)).collect();
        Purge {
            kind: match self.soft {
                true => PurgeKind::Soft,
                false => PurgeKind::Hard,
            },
            everything: self.everything,
            keys: patterns(&self.keys),
            tags: patterns(&self.tags),
        }
    }
}

fn with_head(text: Vec<u8>) -> Vec<u8> {
    [head(&text).into_bytes(), text].concat()
}

fn head(text: &[u8]) -> String {
    let checksum = crc32fast::hash(text);
    format!("{MAGIC} {:08x} {checksum:08x}\n", text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn purge(keys: &[&str], tags: &[&str]) -> Arc<Purge> {
        let patterns = |texts: &[&str]| texts.iter().map(|text| Pattern::parse(text)).collect();
        Arc::new(Purge {
            keys: patterns(keys),
            tags: patterns(tags),
            ..Purge::default()
        })
    }

    fn record(failed: Vec<Arc<Purge>>) -> Record {
        let generation = |text: &str| Generation::read(text.as_bytes()).expect("digits");
        Record {
            about: "127.0.0.1:6379 0 pannier v2".to_owned(),
            process: "00c0ffee00c0ffee".to_owned(),
            shards: vec![
                Known {
                    generation: generation("0006443a5f00c0de"),
                    number: 12,
                    own: 9,
                    is_void: false,
                },
                Known::default(),
            ],
            failed,
        }
    }

    #[test]
    fn what_was_written_is_read() {
        for failed in [
            vec![],
            vec![purge(&["user:1", "board:*"], &["t:ä\"\n"])],
            vec![
                purge(&[""], &[]),
                purge(&[], &["*"]),
                Arc::new(Purge::clone(&purge(&["user:*"], &["t"])).into_soft()),
                Arc::new(Purge::of_everything()),
            ],
        ] {
            let record = record(failed);
            let text = record.encode();
            assert_eq!(Record::decode(&text).as_ref(), Some(&record));
            let longer = [text, b"what stood there before".to_vec()].concat();
            assert_eq!(Record::decode(&longer), Some(record));
        }
    }

    #[test]
    fn every_cut_and_every_changed_bit_is_found() {
        let text = record(vec![purge(&["user:1"], &["t:1"])]).encode();
        for end in 0..text.len() {
            assert_eq!(Record::decode(&text[..end]), None, "cut at {end}");
        }
        for at in 0..text.len() {
            for bit in 0..8 {
                let mut changed = text.clone();
                changed[at] ^= 1 << bit;
                assert_eq!(Record::decode(&changed), None, "bit {bit} of byte {at}");
            }
        }
    }

    #[test]
    fn what_does_not_fit_becomes_everything() {
        let fitting = |count: usize| {
            let key = "k".repeat(1000);
            record(vec![purge(&[&key], &[]); count])
        };
        let record = fitting(60);
        assert_eq!(Record::decode(&record.encode()), Some(record));
        let text = fitting(66).encode();
        assert!(text.len() <= MAX_BYTES);
        let read = Record::decode(&text).expect("it is whole");
        assert_eq!(read.failed, [Arc::new(Purge::of_everything())]);
        assert_eq!(read.shards, fitting(0).shards);
    }
}
