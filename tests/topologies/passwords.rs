//! A password that is rotated under a running sidecar.

use super::{RULES, app, redis_is, serves_from_redis};
use crate::support::redis::RedisServer;
use crate::support::sidecar::Sidecar;

const USER: [&str; 5] = ["ACL", "SETUSER", "pannier", "on", "+@all"];

fn with_user(password: &str) -> RedisServer {
    let redis = RedisServer::start();
    redis.cli(&[&USER[..], &["~*", &format!(">{password}")]].concat());
    redis
}

/// As the README says: both are valid for a while, then the old one is taken away and its connections end.
fn rotate(redis: &RedisServer, old: &str, new: &str) {
    redis.cli(&["ACL", "SETUSER", "pannier", &format!(">{new}")]);
    redis.cli(&["ACL", "SETUSER", "pannier", &format!("<{old}")]);
    redis.cli(&["CLIENT", "KILL", "USER", "pannier"]);
}

async fn is_back(sidecar: &Sidecar, redis: &RedisServer) {
    redis_is(&sidecar.admin(), "up with the new one", |told| {
        told["state"] == "up" && told["tracking"] == true
    })
    .await;
    serves_from_redis(&sidecar.client()).await;
    let clients = redis.cli(&["CLIENT", "LIST"]);
    assert!(clients.contains("user=pannier"), "{clients}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_file_counts_for_each_connection_that_is_made_anew() {
    let (app, redis) = (app().await, with_user("first"));
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("password");
    std::fs::write(&file, "first\n").expect("a writable folder");
    let config = format!(
        "[redis]\nhost = \"127.0.0.1\"\nport = {}\nuser = \"pannier\"\npassword_file = {file:?}\n\
         timeout = \"10s\"\nreconnect_max = \"200ms\"\n{RULES}",
        redis.port()
    );
    let sidecar = Sidecar::start(&app.url(), &config);
    is_back(&sidecar, &redis).await;
    std::fs::write(&file, "second\n").expect("a writable folder");
    rotate(&redis, "first", "second");
    is_back(&sidecar, &redis).await;

    // The file comes too late: until then the login is refused, and the operator is told.
    rotate(&redis, "second", "third");
    redis_is(&sidecar.admin(), "the login is refused", |told| {
        let cause = told["cause"].as_str().unwrap_or_default();
        told["state"] == "down" && cause.contains("refuses the login")
    })
    .await;
    std::fs::write(&file, "third\n").expect("a writable folder");
    is_back(&sidecar, &redis).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_counts_for_each_connection_that_is_made_anew() {
    let (app, redis) = (app().await, with_user("first"));
    let config = |password: &str| {
        format!(
            "[redis]\nurl = \"redis://pannier:{password}@127.0.0.1:{}\"\ntimeout = \"10s\"\n\
             reconnect_max = \"200ms\"\n{RULES}",
            redis.port()
        )
    };
    let sidecar = Sidecar::start(&app.url(), &config("first"));
    is_back(&sidecar, &redis).await;
    sidecar.reload(&config("second"), &[("PANNIER_UPSTREAM_URL", &app.url())]);
    serves_from_redis(&sidecar.client()).await;
    rotate(&redis, "first", "second");
    is_back(&sidecar, &redis).await;
}
