//! `config/portal.toml`: users, dashboards, settings and sessions.

use pannier::entry::Priority::{High, Medium};
use serde_json::json;

use super::app::{ExampleApp, body, change, query, remove, row};
use super::deployment::Deployment;
use super::table::{Read, Write, read, write};

/// As the gateway in front sets it.
const ANN: (&str, &str) = ("x-user-id", "42");
const BOB: (&str, &str) = ("x-user-id", "7");

const READS: [Read; 9] = [
    read("Ann", "/api/users/42", "user:42", 3600, High).by(ANN),
    read("Bob", "/api/users/7", "user:7", 3600, High).by(BOB),
    read(
        "Ann's day",
        "/api/dashboard/42?date=2026-01-01",
        "dashboard:42:2026-01-01:42",
        300,
        Medium,
    )
    .by(ANN),
    read(
        "Ann's next day",
        "/api/dashboard/42?date=2026-01-02",
        "dashboard:42:2026-01-02:42",
        300,
        Medium,
    )
    .by(ANN),
    read(
        "Ann's day, to Bob",
        "/api/dashboard/42?date=2026-01-01",
        "dashboard:42:2026-01-01:7",
        300,
        Medium,
    )
    .by(BOB),
    read(
        "Bob's day",
        "/api/dashboard/7?date=2026-01-01",
        "dashboard:7:2026-01-01:7",
        300,
        Medium,
    )
    .by(BOB),
    read("settings", "/api/settings", "settings:global", 600, Medium),
    read(
        "Ann's session",
        "/api/sessions/s-ann",
        "session:s-ann",
        86400,
        High,
    )
    .by(ANN),
    read(
        "Bob's session",
        "/api/sessions/s-bob",
        "session:s-bob",
        86400,
        High,
    )
    .by(BOB),
];

const WRITES: [Write; 7] = [
    write(
        "a message, which no rule names",
        "POST",
        "/api/messages",
        "{}",
    )
    .by(ANN),
    write("a user", "PUT", "/api/users/42", r#"{"name": "Anna"}"#)
        .by(ANN)
        .stales(&[
            "Ann",
            "Ann's day",
            "Ann's next day",
            "Ann's day, to Bob",
            "Ann's session",
        ]),
    write(
        "a dashboard",
        "POST",
        "/api/dashboard/42",
        r#"{"widgets": ["clock"]}"#,
    )
    .by(ANN)
    .stales(&["Ann's day", "Ann's next day", "Ann's day, to Bob"]),
    write("settings", "PUT", "/api/settings", r#"{"theme": "dark"}"#)
        .by(BOB)
        .stales(&["settings"]),
    write(
        "a session",
        "PATCH",
        "/api/sessions/s-bob",
        r#"{"seen": "today"}"#,
    )
    .by(BOB)
    .stales(&["Bob's session"]),
    write("a sign-out", "DELETE", "/api/sessions/s-ann", "")
        .by(ANN)
        .stales(&["Ann's session"]),
    // The last row: its reads are 404 from here on.
    write("a deleted user", "DELETE", "/api/users/7", "")
        .by(BOB)
        .stales(&["Bob", "Bob's day", "Bob's session"]),
];

async fn portal() -> Deployment {
    portal_in("on").await
}

async fn portal_in(mode: &str) -> Deployment {
    let app = ExampleApp::start(json!({
        "users": [
            {"id": 42, "name": "Ann", "widgets": []},
            {"id": 7, "name": "Bob", "widgets": []},
        ],
        "settings": [{"theme": "light"}],
        "sessions": [
            {"id": "s-ann", "userId": 42},
            {"id": "s-bob", "userId": 7},
        ],
    }))
    .await;
    show(&app);
    accept(&app);
    Deployment::start_in(mode, "portal", "PORTAL_URL", app).await
}

fn show(app: &ExampleApp) {
    for id in [42, 7] {
        app.read(&format!("/api/users/{id}"), move |data, _| {
            let user = row(data, "users", &json!({"id": id}));
            if user.is_null() {
                user
            } else {
                json!({"id": id, "name": user["name"]})
            }
        });
        app.read(&format!("/api/dashboard/{id}"), move |data, seen| {
            let user = row(data, "users", &json!({"id": id}));
            if user.is_null() {
                return user;
            }
            json!({"of": user, "date": query(seen, "date"), "to": seen.header("x-user-id")})
        });
    }
    app.read("/api/settings", |data, _| data["settings"][0].clone());
    for id in ["s-ann", "s-bob"] {
        app.read(&format!("/api/sessions/{id}"), move |data, _| {
            let mut session = row(data, "sessions", &json!({"id": id}));
            if !session.is_null() {
                let user = row(data, "users", &json!({"id": session["userId"]}));
                session["name"] = user["name"].clone();
            }
            session
        });
    }
}

fn accept(app: &ExampleApp) {
    for (method, path) in [("PUT", "/api/users/42"), ("POST", "/api/dashboard/42")] {
        app.write(method, path, |data, seen| {
            change(data, "users", &json!({"id": 42}), &body(seen))
        });
    }
    app.write("DELETE", "/api/users/7", |data, _| {
        remove(data, "sessions", &json!({"userId": 7}));
        remove(data, "users", &json!({"id": 7}))
    });
    app.write("PUT", "/api/settings", |data, seen| {
        change(data, "settings", &json!({}), &body(seen))
    });
    app.write("PATCH", "/api/sessions/s-bob", |data, seen| {
        change(data, "sessions", &json!({"id": "s-bob"}), &body(seen))
    });
    app.write("DELETE", "/api/sessions/s-ann", |data, _| {
        change(
            data,
            "sessions",
            &json!({"id": "s-ann"}),
            &json!({"ended": true}),
        );
        json!(null)
    });
    app.write("POST", "/api/messages", |_, _| json!({}));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_get_is_stored_under_its_key() {
    portal().await.stores(&READS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_write_purges_what_shows_it_and_nothing_else() {
    portal().await.purges(&READS, &WRITES).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_write_purges_nothing() {
    portal().await.keeps_when_refused(&READS, &WRITES).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_be_anothers_is_passed() {
    let cookie = Some(("cookie", "session=s-ann"));
    let day = "/api/dashboard/42?date=2026-01-01";
    let cases = [
        (
            "a dashboard, past the gateway",
            day,
            None,
            "missing-variable",
        ),
        ("a dashboard, by cookie", day, cookie, "missing-variable"),
        (
            "a dashboard of no day",
            "/api/dashboard/42",
            Some(ANN),
            "missing-variable",
        ),
        (
            "a further field",
            "/api/settings?lang=de",
            Some(ANN),
            "unkeyed-query",
        ),
    ];
    portal().await.passes(&cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_are_shared() {
    let portal = portal().await;
    let cookie = Some(("cookie", "session=s-ann"));
    portal
        .shares("/api/settings", &[Some(ANN), Some(BOB), cookie, None])
        .await;
}

/// Each write has the purge rules that it needs: shadow finds no answer that would have been stale.
#[tokio::test(flavor = "multi_thread")]
async fn shadow_finds_nothing() {
    let deployment = portal_in("shadow").await;
    deployment.finds_nothing_in_shadow(&READS, &WRITES).await;
}
