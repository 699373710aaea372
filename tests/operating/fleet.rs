//! All sidecars of a namespace: each is told of all, and where they do not fit together that is said.

use std::time::Duration;

use serde_json::Value;

use crate::support::app::{Answer, TestApp};
use crate::support::browser::Page;
use crate::support::eventually;
use crate::support::redis::RedisServer;
use crate::support::sidecar::Sidecar;

const SOON: Duration = Duration::from_secs(30);

const ROUTES: &str = r#"
[[route]]
name = "board"
path = "/board/{id}"
key = "board:{path.id}"
ttl = "60s"
"#;

async fn ask_for_fleet(sidecar: &Sidecar) -> Value {
    sidecar.admin().get("/stats?a=b&fleet=true").await.value()
}

async fn requests(sidecar: &Sidecar, count: usize) {
    let client = sidecar.client();
    for _ in 0..count {
        assert_eq!(client.get("/board/1").await.status, 200);
        sidecar.fills_have_ended().await;
    }
}

fn count_of(stats: &Value) -> usize {
    let sidecars = stats["fleet"]["sidecars"].as_array();
    sidecars.expect("a list").len()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_knows_the_sums_of_all_and_says_where_configs_differ() {
    let (app, mut redis) = (TestApp::start().await, RedisServer::start());
    app.on("GET", "/board/1", |_| Answer::text("x"));
    let toml = format!("[redis]\nurl = \"{}\"\n{ROUTES}", redis.url());
    let [first, second] = [(); 2].map(|()| Sidecar::start(&app.url(), &toml));
    eventually("both have Redis", SOON, || async {
        let states = [ask_for_fleet(&first).await, ask_for_fleet(&second).await];
        states.iter().all(|stats| stats["redis"]["state"] == "up")
    })
    .await;
    requests(&first, 3).await;
    requests(&second, 2).await;

    eventually("the sums are of both", SOON, || async {
        // Each of the two has to have said how it is after its requests.
        ask_for_fleet(&second).await;
        let fleet = &ask_for_fleet(&first).await["fleet"];
        fleet["total"]["requests"] == 5
    })
    .await;
    let stats = ask_for_fleet(&first).await;
    let fleet = &stats["fleet"];
    assert_eq!(fleet["shared"], true);
    let hits = |at: usize| fleet["sidecars"][at]["hits"].as_u64().expect("a count");
    let sum = hits(0) + hits(1);
    assert!(sum >= 3, "{fleet}");
    assert_eq!(fleet["total"]["hits"], sum);
    assert_eq!(fleet["total"]["hit_rate"], sum as f64 / 5.0);
    assert_eq!(fleet["warnings"], serde_json::json!([]));
    let own: Vec<&Value> = (0..2)
        .map(|at| &fleet["sidecars"][at])
        .filter(|line| line["this"] == true)
        .collect();
    assert_eq!(own.len(), 1, "{fleet}");
    assert_eq!(own[0]["requests"], 3);
    assert_eq!(own[0]["config_hash"], stats["config_hash"]);
    let port = first.addr().port().to_string();
    assert!(own[0]["name"].as_str().expect("a name").ends_with(&port));
    assert_eq!(stats["state"]["word"], "healthy", "{stats}");

    let other = Sidecar::start(&app.url(), &format!("{toml}# another file\n"));
    eventually("two configs are told", SOON, || async {
        ask_for_fleet(&other).await;
        let stats = ask_for_fleet(&first).await;
        let reasons = stats["state"]["reasons"].to_string();
        stats["state"]["word"] == "warning" && reasons.contains("2 configs are in force")
    })
    .await;

    // Who ends says so, and is not waited for.
    other.stop();
    eventually("it is gone at once", Duration::from_secs(10), || async {
        let stats = ask_for_fleet(&first).await;
        count_of(&stats) == 2 && stats["state"]["word"] == "healthy"
    })
    .await;

    // What was heard counts for a while without Redis, too.
    redis.kill();
    eventually("Redis is missed", SOON, || async {
        ask_for_fleet(&first).await["redis"]["state"] == "down"
    })
    .await;
    let stats = ask_for_fleet(&first).await;
    assert_eq!(stats["fleet"]["shared"], true, "{stats}");
    assert_eq!(count_of(&stats), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn words_of_others_are_bounded_and_gone_soon_after_the_last() {
    let (app, redis) = (TestApp::start().await, RedisServer::start());
    let toml = format!("[redis]\nurl = \"{}\"\n{ROUTES}", redis.url());
    let sidecar = Sidecar::start(&app.url(), &toml);
    let name = "{pannier}:sidecars";
    let said = redis.cli(&["TIME"]);
    let now: u64 = said
        .lines()
        .next()
        .expect("seconds")
        .parse()
        .expect("a number");
    let old = format!("{} {{\"name\":\"gone\"}}", (now - 60) * 1000);
    redis.cli(&["HSET", name, "gone", &old, "not one", "of ours"]);
    // At once, so that the first is not old by the time that the last is there.
    let words: Vec<String> = (0..250)
        .flat_map(|number| {
            let word = format!("{} {{\"name\":\"n{number}\"}}", now * 1000);
            [format!("id{number}"), word]
        })
        .collect();
    let mut command = vec!["HSET", name];
    command.extend(words.iter().map(String::as_str));
    redis.cli(&command);
    eventually("they are heard", SOON, || async {
        count_of(&ask_for_fleet(&sidecar).await) == 200
    })
    .await;
    assert_eq!(redis.number(&["HLEN", name]), 200);
    assert!(redis.number(&["PTTL", name]) <= 16_000);

    // Another program's value under the name is in nobody's way.
    redis.cli(&["SET", name, "a text"]);
    eventually("its own word is there again", SOON, || async {
        count_of(&ask_for_fleet(&sidecar).await) == 1
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_has_a_line_for_each_and_one_for_all() {
    let (app, redis) = (TestApp::start().await, RedisServer::start());
    app.on("GET", "/board/1", |_| Answer::text("x"));
    let toml = format!("[redis]\nurl = \"{}\"\n{ROUTES}", redis.url());
    let [first, second] = [(); 2].map(|()| Sidecar::start(&app.url(), &toml));
    requests(&second, 4).await;
    let mut page = Page::open(first.admin_addr(), "/").await;
    page.until("document.querySelectorAll('#fleet-rows tr').length === 3")
        .await;
    page.until(
        "document.querySelector('#fleet-rows tr:last-child td:nth-child(6)').innerText === '4'",
    )
    .await;
    let names =
        "[...document.querySelectorAll('#fleet-rows th')].map((cell) => cell.innerText).join()";
    let names = page.evaluate(names).await.to_string();
    assert!(
        names.contains("(this one)") && names.contains("all 2"),
        "{names}"
    );
}
