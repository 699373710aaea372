//! Reads by POST: their key is of the body, and so is what is stored.

use super::{File, assert_said, nobody};
use crate::support::app::{Answer, TestApp};
use crate::support::eventually;
use crate::support::sidecar::{Sidecar, TOKEN};

const SEARCH: &str = r#"
[[route]]
name = "search"
path = "/search"
methods = ["POST"]
when = { "body.save" = "absent" }
key = "search:{body}"
any_host = true
ttl = "1m"
[[purge]]
name = "saved"
path = "/search"
methods = ["POST"]
when = { "body.save" = "present" }
keys = ["search:*"]
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_read_by_post_is_explained_with_its_body() {
    let app = TestApp::start().await;
    app.on("POST", "/search", |seen| Answer::text(seen.nth.to_string()));
    let sidecar = Sidecar::start(&app.url(), SEARCH);
    let file = File::of(SEARCH, TOKEN);
    let client = sidecar.client();
    eventually("it is stored", super::SHORT, || async {
        client.json("POST", "/search", r#"{"a":1}"#).await.is_hit()
    })
    .await;
    let curl = "curl http://h/search -H 'content-type: application/json' --data-raw '{\"a\": 1}'";
    let by_body = ["POST", "/search", "--body", r#"{ "a": 1 }"#];
    for arguments in [&by_body[..], &["--from-curl", curl]] {
        let said = file.explain(sidecar.admin_addr(), arguments).await;
        let expected = [
            "search (POST /search)",
            "search:",
            "answer 1 of 1: fresh (status 200, 1 bytes, in memory, by rule search)",
            "reason:     hit\n",
        ];
        assert_said("stored", &said, &expected);
    }
    let other = ["POST", "/search", "--body", r#"{"a": 2}"#];
    let said = file.explain(sidecar.admin_addr(), &other).await;
    assert_said("another body", &said, &["memory:     holds nothing"]);
    let write = ["POST", "/search", "--body", r#"{"save": true}"#];
    let said = file.explain(nobody(), &write).await;
    let expected = [
        "reason:   method",
        "by purge rule saved",
        "it may be a write",
    ];
    assert_said("a write", &said, &expected);
    assert_eq!(app.count("/search"), 1, "to explain asks no app");
}
