//! Spelling of times and field values.

use std::time::{Duration, SystemTime};

use http::HeaderMap;
use http::header::HeaderName;

/// Bytes of a field value that are shown.
const MAX_SHOWN: usize = 80;

/// Seconds, with milliseconds where there are any.
pub(super) fn seconds(duration: Duration) -> String {
    match duration.subsec_millis() {
        0 => format!("{} s", duration.as_secs()),
        millis => format!("{}.{millis:03} s", duration.as_secs()),
    }
}

/// A field value, cut and escaped so that it is harmless in a terminal.
pub(super) fn shown(value: &[u8]) -> String {
    let cut = &value[..value.len().min(MAX_SHOWN)];
    let more = if cut.len() < value.len() { "…" } else { "" };
    let mut text = String::with_capacity(cut.len() + more.len());
    for &byte in cut {
        match byte {
            b' '..=b'~' => text.push(char::from(byte)),
            _ => text.push_str(&format!("\\x{byte:02x}")),
        }
    }
    text + more
}

/// The first line of a field as [`shown`]; `none` if it is absent.
pub(super) fn field(headers: &HeaderMap, name: &HeaderName) -> String {
    headers
        .get(name)
        .map_or_else(|| "none".to_owned(), |value| shown(value.as_bytes()))
}

/// How long `later` is after `earlier`; zero if it is not.
pub(super) fn between(earlier: SystemTime, later: SystemTime) -> Duration {
    later.duration_since(earlier).unwrap_or_default()
}
