//! `POST /refresh`: URLs, keys or tags that are fetched now and swapped in.

use std::sync::Arc;

use futures_util::stream::{self, StreamExt};
use serde::{Deserialize, Serialize};

use super::refusal::Refusal;
use crate::http_cache::Reason;
use crate::live::Live;
use crate::observe::{Report, Target, Unknown};
use crate::proxy::refresh::{Refreshed, refresh};
use crate::proxy::unsent::request;
use crate::proxy::{Cache, Tally, Worker};

/// The most that one request refreshes; each asks the app.
const MAX: usize = 200;

/// How many are under way at a time, so that the app has time for others.
const AT_A_TIME: usize = 4;

/// What fetches, and by what it knows where a key is read.
pub struct Fetcher {
    cache: Arc<Cache>,
    tally: Arc<Tally>,
    pool: usize,
}

/// The body.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RefreshRequest {
    /// Whole URLs, as clients ask for them.
    urls: Vec<String>,
    /// Keys, letter by letter, that this sidecar has seen fetched.
    keys: Vec<String>,
    /// Tags, letter by letter, of answers that it has seen fetched.
    tags: Vec<String>,
}

/// What came of it.
#[derive(Debug, Serialize)]
pub(super) struct RefreshAnswer {
    /// How many are stored anew.
    refreshed: usize,
    /// Each, in no order.
    results: Vec<RefreshResult>,
}

#[derive(Debug, Serialize)]
struct RefreshResult {
    /// What was asked for: a URL, or a key that is not known.
    target: String,
    /// stored, not-stored, passed, told-to-wait, unknown
    result: &'static str,
    /// Why it is not stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

impl Fetcher {
    /// With what a worker has; this one answers no client.
    pub fn of(worker: Worker) -> Fetcher {
        Fetcher {
            cache: worker.cache,
            tally: worker.tally,
            pool: worker.index,
        }
    }

    /// So many requests more of a rule were answered from the store, and by the app.
    pub(super) fn note_requests(&self, rule: &str, hits: u64, misses: u64) {
        self.cache
            .observations
            .lock()
            .note_requests(rule, hits, misses);
    }

    /// What fills have shown.
    pub(super) fn report(&self) -> Report {
        let now = self.cache.clock.now();
        let since = now.duration_since(std::time::SystemTime::UNIX_EPOCH);
        let now = since.unwrap_or_default().as_millis() as u64;
        let marks = &self.cache.read_marks;
        let observations = self.cache.observations.lock();
        observations.report(now, |key| marks.has(key))
    }

    /// Where the key is read.
    fn target(&self, key: &str) -> Result<Target, Unknown> {
        self.cache.observations.lock().target(key).cloned()
    }

    fn tagged(&self, tag: &str) -> Vec<String> {
        let digest = crc32fast::hash(tag.as_bytes());
        self.cache.observations.lock().tagged(digest)
    }
}

/// What the body asks for.
pub(super) fn parse(body: &[u8]) -> Result<RefreshRequest, Refusal> {
    let wanted: RefreshRequest =
        serde_json::from_slice(body).map_err(|error| Refusal::Malformed(error.to_string()))?;
    let count = wanted.urls.len() + wanted.keys.len() + wanted.tags.len();
    match count {
        0 => Err(Refusal::NothingToRefresh),
        1..=MAX => Ok(wanted),
        _ => Err(too_many()),
    }
}

fn too_many() -> Refusal {
    Refusal::Malformed(format!(
        "over {MAX} at a time: each asks the app; split the request"
    ))
}

/// Fetches all of it.
pub(super) async fn carry_out(
    wanted: RefreshRequest,
    live: &Arc<Live>,
    fetcher: &Fetcher,
) -> Result<RefreshAnswer, Refusal> {
    let tagged = wanted.tags.iter().flat_map(|tag| fetcher.tagged(tag));
    let mut keys: Vec<String> = wanted.keys.iter().cloned().chain(tagged).collect();
    keys.sort_unstable();
    keys.dedup();
    if keys.len() + wanted.urls.len() > MAX {
        return Err(too_many());
    }
    let mut requests = Vec::new();
    for url in &wanted.urls {
        let request = request(url, &[], live, fetcher.pool);
        let request = request.map_err(|why| Refusal::Malformed(format!("{url}: {why}")))?;
        requests.push((url.clone(), request));
    }
    let mut results = Vec::new();
    for key in keys {
        let target = fetcher.target(&key).map_err(|unknown| unknown.to_string());
        let url = target.map(|target| format!("{}{}", target.origin, target.uri));
        match url.and_then(|url| Ok((url.clone(), request(&url, &[], live, fetcher.pool)?))) {
            Ok(named) => requests.push(named),
            Err(why) => results.push(RefreshResult {
                target: key,
                result: "unknown",
                why: Some(why),
            }),
        }
    }
    let fetching = requests.into_iter().map(|(url, context)| async move {
        let refreshed = refresh(&fetcher.cache, &fetcher.tally, context).await;
        tell(url, refreshed)
    });
    let fetched: Vec<RefreshResult> = stream::iter(fetching)
        .buffer_unordered(AT_A_TIME)
        .collect()
        .await;
    results.extend(fetched);
    let stored = results.iter().filter(|one| one.result == "stored");
    Ok(RefreshAnswer {
        refreshed: stored.count(),
        results,
    })
}

fn tell(target: String, refreshed: Refreshed) -> RefreshResult {
    let word = |reason: Reason| reason.as_str().to_owned();
    let (result, why) = match refreshed {
        Refreshed::Stored => ("stored", None),
        Refreshed::NotStored(reason, _) => ("not-stored", reason.map(word)),
        Refreshed::Passed(reason) => ("passed", Some(word(reason))),
        Refreshed::ToldToWait(delay) => {
            let why = format!("the app says to wait {} s", delay.as_secs_f64().ceil());
            ("told-to-wait", Some(why))
        }
    };
    RefreshResult {
        target,
        result,
        why,
    }
}
