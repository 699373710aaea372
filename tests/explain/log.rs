//! What the log tells of misses: once for each rule and kind.

use crate::running::{Running, wait_for};
use crate::support::app::{Answer, TestApp};
use crate::support::client::Client;

const RULE: &str =
    "[[route]]\nname = \"r\"\npath = \"/{id}\"\nkey = \"r:{path.id}\"\nttl = \"5m\"\n";

#[tokio::test(flavor = "multi_thread")]
async fn what_stands_in_the_way_and_what_the_app_forgets_is_told_once() {
    let app = TestApp::start().await;
    app.on("GET", "/private", |_| {
        Answer::text("x").cache_control("private")
    });
    app.on("GET", "/plain", |_| Answer::text("x"));
    let one = ("access-control-allow-origin", "https://a");
    app.on("GET", "/cors", move |_| {
        Answer::text("x").header(one.0, one.1)
    });
    app.on("GET", "/gzip", |_| {
        Answer::text("x").header("content-encoding", "gzip")
    });
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("p.toml");
    std::fs::write(&file, RULE).expect("a writable folder");
    let file = file.display().to_string();
    let running = Running::start(&["run", "--config", &file], &app.url());
    let client = Client::new(running.proxy);
    for path in ["/plain?ref=a", "/private", "/cors", "/gzip"] {
        client.get(path).await;
        // The same again, and one of another path: they are of the same kind.
        client.get(path).await;
    }
    client.get("/other?ref=a").await;
    running.signal("-TERM");
    let mut lines = Vec::new();
    loop {
        let line = wait_for(&running.log, "");
        let is_last = line.contains("not ready any more");
        lines.push(line);
        if is_last {
            break;
        }
    }
    let told = |words: &[&str]| {
        let lines = lines
            .iter()
            .filter(|line| words.iter().all(|word| line.contains(word)));
        lines.count()
    };
    #[rustfmt::skip]
    let rows: &[&[&str]] = &[
        &["unkeyed-query", "in [[route]] r: ignore_query = [\\\"ref\\\"]", "\"level\":\"INFO\""],
        &["private: the answer says private", "in [defaults]: app_headers = \\\"ignore\\\"", "\"level\":\"INFO\""],
        &["Vary: Origin", "cors = \\\"vary\\\"", "\"level\":\"WARN\""],
        &["Vary: Accept-Encoding", "\"level\":\"WARN\""],
    ];
    for words in rows {
        assert_eq!(told(words), 1, "{words:?} in {lines:#?}");
    }
}
