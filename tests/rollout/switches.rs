//! Switched at run time: over the fleet, through restarts and outages of Redis, with no answer wrong.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use super::modes::app_with_items;
use crate::fleet::connected;
use crate::support::client::{Client, Reply};
use crate::support::eventually;
use crate::support::redis::{Data, RedisServer};
use crate::support::sidecar::{Sidecar, TOKEN};

/// What does not happen by then does not happen.
const LONG: Duration = Duration::from_secs(30);

const OFF: &str = r#"{"everything":"off","reason":"a test"}"#;
const ON: &str = r#"{"everything":"on"}"#;

fn config(redis: &RedisServer) -> String {
    format!(
        "[redis]\nurl = \"{}\"\ntimeout = \"10s\"\n\
         [[route]]\nname = \"item\"\npath = \"/items/{{id}}\"\nkey = \"item:{{path.id}}\"\nany_host = true\n\
         [[purge]]\npath = \"/items/{{id}}\"\nkeys = [\"item:{{path.id}}\"]\n",
        redis.url()
    )
}

pub(super) async fn post(sidecar: &Sidecar, path: &str, body: &str) -> Reply {
    let request = sidecar.admin().request("POST", path);
    request
        .header("content-type", "application/json")
        .header("authorization", &format!("Bearer {TOKEN}"))
        .body(body)
        .send()
        .await
}

/// Switches, and returns what is answered.
pub(super) async fn throw(sidecar: &Sidecar, body: &str) -> serde_json::Value {
    let reply = post(sidecar, "/switch", body).await;
    assert_eq!(reply.status, 200, "{body}: {}", reply.text());
    reply.value()
}

async fn is_off(sidecar: &Sidecar) -> bool {
    let reply = sidecar.client().get("/items/0").await;
    assert_eq!(reply.status, 200);
    reply.cache_status().ends_with("detail=disabled")
}

async fn becomes(sidecar: &Sidecar, off: bool) {
    let what = if off { "it is off" } else { "it is on" };
    eventually(what, LONG, || async { is_off(sidecar).await == off }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_switch_reaches_every_sidecar_and_those_that_start_later() {
    let redis = RedisServer::start();
    let (app, _) = app_with_items(1).await;
    let fleet = [0; 3].map(|_| Sidecar::start(&app.url(), &config(&redis)));
    for sidecar in &fleet {
        connected(sidecar).await;
        assert!(!is_off(sidecar).await);
    }
    let began = pannier::clock::monotonic();
    let thrown = throw(&fleet[0], OFF).await;
    assert_eq!(thrown["fleet"], true);
    assert!(is_off(&fleet[0]).await, "here at once");
    for sidecar in &fleet {
        becomes(sidecar, true).await;
        let listing = sidecar.admin().get("/switch").await.value();
        assert_eq!(listing["switches"][0]["everything"], "off");
        assert_eq!(listing["switches"][0]["reason"], "a test");
        assert_eq!(listing["rules"][0]["file"]["mode"], "on");
    }
    println!(
        "off on all three after {:?}",
        pannier::clock::monotonic() - began
    );
    // From its first request on.
    let late = Sidecar::start(&app.url(), &config(&redis));
    assert!(is_off(&late).await, "a restart does not switch it on");
    throw(&late, ON).await;
    for sidecar in fleet.iter().chain([&late]) {
        becomes(sidecar, false).await;
        let listing = sidecar.admin().get("/switch").await.value();
        assert_eq!(listing["switches"].as_array().map(Vec::len), Some(0));
        assert_eq!(listing["rules"].as_array().map(Vec::len), Some(0));
    }
}

/// Redis tells of it: nobody waits for the next look, a second later.
#[tokio::test(flavor = "multi_thread")]
async fn a_rule_goes_to_a_share_for_a_time_and_back_to_the_file() {
    let (app, _) = app_with_items(1).await;
    let redis = RedisServer::start();
    let [one, other] = [0; 2].map(|_| Sidecar::start(&app.url(), &config(&redis)));
    connected(&one).await;
    connected(&other).await;
    throw(
        &one,
        r#"{"rule":"item","mode":"off","for":"700ms","reason":"x"}"#,
    )
    .await;
    becomes(&other, true).await;
    becomes(&other, false).await;
    becomes(&one, false).await;
    throw(&one, r#"{"rule":"item","percent":10}"#).await;
    eventually("the other hears of it", LONG, || async {
        let listing = other.admin().get("/switch").await.value();
        listing["switches"][0]["percent"] == 10
    })
    .await;
    let thrown = throw(&other, r#"{"rule":"item","mode":"shadow"}"#).await;
    assert_eq!(
        thrown["now"]["rules"][0]["percent"], 10,
        "as it was switched"
    );
    throw(&other, r#"{"rule":"item","mode":"file"}"#).await;
    eventually("the file holds again", LONG, || async {
        let listing = one.admin().get("/switch").await.value();
        listing["rules"].as_array().map(Vec::len) == Some(0)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_a_switch_holds_here_says_so_and_is_put_together_later() {
    let mut redis = RedisServer::start();
    let (app, _) = app_with_items(1).await;
    let short = config(&redis).replace("10s", "500ms");
    let [one, other] = [0; 2].map(|_| Sidecar::start(&app.url(), &short));
    connected(&one).await;
    connected(&other).await;
    throw(&other, r#"{"rule":"item","percent":50}"#).await;
    redis.kill();
    let thrown = throw(&one, OFF).await;
    assert_eq!(thrown["fleet"], false);
    assert!(
        thrown["holds"]
            .as_str()
            .expect("words")
            .starts_with("here alone")
    );
    assert!(is_off(&one).await);
    assert!(!is_off(&other).await, "it cannot know");
    // What Redis held is lost as well.
    redis.restart(Data::Lost);
    becomes(&other, true).await;
    for sidecar in [&one, &other] {
        eventually("both have both", LONG, || async {
            let listing = sidecar.admin().get("/switch").await.value();
            listing["fleet"] == true && listing["switches"].as_array().map(Vec::len) == Some(2)
        })
        .await;
    }
    let held = redis.cli(&["HLEN", "{pannier}:switches"]);
    assert_eq!(held, "2");
}

/// An older switch of a sidecar that was away does not undo a later one.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_taken_back_meanwhile_stays_taken_back() {
    let redis = RedisServer::start();
    let (app, _) = app_with_items(1).await;
    let one = Sidecar::start(&app.url(), &config(&redis));
    connected(&one).await;
    throw(&one, OFF).await;
    throw(&one, ON).await;
    // As a sidecar brings it that heard of the first alone.
    let other = Sidecar::start(&app.url(), &config(&redis));
    connected(&other).await;
    assert!(!is_off(&other).await);
    let kept = redis.cli(&["HGET", "{pannier}:switches", "*"]);
    assert!(kept.ends_with(" {}"), "it is remembered: {kept}");
}

/// As many switches of rules as there may be: one that says nothing any more gives way, and what stops everything needs no
/// room of theirs.
#[tokio::test(flavor = "multi_thread")]
async fn where_no_more_is_kept_everything_goes_off_all_the_same() {
    let redis = RedisServer::start();
    let (app, _) = app_with_items(1).await;
    const SWITCHES: &str = "{pannier}:switches";
    let names = (1..256).map(|n| format!("rule {n}"));
    let off = r#"1 {"mode":"off"}"#.to_owned();
    let in_force = names.flat_map(|name| [name, off.clone()]);
    let idle = ["rule idle", "1 {}"].map(str::to_owned);
    let command = ["HSET", SWITCHES].map(str::to_owned);
    let command: Vec<String> = command.into_iter().chain(idle).chain(in_force).collect();
    let command: Vec<&str> = command.iter().map(String::as_str).collect();
    assert_eq!(redis.cli(&command), "256");
    let [one, other] = [0; 2].map(|_| Sidecar::start(&app.url(), &config(&redis)));
    connected(&one).await;
    connected(&other).await;

    let thrown = throw(&one, r#"{"rule":"item","percent":50}"#).await;
    assert_eq!(thrown["fleet"], true);
    assert_eq!(redis.cli(&["HEXISTS", SWITCHES, "rule idle"]), "0");
    let full = post(&one, "/switch", r#"{"rule":"-","mode":"off"}"#).await;
    assert!(
        full.text().contains("256 switches are in force"),
        "{}",
        full.text()
    );
    assert_eq!(throw(&one, OFF).await["fleet"], true);
    becomes(&other, true).await;
    assert_eq!(redis.cli(&["HLEN", SWITCHES]), "257");
    // All of them have all of it, so nobody brings back what gave way.
    for sidecar in [&one, &other] {
        let listing = sidecar.admin().get("/switch").await.value();
        assert_eq!(listing["switches"].as_array().map(Vec::len), Some(257));
    }
}

/// Writes and reads through one sidecar: what it has answered to a write, no later read of it may not know (I2). What
/// another writes is promised once that write is answered, and may be seen before, by a request that passes.
async fn write_and_read(client: Client, stop: Arc<AtomicBool>, served: Arc<AtomicUsize>) {
    let mut newest = 0;
    while !stop.load(Ordering::SeqCst) {
        let written = client.request("PUT", "/items/0").send().await;
        assert_eq!(written.status, 204);
        let least = newest + 1;
        for _ in 0..20 {
            let reply = client.get("/items/0").await;
            assert_eq!(reply.status, 200);
            let version: usize = reply.text().parse().expect("a number");
            let told = reply.cache_status();
            assert!(
                version >= least,
                "{version} after own write {least}: {told}"
            );
            newest = newest.max(version);
            served.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// Three sidecars under load: everything off and on again, one restarted and Redis away in between. No request
/// fails, and no answer is older than the last write that was answered before it.
#[tokio::test(flavor = "multi_thread")]
async fn off_and_on_under_load_no_request_fails_and_none_is_stale() {
    let mut redis = RedisServer::start();
    let (app, _) = app_with_items(1).await;
    let toml = config(&redis).replace("10s", "500ms");
    let mut fleet: Vec<Sidecar> = (0..3).map(|_| Sidecar::start(&app.url(), &toml)).collect();
    for sidecar in &fleet {
        connected(sidecar).await;
    }
    let stop = Arc::new(AtomicBool::new(false));
    let served = Arc::new(AtomicUsize::new(0));
    let mut clients: Vec<_> = fleet[..2]
        .iter()
        .map(|sidecar| {
            tokio::spawn(write_and_read(
                sidecar.client(),
                stop.clone(),
                served.clone(),
            ))
        })
        .collect();
    let third_stops = Arc::new(AtomicBool::new(false));
    let third = write_and_read(fleet[2].client(), third_stops.clone(), served.clone());
    let third = tokio::spawn(third);
    let progress = || async {
        let before = served.load(Ordering::SeqCst);
        eventually("clients are served", LONG, || async {
            served.load(Ordering::SeqCst) > before + 200
        })
        .await;
    };
    progress().await;
    throw(&fleet[0], OFF).await;
    for sidecar in &fleet {
        becomes(sidecar, true).await;
    }
    progress().await;
    third_stops.store(true, Ordering::SeqCst);
    third.await.expect("no request failed and none was stale");
    fleet.pop().expect("the third").stop();
    fleet.push(Sidecar::start(&app.url(), &toml));
    assert!(is_off(&fleet[2]).await, "restarted, and off");
    let again = write_and_read(fleet[2].client(), stop.clone(), served.clone());
    clients.push(tokio::spawn(again));
    redis.kill();
    progress().await;
    redis.restart(Data::Lost);
    progress().await;
    throw(&fleet[2], ON).await;
    for sidecar in &fleet {
        becomes(sidecar, false).await;
    }
    progress().await;
    stop.store(true, Ordering::SeqCst);
    for client in clients {
        client.await.expect("no request failed and none was stale");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_that_are_none_change_nothing_and_say_why() {
    let (app, _) = app_with_items(1).await;
    let toml = "[[route]]\nname = \"item\"\npath = \"/items/{id}\"\nkey = \"item:{path.id}\"\n";
    let sidecar = Sidecar::start(&app.url(), toml);
    for (body, expected) in [
        (
            r#"{"rule":"items","mode":"off"}"#,
            "there is no rule items: there are item, -",
        ),
        (r#"{"rule":"item","mode":"of"}"#, "\"of\" is no mode"),
        (r#"{"everything":"off","for":"30"}"#, "\"30s\" for seconds"),
        (r#"{"everything":"off","until":1}"#, "unknown field"),
        ("off", "expected value"),
    ] {
        let reply = post(&sidecar, "/switch", body).await;
        assert_eq!(reply.status, 400, "{body}");
        let error = reply.value()["error"].to_string().replace('\\', "");
        assert!(error.contains(expected), "{body}: {error}");
    }
    let bare = sidecar.admin().json("POST", "/switch", OFF).await;
    assert_eq!(bare.status, 401);
    let of_page = sidecar.admin().request("POST", "/switch").body(OFF);
    let of_page = of_page
        .header("content-type", "application/json")
        .header("authorization", &format!("Bearer {TOKEN}"))
        .header("origin", "http://evil.example");
    assert_eq!(of_page.send().await.status, 403);
    assert!(!is_off(&sidecar).await);
    let thrown = throw(&sidecar, OFF).await;
    assert_eq!(thrown["fleet"], false);
    assert!(
        thrown["holds"]
            .as_str()
            .expect("words")
            .contains("no [redis]")
    );
    assert!(is_off(&sidecar).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_brings_back_the_config_before() {
    let (app, _) = app_with_items(1).await;
    let toml = |ttl: &str| {
        format!(
            "[[route]]\nname = \"item\"\npath = \"/items/{{id}}\"\nkey = \"item:{{path.id}}\"\nttl = \"{ttl}\"\n"
        )
    };
    let sidecar = Sidecar::start(&app.url(), &toml("5m"));
    assert_eq!(
        post(&sidecar, "/rollback", "").await.status,
        409,
        "there is none yet"
    );
    throw(&sidecar, r#"{"rule":"item","mode":"off"}"#).await;
    sidecar.reload(&toml("7m"), &[("PANNIER_UPSTREAM_URL", &app.url())]);
    assert!(is_off(&sidecar).await, "a switch outlives a reload");
    // As for a certificate that was renewed: the text is the same, and so is what to go back to.
    sidecar.reload(&toml("7m"), &[("PANNIER_UPSTREAM_URL", &app.url())]);
    throw(&sidecar, r#"{"rule":"item","mode":"file"}"#).await;
    assert_eq!(
        sidecar
            .admin()
            .request("POST", "/rollback")
            .send()
            .await
            .status,
        401
    );
    let reply = post(&sidecar, "/rollback", "").await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let reply = sidecar.client().get("/items/0").await;
    let status = reply.cache_status();
    // 7 m are 420 s, and 5 m 300, of which one may have passed.
    assert!(!status.contains("ttl=4"), "{status}");
    assert_eq!(post(&sidecar, "/rollback", "").await.status, 409, "once");
}

/// One sidecar is told, and each that has that config goes back, or will when it loads it; the others stay as they are.
#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_reaches_each_sidecar_that_has_the_config() {
    let redis = RedisServer::start();
    let (app, _) = app_with_items(1).await;
    let toml = |ttl: &str| {
        format!(
            "[redis]\nurl = \"{}\"\n[[route]]\nname = \"item\"\npath = \"/items/{{id}}\"\nkey = \"item:{{path.id}}\"\nttl = \
             \"{ttl}\"\n",
            redis.url()
        )
    };
    let url = app.url();
    let variables = [("PANNIER_UPSTREAM_URL", url.as_str())];
    let [first, second, late, third] = [(); 4].map(|()| Sidecar::start(&url, &toml("5m")));
    for sidecar in [&first, &second, &late, &third] {
        connected(sidecar).await;
    }
    let hash = |sidecar: &Sidecar| {
        let admin = sidecar.admin();
        async move { admin.get("/stats").await.value()["config_hash"].clone() }
    };
    let before = hash(&first).await;
    for sidecar in [&first, &second] {
        sidecar.reload(&toml("7m"), &variables);
    }
    third.reload(&toml("9m"), &variables);
    let (bad, other) = (hash(&first).await, hash(&third).await);
    // It begins with the config that is taken back, and has no other.
    let fresh = Sidecar::start(&url, &toml("7m"));

    let reply = post(&first, "/rollback", "").await;
    assert_eq!(reply.value()["fleet"], true, "{}", reply.text());
    assert_eq!(hash(&first).await, before);
    eventually("the second goes back", LONG, || async {
        hash(&second).await == before
    })
    .await;
    late.reload(&toml("7m"), &variables);
    eventually("who loads it later goes back", LONG, || async {
        hash(&late).await == before
    })
    .await;
    assert_eq!(hash(&third).await, other);
    assert_eq!(hash(&fresh).await, bad);
    let listing = first.admin().get("/switch").await.value();
    assert_eq!(listing["switches"][0]["config"], bad);
}
