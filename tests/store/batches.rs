//! Leases and stores of one moment, which go together.

use futures_util::future::{join_all, poll_immediate};
use pannier::config::Coherence::Tracked;
use pannier::routes::PurgeKind;

use super::*;

/// As many as a command takes, and commands under way before calls gather (`src/store/redis/batches.rs`).
const OF_A_COMMAND: usize = 16;
const UNDER_WAY: usize = 2;

fn keys(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("user:{number}")).collect()
}

#[tokio::test]
async fn leases_and_stores_of_one_moment_share_commands() {
    let redis = RedisServer::start();
    let (a, b) = Sidecar::pair(&redis).await;
    let keys = keys(5 * OF_A_COMMAND);
    let tickets = join_all(keys.iter().map(|key| a.store.begin(key, SHORT))).await;
    assert_eq!(a.commands("lease"), 5);
    assert!(tickets.iter().all(|ticket| ticket.taken_by().is_none()));
    let stores = tickets.into_iter().zip(&keys).map(|(ticket, key)| {
        let variant = variant(key, &format!("of {key}"));
        a.store.commit(ticket, variant, Tracked, None)
    });
    for stored in join_all(stores).await {
        stored.expect("stored");
    }
    assert_eq!(a.commands("put"), 5);
    for key in &keys {
        assert_eq!(b.fetched(key).await, Some(format!("of {key}")));
    }
    // Whoever stored them is told of purges of each, although it never read them.
    for key in &keys {
        b.store.purge(purge_key(key)).await;
    }
    eventually("all invalidated", SHORT, || async {
        keys.iter().all(|key| a.remembered(key).is_none())
    })
    .await;
    assert_eq!(redis.cli(&["KEYS", "*:l:*"]), "");
}

/// Of the same command, and of one that was first.
#[tokio::test]
async fn of_several_who_want_one_lease_together_the_first_has_it() {
    let redis = RedisServer::start();
    let (a, b) = Sidecar::pair(&redis).await;
    let theirs = b.store.begin("theirs", SHORT).await;
    let wanted = ["one", "two", "one", "theirs", "two", "one", "theirs"];
    let tickets = join_all(wanted.map(|key| a.store.begin(key, SHORT))).await;
    let token = |name: &str| {
        let token = redis.cli(&["GET", &format!("{{test}}:v6:l:{name}")]);
        token[16..].to_owned()
    };
    let holders: Vec<Option<&str>> = tickets.iter().map(|ticket| ticket.taken_by()).collect();
    let [one, two, theirs_is] = ["one", "two", "theirs"].map(token);
    let expected = [
        None,
        None,
        Some(&*one),
        Some(&*theirs_is),
        Some(&*two),
        Some(&*one),
        Some(&*theirs_is),
    ];
    assert_eq!(holders, expected);
    b.store.abandon(theirs).await;
}

/// With each lease comes what is stored, but not more than an answer should have.
#[tokio::test]
async fn large_entries_do_not_all_come_with_the_leases_of_one_command() {
    let redis = RedisServer::start();
    let a = Sidecar::start(&redis).await;
    let keys = keys(OF_A_COMMAND);
    for key in &keys {
        a.fill(key, &format!("{key}{}", "x".repeat(200 << 10)))
            .await
            .expect("stored");
    }
    let (leases, stores) = (a.commands("lease"), a.commands("put"));
    let tickets = join_all(keys.iter().map(|key| a.store.begin(key, SHORT))).await;
    for (ticket, key) in tickets.iter().zip(&keys) {
        let found = ticket.found().expect("ours, and stored");
        assert!(found.variants[0].body.starts_with(key.as_bytes()));
    }
    assert!(
        a.commands("lease") - leases >= OF_A_COMMAND as u64 / 2,
        "two at a time"
    );
    // Nor do large ones go together.
    let commits = tickets.into_iter().zip(&keys).map(|(ticket, key)| {
        let variant = variant(key, &"x".repeat(200 << 10));
        a.store.commit(ticket, variant, Tracked, None)
    });
    for stored in join_all(commits).await {
        stored.expect("stored");
    }
    assert_eq!(a.commands("put") - stores, OF_A_COMMAND as u64);
}

#[tokio::test]
async fn who_has_gone_before_its_turn_takes_no_lease() {
    let redis = RedisServer::start();
    let a = Sidecar::start(&redis).await;
    redis.stop();
    let sent = UNDER_WAY * OF_A_COMMAND;
    let keys = keys(sent + 8);
    let mut asked: Vec<_> = keys
        .iter()
        .map(|key| Box::pin(a.store.begin(key, SHORT)))
        .collect();
    for one in &mut asked {
        assert!(poll_immediate(one.as_mut()).await.is_none());
    }
    // Those that send have their turn.
    for _ in 0..8 {
        tokio::task::yield_now().await;
    }
    let gone = asked.split_off(sent);
    drop(gone);
    redis.cont();
    assert_eq!(join_all(asked).await.len(), sent);
    a.store.begin("later", SHORT).await;
    let leases = redis.cli(&["KEYS", "*:l:*"]);
    assert_eq!(leases.lines().count(), sent + 1, "{leases}");
}

/// A key with nothing but a lease is in no index.
#[tokio::test]
async fn patterns_find_fills_of_what_is_not_stored() {
    let redis = RedisServer::start();
    let (a, b) = Sidecar::pair(&redis).await;
    for kind in PurgeKind::ALL {
        for (pattern, covers) in [
            ("user:*", [true, true, false]),
            ("*:1", [true, false, true]),
            ("u*:1", [true, false, false]),
            ("user:1", [true, false, false]),
            ("other:*", [false, false, false]),
        ] {
            let names = ["user:1", "user:2", "group:1"];
            let tickets = join_all(names.map(|key| a.store.begin(key, SHORT))).await;
            let purge = Purge {
                kind,
                ..purge_key(pattern)
            };
            assert_eq!(b.store.purge(purge).await.redis, Some(0), "{pattern}");
            for ((ticket, key), is_covered) in tickets.into_iter().zip(names).zip(covers) {
                let held = redis.number(&["EXISTS", &format!("{{test}}:v6:l:{key}")]);
                assert_eq!(held == 0, is_covered, "{pattern} {key}");
                a.store.abandon(ticket).await;
            }
            assert_eq!(redis.number(&["ZCARD", "{test}:v6:lx"]), 1, "{pattern}");
        }
    }
}
