//! A lease that is wanted only where nothing is stored: the look and the lease in one.

use futures_util::future::join3;

use super::*;

fn lease_of(key: &str) -> String {
    format!("{{test}}:v6:l:{key}")
}

fn entry_of(key: &str) -> String {
    format!("{{test}}:v6:e:{key}")
}

/// What is there instead of an entry, whether the lease is given, and whether it stays.
#[tokio::test]
async fn it_is_given_where_no_entry_is_stored() {
    let redis = RedisServer::start();
    let (a, b) = Sidecar::pair(&redis).await;
    b.fill("stored", "x").await.expect("stored");
    b.fill("other", "x").await.expect("stored");
    let of_now = &redis.cli(&["GET", &entry_of("other")])[..16].to_owned();
    redis.cli(&["SET", &entry_of("stub"), of_now]);
    redis.cli(&["SET", &entry_of("void"), "0000000000000001 and more"]);
    redis.cli(&["SET", &entry_of("short"), "x"]);
    redis.cli(&["RPUSH", &entry_of("list"), "x"]);
    for (key, is_given) in [
        ("nothing", true),
        ("stored", false),
        ("stub", true),
        ("void", true),
        ("short", true),
        ("list", true),
    ] {
        let ticket = a.store.begin_unless_stored(key, None).await;
        assert_eq!(ticket.is_some(), is_given, "{key}");
        let held = redis.number(&["EXISTS", &lease_of(key)]);
        assert_eq!(held, u64::from(is_given), "{key}");
        let Some(ticket) = ticket else { continue };
        assert_eq!((ticket.taken_by(), ticket.is_unanswered()), (None, false));
        let stored = a.store.commit(ticket, variant(key, "new"), Tracked, None);
        assert_eq!(stored.await, Ok(()), "{key}");
        assert_eq!(b.fetched(key).await, Some("new".into()), "{key}");
    }
}

/// Whatever is stored is looked at first, though another one renews it; and of several who want it, one has it.
#[tokio::test]
async fn one_of_another_counts_where_nothing_is_stored() {
    let redis = RedisServer::start();
    let (a, b) = Sidecar::pair(&redis).await;
    b.fill("stored", "x").await.expect("stored");
    let renewing = b.store.begin("stored", None).await;
    let fetching = b.store.begin("wanted", None).await;
    let asked =
        ["stored", "wanted", "free", "free"].map(|key| a.store.begin_unless_stored(key, None));
    let tickets = join_all(asked).await;
    let taken: Vec<_> = tickets
        .iter()
        .map(|ticket| ticket.as_ref().map(|ticket| ticket.taken_by().is_some()))
        .collect();
    assert_eq!(taken, [None, Some(true), Some(false), Some(true)]);
    b.store.abandon(renewing).await;
    b.store.abandon(fetching).await;
}

/// It is a lease like any other: a purge takes it, and what was asked for before is stored nowhere.
#[tokio::test]
async fn a_purge_takes_it() {
    let redis = RedisServer::start();
    let (a, b) = Sidecar::pair(&redis).await;
    for (key, purge) in [
        ("user:1", purge_key("user:1")),
        ("user:2", purge_key("user:*")),
        (
            "user:3",
            Purge {
                tags: vec![Pattern::literal("t:user:3")],
                ..Purge::default()
            },
        ),
    ] {
        let ticket = a.store.begin_unless_stored(key, None).await;
        b.store.purge(purge).await;
        let ticket = ticket.expect("nothing is stored");
        let stored = a.store.commit(ticket, variant(key, "old"), Tracked, None);
        let refused = stored.await.expect_err("overtaken");
        assert!(
            matches!(refused, Reason::LeaseLost | Reason::Fenced),
            "{refused:?}"
        );
        assert_eq!(
            (a.remembered(key), b.fetched(key).await),
            (None, None),
            "{key}"
        );
    }
}

/// Redis watches what was asked for in a table of its own; whoever has the leases does not say that they have ended.
#[tokio::test]
async fn who_finds_them_taken_leaves_nothing_in_redis() {
    let redis = RedisServer::start();
    let (a, b) = Sidecar::pair(&redis).await;
    let keys: Vec<String> = (0..200).map(|i| format!("a:{i}")).collect();
    let stored: Vec<String> = (0..100).map(|i| format!("b:{i}")).collect();
    for key in &stored {
        b.fill(key, "x").await.expect("stored");
    }
    let held = join_all(keys.iter().map(|key| b.store.begin(key, None))).await;
    let asked = keys
        .iter()
        .map(|key| a.store.begin_unless_stored(key, None));
    for ticket in join_all(asked).await {
        assert!(ticket.expect("nothing is stored").taken_by().is_some());
    }
    let asked = stored
        .iter()
        .map(|key| a.store.begin_unless_stored(key, None));
    assert!(join_all(asked).await.iter().all(Option::is_none));
    drop(held);
    eventually("Redis forgets all but the entries", SHORT, || async {
        let watched = redis.info("tracking_total_keys");
        watched.parse::<usize>().expect("a number") < stored.len() + 30
    })
    .await;
}

/// Who has asked for the lease of what is stored does not take the next one for a purge.
#[tokio::test]
async fn where_it_was_needless_the_next_one_is_no_purge() {
    let redis = RedisServer::start();
    let (a, b) = Sidecar::pair(&redis).await;
    b.fill("stored", "x").await.expect("stored");
    let mark = a.store.mark();
    assert!(a.store.begin_unless_stored("stored", None).await.is_none());
    let renewing = b.store.begin("stored", None).await;
    assert_eq!(renewing.taken_by(), None);
    // What is asked later is answered later.
    assert_eq!(a.fetched("nothing").await, None);
    assert!(!a.store.fenced(mark, "stored", Tags::Known(&[])));
    b.store.abandon(renewing).await;
}

/// Of one command, as of several: who needs it has it, though somebody else did not.
#[tokio::test]
async fn one_that_is_needless_to_one_is_given_to_another() {
    let redis = RedisServer::start();
    let (a, b) = Sidecar::pair(&redis).await;
    b.fill("stored", "x").await.expect("stored");
    // These are under way, so the others go together.
    let first = ["one", "two"].map(|key| a.store.begin(key, None));
    let needless = a.store.begin_unless_stored("stored", None);
    let needed = a.store.begin("stored", None);
    let (_, needless, needed) = join3(join_all(first), needless, needed).await;
    assert!(needless.is_none() && needed.taken_by().is_none());
    assert_eq!(redis.number(&["EXISTS", &lease_of("stored")]), 1);
    let stored = a
        .store
        .commit(needed, variant("stored", "new"), Tracked, None);
    assert_eq!(stored.await, Ok(()));
}
