//! `[jobs] hot`: what was hit most is fetched again after a flush and at a start, and nobody's answer but everyone's.

use serde_json::json;

use super::{LONG, becomes, last};
use crate::fleet::connected;
use crate::support::app::{Answer, TestApp};
use crate::support::redis::RedisServer;
use crate::support::sidecar::{Sidecar, TOKEN};
use crate::support::{Gate, eventually};

const TOML: &str = "[jobs]\nhot = 2\n\
     [[route]]\npath = \"/pages/{id}\"\nkey = \"page:{path.id}\"\nany_host = true\nignore_cookies = [\"theme\"]\n\
     [[route]]\npath = \"/me\"\nkey = \"me:{header.authorization}\"\nany_host = true\n\
     [[route]]\npath = \"/a-team/{id}\"\nkey = \"team:{path.id}\"\nany_host = true\nshared = true\n\
     [defaults]\ncredential_headers = [\"x-corp-caller\"]\ntrusted_identity = [\"x-user-id\"]\n\
     [jwt]\nsource = \"header\"\nheader = \"x-id-token\"\nsecret = \"of no less than thirty-two bytes, it says\"\n\
     [redis]\ntimeout = \"10s\"\nurl = ";

/// Fields that say who asks by the file alone, each of them one that an answer varies by.
const CALLERS: [&str; 3] = ["x-corp-caller", "x-user-id", "x-id-token"];

/// Of as many hits the first by their names are the hottest.
const TEAMS: [&str; 3] = ["/a-team/1", "/a-team/2", "/a-team/3"];

async fn pages() -> TestApp {
    let app = TestApp::start().await;
    for page in 0..4 {
        app.on("GET", &format!("/pages/{page}"), |asked| {
            let language = asked.header("accept-language").to_owned();
            Answer::text(language).header("vary", "accept-language")
        });
    }
    app.on("GET", "/me", |_| Answer::text("ann"));
    for (name, path) in CALLERS.into_iter().zip(TEAMS) {
        app.on("GET", path, move |_| {
            Answer::text("team").header("vary", name)
        });
    }
    app
}

/// Hits: page 1 in German more than page 2, page 3 once, and what Ann asks for most of all.
async fn read(sidecar: &Sidecar) {
    let client = sidecar.client();
    let german = [("accept-language", "de"), ("cookie", "theme=dark; _ga=1")];
    for page in [1, 2, 3] {
        client.get_with(&format!("/pages/{page}"), &german).await;
    }
    let teams = CALLERS.into_iter().zip(TEAMS);
    let teams = teams.map(|(name, path)| (path, [(name, "ann")]));
    let of_ann: Vec<_> = teams
        .chain([("/me", [("authorization", "Bearer ann")])])
        .collect();
    for (path, fields) in &of_ann {
        client.get_with(path, fields).await;
    }
    sidecar.fills_have_ended().await;
    for (path, hits) in [("/pages/1", 9), ("/pages/2", 5), ("/pages/3", 1)] {
        for _ in 0..hits {
            assert!(client.get_with(path, &german).await.is_hit(), "{path}");
        }
    }
    for (path, fields) in of_ann {
        for _ in 0..30 {
            assert!(client.get_with(path, &fields).await.is_hit(), "{path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_flush_and_at_a_start_the_hottest_are_there_again() {
    let redis = RedisServer::start();
    let app = pages().await;
    let toml = format!("{TOML}\"{}\"\n", redis.url());
    let sidecar = Sidecar::start(&app.url(), &toml);
    connected(&sidecar).await;
    becomes(&sidecar, "hot", "done").await;
    read(&sidecar).await;
    let (one, two) = (app.count("/pages/1"), app.count("/pages/2"));
    let request = sidecar.admin().request("POST", "/purge");
    let request = request.header("authorization", &format!("Bearer {TOKEN}"));
    let request = request.header("content-type", "application/json");
    let reply = request.body(r#"{"everything":true}"#).send().await;
    assert_eq!(reply.status, 200);
    eventually("it runs after the flush", LONG, || async {
        let run = last(&sidecar, "hot").await;
        run["trigger"] == "flush" && run["state"] == "done"
    })
    .await;
    let run = last(&sidecar, "hot").await;
    assert_eq!(
        (&run["total"], &run["stored"]),
        (&json!(2), &json!(2)),
        "{run}"
    );
    assert_eq!(
        (app.count("/pages/1"), app.count("/pages/2")),
        (one + 1, two + 1)
    );
    assert_eq!(
        (app.count("/pages/3"), app.count("/me")),
        (1, 1),
        "neither is fetched"
    );
    assert_eq!(
        TEAMS.map(|path| app.count(path)),
        [1; 3],
        "nor what varies by who asks"
    );
    let asked = app.last("/pages/1");
    assert_eq!(
        asked.header("accept-language"),
        "de",
        "the field that selects"
    );
    assert_eq!(asked.header("cookie"), "", "and nothing that says who asks");
    // Another that starts finds them, and asks for nothing.
    sidecar.stop();
    let kept = redis.cli(&["HLEN", "{pannier}:hot"]);
    assert_eq!(kept, "1");
    let second = Sidecar::start(&app.url(), &toml);
    let run = becomes(&second, "hot", "done").await;
    assert_eq!(
        (&run["fresh"], &run["trigger"]),
        (&json!(2), &json!("start")),
        "{run}"
    );
    assert_eq!(app.count("/pages/1"), one + 1);
    second.stop();
    // Without what was stored, a deployment begins warm.
    let names = redis.cli(&["KEYS", "{pannier}:v*"]);
    let mut unlink = vec!["UNLINK"];
    unlink.extend(names.lines());
    redis.cli(&unlink);
    let third = Sidecar::start(&app.url(), &toml);
    let run = becomes(&third, "hot", "done").await;
    assert_eq!(run["stored"], 2, "{run}");
    let german = [("accept-language", "de")];
    let first = third.client().get_with("/pages/1", &german).await;
    assert!(first.is_hit(), "{}", first.cache_status());
}

/// Whoever empties Redis by other means is noticed, by all that share it, whatever runs meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_was_emptied_is_filled_again() {
    let redis = RedisServer::start();
    let (app, gate) = (pages().await, Gate::new());
    let held = gate.clone();
    app.on("GET", "/pages/0", move |_| Answer::text("0").behind(&held));
    let long = "[[warm]]\nname = \"long\"\nurls = [\"/pages/0\"]\non_start = true\n";
    let toml = format!("{TOML}\"{}\"\n{long}", redis.url());
    let sidecar = Sidecar::start(&app.url(), &toml);
    connected(&sidecar).await;
    becomes(&sidecar, "hot", "done").await;
    gate.reached(1).await;
    read(&sidecar).await;
    let before = last(&sidecar, "hot").await;
    eventually("the end of the run is known", LONG, || async {
        redis
            .cli(&["HGET", "{pannier}:jobs", "hot"])
            .contains("\"done\"")
    })
    .await;
    redis.cli(&["FLUSHALL"]);
    eventually("it is fetched again", LONG, || async {
        let run = last(&sidecar, "hot").await;
        run["id"] != before["id"] && run["state"] == "done"
    })
    .await;
    let run = last(&sidecar, "hot").await;
    assert_eq!(
        (&run["trigger"], &run["stored"]),
        (&json!("flush"), &json!(2)),
        "{run}"
    );
    let long = last(&sidecar, "long").await;
    assert_eq!(long["state"], "running", "it goes on: {long}");
    gate.open();
}
