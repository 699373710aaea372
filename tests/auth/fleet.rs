//! Two sidecars on one Redis: what one purges of identities, the other hears of.

use std::time::Duration;

use super::{CHECK, CONFIG, get, hit, says, session_app};
use crate::fleet::connected;
use crate::support::app::TestApp;
use crate::support::client::Reply;
use crate::support::eventually;
use crate::support::redis::{Data, RedisServer};
use crate::support::sidecar::Sidecar;

const SHORT: Duration = Duration::from_secs(30);

fn config(redis: &str) -> String {
    format!("[redis]\nurl = \"{redis}\"\ntimeout = \"10s\"\n{CONFIG}")
}

async fn start_two(app: &TestApp, redis: &RedisServer) -> [Sidecar; 2] {
    start_two_at(app, [redis.url(), redis.url()]).await
}

async fn start_two_at(app: &TestApp, urls: [String; 2]) -> [Sidecar; 2] {
    // Each has a Host of its own, and so its own decisions.
    let sidecars = urls.map(|url| Sidecar::start(&app.url(), &config(&url)));
    for sidecar in &sidecars {
        connected(sidecar).await;
    }
    sidecars
}

/// As the browser of one person asks both.
const HOST: &str = "app.example";

async fn board(sidecar: &Sidecar, sid: &str) -> Reply {
    board_at(sidecar, HOST, sid).await
}

async fn board_at(sidecar: &Sidecar, host: &str, sid: &str) -> Reply {
    let cookie = format!("sid={sid}");
    let fields = [("cookie", cookie.as_str()), ("host", host)];
    sidecar.client().get_with("/board", &fields).await
}

async fn board_hit(sidecar: &Sidecar, sid: &str) {
    eventually("a hit", SHORT, || async {
        board(sidecar, sid).await.is_hit()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logout_here_is_soon_known_there() {
    let redis = RedisServer::start();
    let (app, sessions) = session_app().await;
    let [here, there] = start_two(&app, &redis).await;
    for round in 0..3 {
        sessions
            .lock()
            .expect("no test panics under it")
            .insert("a".to_owned(), (1, "admin"));
        for sidecar in [&here, &there] {
            // A refusal of the round before may still be kept.
            let purge = sidecar
                .client()
                .request("PUT", "/users/1/role")
                .body("admin");
            purge.send().await;
        }
        for sid in ["a", "b"] {
            board_hit(&here, sid).await;
            board_hit(&there, sid).await;
        }
        const OTHER: &str = "other.example";
        eventually("a hit at another host", SHORT, || async {
            board_at(&there, OTHER, "a").await.is_hit()
        })
        .await;
        let asked = app.count(CHECK);
        let logout = here.client().request("POST", "/logout");
        let logout = logout.header("cookie", "sid=a").header("host", HOST);
        logout.send().await;
        assert!(
            says(&board(&here, "a").await, "unauthenticated"),
            "at once here"
        );
        eventually("and there", SHORT, || async {
            says(&board(&there, "a").await, "unauthenticated")
        })
        .await;
        let other = board_at(&there, OTHER, "a").await;
        assert!(says(&other, "unauthenticated"), "{}", other.cache_status());
        board_hit(&there, "b").await;
        assert_eq!(app.count(CHECK), asked + 3, "round {round}: about a alone");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_drops_all_here_drops_all_there_again_and_again() {
    let redis = RedisServer::start();
    let (app, _) = session_app().await;
    let [here, there] = start_two(&app, &redis).await;
    for round in 0..5 {
        board_hit(&there, "b").await;
        let asked = app.count(CHECK);
        here.client().request("PUT", "/users/1/role").send().await;
        eventually("it is asked again", SHORT, || async {
            board(&there, "b").await;
            app.count(CHECK) > asked
        })
        .await;
        assert_eq!(app.count(CHECK), asked + 1, "round {round}");
    }
}

/// What Redis could not be told is kept, and told when it is back.
#[tokio::test(flavor = "multi_thread")]
async fn a_purge_of_identities_that_redis_missed_is_repeated() {
    let mut redis = RedisServer::start();
    let (app, _) = session_app().await;
    let [here, there] = start_two(&app, &redis).await;
    board_hit(&here, "a").await;
    board_hit(&there, "a").await;
    redis.kill();
    let logout = here.client().request("POST", "/logout");
    let logout = logout.header("cookie", "sid=a").header("host", HOST);
    assert_eq!(logout.send().await.status, 204);
    assert!(
        says(&board(&here, "a").await, "unauthenticated"),
        "at once here"
    );
    redis.restart(Data::Lost);
    for sidecar in [&here, &there] {
        connected(sidecar).await;
    }
    eventually("and there", SHORT, || async {
        says(&board(&there, "a").await, "unauthenticated")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_a_decision_holds_as_memory_does() {
    let mut redis = RedisServer::start();
    let (app, _) = session_app().await;
    let sidecar = Sidecar::start(&app.url(), &config(&redis.url()));
    connected(&sidecar).await;
    let client = sidecar.client();
    hit(&client, "/board", "a").await;
    redis.kill();
    let asked = app.count(CHECK);
    assert!(get(&client, "/board", "a").await.is_hit());
    assert_eq!(app.count(CHECK), asked);
    // And new ones are kept, once it is known: what is asked in a session that ends is asked again.
    let admin = sidecar.admin();
    eventually("the loss is known", SHORT, || async {
        admin.get("/stats").await.value()["redis"]["state"] == "down"
    })
    .await;
    hit(&client, "/board", "b").await;
    get(&client, "/board", "b").await;
    assert_eq!(app.count(CHECK), asked + 1);
}

/// Names of decisions are spread over the nodes; each of them tells of its own.
#[tokio::test(flavor = "multi_thread")]
async fn every_node_of_a_cluster_tells_of_identities() {
    let nodes = RedisServer::start_cluster_of_three();
    let (app, sessions) = session_app().await;
    let sids: Vec<String> = (0..12).map(|number| format!("s{number}")).collect();
    let log_all_in = || {
        let mut sessions = sessions.lock().expect("no test panics under it");
        for (sid, id) in sids.iter().zip(10..) {
            sessions.insert(sid.clone(), (id, "editor"));
        }
    };
    log_all_in();
    let urls = [nodes[0].cluster_url(), nodes[2].cluster_url()];
    let [here, there] = start_two_at(&app, urls).await;
    for sidecar in [&here, &there] {
        for sid in &sids {
            board_hit(sidecar, sid).await;
            let own = hit(&sidecar.client(), "/inquiries", sid).await;
            assert!(own.text().ends_with(", editor"), "{}", own.text());
        }
    }
    // The odd ones log out, and nobody else.
    for sid in sids.iter().skip(1).step_by(2) {
        let logout = here.client().request("POST", "/logout");
        let cookie = format!("sid={sid}");
        let logout = logout.header("cookie", &cookie).header("host", HOST);
        assert_eq!(logout.send().await.status, 204);
        assert!(says(&board(&here, sid).await, "unauthenticated"), "{sid}");
        eventually("it is known there", SHORT, || async {
            says(&board(&there, sid).await, "unauthenticated")
        })
        .await;
    }
    let asked = app.count(CHECK);
    for sid in sids.iter().step_by(2) {
        for sidecar in [&here, &there] {
            assert!(board(sidecar, sid).await.is_hit(), "{sid}");
        }
    }
    assert_eq!(app.count(CHECK), asked, "all others are known as before");
    // What concerns all of them reaches all of them.
    log_all_in();
    here.client().request("PUT", "/users/1/role").send().await;
    for sid in &sids {
        eventually(
            "whoever is logged in again is known again",
            SHORT,
            || async { board(&there, sid).await.is_hit() },
        )
        .await;
    }
}
