//! `[jobs] hot`: what was hit most is told to Redis from time to time, and fetched again once it may be gone.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::{HeaderName, HeaderValue};

use super::Jobs;
use super::lease::answered;
use crate::agenda::{Fetch, What};
use crate::content_coding::zstd;
use crate::observe::{HotKey, HotRequest, hottest};
use crate::store::{MAX_HOT_LIST, Store};

/// From one word to Redis to the next.
pub(super) const TELL: Duration = Duration::from_secs(30);

/// Bytes of a list.
const MAX_LIST: usize = 4 << 20;

impl Jobs {
    /// Tells Redis what is hot here, for those that start later.
    pub(super) async fn tell_hot(&self, store: &Store) {
        let most = self.live.load().config.jobs.hot;
        if most == 0 || !store.is_shared() {
            return;
        }
        let now = self.now();
        let keys = self.fetcher.cache.hot_keys.lock().top(most, now);
        if keys.is_empty() {
            return;
        }
        let (list, kept) = match write(&keys) {
            Ok(written) => written,
            Err(error) => return tracing::error!(%error, "hot keys cannot be written"),
        };
        if kept < keys.len() && !self.is_hot_list_cut.swap(true, Ordering::Relaxed) {
            let bytes = MAX_HOT_LIST;
            tracing::warn!(
                hot = most,
                kept,
                bytes,
                "Redis keeps fewer hot keys: their list is too long"
            );
        }
        let telling = store.fleet_jobs();
        let telling = async {
            telling.tell_hot(now, list).await;
            Some(())
        };
        answered(telling).await;
    }

    /// What is hot here and was hot elsewhere, the hottest first.
    pub(super) async fn hot_fetches(&self, store: &Store) -> Vec<Fetch> {
        let (most, now) = (self.live.load().config.jobs.hot, self.now());
        let mut keys = self.fetcher.cache.hot_keys.lock().top(most, now);
        let asking = store.fleet_jobs();
        let lists = answered(async { Some(asking.hot_lists(now).await) }).await;
        for list in lists.unwrap_or_default() {
            // What another version has written may be none.
            let list = decompress(&list).unwrap_or_default();
            keys.extend(serde_json::from_slice::<Vec<HotKey>>(&list).unwrap_or_default());
        }
        let hottest = hottest(keys, most).into_iter();
        hottest.map(|key| fetch_of(key.request)).collect()
    }
}

/// The list as Redis keeps it, and how many keys are in it: as many as there is room for, the hottest.
fn write(keys: &[HotKey]) -> serde_json::Result<(Vec<u8>, usize)> {
    let mut keys = keys;
    loop {
        let list = serde_json::to_vec(keys)?;
        let written = compress(&list);
        if written.len() <= MAX_HOT_LIST && list.len() <= MAX_LIST {
            return Ok((written, keys.len()));
        }
        let fits = keys.len() * MAX_HOT_LIST / written.len();
        keys = &keys[..fits.min(keys.len() * 15 / 16)];
    }
}

/// Behind its length; 0: it is not compressed, since that would save nothing.
fn compress(list: &[u8]) -> Vec<u8> {
    let length = u32::try_from(list.len()).unwrap_or(u32::MAX);
    match zstd::compress(list) {
        Some(frame) => [&length.to_be_bytes()[..], &frame].concat(),
        None => [&[0; 4], list].concat(),
    }
}

fn decompress(bytes: &[u8]) -> Option<Vec<u8>> {
    let (length, frame) = bytes.split_first_chunk::<4>()?;
    match u32::from_be_bytes(*length) as usize {
        0 => Some(frame.to_vec()),
        length if length <= MAX_LIST => zstd::decompress(frame, length),
        _ => None,
    }
}

fn fetch_of(request: HotRequest) -> Fetch {
    let fields = request.fields.iter().filter_map(|(name, value)| {
        let name = name.parse::<HeaderName>().ok()?;
        Some((name, HeaderValue::from_str(value).ok()?))
    });
    Fetch {
        what: What::Page,
        fields: Arc::new(fields.collect()),
        url: request.url,
        tries: 0,
        put_off: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_is_too_long_keeps_the_hottest() {
        let keys = |count: u32| {
            let keys = (0..count).map(|n| HotKey {
                request: HotRequest {
                    url: format!("http://a/{}{}", fastrand::u128(..), fastrand::u128(..)),
                    fields: Vec::new(),
                },
                hits: (count - n) as f32,
            });
            keys.collect::<Vec<_>>()
        };
        for (count, is_whole) in [(10, true), (10_000, false)] {
            let keys = keys(count);
            let (list, kept) = write(&keys).expect("keys are JSON");
            assert!(list.len() <= MAX_HOT_LIST && kept > 0);
            assert_eq!(kept == keys.len(), is_whole, "{kept} of {count}");
            let list = decompress(&list).expect("it was compressed");
            let read: Vec<HotKey> = serde_json::from_slice(&list).expect("it is a list");
            assert_eq!(read, keys[..kept]);
        }
    }
}
