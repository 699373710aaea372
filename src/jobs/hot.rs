//! `[jobs] hot`: what was hit most is told to Redis from time to time, and fetched again once it may be gone.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue};

use super::Jobs;
use crate::agenda::{Fetch, What};
use crate::content_coding::zstd;
use crate::observe::{HotKey, HotRequest, hottest};
use crate::store::Store;

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
        match serde_json::to_vec(&keys) {
            Ok(list) => store.fleet_jobs().tell_hot(now, compress(&list)).await,
            Err(error) => tracing::error!(%error, "hot keys cannot be written"),
        }
    }

    /// What is hot here and was hot elsewhere, the hottest first.
    pub(super) async fn hot_fetches(&self, store: &Store) -> Vec<Fetch> {
        let (most, now) = (self.live.load().config.jobs.hot, self.now());
        let mut keys = self.fetcher.cache.hot_keys.lock().top(most, now);
        for list in store.fleet_jobs().hot_lists(now).await {
            // What another version has written may be none.
            let list = decompress(&list).unwrap_or_default();
            keys.extend(serde_json::from_slice::<Vec<HotKey>>(&list).unwrap_or_default());
        }
        let hottest = hottest(keys, most).into_iter();
        hottest.map(|key| fetch_of(key.request)).collect()
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
