//! `[budget] manage_server`: the server's own bound, where Pannier may set it, and where it may not.

use super::{RULES, app, redis_is, serves_from_redis};
use crate::running::{Running, wait_for};
use crate::support::client::Client;
use crate::support::redis::{Data, RedisServer};
use crate::support::sidecar::Sidecar;

fn config(url: &str) -> String {
    format!(
        "[redis]\nurl = \"{url}\"\ntimeout = \"10s\"\nreconnect_max = \"100ms\"\n[budget]\nmax = \"20MB\"\n\
         manage_server = true\n{RULES}"
    )
}

fn bounds(redis: &RedisServer) -> (String, String) {
    (redis.info("maxmemory"), redis.info("maxmemory_policy"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_lets_it_is_bounded_whenever_it_comes_back() {
    let app = app().await;
    let mut redis = RedisServer::start_with(&["--maxmemory-policy", "allkeys-lru"]);
    let sidecar = Sidecar::start(&app.url(), &config(&redis.url()));
    for _ in 0..2 {
        redis_is(&sidecar.admin(), "it is set", |told| {
            told["state"] == "up" && told["managed"]["state"] == "set"
        })
        .await;
        let told = sidecar.admin().get("/stats").await.value();
        assert_eq!(told["redis"]["managed"]["maxmemory_mb"], 20.0);
        let expected = ("20000000".to_owned(), "noeviction".to_owned());
        // The state of before is told until the connection for it is back.
        crate::support::eventually("Redis has it", super::LONG, || async {
            bounds(&redis) == expected
        })
        .await;
        serves_from_redis(&sidecar.client()).await;
        redis.restart(Data::Lost);
    }
}

/// Pannier goes on where it is refused, and says once why.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_refuses_is_left_as_it_is() {
    let app = app().await;
    let renamed = RedisServer::start_with(&["--rename-command", "CONFIG", ""]);
    let forbidden = RedisServer::start();
    forbidden.cli(&[
        "ACL", "SETUSER", "pannier", "on", ">secret", "~*", "+@all", "-config",
    ]);
    let occupied = RedisServer::start();
    occupied.cli(&["SETRANGE", "theirs", "24999999", "x"]);
    for (case, redis, login, cause) in [
        ("no such command", &renamed, "", "unknown command"),
        ("no right", &forbidden, "pannier:secret@", "+config|set"),
        ("others fill it", &occupied, "", "others store so much"),
    ] {
        let before = bounds(redis);
        let url = format!("redis://{login}127.0.0.1:{}", redis.port());
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("pannier.toml");
        std::fs::write(&file, config(&url)).expect("a writable folder");
        let file = file.display().to_string();
        let running = Running::start(&["run", "--config", &file], &app.url());
        let warning = wait_for(&running.log, "manage_server");
        assert!(
            warning.contains("WARN") && warning.contains(cause),
            "{case}: {warning}"
        );
        let admin = Client::new(running.admin);
        redis_is(&admin, case, |told| {
            let told_cause = told["managed"]["cause"].as_str().unwrap_or_default();
            told["managed"]["state"] == "refused"
                && told_cause.contains(cause)
                && told["state"] == "up"
        })
        .await;
        serves_from_redis(&Client::new(running.proxy)).await;
        assert_eq!(bounds(redis), before, "{case}");
        // All connections are made anew, and it is not told again.
        redis.cli(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
        redis_is(&admin, case, |told| {
            told["since"].as_u64() < Some(5) && told["state"] == "up"
        })
        .await;
        serves_from_redis(&Client::new(running.proxy)).await;
        while let Ok(line) = running.log.try_recv() {
            assert!(
                !line.contains("manage_server"),
                "{case}, told twice: {line}"
            );
        }
    }
    assert_eq!(occupied.number(&["STRLEN", "theirs"]), 25_000_000);
}
