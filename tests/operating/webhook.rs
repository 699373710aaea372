//! Alerts are posted when they begin and when they are over.

use std::time::Duration;

use crate::support::app::{Answer, TestApp};
use crate::support::eventually;
use crate::support::sidecar::Sidecar;

const SOON: Duration = Duration::from_secs(30);

const ROUTE: &str =
    "[[route]]\nname = \"a\"\npath = \"/a/{id}\"\nkey = \"a:{path.id}\"\nttl = \"60s\"\n";

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_is_posted_until_it_is_taken_once_and_again_when_it_is_over() {
    let (app, hooks) = (TestApp::start().await, TestApp::start().await);
    app.on("GET", "/a/1", |_| Answer::text("x"));
    app.on("GET", "/a/2", |_| Answer::text("x"));
    // The first post of all is not taken.
    hooks.on("POST", "/services/secret", |seen| {
        Answer::status(if seen.nth == 0 { 503 } else { 200 })
    });
    let alerts = |keys: u32| {
        format!(
            "[alerts]\nkeys = {keys}\nhit_rate_percent = 0\nwebhook = \"{}/services/secret?x=1\"\n{ROUTE}",
            hooks.url()
        )
    };
    let sidecar = Sidecar::start(&app.url(), &alerts(1));
    for path in ["/a/1", "/a/2"] {
        assert_eq!(sidecar.client().get(path).await.status, 200);
    }
    eventually("it is taken", SOON, || async {
        hooks.count("/services/secret") >= 2
    })
    .await;
    let post = hooks.last("/services/secret");
    assert_eq!(post.query.as_deref(), Some("x=1"));
    assert_eq!(post.header("content-type"), "application/json");
    let said: serde_json::Value = serde_json::from_slice(&post.body).expect("JSON");
    assert_eq!(said["status"], "firing");
    assert_eq!(said["alert"], "keys");
    assert_eq!(
        (said["value"].as_f64(), said["threshold"].as_u64()),
        (Some(2.0), Some(1))
    );
    let text = said["text"].as_str().expect("a text");
    assert!(
        text.ends_with("2 keys are stored ([alerts] keys = 1)"),
        "{text}"
    );

    // Nobody asks for the threshold any more, so that it is over at once.
    sidecar.reload(&alerts(0), &[("PANNIER_UPSTREAM_URL", &app.url())]);
    eventually("its end is told", SOON, || async {
        hooks.count("/services/secret") >= 3
    })
    .await;
    let said = hooks.last("/services/secret").body;
    let said: serde_json::Value = serde_json::from_slice(&said).expect("JSON");
    assert_eq!(
        (&said["status"], &said["alert"]),
        (&"resolved".into(), &"keys".into())
    );
    assert_eq!(hooks.count("/services/secret"), 3, "each once");
    let metrics = sidecar.admin().get("/metrics").await;
    for line in [
        "pannier_webhook_posts_total{result=\"ok\"} 2",
        "pannier_webhook_posts_total{result=\"error\"} 1",
    ] {
        assert!(metrics.text().contains(line), "{line}");
    }
}
