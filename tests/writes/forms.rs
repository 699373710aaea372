//! Bodies of forms, and methods in disguise.

use serde_json::json;

use crate::purging::{are_hits, warm};
use crate::support::app::{Answer, TestApp};
use crate::support::sidecar::Sidecar;

const TABLES: &str = r#"
[[route]]
name = "board"
path = "/boards/{id}"
key = "board:{path.id}"
ignore_query = ["*"]
[[purge]]
name = "edited"
methods = ["POST", "PATCH"]
path = "/tasks/{id}"
keys = ["board:{body.task.board_id}", "board:{body.boards[]}"]
[[purge]]
name = "deleted"
methods = ["DELETE"]
path = "/cards/{id}"
keys = ["board:{path.id}"]
"#;

const BOARDS: [&str; 3] = ["/boards/1", "/boards/2", "/boards/3"];
const URLENCODED: &str = "application/x-www-form-urlencoded";

async fn boards() -> (TestApp, Sidecar) {
    let app = TestApp::start().await;
    for path in BOARDS {
        app.on("GET", path, |seen| Answer::json(&json!({"nth": seen.nth})));
    }
    for method in ["GET", "POST", "PATCH"] {
        app.on(method, "/tasks/1", |_| Answer::text("ok"));
        app.on(method, "/cards/2", |_| Answer::text("ok"));
    }
    let sidecar = Sidecar::start(&app.url(), TABLES);
    (app, sidecar)
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_of_a_form_are_purged_by() {
    let (app, sidecar) = boards().await;
    let client = sidecar.client();
    let multipart = |fields: &[(&str, &str)]| {
        let part = |(name, text): &(&str, &str)| {
            format!("--X\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{text}\r\n")
        };
        let parts: String = fields.iter().map(part).collect();
        let file =
            "--X\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a\"\r\n\r\nbytes\r\n";
        format!("{parts}{file}--X--\r\n")
    };
    let fields = [("task[board_id]", "1"), ("boards[]", "3")];
    let broken = multipart(&fields).replace("--X--", "--X");
    let rows = [
        (
            URLENCODED,
            "task[board_id]=1&boards[]=3".to_owned(),
            [false, true, false],
        ),
        (
            URLENCODED,
            "task%5Bboard_id%5D=1&boards%5B%5D=2&boards%5B%5D=3".to_owned(),
            [false; 3],
        ),
        (
            URLENCODED,
            "task[board_id]=1&boards=3".to_owned(),
            [false, true, false],
        ),
        (
            URLENCODED,
            r#"{"task": {"board_id": 1}, "boards": []}"#.to_owned(),
            [false, true, true],
        ),
        (
            "multipart/form-data; boundary=X",
            multipart(&fields),
            [false, true, false],
        ),
        // In doubt: any.
        ("multipart/form-data; boundary=X", broken, [false; 3]),
        (
            "text/plain",
            "task[board_id]=1&boards[]=3".to_owned(),
            [false; 3],
        ),
    ];
    for (content_type, body, hits) in rows {
        warm(&client, &BOARDS).await;
        let request = client
            .request("POST", "/tasks/1")
            .header("content-type", content_type);
        request.body(body.as_str()).send().await;
        assert_eq!(
            app.last("/tasks/1").body,
            body.as_bytes(),
            "it goes on as it is"
        );
        assert_eq!(
            are_hits(&client, &BOARDS).await,
            hits,
            "{content_type}: {body}"
        );
    }
    warm(&client, &BOARDS).await;
    let coded = client
        .request("POST", "/tasks/1")
        .header("content-encoding", "gzip");
    let coded = coded.header("content-type", URLENCODED);
    coded.body("task[board_id]=1&boards[]=1").send().await;
    assert_eq!(are_hits(&client, &BOARDS).await, [false; 3], "coded");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_method_in_disguise_is_that_method_too() {
    let (_app, sidecar) = boards().await;
    let client = sidecar.client();
    let field = |name: &'static str, value: &'static str| Some((name, value));
    let form = field("content-type", URLENCODED);
    let json = field("content-type", "application/vnd.api+JSON; a=b");
    let text = field("content-type", "text/plain");
    let rows = [
        ("POST", "/cards/2", None, "", true),
        ("POST", "/cards/2", form, "a=1", true),
        ("POST", "/cards/2", form, "_method=delete&a=1", false),
        ("POST", "/cards/2", form, "%5Fmethod=DELETE", false),
        ("POST", "/cards/2", form, "_method=PUT", true),
        ("POST", "/cards/2", form, "_method=POST", true),
        (
            "POST",
            "/cards/2",
            form,
            "_method=DELETE&_method=PUT",
            false,
        ),
        // It may be one.
        ("POST", "/cards/2", form, "a=1;_method=DELETE", false),
        ("POST", "/cards/2", json, r#"{"a": 1}"#, true),
        ("POST", "/cards/2", json, r#"{"_method": "delete"}"#, false),
        ("POST", "/cards/2", json, r#"{"_method": "PUT"}"#, true),
        (
            "POST",
            "/cards/2",
            json,
            r#"{"_method": "PUT", "_method": "DELETE"}"#,
            false,
        ),
        (
            "POST",
            "/cards/2",
            json,
            r#"{"a": {"_method": "DELETE"}}"#,
            true,
        ),
        (
            "POST",
            "/cards/2",
            json,
            r#"{"_method": ["DELETE"]}"#,
            false,
        ),
        ("POST", "/cards/2", json, r#"{"_method": "#, false),
        ("POST", "/cards/2", json, "", true),
        ("POST", "/cards/2", text, r#"{"_method": "DELETE"}"#, true),
        ("POST", "/cards/2?_method=DELETE", None, "", false),
        // ASP.NET.
        (
            "POST",
            "/cards/2?x-http-METHOD-override=DELETE",
            None,
            "",
            false,
        ),
        (
            "POST",
            "/cards/2?X%2DHTTP-Method-Override=PUT",
            None,
            "",
            true,
        ),
        (
            "POST",
            "/cards/2",
            form,
            "X-HTTP-Method-Override=DELETE&a=1",
            false,
        ),
        (
            "POST",
            "/cards/2",
            form,
            "a=1&x-http-method-override=delete",
            false,
        ),
        ("POST", "/cards/2", form, "X-HTTP-Method-Override=PUT", true),
        ("POST", "/cards/2?%5fmethod=Delete", None, "", false),
        (
            "POST",
            "/cards/2",
            field("x-http-method-override", "DELETE"),
            "",
            false,
        ),
        (
            "POST",
            "/cards/2",
            field("x-http-method", "delete"),
            "",
            false,
        ),
        (
            "POST",
            "/cards/2",
            field("x-method-override", "DELETE"),
            "",
            false,
        ),
        ("GET", "/cards/2", None, "", true),
        ("GET", "/cards/2?_method=DELETE", None, "", false),
        ("GET", "/cards/2?_method=GET", None, "", true),
        (
            "GET",
            "/cards/2",
            field("x-http-method-override", "DELETE"),
            "",
            false,
        ),
    ];
    for (method, path, field, body, hit) in rows {
        warm(&client, &BOARDS).await;
        let mut request = client.request(method, path).body(body);
        if let Some((name, value)) = field {
            request = request.header(name, value);
        }
        assert_eq!(request.send().await.status, 200);
        let expected = [true, hit, true];
        assert_eq!(
            are_hits(&client, &BOARDS).await,
            expected,
            "{method} {path} {field:?} {body}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_says_get_and_may_be_a_write_is_never_answered_from_the_store() {
    let (app, sidecar) = boards().await;
    let client = sidecar.client();
    warm(&client, &BOARDS).await;
    let asked = app.count("/boards/1");
    for path in [
        "/boards/1?_method=DELETE",
        "/boards/1?a=b&%5Fmethod=put",
        "/boards/1?X-HTTP-Method-Override=DELETE",
    ] {
        let reply = client.get(path).await;
        assert!(!reply.is_hit(), "{path}: {}", reply.cache_status());
    }
    assert_eq!(app.count("/boards/1"), asked + 3);
    warm(&client, &BOARDS).await;
    assert!(client.get("/boards/1?_method=GET").await.is_hit());
    assert!(client.get("/boards/1?method=DELETE").await.is_hit());
}
