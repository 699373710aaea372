//! The bookkeeping in Redis where there is much of it, so that it is in many pages.

use std::collections::BTreeSet;

use super::*;

/// Enough for each index to be parted several times.
const KEYS: usize = 1200;

/// As many beginnings, which bytes and Danish have in other orders; of the last three the bytes are `c3 a8`, `c3 aa` and `c3 b8`.
const BEGINNINGS: [&str; 8] = ["a-", "aB", "ab", "aab", "a_", "\u{e8}", "\u{ea}", "\u{f8}"];

/// Keys in no order, of which as many begin with each.
fn keys() -> Vec<String> {
    let numbers = (0..KEYS).map(|nth| nth * 7919 % KEYS);
    numbers
        .map(|number| format!("{}{number}", BEGINNINGS[number % BEGINNINGS.len()]))
        .collect()
}

async fn fill_all(a: &Sidecar, keys: &[String]) {
    for some in keys.chunks(64) {
        let fills = some.iter().map(|key| async {
            let tag = format!(
                "of {}",
                key.trim_end_matches(|at: char| at.is_ascii_digit())
            );
            let variation = Variation {
                tags: vec![tag.into()],
                ..Variation::default()
            };
            a.fill_as(key, "x", variation).await.expect("stored");
        });
        join_all(fills).await;
    }
}

fn entries(redis: &RedisServer) -> BTreeSet<String> {
    let names = redis.cli(&["KEYS", "{test}:v6:e:*"]);
    let names = names
        .lines()
        .filter_map(|name| name.strip_prefix("{test}:v6:e:"));
    names.map(str::to_owned).collect()
}

/// Whatever order Lua has texts in: each purge finds all that it is of, and nothing else.
#[tokio::test]
async fn pages_are_found_in_whatever_order_lua_has_texts() {
    for redis in [RedisServer::start(), RedisServer::start_in_danish()] {
        let a = Sidecar::start(&redis).await;
        let keys = keys();
        let generation = || redis.cli(&["GET", "{test}:v6:g"]);
        let before = generation();
        fill_all(&a, &keys).await;
        let pages = redis.number(&["ZCARD", "{test}:v6:ix"]);
        // Each is at least a third full.
        assert!((10..=30).contains(&pages), "{pages}");
        let mut left: BTreeSet<String> = keys.into_iter().collect();
        assert_eq!(entries(&redis), left);
        for (nth, beginning) in BEGINNINGS.into_iter().enumerate() {
            let purge = match nth % 2 {
                0 => purge_key(&format!("{beginning}*")),
                _ => Purge {
                    tags: vec![Pattern::literal(&format!("of {beginning}"))],
                    ..Purge::default()
                },
            };
            let purged = a.store.purge(purge).await;
            assert_eq!(purged.redis, Some(KEYS / BEGINNINGS.len()), "{beginning}");
            left.retain(|key| !key.starts_with(beginning));
            assert_eq!(entries(&redis), left, "{beginning}");
        }
        a.fill("again", "x").await.expect("stored");
        assert_eq!(generation(), before, "nothing was lost");
    }
}

/// Where keys come in order their pages are full.
#[tokio::test]
async fn keys_that_come_in_order_fill_their_pages() {
    let redis = RedisServer::start();
    let a = Sidecar::start(&redis).await;
    for number in 0..KEYS {
        a.fill(&format!("{number:08}"), "x").await.expect("stored");
    }
    let pages = redis.number(&["ZCARD", "{test}:v6:ix"]);
    assert!(pages <= KEYS as u64 / 120 + 2, "{pages}");
}
