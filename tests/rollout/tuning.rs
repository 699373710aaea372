//! `pannier tune` on traffic whose best settings are known: what it suggests, and what that gains.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use pannier::cli::Tune;
use pannier::commands::tune::tune;
use pannier::config::Env;

use crate::support::app::{Answer, TestApp};
use crate::support::sidecar::{Sidecar, TOKEN};

const KEYS: usize = 12;
/// Between two turns.
const PAUSE: Duration = Duration::from_millis(250);

/// Items that never change, and a counter that always does.
async fn app() -> TestApp {
    let app = TestApp::start().await;
    for id in 0..KEYS {
        app.on("GET", &format!("/items/{id}"), |_| {
            Answer::text("always the same")
        });
        app.on("GET", &format!("/now/{id}"), |seen| {
            Answer::text(seen.nth.to_string())
        });
    }
    app.on("GET", "/search", |seen| {
        let query = seen.query.as_deref().unwrap_or_default();
        Answer::text(query.split('&').next().unwrap_or_default())
    });
    app
}

fn config(app: &TestApp) -> String {
    format!(
        "# What we run.\n[upstream]\nurl = \"{}\"\n\
         [[route]]\nname = \"item\"\npath = \"/items/{{id}}\"\nkey = \"item:{{path.id}}\"\nttl = \"1s\"  # at first\n\
         [[route]]\nname = \"now\"\npath = \"/now/{{id}}\"\nkey = \"now:{{path.id}}\"\nttl = \"4s\"\n\
         [[route]]\nname = \"search\"\npath = \"/search\"\nttl = \"1m\"\n",
        app.url()
    )
}

/// Each item in each turn; how often the app was asked for them.
async fn use_it(sidecar: &Sidecar, app: &TestApp, turns: u32) -> usize {
    let client = sidecar.client();
    let before = app.seen().len();
    for turn in 0..turns {
        for id in 0..KEYS {
            client.get(&format!("/items/{id}")).await;
            client.get(&format!("/now/{id}")).await;
        }
        let q = turn % 3;
        for idle in ["session", "*"] {
            client.get(&format!("/search?q={q}&{idle}={turn}")).await;
        }
        tokio::time::sleep(PAUSE).await;
    }
    let seen = app.seen().split_off(before);
    seen.iter()
        .filter(|seen| seen.path.starts_with("/items/"))
        .count()
}

async fn tuned(file: &Path, sidecar: &Sidecar) -> Value {
    tuned_with(file, sidecar, false).await
}

async fn tuned_with(file: &Path, sidecar: &Sidecar, ignore_query: bool) -> Value {
    let args = Tune {
        config: file.to_owned(),
        admin: vec![sidecar.admin_addr().to_string()],
        write: true,
        ignore_query,
        json: true,
    };
    let work = move || {
        let env = Env::from_pairs([("PANNIER_ADMIN_TOKEN", TOKEN)]);
        let mut out = Vec::new();
        tune(&args, &env, &mut out).expect("it is told");
        serde_json::from_slice(&out).expect("JSON")
    };
    tokio::task::spawn_blocking(work).await.expect("it ends")
}

/// The one value that is suggested for a key of a rule.
fn suggested(told: &Value, rule: &str, key: &str) -> Value {
    let all = told["suggestions"].as_array().expect("suggestions").iter();
    let mut found = all.filter(|one| one["rule"] == rule && one["edit"]["key"] == key);
    found
        .next()
        .map_or(Value::Null, |one| one["edit"]["value"].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_never_changes_lives_longer_what_always_does_shorter_and_the_file_keeps_its_comments()
{
    const TURNS: u32 = 36;
    let app = app().await;
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("pannier.toml");
    std::fs::write(&file, config(&app)).expect("it is written");
    let run = |text: &str| Sidecar::start(&app.url(), text);
    let sidecar = run(&config(&app));
    let begun = pannier::clock::monotonic();
    let before = use_it(&sidecar, &app, TURNS).await;
    // Else items expire before they are read again, which is worth another word.
    let is_in_time = begun.elapsed() < 2 * PAUSE * TURNS;
    let told = tuned(&file, &sidecar).await;
    assert_eq!(suggested(&told, "item", "ttl"), "4s", "{told:#}");
    assert_eq!(suggested(&told, "now", "ttl"), "1s", "{told:#}");
    assert_eq!(
        suggested(&told, "search", "ignore_query"),
        serde_json::json!(["session"]),
        "{told:#}"
    );
    let all = told["suggestions"].as_array().expect("a list");
    let is_of_space = |one: &&Value| one["edit"]["key"] == "priority";
    let of_space = all.iter().filter(is_of_space).count();
    assert_eq!(all.len() - of_space, 3, "and nothing else: {told:#}");
    assert!(of_space == 0 || !is_in_time, "{told:#}");
    let read = || std::fs::read_to_string(&file).expect("it is there");
    assert!(
        !read().contains("ignore_query"),
        "that is asked for by itself"
    );
    tuned_with(&file, &sidecar, true).await;
    let changed = read();
    assert!(
        changed.contains("ignore_query = [\"session\"]"),
        "{changed}"
    );
    assert!(changed.starts_with("# What we run.\n"), "{changed}");
    assert!(changed.contains("ttl = \"4s\"  # at first"), "{changed}");
    // What is gained is seen: a lifetime four times as long asks the app about a quarter as often.
    drop(sidecar);
    let sidecar = run(&changed);
    let after = use_it(&sidecar, &app, TURNS).await;
    println!("requests to the app for the items in {TURNS} turns: {before} before, {after} after");
    assert!(after * 2 < before, "{after} after {before}");
    let client = sidecar.client();
    client.get("/search?q=1&session=x").await;
    sidecar.fills_have_ended().await;
    assert!(client.get("/search?q=1&session=y").await.is_hit());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_suggested_of_too_little() {
    let app = app().await;
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("pannier.toml");
    std::fs::write(&file, config(&app)).expect("it is written");
    let sidecar = Sidecar::start(&app.url(), &config(&app));
    // Too few, however long they take.
    use_it(&sidecar, &app, 2).await;
    let told = tuned(&file, &sidecar).await;
    assert_eq!(told["suggestions"], serde_json::json!([]));
    let unchanged = std::fs::read_to_string(&file).expect("it is there");
    assert_eq!(unchanged, config(&app));
}

/// A write that purges all items, of which it changes one: that is seen by the others, which come back as they were.
#[tokio::test(flavor = "multi_thread")]
async fn purges_that_take_too_much_are_told_and_the_file_stays() {
    let app = app().await;
    app.on("PUT", "/items/0", |_| Answer::text("done"));
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("pannier.toml");
    let toml = format!(
        "[upstream]\nurl = \"{}\"\n[[route]]\nname = \"item\"\npath = \"/items/{{id}}\"\nkey = \"item:{{path.id}}\"\nttl = \
         \"1h\"\n[[purge]]\nname = \"all\"\nmethods = [\"PUT\"]\npath = \"/items/{{id}}\"\nkeys = [\"item:*\"]\n",
        app.url()
    );
    std::fs::write(&file, &toml).expect("it is written");
    let sidecar = Sidecar::start(&app.url(), &toml);
    let client = sidecar.client();
    for round in 0..3 {
        for id in 0..KEYS {
            for _ in 0..2 {
                client.get(&format!("/items/{id}")).await;
            }
        }
        sidecar.fills_have_ended().await;
        let written = client.request("PUT", "/items/0").send().await;
        assert_eq!(written.status, 200, "{round}");
    }
    let told = tuned(&file, &sidecar).await;
    let seen = &told["observed"]["rules"]["item"];
    assert_eq!(
        (&seen["early"], &seen["early_same"]),
        (&24.into(), &24.into()),
        "{seen}"
    );
    assert_eq!(seen["misses"].as_u64(), Some(36), "{seen}");
    let all = told["suggestions"].as_array().expect("suggestions");
    let of_item = all.iter().find(|one| one["edit"].is_null());
    let why = of_item.expect("it is told")["why"].as_str().expect("words");
    assert!(
        why.starts_with("24 of 24 answers that were purged"),
        "{why}"
    );
    assert_eq!(std::fs::read_to_string(&file).expect("it is there"), toml);
}
