//! Leases and stores of one moment, which go together.

use futures_util::future::{join_all, poll_immediate};
use pannier::config::Coherence::Tracked;
use pannier::config::EvictionOrder;
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
    let tickets = join_all(keys.iter().map(|key| a.store.begin(key, None))).await;
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

#[tokio::test]
async fn stores_that_wait_for_more_are_done_before_the_end() {
    let redis = RedisServer::start();
    let a = Sidecar::start(&redis).await;
    let keys = keys(5);
    let tickets = join_all(keys.iter().map(|key| a.store.begin(key, None))).await;
    let stores = tickets.into_iter().zip(&keys).map(|(mut ticket, key)| {
        ticket.let_gather();
        a.store.commit(ticket, variant(key, "of it"), Tracked, None)
    });
    let (stored, ()) = tokio::join!(join_all(stores), a.store.close());
    assert_eq!(stored, vec![Ok(()); 5]);
    let b = Sidecar::start(&redis).await;
    for key in &keys {
        assert_eq!(b.fetched(key).await, Some("of it".to_owned()));
    }
    assert_eq!(redis.cli(&["KEYS", "*:l:*"]), "");
}

/// Of the same command, and of one that was first.
#[tokio::test]
async fn of_several_who_want_one_lease_together_the_first_has_it() {
    let redis = RedisServer::start();
    let (a, b) = Sidecar::pair(&redis).await;
    let theirs = b.store.begin("theirs", None).await;
    let wanted = ["one", "two", "one", "theirs", "two", "one", "theirs"];
    let tickets = join_all(wanted.map(|key| a.store.begin(key, None))).await;
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
    let tickets = join_all(keys.iter().map(|key| a.store.begin(key, None))).await;
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
    let asking = keys.iter().map(|key| Box::pin(a.store.begin(key, None)));
    let mut asked: Vec<_> = asking.collect();
    let mut gone = asked.split_off(sent);
    for some in [&mut asked, &mut gone] {
        for one in some {
            assert!(poll_immediate(one.as_mut()).await.is_none());
        }
        // Those that send have their turn.
        for _ in 0..8 {
            tokio::task::yield_now().await;
        }
    }
    drop(gone);
    redis.cont();
    assert_eq!(join_all(asked).await.len(), sent);
    a.store.begin("later", None).await;
    let leases = redis.cli(&["KEYS", "*:l:*"]);
    assert_eq!(leases.lines().count(), sent + 1, "{leases}");
}

/// A key with nothing but a lease is in no index.
#[tokio::test]
async fn patterns_find_fills_of_what_is_not_stored() {
    let redis = RedisServer::start();
    let (a, b) = Sidecar::pair(&redis).await;
    let generation = || redis.cli(&["GET", "{test}:v6:g"]);
    let first = generation();
    for kind in PurgeKind::ALL {
        for (pattern, covers) in [
            ("user:*", [true, true, false]),
            ("*:1", [true, false, true]),
            ("u*:1", [true, false, false]),
            ("user:1", [true, false, false]),
            ("other:*", [false, false, false]),
        ] {
            let names = ["user:1", "user:2", "group:1"];
            let tickets = join_all(names.map(|key| a.store.begin(key, None))).await;
            let purge = Purge {
                kind,
                ..purge_key(pattern)
            };
            assert_eq!(b.store.purge(purge).await.redis, Some(0), "{pattern}");
            assert_eq!(generation(), first, "{pattern}");
            for ((ticket, key), is_covered) in tickets.into_iter().zip(names).zip(covers) {
                let held = redis.number(&["EXISTS", &format!("{{test}}:v6:l:{key}")]);
                assert_eq!(held == 0, is_covered, "{pattern} {key}");
                a.store.abandon(ticket).await;
            }
            assert_eq!(redis.number(&["ZCARD", "{test}:v6:lx"]), 1, "{pattern}");
        }
    }
}

/// More than one command looks at, and many that end at one moment.
#[tokio::test]
async fn patterns_find_each_of_many_fills() {
    const AT_ONE_MOMENT: &str = "for i = 1, 1100 do
        redis.call('ZADD', KEYS[1], 99999999999999, 'same:' .. i)
        redis.call('SET', '{test}:v6:l:same:' .. i, 'x')
    end";
    let redis = RedisServer::start();
    let a = Sidecar::start(&redis).await;
    let leases = || redis.number(&["ZCARD", "{test}:v6:lx"]) - 1;
    for pattern in ["user:*", "*r:*"] {
        let keys = keys(1200);
        let tickets = join_all(keys.iter().map(|key| a.store.begin(key, None))).await;
        let other = a.store.begin("group:1", None).await;
        assert_eq!(leases(), 1201, "{pattern}");
        a.store.purge(purge_key(pattern)).await;
        assert_eq!(leases(), 1, "{pattern}");
        a.store.abandon(other).await;
        drop(tickets);
    }
    for pattern in ["same:*", "*e:*"] {
        redis.cli(&["EVAL", AT_ONE_MOMENT, "1", "{test}:v6:lx"]);
        let later = a.store.begin("same:later", None).await;
        a.store.purge(purge_key(pattern)).await;
        assert_eq!(leases(), 0, "{pattern}");
        a.store.abandon(later).await;
    }
    assert_eq!(redis.cli(&["KEYS", "*:l:*"]), "");
}

/// Its lines are taken out later (`purge.lua`), and a store may come before that.
#[tokio::test]
async fn what_was_purged_with_its_tag_is_stored_anew_as_any_other() {
    const STORED: usize = 1500;
    let redis = RedisServer::start();
    let (a, b) = Sidecar::pair(&redis).await;
    let keys = keys(STORED);
    let tagged = |tag: &str| Variation {
        tags: vec![tag.into()],
        ..Variation::default()
    };
    let of_tag = |tag| Purge {
        tags: vec![Pattern::literal(tag)],
        ..Purge::default()
    };
    let fill = async |keys: &[String], tag: &str| {
        let fills = keys.iter().map(|key| a.fill_as(key, "x", tagged(tag)));
        for filled in join_all(fills).await {
            filled.expect("stored");
        }
    };
    let generation = || redis.cli(&["GET", "{test}:v6:g"]);
    let first = generation();
    for (tag, purge) in [("one", of_tag("one")), ("two", of_tag("two"))] {
        fill(&keys, "one").await;
        a.store.purge(of_tag("one")).await;
        let left = redis.number(&["HGET", "{test}:v6:by", "px"]);
        // The last in order: others are taken out before them.
        let mut some = keys.clone();
        some.sort();
        let some = &some[STORED - OF_A_COMMAND..];
        assert!(
            left > 500,
            "{left}: as much has to be left for this to show something"
        );
        fill(some, tag).await;
        eventually("the lines are taken out", SHORT, || async {
            redis.number(&["HGET", "{test}:v6:by", "px"]) == 0
        })
        .await;
        for key in some {
            assert!(b.fetched_strictly(key).await.is_some(), "{tag} {key}");
            assert!(a.remembered(key).is_some(), "{tag} {key}");
        }
        let purged = b.store.purge(purge).await.redis;
        assert_eq!(purged, Some(OF_A_COMMAND), "{tag}");
        eventually("the other is told", SHORT, || async {
            some.iter().all(|key| a.remembered(key).is_none())
        })
        .await;
    }
    assert_eq!(generation(), first, "nothing was lost");
}

/// The purge of a pattern that has begun may have looked for its lease before, and does not find it in the index any more.
#[tokio::test]
async fn an_entry_that_leaves_takes_the_lease_of_its_key_with_it() {
    const MAX: u64 = 200_000;
    let redis = RedisServer::start();
    let a = Sidecar::evicting(&redis, MAX, EvictionOrder::Expiry).await;
    // It expires first, and so leaves first.
    let soon = Variation {
        lifetime: Some(Duration::from_secs(20)),
        ..Variation::default()
    };
    a.fill_as("a:0", "first", soon).await.expect("stored");
    let ticket = a.store.begin("a:0", None).await;
    assert!(ticket.found().is_some());
    let exists = |kind: &str| redis.number(&["EXISTS", &format!("{{test}}:v6:{kind}:a:0")]);
    assert_eq!([exists("e"), exists("l")], [1, 1]);
    let body = "x".repeat(2000);
    for number in 1..200 {
        if exists("e") == 0 {
            break;
        }
        let filled = a.fill(&format!("a:{number}"), &body).await;
        filled.expect("others leave");
    }
    assert_eq!([exists("e"), exists("l")], [0, 0]);
    a.store.abandon(ticket).await;
}
