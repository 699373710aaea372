//! The byte budget, and indexes that hold nothing that is not there (promises I5, I7).

use std::time::Duration;

use pannier::config::Coherence::{Strict, Tracked};
use pannier::config::EvictionOrder;
use pannier::entry::Priority;
use pannier::http_cache::Reason;
use pannier::routes::{Pattern, Purge};

use super::store_under_test::{SHORT, Sidecar, Variation, purge_key, variant};
use crate::support::eventually;
use crate::support::redis::RedisServer;

const INDEXES: [&str; 6] = [
    "{test}:v6:ix",
    "{test}:v6:x0",
    "{test}:v6:x1",
    "{test}:v6:x2",
    "{test}:v6:tx",
    "{test}:v6:px",
];

/// How many members a paged set has, but for the one that stays.
fn members(redis: &RedisServer, set: &str) -> u64 {
    let generation = redis.cli(&["GET", "{test}:v6:g"]);
    let bounds = redis.number(&["ZCARD", set]);
    let pages = redis.cli(&["KEYS", &format!("{set}:{generation}:*")]);
    let pages: Vec<&str> = pages.lines().collect();
    assert_eq!(pages.len() as u64, bounds, "{set}: a page for each bound");
    let members = pages.iter().map(|page| redis.number(&["HLEN", page]));
    members.sum::<u64>() - 1
}

fn assert_empty(redis: &RedisServer, when: &str) {
    for set in INDEXES {
        assert_eq!(members(redis, set), 0, "{set} {when}");
    }
    assert_eq!(redis.number(&["ZCARD", "{test}:v6:lx"]), 1, "{when}");
    for field in ["b0", "b1", "b2", "n0", "n1", "n2", "k", "l"] {
        let counter = redis.number(&["HGET", "{test}:v6:by", field]);
        assert_eq!(counter, 0, "{field} {when}");
    }
}

fn with_priority(priority: Priority) -> Variation {
    Variation {
        priority,
        ..Variation::default()
    }
}

/// Which of `keys` have an entry.
fn held(redis: &RedisServer, keys: impl Iterator<Item = String>) -> Vec<String> {
    let is_held = |key: &String| {
        let name = format!("{{test}}:v6:e:{key}");
        redis.number(&["EXISTS", &name]) == 1
    };
    keys.filter(is_held).collect()
}

fn everything() -> Purge {
    Purge {
        everything: true,
        ..Purge::default()
    }
}

#[tokio::test]
async fn counts_by_priority() {
    let redis = RedisServer::start();
    let a = Sidecar::start(&redis).await;
    for (key, priority) in [
        ("a", Priority::Low),
        ("b", Priority::High),
        ("c", Priority::High),
    ] {
        let variation = Variation {
            priority,
            ..Variation::default()
        };
        a.fill_as(key, "x", variation).await.expect("stored");
    }
    let counts = ["n0", "n1", "n2"].map(|field| redis.number(&["HGET", "{test}:v6:by", field]));
    assert_eq!(counts, [1, 0, 2]);
    let status = a.redis_status().await;
    assert_eq!(status.entries, 3);
    assert!(status.bytes > 3 * 150, "{}", status.bytes);
}

#[tokio::test]
async fn storing_again_counts_once() {
    let redis = RedisServer::start();
    let a = Sidecar::start(&redis).await;
    a.fill("a", "x").await.expect("stored");
    let once = a.redis_status().await.bytes;
    for _ in 0..5 {
        a.fill("a", "x").await.expect("stored");
    }
    assert_eq!(a.redis_status().await.bytes, once);
    assert_eq!(a.redis_status().await.entries, 1);
}

/// A full Redis keeps so much of an entry that purges made elsewhere find it (promises I2, I5).
#[tokio::test]
async fn memory_has_what_redis_has_no_room_for() {
    const MAX: u64 = 200_000;
    let redis = RedisServer::start();
    let a = Sidecar::with_budget(&redis, MAX).await;
    let b = Sidecar::with_budget(&redis, MAX).await;
    for i in 0..17 {
        let high = with_priority(Priority::High);
        a.fill_as(&format!("high:{i}"), &"x".repeat(10_000), high)
            .await
            .expect("there is room");
    }
    let (body, low) = ("x".repeat(20_000), with_priority(Priority::Low));
    for i in 0..30 {
        a.fill_as(&format!("a:{i}"), &body, low.clone())
            .await
            .expect("somewhere");
    }
    let bytes = a.redis_status().await.bytes;
    assert!(bytes <= MAX, "{bytes}");
    let in_redis = redis.cli(&["KEYS", "{test}:v6:e:*"]);
    assert_eq!(in_redis.lines().count(), 47, "entries and stubs");
    assert_eq!(b.fetched("a:29").await, None, "a stub is nothing");
    for i in 0..30 {
        let key = format!("a:{i}");
        assert_eq!(a.remembered(&key), Some(body.clone()), "{key}");
    }

    // Two that have it do not take it from each other.
    b.fill_as("a:29", &body, low.clone())
        .await
        .expect("in memory");
    a.redis_status().await;
    assert_eq!(a.remembered("a:29"), Some(body.clone()));
    assert_eq!(b.remembered("a:29"), Some(body.clone()));

    let by_tag = Purge {
        tags: vec![Pattern::literal("t:a:28")],
        ..Purge::default()
    };
    for (key, purge) in [
        ("a:29", purge_key("a:29")),
        ("a:28", by_tag),
        ("a:27", purge_key("a:2*")),
    ] {
        b.store.purge(purge).await;
        eventually("a is told", SHORT, || async { a.remembered(key).is_none() }).await;
    }
    // Two hosts under one key, each with tags of its own: one purge by tag takes both from memory.
    for host in ["one.example", "two.example"] {
        let variation = Variation {
            priority: Priority::Low,
            ..Variation::of(host)
        };
        let stored = a.fill_as("a:26", &body, variation);
        stored.await.expect("in memory");
    }
    assert!(a.remembered("a:26").is_some());
    let strict = a.store.begin("a:29", None).await;
    let put = a
        .store
        .commit(strict, variant("a:29", &"x".repeat(200_000)), Strict, None);
    assert_eq!(
        put.await,
        Err(Reason::CannotFit),
        "memory is not for strict rules"
    );
}

#[tokio::test]
async fn nothing_remains_of_what_expired() {
    let redis = RedisServer::start();
    let a = Sidecar::start(&redis).await;
    let brief = Variation {
        lifetime: Some(Duration::from_millis(50)),
        ..Variation::default()
    };
    for i in 0..50 {
        a.fill_as(&format!("a:{i}"), "x", brief.clone())
            .await
            .expect("stored");
    }
    eventually("all expired and tidied", SHORT, || async {
        a.redis_status().await.entries == 0
    })
    .await;
    assert_empty(&redis, "after expiry");
}

#[tokio::test]
async fn nothing_remains_of_leases_given_up() {
    let redis = RedisServer::start();
    let a = Sidecar::start(&redis).await;
    let ticket = a.store.begin("a", None).await;
    assert_eq!(redis.number(&["ZCARD", "{test}:v6:lx"]), 2);
    assert!(a.redis_status().await.bytes > 0, "a lease costs, too");
    a.store.abandon(ticket).await;
    assert_empty(&redis, "after abandon");

    // One that nobody gives back ends by itself.
    drop(a.store.begin("b", None).await);
    eventually("the lease ends", SHORT, || async {
        a.redis_status().await.bytes == 0
    })
    .await;
    assert_empty(&redis, "after the lease's end");
}

#[tokio::test]
async fn nothing_remains_of_what_is_purged() {
    let redis = RedisServer::start();
    let a = Sidecar::start(&redis).await;
    for (case, purge) in [("everything", everything()), ("a pattern", purge_key("*"))] {
        for i in 0..250 {
            a.fill(&format!("a:{i}"), "x").await.expect("stored");
        }
        drop(a.store.begin("lease only", None).await);
        assert_eq!(a.store.purge(purge).await.redis, Some(250), "{case}");
        assert_empty(&redis, case);
    }
}

#[tokio::test]
async fn the_budget_holds() {
    const MAX: u64 = 200_000;
    let redis = RedisServer::start();
    redis.cli(&["SET", "theirs", "x"]);
    let a = Sidecar::with_budget(&redis, MAX).await;
    let body = "x".repeat(2000);
    for i in 0..200 {
        let stored = a.fill(&format!("a:{i}"), &body).await;
        stored.expect("others leave");
        let bytes = a.redis_status().await.bytes;
        assert!(bytes <= MAX * 9 / 10, "{bytes} of {MAX}");
    }
    let status = a.redis_status().await;
    assert!(status.entries > 50, "{}", status.entries);
    assert_eq!(a.evictions(Priority::Medium), 200 - status.entries);
    let held = held(&redis, (0..200).map(|i| format!("a:{i}")));
    assert_eq!(held.len() as u64, status.entries);
    assert_eq!(held.last().map(String::as_str), Some("a:199"), "the newest");
    assert_eq!(members(&redis, "{test}:v6:tx"), status.entries);
    assert_eq!(redis.cli(&["GET", "theirs"]), "x");
}

#[tokio::test]
async fn low_leaves_before_medium_before_high() {
    use Priority::{High, Low, Medium};
    const MAX: u64 = 200_000;
    let body = "x".repeat(2000);
    let keys = |word: &'static str, count| (0..count).map(move |i| format!("{word}:{i}"));
    // Filled to the last place by both, then one more comes. Who is untouched, and whether the newcomer is stored.
    for (case, before, newcomer, spared, stored) in [
        (
            "high takes low",
            [(Low, 40), (High, 40)],
            High,
            Some("high"),
            true,
        ),
        (
            "high takes medium",
            [(Medium, 40), (High, 40)],
            High,
            Some("high"),
            true,
        ),
        (
            "medium takes low",
            [(Low, 40), (Medium, 40)],
            Medium,
            Some("medium"),
            true,
        ),
        (
            "low takes low",
            [(Low, 40), (High, 40)],
            Low,
            Some("high"),
            true,
        ),
        (
            "high takes high",
            [(High, 40), (High, 40)],
            High,
            None,
            true,
        ),
        (
            "low leaves medium",
            [(Medium, 80), (Medium, 80)],
            Low,
            Some("medium"),
            false,
        ),
        (
            "low leaves high",
            [(High, 80), (High, 80)],
            Low,
            Some("high"),
            false,
        ),
    ] {
        let redis = RedisServer::start();
        let a = Sidecar::with_budget(&redis, MAX).await;
        for (priority, count) in before {
            for key in keys(priority.as_str(), count) {
                let variation = with_priority(priority);
                a.fill_as(&key, &body, variation).await.expect(case);
            }
        }
        let untouched = |word: &'static str| held(&redis, keys(word, 80));
        let spared = spared.map(|word| (word, untouched(word)));
        // The place that is left is too small for this one.
        let free = (MAX / 10 * 9).saturating_sub(a.redis_status().await.bytes);
        // Nor does it fit into what is for leases and stubs.
        let large = "x".repeat(free as usize + 12_000);
        let result = a.fill_as("new", &large, with_priority(newcomer)).await;
        let in_redis = redis.number(&["STRLEN", "{test}:v6:e:new"]) > 1000;
        assert_eq!(in_redis, stored, "{case}: {result:?}");
        if let Some((word, before)) = spared {
            assert!(!before.is_empty(), "{case}");
            assert_eq!(untouched(word), before, "{case}");
        }
        assert!(a.redis_status().await.bytes <= MAX, "{case}");
    }
}

#[tokio::test]
async fn what_expires_first_leaves_first() {
    const MAX: u64 = 200_000;
    let redis = RedisServer::start();
    let a = Sidecar::evicting(&redis, MAX, EvictionOrder::Expiry).await;
    // The order of their names, of their times of storing and of their expiries are three.
    for i in 0..80_u64 {
        let variation = Variation {
            // Each an eighth longer than the one before: the order is exact to a sixteenth.
            lifetime: Some(Duration::from_secs(100).mul_f64(1.125_f64.powi(i as i32 * 37 % 80))),
            ..Variation::default()
        };
        let key = format!("a:{i}");
        a.fill_as(&key, &"x".repeat(2000), variation)
            .await
            .expect("stored");
    }
    let longest = Variation {
        lifetime: Some(Duration::from_secs(10_000_000)),
        ..Variation::default()
    };
    a.fill_as("new", &"x".repeat(20_000), longest)
        .await
        .expect("stored");
    let expiry = |i: u64| i * 37 % 80;
    let held = held(&redis, (0..80).map(|i| format!("a:{i}")));
    let mut left: Vec<u64> = held
        .iter()
        .map(|key| expiry(key[2..].parse().expect("a number")))
        .collect();
    left.sort_unstable();
    assert!(left.len() > 30 && left.len() < 75, "{}", left.len());
    let last: Vec<u64> = (80 - left.len() as u64..80).collect();
    assert_eq!(left, last);
}

/// What expires at about the same time is in the order of its keys, and these must not decide.
#[tokio::test]
async fn of_what_expires_together_any_leaves() {
    const MAX: u64 = 300_000;
    let redis = RedisServer::start();
    let a = Sidecar::evicting(&redis, MAX, EvictionOrder::Expiry).await;
    let key = |i: usize| format!("a:{i:03}");
    for i in 0..700 {
        a.fill(&key(i), "x").await.expect("stored");
    }
    a.fill("new", &"x".repeat(200_000)).await.expect("stored");
    let held = held(&redis, (0..700).map(key));
    assert!(held.len() > 50 && held.len() < 500, "{}", held.len());
    let last: Vec<String> = (700 - held.len()..700).map(key).collect();
    assert_ne!(held, last);
}

/// Which of `a:0` to `a:59` are there.
fn numbers_held(redis: &RedisServer) -> Vec<u64> {
    let held = held(redis, (0..60).map(|i| format!("a:{i}")));
    let number = |key: &String| key[2..].parse().expect("a number");
    held.iter().map(number).collect()
}

/// How often `a:i` was stored or hit, as Redis was told.
fn hits(redis: &RedisServer, i: u64) -> u64 {
    let script = "local hits = 0
        for _, page in ipairs(redis.call('KEYS', '{test}:v6:x1:*')) do
            local fields = redis.call('HGETALL', page)
            for i = 1, #fields, 2 do
                if string.sub(fields[i], 6) == ARGV[1] then
                    hits = hits + struct.unpack('>I2', fields[i + 1])
                end
            end
        end
        return hits";
    redis.number(&["EVAL", script, "0", &format!("a:{i}")])
}

/// Hits are told together, by whichever sidecar had them, from memory or from Redis.
#[tokio::test]
async fn what_saves_few_hits_leaves_first() {
    const MAX: u64 = 200_000;
    let redis = RedisServer::start();
    let a = Sidecar::evicting(&redis, MAX, EvictionOrder::Value).await;
    let b = Sidecar::evicting(&redis, MAX, EvictionOrder::Value).await;
    let body = "x".repeat(2000);
    for i in 0..60_u64 {
        // What is hit expires first: by the other order it would leave.
        let variation = Variation {
            lifetime: Some(Duration::from_secs(if i % 4 < 2 { 1000 } else { 9000 })),
            ..Variation::default()
        };
        let key = format!("a:{i}");
        a.fill_as(&key, &body, variation).await.expect("stored");
    }
    let is_hit = |i: &u64| i % 4 < 2;
    eventually("the hits are told", SHORT, || async {
        for i in (0..60).filter(is_hit) {
            let key = format!("a:{i}");
            match i % 4 {
                0 => assert!(a.remembered(&key).is_some()),
                _ => assert!(b.fetched(&key).await.is_some()),
            }
        }
        (0..60).filter(is_hit).all(|i| hits(&redis, i) > 3)
    })
    .await;
    a.fill("new", &"x".repeat(40_000)).await.expect("stored");
    let left = numbers_held(&redis);
    assert!(left.len() >= 30 && left.len() < 60, "{}", left.len());
    for i in (0..60).filter(is_hit) {
        assert!(left.contains(&i), "{i} was hit: {left:?}");
    }
}

/// Promise I2: what has left Redis is told of no more, so no memory has it either.
#[tokio::test]
async fn what_is_evicted_leaves_every_memory() {
    const MAX: u64 = 200_000;
    let redis = RedisServer::start();
    let a = Sidecar::with_budget(&redis, MAX).await;
    let b = Sidecar::with_budget(&redis, MAX).await;
    let body = "x".repeat(2000);
    for i in 0..80 {
        a.fill(&format!("a:{i}"), &body).await.expect("stored");
        assert_eq!(b.fetched(&format!("a:{i}")).await, Some(body.clone()));
    }
    a.fill("new", &"x".repeat(20_000)).await.expect("stored");
    assert!(a.evictions(Priority::Medium) > 0);
    let in_redis = held(&redis, (0..80).map(|i| format!("a:{i}")));
    eventually("all are told", SHORT, || async {
        [&a, &b].iter().all(|sidecar| {
            let remembers = |key: &String| sidecar.remembered(key).is_some();
            (0..80)
                .map(|i| format!("a:{i}"))
                .filter(remembers)
                .eq(in_redis.iter().cloned())
        })
    })
    .await;
    // And what it has is told of.
    b.store.purge(purge_key("a:*")).await;
    eventually("the purge is told", SHORT, || async {
        in_redis.iter().all(|key| a.remembered(key).is_none())
    })
    .await;
}

fn with_tags(count: usize) -> Variation {
    Variation {
        tags: (0..count).map(|tag| format!("tag:{tag}").into()).collect(),
        priority: Priority::Low,
        ..Variation::default()
    }
}

/// No call of a script takes long: what an entry has of tags counts, and not its key alone.
#[tokio::test]
async fn what_has_many_tags_goes_in_many_calls() {
    const MAX: u64 = 1_200_000;
    let redis = RedisServer::start();
    let a = Sidecar::with_budget(&redis, MAX).await;
    let tagged = with_tags(200);
    let calls = || redis.calls("evalsha");
    let keys = || (0..30).map(|i| format!("a:{i}"));
    let by_keys = Purge {
        keys: keys().map(|key| Pattern::literal(&key)).collect(),
        ..Purge::default()
    };
    let by_tag = |tag| Purge {
        tags: vec![Pattern::parse(tag)],
        ..Purge::default()
    };
    for (case, purge) in [
        ("by keys", by_keys),
        ("by a pattern of keys", purge_key("a:*")),
        ("by a tag", by_tag("tag:7")),
        ("by a pattern of tags", by_tag("tag:1*")),
    ] {
        for key in keys() {
            a.fill_as(&key, "x", tagged.clone()).await.expect("stored");
        }
        let before = calls();
        assert_eq!(a.store.purge(purge).await.redis, Some(30), "{case}");
        let calls = calls() - before;
        assert!((15..60).contains(&calls), "{case}: {calls}");
        assert_empty(&redis, case);
    }

    let brief = Variation {
        lifetime: Some(Duration::from_millis(50)),
        ..tagged.clone()
    };
    for key in keys() {
        a.fill_as(&key, "x", brief.clone()).await.expect("stored");
    }
    eventually("all expired and tidied", SHORT, || async {
        a.redis_status().await.entries == 0
    })
    .await;
    assert_empty(&redis, "after expiry");

    for key in keys() {
        a.fill_as(&key, "x", tagged.clone()).await.expect("stored");
    }
    let used = a.redis_status().await.bytes;
    let large = "x".repeat((MAX - MAX / 10 - used / 3) as usize);
    let before = calls();
    a.fill_as("new", &large, tagged).await.expect("stored");
    assert!(
        calls() - before > 10,
        "{} evicted",
        a.evictions(Priority::Low)
    );
    assert!(a.evictions(Priority::Low) >= 20);
}

/// Redis watches each name that was read until it is written, in a table of its own.
#[tokio::test]
async fn what_is_looked_for_and_never_stored_leaves_nothing_in_redis() {
    let redis = RedisServer::start();
    let (a, b) = Sidecar::pair(&redis).await;
    a.fill("held", "x").await.expect("stored");
    b.fetched("held").await.expect("found");
    for i in 0..300 {
        let key = format!("a:{i}");
        assert_eq!(a.fetched(&key).await, None);
        match i % 3 {
            0 => a.store.abandon(a.store.begin(&key, None).await).await,
            1 => assert_eq!(b.fetched(&key).await, None),
            _ => {}
        }
    }
    eventually("Redis forgets them", SHORT, || async {
        redis
            .info("tracking_total_keys")
            .parse::<u64>()
            .expect("a number")
            < 30
    })
    .await;
    assert_eq!(redis.cli(&["KEYS", "{test}:v6:e:*"]), "{test}:v6:e:held");
    assert!(b.remembered("held").is_some(), "that was no change");
    a.store.purge(purge_key("held")).await;
    eventually("b is still told", SHORT, || async {
        b.remembered("held").is_none()
    })
    .await;
}

/// Leases of what is stored count as others do.
#[tokio::test]
async fn leases_keep_within_the_budget() {
    const MAX: u64 = 18_000;
    let redis = RedisServer::start();
    let a = Sidecar::with_budget(&redis, MAX).await;
    for i in 0..40 {
        a.fill(&format!("a:{i}"), "x").await.expect("stored");
    }
    let mut held = Vec::new();
    for i in 0..40 {
        held.push(a.store.begin(&format!("a:{i}"), None).await);
    }
    let bytes = a.redis_status().await.bytes;
    assert!(bytes <= MAX && bytes > MAX * 8 / 10, "{bytes}");
    drop(held);
}

/// What is void is removed bit by bit; nobody leaves for what that takes.
#[tokio::test]
async fn what_is_void_makes_nobody_leave() {
    const MAX: u64 = 2_000_000;
    let redis = RedisServer::start();
    let a = Sidecar::with_budget(&redis, MAX).await;
    for i in 0..160 {
        let body = "x".repeat(10_000);
        a.fill(&format!("old:{i}"), &body).await.expect("stored");
    }
    a.store.purge(everything()).await;
    for i in 0..40 {
        let body = "x".repeat(10_000);
        a.fill(&format!("new:{i}"), &body).await.expect("somewhere");
        assert!(a.redis_status().await.bytes <= MAX);
    }
    assert_eq!(a.evictions(Priority::Medium), 0);
}

/// As before it has been swept, which begins at once and does not take long.
#[tokio::test]
async fn what_is_void_and_not_swept_yet_makes_nobody_leave() {
    const MAX: u64 = 2_000_000;
    const BY: &str = "{test}:v6:by";
    let redis = RedisServer::start();
    let a = Sidecar::with_budget(&redis, MAX).await;
    eventually("what was there before is swept", SHORT, || async {
        redis.number(&["HEXISTS", BY, "sw"]) == 0
    })
    .await;
    redis.cli(&["HINCRBY", BY, "vb", "1600000"]);
    for i in 0..25 {
        a.fill(&format!("new:{i}"), &"x".repeat(10_000))
            .await
            .expect("stored");
    }
    let used = 1_600_000 + a.redis_status().await.bytes;
    assert!(used > MAX * 9 / 10, "more than eviction begins at: {used}");
    assert_eq!(a.evictions(Priority::Medium), 0);
}

#[tokio::test]
async fn what_is_larger_than_the_budget_makes_nobody_leave() {
    const MAX: u64 = 200_000;
    let redis = RedisServer::start();
    let a = Sidecar::with_budget(&redis, MAX).await;
    for i in 0..60 {
        let low = with_priority(Priority::Low);
        a.fill_as(&format!("a:{i}"), &"x".repeat(2000), low)
            .await
            .expect("stored");
    }
    let ticket = a.store.begin("new", None).await;
    let large = variant("new", &"x".repeat(190_000));
    let put = a.store.commit(ticket, large, Strict, None).await;
    assert_eq!(put, Err(Reason::CannotFit));
    assert_eq!(held(&redis, (0..60).map(|i| format!("a:{i}"))).len(), 60);
    assert_eq!(a.evictions(Priority::Low), 0);
}

/// Another tenant fills the server: its bytes count as soon as they are nearer to its end than `max` is to ours.
#[tokio::test]
async fn others_in_the_same_redis_have_their_room() {
    let redis = RedisServer::start_with(&["--maxmemory-policy", "noeviction"]);
    let a = Sidecar::with_budget(&redis, 4_000_000).await;
    let used: u64 = redis.info("used_memory").parse().expect("a number");
    let most = used + 3_000_000;
    redis.cli(&["CONFIG", "SET", "maxmemory", &most.to_string()]);
    let body = "x".repeat(5000);
    for i in 0..1000 {
        let stored = a.fill(&format!("a:{i}"), &body).await;
        stored.expect("ours leave");
    }
    let used: u64 = redis.info("used_memory").parse().expect("a number");
    assert!(used < most, "{used} of {most}");
    let before = a.redis_status().await;
    assert!(before.server_limit.is_some_and(|limit| limit < 4_000_000));
    assert!(before.bytes > 1_000_000, "{before:?}");
    // The other one takes all that is left.
    let mut theirs = 0;
    while redis.cli(&["SET", &format!("theirs:{theirs}"), &"y".repeat(50_000)]) == "OK" {
        theirs += 1;
    }
    assert!(theirs > 1);
    for i in 0..20 {
        let stored = a.fill(&format!("b:{i}"), &body).await;
        stored.expect("ours leave for ours");
    }
    let after = a.redis_status().await.bytes;
    assert!(
        after < before.bytes * 9 / 10,
        "{after} after {}",
        before.bytes
    );
    assert_eq!(redis.cli(&["SET", "more", &"y".repeat(50_000)]), "OK");
    for i in 0..theirs {
        let theirs = redis.number(&["STRLEN", &format!("theirs:{i}")]);
        assert_eq!(theirs, 50_000, "{i}");
    }
}

/// And that also where nobody stores, and long before the next check.
#[tokio::test]
async fn others_get_their_room_from_who_stores_nothing() {
    let redis = RedisServer::start_with(&["--maxmemory-policy", "noeviction"]);
    let a = Sidecar::checking_every(&redis, 4_000_000, Duration::from_secs(3600)).await;
    let used: u64 = redis.info("used_memory").parse().expect("a number");
    redis.cli(&[
        "CONFIG",
        "SET",
        "maxmemory",
        &(used + 3_000_000).to_string(),
    ]);
    for i in 0..800 {
        let stored = a.fill(&format!("a:{i}"), &"x".repeat(5000)).await;
        stored.expect("ours leave");
    }
    let before = a.redis_status().await.bytes;
    assert!(before > 1_000_000, "{before}");
    for theirs in 0..40 {
        eventually("there is room", SHORT, || async {
            redis.cli(&["SET", &format!("theirs:{theirs}"), &"y".repeat(50_000)]) == "OK"
        })
        .await;
    }
    let after = a.redis_status().await.bytes;
    assert!(after < before / 2, "{after} after {before}");
}

/// Promise I5, with several sidecars that store at once.
#[tokio::test]
async fn four_sidecars_at_once_never_pass_the_budget() {
    use std::sync::atomic::{AtomicBool, Ordering};
    const MAX: u64 = 400_000;
    let redis = RedisServer::start();
    let mut sidecars = Vec::new();
    for _ in 0..4 {
        sidecars.push(Sidecar::with_budget(&redis, MAX).await);
    }
    let done = AtomicBool::new(false);
    let fill = |number: usize| {
        let sidecar = &sidecars[number];
        async move {
            for i in 0..150_usize {
                let priority = Priority::ALL[(i + number) % 3];
                let body = "x".repeat(500 + i * 97 % 9000);
                let key = format!("{}:{number}:{i}", priority.as_str());
                let stored = sidecar.fill_as(&key, &body, with_priority(priority)).await;
                // Fenced: memory alone was to have it, and another sidecar has had its stub leave already.
                let refusals = [Reason::BudgetFull, Reason::CannotFit, Reason::Fenced];
                let is_refused = refusals.iter().any(|reason| stored == Err(*reason));
                assert!(stored.is_ok() || is_refused, "{stored:?}");
            }
        }
    };
    let watch = async {
        let mut most = 0;
        while !done.load(Ordering::Acquire) {
            most = most.max(sidecars[0].redis_status().await.bytes);
        }
        most
    };
    let fills = async {
        futures_util::future::join_all((0..4).map(fill)).await;
        done.store(true, Ordering::Release);
    };
    let (most, ()) = tokio::join!(watch, fills);
    assert!(most <= MAX && most > MAX / 2, "{most}");
    let of = |priority| -> u64 { sidecars.iter().map(|a| a.evictions(priority)).sum() };
    assert!(of(Priority::Low) > 0);
    // What they left is whole: a purge finds all of it.
    let entries = sidecars[0].redis_status().await.entries;
    let purged = sidecars[1].store.purge(purge_key("*")).await;
    assert_eq!(purged.redis, Some(entries as usize));
    assert_empty(&redis, "after the purge");
}

#[tokio::test]
async fn what_is_accounted_is_what_redis_takes() {
    const ENTRIES: u64 = 2000;
    for (case, key, body) in [
        ("small", "k:", 10),
        ("typical", "kanban:board:project-1234:team-5678:", 900),
        (
            "long keys",
            "kanban:board:project-1234:team-5678:of-the-long-names-that-some-apps-have:",
            900,
        ),
        ("large", "analytics:", 20_000),
    ] {
        let redis = RedisServer::start();
        let a = Sidecar::start(&redis).await;
        let body = "x".repeat(body);
        for i in 0..ENTRIES {
            a.fill(&format!("{key}{i}"), &body).await.expect("stored");
        }
        // What else the namespace has, from far more than usual on.
        for process in ["one", "two"] {
            redis.cli(&["HSET", "{test}:hot", process, &"x".repeat(100_000)]);
        }
        // What stands beside entries is corrected by a check, which the first beat has had done before they came.
        redis.cli(&["HDEL", "{test}:v6:by", "cw"]);
        eventually("the account is corrected", SHORT, || async {
            a.redis_status().await;
            redis.number(&["HGET", "{test}:v6:by", "f"]) > 0
        })
        .await;
        let accounted = a.redis_status().await.bytes;
        let (all, entries) = measured(&redis);
        let case = format!("{case}: {accounted} for {all}");
        assert!(accounted.abs_diff(all) * 20 <= all, "{case}");
        let beside = (all - entries - 200_000) / ENTRIES;
        // One tag each, which has the key in its name; such names are of ordinary length in two of the cases.
        assert!(
            beside <= 150 + 60 || key.len() > 20,
            "{case}: {beside} beside each"
        );
    }
}

/// The sum of `MEMORY USAGE` of all that the namespace has, and of the entries alone.
fn measured(redis: &RedisServer) -> (u64, u64) {
    let sums = redis.cli(&[
        "EVAL",
        "local all, entries = 0, 0 \
         for _, name in ipairs(redis.call('KEYS', '{test}:*')) do \
             local bytes = redis.call('MEMORY', 'USAGE', name, 'SAMPLES', '0') \
             all = all + bytes \
             if string.find(name, '^{test}:v6:e:') then entries = entries + bytes end \
         end \
         return { all, entries }",
        "0",
    ]);
    let mut sums = sums.lines().map(|sum| sum.parse().expect("a number"));
    (sums.next().expect("all"), sums.next().expect("entries"))
}

/// Others have filled it: memory has what it takes nothing but a stub of, and hears of purges (promises I2, I5).
#[tokio::test]
async fn a_full_redis_takes_stubs_and_purges() {
    let redis = RedisServer::start_with(&["--maxmemory-policy", "noeviction"]);
    let (a, b) = Sidecar::pair(&redis).await;
    a.fill("user:1", "alice").await.expect("stored");
    let held = a.store.begin("user:2", None).await;
    // Less than an empty server takes.
    redis.cli(&["CONFIG", "SET", "maxmemory", "500kb"]);
    assert!(redis.cli(&["SET", "foreign", "x"]).starts_with("OOM"));
    let full = a.errors("full");
    a.fill("user:3", "x").await.expect("memory has it");
    let variant = super::variant("user:2", "x");
    let put = a.store.commit(held, variant, Tracked, None).await;
    put.expect("and what had its lease");
    assert!(a.errors("full") >= full + 2);
    for key in ["user:2", "user:3"] {
        assert_eq!(a.remembered(key), Some("x".into()));
        assert_eq!(b.fetched(key).await, None, "a stub is nothing");
    }
    let held = a.store.begin("user:4", None).await;
    let put = a
        .store
        .commit(held, super::variant("user:4", "x"), Strict, None);
    assert_eq!(put.await, Err(Reason::BudgetFull), "without memory");
    let held = a.store.begin("user:5", None).await;
    for (case, purge) in [
        ("by key", purge_key("user:1")),
        ("by pattern", purge_key("user:*")),
        ("everything", everything()),
    ] {
        let purged = b.store.purge(purge).await;
        assert!(!purged.pending, "{case}");
    }
    let put = a
        .store
        .commit(held, super::variant("user:5", "x"), Tracked, None);
    assert!(put.await.is_err(), "it was fetched before the purge");
    eventually("memory hears of it", SHORT, || async {
        ["user:1", "user:2", "user:3", "user:5"]
            .iter()
            .all(|key| a.remembered(key).is_none())
    })
    .await;
    assert_eq!(a.fetched("user:1").await, None);
    assert_empty(&redis, "after the purges");
}

/// When the next check is due.
fn next_check(redis: &RedisServer) -> u64 {
    redis.number(&["HGET", "{test}:v6:by", "cw"])
}

/// Waits until some more checks have begun.
async fn checks(redis: &RedisServer, count: usize) {
    for _ in 0..count {
        let before = next_check(redis);
        eventually("a check", SHORT, || async { next_check(redis) != before }).await;
    }
}

/// Stubs are few, and stay for those who look at what memory has, though others want all of the server.
#[tokio::test]
async fn stubs_are_few_and_stay_where_others_fill_the_server() {
    const MAX: u64 = 6_400_000;
    let redis = RedisServer::start_with(&["--maxmemory-policy", "noeviction"]);
    let a = Sidecar::checking_every(&redis, MAX, Duration::from_millis(200)).await;
    redis.cli(&["CONFIG", "SET", "maxmemory", "500kb"]);
    let fill = async |i: usize| a.fill(&format!("a:{i}"), "x").await;
    for i in 0..200 {
        fill(i).await.expect("memory has it");
    }
    checks(&redis, 3).await;
    for i in 0..200 {
        let held = a.remembered(&format!("a:{i}"));
        assert_eq!(held, Some("x".into()), "{i}");
    }
    let status = a.redis_status().await;
    assert!(status.nearly_full && status.taken_by_others, "{status:?}");
    for i in 200..3000 {
        let _ = fill(i).await;
        let _ = fill(0).await;
    }
    let (bytes, _) = measured(&redis);
    assert!(bytes < MAX / 32 + 40_000, "{bytes}");
    fill(3000).await.expect("the others make room for it");
}

/// Where Redis itself lets entries leave, a server full of others is as usual: it, and the budget, say what stays.
#[tokio::test]
async fn beside_others_a_server_that_evicts_is_no_limit() {
    let redis = RedisServer::start_with(&["--maxmemory-policy", "volatile-lru"]);
    let every = Duration::from_millis(200);
    let a = Sidecar::checking_every(&redis, 4_000_000, every).await;
    let used: u64 = redis.info("used_memory").parse().expect("a number");
    let most = (used + 3_000_000).to_string();
    redis.cli(&["CONFIG", "SET", "maxmemory", &most]);
    let theirs = |i: u32| {
        let words = [
            "SET",
            &format!("theirs:{i}"),
            &"y".repeat(50_000),
            "EX",
            "900",
        ];
        assert_eq!(redis.cli(&words), "OK");
    };
    (0..80).for_each(theirs);
    for i in 0..100 {
        let stored = a.fill(&format!("a:{i}"), &"x".repeat(5000)).await;
        stored.expect("theirs leave");
    }
    checks(&redis, 3).await;
    (80..100).for_each(theirs);
    checks(&redis, 3).await;
    let status = a.redis_status().await;
    assert_eq!(a.evictions(Priority::Medium), 0, "{status:?}");
    assert!(!status.nearly_full && status.server_limit.is_none());
    let there = held(&redis, (0..100).map(|i| format!("a:{i}"))).len();
    assert!(there > 50, "{there}");
    a.fill("more", &"x".repeat(5000)).await.expect("as ever");
    assert_eq!(redis.number(&["EXISTS", "{test}:v6:e:more"]), 1);
}

/// Managed servers have no `MEMORY`, often: what is stored is not void for it.
#[tokio::test]
async fn a_check_does_without_what_redis_lacks() {
    let redis = RedisServer::start_with(&["--rename-command", "MEMORY", ""]);
    let a = Sidecar::checking_every(&redis, 4_000_000, Duration::from_millis(200)).await;
    for i in 0..600 {
        a.fill(&format!("a:{i}"), "x").await.expect("there is room");
    }
    let generation = redis.cli(&["GET", "{test}:v6:g"]);
    checks(&redis, 3).await;
    assert_eq!(redis.cli(&["GET", "{test}:v6:g"]), generation);
    assert_eq!(a.fetched_strictly("a:0").await, Some("x".into()));
    assert_eq!(a.errors("other"), 0);
}

/// Nor does it try what the user may not do, which would fill the operator's log.
#[tokio::test]
async fn a_check_leaves_no_line_in_the_log_of_refusals() {
    let redis = RedisServer::start();
    redis.cli(&["ACL", "SETUSER", "default", "-memory"]);
    let a = Sidecar::checking_every(&redis, 4_000_000, Duration::from_millis(200)).await;
    for i in 0..600 {
        a.fill(&format!("a:{i}"), "x").await.expect("there is room");
    }
    checks(&redis, 3).await;
    assert_eq!(redis.cli(&["ACL", "LOG"]), "");
}

/// The clock of Redis is an hour behind the one by which these were written.
#[tokio::test]
async fn checks_go_on_when_the_clock_is_set_back() {
    let redis = RedisServer::start();
    let a = Sidecar::checking_every(&redis, 4_000_000, Duration::from_millis(200)).await;
    let time = redis.cli(&["TIME"]);
    let seconds: u64 = time
        .lines()
        .next()
        .expect("seconds")
        .parse()
        .expect("a number");
    let late = (seconds + 3600) * 1000;
    for field in ["cw", "tn", "tw"] {
        redis.cli(&["HSET", "{test}:v6:by", field, &late.to_string()]);
    }
    eventually("a check", SHORT, || async { next_check(&redis) < late }).await;
    a.fill("a", "x").await.expect("there is room");
    let tidied = redis.number(&["HGET", "{test}:v6:by", "tn"]);
    assert!(tidied < late, "a store has tidied");
}

/// What the fleet has is in one shard, and takes of the room of all.
#[tokio::test]
async fn what_the_fleet_has_counts_in_all_shards() {
    const FLEET: u64 = 1_600_000;
    let redis = RedisServer::start_cluster();
    let every = Duration::from_millis(200);
    let a = Sidecar::checking_every_at(&redis.cluster_url(), 4_000_000, every).await;
    let hot = "x".repeat(FLEET as usize / 16);
    for i in 0..16 {
        redis.cli(&["HSET", "{test.0}:hot", &format!("{i}"), &hot]);
    }
    for shard in [0, 5, 15] {
        let control = format!("{{test.{shard}}}:v6:by");
        eventually("it counts", SHORT, || async {
            let rest = redis.number(&["HGET", &control, "o"]);
            (FLEET / 20..FLEET / 10).contains(&rest)
        })
        .await;
    }
    let status = a.redis_status().await;
    assert!(status.bytes > FLEET * 4 / 5, "{status:?}");
    for i in 0..100 {
        a.fill(&format!("a:{i}"), &"x".repeat(1000))
            .await
            .expect("stored");
    }
    assert_eq!(a.redis_status().await.entries, 100);
}

/// A purge by a tag that many have removes entries, and their lines later: whoever meets such a line meanwhile takes it out,
/// and does not take its entry for one that Redis has evicted.
#[tokio::test]
async fn what_a_purge_by_tag_leaves_for_later_is_taken_out() {
    const COUNT: usize = 200;
    let redis = RedisServer::start();
    let a = Sidecar::start(&redis).await;
    let tagged = |tags: &[&str]| Variation {
        tags: tags.iter().map(|tag| (*tag).into()).collect(),
        ..Variation::default()
    };
    let by_tag = |tag: &str| Purge {
        tags: vec![Pattern::parse(tag)],
        ..Purge::default()
    };
    let keys = || (0..COUNT).map(|i| format!("a:{i:03}"));
    let by_keys = || Purge {
        keys: keys().map(|key| Pattern::literal(&key)).collect(),
        ..Purge::default()
    };
    // What is purged behind it, and what is filled before that.
    let cases: [(&str, usize, Option<Purge>); 7] = [
        ("nothing else", 0, None),
        ("filled again", 150, None),
        ("filled and purged again", 150, Some(by_tag("one"))),
        ("by another tag", 0, Some(by_tag("two"))),
        ("by keys", 30, Some(by_keys())),
        ("by a pattern of keys", 30, Some(purge_key("a:*"))),
        ("softly", 30, Some(by_tag("one").into_soft())),
    ];
    let generation = redis.cli(&["GET", "{test}:v6:g"]);
    for (case, filled, behind) in cases {
        for key in keys() {
            let variation = tagged(&["one", "two"]);
            a.fill_as(&key, "x", variation).await.expect("stored");
        }
        let purged = a.store.purge(by_tag("one")).await.redis;
        assert_eq!(purged, Some(COUNT), "{case}");
        for key in keys().take(filled) {
            let variation = tagged(&["one", "three"]);
            a.fill_as(&key, "x", variation).await.expect("stored");
        }
        if let Some(behind) = behind {
            let purged = a.store.purge(behind).await.redis;
            assert_eq!(purged, Some(filled), "{case}");
        }
        if filled > 0 {
            a.store.purge(purge_key("a:*")).await;
        }
        eventually(case, SHORT, || async {
            a.redis_status().await.entries == 0
        })
        .await;
        assert_empty(&redis, case);
        assert_eq!(redis.cli(&["GET", "{test}:v6:g"]), generation, "{case}");
        assert_eq!(redis.number(&["EXISTS", "{test}:v6:u"]), 0, "{case}");
    }

    for key in keys() {
        a.fill_as(&key, "x", tagged(&["one"]))
            .await
            .expect("stored");
    }
    redis.cli(&["DEL", "{test}:v6:e:a:100"]);
    let purged = a.store.purge(by_tag("one")).await.redis;
    assert_eq!(purged, Some(COUNT - 1));
    let told = redis.number(&["EXISTS", "{test}:v6:u"]);
    assert_eq!(told, 1, "one was evicted, and memory may have it");
}

/// What a purge by tag has left to be taken out is in the account until then, and keeps nothing out that fits without it.
#[tokio::test]
async fn what_a_purge_by_tag_left_makes_room() {
    const MAX: u64 = 400_000;
    let redis = RedisServer::start();
    let a = Sidecar::with_budget(&redis, MAX).await;
    let body = "x".repeat(800);
    for i in 0..250 {
        let high = Variation {
            tags: vec!["one".into()],
            ..with_priority(Priority::High)
        };
        let stored = a.fill_as(&format!("a:{i:03}"), &body, high).await;
        stored.expect("there is room");
    }
    let by_tag = Purge {
        tags: vec![Pattern::literal("one")],
        ..Purge::default()
    };
    assert_eq!(a.store.purge(by_tag).await.redis, Some(250));
    let large = "x".repeat(250_000);
    let stored = a.fill_as("low", &large, with_priority(Priority::Low)).await;
    stored.expect("nothing else is there");
}
