//! Force refresh: fetched now and swapped in, by whoever holds the token.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::switches::post;
use crate::support::app::{Answer, TestApp};
use crate::support::sidecar::{Sidecar, TOKEN};
use crate::support::{Gate, eventually};

const LONG: Duration = Duration::from_secs(30);

const RULES: &str = "[[route]]\nname = \"item\"\npath = \"/items/{id}\"\nkey = \"item:{path.id}\"\n\
                     tags = [\"items\"]\nany_host = true\n\
                     [[route]]\nname = \"mine\"\npath = \"/mine\"\nkey = \"mine:{header.authorization}\"\n";

/// Items with a version of their own that changes with nothing that Pannier sees.
async fn app() -> (TestApp, Arc<AtomicUsize>) {
    let app = TestApp::start().await;
    let version = Arc::new(AtomicUsize::new(0));
    for path in ["/items/0", "/items/1", "/mine"] {
        let read = version.clone();
        app.on("GET", path, move |_| {
            Answer::text(read.load(Ordering::SeqCst).to_string())
        });
    }
    (app, version)
}

#[tokio::test(flavor = "multi_thread")]
async fn urls_keys_and_tags_are_fetched_now_and_swapped_in() {
    let (app, version) = app().await;
    let sidecar = Sidecar::start(&app.url(), RULES);
    let client = sidecar.client();
    for path in ["/items/0", "/items/1"] {
        client.get(path).await;
    }
    let mine = [("authorization", "Bearer ann")];
    client.get_with("/mine", &mine).await;
    sidecar.fills_have_ended().await;
    let url = format!("http://{}/items/0", sidecar.addr());
    let by_url = format!("{{\"urls\":[\"{url}\"]}}");
    for (body, both) in [
        (by_url.as_str(), false),
        (r#"{"keys":["item:0"]}"#, false),
        (r#"{"tags":["items"]}"#, true),
    ] {
        let now = version.fetch_add(1, Ordering::SeqCst) + 1;
        let before = client.get("/items/1").await;
        let reply = post(&sidecar, "/refresh", body).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert_eq!(
            reply.value()["refreshed"],
            if both { 2 } else { 1 },
            "{}",
            reply.text()
        );
        let hit = client.get("/items/0").await;
        assert!(
            hit.is_hit() && hit.text() == now.to_string(),
            "{body}: {}",
            hit.text()
        );
        let other = client.get("/items/1").await;
        assert!(other.is_hit());
        assert_eq!(other.text() != before.text(), both, "{body}");
    }
    // What only Ann may read is not fetched as nobody, and what nobody has read is not known.
    let key = "{\"keys\":[\"mine:Bearer ann\",\"item:7\"]}";
    let reply = post(&sidecar, "/refresh", key).await;
    assert_eq!(reply.value()["refreshed"], 0, "{}", reply.text());
    let asked = app.count("/mine");
    assert_eq!(asked, 1);
    let metrics = sidecar.admin().get("/metrics").await;
    let counted = metrics.text().lines().any(|line| {
        line.starts_with("pannier_requests_total{")
            && line.contains("reason=\"refresh\"")
            && line.ends_with(" 4")
    });
    assert!(counted, "each is counted with its reason");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_old_answer_serves_until_the_new_one_is_stored_and_stays_if_the_app_fails() {
    let (app, _) = app().await;
    let sidecar = Sidecar::start(&app.url(), RULES);
    let client = sidecar.client();
    client.get("/items/0").await;
    sidecar.fills_have_ended().await;
    let gate = Gate::new();
    let held = gate.clone();
    app.on("GET", "/items/0", move |_| {
        Answer::text("new").behind(&held)
    });
    let refresher = client.clone();
    let refreshing = tokio::spawn(async move {
        let request = refresher.request("GET", "/items/0");
        request
            .header("pannier-refresh", "1")
            .header("pannier-token", TOKEN)
            .send()
            .await
    });
    gate.reached(1).await;
    assert!(client.get("/items/0").await.is_hit(), "meanwhile");
    gate.open();
    let reply = refreshing.await.expect("it is answered");
    assert_eq!(reply.text(), "new");
    assert!(
        reply.cache_status().ends_with("detail=refresh"),
        "{}",
        reply.cache_status()
    );
    assert!(reply.cache_status().contains("fwd=request"));
    sidecar.fills_have_ended().await;
    let hit = client.get("/items/0").await;
    assert!(hit.is_hit() && hit.text() == "new");
    let last = app.last("/items/0");
    for name in ["pannier-refresh", "pannier-token"] {
        assert!(
            !last.headers.contains_key(name),
            "the app does not see {name}"
        );
    }
    app.on("GET", "/items/0", |_| Answer::status(500));
    let body = format!("{{\"urls\":[\"http://{}/items/0\"]}}", sidecar.addr());
    let reply = post(&sidecar, "/refresh", &body).await;
    assert_eq!(
        reply.value()["results"][0]["result"],
        "not-stored",
        "{}",
        reply.text()
    );
    assert_eq!(client.get("/items/0").await.text(), "new", "it stays");
    // That it is too long, and has no end, is seen when its head has left.
    let (answer, pieces) = Answer::piecewise();
    let answer = Mutex::new(Some(answer));
    app.on("GET", "/items/0", move |_| {
        let answer = answer.lock().expect("no panic").take();
        answer.expect("it is asked for once")
    });
    pieces
        .send(Ok(vec![b'x'; (1 << 20) + 1].into()))
        .expect("it is to be read");
    let reply = post(&sidecar, "/refresh", &body).await;
    let result = &reply.value()["results"][0];
    assert_eq!(
        (&result["result"], &result["why"]),
        (&"not-stored".into(), &"too-large".into()),
        "{result}"
    );
    eventually("it is read no further", LONG, || async {
        pieces.is_closed()
    })
    .await;
    assert_eq!(client.get("/items/0").await.text(), "new", "it stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_token_refreshes_nothing_and_no_url_leads_elsewhere() {
    let (app, _) = app().await;
    let sidecar = Sidecar::start(&app.url(), RULES);
    let client = sidecar.client();
    client.get("/items/0").await;
    sidecar.fills_have_ended().await;
    for token in ["", "wrong"] {
        let request = client
            .request("GET", "/items/0")
            .header("pannier-refresh", "1");
        let reply = request.header("pannier-token", token).send().await;
        assert!(reply.is_hit(), "{}", reply.cache_status());
    }
    let bare = sidecar
        .admin()
        .json("POST", "/refresh", r#"{"keys":["a"]}"#)
        .await;
    assert_eq!(bare.status, 401);
    for body in [
        "{}",
        r#"{"urls":["/items/0"]}"#,
        r#"{"urls":["//evil/items/0"]}"#,
        r#"{"urls":["file:///etc/passwd"]}"#,
        r#"{"urls":["http://user@host/items/0"]}"#,
        r#"{"urls":["ftp://host/items/0"]}"#,
        r#"{"url":["http://host/"]}"#,
    ] {
        assert_eq!(post(&sidecar, "/refresh", body).await.status, 400, "{body}");
    }
    // Another host is a name that the app is told, and is connected to by nobody.
    let reply = post(
        &sidecar,
        "/refresh",
        r#"{"urls":["http://169.254.169.254/items/1"]}"#,
    )
    .await;
    assert_eq!(reply.value()["refreshed"], 1, "{}", reply.text());
    assert_eq!(app.last("/items/1").header("host"), "169.254.169.254");
}
